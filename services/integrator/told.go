package integrator

import (
	"sync"
	"time"

	"greffe/pkg/greffe"
)

// told remembers which outcomes this process has published, so that an event
// that comes back for one document of a message does not publish those of the
// others each time. It forgets everything when it is full: an outcome that is
// published twice is one to whoever reads it.
type told struct {
	mu   sync.Mutex
	last map[greffe.DocumentID]time.Time
}

const toldLimit = 20_000

func (t *told) has(id greffe.DocumentID, at time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.last[id]
	return ok && known.Equal(at)
}

func (t *told) add(id greffe.DocumentID, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil || len(t.last) >= toldLimit {
		t.last = map[greffe.DocumentID]time.Time{}
	}
	t.last[id] = at
}
