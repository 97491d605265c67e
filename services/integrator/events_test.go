package integrator

import (
	"strings"
	"testing"

	"greffe/pkg/greffe"
	"greffe/pkg/hl7"
)

// A DI that does not take replacements or deletions is not sent any: a person makes the
// change there, and the queue goes on.
func TestWhatADIDoesNotTakeIsForAPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hl7v2")
	w.cfg.DIs[0].Events = []hl7.Event{hl7.First}
	w.run()
	w.becomes(w.receive(version(1))[0], greffe.StateDelivered)
	replaced := w.becomes(w.receive(version(2))[0], greffe.StateTodo)
	withdrawn := w.becomes(w.receive(deletion(version(1)))[0], greffe.StateTodo)
	for want, d := range map[string]string{"mettre la nouvelle version": replaced.Reason, "le retirer à la main": withdrawn.Reason} {
		if !strings.Contains(d, want) {
			t.Errorf("reason %q", d)
		}
	}
	if replaced.Outcome.Code != "hl7.events" || withdrawn.Outcome.Code != "hl7.events" {
		t.Errorf("codes %q, %q", replaced.Outcome.Code, withdrawn.Outcome.Code)
	}
	w.becomes(w.receive(document(7))[0], greffe.StateDelivered)
	if s := w.di.Stats(); s.Messages != 2 || s.New != 2 {
		t.Errorf("%+v", s)
	}

	w.cfg.DIs[0].Events = []hl7.Event{hl7.Replace}
	if _, err := New(w.cfg, w.bus, w.store, w.db, testLog(t)); err == nil {
		t.Error("a DI that takes no document is configured")
	}
}
