package storage

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// What people ask for in the console is a row of the index: a proof pack, a verification.
// The event on the bus only wakes who answers it, so that a lost one costs seconds; a
// lease makes one process answer at a time.
const (
	wantedLook  = 5 * time.Second // between two looks at what nobody woke us for
	wantedLease = 30 * time.Second
)

// answer does what is asked for until ctx is done.
func (s *Storage) answer(ctx context.Context) {
	packs, checkups := make(chan struct{}, 1), make(chan struct{}, 1)
	var work sync.WaitGroup
	work.Go(func() { s.serve(ctx, "storage packs", packs, s.packDue, s.packNext) })
	work.Go(func() { s.serve(ctx, "storage verifications", checkups, s.checkupDue, s.checkupNext) })
	for ctx.Err() == nil {
		err := bus.Watch(ctx, s.bus, bus.Wanted, func(greffe.Wanted) {
			for _, wake := range []chan struct{}{packs, checkups} {
				select {
				case wake <- struct{}{}:
				default:
				}
			}
		})
		if ctx.Err() == nil {
			s.log.Warn("requests are looked for less often", slog.Any("error", err))
			pause(ctx, wantedLook)
		}
	}
	work.Wait()
}

// serve answers requests of one kind until ctx is done: due says whether there is one,
// next answers it under the lease.
func (s *Storage) serve(ctx context.Context, lease string, wake <-chan struct{}, due func(context.Context) (bool, error), next func(context.Context) error) {
	t := time.NewTicker(wantedLook)
	defer t.Stop()
	for {
		if err := s.serveAll(ctx, lease, due, next); err != nil && ctx.Err() == nil {
			s.log.Warn("a request is not answered yet", slog.String("lease", lease), slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-t.C:
		}
	}
}

func (s *Storage) serveAll(ctx context.Context, lease string, due func(context.Context) (bool, error), next func(context.Context) error) error {
	if is, err := due(ctx); err != nil || !is {
		return err
	}
	l, err := s.bus.Lease(ctx, lease, wantedLease)
	if errors.Is(err, bus.ErrHeld) {
		return nil
	}
	if err != nil {
		return err
	}
	defer l.Release()
	held, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.Context(), cancel)()
	for {
		if err := next(held); err != nil {
			return err
		}
		if is, err := due(held); err != nil || !is {
			return err
		}
	}
}

// pause waits for d, or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
