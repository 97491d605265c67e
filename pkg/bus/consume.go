package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Consumer says how a service reads a topic.
type Consumer struct {
	Name        string        // durable name: "storage-keep"; processes with the same name share the work
	Concurrency int           // calls at once in this process; 0 means 1
	AckWait     time.Duration // a call that takes longer is heartbeaten; 0 means 30 s
	MaxAttempts int           // after so many failures the event becomes a dead letter; 0 means 12
}

// ErrPermanent marks an error that trying again cannot mend: the event becomes a
// dead letter at once. ErrUnavailable marks a dependency that is down: the event
// is tried again for ever and never becomes a dead letter.
var (
	ErrPermanent   = errors.New("permanent")
	ErrUnavailable = errors.New("unavailable")
)

// Later is an error that asks for the event again after a delay, without
// counting an attempt.
type Later struct {
	After  time.Duration
	Reason string
}

func (l Later) Error() string { return "later: " + l.Reason }

// Consume calls f for each event of the topic until ctx is done; it returns nil
// then. f must be repeatable: nil means done, an error means again later.
//
// An event is handed to one call at a time among all processes that use the same
// Consumer name. After a crash it is handed out again, and so may be one that was
// done in the last tenth of a second: an embedded server writes what was
// acknowledged a little later. A failed one comes back after 1 s, 5 s,
// 30 s, 2 min, 10 min, then every 15 min (each ± 20 %) and is a dead letter after
// MaxAttempts; ErrPermanent, Later and ErrUnavailable change that. A panic in f is
// an error. An event that ends the process each time it is tried becomes a dead
// letter, too, before f sees it once more.
//
// When ctx ends no new call begins. Those that run have 5 s to finish, then
// their context is cancelled; what they did not finish is handed out again and
// counts as no attempt. Consume returns ErrClosed when the bus is closed first,
// and an error when the consumer cannot be made; a server that goes away later
// is waited for.
func Consume[T any](ctx context.Context, b *Bus, t Topic[T], c Consumer, f func(context.Context, T) error) error {
	return b.consume(ctx, t.Name, c, func(ctx context.Context, payload []byte) error {
		var v T
		if err := json.Unmarshal(payload, &v); err != nil {
			return fmt.Errorf("decode %s: %w: %w", t.Name, ErrPermanent, err)
		}
		return f(ctx, v)
	})
}

// Pipe is Consume whose result is published on out before the input is acked. A
// result that cannot be published makes no attempt count: f is called again.
func Pipe[In, Out any](ctx context.Context, b *Bus, in Topic[In], out Topic[Out], c Consumer, f func(context.Context, In) (Out, error)) error {
	return Consume(ctx, b, in, c, func(ctx context.Context, v In) error {
		result, err := f(ctx, v)
		if err != nil {
			return err
		}
		err = Publish(ctx, b, out, result)
		if err == nil || errors.Is(err, ErrTooLarge) {
			return err
		}
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	})
}

var consumerName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// maxPending is how many events of one consumer may be out or waiting for their
// next attempt: an outage of a DI must not hold back what it is not needed for.
const maxPending = 10_000

// consumer is one Consume that runs.
type consumer struct {
	Consumer
	b     *Bus
	topic string
	f     func(context.Context, []byte) error
	log   *slog.Logger

	mu   sync.Mutex
	pull jetstream.Consumer
}

func (b *Bus) consume(ctx context.Context, topic string, cfg Consumer, f func(context.Context, []byte) error) error {
	if !consumerName.MatchString(cfg.Name) {
		return fmt.Errorf("bus: %q is no consumer name", cfg.Name)
	}
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = 1
	}
	if cfg.AckWait <= 0 {
		cfg.AckWait = 30 * time.Second
	}
	if cfg.MaxAttempts <= 0 {
		cfg.MaxAttempts = 12
	}
	ctx, done, err := b.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	c := &consumer{Consumer: cfg, b: b, topic: topic, f: f,
		log: b.log.With(slog.String("consumer", cfg.Name), slog.String("topic", topic))}
	if err := c.make(ctx); err != nil {
		if ctx.Err() != nil {
			return ended(ctx)
		}
		return err
	}
	// Calls outlive ctx by the grace, so that a stop does not turn work that is
	// nearly done into work done twice.
	calls, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var loops sync.WaitGroup
	for range c.Concurrency {
		loops.Go(func() { c.loop(ctx, calls) })
	}
	over := make(chan struct{})
	go func() { loops.Wait(); close(over) }()
	<-ctx.Done()
	select {
	case <-over:
		return ended(ctx)
	case <-time.After(b.pace.grace):
		cancel()
	}
	select {
	case <-over:
	case <-time.After(b.pace.abandon):
		c.log.Warn("bus call left behind at the end")
	}
	return ended(ctx)
}

// make makes or updates the durable consumer on the server. The server never
// gives up on an event by itself (MaxDeliver): giving up is a dead letter.
func (c *consumer) make(ctx context.Context) error {
	cfg := jetstream.ConsumerConfig{
		Durable:        c.Name,
		FilterSubjects: []string{subjectEvent + c.topic, subjectReplay + c.Name},
		DeliverPolicy:  jetstream.DeliverAllPolicy,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        c.AckWait,
		MaxDeliver:     -1,
		MaxAckPending:  maxPending,
	}
	own := c.b.making(c.Name)
	own.Lock()
	defer own.Unlock()
	pull, err := c.b.js.CreateOrUpdateConsumer(ctx, streamEvents, cfg)
	if err == nil && c.b.srv != nil && !own.done && pull.CachedInfo().NumAckPending > 0 {
		pull, err = c.hurry(ctx, cfg)
	}
	if err != nil {
		return fmt.Errorf("bus: make consumer %s: %w", c.Name, err)
	}
	own.done = true // from here on what is out may be in the hands of a call of our own
	c.mu.Lock()
	c.pull = pull
	c.mu.Unlock()
	return nil
}

// making is held while a consumer is made; done once this process has made it.
type making struct {
	sync.Mutex
	done bool
}

func (b *Bus) making(name string) *making {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.made == nil {
		b.made = map[string]*making{}
	}
	if b.made[name] == nil {
		b.made[name] = new(making)
	}
	return b.made[name]
}

// hurry hands out at once what was out when the process before this one ended,
// instead of after AckWait: nobody else can be working on it, for the server is
// ours and no call of this process has begun. The server looks for expired events 100 ms after AckWait was changed.
func (c *consumer) hurry(ctx context.Context, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	short := cfg
	short.AckWait = time.Millisecond
	if _, err := c.b.js.UpdateConsumer(ctx, streamEvents, short); err != nil {
		return nil, err
	}
	sleep(ctx, 150*time.Millisecond)
	return c.b.js.UpdateConsumer(ctx, streamEvents, cfg)
}

// loop takes one event after the other until ctx is done. It asks for one at a
// time: an event that is fetched and not begun would count as delivered.
func (c *consumer) loop(ctx, calls context.Context) {
	for ctx.Err() == nil {
		c.mu.Lock()
		pull := c.pull
		c.mu.Unlock()
		m, err := pull.Next(jetstream.FetchContext(ctx), jetstream.FetchHeartbeat(2*time.Second))
		switch {
		case err == nil:
			c.handle(ctx, calls, m)
		case ctx.Err() != nil, errors.Is(err, nats.ErrTimeout):
		default:
			c.recover(ctx, err)
		}
	}
}

// recover waits for a server that went away, and makes the consumer again when
// it is the consumer that is gone.
func (c *consumer) recover(ctx context.Context, err error) {
	sleep(ctx, c.b.pace.reconnect)
	c.b.revive(ctx)
	if ctx.Err() != nil || errors.Is(err, jetstream.ErrNoHeartbeat) {
		return // heartbeats stop when a connection is cut: it comes back by itself
	}
	c.log.Warn("bus pull failed", slog.Any("error", err))
	ctx, cancel := context.WithTimeout(ctx, c.b.pace.patience)
	defer cancel()
	if err := c.make(ctx); errors.Is(err, jetstream.ErrStreamNotFound) {
		// A server that lost its disk: the fetcher takes again what was in flight.
		c.log.Error("bus stream is gone and made anew")
		if err := c.b.makeStreams(ctx); err != nil {
			c.log.Error("bus stream cannot be made", slog.Any("error", err))
		}
	}
}
