package console

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

// TestTwinsAreOneDocument: a document that came as CDA and as PDF is one line of the
// queue and one page, which says where the other file is.
func TestTwinsAreOneDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := cda1("5", 1, "Lettre de liaison", maelle)
	a := w.receive(mail{subject: "Lettre de liaison", docs: []doc{{facts: f, bytes: []byte("<cda/>"), body: reportPDF("Lettre"), name: "DOC0001.XML", copied: "20261121_Lettre_ESSAI_MAELLE.pdf"}}})
	if len(a.Documents) != 1 {
		t.Fatalf("%d documents", len(a.Documents))
	}
	v := w.as("claire")
	queue := v.page("/file")
	if rows := find(queue, "#lignes tr"); len(rows) != 1 || strings.Contains(text(rows[0]), "2 documents") {
		t.Errorf("the queue shows %d lines", len(rows))
	}
	page := v.page("/documents/" + string(a.Documents[0]))
	if all := content(page); !strings.Contains(all, "Aussi reçu") || !strings.Contains(all, "comme PDF : pièce 3 « 20261121_Lettre_ESSAI_MAELLE.pdf »") {
		t.Errorf("the page does not show the twin:\n%s", all)
	}
	var links []string
	for _, l := range find(page, ".facts a") {
		links = append(links, attr(l, "href"))
	}
	if len(links) != 1 {
		t.Fatalf("links %q", links)
	}
	if got := v.get(links[0]); got.StatusCode != http.StatusOK || got.body != string(reportPDF("20261121_Lettre_ESSAI_MAELLE.pdf")) {
		t.Errorf("the twin cannot be downloaded: status %d, %d bytes", got.StatusCode, len(got.body))
	}
	message := content(v.page("/messages/" + string(a.ID)))
	for _, want := range []string{", aussi reçue en pièce 3", "même document que Lettre de liaison", "version PDF du document"} {
		if !strings.Contains(message, want) {
			t.Errorf("the page of the message does not say %q", want)
		}
	}
}

// TestIdentitiesAreCompared: where two documents do not describe one person, the page
// shows trait by trait what differs.
func TestIdentitiesAreCompared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := maelle
	other.FirstGiven, other.Givens, other.BirthDate, other.BirthFamily = "MAELYS", "MAELYS ANNE", "19850215", strings.ReplaceAll(maelle.BirthFamily, "-", " ")
	for i, c := range []struct {
		patient greffe.Patient
		tables  int
		says    []string
	}{
		{maelle, 0, nil},
		{other, 1, []string{"Deux patients différents ?", "Le premier prénom diffère MAELLE MAELYS", "La date de naissance diffère 14/02/1985 15/02/1985", "Le nom compatible, mais pas identique", "Le sexe identique Féminin Féminin"}},
		{greffe.Patient{}, 0, nil},
	} {
		a := w.receive(mail{subject: fmt.Sprint(i), docs: []doc{
			{facts: cda1(fmt.Sprint(2*i), 1, "Lettre", maelle), bytes: []byte("<cda/>"), name: "a.xml"},
			{facts: cda1(fmt.Sprint(2*i+1), 1, "Ordonnance", c.patient), bytes: []byte("<cda2/>"), name: "b.xml"},
		}})
		page := w.as("claire").page("/documents/" + string(a.Documents[0]))
		if got := find(page, ".compared"); len(got) != c.tables {
			t.Errorf("%d: %d tables", i, len(got))
		}
		all := strings.Join(strings.Fields(content(page)), " ")
		for _, want := range c.says {
			if !strings.Contains(all, want) {
				t.Errorf("%d: the page does not say %q in %s", i, want, all)
			}
		}
	}
}
