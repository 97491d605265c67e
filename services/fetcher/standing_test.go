package fetcher

import (
	"slices"
	"strings"
	"testing"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// TestStandingIsOnTheBus: how a mailbox goes can be read by others, and its end is not
// left standing.
func TestStandingIsOnTheBus(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	wrong := l.box
	wrong.Address = "autre@ch.example"
	wrong.Auth.PasswordFile = write(t, "wrong")
	b := openBus(t)
	standing := func(address string) (found bus.Standing) {
		all, err := b.Standings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(all, func(s bus.Standing) bool { return s.Service == "fetcher" && s.Instance == address }); i >= 0 {
			found = all[i]
		}
		return found
	}
	f := start(t, b, Config{Mailboxes: []Mailbox{l.box, wrong}})
	eventually(t, "the trouble of one", func() bool { return strings.Contains(standing(wrong.Address).Trouble, "refuse l'identification") })
	eventually(t, "the other is well", func() bool {
		s := standing(l.box.Address)
		return s.Trouble == "" && strings.HasPrefix(s.Text, "Relevée")
	})
	if m := standing(l.box.Address).Mailbox; m == nil || len(m.Folders) != 1 || m.Folders[0].Compared.IsZero() ||
		!slices.ContainsFunc(m.Expiries, func(e greffe.Expiry) bool { return e.What == greffe.ServerCertificate && !e.At.IsZero() }) {
		t.Errorf("figures of the mailbox: %+v", m)
	}
	if s := standing(wrong.Address); s.Since.IsZero() || s.Waiting != "" {
		t.Errorf("a fresh trouble: %+v", s)
	}
	f.boxes[1].set(func(s *MailboxStatus) { s.ErrorSince = time.Now().Add(-time.Hour) })
	if all := f.standings(); len(all) != 2 || !strings.Contains(all[1].Waiting, wrong.Address) {
		t.Errorf("a trouble that lasts: %+v", all)
	}
}
