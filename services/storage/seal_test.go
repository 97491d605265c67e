package storage

import (
	"context"
	cryptorand "crypto/rand"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

func newJournalKey(t testing.TB, name string) *evidence.Key {
	t.Helper()
	file, err := evidence.GenerateKey(name)
	if err != nil {
		t.Fatal(err)
	}
	k, err := evidence.ParsePrivateKey([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// say appends n entries to the journal.
func say(t testing.TB, db *index.DB, n int) {
	t.Helper()
	for i := range n {
		if err := db.Append(t.Context(), index.Entry{Actor: "anne", Action: "read", Subject: fmt.Sprint(i), Result: "ok"}); err != nil {
			t.Fatal(err)
		}
	}
}

// judgeSeals reads the sealed journal from the archive alone and compares it with the index:
// every segment, checkpoint and root, without a gap. It returns how many entries are sealed.
func judgeSeals(t testing.TB, store archive.Store, db *index.DB) int64 {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	keys, err := ReadKeys(ctx, store)
	if err != nil {
		t.Fatal(err)
	}
	var ranges []evidence.Range
	for i, err := range store.List(ctx, archive.JournalPrefix+"2") {
		if err != nil {
			t.Fatal(err)
		}
		r, kind, ok := evidence.ParseKey(i.Key)
		if !ok {
			t.Fatalf("%s in the journal", i.Key)
		}
		if kind == evidence.KindCheckpoint {
			ranges = append(ranges, r)
		}
	}
	slices.SortFunc(ranges, func(a, b evidence.Range) int { return int(a.Last - b.Last) })
	read := func(key string) []byte {
		_, b, err := readObject(ctx, store, key, evidence.MaxSegment)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	tree, _ := evidence.NewTree(0, nil)
	var previous evidence.Link
	prev := greffe.FirstPrev
	var entries []greffe.Entry
	for _, r := range ranges {
		b := read(r.Key(evidence.KindCheckpoint))
		c, _, err := evidence.OpenCheckpoint(b, keys...)
		if err != nil {
			t.Fatal(err)
		}
		if c.Previous != previous {
			t.Errorf("checkpoint %d follows %v, want %v", c.Size, c.Previous, previous)
		}
		var facts []byte
		if !c.Facts.IsZero() {
			facts = read(c.Facts.Key)
		}
		seg, err := c.Check(tree, read(c.Segment.Key))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.CheckFacts(seg, facts); err != nil {
			t.Fatal(err)
		}
		if err := greffe.CheckChain(r.First-1, prev, seg.Entries); err != nil {
			t.Fatal(err)
		}
		prev, previous = seg.Entries[len(seg.Entries)-1].Hash, evidence.Link{Key: c.Key(), SHA256: greffe.DigestOf(b)}
		entries = append(entries, seg.Entries...)
		s, err := db.SealOf(ctx, r.Last)
		if err != nil || s.First != r.First || s.Root != c.Root.String() || s.Checkpoint.SHA256 != previous.SHA256 {
			t.Errorf("the index says %+v, %v of checkpoint %d", s, err, r.Last)
		}
		// What the index keeps of the tree proves each entry.
		p, err := evidence.ProveEntry(c, r.First, func(level int, n int64, _ int) ([]byte, error) { return db.Tile(ctx, level, n) })
		if err != nil {
			t.Fatal(err)
		}
		if err := evidence.CheckEntry(c, r.First, seg.Lines[0], p); err != nil {
			t.Error(err)
		}
	}
	for i := 0; i < len(entries); i += 1000 {
		list, err := db.JournalAfter(ctx, int64(i), 1000)
		if err != nil {
			t.Fatal(err)
		}
		if end := min(i+1000, len(entries)); !slices.Equal(list[:end-i], entries[i:end]) {
			t.Errorf("sealed entries %d to %d differ from the index", i+1, end)
		}
	}
	return int64(len(entries))
}

func TestTheJournalIsSealed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := NewSealer(h.store, h.db, newJournalKey(t, "essai"), slog.New(slog.DiscardHandler))
	r := h.receive(t, 1, sampleMail(t, 1, 1000))
	if err := h.onReceived(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	p := parse(t, r, sampleMail(t, 1, 1000))
	if _, err := h.onParsed(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	doc := greffe.NewDocumentID(r.ID, 1)
	if _, err := h.db.SaveDecision(t.Context(), greffe.Decided{ID: "d1", Document: doc, Verb: greffe.VerbRetry, By: "anne", Reason: "essai"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.db.SaveOutcome(t.Context(), doc, greffe.Outcome{DI: "dpi", State: greffe.StateRefused, Code: "AE 902", Text: "é"}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := judgeSeals(t, h.store, h.db)
	first, err := h.db.SealOf(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	_, b, err := readObject(t.Context(), h.store, first.Facts.Key, evidence.MaxFacts)
	if err != nil {
		t.Fatal(err)
	}
	facts, err := evidence.ParseFacts(b)
	if err != nil {
		t.Fatal(err)
	}
	var all greffe.Matter
	for _, f := range facts {
		if err := json.Unmarshal(f.Text, &all); err != nil {
			t.Fatal(err)
		}
	}
	if len(facts) != 3 || all.Received.ID != r.ID || all.Raw.Key != archive.RawKey(r.ID) || all.Decision.Reason != "essai" || all.Outcome.Text != "é" {
		t.Errorf("%d facts: %s", len(facts), b)
	}
	for _, n := range []int{3, 0, 1, 300} {
		say(t, h.db, n)
		sealed, err := s.SealAll(t.Context())
		if err != nil || sealed != int64(n) {
			t.Fatalf("%d entries sealed, want %d: %v", sealed, n, err)
		}
	}
	if n := judgeSeals(t, h.store, h.db); n != before+304 {
		t.Errorf("%d entries sealed", n)
	}
	// Another process goes on, with another key of the same journal.
	say(t, h.db, 2)
	if _, err := NewSealer(h.store, h.db, newJournalKey(t, "essai"), slog.New(slog.DiscardHandler)).SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := judgeSeals(t, h.store, h.db); n != before+306 {
		t.Errorf("%d entries sealed", n)
	}
	// A key of another journal is not taken.
	say(t, h.db, 1)
	if _, err := NewSealer(h.store, h.db, newJournalKey(t, "autre"), slog.New(slog.DiscardHandler)).SealAll(t.Context()); !errors.Is(err, evidence.ErrMismatch) {
		t.Errorf("got %v, want ErrMismatch", err)
	}
}

func TestAChangedJournalIsNotSealed(t *testing.T) {
	t.Parallel()
	for name, query := range map[string]string{
		"an entry changed":    `UPDATE journal SET actor = 'nobody' WHERE seq = 4`,
		"an entry removed":    `DELETE FROM journal WHERE seq = 4`,
		"a tile changed":      `UPDATE journal_tiles SET data = 'A' || substr(data, 2)`,
		"a tile removed":      `DELETE FROM journal_tiles`,
		"a seal was removed":  `DELETE FROM seals`,
		"a fact was smuggled": `INSERT INTO journal_facts (seq, fact) VALUES (4, '{}')`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			log := slog.New(slog.DiscardHandler)
			key := newJournalKey(t, "essai")
			say(t, h.db, 3)
			if _, err := NewSealer(h.store, h.db, key, log).SealAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			say(t, h.db, 3)
			h.sql(t, `DROP TRIGGER journal_no_update; DROP TRIGGER journal_no_delete; `+query)
			if n, err := NewSealer(h.store, h.db, key, log).SealAll(t.Context()); err == nil {
				t.Errorf("%d entries sealed", n)
			}
		})
	}
}

// Each write to the archive fails twice, once before and once after it was done; then
// the same or another sealer goes on, also when more entries came meanwhile.
func TestSealingCrashPoints(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	for n := range 5 { // key, segment, checkpoint, segment, checkpoint
		for _, stored := range []bool{false, true} {
			for _, same := range []bool{false, true} {
				t.Run(fmt.Sprint(n, stored, same), func(t *testing.T) {
					t.Parallel()
					h := newHouse(t)
					key := newJournalKey(t, "essai")
					f := &faulty{Store: h.store, step: step{n, stored}}
					s := NewSealer(f, h.db, key, log)
					say(t, h.db, 2)
					_, err := s.SealAll(t.Context())
					say(t, h.db, 3)
					if err == nil {
						_, err = s.SealAll(t.Context())
					}
					if !errors.Is(err, errStep) {
						t.Fatalf("got %v", err)
					}
					say(t, h.db, 1)
					if !same {
						s = NewSealer(h.store, h.db, newJournalKey(t, "essai"), log)
					}
					if _, err := s.SealAll(t.Context()); err != nil {
						t.Fatal(err)
					}
					if n := judgeSeals(t, h.store, h.db); n != 6 {
						t.Errorf("%d entries sealed, want 6", n)
					}
				})
			}
		}
	}
}

// An index that was put back to an earlier state does not begin a second journal.
func TestAForkIsRefused(t *testing.T) {
	t.Parallel()
	h, old := newHouse(t), newHouse(t)
	log := slog.New(slog.DiscardHandler)
	key := newJournalKey(t, "essai")
	say(t, h.db, 3)
	if _, err := NewSealer(h.store, h.db, key, log).SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	say(t, old.db, 5)
	if _, err := NewSealer(h.store, old.db, key, log).SealAll(t.Context()); !errors.Is(err, ErrForked) {
		t.Errorf("got %v, want ErrForked", err)
	}
	if n := judgeSeals(t, h.store, h.db); n != 3 {
		t.Errorf("%d entries sealed, want 3", n)
	}
}

func TestManySealersMakeOneSeries(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	testManySealers(t, h.store, h.db)
}

func testManySealers(t *testing.T, store archive.Store, dbs ...*index.DB) {
	key := newJournalKey(t, "essai")
	const writers, each = 3, 20
	errs := make(chan error, 2*writers)
	for i := range writers {
		db := dbs[i%len(dbs)]
		s := NewSealer(store, db, key, slog.New(slog.DiscardHandler))
		go func() {
			var err error
			for n := range each {
				err = errors.Join(err, db.Append(t.Context(), index.Entry{Actor: "anne", Action: "read", Subject: fmt.Sprint(n), Result: "ok"}))
			}
			errs <- err
		}()
		go func() {
			var err error
			for range 10 {
				_, e := s.SealAll(t.Context())
				err = errors.Join(err, e)
			}
			errs <- err
		}()
	}
	for range 2 * writers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if _, err := NewSealer(store, dbs[0], key, slog.New(slog.DiscardHandler)).SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := judgeSeals(t, store, dbs[0]); n != writers*each {
		t.Errorf("%d entries sealed, want %d", n, writers*each)
	}
}

// Two processes with the same index make one chain and one series of seals; so do two
// with PostgreSQL.
func TestTwoServicesMakeOneSeries(t *testing.T) {
	t.Parallel()
	for name, dsn := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return filepath.Join(t.TempDir(), "index.db") },
		"postgres": postgresSchema,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := dsn(t)
			dbs := make([]*index.DB, 2)
			for i := range dbs {
				db, err := index.Open(t.Context(), at, nil)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { db.Close() })
				dbs[i] = db
			}
			store, err := archive.OpenDir(filepath.Join(t.TempDir(), "archive"), 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { store.Close() })
			testManySealers(t, store, dbs...)
		})
	}
}

// postgresSchema makes a schema of its own on the server of GREFFE_TEST_POSTGRES.
func postgresSchema(t *testing.T) string {
	server := os.Getenv("GREFFE_TEST_POSTGRES")
	if server == "" {
		t.Skip("GREFFE_TEST_POSTGRES is not set")
	}
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	name := "seals_" + strings.ToLower(cryptorand.Text())
	if _, err := db.ExecContext(t.Context(), `CREATE SCHEMA `+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.ExecContext(context.WithoutCancel(t.Context()), `DROP SCHEMA `+name+` CASCADE`) })
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String()
}

// Ten thousand entries, read from the index, into the directory: the mark is 500 ms.
func BenchmarkSeal(b *testing.B) {
	h := newHouse(b)
	s := NewSealer(h.store, h.db, newJournalKey(b, "essai"), slog.New(slog.DiscardHandler))
	for b.Loop() {
		b.StopTimer()
		var g sync.WaitGroup
		for range 50 { // writers that wait at the same time share a transaction
			g.Go(func() { say(b, h.db, evidence.MaxEntries/50) })
		}
		g.Wait()
		b.StartTimer()
		if n, err := s.SealAll(b.Context()); err != nil || n != evidence.MaxEntries {
			b.Fatal(n, err)
		}
	}
}

// Proofs of entries of a journal of ten million: the mark is 5 ms. Leaves are made up,
// every level of the tree above them is real.
func BenchmarkProveEntry(b *testing.B) {
	h := newHouse(b)
	const size = 10_000_000
	tree, err := evidence.NewTree(0, nil)
	if err != nil {
		b.Fatal(err)
	}
	var leaf [32]byte
	for i := range uint64(size) {
		binary.LittleEndian.PutUint64(leaf[:], i)
		tree.Append(leaf)
		if i%1_000_000 == 999_999 {
			h.keepTiles(b, tree)
		}
	}
	r := evidence.NewRange(size, size, time.Now())
	c := &evidence.Checkpoint{Size: size, Root: tree.Root(), Segment: greffe.Object{Key: r.Key(evidence.KindSegment)}}
	read := func(level int, n int64, _ int) ([]byte, error) { return h.db.Tile(b.Context(), level, n) }
	seq := int64(1)
	for b.Loop() {
		seq = (seq*7919 + 104729) % size
		if p, err := evidence.ProveEntry(c, seq+1, read); err != nil || len(p) < 20 {
			b.Fatal(len(p), err)
		}
	}
}

// keepTiles puts the tiles of a tree into the index, as saving a seal does.
func (h *house) keepTiles(b *testing.B, tree *evidence.Tree) {
	b.Helper()
	say(b, h.db, 1)
	next, _, err := h.db.PlanSeal(b.Context(), 1)
	if err != nil {
		b.Fatal(err)
	}
	var tiles []index.Tile
	for _, t := range tree.Changed() {
		tiles = append(tiles, index.Tile(t))
	}
	if err := h.db.SaveSeal(b.Context(), next, tiles); err != nil {
		b.Fatal(err)
	}
}
