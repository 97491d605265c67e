package fetcher

import (
	"context"
	"sync"
	"time"

	"greffe/pkg/greffe"
)

// What one mailbox may have on its way to the archive. Without a bound a mailbox
// with years of mail would be copied into the spool in minutes and wait there,
// on the disk of the bus, for what comes after.
const (
	flightMessages = 64
	flightBytes    = 256 << 20
	// flightAge is after how long a message no longer counts: one that is not
	// archived by then waits for a person or a store, and must not hold back the
	// rest of its mailbox.
	flightAge = 5 * time.Minute
)

// flight holds what was taken from one mailbox and is not known to be archived.
// It is a brake and not a record: all of it may be lost.
type flight struct {
	most int // messages

	mu    sync.Mutex
	bytes int64
	list  map[greffe.MessageID]flown
	freed chan struct{} // closed and made anew when something landed
}

type flown struct {
	size int64
	at   time.Time
}

func newFlight() *flight {
	return &flight{most: flightMessages, list: make(map[greffe.MessageID]flown), freed: make(chan struct{})}
}

// start counts a message that was just published.
func (f *flight) start(id greffe.MessageID, size int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.remove(id)
	f.list[id] = flown{size, time.Now()}
	f.bytes += size
}

// land takes a message off that is archived.
func (f *flight) land(id greffe.MessageID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.remove(id) {
		close(f.freed)
		f.freed = make(chan struct{})
	}
}

func (f *flight) remove(id greffe.MessageID) bool {
	m, ok := f.list[id]
	if ok {
		f.bytes -= m.size
		delete(f.list, id)
	}
	return ok
}

// room waits until there is room for another message, or ctx is done.
func (f *flight) room(ctx context.Context) error {
	for {
		full, freed, wait := f.look(time.Now())
		if !full {
			return ctx.Err()
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-freed:
		case <-t.C:
		}
		t.Stop()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// look forgets what is too old and reports whether the flight is full, with
// what to wait for if so.
func (f *flight) look(now time.Time) (full bool, freed <-chan struct{}, wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.list) < f.most && f.bytes < flightBytes {
		return false, nil, 0
	}
	wait = flightAge
	for id, m := range f.list {
		if age := now.Sub(m.at); age >= flightAge {
			f.remove(id)
		} else {
			wait = min(wait, flightAge-age)
		}
	}
	return len(f.list) >= f.most || f.bytes >= flightBytes, f.freed, wait
}
