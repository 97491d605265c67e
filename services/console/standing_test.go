package console

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"greffe/pkg/bus"
)

// say has a service speak on the bus until the test ends.
func (w *world) say(all ...bus.Standing) {
	w.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		w.bus.Tell(ctx, nil, func() []bus.Standing { return all })
	}()
	w.t.Cleanup(func() { stop(); <-over })
	deadline := time.Now().Add(20 * time.Second)
	for {
		w.console.standings.mu.Lock()
		n := len(w.console.standings.all)
		w.console.standings.mu.Unlock()
		if n >= len(all) {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatal("the console does not hear the services")
		}
		<-time.After(10 * time.Millisecond)
	}
}

// TestTroubleIsTold: who waits for messages reads above the queue why, about her own
// mailboxes; the administrator reads what to do.
func TestTroubleIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	since := time.Now().Add(-time.Hour)
	w.say(
		bus.Standing{Service: "fetcher", Instance: cardio, Text: "Relevée ; tout est archivé.", Success: time.Now()},
		bus.Standing{Service: "fetcher", Instance: radio, Trouble: "Le serveur refuse l’identification.", Since: since, Waiting: "La boîte de radiologie n’est pas relevée."},
		bus.Standing{Service: "parser", Instance: "un", Trouble: "Antivirus injoignable : vérifier clamd.", Since: since, Waiting: "L’antivirus est injoignable : les messages attendent."},
		bus.Standing{Service: "parser", Instance: "deux", Trouble: "Antivirus injoignable : vérifier clamd.", Since: since, Waiting: "L’antivirus est injoignable : les messages attendent."},
	)
	cardiology := text(find(w.as("claire").page("/file"), "#avis")[0])
	if strings.Count(cardiology, "L’antivirus est injoignable") != 1 || strings.Contains(cardiology, "radiologie") {
		t.Errorf("cardiology reads %q", cardiology)
	}
	if radiology := text(find(w.as("radio").page("/file"), "#avis")[0]); !strings.Contains(radiology, "radiologie") || !strings.Contains(radiology, "antivirus") {
		t.Errorf("radiology reads %q", radiology)
	}
	page := text(w.as("root").page("/systeme"))
	for _, want := range []string{"vérifier clamd", "refuse l’identification", "tout est archivé", "Dernier rapprochement"} {
		if !strings.Contains(page, want) {
			t.Errorf("the System page does not say %q", want)
		}
	}
	if strings.Contains(page, "signe de vie") {
		t.Error("the System page misses a service that is there")
	}
}

// TestSilenceIsTold: a service that says nothing is missed, at once on the System page,
// and above the queue once it should have spoken.
func TestSilenceIsTold(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(c *Config) { c.Services = []string{"storage", "integrator", "notifier"} })
	if page := text(w.as("root").page("/systeme")); strings.Count(page, "signe de vie") != 6 || !strings.Contains(page, "Archive et journal ne donne pas signe de vie") || !strings.Contains(page, "Réponses aux expéditeurs ne donne pas signe de vie") {
		t.Errorf("four services and two mailboxes are silent, the System page says %q", page)
	}
	c := &Console{cfg: Config{Mailboxes: []string{cardio, radio}, Services: []string{"storage", "integrator", "notifier"}}}
	v := &visit{places: []string{cardio}}
	start := time.Now().Add(-bus.StandingAge - time.Minute)
	log := slog.New(slog.DiscardHandler)
	c.standings.set(nil, nil, c.expected(), start, log)
	c.standings.set([]bus.Standing{{Service: "fetcher", Instance: radio}, {Service: "integrator", Instance: "dpi"}}, nil, c.expected(), time.Now(), log)
	got := c.notices(v)
	if len(got) != 3 || !strings.Contains(got[0].Text, "lecture des messages est arrêtée") || !strings.Contains(got[1].Text, "archivage des messages est arrêté") || !strings.Contains(got[2].Text, cardio) {
		t.Errorf("notices %+v", got)
	}
	// A bus that does not answer is the trouble then, not who could not speak on it.
	c.standings.set(nil, errors.New("away"), c.expected(), time.Now().Add(-time.Minute), log)
	if got := c.notices(v); len(got) != 1 || !strings.Contains(got[0].Text, "bus interne") {
		t.Errorf("notices %+v", got)
	}
	c.standings.set(nil, nil, c.expected(), time.Now(), log)
	if got := c.notices(v); len(got) != 0 {
		t.Errorf("notices %+v", got)
	}
}
