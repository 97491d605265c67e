package console

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// TestAPIAnswers gives out the sample messages, in every state, and holds each answer
// against the description.
func TestAPIAnswers(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(c *Config) {
		c.About = map[string]About{cardio: {Service: "3435 Cardiologie", Folders: []string{"INBOX", "INBOX/Dr Martin"}, Kind: "organisational", Responsible: "Dr Yvon MARTEL"}}
	})
	samples := sampleMail()
	for _, m := range samples {
		w.receive(m)
	}
	s := w.script("auditor", index.Everywhere)
	var page apiPage
	seen := map[greffe.MessageID]bool{}
	for next := ""; ; {
		page = apiPage{}
		s.must(http.StatusOK, &page, "GET", "/api/v1/queue?limit=7&cursor="+next, nil)
		for _, row := range page.Items {
			if seen[row.ID] {
				t.Errorf("%s comes twice", row.ID)
			}
			seen[row.ID] = true
			var m apiMail
			a := s.must(http.StatusOK, &m, "GET", "/api/v1/messages/"+string(row.ID), nil)
			if m.State != row.State || len(m.Documents) != len(row.Documents) || len(m.Allowed) > 0 {
				t.Errorf("%+v, in the list %+v", m, row)
			}
			if again := s.ask("GET", "/api/v1/messages/"+string(row.ID), nil, "If-None-Match", a.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
				t.Errorf("a message that did not change: status %d", again.StatusCode)
			}
			s.must(http.StatusOK, nil, "GET", "/api/v1/messages/"+string(row.ID)+"/history", nil)
			for _, d := range row.Documents {
				s.must(http.StatusOK, nil, "GET", "/api/v1/documents/"+string(d), nil)
				s.must(http.StatusOK, nil, "GET", "/api/v1/documents/"+string(d)+"/history", nil)
			}
		}
		if next = page.Next; next == "" {
			break
		}
	}
	if len(seen) != len(samples) {
		t.Errorf("%d messages, %d samples", len(seen), len(samples))
	}
	total := 0
	for _, c := range page.Tabs[1:] {
		var one apiPage
		s.must(http.StatusOK, &one, "GET", "/api/v1/queue?limit=200&tab="+c.Key, nil)
		if len(one.Items) != c.Count {
			t.Errorf("tab %s: %d items, counted %d", c.Key, len(one.Items), c.Count)
		}
		total += c.Count
	}
	if total < len(samples) || page.Tabs[0].Count != len(samples) {
		t.Errorf("the tabs count %d and %d", page.Tabs[0].Count, total)
	}
	// Filters by what the choices say; others are refused, not dropped.
	var choices apiQueueChoices
	s.must(http.StatusOK, &choices, "GET", "/api/v1/queue/choices", nil)
	if len(choices.Mailboxes) != 4 || len(choices.Services) != 1 || len(choices.Types) == 0 || len(choices.Senders) == 0 {
		t.Errorf("%+v", choices)
	}
	for _, q := range []string{"mailbox=" + choices.Mailboxes[0].Key, "service=" + choices.Services[0].Key, "type=" + choices.Types[0].Key, "sender=" + choices.Senders[0].Key, "age=7", "tab=a-traiter&cause=unknown", "tab=a-traiter&which=moi"} {
		s.must(http.StatusOK, nil, "GET", "/api/v1/queue?"+q, nil)
	}
	for field, q := range map[string]string{"mailbox": "mailbox=x", "tab": "tab=x", "cause": "cause=unknown", "age": "age=3", "service": "service=x", "sender": "sender=x", "limit": "limit=1000", "page": "page=2", "text": "text=kervella", "cursor": "cursor=x"} {
		if p := s.refused(http.StatusUnprocessableEntity, "fields", "GET", "/api/v1/queue?"+q, nil); p.Fields[field] == "" {
			t.Errorf("%s: %+v", q, p)
		}
	}
	// By words, and by patient; the newest first, page by page.
	s.must(http.StatusOK, &page, "POST", "/api/v1/queue/search", map[string]any{"text": "kervella échographie", "limit": 3})
	if len(page.Items) != 1 {
		t.Errorf("%d messages with the words", len(page.Items))
	}
	var found apiFoundPage
	n := 0
	for next := ""; ; {
		found = apiFoundPage{}
		q := map[string]any{"ins": maelle.INS.Extension, "limit": 2}
		if next != "" {
			q["cursor"] = next
		}
		s.must(http.StatusOK, &found, "POST", "/api/v1/search", q)
		for _, d := range found.Items {
			if n++; d.Patient.INS != maelle.INS {
				t.Errorf("%+v", d)
			}
		}
		if next = found.Next; next == "" {
			break
		}
	}
	if n < 3 {
		t.Errorf("%d documents of the patient", n)
	}
	s.must(http.StatusOK, &found, "POST", "/api/v1/search", map[string]any{"name": "essai kerv", "birth_date": "1985-02-14", "from": "2020-01-01", "to": time.Now().In(paris).Format(time.DateOnly)})
	if len(found.Items) == 0 {
		t.Error("nobody found by name and birth date")
	}
	for field, q := range map[string]map[string]any{"query": {}, "ins": {"ins": "12"}, "name": {"name": "x"}, "birth_date": {"birth_date": "hier"}, "limit": {"name": "essai", "limit": 201}, "cursor": {"name": "essai", "cursor": "x"}} {
		if p := s.refused(http.StatusUnprocessableEntity, "fields", "POST", "/api/v1/search", q); p.Fields[field] == "" {
			t.Errorf("%s: %+v", field, p)
		}
	}
	var log apiEntries
	s.must(http.StatusOK, &log, "POST", "/api/v1/journal/search", map[string]any{"actor": s.token.Actor(), "limit": 5})
	if len(log.Items) != 5 || log.Next != log.Items[4].Seq {
		t.Fatalf("%+v", log)
	}
	before := log.Next
	s.must(http.StatusOK, &log, "POST", "/api/v1/journal/search", map[string]any{"actor": s.token.Actor(), "limit": 5, "before": before})
	if len(log.Items) != 5 || log.Items[0].Seq >= before {
		t.Errorf("%+v", log)
	}
	s.refused(http.StatusUnprocessableEntity, "fields", "POST", "/api/v1/journal/search", map[string]any{"from": "hier"})
}

// TestAPIHealth: how the machine goes, without a message, a document or a person's name in it.
func TestAPIHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.db.ConfigureDIs(t.Context(), []string{"dpi"}, nil); err != nil {
		t.Fatal(err)
	}
	a := w.refusedDocument(1, cardio, "", "Confidentiel")
	w.say(bus.Standing{Service: "parser", Instance: "srv-greffe", Since: time.Now().Add(-time.Hour), Trouble: "Antivirus injoignable : vérifier que clamd fonctionne."})
	s := w.script("admin")
	var h apiState
	s.must(http.StatusOK, &h, "GET", "/api/v1/health", nil)
	if h.Status != "trouble" || len(h.Mailboxes) != 2 || len(h.DIs) != 1 || len(h.States) != len(greffe.States) || !strings.Contains(fmt.Sprint(h.Services), "Antivirus injoignable") {
		t.Errorf("%+v", h)
	}
	for _, b := range h.Mailboxes {
		if b.Address == cardio && b.Todo != 1 {
			t.Errorf("%+v", b)
		}
	}
	text := s.must(http.StatusOK, nil, "GET", "/api/v1/health", nil).body
	for _, never := range []string{"KERVELLA", "Confidentiel", maelle.INS.Extension} {
		if strings.Contains(text, never) {
			t.Errorf("it holds %q", never)
		}
	}
	for _, p := range []string{"/api/v1/messages/" + string(a.ID), "/api/v1/documents/" + string(a.Documents[0]) + "/content", "/api/v1/queue"} {
		s.refused(http.StatusForbidden, "forbidden", "GET", p, nil)
	}
}

// TestAPIBytes: the bytes are those that were received, whole or in part, with their
// digest; what is not safe is for auditors who ask for it; what was changed is not given.
func TestAPIBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := bytes.Repeat([]byte("<ligne>0123456789</ligne>\n"), 1000)
	suspect := cda1("2", 1, "Facture", maelle)
	suspect.Findings = []greffe.Finding{{Rule: "antivirus.found", Severity: greffe.Hold, Where: "2", Text: "Pièce suspecte."}}
	a := w.receive(mail{subject: "x", body: "texte", docs: []doc{{facts: cda1("1", 1, "Lettre", maelle), bytes: body, body: reportPDF("a")}}})
	m := w.receive(mail{subject: "y", docs: []doc{{facts: suspect, bytes: []byte("<m/>"), outcomes: []greffe.Outcome{{State: greffe.StateTodo}}}}})
	s, paul := w.script("secretary", cardio), w.script("auditor", index.Everywhere)
	at := "/api/v1/documents/" + string(a.Documents[0])
	whole := s.must(http.StatusOK, nil, "GET", at+"/content", nil)
	if whole.body != string(body) || whole.Header.Get("Repr-Digest") != reprDigest(greffe.DigestOf(body)) || whole.Header.Get("Content-Type") != "text/xml" ||
		!strings.HasPrefix(whole.Header.Get("Content-Disposition"), "attachment") || !strings.Contains(whole.Header.Get("Content-Security-Policy"), "sandbox") || whole.Header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("%d bytes, %v", len(whole.body), whole.Header)
	}
	part := s.must(http.StatusPartialContent, nil, "GET", at+"/content", nil, "Range", "bytes=100-199")
	if part.body != string(body[100:200]) || part.Header.Get("Repr-Digest") != whole.Header.Get("Repr-Digest") || part.Header.Get("Content-Range") != fmt.Sprintf("bytes 100-199/%d", len(body)) {
		t.Errorf("%q %v", part.body, part.Header)
	}
	s.must(http.StatusOK, nil, "GET", at+"/content", nil, "Range", "bytes=0-9", "If-Range", `"another"`)
	s.must(http.StatusRequestedRangeNotSatisfiable, nil, "GET", at+"/content", nil, "Range", "bytes=9999999-")
	s.must(http.StatusNotModified, nil, "GET", at+"/content", nil, "If-None-Match", whole.Header.Get("ETag"))
	if head := s.must(http.StatusOK, nil, "HEAD", at+"/content", nil); head.ContentLength != int64(len(body)) || head.body != "" {
		t.Errorf("HEAD: %d bytes", head.ContentLength)
	}
	if pdf := s.must(http.StatusOK, nil, "GET", at+"/readable", nil); !strings.HasPrefix(pdf.body, "%PDF-") || pdf.Header.Get("Content-Type") != "application/pdf" {
		t.Errorf("%.20q %s", pdf.body, pdf.Header.Get("Content-Type"))
	}
	if raw := s.must(http.StatusOK, nil, "GET", "/api/v1/messages/"+string(a.ID)+"/original", nil); !strings.HasPrefix(raw.body, "From: ") {
		t.Errorf("%.50q", raw.body)
	}
	if text := s.must(http.StatusOK, nil, "GET", "/api/v1/messages/"+string(a.ID)+"/parts/0", nil); text.body != "texte" {
		t.Errorf("%.50q", text.body)
	}
	for _, n := range []string{"99", "-1", "x", "99999999999999999999"} {
		s.refused(http.StatusNotFound, "not-found", "GET", "/api/v1/messages/"+string(a.ID)+"/parts/"+n, nil)
	}
	s.refused(http.StatusNotFound, "not-found", "GET", "/api/v1/documents/"+string(m.Documents[0])+"/readable", nil)

	bad := "/api/v1/documents/" + string(m.Documents[0]) + "/content"
	s.refused(http.StatusForbidden, "suspect", "GET", bad, nil)
	s.refused(http.StatusForbidden, "suspect", "GET", bad+"?evidence=true", nil)
	paul.refused(http.StatusForbidden, "suspect", "GET", bad, nil)
	if e := paul.must(http.StatusOK, nil, "GET", bad+"?evidence=true", nil); e.body != "<m/>" || !strings.Contains(e.Header.Get("Content-Disposition"), ".suspect") || e.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%q %v", e.body, e.Header)
	}
	if !w.journalled(s.token.Actor(), "denied", string(m.Documents[0]), "refused") || !w.journalled(paul.token.Actor(), "downloaded", string(m.Documents[0]), "ok") {
		t.Error("not in the journal")
	}
	w.spoil(archive.ContentKey(greffe.DigestOf(body)))
	s.refused(http.StatusInternalServerError, "damaged", "GET", at+"/content", nil)
	if !w.journalled(s.token.Actor(), "integrity", string(a.Documents[0]), "refused") {
		t.Error("the damage is not in the journal")
	}
}

// TestAPILimits: size, rate, form and method of what is asked.
func TestAPILimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.script("auditor", index.Everywhere)
	s.refused(http.StatusRequestEntityTooLarge, "too-large", "POST", "/api/v1/search", []byte(`{"name":"`+strings.Repeat("a", maxBody)+`"}`))
	for _, body := range []string{"", "{", "[]", `"x"`, `{"name":1}`, `{"nom":"x"}`, `{"name":"essai"}{}`, `{"name":"essai"} x`, strings.Repeat("[", 20000)} {
		s.refused(http.StatusBadRequest, "request", "POST", "/api/v1/search", []byte(body))
	}
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ";"} {
		s.refused(http.StatusUnsupportedMediaType, "media-type", "POST", "/api/v1/search", []byte(`{"name":"essai"}`), "Content-Type", media)
	}
	for _, method := range []string{"DELETE", "PUT", "PATCH", "OPTIONS"} {
		a := s.do(method, "/api/v1/search", nil, "Authorization", "Bearer "+s.secret)
		if a.StatusCode != http.StatusMethodNotAllowed || a.Header.Get("Allow") != "POST" || a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: status %d, Allow %q", method, a.StatusCode, a.Header.Get("Allow"))
		}
	}
	for _, p := range []string{"/api/", "/api/v1", "/api/v2/queue", "/api/v1/queue/", "/api/v1/messages/", "/api/v1/messages/x", "/api/v1/documents/" + strings.Repeat("0", 26) + "-1", "/api/v1/messages/%00", "/api/v1/messages/..%2f..%2fetc", "/api/v1/documents/%2e%2e"} {
		if a := s.get(p, "Authorization", "Bearer "+s.secret); a.StatusCode != http.StatusNotFound || a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: status %d, %s", p, a.StatusCode, a.Header.Get("Content-Type"))
		}
	}
	// A page of another site gets nothing, whatever it knows.
	if a := s.do("POST", "/api/v1/search", strings.NewReader(`{"name":"essai"}`), "Content-Type", "application/json", "Authorization", "Bearer "+s.secret, "Origin", "https://ailleurs.example"); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, `"cross-origin"`) {
		t.Errorf("from another site: status %d: %s", a.StatusCode, a.body)
	}
	// The rate, by a clock of the test.
	var r rates
	now := time.Now()
	n := 0
	for r.take("a", now) {
		n++
	}
	if n != apiBurst || !r.take("b", now) || r.take("a", now.Add(time.Millisecond)) || !r.take("a", now.Add(time.Second)) {
		t.Errorf("%d at once", n)
	}
	flood := w.script("auditor", index.Everywhere)
	many := 0
	for range 3 * apiBurst {
		if a := flood.get("/api/v1/queue?limit=1", "Authorization", "Bearer "+flood.secret); a.StatusCode == http.StatusTooManyRequests {
			if many++; a.Header.Get("Retry-After") != "1" {
				t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
			}
			break
		}
	}
	t.Logf("told to wait: %d", many) // on a slow machine the script is not fast enough
}

// FuzzAPI sends what it likes to the routes that read something: never a panic, a 5xx or
// an answer that is not described.
func FuzzAPI(f *testing.F) {
	w := newWorld(f)
	a := w.refusedDocument(1, cardio, "", "Lettre")
	s := w.script("secretary", cardio)
	auditor := w.script("auditor", index.Everywhere)
	for _, c := range apiCalls {
		f.Add("", []byte(c.body))
	}
	f.Add("1763897640000.01M842XSG8TG43ZK2S45K854M4", []byte(`{"decision":"attach","revision":1,"patient":{"ins":"285022999907751","authority":"demo","birth_family":"É","first_given":"x","birth_date":"1985-02-14","sex":"F","birth_place":"2A004"},"confirmation":"14/02/1985"}`))
	f.Add("=x", []byte("{}"))
	f.Add("0.x", []byte(`{"decision":"later","revision":1,"until":"2026-12-01","undo":true}`))
	f.Add("99999999999999999999.0", []byte(`{"ins":"1","name":"\u0000","limit":-1,"from":"9999-99-99"}`))
	h := w.console.Handler()
	n := 0
	f.Fuzz(func(t *testing.T, query string, body []byte) {
		w.console.tokenRates = rates{}
		n++
		for _, c := range []struct {
			s            *script
			method, path string
		}{
			{s, "POST", "/api/v1/queue/search"}, {s, "POST", "/api/v1/search"}, {auditor, "POST", "/api/v1/journal/search"}, {s, "GET", "/api/v1/queue"},
			{s, "POST", "/api/v1/messages/" + string(a.ID) + "/decisions"}, {s, "POST", "/api/v1/documents/" + string(a.Documents[0]) + "/decisions"},
		} {
			r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, bytes.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+c.s.secret)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Idempotency-Key", fmt.Sprintf("cle-%d-%x", n, greffe.DigestOf([]byte(query))))
			if c.method == "GET" {
				r.URL.RawQuery = query
				q := r.URL.Query()
				q.Set("cursor", query)
				if n%2 == 0 {
					r.URL.RawQuery = q.Encode()
				}
			}
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			resp := rec.Result()
			resp.Request = r
			if resp.StatusCode >= 500 {
				t.Fatalf("%s: status %d: %s\n%s", c.path, resp.StatusCode, rec.Body, w.log)
			}
			theSpec().hold(t, c.method, c.path, answer{resp, rec.Body.String()})
		}
	})
}

// BenchmarkAPI measures the server time of a full page of the queue, and of a search, by
// script; the index here is small (its own benchmarks have the large ones).
func BenchmarkAPI(b *testing.B) {
	w := newWorld(b)
	for n := range rowsPerPage + 10 {
		w.receive(mail{subject: fmt.Sprint("Compte rendu ", n), ago: time.Duration(n) * time.Minute, docs: []doc{{facts: cda1(fmt.Sprint(n), 1, "Compte rendu", maelle), bytes: fmt.Appendf(nil, "<a n='%d'/>", n), body: reportPDF("CR")}}})
	}
	s := w.script("secretary", cardio)
	for _, c := range []struct{ name, method, path, body string }{{"queue", "GET", "/api/v1/queue", ""}, {"search", "POST", "/api/v1/search", `{"ins":"` + maelle.INS.Extension + `"}`}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w.console.tokenRates = rates{}
				r := httptest.NewRequestWithContext(b.Context(), c.method, c.path, strings.NewReader(c.body))
				r.Header.Set("Authorization", "Bearer "+s.secret)
				r.Header.Set("Content-Type", "application/json")
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
