// Package console is where the hospital works with Greffe: the queue of processed
// messages, the documents, the search and the journal, as pages in French for
// secretaries and auditors, the state of the machine for administrators, and the
// endpoint from which a record system fetches the documents it was given a
// reference to. What the pages do, scripts do by a JSON API with tokens
// (api/openapi.yaml).
//
// It reads the index and the archive and writes neither: a person's decision is an
// event on the bus (bus.Decided) like any other, and every look is an entry of the
// journal. Who may do what is one table (routes.go); a secretary only ever sees
// the mailboxes she was given.
//
// Third-party code: github.com/alexedwards/scs/v2 for server-side sessions (renewal
// at login, idle and absolute expiry, kept in the index), golang.org/x/crypto/argon2
// for passwords (argon2id, RFC 9106), golang.org/x/text/encoding/charmap for texts in
// Windows-1252, github.com/coreos/go-oidc/v3 and golang.org/x/oauth2 for OpenID Connect
// (discovery, keys, signatures), rsc.io/qr for the picture of a second factor,
// golang.org/x/sync/errgroup to watch several topics as one,
// github.com/prometheus/client_golang for /metrics in the formats that collectors read. Pages are html/template; style, icons and
// scripts are our own files, embedded, and nothing is fetched from outside.
package console

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/alexedwards/scs/v2"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// Config says where the console listens and how it is reached. The zero value of
// each duration is a safe default.
type Config struct {
	Listen    string // address and port; empty: no listener, Handler alone is used
	PublicURL string // as people type it, for example https://greffe.ch-exemple.fr; empty: any
	Secure    bool   // cookies only over HTTPS: set it whenever people reach the console by HTTPS

	Certificate string // path of a PEM file; empty: plain HTTP, for a loop-back or behind a proxy
	Key         string // path of a PEM file

	// Proxies are the reverse proxies whose X-Forwarded-For is believed; a
	// request from anywhere else is journalled with the address it came from.
	Proxies []netip.Prefix

	IdleTimeout time.Duration    // a session in which nothing is done is locked after it; 0 means 10 minutes
	Lifetime    time.Duration    // a session ends after it in any case; 0 means 12 hours
	Mailboxes   []string         // addresses offered in the filter of the queue
	Services    []string         // that are missed when they say nothing, besides the reading and the mailboxes: "storage", "integrator", "notifier"
	About       map[string]About // what is known of each mailbox, by address

	OIDC OIDC // who else vouches for persons; without an Issuer only local accounts

	// FourEyes: an auditor opens documents only once a second auditor has agreed.
	FourEyes bool
	// MaskedShown: professionals open what its author masked to professionals (MASQUE_PS).
	MaskedShown bool

	// SecondFactor lists the roles whose local accounts must have a second factor.
	SecondFactor []string

	// Professionals gives, by RPPS number, the mailboxes and folders that hold what is
	// addressed to them, as index.Everywhere names places.
	Professionals map[string][]string

	ProofDocuments int           // of a proof pack, at most; 0 means 2,000
	ProofKeep      time.Duration // for how long one lies ready, told to people; 0 means 7 days

	Zone         *time.Location // of all times that people read and type; nil means Paris
	DI           []DIAccess     // record systems that may fetch documents by reference
	Version      string         // shown at the foot of the pages
	Rules        []greffe.Rule  // what findings refer to, explained in the help
	Contact      string         // whom people write to who cannot read or use a page; shown in the declaration of accessibility; empty: nobody is named
	Audit        Audit          // of the accessibility; the zero value: none was made
	Unattended   time.Duration  // a mailbox where messages wait and that nobody looked into for so long is told of; 0 means 7 days
	MetricsToken string         // path of a file with the bearer token of GET /metrics, of at least 20 characters; empty: no such route
}

// About is what the configuration says of a mailbox, for those who watch it.
type About struct {
	Kind        string   // organisational, applicative or personal
	Service     string   // code and name of the unit it belongs to
	Responsible string   // name of the person who answers for it
	RPPS        string   // of that person
	Folders     []string // that are taken from; a sub-folder per professional
}

// DIAccess is the credential of one record system for GET /di/documents/{id}: a
// token, a client certificate, or either of them.
type DIAccess struct {
	Name            string // as configured; it is the actor in the journal
	TokenFile       string // path of a file with a bearer token of at least 20 characters; empty: none
	CertificateFile string // path of a PEM file with its client certificates; empty: none. Needs Config.Certificate
	Test            bool   // it is sent past days again, without the index knowing of each document
}

// Console serves the pages. Make it with New.
type Console struct {
	cfg           Config
	bus           *bus.Bus
	store         archive.Store
	db            *index.DB
	log           *slog.Logger
	pages         *pages
	wall          wall
	sessions      *scs.SessionManager
	attempts      *attempts
	tokenRates    rates         // of scripts
	oidc          *provider     // nil when none is configured
	hashing       chan struct{} // one slot per password hash computed at once
	di            *renewed[[]diCredential]
	live          *hub
	boxes         map[string]string // opaque key of a mailbox -> address
	listener      net.Listener
	handler       http.Handler
	activity      activity      // what the dashboard counts
	consultations consultations // of mailboxes
	metrics       http.Handler  // nil: not served
	metricsToken  [sha256.Size]byte
	counters      counters    // of the tabs
	standings     standings   // of the other services
	closing       atomic.Bool // set when Run ends: the console is no longer ready
}

// New prepares the console and, unless cfg.Listen is empty, opens its port, so that
// a port in use is known before anything starts. It fails on a credential or
// certificate that cannot be read.
func New(cfg Config, b *bus.Bus, store archive.Store, db *index.DB, log *slog.Logger) (*Console, error) {
	if cfg.IdleTimeout <= 0 {
		cfg.IdleTimeout = 10 * time.Minute
	}
	if cfg.Lifetime <= 0 {
		cfg.Lifetime = 12 * time.Hour
	}
	if cfg.Unattended <= 0 {
		cfg.Unattended = 7 * 24 * time.Hour
	}
	if cfg.ProofDocuments <= 0 {
		cfg.ProofDocuments = 2_000
	}
	if cfg.ProofKeep <= 0 {
		cfg.ProofKeep = 7 * 24 * time.Hour
	}
	if cfg.Zone == nil {
		cfg.Zone = paris
	}
	c := &Console{
		cfg: cfg, bus: b, store: store, db: db, log: log,
		attempts: newAttempts(),
		hashing:  make(chan struct{}, hashesAtOnce),
		boxes:    map[string]string{},
		wall:     wall{cfg.Zone},
	}
	for _, m := range cfg.Mailboxes {
		c.boxes[greffe.MailboxKey(m)] = m
	}
	var err error
	if c.pages, err = loadPages(c.wall); err != nil {
		return nil, fmt.Errorf("load pages: %w", err)
	}
	if c.di, err = watchDI(cfg.DI, c.log); err != nil {
		return nil, err
	}
	if err := c.loadMetrics(); err != nil {
		return nil, err
	}
	if cfg.OIDC.Issuer != "" {
		if c.oidc, err = newProvider(cfg.OIDC, cfg.PublicURL); err != nil {
			return nil, err
		}
	}
	c.sessions = c.newSessions()
	c.live = newHub(c)
	if c.handler, err = c.newHandler(); err != nil {
		return nil, err
	}
	if cfg.Listen == "" {
		return c, nil
	}
	var tlsConfig *tls.Config
	if cfg.Certificate != "" {
		pair, err := newRenewed(c.log, func() (tls.Certificate, error) { return tls.LoadX509KeyPair(cfg.Certificate, cfg.Key) }, cfg.Certificate, cfg.Key)
		if err != nil {
			return nil, fmt.Errorf("console certificate: %w", err)
		}
		tlsConfig = askingForDI(&tls.Config{
			MinVersion: tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				now := pair.get()
				return &now, nil
			},
			NextProtos: []string{"h2", "http/1.1"},
		}, c.di)
	}
	if c.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, fmt.Errorf("console listen: %w", err)
	}
	if tlsConfig != nil {
		c.listener = tls.NewListener(c.listener, tlsConfig)
	}
	return c, nil
}

// Addr returns the address the console listens on, "" without a listener.
func (c *Console) Addr() string {
	if c.listener == nil {
		return ""
	}
	return c.listener.Addr().String()
}

// Handler returns all the routes of the console. Live updates reach pages only
// while Run runs.
func (c *Console) Handler() http.Handler { return c.handler }

// Limits of the server. Pages are small and quick; what takes longer (downloads,
// live updates) moves its own write deadline.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	keepAlive         = 2 * time.Minute
	maxHeader         = 32 << 10
	maxBody           = 64 << 10
	shutdownGrace     = 5 * time.Second
)

// Run serves until ctx is done, then lets requests end for a few seconds. It
// returns nil then.
func (c *Console) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watching := make(chan error, 1)
	go func() { watching <- c.live.run(ctx) }()
	if c.listener == nil {
		return <-watching
	}

	srv := &http.Server{
		Handler:           c.handler,
		ReadHeaderTimeout: readHeaderTimeout,
		// No ReadTimeout: it would also cut long answers (live updates, downloads);
		// headers sets the limit for requests with a body.
		WriteTimeout:   writeTimeout,
		IdleTimeout:    keepAlive,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
	}
	srv.RegisterOnShutdown(c.live.closeAll)
	serving := make(chan error, 1)
	go func() { serving <- srv.Serve(c.listener) }()

	var failed error
	select {
	case <-ctx.Done():
	case failed = <-serving:
		failed = fmt.Errorf("serve console: %w", failed)
	case failed = <-watching:
		watching <- failed // read again below
		if failed == nil && ctx.Err() == nil {
			failed = errors.New("live updates stopped")
		}
	}
	c.closing.Store(true)
	cancel()
	grace, stop := context.WithTimeout(context.Background(), shutdownGrace)
	defer stop()
	if err := srv.Shutdown(grace); err != nil {
		srv.Close()
	}
	return errors.Join(failed, <-watching)
}
