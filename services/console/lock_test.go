package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

// TestALockedSessionShowsNothing walks every route with a session that is locked: by the
// person, or because nothing was done. Nothing but the locked screen is answered.
func TestALockedSessionShowsNothing(t *testing.T) {
	t.Parallel()
	for name, idle := range map[string]time.Duration{"asked": time.Hour, "idle": time.Nanosecond} {
		w := newWorldWith(t, func(c *Config) { c.IdleTimeout = idle })
		a := w.receive(mail{subject: "Confidentiel", body: "texte", docs: []doc{{facts: cda1("1", 1, "Lettre", maelle), bytes: []byte("<a/>"), body: reportPDF("a")}}})
		v := w.as("claire")
		if name == "asked" {
			v.post("/verrou", nil)
		}
		for _, rt := range w.console.routes() {
			if rt.who&secretary == 0 || rt.who&(whileLocked|token) != 0 {
				continue
			}
			method, p, _ := strings.Cut(rt.pattern, " ")
			if strings.Contains(p, "/documents/") {
				p = strings.Replace(p, "{id}", string(greffe.NewDocumentID(a.ID, 1)), 1)
			}
			p = strings.NewReplacer("{id}", string(a.ID), "{n}", "0", "{$}", "").Replace(p)
			got := v.do(method, p, strings.NewReader(""))
			if toLock := got.StatusCode == http.StatusSeeOther && strings.HasPrefix(got.Header.Get("Location"), "/verrou"); !toLock && got.StatusCode != http.StatusLocked {
				t.Errorf("%s: %s by a locked session: status %d to %q", name, rt.pattern, got.StatusCode, got.Header.Get("Location"))
			}
			for _, word := range []string{"KERVELLA", "Confidentiel", "Lettre"} {
				if strings.Contains(got.body, word) {
					t.Errorf("%s: %s by a locked session shows %q", name, rt.pattern, word)
				}
			}
			if !rt.quiet && !w.journalled("claire", "denied", lastID(p), "refused") {
				t.Errorf("%s: %s by a locked session is not in the journal", name, rt.pattern)
			}
		}
		if got := v.get("/session").body; !strings.Contains(got, `"verrouillee"`) {
			t.Errorf("%s: state %s", name, got)
		}
		screen := v.get("/verrou?vers=/messages/" + string(a.ID))
		if len(find(parse(t, screen.body), ".menu")) != 0 || !strings.Contains(screen.body, "Claire LEMAIRE") {
			t.Errorf("%s: the locked screen is %s", name, content(parse(t, screen.body)))
		}
		if got := v.post("/verrou/ouverture", url.Values{"mot-de-passe": {"un autre mot de passe"}}); got.StatusCode != http.StatusUnauthorized || !w.journalled("claire", "unlocked", "claire", "refused") {
			t.Errorf("%s: a wrong password: status %d", name, got.StatusCode)
		}
		if name == "idle" {
			continue // it would be locked again at once
		}
		before := v.cookie(t)
		got := v.post("/verrou/ouverture", url.Values{"mot-de-passe": {password}, "vers": {"/messages/" + string(a.ID) + "?x=1"}})
		if got.Header.Get("Location") != "/messages/"+string(a.ID)+"?x=1" || !w.journalled("claire", "unlocked", "claire", "ok") {
			t.Errorf("%s: unlocked to %q", name, got.Header.Get("Location"))
		}
		if v.cookie(t) == before {
			t.Errorf("%s: the token is not renewed by unlocking", name)
		}
		v.page("/messages/" + string(a.ID))
	}
}

// cookie returns the token of the browser's session.
func (v *visitor) cookie(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(v.w.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range v.Jar.Cookies(u) {
		return c.Value
	}
	return ""
}

// TestTheLockKeepsWhatWasTyped: a form that is sent too late is not done, and is there
// again after unlocking; as is what a page gave up when it locked itself. Passwords are
// not kept, nor anything for another person.
func TestTheLockKeepsWhatWasTyped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	refused := greffe.Outcome{DI: "dpi", Action: "T02", Control: "1", State: greffe.StateRefused, Code: "AE 902", Text: "Patient inconnu."}
	a := w.receive(mail{subject: "x", docs: []doc{{facts: cda1("1", 1, "Lettre", maelle), bytes: []byte("<a/>"), outcomes: []greffe.Outcome{refused}}}})
	at := "/documents/" + string(a.Documents[0])
	v := w.as("claire")
	v.page(at)
	v.post("/verrou", nil)

	// Without scripts: the form meets the locked session.
	late := url.Values{"decision": {"dismiss"}, "motif": {"Adressé par erreur, l’expéditeur a"}, "mot-de-passe": {"secret"}}
	got := v.do("POST", at+"/decision", strings.NewReader(late.Encode()), "Content-Type", "application/x-www-form-urlencoded", "Referer", w.server.URL+at)
	if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/verrou?vers="+url.QueryEscape(at) {
		t.Fatalf("a form sent too late: status %d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	if w.journalled("claire", "asked", string(a.Documents[0]), "dismiss") {
		t.Error("a form sent too late was done")
	}
	if s := content(v.page(got.Header.Get("Location"))); !strings.Contains(s, "en cours de saisie est gardé") || strings.Contains(s, "Adressé") {
		t.Errorf("the locked screen says %q", s)
	}
	v.post("/verrou/ouverture", url.Values{"mot-de-passe": {password}, "vers": {at}})
	page := v.page(at)
	if s := text(find(page, "textarea")[0]); s != late.Get("motif") {
		t.Errorf("the page gives back %q", s)
	}
	if kept := attr(find(page, "body")[0], "data-brouillon"); !strings.Contains(kept, "Adressé") || strings.Contains(kept, "secret") {
		t.Errorf("for the script: %q", kept)
	}
	if kept := attr(find(v.page(at), "body")[0], "data-brouillon"); kept != "" {
		t.Errorf("given back twice: %q", kept)
	}

	// With scripts: the page gives it up as it hides.
	v.post("/verrou", url.Values{"vers": {"/recherche"}, "inactif": {"1"}, "b.nom": {"KERV"}})
	if !w.journalled("claire", "locked", "claire", "ok") {
		t.Error("the lock is not in the journal")
	}
	// A colleague sits down: the session is closed, and nothing of it is left.
	v.post("/deconnexion", nil)
	if got := v.post("/connexion", url.Values{"login": {"radio"}, "mot-de-passe": {password}}); got.StatusCode != http.StatusSeeOther {
		t.Fatal(got.StatusCode)
	}
	if kept := attr(find(v.page("/recherche"), "body")[0], "data-brouillon"); kept != "" {
		t.Errorf("a colleague is given %q", kept)
	}
	// Nothing without end is kept.
	v.post("/verrou", url.Values{"vers": {"/recherche"}, "b.nom": {strings.Repeat("x", maxDraft+1)}})
	v.post("/verrou/ouverture", url.Values{"mot-de-passe": {password}})
	if kept := attr(find(v.page("/recherche"), "body")[0], "data-brouillon"); kept != "" {
		t.Errorf("%d bytes are kept", len(kept))
	}
}

// TestActsKeepASessionOpen: what a person does counts, what a page asks by itself does not.
func TestActsKeepASessionOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.as("claire")
	now := func() seat {
		t.Helper()
		s, err := w.console.again(&http.Request{Header: http.Header{"Cookie": {"greffe=" + v.cookie(t)}}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := now()
	if got := v.get("/session").body; !strings.Contains(got, `"reste":`) || !now().presence.Seen.Equal(first.presence.Seen) {
		t.Errorf("asking the state: %q", got)
	}
	if got := v.post("/session", nil); got.StatusCode != http.StatusOK {
		t.Errorf("an act: status %d", got.StatusCode)
	}
	long := first
	long.presence.Seen = time.Now().Add(-time.Minute) // noted so long ago that it is noted again
	if err := w.console.touch(t.Context(), long); err != nil || !now().presence.Seen.After(first.presence.Seen) {
		t.Errorf("an act is not noted: %v, %v", now().presence.Seen, err)
	}
}

func TestUnlockingIsLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.as("claire")
	v.post("/verrou", nil)
	for range maxPair {
		v.post("/verrou/ouverture", url.Values{"mot-de-passe": {"un autre mot de passe"}})
	}
	got := v.post("/verrou/ouverture", url.Values{"mot-de-passe": {password}})
	if got.StatusCode != http.StatusTooManyRequests || got.Header.Get("Retry-After") == "" || !w.journalled("claire", "unlocked", "claire", "locked") {
		t.Errorf("after %d failures: status %d", maxPair, got.StatusCode)
	}
}
