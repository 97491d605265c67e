package notifier

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// bounced reads a delivery status notification (RFC 3464) that arrived in a mailbox:
// when it is about an answer that this mailbox sent, that answer failed.
func (n *Notifier) bounced(ctx context.Context, box Mailbox, m greffe.Message) error {
	if m.DSNAction != "" && m.DSNAction != "failed" {
		return nil // delayed, relayed, delivered: nobody has to act
	}
	for _, id := range slices.Concat(m.OriginalIDs, m.MessageIDs, m.InReplyTo, m.References) {
		// Another mailbox of ours gets no reports about what this one sent.
		if domain(id) != domain(box.Address) || !ourMail(id, n.cfg.Own) {
			continue
		}
		a, err := n.index.AnswerSentAs(ctx, id)
		if errors.Is(err, index.ErrNotFound) {
			continue
		}
		if err != nil {
			return fault("read delivery status", err)
		}
		switch a.State {
		case greffe.AnswerDue:
			return bus.Later{After: leaseBusy, Reason: "the report came before the sending was recorded"}
		case greffe.AnswerSent:
		default:
			continue // known, or a person has looked after it
		}
		about, err := n.index.Message(ctx, a.Message)
		if err != nil {
			return fault("read delivery status", err)
		}
		if !strings.EqualFold(about.Origin.Mailbox, box.Address) {
			continue
		}
		a.State, a.Reason = greffe.AnswerFailed, "L’opérateur n’a pas pu remettre cet envoi"
		if m.DSNStatus != "" {
			a.Reason += " (" + m.DSNStatus + ")"
		}
		a.Reason += ". " + otherwise(Answer(a.Kind))
		if err := n.index.SaveAnswer(ctx, a); err != nil {
			return fault("read delivery status", err)
		}
		n.log.Warn("answer not delivered", slog.String("message", string(a.Message)), slog.String("kind", a.Kind), slog.String("status", m.DSNStatus), slog.Time("begun", a.Begun.Truncate(time.Second)))
	}
	return nil
}
