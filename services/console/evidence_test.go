package console

import (
	"net/http"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

// TestMalwareIsEvidence: what the antivirus did not call clean is never shown; an
// auditor who was warned may take it, under a name that warns; nobody else may.
func TestMalwareIsEvidence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	found := []greffe.Finding{{Rule: "antivirus.found", Severity: greffe.Hold, Text: "Pièce suspecte : « Eicar »", Where: "2"}}
	facts := cda1("1", 1, "Lettre", maelle)
	facts.Findings = found
	a := w.receive(mail{subject: "Facture", body: "texte du message", docs: []doc{{facts: facts, bytes: []byte("<ClinicalDocument/>"), body: reportPDF("malware"), name: "facture.xml",
		outcomes: []greffe.Outcome{{State: greffe.StateTodo, Text: found[0].Text}}}}})
	document, message := "/documents/"+string(a.Documents[0]), "/messages/"+string(a.ID)
	downloads := map[string]string{ // address, name of the file
		document + "/telechargement":                 "SUSPECT-facture.xml.suspect",
		document + "/telechargement?fichier=lisible": ".suspect",
		message + "/original":                        "SUSPECT-message-" + string(a.ID) + ".eml.suspect",
		message + "/parties/1":                       "SUSPECT-facture.xml.suspect",
	}

	claire, paul := w.as("claire"), w.as("paul")
	for _, v := range []*visitor{claire, paul} {
		page := v.page(document)
		if s := content(page); !strings.Contains(s, "elle n’est pas affichée") || strings.Contains(s, "Envoyer au DI") || len(find(page, "iframe")) > 0 {
			t.Errorf("document page: %q", s)
		}
		if a := v.get(document + "/file"); strings.Contains(a.body, "malware") || !strings.Contains(a.body, "Pièce suspecte") {
			t.Errorf("the file is shown: %d", a.StatusCode)
		}
	}
	if s := content(claire.page(message)); !strings.Contains(s, "texte du message") || !strings.Contains(s, "non analysé") {
		t.Errorf("message page: %q", s) // its text is clean
	}
	for path, name := range downloads {
		if a := claire.get(path); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "n’est remis qu’à un auditeur") {
			t.Errorf("a secretary gets %s: %d", path, a.StatusCode)
		}
		if a := claire.post(path, nil); a.StatusCode != http.StatusForbidden {
			t.Errorf("a secretary insists on %s: %d", path, a.StatusCode)
		}
		warning := paul.get(path)
		if warning.StatusCode != http.StatusOK || !strings.Contains(warning.body, "peut être dangereux") || !strings.Contains(warning.body, "Eicar") || warning.Header.Get("Content-Disposition") != "" {
			t.Errorf("an auditor is not warned at %s: %d", path, warning.StatusCode)
		}
		given := paul.post(path, nil)
		if d := given.Header.Get("Content-Disposition"); given.StatusCode != http.StatusOK || !strings.Contains(d, "attachment") || !strings.Contains(d, name) {
			t.Errorf("an auditor gets %s as %q: %d", path, d, given.StatusCode)
		}
		if given.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s is given as %s", path, given.Header.Get("Content-Type"))
		}
	}
	if !w.journalled("claire", "denied", string(a.Documents[0]), "refused") || !w.journalled("paul", "downloaded", string(a.Documents[0]), "ok") || !w.journalled("paul", "downloaded", string(a.ID), "ok") {
		t.Error("the journal does not know of it")
	}
	if a := w.visitor().get("/di"+document, "Authorization", "Bearer "+diToken1); a.StatusCode != http.StatusForbidden {
		t.Errorf("a record system gets it: %d", a.StatusCode)
	}
}

// TestMalwareInTheTextIsNotShown: the page of a message shows its text, unless that is
// what the antivirus found something in.
func TestMalwareInTheTextIsNotShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	facts := greffe.Document{Format: greffe.FormatText, MediaType: "text/plain", Findings: []greffe.Finding{{Rule: "antivirus.found", Severity: greffe.Hold, Text: "x"}}}
	a := w.receive(mail{subject: "Bonjour", body: "texte piégé", docs: []doc{{facts: facts, bytes: []byte("texte piégé")}}})
	if s := content(w.as("claire").page("/messages/" + string(a.ID))); strings.Contains(s, "piégé") {
		t.Errorf("the page shows %q", s)
	}
}
