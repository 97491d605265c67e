package console

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// Tokens of scripts.
const (
	// MaxTokenLife is how long a token may live: one that nobody renews ends by itself.
	MaxTokenLife = 366 * 24 * time.Hour

	tokenPrefix = "greffe_" // so that a token is known for one wherever it is found
	tokenBytes  = 32        // of random
)

// Limits of one token.
const (
	apiRate  = 20 // requests a second, over time
	apiBurst = 60 // at once
)

// NewToken makes a token that is not used yet: the secret, shown once, and what the index
// keeps of it. Name, role, places, end and who makes it are the caller's to fill in.
func NewToken() (secret string, k index.Token) {
	b := make([]byte, tokenBytes)
	rand.Read(b) // never fails
	secret = tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
	return secret, index.Token{ID: strings.ToLower(rand.Text()[:16]), Digest: greffe.DigestOf([]byte(secret))}
}

// RightsOfToken says in the journal what a token may do and until when.
func RightsOfToken(k index.Token) string {
	return RightsOf(index.User{Role: k.Role, Places: k.Places}) + " until=" + k.Expires.UTC().Format(time.DateOnly)
}

// bearer returns the token of a request (RFC 6750 §2.1); "" for none.
func bearer(r *http.Request) string {
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(secret)
}

// admitToken finds out which token asks and checks its role. No session opens the API:
// what a browser sends by itself (a cookie) is not looked at.
func (c *Console) admitToken(rt route, r *http.Request, v *visit) error {
	secret := bearer(r)
	if secret == "" {
		return errToken
	}
	k, err := c.db.TokenOf(r.Context(), greffe.DigestOf([]byte(secret)))
	switch now := time.Now(); {
	case errors.Is(err, index.ErrNotFound):
		return c.unknownToken(v)
	case err != nil:
		return err
	case !k.Revoked.IsZero() || !now.Before(k.Expires) || roles[k.Role] == 0:
		if c.attempts.begin(k.Actor(), v.from) == 0 { // a script that goes on for ever shall not fill the journal
			v.user = index.User{Login: k.Actor()}
			c.note(v, "denied", "", "refused", map[bool]string{true: "token ended", false: "token revoked"}[k.Revoked.IsZero()])
			v.user = index.User{}
		}
		return errToken
	}
	if !c.tokenRates.take(k.ID, time.Now()) {
		return errRate
	}
	v.user = index.User{Login: k.Actor(), Name: "Jeton « " + k.Name + " »", Role: k.Role, Places: k.Places}
	v.role, v.places = roles[k.Role], c.placesOf(v.user)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 10*time.Second)
	defer cancel()
	if err := c.db.UsedToken(ctx, k, v.from); err != nil {
		c.log.Warn("use of token not noted", slog.Any("error", err))
	}
	if rt.who&v.role == 0 {
		return errForbidden
	}
	return nil
}

// unknownToken counts wrong tokens by where they come from. Who sends too many is told to
// wait; a valid token from the same place is taken all the same, so that nobody can lock a
// script out: 256 random bits cannot be guessed.
func (c *Console) unknownToken(v *visit) error {
	if c.attempts.begin("api token", v.from) > 0 {
		return errLockedOut
	}
	result := "refused"
	if c.attempts.locked("api token", v.from) {
		result = "locked"
	}
	c.note(v, "denied", "", result, "api token")
	return errToken
}

// rates limits how often each token may ask: a bucket that fills by apiRate a second. Its
// methods may be called at once. It lives in the process: each console has its own.
type rates struct {
	mu      sync.Mutex
	buckets map[string]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

func (s *rates) take(name string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buckets == nil {
		s.buckets = map[string]bucket{}
	}
	b, known := s.buckets[name]
	if !known { // only tokens that exist come here: there are not many
		b = bucket{left: apiBurst, at: now}
	}
	b.left = min(apiBurst, b.left+max(0, now.Sub(b.at).Seconds())*apiRate)
	b.at = now
	ok := b.left >= 1
	if ok {
		b.left--
	}
	s.buckets[name] = b
	return ok
}
