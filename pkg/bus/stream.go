package bus

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Names on the server. Subjects end with a topic, a consumer or a letter id.
const (
	streamEvents  = "GREFFE"
	streamDead    = "GREFFE_DEAD"
	subjectEvent  = "greffe.event."
	subjectReplay = "greffe.replay."
	subjectDead   = "greffe.dead."
)

// DedupWindow is how long the bus remembers the id of an event: a repeat within
// it is dropped, a repeat after it is handed out again. What is taken again
// because it never reached the archive must be older than this.
const DedupWindow = 10 * time.Minute

// eventAge is how long an event is kept, read or not. A service that was stopped
// for longer loses events; the fetcher's reconciliation takes them again.
const eventAge = 30 * 24 * time.Hour

// makeStreams makes or updates the streams, stores and buckets. It may run in
// several processes at once.
func (b *Bus) makeStreams(ctx context.Context) error {
	replicas := max(b.cfg.Replicas, 1)
	for _, cfg := range []jetstream.StreamConfig{
		{
			Name:       streamEvents,
			Subjects:   []string{subjectEvent + ">", subjectReplay + ">"},
			Retention:  jetstream.LimitsPolicy,
			Storage:    jetstream.FileStorage,
			MaxAge:     eventAge,
			Duplicates: DedupWindow,
			Replicas:   replicas,
		},
		{
			// One letter per subject: the same event that fails again replaces its letter.
			Name:              streamDead,
			Subjects:          []string{subjectDead + ">"},
			Retention:         jetstream.LimitsPolicy,
			Storage:           jetstream.FileStorage,
			MaxMsgsPerSubject: 1,
			Replicas:          replicas,
		},
	} {
		if _, err := b.js.CreateOrUpdateStream(ctx, cfg); err != nil {
			return fmt.Errorf("bus: make stream %s: %w", cfg.Name, err)
		}
	}
	// Whoever is done with a spooled object drops it. What a crash left behind goes
	// when no event can speak of it any more.
	spool, err := b.openObjects(ctx, "spool", eventAge+24*time.Hour, replicas)
	if err != nil {
		return err
	}
	// Of large dead letters: they wait for a person.
	letters, err := b.openObjects(ctx, "letters", 0, replicas)
	if err != nil {
		return err
	}
	claims, err := b.openObjects(ctx, "claims", eventAge+24*time.Hour, replicas)
	if err != nil {
		return err
	}
	packs, err := b.openObjects(ctx, "packs", MaxPackAge+24*time.Hour, replicas)
	if err != nil {
		return err
	}
	counts, err := b.keyValue(ctx, "attempts", eventAge+24*time.Hour, jetstream.FileStorage)
	if err != nil {
		return err
	}
	leases, standings, err := b.makePassing(ctx)
	if err != nil {
		return err
	}
	b.mu.Lock()
	names := slices.Clone(b.buckets)
	b.mu.Unlock()
	for _, name := range names {
		if _, err := b.keyValue(ctx, name, 0, jetstream.FileStorage); err != nil {
			return err
		}
	}
	if b.spool == nil { // handles go by name: those in use stay good when all is made anew
		b.spool, b.letters, b.claims, b.packs, b.counts, b.leases, b.standings = spool, letters, claims, packs, counts, leases, standings
	}
	return nil
}

// leaseAge is after how long a lease that nobody renews is forgotten, with the mark
// that a released one leaves: else each lineage would leave a mark for ever.
const leaseAge = 24 * time.Hour

// makePassing makes the buckets whose values speak of running processes.
func (b *Bus) makePassing(ctx context.Context) (leases, standings jetstream.KeyValue, err error) {
	// No other process can hold a lease of an embedded bus, or say anything on it: both
	// end with it.
	storage := jetstream.FileStorage
	if b.srv != nil {
		storage = jetstream.MemoryStorage
	}
	if leases, err = b.keyValue(ctx, "leases", leaseAge, storage); err != nil {
		return nil, nil, err
	}
	standings, err = b.keyValue(ctx, "standings", StandingAge, storage)
	return leases, standings, err
}

// keyValue makes or updates a bucket whose values live for ttl (0: for ever).
func (b *Bus) keyValue(ctx context.Context, name string, ttl time.Duration, storage jetstream.StorageType) (jetstream.KeyValue, error) {
	kv, err := b.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket:   name,
		History:  1,
		TTL:      ttl,
		Storage:  storage,
		Replicas: max(b.cfg.Replicas, 1),
	})
	if err != nil {
		return nil, fmt.Errorf("bus: make bucket %s: %w", name, err)
	}
	return kv, nil
}
