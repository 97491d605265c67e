package console

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// asked reports whether an answer waits for a person's word.
func asked(a greffe.Answer) bool { return a.State == greffe.AnswerAsked }

// open reports whether a person has to look after an answer.
func open(a greffe.Answer) bool { return asked(a) || a.State == greffe.AnswerFailed }

// confirm publishes a person's word about the answers of a message: the receipt may go
// to the address that asked for it, or nothing has to be sent. The notifier applies it;
// nothing is written to the index here.
func (c *Console) confirm(w http.ResponseWriter, r *http.Request, v *visit) error {
	m, err := c.message(r, v)
	if err != nil {
		return err
	}
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	e := greffe.Confirmed{ID: rand.Text(), Message: m.ID, Drop: r.PostForm.Get("sans") == "1", By: v.user.Login, At: time.Now().UTC()}
	waits, word, said := asked, "receipt", "Envoi de l’accusé demandé."
	if e.Drop {
		waits, word, said = open, "no-receipt", "Réponse classée."
	}
	if !slices.ContainsFunc(m.Answers, waits) {
		return errState
	}
	if err := c.record(v, "asked", string(m.ID), word, ""); err != nil {
		return err
	}
	if err := bus.Publish(r.Context(), c.bus, bus.Confirmed, e); err != nil {
		return fmt.Errorf("publish confirmation: %w", err)
	}
	c.flash(r, said)
	http.Redirect(w, r, "/messages/"+string(m.ID), http.StatusSeeOther)
	return nil
}
