package console

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/html"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
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

// keptIndexes are the indexes with many documents that pkg/index leaves behind, by engine
// (BenchmarkMany there, with GREFFE_BENCH_KEEP and GREFFE_BENCH_DOCUMENTS); none without.
func keptIndexes(b *testing.B) map[string]string {
	dir, n := os.Getenv("GREFFE_BENCH_KEEP"), os.Getenv("GREFFE_BENCH_DOCUMENTS")
	if dir == "" || n == "" {
		return nil
	}
	list := map[string]string{"sqlite": filepath.Join(dir, "many-"+n+".db")}
	if server := os.Getenv("GREFFE_TEST_POSTGRES"); server != "" {
		u, err := url.Parse(server)
		if err != nil {
			b.Fatal(err)
		}
		q := u.Query()
		q.Set("search_path", "many_"+n)
		u.RawQuery = q.Encode()
		list["postgres"] = u.String()
	}
	return list
}

// BenchmarkManyPages is the server time of the pages over an index of many documents:
// each tab and filter of the queue, searches, the pages behind the first of both,
// documents. The mark is 50 ms at p99 with a million.
func BenchmarkManyPages(b *testing.B) {
	kept := keptIndexes(b)
	if kept == nil {
		b.Skip("GREFFE_BENCH_KEEP and GREFFE_BENCH_DOCUMENTS are not set")
	}
	for engine, dsn := range kept {
		b.Run(engine, func(b *testing.B) { manyPages(b, dsn) })
	}
}

// deepPages is how far a list is followed: with -benchtime 100x each page is read twice.
const deepPages = 50

// older is the address of the page after this one of a list; "" on the last.
func older(page *html.Node) string {
	for _, a := range find(page, ".paging a") {
		if attr(a, "rel") != "prev" {
			return attr(a, "href")
		}
	}
	return ""
}

func manyPages(b *testing.B, dsn string) {
	w := newWorldOn(b, dsn, func(c *Config) {
		for n := range 20 {
			c.Mailboxes = append(c.Mailboxes, fmt.Sprintf("%d@ch.example", n))
		}
		c.About = map[string]About{"3@ch.example": {Service: "Cardiologie", Folders: []string{"INBOX", "INBOX/Dr Martin"}}, "4@ch.example": {Service: "Radiologie"}, "5@ch.example": {Service: "Cardiologie"}}
	})
	for login, u := range map[string]index.User{"mille": {Role: "secretary", Places: []string{"3@ch.example", "4@ch.example"}}, "tout": {Role: "auditor", Places: []string{index.Everywhere}}} {
		u.Login, u.Name, u.Hash = login, login, hashed()
		if err := w.db.SaveUser(b.Context(), u); err != nil {
			b.Fatal(err)
		}
	}
	secretary, auditor := w.as("mille"), w.as("tout")
	first, _, err := w.db.Documents(b.Context(), index.DocumentFilter{Places: []string{"3@ch.example"}, Limit: 1})
	if err != nil || len(first) == 0 {
		b.Fatal("no documents", err)
	}
	type look struct {
		name string
		v    *visitor
		path string
		deep bool // each turn is the next page, and after deepPages of them the first again
	}
	// filtered asks for a filter by its form, as the page does; none of it may be dropped.
	filtered := func(v *visitor, form url.Values) string {
		to := v.post("/file", form).Header.Get("Location")
		u, err := url.Parse(to)
		if err != nil {
			b.Fatal(err)
		}
		for name := range form {
			if q := u.Query(); name != "texte" && q.Get(name) != form.Get(name) || name == "texte" && q.Get("q") == "" {
				b.Fatalf("the filter %v is not in %s", form, to)
			}
		}
		return to
	}
	document := "/documents/" + string(first[0].ID)
	looks := []look{{"document", secretary, document, false}, {"document beside its list", secretary, document + "?etat=tous", false}, {"message", secretary, "/messages/" + string(first[0].Message), false}}
	for _, v := range []*visitor{secretary, auditor} {
		who := map[*visitor]string{secretary: "secretary", auditor: "auditor"}[v]
		looks = append(looks, look{who + ", all", v, "/file", false}, look{who + ", all, deep", v, "/file", true})
		for _, t := range tabs {
			looks = append(looks, look{who + ", tab " + t.Slug, v, "/file?etat=" + t.Slug, false})
		}
		for name, form := range map[string]url.Values{
			"cause": {"etat": {todoTab}, "motif": {string(greffe.CauseNoINS)}}, "type": {"type": {"11502-2"}}, "rare type": {"type": {"34133-9"}}, "sender": {"exp": {greffe.MailboxKey("sender77@cabinet.example")}},
			"age": {"age": {"plus-30"}}, "text": {"texte": {"martin"}}, "text, short": {"texte": {"ma"}}, "text, two words": {"texte": {"compte mart"}}, "text in a tab": {"etat": {"integre"}, "texte": {"martin"}},
			"text in what waits": {"etat": {todoTab}, "texte": {"mar"}}, "all of it": {"etat": {"integre"}, "type": {"11488-4"}, "exp": {greffe.MailboxKey("sender77@cabinet.example")}, "age": {"plus-30"}, "texte": {"ma"}},
			"mailbox": {"bal": {greffe.MailboxKey("3@ch.example")}}, "sub-folder": {"bal": {greffe.MailboxKey("3@ch.example/INBOX")}}, "empty sub-folder": {"bal": {greffe.MailboxKey("3@ch.example/INBOX/Dr Martin")}},
			"service": {"service": {greffe.MailboxKey("Cardiologie")}}, "for me": {"etat": {todoTab}, "quoi": {"moi"}}, "later": {"etat": {todoTab}, "quoi": {"plus-tard"}},
		} {
			looks = append(looks, look{who + ", filter " + name, v, filtered(v, form), false})
		}
		for name, form := range map[string]url.Values{"tab": {"etat": {"integre"}}, "type": {"type": {"11488-4"}}, "mailbox": {"bal": {greffe.MailboxKey("3@ch.example")}}, "text": {"texte": {"ma"}}} {
			looks = append(looks, look{who + ", filter " + name + ", deep", v, filtered(v, form), true})
		}
		for name, form := range map[string]url.Values{"received": {"du": {"01/03/2025"}}, "name": {"nom": {"ma"}}, "name and type": {"nom": {"ma"}, "type": {"11488-4"}}} {
			looks = append(looks, look{who + ", search " + name + ", deep", v, v.post("/recherche", form).Header.Get("Location"), true})
		}
		for name, form := range map[string]url.Values{
			"INS": {"ins": {"2000000000123"}}, "name and birth date": {"nom": {"ma"}, "naissance": {"12/06/1950"}}, "name": {"nom": {"martin"}}, "short name": {"nom": {"ma"}}, "received": {"du": {"01/03/2025"}, "au": {"08/03/2025"}},
			"dated": {"date-du": {"01/03/2025"}, "date-au": {"08/03/2025"}}, "archived": {"archive-du": {"01/03/2025"}}, "sender": {"expediteur": {"sender77"}}, "type": {"type": {"18748-4"}}, "state": {"etat": {"doublon"}},
			"Message-ID": {"message-id": {"m4711@cabinet.example"}}, "sender and type that never meet": {"expediteur": {"sender0@cabinet.example"}, "type": {"18748-4"}},
			"name and type": {"nom": {"martin"}, "type": {"18748-4"}}, "all of it": {"nom": {"ma"}, "expediteur": {"cabinet"}, "type": {"11488-4"}, "format": {"cda-n1"}, "etat": {"integre"}, "date-du": {"01/01/2025"}, "archive-au": {"01/01/2026"}},
		} {
			looks = append(looks, look{who + ", search " + name, v, v.post("/recherche", form).Header.Get("Location"), false})
		}
	}
	u := secretary.get("/compte").Request.URL
	for _, l := range looks {
		b.Run(l.name, func(b *testing.B) {
			var took []time.Duration
			path, page, deepest := l.path, 1, 1
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), "GET", path, nil)
				for _, c := range l.v.Jar.Cookies(u) {
					r.AddCookie(c)
				}
				rec := httptest.NewRecorder()
				from := time.Now()
				w.console.Handler().ServeHTTP(rec, r)
				took = append(took, time.Since(from))
				if rec.Code != http.StatusOK {
					b.Fatal(path, rec.Code)
				}
				if !l.deep {
					continue
				}
				page, path = page+1, older(parse(b, rec.Body.String()))
				if path == "" || page > deepPages {
					path, page = l.path, 1
				}
				deepest = max(deepest, page)
			}
			slices.Sort(took)
			if l.deep {
				b.ReportMetric(float64(deepest), "pages")
			}
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
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

// BenchmarkLiveOnScreen is the time from the event of a changed state to the change on the
// screen of somebody who has the queue open, in a real browser (GREFFE_TEST_CHROMIUM).
// Mark: 1 s.
func BenchmarkLiveOnScreen(b *testing.B) {
	w := newWorld(b)
	a := w.receive(mail{subject: "Compte rendu", docs: []doc{{facts: cda1("1", 1, "Compte rendu", maelle), bytes: []byte("<a/>"), body: reportPDF("CR")}}})
	s := w.screen(b)
	s.login("claire")
	s.open("/file")
	line := `document.getElementById("m-` + string(a.ID) + `")`
	s.wait("the line", line)
	// The page notes the moment itself: what the test would add by asking is not measured.
	s.run(`new MutationObserver(() => requestAnimationFrame(() => { window.changedAt = Date.now(); window.seen = ` + line + `.dataset.state; })).observe(document.getElementById("lignes"), { subtree: true, childList: true, attributes: true })`)
	states := []greffe.State{greffe.StateWaiting, greffe.StateRefused}
	var took []time.Duration
	for n := 0; b.Loop(); n++ {
		to := states[n%2]
		from := time.Now()
		w.outcome(a, 0, greffe.Outcome{State: to, Code: fmt.Sprint(n), Text: "Essai."})
		s.wait("the change", `window.seen === "`+string(to)+`"`)
		at, err := strconv.ParseInt(s.eval(`String(window.changedAt)`), 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, time.UnixMilli(at).Sub(from))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Milliseconds()), "p99-ms")
}
