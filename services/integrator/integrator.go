// Package integrator gives each archived document to the record system (DI):
// once, for the patient it names, in the order of its versions, from the archived
// bytes. It holds the credentials of the DIs; nothing else does.
//
// Each document of an archived message is admitted first (deliver.go): by one table
// (documentRules, patientRules) it is left to a person with the reason, linked to the copy
// that came first, or put on its way to every DI that takes its mailbox, service and kind
// (route.go). Each DI has a queue of its own (queue.go), which lives in the index: a DI that
// is away, paused or stopped holds up no other, and a hundred thousand documents that wait
// are rows, not messages in flight. There the second table (rules) decides, the DI is asked
// for the patient where that is wanted (patient.go), and the document is sent by HL7 v2 or
// FHIR (Sender).
//
// What became of it is written to the index first and then published as "delivered". A
// crash between the two publishes it again; a crash before them sends again with the same
// MSH-10 or FHIR identifier, so that the DI recognises the repeat.
//
// Documents of one chain of versions (greffe.Document.Lineage) are worked on one at a time
// at each DI, by an in-process table and a lease on the bus, and never block others.
//
// States at a DI: an answer AA is intégré; AE 207 with a 9xx, and its FHIR likeness, is
// refusé par le DI, whatever its code, because it is the DI's answer (the reason says what
// a person has to do); AE with a technical code is incident, since our message or a setting
// is wrong, and stops the queue of the DI until a person resumes it; AR and silence are en
// attente du DI, tried again by the schedule of Config.Retry without end. A DI that leaves
// several documents in a row without an answer gets one at a time until it answers (gate.go).
// The document's state is the gravest of these. Without any DI it stays archivé. What no
// event speaks of any more is taken up from the index (sweep.go).
//
// golang.org/x/sync runs the consumers and the sweep together.
package integrator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// Integrator is the service. Several processes may run it on the same bus,
// archive and index.
type Integrator struct {
	cfg       Config
	bus       *bus.Bus
	store     archive.Store
	index     *index.DB
	log       *slog.Logger
	zone      *time.Location
	targets   []target
	queues    []*queue // of the targets that are not for tests
	lineages  *lineages
	admitting admissions
	told      told
	news      chan struct{}
}

// target is a DI with its sender.
type target struct {
	DI
	sender Sender
}

// New checks the configuration and makes the service; Run starts it. It connects
// to nothing yet. b, store and db stay the caller's.
func New(cfg Config, b *bus.Bus, store archive.Store, db *index.DB, log *slog.Logger) (*Integrator, error) {
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = 8
	}
	if len(cfg.Retry) == 0 {
		cfg.Retry = defaultRetry
	}
	if cfg.Order <= 0 {
		cfg.Order = 5 * time.Second
	}
	i := &Integrator{
		cfg: cfg, bus: b, store: store, index: db, log: log.With(slog.String("service", "integrator")),
		lineages:  &lineages{bus: b, busy: map[string]bool{}},
		admitting: admissions{lineages{busy: map[string]bool{}}}, news: make(chan struct{}, 1),
	}
	if cfg.Alone {
		i.lineages.bus = nil
	}
	var err error
	if i.zone, err = zone(cfg.TimeZone); err != nil {
		return nil, fmt.Errorf("integrator: %w", err)
	}
	for _, d := range cfg.Retry {
		if d <= 0 {
			return nil, fmt.Errorf("integrator: retry %s: want more than nothing", d)
		}
	}
	seen := map[string]bool{}
	for _, d := range cfg.DIs {
		if seen[d.Name] {
			i.close()
			return nil, fmt.Errorf("integrator: two DIs are called %s", d.Name)
		}
		seen[d.Name] = true
		s, err := d.open(cfg)
		if err != nil {
			i.close()
			return nil, fmt.Errorf("integrator: %w", err)
		}
		t := target{d, s}
		i.targets = append(i.targets, t)
		if !d.Test {
			i.queues = append(i.queues, newQueue(i, t))
		}
	}
	return i, nil
}

// zone is the time zone of a name, Europe/Paris for none.
func zone(name string) (*time.Location, error) {
	if name == "" {
		name = "Europe/Paris"
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("time zone: %w", err)
	}
	return z, nil
}

func (i *Integrator) close() {
	for _, t := range i.targets {
		t.sender.Close()
	}
}

// ackWait is after how long an event of a process that died is another's: one that lives
// says so from time to time.
const ackWait = leadTTL

// Run works until ctx is done, then returns nil; it may be called once. What was
// begun and not finished is taken up by the next one.
func (i *Integrator) Run(ctx context.Context) error {
	defer i.close()
	if err := i.start(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, q := range i.queues {
		g.Go(func() error { return q.run(ctx) })
	}
	g.Go(func() error { return i.watchGates(ctx) })
	g.Go(func() error { i.told.note(ctx, i.index, i.log); return nil })
	g.Go(func() error {
		i.bus.Tell(ctx, i.news, func() []bus.Standing { return i.standing(ctx) })
		return nil
	})
	g.Go(func() error {
		c := bus.Consumer{Name: "integrator-archived", Concurrency: i.cfg.Concurrency, AckWait: ackWait}
		return bus.Consume(ctx, i.bus, bus.Archived, c, i.onArchived)
	})
	g.Go(func() error {
		c := bus.Consumer{Name: "integrator-decided", Concurrency: 2, AckWait: ackWait}
		return bus.Consume(ctx, i.bus, bus.Decided, c, i.onDecided)
	})
	g.Go(func() error { return i.sweeps(ctx) })
	return g.Wait()
}

// start tells the index which DIs there are, and learns what holds their queues: nothing
// may be sent before that is known. An index that is away is waited for.
func (i *Integrator) start(ctx context.Context) error {
	for {
		err := i.configure(ctx)
		if err == nil {
			err = i.readGates(ctx)
		}
		if err == nil || ctx.Err() != nil {
			return nil
		}
		i.log.Warn("state of the DIs not read", slog.Any("error", err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// onArchived admits each document of a message. One that has to wait, or
// fails, does not keep the others from their turn.
func (i *Integrator) onArchived(ctx context.Context, e greffe.Archived) error {
	var errs []error
	var later *bus.Later
	for _, id := range e.Documents {
		err := i.admit(ctx, id, nil)
		var l bus.Later
		switch {
		case err == nil:
		case errors.As(err, &l):
			if later == nil || l.After < later.After {
				later = &l
			}
		default:
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if later != nil {
		return *later
	}
	return nil
}

// onDecided applies a person's decision, once.
func (i *Integrator) onDecided(ctx context.Context, d greffe.Decided) error {
	switch d.Verb {
	case greffe.VerbRetry, greffe.VerbDismiss, greffe.VerbRefuse, greffe.VerbCopy, greffe.VerbReopen, greffe.VerbAttach:
	default:
		return fmt.Errorf("decision %s: %w: unknown verb", d.ID, bus.ErrPermanent)
	}
	return i.admit(ctx, d.Document, &d)
}

// pause returns when a document that waits since first is tried again: the delays
// of the schedule are laid end to end from the first failure, so that nothing
// but that moment has to be remembered. Half the delay later than planned counts
// as the next step. With a jitter of ± 10 %, so that what failed together does not
// come back together.
func (i *Integrator) pause(first, now time.Time) time.Duration {
	// A clock that was set back since must not make a document wait for as long.
	elapsed := max(now.Sub(first), 0)
	var at time.Duration
	for n := 0; ; n++ {
		step := i.cfg.Retry[min(n, len(i.cfg.Retry)-1)]
		if at += step; at > elapsed+step/2 {
			return time.Duration(float64(at-elapsed) * (0.9 + 0.2*rand.Float64()))
		}
		if n >= len(i.cfg.Retry)-1 { // the last step repeats: skip what has passed
			at += (elapsed - at) / step * step
		}
	}
}

// open returns a function that opens the archived bytes of d, checked at their end.
func (i *Integrator) open(ctx context.Context, d index.Document) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		f, err := i.store.Open(ctx, d.Object)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errContent, err)
		}
		return &content{archive.Checked(f, d.Object.Size, d.Object.SHA256), f}, nil
	}
}

// content marks the errors of reading as ours.
type content struct {
	r io.Reader
	c io.Closer
}

func (c *content) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", errContent, err)
	}
	return n, err
}

func (c *content) Close() error { return c.c.Close() }
