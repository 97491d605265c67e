package xdm

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/unicode/norm"

	"greffe/pkg/greffe"
)

// places returns where the headers of a kind are.
func places(b []byte, sig string) []int { return indexAll(b, sig) }

// patched changes bytes at an offset of the n-th header of a kind; n counts from the end
// when it is negative.
func patched(b []byte, sig string, n, offset int, change string) []byte {
	b = bytes.Clone(b)
	at := places(b, sig)
	if n < 0 {
		n += len(at)
	}
	copy(b[at[n]+offset:], change)
	return b
}

// wide turns an archive into one of the ZIP64 form, with every number in its 64 bits.
func wide(b []byte) []byte {
	le := binary.LittleEndian
	end := places(b, sigEnd)
	e := b[end[len(end)-1]:]
	start := int(le.Uint32(e[16:]))
	out := bytes.Clone(b[:start])
	for _, at := range places(b, sigCentral) {
		name, extra := int(le.Uint16(b[at+28:])), int(le.Uint16(b[at+30:]))
		h := bytes.Clone(b[at : at+lenCentral+name+extra])
		field := le.AppendUint64(le.AppendUint64(le.AppendUint64([]byte{1, 0, 24, 0}, uint64(le.Uint32(h[24:]))), uint64(le.Uint32(h[20:]))), uint64(le.Uint32(h[42:])))
		for _, i := range []int{20, 24, 42} {
			le.PutUint32(h[i:], 0xffffffff)
		}
		le.PutUint16(h[30:], uint16(extra+len(field)))
		out = append(append(out, h...), field...)
	}
	at, count := len(out), uint64(le.Uint16(e[10:]))
	out = append(out, sigEnd64...)
	out = le.AppendUint64(out, 44)
	out = append(out, 45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	for _, v := range []uint64{count, count, uint64(at - start), uint64(start)} {
		out = le.AppendUint64(out, v)
	}
	out = append(out, sigLocator...)
	out = le.AppendUint64(append(out, 0, 0, 0, 0), uint64(at))
	out = append(out, 1, 0, 0, 0)
	return append(out, sigEnd+"\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00"...)
}

// unicodePath is the extra field that gives a name in UTF-8.
func unicodePath(name, text string) []byte {
	b := binary.LittleEndian.AppendUint16([]byte{0x75, 0x70}, uint16(5+len(text)))
	return append(binary.LittleEndian.AppendUint32(append(b, 1), crc32.ChecksumIEEE([]byte(name))), text...)
}

func TestOpenReadsBothHeaders(t *testing.T) {
	t.Parallel()
	whole := build(t, good()...)
	// The document as most programs write it: its sizes before it.
	plain := good()
	doc := &plain[len(plain)-1]
	*doc = stored(doc.name, doc.content, uint64(len(doc.content)), 0)
	sized := build(t, plain...)
	other := build(t, good(meta{uri: "DOC0001.XML", content: "<autre/>"})...)
	commented := func(comment []byte) []byte {
		b := patched(whole, sigEnd, -1, 20, string(binary.LittleEndian.AppendUint16(nil, uint16(len(comment)))))
		return append(b, comment...)
	}
	last := len(places(whole, sigEnd)) - 1
	end := whole[places(whole, sigEnd)[last]:]
	count := func(n byte) string { return string([]byte{end[8] + n, 0, end[10] + n, 0}) }

	for name, c := range map[string]struct {
		b     []byte
		rules []string
		given bool // the document can be used
	}{
		"sizes behind the files":           {whole, nil, true},
		"sizes before the files":           {sized, nil, true},
		"ZIP64":                            {wide(whole), nil, true},
		"comment":                          {commented([]byte("Laboratoire des Essais")), nil, true},
		"bytes before":                     {append([]byte("\r\n\r\n"), whole...), []string{"xdm.prefix"}, true},
		"a program before":                 {append([]byte("MZ"+strings.Repeat("\x90PK\x03\x04", 20_000)), whole...), []string{"xdm.prefix"}, true},
		"bytes before ZIP64":               {append([]byte("\r\n\r\n"), wide(whole)...), []string{"xdm.prefix"}, true},
		"bytes behind":                     {append(bytes.Clone(whole), "\r\n--limite--\r\n"...), []string{"xdm.trailing"}, true},
		"many bytes behind":                {append(bytes.Clone(whole), make([]byte, 300_000)...), []string{"xdm.trailing"}, true},
		"other name before the file":       {patched(sized, sigLocal, -1, 30, "X"), []string{"xdm.contradiction"}, false},
		"other separator before the file":  {patched(sized, sigLocal, -1, 37, `\`), nil, true},
		"other size before the file":       {patched(sized, sigLocal, -1, 22, "\x01"), []string{"xdm.contradiction"}, false},
		"other checksum before the file":   {patched(sized, sigLocal, -1, 14, "\x01\x02\x03\x04"), []string{"xdm.contradiction"}, false},
		"other method before the file":     {patched(sized, sigLocal, -1, 8, "\x08"), []string{"xdm.contradiction"}, false},
		"encrypted before the file":        {patched(sized, sigLocal, -1, 6, "\x01"), []string{"xdm.contradiction"}, false},
		"no header before the file":        {patched(sized, sigLocal, -1, 0, "xxxx"), []string{"xdm.entry"}, false},
		"no sizes before the file":         {patched(sized, sigLocal, -1, 14, strings.Repeat("\x00", 12)), nil, true},
		"no checksum before the file":      {patched(sized, sigLocal, -1, 14, strings.Repeat("\x00", 4)), nil, true},
		"other case before the file":       {patched(sized, sigLocal, -1, 30, "ihe"), []string{"xdm.contradiction"}, false},
		"a folder with another method":     {patched(sized, sigLocal, 2, 8, "\x08"), nil, true},
		"two archives":                     {append(bytes.Clone(other), whole...), []string{"xdm.contradiction", "xdm.prefix"}, false},
		"an archive in the comment":        {commented(other), []string{"xdm.contradiction", "xdm.prefix"}, false},
		"a broken end behind":              {append(bytes.Clone(whole), sigEnd...), []string{"xdm.contradiction", "xdm.trailing"}, false},
		"one entry less than there is":     {patched(whole, sigEnd, -1, 8, count(255)), []string{"xdm.contradiction"}, false},
		"one entry more than there is":     {patched(whole, sigEnd, -1, 8, count(1)), []string{"xdm.contradiction"}, false},
		"ZIP64 for other programs":         {patched(wide(whole), sigEnd, -1, 12, "\x10\x00\x00\x00"), []string{"xdm.contradiction"}, false},
		"last of several pieces":           {patched(whole, sigEnd, -1, 4, "\x02\x00\x02\x00"), []string{"xdm.split"}, false},
		"a directory that is somewhere":    {patched(whole, sigEnd, -1, 16, "\xff\xff\xff\x7f"), []string{"xdm.zip"}, false},
		"two directories of one length":    {twoDirectories(whole, other), []string{"xdm.contradiction", "xdm.duplicate", "xdm.overlap"}, false},
		"a wrong length of the directory":  {patched(whole, sigEnd, -1, 12, "\x01\x00"), nil, true},
		"an entry in the directory itself": {patched(whole, sigCentral, -1, 42, string(binary.LittleEndian.AppendUint32(nil, uint32(len(whole)-40)))), []string{"xdm.contradiction"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := open(t, c.b, Limits{})
			if got := a.rules(t); !slices.Equal(got, c.rules) {
				t.Errorf("rules %v, want %v", got, c.rules)
			}
			if got := a.given(t); got != c.given {
				t.Errorf("given %v", got)
			}
		})
	}
}

// twoDirectories is an archive whose end leads to one directory by its length and to
// another by its offset.
func twoDirectories(a, b []byte) []byte {
	le := binary.LittleEndian
	start := func(z []byte) int { return places(z, sigCentral)[0] }
	end := places(a, sigEnd)[len(places(a, sigEnd))-1]
	out := append(bytes.Clone(a[:start(a)]), b[start(b):places(b, sigEnd)[0]]...) // the first directory
	at := len(out)
	out = append(out, a[start(a):]...)
	le.PutUint32(out[at+end-start(a)+16:], uint32(start(a)))
	return out
}

// given reports whether there is one document that may be used, and checks that it is the
// right one.
func (o opened) given(t *testing.T) bool {
	t.Helper()
	if o.Archive == nil || greffe.VerdictOf(o.findings) == greffe.VerdictRefused || len(o.Sets) != 1 || len(o.Sets[0].Documents) != 1 ||
		greffe.VerdictOf(o.Sets[0].Findings) == greffe.VerdictRefused {
		return false
	}
	d := o.Sets[0].Documents[0]
	if v := greffe.VerdictOf(d.Findings); d.Entry < 0 || v == greffe.VerdictRefused || v == greffe.VerdictHeld {
		return false
	}
	rc, err := o.OpenEntry(d.Entry)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if b, err := io.ReadAll(rc); err != nil || string(b) != cdaFile {
		t.Errorf("the document is %q, %v", b, err)
	}
	return true
}

// A name with accents is found in whichever way the archive and the metadata write it.
func TestOpenFindsNamesWithAccents(t *testing.T) {
	t.Parallel()
	const want = "Résumé de séjour.XML"
	page := func(c *charmap.Charmap) string {
		s, err := c.NewEncoder().String(want)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, c := range map[string]struct{ entry, uri, unicode string }{
		"UTF-8":             {want, want, ""},
		"UTF-8 escaped":     {want, "R%C3%A9sum%C3%A9%20de%20s%C3%A9jour.XML", ""},
		"decomposed":        {norm.NFD.String(want), want, ""},
		"page 437":          {page(charmap.CodePage437), want, ""},
		"page 850":          {page(charmap.CodePage850), strings.ToUpper(want), ""},
		"Windows":           {page(charmap.Windows1252), want, ""},
		"both":              {"R?sum? de s?jour.XML", want, want},
		"metadata in Latin": {want, strings.ReplaceAll(want, "é", "%E9"), ""},
		"plus for a blank":  {"compte rendu.xml", "compte+rendu.xml", ""},
		"blank":             {"compte rendu.xml", "compte%20rendu.xml", ""},
		"real percent":      {"100%25.xml", "100%25.xml", ""},
		"dot, folder":       {"a.xml", "./IHE_XDM/SUBSET01/a.xml", ""},
		"from the top":      {"a.xml", "/IHE_XDM/SUBSET01/a.xml", ""},
		"from above":        {"a.xml", "../SUBSET01/a.xml", ""},
		"backslash":         {"a.xml", `.\a.xml`, ""},
		"the sender's disk": {"a.xml", `C:\Export\2026\a.xml`, ""},
		"a file address":    {"a.xml", "file:///IHE_XDM/SUBSET01/a.xml", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, hash := range []string{"", "-"} { // without a hash the name alone must do
				entries := []entry{{name: "INDEX.HTM"}, {name: "README.TXT"}, {name: "IHE_XDM/SUBSET01/METADATA.XML", content: metadata(meta{uri: c.uri, content: cdaFile, hash: hash})},
					{name: "IHE_XDM/SUBSET01/" + c.entry, content: cdaFile, header: func(h *zip.FileHeader) {
						if h.NonUTF8 = true; c.unicode != "" {
							h.Extra = unicodePath(h.Name, "IHE_XDM/SUBSET01/"+c.unicode)
						}
					}}, {name: "IHE_XDM/SUBSET01/b.xml", content: "<b/>"}}
				a := open(t, build(t, entries...), Limits{})
				got := a.rules(t)
				if !a.given(t) || slices.Contains(got, "xdm.uri.hash") {
					t.Errorf("hash %q: rules %v", hash, got)
				}
			}
		})
	}
	// The header before the file is in another code page than the directory.
	b := build(t, entry{name: "INDEX.HTM"}, entry{name: "README.TXT"}, entry{name: "IHE_XDM/SUBSET01/METADATA.XML", content: metadata(meta{uri: want, content: cdaFile})},
		entry{name: "IHE_XDM/SUBSET01/" + page(charmap.Windows1252), content: cdaFile, header: func(h *zip.FileHeader) { h.NonUTF8 = true }})
	at := places(b, sigLocal)
	copy(b[at[len(at)-1]+30+len("IHE_XDM/SUBSET01/"):], page(charmap.CodePage437))
	if a := open(t, b, Limits{}); !a.given(t) || len(a.rules(t)) > 0 {
		t.Errorf("two code pages: %v", a.rules(t))
	}
	// The two names of one file say different things.
	entries := good()
	entries[len(entries)-1].header = func(h *zip.FileHeader) { h.Extra = unicodePath(h.Name, "IHE_XDM/SUBSET01/DOC0002.XML") }
	if got := open(t, build(t, entries...), Limits{}).rules(t); !slices.Equal(got, []string{"xdm.contradiction"}) {
		t.Errorf("two names: %v", got)
	}
}

// A compression that is not read holds what it covers, and nothing else.
func TestOpenHoldsOtherCompressions(t *testing.T) {
	t.Parallel()
	method := func(n uint16) func(*zip.FileHeader) {
		return func(h *zip.FileHeader) { h.Method, h.UncompressedSize64 = n, uint64(h.CompressedSize64) }
	}
	for name, c := range map[string]struct {
		at     int // entry of a good archive
		method uint16
		text   string
		given  bool
	}{
		"the page of the medium": {0, 9, "Deflate64", true},
		"metadata":               {4, 12, "bzip2", false},
		"document":               {5, 14, "LZMA", false},
		"unknown":                {5, 55, "méthode 55", false},
	} {
		entries := good()
		entries[c.at].raw, entries[c.at].header = true, method(c.method)
		a := open(t, build(t, entries...), Limits{})
		if got := a.given(t); got != c.given {
			t.Errorf("%s: given %v, rules %v", name, got, a.rules(t))
		}
		f := a.Entries[c.at].Findings
		if len(f) != 1 || f[0].Severity != greffe.Hold || !strings.Contains(f[0].Text, c.text) {
			t.Errorf("%s: %v", name, f)
		}
		if greffe.VerdictOf(a.findings) != greffe.VerdictOK {
			t.Errorf("%s: the archive: %v", name, a.findings)
		}
	}
}

// agree fails unless archive/zip sees the archive as Open does, when Open accepts it: what
// one program reads from it the others do, too.
func agree(t *testing.T, b []byte, a *Archive, findings []greffe.Finding) {
	t.Helper()
	if greffe.VerdictOf(findings) == greffe.VerdictRefused || slices.ContainsFunc(findings, func(f greffe.Finding) bool { return f.Rule == "xdm.trailing" }) {
		return
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return // it does not look past a wrong length of the directory
	}
	if len(z.File) != len(a.Entries) {
		t.Errorf("%d entries, archive/zip %d", len(a.Entries), len(z.File))
		return
	}
	for i, f := range z.File {
		if f.Name != a.files[i].Name {
			t.Errorf("entry %d: %q, archive/zip %q", i, a.files[i].Name, f.Name)
		}
		if f.UncompressedSize64 > 1<<20 {
			continue
		}
		ours, err := readEntry(a, i)
		if err != nil {
			continue
		}
		rc, err := f.Open()
		if err != nil {
			t.Errorf("entry %d: %v", i, err)
			continue
		}
		theirs, err := io.ReadAll(rc)
		rc.Close()
		if err == nil && !bytes.Equal(ours, theirs) {
			t.Errorf("entry %d: other bytes", i)
		}
	}
}

func readEntry(a *Archive, i int) ([]byte, error) {
	rc, err := a.OpenEntry(i)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	b, err := io.ReadAll(rc)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", i, err)
	}
	return b, nil
}
