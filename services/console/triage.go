package console

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// maxLater is how long something may be put off.
const maxLater = 366 * 24 * time.Hour

// messageVerbs are the decisions about a message as a whole.
var messageVerbs = []greffe.Verb{greffe.VerbClose, greffe.VerbReopen, greffe.VerbLater, greffe.VerbPass, greffe.VerbMove, greffe.VerbHold, greffe.VerbRelease}

// mayTriage reports whether a verb about a message as a whole fits its state.
func mayTriage(m index.Detail, verb greffe.Verb, held bool) bool {
	switch verb {
	case greffe.VerbClose:
		return toRead(m.Message) && m.State == greffe.StateTodo
	case greffe.VerbReopen:
		return toRead(m.Message) && m.State == greffe.StateDismissed && greffe.Closed(m.Triages)
	case greffe.VerbLater, greffe.VerbPass, greffe.VerbMove:
		return pressing(m.State)
	case greffe.VerbHold:
		return !held
	case greffe.VerbRelease:
		return held
	}
	return false
}

// toRead reports whether the words of a message are what a person looks at, not its documents.
func toRead(m index.Message) bool {
	states := make([]greffe.State, len(m.Documents))
	for i, d := range m.Documents {
		states[i] = d.State
	}
	return greffe.ToRead(m.Kind, states)
}

// colleagues lists who else may decide in the queue that a message stands in.
func (c *Console) colleagues(ctx context.Context, v *visit, m index.Message) ([]index.User, error) {
	users, err := c.db.Users(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(users, func(u index.User) bool {
		return u.Disabled || roles[u.Role] != secretary || u.Login == v.user.Login || !index.Within(c.placesOf(u), m.Queue)
	}), nil
}

// desks lists the mailboxes in whose queue a message may be put: those of the hospital
// but the one where it stands.
func (c *Console) desks(m index.Message) []choice {
	var list []choice
	for _, box := range c.cfg.Mailboxes {
		if box == m.Queue.Mailbox {
			continue
		}
		label := box
		if s := c.cfg.About[box].Service; s != "" {
			label = s + " (" + box + ")"
		}
		list = append(list, choice{Key: greffe.MailboxKey(box), Label: label})
	}
	return list
}

// readTriage reads a decision about a message as a whole from a form. problem is what
// has to be corrected; said is what the next page says.
func (c *Console) readTriage(r *http.Request, v *visit, m index.Detail) (e greffe.Triaged, said, problem string, err error) {
	form := r.PostForm
	e = greffe.Triaged{Message: m.ID, Verb: greffe.Verb(form.Get("decision"))}
	reason, given := goodReason(form)
	_, held, err := c.db.HoldOf(r.Context(), m.ID)
	if err != nil {
		return e, "", "", err
	}
	if !mayTriage(m, e.Verb, held) {
		return e, "", "", errState
	}
	switch e.Verb {
	case greffe.VerbClose:
		e.Reason = reason
		return e, "Message classé : il ne demande rien de plus.", need(given, "Indiquez le motif : entre 3 et 500 caractères. Le message n’a pas été classé."), nil
	case greffe.VerbReopen:
		return e, "Classement annulé : le message revient dans « À traiter ».", "", nil
	case greffe.VerbLater:
		if form.Get("jour") == "" && form.Get("reprendre") != "" {
			return e, "Le message est de nouveau à traiter dès maintenant.", "", nil
		}
		day, ok := c.wall.typedDate(form.Get("jour"))
		now := time.Now()
		if !ok || !day.After(now) || day.After(now.Add(maxLater)) {
			return e, "", "Choisissez un jour à venir, dans l’année. Rien n’a été remis.", nil
		}
		e.Until, e.Reason = day, reason
		return e, "Remis au " + c.wall.day(day) + " : il reviendra ce jour-là dans « À traiter ».", "", nil
	case greffe.VerbPass:
		if form.Get("collegue") == "" && form.Get("reprendre") != "" {
			return e, "Le message n’est plus réservé : il revient à tous.", "", nil
		}
		people, err := c.colleagues(r.Context(), v, m.Message)
		if err != nil {
			return e, "", "", err
		}
		at := slices.IndexFunc(people, func(u index.User) bool { return greffe.MailboxKey(u.Login) == form.Get("collegue") })
		if at < 0 {
			return e, "", "Choisissez la personne à qui passer ce message. Rien n’a été passé.", nil
		}
		e.To, e.Reason = people[at].Login, reason
		name := people[at].Name
		if name == "" {
			name = people[at].Login
		}
		return e, "Passé à " + name + " : il est dans « Pour moi » de cette personne.", "", nil
	case greffe.VerbMove:
		for _, box := range c.cfg.Mailboxes {
			if box != m.Queue.Mailbox && greffe.MailboxKey(box) == form.Get("service") {
				e.To, e.Reason = box, reason
				return e, "Passé à la file de " + box + ".", need(given, "Indiquez le motif : entre 3 et 500 caractères. Rien n’a été passé."), nil
			}
		}
		return e, "", "Choisissez le service à qui passer ce message. Rien n’a été passé.", nil
	case greffe.VerbHold:
		e.Reason = reason
		return e, "Gel demandé : le message et ses pièces ne seront pas éliminés tant qu’il dure.", need(given, "Indiquez la référence du gel : entre 3 et 500 caractères. Rien n’a été gelé."), nil
	case greffe.VerbRelease:
		e.Reason = reason
		return e, "Fin du gel demandée.", need(given, "Indiquez la référence : entre 3 et 500 caractères. Le gel dure toujours."), nil
	}
	return e, "", "", errBadInput
}

func need(given bool, problem string) string {
	if given {
		return ""
	}
	return problem
}

// triage publishes a person's decision about a message as a whole. The storage worker
// carries it out.
func (c *Console) triage(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	m, err := c.message(r, v)
	if err != nil {
		return err
	}
	if !slices.Contains(messageVerbs, greffe.Verb(r.PostForm.Get("decision"))) {
		return errBadInput
	}
	back := local(r.PostForm.Get("ici"), "/messages/"+string(m.ID))
	e, said, problem, err := c.readTriage(r, v, m)
	if err != nil {
		return err
	}
	if problem != "" {
		c.flash(r, problem)
		http.Redirect(w, r, back+"#decision", http.StatusSeeOther)
		return nil
	}
	if err := c.publishTriage(r.Context(), v, m, e, r.PostForm.Get("rev")); err != nil {
		return c.afterRefusal(w, r, v, err, m.ID, back)
	}
	u := undo{Action: "/messages/" + string(m.ID) + "/decision"}
	subject := "« " + strings.TrimSpace(m.Subject) + " »"
	switch e.Verb {
	case greffe.VerbClose:
		u.Verb, u.Label = string(greffe.VerbReopen), "Annuler le classement de "+subject
		c.flashUndo(r, said, u)
	case greffe.VerbLater:
		if !e.Until.IsZero() {
			u.Verb, u.Label = string(greffe.VerbLater), "Annuler : à traiter dès maintenant"
			c.flashUndo(r, said, u)
			break
		}
		c.flash(r, said)
	case greffe.VerbPass:
		if e.To != "" {
			u.Verb, u.Label = string(greffe.VerbPass), "Annuler : le laisser à tous"
			c.flashUndo(r, said, u)
			break
		}
		c.flash(r, said)
	default:
		c.flash(r, said)
	}
	http.Redirect(w, r, local(r.PostForm.Get("suite"), back), http.StatusSeeOther)
	return nil
}

// publishTriage writes the decision into the journal and gives it to who carries it out.
// A person who has the message open is alone to decide; a hold is no such decision and
// waits for nobody.
func (c *Console) publishTriage(ctx context.Context, v *visit, m index.Detail, e greffe.Triaged, seen string) error {
	revision := revision(m)
	item := string(m.ID)
	form := map[string][]string{"rev": {seen}}
	if e.Verb == greffe.VerbHold || e.Verb == greffe.VerbRelease {
		item += "/hold"
		if err := c.ask(ctx, v, item, revision); err != nil {
			return err
		}
	} else if err := c.claim(ctx, v, m.ID, item, revision, form); err != nil {
		return err
	}
	err := c.record(v, "asked", string(m.ID), string(e.Verb), "")
	if err == nil {
		e.ID, e.By, e.At = cmp.Or(v.once, rand.Text()), v.user.Login, time.Now().UTC()
		if err = bus.Publish(ctx, c.bus, bus.Triaged, e); err != nil {
			err = fmt.Errorf("publish decision: %w", err)
		}
	}
	if err != nil {
		return errors.Join(err, c.db.Unask(context.WithoutCancel(ctx), item, revision))
	}
	_, err = c.leave(ctx, v, m.ID)
	return err
}

// triageView is what a page offers to decide about a message as a whole.
type triageView struct {
	Close, Reopen, Later, Pass, Move bool
	Hold                             index.Hold
	Held                             bool
	People                           []choice
	Desks                            []choice
	Until                            time.Time // put off until then
	Assignee                         string    // name of the person it was passed to
	Mine                             bool      // that is who looks
	Tomorrow                         string
	Decisions                        []greffe.Triaged
}

func (c *Console) triageView(ctx context.Context, v *visit, m index.Detail) (triageView, error) {
	t := triageView{Tomorrow: c.wall.tomorrow(time.Now()), Decisions: m.Triages}
	var err error
	if t.Hold, t.Held, err = c.db.HoldOf(ctx, m.ID); err != nil {
		return t, err
	}
	t.Close, t.Reopen = mayTriage(m, greffe.VerbClose, t.Held), mayTriage(m, greffe.VerbReopen, t.Held)
	t.Later, t.Pass, t.Move = mayTriage(m, greffe.VerbLater, t.Held), mayTriage(m, greffe.VerbPass, t.Held), mayTriage(m, greffe.VerbMove, t.Held)
	if m.Later.After(time.Now()) {
		t.Until = m.Later
	}
	if m.Assignee != "" {
		t.Assignee, t.Mine = m.Assignee, m.Assignee == v.user.Login
		if u, err := c.db.User(ctx, m.Assignee); err == nil && u.Name != "" {
			t.Assignee = u.Name
		}
	}
	if t.Pass {
		people, err := c.colleagues(ctx, v, m.Message)
		if err != nil {
			return t, err
		}
		for _, u := range people {
			name := u.Name
			if name == "" {
				name = u.Login
			}
			t.People = append(t.People, choice{Key: greffe.MailboxKey(u.Login), Label: name})
		}
	}
	if t.Move {
		t.Desks = c.desks(m.Message)
	}
	return t, nil
}

// afterDecision returns where a decision leads: to the next document of the message that
// waits for a person, else to what follows in the list, else nowhere else.
func afterDecision(here string, b *beside, documents []index.Document, id greffe.DocumentID) string {
	if b == nil {
		return here
	}
	for _, d := range documents {
		if d.ID != id && d.State.Waits() {
			return "/documents/" + string(d.ID) + b.Context
		}
	}
	if b.Following != "" {
		return b.Following
	}
	if b.Previous != "" {
		return b.Previous
	}
	return b.Back
}

// deciding is what the forms of an item need to know of it.
type deciding struct {
	Message     greffe.MessageID
	Rev         int
	Here, After string
	Taken       takenBy
	Triage      triageView
}

// Form is for the forms about the message as a whole.
func (p documentPage) Form() deciding {
	return deciding{p.Message.ID, p.Rev, p.Here, p.After, p.Taken, p.Triage}
}

// Form is for the forms about the message.
func (p messagePage) Form() deciding {
	return deciding{p.M.ID, p.Rev, p.Here, p.After, p.Taken, p.Triage}
}
