package index

import (
	"cmp"
	"errors"
	"slices"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

// TestActivities: each document of the time once, with what became of it, whether a person
// had a hand in it, and who sent it when a person needs to know.
func TestActivities(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		a := save(t, db, message("a@ch.example", 1, document("1", 1, maelle), document("2", 1, maelle), document("3", 1, maelle)))
		outcome(t, db, a.Documents[2], greffe.Outcome{State: greffe.StateDismissed, Code: greffe.CodeRefusal, At: start.Add(time.Hour)})
		outcome(t, db, a.Documents[0], greffe.Outcome{State: greffe.StateDelivered, Code: "AA", At: start.Add(time.Hour)})
		outcome(t, db, a.Documents[1], greffe.Outcome{State: greffe.StateRefused, Code: "AE 902", At: start.Add(time.Hour)})
		if _, err := db.SaveDecision(t.Context(), greffe.Decided{ID: "d", Document: a.Documents[1], Verb: greffe.VerbRetry, By: "claire", At: start.Add(2 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
		var got []Activity
		each := func(x Activity) error { got = append(got, x); return nil }
		if err := db.Activities(t.Context(), start, start.Add(24*time.Hour), each); err != nil {
			t.Fatal(err)
		}
		if len(got) != 3 {
			t.Fatalf("%d documents, want 3", len(got))
		}
		slices.SortFunc(got, func(x, y Activity) int { return cmp.Compare(x.State, y.State) }) // classé, intégré, refusé
		if x := got[0]; x.Outcome.Code != greffe.CodeRefusal || x.Sender == "" {
			t.Errorf("put aside: %+v", x)
		}
		got = got[1:]
		if x := got[0]; x.State != greffe.StateDelivered || x.ByHand || x.Sender != "" || x.Mailbox != "a@ch.example" || x.Folder == "" || x.ReceivedAt.IsZero() || x.Outcome.At.IsZero() {
			t.Errorf("delivered: %+v", x)
		}
		if x := got[1]; x.Outcome.Code != "AE 902" || !x.ByHand || x.Sender == "" {
			t.Errorf("refused: %+v", x)
		}
		got = nil
		if err := db.Activities(t.Context(), start.Add(-24*time.Hour), start, each); err != nil || len(got) != 0 {
			t.Errorf("the day before: %v, %v", got, err)
		}
		stop := errors.New("stop")
		if err := db.Activities(t.Context(), start, start.Add(24*time.Hour), func(Activity) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("an error of the reader: %v", err)
		}
	})
}

// TestMailboxState: what waits for a person and since when, and when somebody last looked.
func TestMailboxState(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		first := save(t, db, message("a@ch.example", 1, document("1", 1, maelle)))
		second := save(t, db, message("a@ch.example", 2, document("2", 1, maelle)))
		outcome(t, db, first.Documents[0], greffe.Outcome{State: greffe.StateRefused, Code: "AE 902", At: start})
		outcome(t, db, second.Documents[0], greffe.Outcome{State: greffe.StateTodo, Code: "pdf", At: start})
		for _, at := range []time.Time{start.Add(time.Hour), start} { // the later one stays
			if err := db.SaveConsulted(t.Context(), []string{"a@ch.example", "b@ch.example"}, at); err != nil {
				t.Fatal(err)
			}
		}
		s, err := db.Mailbox(t.Context(), "a@ch.example")
		if err != nil {
			t.Fatal(err)
		}
		m, err := db.Message(t.Context(), first.ID)
		if err != nil {
			t.Fatal(err)
		}
		if s.Counts[greffe.StateTodo] != 1 || s.Counts[greffe.StateRefused] != 1 || !s.OldestAt.Equal(m.ReceivedAt) || !s.Consulted.Equal(start.Add(time.Hour)) {
			t.Errorf("%+v, oldest want %v", s, m.ReceivedAt)
		}
		// What is passed to another service waits there, since it was taken, and not here any more.
		move := greffe.Triaged{ID: "m", Message: first.ID, Verb: greffe.VerbMove, To: "b@ch.example", By: "claire", At: start.Add(2 * time.Hour)}
		if fresh, err := db.SaveTriage(t.Context(), move); err != nil || !fresh {
			t.Fatalf("%v, %v", fresh, err)
		}
		left, err := db.Message(t.Context(), second.ID)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := db.Mailbox(t.Context(), "a@ch.example"); err != nil || s.Counts[greffe.StateTodo] != 1 || s.Counts[greffe.StateRefused] != 0 || !s.OldestAt.Equal(left.ReceivedAt) {
			t.Errorf("where it was passed on: %+v, oldest want %v, %v", s, left.ReceivedAt, err)
		}
		if s, err := db.Mailbox(t.Context(), "b@ch.example"); err != nil || s.Counts[greffe.StateRefused] != 1 || !s.OldestAt.Equal(m.ReceivedAt) {
			t.Errorf("where it was passed to: %+v, oldest want %v, %v", s, m.ReceivedAt, err)
		}
		if s, err := db.Mailbox(t.Context(), "none@ch.example"); err != nil || !s.OldestAt.IsZero() || !s.Consulted.IsZero() || len(s.Counts) != 0 {
			t.Errorf("an unknown mailbox: %+v, %v", s, err)
		}
	})
}

// TestUnattended: a mailbox where nothing waits is never unattended, and one that nobody
// ever opened not before something has waited there for long enough.
func TestUnattended(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	ago := func(d time.Duration) time.Time { return start.Add(-d) }
	for name, c := range map[string]struct {
		oldest, consulted time.Time
		after             time.Duration
		want              bool
	}{
		"nothing waits, nobody looked": {after: 7 * day},
		"nothing waits":                {consulted: ago(30 * day), after: 7 * day},
		"waits since yesterday":        {oldest: ago(day), after: 7 * day},
		"waits for long":               {oldest: ago(8 * day), after: 7 * day, want: true},
		"waits for long, was seen":     {oldest: ago(8 * day), consulted: ago(day), after: 7 * day},
		"both long ago":                {oldest: ago(9 * day), consulted: ago(8 * day), after: 7 * day, want: true},
		"not to be told":               {oldest: ago(9 * day)},
	} {
		if got := (MailboxState{OldestAt: c.oldest, Consulted: c.consulted}).UnattendedFor(c.after, start); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
