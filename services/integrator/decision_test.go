package integrator

import (
	"context"
	"testing"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// TestPersonsWord: what a person says about a document is done: refused, a copy of what
// the DI has (and of nothing else), put aside and taken up again.
func TestPersonsWord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hl7v2")
	w.run()
	say := func(id greffe.DocumentID, verb greffe.Verb, of greffe.DocumentID) {
		t.Helper()
		d := greffe.Decided{ID: string(verb) + string(id) + string(of), Document: id, Verb: verb, Reason: "parce que", Of: of, By: "claire", At: time.Now().UTC()}
		if err := bus.Publish(context.WithoutCancel(t.Context()), w.bus, bus.Decided, d); err != nil {
			t.Fatal(err)
		}
	}
	in := w.receive(document(1))[0]
	w.becomes(in, greffe.StateDelivered)
	ids := w.receive(unknown(document(2)), unknown(document(3)), unknown(document(4)))
	for _, id := range ids {
		w.becomes(id, greffe.StateRefused)
	}
	say(ids[0], greffe.VerbRefuse, "")
	if d := w.becomes(ids[0], greffe.StateDismissed); d.Outcome.Code != greffe.CodeRefusal || !d.Outcome.Refused() || d.Reason != "parce que" {
		t.Errorf("%+v", d.Outcome)
	}
	say(ids[1], greffe.VerbCopy, ids[2]) // which the DI does not have
	if d := w.becomes(ids[1], greffe.StateTodo); d.Outcome.Code != greffe.CodeReopened {
		t.Errorf("%+v", d.Outcome)
	}
	say(ids[1], greffe.VerbCopy, in)
	if d := w.becomes(ids[1], greffe.StateDuplicate); d.DuplicateOf != in {
		t.Errorf("duplicate of %q", d.DuplicateOf)
	}
	say(ids[2], greffe.VerbDismiss, "")
	w.becomes(ids[2], greffe.StateDismissed)
	say(ids[2], greffe.VerbReopen, "")
	if d := w.becomes(ids[2], greffe.StateTodo); d.Outcome.Cause() != greffe.CauseReopened {
		t.Errorf("%+v", d.Outcome)
	}
	// A refusal is not taken back: the sender was told.
	say(ids[0], greffe.VerbReopen, "")
	say(ids[2], greffe.VerbDismiss, "again")
	w.becomes(ids[2], greffe.StateDismissed)
	if d := w.becomes(ids[0], greffe.StateDismissed); d.Outcome.Code != greffe.CodeRefusal {
		t.Errorf("%+v", d.Outcome)
	}
	w.stats(1, 0, 0, 0)
}
