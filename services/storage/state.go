package storage

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

const (
	stateEvery = 5 * time.Minute
	// stateWait is how long after its end a day is stated although some folder was not
	// compared with its server since: that it was not is then what is stated.
	stateWait = 2 * time.Hour
)

// onListed keeps what a server listed, for the statements.
func (s *Storage) onListed(ctx context.Context, l greffe.Listed) error {
	if err := s.index.SaveListed(ctx, l); err != nil {
		return s.blame(ctx, indexError{err})
	}
	return nil
}

// onSettled notes what was done to a message in its mailbox, which has no index.
func (s *Storage) onSettled(ctx context.Context, e greffe.Settled) error {
	err := s.index.SaveSettled(ctx, e)
	if errors.Is(err, index.ErrNotFound) {
		// Eliminated since: there is nothing to note it about.
		s.log.Warn("settled message is not known", slog.String("message", string(e.Message)))
		return nil
	}
	if err != nil {
		return s.blame(ctx, indexError{err})
	}
	return nil
}

// stateDays states each ended day of each mailbox, and again when that changes what is
// said of it, until ctx is done. Several services may do it: the index writes a
// statement once.
func (s *Storage) stateDays(ctx context.Context) {
	t := time.NewTicker(stateEvery)
	defer t.Stop()
	for {
		for _, w := range s.cfg.Watched {
			if err := s.stateMailbox(ctx, w, time.Now()); err != nil && ctx.Err() == nil {
				s.log.Warn("days of a mailbox not stated", slog.String("mailbox", w.Address), slog.Any("error", err))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// stateMailbox states the days of one mailbox that have ended by now.
func (s *Storage) stateMailbox(ctx context.Context, w index.Watched, now time.Time) error {
	y, m, d := now.In(s.cfg.Zone).Date()
	days, err := s.index.DaysToState(ctx, w, time.Date(y, m, d, 0, 0, 0, 0, s.cfg.Zone))
	if err != nil {
		return err
	}
	for _, day := range days {
		st, err := s.index.Completeness(ctx, w, day)
		if err != nil {
			return err
		}
		if !st.Complete && now.Before(day.AddDate(0, 0, 1).Add(stateWait)) {
			continue // most likely about to be compared
		}
		written, err := s.index.SaveStatement(ctx, st, day)
		if err != nil {
			return err
		}
		if written {
			level := slog.LevelInfo
			if !st.OK() {
				level = slog.LevelWarn
			}
			s.log.Log(ctx, level, "day stated", slog.String("mailbox", w.Address), slog.String("day", st.Day), slog.String("result", st.Result()),
				slog.Int("seen", st.Seen), slog.Int("archived", st.Archived), slog.Int("missing", st.Missing))
		}
	}
	return nil
}
