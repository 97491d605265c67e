package console

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"greffe/pkg/greffe"
)

// found searches as a person and returns the titles of all pages, going forwards.
func (v *visitor) found(form url.Values) (titles []string, first string) {
	v.w.t.Helper()
	a := v.post("/recherche", form)
	first = a.Header.Get("Location")
	if a.StatusCode != http.StatusSeeOther {
		v.w.t.Fatalf("%v: status %d: %s", form, a.StatusCode, content(parse(v.w.t, a.body)))
	}
	for _, values := range form {
		if values[0] != "" && strings.Contains(first, url.QueryEscape(values[0])) {
			v.w.t.Errorf("the address %q holds what was typed", first)
		}
	}
	for to := first; to != ""; {
		page := v.page(to)
		titles = append(titles, titlesOf(page)...)
		to = link(page, "next")
	}
	return titles, first
}

func titlesOf(page *html.Node) (titles []string) {
	for _, a := range find(page, "#lignes a.open") {
		titles = append(titles, text(a))
	}
	return titles
}

// link returns the address of the next or previous page, "" when there is none.
func link(page *html.Node, rel string) string {
	for _, a := range find(page, "nav.paging a") {
		if attr(a, "rel") == rel {
			return attr(a, "href")
		}
	}
	return ""
}

// TestSearchCriteria finds documents by each criterion and by several at once, and none
// of another service: by no criterion, with no key of another's mailbox.
func TestSearchCriteria(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	typed := func(id, title, code string, p greffe.Patient, format greffe.Format, created string) doc {
		d := cda1(id, 1, title, p)
		d.Type, d.Format, d.Created = greffe.Code{Code: code, Label: "Type " + code}, format, created
		return doc{facts: d, bytes: []byte(id)}
	}
	lab := greffe.Address{Name: "Laboratoire BIO-SUD", Address: "resultats@bio-sud.example"}
	day := 24 * time.Hour
	w.receive(mail{from: lab, ago: 3 * day, docs: []doc{typed("1", "Bilan", "11502-2", maelle, greffe.FormatCDA3, "20260102")}})
	w.receive(mail{ago: 2 * day, folder: "INBOX/Dr Martin", docs: []doc{typed("2", "Lettre", "11488-4", maelle, greffe.FormatCDA1, "20260305")}})
	third := w.receive(mail{ago: 2 * day, docs: []doc{typed("3", "Consultation", "11488-4", ruth, greffe.FormatCDA1, "20260306")}})
	fourth := w.receive(mail{mailbox: radio, from: lab, ago: day, docs: []doc{typed("4", "Radio", "18748-4", maelle, greffe.FormatCDA1, "20260305")}})
	w.outcome(third, 0, accepted)
	human := w.receive(mail{kind: greffe.KindReply, subject: "Question", body: "Bonjour"})
	m, err := w.db.Message(t.Context(), third.ID)
	if err != nil {
		t.Fatal(err)
	}
	question, err := w.db.Message(t.Context(), human.ID)
	if err != nil {
		t.Fatal(err)
	}
	ago := func(d time.Duration) string { return time.Now().Add(-d).In(w.console.wall.zone).Format("2006-01-02") }
	one := func(name, value string) url.Values { return url.Values{name: {value}} }
	mine, theirs := greffe.MailboxKey(cardio), greffe.MailboxKey(radio)

	for _, c := range []struct {
		name string
		form url.Values
		all  string // what an auditor of everything finds
		her  string // what a secretary of cardiology finds
	}{
		{"sender by name", one("expediteur", "bio sud"), "Radio Bilan", "Bilan"},
		{"sender by address", one("expediteur", "resultats@bio-sud.example"), "Radio Bilan", "Bilan"},
		{"no such sender", one("expediteur", "personne"), "", ""},
		{"type", one("type", "11488-4"), "Consultation Lettre", "Consultation Lettre"},
		{"format", one("format", "cda-n3"), "Bilan", "Bilan"},
		{"state", one("etat", "integre"), "Consultation", "Consultation"},
		{"mailbox", one("bal", mine), "Consultation Lettre Bilan", "Consultation Lettre Bilan"},
		{"Message-ID", one("message-id", "<"+m.MessageID+">"), "Consultation", "Consultation"},
		{"dated", url.Values{"date-du": {"2026-03-05"}, "date-au": {"05/03/2026"}}, "Radio Lettre", "Lettre"},
		{"archived", one("archive-du", ago(0)), "Radio Consultation Lettre Bilan", "Consultation Lettre Bilan"},
		{"archived before", one("archive-au", ago(2*day)), "", ""},
		{"received", url.Values{"du": {ago(3 * day)}, "au": {ago(3 * day)}}, "Bilan", "Bilan"},
		{"patient, type and mailbox", url.Values{"ins": {maelle.INS.Extension}, "type": {"11488-4"}, "bal": {mine}}, "Lettre", "Lettre"},
		{"all at once", url.Values{"nom": {"essai kerv"}, "naissance": {hl7Day(maelle.BirthDate)}, "ins": {maelle.INS.Extension}, "expediteur": {"bio"}, "type": {"11502-2"}, "format": {"cda-n3"},
			"etat": {"archive"}, "bal": {mine}, "du": {ago(9 * day)}, "au": {ago(0)}, "date-du": {"2026-01-01"}, "archive-du": {ago(1 * day)}}, "Bilan", "Bilan"},
	} {
		for login, want := range map[string]string{"paul": c.all, "claire": c.her} {
			got, _ := w.as(login).found(c.form)
			slices.Sort(got)
			list := strings.Fields(want)
			slices.Sort(list)
			if !slices.Equal(got, list) {
				t.Errorf("%s, %s: found %q, want %q", c.name, login, got, list)
			}
		}
	}

	claire := w.as("claire")
	if a := claire.post("/recherche", one("bal", theirs)); a.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("another's mailbox: status %d", a.StatusCode)
	}
	if got, _ := w.as("martin").found(one("ins", maelle.INS.Extension)); !slices.Equal(got, []string{"Lettre"}) {
		t.Errorf("a professional finds %q beyond his folder", got)
	}

	// Passed to another service, it is found there, by name and by what else it has, and
	// still where it came to.
	if _, err := w.db.SaveTriage(t.Context(), greffe.Triaged{ID: "p", Message: fourth.ID, Verb: greffe.VerbMove, To: cardio, By: "radio", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	for _, login := range []string{"claire", "radio"} {
		for _, form := range []url.Values{one("type", "18748-4"), one("nom", "essai-kerv"), one("ins", maelle.INS.Extension), {"nom": {"essai kervella"}, "naissance": {hl7Day(maelle.BirthDate)}}} {
			if got, _ := w.as(login).found(form); !slices.Contains(got, "Radio") {
				t.Errorf("%s does not find what was passed on by %v: %q", login, form, got)
			}
		}
	}

	// A mail without documents is found by its Message-ID; not by who may not see it.
	_, at := claire.found(one("message-id", question.MessageID))
	if all := content(claire.page(at)); !strings.Contains(all, "Question") || !strings.Contains(all, question.MessageID) {
		t.Errorf("the mail is not found: %s", all)
	}
	other := w.as("audit-radio")
	_, at = other.found(one("message-id", question.MessageID))
	if all := content(other.page(at)); strings.Contains(all, "Question") {
		t.Error("another service's mail is found")
	}

	// An empty result says what was looked for; the journal says which kinds of criteria.
	_, at = claire.found(url.Values{"nom": {"Zzyzx"}, "expediteur": {"bio"}, "date-du": {"2026-01-02"}, "etat": {"integre"}})
	all := content(claire.page(at))
	for _, s := range []string{"Aucun document trouvé", "nom « Zzyzx »", "expéditeur « bio »", "daté depuis le 02/01/2026", "état « Intégré »"} {
		if !strings.Contains(all, s) {
			t.Errorf("the empty result does not say %q: %s", s, all)
		}
	}
	said := false
	for _, e := range w.journal() {
		said = said || e.Action == "searched" && e.Actor == "claire" && e.Detail == "name+dated-from+sender+state"
		if strings.Contains(e.Detail, "Zzyzx") {
			t.Errorf("the journal holds what was typed: %q", e.Detail)
		}
	}
	if !said {
		t.Error("the journal does not say by what was searched")
	}
}

func hl7Day(s string) string { return s[:4] + "-" + s[4:6] + "-" + s[6:8] }

// TestSearchPages goes through the pages of a search and back, and takes the same
// selection as a table.
func TestSearchPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 2*rowsPerPage + 7
	var want []string
	for i := range n {
		title := fmt.Sprint("Compte rendu ", i)
		w.receive(mail{ago: time.Duration(i/2) * time.Minute, docs: []doc{{facts: cda1(fmt.Sprint(i), 1, title, maelle), bytes: fmt.Append(nil, i)}}})
		want = append(want, title)
	}
	v := w.as("paul")
	form := url.Values{"nom": {"essai"}, "expediteur": {"martel"}}
	all, first := v.found(form)
	if len(all) != n {
		t.Fatalf("%d documents over all pages, want %d", len(all), n)
	}
	sorted := slices.Sorted(slices.Values(all))
	if slices.Sort(want); !slices.Equal(sorted, want) {
		t.Error("a document is missing or twice")
	}
	// The second page, the third, and back: each is what it was.
	var pages [][]string
	to := first
	for to != "" {
		page := v.page(to)
		pages = append(pages, titlesOf(page))
		next := link(page, "next")
		if next == "" {
			to = link(page, "prev")
			break
		}
		to = next
	}
	if len(pages) != 3 {
		t.Fatalf("%d pages", len(pages))
	}
	back := v.page(to)
	if !slices.Equal(titlesOf(back), pages[1]) {
		t.Error("the page before the last is not the second")
	}
	if newest := v.page(link(back, "prev")); !slices.Equal(titlesOf(newest), pages[0]) || link(newest, "prev") != "" {
		t.Error("the page before the second is not the first, or goes on")
	}
	if again := v.page(link(back, "next")); !slices.Equal(titlesOf(again), pages[2]) {
		t.Error("the page after the second is not the last")
	}
	table := v.get(attr(find(v.page(first), ".downloads a")[0], "href"))
	read := csv.NewReader(strings.NewReader(strings.TrimPrefix(table.body, "\ufeff")))
	read.Comma = ';'
	rows, err := read.ReadAll()
	if err != nil || len(rows) != n+1 {
		t.Errorf("the table has %d lines, %v", len(rows), err)
	}
}
