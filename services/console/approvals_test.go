package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// TestFourEyes: an auditor opens the documents of a patient once another auditor has
// agreed, and only those; nobody agrees with themselves; all of it is in the journal.
func TestFourEyes(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(c *Config) { c.FourEyes = true })
	if err := w.db.SaveUser(t.Context(), index.User{Login: "jeanne", Role: "auditor", Places: []string{index.Everywhere}, Hash: hashed()}); err != nil {
		t.Fatal(err)
	}
	letter := func(n string, of greffe.Patient) greffe.Archived {
		return w.receive(mail{subject: "Objet " + n, body: "texte", docs: []doc{{facts: cda1(n, 1, "Lettre "+n, of), bytes: []byte("<a" + n + "/>"), body: reportPDF(n)}}})
	}
	asked, same, other := letter("1", maelle), letter("2", maelle), letter("3", ruth)
	paul, jeanne, claire := w.as("paul"), w.as("jeanne"), w.as("claire")
	claire.page("/messages/" + string(asked.ID)) // a secretary works as ever
	paul.page("/file")
	at := "/messages/" + string(asked.ID)
	reading := []string{at, at + "/original", at + "/parties/0", "/documents/" + string(asked.Documents[0]), "/documents/" + string(asked.Documents[0]) + "/file", "/documents/" + string(asked.Documents[0]) + "/telechargement"}
	for _, p := range reading {
		got := paul.get(p)
		if got.StatusCode != http.StatusForbidden || strings.Contains(got.body, "Lettre 1") || strings.Contains(got.body, "KERVELLA") {
			t.Errorf("%s before an agreement: status %d", p, got.StatusCode)
		}
		if !w.journalled("paul", "denied", lastID(p), "refused") {
			t.Errorf("%s before an agreement: not in the journal", p)
		}
	}
	if got := paul.post(at+"/accord", url.Values{"motif": {"x"}}); got.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a request without a reason: status %d", got.StatusCode)
	}
	const reason = "Réclamation du 20 novembre"
	if got := paul.post(at+"/accord", url.Values{"motif": {reason}}); got.StatusCode != http.StatusSeeOther || !w.journalled("paul", "approval-asked", string(asked.ID), "ok") {
		t.Errorf("a request: status %d", got.StatusCode)
	}
	if got := content(parse(t, paul.get(at).body)); !strings.Contains(got, "attend la réponse") {
		t.Errorf("while it waits: %q", got)
	}
	act := func(v *visitor, what string) string {
		for _, f := range find(v.page("/accords"), "form") {
			if a := attr(f, "action"); strings.HasSuffix(a, what) {
				return a
			}
		}
		return ""
	}
	if act(paul, "accorder") != "" {
		t.Error("the page offers the first auditor to agree with himself")
	}
	grant := act(jeanne, "accorder")
	if grant == "" || !strings.Contains(content(jeanne.page("/accords")), reason) {
		t.Fatal("the second auditor is not asked")
	}
	for who, v := range map[string]*visitor{"paul": paul, "claire": claire, "root": w.as("root"), "audit-radio": w.as("audit-radio"), "nobody": w.visitor()} {
		if got := v.post(grant, nil).StatusCode; got == http.StatusSeeOther && who != "nobody" {
			t.Errorf("%s agrees: status %d", who, got)
		}
		if who != "nobody" && who != "claire" && who != "root" && !w.journalled(who, "denied", string(asked.ID), "refused") {
			t.Errorf("%s tried to agree: not in the journal", who)
		}
	}
	if got := paul.get(at).StatusCode; got != http.StatusForbidden {
		t.Errorf("still without an agreement: status %d", got)
	}
	if got := jeanne.post(grant, nil).StatusCode; got != http.StatusSeeOther || !w.journalled("jeanne", "approval-granted", string(asked.ID), "ok") {
		t.Errorf("agreeing: status %d", got)
	}
	if got := jeanne.post(grant, nil).StatusCode; got != http.StatusConflict {
		t.Errorf("agreeing twice: status %d", got)
	}
	for _, p := range append(reading, "/messages/"+string(same.ID)) {
		if got := paul.get(p).StatusCode; got != http.StatusOK {
			t.Errorf("%s after the agreement: status %d", p, got)
		}
	}
	for who, v := range map[string]*visitor{"paul": paul, "jeanne": jeanne} {
		if got := v.get("/messages/" + string(other.ID)).StatusCode; got != http.StatusForbidden {
			t.Errorf("%s opens another patient's: status %d", who, got)
		}
	}
	if got := jeanne.get(at).StatusCode; got != http.StatusForbidden {
		t.Errorf("the one who agreed reads as well: status %d", got)
	}
	// Refused, and asked again.
	paul.post("/messages/"+string(other.ID)+"/accord", url.Values{"motif": {"Autre motif"}})
	jeanne.post(act(jeanne, "refuser"), nil)
	if got := paul.get("/messages/" + string(other.ID)); got.StatusCode != http.StatusForbidden || !strings.Contains(got.body, "refusée le") || !w.journalled("jeanne", "approval-refused", string(other.ID), "ok") {
		t.Errorf("refused: status %d", got.StatusCode)
	}
	for _, e := range w.journal() {
		if strings.Contains(e.Detail, "Réclamation") || strings.Contains(e.Detail, maelle.INS.Extension) {
			t.Errorf("the journal holds the reason or the INS: %+v", e)
		}
	}
}
