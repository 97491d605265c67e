package parser

import (
	"bytes"
	"context"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/ins"
	"greffe/pkg/pdf"
	"greffe/pkg/sandbox"
)

// processorTime is what this process has used of the processors, its children left out:
// on a machine that others use, too, it says more than the time on the clock.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkParse reads the messages of the load test (an archive with a CDA around a PDF
// of 150 KB, and the PDF again) on all processors, PDFs checked in warm children, and
// reports messages a second.
func BenchmarkParse(b *testing.B) {
	for _, c := range []struct {
		name    string
		checked bool
	}{{"with PDF checks", true}, {"without", false}} {
		b.Run(c.name, func(b *testing.B) {
			var checker *pdf.Checker
			if c.checked {
				checker = pdf.New(pdf.Config{})
				defer checker.Close()
			}
			p := New(Config{Environment: ins.Any, Version: "test"}, nil, checker, slog.New(slog.DiscardHandler))
			var raws [32][]byte
			size := 0
			for i := range raws {
				raws[i] = sandbox.PipelineMessage(i)
				size += len(raws[i])
				// Every child is started, every pool filled.
				if _, err := p.Parse(b.Context(), greffe.Received{}, bytes.NewReader(raws[i])); err != nil {
					b.Fatal(err)
				}
			}
			var n atomic.Int64
			b.SetBytes(int64(size / len(raws)))
			b.ReportAllocs()
			before := processorTime(b)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					raw := raws[int(n.Add(1))%len(raws)]
					out, err := p.Parse(context.Background(), greffe.Received{SHA256: ""}, bytes.NewReader(raw))
					if err != nil || len(out.Documents) != 1 || out.Documents[0].Verdict != greffe.VerdictOK && out.Documents[0].Verdict != greffe.VerdictWarning {
						b.Errorf("%v: %s", err, outcome(out))
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
			b.ReportMetric(float64(processorTime(b)-before)/float64(b.N)/1e6, "cpu-ms/op")
		})
	}
}
