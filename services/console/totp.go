package console

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strings"
	"time"

	"rsc.io/qr"

	"greffe/pkg/index"
)

// The second factor is a code of six digits that changes every 30 seconds (RFC 6238 with
// HMAC-SHA-1, what every authenticator does). One step before and after is accepted
// (§5.2), no code twice. Recovery codes stand in for a lost telephone, each once.
const (
	totpPeriod    = 30 // seconds
	totpDigits    = 6
	totpSkew      = 1 // steps
	totpSecret    = 20
	recoveryCodes = 10
)

var base32Plain = base32.StdEncoding.WithPadding(base32.NoPadding)

// newSecret returns a secret of 160 bits (RFC 4226 §4) in base32.
func newSecret() string {
	b := make([]byte, totpSecret)
	rand.Read(b) // never fails (crypto/rand)
	return base32Plain.EncodeToString(b)
}

// totpCode returns the code of a step (RFC 4226 §5.3).
func totpCode(key []byte, step int64) string {
	mac := hmac.New(sha1.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(step)))
	sum := mac.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[len(sum)-1]&15:]) & 0x7fffffff
	return fmt.Sprintf("%0*d", totpDigits, n%1_000_000)
}

// matchCode returns the step whose code was typed, among those near now and after last;
// false when there is none.
func matchCode(secret, typed string, now time.Time, last int64) (int64, bool) {
	key, err := base32Plain.DecodeString(secret)
	if err != nil || len(key) == 0 || len(typed) != totpDigits {
		return 0, false
	}
	current := now.Unix() / totpPeriod
	found, ok := int64(0), false
	for step := current - totpSkew; step <= current+totpSkew; step++ {
		if subtle.ConstantTimeCompare([]byte(totpCode(key, step)), []byte(typed)) == 1 && step > last {
			found, ok = step, true
		}
	}
	return found, ok
}

// newRecovery returns codes to write down (50 bits each) and what is kept of them.
func newRecovery() (codes, kept []string) {
	for range recoveryCodes {
		s := strings.ToLower(rand.Text()[:10])
		codes = append(codes, s[:5]+"-"+s[5:])
		kept = append(kept, recoverySum(s))
	}
	return codes, kept
}

// recoverySum needs no salt and no slowness: what it hides is random.
func recoverySum(code string) string {
	sum := sha256.Sum256([]byte("greffe recovery\x00" + code))
	return hex.EncodeToString(sum[:])
}

var errCode = errors.New("console: not a code of this person, or used before")

// takeCode reports whether a person typed the code of now, or a recovery code, and makes
// it worthless in the same breath: whoever sends it again, even at once, is refused.
func (c *Console) takeCode(ctx context.Context, login, from, typed string) (bool, error) {
	return takeCode(ctx, c.db, login, from, typed)
}

func takeCode(ctx context.Context, db *index.DB, login, from, typed string) (bool, error) {
	typed = typedCode(typed)
	err := db.ChangeUser(ctx, login, func(u *index.User) ([]index.Entry, error) {
		if u.TOTP == "" {
			return nil, errCode
		}
		if step, ok := matchCode(u.TOTP, typed, time.Now(), u.TOTPStep); ok {
			u.TOTPStep = step
			return nil, nil
		}
		i := slices.Index(u.Recovery, recoverySum(typed))
		if i < 0 {
			return nil, errCode
		}
		u.Recovery = slices.Delete(slices.Clone(u.Recovery), i, i+1)
		return []index.Entry{{Actor: u.Login, Action: "recovery-used", Subject: u.Login, From: from, Result: "ok"}}, nil
	})
	if errors.Is(err, errCode) || errors.Is(err, index.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// typedCode returns a code without the blanks and hyphens it is shown with.
func typedCode(s string) string {
	if len(s) > 40 {
		return ""
	}
	return strings.ToLower(strings.NewReplacer(" ", "", "-", "", "\u00a0", "", "\u202f", "").Replace(s))
}

// otpURI is what an authenticator reads from the picture.
func otpURI(login, secret string) string {
	return "otpauth://totp/" + url.PathEscape("Greffe:"+login) + "?" +
		url.Values{"secret": {secret}, "issuer": {"Greffe"}, "algorithm": {"SHA1"}, "digits": {"6"}, "period": {"30"}}.Encode()
}

// qrSVG draws text as a QR code with its quiet zone. A picture in the page needs no
// other request, and nothing of it is kept anywhere.
func qrSVG(text string) (template.HTML, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", fmt.Errorf("draw QR code: %w", err)
	}
	const quiet = 4
	var path strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			run := 0
			for x+run < code.Size && code.Black(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", x+quiet, y+quiet, run, run)
				x += run
			}
		}
	}
	side := code.Size + 2*quiet
	return template.HTML(fmt.Sprintf(`<svg class="qr" viewBox="0 0 %d %d" role="img" aria-label="QR code à lire avec l’application d’authentification" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h%dv%dH0z"/><path fill="#000" d="%s"/></svg>`,
		side, side, side, side, path.String())), nil
}

// spaced writes a secret in groups of four, to be typed.
func spaced(secret string) string {
	var out []string
	for g := range slices.Chunk([]byte(secret), 4) {
		out = append(out, string(g))
	}
	return strings.Join(out, " ")
}
