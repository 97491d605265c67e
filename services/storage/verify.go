package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// VerifyOptions says how deep Verify looks.
type VerifyOptions struct {
	// Full reads every byte again and computes every digest. Otherwise objects
	// are only looked up: that they are there, with the right size and, where the
	// store keeps a checksum beside the bytes, with the right checksum. Manifests
	// are always read.
	Full bool
	// Progress, when not nil, is called after each message of the index, one call
	// at a time. total is an estimate, 0 when not known.
	Progress func(done, total int)
}

const (
	verifyWorkers = 4      // messages looked at at once
	mostProblems  = 10_000 // listed of each sort
)

// Verify compares the archive, its manifests and the index, both ways, and the
// chain of the journal. It writes nothing and may run while messages arrive. It
// returns an error when it could not look (ErrUnavailable of the archive, a
// failure of the index), not for what it finds.
//
// It holds 16 bytes and a map slot for each different object, about 50 MB for a
// million of them.
func Verify(ctx context.Context, store archive.Store, db *index.DB, opt VerifyOptions) (Report, error) {
	v := &verifier{store: store, db: db, opt: opt, seen: make(map[[16]byte]bool)}
	v.rep.Full, v.rep.Began = opt.Full, time.Now().UTC()
	for _, step := range []func(context.Context) error{v.messages, v.contents, v.journal} {
		if err := step(ctx); err != nil {
			return Report{}, err
		}
	}
	v.rep.Took = time.Since(v.rep.Began)
	for _, list := range [][]Problem{v.rep.Holes, v.rep.Surplus} {
		slices.SortFunc(list, func(a, b Problem) int {
			return cmp.Or(cmp.Compare(a.Message, b.Message), cmp.Compare(a.Part, b.Part), cmp.Compare(a.Key, b.Key))
		})
	}
	return v.rep, nil
}

type verifier struct {
	store archive.Store
	db    *index.DB
	opt   VerifyOptions

	mu    sync.Mutex // guards what follows
	rep   Report
	seen  map[[16]byte]bool // objects that were looked at, by digest: whether they are good
	done  int
	total int
}

// add notes a problem.
func (v *verifier) add(p Problem, cause error) {
	p.Text = sentences[p.Kind]
	if cause != nil {
		p.Cause = cause.Error()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch p.Kind {
	case OrphanMessage, OrphanContent, OrphanForeignKey:
		if v.rep.SurplusCount++; len(v.rep.Surplus) < mostProblems {
			v.rep.Surplus = append(v.rep.Surplus, p)
		}
	default:
		if v.rep.HoleCount++; len(v.rep.Holes) < mostProblems {
			v.rep.Holes = append(v.rep.Holes, p)
		}
	}
}

// messages walks the index and messages/ side by side: both are in the order of
// message ids.
func (v *verifier) messages(ctx context.Context) error {
	tally, _, err := v.db.Tally(ctx)
	if err != nil {
		return fmt.Errorf("verify: count messages: %w", err)
	}
	for _, n := range tally {
		v.total += n
	}
	next, stop := iter.Pull2(v.folders(ctx))
	defer stop()
	ahead, err, more := next()
	var strangers []folder // of the archive, not seen in the index
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(verifyWorkers)
	walk := v.db.EachMessage(inner, func(d index.Detail) error {
		for more && err == nil && ahead.id <= d.ID {
			if ahead.id != d.ID {
				strangers = append(strangers, ahead)
			}
			ahead, err, more = next()
		}
		if err != nil {
			return err
		}
		g.Go(func() error { return v.message(inner, d) })
		return nil
	})
	if err := errors.Join(g.Wait(), walk); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	for ; more && err == nil; ahead, err, more = next() {
		strangers = append(strangers, ahead)
	}
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	// Messages go on arriving: who was a stranger may be known by now.
	for _, f := range strangers {
		if err := v.stranger(ctx, f); err != nil {
			return fmt.Errorf("verify: %w", err)
		}
	}
	return nil
}

// folder is what the archive holds of one message.
type folder struct {
	id       greffe.MessageID
	manifest bool
}

// folders walks messages/ by message.
func (v *verifier) folders(ctx context.Context) iter.Seq2[folder, error] {
	return func(yield func(folder, error) bool) {
		var f folder
		for i, err := range v.store.List(ctx, archive.MessagesPrefix) {
			if err != nil {
				yield(folder{}, err)
				return
			}
			id, manifest, ok := archive.KeyMessage(i.Key)
			if !ok {
				v.add(Problem{Kind: OrphanForeignKey, Key: i.Key}, nil)
				continue
			}
			if f.id != "" && f.id != id {
				if !yield(f, nil) {
					return
				}
				f = folder{}
			}
			f.id, f.manifest = id, f.manifest || manifest
		}
		if f.id != "" {
			yield(f, nil)
		}
	}
}

// stranger looks once more at a message of the archive that the index did not show.
func (v *verifier) stranger(ctx context.Context, f folder) error {
	d, err := v.db.Message(ctx, f.id)
	switch {
	case err == nil:
		return v.message(ctx, d)
	case !errors.Is(err, index.ErrNotFound):
		return err
	case !f.manifest:
		v.add(Problem{Kind: OrphanMessage, Message: f.id, Key: archive.RawKey(f.id)}, nil)
		return nil
	}
	v.add(Problem{Kind: NotIndexed, Message: f.id, Key: archive.ManifestKey(f.id)}, nil)
	// What it names is not surplus.
	m, _, err := archive.FindManifest(ctx, v.store, f.id)
	switch {
	case err == nil:
		return v.objects(ctx, f.id, m.Raw, m.Objects)
	case errors.Is(err, archive.ErrManifest), errors.Is(err, archive.ErrDigest):
		v.add(Problem{Kind: DamagedManifest, Message: f.id, Key: archive.ManifestKey(f.id)}, err)
		return nil
	}
	return err
}

// message compares one message of the index with its manifest and objects.
func (v *verifier) message(ctx context.Context, d index.Detail) error {
	err := v.compare(ctx, d)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.rep.Messages++
	if d.ArchivedAt.IsZero() {
		v.rep.Pending++
	}
	if v.done++; v.opt.Progress != nil {
		v.opt.Progress(v.done, max(v.total, v.done))
	}
	return err
}

func (v *verifier) compare(ctx context.Context, d index.Detail) error {
	if d.ArchivedAt.IsZero() {
		// Only the raw message is promised so far.
		return v.objects(ctx, d.ID, d.Raw, nil)
	}
	m, err := archive.ReadManifest(ctx, v.store, d.Manifest)
	switch {
	case errors.Is(err, archive.ErrNotFound), errors.Is(err, archive.ErrKey):
		v.add(Problem{Kind: MissingManifest, Message: d.ID, Key: archive.ManifestKey(d.ID)}, err)
		return v.objects(ctx, d.ID, d.Raw, d.Objects)
	case errors.Is(err, archive.ErrDigest), errors.Is(err, archive.ErrManifest):
		v.add(Problem{Kind: DamagedManifest, Message: d.ID, Key: d.Manifest.Key}, err)
		return v.objects(ctx, d.ID, d.Raw, d.Objects)
	case err != nil:
		return err
	}
	if err := sameFacts(d, m); err != nil {
		v.add(Problem{Kind: IndexDiffers, Message: d.ID, Key: d.Manifest.Key}, err)
	}
	return v.objects(ctx, d.ID, m.Raw, m.Objects)
}

// sameFacts compares what index and manifest say about where things are.
func sameFacts(d index.Detail, m *archive.Manifest) error {
	switch {
	case m.Parsed.Received.ID != d.ID:
		return errors.New("manifest of another message")
	case m.Raw != d.Raw:
		return errors.New("raw message")
	case !maps.Equal(m.Objects, d.Objects):
		return errors.New("objects of the parts")
	case len(m.Parsed.Documents) != len(d.Documents):
		return fmt.Errorf("%d documents in the manifest, %d in the index", len(m.Parsed.Documents), len(d.Documents))
	}
	for _, doc := range d.Documents {
		if o, ok := m.Objects[doc.Facts.Part]; !ok || o != doc.Object {
			return fmt.Errorf("object of document %s", doc.ID)
		}
		if o := m.Objects[doc.Facts.Body]; o != doc.BodyObject {
			return fmt.Errorf("readable object of document %s", doc.ID)
		}
	}
	return nil
}

// contents looks for objects below content/ that no message names.
func (v *verifier) contents(ctx context.Context) error {
	for i, err := range v.store.List(ctx, archive.ContentPrefix) {
		if err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		d, ok := archive.KeyDigest(i.Key)
		if !ok {
			v.add(Problem{Kind: OrphanForeignKey, Key: i.Key}, nil)
			continue
		}
		mark, _ := slot(d)
		if _, looked := v.seen[mark]; !looked {
			v.add(Problem{Kind: OrphanContent, Key: i.Key}, nil)
		}
	}
	return nil
}

// journal checks the chain of the audit journal.
func (v *verifier) journal(ctx context.Context) error {
	err := v.db.VerifyJournal(ctx, func(n int64) { v.rep.Journal = n })
	if errors.Is(err, index.ErrJournal) {
		v.add(Problem{Kind: BrokenJournal}, err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("verify: journal: %w", err)
	}
	return nil
}
