package fetcher

import (
	"fmt"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// lastingTrouble is after how long a trouble is told to those who wait for the messages:
// a cut connection is back before.
const lastingTrouble = time.Minute

// standings says how each mailbox goes that this process serves, or cannot serve.
func (f *Fetcher) standings() []bus.Standing {
	var all []bus.Standing
	for _, s := range f.Status() {
		if !s.Connected && s.Error == "" {
			continue // not begun, or another process serves it
		}
		st := bus.Standing{Service: "fetcher", Instance: s.Address, Trouble: s.Error, Warning: s.Notice, Success: s.LastSuccess.UTC(),
			Mailbox: &greffe.MailboxFigures{Folders: s.Folders, Expiries: s.Expiries}}
		switch {
		case s.Error != "":
			st.Since = s.ErrorSince.UTC()
			if time.Since(s.ErrorSince) > lastingTrouble {
				st.Waiting = "La boîte " + s.Address + " n’est pas relevée correctement : ses messages restent dans la boîte et seront repris d’eux-mêmes. Si cela dure, prévenez l’administrateur."
			}
		case s.LastSuccess.IsZero():
			st.Text = "Connexion établie ; la première comparaison avec le serveur est en cours."
		case s.Waiting == 1:
			st.Text = "Relevée ; un message n’est pas encore archivé."
		case s.Waiting > 1:
			st.Text = fmt.Sprintf("Relevée ; %d messages ne sont pas encore archivés.", s.Waiting)
		default:
			st.Text = "Relevée ; tout est archivé."
		}
		all = append(all, st)
	}
	return all
}
