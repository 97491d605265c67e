package fetcher

import (
	"context"
	"log/slog"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// teller publishes Received events in their order and then moves the cursor past
// them, in a goroutine of its own: both wait for a disk, and the next message is
// spooled meanwhile. The cursor is saved whenever the teller has caught up.
type teller struct {
	events chan greffe.Received
	failed chan struct{} // closed when err is set and nothing is taken any more
	done   chan struct{}
	told   uidSet // published, once done
	err    error  // once failed or done
}

// saveTime bounds the last writing of the cursor.
const saveTime = 5 * time.Second

// tell starts a teller for one folder; end must be called.
func (w *watcher) tell(ctx context.Context, fo *folder) *teller {
	t := &teller{events: make(chan greffe.Received, 8), failed: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(t.done)
		var saved uidSet
		for e := range t.events {
			if t.err != nil {
				continue // spooled, but not told: it is taken again
			}
			err := bus.Publish(ctx, w.f.bus, bus.Received, e)
			if err == nil {
				t.told.add(e.Origin.UID)
				if e.Refused == nil {
					w.flight.start(e.ID, e.Size)
				}
				fo.log.Info("message taken", slog.String("id", string(e.ID)), slog.Uint64("uid", uint64(e.Origin.UID)),
					slog.Int64("size", e.Size), slog.Bool("refused", e.Refused != nil))
				if len(t.events) == 0 {
					err = w.f.ledger.take(ctx, &fo.cursor, e.Origin.UIDValidity, t.told)
					saved = append(saved[:0], t.told...)
				}
			}
			if err != nil {
				t.err = ourSide{err}
				close(t.failed)
			}
		}
		if len(t.told.minus(saved)) == 0 {
			return
		}
		// Also when the service stops or something failed: what was told is not taken again.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
		defer cancel()
		if err := w.f.ledger.take(ctx, &fo.cursor, fo.validity, t.told); err != nil && t.err == nil {
			t.err = ourSide{err}
		}
	}()
	return t
}

// add hands an event over; an error is one of an earlier event.
func (t *teller) add(e greffe.Received) error {
	select {
	case <-t.failed:
		return t.err
	case t.events <- e:
		return nil
	}
}

// end waits until all is told and returns the UIDs that were, also when some
// were not.
func (t *teller) end() (uidSet, error) {
	close(t.events)
	<-t.done
	return t.told, t.err
}
