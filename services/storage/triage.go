package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// onTriaged carries out a person's decision about a message as a whole. The index has it
// once; a legal hold is put on the objects of the archive before "placed" is told, and
// repeated for as long as it is not.
func (s *Storage) onTriaged(ctx context.Context, d greffe.Triaged) (greffe.Placed, error) {
	done := greffe.Placed{ID: d.ID, Message: d.Message}
	switch d.Verb {
	case greffe.VerbClose, greffe.VerbReopen, greffe.VerbLater, greffe.VerbPass, greffe.VerbMove, greffe.VerbHold, greffe.VerbRelease:
	default:
		return done, fmt.Errorf("decision %s: %w: unknown verb", d.ID, bus.ErrPermanent)
	}
	if d.Verb == greffe.VerbHold || d.Verb == greffe.VerbRelease {
		if err := s.hold(ctx, d); err != nil {
			return done, s.blame(ctx, err)
		}
	}
	// After the hold: who reads that it was decided finds it done.
	if _, err := s.index.SaveTriage(ctx, d); err != nil {
		if errors.Is(err, index.ErrNotFound) {
			return done, fmt.Errorf("%w: %w", bus.ErrPermanent, err)
		}
		return done, s.blame(ctx, indexError{err})
	}
	s.log.Info("decision applied", slog.String("message", string(d.Message)), slog.String("verb", string(d.Verb)))
	return done, nil
}

// hold puts a message under a legal hold, or releases it, once for each decision: one
// that comes again after another was made must not undo that.
func (s *Storage) hold(ctx context.Context, d greffe.Triaged) error {
	m, err := s.index.Message(ctx, d.Message)
	if err != nil {
		return indexError{err}
	}
	for _, done := range m.Triages {
		if done.ID == d.ID {
			return nil
		}
	}
	_, held, err := s.index.HoldOf(ctx, d.Message)
	if err != nil {
		return indexError{err}
	}
	if !held && d.Verb == greffe.VerbRelease {
		return nil
	}
	_, err = NewLocks(s.store, s.index).Hold(ctx, m, d.Verb == greffe.VerbHold, d.By, d.Reason, false)
	return err
}
