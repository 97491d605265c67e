package notifier

import (
	"context"
	"fmt"
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
	checks := []Check{checkWhiteList(&whiteList{path: cfg.WhiteList})}
	for _, m := range cfg.Mailboxes {
		c := Check{Name: m.Address, OK: true, Text: "connexion au serveur d’envoi et identification réussies"}
		client, err := m.open(ctx)
		if err != nil {
			c.OK, c.Text = false, sentence(m, err)
		} else {
			_ = client.Quit()
		}
		checks = append(checks, c)
	}
	return checks
}

func checkWhiteList(w *whiteList) Check {
	c := Check{Name: "liste blanche"}
	if w.path == "" {
		c.Text = "Aucune liste blanche (answers.white_list) : aucune réponse ne part. Téléchargez listeblanchemssante.xml et indiquez son chemin."
		return c
	}
	n, err := w.check()
	if err != nil {
		c.Text = fmt.Sprintf("Le fichier %s ne peut pas être lu comme une liste de domaines (%v) : remplacez-le par listeblanchemssante.xml.", w.path, err)
		return c
	}
	c.OK, c.Text = true, fmt.Sprintf("%d domaines", n)
	return c
}
