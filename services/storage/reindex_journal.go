package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sync/errgroup"

	"greffe/pkg/archive"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// journalReader reads the sealed journal of an archive range by range, each checked
// against its checkpoint and the ones before. What it cannot trust it leaves out and
// names, unless the index as it was holds it as it was sealed.
type journalReader struct {
	store  archive.Store
	db     *index.DB // as it was
	keys   []note.Verifier
	ranges []sealedRange
	r      *Reindexed

	seq    int64          // last entry of the ranges so far
	hash   greffe.Digest  // of it; empty when it is lost
	link   evidence.Link  // the last checkpoint
	broken bool           // that one is lost: the next one's word is taken
	tree   *evidence.Tree // of all entries so far; nil once some are lost
	open   bool           // a loss whose end is not known yet
	doubt  time.Time      // until when something may have happened that is lost
}

// rangeBytes is what the archive holds of a range.
type rangeBytes struct {
	checkpoint greffe.Object
	c          *evidence.Checkpoint
	signed     error // of the checkpoint: there, readable, signed by a known key
	segment    []byte
	facts      []byte
	torn       error // of the segment
	tornFacts  error
}

// read hands all ranges to add in their order: while they are checked, the next ones are
// read and those before are written.
func (j *journalReader) read(ctx context.Context, add func(index.Sealed) error) error {
	var err error
	if j.tree, err = evidence.NewTree(0, nil); err != nil {
		return err
	}
	j.hash = greffe.FirstPrev
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(reindexReaders + 2)
	waiting := make(chan chan rangeBytes, reindexReaders-1)
	checked := make(chan index.Sealed, 4)
	g.Go(func() error {
		defer close(waiting)
		for _, s := range j.ranges {
			ready := make(chan rangeBytes, 1)
			select {
			case waiting <- ready:
			case <-inner.Done():
				return context.Cause(inner)
			}
			g.Go(func() error {
				b, err := j.fetch(inner, s)
				if err == nil {
					ready <- b
				}
				return err
			})
		}
		return nil
	})
	g.Go(func() error {
		defer close(checked)
		n := 0
		for ready := range waiting {
			select {
			case b := <-ready:
				if err := j.next(inner, j.ranges[n], n == len(j.ranges)-1, b, checked); err != nil {
					return err
				}
			case <-inner.Done():
				return context.Cause(inner)
			}
			n++
		}
		return nil
	})
	err = nil
	for s := range checked {
		if err != nil {
			continue
		}
		if err = add(s); err != nil {
			cancel()
		}
	}
	if err2 := g.Wait(); err == nil {
		err = err2
	}
	if err != nil {
		return err
	}
	if j.open {
		j.doubt = time.Now()
	}
	return nil
}

// fetch reads the objects of a range. The error is one that keeps from looking.
func (j *journalReader) fetch(ctx context.Context, s sealedRange) (b rangeBytes, err error) {
	read := func(o greffe.Object, limit int64) (greffe.Object, []byte, error) {
		o, text, bad := readVersion(ctx, j.store, o, limit)
		err = errors.Join(err, unlessGone(bad))
		return o, text, bad
	}
	segment := greffe.Object{Key: s.Key(evidence.KindSegment), Version: s.kinds[evidence.KindSegment]}
	facts := greffe.Object{Key: s.Key(evidence.KindFacts), Version: s.kinds[evidence.KindFacts]}
	_, hasFacts := s.kinds[evidence.KindFacts]
	if version, there := s.kinds[evidence.KindCheckpoint]; !there {
		b.signed = archive.ErrNotFound
	} else {
		var text []byte
		key := s.Key(evidence.KindCheckpoint)
		if b.checkpoint, text, b.signed = read(greffe.Object{Key: key, Version: version}, evidence.MaxCheckpoint); b.signed == nil {
			b.c, _, b.signed = evidence.OpenCheckpoint(text, j.keys...)
		}
		if b.signed == nil && b.c.Key() != key {
			b.signed = fmt.Errorf("%w: the checkpoint of %s", evidence.ErrMismatch, b.c.Key())
		}
		if b.signed == nil {
			segment, facts, hasFacts = b.c.Segment, b.c.Facts, !b.c.Facts.IsZero()
		}
	}
	_, b.segment, b.torn = read(segment, evidence.MaxSegment)
	if hasFacts {
		_, b.facts, b.tornFacts = read(facts, evidence.MaxFacts)
	}
	return b, err
}

// next checks one range.
func (j *journalReader) next(ctx context.Context, s sealedRange, newest bool, b rangeBytes, out chan<- index.Sealed) error {
	send := func(x index.Sealed) error {
		select {
		case out <- x:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	key := s.Key(evidence.KindCheckpoint)
	if s.First <= j.seq {
		j.lose(LostRange{First: s.First, Last: s.Last, Key: key, Cause: "sealed twice"})
		return nil
	}
	if s.First > j.seq+1 {
		j.lose(LostRange{First: j.seq + 1, Last: s.First - 1, Cause: "nothing is there"})
		j.skip(s.First - 1)
	}
	if b.c == nil && newest && errors.Is(b.signed, archive.ErrNotFound) {
		return j.unfinished(ctx, s, b, send)
	}
	if b.signed == nil && !j.broken && b.c.Previous != j.link {
		b.signed = fmt.Errorf("%w: it does not follow the checkpoint before", evidence.ErrMismatch)
	}
	if b.signed != nil {
		j.lose(LostRange{First: s.First, Last: s.Last, Key: key, Cause: b.signed.Error()})
		j.skip(s.Last)
		return nil
	}
	c := b.c
	seal := index.Seal{First: s.First, Last: s.Last, At: c.Time, Done: true, Root: c.Root.String(), Segment: c.Segment, Facts: c.Facts, Checkpoint: b.checkpoint}
	segment, err := j.segment(ctx, c, b)
	if err != nil {
		return err
	}
	x := index.Sealed{Seal: seal}
	if segment == nil {
		j.hash, j.tree = "", nil
	} else {
		if x.Facts, err = j.facts(ctx, c, segment, b); err != nil {
			return err
		}
		x.Entries, x.Seal.Facts.Size = segment.Entries, int64(len(b.facts))
		for _, line := range segment.Lines {
			x.Seal.Segment.Size += int64(len(line) + 1)
		}
		j.hash = segment.Entries[len(segment.Entries)-1].Hash
		if j.open && len(x.Facts) > 0 {
			j.doubt, j.open = segment.Entries[0].At, false
		}
	}
	if j.tree != nil {
		for _, t := range j.tree.Changed() {
			x.Tiles = append(x.Tiles, index.Tile(t))
		}
	}
	x.Seal.Hash = j.hash
	j.seq, j.link, j.broken = s.Last, evidence.Link{Key: key, SHA256: b.checkpoint.SHA256}, false
	j.r.Entries, j.r.SealedAt, j.r.Seals = s.Last, c.Time, j.r.Seals+1
	return send(x)
}

// segment returns the entries of a range, from the archive or else from the index as it
// was; nil when they are lost.
func (j *journalReader) segment(ctx context.Context, c *evidence.Checkpoint, b rangeBytes) (*evidence.Segment, error) {
	r := c.Range()
	check := func(text []byte) (*evidence.Segment, error) {
		s, err := c.Check(j.tree, text)
		if err == nil {
			prev := j.hash
			if prev == "" {
				prev = s.Entries[0].Prev // the one before is lost
			}
			err = greffe.CheckChain(r.First-1, prev, s.Entries)
		}
		return s, err
	}
	why := b.torn
	if why == nil {
		var s *evidence.Segment
		if s, why = check(b.segment); why == nil {
			return s, nil
		}
	}
	lost := LostRange{First: r.First, Last: r.Last, Key: c.Segment.Key, Cause: why.Error()}
	entries, err := j.db.JournalAfter(ctx, r.First-1, int(r.Last-r.First+1))
	if err != nil {
		return nil, err
	}
	if again, err := evidence.NewSegment(entries); err == nil && greffe.DigestOf(again.Bytes()) == c.Segment.SHA256 {
		if s, err := check(again.Bytes()); err == nil {
			j.r.Saved = append(j.r.Saved, lost)
			return s, nil
		}
	}
	j.lose(lost)
	return nil, nil
}

// facts returns what the entries of a range are about, from the archive or else from the
// index as it was; nil when it is lost.
func (j *journalReader) facts(ctx context.Context, c *evidence.Checkpoint, s *evidence.Segment, b rangeBytes) ([]greffe.Fact, error) {
	why := b.tornFacts
	if why == nil {
		var list []greffe.Fact
		if list, why = c.CheckFacts(s, b.facts); why == nil {
			return list, nil
		}
	}
	r := c.Range()
	lost := LostRange{First: r.First, Last: r.Last, Key: c.Facts.Key, Cause: why.Error(), Facts: true}
	list, err := j.db.Facts(ctx, r.First, r.Last)
	if err != nil {
		return nil, err
	}
	if evidence.CheckFacts(s.Entries, list) == nil {
		j.r.Saved = append(j.r.Saved, lost)
		return list, nil
	}
	j.lose(lost)
	return nil, nil
}

// unfinished takes a range that was being sealed when Greffe ended: its entries are what
// an index would hold that is not sealed yet, and the sealer goes on with it.
func (j *journalReader) unfinished(ctx context.Context, s sealedRange, b rangeBytes, send func(index.Sealed) error) error {
	segment, err := evidence.ParseSegment(b.segment)
	if err = errors.Join(b.torn, err); err == nil {
		err = greffe.CheckChain(s.First-1, j.hash, segment.Entries)
	}
	var list []greffe.Fact
	if err == nil {
		if list, err = evidence.ParseFacts(b.facts); err == nil {
			err = evidence.CheckFacts(segment.Entries, list)
		}
		if err != nil {
			known, err2 := j.db.Facts(ctx, s.First, s.Last)
			if err2 != nil {
				return err2
			}
			list, err = known, evidence.CheckFacts(segment.Entries, known)
		}
	}
	if err != nil {
		j.lose(LostRange{First: s.First, Last: s.Last, Key: s.Key(evidence.KindSegment), Cause: err.Error()})
		return nil
	}
	last := segment.Entries[len(segment.Entries)-1]
	j.seq, j.hash = s.Last, last.Hash
	return send(index.Sealed{Seal: index.Seal{First: s.First, Last: s.Last, At: last.At, Hash: last.Hash}, Entries: segment.Entries, Facts: list})
}

// lose names what is lost.
func (j *journalReader) lose(l LostRange) {
	j.r.Lost = append(j.r.Lost, l)
	j.open = true
}

// skip goes past entries of which nothing is known.
func (j *journalReader) skip(last int64) {
	j.seq, j.hash, j.tree, j.broken = last, "", nil, true
}
