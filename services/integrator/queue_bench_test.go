package integrator

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/pkg/sandbox"
)

// BenchmarkLatency measures what is added from "archived" to "delivered" at 50 documents
// of 12 KB a second.
func BenchmarkLatency(b *testing.B) {
	size = 12_000
	w := newWorld(b, "hl7v2")
	w.cfg.Alone = true
	var mu sync.Mutex
	done := map[greffe.DocumentID]time.Time{}
	ctx, stop := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		bus.Consume(ctx, w.bus, bus.Delivered, bus.Consumer{Name: "bench", Concurrency: 4}, func(_ context.Context, d greffe.Delivered) error {
			mu.Lock()
			defer mu.Unlock()
			done[d.Document] = time.Now()
			return nil
		})
	})
	var events []greffe.Archived
	for n := range b.N {
		events = append(events, w.archive(document(n)))
	}
	w.run()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	sent := make([]time.Time, len(events))
	b.ResetTimer()
	for n, e := range events {
		<-tick.C
		sent[n] = time.Now()
		if err := bus.Publish(b.Context(), w.bus, bus.Archived, e); err != nil {
			b.Fatal(err)
		}
	}
	for {
		mu.Lock()
		n := len(done)
		mu.Unlock()
		if n == len(events) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	b.StopTimer()
	var took []time.Duration
	for n, e := range events {
		took = append(took, done[e.Documents[0]].Sub(sent[n]))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	w.stop()
	stop()
	wg.Wait()
}

// BenchmarkBacklog measures what documents that wait for a DI that is down add to the
// memory in use, and how fast they go when it is back. GREFFE_BENCH_DOCUMENTS says how
// many, 5,000 without.
func BenchmarkBacklog(b *testing.B) {
	n := 5_000
	if s := os.Getenv("GREFFE_BENCH_DOCUMENTS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	size = 2_000
	for b.Loop() {
		w := newWorld(b, "hl7v2")
		w.cfg.Alone = true
		w.cfg.DIs[0].MLLP.Timeout = 500 * time.Millisecond
		w.deaf = true // what the test itself would keep is not the integrator's
		w.run()
		const warm = 1000 // what a Greffe that delivers holds anyway: statements, caches, buffers
		for k := range warm {
			w.receive(document(n + k))
		}
		for w.di.Stats().New < warm {
			time.Sleep(5 * time.Millisecond)
		}
		w.di.Obey(sandbox.DIRule{Behaviour: sandbox.DISilent})
		before, process := inUse(), resident(b)
		for k := range n {
			w.receive(document(k))
		}
		waiting := func() int {
			q, err := w.db.Queues(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			return q[0].Waiting
		}
		for waiting() < n {
			time.Sleep(50 * time.Millisecond)
		}
		b.ReportMetric(float64(inUse()-before)/1e6, "MB-more")
		b.ReportMetric(float64(resident(b)-process)/1e6, "MB-more-resident")
		w.di.Obey(sandbox.DIRule{})
		if _, err := w.db.ResumeDI(b.Context(), "dpi", "admin", ""); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		for w.di.Stats().New < n+warm {
			time.Sleep(5 * time.Millisecond)
		}
		b.ReportMetric(float64(n)/time.Since(start).Seconds(), "drained/s")
		if s := w.di.Stats(); s.Repeats > 0 {
			b.Errorf("%+v", s)
		}
		w.stop()
	}
}

// inUse is the memory that is reachable.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// resident is the memory of the process that is in no file: the heap with what is not
// collected yet, and the caches of SQLite, which are outside of it.
func resident(b *testing.B) (n int64) {
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		b.Fatal(err)
	}
	return n << 10
}

// BenchmarkBesideABlockedLineage measures how long a document takes while another one, and
// the nine versions that wait for it, hang at the DI.
func BenchmarkBesideABlockedLineage(b *testing.B) {
	size = 12_000
	w := newWorld(b, "hl7v2")
	w.cfg.Alone = true
	w.cfg.DIs[0].MLLP.Timeout = time.Minute
	w.cfg.DIs[0].MLLP.Connections = 4
	w.di.Obey(sandbox.DIRule{Behaviour: sandbox.DISilent, Times: 1})
	w.run()
	w.receive(version(1))
	for w.di.Stats().Messages == 0 {
		time.Sleep(time.Millisecond)
	}
	for n := range 9 {
		w.receive(version(n + 2))
	}
	var took []time.Duration
	k := 1000
	for b.Loop() {
		k++
		a := w.archive(document(k))
		start := time.Now()
		if err := bus.Publish(b.Context(), w.bus, bus.Archived, a); err != nil {
			b.Fatal(err)
		}
		w.until(a.Documents[0], func(d index.Document) bool { return d.State == greffe.StateDelivered }, fmt.Sprint(k))
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	w.stop()
}
