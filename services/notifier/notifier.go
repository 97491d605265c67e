// Package notifier answers the senders of messages once their documents have their
// outcomes: a disposition notification (MDN, RFC 8098), the "courriel standard" that
// reports a refusal, nothing, or a question to a person. It is the only code that
// sends mail.
//
// What is due is one table (due.go), each row with the clause it comes from: volet
// "Transmission au LPS", Référentiel socle MSSanté #2, RFC 8098 and RFC 3834. Its
// first rows are the guards against loops. What answers is the mailbox that received
// the message, through the operator's submission server; a mailbox without one
// answers nothing. Answers may carry the document they speak of, so they go to the
// domains of the white list only, and without a white list nowhere.
//
// An answer is claimed in the index before it is sent and recorded after the server
// has taken it. A crash in between repeats it with the same Message-ID.
//
// Dependency: github.com/emersion/go-smtp, the SMTP client of the family that go-imap
// is of; it streams what it sends.
package notifier

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
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
	WhiteList string    // path of a file, see openWhiteList; empty: nobody is answered
	// Sender says in whose name the envelope of an answer is: "null", as RFC 8098
	// §2.1 asks for, or "mailbox" for submission servers that refuse the null address.
	Sender  string
	PerHour int    // answers to one address in an hour; 0 means 60
	Agent   string // product and version, for Reporting-UA
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
	if cfg.PerHour == 0 {
		cfg.PerHour = 60
	}
	n := &Notifier{cfg: cfg, bus: b, store: store, index: db, log: log.With(slog.String("service", "notifier")), boxes: map[string]Mailbox{}, white: &whiteList{path: cfg.WhiteList}, state: newStanding()}
	for _, m := range cfg.Mailboxes {
		if err := m.Valid(); err != nil {
			return nil, fmt.Errorf("boîte %s : %w", m.Address, err)
		}
		n.boxes[strings.ToLower(m.Address)] = m
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
	g.Go(func() error {
		return bus.Consume(ctx, n.bus, bus.Delivered, bus.Consumer{Name: "notifier", Concurrency: 2, AckWait: 2 * time.Minute}, n.onDelivered)
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

// onDelivered answers the sender of the document's message, when that is due.
func (n *Notifier) onDelivered(ctx context.Context, e greffe.Delivered) error {
	box, ok := n.boxes[strings.ToLower(e.Origin.Mailbox)]
	if !ok || !e.Message.Final() || time.Since(e.Outcome.At) > giveUp {
		return nil // the last: sending was off for days, and nobody waits for the answer any more
	}
	return n.look(ctx, box, e.Document.Message())
}

// onConfirmed sends what waited for a person's word. What goes is what is due now.
func (n *Notifier) onConfirmed(ctx context.Context, c greffe.Confirmed) error {
	if _, err := n.index.ConfirmAnswer(ctx, c); err != nil && !errors.Is(err, index.ErrNotFound) {
		return fault("confirm answer", err)
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

// look answers the sender of a message when an answer is due.
func (n *Notifier) look(ctx context.Context, box Mailbox, id greffe.MessageID) error {
	m, err := n.index.Message(ctx, id)
	if err != nil {
		return fault("answer sender", err)
	}
	if m.Parsed == nil {
		return nil
	}
	answers, err := n.index.Answers(ctx, id)
	if err != nil {
		return fault("answer sender", err)
	}
	// An answer that is due was never "asked", or a person has said yes since.
	confirmed := slices.ContainsFunc(answers, func(a greffe.Answer) bool { return a.State == greffe.AnswerDue && a.Kind == string(Ask) })
	d := n.due(m, confirmed)
	if d.Answer == None || d.Answer == Later {
		return nil
	}
	key := answerKey(m, d.To.Address)
	lease, err := n.bus.Lease(ctx, "answer."+key, leaseTime)
	if errors.Is(err, bus.ErrHeld) {
		return bus.Later{After: leaseBusy, Reason: "another process answers this sender"}
	}
	if err != nil {
		return fmt.Errorf("answer sender: %w: %w", bus.ErrUnavailable, err)
	}
	defer lease.Release()
	return n.answer(lease.Context(), box, m, d, key)
}

// due decides about a message.
func (n *Notifier) due(m index.Detail, confirmed bool) Decision {
	f := Facts{Confirmed: confirmed, Message: m.Parsed.Message, Own: n.cfg.Own, Allowed: n.white.has}
	for _, d := range m.Documents {
		o := d.Outcome
		if o.State == "" {
			o.State = d.State
		}
		f.Outcomes = append(f.Outcomes, o)
	}
	return Due(f)
}

// answer claims and sends the answer d.
func (n *Notifier) answer(ctx context.Context, box Mailbox, m index.Detail, d Decision, key string) error {
	a := greffe.Answer{
		Key: key, Message: m.ID, Kind: string(d.Answer), State: greffe.AnswerDue, Code: d.Code, Recipient: d.To.Address,
		MailID: strings.ToLower(string(m.ID)) + ".answer@" + domain(box.Address),
	}
	if d.Answer == Ask {
		a.State, a.Reason = greffe.AnswerAsked, d.Why
	}
	claimed, err := n.index.ClaimAnswer(ctx, a)
	if err != nil {
		return fault("answer sender", err)
	}
	if claimed.Message != m.ID || claimed.State != greffe.AnswerDue {
		return nil // a copy of the mail was answered, or this one
	}
	sent, err := n.index.AnswersTo(ctx, d.To.Address, time.Now().Add(-time.Hour))
	if err != nil {
		return fault("answer sender", err)
	}
	if sent >= n.cfg.PerHour {
		return bus.Later{After: 10 * time.Minute, Reason: "this address had its answers of the hour"}
	}
	from := box.Address
	if n.cfg.Sender != "mailbox" {
		from = ""
	}
	err = box.send(ctx, n.letter(box, m, d, claimed.MailID), from, m.Size, func() (io.ReadCloser, error) { return n.raw(ctx, m.Raw) })
	a.Begun = claimed.Begun
	switch {
	case err == nil:
		a.State = greffe.AnswerSent
		n.state.clear(box.Address)
	case errors.Is(err, archive.ErrDigest), errors.Is(err, archive.ErrNotFound):
		return fmt.Errorf("answer sender: %w: %w", bus.ErrPermanent, err)
	case errors.Is(err, archive.ErrUnavailable):
		return fmt.Errorf("answer sender: %w: %w", bus.ErrUnavailable, err)
	case errors.Is(err, errFinal):
		a.State, a.Reason = greffe.AnswerFailed, "Le serveur de messagerie refuse cette réponse : prévenez l’expéditeur autrement."
	case time.Since(claimed.Begun) > giveUp:
		a.State, a.Reason = greffe.AnswerFailed, "La réponse n’a pas pu partir pendant cinq jours : prévenez l’expéditeur autrement."
	default:
		n.log.Warn("answer not sent", slog.String("message", string(m.ID)), slog.Any("error", err))
		n.state.trouble(box, err)
		return bus.Later{After: pause(time.Since(claimed.Begun)), Reason: "the mail server did not take the answer"}
	}
	if err := n.index.SaveAnswer(context.WithoutCancel(ctx), a); err != nil {
		return fault("answer sender", err)
	}
	n.log.Info("sender answered", slog.String("message", string(m.ID)), slog.String("kind", a.Kind), slog.String("state", string(a.State)), slog.String("code", a.Code))
	return nil
}

// pause is how long the next try waits: a minute, then half of what has passed, at
// most an hour.
func pause(elapsed time.Duration) time.Duration {
	return min(max(elapsed/2, time.Minute), time.Hour)
}

// raw opens the archived message, checked at its end.
func (n *Notifier) raw(ctx context.Context, o greffe.Object) (io.ReadCloser, error) {
	f, err := n.store.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{archive.Checked(f, o.Size, o.SHA256), f}, nil
}

// letter writes what the answer says.
func (n *Notifier) letter(box Mailbox, m index.Detail, d Decision, id string) *letter {
	l := &letter{
		kind: d.Answer, from: box.Address, to: d.To.Address, id: id, subject: m.Parsed.Message.Subject, marker: m.Parsed.Message.XDMMarker,
		code: d.Code, label: labels[d.Code], at: time.Now(), agent: n.cfg.Agent, recipient: box.Address,
	}
	if ids := m.Parsed.Message.MessageIDs; len(ids) > 0 {
		l.original = oneLine(ids[0], 900)
	}
	l.text = words(l, m)
	return l
}

// answerKey names what is answered once: sender and Message-ID; without a
// Message-ID the message itself.
func answerKey(m index.Detail, to string) string {
	what := string(m.ID)
	if ids := m.Parsed.Message.MessageIDs; len(ids) > 0 && ids[0] != "" {
		what = "<" + ids[0] + ">"
	}
	return string(greffe.DigestFrom(sum(strings.ToLower(to) + "\n" + what)))
}

func sum(s string) []byte { h := sha256.Sum256([]byte(s)); return h[:] }

// fault says that the index is away, unless it answered that there is nothing.
func fault(doing string, err error) error {
	if errors.Is(err, index.ErrNotFound) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w: %w", doing, bus.ErrUnavailable, err)
}
