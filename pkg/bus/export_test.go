package bus

import (
	"context"
	"time"
)

// Quicken makes the back-off of b short enough for tests.
func (b *Bus) Quicken() {
	b.pace.backoff = []time.Duration{5 * time.Millisecond, 10 * time.Millisecond}
	b.pace.outage = 20 * time.Millisecond
	b.pace.grace = 200 * time.Millisecond
	b.pace.abandon = 5 * time.Second
}

// Cut drops the connection of b for good, as the end of its process would.
func (b *Bus) Cut() { b.nc.Close() }

// FillDisk does to an embedded server what it does to itself when its disk is full.
func (b *Bus) FillDisk() error { return b.srv.ShutdownJetStream() }

// LeaseAge is after how long the bucket of leases forgets.
func (b *Bus) LeaseAge(ctx context.Context) (time.Duration, error) {
	s, err := b.leases.Status(ctx)
	if err != nil {
		return 0, err
	}
	return s.TTL(), nil
}
