package integrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// deliver does what is due about one document; decision is what a person
// decided, or nil. It may be repeated at any time.
func (i *Integrator) deliver(ctx context.Context, id greffe.DocumentID, decision *greffe.Decided) error {
	doc, err := i.index.Document(ctx, id)
	if err != nil {
		return fault("deliver document", err)
	}
	if decision == nil {
		if doc.State.Final() {
			return i.retell(ctx, doc)
		}
		if _, ok := i.target(doc.Origin.Mailbox); !ok {
			return nil // rule "no-di", without taking the lineage for it
		}
	}
	held, free, err := i.lineages.take(ctx, doc.Lineage)
	if err != nil {
		return err
	}
	defer free()
	err = i.settle(held, id, decision)
	if err != nil && held.Err() != nil && ctx.Err() == nil {
		return bus.Later{After: leaseBusy, Reason: "lease on the lineage was lost"}
	}
	return err
}

// settle is deliver within the lineage.
func (i *Integrator) settle(ctx context.Context, id greffe.DocumentID, decision *greffe.Decided) error {
	doc, err := i.index.Document(ctx, id)
	if err != nil {
		return fault("deliver document", err)
	}
	if decision != nil {
		fresh, err := i.index.SaveDecision(ctx, *decision)
		if err != nil {
			return fault("apply decision", err)
		}
		switch {
		case !fresh && doc.State.Final() && doc.Outcome.At.After(decision.At):
			return i.retell(ctx, doc) // applied before a crash
		case doc.State == greffe.StateDelivered || doc.State == greffe.StateDuplicate:
			return nil // nothing is left to decide
		case decision.Verb == greffe.VerbDismiss:
			return i.tell(ctx, doc, greffe.Outcome{State: greffe.StateDismissed, Code: greffe.CodeDecision, Text: decision.Reason}, "")
		case decision.Verb == greffe.VerbRefuse:
			return i.tell(ctx, doc, greffe.Outcome{State: greffe.StateDismissed, Code: greffe.CodeRefusal, Text: decision.Reason}, "")
		case decision.Verb == greffe.VerbCopy:
			return i.copyOf(ctx, doc, *decision)
		case decision.Verb == greffe.VerbReopen:
			return i.reopen(ctx, doc, *decision)
		case doc.State == greffe.StateDismissed:
			return nil
		}
	} else if doc.State.Final() {
		return i.retell(ctx, doc)
	}
	attempt := ""
	if decision != nil {
		attempt = decision.ID
	}
	return i.work(ctx, doc, attempt)
}

// work decides about doc and carries the decision out. attempt names the reason
// of a repetition that was asked for: a decision, or the arrival of the parent.
func (i *Integrator) work(ctx context.Context, doc index.Document, attempt string) error {
	t, ok := i.target(doc.Origin.Mailbox)
	s, err := i.look(ctx, doc)
	if err != nil {
		return fault("deliver document", err)
	}
	s.di, s.asks = ok, attempt != ""
	p := decide(s)
	if p.claims {
		// Of two copies at once one wins; the other one is a duplicate of it.
		holder, err := i.index.Claim(ctx, doc.Identity, doc.ID)
		if err != nil {
			return fault("deliver document", err)
		}
		if holder != doc.ID {
			if s, err = i.look(ctx, doc); err != nil {
				return fault("deliver document", err)
			}
			s.di = ok
			p = decide(s)
		}
	}
	switch {
	case p.wait:
		if stuck(s) {
			return i.tell(ctx, doc, greffe.Outcome{State: greffe.StateTodo, Code: blocked, Text: textStuck}, "")
		}
		return bus.Later{After: i.turn(doc, s), Reason: "another version comes first"}
	case p.action != "":
		return i.send(ctx, doc, t, p, s, attempt)
	case p.state != "":
		var same greffe.DocumentID
		if p.state == greffe.StateDuplicate {
			same = s.same.ID
		}
		return i.tell(ctx, doc, greffe.Outcome{State: p.state, Code: p.rule, Text: p.text}, same)
	}
	return nil
}

// send gives the document to the DI and records the answer.
func (i *Integrator) send(ctx context.Context, doc index.Document, t target, p plan, s situation, attempt string) error {
	mail, err := i.index.Mail(ctx, doc.Message)
	if err != nil {
		return fault("deliver document", err)
	}
	technical := doc.State == greffe.StateIncident && strings.HasPrefix(doc.Outcome.Code, "AE")
	if doc.State != greffe.StateRefused && !technical {
		attempt = "" // only a definite answer calls for another MSH-10
	}
	d := Delivery{
		ID: doc.ID, Facts: doc.Facts, Action: p.action, Parent: p.parent, Mailbox: doc.Origin.Mailbox,
		Service: i.cfg.Services[doc.Origin.Mailbox], At: time.Now(), Size: doc.Object.Size, Open: i.open(ctx, doc), Mail: mail,
	}
	d.Control, d.UUID = identifiers(t.Name, doc.Identity, attempt)
	if attempt == "" && doc.Outcome.DI == t.Name && t.Protocol == "hl7v2" && doc.Outcome.Control != "" {
		d.Control = doc.Outcome.Control
	}
	if s.parent != nil {
		d.VisibilityChanged = p.action == greffe.ActionReplace && marks(s.parent.Facts) != marks(doc.Facts)
		if s.parent.Outcome.DI == t.Name {
			d.ParentReference = s.parent.Outcome.Reference
		}
	}
	if s.creation != nil && s.creation.Outcome.DI == t.Name {
		d.Reference = s.creation.Outcome.Reference
	}
	r, err := t.sender.Send(ctx, d)
	o := r.Outcome
	switch {
	case err == nil:
	case errors.Is(err, archive.ErrDigest) || errors.Is(err, archive.ErrNotFound):
		// What is in the archive is not what was archived: never sent, never silent.
		o = greffe.Outcome{State: greffe.StateIncident, Code: "archive",
			Text: "Le document archivé est absent ou altéré : rien n'a été envoyé. Prévenir le service informatique."}
		i.log.Error("archived document cannot be sent", slog.String("document", string(doc.ID)), slog.Any("error", err))
	case errors.Is(err, errContent):
		return fmt.Errorf("deliver document: %w: %w", bus.ErrUnavailable, err)
	default:
		return fmt.Errorf("deliver document: %w", err)
	}
	o.DI = t.Name
	if o.State == greffe.StateDelivered && p.action == greffe.ActionNew && doc.Facts.Action == greffe.ActionReplace {
		o.Text += " Il remplaçait une version que Greffe n'a pas transmise : il est arrivé comme nouveau document."
	}
	i.log.Info("document sent", slog.String("document", string(doc.ID)), slog.String("di", t.Name),
		slog.String("action", o.Action), slog.String("state", string(o.State)), slog.String("code", o.Code))
	if err := i.tell(ctx, doc, o, ""); err != nil {
		return err
	}
	switch o.State {
	case greffe.StateWaiting:
		first := time.Now()
		if again(doc.Outcome, o) {
			first = doc.Outcome.At
		}
		return bus.Later{After: i.pause(first, time.Now()), Reason: "the DI did not take the document"}
	case greffe.StateDelivered:
		return i.followers(ctx, doc, time.Now().UTC())
	}
	return nil
}

// marks names the confidentiality codes of a document, in order.
func marks(d greffe.Document) string {
	set := map[string]bool{}
	for _, c := range d.Confidentiality {
		set[c.Code] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(set)), " ")
}

// again reports whether o says what the outcome before it said.
func again(before, o greffe.Outcome) bool {
	return before.State == o.State && before.Code == o.Code && before.Control == o.Control
}

// retell publishes the outcome of a settled document again, unless this process
// knows that it was published: a crash may have come in between.
func (i *Integrator) retell(ctx context.Context, doc index.Document) error {
	if err := i.tell(ctx, doc, doc.Outcome, doc.DuplicateOf); err != nil {
		return err
	}
	// Also when the outcome was told: asking for what follows may have failed after it.
	if doc.State == greffe.StateDelivered {
		return i.followers(ctx, doc, doc.Outcome.At)
	}
	return nil
}

// tell records an outcome, then publishes it. An outcome that says what the last
// one said is not recorded again, and published again only if it may not have been.
func (i *Integrator) tell(ctx context.Context, doc index.Document, o greffe.Outcome, duplicateOf greffe.DocumentID) error {
	if o.State == "" || o.State == greffe.StateArchived {
		return nil
	}
	if again(doc.Outcome, o) {
		o, duplicateOf = doc.Outcome, doc.DuplicateOf
		if i.told.has(doc.ID, o.At) {
			return nil
		}
	} else {
		o.At = time.Now().UTC().Truncate(time.Millisecond)
		// The clocks of two hosts may differ: what comes after must look like it.
		if !o.At.After(doc.Outcome.At) {
			o.At = doc.Outcome.At.Add(time.Millisecond)
		}
	}
	message, err := i.index.SaveOutcome(ctx, doc.ID, o, duplicateOf)
	if err != nil {
		return fault("record outcome", err)
	}
	err = bus.Publish(ctx, i.bus, bus.Delivered, greffe.Delivered{Document: doc.ID, Origin: doc.Origin, Outcome: o, Message: message})
	if err != nil {
		return fmt.Errorf("publish outcome: %w: %w", bus.ErrUnavailable, err)
	}
	i.told.add(doc.ID, o.At)
	return nil
}

// fault says what was being done, and that the index is away unless it answered
// that there is nothing.
func fault(doing string, err error) error {
	if errors.Is(err, index.ErrNotFound) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w: %w", doing, bus.ErrUnavailable, err)
}
