package integrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// ErrNotTest is returned by Replay for a DI that is not one for tests: what it has got
// already must not come again.
var ErrNotTest = errors.New("integrator: not a DI for tests")

// Replayed is what a test DI said about one document.
type Replayed struct {
	Document greffe.DocumentID
	Outcome  greffe.Outcome // StateTodo: our rules hold it there
	Real     greffe.State   // of the document
}

// Replay sends the documents received from from until to (excluded) that a DI has, or
// refused, to a DI for tests, in the order in which they came, and hands f what it said.
// Nothing of it touches what became of them: it is in the journal (action "replayed") and
// nowhere else. Their identifiers are their own; the MSH-10 are new with each run, named by
// run, so that a DI that was mended does not give its old answers. Replacements and
// deletions are decided anew, by what the test DI has got in this run. An error ends it:
// of the index or the archive, of f, or a DI that does not answer (bus.ErrUnavailable).
func (i *Integrator) Replay(ctx context.Context, di, run, by string, from, to time.Time, f func(Replayed) error) error {
	n := slices.IndexFunc(i.targets, func(t target) bool { return t.Name == di })
	if n < 0 || !i.targets[n].Test {
		return fmt.Errorf("replay to %s: %w", di, ErrNotTest)
	}
	t := i.targets[n]
	got := map[greffe.DocumentID]greffe.Outcome{}
	return i.index.EachReceived(ctx, from, to, func(doc index.Document) error {
		mailbox := desk(doc)
		if doc.State != greffe.StateDelivered && doc.State != greffe.StateRefused || !t.serves(mailbox, i.cfg.Services[mailbox].Code) || !t.takes(doc.Facts) {
			return nil
		}
		o, err := i.replayOne(ctx, t, doc, run, got)
		if err != nil {
			return fmt.Errorf("replay document %s: %w", doc.ID, err)
		}
		got[doc.ID] = o
		if err := i.index.SaveReplayed(ctx, doc.ID, by, o); err != nil {
			return fmt.Errorf("replay document %s: %w", doc.ID, err)
		}
		if err := f(Replayed{doc.ID, o, doc.State}); err != nil {
			return err
		}
		if o.State == greffe.StateWaiting {
			return fmt.Errorf("replay document %s: %w: %s", doc.ID, bus.ErrUnavailable, o.Text)
		}
		return nil
	})
}

// replayOne sends one document; got is what the DI has said in this run.
func (i *Integrator) replayOne(ctx context.Context, t target, doc index.Document, run string, got map[greffe.DocumentID]greffe.Outcome) (greffe.Outcome, error) {
	s := situation{doc: doc, di: true, plain: t.plain(), untried: map[greffe.DocumentID]bool{}}
	if err := i.relatives(ctx, &s); err != nil {
		return greffe.Outcome{}, err
	}
	here := func(d *index.Document) bool {
		o, ok := got[d.ID]
		if d.Outcome = o; !ok {
			o.State = greffe.StateDismissed // it never comes there
		}
		d.State = o.State
		return ok
	}
	s.doc.State, s.doc.Outcome = greffe.StateArchived, greffe.Outcome{}
	s.lineage = slices.DeleteFunc(s.lineage, func(d index.Document) bool { return !here(&d) })
	for n := range s.lineage {
		here(&s.lineage[n])
	}
	for _, d := range []**index.Document{&s.parent, &s.creation} {
		if *d == nil {
			continue
		}
		own := **d
		if *d = &own; !here(&own) {
			*d = nil
		}
	}
	p := decide(s)
	if p.action == "" {
		text := p.text
		if p.wait {
			text = "Une autre version devrait venir d’abord."
		}
		return greffe.Outcome{DI: t.Name, State: greffe.StateTodo, Code: p.rule, Text: text, At: time.Now().UTC()}, nil
	}
	d, err := i.delivery(ctx, t, doc, p, s)
	if err != nil {
		return greffe.Outcome{}, err
	}
	d.Control, d.UUID = identifiers(t.Name, claimOf(doc), "replay/"+run)
	r, err := t.sender.Send(ctx, d)
	o := r.Outcome
	o.DI, o.At = t.Name, time.Now().UTC().Truncate(time.Millisecond)
	return o, err
}

// Close ends the connections of an Integrator that was made for Replay or Check and not
// run.
func (i *Integrator) Close() { i.close() }
