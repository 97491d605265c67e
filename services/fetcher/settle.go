package fetcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// settler marks messages in their mailboxes after the fact. Every mark may be
// repeated: a keyword that is set stays set, a message that is gone needs
// nothing, a folder whose UIDVALIDITY changed holds other messages.
type settler struct {
	bus   *bus.Bus
	boxes map[string]*desk // by address, those that have something to mark
	// where remembers the messages that wait for a person, so that they can be
	// moved on once they are dealt with: fetcher-moved, by folder id and UID.
	where *bus.Bucket
}

// desk is the settling of one mailbox, one mark at a time.
type desk struct {
	mb   Mailbox
	pace pace
	log  *slog.Logger
	room chan struct{} // one for each event of this mailbox that is being handled

	mu      sync.Mutex
	session *session // nil when not connected
	open    string   // folder
	box     box
	idle    *time.Timer
	trouble time.Time // until then the mailbox is left alone
	warned  bool      // about a keyword that the server does not keep
}

// Of the events handled at once, a mailbox has only a share: while its server is
// slow the others go on.
const (
	settleAtOnce = 32
	settleShare  = 8
)

// place is where a message was moved to.
type place struct {
	Folder      string    `json:"folder"`
	UIDValidity uint32    `json:"uidvalidity"`
	UID         uint32    `json:"uid"`
	At          time.Time `json:"at"` // of the outcome
}

func newSettler(ctx context.Context, f *Fetcher) (*settler, error) {
	s := &settler{bus: f.bus, boxes: make(map[string]*desk)}
	for _, w := range f.boxes {
		if mb := w.mb; !mb.OnArchived.empty() || !mb.OnDelivered.empty() || !mb.OnFailed.empty() {
			s.boxes[mb.Address] = &desk{mb: mb, pace: f.pace, log: w.log, room: make(chan struct{}, settleShare)}
		}
	}
	if !s.wanted() {
		return s, nil
	}
	var err error
	s.where, err = f.bus.Bucket(ctx, "fetcher-moved")
	return s, err
}

func (s *settler) wanted() bool { return len(s.boxes) > 0 }

func (s *settler) close() {
	for _, d := range s.boxes {
		d.mu.Lock()
		d.hangUp()
		d.mu.Unlock()
	}
}

// markFor returns what a message in state st deserves; the zero Mark while a
// machine still works on it.
func (mb Mailbox) markFor(st greffe.State) Mark {
	switch st {
	case greffe.StateDelivered, greffe.StateDismissed, greffe.StateDuplicate:
		return mb.OnDelivered
	case greffe.StateTodo, greffe.StateRefused, greffe.StateIncident:
		return mb.OnFailed
	}
	return Mark{}
}

// settingFor names the setting that markFor returns, or that of what is only archived.
func (mb Mailbox) settingFor(st greffe.State) greffe.SettledMark {
	switch mark := mb.markFor(st); {
	case mark.empty():
		return greffe.SettledArchived
	case st.Waits():
		return greffe.SettledFailed
	}
	return greffe.SettledDelivered
}

func (s *settler) archived(ctx context.Context, e greffe.Archived) error {
	return s.settle(ctx, e.Origin, greffe.Settled{Message: e.ID, State: e.State, At: e.At})
}

func (s *settler) delivered(ctx context.Context, e greffe.Delivered) error {
	return s.settle(ctx, e.Origin, greffe.Settled{Message: e.Document.Message(), State: e.Message, At: e.Outcome.At})
}

// settle applies what is configured for an archived message in the state of done, and
// tells it.
func (s *settler) settle(ctx context.Context, o greffe.Origin, done greffe.Settled) error {
	st, at := done.State, done.At
	d := s.boxes[o.Mailbox]
	if d == nil {
		return nil
	}
	first, mark := d.mb.OnArchived, d.mb.markFor(st)
	if first.empty() && mark.empty() {
		return nil
	}
	select {
	case d.room <- struct{}{}:
		defer func() { <-d.room }()
	default:
		return bus.Later{After: 500 * time.Millisecond, Reason: "the mailbox has enough to do"}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if wait := time.Until(d.trouble); wait > 0 {
		return bus.Later{After: wait, Reason: "the mailbox is in trouble"}
	}
	// Under the lock: where the message is may be the work of another event.
	key := fmt.Sprintf("%s.%d", archivedKey(o.Mailbox, o.Folder, o.UIDValidity), o.UID)
	p, rev, err := s.locate(ctx, key)
	if err != nil {
		return err
	}
	switch {
	case p == nil:
		p = &place{Folder: o.Folder, UIDValidity: o.UIDValidity, UID: o.UID}
	case p.At.After(at):
		return nil // a later outcome was applied already
	}
	moved, result, err := d.mark(ctx, *p, first, mark)
	if err != nil {
		return d.judge(ctx, err)
	}
	done.Mark, done.Result = d.mb.settingFor(st), result
	// Before the place is remembered: an event that comes again is told again.
	if err := bus.Publish(ctx, s.bus, bus.Settled, done); err != nil {
		return fmt.Errorf("settle: %w: %w", bus.ErrUnavailable, err)
	}
	if moved == nil || (mark == d.mb.OnDelivered && rev == 0) {
		return nil // the usual case needs no memory: nothing comes after it
	}
	moved.At = at
	return s.remember(ctx, key, *moved, rev)
}

// locate returns where a message was moved to, nil when it was not.
func (s *settler) locate(ctx context.Context, key string) (*place, uint64, error) {
	value, rev, err := s.where.Get(ctx, key)
	if errors.Is(err, bus.ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("settle: %w: %w", bus.ErrUnavailable, err)
	}
	p := new(place)
	if json.Unmarshal(value, p) != nil || p.UID == 0 {
		return nil, rev, nil
	}
	return p, rev, nil
}

func (s *settler) remember(ctx context.Context, key string, p place, rev uint64) error {
	value, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if _, err := s.where.Put(ctx, key, value, rev); err != nil && !errors.Is(err, bus.ErrConflict) {
		return fmt.Errorf("settle: %w: %w", bus.ErrUnavailable, err)
	}
	return nil
}

// judge tells a server that refuses one mark, which is counted and in the end
// shown to a person, from one that is in trouble, which is waited for.
func (d *desk) judge(ctx context.Context, err error) error {
	d.hangUp()
	var answer *imap.Error
	if ctx.Err() != nil || (errors.As(err, &answer) && !errors.Is(err, errLogin) && !unsure(answer)) {
		return fmt.Errorf("settle: %w", err)
	}
	d.trouble = time.Now().Add(d.pace.settleTrouble)
	d.log.Warn("messages cannot be marked", slog.Any("error", err))
	return fmt.Errorf("settle: %w: %w", bus.ErrUnavailable, err)
}

// mark marks the message at p and returns where it is now, nil when it was not
// moved or the server did not say where to, and whether it was there.
func (d *desk) mark(ctx context.Context, p place, marks ...Mark) (*place, greffe.SettleResult, error) {
	if err := d.connect(ctx); err != nil {
		return nil, "", err
	}
	s := d.session
	defer context.AfterFunc(ctx, func() { s.conn.kill(ctx.Err()) })()
	if err := d.enter(p.Folder); err != nil {
		var answer *imap.Error
		if errors.As(err, &answer) && !unsure(answer) {
			return nil, greffe.SettleGone, nil // the folder is gone, and the message with it
		}
		return nil, "", err
	}
	if d.box.validity != p.UIDValidity {
		return nil, greffe.SettleGone, nil
	}
	flags, found, err := d.session.flags(p.UID)
	if err != nil || !found || slices.Contains(flags, imap.FlagDeleted) {
		return nil, greffe.SettleGone, err // gone, or moved before on a server that cannot expunge one message
	}
	for _, m := range marks {
		if m.Keyword == "" || hasKeyword(flags, m.Keyword) {
			continue
		}
		if !d.box.keeps(m.Keyword) {
			if !d.warned {
				d.warned = true
				d.log.Warn("the server does not keep the keyword", slog.String("keyword", m.Keyword))
			}
			continue
		}
		if err := d.session.store(p.UID, imap.Flag(m.Keyword)); err != nil {
			return nil, "", err
		}
	}
	for _, m := range slices.Backward(marks) {
		if m.Move != "" && folderName(m.Move) != p.Folder {
			moved, err := d.session.move(p.UID, m.Move)
			return moved, greffe.SettleDone, err
		}
	}
	return nil, greffe.SettleDone, nil
}

// connect makes the connection when there is none. It outlives the event, and
// is closed when nothing is marked for a while.
func (d *desk) connect(ctx context.Context) error {
	if d.idle != nil {
		d.idle.Stop()
	}
	if d.session != nil && d.session.conn.why() != nil {
		d.hangUp()
	}
	if d.session == nil {
		s, err := dial(ctx, d.mb, d.pace)
		if err != nil {
			return err
		}
		if err := s.login(d.mb); err != nil {
			s.close()
			return err
		}
		s.stop() // from ctx
		d.session, d.open = s, ""
	}
	d.armIdle()
	return nil
}

// enter opens the folder for writing, unless it is open.
func (d *desk) enter(folder string) error {
	if d.open == folder {
		return nil
	}
	d.open = ""
	b, err := d.session.open(folder, false)
	if err != nil {
		return err
	}
	d.open, d.box = folder, b
	return nil
}

// armIdle closes the connection when nothing is marked for a while.
func (d *desk) armIdle() {
	s := d.session
	d.idle = time.AfterFunc(d.pace.settleIdle, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.session == s {
			d.hangUp()
		}
	})
}

// hangUp closes the connection; the lock is held.
func (d *desk) hangUp() {
	if d.idle != nil {
		d.idle.Stop()
	}
	if d.session != nil {
		d.session.close()
	}
	d.session, d.open = nil, ""
}

func hasKeyword(flags []imap.Flag, keyword string) bool {
	return slices.ContainsFunc(flags, func(f imap.Flag) bool { return strings.EqualFold(string(f), keyword) })
}

// keeps reports whether the folder keeps a keyword: one it lists, or any
// (PERMANENTFLAGS with \*, RFC 9051 §7.1). A server that lists nothing keeps all.
func (b box) keeps(keyword string) bool {
	return len(b.keywords) == 0 || slices.Contains(b.keywords, imap.FlagWildcard) || hasKeyword(b.keywords, keyword)
}
