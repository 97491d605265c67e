package storage

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
)

const (
	promiseEvery = time.Hour       // between two checks of the archive: a bucket may be changed under us
	promiseAgain = 5 * time.Minute // after one that failed: whoever mends it sees that soon
)

// promise is what the archive last showed of what it promises.
type promise struct {
	mu     sync.Mutex
	checks []archive.Check
	at     time.Time // of the checks; zero: none yet
	since  time.Time // when the trouble was first seen
}

// set keeps the checks. It reports whether they begin or end a trouble, and the name of
// the one that failed, "" for none.
func (p *promise) set(checks []archive.Check, now time.Time) (news bool, failed string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.broken()
	p.checks, p.at = checks, now
	is := p.broken()
	if is != nil {
		failed = is.Name
		if was == nil {
			p.since = now
		}
	}
	return (was == nil) != (is == nil), failed
}

// broken returns the check that failed; one that failed for good goes before one that did
// not answer. nil when there is none.
func (p *promise) broken() (first *archive.Check) {
	for i := range p.checks {
		if c := &p.checks[i]; !c.OK && (first == nil || first.Later && !c.Later) {
			first = c
		}
	}
	return first
}

// wait is how long until the archive is to be checked again.
func (p *promise) wait(every, again time.Duration, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.at.IsZero():
		return 0
	case p.broken() != nil:
		every = again
	}
	return max(every-now.Sub(p.at), 0)
}

// standing says what the archive promises, and when it proved it.
func (p *promise) standing(zone *time.Location) bus.Standing {
	p.mu.Lock()
	defer p.mu.Unlock()
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	st := bus.Standing{Service: "archive", Instance: host}
	if p.at.IsZero() {
		st.Text = "Première vérification en cours."
		return st
	}
	on := "le " + p.at.In(zone).Format("02/01/2006 15:04")
	if c := p.broken(); c != nil {
		st.Trouble, st.Since = "L’essai « "+c.Name+" » échoue. "+c.Text, p.since.UTC()
		st.Text = "Dernier essai " + on + ", renouvelé de lui-même."
		return st
	}
	var limits []string
	for _, c := range p.checks {
		if c.Unlocked {
			limits = append(limits, c.Name+" : "+c.Text)
		}
	}
	st.Text = "Verrou du stockage vérifié " + on + " : effacer ou abréger un objet verrouillé est refusé."
	if len(limits) > 0 {
		st.Text = "Écriture vérifiée " + on + ", sans verrou du stockage. " + strings.Join(limits, " ")
	}
	return st
}

// promises has the archive checked until ctx is done, and says what came of it. What it no
// longer promises stops nothing: a message that waits is not better kept.
func (s *Storage) promises(ctx context.Context) {
	changed := make(chan struct{}, 1)
	var telling sync.WaitGroup
	defer telling.Wait()
	telling.Go(func() {
		s.bus.Tell(ctx, changed, func() []bus.Standing { return []bus.Standing{s.promise.standing(s.cfg.Zone)} })
	})
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.promise.wait(s.every, s.again, time.Now())):
		}
		checks := s.store.Check(ctx)
		if ctx.Err() != nil {
			return
		}
		switch news, failed := s.promise.set(checks, time.Now()); {
		case news && failed != "":
			s.log.Error("the archive does not prove what it promises", slog.String("check", failed))
		case news:
			s.log.Info("the archive proves what it promises again")
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}
