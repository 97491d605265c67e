package console

import (
	"encoding/csv"
	"net/url"
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

// TestWhoReadThisPatient: every look at a document of the patient, or at the message that
// brought it, and no other; refusals too; the question leaves no name in the journal.
func TestWhoReadThisPatient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.receive(mail{docs: []doc{{facts: cda1("1", 1, "Compte rendu", maelle), bytes: []byte("<a/>"), body: reportPDF("a")}, {facts: cda1("2", 1, "Autre patient", dominique), bytes: []byte("<b/>"), body: reportPDF("b")}}})
	first, second := string(a.Documents[0]), string(a.Documents[1])
	claire, paul := w.as("claire"), w.as("paul")
	claire.page("/documents/" + first)
	claire.get("/documents/" + first + "/telechargement")
	claire.page("/documents/" + second)
	w.as("radio").get("/documents/" + first) // not hers

	find1 := func(ins string) string {
		return strings.TrimPrefix(paul.post("/journal/patient", url.Values{"ins": {ins}}).Header.Get("Location"), "/journal/patient")
	}
	q := find1(maelle.INS.Extension)
	if strings.Contains(q, maelle.INS.Extension) {
		t.Fatal("the address names the patient")
	}
	page := paul.page("/journal/patient" + q)
	rows := find(page, "tbody tr")
	all := text(page)
	for _, want := range []string{"1 document, 3 accès", "Claire LEMAIRE (claire) Secrétaire a téléchargé", "a consulté le document", "s’est vu refuser l’accès", first} {
		if !strings.Contains(all, want) {
			t.Errorf("the page does not say %q: %s", want, all)
		}
	}
	if len(rows) != 3 || strings.Contains(all, second) {
		t.Errorf("%d lines, want 3, none about another patient", len(rows))
	}
	csvFile := paul.get("/journal/patient/acces.csv" + q)
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(csvFile.body, "\ufeff")))
	r.Comma = ';'
	lines, err := r.ReadAll()
	if err != nil || len(lines) != 4 || lines[1][5] != first || !strings.Contains(csvFile.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("CSV: %v, %v", lines, err)
	}
	if pdf := paul.get("/journal/patient/acces.pdf" + q); !strings.HasPrefix(pdf.body, "%PDF-1.7") || pdf.Header.Get("Content-Type") != "application/pdf" {
		t.Errorf("PDF: %.20q", pdf.body)
	}
	if got := content(paul.page("/journal/patient" + find1("285022999907700"))); !strings.Contains(got, "Aucun document reçu ne porte ce matricule") {
		t.Errorf("nobody's: %s", got)
	}
	if a := paul.post("/journal/patient", url.Values{"ins": {""}}); a.StatusCode != 422 {
		t.Errorf("nothing asked for: status %d", a.StatusCode)
	}
	if a := w.as("paul").get("/journal/patient/acces.csv" + q); a.StatusCode != 303 {
		t.Errorf("another session's question: status %d", a.StatusCode)
	}
	for _, e := range w.journal() {
		if strings.Contains(e.Subject+e.Detail, maelle.INS.Extension) {
			t.Errorf("the journal names the patient: %+v", e)
		}
	}
}

// TestExports: what a search and a filter find, whole, and nothing that a spreadsheet would
// run.
func TestExports(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	evil := cda1("3", 1, `=HYPERLINK("http://voleur.example";"cliquez")`, maelle)
	for n, f := range []greffe.Document{cda1("1", 1, "Compte rendu; avec point-virgule", maelle), cda1("2", 1, "Autre", dominique), evil} {
		w.receive(mail{ago: time.Duration(3-n) * time.Minute, docs: []doc{{facts: f, bytes: []byte{byte('a' + n)}}}})
	}
	paul := w.as("paul")
	read := func(path string) [][]string {
		t.Helper()
		a := paul.get(path)
		r := csv.NewReader(strings.NewReader(strings.TrimPrefix(a.body, "\ufeff")))
		r.Comma = ';'
		lines, err := r.ReadAll()
		if err != nil || a.StatusCode != 200 {
			t.Fatalf("%s: status %d, %v", path, a.StatusCode, err)
		}
		return lines
	}
	page := paul.post("/recherche", url.Values{"nom": {"essai kervella"}}).Header.Get("Location")
	lines := read(strings.Replace(page, "/recherche?", "/recherche/recherche.csv?", 1))
	if len(lines) != 3 || lines[2][8] != "Compte rendu; avec point-virgule" || lines[1][8] != `'=HYPERLINK("http://voleur.example";"cliquez")` || lines[1][14] != maelle.BirthFamily {
		t.Errorf("search: %q", lines)
	}
	if lines := read("/journal/journal.csv"); len(lines) < 4 || lines[1][6] == "" || len(lines[1][9]) != 64 {
		t.Errorf("journal: %q", lines)
	}
	for in, want := range map[string]string{"": "", "=1": "'=1", " =1": "' =1", "-": "'-", "@x": "'@x", "|x": "'|x", "1": "1", "é": "é", "\t+1": "'\t+1"} {
		if got := harmless(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
