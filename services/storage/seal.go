package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"greffe/pkg/archive"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// How often the journal is sealed.
const (
	sealLook  = 5 * time.Second // between two looks at what is not sealed, which cost two small reads
	sealEvery = time.Minute     // an entry is sealed at the latest then, or with MaxEntries others
	sealQuiet = time.Hour       // a journal that says nothing for so long says that it is watched
)

// ErrForked: the archive holds a journal that the index does not know. The index was
// put back to an earlier state, or changed: it must be rebuilt from the archive.
var ErrForked = errors.New("storage: the archive holds another journal than the index")

// Sealer writes the journal into the archive: segments, and checkpoints signed with its
// key. The range of a segment is fixed in the index before anything is written, and each
// object is made of what the range holds: whoever goes on after a crash, or does the
// same at the same time, writes the same bytes. Its methods may be called at once, from
// several processes too; one Sealer seals one range at a time.
type Sealer struct {
	store archive.Store
	index *index.DB
	key   *evidence.Key
	log   *slog.Logger

	turn  chan struct{}  // held by who seals
	ready bool           // the key is published and the archive is not ahead of the index
	tree  *evidence.Tree // of all that is sealed; nil when not read yet
}

// NewSealer returns a sealer that signs with key. store and db stay the caller's.
func NewSealer(store archive.Store, db *index.DB, key *evidence.Key, log *slog.Logger) *Sealer {
	return &Sealer{store: store, index: db, key: key, log: log, turn: make(chan struct{}, 1)}
}

// due reports whether there is something to seal now.
func (s *Sealer) due(ctx context.Context) (bool, error) {
	n, oldest, err := s.index.Unsealed(ctx)
	return n >= evidence.MaxEntries || n > 0 && time.Since(oldest) >= sealEvery, err
}

// SealAll seals every entry there is, in as many segments as it takes, and returns how
// many entries it sealed. It may be repeated after any error: archive.ErrUnavailable
// and failures of the index pass by themselves; ErrForked, greffe.ErrChain and
// evidence.ErrMismatch mean that the index was changed by someone else.
func (s *Sealer) SealAll(ctx context.Context) (sealed int64, err error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	if err := s.prepare(ctx); err != nil {
		return 0, err
	}
	for {
		next, before, err := s.index.PlanSeal(ctx, evidence.MaxEntries)
		if errors.Is(err, index.ErrNotFound) {
			return sealed, nil
		}
		if err == nil {
			err = s.seal(ctx, next, before)
		}
		if err != nil {
			s.tree = nil // may have grown by what is not sealed
			return sealed, err
		}
		sealed += next.Last - next.First + 1
	}
}

// prepare does once what must be true before anything is sealed.
func (s *Sealer) prepare(ctx context.Context) error {
	if s.ready {
		return nil
	}
	if err := s.notAhead(ctx); err != nil {
		return err
	}
	if err := s.sameJournal(ctx); err != nil {
		return err
	}
	line := []byte(s.key.Public() + "\n")
	if _, err := s.store.Put(ctx, s.key.ObjectKey(), bytes.NewReader(line), int64(len(line)), greffe.DigestOf(line)); err != nil {
		return fmt.Errorf("publish the key of the journal: %w", err)
	}
	s.ready = true
	return nil
}

// sameJournal checks that the key is one of the journal that was sealed so far.
func (s *Sealer) sameJournal(ctx context.Context) error {
	last, err := s.index.LastSeal(ctx)
	if errors.Is(err, index.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	_, b, err := readObject(ctx, s.store, last.Checkpoint.Key, evidence.MaxCheckpoint)
	if err != nil {
		return err
	}
	c, _, err := evidence.OpenCheckpoint(b)
	if err != nil && !errors.Is(err, evidence.ErrSignature) {
		return err
	}
	if c.Origin != s.key.Name() {
		return fmt.Errorf("%w: the journal is %s, the key is of %s", evidence.ErrMismatch, c.Origin, s.key.Name())
	}
	return nil
}

// notAhead checks that the archive holds no segment after the last one that the index
// knows, done or fixed: an index that was restored from a copy would begin a second
// journal beside the first.
func (s *Sealer) notAhead(ctx context.Context) error {
	var known int64
	day := time.Time{}
	last, err := s.index.LastSeal(ctx)
	if err == nil {
		known, day = last.Last, last.At
	} else if !errors.Is(err, index.ErrNotFound) {
		return err
	}
	if list, err := s.index.Seals(ctx, known, 1); err != nil {
		return err
	} else if len(list) > 0 {
		known = list[0].Last
	}
	// A journal that began again may be dated before: all of it is looked at, by month, from
	// the month of the last seal on.
	for _, prefix := range months(day, time.Now()) {
		for i, err := range s.store.List(ctx, prefix) {
			if err != nil {
				return fmt.Errorf("look for later segments: %w", err)
			}
			if r, _, ok := evidence.ParseKey(i.Key); ok && r.Last > known {
				return fmt.Errorf("%w: %s, the index knows %d entries", ErrForked, i.Key, known)
			}
		}
	}
	return nil
}

// months returns the prefixes of the months from since to the one after until; all of
// the journal when since is zero.
func months(since, until time.Time) []string {
	if since.IsZero() {
		return []string{archive.JournalPrefix}
	}
	var list []string
	m := time.Date(since.UTC().Year(), since.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
	for end := until.UTC().AddDate(0, 1, 0); !m.After(end) && len(list) < 1200; m = m.AddDate(0, 1, 0) {
		list = append(list, archive.JournalPrefix+m.Format("2006/01/"))
	}
	return list
}

// seal writes the objects of one range, then says so in the index: segment and facts
// before the checkpoint that names them.
func (s *Sealer) seal(ctx context.Context, next, before index.Seal) error {
	fail := func(err error) error { return fmt.Errorf("seal entries %d to %d: %w", next.First, next.Last, err) }
	segment, facts, err := s.read(ctx, next, before)
	if err != nil {
		return fail(err)
	}
	if err := s.grow(ctx, segment, before); err != nil {
		return fail(err)
	}
	r := evidence.NewRange(next.First, next.Last, next.At)
	c := &evidence.Checkpoint{Origin: s.key.Name(), Size: next.Last, Root: s.tree.Root(), Time: next.At}
	if before.Done {
		c.Previous = evidence.Link{Key: before.Checkpoint.Key, SHA256: before.Checkpoint.SHA256}
	}
	if c.Segment, err = s.put(ctx, r.Key(evidence.KindSegment), segment.Bytes()); err != nil {
		return fail(err)
	}
	if facts != nil {
		if c.Facts, err = s.put(ctx, r.Key(evidence.KindFacts), facts); err != nil {
			return fail(err)
		}
	}
	if next.Checkpoint, err = s.sign(ctx, c); err != nil {
		return fail(err)
	}
	next.Root, next.Segment, next.Facts = c.Root.String(), c.Segment, c.Facts
	var tiles []index.Tile
	for _, t := range s.tree.Changed() {
		tiles = append(tiles, index.Tile(t))
	}
	if err := s.index.SaveSeal(ctx, next, tiles); err != nil {
		return fail(err)
	}
	s.log.Debug("journal sealed", slog.Int64("first", next.First), slog.Int64("last", next.Last))
	return nil
}

// read reads the entries of a range from the index and checks that they follow the seal
// before: a journal that was changed is never sealed.
func (s *Sealer) read(ctx context.Context, next, before index.Seal) (*evidence.Segment, []byte, error) {
	prev := greffe.FirstPrev
	if before.Done {
		prev = before.Hash
	}
	n := next.Last - next.First + 1
	entries, err := s.index.JournalAfter(ctx, next.First-1, int(n))
	if err != nil {
		return nil, nil, err
	}
	if err := greffe.CheckChain(next.First-1, prev, entries); err != nil {
		return nil, nil, err
	}
	if int64(len(entries)) != n || entries[n-1].Hash != next.Hash {
		return nil, nil, fmt.Errorf("%w: entry %d is not the one that was to be sealed", greffe.ErrChain, next.Last)
	}
	list, err := s.index.Facts(ctx, next.First, next.Last)
	if err != nil {
		return nil, nil, err
	}
	if err := evidence.CheckFacts(entries, list); err != nil {
		return nil, nil, err
	}
	facts, err := evidence.EncodeFacts(list)
	if err != nil {
		return nil, nil, err
	}
	segment, err := evidence.NewSegment(entries)
	return segment, facts, err
}

// grow adds the segment to the tree, which it reads from the index when another sealer
// made it grow since.
func (s *Sealer) grow(ctx context.Context, segment *evidence.Segment, before index.Seal) error {
	if s.tree == nil || s.tree.Size() != before.Last {
		tree, err := evidence.NewTree(before.Last, func(level int, number int64, _ int) ([]byte, error) {
			return s.index.Tile(ctx, level, number)
		})
		if err != nil {
			return err
		}
		s.tree = tree
	}
	if root := s.tree.Root().String(); before.Done && root != before.Root {
		return fmt.Errorf("%w: the tree of %d entries in the index has another root than was signed", evidence.ErrMismatch, before.Last)
	}
	return s.tree.AppendSegment(segment)
}

func (s *Sealer) put(ctx context.Context, key string, b []byte) (greffe.Object, error) {
	o, err := s.store.Put(ctx, key, bytes.NewReader(b), int64(len(b)), greffe.DigestOf(b))
	if errors.Is(err, archive.ErrExists) {
		err = fmt.Errorf("%w: %w", ErrForked, err)
	}
	return o, err
}

// sign writes the checkpoint. One that is there already may be signed with the key before
// this one: it stands when it says the same.
func (s *Sealer) sign(ctx context.Context, c *evidence.Checkpoint) (greffe.Object, error) {
	b, err := c.Sign(s.key)
	if err != nil {
		return greffe.Object{}, err
	}
	o, err := s.put(ctx, c.Key(), b)
	if !errors.Is(err, ErrForked) {
		return o, err
	}
	keys, err2 := ReadKeys(ctx, s.store)
	there, b, err3 := readObject(ctx, s.store, c.Key(), evidence.MaxCheckpoint)
	if err := errors.Join(err2, err3); err != nil {
		return greffe.Object{}, err
	}
	if old, _, err := evidence.OpenCheckpoint(b, keys...); err != nil || old.Text() != c.Text() {
		return greffe.Object{}, fmt.Errorf("%w: checkpoint %s", ErrForked, c.Key())
	}
	return there, nil
}

// KeyLines reads the public keys that the archive holds, a line each. They tell which
// key signed what; that a key is the right one, only a copy kept elsewhere can tell.
func KeyLines(ctx context.Context, store archive.Store) ([]string, error) {
	var list []string
	for i, err := range store.List(ctx, evidence.KeysPrefix()) {
		if err != nil {
			return nil, fmt.Errorf("read public keys: %w", err)
		}
		_, b, err := readObject(ctx, store, i.Key, 4<<10)
		if err != nil {
			return nil, fmt.Errorf("read public keys: %w", err)
		}
		list = append(list, strings.TrimSpace(string(b)))
	}
	return list, nil
}

// ReadKeys reads the public keys that the archive holds, for evidence.OpenCheckpoint.
func ReadKeys(ctx context.Context, store archive.Store) ([]note.Verifier, error) {
	lines, err := KeyLines(ctx, store)
	if err != nil {
		return nil, err
	}
	list := make([]note.Verifier, len(lines))
	for i, line := range lines {
		if list[i], err = evidence.ParsePublicKey(line); err != nil {
			return nil, fmt.Errorf("read public keys: %w", err)
		}
	}
	return list, nil
}

// readObject reads the object at key, of at most limit bytes, whatever it is.
func readObject(ctx context.Context, store archive.Store, key string, limit int64) (greffe.Object, []byte, error) {
	i, err := store.Stat(ctx, key)
	if err != nil {
		return greffe.Object{}, nil, err
	}
	f, err := store.Open(ctx, i.Object)
	if err != nil {
		return greffe.Object{}, nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return greffe.Object{}, nil, fmt.Errorf("read %s: %w", key, err)
	}
	if int64(len(b)) > limit {
		return greffe.Object{}, nil, fmt.Errorf("read %s: %w: more than %d bytes", key, evidence.ErrFormat, limit)
	}
	return greffe.Object{Key: key, Version: i.Version, SHA256: greffe.DigestOf(b), Size: int64(len(b))}, b, nil
}
