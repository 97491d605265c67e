package bus_test

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"greffe/pkg/bus"
)

// BenchmarkPublish measures one event of 2 KiB, durable when it returns: on the
// embedded server, which syncs each one, and over TCP on a server with the
// default sync_interval of two minutes.
func BenchmarkPublish(bm *testing.B) {
	for _, d := range deployments() {
		bm.Run(d.name, func(bm *testing.B) {
			b, topic, text := open(bm, d.cfg(bm)), newTopic(), strings.Repeat("x", 2000)
			bm.ReportAllocs()
			for i := 0; bm.Loop(); i++ {
				publish(bm, b, topic, event{ID: strconv.Itoa(i), Text: text})
			}
		})
	}
}

// BenchmarkConsume measures one event of 2 KiB published and handled, with four
// calls at once.
func BenchmarkConsume(bm *testing.B) {
	for _, d := range deployments() {
		bm.Run(d.name, func(bm *testing.B) {
			b, topic, text := open(bm, d.cfg(bm)), newTopic(), strings.Repeat("x", 2000)
			done := make(chan bool, 1)
			consume(bm, b, topic, bus.Consumer{Name: unique("c"), Concurrency: 4}, func(context.Context, event) error {
				done <- true
				return nil
			})
			const ahead = 4
			i := 0
			for ; bm.Loop(); i++ {
				publish(bm, b, topic, event{ID: strconv.Itoa(i), Text: text})
				if i >= ahead {
					<-done
				}
			}
			for range min(i, ahead) {
				<-done
			}
		})
	}
}

// BenchmarkOpen measures the start of an embedded bus that was there before, with
// a thousand events in it.
func BenchmarkOpen(bm *testing.B) {
	cfg, topic := bus.Config{Dir: bm.TempDir()}, newTopic()
	b := open(bm, cfg)
	for i := range 1000 {
		publish(bm, b, topic, event{ID: strconv.Itoa(i), Text: strings.Repeat("x", 2000)})
	}
	b.Close()
	for bm.Loop() {
		b, err := bus.Open(bm.Context(), cfg, testLog(bm))
		if err != nil {
			bm.Fatal(err)
		}
		bm.StopTimer()
		if err := b.Close(); err != nil {
			bm.Fatal(err)
		}
		bm.StartTimer()
	}
}
