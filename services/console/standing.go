package console

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"greffe/pkg/bus"
)

// standings is what the services said last about how they go, read from the bus every
// few seconds: in each deployment alike, however many pages are open.
type standings struct {
	mu      sync.Mutex
	all     []bus.Standing
	read    time.Time            // when the bus was last read; zero: not yet
	failing time.Time            // since when it could not be read; zero: it can
	seen    map[string]time.Time // when each expected one was last there
}

const (
	standingEvery = 3 * time.Second
	standingLimit = 5 * time.Second  // for reading them once
	busPatience   = 15 * time.Second // a bus that is away for less is not told of
)

// notice is a sentence above the queue, for those who wait for their messages.
type notice struct {
	Text  string
	Since time.Time // zero when not known
}

// follow reads the standings until ctx is done.
func (s *standings) follow(ctx context.Context, b *bus.Bus, expected []string, log *slog.Logger) {
	t := time.NewTicker(standingEvery)
	defer t.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, standingLimit)
		all, err := b.Standings(try)
		cancel()
		if ctx.Err() != nil {
			return
		}
		s.set(all, err, expected, time.Now(), log)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (s *standings) set(all []bus.Standing, err error, expected []string, now time.Time, log *slog.Logger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if s.failing.IsZero() {
			s.failing = now
			log.Warn("standings not read", slog.Any("error", err))
		}
		return
	}
	if s.seen == nil || !s.failing.IsZero() {
		// Nobody could speak before: all have their time to do so.
		s.seen = map[string]time.Time{}
		for _, key := range expected {
			s.seen[key] = now
		}
	}
	s.all, s.read, s.failing = all, now, time.Time{}
	for _, st := range all {
		for _, key := range []string{st.Service, st.Service + " " + st.Instance} {
			if _, ok := s.seen[key]; ok {
				s.seen[key] = now
			}
		}
	}
}

// silent reports whether an expected one has been missing for longer than a word of it
// lasts, and since when.
func (s *standings) silent(key string, now time.Time) (since time.Time, silent bool) {
	since, ok := s.seen[key]
	return since, ok && now.Sub(since) > bus.StandingAge
}

// expected are the standings that there must be: of the reading of messages, of the other
// services that are configured, and of each configured mailbox.
func (c *Console) expected() []string {
	keys := append([]string{"parser"}, c.cfg.Services...)
	for _, m := range c.cfg.Mailboxes {
		keys = append(keys, "fetcher "+m)
	}
	return keys
}

// notices returns what keeps the messages of a person waiting, each sentence once.
func (c *Console) notices(v *visit) []notice {
	s, now := &c.standings, time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.failing.IsZero() {
		if now.Sub(s.failing) < busPatience {
			return nil
		}
		return []notice{{"Le bus interne de Greffe ne répond pas : plus rien n’avance. Rien n’est perdu ; prévenez l’administrateur si cela dure.", s.failing}}
	}
	var out []notice
	add := func(text string, since time.Time) {
		i := slices.IndexFunc(out, func(n notice) bool { return n.Text == text })
		switch {
		case i < 0:
			out = append(out, notice{text, since})
		case since.Before(out[i].Since): // another process with the same trouble
			out[i].Since = since
		}
	}
	for _, x := range stopped {
		if since, ok := s.silent(x.service, now); ok {
			add(x.text, since)
		}
	}
	for _, st := range s.all {
		if st.Waiting != "" && (st.Service != "fetcher" || v.reaches(st.Instance)) {
			add(st.Waiting, st.Since)
		}
	}
	for _, m := range c.cfg.Mailboxes {
		if since, ok := s.silent("fetcher "+m, now); ok && v.reaches(m) {
			add("La boîte "+m+" n’est relevée par personne : ses messages restent dans la boîte. Prévenez l’administrateur.", since)
		}
	}
	return out
}

// stopped says what waits while a service is silent. The answers to senders keep nothing
// waiting of whoever works the queue: their silence is on the System page.
var stopped = []struct{ service, text string }{
	{"parser", "La lecture des messages est arrêtée : les nouveaux messages attendent. Rien n’est perdu ; prévenez l’administrateur."},
	{"storage", "L’archivage des messages est arrêté : les nouveaux messages attendent. Rien n’est perdu ; prévenez l’administrateur."},
	{"integrator", "Les envois au DI sont arrêtés : les documents attendent. Rien n’est perdu ; prévenez l’administrateur."},
}

// waitReason says why a message that was received is not read yet; "" when it is about
// to be.
func (c *Console) waitReason() string {
	s := &c.standings
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.silent("parser", time.Now()); ok {
		return "La lecture des messages est arrêtée ; prévenez l’administrateur."
	}
	for _, st := range s.all {
		if st.Service == "parser" && st.Waiting != "" {
			return st.Waiting
		}
	}
	return ""
}

var standingWords = map[string]string{"parser": "Lecture des messages", "fetcher": "Relève", "integrator": "Dossier informatisé", "storage": "Archive et journal", "archive": "Stockage de l’archive", "notifier": "Réponses aux expéditeurs", "verify": "Vérification de l’archive"}

// serviceLine is a standing as the System page shows it.
type serviceLine struct {
	bus.Standing
	Name   string
	Class  string // good, bad, care
	Silent bool   // nothing was said by it, though it is expected
}

// serviceLines reads what the services say now, those that say nothing included.
func (c *Console) serviceLines(ctx context.Context) ([]serviceLine, error) {
	ctx, cancel := context.WithTimeout(ctx, standingLimit)
	defer cancel()
	all, err := c.bus.Standings(ctx)
	if err != nil {
		return nil, err
	}
	var lines []serviceLine
	there := map[string]bool{}
	for _, st := range all {
		there[st.Service], there[st.Service+" "+st.Instance] = true, true
		l := serviceLine{Standing: st, Name: word(standingWords, st.Service), Class: "good"}
		switch {
		case st.Trouble != "":
			l.Class = "bad"
		case st.Warning != "":
			l.Class = "care"
		}
		lines = append(lines, l)
	}
	for _, key := range c.expected() {
		if !there[key] {
			service, instance, _ := strings.Cut(key, " ")
			lines = append(lines, serviceLine{Standing: bus.Standing{Service: service, Instance: instance}, Name: word(standingWords, service), Class: "bad", Silent: true})
		}
	}
	return lines, nil
}
