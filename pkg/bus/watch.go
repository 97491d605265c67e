package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"
)

// Watch calls f for each new event of the topic from now on, in this process
// only, at most once each: for live pages. It returns nil when ctx is done,
// ErrClosed when the bus is closed first. One call at a time; a slow f delays
// what comes after it.
func Watch[T any](ctx context.Context, b *Bus, t Topic[T], f func(T)) error {
	return b.watch(ctx, t.Name, func(data []byte) error {
		var v T
		if err := json.Unmarshal(data, &v); err != nil {
			return err
		}
		f(v)
		return nil
	})
}

func (b *Bus) watch(ctx context.Context, topic string, f func([]byte) error) error {
	ctx, done, err := b.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	log := b.log.With(slog.String("topic", topic))
	ordered, err := b.js.OrderedConsumer(ctx, streamEvents, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subjectEvent + topic},
		DeliverPolicy:  jetstream.DeliverNewPolicy,
	})
	if err != nil {
		if ctx.Err() != nil {
			return ended(ctx)
		}
		return fmt.Errorf("bus: watch %s: %w", topic, err)
	}
	events, err := ordered.Consume(func(m jetstream.Msg) {
		if ctx.Err() != nil {
			return
		}
		data, err := payload(ctx, b.claims, m.Headers(), m.Data())
		if err == nil {
			err = f(data)
		}
		if err != nil {
			log.Warn("watched event not shown", slog.Any("error", err))
		}
	}, jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		log.Warn("bus watch disturbed", slog.Any("error", err))
	}))
	if err != nil {
		return fmt.Errorf("bus: watch %s: %w", topic, err)
	}
	<-ctx.Done()
	events.Stop()
	<-events.Closed()
	return ended(ctx)
}
