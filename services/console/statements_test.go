package console

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/net/html"

	"greffe/api"
	"greffe/pkg/archive"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// state writes what is stated about a mailbox and a day, YYYY-MM-DD.
func (w *world) state(mailbox, day string, s greffe.Statement) {
	w.t.Helper()
	s.Mailbox, s.Day, s.At = mailbox, day, time.Now().UTC()
	s.Digest = greffe.DigestOf(fmt.Append(nil, s.Mailbox, s.Day, s.Missing, s.Complete))
	begins, err := time.ParseInLocation(time.DateOnly, day, w.console.cfg.Zone)
	if err != nil {
		w.t.Fatal(err)
	}
	if ok, err := w.db.SaveStatement(w.t.Context(), s, begins); err != nil || !ok {
		w.t.Fatal(ok, err)
	}
}

// seal seals the journal, as the storage service does, and returns where it is.
func (w *world) seal() index.Seal {
	w.t.Helper()
	next, _, err := w.db.PlanSeal(w.t.Context(), 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	at := fmt.Sprintf("%s%s%012d-%012d", archive.JournalPrefix, next.At.Format("2006/01/02/"), next.First, next.Last)
	next.Segment = greffe.Object{Key: at + ".jsonl", SHA256: greffe.DigestOf(nil)}
	next.Checkpoint = greffe.Object{Key: at + ".checkpoint", SHA256: greffe.DigestOf(nil)}
	if err := w.db.SaveSeal(w.t.Context(), next, nil); err != nil {
		w.t.Fatal(err)
	}
	return next
}

func (w *world) stateDays() {
	w.state(cardio, "2026-11-20", greffe.Statement{Seen: 1214, Listed: 1214, Archived: 1214, Delivered: 1200, Held: 14, Complete: true})
	w.state(radio, "2026-11-20", greffe.Statement{Seen: 5, Listed: 5, Archived: 2, Delivered: 2, Missing: 3, Complete: true,
		MissingUIDs: []greffe.MissingUID{{Folder: "INBOX/<b>Dr Ott</b>", UIDValidity: 7, UID: 31, InternalDate: time.Date(2026, 11, 20, 8, 5, 6, 0, time.UTC)}, {Folder: "INBOX", UIDValidity: 7, UID: 32}}})
	w.state(cardio, "2026-11-21", greffe.Statement{Late: []string{"INBOX/Dr Martin"}})
	w.state(radio, "2026-11-21", greffe.Statement{Seen: 1, Missing: 1, MissingUIDs: []greffe.MissingUID{{Folder: "INBOX", UIDValidity: 7, UID: 40}}, Late: []string{"INBOX"}})
	w.state(radio, "2026-11-22", greffe.Statement{Complete: true})
}

// statedLines gives the lines of the list: day, the part of the mailbox before its @, and the rest.
func statedLines(n *html.Node) []string {
	var lines []string
	for _, row := range find(n, "table.log tbody tr") {
		var cells []string
		for d := range row.ChildNodes() {
			if d.Type == html.ElementNode {
				cell, _, _ := strings.Cut(text(d), "@")
				cells = append(cells, cell)
			}
		}
		lines = append(lines, strings.Join(cells, " | "))
	}
	return lines
}

// TestStatementsByMailboxAndDay: one line a statement, filtered by mailbox and days, of
// the mailboxes that the auditor may read as a whole and of no others.
func TestStatementsByMailboxAndDay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got := content(w.as("paul").page("/journal/completude")); !strings.Contains(got, "Aucun constat.") {
		t.Errorf("before the first: %s", got)
	}
	w.stateDays()
	if err := w.db.SaveUser(t.Context(), index.User{Login: "audit-ott", Name: "Li AUDIT", Role: "auditor", Places: []string{cardio + "/INBOX/Dr Ott"}, Hash: hashed()}); err != nil {
		t.Fatal(err)
	}
	all := []string{
		"22/11/2026 | radiologie | 0 | 0 | 0 | 0 | 0 | Complet",
		"21/11/2026 | cardiologie | 0 | 0 | 0 | 0 | 0 | Non rapproché",
		"21/11/2026 | radiologie | 1 | 0 | 0 | 0 | 1 | Il manque 1 message et un dossier n’a pas été rapproché du serveur",
		"20/11/2026 | cardiologie | 1 214 | 1 214 | 1 200 | 14 | 0 | Complet",
		"20/11/2026 | radiologie | 5 | 2 | 2 | 0 | 3 | Il manque 3 messages",
	}
	of := map[string]string{cardio: "?bal=" + greffe.MailboxKey(cardio), radio: "?bal=" + greffe.MailboxKey(radio)}
	for _, c := range []struct {
		login, query string
		want         []string
	}{
		{"paul", "", all},
		{"paul", of[cardio], []string{all[1], all[3]}},
		{"paul", "?du=2026-11-21", all[:3]},
		{"paul", "?du=2026-11-21&au=21/11/2026", all[1:3]},
		{"paul", of[radio] + "&au=2026-11-20", all[4:]},
		{"paul", "?du=2026-12-01", nil},
		{"audit-radio", "", []string{all[0], all[2], all[4]}},
		{"audit-ott", "", nil}, // of a folder alone
	} {
		n := w.as(c.login).page("/journal/completude" + c.query)
		got := statedLines(n)
		for i := range got {
			got[i] = strings.ReplaceAll(got[i], "\u202f", " ") // in numbers
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s%s:\n%q, want\n%q", c.login, c.query, got, c.want)
		}
		if nothing := strings.Contains(content(n), "Aucun constat"); nothing != (len(c.want) == 0) {
			t.Errorf("%s%s: says that there are none: %v", c.login, c.query, nothing)
		}
	}
	for login, want := range map[string]int{"paul": 3, "audit-radio": 2, "audit-ott": 1} {
		if n := len(find(w.as(login).page("/journal/completude"), "#bal option")); n != want {
			t.Errorf("%s chooses among %d, want %d", login, n, want)
		}
	}
	for query, want := range map[string]string{"?du=hier": "JJ/MM/AAAA", "?du=2026-11-22&au=2026-11-20": "antérieure", of[cardio]: "Choisissez une boîte de la liste"} {
		got := w.as("audit-radio").get("/journal/completude" + query)
		if got.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(got.body, want) || strings.Contains(got.body, "Aucun constat") {
			t.Errorf("%s: status %d", query, got.StatusCode)
		}
	}
	for detail, n := range map[string]int{"statements": 7, "statements mailbox": 1, "statements from": 2, "statements from+to": 1, "statements to+mailbox": 1} {
		var got int
		for _, e := range w.journal() {
			if e.Action == "read" && e.Subject == "" && e.Detail == detail {
				got++
			}
		}
		if got != n {
			t.Errorf("%d entries %q, want %d", got, detail, n)
		}
	}
}

// TestStatementsPageByPage: every statement is on one page and on one alone.
func TestStatementsPageByPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	last := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	const days = rowsPerPage/2 + 3
	for n := range days {
		for _, m := range []string{cardio, radio} {
			w.state(m, last.AddDate(0, 0, -n).Format(time.DateOnly), greffe.Statement{Complete: true})
		}
	}
	paul := w.as("paul")
	first := paul.page("/journal/completude?du=2026-01-01")
	lines := statedLines(first)
	next := find(first, "p.paging a")
	if len(lines) != rowsPerPage || len(next) != 1 {
		t.Fatalf("%d lines, %d links", len(lines), len(next))
	}
	second := paul.page(attr(next[0], "href"))
	lines = append(lines, statedLines(second)...)
	n := len(lines)
	slices.Sort(lines)
	if n != 2*days || len(slices.Compact(lines)) != n || len(find(second, "p.paging a")) != 0 {
		t.Errorf("%d lines on two pages, want %d, each once", n, 2*days)
	}
	back := find(second, "p.older a")
	if len(back) != 1 || attr(back[0], "href") != "/journal/completude?du=2026-01-01" {
		t.Errorf("the way back: %v", back)
	}
	for _, after := range []string{"2026-11-22", "2026-11-22/" + greffe.MailboxKey("autre@ch.example"), "x/y/z"} {
		if got := paul.get("/journal/completude?avant=" + after); got.StatusCode != http.StatusNotFound {
			t.Errorf("after %q: status %d", after, got.StatusCode)
		}
	}
	// Where another mailbox stands is not a way to learn what was stated of it.
	if got := w.as("audit-radio").get("/journal/completude?avant=2026-11-22/" + greffe.MailboxKey(cardio)); got.StatusCode != http.StatusNotFound || !w.journalled("audit-radio", "denied", "", "refused") {
		t.Errorf("after another's mailbox: status %d", got.StatusCode)
	}
}

// TestStatementIsOpened: what is missing, the entry of the journal and the segment that
// hold the statement, and the statement as JSON; each reading is journalled.
func TestStatementIsOpened(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stateDays()
	paul := w.as("paul")
	key := greffe.MailboxKey(radio)
	at := "/journal/completude/2026-11-20/" + key
	if got := content(paul.page(at)); !strings.Contains(got, "pas encore : le journal est scellé chaque minute") {
		t.Errorf("not sealed:\n%s", got)
	}
	seal := w.seal()
	n := paul.page(at)
	got := content(n)
	for _, want := range []string{"Constat du 20/11/2026", radio, "Il manque 3 messages", "INBOX/<b>Dr Ott</b> 7 31 20/11/2026 09:05:06", "INBOX 7 32 date inconnue",
		"1 autre message manquant n’est pas listé", "entrée n° 2, du", seal.Segment.Key, seal.Checkpoint.Key, "Ce constat en JSON"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page does not say %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "greffe completeness") {
		t.Error("an auditor is told to run a command")
	}
	for at, want := range map[string]string{
		"/journal/completude/2026-11-21/" + greffe.MailboxKey(cardio): "Dossiers non rapprochés du serveur INBOX/Dr Martin",
		"/journal/completude/2026-11-22/" + key:                       "Complet",
	} {
		if got := content(paul.page(at)); !strings.Contains(got, want) || strings.Contains(got, "Messages manquants") {
			t.Errorf("%s does not say %q, or misses messages:\n%s", at, want, got)
		}
	}

	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(api.CompletenessSchema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("completeness.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("completeness.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, day := range []string{"2026-11-20", "2026-11-22"} {
		file := paul.get("/journal/completude/" + day + "/" + key + "/constat.json")
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(file.body))
		if err == nil {
			err = schema.Validate(v)
		}
		if err != nil || file.Header.Get("Content-Type") != "application/json" || !strings.Contains(file.Header.Get("Content-Disposition"), "constat-"+day+"-"+key+".json") {
			t.Errorf("%v %v\n%s", err, file.Header, file.body)
		}
		if !strings.Contains(file.body, seal.Segment.Key) || !strings.Contains(file.body, `"entry"`) {
			t.Errorf("the file does not say where it is sealed:\n%s", file.body)
		}
	}
	if !w.journalled("paul", "read", key, "ok") || !w.journalled("paul", "exported", key, "ok") {
		t.Error("not in the journal")
	}
	// The journal leads to the statement that an entry is of.
	if links := find(paul.page("/journal"), "table.log td a"); !slices.ContainsFunc(links, func(a *html.Node) bool { return attr(a, "href") == at }) {
		t.Error("no link from the journal")
	}

	// Of mailboxes that are not the auditor's there is nothing.
	other := w.as("audit-radio")
	other.page(at)
	for _, at := range []string{"/journal/completude/2026-11-20/" + greffe.MailboxKey(cardio), "/journal/completude/2026-11-19/" + key, "/journal/completude/2026-11-20/0123456789"} {
		for _, form := range []string{"", "/constat.json"} {
			if got := other.get(at + form); got.StatusCode != http.StatusNotFound || strings.Contains(got.body, cardio) {
				t.Errorf("%s: status %d", at+form, got.StatusCode)
			}
		}
	}
	if !w.journalled("audit-radio", "denied", "", "refused") {
		t.Error("the refusal is not in the journal")
	}
}
