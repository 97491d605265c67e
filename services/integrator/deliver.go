package integrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// admit does what is due about a document as a whole: it is left to a person, linked to
// the copy that came first, or put on its way to each of its DIs, whose queues do the rest.
// decision is what a person decided, or nil. It may be repeated at any time.
func (i *Integrator) admit(ctx context.Context, id greffe.DocumentID, decision *greffe.Decided) error {
	if !i.admitting.begin(id) {
		return bus.Later{After: lineBusy, Reason: "the document is being admitted"}
	}
	defer i.admitting.end(id)
	fresh := false
	if decision != nil {
		var err error
		if fresh, err = i.index.SaveDecision(ctx, *decision); err != nil {
			return fault("apply decision", err)
		}
	}
	doc, err := i.index.Document(ctx, id)
	if err != nil {
		return fault("admit document", err)
	}
	rows, err := i.index.Deliveries(ctx, id)
	if err != nil {
		return fault("admit document", err)
	}
	if decision == nil {
		return i.admitNew(ctx, doc, rows)
	}
	if !fresh && doc.State.Final() && doc.Outcome.At.After(decision.At) {
		return i.retellAll(ctx, doc, rows) // applied before a crash
	}
	switch decision.Verb {
	case greffe.VerbDismiss, greffe.VerbRefuse:
		return i.putAside(ctx, doc, rows, *decision)
	case greffe.VerbCopy:
		if doc.State.Settled() {
			return nil
		}
		return i.copyOf(ctx, doc, *decision)
	case greffe.VerbReopen:
		return i.reopen(ctx, doc, *decision)
	}
	if doc.State.Settled() && doc.State != greffe.StateDelivered {
		return nil // nothing is left to decide
	}
	return i.admitAsked(ctx, doc, rows, *decision, fresh)
}

// admitNew admits a document that an event or the index speaks of.
func (i *Integrator) admitNew(ctx context.Context, doc index.Document, rows []index.Delivery) error {
	if len(rows) > 0 && (doc.State.Final() || len(rows) > 1 || rows[0].DI != "") {
		return i.retellAll(ctx, doc, rows)
	}
	s, err := i.look(ctx, doc, "")
	if err != nil {
		return fault("admit document", err)
	}
	p, held := admit(s)
	if held && p.state == greffe.StateTodo {
		// A person may have answered this very question for an earlier version.
		known, err := i.recall(ctx, doc, p.rule)
		if err != nil || known {
			return err
		}
	}
	if held {
		return i.settleWhole(ctx, doc, s, p)
	}
	dis, _ := i.route(doc)
	return i.send(ctx, doc, s, dis, "")
}

// admitAsked admits what a person wants sent: to each DI that has not settled it, or to
// the one that she named.
func (i *Integrator) admitAsked(ctx context.Context, doc index.Document, rows []index.Delivery, d greffe.Decided, fresh bool) error {
	s, err := i.look(ctx, doc, "")
	if err != nil {
		return fault("apply decision", err)
	}
	s.asks = true
	var dis []string
	dis, s.other = i.route(doc)
	for _, r := range rows {
		if r.DI != "" && i.queue(r.DI) != nil && !slices.Contains(dis, r.DI) {
			dis = append(dis, r.DI) // routed there before the settings changed
		}
	}
	s.di = len(dis) > 0
	if p, held := admit(s); held {
		return i.settleWhole(ctx, doc, s, p)
	}
	_, whole := rowAt(rows, "")
	var asked []string
	for _, di := range dis {
		r, ok := rowAt(rows, di)
		switch {
		case d.DI != "" && d.DI != di:
		case ok && (r.State == greffe.StateDelivered || r.State.Settled() && !whole):
		case ok && r.Attempt == d.ID: // asked before a crash
			i.queue(di).push(doc.ID)
		case ok && !fresh && r.Outcome.At.After(d.At): // applied before a crash
		default:
			asked = append(asked, di)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	return i.send(ctx, doc, s, asked, d.ID)
}

// settleWhole records what the rules say about the document itself.
func (i *Integrator) settleWhole(ctx context.Context, doc index.Document, s situation, p plan) error {
	if p.state == "" {
		return nil
	}
	var same greffe.DocumentID
	if p.state == greffe.StateDuplicate {
		same = s.same.ID
	}
	return i.tell(ctx, doc, doc.Outcome, greffe.Outcome{State: p.state, Code: p.rule, Text: p.text}, same)
}

// send puts a document on its way to DIs. It stands for its identity from now on when it
// will be sent as it is; when a rule of a DI holds it first, a copy of it may still go.
func (i *Integrator) send(ctx context.Context, doc index.Document, s situation, dis []string, attempt string) error {
	identity := ""
	if !s.claimed {
		claims := true
		if len(doc.Facts.Patient.IDs) > 0 { // what is named may have relatives
			if err := i.relatives(ctx, &s); err != nil {
				return fault("admit document", err)
			}
			for _, di := range dis {
				at := s
				at.lineage = slices.Clone(s.lineage)
				if err := i.project(ctx, &at, di); err != nil {
					return fault("admit document", err)
				}
				at.plain = true
				claims = claims && decide(at).claims
			}
		}
		if claims {
			identity = claimOf(doc)
		}
	}
	due := time.Now().Add(ownFor)
	for _, di := range dis {
		if !i.queue(di).room() {
			due = time.Now() // more than this process can hold: whoever pumps brings it when its turn comes
		}
	}
	holder, err := i.index.Route(ctx, doc.ID, identity, dis, due, attempt)
	if err != nil {
		return fault("admit document", err)
	}
	if holder != doc.ID { // of two copies at once one wins; the other one is a duplicate of it
		if s, err = i.look(ctx, doc, ""); err != nil {
			return fault("admit document", err)
		}
		if p, held := admit(s); held {
			return i.settleWhole(ctx, doc, s, p)
		}
		return bus.Later{After: lineBusy, Reason: "the other copy was settled otherwise"}
	}
	for _, di := range dis {
		i.queue(di).push(doc.ID)
	}
	return nil
}

// putAside carries out that a person wants nothing more done about a document: at each DI
// that has not settled it, or as a whole.
func (i *Integrator) putAside(ctx context.Context, doc index.Document, rows []index.Delivery, d greffe.Decided) error {
	o := greffe.Outcome{State: greffe.StateDismissed, Code: greffe.CodeDecision, Text: d.Reason}
	if d.Verb == greffe.VerbRefuse {
		o.Code = greffe.CodeRefusal
	}
	n := 0
	for _, r := range rows {
		if r.DI == "" || r.State.Settled() || d.DI != "" && r.DI != d.DI {
			continue
		}
		n++
		o := o
		o.DI, o.Control = r.DI, r.Outcome.Control
		err := i.alone(ctx, r.DI, doc, func(ctx context.Context) error { return i.tell(ctx, doc, r.Outcome, o, "") })
		if err != nil {
			return err
		}
	}
	if n > 0 || doc.State.Settled() {
		return nil
	}
	return i.tell(ctx, doc, doc.Outcome, o, "")
}

// alone calls f while nothing of the lineage is sent to the DI.
func (i *Integrator) alone(ctx context.Context, di string, doc index.Document, f func(ctx context.Context) error) error {
	freed := func() {}
	if q := i.queue(di); q != nil {
		freed = func() { q.unpark(doc.Lineage) }
	}
	held, free, err := i.lineages.take(ctx, di+"/"+doc.Lineage, func() {}, freed)
	if errors.Is(err, errParked) {
		return bus.Later{After: lineBusy, Reason: "the document is being sent"}
	}
	if err != nil {
		return err
	}
	defer free()
	return f(held)
}

// retellAll has what is known about a document told again, or gone on with, unless this
// process knows that it was: a crash may have come in between.
func (i *Integrator) retellAll(ctx context.Context, doc index.Document, rows []index.Delivery) error {
	var errs []error
	for _, r := range rows {
		switch q := i.queue(r.DI); {
		case r.DI == "":
			errs = append(errs, i.tell(ctx, doc, r.Outcome, r.Outcome, doc.DuplicateOf))
		case q != nil && !r.Due.IsZero():
			q.push(doc.ID)
		}
	}
	return errors.Join(errs...)
}

// recall applies to a document what a person decided about an earlier version of it and
// asked to be remembered; false when there is no such decision, or when the two do not
// name the same patient word for word.
func (i *Integrator) recall(ctx context.Context, doc index.Document, rule string) (bool, error) {
	if doc.Chosen != nil || !isCDA(doc.Facts) || doc.Facts.SetID.IsZero() || rule == "verdict" {
		return false, nil
	}
	d, err := i.index.Remembered(ctx, doc.Lineage)
	if errors.Is(err, index.ErrNotFound) || err == nil && (d.Patient == nil || d.Document == doc.ID) {
		return false, nil
	}
	if err != nil {
		return false, fault("recall decision", err)
	}
	of, err := i.index.Document(ctx, d.Document)
	if err != nil {
		return false, fault("recall decision", err)
	}
	if !sameWords(of.Facts.Patient, doc.Facts.Patient) {
		return false, nil
	}
	e := greffe.Decided{
		ID: "recalled/" + d.ID + "/" + string(doc.ID), Document: doc.ID, Verb: greffe.VerbAttach, Patient: d.Patient, Compared: d.Compared,
		Reason: "Comme décidé pour une version précédente par " + d.By + ".", By: "integrator", At: time.Now().UTC().Truncate(time.Millisecond),
	}
	if err := bus.Publish(ctx, i.bus, bus.Decided, e); err != nil {
		return false, fmt.Errorf("recall decision: %w: %w", bus.ErrUnavailable, err)
	}
	return true, nil
}

// again reports whether o says what the outcome before it said.
func again(before, o greffe.Outcome) bool {
	return before.State == o.State && before.Code == o.Code && before.DI == o.DI &&
		(before.Control == o.Control || o.State == greffe.StateWaiting)
}

// tell records an outcome after before, the last one at its DI, then publishes it. An
// outcome that says what the last one said is not recorded again.
func (i *Integrator) tell(ctx context.Context, doc index.Document, before, o greffe.Outcome, duplicateOf greffe.DocumentID) error {
	if o.State == "" || o.State == greffe.StateArchived {
		return nil
	}
	if again(before, o) {
		if next := o.Next; o.DI != "" && o.State == greffe.StateWaiting && !next.IsZero() {
			if err := i.index.Postpone(ctx, doc.ID, o.DI, next, false); err != nil {
				return fault("put off", err)
			}
			return nil
		}
		o = before
		if o.DI == "" && i.told.has(doc.ID, o.At) {
			return nil
		}
	} else {
		o.At = time.Now().UTC().Truncate(time.Millisecond)
		// The clocks of two hosts may differ: what comes after must look like it.
		for _, last := range []time.Time{before.At, doc.Outcome.At} {
			if !o.At.After(last) {
				o.At = last.Add(time.Millisecond)
			}
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
	if o.State != greffe.StateWaiting {
		i.told.add(doc.ID, o)
	}
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

// unknownPatient reports whether the DI said that it does not know the patient.
func unknownPatient(o greffe.Outcome) bool {
	return strings.HasSuffix(o.Code, "902") || o.Code == "patient-unknown"
}

func (i *Integrator) logSent(doc index.Document, o greffe.Outcome) {
	i.log.Info("document sent", slog.String("document", string(doc.ID)), slog.String("di", o.DI),
		slog.String("action", o.Action), slog.String("state", string(o.State)), slog.String("code", o.Code))
}
