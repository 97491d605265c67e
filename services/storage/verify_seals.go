package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"greffe/pkg/archive"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// journalWalk goes through the journal range by range.
type journalWalk struct {
	v    *verifier
	keys []note.Verifier
	// Those of them that the archive holds.
	archived []note.Verifier
	known    map[int64]greffe.Entry // acknowledged: entries at which the clock went back

	// Of the index, up to the last entry that was looked at.
	seq  int64
	hash greffe.Digest
	at   time.Time

	// Of the archive.
	last     int64          // entry of the last range
	link     evidence.Link  // the last checkpoint; zero when it could not be read
	tree     *evidence.Tree // of all entries so far; nil when they could not be read
	tokens   []tokenMark    // over the ranges so far
	complete bool           // all ranges were looked at, from the first
	lost     bool           // the ranges before could not be followed: links begin anew
}

// walkJournal makes a walk that begins with the first entry.
func (v *verifier) walkJournal(ctx context.Context) (*journalWalk, error) {
	keys, err := ReadKeys(ctx, v.store)
	if errors.Is(err, evidence.ErrFormat) {
		v.add(Problem{Check: CheckSignature, Key: evidence.KeysPrefix()}, err)
	} else if err != nil {
		return nil, err
	}
	known, err := Acknowledged(ctx, v.db)
	if err != nil {
		return nil, err
	}
	tree, err := evidence.NewTree(0, nil)
	return &journalWalk{v: v, complete: true, keys: append(slices.Clone(keys), v.opt.Keys...), archived: keys, known: known, hash: greffe.FirstPrev, tree: tree}, err
}

// begin makes the walk begin with entry first, which is the first of a range: what was
// before is taken from the index and from the checkpoint before.
func (w *journalWalk) begin(ctx context.Context, first int64) error {
	w.seq, w.hash, w.last, w.at = first-1, greffe.FirstPrev, first-1, time.Time{}
	w.link, w.tree, w.lost, w.complete = evidence.Link{}, nil, false, false
	if first == 1 {
		var err error
		w.tree, err = evidence.NewTree(0, nil)
		return err
	}
	list, err := w.v.db.JournalAfter(ctx, first-2, 1)
	if err != nil {
		return err
	}
	if len(list) == 1 && list[0].Seq == first-1 {
		w.hash, w.at = list[0].Hash, list[0].At
	}
	w.lost = true
	before, err := w.v.db.SealOf(ctx, first-1)
	if errors.Is(err, index.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	_, b, err := readVersion(ctx, w.v.store, before.Checkpoint, evidence.MaxCheckpoint)
	if err != nil {
		return unlessGone(err)
	}
	c, _, err := evidence.OpenCheckpoint(b, w.keys...)
	if err != nil {
		return nil // told of when it is looked at itself
	}
	w.link, w.lost = evidence.Link{Key: before.Checkpoint.Key, SHA256: greffe.DigestOf(b)}, false
	return w.plant(ctx, c)
}

// plant takes the tree of a checkpoint from the tiles of the index; without one that
// has its root, w.tree is nil.
func (w *journalWalk) plant(ctx context.Context, c *evidence.Checkpoint) error {
	w.tree = nil
	tree, err := evidence.NewTree(c.Size, func(level int, number int64, _ int) ([]byte, error) {
		return w.v.db.Tile(ctx, level, number)
	})
	switch {
	case errors.Is(err, index.ErrNotFound), errors.Is(err, evidence.ErrFormat):
		w.v.add(Problem{Check: CheckSeals, Entry: c.Size, Key: c.Key()}, err)
		return nil
	case err != nil:
		return err
	}
	if tree.Root() != c.Root {
		w.v.add(Problem{Check: CheckSeals, Entry: c.Size, Key: c.Key()}, errors.New("the tree that the index keeps has another root"))
		return nil
	}
	w.tree = tree
	return nil
}

// sealed looks at one range. newest is set for the last that the archive showed, which
// may be on its way.
func (w *journalWalk) sealed(ctx context.Context, r sealedRange, newest bool) error {
	v := w.v
	seal, known, err := w.seal(ctx, r.Range)
	if err != nil {
		return err
	}
	if r.First <= w.last {
		v.add(Problem{Check: CheckPrevious, Entry: r.First, Key: r.Key(evidence.KindCheckpoint)}, fmt.Errorf("entries %d to %d are sealed twice", r.First, min(r.Last, w.last)))
		return nil
	}
	if r.First > w.last+1 {
		if err := w.gap(ctx, r.First-1); err != nil {
			return err
		}
	}
	version, there := r.kinds[evidence.KindCheckpoint]
	if !there {
		if newest && (!known || !seal.Done) {
			return nil // not finished: its entries are of the tail
		}
		v.add(Problem{Check: CheckCheckpoint, Entry: r.First, Key: r.Key(evidence.KindCheckpoint)}, archive.ErrNotFound)
		return w.skip(ctx, r.Last)
	}
	o := greffe.Object{Key: r.Key(evidence.KindCheckpoint), Version: version}
	if known && seal.Done {
		o = seal.Checkpoint
	}
	_, b, err := readVersion(ctx, w.v.store, o, evidence.MaxCheckpoint)
	if err := unlessGone(err); err != nil {
		return err
	}
	c, signed, bad := evidence.OpenCheckpoint(b, w.keys...)
	if err != nil {
		bad = err
	}
	if c == nil || c.Key() != o.Key {
		if bad == nil {
			bad = fmt.Errorf("%w: checkpoint of %s", evidence.ErrMismatch, c.Key())
		}
		id := CheckCheckpoint
		if errors.Is(bad, evidence.ErrSignature) {
			id = CheckSignature
		}
		v.add(Problem{Check: id, Entry: r.First, Key: o.Key}, bad)
		return w.skip(ctx, r.Last)
	}
	v.held(CheckCheckpoint, 1)
	v.mu.Lock()
	v.rep.Checkpoints++
	v.mu.Unlock()
	w.signature(c, signed, bad, newest)
	w.previous(c)
	if err := v.retention(ctx, "", "", o); err != nil {
		return err
	}
	w.compareSeal(c, seal, known, newest, greffe.DigestOf(b))
	segment, err := w.segment(ctx, c)
	if err != nil {
		return err
	}
	if err := w.root(ctx, c, segment); err != nil {
		return err
	}
	if err := w.entries(ctx, r.Range, segment); err != nil {
		return err
	}
	if err := w.token(ctx, r, c, greffe.DigestOf(b)); err != nil {
		return err
	}
	w.last, w.link, w.lost = r.Last, evidence.Link{Key: o.Key, SHA256: greffe.DigestOf(b)}, false
	return nil
}

// seal returns what the index knows of a range.
func (w *journalWalk) seal(ctx context.Context, r evidence.Range) (index.Seal, bool, error) {
	list, err := w.v.db.Seals(ctx, r.Last-1, 1)
	if err != nil || len(list) == 0 || list[0].First != r.First || list[0].Last != r.Last {
		return index.Seal{}, false, err
	}
	return list[0], true, nil
}

// gap notes that nothing is sealed up to an entry.
func (w *journalWalk) gap(ctx context.Context, last int64) error {
	p := Problem{Check: CheckCheckpoint, Entry: w.last + 1}
	if s, err := w.v.db.SealOf(ctx, w.last+1); err == nil {
		p.Key = s.Checkpoint.Key
	}
	w.v.add(p, fmt.Errorf("no checkpoint for entries %d to %d", w.last+1, last))
	return w.skip(ctx, last)
}

// skip goes past entries whose seal could not be followed.
func (w *journalWalk) skip(ctx context.Context, last int64) error {
	w.link, w.tree, w.lost, w.complete = evidence.Link{}, nil, true, false
	for w.seq < last {
		list, err := w.v.db.JournalAfter(ctx, w.seq, int(min(last-w.seq, evidence.MaxEntries)))
		if err != nil {
			return err
		}
		if list = upTo(list, last); len(list) == 0 {
			break
		}
		w.chain(list)
	}
	w.last = last
	return nil
}

func (w *journalWalk) signature(c *evidence.Checkpoint, signed []string, bad error, newest bool) {
	p := Problem{Check: CheckSignature, Entry: c.Size, Key: c.Key()}
	switch {
	case bad != nil:
		w.v.add(p, bad)
	case newest && len(w.v.opt.Keys) > 0 && !w.ours(signed) && !w.published():
		w.v.warn(p, "La clé configurée n’a encore rien scellé : le dernier point de contrôle est signé par celle d’avant.",
			"Rien à faire si la clé vient d’être changée : le prochain scellé, dans la minute qui suit le démarrage, est signé par la nouvelle.", fmt.Errorf("signed by key %v", signed))
	case newest && len(w.v.opt.Keys) > 0 && !w.ours(signed):
		w.v.add(p, fmt.Errorf("signed by key %v, which is not that of the configuration", signed))
	default:
		w.v.held(CheckSignature, 1)
	}
}

// ours reports whether one of the keys of the configuration signed.
func (w *journalWalk) ours(signed []string) bool {
	for _, k := range w.v.opt.Keys {
		for _, id := range signed {
			if id == fmt.Sprintf("%08x", k.KeyHash()) {
				return true
			}
		}
	}
	return false
}

// published reports whether one of the keys of the configuration is in the archive, as it
// is before it seals anything. One that is not was configured since the last seal.
func (w *journalWalk) published() bool {
	for _, k := range w.v.opt.Keys {
		for _, a := range w.archived {
			if a.KeyHash() == k.KeyHash() && a.Name() == k.Name() {
				return true
			}
		}
	}
	return false
}

func (w *journalWalk) previous(c *evidence.Checkpoint) {
	switch {
	case w.lost:
		// The one before could not be read: that was told.
	case c.Previous != w.link:
		w.v.add(Problem{Check: CheckPrevious, Entry: c.Size, Key: c.Key()}, fmt.Errorf("names %s %s, before it is %s %s", c.Previous.Key, c.Previous.SHA256, w.link.Key, w.link.SHA256))
	default:
		w.v.held(CheckPrevious, 1)
	}
}

// compareSeal holds what the index says of a seal against its checkpoint.
func (w *journalWalk) compareSeal(c *evidence.Checkpoint, s index.Seal, known, newest bool, digest greffe.Digest) {
	p := Problem{Check: CheckSeals, Entry: c.Size, Key: c.Key()}
	place := func(o greffe.Object) greffe.Object { o.Size = 0; return o } // checkpoints do not say it
	switch {
	case !known:
		w.v.add(p, errors.New("the index does not know it"))
	case !s.Done && newest:
	case !s.Done || s.Checkpoint.SHA256 != digest || place(s.Segment) != place(c.Segment) || place(s.Facts) != place(c.Facts) ||
		s.Root != c.Root.String() || !s.At.Equal(c.Time):
		w.v.add(p, errors.New("the index says something else of it"))
	default:
		w.v.held(CheckSeals, 1)
	}
}

// segment reads the segment of a checkpoint and its facts; nil when it is not as the
// checkpoint says.
func (w *journalWalk) segment(ctx context.Context, c *evidence.Checkpoint) (*evidence.Segment, error) {
	v, r := w.v, c.Range()
	_, b, err := readVersion(ctx, w.v.store, c.Segment, evidence.MaxSegment)
	if err := unlessGone(err); err != nil {
		return nil, err
	}
	p := Problem{Check: CheckSegment, Entry: r.First, Key: c.Segment.Key}
	if err == nil && greffe.DigestOf(b) != c.Segment.SHA256 {
		err = fmt.Errorf("%w: %d bytes of digest %s, sealed was %s", evidence.ErrMismatch, len(b), greffe.DigestOf(b), c.Segment.SHA256)
	}
	var s *evidence.Segment
	if err == nil {
		s, err = evidence.ParseSegment(b)
	}
	if err == nil {
		if last := s.Entries[len(s.Entries)-1]; s.Entries[0].Seq != r.First || last.Seq != r.Last || !last.At.Equal(c.Time) {
			err = fmt.Errorf("%w: holds entries %d to %d", evidence.ErrMismatch, s.Entries[0].Seq, last.Seq)
		}
	}
	if err != nil {
		v.add(p, err)
		return nil, nil
	}
	v.held(CheckSegment, 1)
	for _, o := range []greffe.Object{c.Segment, c.Facts} {
		if o.IsZero() {
			continue
		}
		if err := v.retention(ctx, "", "", o); err != nil {
			return nil, err
		}
	}
	return s, w.facts(ctx, c, s)
}

func (w *journalWalk) facts(ctx context.Context, c *evidence.Checkpoint, s *evidence.Segment) error {
	var list []greffe.Fact
	if !c.Facts.IsZero() {
		_, b, err := readVersion(ctx, w.v.store, c.Facts, evidence.MaxFacts)
		if err := unlessGone(err); err != nil {
			return err
		}
		if err == nil && greffe.DigestOf(b) != c.Facts.SHA256 {
			err = fmt.Errorf("%w: %d bytes of another digest", evidence.ErrMismatch, len(b))
		}
		if err == nil {
			list, err = evidence.ParseFacts(b)
		}
		if err != nil {
			w.v.add(Problem{Check: CheckFacts, Entry: c.Range().First, Key: c.Facts.Key}, err)
			return nil
		}
	}
	if err := evidence.CheckFacts(s.Entries, list); err != nil {
		w.v.add(Problem{Check: CheckFacts, Entry: c.Range().First, Key: c.Facts.Key}, err)
		return nil
	}
	w.v.held(CheckFacts, 1)
	return nil
}

// root adds a segment to the tree and compares its root with the one that was signed.
// When it is not that, or the segment could not be read, the tree goes on with what the
// index keeps of it, if that has the root.
func (w *journalWalk) root(ctx context.Context, c *evidence.Checkpoint, s *evidence.Segment) error {
	if s != nil && w.tree != nil {
		err := w.tree.AppendSegment(s)
		if err == nil && w.tree.Root() != c.Root {
			err = fmt.Errorf("%w: root %s, signed was %s", evidence.ErrMismatch, w.tree.Root(), c.Root)
		}
		if err == nil {
			w.v.held(CheckRoot, 1)
			return nil
		}
		w.v.add(Problem{Check: CheckRoot, Entry: c.Size, Key: c.Key()}, err)
	}
	return w.plant(ctx, c)
}

// entries compares the journal of the index with a segment, entry by entry.
func (w *journalWalk) entries(ctx context.Context, r evidence.Range, s *evidence.Segment) error {
	list, err := w.v.db.JournalAfter(ctx, r.First-1, int(r.Last-r.First+1))
	if err != nil {
		return err
	}
	list = upTo(list, r.Last)
	w.chain(list)
	if s == nil {
		return nil
	}
	differ, first, why := 0, int64(0), ""
	for _, e := range s.Entries {
		for len(list) > 0 && list[0].Seq < e.Seq {
			list = list[1:]
		}
		what := ""
		switch {
		case len(list) == 0 || list[0].Seq != e.Seq:
			what = "missing from the index"
		case list[0] != e:
			what = "not as it was sealed"
		default:
			continue
		}
		if differ++; differ == 1 {
			first, why = e.Seq, what
		}
	}
	if differ > 0 {
		w.v.add(Problem{Check: CheckSame, Entry: first, Key: r.Key(evidence.KindSegment)}, fmt.Errorf("entry %d is %s; %d of this segment", first, why, differ))
	} else {
		w.v.held(CheckSame, int64(len(s.Entries)))
	}
	return nil
}

// about looks at the ranges that hold the entries about the one message.
func (w *journalWalk) about(ctx context.Context, ranges []sealedRange) error {
	done := map[int64]bool{}
	for seq := int64(0); ; {
		list, err := w.v.db.JournalAbout(ctx, w.v.opt.Message, seq, 1000)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, e := range list {
			seq = e.Seq
			s, err := w.v.db.SealOf(ctx, e.Seq)
			if errors.Is(err, index.ErrNotFound) {
				w.v.mu.Lock()
				w.v.rep.Unsealed++
				w.v.mu.Unlock()
				continue
			}
			if err != nil {
				return err
			}
			if done[s.First] {
				continue
			}
			done[s.First] = true
			if err := w.begin(ctx, s.First); err != nil {
				return err
			}
			i := indexOf(ranges, s.First, s.Last)
			if i < 0 {
				w.v.add(Problem{Check: CheckCheckpoint, Entry: s.First, Key: s.Checkpoint.Key}, archive.ErrNotFound)
				continue
			}
			if err := w.sealed(ctx, ranges[i], false); err != nil {
				return err
			}
		}
	}
}

func indexOf(ranges []sealedRange, first, last int64) int {
	for i := range ranges {
		if ranges[i].First == first && ranges[i].Last == last {
			return i
		}
	}
	return -1
}

func upTo(list []greffe.Entry, last int64) []greffe.Entry {
	for len(list) > 0 && list[len(list)-1].Seq > last {
		list = list[:len(list)-1]
	}
	return list
}

// unlessGone returns an error that keeps Verify from looking, and nil for one that is
// an answer: not there, or not what it must be.
func unlessGone(err error) error {
	if errors.Is(err, archive.ErrNotFound) || errors.Is(err, archive.ErrKey) || errors.Is(err, evidence.ErrFormat) {
		return nil
	}
	return err
}
