package integrator

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/pkg/sandbox"
)

func TestMain(m *testing.M) {
	if orders := os.Getenv(envVictim); orders != "" {
		victim(orders)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).syncBlocks"))
}

const (
	rootINS    = "1.2.250.1.213.1.4.10"
	rootDoc    = "1.2.250.1.999.2.7"
	rootPerson = "1.2.250.1.71.4.2.1"
	box        = "greffe.radio@ch-test.example"
)

// patient is invented: the commune 29999 does not exist.
func patient() greffe.Patient {
	ins := greffe.OID{Root: rootINS, Extension: "285022999907751"}
	return greffe.Patient{IDs: []greffe.OID{ins}, INS: ins, BirthFamily: "ESSAI-KERVELLA", FirstGiven: "MAELLE",
		Givens: "MAELLE ANNE", Sex: "F", BirthDate: "19850214", BirthPlace: "29999"}
}

// document returns a correct level 1 document with number n.
func document(n int) greffe.Document {
	return greffe.Document{
		Format: greffe.FormatCDA1, UniqueID: greffe.OID{Root: fmt.Sprint(rootDoc, ".", n)}, Action: greffe.ActionNew, Version: 1,
		Type:    greffe.Code{Code: "18748-4", System: "2.16.840.1.113883.6.1", Label: "CR d'imagerie médicale"},
		Class:   greffe.Code{Code: "31", System: "1.2.250.1.213.1.1.4.1"},
		Title:   "CR d'imagerie médicale",
		Created: "20260314093000+0100", Language: "fr-FR",
		Authors:         []greffe.Person{{ID: greffe.OID{Root: rootPerson, Extension: "899900000011"}, Family: "MARTEL", Given: "Yvon"}},
		Confidentiality: []greffe.Code{{Code: "N", System: "2.16.840.1.113883.5.25"}},
		Patient:         patient(), Part: "2!4", MediaType: "text/xml", Verdict: greffe.VerdictOK,
	}
}

// size is about how long a document is, in bytes.
var size = 12_000

// text is the content of a document: different for each number.
func text(d greffe.Document) []byte {
	return []byte("<ClinicalDocument>" + d.UniqueID.String() + strings.Repeat(" lorem", size/6) + fmt.Sprint(d.Version, d.Action) + "</ClinicalDocument>")
}

// world is a bus, an archive, an index, a DI and an integrator between them.
type world struct {
	t     testing.TB
	bus   *bus.Bus
	store archive.Store
	db    *index.DB
	di    *sandbox.DI
	cfg   Config
	uid   atomic.Uint32
	stop  func()

	mu   sync.Mutex
	told []greffe.Delivered
	deaf bool // what is told is not kept
}

func testLog(t testing.TB) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// newWorld opens everything but the integrator. protocol is hl7v2, reference or mhd.
func newWorld(t testing.TB, protocol string) *world {
	return newWorldOn(t, protocol, premises{Bus: bus.Config{Dir: t.TempDir()}, Archive: t.TempDir(), Index: indexOf(t)})
}

// indexOf is where the index of a test is: in a file, or, for a benchmark with
// GREFFE_TEST_POSTGRES, in a schema of its own on that server.
func indexOf(t testing.TB) string {
	t.Helper()
	address := os.Getenv("GREFFE_TEST_POSTGRES")
	if _, measured := t.(*testing.B); !measured || address == "" {
		return t.TempDir() + "/index.db"
	}
	db, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	schema := "bench_" + strings.ToLower(rand.Text()[:12])
	if _, err := db.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.ExecContext(context.Background(), "DROP SCHEMA "+schema+" CASCADE"); err != nil {
			t.Error(err)
		}
		db.Close()
	})
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

// premises are where a world keeps what it knows.
type premises struct {
	Bus            bus.Config
	Archive, Index string
	DI             DI
}

func newWorldOn(t testing.TB, protocol string, at premises) *world {
	t.Helper()
	w := &world{t: t, stop: func() {}}
	var err error
	if w.bus, err = bus.Open(t.Context(), at.Bus, testLog(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.bus.Close() })
	if w.store, err = archive.OpenDir(at.Archive, time.Minute); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	if w.db, err = index.Open(t.Context(), at.Index, testLog(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	console := httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(console.Close)
	if w.di, err = sandbox.StartDI(sandbox.DIConfig{Patients: []greffe.Patient{patient()}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.di.Close() })
	w.cfg = Config{ConsoleURL: console.URL, DIs: []DI{target1(w.di, protocol)}, Retry: []time.Duration{50 * time.Millisecond, 100 * time.Millisecond}, Order: time.Millisecond}
	watch, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		bus.Consume(watch, w.bus, bus.Delivered, bus.Consumer{Name: "test-delivered"}, func(_ context.Context, d greffe.Delivered) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if !w.deaf {
				w.told = append(w.told, d)
			}
			return nil
		})
	})
	t.Cleanup(func() { w.stop(); cancel(); wg.Wait() })
	return w
}

// target1 is the configuration of the demo DI.
func target1(di *sandbox.DI, protocol string) DI {
	d := DI{Name: "dpi", Protocol: "hl7v2", MLLP: MLLP{Address: di.MLLPAddr(), Timeout: 10 * time.Second},
		Sending: "GREFFE^CH_TEST", Receiving: "DPI^CH_TEST", Processing: "T"}
	if protocol != "hl7v2" {
		d.Protocol = "fhir"
		d.FHIR = FHIR{Base: di.FHIRBase(), Mode: protocol, Timeout: 10 * time.Second, Deletion: "entered-in-error"}
	}
	return d
}

// serve is the console's endpoint for DIs: it gives the archived bytes.
func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	d, err := w.db.Document(r.Context(), greffe.DocumentID(strings.TrimPrefix(r.URL.Path, "/di/documents/")))
	if err != nil {
		http.NotFound(rw, r)
		return
	}
	f, err := w.store.Open(r.Context(), d.Object)
	if err != nil {
		http.Error(rw, "", http.StatusInternalServerError)
		return
	}
	defer f.Close()
	io.Copy(rw, f)
}

// run starts the integrator; w.stop ends it.
func (w *world) run() {
	w.t.Helper()
	i, err := New(w.cfg, w.bus, w.store, w.db, testLog(w.t))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- i.Run(ctx) }()
	var once sync.Once
	w.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				w.t.Error(err)
			}
		})
	}
}

// receive archives a message with these documents and publishes it.
func (w *world) receive(docs ...greffe.Document) []greffe.DocumentID {
	w.t.Helper()
	a := w.archive(docs...)
	if err := bus.Publish(w.t.Context(), w.bus, bus.Archived, a); err != nil {
		w.t.Fatal(err)
	}
	return a.Documents
}

func (w *world) archive(docs ...greffe.Document) greffe.Archived {
	w.t.Helper()
	ctx := w.t.Context()
	raw := []byte(fmt.Sprint("message ", w.uid.Load()))
	o := greffe.Origin{Mailbox: box, Folder: "INBOX", UIDValidity: 1, UID: w.uid.Add(1), InternalDate: time.Now().UTC()}
	p := greffe.Parsed{
		Received: greffe.Received{ID: greffe.NewMessageID(o, greffe.DigestOf(raw)), Origin: o, Size: int64(len(raw)), SHA256: greffe.DigestOf(raw), At: time.Now().UTC()},
		Message: greffe.Message{Kind: greffe.KindDelivery, MessageIDs: []string{fmt.Sprint(o.UID, "@cabinet.example")}, Subject: "CR", XDMMarker: true,
			From: []greffe.Address{{Address: "yvon.martel@cabinet.example"}}, Body: "Bonjour"},
		Verdict: greffe.VerdictOK, At: time.Now().UTC(),
	}
	put := func(key string, b []byte) greffe.Object {
		obj, err := w.store.Put(ctx, key, bytes.NewReader(b), int64(len(b)), greffe.DigestOf(b))
		if err != nil {
			w.t.Fatal(err)
		}
		return obj
	}
	objects := map[string]greffe.Object{}
	for n := range docs {
		d := &docs[n]
		d.Part = fmt.Sprint("2!", n)
		b := text(*d)
		d.SHA256, d.Size = greffe.DigestOf(b), int64(len(b))
		objects[d.Part] = put(archive.ContentKey(d.SHA256), b)
		p.Parts = append(p.Parts, greffe.Part{Path: d.Part, Kind: greffe.PartCDA, Size: d.Size, SHA256: d.SHA256, Verdict: greffe.VerdictOK})
	}
	p.Documents = docs
	rawObject := put(archive.RawKey(p.Received.ID), raw)
	a, err := w.db.SaveArchived(ctx, p, rawObject, rawObject, objects)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// decide publishes a person's decision.
func (w *world) decide(id greffe.DocumentID, verb greffe.Verb) {
	w.t.Helper()
	d := greffe.Decided{ID: fmt.Sprint("decision-", w.uid.Add(1)), Document: id, Verb: verb, Reason: "vu avec le service", By: "secretaire", At: time.Now().UTC()}
	if err := bus.Publish(w.t.Context(), w.bus, bus.Decided, d); err != nil {
		w.t.Fatal(err)
	}
}

// becomes waits until the document is in the state, and returns it.
func (w *world) becomes(id greffe.DocumentID, state greffe.State) index.Document {
	w.t.Helper()
	return w.until(id, func(d index.Document) bool { return d.State == state }, string(state))
}

func (w *world) until(id greffe.DocumentID, good func(index.Document) bool, what string) index.Document {
	w.t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		d, err := w.db.Document(w.t.Context(), id)
		if err != nil {
			w.t.Fatal(err)
		}
		if good(d) {
			return d
		}
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("document is %q (%s %s), want %q", d.State, d.Outcome.Code, d.Reason, what)
		}
	}
}

// tellings waits until n outcomes of the document were published, and returns
// their states.
func (w *world) tellings(id greffe.DocumentID, n int) []greffe.State {
	w.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		var out []greffe.State
		w.mu.Lock()
		for _, d := range w.told {
			if d.Document == id {
				out = append(out, d.Outcome.State)
			}
		}
		w.mu.Unlock()
		if len(out) >= n {
			return out
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			w.t.Fatalf("told %v, want %d", out, n)
		}
	}
}
