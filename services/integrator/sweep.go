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
	sweepArchived = time.Hour        // a document that is on its way to no DI after so long
	sweepDecided  = 10 * time.Minute // what a person decided and nothing followed after so long
)

// sweeps runs sweep now and then until ctx is done.
func (i *Integrator) sweeps(ctx context.Context) error {
	if len(i.queues) == 0 {
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

// sweep admits each document that should be on its way by now, and carries out what people
// decided long ago and nothing came of.
func (i *Integrator) sweep(ctx context.Context, now time.Time) error {
	decided, err := i.index.Unapplied(ctx, now.Add(-sweepDecided))
	if err != nil {
		return err
	}
	for _, d := range decided {
		if err := i.takeUp(ctx, d.Document, &d); err != nil {
			return err
		}
	}
	var last greffe.DocumentID
	for {
		list, err := i.index.Unsettled(ctx, now.Add(-sweepArchived), last)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, u := range list {
			last = u.ID
			if !i.served(u.Mailbox) {
				continue
			}
			if err := i.takeUp(ctx, u.ID, nil); err != nil {
				return err
			}
		}
	}
}

// takeUp admits one document, with what a person decided about it or nil. An error is one
// that the next document would meet, too.
func (i *Integrator) takeUp(ctx context.Context, id greffe.DocumentID, d *greffe.Decided) error {
	err := i.shielded(ctx, id, d)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, new(bus.Later)):
	case errors.Is(err, bus.ErrUnavailable):
		return err
	case err != nil:
		i.log.Error("document left behind", slog.String("document", string(id)), slog.Any("error", err))
	default:
		i.log.Info("document taken up again", slog.String("document", string(id)))
	}
	return nil
}

// shielded is admit, for a caller that is not the bus: a panic is an error.
func (i *Integrator) shielded(ctx context.Context, id greffe.DocumentID, d *greffe.Decided) (err error) {
	defer func() {
		if p := recover(); p != nil {
			i.log.Error("panic in delivery", slog.String("document", string(id)), slog.String("stack", string(debug.Stack())))
			err = fmt.Errorf("panic: %T", p)
		}
	}()
	return i.admit(ctx, id, d)
}
