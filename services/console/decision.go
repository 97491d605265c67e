package console

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
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
// DI would know the patient of, nor when the antivirus did not call it clean. An incident may always be tried again.
func mayRetry(d index.Document) bool {
	if greffe.Unsafe(d.Facts.Findings) {
		return false
	}
	switch d.State {
	case greffe.StateIncident:
		return true
	case greffe.StateTodo, greffe.StateRefused:
		return d.Facts.Format == greffe.FormatCDA1 || d.Facts.Format == greffe.FormatCDA3
	}
	return false
}

// mayDismiss reports whether a person may say that a document in this state needs nothing.
func mayDismiss(s greffe.State) bool {
	return s == greffe.StateTodo || s == greffe.StateRefused || s == greffe.StateIncident || s == greffe.StateWaiting
}

// decide publishes a person's decision about a document. The integrator applies it
// and the page follows by the live updates; nothing is written to the index here.
func (c *Console) decide(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	d, err := c.document(r, v)
	if err != nil {
		return err
	}
	reason := strings.TrimSpace(r.PostForm.Get("motif"))
	verb := greffe.Verb(r.PostForm.Get("decision"))
	said := ""
	switch verb {
	case greffe.VerbRetry:
		if !mayRetry(d) {
			return errState
		}
		said = "Renvoi au DI demandé. L’état du document se mettra à jour ici dès que le DI aura répondu."
	case greffe.VerbDismiss:
		if !mayDismiss(d.State) {
			return errState
		}
		if n := utf8.RuneCountInString(reason); n < minReason || n > maxReason || !utf8.ValidString(reason) {
			c.flash(r, "Indiquez le motif du classement : entre 3 et 500 caractères. Le document n’a pas été classé.")
			http.Redirect(w, r, "/documents/"+string(d.ID)+"#decision", http.StatusSeeOther)
			return nil
		}
		said = "Classement sans suite demandé. L’état du document se mettra à jour ici dans un instant."
	default:
		return errBadInput
	}
	if err := c.record(v, "asked", string(d.ID), string(verb), ""); err != nil {
		return err
	}
	// Whoever applies it tells by its time whether it was applied before a crash: it comes
	// after what the person saw, whatever the clocks of two hosts say.
	at := time.Now().UTC()
	if !at.After(d.Outcome.At) {
		at = d.Outcome.At.Add(time.Millisecond)
	}
	decided := greffe.Decided{ID: rand.Text(), Document: d.ID, Verb: verb, Reason: reason, By: v.user.Login, At: at}
	if err := bus.Publish(r.Context(), c.bus, bus.Decided, decided); err != nil {
		return fmt.Errorf("publish decision: %w", err)
	}
	c.flash(r, said)
	http.Redirect(w, r, "/documents/"+string(d.ID), http.StatusSeeOther)
	return nil
}
