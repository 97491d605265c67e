package console

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

const (
	minReason = 3 // characters
	maxReason = 500
)

// mayRetry reports whether a person may have the document sent to the DI (again): not
// while it is on its way, not once the DI has it, and not when it is no CDA, which no
// DI would know the patient of. What is masked or suspect goes nowhere. Another incident
// may always be tried again.
func mayRetry(d index.Document) bool {
	if greffe.Unsafe(d.Facts.Findings) || d.Facts.Marked(greffe.MaskedToProfessionals) {
		return false
	}
	switch d.State {
	case greffe.StateIncident:
		return true
	case greffe.StateTodo, greffe.StateRefused:
		return d.Facts.Format == greffe.FormatCDA1 || d.Facts.Format == greffe.FormatCDA3 || d.Facts.Format == greffe.FormatPDF && d.Chosen != nil
	}
	return false
}

// mayDismiss reports whether a person may say that a document in this state needs
// nothing, refuse it, or call it a copy.
func mayDismiss(s greffe.State) bool {
	return s == greffe.StateTodo || s == greffe.StateRefused || s == greffe.StateIncident || s == greffe.StateWaiting
}

// mayReopen reports whether a person's putting it aside can be taken back.
func mayReopen(d index.Document) bool {
	return d.State == greffe.StateDismissed && d.Outcome.Code == greffe.CodeDecision
}

// documentRevision counts what happened to a document: a decision is about what was on
// the screen.
func documentRevision(m index.Detail, id greffe.DocumentID) int {
	n := 0
	for _, a := range m.Outcomes {
		if a.Document == id {
			n++
		}
	}
	for _, d := range m.Decisions {
		if d.Document == id {
			n++
		}
	}
	return n
}

// goodReason reads the reason that a person gives; false when it is too short or too
// long.
func goodReason(form url.Values) (string, bool) {
	reason := strings.TrimSpace(form.Get("motif"))
	n := utf8.RuneCountInString(reason)
	return reason, n >= minReason && n <= maxReason && utf8.ValidString(reason)
}

// A decision that somebody else keeps from being made.
var (
	errTaken = errors.New("console: another person has it open")
	errFirst = errors.New("console: another decision was first")
)

// takenError says who has what a person wanted to decide about.
type takenError struct{ by index.Taking }

func (e takenError) Error() string { return errTaken.Error() }
func (e takenError) Unwrap() error { return errTaken }

// claim makes sure that this person alone decides about one revision of an item: the
// message is hers (or nobody's), what she saw is still so, and no other decision about
// it was published. form may say which revision she saw.
func (c *Console) claim(ctx context.Context, v *visit, m greffe.MessageID, item string, revision int, form url.Values) error {
	if seen := form.Get("rev"); seen != "" && seen != strconv.Itoa(revision) {
		return errFirst
	}
	k, err := c.take(ctx, v, m, takenAgain, false)
	if err != nil {
		return err
	}
	if k.Login != v.user.Login {
		return takenError{k}
	}
	return c.ask(ctx, v, item, revision)
}

// ask notes that a decision about one revision of an item is about to be published;
// errFirst when another was just before. A script may repeat its own.
func (c *Console) ask(ctx context.Context, v *visit, item string, revision int) error {
	ask, by := c.db.Ask, v.user.Login
	if v.once != "" {
		ask, by = c.db.AskAgain, v.once
	}
	ok, err := ask(ctx, item, revision, by)
	if err == nil && !ok {
		err = errFirst
	}
	return err
}

// publish writes a decision about a document into the journal and gives it to who
// applies it. The page follows by the live updates; nothing is written to the index here.
func (c *Console) publishDecision(ctx context.Context, v *visit, m index.Detail, d index.Document, e greffe.Decided, form url.Values) error {
	revision := documentRevision(m, d.ID)
	if err := c.claim(ctx, v, m.ID, string(d.ID), revision, form); err != nil {
		return err
	}
	err := c.record(v, "asked", string(d.ID), string(e.Verb), "")
	if err == nil {
		// Whoever applies it tells by its time whether it was applied before a crash: it comes
		// after what the person saw, whatever the clocks of two hosts say.
		at := time.Now().UTC()
		if !at.After(d.Outcome.At) {
			at = d.Outcome.At.Add(time.Millisecond)
		}
		e.ID, e.Document, e.By, e.At = cmp.Or(v.once, rand.Text()), d.ID, v.user.Login, at
		if err = bus.Publish(ctx, c.bus, bus.Decided, e); err != nil {
			err = fmt.Errorf("publish decision: %w", err)
		}
	}
	if err != nil {
		// It may be on the bus for all that; who applies it does so once.
		return errors.Join(err, c.db.Unask(context.WithoutCancel(ctx), string(d.ID), revision))
	}
	_, err = c.leave(ctx, v, m.ID)
	return err
}

// readDecision reads a decision about a document from a form. problem is what has to be
// corrected; said is what the next page says.
func (c *Console) readDecision(ctx context.Context, v *visit, m index.Detail, d index.Document, form url.Values) (e greffe.Decided, said, problem string, err error) {
	e = greffe.Decided{Verb: greffe.Verb(form.Get("decision"))}
	reason, given := goodReason(form)
	const noReason = "Indiquez le motif : entre 3 et 500 caractères. Le document n’a pas été classé."
	title := "« " + docTitle(d.Facts) + " »"
	switch e.Verb {
	case greffe.VerbRetry:
		if !mayRetry(d) {
			return e, "", "", errState
		}
		return e, "Renvoi au DI demandé pour " + title + ". L’état du document se mettra à jour ici dès que le DI aura répondu.", "", nil
	case greffe.VerbDismiss:
		if !mayDismiss(d.State) {
			return e, "", "", errState
		}
		e.Reason = reason
		return e, "Classement sans suite demandé pour " + title + ".", need(given, noReason), nil
	case greffe.VerbRefuse:
		if !mayDismiss(d.State) {
			return e, "", "", errState
		}
		e.Reason = reason
		return e, "Refus demandé pour " + title + " : l’expéditeur en sera averti si son adresse le permet.", need(given, noReason), nil
	case greffe.VerbCopy:
		if !mayDismiss(d.State) {
			return e, "", "", errState
		}
		e.Of = greffe.DocumentID(form.Get("original"))
		originals, err := c.originals(ctx, v, m, d)
		if err != nil {
			return e, "", "", err
		}
		e.Reason = "Doublon signalé par une personne."
		return e, title + " : classement comme doublon demandé.",
			need(slices.ContainsFunc(originals, func(o index.Document) bool { return o.ID == e.Of }), "Choisissez le document dont celui-ci est le doublon. Rien n’a été décidé."), nil
	case greffe.VerbReopen:
		if !mayReopen(d) {
			return e, "", "", errState
		}
		return e, "Classement annulé pour " + title + " : le document revient dans « À traiter ».", "", nil
	}
	return e, "", "", errBadInput
}

// decide publishes a person's decision about a document.
func (c *Console) decide(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	d, err := c.document(r, v)
	if err != nil {
		return err
	}
	m, err := c.db.Message(r.Context(), d.Message)
	if err != nil {
		return err
	}
	back := local(r.PostForm.Get("ici"), "/documents/"+string(d.ID))
	e, said, problem, err := c.readDecision(r.Context(), v, m, d, r.PostForm)
	if err != nil {
		return err
	}
	if problem != "" {
		c.flash(r, problem)
		http.Redirect(w, r, back+"#decision", http.StatusSeeOther)
		return nil
	}
	if err := c.publishDecision(r.Context(), v, m, d, e, r.PostForm); err != nil {
		return c.afterRefusal(w, r, v, err, m.ID, back)
	}
	if e.Verb == greffe.VerbDismiss {
		c.flashUndo(r, said, undo{Action: "/documents/" + string(d.ID) + "/decision", Verb: string(greffe.VerbReopen), Label: "Annuler le classement de « " + docTitle(d.Facts) + " »"})
	} else {
		c.flash(r, said)
	}
	http.Redirect(w, r, local(r.PostForm.Get("suite"), back), http.StatusSeeOther)
	return nil
}

// afterRefusal shows why a decision was not taken: somebody else has it, or was first.
func (c *Console) afterRefusal(w http.ResponseWriter, r *http.Request, v *visit, err error, id greffe.MessageID, back string) error {
	var taken takenError
	switch {
	case errors.As(err, &taken):
		c.note(v, "denied", string(id), "refused", "taken")
		return c.render(w, r, v, http.StatusConflict, "pris", page{Title: "Déjà ouvert par une autre personne", Nav: "file", Data: takenPage{Name: taken.by.Name, Until: taken.by.Until, Message: id, Back: back}})
	case errors.Is(err, errFirst):
		c.note(v, "denied", string(id), "refused", "first")
		return errors.Join(errState, err)
	}
	return err
}

type takenPage struct {
	Name    string
	Until   time.Time
	Message greffe.MessageID
	Back    string
}

// originals lists the documents that the DI has and that d may be a copy of: other
// versions, the same message, the same patient by INS.
func (c *Console) originals(ctx context.Context, v *visit, m index.Detail, d index.Document) ([]index.Document, error) {
	list := slices.Clone(m.Documents)
	lineage, err := c.db.SameLineage(ctx, d.Lineage)
	if err != nil {
		return nil, err
	}
	list = append(list, lineage...)
	if number := d.Facts.Patient.INS.Extension; len(number) >= 13 {
		same, _, err := c.db.Documents(ctx, index.DocumentFilter{INS: number, Places: v.places, Limit: 30})
		if err != nil && !errors.Is(err, index.ErrTooShort) {
			return nil, err
		}
		list = append(list, same...)
	}
	var out []index.Document
	for _, o := range list {
		if o.ID != d.ID && o.State == greffe.StateDelivered && v.seesDocument(o) && !slices.ContainsFunc(out, func(x index.Document) bool { return x.ID == o.ID }) {
			out = append(out, o)
		}
	}
	return out[:min(len(out), 20)], nil
}

// undo is the decision that takes back the one just made.
type undo struct {
	Action, Verb, Label string
}

const keyUndo = "undo"

// flashUndo keeps a sentence for the next page with a button that takes it back.
func (c *Console) flashUndo(r *http.Request, text string, u undo) {
	c.flash(r, text)
	c.sessions.Put(r.Context(), keyUndo, u.Action+"\n"+u.Verb+"\n"+u.Label)
}

func (c *Console) popUndo(ctx context.Context) *undo {
	action, rest, ok := strings.Cut(c.sessions.PopString(ctx, keyUndo), "\n")
	verb, label, _ := strings.Cut(rest, "\n")
	if !ok {
		return nil
	}
	return &undo{action, verb, label}
}

// local returns an address of ours with its query, or fallback when p is none.
func local(p, fallback string) string {
	if localPath(p) == "" {
		return fallback
	}
	u, err := url.Parse(p)
	if err != nil {
		return fallback
	}
	u.Fragment = ""
	return u.String()
}
