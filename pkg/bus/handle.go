package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// delivery is one event in the hands of one call.
type delivery struct {
	c     *consumer
	m     jetstream.Msg
	id    string // of the event
	key   string // of its count: consumer and sequence in the stream
	log   *slog.Logger
	count count
	prior int // attempts before this one
}

// handle sees one event through: acknowledged, asked for again, or buried.
func (c *consumer) handle(ctx, calls context.Context, m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil { // not from JetStream: nobody can ack it
		c.log.Warn("bus message without metadata", slog.Any("error", err))
		return
	}
	d := &delivery{c: c, m: m, id: eventID(m.Headers())}
	if d.id == "" {
		d.id = fmt.Sprintf("seq/%d", meta.Sequence.Stream)
	}
	d.key = fmt.Sprintf("%s.%d", c.Name, meta.Sequence.Stream)
	d.log = c.log.With(slog.String("event", d.id))

	stop := d.heartbeat()
	defer stop()
	if d.count, err = c.b.countOf(calls, d.key, meta.NumDelivered); err != nil {
		d.log.Warn("bus attempts not known", slog.Any("error", err))
		d.again(c.b.pace.backoff[0])
		return
	}
	d.prior = d.count.attempts(meta.NumDelivered, c.b.srv != nil)
	if d.prior >= c.MaxAttempts {
		d.bury(calls, fmt.Errorf("the program ended %d times while it handled this event", d.prior))
		return
	}
	err = d.call(calls)
	stop()
	d.settle(ctx, calls, err)
}

// eventID returns the id under which the event was first published.
func eventID(h nats.Header) string {
	if id := h.Get(headerID); id != "" {
		return id
	}
	return h.Get(jetstream.MsgIDHeader)
}

// call runs f. A panic in it is an error.
func (d *delivery) call(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			// Only the runtime's own panics are sure to quote no data.
			what := fmt.Sprintf("%T", p)
			if e, ok := p.(runtime.Error); ok {
				what = e.Error()
			}
			d.log.Error("panic in event handler", slog.String("panic", what), slog.String("stack", string(debug.Stack())))
			err = fmt.Errorf("panic: %s", what)
		}
	}()
	data, err := payload(ctx, d.c.b.claims, d.m.Headers(), d.m.Data())
	switch {
	case errors.Is(err, ErrNotFound):
		return fmt.Errorf("%w: %w", ErrPermanent, err)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	end, err := d.c.b.running.begin(d.key, d.count.Crashes > 0)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer end()
	return d.c.f(ctx, data)
}

// settle does what the result of f asks for.
func (d *delivery) settle(ctx, calls context.Context, err error) {
	var later Later
	pace := d.c.b.pace
	switch {
	case err == nil:
		d.ack(calls)
	case errors.Is(err, ErrPermanent) || errors.Is(err, ErrTooLarge):
		d.bury(calls, err)
	case errors.As(err, &later):
		d.excuse(max(later.After, 0))
	case errors.Is(err, ErrUnavailable):
		d.log.Warn("event waits for a dependency", slog.Any("error", err))
		d.excuse(min(wait(pace.backoff, d.count.Excused), pace.outage))
	case ctx.Err() != nil && (errors.Is(err, context.Canceled) || calls.Err() != nil):
		d.excuse(0) // the service stops; the next one takes it at once
	case d.prior+1 >= d.c.MaxAttempts:
		d.bury(calls, err)
	default:
		after := wait(pace.backoff, d.prior)
		d.log.Warn("event failed", slog.Int("attempt", d.prior+1), slog.Duration("again", after), slog.Any("error", err))
		d.count.Failed++
		d.keepCount()
		d.again(after)
	}
}

// wait returns the delay after the n-th try (from 0), with a jitter of ± 20 % so
// that what failed together does not come back together.
func wait(backoff []time.Duration, n int) time.Duration {
	d := backoff[min(n, len(backoff)-1)]
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// ack tells the server that the event is done, and waits until it knows. If it
// cannot be told, the event comes again: f is repeatable.
func (d *delivery) ack(calls context.Context) {
	// Also when the calls were cancelled: the work is done all the same.
	ctx := context.WithoutCancel(calls)
	var err error
	for range 3 {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		err = d.m.DoubleAck(try)
		cancel()
		if err == nil || !away(err) || d.c.b.ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		d.log.Warn("event done but not acknowledged", slog.Any("error", err))
	}
}

// again asks for the event after a delay. If the server does not hear it, AckWait
// brings the event back.
func (d *delivery) again(after time.Duration) {
	if err := d.m.NakWithDelay(max(after, time.Millisecond)); err != nil {
		d.log.Warn("event not given back", slog.Any("error", err))
	}
}

// excuse asks for the event again without counting an attempt.
func (d *delivery) excuse(after time.Duration) {
	d.count.Excused++
	d.keepCount()
	d.again(after)
}

// keepCount writes the count. A count that cannot be kept is off by one: an
// attempt too many, or one that was none.
func (d *delivery) keepCount() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := d.c.b.putCount(ctx, d.key, d.count); err != nil {
		d.log.Warn("bus attempts not kept", slog.Any("error", err))
	}
}

// bury makes the event a dead letter, then acknowledges it: a confirmed ack,
// where a Term would be sent blind.
func (d *delivery) bury(calls context.Context, why error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(calls), d.c.b.pace.patience)
	defer cancel()
	letter := DeadLetter{
		ID:       letterID(d.c.Name, d.id),
		Consumer: d.c.Name,
		Topic:    d.c.topic,
		Attempts: d.prior + 1,
		Error:    oneLine(why.Error()),
		At:       time.Now().UTC(),
	}
	data, err := payload(ctx, d.c.b.claims, d.m.Headers(), d.m.Data())
	if err != nil && !errors.Is(err, ErrNotFound) {
		d.log.Warn("dead letter waits", slog.Any("error", err))
		d.excuse(d.c.b.pace.outage)
		return
	}
	letter.Payload = data
	if err := d.c.b.putLetter(ctx, letter, d.id); err != nil {
		d.log.Warn("dead letter waits", slog.Any("error", err))
		d.excuse(d.c.b.pace.outage)
		return
	}
	d.log.Error("event is a dead letter", slog.String("letter", letter.ID), slog.Int("attempts", letter.Attempts), slog.Any("error", why))
	d.ack(calls)
}

// oneLine bounds a text and makes it fit for a header.
func oneLine(s string) string {
	s = strings.ToValidUTF8(strings.Join(strings.Fields(s), " "), "?")
	const most = 1000
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// heartbeat keeps the server from handing the event to another while f runs. The
// returned func may be called more than once.
func (d *delivery) heartbeat() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		t := time.NewTicker(d.c.AckWait / 3)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				if err := d.m.InProgress(); err != nil {
					d.log.Warn("event heartbeat failed", slog.Any("error", err))
				}
			}
		}
	}()
	return cancel
}
