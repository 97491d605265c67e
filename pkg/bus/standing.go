package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"greffe/pkg/greffe"
)

// Standing is what a service says about how it goes, for the pages that people look
// at: in every deployment the console learns it from the bus, never from the service.
// Sentences are French and name no patient.
type Standing struct {
	Service  string    `json:"service"`           // "parser"
	Instance string    `json:"instance"`          // what of it: a process, or the mailbox that it serves
	Trouble  string    `json:"trouble,omitempty"` // what is wrong now and what to do; empty when all goes well
	Since    time.Time `json:"since,omitzero"`    // of the trouble
	Warning  string    `json:"warning,omitempty"` // what will be wrong soon
	Text     string    `json:"text,omitempty"`    // worth knowing, nothing to do
	Waiting  string    `json:"waiting,omitempty"` // French; what this trouble keeps waiting, for those whose messages they are
	Success  time.Time `json:"success,omitzero"`  // when all that it has to do was last done; zero when it does not say
	At       time.Time `json:"at"`                // when it was last said
	// Mailbox are the figures of a mailbox that a fetcher serves; nil for others.
	Mailbox *greffe.MailboxFigures `json:"mailbox,omitempty"`
}

// StandingAge is for how long a standing is kept after it was said: one that is gone
// is of a service that ended without a word.
const StandingAge = 90 * time.Second

// sayEvery is how often a standing that did not change is said again.
const sayEvery = StandingAge / 6

// Tell says what f returns until ctx is done: at once, each time changed receives
// (nil: never) and some times within StandingAge. What f no longer returns, and all of
// it at the end, is withdrawn. A bus that is away is waited for; nothing here can
// stop a service.
func (b *Bus) Tell(ctx context.Context, changed <-chan struct{}, f func() []Standing) {
	ctx, done, err := b.begin(ctx)
	if err != nil {
		return
	}
	defer done()
	said := map[string]uint64{} // revision by key
	t := time.NewTicker(sayEvery)
	defer t.Stop()
	for {
		b.say(ctx, said, f())
		select {
		case <-ctx.Done():
			// With the bus closing under us there is still a moment.
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			b.say(end, said, nil)
			return
		case <-changed:
		case <-t.C:
		}
	}
}

// say writes the standings and withdraws what was said before and is not among them.
func (b *Bus) say(ctx context.Context, said map[string]uint64, all []Standing) {
	gone := make(map[string]bool, len(said))
	for key := range said {
		gone[key] = true
	}
	for _, s := range all {
		key := encodeKey(s.Service + "\x00" + s.Instance)
		delete(gone, key)
		s.At = time.Now().UTC()
		value, err := json.Marshal(s)
		if err != nil {
			continue // plain fields: cannot fail
		}
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		rev, err := b.standings.Put(try, key, value)
		cancel()
		if err != nil {
			return // away: the next time says it again
		}
		said[key] = rev
	}
	for key := range gone {
		// Only our own word: another process may have taken the mailbox over.
		err := b.standings.Delete(ctx, key, jetstream.LastRevision(said[key]))
		if err == nil || stale(err) {
			delete(said, key)
		}
	}
}

// Standings returns what every service said last, sorted by service and instance.
func (b *Bus) Standings(ctx context.Context) ([]Standing, error) {
	w, err := b.standings.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("bus: read standings: %w", err)
	}
	defer w.Stop() // it ends by itself, too
	var all []Standing
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("bus: read standings: %w", ctx.Err())
		case e, ok := <-w.Updates():
			if !ok {
				return nil, fmt.Errorf("bus: read standings: %w", ErrClosed)
			}
			if e == nil { // all that there is now
				slices.SortFunc(all, func(x, y Standing) int {
					if c := strings.Compare(x.Service, y.Service); c != 0 {
						return c
					}
					return strings.Compare(x.Instance, y.Instance)
				})
				return all, nil
			}
			var s Standing
			if json.Unmarshal(e.Value(), &s) == nil {
				all = append(all, s)
			}
		}
	}
}
