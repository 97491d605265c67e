// Package bus carries events, spooled bytes and small shared state between the
// services, over NATS JetStream.
package bus

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"greffe/pkg/greffe"
)

var errTODO = errors.New("bus: being built")

// Config says where the bus is. The zero value with a Dir is an embedded server.
type Config struct {
	URL         string // empty: a JetStream server inside this process, without any open port
	Dir         string // where the embedded server keeps its files; required when URL is empty
	Credentials string // path of a NATS credentials file
	CA          string // path of a PEM file with the authorities that may sign the server's certificate
	Certificate string // path of a PEM file with certificate and key for mutual TLS
	Replicas    int    // of each stream and bucket; 0 means 1
}

// Bus is a connection to the bus. Its methods may be called at once.
type Bus struct{}

// Open starts or joins the bus and makes its streams and buckets.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (*Bus, error) { return nil, errTODO }

// Close stops consuming, flushes and leaves; the embedded server stops after it.
func (b *Bus) Close() error { return errTODO }

// Topic is one kind of event.
type Topic[T any] struct {
	Name string         // last token of the subject
	ID   func(T) string // Nats-Msg-Id: the same for each repeat of the same event
}

// Topics of Greffe.
var (
	Received  = Topic[greffe.Received]{"received", func(e greffe.Received) string { return string(e.ID) }}
	Parsed    = Topic[greffe.Parsed]{"parsed", func(e greffe.Parsed) string { return string(e.Received.ID) }}
	Archived  = Topic[greffe.Archived]{"archived", func(e greffe.Archived) string { return string(e.ID) }}
	Delivered = Topic[greffe.Delivered]{"delivered", func(e greffe.Delivered) string { return "" }} // to be decided: unique per outcome
	Decided   = Topic[greffe.Decided]{"decided", func(e greffe.Decided) string { return e.ID }}
)

// Publish returns once the event is durable on the bus.
func Publish[T any](ctx context.Context, b *Bus, t Topic[T], v T) error { return errTODO }

// Consumer says how a service reads a topic.
type Consumer struct {
	Name        string        // durable name: "storage-keep"; processes with the same name share the work
	Concurrency int           // calls at once in this process; 0 means 1
	AckWait     time.Duration // a call that takes longer is heartbeaten; 0 means 30 s
	MaxAttempts int           // after so many failures the event becomes a dead letter; 0 means 12
}

// Consume calls f for each event of the topic until ctx is done; it returns nil
// then. f must be repeatable: nil means done, an error means again later.
func Consume[T any](ctx context.Context, b *Bus, t Topic[T], c Consumer, f func(context.Context, T) error) error {
	return errTODO
}

// Pipe is Consume whose result is published on out before the input is acked.
func Pipe[In, Out any](ctx context.Context, b *Bus, in Topic[In], out Topic[Out], c Consumer, f func(context.Context, In) (Out, error)) error {
	return errTODO
}

// Watch calls f for each new event of the topic from now on, in this process
// only, at most once each: for live pages. It returns nil when ctx is done.
func Watch[T any](ctx context.Context, b *Bus, t Topic[T], f func(T)) error { return errTODO }

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

// DeadLetter is an event that no attempt could handle.
type DeadLetter struct {
	ID       string // opaque
	Consumer string
	Topic    string
	Attempts int
	Error    string
	At       time.Time
	Payload  []byte // JSON of the event
}

// DeadLetters lists the dead letters that wait for a person, oldest first.
func (b *Bus) DeadLetters(ctx context.Context) ([]DeadLetter, error) { return nil, errTODO }

// Replay gives the event of a dead letter to its consumer again and removes the letter.
func (b *Bus) Replay(ctx context.Context, id string) error { return errTODO }

// ErrNotFound is returned for a name that the spool or a bucket does not hold.
var ErrNotFound = errors.New("bus: not found")

// Spool streams r into the spool under name, replacing what was there, and
// returns once it is durable.
func (b *Bus) Spool(ctx context.Context, name string, r io.Reader) error { return errTODO }

// Unspool opens a spooled object; ErrNotFound when it is gone.
func (b *Bus) Unspool(ctx context.Context, name string) (io.ReadCloser, error) { return nil, errTODO }

// Drop removes a spooled object; removing one that is gone is not an error.
func (b *Bus) Drop(ctx context.Context, name string) error { return errTODO }

// Bucket is a small shared map of the bus (JetStream KV). Keys may be any text:
// they are encoded. Revision 0 means "not there".
type Bucket struct{}

// Bucket opens or makes the bucket called name.
func (b *Bus) Bucket(ctx context.Context, name string) (*Bucket, error) { return nil, errTODO }

// Get returns the value and its revision; ErrNotFound when there is none.
func (k *Bucket) Get(ctx context.Context, key string) ([]byte, uint64, error) { return nil, 0, errTODO }

// ErrConflict is returned by Put when the revision is not the newest.
var ErrConflict = errors.New("bus: changed by another")

// Put writes the value if the newest revision is rev (0: if there is none).
func (k *Bucket) Put(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	return 0, errTODO
}

// Lease is an exclusive right that ends by itself when its holder dies.
type Lease struct{}

// ErrHeld is returned by Lease when another process holds it.
var ErrHeld = errors.New("bus: lease held by another")

// Lease takes the named lease for ttl, renewed until Release; ErrHeld when it is
// not free. The lease's context ends when it was lost.
func (b *Bus) Lease(ctx context.Context, name string, ttl time.Duration) (*Lease, error) {
	return nil, errTODO
}

// Context is done when the lease was lost or released.
func (l *Lease) Context() context.Context { return nil }

// Release gives the lease up.
func (l *Lease) Release() error { return errTODO }
