package console

import (
	"context"
	"errors"
	"fmt"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// statementLine is what was stated about one mailbox and day.
type statementLine struct {
	greffe.Statement
	Date  time.Time
	Class string // good, bad, care
	Text  string // what to do; "" when all is well
}

// statementLine says how it stands with a mailbox and day.
func (c *Console) statementLine(s greffe.Statement) statementLine {
	l := statementLine{Statement: s, Class: "good"}
	l.Date, _ = time.ParseInLocation(time.DateOnly, s.Day, c.cfg.Zone) // the zero time is shown as none
	switch {
	case s.Missing > 0:
		l.Class = "bad"
		l.Text = "Des messages vus sur le serveur ne sont pas dans l’archive : « greffe completeness » en donne la liste. Vérifier la relève et les traitements en échec ; un message retiré de la boîte est à redemander à son expéditeur."
	case !s.Complete:
		l.Class = "care"
		l.Text = "Un dossier n’a pas été rapproché du serveur depuis la fin de cette journée : vérifier la relève de cette boîte. Le constat sera refait de lui-même."
	}
	return l
}

// yesterday is the last day that has ended, at midnight in the time zone of the hospital.
func (c *Console) yesterday(now time.Time) time.Time {
	y, m, d := now.In(c.cfg.Zone).Date()
	return time.Date(y, m, d-1, 0, 0, 0, 0, c.cfg.Zone)
}

// statements returns what was stated about yesterday, then about any other day that
// leaves a doubt; a mailbox of which nothing was stated yet is said to be so.
func (c *Console) statements(ctx context.Context, now time.Time) ([]statementLine, error) {
	day := c.yesterday(now)
	of, doubtful, err := c.db.Statements(ctx, day.Format(time.DateOnly))
	if err != nil {
		return nil, err
	}
	var lines []statementLine
	stated := map[string]bool{}
	for _, s := range append(of, doubtful...) {
		l := c.statementLine(s)
		stated[s.Mailbox] = stated[s.Mailbox] || l.Date.Equal(day)
		lines = append(lines, l)
	}
	for _, m := range c.cfg.Mailboxes {
		if !stated[m] {
			lines = append(lines, statementLine{Statement: greffe.Statement{Mailbox: m}, Date: day, Class: "care",
				Text: "Pas encore de constat : il est fait au premier rapprochement de la boîte après minuit, au plus tard deux heures après."})
		}
	}
	return lines, nil
}

// sealLate is after how long an entry of the journal that is not sealed is a trouble:
// sealing is due each minute.
const sealLate = 15 * time.Minute

// sealing says how it stands with the proof of the journal: the last checkpoint and the
// last time stamp, with their age.
func (c *Console) sealing(ctx context.Context, now time.Time) []check {
	unread := func(name string) check {
		return check{Name: name, Text: "n’a pas pu être lu ; vérifier la base de données"}
	}
	seal := check{Name: "Scellement du journal"}
	last, err := c.db.LastSeal(ctx)
	n, oldest, err2 := c.db.Unsealed(ctx)
	switch {
	case err2 != nil || err != nil && !errors.Is(err, index.ErrNotFound):
		seal = unread(seal.Name)
	case err != nil:
		seal.Text = "aucun point de contrôle n’est encore dans l’archive"
	default:
		seal.Text = fmt.Sprintf("dernier point de contrôle : entrée %s, du %s (%s)", number(int(last.Last)), c.wall.moment(last.At), ago(now.Sub(last.At)))
	}
	if late := n > 0 && now.Sub(oldest) > sealLate; late {
		seal.Text += fmt.Sprintf(" ; %s depuis le %s : vérifier que le service storage fonctionne et que l’archive répond", plural(int(n), "entrée attend d’être scellée", "entrées attendent d’être scellées"), c.wall.moment(oldest))
	} else {
		seal.OK = err2 == nil && (err == nil || errors.Is(err, index.ErrNotFound))
	}
	stamp := check{Name: "Horodatage du journal", OK: true}
	token, err := c.db.StampBefore(ctx, now.Add(time.Hour))
	switch {
	case errors.Is(err, index.ErrNotFound):
		stamp.Text = "aucun jeton : l’autorité d’horodatage se donne dans la configuration (journal.timestamp)"
	case err != nil:
		stamp = unread(stamp.Name)
	default:
		stamp.Text = fmt.Sprintf("dernier jeton : du %s (%s), sur les entrées jusqu’à %s", c.wall.moment(token.At), ago(now.Sub(token.At)), number(int(token.Last)))
	}
	return []check{seal, stamp}
}

// ago writes an age for a person.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "à l’instant"
	case d < time.Hour:
		return "il y a " + plural(int(d/time.Minute), "minute", "minutes")
	case d < 48*time.Hour:
		return "il y a " + plural(int(d/time.Hour), "heure", "heures")
	}
	return "il y a " + plural(int(d/(24*time.Hour)), "jour", "jours")
}
