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
	"greffe/pkg/fhir"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// work does what is due about one document at the DI of a queue. probe has it try a DI
// that is down. It may be repeated at any time.
func (i *Integrator) work(ctx context.Context, q *queue, id greffe.DocumentID, probe bool) error {
	doc, err := i.index.Document(ctx, id)
	if err != nil {
		return fault("deliver document", err)
	}
	held, free, err := i.lineages.take(ctx, q.t.Name+"/"+doc.Lineage, func() { q.park(doc.Lineage, id) }, func() { q.unpark(doc.Lineage) })
	if err != nil {
		return err
	}
	defer free()
	err = i.workAlone(held, q, doc, probe)
	if err != nil && held.Err() != nil && ctx.Err() == nil {
		return bus.Later{After: leaseBusy, Reason: "lease on the lineage was lost"}
	}
	return err
}

// workAlone is work within the lineage.
func (i *Integrator) workAlone(ctx context.Context, q *queue, doc index.Document, probe bool) error {
	rows, err := i.index.Deliveries(ctx, doc.ID)
	if err != nil {
		return fault("deliver document", err)
	}
	row, ok := rowAt(rows, q.t.Name)
	switch {
	case !ok || row.Due.IsZero():
		return nil
	case row.State.Final() && row.Attempt == "": // recorded, perhaps not told
		if err := i.tell(ctx, doc, row.Outcome, row.Outcome, doc.DuplicateOf); err != nil {
			return err
		}
		return i.followers(ctx, q, doc, row.Outcome)
	}
	if why := q.gate.closed(time.Now()); why != nil && !(probe && why.Code == "down") {
		return i.hold(ctx, q, doc, row, *why)
	}
	s, err := i.look(ctx, doc, q.t.Name)
	if err != nil {
		return fault("deliver document", err)
	}
	s.asks, s.plain = row.Attempt != "", q.t.plain()
	p := decide(s)
	if p.claims && !s.claimed {
		holder, err := i.index.Claim(ctx, claimOf(doc), doc.ID)
		if err != nil {
			return fault("deliver document", err)
		}
		if holder != doc.ID { // another copy was faster: it is admitted again, as a copy
			return i.admit(ctx, doc.ID, nil)
		}
	}
	switch {
	case p.wait:
		if stuck(s) {
			return i.settleAt(ctx, q, doc, row, greffe.Outcome{State: greffe.StateTodo, Code: blocked, Text: textStuck})
		}
		d := i.turn(doc, s)
		if err := i.index.Postpone(ctx, doc.ID, q.t.Name, time.Now().Add(d), true); err != nil {
			return fault("wait for another version", err)
		}
		return bus.Later{After: d, Reason: "another version comes first"}
	case p.action == "":
		return i.settleAt(ctx, q, doc, row, greffe.Outcome{State: p.state, Code: p.rule, Text: p.text})
	}
	r, err := i.ask(ctx, q, doc, row, p)
	if err != nil {
		return err
	}
	if r.State == "" {
		if r, err = i.deliver(ctx, q, doc, row, p, s, r.Reference); err != nil {
			return err
		}
	}
	return i.heard(ctx, q, doc, row, r)
}

// settleAt records an outcome of ours at a DI, and has what waited for it go on.
func (i *Integrator) settleAt(ctx context.Context, q *queue, doc index.Document, row index.Delivery, o greffe.Outcome) error {
	o.DI, o.Control = q.t.Name, row.Outcome.Control
	if err := i.tell(ctx, doc, row.Outcome, o, ""); err != nil {
		return err
	}
	return i.followers(ctx, q, doc, o)
}

// hold records that a document waits for its DI. One that waits already goes on waiting
// as it does.
func (i *Integrator) hold(ctx context.Context, q *queue, doc index.Document, row index.Delivery, why greffe.Outcome) error {
	if row.State == greffe.StateWaiting {
		return nil
	}
	why.DI = q.t.Name
	return i.tell(ctx, doc, row.Outcome, why, "")
}

// ask asks the DI for the patient, where that comes first; the zero Result when the
// document may go, but for the address of the patient there in Reference, when it was
// asked for. What was sent before is repeated without asking again.
func (i *Integrator) ask(ctx context.Context, q *queue, doc index.Document, row index.Delivery, p plan) (Result, error) {
	who := identity{document: doc.Facts, chosen: doc.Chosen, policy: q.t.policy(), here: i.cfg.Environment}
	j, address := judge(who), ""
	if p.action == greffe.ActionDelete || row.State == greffe.StateWaiting && row.Outcome.Control != "" {
		return Result{}, nil
	}
	if j.ask {
		finder, ok := q.t.sender.(Finder)
		if !ok {
			return Result{}, fmt.Errorf("di %s: %w: it offers no search for patients", q.t.Name, bus.ErrPermanent)
		}
		found, err := finder.FindPatients(ctx, patientOf(doc).INS)
		switch {
		case err == nil:
		case ours(ctx, err):
			return Result{}, err
		default:
			return unasked(err), nil
		}
		who.asked = true
		for _, c := range found[:min(len(found), maxNamed)] {
			who.named = append(who.named, greffe.Candidate{Patient: c.Patient, Status: c.Reliability, Closed: c.Inactive})
			if !c.Inactive {
				address = c.Reference
			}
		}
		j = judge(who)
	}
	if j.todo == "" {
		return Result{Outcome: greffe.Outcome{Reference: address}}, nil
	}
	if known, err := i.recall(ctx, doc, j.name); err != nil {
		return Result{}, err
	} else if known { // the decision comes by itself
		return Result{Outcome: greffe.Outcome{State: greffe.StateWaiting, Code: "recalled", Text: "Une décision prise pour une version précédente va être appliquée."}}, nil
	}
	return Result{Outcome: greffe.Outcome{State: greffe.StateTodo, Code: j.name, Text: j.todo, Control: row.Outcome.Control, Candidates: who.named}}, nil
}

const maxNamed = 10

// unasked is what comes of a DI that did not say who a patient is.
func unasked(err error) Result {
	var answer *fhir.Error
	if !errors.As(err, &answer) {
		return readFHIRError(err)
	}
	return Result{Outcome: greffe.Outcome{
		State: greffe.StateWaiting, Code: fmt.Sprint("search ", answer.Status), After: answer.RetryAfter,
		Text: fmt.Sprintf("Le DI refuse de dire qui est le patient (%d) : le service informatique doit vérifier les droits de recherche. Nouvel essai automatique.", answer.Status),
	}, Silent: answer.Status == 401 || answer.Status == 403 || answer.Status >= 502 && answer.Status <= 504}
}

// deliver sends the document as planned. patient is the address of the patient at the DI,
// if it was asked for.
func (i *Integrator) deliver(ctx context.Context, q *queue, doc index.Document, row index.Delivery, p plan, s situation, patient string) (Result, error) {
	d, err := i.delivery(ctx, q.t, doc, p, s)
	if err != nil {
		return Result{}, err
	}
	d.Control, d.UUID = named(q.t, doc, row)
	d.PatientReference = patient
	r, err := q.t.sender.Send(ctx, d)
	switch {
	case err == nil:
	case errors.Is(err, archive.ErrDigest) || errors.Is(err, archive.ErrNotFound):
		// What is in the archive is not what was archived: never sent, never silent.
		r = Result{Outcome: greffe.Outcome{State: greffe.StateIncident, Code: "archive",
			Text: "Le document archivé est absent ou altéré : rien n'a été envoyé. Prévenir le service informatique."}}
		i.log.Error("archived document cannot be sent", slog.String("document", string(doc.ID)), slog.Any("error", err))
	case errors.Is(err, errContent):
		return Result{}, fmt.Errorf("deliver document: %w: %w", bus.ErrUnavailable, err)
	default:
		return Result{}, fmt.Errorf("deliver document: %w", err)
	}
	if r.State == greffe.StateDelivered && p.action == greffe.ActionNew && doc.Facts.Action == greffe.ActionReplace {
		r.Text += " Il remplaçait une version que Greffe n'a pas transmise : il est arrivé comme nouveau document."
	}
	return r, nil
}

// delivery is what is sent, without its identifiers.
func (i *Integrator) delivery(ctx context.Context, t target, doc index.Document, p plan, s situation) (Delivery, error) {
	mail, err := i.index.Mail(ctx, doc.Message)
	if err != nil {
		return Delivery{}, fault("deliver document", err)
	}
	d := Delivery{
		ID: doc.ID, Facts: doc.Facts, Action: p.action, Parent: p.parent, Mailbox: doc.Origin.Mailbox,
		Service: i.cfg.Services[desk(doc)], At: time.Now(), Size: doc.Object.Size, Open: i.open(ctx, doc), Mail: mail,
	}
	d.Facts.Patient = patientOf(doc)
	if s.parent != nil {
		d.VisibilityChanged = p.action == greffe.ActionReplace && marks(s.parent.Facts) != marks(doc.Facts)
		if s.parent.Outcome.DI == t.Name {
			d.ParentReference = s.parent.Outcome.Reference
		}
	}
	if s.creation != nil && s.creation.Outcome.DI == t.Name {
		d.Reference = s.creation.Outcome.Reference
	}
	return d, nil
}

// named returns the identifiers of a delivery: those of the last one unless the DI has
// given a definite answer to it. A DI that remembers its answers by MSH-10 would give that
// one again. What names the repetition is in the index, so that a crash repeats the repeat.
func named(t target, doc index.Document, row index.Delivery) (control, uuid string) {
	last, attempt := row.Outcome, row.Attempt
	if last.State == greffe.StateWaiting && unknownPatient(last) {
		attempt = fmt.Sprint("held/", row.Due.UnixMilli())
	}
	control, uuid = identifiers(t.Name, claimOf(doc), attempt)
	if last.State == greffe.StateWaiting && !unknownPatient(last) && t.Protocol == "hl7v2" && last.Control != "" {
		control = last.Control
	}
	return control, uuid
}

// heard records what came of a try, and what it says about the DI.
func (i *Integrator) heard(ctx context.Context, q *queue, doc index.Document, row index.Delivery, r Result) error {
	now := time.Now()
	i.gateHears(ctx, q, doc, r, now)
	o := r.Outcome
	o.DI = q.t.Name
	if o.State == greffe.StateRefused || o.State == greffe.StateTodo {
		if until := doc.ArchivedAt.Add(q.t.HoldUnknown); unknownPatient(o) && now.Before(until) {
			o.State = greffe.StateWaiting
			o.Text = "Le patient est inconnu du DI : le document est proposé de nouveau jusqu'au " + until.In(i.zone).Format("02/01/2006") + ", puis une personne devra décider."
		}
	}
	if o.State == greffe.StateWaiting {
		first := now
		if again(row.Outcome, o) {
			first = row.Outcome.At
		}
		pause := i.pause(first, now)
		if r.After > 0 {
			pause = min(r.After, maxAfter)
		}
		o.Next = now.Add(pause).UTC().Truncate(time.Millisecond)
	}
	i.logSent(doc, o)
	if err := i.tell(ctx, doc, row.Outcome, o, ""); err != nil {
		return err
	}
	if o.State == greffe.StateWaiting {
		q.after(doc.ID, time.Until(o.Next))
		return nil
	}
	return i.followers(ctx, q, doc, o)
}

// gateHears has the gate of the DI learn from a try. What cannot be written in the index
// holds in this process, and is tried again with the next document.
func (i *Integrator) gateHears(ctx context.Context, q *queue, doc index.Document, r Result, now time.Time) {
	log := i.log.With(slog.String("di", q.t.Name))
	down, up := q.gate.said(r, now)
	var err error
	switch {
	case r.Stops:
		o := r.Outcome
		o.DI, o.Candidates = q.t.Name, nil
		q.gate.change(func(s *index.Gate) { s.StoppedAt, s.Stopped, s.StoppedDocument = now, o, doc.ID })
		log.Error("the DI finds our messages wrong: its queue is stopped", slog.String("code", o.Code), slog.String("document", string(doc.ID)))
		_, err = i.index.StopDI(ctx, q.t.Name, doc.ID, o)
	case down:
		q.gate.change(func(s *index.Gate) { s.DownAt, s.DownText = now, r.Text })
		log.Warn("the DI does not answer")
		_, err = i.index.DIDown(ctx, q.t.Name, r.Text)
	case up:
		log.Info("the DI answers again")
		if _, err = i.index.DIUp(ctx, q.t.Name); err == nil {
			err = i.index.Hasten(ctx, q.t.Name, now)
		}
		q.gate.change(func(s *index.Gate) { s.DownAt = time.Time{} })
	default:
		return
	}
	if err != nil {
		log.Warn("state of the DI not written", slog.Any("error", err))
	}
	i.changed()
}

// marks names the confidentiality codes of a document, in order.
func marks(d greffe.Document) string {
	set := map[string]bool{}
	for _, c := range d.Confidentiality {
		set[c.Code] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(set)), " ")
}
