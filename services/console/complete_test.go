package console

import (
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

// TestSystemShowsCompleteness: yesterday's statements of each mailbox, those that leave a
// doubt, and how it stands with the proof of the journal.
func TestSystemShowsCompleteness(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.as("root")
	if got := content(root.page("/systeme")); strings.Count(got, "Pas encore de constat") != 2 || !strings.Contains(got, "aucun point de contrôle n’est encore dans l’archive") || !strings.Contains(got, "aucun jeton") {
		t.Errorf("before anything was stated:\n%s", got)
	}
	day := w.console.yesterday(time.Now())
	yesterday, before := day.Format(time.DateOnly), day.AddDate(0, 0, -9).Format(time.DateOnly)
	w.state(cardio, yesterday, greffe.Statement{Seen: 1214, Archived: 1214, Delivered: 1200, Held: 14, Complete: true})
	w.state(radio, yesterday, greffe.Statement{Seen: 3, Archived: 2, Missing: 1, Complete: true})
	w.state(radio, before, greffe.Statement{Late: []string{"INBOX"}})
	w.state(cardio, before, greffe.Statement{Complete: true})
	var rows []string
	for _, n := range find(root.page("/systeme"), "section table.log tbody tr") {
		rows = append(rows, text(n))
	}
	for i, want := range []string{cardio + " " + day.Format("02/01/2006") + " 1\u202f214 1\u202f214 1\u202f200 14 0 complet", radio + " " + day.Format("02/01/2006") + " 3 2 0 0 1 Des messages vus", radio + " " + day.AddDate(0, 0, -9).Format("02/01/2006") + " 0 0 0 0 0 Un dossier n’a pas"} {
		want = strings.Join(strings.Fields(want), " ")
		if i >= len(rows) || !strings.HasPrefix(rows[i], want) {
			t.Errorf("row %d: %q, want %q", i, rows, want)
		}
	}
	if len(rows) != 3 {
		t.Errorf("%d rows: %q", len(rows), rows)
	}
	now := time.Now().Add(time.Hour)
	if c := w.console.sealing(t.Context(), now); c[0].OK || !strings.Contains(c[0].Text, "attendent d’être scellées depuis") {
		t.Errorf("nothing sealed for an hour: %+v", c)
	}
}
