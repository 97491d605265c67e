package bus

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// DeadLetter is an event that no attempt could handle.
type DeadLetter struct {
	ID       string // opaque; the same when the same event fails again for the same consumer
	Consumer string
	Topic    string
	Attempts int
	Error    string // one line
	At       time.Time
	Payload  []byte // JSON of the event; empty when it was lost
}

// MaxDeadLetters is how many letters DeadLetters returns at most.
const MaxDeadLetters = 1000

const (
	headerConsumer = "Greffe-Consumer"
	headerTopic    = "Greffe-Topic"
	headerAttempts = "Greffe-Attempts"
	headerError    = "Greffe-Error"
	headerAt       = "Greffe-At"
)

// letterID names the letter of one event and one consumer.
func letterID(consumer, event string) string {
	h := sha256.Sum256([]byte(consumer + "\x00" + event))
	return hex.EncodeToString(h[:16])
}

// putLetter makes a letter durable; the letter before it with the same ID goes.
func (b *Bus) putLetter(ctx context.Context, l DeadLetter, event string) error {
	m := nats.NewMsg(subjectDead + l.ID)
	m.Header.Set(headerID, event)
	m.Header.Set(headerConsumer, l.Consumer)
	m.Header.Set(headerTopic, l.Topic)
	m.Header.Set(headerAttempts, strconv.Itoa(l.Attempts))
	m.Header.Set(headerError, l.Error)
	m.Header.Set(headerAt, l.At.Format(time.RFC3339Nano))
	m.Data = l.Payload
	if len(l.Payload) > maxInline {
		// In a store where nothing ages: a letter may wait for long.
		claim := rand.Text()
		if _, err := b.letters.put(ctx, claim, bytes.NewReader(l.Payload)); err != nil {
			return fmt.Errorf("bus: dead letter: %w", err)
		}
		m.Header.Set(headerClaim, claim)
		m.Data = nil
	}
	stream, err := b.js.Stream(ctx, streamDead)
	if err != nil {
		return fmt.Errorf("bus: dead letter: %w", err)
	}
	old, err := stream.GetLastMsgForSubject(ctx, m.Subject)
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("bus: dead letter: %w", err)
	}
	if _, err := b.send(ctx, m); err != nil {
		return fmt.Errorf("bus: dead letter: %w", err)
	}
	if err == nil && old.Header.Get(headerClaim) != "" {
		if err := b.letters.drop(ctx, old.Header.Get(headerClaim)); err != nil {
			b.log.Warn("bus object of a replaced letter left behind", "error", err)
		}
	}
	return nil
}

// DeadLetters lists the dead letters that wait for a person, oldest first, at
// most MaxDeadLetters of them.
func (b *Bus) DeadLetters(ctx context.Context) ([]DeadLetter, error) {
	stream, err := b.js.Stream(ctx, streamDead)
	if err != nil {
		return nil, fmt.Errorf("bus: dead letters: %w", err)
	}
	var letters []DeadLetter
	for seq := uint64(1); len(letters) < MaxDeadLetters; {
		m, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subjectDead+">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("bus: dead letters: %w", err)
		}
		l, err := b.readLetter(ctx, m)
		if err != nil {
			return nil, err
		}
		letters = append(letters, l)
		seq = m.Sequence + 1
	}
	return letters, nil
}

// CountDeadLetters returns how many dead letters wait. It costs one question to
// the server, however many there are.
func (b *Bus) CountDeadLetters(ctx context.Context) (int, error) {
	stream, err := b.js.Stream(ctx, streamDead)
	if err != nil {
		return 0, fmt.Errorf("bus: dead letters: %w", err)
	}
	return int(stream.CachedInfo().State.Msgs), nil
}

// readLetter reads a letter as putLetter wrote it.
func (b *Bus) readLetter(ctx context.Context, m *jetstream.RawStreamMsg) (DeadLetter, error) {
	l := DeadLetter{
		ID:       m.Subject[len(subjectDead):],
		Consumer: m.Header.Get(headerConsumer),
		Topic:    m.Header.Get(headerTopic),
		Error:    m.Header.Get(headerError),
	}
	// Written by us; a value that cannot be read is shown as not known.
	l.Attempts, _ = strconv.Atoi(m.Header.Get(headerAttempts))
	l.At, _ = time.Parse(time.RFC3339Nano, m.Header.Get(headerAt))
	var err error
	l.Payload, err = payload(ctx, b.letters, m.Header, m.Data)
	if errors.Is(err, ErrNotFound) {
		err = nil // shown without its payload rather than not at all
	}
	return l, err
}

// Replay gives the event of a dead letter to its consumer again, and to no other,
// and removes the letter; ErrNotFound when there is no such letter. Its attempts
// count from one again. A Replay that was cut short may be repeated: the event is
// given once.
func (b *Bus) Replay(ctx context.Context, id string) error {
	if !consumerName.MatchString(id) { // an id comes back from outside: it must be one token
		return ErrNotFound
	}
	stream, err := b.js.Stream(ctx, streamDead)
	if err != nil {
		return fmt.Errorf("bus: replay: %w", err)
	}
	raw, err := stream.GetLastMsgForSubject(ctx, subjectDead+id)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("bus: replay: %w", err)
	}
	l, err := b.readLetter(ctx, raw)
	if err != nil {
		return fmt.Errorf("bus: replay: %w", err)
	}
	m := nats.NewMsg(subjectReplay + l.Consumer)
	m.Header.Set(headerID, raw.Header.Get(headerID))
	m.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("replay/%s/%d", id, raw.Sequence))
	if err := b.publish(ctx, m, l.Payload); err != nil {
		return fmt.Errorf("bus: replay: %w", err)
	}
	// By sequence: an event that failed again meanwhile has a new letter.
	err = stream.DeleteMsg(ctx, raw.Sequence)
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("bus: replay: remove the letter: %w", err)
	}
	if err == nil && raw.Header.Get(headerClaim) != "" {
		return b.letters.drop(ctx, raw.Header.Get(headerClaim))
	}
	return nil
}
