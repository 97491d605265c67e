package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// TestTokensPage: an administrator makes a token, sees it once, and revokes it; it works
// from the one to the other and no longer.
func TestTokensPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.as("root")
	day := time.Now().In(paris).AddDate(0, 0, 30).Format(time.DateOnly)
	form := url.Values{"nom": {"Suivi <b>de nuit</b>"}, "profil": {"secretary"}, "fin": {day}, "boite": {PlaceKey(cardio), "inconnue"}}
	for field, bad := range map[string]string{"nom": " ", "profil": "roi", "fin": time.Now().AddDate(2, 0, 0).Format(time.DateOnly), "boite": "inconnue"} {
		wrong := url.Values{}
		for k, v := range form {
			wrong[k] = v
		}
		wrong[field] = []string{bad}
		if got := root.post("/systeme/jetons", wrong); got.StatusCode != http.StatusUnprocessableEntity || len(find(parse(t, got.body), "#e-"+field)) != 1 {
			t.Errorf("%s %q: status %d", field, bad, got.StatusCode)
		}
	}
	made := root.post("/systeme/jetons", form)
	shown := find(parse(t, made.body), ".secret")
	if made.StatusCode != http.StatusOK || len(shown) != 1 {
		t.Fatalf("status %d", made.StatusCode)
	}
	s := &script{visitor: w.visitor(), secret: text(shown[0])}
	s.must(http.StatusOK, nil, "GET", "/api/v1/queue", nil)
	k, err := w.db.TokenOf(t.Context(), greffe.DigestOf([]byte(s.secret)))
	if err != nil || k.By != "root" || k.Role != "secretary" || len(k.Places) != 1 || k.Places[0] != cardio || time.Until(k.Expires) > 32*24*time.Hour {
		t.Errorf("%+v %v", k, err)
	}
	if !w.journalled("root", "token-add", k.Actor(), "ok") {
		t.Error("the making is not in the journal")
	}
	list := root.get("/systeme/jetons")
	if strings.Contains(list.body, s.secret) || strings.Contains(list.body, string(k.Digest)) || strings.Contains(list.body, "<b>de nuit") || !strings.Contains(list.body, k.Actor()) {
		t.Error("the list shows a secret, or not the name")
	}
	root.post("/systeme/jetons/"+k.ID+"/revocation", nil)
	s.refused(http.StatusUnauthorized, "token", "GET", "/api/v1/queue", nil)
	if !w.journalled("root", "token-revoked", k.Actor(), "ok") || !strings.Contains(root.get("/systeme/jetons").body, "Révoqué") {
		t.Error("the revocation is not in the journal, or not on the page")
	}
	// No account can bear the name of a token in the journal.
	if got := root.post("/systeme/comptes", url.Values{"identifiant": {"Jeton:" + k.ID}, "nom": {"x"}, "profil": {"admin"}}); got.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("an account called as a token: status %d", got.StatusCode)
	}
	if !index.IsTokenActor(k.Actor()) || loginOf("jeton:abc") != "" {
		t.Error("the names of tokens are not kept apart")
	}
}
