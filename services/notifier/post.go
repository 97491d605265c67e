package notifier

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// settle does what a decision says, once for its key, in whatever process.
func (n *Notifier) settle(ctx context.Context, box Mailbox, m index.Detail, d Decision, key string) error {
	switch {
	case d.Rule == "not-allowed" && n.cfg.WhiteList.Source != "" && !n.white.loaded():
		return bus.Later{After: 5 * time.Minute, Reason: "the white list is not there yet"}
	case d.Answer == Later, d.Answer == None && d.Blocked == "":
		return nil
	}
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

// answer claims the answer d and sends it.
func (n *Notifier) answer(ctx context.Context, box Mailbox, m index.Detail, d Decision, key string) error {
	a := greffe.Answer{
		Key: key, Message: m.ID, Kind: string(d.Answer), State: greffe.AnswerDue, Code: d.Code, Recipient: d.To.Address,
		MailID: mailID(m.ID, d.Answer, box.Address),
	}
	switch {
	case d.Rule == tooOld:
		a.Kind, a.State, a.Reason = string(d.Blocked), greffe.AnswerDropped, d.Why
	case d.Blocked != "":
		a.Kind, a.State, a.Reason = string(d.Blocked), greffe.AnswerFailed, d.Why
	case d.Answer == Ask:
		a.State, a.Reason = greffe.AnswerAsked, d.Why
	}
	claimed, err := n.index.ClaimAnswer(ctx, a)
	if err != nil {
		return fault("answer sender", err)
	}
	if claimed.Message != m.ID || claimed.State != greffe.AnswerDue {
		return nil // a copy of the mail was answered, or this one
	}
	if d.Answer == None || d.Answer == Ask {
		return nil
	}
	if d.Answer != Forward { // what a person wrote waits for nobody's hour
		sent, err := n.index.AnswersTo(ctx, d.To.Address, time.Now().Add(-time.Hour))
		if err != nil {
			return fault("answer sender", err)
		}
		if sent >= n.cfg.PerHour {
			return bus.Later{After: 10 * time.Minute, Reason: "this address had its answers of the hour"}
		}
	}
	err = box.send(ctx, n.letter(box, m, d, claimed.MailID), n.envelope(box, d.Answer), m.Size, func() (io.ReadCloser, error) { return n.raw(ctx, m.Raw) })
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
		a.State, a.Reason = greffe.AnswerFailed, "Le serveur de messagerie refuse cet envoi. "+otherwise(d.Answer)
	case time.Since(claimed.Begun) > giveUp:
		a.State, a.Reason = greffe.AnswerFailed, "L’envoi n’a pas pu se faire pendant cinq jours. "+otherwise(d.Answer)
	default:
		if ctx.Err() == nil {
			n.log.Warn("answer not sent", slog.String("message", string(m.ID)), slog.Any("error", err))
			n.state.trouble(box, err)
		}
		return bus.Later{After: pause(time.Since(claimed.Begun)), Reason: "the mail server did not take the answer"}
	}
	if err := n.index.SaveAnswer(context.WithoutCancel(ctx), a); err != nil {
		return fault("answer sender", err)
	}
	n.log.Info("sender answered", slog.String("message", string(m.ID)), slog.String("kind", a.Kind), slog.String("state", string(a.State)), slog.String("code", a.Code))
	return nil
}

// otherwise says what a person does when an answer does not arrive.
func otherwise(kind Answer) string {
	if kind == Forward {
		return "Lisez ce message ici et répondez à son expéditeur depuis la boîte du service."
	}
	return "Prévenez l’expéditeur autrement."
}

// envelope is the address that the operator would tell of a failure.
func (n *Notifier) envelope(box Mailbox, kind Answer) string {
	if n.cfg.Sender == "mailbox" || kind == KO || kind == Forward {
		return box.Address
	}
	return ""
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
		code: d.Code, label: labels[d.Code], at: time.Now().In(n.cfg.Zone), agent: n.cfg.Agent, recipient: box.Address,
	}
	if ids := m.Parsed.Message.MessageIDs; len(ids) > 0 {
		l.original = oneLine(ids[0], 900)
	}
	l.text = words(l, m, box, n.cfg.Zone)
	if d.Answer == Forward {
		f := Facts{Message: m.Parsed.Message}
		l.replyTo = sender(&f).Address
		if len(f.Message.ReplyTo) > 0 {
			l.replyTo = f.Message.ReplyTo[0].Address
		}
	}
	return l
}

// answerKey names what is answered once about documents: sender and Message-ID; without
// a Message-ID the message itself.
func answerKey(m index.Detail, f *Facts) string {
	to := sender(f)
	if asked(f) {
		to = f.Message.ReceiptTo[0]
	}
	what := string(m.ID)
	if ids := m.Parsed.Message.MessageIDs; len(ids) > 0 && ids[0] != "" {
		what = "<" + ids[0] + ">"
	}
	return keyOf(strings.ToLower(to.Address), what)
}

// forwardKey names what is forwarded once: these bytes, to this mailbox. Nobody can keep
// a mail from being read by sending another one with its Message-ID.
func (n *Notifier) forwardKey(m index.Detail, box Mailbox) string {
	return keyOf(string(Forward), strings.ToLower(box.RepliesTo), string(m.Raw.SHA256))
}

// replyKey names who is told once that nobody reads a mailbox: a sender, today.
func (n *Notifier) replyKey(f *Facts) string {
	return keyOf(string(AutoReply), strings.ToLower(bare(f.Message.ReturnPath)), time.Now().In(n.cfg.Zone).Format(time.DateOnly))
}

func keyOf(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return string(greffe.DigestFrom(h[:]))
}
