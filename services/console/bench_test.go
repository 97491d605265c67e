package console

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// BenchmarkPages measures the server time of the pages people wait for, with a full
// first page of the queue; the index here is small (its own benchmarks have the
// large ones).
func BenchmarkPages(b *testing.B) {
	w := newWorld(b)
	var id string
	for n := range rowsPerPage + 10 {
		a := w.receive(mail{subject: fmt.Sprint("Compte rendu ", n), ago: time.Duration(n) * time.Minute, docs: []doc{{facts: cda1(fmt.Sprint(n), 1, "Compte rendu", maelle), bytes: fmt.Appendf(nil, "<a n='%d'/>", n), body: reportPDF("CR")}}})
		id = string(a.Documents[0])
	}
	v := w.as("claire")
	u := v.get("/file").Request.URL
	for _, path := range []string{"/file", "/documents/" + id, "/documents/" + id + "/file"} {
		b.Run(path[:5], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), "GET", path, nil)
				for _, c := range v.Jar.Cookies(u) {
					r.AddCookie(c)
				}
				rec := httptest.NewRecorder()
				w.console.Handler().ServeHTTP(rec, r)
				if rec.Code != http.StatusOK {
					b.Fatal(rec.Code)
				}
				b.ReportMetric(float64(rec.Body.Len()), "B/page")
			}
		})
	}
}

// BenchmarkOpenQueues is what 200 open queues cost when nothing happens: memory of the
// server with its side of the connections, and share of one core. The clients are in the
// same process, so that both figures are too high. Marks: 100 MB, 10 %.
func BenchmarkOpenQueues(b *testing.B) {
	w := newWorld(b)
	for n := range rowsPerPage {
		w.receive(mail{subject: fmt.Sprint("Compte rendu ", n), docs: []doc{{facts: cda1(fmt.Sprint(n), 1, "Compte rendu", maelle), bytes: fmt.Appendf(nil, "<a n='%d'/>", n), body: reportPDF("CR")}}})
	}
	v := w.as("claire")
	memory := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := memory()
	for range 200 {
		r, err := http.NewRequestWithContext(b.Context(), "GET", w.server.URL+"/file/flux?etat=a-traiter", nil)
		if err != nil {
			b.Fatal(err)
		}
		c := *v.Client
		c.Timeout = 0 // a stream has no end
		resp, err := c.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { resp.Body.Close() })
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() && lines.Text() != ": ouvert" {
		}
	}
	for b.Loop() {
		from, used := time.Now(), cpu()
		time.Sleep(10 * time.Second) // what is measured: nothing happens
		b.ReportMetric(100*float64(cpu()-used)/float64(time.Since(from)), "%core")
		b.ReportMetric(float64(memory()-before)/1e6, "MB")
	}
}
