package parser

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/eml"
	"greffe/pkg/greffe"
	"greffe/pkg/ins"
	"greffe/pkg/pdf"
	"greffe/pkg/xdm"
	"greffe/pkg/xsd"
)

// Config says how messages are read. The zero value is safe.
type Config struct {
	Concurrency int             // messages at once in this process; 0 means the number of processors
	Environment ins.Environment // which INS are accepted; empty means those of tests
	Mail        eml.Limits      // of one mail; zero fields take their defaults
	Authorities *x509.CertPool  // which signers of mail must come from; nil: they are not verified
	Archive     xdm.Limits      // of one archive; zero fields take their defaults
	Parts       int             // parts of one message, archives and embedded files included; 0 means 1,000
	Unpacked    int64           // bytes unpacked from all archives of one message; 0 means 400 MiB
	Time        time.Duration   // for one message, from the first byte; 0 means 2 minutes
	Schemas     *xsd.Checker    // of CDA; nil: documents are not checked against a schema
	Antivirus   Antivirus       // what scans the parts; zero: nothing
	Version     string          // of the program, recorded with each message
}

// Parser reads messages. Its methods may be called at once.
type Parser struct {
	cfg Config
	bus *bus.Bus
	pdf *pdf.Checker
	log *slog.Logger

	guard *guard // of the antivirus; nil without one
}

// New returns a parser. b may be nil when only Parse is used; a nil checker leaves
// PDFs unchecked, which is for tests.
func New(cfg Config, b *bus.Bus, checker *pdf.Checker, log *slog.Logger) *Parser {
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = runtime.GOMAXPROCS(0)
	}
	if cfg.Parts <= 0 {
		cfg.Parts = 1000
	}
	if cfg.Unpacked <= 0 {
		cfg.Unpacked = 400 << 20
	}
	if cfg.Time <= 0 {
		cfg.Time = 2 * time.Minute
	}
	if cfg.Mail.Signatures == nil {
		cfg.Mail.Signatures = &eml.Signatures{Authorities: cfg.Authorities}
	}
	return &Parser{cfg: cfg, bus: b, pdf: checker, log: log, guard: newGuard(cfg.Antivirus, log)}
}

// Run reads messages as they are received until ctx is done; it returns nil then.
// While an antivirus is configured and does not answer, none is read: they wait.
func (p *Parser) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var aside sync.WaitGroup
	defer aside.Wait()
	defer cancel()
	read := func(ctx context.Context) error {
		return bus.Consume(ctx, p.bus, bus.Received, bus.Consumer{Name: "parser", Concurrency: p.cfg.Concurrency}, p.handle)
	}
	tell := func() []bus.Standing { return []bus.Standing{p.guard.standing()} }
	var err error
	if p.guard == nil {
		aside.Go(func() { p.bus.Tell(ctx, nil, tell) })
		err = read(ctx)
	} else {
		aside.Go(func() { p.bus.Tell(ctx, p.guard.changed, tell) })
		aside.Go(func() { p.guard.watch(ctx) })
		err = p.guard.whileUp(ctx, read)
	}
	if err != nil {
		return fmt.Errorf("parser: %w", err)
	}
	return nil
}

// handle reads one message and publishes what was read. It is not a bus.Pipe because
// of one case that has no result: bytes that are no longer in the spool. Storage
// drops them once the message is archived, so this is a repeat that came late; and if
// they were lost, the fetcher takes the message again, because it compares its
// mailbox with what is archived, not with what was received.
func (p *Parser) handle(ctx context.Context, rec greffe.Received) error {
	parsed, err := p.fetch(ctx, rec)
	if errors.Is(err, bus.ErrNotFound) {
		p.log.Warn("message is no longer in the spool, nothing to read", slog.String("message", string(rec.ID)))
		return nil
	}
	if errors.Is(err, errDisk) || errors.Is(err, errChecker) || errors.Is(err, errAntivirus) {
		// The machine is in trouble, not the message: it waits until that is mended.
		return fmt.Errorf("parse message %s: %w: %w", rec.ID, bus.ErrUnavailable, err)
	}
	if err != nil {
		return fmt.Errorf("parse message %s: %w", rec.ID, err)
	}
	if p.guard != nil {
		p.guard.forget(string(rec.ID))
	}
	if err := bus.Publish(ctx, p.bus, bus.Parsed, parsed); err != nil {
		if errors.Is(err, bus.ErrTooLarge) {
			return fmt.Errorf("publish what was read of message %s: %w", rec.ID, err)
		}
		return fmt.Errorf("publish what was read of message %s: %w: %w", rec.ID, bus.ErrUnavailable, err)
	}
	return nil
}

func (p *Parser) fetch(ctx context.Context, rec greffe.Received) (greffe.Parsed, error) {
	if rec.Refused != nil {
		return p.Parse(ctx, rec, nil)
	}
	raw, err := p.bus.Unspool(ctx, rec.Spool)
	if err != nil {
		return greffe.Parsed{}, fmt.Errorf("open the spool: %w", err)
	}
	defer raw.Close()
	return p.Parse(ctx, rec, raw)
}

// ErrChanged says that the bytes read are not those that were received.
var ErrChanged = errors.New("bytes differ from those received")

// Parse reads the message rec from raw, once. It touches nothing but temporary files,
// the antivirus and the child that checks PDFs, and may be repeated: the same bytes give the same
// result but for At. raw is nil for a message that was refused unread. It returns an
// error when raw, the temporary disk, the antivirus or the PDF child fails, and ErrChanged when rec
// has a digest that raw does not match.
func (p *Parser) Parse(ctx context.Context, rec greffe.Received, raw io.Reader) (greffe.Parsed, error) {
	out := greffe.Parsed{Received: rec, At: time.Now().UTC(), Parser: p.cfg.Version}
	if rec.Refused != nil || raw == nil {
		out.Message.Kind = greffe.KindUnread
		if rec.Refused != nil {
			out.Findings = []greffe.Finding{*rec.Refused}
		}
		out.Verdict = greffe.VerdictOf(out.Findings)
		return out, nil
	}
	r := &reading{p: p, ctx: ctx, id: rec.ID, deadline: time.Now().Add(p.cfg.Time)}
	in := newCounted(ctx, raw)
	in.until, r.in = r.deadline.Add(p.cfg.Time), in
	res, err := eml.Walk(in, p.cfg.Mail, r.leaf)
	if err != nil {
		return greffe.Parsed{}, err
	}
	sum, size, err := in.rest()
	if err != nil {
		return greffe.Parsed{}, fmt.Errorf("read message: %w", err)
	}
	if rec.SHA256 != "" && sum != rec.SHA256 {
		return greffe.Parsed{}, fmt.Errorf("read message: %w: %d bytes read, %d received", ErrChanged, size, rec.Size)
	}
	r.finish(&out, res)
	return out, nil
}
