package bus

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// Status is a look at the bus.
type Status struct {
	Embedded    bool
	Server      string // version of the server
	Consumers   []ConsumerStatus
	Streams     []StreamStatus
	DeadLetters int
}

// ConsumerStatus is the work of one consumer.
type ConsumerStatus struct {
	Name    string
	Topic   string
	Waiting int // events not yet handed out
	Running int // events handed out and not yet done, those that wait for another attempt included
}

// StreamStatus is the size of one stream; object stores and buckets are streams
// whose names begin with OBJ_ and KV_.
type StreamStatus struct {
	Name     string
	Messages uint64
	Bytes    uint64
}

// InFlight returns how many events wait or are being worked on, over all
// consumers. An event counts once for each consumer that reads it. The consumers
// are looked at one after the other, and one that was just made shows nothing for
// a moment: only nothing in flight in two looks some time apart means that all is
// done.
func (s Status) InFlight() int {
	n := 0
	for _, c := range s.Consumers {
		n += c.Waiting + c.Running
	}
	return n
}

// Status asks the server how things stand.
func (b *Bus) Status(ctx context.Context) (Status, error) {
	s := Status{Embedded: b.srv != nil, Server: b.nc.ConnectedServerVersion()}
	streams := b.js.ListStreams(ctx)
	for info := range streams.Info() {
		name := info.Config.Name
		s.Streams = append(s.Streams, StreamStatus{name, info.State.Msgs, info.State.Bytes})
		if name == streamDead {
			s.DeadLetters = int(info.State.Msgs)
		}
	}
	if err := streams.Err(); err != nil {
		return s, fmt.Errorf("bus: status: %w", err)
	}
	events, err := b.js.Stream(ctx, streamEvents)
	if err != nil {
		return s, fmt.Errorf("bus: status: %w", err)
	}
	consumers := events.ListConsumers(ctx)
	for info := range consumers.Info() {
		if info.Config.Durable == "" {
			continue // a Watch
		}
		s.Consumers = append(s.Consumers, ConsumerStatus{
			Name:    info.Name,
			Topic:   topicOf(info.Config),
			Waiting: int(info.NumPending),
			Running: info.NumAckPending,
		})
	}
	if err := consumers.Err(); err != nil {
		return s, fmt.Errorf("bus: status: %w", err)
	}
	slices.SortFunc(s.Consumers, func(a, b ConsumerStatus) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Streams, func(a, b StreamStatus) int { return strings.Compare(a.Name, b.Name) })
	return s, nil
}

func topicOf(cfg jetstream.ConsumerConfig) string {
	for _, s := range cfg.FilterSubjects {
		if topic, ok := strings.CutPrefix(s, subjectEvent); ok {
			return topic
		}
	}
	return ""
}
