package evidence

import (
	"bytes"
	"io"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
)

// ReadAt makes memoryFile a PackOutput.
func (m *memoryFile) ReadAt(p []byte, at int64) (int, error) {
	return bytes.NewReader(*m).ReadAt(p, at)
}

// smallPack is a pack of one message whose bytes were not read, with the line of its
// reception and of its archiving.
func smallPack(t testing.TB) (pack []byte, rec Record, keys []note.Verifier) {
	t.Helper()
	private, err := GenerateKey("greffe-essai")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParsePrivateKey([]byte(private))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	origin := greffe.Origin{Mailbox: "bal@ch.example", Folder: "INBOX", UIDValidity: 1, UID: 2, InternalDate: at}
	id := greffe.NewMessageID(origin, "")
	m := &archive.Manifest{Format: archive.ManifestFormat, Parsed: greffe.Parsed{Received: greffe.Received{ID: id, Origin: origin, At: at, Refused: &greffe.Finding{Rule: "mail.size"}}, At: at}}
	manifest, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	entries := []greffe.Entry{
		{Seq: 1, At: at, Actor: "storage", Action: "received", Subject: string(id), Detail: "mail.size", Prev: greffe.FirstPrev},
		{Seq: 2, At: at, Actor: "storage", Action: "archived", Subject: string(id), Detail: string(greffe.DigestOf(manifest))},
	}
	entries[0].Hash = entries[0].Digest()
	entries[1].Prev = entries[0].Hash
	entries[1].Hash = entries[1].Digest()
	segment, err := NewSegment(entries)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := NewTree(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.AppendSegment(segment); err != nil {
		t.Fatal(err)
	}
	r := NewRange(1, 2, at)
	c := &Checkpoint{Origin: key.Name(), Size: 2, Root: tree.Root(), Time: at, Segment: greffe.Object{Key: r.Key(KindSegment), SHA256: greffe.DigestOf(segment.Bytes())}}
	signed, err := c.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	var out memoryFile
	w := NewPackWriter(&out)
	if err := w.AddManifest(manifest, nil, false); err != nil {
		t.Fatal(err)
	}
	leaves := []tlog.Hash{LeafHash(segment.Lines[0]), LeafHash(segment.Lines[1])}
	err = w.AddJournal(PackJournal{
		Lines: segment.Lines, Checkpoints: map[string][]byte{c.Key(): signed}, Keys: []string{key.Public()},
		Entries: []EntryProof{{1, c, leaves[1:]}, {2, c, leaves[:1]}},
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := ParsePublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	keys = []note.Verifier{v}
	rec, err = w.Finish(t.Context(), Record{Made: at, By: "greffe", Journal: key.Name(), Scope: Scope{Kind: "message"}}, key, Trust{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return out, rec, keys
}

func TestSmallPack(t *testing.T) {
	t.Parallel()
	b, rec, keys := smallPack(t)
	rep, err := VerifyPack(t.Context(), bytes.NewReader(b), int64(len(b)), Trust{Keys: keys}, nil)
	if err != nil || rep.Verdict == StatusKO || rep.Unchecked || len(rec.Checks) < leastChecks {
		t.Errorf("%+v, %v", rep, err)
	}
	if rep, err := VerifyPack(t.Context(), io.NewSectionReader(bytes.NewReader(b), 0, 100), 100, Trust{}, nil); err != nil || rep.Verdict != StatusKO || !rep.Unchecked {
		t.Errorf("cut: %+v, %v", rep, err)
	}
	// Each file that is missing is missed.
	files, _, err := scanZip(t.Context(), bytes.NewReader(b), int64(len(b)), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		var again []string
		for k, f := range files {
			if k != i {
				again = append(again, f.name, string(b[f.content():f.content()+f.size]))
			}
		}
		less := writeAgain(t, again)
		rep, err := VerifyPack(t.Context(), bytes.NewReader(less), int64(len(less)), Trust{Keys: keys}, nil)
		if err != nil || rep.Verdict != StatusKO {
			t.Errorf("without %s: %s, %v", files[i].name, rep.Verdict, err)
		}
	}
}

func TestSidesOfProofs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		index, size int64
		want        string
	}{{0, 1, ""}, {0, 2, "R"}, {1, 2, "L"}, {2, 3, "L"}, {4, 5, "L"}, {4, 7, "RRL"}, {6, 7, "LL"}, {5, 8, "LRL"}, {7, 7, ""}, {-1, 2, ""}} {
		if got := sides(c.index, c.size); got != c.want {
			t.Errorf("leaf %d of %d: %q, want %q", c.index, c.size, got, c.want)
		}
	}
}

// FuzzVerifyPack: a hostile pack costs little, breaks nothing, and is never taken for
// the one that was signed.
func FuzzVerifyPack(f *testing.F) {
	b, _, keys := smallPack(f)
	f.Add(b)
	f.Fuzz(func(t *testing.T, got []byte) {
		rep, err := VerifyPack(t.Context(), bytes.NewReader(got), int64(len(got)), Trust{Keys: keys}, nil)
		if err != nil || rep.Verdict != StatusKO && !bytes.Equal(got, b) {
			t.Errorf("%d bytes: %s, %v", len(got), rep.Verdict, err)
		}
	})
}

func FuzzReadProofs(f *testing.F) {
	f.Add([]byte("greffe-proofs/1\n\nentry 1 a\nR AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\ngrowth a b\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		if readProofs(bytes.NewReader(b), func(p proofBlock) error { n += 1 + len(p.hashes); return nil }) == nil && n > len(b) {
			t.Errorf("%d pieces of %d bytes", n, len(b))
		}
	})
}
