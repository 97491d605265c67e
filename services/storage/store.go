package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/eml"
	"greffe/pkg/greffe"
)

// storeMessage brings a message that was read into the archive and the index. It
// may be repeated at any time: a message that has its manifest is only written
// into the index again.
func (s *Storage) storeMessage(ctx context.Context, p greffe.Parsed) (greffe.Archived, error) {
	if err := checkReceived(p.Received); err != nil {
		return greffe.Archived{}, err
	}
	m, manifest, err := s.committed(ctx, p)
	if errors.Is(err, archive.ErrNotFound) {
		m, manifest, err = s.commit(ctx, p)
	}
	if err != nil {
		return greffe.Archived{}, err
	}
	a, err := s.index.SaveArchived(ctx, m.Parsed, manifest, m.Raw, m.Objects)
	if err != nil {
		return greffe.Archived{}, indexError{err}
	}
	a.Spool = p.Received.Spool
	return a, nil
}

// storing is how long after its first part was stored a message has its manifest; one
// that takes longer has its parts put once more, which goes faster: an erasure that was
// asked for meanwhile may have taken the key of a part that was there before. See
// ErasureGrace.
const storing = ErasureGrace / 2

// committed returns the manifest that the message has; archive.ErrNotFound when
// it has none. It may be that of an earlier reading, at another time or by another
// version of the parser: it stands, because documents were delivered by it.
func (s *Storage) committed(ctx context.Context, p greffe.Parsed) (*archive.Manifest, greffe.Object, error) {
	m, o, err := archive.FindManifest(ctx, s.store, p.Received.ID)
	if err != nil {
		return nil, greffe.Object{}, err
	}
	if m.Parsed.Received.SHA256 != p.Received.SHA256 {
		return nil, greffe.Object{}, fmt.Errorf("%w: message %s has a manifest for other bytes", ErrEvent, p.Received.ID)
	}
	return m, o, nil
}

// commit stores the raw message, the parts and, last, the manifest.
func (s *Storage) commit(ctx context.Context, p greffe.Parsed) (*archive.Manifest, greffe.Object, error) {
	tree, err := plan(p)
	if err != nil {
		return nil, greffe.Object{}, err
	}
	m := &archive.Manifest{Format: archive.ManifestFormat, Parsed: p}
	if p.Received.Refused == nil {
		if m.Raw, err = s.raw(ctx, p.Received); err != nil {
			return nil, greffe.Object{}, err
		}
		for again := false; ; again = true {
			began := time.Now()
			if m.Objects, err = s.parts(ctx, tree, m.Raw, p); err != nil {
				return nil, greffe.Object{}, fmt.Errorf("store message %s: %w", p.Received.ID, err)
			}
			if again || time.Since(began) < storing {
				break
			}
		}
	}
	o, err := archive.PutManifest(ctx, s.store, m)
	if errors.Is(err, archive.ErrExists) {
		// Another process was faster, with another reading.
		return s.committed(ctx, p)
	}
	if err != nil {
		return nil, greffe.Object{}, fmt.Errorf("commit message %s: %w", p.Received.ID, err)
	}
	return m, o, nil
}

// raw returns the archived raw message, keeping it now when that has not been
// done. Its bytes are not checked here: parts reads all of them.
func (s *Storage) raw(ctx context.Context, r greffe.Received) (greffe.Object, error) {
	i, err := s.store.Stat(ctx, archive.RawKey(r.ID))
	switch {
	case errors.Is(err, archive.ErrNotFound):
		return s.keep(ctx, r)
	case err != nil:
		return greffe.Object{}, fmt.Errorf("look for message %s: %w", r.ID, err)
	}
	return greffe.Object{Key: i.Key, Version: i.Version, SHA256: r.SHA256, Size: r.Size}, nil
}

// parts reads the archived message again and stores every part that the first
// reading found. It returns ErrDisagree unless the second one finds the same
// parts with the same bytes. Parts that the first reading did not list because a
// limit was reached live on in the raw message only, like those that it skipped.
// The raw bytes are checked on the way.
func (s *Storage) parts(ctx context.Context, tree map[string]*node, raw greffe.Object, p greffe.Parsed) (map[string]greffe.Object, error) {
	f, err := s.store.Open(ctx, raw)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	body := archive.Checked(f, raw.Size, raw.SHA256)
	w := &writer{ctx: ctx, store: s.store, objects: make(map[string]greffe.Object, len(p.Parts)), stored: make(map[greffe.Digest]greffe.Object, len(p.Parts))}
	unlisted := ""
	_, err = eml.Walk(body, eml.Limits{}, func(l *eml.Leaf, r io.Reader) error {
		n := tree[l.Path]
		switch {
		case n == nil:
			unlisted = l.Path
			return nil
		case unlisted != "":
			return fmt.Errorf("%w: part %s was not listed, part %s after it was", ErrDisagree, unlisted, l.Path)
		case n.part.Skipped:
			return nil
		}
		return w.write(n, r)
	})
	if err == nil {
		_, err = io.Copy(io.Discard, body) // the verdict on the raw bytes
	}
	if err != nil {
		return nil, err
	}
	if unlisted != "" && len(p.Findings) == 0 {
		// A reading that stopped before the last part says so.
		return nil, fmt.Errorf("%w: part %s was not listed", ErrDisagree, unlisted)
	}
	for i := range p.Parts {
		if part := &p.Parts[i]; !part.Skipped && w.objects[part.Path].IsZero() {
			return nil, fmt.Errorf("%w: part %s is missing", ErrDisagree, part.Path)
		}
	}
	return w.objects, nil
}
