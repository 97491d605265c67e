package integrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// blocked is the rule under which a document waits for a person because of the
// version before it; it goes on by itself when that one is delivered.
const blocked = "replace-blocked"

// stuckAfter is how long a document waits for another that nobody works on.
const stuckAfter = time.Hour

const textStuck = "La version précédente de ce document n'avance pas : voir ce qui la retient, ou classer l'une des deux."

// stuck reports whether waiting is no use: the other document was archived long
// ago and was never even tried, because its event is a dead letter or because
// documents that name each other in a circle wait for one another.
func stuck(s situation) bool {
	for _, d := range []*index.Document{s.parent, s.creation} {
		if d != nil && d.State == greffe.StateArchived && time.Since(d.ArchivedAt) > stuckAfter && time.Since(s.doc.ArchivedAt) > stuckAfter {
			return true
		}
	}
	return false
}

// chain returns the other documents that belong to the versions of doc: those of
// its lineage and, for a document without setId, those that replace it.
func (i *Integrator) chain(ctx context.Context, doc index.Document) ([]index.Document, error) {
	names := []string{doc.Lineage}
	if !doc.Facts.UniqueID.IsZero() && doc.Facts.SetID.IsZero() {
		next := greffe.Document{Replaces: doc.Facts.UniqueID}
		if name := next.Lineage(); name != doc.Lineage {
			names = append(names, name)
		}
	}
	var out []index.Document
	for _, name := range names {
		list, err := i.index.SameLineage(ctx, name)
		if err != nil {
			return nil, err
		}
		for _, d := range list {
			if d.ID != doc.ID && d.State != greffe.StateDuplicate {
				out = append(out, d)
			}
		}
	}
	return out, nil
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
	// A clock that was set back makes no document young again.
	age := time.Since(doc.ArchivedAt)
	s.young = age >= 0 && age < i.cfg.Order
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
	if s.lineage, err = i.chain(ctx, doc); err != nil {
		return s, err
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

// followers asks for what was held up only because doc was not in the DI: a
// replacement that the DI answered 900, or that waited for a person to see to its
// parent. Each is asked for once for each parent that arrives, by an event of its
// own, so that its retries do not hang on the event of doc.
func (i *Integrator) followers(ctx context.Context, doc index.Document, delivered time.Time) error {
	if doc.Facts.UniqueID.IsZero() || doc.Facts.Action == greffe.ActionDelete {
		return nil
	}
	chain, err := i.chain(ctx, doc)
	if err != nil {
		return fault("look for next version", err)
	}
	for _, d := range chain {
		held := d.State == greffe.StateRefused && strings.HasSuffix(d.Outcome.Code, "900") ||
			d.State == greffe.StateTodo && d.Outcome.Code == blocked
		if !held || d.Facts.Action == greffe.ActionDelete || d.Facts.Replaces != doc.Facts.UniqueID {
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
