package index

import (
	"testing"
	"time"

	"greffe/pkg/greffe"
)

// The queue of a DI, on both engines: what is routed becomes due, what is put off comes
// back later, what is hastened at once, and what a person decided is carried out or known
// to be left.
func TestQueueOfADI(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ctx, now := t.Context(), time.Now().UTC().Truncate(time.Millisecond)
		if err := db.ConfigureDIs(ctx, []string{"dpi"}, nil); err != nil {
			t.Fatal(err)
		}
		id := save(t, db, message("a@ch.example", 1, document("1", 1, maelle))).Documents[0]
		if holder, err := db.Route(ctx, id, "identity", []string{"dpi"}, now, "attempt"); err != nil || holder != id {
			t.Fatal(holder, err)
		}
		row := func() Delivery {
			t.Helper()
			list, err := db.Deliveries(ctx, id)
			if err != nil || len(list) != 1 {
				t.Fatalf("%+v, %v", list, err)
			}
			return list[0]
		}
		due := func(at time.Time, want int) {
			t.Helper()
			if list, err := db.Due(ctx, "dpi", at, 10, false); err != nil || len(list) != want {
				t.Errorf("due at %s: %+v, %v, want %d", at, list, err, want)
			}
		}
		due(now, 1)
		later := now.Add(time.Hour)
		if err := db.Postpone(ctx, id, "dpi", later, true); err != nil {
			t.Fatal(err)
		}
		if r := row(); !r.Due.Equal(later) || r.Tries != 1 || r.Attempt != "attempt" {
			t.Errorf("put off: %+v", r)
		}
		due(now, 0)
		if _, err := db.SaveOutcome(ctx, id, greffe.Outcome{DI: "dpi", State: greffe.StateWaiting, Code: "AR", At: now, Next: later}, ""); err != nil {
			t.Fatal(err)
		}
		if q, err := db.Queues(ctx); err != nil || len(q) != 1 || q[0].Waiting != 1 || !q[0].Answered.IsZero() {
			t.Errorf("%+v, %v", q, err)
		}
		if err := db.Hasten(ctx, "dpi", now); err != nil {
			t.Fatal(err)
		}
		due(now, 1)
		refused := greffe.Outcome{DI: "dpi", State: greffe.StateRefused, Code: "AE 906", At: now.Add(time.Second)}
		if _, err := db.SaveOutcome(ctx, id, refused, ""); err != nil {
			t.Fatal(err)
		}
		if err := db.Told(ctx, []Delivery{{Document: id, DI: "dpi", Outcome: refused}}); err != nil {
			t.Fatal(err)
		}
		if r := row(); !r.Due.IsZero() || r.Attempt != "" || r.Tries != 0 {
			t.Errorf("told: %+v", r)
		}
		if q, err := db.Queues(ctx); err != nil || q[0].Waiting != 0 || !q[0].Answered.Equal(refused.At) {
			t.Errorf("%+v, %v", q, err)
		}

		left := func(want int) {
			t.Helper()
			if list, err := db.Unapplied(ctx, now.Add(time.Hour)); err != nil || len(list) != want {
				t.Errorf("to be carried out: %+v, %v, want %d", list, err, want)
			}
		}
		left(0)
		d := greffe.Decided{ID: "d1", Document: id, Verb: greffe.VerbRetry, By: "anne", At: now.Add(time.Minute)}
		if _, err := db.SaveDecision(ctx, d); err != nil {
			t.Fatal(err)
		}
		left(1)
		if _, err := db.Route(ctx, id, "", []string{"dpi"}, now, d.ID); err != nil {
			t.Fatal(err)
		}
		left(0)
		// The clock of the one who decided is ahead of that of the outcome: the journal knows.
		if _, err := db.SaveOutcome(ctx, id, greffe.Outcome{DI: "dpi", State: greffe.StateDelivered, Code: "AA", At: now.Add(2 * time.Second)}, ""); err != nil {
			t.Fatal(err)
		}
		left(0)
		if err := db.Postpone(ctx, id, "dpi", time.Time{}, false); err != nil {
			t.Fatal(err)
		}
		if r := row(); !r.Due.IsZero() {
			t.Errorf("never: %+v", r)
		}
	})
}
