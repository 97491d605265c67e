package fetcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"greffe/pkg/greffe"
)

// Rules of the messages that are refused unread.
var (
	ruleTooBig = greffe.Rule{ID: "fetch.toobig", Severity: greffe.Refuse, Source: "Greffe",
		Text: "Ce message pèse %s, plus que la limite de %s : il n’a pas été téléchargé. Il reste dans la boîte aux lettres, où il faut le lire avec un autre logiciel."}
	ruleUnreadable = greffe.Rule{ID: "fetch.unreadable", Severity: greffe.Refuse, Source: "Greffe",
		Text: "Le serveur de messagerie n’a pas réussi à remettre ce message en entier, après %d essais. Il reste dans la boîte aux lettres, où il faut le lire avec un autre logiciel."}
)

// Rules lists what Greffe checks while taking messages.
func Rules() []greffe.Rule { return []greffe.Rule{ruleTooBig, ruleUnreadable} }

// ourSide is an error of the bus: no message is to blame for it.
type ourSide struct{ err error }

func (e ourSide) Error() string { return e.err.Error() }
func (e ourSide) Unwrap() error { return e.err }

// batch is how many bodies one FETCH asks for: enough that the line never waits
// for us, few enough that a break costs little.
const (
	batch      = 50
	batchBytes = 64 << 20
	turn       = 500 // messages after which the other folders have their turn
	maxRetake  = 6 * time.Hour
	tries      = 3 // of a message that breaks the connection
)

// folder is what is remembered of a folder between two comparisons. All of it
// may be lost: the ledger and the server know.
type folder struct {
	name    string
	log     *slog.Logger
	missing bool
	odd     bool      // the server announced a wrong size before
	seen    box       // at the last comparison
	due     time.Time // when a message that was put off may be tried again

	validity uint32
	cursor   bookmark
	taken    map[uint32]attempt // published, not yet known to be archived
	suspects map[uint32]attempt // could not be read
	careful  int                // messages still to be read one at a time, to learn which one breaks

	listed    uidSet    // told of as seen, by this process
	listedAll time.Time // when that all was told of was last told
	undated   bool      // asking for dates broke the connection: the next list goes without
}

type attempt struct {
	at    time.Time
	n     int
	facts facts // of a suspect, as far as they are known
}

// reconcile takes what the folder holds and the archive does not.
func (w *watcher) reconcile(ctx context.Context, s *session, fo *folder) error {
	b, err := s.open(fo.name, true)
	if err != nil {
		return err
	}
	if err := w.renew(ctx, fo, b.validity); err != nil {
		return ourSide{err}
	}
	asked := time.Now().UTC()
	server, err := s.uids(b)
	if err != nil {
		return err
	}
	archived, err := w.f.ledger.archived(ctx, w.mb.Address, fo.name, b.validity)
	if err != nil {
		return ourSide{err}
	}
	if lost := archived.from(b.next).minus(server); b.next != 0 && len(lost) > 0 {
		// UIDs that the server has yet to give: it was restored from a backup without
		// a new UIDVALIDITY. What comes under them is another message.
		fo.log.Warn("the server forgot messages and will give their UIDs again", slog.Int("uids", lost.count()))
		if err := w.f.ledger.forget(ctx, w.mb.Address, fo.name, b.validity, lost); err != nil {
			return ourSide{err}
		}
		archived = archived.minus(lost)
		fo.listed = fo.listed.minus(lost)
	}
	left := server.minus(archived)
	fo.forget(left)
	fo.seen = b
	w.pending.compared(fo.name, b.validity, server.count(), left, asked)
	now := time.Now()
	fo.due = now.Add(24 * time.Hour)
	if left, err = w.list(ctx, s, fo, left, asked); err != nil {
		return err
	}
	var chunk []uint32
	flush := func() error {
		if len(chunk) == 0 {
			return nil
		}
		err := w.take(ctx, s, fo, chunk)
		chunk = chunk[:0]
		return err
	}
	done := 0
	for uid := range left.all() {
		if !fo.ready(uid, now, w.f) {
			continue
		}
		if done++; done > turn {
			fo.due = now
			break
		}
		if a := fo.suspects[uid]; a.n >= tries {
			if err := w.refuse(ctx, fo, a.facts, ruleUnreadable.At("", tries)); err != nil {
				return err
			}
			continue
		}
		alone := fo.careful > 0 || fo.suspects[uid].n > 0
		if alone {
			if err := flush(); err != nil {
				return err
			}
			fo.careful = max(0, fo.careful-1)
		}
		chunk = append(chunk, uid)
		if alone || len(chunk) == batch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// renew forgets everything when the server renamed its messages (RFC 9051
// §2.3.1.1): all are taken again, under new ids; documents that came before are
// recognised by their identity later. It also loads the cursor after a start.
func (w *watcher) renew(ctx context.Context, fo *folder, validity uint32) error {
	if fo.validity == validity {
		return nil
	}
	if fo.validity != 0 {
		fo.log.Warn("uidvalidity changed: the folder is taken again",
			slog.Uint64("from", uint64(fo.validity)), slog.Uint64("to", uint64(validity)))
	}
	set, err := w.f.ledger.taken(ctx, &fo.cursor, validity)
	if err != nil {
		return err
	}
	// Published before this start and perhaps on its way: given the full delay.
	fo.taken, fo.suspects, fo.careful = make(map[uint32]attempt), make(map[uint32]attempt), 0
	fo.listed, fo.listedAll = nil, time.Time{}
	now := time.Now()
	archived, err := w.f.ledger.archived(ctx, w.mb.Address, fo.name, validity)
	if err != nil {
		return err
	}
	for uid := range set.minus(archived).all() {
		fo.taken[uid] = attempt{at: now, n: 1}
	}
	fo.validity = validity
	return nil
}

// forget drops what is archived or gone from the server.
func (fo *folder) forget(left uidSet) {
	for _, m := range []map[uint32]attempt{fo.taken, fo.suspects} {
		for uid := range m {
			if !left.has(uid) {
				delete(m, uid)
			}
		}
	}
}

// ready reports whether a message may be taken now, and notes when it may
// otherwise.
func (fo *folder) ready(uid uint32, now time.Time, f *Fetcher) bool {
	at := now
	if a, ok := fo.taken[uid]; ok {
		// Longer each time: what waits for a store that is down must not fill the bus.
		at = a.at.Add(min(f.cfg.Retake<<min(a.n-1, 16), max(maxRetake, f.cfg.Retake)))
	} else if a := fo.suspects[uid]; a.n > 0 && a.n < tries {
		at = a.at.Add(f.pace.suspect[a.n-1])
	}
	if !at.After(now) {
		return true
	}
	if at.Before(fo.due) {
		fo.due = at
	}
	return false
}

// suspect counts a message that could not be read; it is tried again later,
// alone, so that the rest of the folder goes on.
func (fo *folder) suspect(m facts, f *Fetcher) {
	a := fo.suspects[m.uid]
	a.n, a.at = a.n+1, time.Now()
	if !m.date.IsZero() || a.n == 1 {
		a.facts = m
	}
	fo.suspects[m.uid] = a
	if a.n >= tries {
		fo.due = a.at
	} else if at := a.at.Add(f.pace.suspect[a.n-1]); at.Before(fo.due) {
		fo.due = at
	}
}

// take reads the messages uids, in ascending order. Sizes come first, so that
// what is too large is never downloaded; a message that is gone by now is left.
func (w *watcher) take(ctx context.Context, s *session, fo *folder, uids []uint32) error {
	listed, err := s.sizes(uids)
	if err != nil {
		return w.blame(fo, uids, facts{}, err)
	}
	byUID := make(map[uint32]facts, len(listed))
	for _, m := range listed {
		byUID[m.uid] = m
	}
	var group []uint32
	var bytes int64
	flush := func() error {
		if len(group) == 0 {
			return nil
		}
		defer func() { group, bytes = group[:0], 0 }()
		if err := w.flight.room(ctx); err != nil {
			return err
		}
		return w.read(ctx, s, fo, group, byUID)
	}
	for _, uid := range uids {
		m, ok := byUID[uid]
		switch {
		case !ok:
			fo.suspect(facts{uid: uid}, w.f) // gone, and forgotten at the next comparison; or there and unreadable
			continue
		case m.size > w.f.cfg.MaxSize:
			if err := w.refuse(ctx, fo, m, ruleTooBig.At("", megabytes(m.size), megabytes(w.f.cfg.MaxSize))); err != nil {
				return err
			}
			continue
		}
		if bytes+m.size > batchBytes && len(group) > 0 {
			if err := flush(); err != nil {
				return err
			}
		}
		group, bytes = append(group, uid), bytes+m.size
	}
	return flush()
}

var errRefused = errors.New("a message larger than announced was refused")

// read downloads a group of messages in one FETCH, spools each as it comes, and
// leaves telling of it to a teller, so that the next one need not wait.
func (w *watcher) read(ctx context.Context, s *session, fo *folder, group []uint32, byUID map[uint32]facts) error {
	t, a := w.tell(ctx, fo), newAhead()
	current, err := s.bodies(group, func(uid uint32, size int64, r io.Reader) error {
		m := byUID[uid]
		if size > w.f.cfg.MaxSize { // whatever was announced
			m.size = size
			if err := t.add(w.refused(fo, m, ruleTooBig.At("", megabytes(size), megabytes(w.f.cfg.MaxSize)))); err != nil {
				return err
			}
			return errRefused
		}
		if size == 0 && m.size > 0 {
			return nil // the server has nothing to give: tried again as unreadable
		}
		if size != m.size && !fo.odd {
			fo.odd = true
			fo.log.Info("server announces wrong sizes", slog.Int64("announced", m.size), slog.Int64("received", size))
		}
		spool := func(r io.Reader) error {
			e, err := w.spool(ctx, fo, m, size, r)
			if err != nil {
				return err
			}
			return t.add(e)
		}
		if size <= aheadSize {
			return a.read(r, size, spool)
		}
		return spool(r)
	})
	behind := a.wait() // before the teller ends: they speak to it
	told, failed := t.end()
	fo.tookAll(told)
	err = cmp.Or(err, behind, failed)
	if err != nil {
		return w.blame(fo, group, byUID[current], err)
	}
	for _, uid := range group {
		if !told.has(uid) {
			fo.suspect(byUID[uid], w.f)
		}
	}
	return nil
}

// blame notes which message broke the connection. When several could have, the
// next ones are read one at a time until the guilty one shows.
func (w *watcher) blame(fo *folder, uids []uint32, current facts, err error) error {
	var ours ourSide
	switch {
	case errors.As(err, &ours), errors.Is(err, errRefused), errors.Is(err, context.Canceled):
	case current.uid != 0:
		fo.suspect(current, w.f)
	case len(uids) == 1:
		fo.suspect(facts{uid: uids[0]}, w.f)
	default:
		fo.careful = len(uids)
	}
	return err
}

// spool streams one message into the spool, which computes its digest. The
// order of what follows matters: bytes, event, cursor. A crash in between repeats
// work and loses nothing.
func (w *watcher) spool(ctx context.Context, fo *folder, m facts, size int64, r io.Reader) (greffe.Received, error) {
	o := w.origin(fo, m)
	body := &exact{r: r, left: size}
	// One name for each try: a reader of an earlier copy is not disturbed.
	name := fmt.Sprintf("%s.%d.%d.%d", folderID(o.Mailbox, o.Folder), o.UIDValidity, o.UID, time.Now().UnixNano())
	raw, err := w.f.bus.Spool(ctx, name, body)
	if err != nil {
		if body.err != nil {
			return greffe.Received{}, body.err
		}
		return greffe.Received{}, ourSide{err}
	}
	return greffe.Received{
		ID: greffe.NewMessageID(o, raw), Origin: o, Size: size, SHA256: raw, Spool: name, At: time.Now().UTC(),
	}, nil
}

// refused is the event of a message that is not read.
func (w *watcher) refused(fo *folder, m facts, finding greffe.Finding) greffe.Received {
	o := w.origin(fo, m)
	return greffe.Received{ID: greffe.NewMessageID(o, ""), Origin: o, Size: m.size, Refused: &finding, At: time.Now().UTC()}
}

// refuse tells of a message that is not read.
func (w *watcher) refuse(ctx context.Context, fo *folder, m facts, finding greffe.Finding) error {
	t := w.tell(ctx, fo)
	err := t.add(w.refused(fo, m, finding))
	told, failed := t.end()
	fo.tookAll(told)
	return errors.Join(err, failed)
}

func (w *watcher) origin(fo *folder, m facts) greffe.Origin {
	return greffe.Origin{Mailbox: w.mb.Address, Folder: fo.name, UIDValidity: fo.validity, UID: m.uid, InternalDate: m.date}
}

// tookAll notes what was published just now.
func (fo *folder) tookAll(uids uidSet) {
	for uid := range uids.all() {
		delete(fo.suspects, uid)
		fo.taken[uid] = attempt{at: time.Now(), n: fo.taken[uid].n + 1}
	}
}

// exact gives the announced number of bytes or an error: after a clean close in
// the middle of a literal the client reports the end as if all had come.
type exact struct {
	r    io.Reader
	left int64
	err  error // of the connection
}

func (e *exact) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	e.left -= int64(n)
	if errors.Is(err, io.EOF) {
		if e.left == 0 {
			return n, io.EOF
		}
		err = errCut
	}
	if err != nil {
		e.err = err
	}
	return n, err
}

// megabytes writes a size for a person.
func megabytes(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d Kio", max(1, n>>10))
	}
	return fmt.Sprintf("%d Mio", n>>20)
}
