package notifier

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

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
	_, address, _, _ := m.endpoint()
	var file *mss.FileError
	text := "Le serveur d’envoi " + address + " n’a pas pris les réponses aux expéditeurs : Greffe réessaie de lui-même. Si cela dure, vérifier l’adresse, le pare-feu et l’identification (réglage smtp de la boîte), ou prévenir l’opérateur."
	switch {
	case errors.Is(err, mss.ErrExpired):
		text = "Le certificat client " + m.Certificate + " est expiré ou pas encore valable : le faire renouveler auprès de l’IGC-Santé et remplacer le fichier."
	case errors.As(err, &file):
		text = "Le fichier " + file.Path + " ne peut pas être lu : vérifier qu’il existe, que Greffe a le droit de le lire et qu’il a le contenu attendu."
	}
	s.set(m.Address, &bus.Standing{Service: "notifier", Instance: m.Address, Trouble: text, Since: time.Now().UTC()})
}

func (s *standing) list() []bus.Standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []bus.Standing{{Service: "notifier", Instance: "envoi"}}
	return append(all, slices.Collect(maps.Values(s.now))...)
}
