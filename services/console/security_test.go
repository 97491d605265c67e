package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestHeaders: whatever is asked for and however it is answered, a page cannot be put in
// another's frame, run anything that is not ours, or be kept by the browser.
func TestHeaders(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(c *Config) { c.Secure, c.PublicURL = true, "https://greffe.test" })
	v := w.visitor()
	for _, p := range []string{"/connexion", "/connexion/code", "/connexion/oidc", "/verrou", "/compte", "/file", "/session", "/healthz", "/rien", "/connexion?vers=//ailleurs.example", "/static/greffe.css", "/di/documents/x"} {
		h := v.get(p).Header
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'", "script-src 'self'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy without %q: %s", p, want, csp)
			}
		}
		for name, want := range map[string]string{"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
			"Cross-Origin-Opener-Policy": "same-origin", "Strict-Transport-Security": "max-age=31536000"} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s: %q", p, name, got)
			}
		}
		for _, never := range []string{"unsafe", "*", "data:", "http:"} {
			if strings.Contains(csp, never) {
				t.Errorf("%s: policy with %q: %s", p, never, csp)
			}
		}
		if got := h.Get("Cache-Control"); !strings.HasPrefix(p, "/static/") && got != "no-store" {
			t.Errorf("%s: Cache-Control %q", p, got)
		}
	}
	// Cookies go over HTTPS alone, to this host alone, out of reach of scripts.
	a := v.post("/connexion", url.Values{"login": {"claire"}, "mot-de-passe": {password}})
	if len(a.Cookies()) != 1 {
		t.Fatalf("%d cookies", len(a.Cookies()))
	}
	if c := a.Cookies()[0]; c.Name != "__Host-greffe" || !c.Secure || !c.HttpOnly || c.Domain != "" || c.Path != "/" || c.SameSite != http.SameSiteLaxMode || c.MaxAge != 0 {
		t.Errorf("cookie %+v", c)
	}
}

// TestEveryFormIsRefusedToOtherSites walks every route that changes something.
func TestEveryFormIsRefusedToOtherSites(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(c *Config) { c.FourEyes = true })
	people := map[access]*visitor{secretary: w.as("claire"), auditor: w.as("paul"), admin: w.as("root"), anyone: w.visitor()}
	n := 0
	for _, rt := range w.console.routes() {
		method, p, _ := strings.Cut(rt.pattern, " ")
		if method == "GET" {
			continue
		}
		n++
		for role, v := range people {
			if rt.who&role == 0 {
				continue
			}
			for _, h := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://ailleurs.example"}, {"Origin", "null"}} {
				if got, _ := v.status(t, method, strings.NewReplacer("{", "", "}", "").Replace(p), h...); got != http.StatusForbidden {
					t.Errorf("%s with %v: status %d, want 403", rt.pattern, h, got)
				}
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d routes", n)
	}
	for role, v := range people {
		if role != anyone && v.get("/aide").StatusCode != http.StatusOK {
			t.Error("a refused form ended or locked the session")
		}
	}
}

// TestATokenIsNeverKept: none that a browser brings becomes a session, and it changes with
// each step: password, code, unlocking.
func TestATokenIsNeverKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.as("claire").enrol("claire")
	u, err := url.Parse(w.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	v := w.visitor()
	v.Jar.SetCookies(u, []*http.Cookie{{Name: "greffe", Value: "jeton-connu-de-l-attaquant", Path: "/"}})
	seen := map[string]string{"jeton-connu-de-l-attaquant": "what was planted"}
	step := func(name string, a answer) {
		t.Helper()
		token := v.cookie(t)
		if was, known := seen[token]; known {
			t.Errorf("%s (status %d): the token is still that of %s", name, a.StatusCode, was)
		}
		seen[token] = name
	}
	step("the password", v.post("/connexion", url.Values{"login": {"claire"}, "mot-de-passe": {password}}))
	step("the code", v.post("/connexion/code", url.Values{"code": {w.code("claire", 1)}}))
	v.post("/verrou", nil)
	step("unlocking", v.post("/verrou/ouverture", url.Values{"mot-de-passe": {password}}))
	v.page("/file")
	last := v.cookie(t)
	for token, name := range seen {
		thief := w.visitor()
		thief.Jar.SetCookies(u, []*http.Cookie{{Name: "greffe", Value: token, Path: "/"}})
		if open := thief.get("/file").StatusCode == http.StatusOK; open != (token == last) {
			t.Errorf("the token of %s opens the queue: %v", name, open)
		}
	}
}

// TestPathTricks: nothing outside the table is answered, and no way back leads elsewhere.
func TestPathTricks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.as("root")
	for _, p := range []string{"/systeme/comptes/..%2f..%2fetc", "/systeme/comptes/%00", "/systeme/comptes/" + accountKey("personne"), "/systeme/comptes/claire", "/static/..%2fsession.go", "/static/%2e%2e/session.go", "/connexion/..%2f", "/verrou/x"} {
		if got, h := root.status(t, "GET", p); got != http.StatusNotFound && got != http.StatusMovedPermanently && got != http.StatusTemporaryRedirect {
			t.Errorf("GET %s: status %d to %q", p, got, h.Get("Location"))
		}
	}
	for _, bad := range []string{"https://ailleurs.example/", "//ailleurs.example", "///ailleurs.example", "/\\ailleurs.example", "/%09/ailleurs.example", "/a\r\nSet-Cookie: x=y", "javascript:alert(1)", "ailleurs", "\\\\ailleurs.example", "/" + strings.Repeat("x", maxWhere)} {
		v := w.visitor()
		a := v.post("/connexion", url.Values{"login": {"claire"}, "mot-de-passe": {password}, "vers": {bad}})
		to, err := url.Parse(a.Header.Get("Location"))
		if err != nil || to.Host != "" || to.Scheme != "" || !strings.HasPrefix(to.Path, "/") || strings.HasPrefix(to.Path, "//") {
			t.Errorf("login with vers=%q leads to %q", bad, a.Header.Get("Location"))
		}
		v.post("/verrou", nil)
		a = v.post("/verrou/ouverture", url.Values{"mot-de-passe": {password}, "vers": {bad}})
		if to, err := url.Parse(a.Header.Get("Location")); err != nil || to.Host != "" || to.Scheme != "" || strings.HasPrefix(a.Header.Get("Location"), "//") {
			t.Errorf("unlocking with vers=%q leads to %q", bad, a.Header.Get("Location"))
		}
		if strings.ContainsAny(bad, "\r\n") {
			continue // no header can hold it
		}
		if got := v.do("POST", "/verrou", strings.NewReader(""), "Referer", bad).Header.Get("Location"); !strings.HasPrefix(got, "/verrou") {
			t.Errorf("locking from %q leads to %q", bad, got)
		}
	}
}
