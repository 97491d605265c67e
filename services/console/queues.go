package console

import (
	"context"
	"errors"
	"net/http"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// queueLine is a record system with what stands before it.
type queueLine struct {
	index.Queue
	Text   string // French: how it goes
	Class  string // good, care, bad
	Resume bool   // something holds it that a person may lift
}

// showQueues shows the record systems to administrators: what holds the queue of each,
// what waits, the last refusal. No names, no documents, only opaque ids.
func (c *Console) showQueues(w http.ResponseWriter, r *http.Request, v *visit) error {
	lines, err := c.queueLines(r.Context())
	if err != nil {
		return err
	}
	if err := c.record(v, "read", "", "ok", "di"); err != nil {
		return err
	}
	return c.render(w, r, v, http.StatusOK, "dossiers", page{Title: "Dossiers informatisés", Nav: "systeme", Data: lines})
}

// queueLines returns how each record system goes.
func (c *Console) queueLines(ctx context.Context) ([]queueLine, error) {
	queues, err := c.db.Queues(ctx)
	if err != nil {
		return nil, err
	}
	var lines []queueLine
	for _, q := range queues {
		if !q.Configured && q.Waiting == 0 {
			continue
		}
		l := queueLine{Queue: q, Class: "good", Text: "Les documents partent comme ils viennent.", Resume: q.Held() || !q.DownAt.IsZero()}
		switch {
		case !q.Configured:
			l.Class, l.Resume, l.Text = "bad", false, "N’est plus dans la configuration : le remettre, ou classer les documents qui l’attendent."
		case !q.StoppedAt.IsZero():
			l.Class, l.Text = "bad", "Arrêté par une erreur technique. "+q.Stopped.Text
		case !q.PausedAt.IsZero():
			l.Class, l.Text = "care", "En pause, à la demande de "+q.PausedBy+"."
		case !q.DownAt.IsZero():
			l.Class, l.Text = "bad", "Ne répond pas : un essai par minute, puis tout repart. Vérifier qu’il est démarré et joignable."
		case q.Test:
			l.Text = "DI d’essai : ne reçoit que ce que « greffe replay » lui renvoie."
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// pauseDI holds the queue of a record system.
func (c *Console) pauseDI(w http.ResponseWriter, r *http.Request, v *visit) error {
	return c.turnDI(w, r, v, c.db.PauseDI, "Envois en pause. Les documents attendent, rien n’est perdu.", "Ce DI était déjà en pause.")
}

// resumeDI has it go on, whatever held it.
func (c *Console) resumeDI(w http.ResponseWriter, r *http.Request, v *visit) error {
	return c.turnDI(w, r, v, c.db.ResumeDI, "Reprise demandée : ce qui attendait part maintenant.", "Rien ne retenait ce DI.")
}

// turn is index.DB.PauseDI or ResumeDI, which write the journal.
type turn func(ctx context.Context, name, by, from string) (bool, error)

func (c *Console) turnDI(w http.ResponseWriter, r *http.Request, v *visit, f turn, done, already string) error {
	changed, err := f(r.Context(), r.PathValue("nom"), v.user.Login, v.from)
	switch {
	case errors.Is(err, index.ErrUnknownDI):
		c.flash(r, "Ce DI n’existe pas.")
	case err != nil:
		return err
	case changed:
		c.flash(r, done)
	default:
		c.flash(r, already)
	}
	http.Redirect(w, r, "/systeme/di", http.StatusSeeOther)
	return nil
}

// deliveriesOf returns what became of a document at each record system, when there are
// several.
func deliveriesOf(m index.Detail, id greffe.DocumentID) []index.Delivery {
	var out []index.Delivery
	for _, d := range m.Deliveries {
		if d.Document == id && d.DI != "" {
			out = append(out, d)
		}
	}
	if len(out) < 2 {
		return nil
	}
	return out
}
