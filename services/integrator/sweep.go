package integrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// The bus carries work and may lose it: it forgets events after a month, a server
// may lose its disk, an event may be a dead letter that nobody reads. The index knows
// what is not settled. What no event speaks of any more is taken up from there.
const (
	sweepEvery    = time.Hour
	sweepArchived = time.Hour      // a document that was not even tried for so long
	sweepWaiting  = 24 * time.Hour // one that has waited for the DI for so long
)

// sweeps runs sweep now and then until ctx is done.
func (i *Integrator) sweeps(ctx context.Context) error {
	if len(i.targets) == 0 {
		<-ctx.Done()
		return nil
	}
	for {
		if err := i.sweep(ctx, time.Now()); err != nil && ctx.Err() == nil {
			i.log.Warn("documents left behind could not be looked for", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(sweepEvery):
		}
	}
}

// sweep works once on each document that should be settled by now. One that an event
// still speaks of has a try more than planned, under the same identifiers.
func (i *Integrator) sweep(ctx context.Context, now time.Time) error {
	var last greffe.DocumentID
	for {
		list, err := i.index.Unsettled(ctx, now.Add(-sweepArchived), now.Add(-sweepWaiting), last)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, u := range list {
			last = u.ID
			if _, ok := i.target(u.Mailbox); !ok {
				continue
			}
			err := i.shielded(ctx, u.ID)
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.As(err, new(bus.Later)):
			case errors.Is(err, bus.ErrUnavailable):
				return err
			case err != nil:
				i.log.Error("document left behind", slog.String("document", string(u.ID)), slog.Any("error", err))
			default:
				i.log.Info("document taken up again", slog.String("document", string(u.ID)))
			}
		}
	}
}

// shielded is deliver, for a caller that is not the bus: a panic is an error.
func (i *Integrator) shielded(ctx context.Context, id greffe.DocumentID) (err error) {
	defer func() {
		if p := recover(); p != nil {
			i.log.Error("panic in delivery", slog.String("document", string(id)), slog.String("stack", string(debug.Stack())))
			err = fmt.Errorf("panic: %T", p)
		}
	}()
	return i.deliver(ctx, id, nil)
}
