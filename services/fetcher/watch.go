package fetcher

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// watcher takes from one mailbox. Its goroutine alone uses folders.
type watcher struct {
	f       *Fetcher
	mb      Mailbox
	log     *slog.Logger
	folders []*folder
	flight  *flight
	pending *pending
	warned  map[greffe.Expiry]int // by what was logged, how many days ahead (plus one)

	mu     sync.Mutex
	status MailboxStatus
}

func newWatcher(f *Fetcher, mb Mailbox) *watcher {
	w := &watcher{f: f, mb: mb, flight: newFlight(), pending: newPending(), warned: map[greffe.Expiry]int{}, log: f.log.With(slog.String("mailbox", mb.Address)), status: MailboxStatus{Address: mb.Address}}
	for i, name := range mb.Folders {
		// Folders carry names of professionals: logs give their number.
		w.folders = append(w.folders, &folder{name: name, cursor: bookmark{key: folderID(mb.Address, name)}, log: w.log.With(slog.Int("folder", i+1))})
	}
	return w
}

func (w *watcher) state() MailboxStatus {
	w.mu.Lock()
	s := w.status
	w.mu.Unlock()
	s.Notice = notice(s.Expiries, time.Now())
	s.Folders = w.pending.figures(w.mb.Folders)
	for _, f := range s.Folders {
		s.Waiting += f.Waiting
	}
	return s
}

func (w *watcher) set(change func(*MailboxStatus)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.status
	change(&w.status)
	if s := w.status; s.Connected != old.Connected || s.Error != old.Error || s.LastSuccess.IsZero() != old.LastSuccess.IsZero() {
		select {
		case w.f.changed <- struct{}{}:
		default:
		}
	}
}

// fail shows what is wrong; nil shows that all is well.
func (w *watcher) fail(err error) {
	w.set(func(s *MailboxStatus) {
		switch {
		case err == nil:
			s.Error, s.ErrorSince = "", time.Time{}
		default:
			if s.Error == "" {
				s.ErrorSince = time.Now()
			}
			s.Error = sentence(err, w.mb)
		}
	})
}

// run keeps a connection up until ctx is done.
func (w *watcher) run(ctx context.Context) {
	p := w.f.pace
	backoff := p.retry
	for ctx.Err() == nil {
		well, err := w.hold(ctx)
		if ctx.Err() != nil {
			return
		}
		if well {
			backoff = p.retry
		}
		wait := backoff
		switch {
		case errors.Is(err, bus.ErrHeld):
			// Another process takes from it; see again soon whether it still does.
			w.fail(nil)
			wait = p.lease / 5
		case err != nil:
			w.fail(err)
			if errors.Is(err, errLogin) {
				wait = max(wait, p.refused)
			}
			w.log.Warn("mailbox in trouble", slog.Any("error", err), slog.Duration("retry_in", wait))
			backoff = min(2*max(backoff, wait), p.retryMax)
		}
		// A little chance keeps a hundred mailboxes of one server apart.
		wait += rand.N(wait/4 + 1)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// hold takes the lease and serves the mailbox with it. The lease is given up
// between two tries: perhaps another process can reach the server. well is true
// when a full round was made.
func (w *watcher) hold(ctx context.Context) (well bool, err error) {
	lease, err := w.f.bus.Lease(ctx, "fetcher."+folderID(w.mb.Address, ""), w.f.pace.lease)
	if err != nil {
		return false, err
	}
	defer func() {
		if e := lease.Release(); e != nil && err == nil && ctx.Err() == nil {
			err = e
		}
	}()
	held, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(lease.Context(), cancel)()
	return w.serve(held)
}

// idleMax is under the 29 minutes after which servers may hang up (RFC 2177).
const idleMax = 25 * time.Minute

// serve connects and takes until something breaks.
func (w *watcher) serve(ctx context.Context) (well bool, err error) {
	s, err := dial(ctx, w.mb, w.f.pace)
	if err != nil {
		return false, err
	}
	defer s.close()
	if err := s.login(w.mb); err != nil {
		return false, err
	}
	w.log.Info("mailbox connected")
	w.set(func(m *MailboxStatus) { m.Connected, m.Expiries = true, expiries(w.mb, s.server()) })
	defer w.set(func(m *MailboxStatus) { m.Connected = false })
	var full time.Time // when the next full round is due
	for {
		now := time.Now()
		all := !now.Before(full)
		select {
		case <-s.news: // what comes from here on is news again
		default:
		}
		w.watchExpiries(now)
		soonest, err := w.round(ctx, s, all)
		if err != nil {
			return well, err
		}
		if all {
			full = now.Add(w.f.cfg.Reconcile)
		}
		well = true
		next := min(w.f.cfg.Reconcile, idleMax, time.Until(soonest))
		if len(w.folders) > 1 {
			next = min(next, w.f.pace.poll)
		}
		if err := s.idle(max(next, 10*time.Millisecond), ctx.Done()); err != nil {
			return well, err
		}
		if ctx.Err() != nil {
			return well, ctx.Err()
		}
	}
}

// round compares the folders with what is archived and takes what is missing:
// the first folder always, the others when all is true or their state changed.
// The first comes last so that it is the open one when the connection idles. It
// returns when a message that was put off is due.
func (w *watcher) round(ctx context.Context, s *session, all bool) (soonest time.Time, err error) {
	soonest = time.Now().Add(24 * time.Hour)
	var missing error
	for i := len(w.folders) - 1; i >= 0; i-- {
		fo := w.folders[i]
		due := all || i == 0 || !fo.due.After(time.Now())
		if !due {
			b, err := s.peek(fo.name)
			if err != nil && !errors.Is(err, errFolder) {
				return soonest, err
			}
			due = err != nil || b.validity != fo.seen.validity || b.next != fo.seen.next || b.messages != fo.seen.messages
		}
		if due {
			err := w.reconcile(ctx, s, fo)
			switch {
			case errors.Is(err, errFolder):
				if !fo.missing {
					fo.log.Warn("folder cannot be opened", slog.Any("error", err))
				}
				fo.missing, missing = true, &folderError{fo.name, err}
				fo.due = time.Now().Add(24 * time.Hour) // the next full round sees again
			case err != nil:
				return soonest, err
			default:
				fo.missing = false
			}
		}
		if fo.missing && missing == nil {
			missing = &folderError{fo.name, errFolder}
		}
		if fo.due.Before(soonest) {
			soonest = fo.due
		}
	}
	w.fail(missing)
	w.set(func(m *MailboxStatus) {
		if all && missing == nil {
			m.LastSuccess = time.Now()
		}
	})
	return soonest, nil
}

// folderError is errFolder with the name that the sentence for a person needs
// and the log must not have.
type folderError struct {
	name string
	err  error
}

func (e *folderError) Error() string { return e.err.Error() }
func (e *folderError) Unwrap() error { return e.err }
