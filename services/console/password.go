package console

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Parameters of argon2id: 19 MiB, 2 passes, 1 lane (OWASP Password Storage Cheat
// Sheet; RFC 9106 §4). About 100 ms of one core. hashesAtOnce bounds what a burst
// of logins may take.
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonLanes   = 1
	argonKey     = 32
	argonSalt    = 16
	hashesAtOnce = 2

	minPassword = 12   // characters
	maxPassword = 1024 // bytes
)

// ErrPassword is returned by HashPassword for a password that is too short or too long.
var ErrPassword = errors.New("mot de passe : 12 caractères au moins, 1024 octets au plus")

// HashPassword returns the argon2id hash of pw as a PHC string
// ($argon2id$v=19$m=…,t=…,p=…$salt$key), with a random salt. It takes about 100 ms
// and 19 MiB. A password under 12 characters gives ErrPassword.
func HashPassword(pw string) (string, error) {
	if utf8.RuneCountInString(pw) < minPassword || len(pw) > maxPassword {
		return "", ErrPassword
	}
	salt := make([]byte, argonSalt)
	rand.Read(salt) // never fails (crypto/rand)
	return encodeHash(pw, salt), nil
}

func encodeHash(pw string, salt []byte) string {
	key := argon2.IDKey([]byte(pw), salt, argonTime, argonMemory, argonLanes, argonKey)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonLanes,
		b64.EncodeToString(salt), b64.EncodeToString(key))
}

// CheckPassword reports whether pw has the hash phc. A hash that cannot be read, or
// whose parameters would take more than 256 MiB or 16 passes, matches nothing.
func CheckPassword(phc, pw string) bool {
	f := strings.Split(phc, "$")
	if len(f) != 6 || f[0] != "" || f[1] != "argon2id" || len(pw) > maxPassword {
		return false
	}
	var version int
	var memory, passes uint32
	var lanes uint8
	if _, err := fmt.Sscanf(f[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false
	}
	if _, err := fmt.Sscanf(f[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes); err != nil ||
		memory < 8 || memory > 256<<10 || passes < 1 || passes > 16 || lanes < 1 {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(f[4])
	if err != nil || len(salt) < 8 {
		return false
	}
	key, err := base64.RawStdEncoding.DecodeString(f[5])
	if err != nil || len(key) < 16 || len(key) > 64 {
		return false
	}
	got := argon2.IDKey([]byte(pw), salt, passes, memory, lanes, uint32(len(key)))
	return subtle.ConstantTimeCompare(got, key) == 1
}

// nobody is the hash that an unknown login is checked against, so that the time of
// an answer does not tell which logins exist.
var nobody = sync.OnceValue(func() string {
	return encodeHash(rand.Text(), []byte("greffe-no-such-1"))
})

// NewPassword returns 16 random characters that are easy to read out (80 bits).
func NewPassword() string {
	s := strings.ToLower(rand.Text()[:16])
	return s[:4] + "-" + s[4:8] + "-" + s[8:12] + "-" + s[12:]
}

// hash is HashPassword when one of the slots is free; it gives up with ctx.
func (c *Console) hash(ctx context.Context, pw string) (string, error) {
	select {
	case c.hashing <- struct{}{}:
		defer func() { <-c.hashing }()
		return HashPassword(pw)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// verify checks a password when one of the slots is free; it gives up with ctx.
func (c *Console) verify(ctx context.Context, phc, pw string) (bool, error) {
	select {
	case c.hashing <- struct{}{}:
		defer func() { <-c.hashing }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if phc == "" {
		CheckPassword(nobody(), pw)
		return false, nil
	}
	return CheckPassword(phc, pw), nil
}
