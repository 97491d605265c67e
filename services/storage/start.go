package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
)

// ErrUnproven is returned by Run when the archive was asked to prove that it refuses to
// delete and to shorten, and did not. Its text is French and says what to change.
var ErrUnproven = errors.New("l’archive ne prouve pas qu’elle refuse d’effacer et d’abréger : rien n’y sera écrit")

// proven returns once the archive has proved what it promises. A store that does not
// answer is waited for, and said to be so; one that answers that it does not refuse
// what it must refuse is ErrUnproven.
func (s *Storage) proven(ctx context.Context) error {
	var trouble atomic.Pointer[bus.Standing]
	changed := make(chan struct{}, 1)
	var aside sync.WaitGroup
	defer aside.Wait()
	telling, stop := context.WithCancel(ctx)
	defer stop()
	host, err := os.Hostname()
	if err != nil {
		host = "storage"
	}
	for wait := s.pause; ; wait = min(2*wait, 30*time.Second) {
		checks := s.store.Check(ctx)
		later, err := judge(checks)
		if err != nil {
			return err
		}
		if later == nil {
			s.promise.set(checks, time.Now())
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		first := trouble.Load()
		said := &bus.Standing{Service: "storage", Instance: host, Trouble: later.Name + " : " + later.Text, Since: time.Now().UTC()}
		if first == nil {
			aside.Go(func() { s.bus.Tell(telling, changed, func() []bus.Standing { return []bus.Standing{*trouble.Load()} }) })
		} else {
			said.Since = first.Since
		}
		trouble.Store(said)
		select {
		case changed <- struct{}{}:
		default:
		}
		s.log.Warn("archive does not answer, storage waits to begin", slog.String("check", later.Name))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// judge returns the check that has to be tried again, or ErrUnproven with the one that
// failed for good.
func judge(checks []archive.Check) (later *archive.Check, err error) {
	for _, c := range checks {
		switch {
		case c.OK:
		case c.Later:
			later = &c
		default:
			return nil, fmt.Errorf("%w. %s : %s", ErrUnproven, c.Name, c.Text)
		}
	}
	return later, nil
}
