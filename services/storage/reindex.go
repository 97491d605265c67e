package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sync/errgroup"

	"greffe/pkg/archive"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// Reindexed is what Reindex wrote.
type Reindexed struct {
	Messages int       `json:"messages"`           // with a manifest
	Received int       `json:"received"`           // without one: raw in the archive, not yet read
	Life     int       `json:"life"`               // claims, outcomes and decisions of documents
	Entries  int64     `json:"entries"`            // of the journal, all that was sealed
	SealedAt time.Time `json:"sealed_at,omitzero"` // time of the last of them
	Seals    int       `json:"seals"`
	Seconds  float64   `json:"seconds"`
	Unlisted []string  `json:"unlisted"` // raw messages that no sealed entry speaks of: taken again from their mailboxes
	Damaged  []string  `json:"damaged"`  // messages whose manifest cannot be used: shown as not yet read
	Without  int       `json:"without"`  // outcomes and decisions about documents that were eliminated
}

// ErrEvidence is returned by Reindex when the sealed journal does not hold together:
// an index made of it would hide that.
var ErrEvidence = errors.New("storage: the sealed journal of the archive does not hold together")

const (
	reindexReaders = 8   // manifests read at once
	reindexBatch   = 100 // messages in one transaction
)

// Reindex fills an empty index from the archive alone: the sealed journal with its
// seals and its tree, which is checked on the way (signatures by one of the keys in the
// archive or of known), the messages of all manifests, those that were received and
// have no manifest yet, and what became of the documents. What the journal said after
// its last seal is not in the archive, nor are accounts. No service may run; an index
// that was left half done by a crash is refused by index.Open until Reindex, with
// replace, ends. progress, when not nil, is told how far it is; total is 0 while it is
// not known.
func Reindex(ctx context.Context, store archive.Store, db *index.DB, replace bool, known []note.Verifier, progress func(done, total int)) (Reindexed, error) {
	began := time.Now()
	r := Reindexed{Unlisted: []string{}, Damaged: []string{}}
	if progress == nil {
		progress = func(int, int) {}
	}
	// Read before anything is removed: an archive that cannot be reached removes nothing.
	v := &verifier{store: store, tally: make([]tally, len(checks))}
	ranges, err := v.ranges(ctx)
	if err != nil {
		return r, fmt.Errorf("reindex: %w", err)
	}
	keys, err := ReadKeys(ctx, store)
	if err != nil {
		return r, fmt.Errorf("reindex: %w", err)
	}
	keys = append(keys, known...)
	// All of it is checked first, so that a broken one does not cost the index there is.
	if err := eachSeal(ctx, store, ranges, keys, func(index.Seal, []greffe.Entry, []greffe.Fact, []index.Tile) error { return nil }); err != nil {
		return r, fmt.Errorf("reindex: %w", err)
	}
	if err := db.BeginRebuild(ctx, replace); err != nil {
		return r, err
	}
	err = eachSeal(ctx, store, ranges, keys, func(s index.Seal, entries []greffe.Entry, facts []greffe.Fact, tiles []index.Tile) error {
		r.Entries, r.SealedAt, r.Seals = s.Last, s.At, r.Seals+1
		return db.RestoreSeal(ctx, s, entries, facts, tiles)
	})
	if err == nil {
		err = restoreStamps(ctx, store, db, ranges, r.Entries)
	}
	if err != nil {
		return r, fmt.Errorf("reindex: %w", err)
	}
	if err := restoreMessages(ctx, store, db, &r, progress); err != nil {
		return r, fmt.Errorf("reindex: %w", err)
	}
	if r.Received, err = db.RestoreReceived(ctx); err != nil {
		return r, fmt.Errorf("reindex: %w", err)
	}
	if err := unlisted(ctx, store, db, &r); err != nil {
		return r, fmt.Errorf("reindex: %w", err)
	}
	r.Life, r.Without, err = db.RestoreLife(ctx, func(seq int64) { progress(r.Messages, r.Messages) })
	if err != nil {
		return r, fmt.Errorf("reindex: %w", err)
	}
	r.Seconds = time.Since(began).Seconds()
	return r, db.EndRebuild(ctx, fmt.Sprintf("messages=%d received=%d life=%d entries=%d", r.Messages, r.Received, r.Life, r.Entries))
}

// eachSeal reads the sealed journal range by range, each checked against its checkpoint
// and the ones before, and hands it to f with the tiles that it changes.
func eachSeal(ctx context.Context, store archive.Store, ranges []sealedRange, keys []note.Verifier, f func(index.Seal, []greffe.Entry, []greffe.Fact, []index.Tile) error) error {
	tree, err := evidence.NewTree(0, nil)
	if err != nil {
		return err
	}
	seq, hash, link := int64(0), greffe.FirstPrev, evidence.Link{}
	for i, s := range ranges {
		bad := func(err error) error {
			return fmt.Errorf("%w: entries %d to %d: %w", ErrEvidence, s.First, s.Last, err)
		}
		version, there := s.kinds[evidence.KindCheckpoint]
		if !there && i == len(ranges)-1 {
			break // was being sealed
		}
		key := s.Key(evidence.KindCheckpoint)
		o, b, err := readVersion(ctx, store, greffe.Object{Key: key, Version: version}, evidence.MaxCheckpoint)
		if err != nil {
			return bad(err)
		}
		c, _, err := evidence.OpenCheckpoint(b, keys...)
		if err == nil && (c.Key() != key || c.Previous != link || s.First != seq+1) {
			err = fmt.Errorf("%w: the checkpoint %s does not follow the one before", evidence.ErrMismatch, key)
		}
		if err != nil {
			return bad(err)
		}
		segment, facts := greffe.Object{}, greffe.Object{}
		var text, factText []byte
		if segment, text, err = readVersion(ctx, store, c.Segment, evidence.MaxSegment); err != nil {
			return bad(err)
		}
		if !c.Facts.IsZero() {
			if facts, factText, err = readVersion(ctx, store, c.Facts, evidence.MaxFacts); err != nil {
				return bad(err)
			}
		}
		sealed, list, err := c.Check(tree, text, factText)
		if err == nil {
			err = greffe.CheckChain(seq, hash, sealed.Entries)
		}
		if err != nil {
			return bad(err)
		}
		last := sealed.Entries[len(sealed.Entries)-1]
		var tiles []index.Tile
		for _, t := range tree.Changed() {
			tiles = append(tiles, index.Tile(t))
		}
		seal := index.Seal{First: s.First, Last: s.Last, At: c.Time, Hash: last.Hash, Root: c.Root.String(), Segment: segment, Facts: facts, Checkpoint: o}
		if err := f(seal, sealed.Entries, list, tiles); err != nil {
			return err
		}
		seq, hash, link = s.Last, last.Hash, evidence.Link{Key: key, SHA256: o.SHA256}
	}
	return nil
}

// restoreStamps writes back which checkpoints were stamped. Whether a token is good is
// for Verify: one that cannot be read is not written, and missed then.
func restoreStamps(ctx context.Context, store archive.Store, db *index.DB, ranges []sealedRange, last int64) error {
	for _, s := range ranges {
		stampVersion, stamped := s.kinds[evidence.KindStamp]
		tokenVersion, there := s.kinds[evidence.KindToken]
		if !stamped || !there || s.Last > last {
			continue
		}
		stamp, _, err1 := readVersion(ctx, store, greffe.Object{Key: s.Key(evidence.KindStamp), Version: stampVersion}, evidence.MaxCheckpoint)
		o, answer, err2 := readVersion(ctx, store, greffe.Object{Key: s.Key(evidence.KindToken), Version: tokenVersion}, evidence.MaxToken)
		if err := unlessGone(errors.Join(err1, err2)); err != nil {
			return err
		}
		token, err := evidence.ParseToken(answer)
		if err1 != nil || err2 != nil || err != nil {
			continue
		}
		if err := db.RestoreStamp(ctx, index.Stamp{Last: s.Last, At: token.Time, Stamp: stamp, Token: o}); err != nil {
			return err
		}
	}
	return nil
}

// restoreMessages reads every manifest and writes its message back.
func restoreMessages(ctx context.Context, store archive.Store, db *index.DB, r *Reindexed, progress func(done, total int)) error {
	g, ctx := errgroup.WithContext(ctx)
	ids, found := make(chan greffe.MessageID, reindexBatch), make(chan index.Restored, reindexBatch)
	total := 0
	g.Go(func() error {
		defer close(ids)
		for i, err := range store.List(ctx, archive.MessagesPrefix) {
			if err != nil {
				return err
			}
			id, manifest, ok := archive.KeyMessage(i.Key)
			if !ok || !manifest {
				continue
			}
			select {
			case ids <- id:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	var mu sync.Mutex
	readers, inner := errgroup.WithContext(ctx)
	for range reindexReaders {
		readers.Go(func() error {
			for id := range ids {
				m, o, err := archive.FindManifest(inner, store, id)
				if errors.Is(err, archive.ErrManifest) || errors.Is(err, archive.ErrDigest) {
					mu.Lock()
					r.Damaged = append(r.Damaged, string(id))
					mu.Unlock()
					continue
				}
				if err != nil {
					return fmt.Errorf("message %s: %w", id, err)
				}
				select {
				case found <- index.Restored{Parsed: m.Parsed, Manifest: o, Raw: m.Raw, Objects: m.Objects}:
				case <-inner.Done():
					return context.Cause(inner)
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(found)
		err := readers.Wait()
		for range ids { // after an error: let the walk end
		}
		return err
	})
	g.Go(func() error {
		var batch []index.Restored
		flush := func() error {
			if len(batch) == 0 {
				return nil
			}
			err := db.RestoreMessages(ctx, batch)
			total, batch = total+len(batch), batch[:0]
			progress(total, 0)
			return err
		}
		for m := range found {
			if batch = append(batch, m); len(batch) == reindexBatch {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		return flush()
	})
	err := g.Wait()
	r.Messages = total
	return err
}

// unlisted notes the raw messages that nothing speaks of.
func unlisted(ctx context.Context, store archive.Store, db *index.DB, r *Reindexed) error {
	v := &verifier{store: store, db: db, tally: make([]tally, len(checks))}
	for f, err := range v.folders(ctx) {
		if err != nil {
			return err
		}
		if f.manifest {
			continue
		}
		_, err := db.Audit(ctx, f.id)
		if errors.Is(err, index.ErrNotFound) {
			r.Unlisted = append(r.Unlisted, string(f.id))
		} else if err != nil {
			return err
		}
	}
	return nil
}

// readVersion reads the version of an object that o names and returns it as it is.
func readVersion(ctx context.Context, store archive.Store, o greffe.Object, limit int64) (greffe.Object, []byte, error) {
	f, err := store.Open(ctx, o)
	if err != nil {
		return o, nil, fmt.Errorf("read %s: %w", o.Key, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return o, nil, fmt.Errorf("read %s: %w", o.Key, err)
	}
	if int64(len(b)) > limit {
		return o, nil, fmt.Errorf("%s: %w: more than %d bytes", o.Key, evidence.ErrFormat, limit)
	}
	return greffe.Object{Key: o.Key, Version: o.Version, SHA256: greffe.DigestOf(b), Size: int64(len(b))}, b, nil
}
