package console

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// asked reports whether an answer waits for a person's word.
func asked(a greffe.Answer) bool { return a.State == greffe.AnswerAsked }

// confirm publishes a person's word that the receipt of a message may go to the
// address that asked for it. The notifier sends it; nothing is written to the index
// here.
func (c *Console) confirm(w http.ResponseWriter, r *http.Request, v *visit) error {
	m, err := c.message(r, v)
	if err != nil {
		return err
	}
	answers, err := c.db.Answers(r.Context(), m.ID)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(answers, asked) {
		return errState
	}
	if err := c.record(v, "asked", string(m.ID), "receipt", ""); err != nil {
		return err
	}
	e := greffe.Confirmed{ID: rand.Text(), Message: m.ID, By: v.user.Login, At: time.Now().UTC()}
	if err := bus.Publish(r.Context(), c.bus, bus.Confirmed, e); err != nil {
		return fmt.Errorf("publish confirmation: %w", err)
	}
	c.flash(r, "Envoi de l’accusé demandé.")
	http.Redirect(w, r, "/messages/"+string(m.ID), http.StatusSeeOther)
	return nil
}
