package fhir

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// guarded is a FHIR server with its authorization server: each token is good for
// uses requests.
type guarded struct {
	url    string
	tokens atomic.Int32 // given so far
	asked  atomic.Int32 // FHIR requests, refused ones too
	uses   int32
	check  func(r *http.Request) // of a request for a token
	answer string                // of the token endpoint instead of a token
	status int
}

func guard(t *testing.T, g *guarded) {
	t.Helper()
	var left atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		if g.check != nil {
			g.check(r)
		}
		if g.answer != "" {
			w.Header().Set("Retry-After", "9")
			w.WriteHeader(g.status)
			fmt.Fprint(w, g.answer)
			return
		}
		n := g.tokens.Add(1)
		left.Store(g.uses)
		fmt.Fprintf(w, `{"access_token":"jeton-%d","token_type":"Bearer","expires_in":3600}`, n)
	})
	mux.HandleFunc("POST /fhir/", func(w http.ResponseWriter, r *http.Request) {
		g.asked.Add(1)
		if r.Header.Get("Authorization") != fmt.Sprint("Bearer jeton-", g.tokens.Load()) || left.Add(-1) < 0 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"resourceType":"Bundle"}`)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	g.url = s.URL
}

func (g *guarded) client(t *testing.T, o OAuth) *Client {
	t.Helper()
	o.TokenURL, o.ClientID = g.url+"/token", "greffe:1"
	if o.SecretFile == "" && o.KeyFile == "" {
		o.SecretFile = filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(o.SecretFile, []byte("s+crét\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := New(Config{Base: g.url + "/fhir", OAuth: &o, Conns: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func ask(t *testing.T, c *Client) error {
	_, err := c.FindReferences(t.Context(), Identifier{System: "a", Value: "b"})
	return err
}

func TestTokenIsKeptAndSharedAndRenewedOnce(t *testing.T) {
	t.Parallel()
	g := &guarded{uses: 100}
	g.check = func(r *http.Request) {
		id, secret, ok := r.BasicAuth()
		if !ok || id != "greffe%3A1" || secret != "s%2Bcr%C3%A9t" || r.PostFormValue("grant_type") != "client_credentials" || r.PostFormValue("scope") != "a b" {
			t.Errorf("asked as %q %q with %v", id, secret, r.PostForm)
		}
	}
	guard(t, g)
	c := g.client(t, OAuth{Scope: "a b"})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := ask(t, c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if g.tokens.Load() != 1 || g.asked.Load() != 20 {
		t.Errorf("%d tokens for %d requests", g.tokens.Load(), g.asked.Load())
	}
	// The server forgets the token before its time: one more, and the request again.
	g.tokens.Add(1)
	if err := ask(t, c); err != nil || g.tokens.Load() != 3 || g.asked.Load() != 22 {
		t.Errorf("%v after %d tokens, %d requests", err, g.tokens.Load(), g.asked.Load())
	}
	// It takes none at all: asked again once, not for ever.
	g2 := &guarded{uses: 0}
	guard(t, g2)
	var e *Error
	if err := ask(t, g2.client(t, OAuth{})); !errors.As(err, &e) || e.Status != 401 || g2.asked.Load() != 2 || g2.tokens.Load() != 2 {
		t.Errorf("%v after %d tokens, %d requests", err, g2.tokens.Load(), g2.asked.Load())
	}
}

func TestTokenEnds(t *testing.T) {
	t.Parallel()
	k := newTokens(OAuth{}, nil, 0)
	for _, c := range []struct {
		until time.Duration
		want  string
	}{{time.Minute, "x"}, {-time.Second, ""}} {
		k.value, k.until = "x", time.Now().Add(c.until)
		if got := k.cached(""); got != c.want {
			t.Errorf("%s before its end: %q", c.until, got)
		}
	}
	for body, want := range map[string]time.Duration{
		`{"access_token":"x","token_type":"bearer","expires_in":60}`:   time.Minute,
		`{"access_token":"x","token_type":"Bearer"}`:                   tokenLife,
		`{"access_token":"x","token_type":"Bearer","expires_in":1e30}`: 24 * time.Hour,
		`{"access_token":"x","token_type":"mac","expires_in":60}`:      -1,
		`{"access_token":"","token_type":"Bearer"}`:                    -1,
		`{"access_token":"a\nb","token_type":"Bearer"}`:                -1,
		`<html>`: -1,
	} {
		_, life, err := readToken(http.StatusOK, []byte(body), nil)
		if (err != nil) != (want < 0) || err == nil && life != want || err != nil && !errors.Is(err, ErrToken) {
			t.Errorf("%s: %s, %v", body, life, err)
		}
	}
}

func TestTokenIsRefused(t *testing.T) {
	t.Parallel()
	g := &guarded{answer: `{"error":"invalid_client","error_description":"s+crét"}`, status: 401}
	guard(t, g)
	err := ask(t, g.client(t, OAuth{}))
	var e *TokenError
	if !errors.As(err, &e) || !errors.Is(err, ErrToken) || e.Code != "invalid_client" || e.RetryAfter != 9*time.Second || strings.Contains(err.Error(), "crét") {
		t.Errorf("%v", err)
	}
	if err := ask(t, g.client(t, OAuth{SecretFile: "/nulle/part"})); !errors.Is(err, ErrToken) || g.asked.Load() != 0 {
		t.Errorf("without its secret: %v", err)
	}
	for name, o := range map[string]OAuth{
		"no id": {TokenURL: "https://x/", SecretFile: "x"}, "no address": {ClientID: "x", SecretFile: "x"},
		"no secret": {TokenURL: "https://x/", ClientID: "x"}, "both": {TokenURL: "https://x/", ClientID: "x", SecretFile: "x", KeyFile: "x"},
	} {
		if _, err := New(Config{Base: "https://x/fhir", OAuth: &o}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := New(Config{Base: "https://x/fhir", Token: "x", OAuth: &OAuth{TokenURL: "https://x/", ClientID: "x", SecretFile: "x"}}); err == nil {
		t.Error("a fixed token beside OAuth is accepted")
	}
}

// The assertion is a JWT that the public key of the file verifies.
func TestSignedAssertion(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	for _, c := range []struct {
		alg  string
		key  any
		good func(signed, sig []byte) bool
	}{
		{"RS384", rsaKey, func(m, sig []byte) bool {
			h := sha512.Sum384(m)
			return rsa.VerifyPKCS1v15(&rsaKey.PublicKey, crypto.SHA384, h[:], sig) == nil
		}},
		{"ES256", p256, func(m, sig []byte) bool {
			h := sha256.Sum256(m)
			return len(sig) == 64 && ecdsa.Verify(&p256.PublicKey, h[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
		}},
		{"ES384", p384, func(m, sig []byte) bool {
			h := sha512.Sum384(m)
			return len(sig) == 96 && ecdsa.Verify(&p384.PublicKey, h[:], new(big.Int).SetBytes(sig[:48]), new(big.Int).SetBytes(sig[48:]))
		}},
	} {
		der, err := x509.MarshalPKCS8PrivateKey(c.key)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "cle.pem")
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		g := &guarded{uses: 1}
		seen := ""
		g.check = func(r *http.Request) {
			if _, _, basic := r.BasicAuth(); basic || r.PostFormValue("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
				t.Error("not asked by assertion")
			}
			seen = r.PostFormValue("client_assertion")
		}
		guard(t, g)
		if err := ask(t, g.client(t, OAuth{KeyFile: path, KeyID: "k1"})); err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(seen, ".")
		if len(parts) != 3 {
			t.Fatalf("%q", seen)
		}
		var header, claims map[string]any
		for i, to := range []*map[string]any{&header, &claims} {
			b, err := base64.RawURLEncoding.DecodeString(parts[i])
			if err == nil {
				err = json.Unmarshal(b, to)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		sig, err := base64.RawURLEncoding.DecodeString(parts[2])
		if err != nil || header["alg"] != c.alg || header["kid"] != "k1" || !c.good([]byte(parts[0]+"."+parts[1]), sig) {
			t.Errorf("%s: header %v, %v", c.alg, header, err)
		}
		if claims["iss"] != "greffe:1" || claims["sub"] != "greffe:1" || claims["aud"] != g.url+"/token" || claims["jti"] == "" ||
			claims["exp"].(float64)-claims["iat"].(float64) != assertionLife.Seconds() {
			t.Errorf("%s: claims %v", c.alg, claims)
		}
	}
	for _, bad := range []string{"", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if _, _, _, err := signingKey([]byte(bad)); err == nil {
			t.Errorf("%q is a key", bad)
		}
	}
}
