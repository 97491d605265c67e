package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
)

// count is what became of an event before. It is written when a call did not
// succeed, so never for most events.
type count struct {
	Failed  int `json:"failed,omitempty"`  // calls that returned an error of their own
	Excused int `json:"excused,omitempty"` // deliveries that were no attempt: Later, an outage, a stop
	Crashes int `json:"crashes,omitempty"` // processes that ended while they handled it
}

// attempts returns how many attempts came before the delivery with this number
// (from 1). With an embedded server we know them all. A shared server outlives
// us: what it handed out and we did not excuse was an attempt, however it ended.
func (c count) attempts(delivered uint64, embedded bool) int {
	known := c.Failed + c.Crashes
	if embedded {
		return known
	}
	return max(int(delivered)-1-c.Excused, known)
}

// countOf reads the count of an event. The first delivery of an event that no
// crashed process was at needs no look.
func (b *Bus) countOf(ctx context.Context, key string, delivered uint64) (count, error) {
	var c count
	if delivered <= 1 && !b.running.suspects(key) {
		return c, nil
	}
	e, err := b.counts.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(e.Value(), &c)
	}
	return c, err
}

func (b *Bus) putCount(ctx context.Context, key string, c count) error {
	value, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = b.counts.Put(ctx, key, value)
	return err
}

// countCrashes turns what a process that ended badly was handling into counts.
func (b *Bus) countCrashes(ctx context.Context) error {
	for key := range b.running.suspect {
		c, err := b.countOf(ctx, key, 2)
		if err == nil {
			c.Crashes++
			err = b.putCount(ctx, key, c)
		}
		if err == nil {
			err = b.running.remove(key)
		}
		if err != nil {
			return fmt.Errorf("bus: count a crash: %w", err)
		}
		b.log.Warn("the last run ended while it handled an event", "event", key)
	}
	return nil
}

// running notes the calls that run in this process as empty files in a
// directory, so that the next process knows what this one was at when it was
// killed. An embedded server cannot tell: it writes its count of deliveries a
// little later, and dies with us. The files are not synced: they survive the end
// of the process, and a power cut is no fault of an event.
//
// A nil *running (a shared server, which counts for us) notes nothing.
type running struct {
	dir string
	// suspect holds what ran when the process before this one ended, by count key.
	suspect map[string]bool
	// alone is held for writing by a suspect, for reading by all others: one that
	// ends the process again is then known to be the one.
	alone sync.RWMutex
}

func openRunning(dir string) (*running, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	r := &running{dir: dir, suspect: map[string]bool{}}
	for _, e := range left {
		r.suspect[e.Name()] = true
	}
	return r, nil
}

func (r *running) suspects(key string) bool { return r != nil && r.suspect[key] }

func (r *running) remove(key string) error { return os.Remove(filepath.Join(r.dir, key)) }

// begin notes that the event of key is being handled, until end is called. A
// suspect waits until nothing else runs.
func (r *running) begin(key string, suspect bool) (end func(), err error) {
	if r == nil {
		return func() {}, nil
	}
	unlock := r.alone.RUnlock
	if suspect {
		r.alone.Lock()
		unlock = r.alone.Unlock
	} else {
		r.alone.RLock()
	}
	f, err := os.OpenFile(filepath.Join(r.dir, key), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		unlock()
		return nil, fmt.Errorf("bus: note a call: %w", err)
	}
	f.Close()
	return func() {
		// A note that stays behind counts one crash too many, no more.
		_ = r.remove(key)
		unlock()
	}, nil
}
