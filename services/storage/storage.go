// Package storage puts messages into the archive and their facts into the index.
// It is the only writer of the archive.
//
// It listens to two events. On "received" it keeps the raw message (keep), at
// once and whatever the parser makes of it. On "parsed" it stores the parts
// (store): it reads the archived raw message a second time and streams each part
// into the archive with the size and digest that the parser found, so that two
// independent readings must agree before anything is called archived.
//
// The order is what makes a crash harmless: raw message, parts, manifest, index,
// event "archived", and only then the spooled copy goes (drop). Each step may be
// repeated; a crash between two leaves more than needed in the archive, never a
// hole. The manifest is the commit point: once a message has one, it is the truth
// about that message, also when the message is read again later.
//
// It seals the journal, too: see Sealer and package evidence. And it has the archive prove
// its lock again each hour, for the System page.
//
// Verify compares the archive, its manifests and the index, and says which object
// is missing or different.
package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// Config says how much is done at once.
type Config struct {
	// Concurrency is how many messages are stored at once, and as many raw
	// messages are kept beside them; 0 means 4. Each takes up to 2 MiB of memory.
	Concurrency int
	// Proven makes Run begin only once the archive has proved, by its Check, that it
	// refuses to delete and to shorten what is locked. For archives in compliance mode.
	Proven bool
	// Sealer seals the journal while the service runs; nil leaves it unsealed. It stays
	// the caller's, who seals the rest at the end.
	Sealer *Sealer
	// Stamper has the sealed journal time-stamped; nil does without. Only with a Sealer.
	Stamper *Stamper
	// Nightly is the verification that the service makes by itself.
	Nightly Nightly
	// Packs are the proof packs that people ask for; built only with a Sealer.
	Packs Packs
	// Verify is what a verification that a person asks for has to know.
	Verify VerifyOptions

	// Watched are the mailboxes whose days are stated, with their folders; Zone is the
	// time zone that their days are of, nil for UTC.
	Watched []index.Watched
	Zone    *time.Location
}

// Errors that a person may find in a dead letter.
var (
	// ErrDisagree: the second reading of a message does not give what the first
	// one gave. Nothing was committed.
	ErrDisagree = errors.New("storage: two readings of the message differ")
	// ErrLost: the raw message is neither in the spool nor in the archive. It is
	// still in its mailbox; the fetcher takes it again.
	ErrLost = errors.New("storage: raw message is neither in the spool nor in the archive")
	// ErrEvent: an event contradicts itself. Another program wrote it, or a
	// reader of hostile input was misled.
	ErrEvent = errors.New("storage: event contradicts itself")
)

// Storage is the service. Its methods may be called at once, and several
// processes may run it on the same bus, archive and index.
type Storage struct {
	cfg   Config
	bus   *bus.Bus
	store archive.Store
	index *index.DB
	log   *slog.Logger
	pause time.Duration // before an archive that does not answer is asked again at start
	began atomic.Bool   // Run writes

	every, again time.Duration // between two checks of the archive, and after one that failed

	promise  promise
	sealing  sealing
	verified verified

	tidied, forgot time.Time // of the one goroutine that builds packs
}

// New makes the service; Run starts it. b, store and db stay the caller's.
func New(cfg Config, b *bus.Bus, store archive.Store, db *index.DB, log *slog.Logger) *Storage {
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = 4
	}
	if cfg.Zone == nil {
		cfg.Zone = time.UTC
	}
	packDefaults(&cfg.Packs)
	return &Storage{cfg: cfg, bus: b, store: store, index: db, log: log.With(slog.String("service", "storage")), pause: time.Second, every: promiseEvery, again: promiseAgain}
}

// Began reports whether Run has begun to write, which a start in compliance mode does
// only after the archive has proved what it promises.
func (s *Storage) Began() bool { return s.began.Load() }

// Run works until ctx is done, then returns nil. What was begun and not finished
// is taken up by the next one. See Config.Proven for when it refuses to begin.
func (s *Storage) Run(ctx context.Context) error {
	if s.cfg.Proven {
		if err := s.proven(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
	s.began.Store(true)
	g, ctx := errgroup.WithContext(ctx)
	consumer := func(name string) bus.Consumer {
		return bus.Consumer{Name: name, Concurrency: s.cfg.Concurrency}
	}
	g.Go(func() error { return bus.Consume(ctx, s.bus, bus.Received, consumer("storage-keep"), s.onReceived) })
	g.Go(func() error {
		return bus.Pipe(ctx, s.bus, bus.Parsed, bus.Archived, consumer("storage-store"), s.onParsed)
	})
	// The spooled copy goes only after "archived" is on the bus: a consumer of
	// that event is what comes after it in any crash.
	g.Go(func() error { return bus.Consume(ctx, s.bus, bus.Archived, consumer("storage-drop"), s.onArchived) })
	g.Go(func() error { s.promises(ctx); return nil })
	if s.cfg.Sealer != nil {
		g.Go(func() error { s.seals(ctx); return nil })
		g.Go(func() error { s.answer(ctx); return nil })
	}
	if s.cfg.Nightly.On {
		g.Go(func() error { s.nightly(ctx); return nil })
	}
	g.Go(func() error {
		return bus.Pipe(ctx, s.bus, bus.Triaged, bus.Placed, consumer("storage-triage"), s.onTriaged)
	})
	g.Go(func() error {
		return bus.Consume(ctx, s.bus, bus.Settled, consumer("storage-settled"), s.onSettled)
	})
	g.Go(func() error { return bus.Consume(ctx, s.bus, bus.Listed, consumer("storage-listed"), s.onListed) })
	g.Go(func() error { s.stateDays(ctx); return nil })
	return g.Wait()
}

func (s *Storage) onReceived(ctx context.Context, r greffe.Received) error {
	_, err := s.keep(ctx, r)
	return s.blame(ctx, err)
}

func (s *Storage) onParsed(ctx context.Context, p greffe.Parsed) (greffe.Archived, error) {
	a, err := s.storeMessage(ctx, p)
	if err != nil {
		return greffe.Archived{}, s.blame(ctx, err)
	}
	s.log.Info("message archived", slog.String("message", string(a.ID)), slog.Int("parts", len(p.Parts)), slog.Int("documents", len(a.Documents)))
	return a, nil
}

func (s *Storage) onArchived(ctx context.Context, a greffe.Archived) error {
	if a.Spool == "" {
		return nil
	}
	return s.bus.Drop(ctx, a.Spool)
}

// indexError is a failure of the index, to be told from one of the archive.
type indexError struct{ err error }

func (e indexError) Error() string { return e.err.Error() }
func (e indexError) Unwrap() error { return e.err }

// blame tells the bus what to do about an error: wait until a dependency is
// back, give up at once, or try again a few times.
func (s *Storage) blame(ctx context.Context, err error) error {
	switch {
	case err == nil, ctx.Err() != nil:
		return err
	case errors.Is(err, archive.ErrUnavailable):
		return fmt.Errorf("%w: %w", bus.ErrUnavailable, err)
	case errors.Is(err, ErrLost), errors.Is(err, ErrEvent), errors.Is(err, archive.ErrExists), errors.Is(err, archive.ErrManifest):
		return fmt.Errorf("%w: %w", bus.ErrPermanent, err)
	}
	if _, erased := errors.AsType[*archive.ErasedError](err); erased {
		return fmt.Errorf("%w: %w", bus.ErrPermanent, err)
	}
	if _, ok := errors.AsType[indexError](err); ok {
		// Is it this message, or the index as a whole?
		if ping := s.index.Ping(ctx); ping != nil {
			return fmt.Errorf("%w: %w: %w", bus.ErrUnavailable, err, ping)
		}
	}
	return err
}
