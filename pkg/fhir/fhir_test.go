package fhir

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"greffe/pkg/greffe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var cda = []byte("<ClinicalDocument/>")

func submission() *Submission {
	sum := sha1.Sum(cda)
	ins := greffe.OID{Root: "1.2.250.1.213.1.4.10", Extension: "285022999907751"}
	return &Submission{
		UUID: "11111111-0000-8000-8000-000000000002", URL: "https://greffe.example/di/documents/X-1", SHA1: sum[:],
		At: time.Date(2026, 3, 14, 9, 15, 2, 0, time.UTC), SourceID: "1.2.250.1.999.2",
		Document: greffe.Document{
			UniqueID: greffe.OID{Root: "1.2.250.1.999.2.7.1002"}, MediaType: "text/xml", Size: int64(len(cda)),
			Type: greffe.Code{Code: "18748-4", System: "2.16.840.1.113883.6.1"}, Class: greffe.Code{Code: "31", System: "1.2.250.1.213.1.1.4.1"},
			Title: "CR d'imagerie médicale \",\"data\":\"\"", Language: "fr-FR", Created: "20260314093000+0100", ServiceStart: "20260314",
			Confidentiality: []greffe.Code{{Code: "N", System: "2.16.840.1.113883.5.25"}, {Code: "INVISIBLE_PATIENT", System: "1.2.250.1.213.1.1.4.13"}},
			Authors:         []greffe.Person{{ID: greffe.OID{Root: "1.2.250.1.71.4.2.1", Extension: "899900000011"}, Family: "MARTEL", Given: "Yvon"}, {Device: "Logiciel"}},
			Patient:         greffe.Patient{IDs: []greffe.OID{ins}, INS: ins, BirthFamily: "ESSAI-KERVELLA", FirstGiven: "MAELLE", Givens: "MAELLE ANNE", Sex: "F", BirthDate: "19850214"},
		},
	}
}

func TestReference(t *testing.T) {
	t.Parallel()
	s := submission()
	s.Replaces = "DocumentReference/4711"
	b, err := json.MarshalIndent(s.Reference(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got := string(b)
	for _, want := range []string{
		`"hash": "yFJl5qw7LWRXPdv1k9Xow4QRta4="`, // worked example of the house's notes
		`"size": 19`, `"creation": "2026-03-14T09:30:00+01:00"`, `"start": "2026-03-14"`, `"url": "https://greffe.example/di/documents/X-1"`,
		`"value": "urn:oid:1.2.250.1.999.2.7.1002"`, `"system": "http://loinc.org"`, `"code": "18748-4"`,
		`"system": "https://mos.esante.gouv.fr/NOS/TRE_A03-ClasseDocument/FHIR/TRE-A03-ClasseDocument"`,
		`"system": "urn:oid:1.2.250.1.213.1.1.4.13"`, `"code": "INVISIBLE_PATIENT"`, `"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"`,
		`"value": "285022999907751"`, `"reference": "#author1"`, `"display": "Logiciel"`, `"birthDate": "1985-02-14"`, `"gender": "female"`,
		`"reference": "DocumentReference/4711"`, `"code": "replaces"`, `"status": "current"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in %s", want, got)
		}
	}
	if id := Master(greffe.OID{Root: "1.2", Extension: "x"}); id.System != "urn:oid:1.2" || id.Value != "x" {
		t.Errorf("%+v", id)
	}
}

func TestInstant(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"20260314093000+0100": "2026-03-14T09:30:00+01:00", "20210409094914.827+0100": "2021-04-09T09:49:14+01:00",
		"202603140930-0400": "2026-03-14T09:30:00-04:00", "20260314093000": "2026-03-14", "20260314": "2026-03-14",
		"202603": "2026-03", "2026": "2026", "": "", "hier": "", "20261399": "", "-": "", "20260314+": "2026-03-14",
	} {
		if got := instant(in); got != want {
			t.Errorf("instant(%q) = %q, want %q", in, got, want)
		}
	}
}

// The transaction is valid JSON whose Binary is the content, whatever the title says.
func TestProvideStreamsTheContent(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 2, 3, 24<<10 - 1, 24 << 10, 100_001} {
		content := bytes.Repeat([]byte("é\x00<"), size/4+1)[:size]
		s := submission()
		s.Replaces = "DocumentReference/4711"
		tr := s.Provide(&Blob{Size: int64(size), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }})
		body, err := tr.body()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(body)
		if err != nil || int64(len(b)) != tr.size() {
			t.Fatalf("%d bytes, announced %d, %v", len(b), tr.size(), err)
		}
		var bundle Bundle
		if err := json.Unmarshal(b, &bundle); err != nil {
			t.Fatal(err)
		}
		kinds := ""
		for _, e := range bundle.Entry {
			kinds += e.Request.Method + " " + e.Request.URL + "; "
		}
		if kinds != "POST List; POST DocumentReference; PATCH DocumentReference/4711; POST Binary; " || ReadStatus(bundle.Entry[2].Resource) != "superseded" || tr.want != 4 || tr.reference != 1 {
			t.Errorf("entries %s", kinds)
		}
		var bin Binary
		if err := json.Unmarshal(bundle.Entry[3].Resource, &bin); err != nil {
			t.Fatal(err)
		}
		if got, err := base64.StdEncoding.DecodeString(bin.Data); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes of content differ: %v", size, err)
		}
		var ref DocumentReference
		if err := json.Unmarshal(bundle.Entry[1].Resource, &ref); err != nil || ref.Content[0].Attachment.URL != bundle.Entry[3].FullURL {
			t.Errorf("the attachment does not point at the Binary: %+v, %v", ref.Content, err)
		}
	}
	one, two := submission().Provide(nil), submission().Provide(nil)
	if !bytes.Equal(one.head, two.head) || one.want != 1 {
		t.Error("a repeat is not the same request")
	}
}

// server answers each request with f and gives a client of it.
func server(t *testing.T, f http.HandlerFunc) *Client {
	t.Helper()
	return serverWithin(t, time.Minute, f)
}

func serverWithin(t *testing.T, timeout time.Duration, f http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	c, err := New(Config{Base: s.URL + "/fhir", Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	long := func(w http.ResponseWriter, _ *http.Request) {
		w.Write(bytes.Repeat([]byte(" "), maxAnswer+1))
	}
	text := func(status int, body string, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	const warn = `{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"x","details":{"text":"PartialReplaceContentNotProcessed"}}]}`
	const failure = `{"resourceType":"OperationOutcome","issue":[{"severity":"fatal","code":"processing"}]}`
	response := func(entries ...string) string {
		return `{"resourceType":"Bundle","type":"transaction-response","entry":[` + strings.Join(entries, ",") + `]}`
	}
	const created = `{"response":{"status":"201 Created","location":"DocumentReference/9/_history/1"}}`
	for _, c := range []struct {
		name      string
		h         http.HandlerFunc
		bundle    bool
		location  string
		status    int // of *Error
		noAnswer  bool
		warnings  int
		retryback time.Duration
	}{
		{name: "created", h: text(201, "", "Location", "/fhir/DocumentReference/4711/_history/1"), location: "DocumentReference/4711"},
		{name: "created, absolute", h: text(201, "", "Location", "https://other.example/x/DocumentReference/4711"), location: "DocumentReference/4711"},
		{name: "existed, resource returned", h: text(200, `{"resourceType":"DocumentReference","id":"5"}`), location: "DocumentReference/5"},
		{name: "warning with success", h: text(200, warn, "Location", "DocumentReference/5"), location: "DocumentReference/5", warnings: 1},
		{name: "hostile location", h: text(201, warn, "Location", "DocumentReference/../../admin"), warnings: 1},
		{name: "success without anything", h: text(200, ""), noAnswer: true},
		{name: "success that is none", h: text(200, "<html>"), noAnswer: true},
		{name: "too long", h: long, noAnswer: true},
		{name: "created, and the whole document comes back", h: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "DocumentReference/8")
			w.WriteHeader(201)
			long(w, r)
		}, location: "DocumentReference/8"},
		{name: "success that is a failure", h: text(200, failure), status: 200},
		{name: "transaction that is a failure", bundle: true, h: text(200, failure), status: 200},
		{name: "refused", h: text(422, warn), status: 422},
		{name: "busy", h: text(503, "", "Retry-After", "7"), status: 503, retryback: 7 * time.Second},
		{name: "redirected", h: text(302, "", "Location", "http://elsewhere.example/"), status: 302},
		{name: "never answers", h: func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-r.Context().Done() }, noAnswer: true},
		{name: "hangs up", h: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, noAnswer: true},

		{name: "transaction", bundle: true, h: text(200, response(created)), location: "DocumentReference/9"},
		{name: "transaction with warning", bundle: true, h: text(200, response(`{"response":{"status":"200","location":"DocumentReference/9","outcome":`+warn+`}}`)), location: "DocumentReference/9", warnings: 1},
		{name: "an entry failed", bundle: true, h: text(200, response(`{"response":{"status":"422 x"}}`)), status: 422},
		{name: "an entry too many", bundle: true, h: text(200, response(created, created)), noAnswer: true},
		{name: "an entry without response", bundle: true, h: text(200, response(`{}`)), noAnswer: true},
		{name: "not a bundle", bundle: true, h: text(200, warn), noAnswer: true},
		{name: "nothing", bundle: true, h: text(200, ""), noAnswer: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			timeout := time.Minute
			if c.name == "never answers" {
				timeout = 300 * time.Millisecond
			}
			cl := serverWithin(t, timeout, c.h)
			var r Result
			var err error
			if c.bundle {
				r, err = cl.Provide(t.Context(), submission().Provide(nil))
			} else {
				r, err = cl.Create(t.Context(), submission().Create(nil))
			}
			var e *Error
			switch {
			case c.noAnswer:
				if !errors.Is(err, ErrNoAnswer) {
					t.Errorf("%+v, %v", r, err)
				}
			case c.status != 0:
				if !errors.As(err, &e) || e.Status != c.status || e.RetryAfter != c.retryback {
					t.Errorf("%+v, %v", r, err)
				}
			case err != nil || r.Location != c.location || len(r.Issues) != c.warnings:
				t.Errorf("%+v, %v", r, err)
			}
			if err != nil && strings.Contains(err.Error(), "PartialReplace") {
				t.Error("what the server wrote is in the error text")
			}
		})
	}
}

func TestRequestsCarryWhatTheyMust(t *testing.T) {
	t.Parallel()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var seen []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		seen = append(seen, fmt.Sprint(r.Method, " ", r.URL, " ", r.Header.Get("Authorization"), " ", r.Header.Get("If-None-Exist"), " ", len(b)))
		if strings.HasSuffix(r.URL.Path, "_search") {
			fmt.Fprint(w, `{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"DocumentReference","id":"7","masterIdentifier":{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.250.1.999.2.7.1002"}}},{"resource":{"resourceType":"DocumentReference","id":"8"}},{"resource":{"resourceType":"Patient","id":"p"}}]}`)
			return
		}
		w.Header().Set("Location", "DocumentReference/1")
		w.WriteHeader(http.StatusCreated)
	}))
	defer s.Close()
	c, err := New(Config{Base: s.URL + "/fhir", Token: token})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := t.Context()
	if _, err := c.Create(ctx, submission().Create(nil)); err != nil {
		t.Error(err)
	}
	if found, err := c.FindReferences(ctx, Master(submission().Document.UniqueID)); err != nil || len(found) != 1 || found[0].Location != "DocumentReference/7" {
		t.Errorf("%+v, %v", found, err)
	}
	if list, err := c.FindPatients(ctx, submission().Document.Patient.INS); err != nil || len(list) != 0 {
		t.Errorf("a patient without the INS is taken for it: %v, %v", list, err)
	}
	if _, err := c.SetStatus(ctx, "DocumentReference/7", "superseded", PatchFHIRPath); err != nil {
		t.Error(err)
	}
	want := []string{
		"POST /fhir/DocumentReference Bearer secret-1 identifier=urn%3Aietf%3Arfc%3A3986%7Curn%3Auuid%3A11111111-0000-8000-8000-000000000002",
		"POST /fhir/DocumentReference/_search Bearer secret-1 ", // nothing of the patient in an address
		"POST /fhir/Patient/_search Bearer secret-1 ",
		"PATCH /fhir/DocumentReference/7 Bearer secret-1 ",
	}
	for i, w := range want {
		if i >= len(seen) || !strings.HasPrefix(seen[i], w) {
			t.Errorf("request %d is %q, want %q", i, seen, w)
		}
	}
	os.Remove(token)
	if _, err := c.FindReferences(ctx, Identifier{System: "a", Value: "b"}); !errors.Is(err, ErrToken) {
		t.Errorf("without its token: %v", err)
	}
}

// An error of the content is the content's, and the server gets no whole request.
func TestBrokenContent(t *testing.T) {
	t.Parallel()
	broken := errors.New("digest differs")
	whole := make(chan bool, 2)
	c := server(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		whole <- err == nil
	})
	tr := submission().Provide(&Blob{Size: 1 << 20, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(io.LimitReader(zeros{}, 1<<19), failing{broken})), nil
	}})
	if _, err := c.Provide(t.Context(), tr); !errors.Is(err, broken) || errors.Is(err, ErrNoAnswer) {
		t.Errorf("err %v", err)
	}
	if <-whole {
		t.Error("the server got a whole request")
	}
	tr = submission().Provide(&Blob{Size: 1, Open: func() (io.ReadCloser, error) { return nil, broken }})
	if _, err := c.Provide(t.Context(), tr); !errors.Is(err, broken) {
		t.Errorf("err %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.FindReferences(ctx, Identifier{System: "a", Value: "b"}); !errors.Is(err, context.Canceled) {
		t.Errorf("err %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "dpi", "ftp://x/", "https://user:pw@x/", "https://x/?a=b"} {
		if _, err := New(Config{Base: base}); err == nil || strings.Contains(err.Error(), "pw") {
			t.Errorf("%q: %v", base, err)
		}
	}
	for in, want := range map[string]time.Duration{"": 0, "3": 3 * time.Second, "-1": 0, "99999": time.Hour, "x": 0,
		time.Now().Add(72 * time.Hour).UTC().Format(http.TimeFormat): time.Hour} {
		if got := retryAfter(in); got != want {
			t.Errorf("retryAfter(%q) = %s", in, got)
		}
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		metadata string
		search   int
		want     error
	}{
		"good":         {`{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1"}`, 200, nil},
		"R5":           {`{"resourceType":"CapabilityStatement","fhirVersion":"5.0.0"}`, 200, ErrVersion},
		"else":         {`{"resourceType":"Patient"}`, 200, ErrVersion},
		"lets none in": {`{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1"}`, 401, &Error{Status: 401}},
	} {
		cl := server(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				io.WriteString(w, c.metadata)
				return
			}
			w.WriteHeader(c.search)
			io.WriteString(w, `{"resourceType":"Bundle"}`)
		})
		err := cl.Ping(t.Context())
		if e, ok := errors.AsType[*Error](err); ok && c.want != nil && c.want.Error() == e.Error() {
			continue
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The words of a server reach a person with where it saw the fault; what is only a
// code stays one.
func TestIssueText(t *testing.T) {
	t.Parallel()
	for want, i := range map[string]Issue{
		"texte : détail (DocumentReference.type)": {Code: "value", Details: &Concept{Text: "texte"}, Diagnostics: "détail", Expression: []string{"DocumentReference.type"}},
		"libellé":   {Details: &Concept{Coding: []Coding{{Code: "1"}, {Display: "libellé"}}}},
		"détail":    {Diagnostics: "détail"},
		"same":      {Details: &Concept{Text: "same"}, Diagnostics: "same"},
		"not-found": {Code: "not-found", Details: &Concept{}},
	} {
		if got := i.Text(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A document of 100 MB goes through the client without being in memory.
func TestLargeDocumentIsStreamed(t *testing.T) {
	if testing.Short() {
		t.Skip("sends 100 MB three times")
	}
	const size = 100 << 20
	for name, send := range map[string]func(*Client, *Blob) error{
		"mhd":        func(c *Client, b *Blob) error { _, err := c.Provide(t.Context(), submission().Provide(b)); return err },
		"simplified": func(c *Client, b *Blob) error { _, err := c.Create(t.Context(), submission().Create(b)); return err },
	} {
		var most, got int64
		c := server(t, func(w http.ResponseWriter, r *http.Request) {
			var m runtime.MemStats
			buf := make([]byte, 1<<20)
			for n := 0; ; n++ {
				k, err := io.ReadFull(r.Body, buf)
				got += int64(k)
				if n%16 == 0 {
					runtime.ReadMemStats(&m)
					most = max(most, int64(m.HeapAlloc))
				}
				if err != nil {
					break
				}
			}
			w.Header().Set("Location", "DocumentReference/1")
			if name == "simplified" {
				w.WriteHeader(http.StatusCreated)
				return
			}
			io.WriteString(w, `{"resourceType":"Bundle","entry":[`+strings.Repeat(`{"response":{"status":"201"}},`, 2)+`{"response":{"status":"201"}}]}`)
		})
		var before runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		err := send(c, &Blob{Size: size, Open: func() (io.ReadCloser, error) { return io.NopCloser(io.LimitReader(zeros{}, size)), nil }})
		if err != nil || got < size/3*4 || most-int64(before.HeapAlloc) > 16<<20 {
			t.Errorf("%s: %d bytes sent with %d MB of memory, %v", name, got, (most-int64(before.HeapAlloc))>>20, err)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"x","details":{"coding":[{"display":"d"}]}}]}`), "DocumentReference/1/_history/2", "7")
	f.Add([]byte(`{"resourceType":"Bundle","entry":[{"response":{"status":"201"}}]}`), "http://x/a/B/c", "Wed, 21 Oct 2026 07:28:00 GMT")
	f.Fuzz(func(t *testing.T, b []byte, location, after string) {
		for _, i := range outcome(b).Issue {
			i.Text()
		}
		resourceType(b)
		c, err := New(Config{Base: "https://dpi.example/fhir"})
		if err != nil {
			t.Fatal(err)
		}
		if l := c.relative(location); l != "" {
			kind, id, _ := strings.Cut(l, "/")
			if !isType(kind) || !safeID(id) || id == ".." || strings.Contains(id, "/") {
				t.Errorf("relative(%q) = %q", location, l)
			}
		}
		if d := retryAfter(after); d < 0 || d > time.Hour {
			t.Errorf("retryAfter(%q) = %s", after, d)
		}
		instant(after)
		date(after)
		if path, _, err := c.within(location); err == nil && (strings.Contains(path, "..") || strings.ContainsAny(path, "?#%\\ ")) {
			t.Errorf("within(%q) = %q", location, path)
		}
		ReadStatus(b)
		readToken(http.StatusOK, b, http.Header{})
		var p Patient
		if json.Unmarshal(b, &p) == nil {
			p.candidate()
		}
	})
}
