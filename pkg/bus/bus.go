// Package bus carries events, spooled bytes and small shared state between the
// services, over NATS JetStream. It alone acknowledges, retries and gives up:
// a service is a function that is called until it succeeds.
//
// # What is kept where
//
// One stream, GREFFE, holds every event for 30 days on the subjects
// greffe.event.<topic>; each service reads it through durable consumers of its
// own, so an event published before a service's first start still reaches it.
// What no attempt could handle waits for a person in a second stream,
// GREFFE_DEAD, without an age limit. Raw messages travel by claim check in the
// object store "spool"; events that are too large for a message in "claims", and
// such letters in "letters"; proof packs wait for those who asked for them in "packs".
// Leases, retry counts and what services say about themselves live in key-value buckets.
//
// The bus is transport, never the only copy of anything for long: the archive
// is the truth, and the fetcher takes again what never reached it.
//
// # Dependencies
//
// nats.go is the client, nats-server/v2 the same server as in a cluster, run
// inside the process: one code path whether the bus is embedded or shared.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

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
type Bus struct {
	cfg Config
	log *slog.Logger
	nc  *nats.Conn
	js  jetstream.JetStream

	spool   *objects // raw messages, until dropped
	letters *objects // large dead letters, until replayed
	claims  *objects // large events; they age out after the events
	packs   *objects // proof packs, until removed
	counts  jetstream.KeyValue
	leases  jetstream.KeyValue

	standings jetstream.KeyValue

	srv      *server.Server // nil unless embedded
	lock     *os.File       // held while the embedded server uses Dir
	running  *running       // nil unless embedded
	reviving sync.Mutex     // held while an embedded server is started again
	lookouts lookouts       // what this process saw of leases held by others

	ctx     context.Context // ends when Close begins
	stop    context.CancelCauseFunc
	mu      sync.Mutex // guards closing, the Add of work, buckets and made
	closing bool
	buckets []string           // that this process opened, to make them again on a server that lost them
	made    map[string]*making // consumers that this process made
	work    sync.WaitGroup     // running Consume, Watch and Lease loops
	once    sync.Once
	end     error

	pace pace
}

// pace holds the delays of the bus; tests shorten them.
type pace struct {
	backoff   []time.Duration // before the second attempt, the third, ...; the last one repeats
	outage    time.Duration   // longest wait before asking an unavailable dependency again
	grace     time.Duration   // a running call may finish within this after its service is told to stop
	abandon   time.Duration   // then it is cancelled, and left behind after this
	patience  time.Duration   // longest time that Publish and Spool try to reach the server
	reconnect time.Duration   // between two attempts to reach a server that went away
}

func defaultPace() pace {
	return pace{
		backoff: []time.Duration{time.Second, 5 * time.Second, 30 * time.Second,
			2 * time.Minute, 10 * time.Minute, 15 * time.Minute},
		outage:    2 * time.Minute,
		grace:     5 * time.Second,
		abandon:   5 * time.Second,
		patience:  30 * time.Second,
		reconnect: time.Second,
	}
}

// ErrClosed is returned by what was still going on when the bus was closed.
var ErrClosed = errors.New("bus: closed")

// Open starts or joins the bus and makes its streams and buckets. An embedded
// server has its Dir for itself: a second one on the same Dir is an error.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (*Bus, error) {
	b := &Bus{cfg: cfg, log: log, pace: defaultPace()}
	b.ctx, b.stop = context.WithCancelCause(context.Background())
	if err := b.open(ctx); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (b *Bus) open(ctx context.Context) error {
	if b.cfg.URL == "" {
		if err := b.embed(); err != nil {
			return err
		}
	}
	if err := b.connect(); err != nil {
		return err
	}
	// A window of eight chunks in flight bounds the memory of Spool; waiting for a
	// free place is normal there, so the wait before "stalled" is long.
	js, err := jetstream.New(b.nc, jetstream.WithPublishAsyncMaxPending(spoolWindow))
	if err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	b.js = js
	ctx, cancel := context.WithTimeout(ctx, b.pace.patience)
	defer cancel()
	if err := b.makeStreams(ctx); err != nil {
		return err
	}
	if b.running != nil {
		return b.countCrashes(ctx)
	}
	return nil
}

// connect dials the server, or the embedded one through a pipe in memory.
func (b *Bus) connect() error {
	opts := []nats.Option{
		nats.Name("greffe"),
		nats.MaxReconnects(-1), // a bus that went away is waited for, never given up
		nats.ReconnectWait(b.pace.reconnect),
		nats.Timeout(5 * time.Second),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.log.Warn("bus connection error", slog.Any("error", err))
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if b.ctx.Err() == nil {
				b.log.Warn("bus disconnected", slog.Any("error", err))
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { b.log.Info("bus reconnected") }),
	}
	url := b.cfg.URL
	if b.srv != nil {
		opts = append(opts, nats.InProcessServer(b.srv))
	} else {
		if b.cfg.CA != "" {
			opts = append(opts, nats.RootCAs(b.cfg.CA))
		}
		if b.cfg.Certificate != "" {
			opts = append(opts, nats.ClientCert(b.cfg.Certificate, b.cfg.Certificate))
		}
		if b.cfg.Credentials != "" {
			opts = append(opts, nats.UserCredentials(b.cfg.Credentials))
		}
	}
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		return fmt.Errorf("bus: connect: %w", err)
	}
	b.nc = nc
	return nil
}

// Close stops consuming, flushes and leaves; the embedded server stops after it.
// It waits for running calls as long as Consume does, and is safe to repeat.
func (b *Bus) Close() error {
	b.once.Do(func() {
		b.mu.Lock()
		b.closing = true
		b.mu.Unlock()
		b.stop(ErrClosed)
		b.work.Wait()
		if b.nc != nil {
			if b.nc.IsConnected() {
				// For events given back. What must not be lost was acknowledged before, so
				// a server that goes away right now costs a wait, no more.
				_ = b.nc.FlushTimeout(5 * time.Second)
			}
			b.nc.Close()
		}
		b.end = b.unembed()
	})
	return b.end
}

// begin notes that a loop runs until its done is called. The loop's context ends
// with ctx, or with ErrClosed as cause when the bus is closed.
func (b *Bus) begin(ctx context.Context) (_ context.Context, done func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return nil, nil, ErrClosed
	}
	b.work.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(b.ctx, func() { cancel(ErrClosed) })
	return ctx, func() {
		unhook()
		cancel(context.Canceled)
		b.work.Done()
	}, nil
}

// ended turns the end of a loop into what its caller is told: nil when the
// caller asked for it, ErrClosed when the bus went first.
func ended(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), ErrClosed) {
		return ErrClosed
	}
	return nil
}

// sleep waits for d or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
