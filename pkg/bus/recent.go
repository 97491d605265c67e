package bus

import (
	"slices"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
)

// maxRecent bounds what a process remembers of the objects it spooled, in bytes.
const maxRecent = 24 << 20

// recent remembers the small objects that this process spooled last, besides their
// durable copy: when the server is embedded, those who read them are in the same
// process, and a message is read twice within a second of its arrival. Reading it
// back from the server costs more than all that is then done with it.
//
// With a shared server nothing is remembered: another process may have replaced the
// object since, and the readers are mostly elsewhere.
type recent struct {
	mu    sync.Mutex
	m     map[string]*remembered
	order []*remembered // oldest first; those that were dropped stay until they come up
	size  int
}

type remembered struct {
	name string
	info *jetstream.ObjectInfo
	data []byte
}

// keep remembers an object, and forgets the oldest ones for it.
func (c *recent) keep(name string, info *jetstream.ObjectInfo, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(name)
	if c.m == nil {
		c.m = make(map[string]*remembered)
	}
	r := &remembered{name, info, data}
	c.m[name] = r
	if len(c.order) > 2*len(c.m)+100 { // one that stays keeps those behind it from coming up
		c.order = slices.DeleteFunc(c.order, func(r *remembered) bool { return c.m[r.name] != r })
	}
	c.order = append(c.order, r)
	c.size += len(data)
	for c.size > maxRecent {
		oldest := c.order[0]
		c.order = c.order[1:]
		if c.m[oldest.name] == oldest {
			c.remove(oldest.name)
		}
	}
}

// get returns a copy of what is remembered of an object; nil when it is nothing.
func (c *recent) get(name string) *remembered {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.m[name]; r != nil {
		return &remembered{r.name, r.info, r.data}
	}
	return nil
}

// forget is called before the object is dropped or replaced.
func (c *recent) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(name)
}

func (c *recent) remove(name string) {
	r := c.m[name]
	if r == nil {
		return
	}
	delete(c.m, name)
	c.size -= len(r.data)
	r.data = nil // order may hold r for a while
	for len(c.order) > 0 && c.m[c.order[0].name] != c.order[0] {
		c.order = c.order[1:]
	}
}
