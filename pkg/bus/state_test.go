package bus_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"greffe/pkg/bus"
)

func TestBucketWritesOnlyOverTheNewest(t *testing.T) {
	each(t, func(t *testing.T, b *bus.Bus) {
		k, err := b.Bucket(t.Context(), unique("k"))
		if err != nil {
			t.Fatal(err)
		}
		key := "cardiologie@ch-exemple.mssante.example/À traiter/été"
		if _, _, err := k.Get(t.Context(), key); !errors.Is(err, bus.ErrNotFound) {
			t.Fatalf("empty bucket: %v", err)
		}
		one, err := k.Put(t.Context(), key, []byte("1"), 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Put(t.Context(), key, []byte("x"), 0); !errors.Is(err, bus.ErrConflict) {
			t.Errorf("create over a value: %v", err)
		}
		two, err := k.Put(t.Context(), key, []byte("2"), one)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Put(t.Context(), key, []byte("x"), one); !errors.Is(err, bus.ErrConflict) {
			t.Errorf("write over an old revision: %v", err)
		}
		v, rev, err := k.Get(t.Context(), key)
		if err != nil || string(v) != "2" || rev != two {
			t.Errorf("got %q %d %v", v, rev, err)
		}
	})
}

func TestLeaseHasOneHolder(t *testing.T) {
	for _, d := range deployments() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			cfg := d.cfg(t)
			a := open(t, cfg)
			b := a
			if cfg.URL != "" {
				b = open(t, cfg) // another process
			}
			name := unique("boîte ")
			const ttl = time.Second
			first, err := a.Lease(t.Context(), name, ttl)
			if err != nil {
				t.Fatal(err)
			}
			// Renewed for longer than its ttl, it is never free.
			for end := time.Now().Add(2 * ttl); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
				if _, err := b.Lease(t.Context(), name, ttl); !errors.Is(err, bus.ErrHeld) {
					t.Fatalf("held lease: %v", err)
				}
			}
			if err := first.Context().Err(); err != nil {
				t.Fatalf("the lease was lost: %v", err)
			}
			if err := first.Release(); err != nil {
				t.Fatal(err)
			}
			if first.Context().Err() == nil {
				t.Error("the context outlives the lease")
			}
			second, err := b.Lease(t.Context(), name, ttl)
			if err != nil {
				t.Fatalf("released lease: %v", err)
			}
			if err := first.Release(); err != nil { // a second time takes nothing from the new holder
				t.Fatal(err)
			}
			if _, err := a.Lease(t.Context(), name, ttl); !errors.Is(err, bus.ErrHeld) {
				t.Errorf("after a late release: %v", err)
			}
			if err := second.Release(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestLeaseOfTheDeadIsFreeAfterItsTTL(t *testing.T) {
	t.Parallel()
	cfg := bus.Config{URL: startServer(t, t.TempDir(), "127.0.0.1:0").ClientURL()}
	dead, alive := open(t, cfg), open(t, cfg)
	const ttl = 300 * time.Millisecond
	lost, err := dead.Lease(t.Context(), "l", ttl)
	if err != nil {
		t.Fatal(err)
	}
	dead.Cut() // as a process that was killed or cut off
	began := time.Now()
	var taken *bus.Lease
	eventually(t, "the lease", func() bool {
		taken, err = alive.Lease(t.Context(), "l", ttl)
		return err == nil
	})
	if waited := time.Since(began); waited < ttl {
		t.Errorf("taken after %v", waited)
	}
	// The one that was cut off knows by itself, and knew before.
	select {
	case <-lost.Context().Done():
	default:
		t.Error("two hold the lease")
	}
	if cause := context.Cause(lost.Context()); !errors.Is(cause, bus.ErrHeld) {
		t.Errorf("cause %v", cause)
	}
	if err := taken.Release(); err != nil {
		t.Error(err)
	}
}

func TestLeasesOfAnEmbeddedBusEndWithIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := open(t, bus.Config{Dir: dir})
	if _, err := b.Lease(t.Context(), "l", time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, bus.Config{Dir: dir}).Lease(t.Context(), "l", time.Hour); err != nil {
		t.Error(err)
	}
}

// A released lease leaves a mark on the server: it goes, or there would be one for
// each lineage for ever.
func TestMarksOfLeasesGo(t *testing.T) {
	each(t, func(t *testing.T, b *bus.Bus) {
		if age, err := b.LeaseAge(t.Context()); err != nil || age <= 0 || age > 48*time.Hour {
			t.Errorf("%v %v", age, err)
		}
	})
}

// An embedded server switches its storage off when the disk is full. Once there is
// room again the work goes on by itself, leases included.
func TestWorkGoesOnAfterTheDiskWasFull(t *testing.T) {
	t.Parallel()
	b := open(t, bus.Config{Dir: t.TempDir()})
	topic, name := newTopic(), unique("c")
	got := make(chan string, 8)
	consume(t, b, topic, bus.Consumer{Name: name}, func(_ context.Context, e event) error { got <- e.ID; return nil })
	publish(t, b, topic, event{ID: "before"})
	receive(t, got)
	settled(t, b, name)
	if err := b.FillDisk(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "publishing again", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return bus.Publish(ctx, b, topic, event{ID: "after"}) == nil
	})
	if id := receive(t, got); id != "after" {
		t.Fatal(id)
	}
	if _, err := b.Lease(t.Context(), "l", time.Minute); err != nil {
		t.Error(err)
	}
}

func TestADirectoryHasOneServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := open(t, bus.Config{Dir: dir})
	_, err := bus.Open(t.Context(), bus.Config{Dir: dir}, testLog(t))
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("second open: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, bus.Config{Dir: dir}) // free again
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]bus.Config{
		"nothing given":  {},
		"nobody there":   {URL: "nats://127.0.0.1:1"},
		"no certificate": {URL: "tls://127.0.0.1:1", CA: "/nowhere/ca.pem"},
	} {
		if b, err := bus.Open(t.Context(), cfg, testLog(t)); err == nil {
			b.Close()
			t.Errorf("%s: no error", name)
		} else if !strings.HasPrefix(err.Error(), "bus: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWorkGoesOnAfterTheServerRestarted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startServer(t, dir, "127.0.0.1:0")
	u, err := url.Parse(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, bus.Config{URL: s.ClientURL()})
	topic, name := newTopic(), unique("c")
	got, seen := make(chan string, 8), make(chan string, 8)
	consume(t, b, topic, bus.Consumer{Name: name}, func(_ context.Context, e event) error { got <- e.ID; return nil })
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- bus.Watch(ctx, b, topic, func(e event) { seen <- e.ID }) }()
	publish(t, b, topic, event{ID: "before"})
	if id := receive(t, got); id != "before" {
		t.Fatal(id)
	}
	settled(t, b, name)
	s.Shutdown()
	s.WaitForShutdown()
	published := make(chan error, 1)
	go func() { published <- bus.Publish(t.Context(), b, topic, event{ID: "after"}) }()
	startServer(t, dir, u.Host)
	if err := receive(t, published); err != nil {
		t.Fatalf("publish over a restart: %v", err)
	}
	if id := receive(t, got); id != "after" {
		t.Fatal(id)
	}
	cancel()
	if err := receive(t, over); err != nil {
		t.Error(err)
	}
}

// A server that lost its disk comes back empty: everything is made again and works,
// without a restart of ours.
func TestWorkGoesOnAfterTheServerLostItsDisk(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir(), "127.0.0.1:0")
	u, err := url.Parse(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, bus.Config{URL: s.ClientURL()})
	k, err := b.Bucket(t.Context(), "ledger")
	if err != nil {
		t.Fatal(err)
	}
	topic := newTopic()
	got := make(chan string, 8)
	for range 2 {
		consume(t, b, topic, bus.Consumer{Name: unique("c")}, func(_ context.Context, e event) error { got <- e.ID; return nil })
	}
	publish(t, b, topic, event{ID: "before"})
	receive(t, got)
	receive(t, got)
	s.Shutdown()
	s.WaitForShutdown()
	startServer(t, t.TempDir(), u.Host)
	eventually(t, "publishing again", func() bool { return bus.Publish(t.Context(), b, topic, event{ID: "after"}) == nil })
	for range 2 {
		if id := receive(t, got); id != "after" {
			t.Fatal(id)
		}
	}
	eventually(t, "the bucket", func() bool { _, err := k.Put(t.Context(), "k", []byte("v"), 0); return err == nil })
	eventually(t, "the spool", func() bool { _, err := b.Spool(t.Context(), "n", strings.NewReader("raw")); return err == nil })
	eventually(t, "a lease", func() bool { _, err := b.Lease(t.Context(), "l", time.Minute); return err == nil })
}

func TestStatusTellsWhatIsInFlight(t *testing.T) {
	each(t, func(t *testing.T, b *bus.Bus) {
		topic, name := newTopic(), unique("c")
		begun, finish := make(chan bool, 8), make(chan bool)
		consume(t, b, topic, bus.Consumer{Name: name}, func(context.Context, event) error {
			begun <- true
			<-finish
			return nil
		})
		publish(t, b, topic, event{ID: "1"}, event{ID: "2"}, event{ID: "3"})
		receive(t, begun)
		s, err := b.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, c := range s.Consumers {
			if c.Name == name {
				found = c.Topic == topic.Name && c.Waiting == 2 && c.Running == 1
			}
		}
		if !found || s.InFlight() < 3 || s.Server == "" {
			t.Errorf("status %+v", s)
		}
		close(finish)
		settled(t, b, name)
		if n, err := b.CountDeadLetters(t.Context()); err != nil || n < 0 {
			t.Error(n, err)
		}
	})
}
