package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/index"
)

// TestAccounts: an administrator makes and changes accounts in the console; each act is
// in the journal, and rights change at once.
func TestAccounts(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(c *Config) { c.About = map[string]About{cardio: {Folders: []string{"INBOX", "INBOX/Dr Martin"}}} })
	a := w.receive(mail{folder: "INBOX/Dr Martin", subject: "Pour elle"})
	b := w.receive(mail{subject: "Pas pour elle"})
	root := w.as("root")
	form := url.Values{"identifiant": {"Lea.Noir"}, "nom": {"Dr  Léa NOIR"}, "profil": {"professional"}, "rpps": {"8 99900000029"}, "boite": {PlaceKey(cardio + "/INBOX/Dr Martin"), "inconnue"}}
	for field, bad := range map[string]string{"identifiant": "deux mots", "profil": "roi", "rpps": "123", "nom": strings.Repeat("x", 300)} {
		wrong := url.Values{}
		for k, v := range form {
			wrong[k] = v
		}
		wrong[field] = []string{bad}
		if got := root.post("/systeme/comptes", wrong); got.StatusCode != http.StatusUnprocessableEntity || len(find(parse(t, got.body), "#e-"+field)) != 1 {
			t.Errorf("%s %q: status %d", field, bad, got.StatusCode)
		}
	}
	made := root.post("/systeme/comptes", form)
	secret := find(parse(t, made.body), ".secret")
	if made.StatusCode != http.StatusOK || len(secret) != 1 || !w.journalled("root", "user-add", "lea.noir", "ok") {
		t.Fatalf("status %d", made.StatusCode)
	}
	u, err := w.db.User(t.Context(), "lea.noir")
	if err != nil || u.Name != "Dr Léa NOIR" || u.RPPS != "99900000029" || !slices.Equal(u.Places, []string{cardio + "/INBOX/Dr Martin"}) || !u.Renew {
		t.Fatalf("%+v, %v", u, err)
	}
	if got := root.post("/systeme/comptes", form); got.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(got.body, "porte déjà cet identifiant") {
		t.Errorf("the same again: status %d", got.StatusCode)
	}
	at := "/systeme/comptes/" + accountKey("lea.noir")
	if page := root.get(at); strings.Contains(page.body, text(secret[0])) || strings.Contains(page.body, "argon2") {
		t.Error("the page shows a password")
	}
	lea := w.visitor()
	lea.post("/connexion", url.Values{"login": {"lea.noir"}, "mot-de-passe": {text(secret[0])}})
	if got := lea.get("/file").Header.Get("Location"); got != "/compte" {
		t.Errorf("with the password she was given: to %q", got)
	}
	lea.post("/compte/mot-de-passe", url.Values{"mot-de-passe": {text(secret[0])}, "nouveau-mot-de-passe": {password}, "nouveau-mot-de-passe-2": {password}})
	lea.page("/messages/" + string(a.ID))
	if got := lea.get("/messages/" + string(b.ID)).StatusCode; got != http.StatusNotFound {
		t.Errorf("another's message: status %d", got)
	}
	// More rights, at once.
	root.post(at, url.Values{"nom": {"Léa NOIR"}, "profil": {"secretary"}, "boite": {"*"}})
	lea.page("/messages/" + string(b.ID))
	if u, _ = w.db.User(t.Context(), "lea.noir"); u.Role != "secretary" || !slices.Equal(u.Places, []string{index.Everywhere}) || !w.journalled("root", "user-change", "lea.noir", "ok") {
		t.Errorf("%+v", u)
	}
	act := func(what string) answer { return root.post(at+"/"+what, nil) }
	if got := act("mot-de-passe"); got.StatusCode != http.StatusOK || len(find(parse(t, got.body), ".secret")) != 1 || !w.journalled("root", "user-password", "lea.noir", "ok") {
		t.Errorf("another password: status %d", got.StatusCode)
	}
	if got := lea.get("/file").Header.Get("Location"); !strings.HasPrefix(got, "/connexion") {
		t.Errorf("her session after it goes to %q", got)
	}
	for _, x := range []struct {
		act  string
		want int
	}{{"second-facteur", http.StatusConflict}, {"activer", http.StatusConflict}, {"desactiver", http.StatusSeeOther}, {"desactiver", http.StatusConflict}, {"activer", http.StatusSeeOther}, {"n-importe-quoi", http.StatusConflict}, {"supprimer", http.StatusSeeOther}, {"supprimer", http.StatusNotFound}} {
		if got := act(x.act).StatusCode; got != x.want {
			t.Errorf("%s: status %d, want %d", x.act, got, x.want)
		}
	}
	for _, action := range []string{"user-disable", "user-enable", "user-removed"} {
		if !w.journalled("root", action, "lea.noir", "ok") {
			t.Errorf("%s is not in the journal", action)
		}
	}
	// A telephone is lost.
	w.as("claire").enrol("claire")
	if got := root.post("/systeme/comptes/"+accountKey("claire")+"/second-facteur", nil).StatusCode; got != http.StatusSeeOther || !w.journalled("root", "user-second-factor", "claire", "ok") {
		t.Errorf("taking a second factor away: status %d", got)
	}
	w.as("claire")
	// Nobody shuts themselves out.
	self := "/systeme/comptes/" + accountKey("root")
	for _, what := range []string{"desactiver", "supprimer", "mot-de-passe"} {
		if got := root.post(self+"/"+what, nil).StatusCode; got != http.StatusConflict {
			t.Errorf("%s of one's own account: status %d", what, got)
		}
	}
	if got := root.post(self, url.Values{"nom": {"Ada"}, "profil": {"auditor"}}); got.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("giving one's own role away: status %d", got.StatusCode)
	}
	// Who comes by a provider has their rights from there.
	if err := w.db.AddUser(t.Context(), index.User{Login: "dehors", Role: "auditor", Issuer: "https://idp.example", Subject: "1"}); err != nil {
		t.Fatal(err)
	}
	outside := "/systeme/comptes/" + accountKey("dehors")
	if got := root.post(outside, url.Values{"profil": {"admin"}}).StatusCode; got != http.StatusConflict {
		t.Errorf("changing who comes by a provider: status %d", got)
	}
	if got := root.get(outside); len(find(parse(t, got.body), "#profil")) != 0 {
		t.Error("the page of who comes by a provider offers rights")
	}
}
