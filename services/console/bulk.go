package console

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// A decision about several messages at once is made in two steps: what was chosen is
// written down as it stands (a snapshot) and shown with its number and its filter; then
// exactly that is decided about, and what changed in between is left alone and told.
const maxBulk = 500

// bulkItem is one message of a snapshot.
type bulkItem struct {
	Message  greffe.MessageID `json:"m"`
	Revision int              `json:"r"`
}

// snapshot is what was chosen.
type snapshot struct {
	Items []bulkItem `json:"items"`
	Words string     `json:"words"` // the filter, in French; "" when they were chosen one by one
	Back  string     `json:"back"`
}

type bulkPage struct {
	ID     string
	N      int
	Words  string
	More   bool // the filter finds more than maxBulk
	Rows   []row
	Back   string
	People []choice
	Error  string
	Until  string
}

// chooseBulk writes down what was chosen and shows it with what can be decided.
func (c *Console) chooseBulk(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	q, err := url.ParseQuery(r.PostForm.Get("filtre"))
	if err != nil {
		return errors.Join(errBadInput, err)
	}
	f := readFilter(q.Get)
	m, f := c.narrowed(r, v, f, time.Now())
	back := f.on("/file")
	p := bulkPage{ID: rand.Text(), Back: back, Until: c.wall.tomorrow(time.Now())}
	var chosen []greffe.MessageID
	if r.PostForm.Get("tous") != "" {
		if p.Words, err = c.filterWords(r.Context(), v, f, m.Text); err != nil {
			return err
		}
		m.Before, m.Limit = "", 200
		for {
			page, next, err := c.db.Messages(r.Context(), m)
			if err != nil {
				return err
			}
			for _, x := range page {
				chosen = append(chosen, x.ID)
			}
			if m.Before = next; next == "" {
				break
			}
			if len(chosen) >= maxBulk {
				p.More = true
				break
			}
		}
		p.More = p.More || len(chosen) > maxBulk
		chosen = chosen[:min(len(chosen), maxBulk)]
	} else {
		for _, id := range r.PostForm["m"] {
			if greffe.MessageID(id).Valid() && len(chosen) < maxBulk {
				chosen = append(chosen, greffe.MessageID(id))
			}
		}
	}
	s := snapshot{Words: p.Words, Back: back}
	for _, id := range chosen {
		d, err := c.db.Message(r.Context(), id)
		if errors.Is(err, index.ErrNotFound) || err == nil && (!v.seesMessage(d.Message) || slices.ContainsFunc(s.Items, func(i bulkItem) bool { return i.Message == id })) {
			continue
		}
		if err != nil {
			return err
		}
		s.Items = append(s.Items, bulkItem{id, revision(d)})
		if len(p.Rows) < 20 {
			p.Rows = append(p.Rows, c.newRow(d.Message))
		}
	}
	if p.N = len(s.Items); p.N == 0 {
		c.flash(r, "Cochez d’abord des messages dans la liste.")
		http.Redirect(w, r, back, http.StatusSeeOther)
		return nil
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := c.db.SaveSelection(r.Context(), p.ID, v.user.Login, string(text)); err != nil {
		return err
	}
	if err := c.record(v, "listed", "", "ok", fmt.Sprintf("selection %d", p.N)); err != nil {
		return err
	}
	if p.People, err = c.everyColleague(r.Context(), v); err != nil {
		return err
	}
	return c.render(w, r, v, http.StatusOK, "groupe", page{Title: "Décider pour " + plural(p.N, "message", "messages"), Nav: "file", Data: p})
}

// everyColleague lists those to whom messages may be passed; whether a person sees one
// is asked for each.
func (c *Console) everyColleague(ctx context.Context, v *visit) ([]choice, error) {
	users, err := c.db.Users(ctx)
	if err != nil {
		return nil, err
	}
	var list []choice
	for _, u := range users {
		if u.Disabled || roles[u.Role] != secretary || u.Login == v.user.Login {
			continue
		}
		name := u.Name
		if name == "" {
			name = u.Login
		}
		list = append(list, choice{Key: greffe.MailboxKey(u.Login), Label: name})
	}
	return list, nil
}

// decideBulk decides about exactly what was chosen. A message that changed since, that
// another person has open or that the decision does not fit is left alone.
func (c *Console) decideBulk(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	verb := greffe.Verb(r.PostForm.Get("decision"))
	if !slices.Contains([]greffe.Verb{greffe.VerbRetry, greffe.VerbDismiss, greffe.VerbLater, greffe.VerbPass}, verb) {
		return errBadInput
	}
	if _, ok := goodReason(r.PostForm); verb == greffe.VerbDismiss && !ok {
		c.flash(r, "Indiquez le motif : entre 3 et 500 caractères. Rien n’a été décidé ; refaites votre choix.")
		http.Redirect(w, r, "/file", http.StatusSeeOther)
		return nil
	}
	text, err := c.db.TakeSelection(r.Context(), r.PathValue("choix"), v.user.Login)
	if errors.Is(err, index.ErrNotFound) {
		c.flash(r, "Ce choix a déjà servi ou date de plus d’une heure. Rien n’a été décidé ; refaites-le.")
		http.Redirect(w, r, "/file", http.StatusSeeOther)
		return nil
	}
	if err != nil {
		return err
	}
	var s snapshot
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	tally := bulkTally{}
	for _, i := range s.Items {
		if err := c.decideOne(r, v, verb, i, &tally); err != nil {
			// What was decided so far is decided; the rest was not touched.
			c.flash(r, tally.words(len(s.Items))+" L’opération s’est arrêtée sur une erreur : les messages suivants n’ont pas été touchés.")
			return err
		}
	}
	if err := c.record(v, "asked", "", string(verb), fmt.Sprintf("selection %d done %d", len(s.Items), tally.done)); err != nil {
		return err
	}
	c.flash(r, tally.words(len(s.Items)))
	http.Redirect(w, r, local(s.Back, "/file"), http.StatusSeeOther)
	return nil
}

// bulkTally counts what became of a snapshot.
type bulkTally struct{ done, changed, taken, unfit int }

func (t bulkTally) words(n int) string {
	s := fmt.Sprintf("Décision prise pour %s sur %s.", plural(t.done, "message", "messages"), number(n))
	if t.changed > 0 {
		s += " " + plural(t.changed, "message a changé entre-temps et a été laissé.", "messages ont changé entre-temps et ont été laissés.")
	}
	if t.taken > 0 {
		s += " " + plural(t.taken, "message ouvert par une autre personne a été laissé.", "messages ouverts par d’autres personnes ont été laissés.")
	}
	if t.unfit > 0 {
		s += " " + plural(t.unfit, "message ne se prêtait pas à cette décision.", "messages ne se prêtaient pas à cette décision.")
	}
	return s
}

// decideOne decides about one message of a snapshot.
func (c *Console) decideOne(r *http.Request, v *visit, verb greffe.Verb, i bulkItem, t *bulkTally) error {
	ctx := r.Context()
	m, err := c.db.Message(ctx, i.Message)
	if errors.Is(err, index.ErrNotFound) || err == nil && !v.seesMessage(m.Message) {
		t.changed++
		return nil
	}
	if err != nil {
		return err
	}
	if revision(m) != i.Revision {
		t.changed++
		return nil
	}
	if verb == greffe.VerbLater || verb == greffe.VerbPass || toRead(m.Message) && verb == greffe.VerbDismiss {
		if verb == greffe.VerbDismiss {
			r.PostForm.Set("decision", string(greffe.VerbClose))
		} else {
			r.PostForm.Set("decision", string(verb))
		}
		e, _, problem, err := c.readTriage(r, v, m)
		switch {
		case errors.Is(err, errState) || problem != "":
			t.unfit++
			return nil
		case err != nil:
			return err
		}
		return t.add(c.publishTriage(ctx, v, m, e, ""))
	}
	reason, _ := goodReason(r.PostForm)
	fits := false
	for _, d := range m.Documents {
		if verb == greffe.VerbRetry && !mayRetry(d) || verb == greffe.VerbDismiss && !mayDismiss(d.State) {
			continue
		}
		e := greffe.Decided{Verb: verb}
		if verb == greffe.VerbDismiss {
			e.Reason = reason
		}
		if err := c.publishDecision(ctx, v, m, d, e, nil); err != nil {
			return t.add(err)
		}
		fits = true
	}
	if !fits {
		t.unfit++
		return nil
	}
	return t.add(nil)
}

// add counts what publishing a decision gave; what is no refusal is an error.
func (t *bulkTally) add(err error) error {
	switch {
	case err == nil:
		t.done++
	case errors.Is(err, errTaken):
		t.taken++
	case errors.Is(err, errFirst):
		t.changed++
	default:
		return err
	}
	return nil
}
