package bus_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"greffe/pkg/bus"
)

// What one process says, every other reads: the trouble, its end, and nothing of a
// service that stopped.
func TestStandingsAreReadByOthers(t *testing.T) {
	for _, d := range deployments() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			cfg := d.cfg(t)
			a := open(t, cfg)
			b := a
			if cfg.URL != "" {
				b = open(t, cfg) // another process
			}
			service := unique("s")
			of := func() (mine []bus.Standing) {
				all, err := b.Standings(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range all {
					if s.Service == service {
						mine = append(mine, s)
					}
				}
				return mine
			}
			var mu sync.Mutex
			all := []bus.Standing{{Service: service, Instance: "a@b", Trouble: "ne répond pas", Since: time.Now()}, {Service: service, Instance: "c@d"}}
			changed := make(chan struct{})
			ctx, stop := context.WithCancel(t.Context())
			over := make(chan struct{})
			go func() {
				defer close(over)
				a.Tell(ctx, changed, func() []bus.Standing { mu.Lock(); defer mu.Unlock(); return all })
			}()
			eventually(t, "both are told", func() bool { return len(of()) == 2 })
			if got := of()[0]; got.Trouble != "ne répond pas" || got.Since.IsZero() || time.Since(got.At) > time.Minute {
				t.Errorf("standing %+v", got)
			}
			mu.Lock()
			all = []bus.Standing{{Service: service, Instance: "a@b"}}
			mu.Unlock()
			changed <- struct{}{}
			eventually(t, "one is well, one is withdrawn", func() bool { g := of(); return len(g) == 1 && g[0].Trouble == "" })
			stop()
			<-over
			if got := of(); len(got) != 0 {
				t.Errorf("of a service that stopped: %+v", got)
			}
		})
	}
}

// Two processes that speak of one mailbox: the word of the one that took it over stays
// when the other ends.
func TestAStandingTakenOverStays(t *testing.T) {
	each(t, func(t *testing.T, b *bus.Bus) {
		service := unique("s")
		tell := func(text string) (stop func()) {
			ctx, cancel := context.WithCancel(t.Context())
			over := make(chan struct{})
			go func() {
				defer close(over)
				b.Tell(ctx, nil, func() []bus.Standing { return []bus.Standing{{Service: service, Instance: "a@b", Text: text}} })
			}()
			said := func() string {
				all, err := b.Standings(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range all {
					if s.Service == service {
						return s.Text
					}
				}
				return ""
			}
			eventually(t, text, func() bool { return said() == text })
			return func() { cancel(); <-over }
		}
		first := tell("premier")
		second := tell("second")
		first()
		all, err := b.Standings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, s := range all {
			found = found || s.Service == service && s.Text == "second"
		}
		if !found {
			t.Errorf("standings %+v", all)
		}
		second()
	})
}
