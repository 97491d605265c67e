package bus

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"greffe/pkg/greffe"
)

// Topic is one kind of event.
type Topic[T any] struct {
	Name string         // last token of the subject
	ID   func(T) string // Nats-Msg-Id: the same for each repeat of the same event
}

// Topics of Greffe. A Delivered is named by what happened at which DI and when it happened,
// so a second outcome of the same document is another event, and the same
// outcome published twice is one. Parsed and Archived are named with the spooled
// copy that they came from: each copy is dropped on the word of its own event.
var (
	Received  = Topic[greffe.Received]{"received", func(e greffe.Received) string { return string(e.ID) }}
	Parsed    = Topic[greffe.Parsed]{"parsed", func(e greffe.Parsed) string { return string(e.Received.ID) + "/" + e.Received.Spool }}
	Archived  = Topic[greffe.Archived]{"archived", func(e greffe.Archived) string { return string(e.ID) + "/" + e.Spool }}
	Delivered = Topic[greffe.Delivered]{"delivered", deliveredID}
	Decided   = Topic[greffe.Decided]{"decided", func(e greffe.Decided) string { return e.ID }}
	Confirmed = Topic[greffe.Confirmed]{"confirmed", func(e greffe.Confirmed) string { return e.ID }}
	Triaged   = Topic[greffe.Triaged]{"triaged", func(e greffe.Triaged) string { return e.ID }}
	Placed    = Topic[greffe.Placed]{"placed", func(e greffe.Placed) string { return e.ID }}
	Settled   = Topic[greffe.Settled]{"settled", settledID}
	Wanted    = Topic[greffe.Wanted]{"wanted", func(e greffe.Wanted) string { return e.ID }}
	Listed    = Topic[greffe.Listed]{"listed", listedID}
)

// listedID names a list by the digest of the folder, whose name may hold one of a
// person, and by when it was made.
func listedID(e greffe.Listed) string {
	first := uint32(0)
	if len(e.Messages) > 0 {
		first = e.Messages[0].UID
	}
	folder := greffe.DigestOf(fmt.Appendf(nil, "%d:%s%s", len(e.Mailbox), e.Mailbox, e.Folder))
	return fmt.Sprintf("%s.%d.%d.%d", folder[:24], e.UIDValidity, first, e.At.UnixNano())
}

func settledID(e greffe.Settled) string {
	return strings.Join([]string{string(e.Message), string(e.Mark), strconv.FormatInt(e.At.UnixNano(), 10)}, "/")
}

func deliveredID(e greffe.Delivered) string {
	return strings.Join([]string{
		string(e.Document), e.Outcome.DI, string(e.Outcome.State), e.Outcome.Code,
		strconv.FormatInt(e.Outcome.At.UnixNano(), 10),
	}, "/")
}

// maxInline is the largest event, in bytes of JSON, that travels in a message;
// the server takes messages of up to 1 MiB, headers included.
const maxInline = 512 << 10

// MaxEvent is the largest event, in bytes of JSON, that Publish takes.
const MaxEvent = 64 << 20

// Headers of our messages.
const (
	headerClaim = "Greffe-Claim" // name in the object store that holds the payload
	headerID    = "Greffe-Event" // id of a replayed event, whose Nats-Msg-Id is another
)

// ErrTooLarge is returned by Publish for an event of more than MaxEvent bytes.
var ErrTooLarge = errors.New("bus: event too large")

// Publish returns once the event is durable on the bus; a repeat within
// DedupWindow is accepted and dropped. An error says nothing about whether the
// event was stored: publish it again.
//
// Durable means: the embedded server has written the event and synced it to the
// disk (SyncAlways), so it survives a power cut; a shared server has written it
// on a majority of the replicas, and synced it as its own sync_interval says
// (two minutes unless set: an event acknowledged before a power cut of a single
// server may be lost; use "sync_interval: always", or three replicas on three
// machines). BenchmarkPublish, one event of 2 KiB at a time on two shared cores
// whose disk syncs in about 0.3 ms: embedded 0.34 ms (2,900/s), over TCP without
// syncing 0.10 ms (9,800/s). Syncs are not grouped: more callers are no faster.
//
// The server may be away for up to 30 s before Publish gives up. An event that JSON
// cannot carry is ErrPermanent, one that is too large ErrTooLarge: no repeat helps.
func Publish[T any](ctx context.Context, b *Bus, t Topic[T], v T) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("bus: encode %s: %w: %w", t.Name, ErrPermanent, err)
	}
	id := t.ID(v)
	if id == "" {
		return fmt.Errorf("bus: publish %s: the event has no id", t.Name)
	}
	m := nats.NewMsg(subjectEvent + t.Name)
	m.Header.Set(jetstream.MsgIDHeader, t.Name+"/"+id)
	if err := b.publish(ctx, m, payload); err != nil {
		return fmt.Errorf("bus: publish %s: %w", t.Name, err)
	}
	return nil
}

// publish sends m with payload, by claim check when it is large.
func (b *Bus) publish(ctx context.Context, m *nats.Msg, payload []byte) error {
	if len(payload) > MaxEvent {
		return fmt.Errorf("%d bytes: %w", len(payload), ErrTooLarge)
	}
	ctx, cancel := context.WithTimeout(ctx, b.pace.patience)
	defer cancel()
	m.Data = payload
	claim := ""
	if len(payload) > maxInline {
		// A name of its own for each try: a repeat never pulls the bytes from under
		// the reader of the first.
		claim = rand.Text()
		if _, err := b.claims.put(ctx, claim, bytes.NewReader(payload)); err != nil {
			return fmt.Errorf("claim check: %w", err)
		}
		m.Header.Set(headerClaim, claim)
		m.Data = nil
	}
	ack, err := b.send(ctx, m)
	if err == nil && ack.Duplicate && claim != "" {
		if err := b.claims.drop(ctx, claim); err != nil {
			b.log.Warn("bus claim left behind", "error", err) // it ages out
		}
	}
	return err
}

// send publishes m until it is acknowledged or ctx is done. Sending again is
// safe: m carries an id, or replaces itself.
func (b *Bus) send(ctx context.Context, m *nats.Msg) (*jetstream.PubAck, error) {
	for {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		ack, err := b.js.PublishMsg(try, m)
		cancel()
		if err == nil {
			return ack, nil
		}
		if !away(err) || ctx.Err() != nil {
			return nil, err
		}
		sleep(ctx, 100*time.Millisecond)
	}
}

// away reports whether err means that the server could not be asked, rather than
// that it said no.
func away(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) ||
		errors.Is(err, nats.ErrDisconnected) || errors.Is(err, nats.ErrReconnectBufExceeded)
}

// payload returns the JSON of an event, fetched from store when the message
// carries only a claim on it.
func payload(ctx context.Context, store *objects, h nats.Header, data []byte) ([]byte, error) {
	claim := h.Get(headerClaim)
	if claim == "" {
		return data, nil
	}
	r, err := store.open(ctx, claim)
	if err != nil {
		return nil, fmt.Errorf("bus: claim check: %w", err)
	}
	defer r.Close()
	all, err := io.ReadAll(io.LimitReader(r, MaxEvent+1))
	if err != nil {
		return nil, fmt.Errorf("bus: claim check: %w", err)
	}
	if len(all) > MaxEvent {
		return nil, fmt.Errorf("bus: claim check: %w", ErrTooLarge)
	}
	return all, nil
}
