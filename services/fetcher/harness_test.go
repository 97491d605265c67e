package fetcher

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/mss"
	"greffe/pkg/sandbox"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// quick is a pace for tests.
var quick = pace{
	dial: 5 * time.Second, stall: 2 * time.Second,
	retry: 10 * time.Millisecond, retryMax: 200 * time.Millisecond, refused: 50 * time.Millisecond,
	poll: 50 * time.Millisecond, lease: 500 * time.Millisecond,
	suspect:    []time.Duration{20 * time.Millisecond, 20 * time.Millisecond},
	settleIdle: 200 * time.Millisecond, settleTrouble: 100 * time.Millisecond,
}

const patience = 30 * time.Second

// eventually waits until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for tick := time.NewTicker(5 * time.Millisecond); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func logger(t testing.TB) *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

func openBus(t testing.TB) *bus.Bus {
	t.Helper()
	b, err := bus.Open(context.Background(), bus.Config{Dir: t.TempDir()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// inbox collects what the fetcher published.
type inbox struct {
	b  *bus.Bus
	mu sync.Mutex
	by map[greffe.MessageID][]greffe.Received
	n  int
}

// listen collects Received events until the test ends or stop is called.
func listen(t testing.TB, b *bus.Bus) (*inbox, func()) {
	t.Helper()
	in := &inbox{b: b, by: make(map[greffe.MessageID][]greffe.Received)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- bus.Consume(ctx, b, bus.Received, bus.Consumer{Name: "test", Concurrency: 4}, func(_ context.Context, e greffe.Received) error {
			in.mu.Lock()
			defer in.mu.Unlock()
			in.by[e.ID] = append(in.by[e.ID], e)
			in.n++
			return nil
		})
	}()
	var once sync.Once
	return in, func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("consume: %v", err)
			}
		})
	}
}

func (in *inbox) count() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.n
}

// all returns the events by folder and UID; an event that came twice fails t.
func (in *inbox) all(t testing.TB) map[string]greffe.Received {
	t.Helper()
	in.mu.Lock()
	defer in.mu.Unlock()
	out := make(map[string]greffe.Received)
	for id, events := range in.by {
		if len(events) != 1 {
			t.Errorf("message %s was taken %d times", id, len(events))
		}
		o := events[0].Origin
		out[fmt.Sprintf("%s/%d/%d", o.Folder, o.UIDValidity, o.UID)] = events[0]
	}
	return out
}

// bytes reads what a Received event points at.
func (in *inbox) bytes(t testing.TB, e greffe.Received) []byte {
	t.Helper()
	r, err := in.b.Unspool(context.Background(), e.Spool)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if greffe.DigestOf(raw) != e.SHA256 || int64(len(raw)) != e.Size {
		t.Errorf("message %s: the spooled bytes are not those announced", e.ID)
	}
	return raw
}

// running is a Fetcher at work.
type running struct {
	*Fetcher
	stop func()
}

// start runs a fetcher over b until the test ends or stop is called.
func start(t testing.TB, b *bus.Bus, cfg Config, adjust ...func(*Fetcher)) *running {
	t.Helper()
	f, err := New(cfg, b, logger(t))
	if err != nil {
		t.Fatal(err)
	}
	f.pace = quick
	for _, w := range f.boxes {
		w.flight.most = 1 << 20 // most tests have nobody who archives
	}
	for _, a := range adjust {
		a(f)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	var once sync.Once
	r := &running{f, func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}}
	t.Cleanup(r.stop)
	return r
}

// lab is a bus and a mail server with one user and his mailbox.
type lab struct {
	bus  *bus.Bus
	mail *sandbox.MailServer
	in   *inbox
	box  Mailbox
}

const user = "cardiologie@ch.example"

func newLab(t testing.TB, without ...string) *lab {
	t.Helper()
	b := openBus(t)
	m, err := sandbox.StartMailServer(context.Background(), sandbox.MailConfig{
		Dir: t.TempDir(), Without: without,
		Users: []sandbox.MailUser{{Name: user, Password: "secret", Token: "jeton"}, {Name: "autre@ch.example", Password: "secret"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	in, stop := listen(t, b)
	t.Cleanup(stop)
	return &lab{b, m, in, Mailbox{
		Address: user, URL: "imaps://" + m.Addr(), CA: m.CAFile(), Auth: mss.Auth{Mechanism: "plain", PasswordFile: write(t, "secret\n")},
	}}
}

// write puts text into a file of its own.
func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (l *lab) append(t testing.TB, folder, raw string) uint32 {
	t.Helper()
	uid, err := l.mail.Append(user, folder, []byte(raw), time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return uid
}

// archive publishes what storage would once the message is archived.
func archive(t testing.TB, b *bus.Bus, e greffe.Received, st greffe.State) {
	t.Helper()
	a := greffe.Archived{ID: e.ID, Origin: e.Origin, State: st, At: time.Now().UTC()}
	if err := bus.Publish(context.Background(), b, bus.Archived, a); err != nil {
		t.Fatal(err)
	}
}

func rewrite(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
