package console

import (
	"context"
	"net/http"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

type mailboxesPage struct {
	Boxes []mailboxView
	Mute  bool // what the services say could not be read
	Days  int  // without a look, after which a mailbox is unattended
}

// mailboxView is how one mailbox goes, for who watches over it.
type mailboxView struct {
	Address string
	About
	index.MailboxState
	Standing   bus.Standing
	Class      string // good, care, bad
	Silent     bool   // no process takes from it
	Server     int    // messages on the server
	Archived   int    // of them, those that the archive has
	ToCome     int    // the others
	Oldest     time.Time
	Todo       int // messages that a person must see to
	Sub        []greffe.FolderFigures
	Expiries   []expiryView
	Unattended bool
}

type expiryView struct {
	greffe.Expiry
	Days int // left
	Near bool
}

// showMailboxes shows administrators how each mailbox goes: no message, only counts.
func (c *Console) showMailboxes(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := c.record(v, "read", "", "ok", "mailboxes"); err != nil {
		return err
	}
	lines, err := c.serviceLines(r.Context())
	p := mailboxesPage{Mute: err != nil, Days: int(c.cfg.Unattended / (24 * time.Hour))}
	if p.Boxes, err = c.mailboxViews(r.Context(), lines, time.Now()); err != nil {
		return err
	}
	return c.render(w, r, v, http.StatusOK, "boites", page{Title: "Boîtes aux lettres", Nav: "boites", Data: p})
}

// mailboxViews returns how each mailbox goes, as the index and the services say it.
func (c *Console) mailboxViews(ctx context.Context, lines []serviceLine, now time.Time) ([]mailboxView, error) {
	var list []mailboxView
	for _, m := range c.cfg.Mailboxes {
		b := mailboxView{Address: m, About: c.cfg.About[m], Class: "care"}
		var err error
		if b.MailboxState, err = c.db.Mailbox(ctx, m); err != nil {
			return nil, err
		}
		b.Todo = b.Counts[greffe.StateTodo] + b.Counts[greffe.StateRefused] + b.Counts[greffe.StateIncident]
		b.Unattended = b.UnattendedFor(c.cfg.Unattended, now)
		for _, l := range lines {
			if l.Service == "fetcher" && l.Instance == m {
				b.Standing, b.Class, b.Silent = l.Standing, l.Class, l.Silent
			}
		}
		if b.Standing.Mailbox != nil {
			b.figures(*b.Standing.Mailbox, now)
		}
		list = append(list, b)
	}
	return list, nil
}

func (b *mailboxView) figures(f greffe.MailboxFigures, now time.Time) {
	b.Sub = f.Folders
	for _, s := range f.Folders {
		b.Server += s.Server
		b.ToCome += s.Waiting
		if !s.Oldest.IsZero() && (b.Oldest.IsZero() || s.Oldest.Before(b.Oldest)) {
			b.Oldest = s.Oldest
		}
	}
	b.Archived = b.Server - b.ToCome
	for _, e := range f.Expiries {
		b.Expiries = append(b.Expiries, expiryView{Expiry: e, Days: int(e.At.Sub(now) / (24 * time.Hour)), Near: e.Ahead(now) >= 0})
	}
}
