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
			return i.tell(ctx, doc, greffe.Outcome{State: greffe.StateDismissed, Code: "decision", Text: decision.Reason}, "")
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

// turn returns when to look again whether the other version is settled: soon when
// it has just arrived, too, and at the pace of the retries when it waits for the DI.
func (i *Integrator) turn(doc index.Document, s situation) time.Duration {
	for _, d := range []*index.Document{s.parent, s.creation} {
		if d != nil && d.State == greffe.StateWaiting {
			return i.cfg.Retry[0]
		}
	}
	if time.Since(doc.ArchivedAt) < time.Minute {
		return lineBusy
	}
	return i.cfg.Retry[0]
}

// look reads what the decision depends on.
func (i *Integrator) look(ctx context.Context, doc index.Document) (situation, error) {
	s := situation{doc: doc}
	holder, err := i.index.Holder(ctx, doc.Identity)
	switch {
	case errors.Is(err, index.ErrNotFound):
	case err != nil:
		return s, err
	case holder != doc.ID:
		same, err := i.index.Document(ctx, holder)
		if err != nil {
			return s, err
		}
		s.same = &same
	}
	chain, err := i.index.SameLineage(ctx, doc.Lineage)
	if err != nil {
		return s, err
	}
	for _, d := range chain {
		if d.ID != doc.ID && d.State != greffe.StateDuplicate {
			s.lineage = append(s.lineage, d)
		}
	}
	if doc.Facts.UniqueID.IsZero() {
		return s, nil
	}
	// A deletion without setId belongs to another lineage than what it deletes.
	namesakes, err := i.index.WithUniqueID(ctx, doc.Facts.UniqueID)
	if err != nil {
		return s, err
	}
	for _, d := range namesakes {
		if d.ID != doc.ID && d.State != greffe.StateDuplicate && !slices.ContainsFunc(s.lineage, func(o index.Document) bool { return o.ID == d.ID }) {
			s.lineage = append(s.lineage, d)
		}
	}
	if doc.Facts.Action == greffe.ActionDelete {
		s.creation = i.routed(best(namesakes, doc.ID))
		return s, nil
	}
	if !doc.Facts.Replaces.IsZero() {
		parents, err := i.index.WithUniqueID(ctx, doc.Facts.Replaces)
		if err != nil {
			return s, err
		}
		s.parent = i.routed(best(parents, doc.ID))
		return s, nil
	}
	if doc.Facts.Action == greffe.ActionReplace && !doc.Facts.SetID.IsZero() {
		s.parent = i.routed(before(s.lineage, doc.Facts))
	}
	return s, nil
}

// routed returns d, or nil when d came to a mailbox without a DI: it will never
// be delivered, and waiting for it would be for ever.
func (i *Integrator) routed(d *index.Document) *index.Document {
	if d == nil {
		return nil
	}
	if _, ok := i.target(d.Origin.Mailbox); !ok && !d.State.Final() {
		return nil
	}
	return d
}

// best returns the copy of a document that speaks for it: the one the DI has,
// else one that is still worked on, else the first. Deletions are not copies.
func best(copies []index.Document, but greffe.DocumentID) *index.Document {
	var found *index.Document
	rank := func(d *index.Document) int {
		switch {
		case d.State == greffe.StateDelivered:
			return 2
		case !d.State.Final():
			return 1
		}
		return 0
	}
	for n := range copies {
		d := &copies[n]
		if d.ID == but || d.Facts.Action == greffe.ActionDelete || d.State == greffe.StateDuplicate {
			continue
		}
		if found == nil || rank(d) > rank(found) {
			found = d
		}
	}
	return found
}

// before returns the newest of the versions in a set that are older than f.
func before(set []index.Document, f greffe.Document) *index.Document {
	var found *index.Document
	for n := range set {
		d := &set[n]
		if d.Facts.Action != greffe.ActionDelete && d.Facts.SetID == f.SetID && d.Facts.Version < f.Version &&
			(found == nil || d.Facts.Version > found.Facts.Version) {
			found = d
		}
	}
	return found
}

// send gives the document to the DI and records the answer.
func (i *Integrator) send(ctx context.Context, doc index.Document, t target, p plan, s situation, attempt string) error {
	m, err := i.index.Message(ctx, doc.Message)
	if err != nil {
		return fault("deliver document", err)
	}
	if doc.State != greffe.StateRefused {
		attempt = "" // only a definite answer calls for another MSH-10
	}
	d := Delivery{
		ID: doc.ID, Facts: doc.Facts, Action: p.action, Parent: p.parent, Mailbox: doc.Origin.Mailbox,
		Service: i.cfg.Services[doc.Origin.Mailbox], At: time.Now(), Size: doc.Object.Size, Open: i.open(ctx, doc),
	}
	d.Control, d.UUID = identifiers(t.Name, doc.Identity, attempt)
	if attempt == "" && doc.Outcome.DI == t.Name && t.Protocol == "hl7v2" && doc.Outcome.Control != "" {
		d.Control = doc.Outcome.Control
	}
	if m.Parsed != nil {
		d.Mail = m.Parsed.Message
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
	o, err := t.sender.Send(ctx, d)
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

// followers asks for what was held up only because doc was not in the DI: a
// replacement that the DI answered 900, or that waited for a person to see to its
// parent. Each is asked for once for each parent that arrives, by an event of its
// own, so that its retries do not hang on the event of doc.
func (i *Integrator) followers(ctx context.Context, doc index.Document, delivered time.Time) error {
	if doc.Facts.UniqueID.IsZero() || doc.Facts.Action == greffe.ActionDelete {
		return nil
	}
	chain, err := i.index.SameLineage(ctx, doc.Lineage)
	if err != nil {
		return fault("look for next version", err)
	}
	for _, d := range chain {
		blocked := d.State == greffe.StateRefused && strings.HasSuffix(d.Outcome.Code, "900") ||
			d.State == greffe.StateTodo && d.Outcome.Code == "replace-blocked"
		if !blocked || d.ID == doc.ID || d.Facts.Action == greffe.ActionDelete || d.Facts.Replaces != doc.Facts.UniqueID {
			continue
		}
		e := greffe.Decided{
			ID: "after/" + string(doc.ID) + "/" + string(d.ID), Document: d.ID, Verb: greffe.VerbRetry,
			Reason: "La version précédente est arrivée dans le DI.", By: "integrator", At: delivered,
		}
		if err := bus.Publish(ctx, i.bus, bus.Decided, e); err != nil {
			return fmt.Errorf("ask for next version: %w: %w", bus.ErrUnavailable, err)
		}
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
	if i.told.has(doc.ID, doc.Outcome.At) {
		return nil
	}
	if err := i.tell(ctx, doc, doc.Outcome, doc.DuplicateOf); err != nil {
		return err
	}
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
