package bus_test

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"greffe/pkg/bus"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("GREFFE_TEST_BUS_VICTIM"); dir != "" {
		victim(dir)
	}
	goleak.VerifyTestMain(m)
}

func testLog(t testing.TB) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// deployment is one way to have a bus.
type deployment struct {
	name string
	cfg  func(t testing.TB) bus.Config
}

// deployments are the two of the design, and a real server when one is given.
func deployments() []deployment {
	d := []deployment{
		{"embedded", func(t testing.TB) bus.Config { return bus.Config{Dir: t.TempDir()} }},
		{"tcp", func(t testing.TB) bus.Config {
			return bus.Config{URL: startServer(t, t.TempDir(), "127.0.0.1:0").ClientURL()}
		}},
	}
	if url := os.Getenv("GREFFE_TEST_NATS"); url != "" {
		d = append(d, deployment{"server", func(testing.TB) bus.Config { return bus.Config{URL: url} }})
	}
	return d
}

// startServer runs a NATS server that listens, as a stranger would run it.
func startServer(t testing.TB, dir, addr string) *server.Server {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	p, err := net.LookupPort("tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	if p == 0 {
		p = server.RANDOM_PORT
	}
	s, err := server.NewServer(&server.Options{
		Host: host, Port: p, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("server not ready")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

func open(t testing.TB, cfg bus.Config) *bus.Bus {
	t.Helper()
	b, err := bus.Open(context.Background(), cfg, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	b.Quicken()
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// event is a small event of the tests.
type event struct {
	ID   string
	Text string `json:",omitempty"`
}

// newTopic returns a topic that no other test uses: a shared server keeps what
// was published.
func newTopic() bus.Topic[event] {
	return bus.Topic[event]{Name: unique("t"), ID: func(e event) string { return e.ID }}
}

func unique(prefix string) string { return prefix + strings.ToLower(rand.Text()[:12]) }

// each runs the story on every deployment.
func each(t *testing.T, story func(t *testing.T, b *bus.Bus)) {
	for _, d := range deployments() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			story(t, open(t, d.cfg(t)))
		})
	}
}

func publish(t testing.TB, b *bus.Bus, topic bus.Topic[event], events ...event) {
	t.Helper()
	for _, e := range events {
		if err := bus.Publish(t.Context(), b, topic, e); err != nil {
			t.Fatal(err)
		}
	}
}

// consume runs a consumer until the test ends and fails the test if it ends before.
func consume(t testing.TB, b *bus.Bus, topic bus.Topic[event], c bus.Consumer, f func(context.Context, event) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- bus.Consume(ctx, b, topic, c, f) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-over; err != nil {
			t.Errorf("Consume: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came within 20 s")
		panic("unreachable")
	}
}

// eventually waits until ok holds: for what the server does by itself.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func readAll(t testing.TB, r io.ReadCloser) []byte {
	t.Helper()
	defer r.Close()
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return all
}
