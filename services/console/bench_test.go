package console

import (
	"fmt"
	"net/http"
	"net/http/httptest"
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
