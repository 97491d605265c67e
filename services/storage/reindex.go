package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
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
	Messages int         `json:"messages"`           // with a manifest
	Received int         `json:"received"`           // without one: raw in the archive, not yet read
	Life     int         `json:"life"`               // claims, outcomes, decisions and answers
	Entries  int64       `json:"entries"`            // number of the last entry that was sealed
	SealedAt time.Time   `json:"sealed_at,omitzero"` // time of that entry
	Seals    int         `json:"seals"`
	Tail     int         `json:"tail"` // entries that only the index before held, not sealed yet
	Seconds  float64     `json:"seconds"`
	Unlisted []string    `json:"unlisted"`     // raw messages that no entry speaks of: taken again from their mailboxes
	Damaged  []string    `json:"damaged"`      // messages whose manifest cannot be used: shown as not yet read
	Holds    int         `json:"holds"`        // legal holds
	Asked    int         `json:"eliminations"` // and erasures, that were asked
	Erased   int         `json:"erased"`       // messages whose keys were destroyed: they stay away
	Stated   int         `json:"statements"`   // of completeness
	Without  int         `json:"without"`      // outcomes and decisions about documents that were eliminated or erased
	Lost     []LostRange `json:"lost"`         // of the sealed journal
	Saved    []LostRange `json:"saved"`        // the same, but the index before still held it, as it was sealed
	Doubtful int         `json:"doubtful"`     // documents that may have been delivered in what was lost: a person decides
	// Usable is false when the end of the sealed journal is lost: nothing could follow it,
	// and no service opens the index.
	Usable bool `json:"usable"`
}

// OK reports whether everything came back.
func (r *Reindexed) OK() bool { return r.Usable && len(r.Damaged)+len(r.Lost) == 0 }

// LostRange is a range of the sealed journal that the archive does not hold as it was
// sealed; or, with First 0, the order of an elimination.
type LostRange struct {
	First int64  `json:"first"`
	Last  int64  `json:"last"`
	Key   string `json:"key,omitempty"` // of the object that is missing or was changed
	Cause string `json:"cause"`
	Facts bool   `json:"facts,omitempty"` // the entries are there, what they are about is not
}

// ErrEvidence is returned by Reindex when the sealed journal does not hold together and
// the index that it would replace may know more.
var ErrEvidence = errors.New("storage: the sealed journal of the archive does not hold together")

const (
	reindexReaders = 8   // objects read at once
	reindexBatch   = 500 // messages in one transaction
)

// ReindexOptions says what Reindex may do.
type ReindexOptions struct {
	// Replace lets it empty an index that holds something.
	Replace bool
	// Partial lets it do so even when the journal of the archive is damaged and the index
	// cannot mend it. An empty index gets what there is in any case.
	Partial bool
	// Keys that may have signed, beside those in the archive.
	Keys []note.Verifier
	// Progress, when not nil, is told how far it is; total is 0 while it is not known.
	Progress func(done, total int)
}

// Reindex fills an empty index from the archive alone: the sealed journal with its
// seals and its tree, which is checked on the way (signatures by one of the keys in the
// archive or of opt), the messages of all manifests, those that were received and have
// no manifest yet, and what became of the documents. What the journal said after its
// last seal is not in the archive, nor are accounts; an index that is replaced keeps
// both. No service may run; an index that was left half done by a crash is refused by
// index.Open until Reindex, with Replace, ends.
//
// A range of the journal that is torn, missing or not signed by a known key is left out
// and named; ErrEvidence, and nothing was touched, when the index holds something and
// opt does not say Partial. Documents whose delivery it may have told of wait for a
// person, so that none is delivered twice.
func Reindex(ctx context.Context, store archive.Store, db *index.DB, opt ReindexOptions) (Reindexed, error) {
	began := time.Now()
	r := Reindexed{Unlisted: []string{}, Damaged: []string{}, Lost: []LostRange{}, Saved: []LostRange{}, Usable: true}
	if opt.Progress == nil {
		opt.Progress = func(int, int) {}
	}
	err := reindex(ctx, store, db, opt, &r)
	r.Seconds = time.Since(began).Seconds()
	if err != nil {
		return r, fmt.Errorf("reindex: %w", err)
	}
	return r, nil
}

func reindex(ctx context.Context, store archive.Store, db *index.DB, opt ReindexOptions, r *Reindexed) error {
	began := time.Now()
	v := &verifier{store: store, tally: make([]tally, len(checks))}
	ranges, err := v.ranges(ctx)
	if err != nil {
		return err
	}
	keys, err := ReadKeys(ctx, store)
	if err != nil {
		return err
	}
	j := &journalReader{store: store, db: db, keys: append(keys, opt.Keys...), ranges: ranges, r: r}
	r.Tail, err = db.BeginRebuild(ctx, opt.Replace, func(empty bool, add func(index.Sealed) error) error {
		if err := j.read(ctx, add); err != nil {
			return err
		}
		if l := r.Lost; len(l) > 0 && !empty && !opt.Partial {
			return fmt.Errorf("%w: entries %d to %d: %s", ErrEvidence, l[0].First, l[0].Last, l[0].Cause)
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.Usable = j.hash != ""
	if err := restoreStamps(ctx, store, db, ranges, r.Entries); err != nil {
		return err
	}
	if err := restoreMessages(ctx, store, db, r, opt.Progress); err != nil {
		return err
	}
	if r.Received, err = db.RestoreReceived(ctx); err != nil {
		return err
	}
	if err := unlisted(ctx, store, db, r); err != nil {
		return err
	}
	if r.Life, r.Without, err = db.RestoreLife(ctx); err != nil {
		return err
	}
	if r.Holds, err = db.RestoreHolds(ctx); err != nil {
		return err
	}
	if r.Asked, err = db.RestoreEliminations(ctx, func(id string) (string, string, greffe.Object, error) {
		order, by, certificate, err := readElimination(ctx, store, id)
		if errors.Is(err, evidence.ErrFormat) {
			r.Lost = append(r.Lost, LostRange{Key: archive.OrderKey(id), Cause: err.Error()})
			err = nil
		}
		return order, by, certificate, err
	}); err != nil {
		return err
	}
	if r.Stated, err = db.RestoreStatements(ctx); err != nil {
		return err
	}
	if !r.Usable {
		return nil
	}
	if !j.doubt.IsZero() {
		if r.Doubtful, err = db.Doubt(ctx, j.doubt, began, "reindex", doubtText); err != nil {
			return err
		}
	}
	return db.EndRebuild(ctx, fmt.Sprintf("messages=%d received=%d life=%d entries=%d lost=%d", r.Messages, r.Received, r.Life, r.Entries, len(r.Lost)))
}

// doubtText is what the queue says of a document that may have been delivered.
const doubtText = "Le journal qui disait ce qu’est devenu ce document est perdu : il a peut-être déjà été envoyé. Regardez dans le DI ; s’il n’y est pas, envoyez-le à nouveau."

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

// restoreMessages reads every manifest and writes its message back: while one batch is
// written, the next is read.
func restoreMessages(ctx context.Context, store archive.Store, db *index.DB, r *Reindexed, progress func(done, total int)) error {
	g, ctx := errgroup.WithContext(ctx)
	batches := make(chan []index.Restored, 1)
	g.Go(func() error {
		defer close(batches)
		var ids []greffe.MessageID
		next := func() error {
			batch, damaged, erased, err := readManifests(ctx, store, ids)
			if err != nil {
				return err
			}
			r.Erased += erased
			r.Damaged, ids = append(r.Damaged, damaged...), ids[:0]
			select {
			case batches <- batch:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		for id, err := range manifests(ctx, store) {
			if err != nil {
				return err
			}
			if ids = append(ids, id); len(ids) == reindexBatch {
				if err := next(); err != nil {
					return err
				}
			}
		}
		return next()
	})
	g.Go(func() error {
		for batch := range batches {
			if err := db.RestoreMessages(ctx, batch); err != nil {
				return err
			}
			r.Messages += len(batch)
			progress(r.Messages, 0)
		}
		return nil
	})
	return g.Wait()
}

// readManifests reads manifests, many at once; damaged are those that cannot be used,
// erased is how many have no key any more.
func readManifests(ctx context.Context, store archive.Store, ids []greffe.MessageID) (batch []index.Restored, damaged []string, erased int, err error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(reindexReaders)
	var mu sync.Mutex
	for _, id := range ids {
		g.Go(func() error {
			m, o, err := archive.FindManifest(ctx, store, id)
			bad := errors.Is(err, archive.ErrManifest) || errors.Is(err, archive.ErrDigest)
			_, gone := errors.AsType[*archive.ErasedError](err)
			if err != nil && !bad && !gone {
				return fmt.Errorf("message %s: %w", id, err)
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case gone:
				erased++
			case bad:
				damaged = append(damaged, string(id))
			default:
				batch = append(batch, index.Restored{Parsed: m.Parsed, Manifest: o, Raw: m.Raw, Objects: m.Objects})
			}
			return nil
		})
	}
	err = g.Wait()
	slices.Sort(damaged)
	return batch, damaged, erased, err
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
