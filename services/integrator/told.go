package integrator

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// told remembers which outcomes this process has published. Of those of a DI it tells the
// index, many at once, so that nobody publishes them again; of those about a document
// itself it knows that an event that comes back need not publish them each time. It
// forgets these when it is full: an outcome that is published twice is one to whoever
// reads it.
type told struct {
	mu    sync.Mutex
	last  map[greffe.DocumentID]time.Time
	fresh []index.Delivery
}

const (
	toldLimit = 20_000
	toldEvery = 200 * time.Millisecond
	toldBatch = 200
)

func (t *told) has(id greffe.DocumentID, at time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.last[id]
	return ok && known.Equal(at)
}

func (t *told) add(id greffe.DocumentID, o greffe.Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o.DI != "" {
		t.fresh = append(t.fresh, index.Delivery{Document: id, DI: o.DI, Outcome: o})
		return
	}
	if t.last == nil || len(t.last) >= toldLimit {
		t.last = map[greffe.DocumentID]time.Time{}
	}
	t.last[id] = o.At
}

// take returns what was published and not told to the index yet, at most n.
func (t *told) take(n int) []index.Delivery {
	t.mu.Lock()
	defer t.mu.Unlock()
	n = min(n, len(t.fresh))
	list := t.fresh[:n:n]
	t.fresh = t.fresh[n:]
	if len(t.fresh) == 0 {
		t.fresh = nil
	}
	return list
}

// note tells the index what was published, until ctx is done. What it cannot tell is
// published again, which does no harm.
func (t *told) note(ctx context.Context, db *index.DB, log *slog.Logger) {
	tick := time.NewTicker(toldEvery)
	defer tick.Stop()
	for {
		done := ctx.Err() != nil
		for list := t.take(toldBatch); len(list) > 0; list = t.take(toldBatch) {
			try, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
			if err := db.Told(try, list); err != nil {
				log.Warn("what was published could not be noted", slog.Any("error", err))
			}
			cancel()
		}
		if done {
			return
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}
