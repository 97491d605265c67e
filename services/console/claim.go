package console

import (
	"context"
	"errors"
	"net/http"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// Who opens something to decide about it has it for a while: the others see the name on
// their list and are told before they decide. A page with scripts says every minute that
// it is still open and gives it back when it is left; without scripts it ends by itself.
const (
	takenFor   = 10 * time.Minute // by opening a page
	takenAgain = 3 * time.Minute  // each time a page says that it is still open
	takenPoll  = 5 * time.Second  // how often what other consoles took is looked at
)

// takings returns who has what open.
func (c *Console) takings(ctx context.Context) (map[greffe.MessageID]index.Taking, error) {
	list, err := c.db.Takings(ctx, time.Now())
	if err != nil {
		return nil, err
	}
	m := make(map[greffe.MessageID]index.Taking, len(list))
	for _, k := range list {
		m[k.Message] = k
	}
	return m, nil
}

// displayName is how a person is called on the screens of the others.
func (v *visit) displayName() string {
	if v.user.Name != "" {
		return v.user.Name
	}
	return v.user.Login
}

// take gives the message to the person who opens it to decide, and gives back what the
// person had open before. It returns who has it.
func (c *Console) take(ctx context.Context, v *visit, id greffe.MessageID, length time.Duration, over bool) (index.Taking, error) {
	k, err := c.db.Take(ctx, index.Taking{Message: id, Login: v.user.Login, Name: v.displayName(), Until: time.Now().Add(length)}, over)
	if err == nil {
		c.live.changed(id)
	}
	return k, err
}

// leave gives back a message, or all that the person has open.
func (c *Console) leave(ctx context.Context, v *visit, id greffe.MessageID) (bool, error) {
	list, err := c.db.Leave(ctx, v.user.Login, id)
	for _, m := range list {
		c.live.changed(m)
	}
	return len(list) > 0, err
}

// keepTaking is what an open page says every minute, and what it says when the person
// takes over from another one. It does not keep the session alive.
func (c *Console) keepTaking(w http.ResponseWriter, r *http.Request, v *visit) error {
	m, err := c.message(r, v)
	if err != nil {
		return err
	}
	k, err := c.take(r.Context(), v, m.ID, takenAgain, false)
	if err != nil {
		return err
	}
	if k.Login != v.user.Login {
		http.Error(w, k.Name+" a pris la main.", http.StatusConflict)
		return nil
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// takeOver gives a message to the person although another one has it, and says so in
// the journal.
func (c *Console) takeOver(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	m, err := c.message(r, v)
	if err != nil {
		return err
	}
	if err := c.record(v, "taken-over", string(m.ID), "ok", ""); err != nil {
		return err
	}
	if _, err := c.take(r.Context(), v, m.ID, takenFor, true); err != nil {
		return err
	}
	c.flash(r, "Vous avez pris la main : la décision vous revient. Prévenez la personne qui avait ouvert ce message.")
	http.Redirect(w, r, local(r.PostForm.Get("retour"), "/messages/"+string(m.ID)), http.StatusSeeOther)
	return nil
}

// giveBack ends what the person has open, when a page is left.
func (c *Console) giveBack(w http.ResponseWriter, r *http.Request, v *visit) error {
	m, err := c.message(r, v)
	if err != nil {
		return err
	}
	if _, err := c.leave(r.Context(), v, m.ID); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// takenBy is what a page says about who has the message open.
type takenBy struct {
	Mine  bool
	Name  string
	Until time.Time
}

// openToDecide takes a message for a person who may decide about it and opens its page.
func (c *Console) openToDecide(r *http.Request, v *visit, m index.Message) (takenBy, error) {
	if v.role != secretary || !pressing(m.State) {
		return takenBy{}, nil
	}
	had, err := c.takings(r.Context())
	if err != nil {
		return takenBy{}, err
	}
	for id, k := range had { // one at a time
		if k.Login == v.user.Login && id != m.ID {
			if _, err := c.leave(r.Context(), v, id); err != nil {
				return takenBy{}, err
			}
		}
	}
	k, err := c.take(r.Context(), v, m.ID, takenFor, false)
	if err != nil {
		return takenBy{}, err
	}
	return takenBy{Mine: k.Login == v.user.Login, Name: k.Name, Until: k.Until}, nil
}
