package integrator

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// The victim is this test program run as a process of its own: an integrator on the bus,
// archive and index of a test, which kills it.
const envVictim = "GREFFE_TEST_INTEGRATOR_VICTIM" // premises, as JSON

func victim(orders string) {
	var at premises
	err := json.Unmarshal([]byte(orders), &at)
	log, ctx := slog.New(slog.DiscardHandler), context.Background()
	open := func(f func() error) {
		if err == nil {
			err = f()
		}
	}
	var b *bus.Bus
	var store archive.Store
	var db *index.DB
	var i *Integrator
	open(func() (err error) { b, err = bus.Open(ctx, at.Bus, log); return err })
	open(func() (err error) { store, err = archive.OpenDir(at.Archive, time.Minute); return err })
	open(func() (err error) { db, err = index.Open(ctx, at.Index, log); return err })
	open(func() (err error) { i, err = New(several(at.DI), b, store, db, log); return err })
	open(func() error { return i.Run(ctx) })
	fmt.Println("victim:", err)
	os.Exit(1)
}

// several is the configuration of one of several integrators.
func several(di DI) Config {
	return Config{DIs: []DI{di}, Retry: []time.Duration{50 * time.Millisecond, 100 * time.Millisecond}, Order: time.Second}
}

// Two integrators share a bus, an index and a DI. One is killed in the middle of its
// deliveries, as the one that leads the queue: the other goes on, every document arrives
// once, version 2 after version 1, and nothing is new at the DI twice.
func TestSeveralIntegrators(t *testing.T) {
	t.Parallel()
	servers := map[string]func(t *testing.T) string{"tcp": func(t *testing.T) string {
		s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		if !s.ReadyForConnections(time.Minute) {
			t.Fatal("server not ready")
		}
		return s.ClientURL()
	}}
	if url := os.Getenv("GREFFE_TEST_NATS"); url != "" {
		servers["server"] = func(*testing.T) string { return url }
	}
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			severalStory(t, start(t))
		})
	}
}

func severalStory(t *testing.T, url string) {
	at := premises{Bus: bus.Config{URL: url}, Archive: t.TempDir(), Index: t.TempDir() + "/index.db"}
	w := newWorldOn(t, "hl7v2", at)
	at.DI = w.cfg.DIs[0]
	w.cfg = several(at.DI)
	orders, err := json.Marshal(at)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^$")
	cmd.Env = append(os.Environ(), envVictim+"="+string(orders))
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	kill := func() { cmd.Process.Kill(); <-exited }
	defer func() {
		if kill != nil {
			kill()
		}
	}()
	patience := time.After(4 * time.Minute)
	wait := func(what string, good func() bool) {
		t.Helper()
		for !good() {
			select {
			case <-time.After(2 * time.Millisecond):
			case err := <-exited:
				kill = nil
				t.Fatalf("%s: the other process ended: %v", what, err)
			case <-patience:
				t.Fatalf("%s: never; %+v", what, w.di.Stats())
			}
		}
	}
	// The first one has the queue before the second one comes.
	w.receive(document(9000))
	wait("first document", func() bool { return w.di.Stats().New == 1 })
	w.run()

	const lineages = 25
	var ids []greffe.DocumentID
	for n := range lineages {
		for v := range 2 {
			ids = append(ids, w.receive(versionOf(n, v+1))...)
		}
	}
	wait("middle of the deliveries", func() bool { return w.di.Stats().Messages > lineages/2 })
	kill()
	kill, exited = nil, nil
	killed := time.Now()
	for _, id := range ids {
		wait(string(id), func() bool {
			d, err := w.db.Document(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			return d.State == greffe.StateDelivered
		})
	}
	s := w.di.Stats()
	t.Logf("all is delivered %s after the kill: %+v", time.Since(killed).Round(time.Millisecond), s)
	if s.New != lineages+1 || s.Replaced != lineages || s.Deleted != 0 || len(s.Refused) > 0 {
		t.Errorf("%+v", s)
	}
	for _, d := range w.di.Documents() {
		if want := d.Parent == "" && d.Number != document(9000).UniqueID.String(); want == d.Current() {
			t.Errorf("%s replaces %q, current %v", d.Number, d.Parent, d.Current())
		}
	}
}

// versionOf is a version of the n-th set.
func versionOf(n, v int) greffe.Document {
	d := document(100*(n+1) + v)
	d.SetID, d.Version = greffe.OID{Root: fmt.Sprint(rootDoc, ".5.", n+1)}, v
	if v > 1 {
		d.Action, d.Replaces = greffe.ActionReplace, greffe.OID{Root: fmt.Sprint(rootDoc, ".", 100*(n+1)+v-1)}
	}
	return d
}
