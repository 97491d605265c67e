package notifier

import (
	"crypto/x509"
	"errors"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"greffe/pkg/bus"
	"greffe/pkg/mss"
)

// standing is what the System page shows of the service: which mailbox cannot send.
type standing struct {
	changed chan struct{}

	mu  sync.Mutex
	now map[string]bus.Standing
}

func newStanding() *standing {
	return &standing{changed: make(chan struct{}, 1), now: map[string]bus.Standing{}}
}

func (s *standing) set(mailbox string, b *bus.Standing) {
	s.mu.Lock()
	if b == nil {
		delete(s.now, mailbox)
	} else {
		if old, ok := s.now[mailbox]; ok {
			b.Since = old.Since
		}
		s.now[mailbox] = *b
	}
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *standing) clear(mailbox string) { s.set(mailbox, nil) }

// trouble notes why a mailbox cannot send now.
func (s *standing) trouble(m Mailbox, err error) {
	s.set(m.Address, &bus.Standing{Service: "notifier", Instance: m.Address, Trouble: sentence(m, err), Since: time.Now().UTC()})
}

// sentence says in French why a mailbox cannot send and what to do.
func sentence(m Mailbox, err error) string {
	_, address, _, _ := m.endpoint()
	var file *mss.FileError
	var unknown x509.UnknownAuthorityError
	var answer *smtp.SMTPError
	server := "Le serveur d’envoi " + address + " "
	switch {
	case errors.Is(err, mss.ErrExpired):
		return "Le certificat client " + m.Certificate + " est expiré ou pas encore valable : le faire renouveler auprès de l’IGC-Santé et remplacer le fichier."
	case errors.As(err, &file):
		return "Le fichier " + file.Path + " ne peut pas être lu : vérifier qu’il existe, que Greffe a le droit de le lire et qu’il a le contenu attendu."
	case errors.As(err, &unknown):
		return server + "présente un certificat d’une autorité inconnue : vérifier le réglage « ca » (chaîne IGC-Santé) et l’adresse du serveur."
	case errors.Is(err, errStartTLS):
		return server + "ne propose pas STARTTLS, qui est exigé : utiliser smtps:// ou prévenir l’opérateur."
	case errors.Is(err, errSender):
		return server + "refuse l’expéditeur de l’enveloppe : essayer answers.sender: mailbox, vérifier que cette boîte a le droit d’envoyer, ou prévenir l’opérateur."
	case errors.As(err, &answer) && answer.Code == 535:
		return server + "refuse l’identification de cette boîte : vérifier le réglage « auth » et ses fichiers."
	}
	return server + "n’a pas pris les réponses aux expéditeurs : Greffe réessaie de lui-même. Si cela dure, vérifier l’adresse, le pare-feu et l’identification, ou prévenir l’opérateur."
}

// standings is what the System page shows: the service as a whole, with what is wrong with
// the white list, and each mailbox that cannot send.
func (n *Notifier) standings() []bus.Standing {
	host, err := os.Hostname()
	if err != nil {
		host = "notifier"
	}
	own := bus.Standing{Service: "notifier", Instance: host}
	switch c := checkWhiteList(n.white); {
	case c.OK:
		own.Text = "Liste blanche : " + c.Text
	case n.white.loaded():
		own.Warning = c.Text
	default:
		own.Trouble = c.Text
	}
	n.state.mu.Lock()
	defer n.state.mu.Unlock()
	return append([]bus.Standing{own}, slices.Collect(maps.Values(n.state.now))...)
}
