package console

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"greffe/pkg/index"
)

// op is an identity provider that is strict: no code without PKCE (S256), state and
// nonce, none twice, none for another address or client. What it signs can be made wrong.
type op struct {
	t      *testing.T
	server *httptest.Server
	key    *rsa.PrivateKey
	public string // address of the console

	mu     sync.Mutex
	codes  map[string]grant
	person map[string]any                      // claims of who logs in
	info   map[string]any                      // of the user info; nil: none
	twist  func(claims map[string]any)         // of the ID token
	sign   func(header, payload string) string // nil: as it should be
	ended  []url.Values                        // of logouts
	asked  url.Values                          // of the last authorization
	down   bool
}

type grant struct {
	nonce, challenge string
	used             bool
}

const (
	opClient = "greffe"
	opSecret = "secret du client"
)

var opKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func newOP(t *testing.T) *op {
	o := &op{t: t, key: opKey(), public: "http://greffe.test", codes: map[string]grant{}}
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		if o.down {
			http.Error(w, "panne", http.StatusBadGateway)
			return
		}
		u := o.server.URL
		reply(w, map[string]any{"issuer": u, "authorization_endpoint": u + "/authorize", "token_endpoint": u + "/token", "jwks_uri": u + "/keys", "userinfo_endpoint": u + "/me",
			"end_session_endpoint": u + "/end?realm=x", "id_token_signing_alg_values_supported": []string{"RS256"}, "code_challenge_methods_supported": []string{"S256"}})
	})
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		for name, ok := range map[string]bool{
			"response_type": q.Get("response_type") == "code", "client_id": q.Get("client_id") == opClient, "redirect_uri": q.Get("redirect_uri") == o.public+"/connexion/oidc/retour",
			"scope": slices.Contains(strings.Fields(q.Get("scope")), "openid"), "state": len(q.Get("state")) >= 16, "nonce": len(q.Get("nonce")) >= 16,
			"code_challenge": len(q.Get("code_challenge")) == 43, "code_challenge_method": q.Get("code_challenge_method") == "S256",
		} {
			if !ok {
				t.Errorf("authorization with a wrong %s: %q", name, q.Get(name))
				http.Error(w, "invalid_request", http.StatusBadRequest)
				return
			}
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		code := rand.Text()
		o.codes[code], o.asked = grant{nonce: q.Get("nonce"), challenge: q.Get("code_challenge")}, q
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		r.ParseForm()
		o.mu.Lock()
		defer o.mu.Unlock()
		g, known := o.codes[r.Form.Get("code")]
		sum := sha256.Sum256([]byte(r.Form.Get("code_verifier")))
		if secret, _ = url.QueryUnescape(secret); id != opClient || secret != opSecret || !known || g.used || r.Form.Get("grant_type") != "authorization_code" ||
			r.Form.Get("redirect_uri") != o.public+"/connexion/oidc/retour" || base64.RawURLEncoding.EncodeToString(sum[:]) != g.challenge {
			w.WriteHeader(http.StatusBadRequest)
			reply(w, map[string]string{"error": "invalid_grant", "error_description": "détails"})
			return
		}
		g.used = true
		o.codes[r.Form.Get("code")] = g
		c := map[string]any{"iss": o.server.URL, "aud": opClient, "exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(), "nonce": g.nonce, "auth_time": time.Now().Unix()}
		for k, v := range o.person {
			c[k] = v
		}
		if o.twist != nil {
			o.twist(c)
		}
		reply(w, map[string]any{"access_token": "acces", "token_type": "Bearer", "expires_in": 60, "id_token": o.jwt(c)})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		reply(w, map[string]any{"keys": []any{map[string]string{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1",
			"n": base64.RawURLEncoding.EncodeToString(o.key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(o.key.E)).Bytes())}}})
	})
	mux.HandleFunc("GET /me", func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer acces" {
			http.Error(w, "", http.StatusUnauthorized)
			return
		}
		if o.info == nil {
			reply(w, map[string]any{"sub": o.person["sub"]})
			return
		}
		reply(w, o.info)
	})
	mux.HandleFunc("GET /end", func(w http.ResponseWriter, r *http.Request) { o.ended = append(o.ended, r.URL.Query()) })
	o.server = httptest.NewServer(mux)
	t.Cleanup(o.server.Close)
	return o
}

// jwt signs claims (RFC 7515, RS256).
func (o *op) jwt(c map[string]any) string {
	b, err := json.Marshal(c)
	if err != nil {
		o.t.Error(err)
	}
	payload := base64.RawURLEncoding.EncodeToString(b)
	if o.sign != nil {
		return o.sign(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"1"}`)), payload)
	}
	return o.signWith(o.key, payload)
}

func (o *op) signWith(key *rsa.PrivateKey, payload string) string {
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"1"}`)) + "." + payload
	sum := sha256.Sum256([]byte(signed))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		o.t.Error(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// newOIDCWorld is a console whose persons the provider vouches for.
func newOIDCWorld(t *testing.T, set func(*OIDC)) (*world, *op) {
	o := newOP(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(opSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorldWith(t, func(c *Config) {
		c.PublicURL = o.public
		c.OIDC = OIDC{Issuer: o.server.URL, ClientID: opClient, SecretFile: secret, Name: "Identité de l’hôpital", Scopes: []string{"openid", "profile"},
			LoginClaim: "preferred_username", NameClaim: "name", RPPSClaim: "SubjectNameID", Rules: []OIDCRule{
				{Claim: "realm.roles", Value: "greffe-cardio", Role: "secretary", Places: []string{cardio}},
				{Claim: "realm.roles", Value: "greffe-radio", Role: "secretary", Places: []string{radio}},
				{Claim: "https://hopital.example/audit", Value: "true", Role: "auditor", Places: []string{index.Everywhere}},
				{Claim: "SubjectNameID", Value: "*", Role: "professional"},
			}}
		set(&c.OIDC)
	})
	return w, o
}

func roleClaims(roles ...any) map[string]any { return map[string]any{"roles": roles} }

// there follows a login to the provider and back, and returns the last answer.
func (v *visitor) there(t *testing.T, start string) answer {
	t.Helper()
	a := v.get(start)
	if a.StatusCode != http.StatusSeeOther {
		return a
	}
	return v.back(t, a.Header.Get("Location"))
}

// back follows from the provider's page on.
func (v *visitor) back(t *testing.T, to string) answer {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	resp, err := client.Get(to)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	u, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.StatusCode != http.StatusFound {
		t.Fatalf("provider: status %d, %v", resp.StatusCode, err)
	}
	return v.get(u.RequestURI())
}

func TestOIDCLogin(t *testing.T) {
	t.Parallel()
	w, o := newOIDCWorld(t, func(*OIDC) {})
	a := w.receive(mail{subject: "À moi", docs: []doc{{facts: cda1("1", 1, "Lettre", maelle), bytes: []byte("<a/>")}}})
	o.person = map[string]any{"sub": "42", "preferred_username": "Anne.Legrand", "name": "Anne LEGRAND", "realm": roleClaims("autre", "greffe-cardio")}
	v := w.visitor()
	button := find(v.page("/connexion?vers=/messages/"+string(a.ID)), ".login-form a.button")
	if len(button) != 1 || text(button[0]) != "Se connecter avec Identité de l’hôpital" {
		t.Fatalf("%d buttons", len(button))
	}
	got := v.there(t, attr(button[0], "href"))
	if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/messages/"+string(a.ID) {
		t.Fatalf("status %d to %q: %s", got.StatusCode, got.Header.Get("Location"), content(parse(t, got.body)))
	}
	v.page("/messages/" + string(a.ID))
	u, err := w.db.Subject(t.Context(), o.server.URL, "42")
	if err != nil || u.Login != "anne.legrand" || u.Name != "Anne LEGRAND" || u.Role != "secretary" || !slices.Equal(u.Places, []string{cardio}) || u.Hash != "" {
		t.Errorf("%+v, %v", u, err)
	}
	if !w.journalled("anne.legrand", "login", "anne.legrand", "ok") || !w.journalled("anne.legrand", "user-add", "anne.legrand", "ok") {
		t.Error("not in the journal")
	}
	// The same person with other rights: the claims decide, each time.
	o.person["realm"] = roleClaims("greffe-cardio", "greffe-radio")
	v = w.visitor()
	v.there(t, "/connexion/oidc")
	if u, _ = w.db.User(t.Context(), "anne.legrand"); !slices.Equal(u.Places, []string{cardio, radio}) {
		t.Errorf("rights %v", u.Places)
	}
	// A provider's account has no password here, and the session ends there, too.
	if got := w.visitor().post("/connexion", url.Values{"login": {"anne.legrand"}, "mot-de-passe": {""}}).StatusCode; got == http.StatusSeeOther {
		t.Error("an empty password logs in")
	}
	if csp := v.get("/file").Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' "+o.server.URL+";") {
		t.Errorf("the logout may not go to the provider: %s", csp)
	}
	out := v.post("/deconnexion", nil).Header.Get("Location")
	end, err := url.Parse(out)
	if err != nil || !strings.HasPrefix(out, o.server.URL+"/end?") || end.Query().Get("realm") != "x" || end.Query().Get("post_logout_redirect_uri") != o.public+"/connexion" || strings.Count(end.Query().Get("id_token_hint"), ".") != 2 {
		t.Errorf("logout to %q", out)
	}
	if got := v.get("/file").StatusCode; got != http.StatusSeeOther {
		t.Errorf("after the logout: status %d", got)
	}
	// Locked out here, whatever the provider says.
	if err := w.db.ChangeUser(t.Context(), "anne.legrand", func(u *index.User) ([]index.Entry, error) { u.Disabled = true; return nil, nil }); err != nil {
		t.Fatal(err)
	}
	if got := w.visitor().there(t, "/connexion/oidc"); got.StatusCode != http.StatusForbidden || !strings.Contains(got.body, "désactivé") {
		t.Errorf("a disabled account: status %d", got.StatusCode)
	}
}

// TestOIDCRefusals: nothing that is not exactly right logs anybody in, each refusal is in
// the journal and none says more to the person than what to do.
func TestOIDCRefusals(t *testing.T) {
	t.Parallel()
	w, o := newOIDCWorld(t, func(c *OIDC) { c.ACR = []string{"eidas1", "eidas2"} })
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	anne := func() map[string]any {
		return map[string]any{"sub": "42", "preferred_username": "anne", "realm": roleClaims("greffe-cardio"), "acr": "eidas1"}
	}
	for name, c := range map[string]struct {
		code  string
		twist func(map[string]any)
		set   func()
	}{
		"":                       {"", nil, nil},
		"nonce of another login": {"nonce", func(c map[string]any) { c["nonce"] = "un autre nonce" }, nil},
		"no nonce":               {"nonce", func(c map[string]any) { delete(c, "nonce") }, nil},
		"for another client":     {"id token", func(c map[string]any) { c["aud"] = "autre" }, nil},
		"of another issuer":      {"id token", func(c map[string]any) { c["iss"] = "https://ailleurs.example" }, nil},
		"expired":                {"id token", func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() }, nil},
		"another key":            {"id token", nil, func() { o.sign = func(_, p string) string { return o.signWith(other, p) } }},
		"not signed": {"id token", nil, func() {
			o.sign = func(_, p string) string {
				return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + p + "."
			}
		}},
		"changed after signing": {"id token", nil, func() {
			o.sign = func(_, p string) string { s := o.signWith(o.key, p); return strings.Replace(s, ".ey", ".eY", 1) }
		}},
		"no token":             {"id token", nil, func() { o.sign = func(string, string) string { return "" } }},
		"too weak":             {"acr", func(c map[string]any) { c["acr"] = "eidas0" }, nil},
		"level not said":       {"acr", func(c map[string]any) { delete(c, "acr") }, nil},
		"user info of another": {"user info subject", nil, func() { o.info = map[string]any{"sub": "43", "realm": roleClaims("greffe-radio")} }},
		"no rights here":       {"no role", func(c map[string]any) { c["realm"] = roleClaims("autre") }, nil},
		"name of a local one":  {"login taken", func(c map[string]any) { c["sub"], c["preferred_username"] = "44", "root" }, func() { o.info = map[string]any{"sub": "44"} }},
		"no subject":           {"subject", func(c map[string]any) { c["sub"] = "" }, func() { o.info = map[string]any{"sub": ""} }},
	} {
		o.mu.Lock()
		o.person, o.info, o.twist, o.sign = anne(), nil, c.twist, nil
		if c.set != nil {
			c.set()
		}
		o.mu.Unlock()
		v := w.visitor()
		got := v.there(t, "/connexion/oidc")
		open := v.get("/file").StatusCode == http.StatusOK
		if c.code == "" {
			if !open {
				t.Errorf("the right answer: status %d, %s", got.StatusCode, content(parse(t, got.body)))
			}
			continue
		}
		if open || got.StatusCode != http.StatusForbidden || len(find(parse(t, got.body), "#erreur")) != 1 {
			t.Errorf("%s: status %d, logged in %v", name, got.StatusCode, open)
		}
		if !slices.ContainsFunc(w.journal(), func(e index.Entry) bool {
			return e.Action == "login" && e.Result == "refused" && e.Detail == "oidc "+c.code && e.From != ""
		}) {
			t.Errorf("%s: the journal does not say %q", name, c.code)
		}
	}
	if u, err := w.db.User(t.Context(), "root"); err != nil || u.Subject != "" || u.Role != "admin" {
		t.Errorf("the local administrator is now %+v, %v", u, err)
	}

	// Answers that this browser did not ask for, twice the same, or none.
	o.mu.Lock()
	o.person, o.info, o.twist, o.sign = anne(), nil, nil, nil
	o.mu.Unlock()
	victim, attacker := w.visitor(), w.visitor()
	planted := attacker.get("/connexion/oidc").Header.Get("Location")
	if got := victim.back(t, planted); got.StatusCode != http.StatusForbidden || victim.get("/file").StatusCode == http.StatusOK {
		t.Errorf("an answer to somebody else's login: status %d", got.StatusCode)
	}
	v := w.visitor()
	start := v.get("/connexion/oidc")
	if got := v.back(t, start.Header.Get("Location")); got.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d", got.StatusCode)
	}
	for _, path := range []string{"/connexion/oidc/retour", "/connexion/oidc/retour?code=x&state=y", "/connexion/oidc/retour?error=access_denied&state=x"} {
		if got := w.visitor().get(path); got.StatusCode != http.StatusForbidden {
			t.Errorf("%s: status %d", path, got.StatusCode)
		}
	}
	// A code is good for one login: the provider refuses the second, and so do we.
	v = w.visitor()
	v.get("/connexion/oidc")
	denied := v.get("/connexion/oidc")
	u, _ := url.Parse(denied.Header.Get("Location"))
	if got := v.get("/connexion/oidc/retour?" + url.Values{"error": {"access_denied"}, "error_description": {"<script>"}, "state": {u.Query().Get("state")}}.Encode()); got.StatusCode != http.StatusForbidden || strings.Contains(got.body, "<script>") {
		t.Errorf("refused by the provider: status %d", got.StatusCode)
	}
	if strings.Contains(w.log.String(), "détails") || strings.Contains(w.log.String(), "anne") {
		t.Error("the log holds what the provider answered, or a name")
	}
	if o.asked.Get("acr_values") != "eidas1 eidas2" {
		t.Errorf("level asked for: %q", o.asked.Get("acr_values"))
	}
}

// TestOIDCProfessional: a professional of the national provider, whose claims come on
// demand, sees what the configuration gives to their RPPS number.
func TestOIDCProfessional(t *testing.T) {
	t.Parallel()
	w, o := newOIDCWorld(t, func(*OIDC) {})
	mine := w.receive(mail{folder: "INBOX/Dr Ott", subject: "Pour moi"})
	theirs := w.receive(mail{folder: "INBOX/Dr Martin", subject: "Pour un autre"})
	o.person = map[string]any{"sub": "f:1:899900000011"}
	o.info = map[string]any{"sub": "f:1:899900000011", "SubjectNameID": "899900000011", "given_name": "Éli", "family_name": "OTT", "SubjectRefPro": map[string]any{"exercices": []any{map[string]any{"codeProfession": "10"}}}}
	v := w.visitor()
	if got := v.there(t, "/connexion/oidc"); got.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d: %s", got.StatusCode, content(parse(t, got.body)))
	}
	u, err := w.db.Subject(t.Context(), o.server.URL, "f:1:899900000011")
	if err != nil || u.RPPS != "99900000011" || u.Role != "professional" || u.Name != "Éli OTT" || !strings.HasPrefix(u.Login, "oidc-") {
		t.Errorf("%+v, %v", u, err)
	}
	v.page("/messages/" + string(mine.ID))
	if got := v.get("/messages/" + string(theirs.ID)).StatusCode; got != http.StatusNotFound {
		t.Errorf("another's message: status %d", got)
	}
}

// TestOIDCUnlocks: a locked screen opens for the same person, who must have proved who
// they are just now; for anybody else it becomes their own session.
func TestOIDCUnlocks(t *testing.T) {
	t.Parallel()
	w, o := newOIDCWorld(t, func(*OIDC) {})
	o.person = map[string]any{"sub": "42", "preferred_username": "anne", "realm": roleClaims("greffe-cardio")}
	v := w.visitor()
	v.there(t, "/connexion/oidc")
	v.post("/verrou", url.Values{"vers": {"/recherche"}, "b.nom": {"KERV"}})
	screen := v.page("/verrou?vers=/recherche")
	if len(find(screen, "#mot-de-passe")) != 0 {
		t.Error("a password is asked of who has none")
	}
	link := attr(find(screen, ".login-form a.button")[0], "href")
	o.twist = func(c map[string]any) { c["auth_time"] = time.Now().Add(-time.Hour).Unix() }
	if got := v.there(t, link); got.StatusCode != http.StatusForbidden || v.get("/file").StatusCode == http.StatusOK {
		t.Errorf("by the session that the provider kept: status %d", got.StatusCode)
	}
	if o.asked.Get("prompt") != "login" || o.asked.Get("max_age") != "0" {
		t.Errorf("asked %v", o.asked)
	}
	o.twist = nil
	if got := v.there(t, link); got.Header.Get("Location") != "/recherche" {
		t.Errorf("status %d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	if kept := attr(find(v.page("/recherche"), "body")[0], "data-brouillon"); !strings.Contains(kept, "KERV") {
		t.Errorf("the draft is %q", kept)
	}
	v.post("/verrou", url.Values{"vers": {"/recherche"}, "b.nom": {"SECRET"}})
	o.person["sub"], o.person["preferred_username"] = "43", "bea"
	if got := v.there(t, link); got.Header.Get("Location") != "/" {
		t.Errorf("somebody else: status %d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	if kept := attr(find(v.page("/recherche"), "body")[0], "data-brouillon"); kept != "" {
		t.Errorf("somebody else is given %q", kept)
	}
	if !strings.Contains(text(v.page("/compte")), "bea") {
		t.Error("it is still the session of the first")
	}
}

// TestOIDCProviderIsAway: local accounts go on, with a sentence; it is found again.
func TestOIDCProviderIsAway(t *testing.T) {
	t.Parallel()
	w, o := newOIDCWorld(t, func(*OIDC) {})
	o.down = true
	got := w.visitor().get("/connexion/oidc?vers=/recherche")
	if got.StatusCode != http.StatusServiceUnavailable || !strings.Contains(got.body, "ne répond pas") || !strings.Contains(got.body, `value="/recherche"`) {
		t.Errorf("status %d", got.StatusCode)
	}
	w.as("claire").page("/file")
	o.down = false
	w.console.oidc.mu.Lock()
	w.console.oidc.failed = time.Time{} // as if the pause were over
	w.console.oidc.mu.Unlock()
	if got := w.visitor().get("/connexion/oidc"); got.StatusCode != http.StatusSeeOther {
		t.Errorf("when it is back: status %d", got.StatusCode)
	}
}

func TestCheckOIDC(t *testing.T) {
	t.Parallel()
	o := newOP(t)
	cfg := OIDC{Issuer: o.server.URL, ClientID: opClient, Scopes: []string{"openid"}}
	good := func() (ok bool) {
		list := CheckOIDC(t.Context(), cfg, o.public)
		return len(list) >= 2 && !slices.ContainsFunc(list, func(r CheckResult) bool { return !r.OK || r.Text == "" })
	}
	if !good() {
		t.Error("a provider that answers is not well")
	}
	cfg.Issuer += "/"
	if good() {
		t.Error("under another name it is well")
	}
	cfg.Issuer, o.down = o.server.URL, true
	if good() {
		t.Error("a provider that does not answer is well")
	}
	if CheckOIDC(t.Context(), OIDC{}, "") != nil {
		t.Error("none is checked")
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	var c claims
	if err := json.Unmarshal([]byte(`{"sub":"1","realm_access":{"roles":["a","b"]},"https://x.example/g.h":{"i":true},"n":3,"list":[{"id":"u"},{"id":"v"},"w"],"a.b":"dotted","a":{"b":"nested"}}`), &c); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]string{"sub": {"1"}, "realm_access.roles": {"a", "b"}, "https://x.example/g.h.i": {"true"}, "n": {"3"}, "list.id": {"u", "v"}, "list": {"w"}, "a.b": {"dotted"},
		"none": nil, "sub.x": nil, "": nil, ".": nil, "realm_access": nil, "..": nil} {
		if got := c.values(path); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
	for in, want := range map[string]string{"Anne": "anne", " a@b.example ": "a@b.example", "": "", "deux mots": "", "a\x00b": "", "storage": "", "\xff": "", strings.Repeat("x", 101): ""} {
		if got := loginOf(in); got != want {
			t.Errorf("login of %q: %q", in, got)
		}
	}
	for in, want := range map[string]string{"99900000011": "99900000011", "899900000011": "99900000011", "8 99900000011": "99900000011", "999": "", "799900000011": "", "9990000001x": ""} {
		if got := RPPS(in); got != want {
			t.Errorf("RPPS of %q: %q", in, got)
		}
	}
	for in, want := range map[string]string{"access_denied": "access_denied", "<b>": "other", "": ""} {
		if got := plainCode(in); got != want {
			t.Errorf("code %q: %q", in, got)
		}
	}
}

func FuzzClaims(f *testing.F) {
	f.Add(`{"a":[{"b":["c"]}]}`, "a.b")
	f.Add(`{"a.b.c":{"d":1}}`, "a.b.c.d")
	f.Fuzz(func(t *testing.T, doc, path string) {
		var c claims
		if json.Unmarshal([]byte(doc), &c) != nil {
			return
		}
		o := OIDC{LoginClaim: path, NameClaim: path, RPPSClaim: path, Rules: []OIDCRule{{Claim: path, Value: "*", Role: "auditor"}}}
		if p := o.identify(c); p.Role != "" && len(c.values(path)) == 0 {
			t.Error(fmt.Sprint("a rule holds without a value: ", path))
		}
	})
}
