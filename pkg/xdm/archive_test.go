package xdm

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

func TestOpenGoodArchive(t *testing.T) {
	t.Parallel()
	a := open(t, build(t, good()...), Limits{})
	if got := a.rules(t); len(got) > 0 {
		t.Fatalf("findings: %v", got)
	}
	if !a.IsXDM() || len(a.Sets) != 1 || len(a.Sets[0].Documents) != 1 {
		t.Fatalf("archive %+v", a.Archive)
	}
	set, d := a.Sets[0], a.Sets[0].Documents[0]
	martel := greffe.Person{
		ID: greffe.OID{Root: "1.2.250.1.71.4.2.1", Extension: "899900000011"}, Family: "MARTEL", Given: "Yvon",
		Specialty:    greffe.Code{Code: "G15_10", Label: "Médecin", System: "1.2.250.1.213.1.1.4.5"},
		Organization: greffe.Org{ID: greffe.OID{Root: "1.2.250.1.71.4.2.2", Extension: "1990000010"}, Name: "Clinique d'essai"},
	}
	ins := greffe.OID{Root: "1.2.250.1.213.1.4.10", Extension: "285022999907751"}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"metadata", set.Metadata, 4}, {"set id", set.UniqueID, "1.9.9"}, {"source", set.SourceID, "1.9.8"}, {"set patient", set.PatientID, ins},
		{"time", set.SubmissionTime, "20260102030405"}, {"set title", set.Title, "Lot"}, {"content type", set.ContentType, greffe.Code{Code: "SA01", System: "1.9.SA01", Label: "label SA01"}},
		{"author", set.Authors[0], martel},
		{"entry", d.Entry, 5}, {"URI", d.URI, "DOC0001.XML"}, {"size", d.Size, int64(len(cdaFile))}, {"action", d.Action, ""},
		{"id", d.UniqueID, greffe.OID{Root: "1.2.3.4.5"}}, {"uuid", d.EntryUUID, "urn:uuid:doc1"}, {"media type", d.MimeType, "text/xml"},
		{"type", d.Type.Code, "11502-2"}, {"class", d.Class.Code, "10"}, {"format", d.Format.Code, "urn:f"}, {"facility", d.Facility.Code, "SA01"},
		{"practice", d.Practice.Code, "ETABLISSEMENT"}, {"confidentiality", d.Confidentiality[0].Code, "N"}, {"events", len(d.Events), 2},
		{"title", d.Title, "Essai"}, {"language", d.Language, "fr-FR"}, {"created", d.Created, "20260102020405"}, {"start", d.ServiceStart, "202601020700"},
		{"patient", d.PatientID, ins}, {"INS", d.Patient.INS, ins}, {"ids", len(d.Patient.IDs), 2}, {"family", d.Patient.BirthFamily, "ESSAI-KERVELLA"},
		{"used", d.Patient.UsedFamily, "ESSAI"}, {"givens", d.Patient.Givens, "MAELLE ANNE"}, {"traits", d.Patient.HasTraits(), true},
	} {
		if c.got != c.want {
			t.Errorf("%s = %v, want %v", c.what, c.got, c.want)
		}
	}
	rc, err := a.OpenEntry(d.Entry)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if b, err := io.ReadAll(rc); err != nil || string(b) != cdaFile {
		t.Errorf("read %q, %v", b, err)
	}
}

func TestOpenRefusesDangerousArchives(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("\x00", 4<<20)
	big := make([]entry, 0, 300)
	for i := range 300 {
		big = append(big, entry{name: fmt.Sprintf("f%03d.txt", i), content: "x"})
	}
	for name, c := range map[string]struct {
		entries []entry
		lim     Limits
		rules   []string
	}{
		"parent folder": {[]entry{{name: "../evil.txt", content: "x"}}, Limits{}, []string{"xdm.path"}},
		"hidden parent": {[]entry{{name: `a\..\..\evil.txt`, content: "x"}}, Limits{}, []string{"xdm.names", "xdm.path"}},
		"absolute":      {[]entry{{name: "/etc/passwd", content: "x"}}, Limits{}, []string{"xdm.path"}},
		"drive":         {[]entry{{name: `C:\evil.txt`, content: "x"}}, Limits{}, []string{"xdm.names", "xdm.path"}},
		"control":       {[]entry{{name: "a\x00.txt", content: "x"}}, Limits{}, []string{"xdm.path"}},
		"symlink":       {[]entry{{name: "link", content: "/etc/passwd", header: func(h *zip.FileHeader) { h.SetMode(fs.ModeSymlink | 0o777) }}}, Limits{}, []string{"xdm.symlink"}},
		"device":        {[]entry{{name: "dev", header: func(h *zip.FileHeader) { h.SetMode(fs.ModeDevice | 0o777) }}}, Limits{}, []string{"xdm.symlink"}},
		"encrypted":     {[]entry{stored("a.txt", "secret", 6, 1)}, Limits{}, []string{"xdm.encrypted"}},
		"same name":     {[]entry{{name: "A.txt", content: "x"}, {name: "a.TXT", content: "y"}}, Limits{}, []string{"xdm.duplicate"}},
		"same path":     {[]entry{{name: "a/b", content: "x"}, {name: `a\.\b`, content: "y"}}, Limits{}, []string{"xdm.duplicate", "xdm.names"}},
		"many":          {big, Limits{}, []string{"xdm.entries"}},
		"bomb":          {[]entry{{name: "z.bin", content: zeros}}, Limits{}, []string{"xdm.ratio"}},
		"large":         {[]entry{{name: "a", content: "0123456789"}, {name: "b", content: "0123456789"}}, Limits{Total: 15}, []string{"xdm.total"}},
		"huge lie":      {[]entry{stored("a", "x", 1<<62, 0), stored("b", "x", 1<<62, 0)}, Limits{}, []string{"xdm.contradiction", "xdm.ratio", "xdm.total"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entries := append(good(), c.entries...)
			if name == "many" {
				entries = c.entries
			}
			a := open(t, build(t, entries...), c.lim)
			if got := a.rules(t); !slices.Equal(got, c.rules) || greffe.VerdictOf(a.findings) != greffe.VerdictRefused {
				t.Errorf("rules %v (%s), want %v", got, greffe.VerdictOf(a.findings), c.rules)
			}
			if len(a.Sets) > 0 {
				t.Error("documents are taken from a dangerous archive")
			}
			for i := range a.Entries {
				if rc, err := a.OpenEntry(i); err == nil {
					n, err := io.Copy(io.Discard, rc)
					if n > a.Entries[i].Size || n > 4<<20-1 {
						t.Errorf("entry %d gives %d bytes (%v)", i, n, err)
					}
					rc.Close()
				} else if !errors.Is(err, ErrRefused) {
					t.Errorf("entry %d: %v", i, err)
				}
			}
		})
	}
}

func TestOpenReportsWhatIsNoArchive(t *testing.T) {
	t.Parallel()
	whole := build(t, good()...)
	for name, b := range map[string][]byte{
		"nothing": nil, "text": []byte("bonjour"), "empty": build(t), "end alone": whole[len(whole)-22:], "tail": whole[len(whole)/2:],
	} {
		if a, findings, err := Open(bytes.NewReader(b), int64(len(b)), Limits{}); a != nil || err != nil || !slices.Equal(ruleIDs(t, findings), []string{"xdm.zip"}) {
			t.Errorf("%s: %v, %v, %v", name, a, findings, err)
		}
	}
	// Cut anywhere, it is never more than a cut archive.
	for n := 4; n < len(whole); n += 7 {
		a, findings, err := Open(bytes.NewReader(whole[:n]), int64(n), Limits{})
		if a != nil || err != nil || !slices.Equal(ruleIDs(t, findings), []string{"xdm.truncated"}) {
			t.Errorf("cut at %d: %v, %v, %v", n, a, findings, err)
		}
	}
}

// A directory of a million entries is given up early.
func TestOpenBoundsTheDirectory(t *testing.T) {
	t.Parallel()
	entries := make([]entry, 60_000)
	for i := range entries {
		entries[i] = entry{name: fmt.Sprintf("%060d", i), raw: true}
	}
	a := open(t, build(t, entries...), Limits{})
	if a.Archive != nil || !slices.Equal(a.rules(t), []string{"xdm.entries"}) {
		t.Errorf("archive %v, rules %v", a.Archive != nil, a.rules(t))
	}
}

func TestOpenEntryDistrustsTheDirectory(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]entry{
		"less than declared": stored("IHE_XDM/SUBSET01/DOC0001.XML", "0123456789", 20, 0),
		"wrong checksum": {name: "IHE_XDM/SUBSET01/DOC0001.XML", content: "0123456789", raw: true, header: func(h *zip.FileHeader) {
			h.Method, h.UncompressedSize64, h.CRC32 = zip.Store, 10, 1
		}},
		"not deflate": {name: "IHE_XDM/SUBSET01/DOC0001.XML", content: "\xff\xff\xff\xff", raw: true, header: func(h *zip.FileHeader) {
			h.Method, h.UncompressedSize64 = zip.Deflate, 10
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entries := good(meta{uri: "DOC0001.XML", content: "0123456789"})
			entries[len(entries)-1] = e
			a := open(t, build(t, entries...), Limits{})
			if !slices.Contains(a.rules(t), "xdm.entry") {
				t.Errorf("rules %v", a.rules(t))
			}
			rc, err := a.OpenEntry(len(entries) - 1)
			if err == nil {
				_, err = io.Copy(io.Discard, rc)
				rc.Close()
			}
			if !errors.Is(err, ErrCorrupt) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("error %v", err)
			}
		})
	}
	a := open(t, build(t, good()...), Limits{})
	for _, i := range []int{-1, 2, 99} { // 2 is a folder
		if _, err := a.OpenEntry(i); !errors.Is(err, ErrRefused) {
			t.Errorf("entry %d: %v", i, err)
		}
	}
}

// A fault of the reader is no fault of the archive.
func TestOpenEntryReturnsTheErrorOfItsReader(t *testing.T) {
	t.Parallel()
	b := build(t, good()...)
	disk := errors.New("disk")
	r := &failingReaderAt{ReaderAt: bytes.NewReader(b)}
	for n := range 12 { // the directory, headers, metadata, documents
		broken := &failingReaderAt{ReaderAt: bytes.NewReader(b), after: n, err: disk}
		if a, findings, err := Open(broken, int64(len(b)), Limits{}); a != nil || findings != nil || !errors.Is(err, disk) {
			t.Errorf("a disk that fails after %d reads: %v, %v", n, findings, err)
		}
	}
	a, _, _ := Open(r, int64(len(b)), Limits{})
	rc, err := a.OpenEntry(1)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	r.err = disk
	if _, err := io.Copy(io.Discard, rc); !errors.Is(err, disk) || errors.Is(err, ErrCorrupt) {
		t.Errorf("error %v", err)
	}
}

type failingReaderAt struct {
	io.ReaderAt
	after int // reads that still work
	err   error
}

func (f *failingReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if f.after--; f.err != nil && f.after < 0 {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(p, off)
}

// What was verified is there without the reader, up to 4 MiB; the rest is read again.
func TestOpenKeepsWhatItVerified(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	text := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = 'a' + byte(rnd.UintN(26))
		}
		return string(b)
	}
	docs := []meta{{uri: "A.XML", content: text(3 << 20)}, {uri: "B.XML", content: text(1<<20 + 1)}, {uri: "C.XML", content: text(1 << 20)}, {uri: "D.XML"}}
	b := build(t, good(docs...)...)
	r := &failingReaderAt{ReaderAt: bytes.NewReader(b)}
	a, findings, _ := Open(r, int64(len(b)), Limits{})
	if got := (opened{a, findings}).rules(t); len(got) > 0 {
		t.Fatalf("findings: %v", got)
	}
	read := func(i int) (string, error) {
		rc, err := a.OpenEntry(5 + i)
		if err != nil {
			return "", err
		}
		defer rc.Close()
		b, err := io.ReadAll(rc)
		return string(b), err
	}
	for range 2 {
		for i, d := range docs {
			if got, err := read(i); err != nil || got != d.content {
				t.Errorf("document %d: %d bytes of %d, %v", i, len(got), len(d.content), err)
			}
		}
	}
	r.err = errors.New("disk")
	for i, kept := range []bool{true, false, true, true} {
		if _, err := read(i); (err == nil) != kept {
			t.Errorf("document %d without the reader: %v", i, err)
		}
	}
}

// An entry that inflates to more than its declared size stops there.
func TestOpenEntryStopsABombThatLies(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	f, _ := w.Create("x")
	f.Write(make([]byte, 10<<20))
	w.Close()
	z, err := zip.NewReader(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := z.File[0].OpenRaw()
	deflated, _ := io.ReadAll(raw)
	b := build(t, entry{name: "z.bin", content: string(deflated), raw: true, header: func(h *zip.FileHeader) {
		h.Method, h.UncompressedSize64 = zip.Deflate, 1000
	}})
	a := open(t, b, Limits{})
	rc, err := a.OpenEntry(0)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if n, err := io.Copy(io.Discard, rc); n > 1000 || !errors.Is(err, ErrCorrupt) {
		t.Errorf("%d bytes, error %v", n, err)
	}
}

// Entries that all point to the same compressed bytes are refused.
func TestOpenRefusesOverlappingEntries(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("0123456789abcdef", 4096)
	b := build(t, stored("a", content, uint64(len(content)), 0), stored("b", "x", 1, 0), stored("c", "y", 1, 0))
	// Make every entry of the directory a copy of the first.
	dir := bytes.Index(b, []byte("PK\x01\x02"))
	var at []int
	for i := dir; i < len(b)-4; i++ {
		if string(b[i:i+4]) == "PK\x01\x02" {
			at = append(at, i)
		}
	}
	for _, i := range at[1:] {
		copy(b[i+16:i+28], b[at[0]+16:at[0]+28]) // CRC and sizes
		binary.LittleEndian.PutUint32(b[i+42:], binary.LittleEndian.Uint32(b[at[0]+42:]))
	}
	a := open(t, b, Limits{})
	if got := a.rules(t); !slices.Equal(got, []string{"xdm.contradiction", "xdm.overlap"}) {
		t.Errorf("rules %v", got)
	}
	if _, err := a.OpenEntry(0); !errors.Is(err, ErrRefused) {
		t.Errorf("entry 0: %v", err)
	}
}
