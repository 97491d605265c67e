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

// stuck reports whether waiting is no use: the other document was archived long ago and
// waits itself, or is on its way nowhere, while nothing of the lineage waits for the DI:
// documents that name each other in a circle wait for one another.
func stuck(s situation) bool {
	if slices.ContainsFunc(s.lineage, func(d index.Document) bool { return d.State == greffe.StateWaiting }) {
		return false
	}
	for _, d := range []*index.Document{s.parent, s.creation} {
		if d != nil && d.State == greffe.StateArchived && time.Since(d.ArchivedAt) > stuckAfter && time.Since(s.doc.ArchivedAt) > stuckAfter && !s.untried[d.ID] {
			return true
		}
	}
	return false
}

// chain returns the other documents that belong to the versions of doc: those of
// its lineage and, for a document without setId, those that replace it.
func (i *Integrator) chain(ctx context.Context, doc index.Document) ([]index.Document, error) {
	if doc.Facts.UniqueID.IsZero() {
		return nil, nil // what has no number has no versions
	}
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

// look reads what the decision about a document depends on, as it is at a DI; for di ""
// what does not depend on one.
func (i *Integrator) look(ctx context.Context, doc index.Document, di string) (situation, error) {
	s := situation{doc: doc, here: i.cfg.Environment, untried: map[greffe.DocumentID]bool{}}
	dis, other := i.route(doc)
	s.di, s.other = len(dis) > 0, other
	// A clock that was set back makes no document young again.
	age := time.Since(doc.ArchivedAt)
	s.young = age >= 0 && age < i.cfg.Order
	holder, err := i.index.Holder(ctx, claimOf(doc))
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
	default:
		s.claimed = true
	}
	if di == "" {
		return s, nil
	}
	if err := i.relatives(ctx, &s); err != nil {
		return s, err
	}
	return s, i.project(ctx, &s, di)
}

// claimOf is what of a document is sent at most once: its identity and, for one without a
// header, the patient that a person chose, since the same sheet may be for several.
func claimOf(d index.Document) string {
	if d.Chosen == nil || isCDA(d.Facts) {
		return d.Identity
	}
	return d.Identity + "/" + string(greffe.DigestOf([]byte(d.Chosen.INS.String()))[:32])
}

// project shows every document as it stands at a DI. One that never goes there takes no
// part; what stands for the whole document stands there, too.
func (i *Integrator) project(ctx context.Context, s *situation, di string) error {
	var ids []greffe.DocumentID
	for _, d := range s.all() {
		ids = append(ids, d.ID)
	}
	rows, err := i.index.Deliveries(ctx, ids...)
	if err != nil {
		return err
	}
	by := map[greffe.DocumentID][]index.Delivery{}
	for _, r := range rows {
		by[r.Document] = append(by[r.Document], r)
	}
	// at changes d, and reports whether the DI has anything to do with it.
	at := func(d *index.Document) bool {
		here, ok := rowAt(by[d.ID], di)
		if ok && here.Outcome.State != "" {
			d.State, d.Outcome = here.State, here.Outcome
			return true
		}
		if r, whole := rowAt(by[d.ID], ""); whole {
			d.State, d.Outcome = r.State, r.Outcome
			return true
		}
		d.State, d.Outcome = greffe.StateArchived, greffe.Outcome{}
		if ok {
			s.untried[d.ID] = here.Tries == 0 && !here.Due.IsZero()
			return true
		}
		dis, _ := i.route(*d)
		return len(by[d.ID]) == 0 && slices.Contains(dis, di)
	}
	if !at(&s.doc) {
		s.doc.State, s.doc.Outcome = greffe.StateArchived, greffe.Outcome{}
	}
	for n := range s.lineage {
		at(&s.lineage[n])
	}
	for _, d := range []**index.Document{&s.parent, &s.creation} {
		if *d == nil {
			continue
		}
		own := **d // it may be one of the lineage
		*d = &own
		if !at(&own) {
			*d = nil // it will never be there, and waiting for it would be for ever
		}
	}
	return nil
}

// all returns the documents of the situation.
func (s *situation) all() []index.Document {
	list := append([]index.Document{s.doc}, s.lineage...)
	for _, d := range []*index.Document{s.parent, s.creation} {
		if d != nil {
			list = append(list, *d)
		}
	}
	return list
}

// relatives reads the documents that this one has to do with.
func (i *Integrator) relatives(ctx context.Context, s *situation) (err error) {
	doc := s.doc
	if s.lineage, err = i.chain(ctx, doc); err != nil {
		return err
	}
	if doc.Facts.UniqueID.IsZero() {
		return nil
	}
	// A deletion without setId belongs to another lineage than what it deletes.
	namesakes, err := i.index.WithUniqueID(ctx, doc.Facts.UniqueID)
	if err != nil {
		return err
	}
	for _, d := range namesakes {
		if d.ID != doc.ID && d.State != greffe.StateDuplicate && !slices.ContainsFunc(s.lineage, func(o index.Document) bool { return o.ID == d.ID }) {
			s.lineage = append(s.lineage, d)
		}
	}
	if doc.Facts.Action == greffe.ActionDelete {
		s.creation = best(namesakes, doc.ID)
		return nil
	}
	if !doc.Facts.Replaces.IsZero() {
		parents, err := i.index.WithUniqueID(ctx, doc.Facts.Replaces)
		if err != nil {
			return err
		}
		s.parent = best(parents, doc.ID)
		return nil
	}
	if doc.Facts.Action == greffe.ActionReplace && !doc.Facts.SetID.IsZero() {
		s.parent = before(s.lineage, doc.Facts)
	}
	return nil
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

// followers has what waited for doc at a DI go on: what waits for its turn is handed over,
// and once the DI has doc, what was held up only because it had not is asked for: a
// replacement that the DI answered 900, or that waited for a person to see to its parent.
// Each is asked for once for each parent that arrives, by an event of its own.
func (i *Integrator) followers(ctx context.Context, q *queue, doc index.Document, o greffe.Outcome) error {
	if doc.Facts.UniqueID.IsZero() {
		return nil
	}
	s := situation{doc: doc, untried: map[greffe.DocumentID]bool{}}
	var err error
	if s.lineage, err = i.chain(ctx, doc); err != nil {
		return fault("look for next version", err)
	}
	if len(s.lineage) == 0 {
		return nil
	}
	if err := i.project(ctx, &s, q.t.Name); err != nil {
		return fault("look for next version", err)
	}
	for _, d := range s.lineage {
		if !d.State.Final() {
			q.push(d.ID)
			continue
		}
		held := d.State == greffe.StateRefused && strings.HasSuffix(d.Outcome.Code, "900") ||
			d.State == greffe.StateTodo && d.Outcome.Code == blocked
		if !held || o.State != greffe.StateDelivered || doc.Facts.Action == greffe.ActionDelete ||
			d.Facts.Action == greffe.ActionDelete || d.Facts.Replaces != doc.Facts.UniqueID {
			continue
		}
		e := greffe.Decided{
			ID: "after/" + q.t.Name + "/" + string(doc.ID) + "/" + string(d.ID), Document: d.ID, Verb: greffe.VerbRetry, DI: q.t.Name,
			Reason: "La version précédente est arrivée dans le DI.", By: "integrator", At: o.At,
		}
		if err := bus.Publish(ctx, i.bus, bus.Decided, e); err != nil {
			return fmt.Errorf("ask for next version: %w: %w", bus.ErrUnavailable, err)
		}
	}
	return nil
}
