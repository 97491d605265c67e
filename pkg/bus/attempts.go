package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"
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
		if err != nil {
			return fmt.Errorf("bus: count a crash: %w", err)
		}
		b.log.Warn("the last run ended while it handled an event", "event", key)
	}
	b.running.settled()
	return nil
}

// running notes the calls that run in this process in a file, so that the next
// process knows what this one was at when it was killed. An embedded server
// cannot tell: it writes its count of deliveries a little later, and dies with
// us. The file is not synced: it survives the end of the process, and a power
// cut is no fault of an event.
//
// The file is a row of slots of slotSize bytes, each a count key padded with
// zeros, or zeros. A call takes a slot and clears it. The file is mapped into
// memory, so that this costs nothing; its pages belong to the kernel, which keeps
// them when the process is killed.
//
// A nil *running (a shared server, which counts for us) notes nothing.
type running struct {
	slots []byte // the mapped file; nil once it is closed
	// suspect holds what ran when the process before this one ended, by count key.
	suspect map[string]bool
	// alone is held for writing by a suspect, for reading by all others: one that
	// ends the process again is then known to be the one.
	alone sync.RWMutex

	mu   sync.Mutex
	free [][]byte // slots that nobody has any more
	used int      // slots that somebody had
}

// slotSize holds a consumer name of up to 64 characters, a dot and a sequence of
// up to 20 digits. There are more slots than calls at once.
const (
	slotSize = 96
	maxSlots = 4096
)

// openRunning opens the file and reads what the process before left in it. The
// slots are cleared only by settled, once the crashes are counted.
func openRunning(path string) (*running, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	defer f.Close() // the mapping stays
	// Reserved, not only stretched: with a full disk, writing to a mapped hole would
	// end the process.
	if err := reserve(f, slotSize*maxSlots); err != nil {
		return nil, fmt.Errorf("bus: reserve %s: %w", path, err)
	}
	slots, err := unix.Mmap(int(f.Fd()), 0, slotSize*maxSlots, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("bus: map %s: %w", path, err)
	}
	r := &running{slots: slots, suspect: map[string]bool{}}
	for slot := range slices.Chunk(slots, slotSize) {
		if key := string(bytes.TrimRight(slot, "\x00")); key != "" {
			r.suspect[key] = true
		}
	}
	return r, nil
}

// reserve makes f size bytes long, each of them on disk. What it holds stays.
func reserve(f *os.File, size int64) error {
	fi, err := f.Stat()
	if err != nil || fi.Size() >= size {
		return err
	}
	_, err = f.WriteAt(make([]byte, size-fi.Size()), fi.Size())
	return err
}

func (r *running) suspects(key string) bool { return r != nil && r.suspect[key] }

// settled forgets what the process before left, once it is counted.
func (r *running) settled() { clear(r.slots) }

func (r *running) close() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = unix.Munmap(r.slots) // fails only for what is not mapped
	r.slots = nil
}

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
	slot, err := r.note(key)
	if err != nil {
		unlock()
		return nil, fmt.Errorf("bus: note a call: %w", err)
	}
	return func() {
		r.release(slot)
		unlock()
	}, nil
}

// note writes key into a free slot.
func (r *running) note(key string) (slot []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch n := len(r.free); {
	case len(key) > slotSize:
		return nil, fmt.Errorf("a key of %d characters", len(key))
	case r.slots == nil:
		return nil, ErrClosed
	case n > 0:
		slot, r.free = r.free[n-1], r.free[:n-1]
	case r.used == maxSlots:
		return nil, fmt.Errorf("more than %d calls at once", maxSlots)
	default:
		slot = r.slots[r.used*slotSize : (r.used+1)*slotSize]
		r.used++
	}
	copy(slot, key)
	return slot, nil
}

// release clears a slot. A call that was left behind may do so after the mapping
// went: its note then stays, and counts as one crash too many, no more.
func (r *running) release(slot []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.slots != nil {
		clear(slot)
		r.free = append(r.free, slot)
	}
}
