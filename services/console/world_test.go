package console

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

const (
	cardio   = "cardiologie@ch-exemple.mssante.example"
	radio    = "radiologie@ch-exemple.mssante.example"
	password = "un mot de passe solide"
	diToken1 = "jeton-du-dossier-0123456789"
	metrics1 = "jeton-des-mesures-0123456789"
)

// hash of password, computed once: argon2id is slow on purpose.
var hashed = sync.OnceValue(func() string {
	h, err := HashPassword(password)
	if err != nil {
		panic(err)
	}
	return h
})

// world is a console on a real index, archive and bus, with people.
type world struct {
	t       testing.TB
	dir     string
	store   archive.Store
	db      *index.DB
	bus     *bus.Bus
	console *Console
	server  *httptest.Server
	log     *safeBuffer
	uid     uint32
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newWorld(t testing.TB) *world { return newWorldWith(t, func(*Config) {}) }

// newWorldWith is newWorld with other settings.
func newWorldWith(t testing.TB, set func(*Config)) *world { return newWorldOn(t, "", set) }

// newWorldOn is newWorldWith on an index that is there; "": a new one.
func newWorldOn(t testing.TB, dsn string, set func(*Config)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), log: &safeBuffer{}}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	ctx := t.Context()
	var err error
	if w.store, err = archive.OpenDir(filepath.Join(w.dir, "archive"), time.Minute); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	if dsn == "" {
		dsn = filepath.Join(w.dir, "index.db")
	}
	if w.db, err = index.Open(ctx, dsn, log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	if w.bus, err = bus.Open(ctx, bus.Config{Dir: filepath.Join(w.dir, "bus")}, log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.bus.Close() })
	for _, u := range []index.User{
		{Login: "claire", Name: "Claire LEMAIRE", Role: "secretary", Places: []string{cardio}},
		{Login: "radio", Name: "Radia SECOND", Role: "secretary", Places: []string{radio}},
		{Login: "paul", Name: "Paul AUDIT", Role: "auditor", Places: []string{index.Everywhere}},
		{Login: "martin", Name: "Dr Zoé MARTIN", Role: "professional", Places: []string{cardio + "/INBOX/Dr Martin"}},
		{Login: "ott", Name: "Dr Éli OTT", Role: "professional", RPPS: "99900000011"},
		{Login: "root", Name: "Ada ADMIN", Role: "admin"},
		{Login: "audit-radio", Name: "Jo AUDIT", Role: "auditor", Places: []string{radio}},
		{Login: "nulle", Name: "Sans Boîte", Role: "secretary"},
		{Login: "parti", Name: "Ancien Agent", Role: "secretary", Disabled: true},
	} {
		u.Hash = hashed()
		if err := w.db.SaveUser(ctx, u); err != nil {
			t.Fatal(err)
		}
	}
	token := filepath.Join(w.dir, "di.token")
	if err := os.WriteFile(token, []byte(diToken1+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	metrics := filepath.Join(w.dir, "metrics.token")
	if err := os.WriteFile(metrics, []byte(metrics1+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{MetricsToken: metrics, Mailboxes: []string{cardio, radio}, Professionals: map[string][]string{"99900000011": {cardio + "/INBOX/Dr Ott"}}, DI: []DIAccess{{Name: "dpi", TokenFile: token}}, Version: "essai", Rules: someRules}
	set(&cfg)
	w.console, err = New(cfg, w.bus, w.store, w.db, log)
	if err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewServer(w.console.Handler())
	t.Cleanup(w.server.Close)
	run, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.console.Run(run) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return w
}

// visitor is a browser without scripts.
type visitor struct {
	w *world
	*http.Client
}

func (w *world) visitor() *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &http.Client{Jar: jar, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	w.t.Cleanup(c.CloseIdleConnections)
	return &visitor{w, c}
}

// as logs somebody in.
func (w *world) as(login string) *visitor {
	w.t.Helper()
	v := w.visitor()
	r := v.post("/connexion", url.Values{"login": {login}, "mot-de-passe": {password}})
	if r.StatusCode != http.StatusSeeOther {
		w.t.Fatalf("login of %s: status %d", login, r.StatusCode)
	}
	return v
}

// answer is a response read to its end.
type answer struct {
	*http.Response
	body string
}

func (v *visitor) do(method, path string, body io.Reader, header ...string) answer {
	v.w.t.Helper()
	r, err := http.NewRequestWithContext(v.w.t.Context(), method, v.w.server.URL+path, body)
	if err != nil {
		v.w.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := v.Do(r)
	if err != nil {
		v.w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		v.w.t.Fatal(err)
	}
	return answer{resp, string(b)}
}

func (v *visitor) get(path string, header ...string) answer {
	v.w.t.Helper()
	return v.do("GET", path, nil, header...)
}

func (v *visitor) post(path string, form url.Values) answer {
	v.w.t.Helper()
	return v.do("POST", path, strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
}

// page gets a page that must be there.
func (v *visitor) page(path string) *html.Node {
	v.w.t.Helper()
	a := v.get(path)
	if a.StatusCode != http.StatusOK {
		v.w.t.Fatalf("GET %s: status %d\n%s", path, a.StatusCode, a.body)
	}
	return parse(v.w.t, a.body)
}

func parse(t testing.TB, s string) *html.Node {
	t.Helper()
	n, err := html.Parse(strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// find returns the elements that a selector names: "tag", ".class", "#id" or
// "tag.class", several separated by blanks for descent.
func find(n *html.Node, selector string) []*html.Node {
	nodes := []*html.Node{n}
	for step := range strings.FieldsSeq(selector) {
		var next []*html.Node
		for _, from := range nodes {
			for d := range from.Descendants() {
				if d.Type == html.ElementNode && matches(d, step) {
					next = append(next, d)
				}
			}
		}
		nodes = next
	}
	return nodes
}

func matches(n *html.Node, step string) bool {
	if id, ok := strings.CutPrefix(step, "#"); ok {
		return attr(n, "id") == id
	}
	tag, class, _ := strings.Cut(step, ".")
	if tag != "" && n.Data != tag {
		return false
	}
	if class == "" {
		return true
	}
	for c := range strings.FieldsSeq(attr(n, "class")) {
		if c == class {
			return true
		}
	}
	return false
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// text returns what a person reads in n, blanks collapsed.
func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// content is the text of the main landmark.
func content(n *html.Node) string { return text(find(n, "#contenu")[0]) }

// journal returns the newest entries.
func (w *world) journal() []index.Entry {
	w.t.Helper()
	e, err := w.db.Journal(w.t.Context(), 0, 200)
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

func (w *world) journalled(actor, action, subject, result string) bool {
	w.t.Helper()
	for _, e := range w.journal() {
		if e.Actor == actor && e.Action == action && e.Subject == subject && e.Result == result {
			return true
		}
	}
	return false
}

// put archives bytes and returns their object.
func (w *world) put(b []byte) greffe.Object {
	w.t.Helper()
	d := greffe.DigestOf(b)
	o, err := w.store.Put(w.t.Context(), archive.ContentKey(d), bytes.NewReader(b), int64(len(b)), d)
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// mail describes a message to be found in the index and the archive.
type mail struct {
	mailbox, folder string
	subject         string
	from            greffe.Address
	kind            greffe.MessageKind
	body            string
	ago             time.Duration
	findings        []greffe.Finding
	docs            []doc
	waiting         bool // received only: nothing parsed yet
}

type doc struct {
	facts    greffe.Document
	bytes    []byte
	body     []byte // file embedded in a level 1 CDA
	name     string
	copied   string // name of a PDF copy beside it
	outcomes []greffe.Outcome
}

// receive makes the message go through storage, as the services would, and publishes
// what they publish.
func (w *world) receive(m mail) greffe.Archived {
	w.t.Helper()
	ctx := w.t.Context()
	w.uid++
	if m.mailbox == "" {
		m.mailbox = cardio
	}
	if m.folder == "" {
		m.folder = "INBOX"
	}
	if m.kind == "" {
		m.kind = greffe.KindDelivery
	}
	if m.from.Address == "" {
		m.from = greffe.Address{Name: "Dr Yvon MARTEL", Address: "yvon.martel@cabinet-martel.example"}
	}
	at := time.Now().UTC().Add(-m.ago).Truncate(time.Second)
	raw := fmt.Appendf(nil, "From: %s\r\nSubject: essai %d\r\n\r\n%s", m.from.Address, w.uid, m.body)
	origin := greffe.Origin{Mailbox: m.mailbox, Folder: m.folder, UIDValidity: 7, UID: w.uid, InternalDate: at}
	id := greffe.NewMessageID(origin, greffe.DigestOf(raw))
	received := greffe.Received{ID: id, Origin: origin, Size: int64(len(raw)), SHA256: greffe.DigestOf(raw), At: at}
	rawObject, err := w.store.Put(ctx, archive.RawKey(id), bytes.NewReader(raw), int64(len(raw)), received.SHA256)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.db.SaveReceived(ctx, received, rawObject); err != nil {
		w.t.Fatal(err)
	}
	if m.waiting {
		return greffe.Archived{ID: id, Origin: origin}
	}
	p := greffe.Parsed{Received: received, Findings: m.findings, Verdict: greffe.VerdictOf(m.findings), At: at, Parser: "essai",
		Message: greffe.Message{Kind: m.kind, MessageIDs: []string{fmt.Sprintf("%d@cabinet.example", w.uid)}, Date: at, From: []greffe.Address{m.from},
			To: []greffe.Address{{Address: m.mailbox}}, Subject: m.subject, Body: m.body}}
	objects := map[string]greffe.Object{}
	if m.body != "" {
		objects["1"] = w.put([]byte(m.body))
		p.Parts = append(p.Parts, greffe.Part{Path: "1", Declared: "text/plain", Detected: "text/plain", Kind: greffe.PartText, Size: int64(len(m.body)), SHA256: greffe.DigestOf([]byte(m.body)), Verdict: greffe.VerdictIgnored, Reason: "Texte du message."})
	}
	for i, d := range m.docs {
		f := d.facts
		f.Part = fmt.Sprint(i + 2)
		objects[f.Part] = w.put(d.bytes)
		f.SHA256, f.Size = objects[f.Part].SHA256, objects[f.Part].Size
		kind := greffe.PartCDA
		if f.MediaType == "" {
			f.MediaType = "text/xml"
		}
		switch f.Format {
		case greffe.FormatPDF:
			kind = greffe.PartPDF
		case greffe.FormatText, greffe.FormatHPRIM:
			kind = greffe.PartText
		case greffe.FormatImage:
			kind = greffe.PartImage
		}
		part := greffe.Part{Path: f.Part, Name: d.name, Declared: f.MediaType, Detected: f.MediaType, Kind: kind, Size: f.Size, SHA256: f.SHA256, Verdict: greffe.VerdictOf(f.Findings), Findings: f.Findings}
		p.Parts = append(p.Parts, part)
		if d.body != nil {
			f.Body = f.Part + "#0"
			objects[f.Body] = w.put(d.body)
			p.Parts = append(p.Parts, greffe.Part{Path: f.Body, Detected: "application/pdf", Kind: greffe.PartPDF, Size: int64(len(d.body)), SHA256: objects[f.Body].SHA256, Verdict: greffe.VerdictOK})
		}
		if d.copied != "" {
			path := fmt.Sprint(len(m.docs) + 2 + i)
			file := reportPDF(d.copied)
			objects[path] = w.put(file)
			f.Twins = []string{path}
			p.Parts = append(p.Parts, greffe.Part{Path: path, Name: d.copied, Detected: "application/pdf", Kind: greffe.PartPDF, Size: int64(len(file)), SHA256: objects[path].SHA256,
				Verdict: greffe.VerdictIgnored, Reason: "version PDF du document", TwinOf: f.Part})
		}
		if f.Action == "" {
			f.Action = greffe.ActionNew
		}
		f.Verdict = greffe.VerdictOf(f.Findings)
		p.Documents = append(p.Documents, f)
	}
	manifest := []byte(`{"format":"greffe-manifest/1","n":` + fmt.Sprint(w.uid) + `}`)
	manifestObject, err := w.store.Put(ctx, archive.ManifestKey(id), bytes.NewReader(manifest), int64(len(manifest)), greffe.DigestOf(manifest))
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := w.db.SaveArchived(ctx, p, manifestObject, rawObject, objects)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := bus.Publish(ctx, w.bus, bus.Archived, a); err != nil {
		w.t.Fatal(err)
	}
	for i, d := range m.docs {
		for n, o := range d.outcomes {
			o.At = at.Add(time.Duration(n+1) * time.Minute)
			w.outcome(a, i, o)
		}
	}
	return a
}

// outcome records what became of document n (from 0) and publishes it.
func (w *world) outcome(a greffe.Archived, n int, o greffe.Outcome) {
	w.t.Helper()
	var first greffe.DocumentID
	if o.State == greffe.StateDuplicate {
		first = a.Documents[n]
	}
	state, err := w.db.SaveOutcome(w.t.Context(), a.Documents[n], o, first)
	if err != nil {
		w.t.Fatal(err)
	}
	e := greffe.Delivered{Document: a.Documents[n], Origin: a.Origin, Outcome: o, Message: state}
	if err := bus.Publish(w.t.Context(), w.bus, bus.Delivered, e); err != nil {
		w.t.Fatal(err)
	}
}
