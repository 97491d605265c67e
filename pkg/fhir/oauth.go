package fhir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// ErrToken is returned when there is no access token to ask with: its file cannot be
// read, or the token endpoint gives none (*TokenError). Nothing was sent to the server.
var ErrToken = errors.New("fhir: no access token")

// TokenError is a refusal of the token endpoint.
type TokenError struct {
	Status     int
	Code       string        // RFC 6749 §5.2: invalid_client, invalid_scope …; empty when it does not say
	RetryAfter time.Duration // 0: not said
}

func (e *TokenError) Error() string {
	return fmt.Sprintf("token endpoint answered %d %s", e.Status, e.Code)
}

// Unwrap makes the error one of ErrToken.
func (e *TokenError) Unwrap() error { return ErrToken }

// OAuth says how access tokens are had: OAuth 2.0 client credentials (RFC 6749 §4.4),
// the client known by a secret (HTTP Basic, §2.3.1) or by a signed assertion
// (private_key_jwt, RFC 7523 §2.2), one of the two.
type OAuth struct {
	TokenURL   string // address of the token endpoint
	ClientID   string
	SecretFile string // path of a file with the client secret, read for each new token
	KeyFile    string // path of a PEM file with a private key, RSA or EC, read likewise
	KeyID      string // "kid" of the key, as registered with the authorization server; may be empty
	Scope      string // scopes, blanks between; empty: those of the registration
}

func (o OAuth) check() error {
	u, err := url.Parse(o.TokenURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil:
		return fmt.Errorf("fhir: token endpoint: want http(s)://host/path")
	case o.ClientID == "":
		return fmt.Errorf("fhir: oauth2: want a client id")
	case (o.SecretFile == "") == (o.KeyFile == ""):
		return fmt.Errorf("fhir: oauth2: want a client secret or a private key, one of the two")
	}
	return nil
}

// Life of a token whose endpoint does not say how long it lives, and how long before
// its end a token is not used any more: requests take time.
const (
	tokenLife   = 5 * time.Minute
	tokenMargin = 30 * time.Second
	maxToken    = 64 << 10 // bytes of an answer of the token endpoint
)

// tokens keeps one access token until it ends. However many requests need a new one,
// it is asked for once.
type tokens struct {
	OAuth
	http    *http.Client
	timeout time.Duration
	refresh chan struct{} // held by whoever asks for a token

	mu    sync.Mutex
	value string
	until time.Time
}

func newTokens(o OAuth, c *http.Client, timeout time.Duration) *tokens {
	return &tokens{OAuth: o, http: c, timeout: timeout, refresh: make(chan struct{}, 1)}
}

func (t *tokens) cached(refused string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value == refused || !time.Now().Before(t.until) {
		return ""
	}
	return t.value
}

// get returns a token other than the one the server refused, if any.
func (t *tokens) get(ctx context.Context, refused string) (string, error) {
	if v := t.cached(refused); v != "" {
		return v, nil
	}
	select {
	case t.refresh <- struct{}{}:
		defer func() { <-t.refresh }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if v := t.cached(refused); v != "" { // somebody else has asked meanwhile
		return v, nil
	}
	value, life, err := t.ask(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("get access token: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.value, t.until = value, time.Now().Add(life-min(tokenMargin, life/2))
	return value, nil
}

// ask gets a token from the endpoint.
func (t *tokens) ask(ctx context.Context) (value string, life time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	form := url.Values{"grant_type": {"client_credentials"}}
	if t.Scope != "" {
		form.Set("scope", t.Scope)
	}
	secret := ""
	if t.KeyFile != "" {
		assertion, err := t.assertion(time.Now())
		if err != nil {
			return "", 0, fmt.Errorf("%w: %w", ErrToken, err)
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	} else {
		b, err := os.ReadFile(t.SecretFile)
		if err != nil {
			return "", 0, fmt.Errorf("%w: read client secret: %w", ErrToken, err)
		}
		secret = strings.TrimSpace(string(b))
	}
	req, err := http.NewRequestWithContext(ctx, "POST", t.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, fmt.Errorf("%w: %w", ErrToken, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if secret != "" {
		req.SetBasicAuth(url.QueryEscape(t.ClientID), url.QueryEscape(secret))
	}
	resp, err := t.http.Do(req)
	if err != nil {
		return "", 0, fmt.Errorf("%w: token endpoint: %w", ErrToken, withoutURL(err))
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxToken))
	if err != nil {
		return "", 0, fmt.Errorf("%w: token endpoint: %w", ErrToken, err)
	}
	return readToken(resp.StatusCode, b, resp.Header)
}

// readToken reads an answer of the token endpoint (RFC 6749 §5).
func readToken(status int, b []byte, h http.Header) (value string, life time.Duration, err error) {
	var a struct {
		AccessToken string  `json:"access_token"`
		TokenType   string  `json:"token_type"`
		ExpiresIn   float64 `json:"expires_in"`
		Error       string  `json:"error"`
	}
	bad := json.Unmarshal(b, &a)
	if status != http.StatusOK {
		return "", 0, &TokenError{Status: status, Code: word(a.Error), RetryAfter: retryAfter(h.Get("Retry-After"))}
	}
	if bad != nil || !strings.EqualFold(a.TokenType, "bearer") || a.AccessToken == "" || !visible(a.AccessToken) {
		return "", 0, fmt.Errorf("%w: the token endpoint answered with no bearer token", ErrToken)
	}
	life = tokenLife
	if a.ExpiresIn > 0 {
		life = time.Duration(min(a.ExpiresIn, 86400) * float64(time.Second))
	}
	return a.AccessToken, life, nil
}

// visible reports whether s may be in a header: a token is of visible ASCII characters.
func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// word returns an error code of the endpoint, if it has the form of one.
func word(s string) string {
	if len(s) > 40 || strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && r != '_' }) {
		return ""
	}
	return s
}
