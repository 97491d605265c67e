package evidence

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"greffe/pkg/greffe"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// journal makes n entries, one a second.
func journal(n int) []greffe.Entry {
	list := make([]greffe.Entry, n)
	prev := greffe.FirstPrev
	for i := range list {
		e := greffe.Entry{
			Seq: int64(i + 1), At: noon.Add(time.Duration(i) * time.Second), Actor: "storage", Action: "archived",
			Subject: fmt.Sprint("m", i), From: "host <1>", Result: "à traiter", Detail: "a\"b\\c\u2028", Prev: prev,
		}
		e.Hash = e.Digest()
		list[i], prev = e, e.Hash
	}
	return list
}

// tiles is a store of tiles in memory.
type tiles map[string][]byte

func (t tiles) keep(list []Tile) {
	for _, x := range list {
		k := fmt.Sprint(x.Level, " ", x.Number)
		if len(x.Data) > len(t[k]) {
			t[k] = x.Data
		}
	}
}

func (t tiles) read(level int, number int64, width int) ([]byte, error) {
	b, ok := t[fmt.Sprint(level, " ", number)]
	if !ok {
		return nil, fmt.Errorf("no tile %d of level %d", number, level)
	}
	return b, nil
}

// sealed is a journal that was sealed in ranges.
type sealed struct {
	key         *Key
	tiles       tiles
	checkpoints []*Checkpoint
	bytes       [][]byte // of the checkpoints
	segments    [][]byte
	lines       [][]byte
}

func newKey(t testing.TB, name string) *Key {
	t.Helper()
	file, err := GenerateKey(name)
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParsePrivateKey([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func verifier(t testing.TB, k *Key) note.Verifier {
	t.Helper()
	v, err := ParsePublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func seal(t testing.TB, entries []greffe.Entry, sizes ...int) *sealed {
	t.Helper()
	s := &sealed{key: newKey(t, "greffe.ch-exemple"), tiles: tiles{}}
	tree, err := NewTree(0, s.tiles.read)
	if err != nil {
		t.Fatal(err)
	}
	var previous Link
	for _, n := range sizes {
		seg, err := NewSegment(entries[:n])
		if err != nil {
			t.Fatal(err)
		}
		entries = entries[n:]
		b := seg.Bytes()
		first, last := seg.Entries[0], seg.Entries[n-1]
		r := NewRange(first.Seq, last.Seq, last.At)
		if err := tree.AppendSegment(seg); err != nil {
			t.Fatal(err)
		}
		c := &Checkpoint{Origin: s.key.Name(), Size: last.Seq, Root: tree.Root(), Time: last.At,
			Segment: greffe.Object{Key: r.Key(KindSegment), SHA256: greffe.DigestOf(b)}, Previous: previous}
		signed, err := c.Sign(s.key)
		if err != nil {
			t.Fatal(err)
		}
		previous = Link{c.Key(), greffe.DigestOf(signed)}
		s.tiles.keep(tree.Changed())
		// What was kept is enough to go on, whoever does.
		if tree, err = NewTree(last.Seq, s.tiles.read); err != nil {
			t.Fatal(err)
		}
		s.checkpoints, s.bytes, s.segments = append(s.checkpoints, c), append(s.bytes, signed), append(s.segments, b)
		s.lines = append(s.lines, seg.Lines...)
	}
	return s
}

func TestSealedJournalIsProven(t *testing.T) {
	t.Parallel()
	s := seal(t, journal(1200), 1, 2, 253, 1, 255, 300, 388)
	v := verifier(t, s.key)
	replay, _ := NewTree(0, nil)
	for i, b := range s.bytes {
		c, signed, err := OpenCheckpoint(b, v, v)
		if err != nil || !slices.Contains(signed, s.key.ID()) || *c != *s.checkpoints[i] {
			t.Fatalf("checkpoint %d: %v, signed by %v, %+v", i, err, signed, c)
		}
		if _, err := c.Check(replay, s.segments[i]); err != nil {
			t.Fatalf("checkpoint %d: %v", i, err)
		}
	}
	// Roots agree with an independent computation.
	var all []tlog.Hash
	r := tlog.HashReaderFunc(func(x []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(x))
		for i, n := range x {
			out[i] = all[n]
		}
		return out, nil
	})
	at := 0
	for i, l := range s.lines {
		h, err := tlog.StoredHashes(int64(i), l, r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h...)
		if c := s.checkpoints[at]; c.Size == int64(i+1) {
			if want, _ := tlog.TreeHash(c.Size, r); c.Root != want {
				t.Errorf("root of %d entries differs", c.Size)
			}
			at++
		}
	}
	for i, c := range s.checkpoints {
		for _, seq := range []int64{1, c.Size/2 + 1, c.Size} {
			p, err := ProveEntry(c, seq, s.tiles.read)
			if err != nil {
				t.Fatal(err)
			}
			if err := CheckEntry(c, seq, s.lines[seq-1], p); err != nil {
				t.Error(err)
			}
			if err := CheckEntry(c, seq, append([]byte("x"), s.lines[seq-1]...), p); !errors.Is(err, ErrMismatch) {
				t.Errorf("another line is proven: %v", err)
			}
		}
		for _, old := range s.checkpoints[:i+1] {
			p, err := ProveGrowth(old, c, s.tiles.read)
			if err != nil {
				t.Fatal(err)
			}
			if err := CheckGrowth(old, c, p); err != nil {
				t.Error(err)
			}
			forged := *old
			forged.Root[0] ^= 1
			if err := CheckGrowth(&forged, c, p); !errors.Is(err, ErrMismatch) {
				t.Errorf("another tree grew into this one: %v", err)
			}
		}
	}
	// A tile that was changed in the index proves nothing.
	for k, b := range s.tiles {
		b[5] ^= 1
		if _, err := ProveEntry(s.checkpoints[6], 1, s.tiles.read); err == nil && (k == "0 0" || k == "1 0") {
			t.Errorf("tile %q was changed and a proof made of it", k)
		}
		b[5] ^= 1
	}
}

func TestWhatWasChangedIsFound(t *testing.T) {
	t.Parallel()
	entries := journal(5)
	s := seal(t, entries, 2, 3)
	other := newKey(t, s.key.Name())
	c := s.checkpoints[1]
	v := verifier(t, s.key)
	t.Run("checkpoint", func(t *testing.T) {
		for i := range s.bytes[1] {
			for _, bit := range []byte{1, 2, 4, 0x20} {
				b := bytes.Clone(s.bytes[1])
				b[i] ^= bit
				if got, _, err := OpenCheckpoint(b, v); err == nil {
					t.Errorf("byte %d changed: %+v", i, got)
				}
			}
		}
		for n := range s.bytes[1] {
			if _, _, err := OpenCheckpoint(s.bytes[1][:n], v); err == nil {
				t.Errorf("cut after %d bytes", n)
			}
		}
		if c, _, err := OpenCheckpoint(s.bytes[1], verifier(t, other)); !errors.Is(err, ErrSignature) || c == nil {
			t.Errorf("signed by a stranger: %v", err)
		}
		if c, _, err := OpenCheckpoint(s.bytes[1]); !errors.Is(err, ErrSignature) || c == nil {
			t.Errorf("no known key: %v", err)
		}
	})
	t.Run("segment", func(t *testing.T) {
		for i := range s.segments[1] {
			b := bytes.Clone(s.segments[1])
			b[i] ^= 1
			if _, err := ParseSegment(b); err == nil {
				t.Errorf("byte %d changed", i)
			}
			tree, _ := NewTree(2, s.tiles.read)
			if _, err := c.Check(tree, b); !errors.Is(err, ErrMismatch) {
				t.Errorf("byte %d changed: %v", i, err)
			}
		}
	})
	t.Run("the chain was rewritten", func(t *testing.T) {
		forged := slices.Clone(entries[2:])
		forged[0].Actor = "nobody"
		for i := range forged {
			if i > 0 {
				forged[i].Prev = forged[i-1].Hash
			}
			forged[i].Hash = forged[i].Digest()
		}
		seg, err := NewSegment(forged)
		if err != nil {
			t.Fatal(err)
		}
		lie := *c
		lie.Segment.SHA256 = greffe.DigestOf(seg.Bytes())
		tree, _ := NewTree(2, s.tiles.read)
		if _, err := lie.Check(tree, seg.Bytes()); !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), "root") {
			t.Error(err)
		}
	})
	t.Run("facts", func(t *testing.T) {
		tree, _ := NewTree(2, s.tiles.read)
		withFacts := *c
		withFacts.Facts = greffe.Object{Key: c.Range().Key(KindFacts), SHA256: greffe.DigestOf([]byte("{\"seq\":3,\"fact\":1}\n"))}
		seg, err := withFacts.Check(tree, s.segments[1])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := withFacts.CheckFacts(seg, []byte("{\"seq\":3,\"fact\":1}\n")); !errors.Is(err, ErrMismatch) {
			t.Errorf("a fact that no entry names: %v", err)
		}
	})
}

func TestSegmentsAreStrict(t *testing.T) {
	t.Parallel()
	seg, err := NewSegment(journal(2))
	if err != nil {
		t.Fatal(err)
	}
	good := string(seg.Bytes())
	for name, text := range map[string]string{
		"empty":            "",
		"no end":           strings.TrimSuffix(good, "\n"),
		"empty line":       good + "\n",
		"blank":            strings.Replace(good, `{"seq"`, `{ "seq"`, 1),
		"another spelling": strings.Replace(good, "archived", `\u0061rchived`, 1),
		"more members":     strings.Replace(good, `{"seq"`, `{"x":1,"seq"`, 1),
		"another order":    strings.Replace(good, `"actor":"storage","action":"archived"`, `"action":"archived","actor":"storage"`, 1),
		"local time":       strings.Replace(good, "12:00:00.000Z", "13:00:00.000+01:00", 1),
		"null":             "null\n",
	} {
		if _, err := ParseSegment([]byte(text)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	first, second, _ := strings.Cut(strings.TrimSuffix(good, "\n"), "\n")
	for name, text := range map[string]string{
		"twice the same": first + "\n" + first + "\n",
		"turned round":   second + "\n" + first + "\n",
		"changed":        strings.Replace(good, "storage", "someone", 1),
	} {
		if s, err := ParseSegment([]byte(text)); !errors.Is(err, greffe.ErrChain) || s == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if e, err := ParseLine([]byte(first)); err != nil || e != journal(1)[0] {
		t.Errorf("%+v %v", e, err)
	}
}

func TestFacts(t *testing.T) {
	t.Parallel()
	fact := []byte(`{"state":"intégré"}`)
	entries := journal(3)
	entries[1].Detail = greffe.WithFact("dpi T02", greffe.DigestOf(fact))
	if d, detail := entries[1].FactDigest(); d != greffe.DigestOf(fact) || detail != "dpi T02" {
		t.Errorf("%q %q", d, detail)
	}
	b, err := EncodeFacts([]greffe.Fact{{Seq: 2, Text: fact}})
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != `{"seq":2,"fact":{"state":"intégré"}}`+"\n" {
		t.Errorf("%s", b)
	}
	facts, err := ParseFacts(b)
	if err != nil || len(facts) != 1 {
		t.Fatal(facts, err)
	}
	if err := CheckFacts(entries, facts); err != nil {
		t.Error(err)
	}
	for name, list := range map[string][]greffe.Fact{
		"missing": nil, "changed": {{Seq: 2, Text: []byte("{}")}}, "of another entry": {{Seq: 3, Text: fact}}, "more": {{Seq: 2, Text: fact}, {Seq: 3, Text: fact}},
	} {
		if err := CheckFacts(entries, list); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"x\n", `{"seq":2,"fact":{}}`, `{"seq":02,"fact":{}}` + "\n", `{"seq":2,"fact":}` + "\n", `{"seq":2,"fact":1,"fact":2}` + "\n", string(b) + string(b)} {
		if _, err := ParseFacts([]byte(bad)); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestKeysOfObjects(t *testing.T) {
	t.Parallel()
	r := NewRange(1, 10_000, noon)
	if got := r.Key(KindSegment); got != "journal/2026/11/22/000000000001-000000010000.jsonl" {
		t.Error(got)
	}
	for _, kind := range []string{KindSegment, KindFacts, KindCheckpoint, KindStamp, KindToken} {
		if got, k, ok := ParseKey(r.Key(kind)); !ok || got != r || k != kind {
			t.Errorf("%s: %v %s %v", kind, got, k, ok)
		}
	}
	for _, bad := range []Range{{0, 1, r.Day}, {2, 1, r.Day}, {1, 10_001, r.Day}, {1, 1, time.Time{}}} {
		if got := bad.Key(KindSegment); got != "" {
			t.Errorf("%v: %s", bad, got)
		}
	}
}

func FuzzParseSegment(f *testing.F) {
	seg, err := NewSegment(journal(3))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seg.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := ParseSegment(b); err == nil && !bytes.Equal(s.Bytes(), b) {
			t.Error("another spelling was read")
		}
		if facts, err := ParseFacts(b); err == nil {
			if again, err := EncodeFacts(facts); err != nil || !bytes.Equal(again, b) {
				t.Errorf("another spelling of facts was read: %v", err)
			}
		}
	})
}

func FuzzOpenCheckpoint(f *testing.F) {
	s := seal(f, journal(3), 1, 2)
	f.Add(s.bytes[0])
	f.Add(s.bytes[1])
	v := verifier(f, s.key)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, _, err := OpenCheckpoint(b, v)
		if err == nil && *c != *s.checkpoints[0] && *c != *s.checkpoints[1] {
			t.Errorf("never signed: %+v", c)
		}
		if c != nil {
			_ = c.Key()
		}
	})
}
