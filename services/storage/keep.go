package storage

import (
	"context"
	"errors"
	"fmt"
	"io"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// keep puts the raw message into the archive and notes it in the index. It may
// be repeated. A message that was refused unread has no bytes: it is only noted.
func (s *Storage) keep(ctx context.Context, r greffe.Received) (greffe.Object, error) {
	if err := checkReceived(r); err != nil {
		return greffe.Object{}, err
	}
	var raw greffe.Object
	if r.Refused == nil {
		var err error
		if raw, err = s.keepRaw(ctx, r); err != nil {
			return greffe.Object{}, err
		}
	}
	if err := s.index.SaveReceived(ctx, r, raw); err != nil {
		return greffe.Object{}, indexError{err}
	}
	return raw, nil
}

// checkReceived refuses an event that names nothing that can be kept.
func checkReceived(r greffe.Received) error {
	switch {
	case !r.ID.Valid():
		return fmt.Errorf("%w: message id", ErrEvent)
	case r.Refused == nil && (!r.SHA256.Valid() || r.Size < 0 || r.Size > maxSize):
		return fmt.Errorf("%w: message %s has no digest or an absurd size", ErrEvent, r.ID)
	}
	return nil
}

func (s *Storage) keepRaw(ctx context.Context, r greffe.Received) (greffe.Object, error) {
	spooled, err := s.bus.Unspool(ctx, r.Spool)
	if errors.Is(err, bus.ErrNotFound) {
		// Dropped: then it was archived, and the archive has to prove it.
		return s.keptRaw(ctx, r)
	}
	if err != nil {
		return greffe.Object{}, fmt.Errorf("open spooled message %s: %w", r.ID, err)
	}
	defer spooled.Close()
	raw, err := s.store.Put(ctx, archive.RawKey(r.ID), spooled, r.Size, r.SHA256)
	if err != nil {
		return greffe.Object{}, fmt.Errorf("keep message %s: %w", r.ID, err)
	}
	return raw, nil
}

// keptRaw returns the raw message that is in the archive, after reading it; ErrLost
// when it is not there.
func (s *Storage) keptRaw(ctx context.Context, r greffe.Received) (greffe.Object, error) {
	i, err := s.store.Stat(ctx, archive.RawKey(r.ID))
	if errors.Is(err, archive.ErrNotFound) {
		return greffe.Object{}, fmt.Errorf("%w: %s", ErrLost, r.ID)
	}
	if err != nil {
		return greffe.Object{}, fmt.Errorf("look for message %s: %w", r.ID, err)
	}
	raw := greffe.Object{Key: i.Key, Version: i.Version, SHA256: r.SHA256, Size: r.Size}
	if err := readBack(ctx, s.store, raw); err != nil {
		return greffe.Object{}, err
	}
	return raw, nil
}

// readBack reads an object to its end and checks its digest.
func readBack(ctx context.Context, store archive.Store, o greffe.Object) error {
	f, err := store.Open(ctx, o)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(io.Discard, archive.Checked(f, o.Size, o.SHA256)); err != nil {
		return fmt.Errorf("read back %s: %w", o.Key, err)
	}
	return nil
}
