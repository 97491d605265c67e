package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup" // stops every service when one fails

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/clamd"
	"greffe/pkg/greffe"
	"greffe/pkg/hl7"
	"greffe/pkg/index"
	"greffe/pkg/ins"
	"greffe/pkg/mss"
	"greffe/pkg/pdf"
	"greffe/pkg/xsd"
	"greffe/services/console"
	"greffe/services/fetcher"
	"greffe/services/integrator"
	"greffe/services/notifier"
	"greffe/services/parser"
	"greffe/services/storage"
)

// serviceNames are the services in the order of the flow of a message.
var serviceNames = []string{"fetcher", "parser", "storage", "integrator", "notifier", "console"}

// needs says what each service may touch: the parser, which opens hostile
// input, reaches nothing but the bus.
var needs = map[string]struct{ archive, index, pdf bool }{
	"fetcher":    {},
	"parser":     {pdf: true},
	"storage":    {archive: true, index: true},
	"integrator": {archive: true, index: true},
	"notifier":   {archive: true, index: true},
	"console":    {archive: true, index: true},
}

// app is one process of Greffe: what it opened and the services it runs.
type app struct {
	cfg   *Config
	log   *slog.Logger
	bus   *bus.Bus
	store archive.Store
	db    *index.DB
	pdf   *pdf.Checker

	schemas *xsd.Checker // of CDA; nil without
	console *console.Console
	fetcher *fetcher.Fetcher
	sealer  *storage.Sealer
	storage *storage.Storage

	services []service
	closers  []func() error // in the order of opening
}

type service struct {
	name string
	run  func(context.Context) error
}

// newApp opens what the services need, in order, and builds them. On an error
// everything opened so far is closed.
func newApp(ctx context.Context, cfg *Config, log *slog.Logger, names []string) (a *app, err error) {
	a = &app{cfg: cfg, log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
			a = nil
		}
	}()
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return a, fmt.Errorf("data directory: %w", err)
	}
	spread(cfg.DataDir)
	if err := a.openBus(ctx); err != nil {
		return a, err
	}
	if slices.ContainsFunc(names, func(n string) bool { return needs[n].archive }) {
		if err := a.openArchive(ctx); err != nil {
			return a, err
		}
	}
	if slices.ContainsFunc(names, func(n string) bool { return needs[n].index }) {
		if err := a.openIndex(ctx); err != nil {
			return a, err
		}
	}
	if slices.ContainsFunc(names, func(n string) bool { return needs[n].pdf }) {
		a.pdf = pdf.New(pdf.Config{Workers: a.workers(), Timeout: time.Duration(cfg.Parser.PDFTimeout), Memory: int64(cfg.Parser.PDFMemory), MaxSize: int64(cfg.Fetch.MaxSize)})
		a.closers = append(a.closers, a.pdf.Close)
	}
	if slices.Contains(names, "parser") && cfg.CDA.Schemas != "" {
		a.schemas = schemas(cfg, a.workers())
		a.closers = append(a.closers, a.schemas.Close)
	}
	for _, name := range names {
		if err := a.build(name); err != nil {
			return a, fmt.Errorf("%s: %w", name, err)
		}
	}
	return a, nil
}

// authorities reads the certificates that signers of mail must come from; nil without
// a file.
func authorities(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read authorities: no certificate in %s", path)
	}
	return pool, nil
}

func (a *app) workers() int {
	if a.cfg.Parser.Workers > 0 {
		return a.cfg.Parser.Workers
	}
	return processors
}

func (a *app) openBus(ctx context.Context) error {
	b, err := bus.Open(ctx, bus.Config{
		URL: a.cfg.Bus.URL, Dir: a.cfg.dir("bus"), Credentials: a.cfg.Bus.Credentials,
		CA: a.cfg.Bus.CA, Certificate: a.cfg.Bus.Certificate, Replicas: a.cfg.Bus.Replicas,
	}, a.log)
	if err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	a.bus = b
	a.closers = append(a.closers, b.Close)
	return nil
}

func (a *app) openArchive(ctx context.Context) error {
	store, err := openStore(ctx, a.cfg, a.log)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	a.store = store
	a.closers = append(a.closers, store.Close)
	return nil
}

// openStore opens the archive that is configured, encrypted when there is a master key.
func openStore(ctx context.Context, cfg *Config, log *slog.Logger) (archive.Store, error) {
	retention := time.Duration(cfg.Archive.Retention)
	if cfg.Archive.Mode == archive.ModeNone {
		retention = 0
	}
	store, err := openDriver(ctx, cfg, retention, log)
	if err != nil || cfg.Archive.Encryption.MasterKey == "" {
		return store, err
	}
	masters, err := archive.ReadMasters(cfg.Archive.Encryption.MasterKey)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("archive.encryption.master_key : le fichier %s ne peut pas être lu (%s) ; sans lui, l'archive est illisible", cfg.Archive.Encryption.MasterKey, reason(err)), store.Close())
	}
	encrypted, err := archive.Encrypt(store.(archive.Eliminator), masters, retention)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return encrypted, nil
}

func openDriver(ctx context.Context, cfg *Config, retention time.Duration, log *slog.Logger) (archive.Store, error) {
	s3 := cfg.Archive.S3
	if s3.Endpoint != "" {
		return archive.OpenS3(ctx, archive.S3Config{
			Endpoint: s3.Endpoint, Bucket: s3.Bucket, Region: s3.Region, AccessKey: s3.AccessKeyFile, SecretKey: s3.SecretKeyFile,
			CA: s3.CA, Mode: cfg.Archive.Mode, Retention: time.Duration(cfg.Archive.Retention),
		}, log)
	}
	store, err := archive.OpenDir(cfg.dir("archive"), retention)
	if err != nil || cfg.Archive.Encryption.MasterKey != "" {
		return store, err
	}
	if c := archive.CheckClear(ctx, store); !c.OK {
		return nil, errors.Join(errors.New(c.Text), store.Close())
	}
	return store, nil
}

func (a *app) openIndex(ctx context.Context) error {
	db, err := index.Open(ctx, dsn(a.cfg), a.log)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	a.db = db
	a.closers = append(a.closers, db.Close)
	return nil
}

func dsn(cfg *Config) string {
	if cfg.Index.DSN != "" {
		return cfg.Index.DSN
	}
	return cfg.dir("index.db")
}

// build makes one service from its part of the configuration.
func (a *app) build(name string) error {
	var run func(context.Context) error
	switch name {
	case "fetcher":
		f, err := fetcher.New(fetcherConfig(a.cfg), a.bus, a.log)
		if err != nil {
			return err
		}
		a.fetcher, run = f, f.Run
	case "parser":
		av, err := antivirus(a.cfg)
		if err != nil {
			return err
		}
		signers, err := authorities(a.cfg.Parser.Authorities)
		if err != nil {
			return err
		}
		run = parser.New(parser.Config{
			Concurrency: 2 * a.workers(), Environment: ins.Environment(a.cfg.Identity.Environment), Authorities: signers, Schemas: a.schemas, Antivirus: av, Version: versionString(),
		}, a.bus, a.pdf, a.log).Run
	case "storage":
		key, err := journalKey(a.cfg)
		if err != nil {
			return err
		}
		a.sealer = storage.NewSealer(a.store, a.db, key, a.log)
		stamper, err := newStamper(a)
		if err != nil {
			return err
		}
		roots, err := authorities(a.cfg.Journal.Timestamp.CA)
		if err != nil {
			return err
		}
		a.storage = storage.New(storage.Config{Concurrency: 16, Watched: watched(a.cfg), Zone: a.cfg.zone(), Sealer: a.sealer, Stamper: stamper, Proven: a.cfg.Archive.S3.Endpoint != "" && (a.cfg.Archive.Mode == archive.ModeCompliance || a.cfg.Archive.Encryption.MasterKey != ""), Nightly: nightly(a.cfg), Verify: verifyConfig(a.cfg),
			Packs: storage.Packs{Dir: a.cfg.dir("packs"), Size: int64(a.cfg.Proofs.Size), Keep: time.Duration(a.cfg.Proofs.Keep), Authorities: roots, By: "greffe " + versionString()}}, a.bus, a.store, a.db, a.log)
		run = a.storage.Run
	case "integrator":
		i, err := integrator.New(integratorConfig(a.cfg), a.bus, a.store, a.db, a.log)
		if err != nil {
			return err
		}
		run = i.Run
	case "notifier":
		n, err := notifier.New(notifierConfig(a.cfg), a.bus, a.store, a.db, a.log)
		if err != nil {
			return err
		}
		run = n.Run
	case "console":
		cc, err := consoleConfig(a.cfg)
		if err != nil {
			return err
		}
		c, err := console.New(cc, a.bus, a.store, a.db, a.log)
		if err != nil {
			return err
		}
		a.console, run = c, c.Run
	default:
		return fmt.Errorf("no such service")
	}
	a.services = append(a.services, service{name, run})
	return nil
}

// run runs every service until ctx is done or one of them fails; then all stop.
func (a *app) run(ctx context.Context) error {
	if err := a.noteStart(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range a.services {
		g.Go(func() error {
			a.log.Info("service started", "service", s.name)
			err := s.run(ctx)
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if err == nil && ctx.Err() == nil {
				// A service that ends by itself would be a silent stop.
				return fmt.Errorf("%s: ended without being asked to", s.name)
			}
			return nil
		})
	}
	err := g.Wait()
	return errors.Join(err, a.noteStop(ctx, err))
}

// about names the process in the journal: the services that it runs.
func (a *app) about() string {
	var names []string
	for _, s := range a.services {
		names = append(names, s.name)
	}
	return strings.Join(names, ",")
}

// noteStart writes into the journal that the process starts, and with which
// configuration when that is another one than the last time. A process that does not
// reach the index leaves no such entry.
func (a *app) noteStart(ctx context.Context) error {
	if a.db == nil {
		return nil
	}
	text, err := annotated(a.cfg)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	// Also when it is asked to stop at once: what starts is told.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := a.db.Append(ctx, index.Entry{Actor: "greffe", Action: "started", Subject: a.about(), Result: "ok", Detail: versionString()}); err != nil {
		return err
	}
	_, err = a.db.NoteConfiguration(ctx, a.about(), greffe.DigestOf(text))
	return err
}

// noteStop writes that the process stops, and seals what the journal got since the last
// time. A start without a stop before it is a process that was killed.
func (a *app) noteStop(ctx context.Context, why error) error {
	if a.db == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	result := "ok"
	if why != nil {
		result = "failed"
	}
	err := a.db.Append(ctx, index.Entry{Actor: "greffe", Action: "stopped", Subject: a.about(), Result: result})
	if err == nil && a.sealer != nil && a.storage.Began() {
		// What cannot be sealed in a moment is sealed at the next start. An archive that has
		// not proved what it promises gets nothing, this neither.
		if _, err := a.sealer.SealAll(ctx); err != nil {
			a.log.Error("the end of the journal is not sealed; the next start does it", "error", err)
		}
	}
	return err
}

// newStamper returns what has the journal stamped, nil when no authority is configured.
func newStamper(a *app) (*storage.Stamper, error) {
	if a.cfg.Journal.Timestamp.URL == "" {
		return nil, nil
	}
	ta, err := authority(a.cfg)
	if err != nil {
		return nil, err
	}
	return storage.NewStamper(a.store, a.db, ta, a.log), nil
}

// authority returns the time-stamping authority that is configured.
func authority(cfg *Config) (storage.Authority, error) {
	ts := cfg.Journal.Timestamp
	roots, err := authorities(ts.CA)
	a := storage.Authority{URL: ts.URL, Roots: roots, Policy: ts.Policy, Every: time.Duration(ts.Every), User: ts.User, PasswordFile: ts.PasswordFile}
	if err == nil && ts.Certificate != "" {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(ts.Certificate, ts.Certificate); err != nil {
			err = fmt.Errorf("journal.timestamp.certificate %s : certificat et clé sont attendus dans un même fichier PEM (%w)", ts.Certificate, err)
		}
		a.Certificate = &pair
	}
	return a, err
}

// close closes what was opened, the last first.
func (a *app) close() error {
	var errs []error
	for _, c := range slices.Backward(a.closers) {
		errs = append(errs, c())
	}
	a.closers = nil
	return errors.Join(errs...)
}

// schemas returns what checks documents against the schemas of CDA; nil when none are
// configured.
func schemas(cfg *Config, workers int) *xsd.Checker {
	if cfg.CDA.Schemas == "" {
		return nil
	}
	return xsd.New(xsd.Config{Schemas: cfg.CDA.Schemas, Program: cfg.CDA.XMLLint, Workers: workers})
}

// antivirus returns the client of the antivirus, zero when there is none.
func antivirus(cfg *Config) (parser.Antivirus, error) {
	av := parser.Antivirus{Time: time.Duration(cfg.Antivirus.Timeout), BaseAge: time.Duration(cfg.Antivirus.BaseAge)}
	if cfg.Antivirus.Clamd == "" {
		return av, nil
	}
	var err error
	// Its threads (MaxThreads, 10 unless set) are for all of our processes.
	av.Client, err = clamd.New(clamd.Config{Address: cfg.Antivirus.Clamd, Answer: av.Time})
	return av, err
}

func fetcherConfig(cfg *Config) fetcher.Config {
	out := fetcher.Config{MaxSize: int64(cfg.Fetch.MaxSize), Reconcile: time.Duration(cfg.Fetch.Reconcile), Retake: time.Duration(cfg.Fetch.Retake)}
	for _, m := range cfg.Mailboxes {
		until, _ := time.ParseInLocation(time.DateOnly, m.PasswordUntil, cfg.zone()) // validated; none: the zero time
		out.Mailboxes = append(out.Mailboxes, fetcher.Mailbox{
			PasswordUntil: until,
			Address:       m.Address, Kind: m.Kind, URL: m.IMAP, CA: m.CA, Certificate: m.Certificate,
			Auth:       mss.Auth(m.Auth),
			Folders:    m.Folders,
			OnArchived: fetcher.Mark(m.OnArchived), OnDelivered: fetcher.Mark(m.OnDelivered), OnFailed: fetcher.Mark(m.OnFailed),
		})
	}
	return out
}

func integratorConfig(cfg *Config) integrator.Config {
	out := integrator.Config{
		Environment: ins.Environment(cfg.Identity.Environment),
		ConsoleURL:  cfg.Console.PublicURL, Services: map[string]hl7.Service{},
		Alone: cfg.Bus.URL == "", // an embedded bus has no second process
	}
	for _, m := range cfg.Mailboxes {
		if m.Service.Code != "" || m.Service.Name != "" {
			out.Services[m.Address] = hl7.Service{Code: m.Service.Code, Name: m.Service.Name, Authority: m.Service.FINESS}
		}
	}
	for _, d := range cfg.Retry {
		out.Retry = append(out.Retry, time.Duration(d))
	}
	for _, d := range cfg.DI {
		out.DIs = append(out.DIs, integrator.DI{
			Name: d.Name, Protocol: d.Protocol, Sending: d.Sending, Receiving: d.Receiving, Processing: d.Processing, Charset: d.Charset,
			Mailboxes: d.Mailboxes, Services: d.Services, Types: d.Types, Test: d.Test, Patient: integrator.Policy(d.Patient), HoldUnknown: time.Duration(d.Hold),
			MLLP: d.mllp(), HL7: d.settings(), Events: d.HL7.events(),
			FHIR: d.FHIR.settings(),
		})
	}
	return out
}

func notifierConfig(cfg *Config) notifier.Config {
	out := notifier.Config{
		WhiteList: notifier.WhiteList{
			Source: cfg.Answers.WhiteList, CA: cfg.Answers.WhiteListCA, Copy: filepath.Join(cfg.DataDir, "white-list.last"), Shrink: float64(cfg.Answers.WhiteListShrink) / 100,
		},
		KO: cfg.Answers.KO, Sender: cfg.Answers.Sender, PerHour: cfg.Answers.PerHour, NotOlder: time.Duration(cfg.Answers.NotOlder), Agent: "Greffe " + versionString(), Zone: cfg.zone(),
	}
	out.Daily = notifier.Daily{At: -1, Always: cfg.Answers.DailyAlways, Unattended: time.Duration(cfg.Console.Unattended), Console: cfg.Console.PublicURL}
	if at, err := time.Parse("15:04", cfg.Answers.DailyAt); err == nil { // validated; empty: never
		out.Daily.At = time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute
	}
	for _, m := range cfg.Mailboxes {
		out.Own = append(out.Own, m.Address)
		if a := m.Responsible.Address; a != "" {
			i := slices.IndexFunc(out.Daily.Persons, func(p notifier.Responsible) bool { return strings.EqualFold(p.Address, a) })
			if i < 0 {
				i, out.Daily.Persons = len(out.Daily.Persons), append(out.Daily.Persons, notifier.Responsible{Address: a})
			}
			out.Daily.Persons[i].Mailboxes = append(out.Daily.Persons[i].Mailboxes, notifier.Watched{Address: m.Address, Service: m.Service.Name})
		}
		if m.SMTP != "" {
			out.Mailboxes = append(out.Mailboxes, notifier.Mailbox{
				Address: m.Address, Applicative: m.Kind == "applicative", RepliesTo: m.RepliesTo, Service: m.Service.Name,
				URL: m.SMTP, CA: m.CA, Certificate: m.Certificate, Auth: mss.Auth(m.Auth),
			})
		}
	}
	return out
}

// oidcConfig is what the console needs to know of the identity provider; no Issuer: none.
func oidcConfig(cfg *Config) console.OIDC {
	o := cfg.Console.OIDC
	if o.Issuer == "" {
		return console.OIDC{}
	}
	out := console.OIDC{Issuer: o.Issuer, ClientID: o.ClientID, SecretFile: o.ClientSecret, Name: o.Name, CA: o.CA, Scopes: o.Scopes, ACR: o.ACR,
		LoginClaim: o.LoginClaim, NameClaim: o.NameClaim, RPPSClaim: o.RPPSClaim}
	for _, r := range o.Rules {
		rule := console.OIDCRule{Claim: r.Claim, Value: r.Value, Role: r.Role}
		for _, p := range r.Mailboxes {
			known, _ := cfg.place(p) // validated
			rule.Places = append(rule.Places, known)
		}
		out.Rules = append(out.Rules, rule)
	}
	return out
}

func consoleConfig(cfg *Config) (console.Config, error) {
	u, err := url.Parse(cfg.Console.PublicURL)
	if err != nil {
		return console.Config{}, fmt.Errorf("public URL: %w", err)
	}
	out := console.Config{Listen: cfg.Console.Listen, PublicURL: cfg.Console.PublicURL, Secure: u.Scheme == "https", Certificate: cfg.Console.Certificate, Key: cfg.Console.Certificate, Version: versionString(), Rules: allRules(), Zone: cfg.zone(), About: map[string]console.About{},
		IdleTimeout: time.Duration(cfg.Console.Idle), Lifetime: time.Duration(cfg.Console.Lifetime), Professionals: map[string][]string{}, Unattended: time.Duration(cfg.Console.Unattended), MetricsToken: cfg.Console.MetricsToken}
	out.ProofDocuments, out.ProofKeep = cfg.Proofs.Documents, time.Duration(cfg.Proofs.Keep)
	out.Contact = cfg.Console.Contact
	if a := cfg.Console.Audit; a.By != "" {
		out.Audit = console.Audit{By: a.By, Rate: a.Rate / 100}
		if out.Audit.Date, err = time.ParseInLocation(time.DateOnly, a.Date, out.Zone); err != nil {
			return console.Config{}, fmt.Errorf("accessibility audit: %w", err)
		}
	}
	out.SecondFactor, out.FourEyes, out.MaskedShown = cfg.Console.SecondFactor, cfg.Console.FourEyes, cfg.Console.MaskedShown
	out.OIDC = oidcConfig(cfg)
	for _, s := range cfg.Console.Proxies {
		p, err := parseProxy(s)
		if err != nil {
			return console.Config{}, fmt.Errorf("console proxy: %w", err)
		}
		out.Proxies = append(out.Proxies, p)
	}
	out.Services = []string{"storage"}
	if len(cfg.DI) > 0 {
		out.Services = append(out.Services, "integrator")
	}
	if len(notifierConfig(cfg).Mailboxes) > 0 {
		out.Services = append(out.Services, "notifier")
	}
	for _, m := range cfg.Mailboxes {
		out.Mailboxes = append(out.Mailboxes, m.Address)
		for _, p := range m.Professionals {
			out.Professionals[p.RPPS] = append(out.Professionals[p.RPPS], m.Address+strings.TrimSuffix("/"+p.Folder, "/"))
		}
		out.About[m.Address] = console.About{Kind: m.Kind, Service: strings.TrimSpace(m.Service.Code + " " + m.Service.Name), Responsible: m.Responsible.Name, RPPS: m.Responsible.RPPS, Folders: m.Folders}
	}
	for _, d := range cfg.DI {
		if d.FHIR.ReadToken != "" || d.FHIR.ReadCertificate != "" {
			out.DI = append(out.DI, console.DIAccess{Name: d.Name, TokenFile: d.FHIR.ReadToken, CertificateFile: d.FHIR.ReadCertificate, Test: d.Test})
		}
	}
	return out, nil
}

// private are attribute keys that could carry a name, a subject or an INS. No
// code of ours uses them; the handler drops them all the same.
var private = map[string]bool{"name": true, "subject": true, "patient": true, "ins": true, "file": true, "filename": true, "from": true, "to": true, "title": true}

// newLogger returns the logger of the process.
func newLogger(cfg LogConfig, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(strings.ToUpper(cfg.Level))) // validated with the configuration
	opt := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if private[a.Key] {
			return slog.Attr{}
		}
		return a
	}}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}
