package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/hl7"
)

// DIConfig says what a demo record system (dossier informatisé) offers and knows.
type DIConfig struct {
	Name     string           // on its page, French; empty: a patient record
	MLLP     string           // host:port of the HL7 listener; empty: 127.0.0.1 and a free port
	MLLPS    string           // host:port of the HL7 listener over TLS, which asks for a client certificate; empty: the same
	Dir      string           // where the certificates of MLLPS are written; empty: there is no MLLPS
	HTTP     string           // host:port of the FHIR endpoint and the page; empty: the same
	Patients []greffe.Patient // known patients, by INS with their five strict traits
	// Fetch gets the documents of references; nil: a client with a time-out of 30 s.
	Fetch *http.Client
	Token string       // presented as bearer token when a document is fetched
	Log   *slog.Logger // nil: silent
}

// DI is a demo record system: HL7 v2.6 over MLLP, FHIR R4 over HTTP, and a page
// that shows what it received. It answers by the tables of the French volets:
// 900 when a replacement or deletion is not about the newest version, 901 when its
// author is another, 902 for an unknown patient, 903 without INS, 904 when a trait
// differs, 905 when one is missing. A message it accepted before is accepted
// again and changes nothing. What a person chooses on the page, or Obey and Behave
// say, goes before these tables. It keeps no document, only their digests, and all
// in memory. Its methods may be called at once.
type DI struct {
	mllp, mllps, http net.Listener // mllps may be nil
	ca, client        string       // PEM files of mllps
	name              string
	fetch             *http.Client
	token             string
	slog              *slog.Logger
	stop              context.CancelFunc
	done              sync.WaitGroup

	mu        sync.Mutex
	patients  map[string]greffe.Patient // by matricule and OID
	documents map[string]*DIDocument    // by number
	byID      map[string]*DIDocument    // by FHIR id
	accepted  map[string]string         // MSH-10 or FHIR identifier -> number
	log       []diLine                  // the newest last
	stats     DIStats
	messages  int
	behave    func(n int) DIBehaviour
	rule      DIRule
	left      int // messages that rule is still for
}

// DIDocument is what the demo record system knows of one document.
type DIDocument struct {
	Number   string // CDA id: root or root^extension
	ID       string // FHIR id
	Patient  greffe.Patient
	Type     string
	Parent   string // number of the document it replaced
	Replaced string // number of the document that replaced it
	Deleted  bool
	SHA256   greffe.Digest
	Size     int64
	At       time.Time

	author, organisation, title string
}

// Current reports whether it is neither replaced nor deleted.
func (d *DIDocument) Current() bool { return d.Replaced == "" && !d.Deleted }

// DIStats counts what happened.
type DIStats struct {
	Messages int            // received whole, whatever was answered
	New      int            // documents integrated for the first time
	Replaced int            // documents integrated in place of another
	Deleted  int            // documents withdrawn
	Repeats  int            // accepted again: nothing changed
	Refused  map[string]int // by application code, "900" to "906"
}

// StartDI starts a demo record system; Close ends it.
func StartDI(cfg DIConfig) (*DI, error) {
	listen := func(addr string) (net.Listener, error) {
		if addr == "" {
			addr = "127.0.0.1:0"
		}
		return net.Listen("tcp", addr)
	}
	mllp, err := listen(cfg.MLLP)
	if err != nil {
		return nil, fmt.Errorf("demo DI: %w", err)
	}
	web, err := listen(cfg.HTTP)
	if err != nil {
		mllp.Close()
		return nil, fmt.Errorf("demo DI: %w", err)
	}
	d := &DI{
		mllp: mllp, http: web, name: cmp.Or(cfg.Name, "Dossier informatisé de démonstration"), fetch: cfg.Fetch, token: cfg.Token, slog: cfg.Log,
		patients: map[string]greffe.Patient{}, documents: map[string]*DIDocument{},
		byID: map[string]*DIDocument{}, accepted: map[string]string{},
		stats: DIStats{Refused: map[string]int{}},
	}
	if d.fetch == nil {
		d.fetch = &http.Client{Timeout: 30 * time.Second}
	}
	if d.slog == nil {
		d.slog = slog.New(slog.DiscardHandler)
	}
	for _, p := range cfg.Patients {
		d.AddPatient(p)
	}
	if cfg.Dir != "" {
		if err := d.listenTLS(cfg.Dir, listen, cfg.MLLPS); err != nil {
			mllp.Close()
			web.Close()
			return nil, fmt.Errorf("demo DI: %w", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.stop = cancel
	d.done.Go(func() { hl7.Serve(ctx, mllp, d.receive) })
	if d.mllps != nil {
		d.done.Go(func() { hl7.Serve(ctx, d.mllps, d.receive) })
	}
	server := &http.Server{
		Handler: d.routes(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	d.done.Go(func() {
		if err := server.Serve(web); !errors.Is(err, http.ErrServerClosed) {
			web.Close()
		}
	})
	d.done.Go(func() {
		<-ctx.Done()
		server.Close()
	})
	return d, nil
}

// Close ends every connection and waits until all has stopped.
func (d *DI) Close() error {
	d.stop()
	d.done.Wait()
	d.fetch.CloseIdleConnections()
	return nil
}

// MLLPAddr returns host:port of the HL7 listener.
func (d *DI) MLLPAddr() string { return d.mllp.Addr().String() }

// HTTPAddr returns host:port of the FHIR endpoint and the page.
func (d *DI) HTTPAddr() string { return d.http.Addr().String() }

// FHIRBase returns the address of the FHIR service.
func (d *DI) FHIRBase() string { return "http://" + d.http.Addr().String() + "/fhir" }

// PageURL returns the address of the page.
func (d *DI) PageURL() string { return "http://" + d.http.Addr().String() + "/" }

// AddPatient makes a patient known, or replaces what is known of them.
func (d *DI) AddPatient(p greffe.Patient) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.patients[p.INS.String()] = p
}

// Stats returns the counts so far.
func (d *DI) Stats() DIStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stats
	s.Refused = maps.Clone(s.Refused)
	return s
}

// Documents returns what was integrated, in the order of its coming.
func (d *DI) Documents() []DIDocument {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]DIDocument, 0, len(d.documents))
	for _, doc := range d.documents {
		out = append(out, *doc)
	}
	slices.SortFunc(out, func(a, b DIDocument) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(a.Number, b.Number)
	})
	return out
}
