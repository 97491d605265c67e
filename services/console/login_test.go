package console

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		name, login, password string
		want                  int
	}{
		{"right", "claire", password, http.StatusSeeOther},
		{"wrong password", "claire", "un autre mot de passe", http.StatusUnauthorized},
		{"unknown login", "personne", password, http.StatusUnauthorized},
		{"disabled account", "parti", password, http.StatusUnauthorized},
		{"nothing", "", "", http.StatusUnprocessableEntity},
		{"very long", strings.Repeat("x", 500), password, http.StatusUnprocessableEntity},
		{"bad bytes", "cl\xff", password, http.StatusUnprocessableEntity},
	} {
		v := w.visitor()
		a := v.post("/connexion", url.Values{"login": {c.login}, "mot-de-passe": {c.password}})
		if a.StatusCode != c.want {
			t.Errorf("%s: status %d, want %d", c.name, a.StatusCode, c.want)
		}
		if got := v.get("/file").StatusCode; (got == http.StatusOK) != (c.want == http.StatusSeeOther) {
			t.Errorf("%s: the queue then answers %d", c.name, got)
		}
		if c.want == http.StatusUnauthorized && !strings.Contains(a.body, "Identifiant ou mot de passe incorrect.") {
			t.Errorf("%s: the answer tells more than it should, or nothing: %s", c.name, content(parse(t, a.body)))
		}
	}
	if !w.journalled("claire", "login", "claire", "ok") || !w.journalled("", "login", "claire", "refused") || !w.journalled("", "login", "", "refused") {
		t.Error("logins are not in the journal as they should")
	}
	if strings.Contains(w.log.String(), "claire") || strings.Contains(w.log.String(), password) {
		t.Error("the log names a person or a password")
	}
}

func TestSessionIsRenewedAtLoginAndEndsAtLogout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, _ := url.Parse(w.server.URL)
	v := w.visitor()
	// An attacker plants a token that they know.
	v.Jar.SetCookies(u, []*http.Cookie{{Name: "greffe", Value: "jeton-connu-de-l-attaquant", Path: "/"}})
	a := v.post("/connexion", url.Values{"login": {"claire"}, "mot-de-passe": {password}})
	if a.StatusCode != http.StatusSeeOther {
		t.Fatal("login refused")
	}
	var cookie *http.Cookie
	for _, c := range a.Cookies() {
		cookie = c
	}
	if cookie == nil || cookie.Value == "jeton-connu-de-l-attaquant" || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.MaxAge != 0 {
		t.Fatalf("cookie %+v", cookie)
	}
	thief := w.visitor()
	thief.Jar.SetCookies(u, []*http.Cookie{{Name: "greffe", Value: "jeton-connu-de-l-attaquant", Path: "/"}})
	if got := thief.get("/file").StatusCode; got != http.StatusSeeOther {
		t.Errorf("the planted token opens the queue: status %d", got)
	}
	if b, found, err := w.db.FindCtx(t.Context(), cookie.Value); err != nil || found {
		t.Errorf("the index holds the token itself (%d bytes, %v)", len(b), err)
	}
	if got := v.get("/session").body; !strings.Contains(got, `"ouverte"`) {
		t.Errorf("live session: %s", got)
	}
	v.post("/deconnexion", nil)
	thief.Jar.SetCookies(u, []*http.Cookie{{Name: "greffe", Value: cookie.Value, Path: "/"}})
	if got := thief.get("/file").StatusCode; got != http.StatusSeeOther {
		t.Errorf("the token of a closed session opens the queue: status %d", got)
	}
	if got := thief.get("/session").body; !strings.Contains(got, `"fermee"`) {
		t.Errorf("closed session: %s", got)
	}
}

func TestSessionEndsWithTheAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.as("claire")
	u, err := w.db.User(t.Context(), "claire")
	if err != nil {
		t.Fatal(err)
	}
	u.Hash, err = HashPassword("encore un mot de passe")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.db.SaveUser(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if got := v.get("/file").StatusCode; got != http.StatusSeeOther {
		t.Errorf("after a new password the old session answers %d", got)
	}
	paul := w.as("paul")
	if err := w.db.DeleteUser(t.Context(), "paul"); err != nil {
		t.Fatal(err)
	}
	if got := paul.get("/journal").StatusCode; got != http.StatusSeeOther {
		t.Errorf("after the account was deleted its session answers %d", got)
	}
}

func TestLoginComesBackToThePage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.receive(mail{subject: "x"})
	v := w.visitor()
	r := v.get("/messages/" + string(a.ID))
	if want := "/connexion?vers=" + url.QueryEscape("/messages/"+string(a.ID)); r.Header.Get("Location") != want {
		t.Errorf("sent to %q, want %q", r.Header.Get("Location"), want)
	}
	form := find(v.page(r.Header.Get("Location")), "form input")
	r = v.post("/connexion", url.Values{"login": {"claire"}, "mot-de-passe": {password}, "vers": {attr(form[0], "value")}})
	if want := "/messages/" + string(a.ID); r.Header.Get("Location") != want {
		t.Errorf("then to %q, want %q", r.Header.Get("Location"), want)
	}
	for _, bad := range []string{"https://ailleurs.example/", "//ailleurs.example", "/\\ailleurs.example", "javascript:alert(1)", "ailleurs"} {
		if got := localPath(bad); got != "" {
			t.Errorf("localPath(%q) = %q", bad, got)
		}
	}
}

func TestLockout(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	a := newAttempts()
	a.now = func() time.Time { return now }
	for i := range maxPair {
		if wait := a.begin("claire", "10.0.0.1"); wait != 0 {
			t.Fatalf("try %d must wait %v", i+1, wait)
		}
	}
	if wait := a.begin("claire", "10.0.0.1"); wait <= 0 || wait > attemptWindow {
		t.Errorf("after %d failures: wait %v", maxPair, wait)
	}
	if wait := a.begin("claire", "10.0.0.2"); wait != 0 {
		t.Errorf("the owner of the login elsewhere must wait %v", wait)
	}
	now = now.Add(attemptWindow)
	if wait := a.begin("claire", "10.0.0.1"); wait != 0 {
		t.Errorf("after the window: wait %v", wait)
	}
	a.accepted("claire", "10.0.0.1")
	if n := len(a.fail["pair\x00claire\x0010.0.0.1"]) + len(a.fail["login\x00claire"]) + len(a.fail["from\x0010.0.0.1"]); n != 0 {
		t.Errorf("after a success %d failures are left", n)
	}
	// From everywhere at once, and one address trying every login.
	for i := range maxLogin {
		a.begin("paul", fmt.Sprint("10.1.0.", i))
	}
	if a.begin("paul", "10.9.9.9") == 0 {
		t.Error("a login tried from everywhere is not locked")
	}
	for i := range maxAddress {
		a.begin(fmt.Sprint("p", i), "10.2.0.1")
	}
	if a.begin("nouveau", "10.2.0.1") == 0 {
		t.Error("an address that tries every login is not locked")
	}
	// Memory is bounded.
	for i := range int(maxAttempts) {
		a.begin(fmt.Sprint("q", i), fmt.Sprint("10.3.0.", i))
	}
	if len(a.fail) > maxAttempts+3 {
		t.Errorf("%d keys remembered", len(a.fail))
	}
	now = now.Add(attemptWindow)
	if wait := a.begin("claire", "10.0.0.1"); wait != 0 {
		t.Errorf("after a flood and its window: wait %v", wait)
	}
}

func TestLockoutOnThePage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.visitor()
	bad := url.Values{"login": {"claire"}, "mot-de-passe": {"faux faux faux"}}
	for range maxPair {
		v.post("/connexion", bad)
	}
	a := v.post("/connexion", url.Values{"login": {"claire"}, "mot-de-passe": {password}})
	before := len(w.journal())
	v.post("/connexion", bad)
	if after := len(w.journal()); after != before {
		t.Errorf("a try on a locked login adds %d entries to the journal", after-before)
	}
	if a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" || !strings.Contains(a.body, "Trop d’essais infructueux") {
		t.Errorf("status %d, Retry-After %q", a.StatusCode, a.Header.Get("Retry-After"))
	}
	if !w.journalled("", "login", "claire", "locked") {
		t.Error("the lock is not in the journal")
	}
}

func TestPasswordHash(t *testing.T) {
	t.Parallel()
	h := hashed()
	if !strings.HasPrefix(h, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %q", h)
	}
	if !CheckPassword(h, password) || CheckPassword(h, password+"x") {
		t.Error("the password is not recognised, or another is")
	}
	if other, _ := HashPassword(password); other == h {
		t.Error("the same password twice has the same hash: no salt")
	}
	for _, bad := range []string{"", "x", "$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$" + strings.Repeat("A", 43), "$argon2id$v=19$m=99999999,t=2,p=1$c2FsdHNhbHQ$" + strings.Repeat("A", 43),
		"$argon2id$v=19$m=19456,t=0,p=1$c2FsdHNhbHQ$" + strings.Repeat("A", 43), "$argon2id$v=19$m=19456,t=2,p=0$c2FsdHNhbHQ$" + strings.Repeat("A", 43), "$argon2id$v=19$m=19456,t=2,p=1$$", "$argon2id$$$$"} {
		if CheckPassword(bad, password) {
			t.Errorf("hash %q matches", bad)
		}
	}
	for _, pw := range []string{"", "court", strings.Repeat("é", maxPassword)} {
		if _, err := HashPassword(pw); err != ErrPassword {
			t.Errorf("HashPassword of %d bytes: %v", len(pw), err)
		}
	}
}

func TestAddressBehindProxies(t *testing.T) {
	t.Parallel()
	c := &Console{cfg: Config{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	for _, x := range []struct{ remote, header, want string }{
		{"192.0.2.1:1234", "203.0.113.9", "192.0.2.1"}, // not a proxy: not believed
		{"10.0.0.1:1234", "203.0.113.9", "203.0.113.9"},
		{"10.0.0.1:1234", "198.51.100.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"},
		{"10.0.0.1:1234", "n'importe quoi", "10.0.0.1"},
		{"10.0.0.1:1234", "", "10.0.0.1"},
		{"[::ffff:192.0.2.1]:80", "", "192.0.2.1"},
		{"?", "", ""},
	} {
		r := &http.Request{RemoteAddr: x.remote, Header: http.Header{"X-Forwarded-For": {x.header}}}
		if got := c.from(r); got != x.want {
			t.Errorf("from %s with %q: %q, want %q", x.remote, x.header, got, x.want)
		}
	}
}
