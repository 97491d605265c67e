// Package notifier answers the senders of messages once their documents have their
// outcomes: a disposition notification (MDN, RFC 8098), the "courriel standard" that
// reports a refusal, nothing, or a question to a person. To a person who writes to a
// mailbox that nobody reads it says so, and passes on what she wrote. Once a day it tells
// those who answer for a mailbox what waits there (daily.go). It is the only code that
// sends mail.
//
// What is due are three tables, each row with the clause it comes from: about documents
// (due.go), about words (person.go), and the guards against loops that both begin with
// (guards.go): volet "Transmission au LPS", Référentiel socle MSSanté #2, RFC 8098 and
// RFC 3834. What answers is the mailbox that received the message, through the
// operator's submission server; a mailbox without one answers nothing. Answers may
// carry the document they speak of, so they go to the domains of the white list only,
// and without a white list nowhere.
//
// An answer is claimed in the index before it is sent and recorded after the server
// has taken it. A crash in between repeats it with the same Message-ID. When a delivery
// status notification says that it did not arrive, it failed after all, and a person
// sees that.
//
// Dependency: github.com/emersion/go-smtp, the SMTP client of the family that go-imap
// is of; it streams what it sends.
package notifier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// Config says who answers and whom.
type Config struct {
	Mailboxes []Mailbox // those that answer
	Own       []string  // addresses of all mailboxes of this installation
	WhiteList WhiteList
	// Sender says in whose name the envelopes of MDN and auto-replies are: "null", as
	// RFC 8098 §2.1 and RFC 3834 §3.3 ask for, or "mailbox" for submission servers that
	// refuse the null address. What nobody asked for (KO, forward) is always in the name
	// of the mailbox: the operator can then say that it did not arrive.
	Sender string
	// KO says who gets a "courriel standard": "sender", "forwarder" (who passed the
	// message on without a change, else the sender), or one address for all.
	KO      string
	PerHour int // answers to one address in an hour; 0 means 60
	// NotOlder is how long before Greffe took it a mail may have come to its mailbox and still be
	// answered: a mailbox that Greffe begins to watch may hold years of mail. 0 means 30 days.
	NotOlder time.Duration
	Daily    Daily
	Agent    string         // product and version, for Reporting-UA
	Zone     *time.Location // of the days and dates that people read; nil means UTC
}

// Notifier is the service.
type Notifier struct {
	cfg   Config
	bus   *bus.Bus
	store archive.Store
	index *index.DB
	log   *slog.Logger
	boxes map[string]Mailbox // by address, lower-case
	white *whiteList
	state *standing
}

// New checks cfg and makes the service; Run starts it. Its errors are mistakes of
// the configuration, in French.
func New(cfg Config, b *bus.Bus, store archive.Store, db *index.DB, log *slog.Logger) (*Notifier, error) {
	cfg.PerHour, cfg.Zone = cmp.Or(cfg.PerHour, 60), cmp.Or(cfg.Zone, time.UTC)
	cfg.NotOlder = cmp.Or(cfg.NotOlder, 30*24*time.Hour)
	n := &Notifier{cfg: cfg, bus: b, store: store, index: db, log: log.With(slog.String("service", "notifier")), boxes: map[string]Mailbox{}, white: newWhiteList(cfg.WhiteList), state: newStanding()}
	for _, m := range cfg.Mailboxes {
		if err := m.Valid(); err != nil {
			return nil, fmt.Errorf("boîte %s : %w", m.Address, err)
		}
		n.boxes[strings.ToLower(m.Address)] = m
	}
	if err := n.validDaily(); err != nil {
		return nil, err
	}
	return n, nil
}

// Run works until ctx is done, then returns nil. What was begun and not finished is
// taken up by the next one.
func (n *Notifier) Run(ctx context.Context) error {
	if len(n.boxes) == 0 {
		<-ctx.Done()
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { n.bus.Tell(ctx, n.state.changed, n.standings); return nil })
	g.Go(func() error { n.white.keep(ctx, n.log); return nil })
	g.Go(func() error { n.daily(ctx); return nil })
	g.Go(func() error {
		return bus.Consume(ctx, n.bus, bus.Delivered, bus.Consumer{Name: "notifier", Concurrency: 2, AckWait: 2 * time.Minute}, n.onDelivered)
	})
	g.Go(func() error {
		return bus.Consume(ctx, n.bus, bus.Archived, bus.Consumer{Name: "notifier-archived", Concurrency: 2, AckWait: 2 * time.Minute}, n.onArchived)
	})
	g.Go(func() error {
		return bus.Consume(ctx, n.bus, bus.Confirmed, bus.Consumer{Name: "notifier-confirmed", AckWait: 2 * time.Minute}, n.onConfirmed)
	})
	return g.Wait()
}

const (
	leaseTime = 30 * time.Second
	leaseBusy = 2 * time.Second
	giveUp    = 5 * 24 * time.Hour // RFC 5321 §4.5.4.1: four to five days
)

// onDelivered answers the sender of the document's message, when that is due, and those
// of the messages with a copy of it, which waited for the same.
func (n *Notifier) onDelivered(ctx context.Context, e greffe.Delivered) error {
	if time.Since(e.Outcome.At) > giveUp {
		return nil // the last: sending was off for days, and nobody waits for the answer any more
	}
	var errs []error
	if box, ok := n.boxes[strings.ToLower(e.Origin.Mailbox)]; ok && e.Message.Final() {
		errs = append(errs, n.look(ctx, box, e.Document.Message()))
	}
	if e.Outcome.State != greffe.StateDuplicate && e.Outcome.State.Final() {
		copies, err := n.index.Copies(ctx, e.Document)
		if err != nil {
			return fault("answer senders of copies", err)
		}
		for _, d := range copies {
			if box, ok := n.boxes[strings.ToLower(d.Origin.Mailbox)]; ok && d.Message != e.Document.Message() {
				errs = append(errs, n.look(ctx, box, d.Message))
			}
		}
	}
	return errors.Join(errs...)
}

// onArchived looks after what people and mail servers write to the mailbox: nothing of
// it waits for a DI.
func (n *Notifier) onArchived(ctx context.Context, a greffe.Archived) error {
	box, ok := n.boxes[strings.ToLower(a.Origin.Mailbox)]
	if !ok || len(a.Documents) > 0 && !box.Applicative {
		return nil
	}
	m, err := n.index.Mail(ctx, a.ID)
	if errors.Is(err, index.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fault("look after mail", err)
	}
	if m.Kind == greffe.KindDSN {
		return n.bounced(ctx, box, m)
	}
	f := n.facts(box, m)
	if !box.Applicative || !wrote(&f) || time.Since(a.At) > giveUp || n.old(a.Origin, a.At) {
		return nil
	}
	detail, err := n.index.Message(ctx, a.ID)
	if err != nil {
		return fault("look after mail", err)
	}
	return errors.Join(
		n.settle(ctx, box, detail, DueForward(f), n.forwardKey(detail, box)),
		n.settle(ctx, box, detail, DueReply(f), n.replyKey(&f)),
	)
}

// onConfirmed does what a person says about an answer that waits for her. What goes is
// what is due now.
func (n *Notifier) onConfirmed(ctx context.Context, c greffe.Confirmed) error {
	if _, err := n.index.ConfirmAnswer(ctx, c); err != nil && !errors.Is(err, index.ErrNotFound) {
		return fault("confirm answer", err)
	}
	if c.Drop {
		return nil
	}
	// Also when nothing waits: a crash may have come after the word was heard.
	m, err := n.index.Message(ctx, c.Message)
	if errors.Is(err, index.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fault("confirm answer", err)
	}
	box, ok := n.boxes[strings.ToLower(m.Origin.Mailbox)]
	if !ok {
		return nil
	}
	return n.look(ctx, box, c.Message)
}

// look answers the sender of a message about its documents when that is due.
func (n *Notifier) look(ctx context.Context, box Mailbox, id greffe.MessageID) error {
	m, err := n.index.Message(ctx, id)
	if err != nil {
		return fault("answer sender", err)
	}
	if m.Parsed == nil {
		return nil
	}
	if err := n.original(ctx, &m); err != nil {
		return fault("answer sender", err)
	}
	f := n.facts(box, m.Parsed.Message)
	f.Old = n.old(m.Origin, m.ReceivedAt)
	for _, d := range m.Documents {
		f.Outcomes = append(f.Outcomes, d.Outcome)
	}
	// An answer that is due was never "asked", or a person has said yes since.
	f.Confirmed = slices.ContainsFunc(m.Answers, func(a greffe.Answer) bool { return a.State == greffe.AnswerDue && a.Kind == string(Ask) })
	return n.settle(ctx, box, m, Due(f), answerKey(m, &f))
}

// original gives each document of a message the outcome that counts: of a copy, that of
// the document it is a copy of, which the DI may have refused.
func (n *Notifier) original(ctx context.Context, m *index.Detail) error {
	for i := range m.Documents {
		d := &m.Documents[i]
		d.Outcome.State = d.State
		for range 5 { // a copy of a copy is rare, a circle would be a mistake
			if d.State != greffe.StateDuplicate || d.DuplicateOf == "" {
				break
			}
			o, err := n.index.Document(ctx, d.DuplicateOf)
			if errors.Is(err, index.ErrNotFound) {
				break // eliminated after its retention: the DI had it
			}
			if err != nil {
				return err
			}
			if o.State == greffe.StateDelivered {
				break
			}
			d.State, d.Outcome, d.DuplicateOf = o.State, o.Outcome, o.DuplicateOf
			d.Outcome.State = o.State
		}
	}
	return nil
}

// old reports whether a message had lain in its mailbox for too long when it was taken: what
// a person wrote then stays in the queue, and nobody is told by mail.
func (n *Notifier) old(o greffe.Origin, taken time.Time) bool {
	return !o.InternalDate.IsZero() && taken.Sub(o.InternalDate) > n.cfg.NotOlder
}

// facts is what every decision about a message depends on.
func (n *Notifier) facts(box Mailbox, m greffe.Message) Facts {
	f := Facts{Message: m, Mailbox: box, Own: n.cfg.Own, KO: n.cfg.KO}
	if n.cfg.WhiteList.Source != "" {
		f.Allowed = n.white.has
	}
	return f
}

// fault says that the index is away, unless it answered that there is nothing.
func fault(doing string, err error) error {
	if errors.Is(err, index.ErrNotFound) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w: %w", doing, bus.ErrUnavailable, err)
}
