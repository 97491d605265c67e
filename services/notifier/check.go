package notifier

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Check is one thing that was tried.
type Check struct {
	Name string // French, a few words
	OK   bool
	Text string // French: what was found and, when not OK, what to do
}

// CheckAnswers tries what answering senders needs: the white list and, for each
// mailbox that answers, the submission server, up to the login. It sends nothing.
func CheckAnswers(ctx context.Context, cfg Config) []Check {
	if len(cfg.Mailboxes) == 0 {
		return []Check{{"configuration", true, "aucune boîte n’a de serveur d’envoi (mailboxes.smtp) : les expéditeurs ne reçoivent pas de réponse"}}
	}
	white := newWhiteList(cfg.WhiteList)
	white.Copy = "" // the service keeps its own
	if white.remote() {
		_ = white.fetch(ctx) // what is wrong is among what is checked
	}
	checks := []Check{checkWhiteList(white)}
	for _, m := range cfg.Mailboxes {
		c := Check{Name: m.Address, OK: true, Text: "connexion au serveur d’envoi et identification réussies"}
		client, err := m.open(ctx)
		if err != nil {
			c.OK, c.Text = false, sentence(m, err)
		} else {
			_ = client.Quit()
		}
		switch {
		case !c.OK || !m.Applicative:
		case m.RepliesTo == "":
			c.Text += " ; sans replies_to, ce que des personnes lui écrivent n’est transmis à personne et reste dans la file"
		case !white.has(domain(m.RepliesTo)):
			c.OK, c.Text = false, "Le domaine de replies_to ("+m.RepliesTo+") n’est pas sur la liste blanche : rien ne lui sera transmis. Vérifiez l’adresse."
		}
		checks = append(checks, c)
	}
	return checks
}

// checkWhiteList says how many domains are in force and of when they are, or what keeps
// the list from being renewed.
func checkWhiteList(w *whiteList) Check {
	c := Check{Name: "liste blanche"}
	if w.Source == "" {
		c.Text = "Aucune liste blanche (answers.white_list) : aucune réponse ne part. Indiquez l’adresse ou le fichier de listeblanchemssante.xml."
		return c
	}
	n, good, err := w.check()
	force := "Aucune réponse ne part avant que ce soit corrigé."
	if n > 0 {
		force = fmt.Sprintf("La dernière bonne liste (%s) reste en vigueur.", ageOf(n, good))
	}
	what := "Le fichier " + w.Source
	if w.remote() {
		what = "L’adresse " + w.Source
	}
	switch {
	case errors.Is(err, errKeep):
		c.Text = fmt.Sprintf("La liste est en vigueur (%s) mais n’a pas pu être gardée (%v) : vérifiez la place et les droits dans data_dir.", ageOf(n, good), err)
	case errors.Is(err, errShrunk):
		c.Text = fmt.Sprintf("%s donne une liste qui a perdu trop de domaines d’un coup (%v) : elle est refusée. %s Si elle est juste, augmentez answers.white_list_shrink le temps de la prendre.", what, err, force)
	case err != nil:
		c.Text = fmt.Sprintf("%s ne donne pas de liste de domaines (%v) : vérifiez le chemin ou l’adresse, le réglage white_list_ca et le pare-feu. %s", what, err, force)
	case n > 0 && w.stale(good):
		c.Text = fmt.Sprintf("%s n’a pas été renouvelé(e) depuis longtemps (%s) : des correspondants récents peuvent manquer.", what, ageOf(n, good))
	default:
		c.OK, c.Text = true, ageOf(n, good)
	}
	return c
}

// ageOf says how many domains are in force, and of when.
func ageOf(n int, good time.Time) string {
	age := time.Since(good)
	ago := fmt.Sprintf("il y a %d jours", int(age.Hours()/24))
	switch {
	case age < 2*time.Hour:
		ago = fmt.Sprintf("il y a %d min", int(age.Minutes()))
	case age < 48*time.Hour:
		ago = fmt.Sprintf("il y a %d h", int(age.Hours()))
	}
	return fmt.Sprintf("%d domaines, liste d’%s", n, ago)
}
