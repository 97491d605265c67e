package bus

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrHeld is returned by Lease when another process holds it.
var ErrHeld = errors.New("bus: lease held by another")

// Lease is an exclusive right that ends by itself when its holder dies.
type Lease struct {
	b      *Bus
	key    string
	holder string
	ttl    time.Duration
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelCauseFunc
	over   chan struct{} // closed when the renewing has ended
	rev    uint64        // of our last write; of renew alone until over
}

// tenure is what a holder writes. RenewedAt is for a person who looks; nobody
// compares it with a clock.
type tenure struct {
	Holder    string        `json:"holder"`
	TTL       time.Duration `json:"ttl"`
	RenewedAt time.Time     `json:"renewed_at"`
}

// lookouts remembers, for each lease held by another, which revision this
// process saw and since when. A lease is free when its revision did not change
// for a whole ttl on this process's own clock: no two clocks are compared.
type lookouts struct {
	mu   sync.Mutex
	seen map[string]sighting
}

// maxSightings bounds what is remembered of leases that nobody asks for again.
const maxSightings = 10_000

type sighting struct {
	rev   uint64
	since time.Time
}

// unchanged returns for how long this process has seen revision rev of key.
func (l *lookouts) unchanged(key string, rev uint64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil || len(l.seen) >= maxSightings {
		l.seen = map[string]sighting{} // what is forgotten is waited for once more
	}
	s, ok := l.seen[key]
	if !ok || s.rev != rev {
		s = sighting{rev, time.Now()}
		l.seen[key] = s
	}
	return time.Since(s.since)
}

func (l *lookouts) forget(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.seen, key)
}

// Lease takes the named lease for ttl, renewed until Release; ErrHeld when it is
// not free. The lease's context ends when it was lost, before another can have
// it. Ask again from time to time: the lease of a holder that died is free once
// this process has seen it unchanged for the holder's ttl. ctx bounds the asking
// only.
func (b *Bus) Lease(ctx context.Context, name string, ttl time.Duration) (*Lease, error) {
	if ttl < 100*time.Millisecond || ttl > leaseAge/2 {
		return nil, fmt.Errorf("bus: lease: a ttl of %v is too short or too long", ttl)
	}
	l := &Lease{b: b, key: encodeKey(name), holder: rand.Text(), ttl: ttl, over: make(chan struct{}),
		log: b.log.With(slog.String("lease", encodeKey(name)))}
	started := time.Now()
	if err := l.take(ctx); err != nil {
		return nil, err
	}
	b.lookouts.forget(l.key)
	run, done, err := b.begin(context.Background())
	if err != nil {
		return nil, err
	}
	l.ctx, l.cancel = context.WithCancelCause(run)
	go func() {
		defer done()
		defer close(l.over)
		l.renew(started)
	}()
	return l, nil
}

func (l *Lease) tenure() []byte {
	v, _ := json.Marshal(tenure{l.holder, l.ttl, time.Now().UTC()}) // plain fields: cannot fail
	return v
}

// take writes our tenure if the lease is free.
func (l *Lease) take(ctx context.Context) error {
	e, err := l.b.leases.Get(ctx, l.key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		l.rev, err = l.b.leases.Create(ctx, l.key, l.tenure())
	case err == nil:
		// A holder that wrote something unreadable is given our own ttl.
		other := tenure{TTL: l.ttl}
		_ = json.Unmarshal(e.Value(), &other)
		if l.b.lookouts.unchanged(l.key, e.Revision()) < max(other.TTL, l.ttl) {
			return ErrHeld
		}
		l.rev, err = l.b.leases.Update(ctx, l.key, l.tenure(), e.Revision())
	}
	if stale(err) {
		return ErrHeld // another was faster
	}
	if err != nil {
		return fmt.Errorf("bus: lease: %w", err)
	}
	return nil
}

// renew writes the tenure again every third of the ttl. Another may take the
// lease a ttl after it saw our last write, so not before a ttl after we began
// that write: we give up a tenth earlier than that.
func (l *Lease) renew(last time.Time) {
	t := time.NewTicker(l.ttl / 3)
	defer t.Stop()
	for {
		limit := last.Add(l.ttl * 9 / 10)
		end := time.NewTimer(time.Until(limit))
		select {
		case <-l.ctx.Done():
			end.Stop()
			return
		case <-end.C:
			l.log.Warn("lease lost: the bus did not answer in time")
			l.cancel(ErrHeld)
			return
		case <-t.C:
		}
		end.Stop()
		began := time.Now()
		err := l.write(limit)
		if err == nil {
			last = began
		} else if errors.Is(err, ErrHeld) {
			l.log.Warn("lease lost to another")
			l.cancel(ErrHeld)
			return
		}
		// Any other error: the server is away; the limit decides.
	}
}

// write renews the lease once. A write whose answer was lost may have been done:
// the revision is then taken from the server if the tenure there is ours. A
// write is not cut by Release, which would leave its own revision in doubt.
func (l *Lease) write(limit time.Time) error {
	ctx, cancel := context.WithDeadline(context.Background(), earlier(limit, time.Now().Add(l.ttl/3)))
	defer cancel()
	rev, err := l.b.leases.Update(ctx, l.key, l.tenure(), l.rev)
	if stale(err) {
		if rev, err = l.mine(ctx); err != nil {
			return err
		}
		rev, err = l.b.leases.Update(ctx, l.key, l.tenure(), rev)
	}
	if err != nil {
		return err
	}
	l.rev = rev
	return nil
}

// mine returns the newest revision of the lease if its tenure is ours, else ErrHeld.
func (l *Lease) mine(ctx context.Context) (uint64, error) {
	e, err := l.b.leases.Get(ctx, l.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, ErrHeld // the bus lost it: the next one asks for it anew
	}
	if err != nil {
		return 0, err
	}
	var now tenure
	if json.Unmarshal(e.Value(), &now) != nil || now.Holder != l.holder {
		return 0, ErrHeld
	}
	return e.Revision(), nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Context is done when the lease was lost or released.
func (l *Lease) Context() context.Context { return l.ctx }

// Release gives the lease up, so that another can take it at once. Releasing a
// lease that was lost is not an error and takes nothing from its new holder.
func (l *Lease) Release() error {
	lost := errors.Is(context.Cause(l.ctx), ErrHeld)
	l.cancel(context.Canceled)
	<-l.over
	if lost {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := l.b.leases.Delete(ctx, l.key, jetstream.LastRevision(l.rev))
	if stale(err) {
		var rev uint64
		if rev, err = l.mine(ctx); errors.Is(err, ErrHeld) {
			return nil
		}
		if err == nil {
			err = l.b.leases.Delete(ctx, l.key, jetstream.LastRevision(rev))
		}
	}
	if err != nil && !stale(err) {
		return fmt.Errorf("bus: release lease: %w", err) // it ends by itself
	}
	return nil
}
