package integrator

import (
	"testing"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// BenchmarkDeliver measures documents of 150 KB from "archived" to their recorded
// outcome, with a DI in the process that answers at once.
func BenchmarkDeliver(b *testing.B) {
	size = 150_000 // benchmarks run after the tests
	for _, protocol := range []string{"hl7v2", "reference", "mhd", "simplified"} {
		b.Run(protocol, func(b *testing.B) {
			w := newWorld(b, protocol)
			w.cfg.Alone = true
			var events []greffe.Archived
			for n := range b.N {
				events = append(events, w.archive(document(n)))
			}
			b.ResetTimer()
			start := time.Now()
			w.run()
			for _, e := range events {
				if err := bus.Publish(b.Context(), w.bus, bus.Archived, e); err != nil {
					b.Fatal(err)
				}
			}
			for w.di.Stats().New < b.N {
				time.Sleep(2 * time.Millisecond)
			}
			for _, e := range events {
				w.becomes(e.Documents[0], greffe.StateDelivered)
			}
			b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "documents/s")
			b.SetBytes(int64(len(text(document(1)))))
			b.StopTimer()
			w.stop()
		})
	}
}
