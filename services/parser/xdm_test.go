package parser

import (
	"archive/zip"
	"bytes"
	"crypto/sha1"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
	"greffe/pkg/ins"
	"greffe/pkg/sandbox"
	"greffe/pkg/xdm"
)

// rezip rewrites a ZIP, changing the header of each entry on the way; nil leaves one out.
func rezip(t *testing.T, data []byte, change func(*zip.FileHeader) *zip.FileHeader) []byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range z.File {
		h := change(&f.FileHeader)
		if h == nil {
			continue
		}
		raw, err := f.OpenRaw()
		if err != nil {
			t.Fatal(err)
		}
		out, err := w.CreateRaw(h)
		if err == nil {
			_, err = io.Copy(out, raw)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestChecksOfAnXDMArchive has a row for each row of the checks of domain §4.3: what an
// archive with that fault gives the secretary. What is repaired loses no document; what is
// refused delivers none.
func TestChecksOfAnXDMArchive(t *testing.T) {
	t.Parallel()
	pdf := sandbox.PDF("Compte rendu", []string{"Glycémie"}, 0)
	one := level1(facts(1, 1), pdf)
	spec := func(change func(*sandbox.XDMSpec)) []byte {
		s := sandbox.XDMSpec{Files: []sandbox.XDMFile{one}, Time: someDay}
		change(&s)
		return sandbox.XDM(s)
	}
	whole := spec(func(*sandbox.XDMSpec) {})
	extra := func(name string, data []byte) []byte {
		return spec(func(s *sandbox.XDMSpec) { s.Extra = []sandbox.ZipEntry{{Name: name, Data: data}} })
	}
	file := func(change func(b []byte) []byte) []byte {
		return spec(func(s *sandbox.XDMSpec) { s.Files[0].Data = change(s.Files[0].Data) })
	}
	text := func(old, new string) []byte {
		return spec(func(s *sandbox.XDMSpec) {
			s.Metadata = func(xml []byte) []byte {
				if !bytes.Contains(xml, []byte(old)) {
					t.Errorf("METADATA.XML has no %q", old)
				}
				return bytes.ReplaceAll(xml, []byte(old), []byte(new))
			}
		})
	}
	header := func(name string, change func(*zip.FileHeader)) []byte {
		return rezip(t, whole, func(h *zip.FileHeader) *zip.FileHeader {
			if strings.HasSuffix(h.Name, name) {
				change(h)
			}
			return h
		})
	}
	without := func(name string) []byte {
		return rezip(t, whole, func(h *zip.FileHeader) *zip.FileHeader {
			if strings.HasSuffix(h.Name, name) {
				return nil
			}
			return h
		})
	}
	var many []sandbox.ZipEntry
	for i := range 250 {
		many = append(many, sandbox.ZipEntry{Name: fmt.Sprintf("F%03d.TXT", i), Data: []byte("x")})
	}
	hash := fmt.Sprintf("%X", sha1.Sum(one.Data))
	const entity = `<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>`

	const signature = `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>`
	signed := func(size int) []byte {
		return spec(func(s *sandbox.XDMSpec) {
			s.Extra = []sandbox.ZipEntry{{Name: "IHE_XDM/SUBSET01/SIGN0001.XML", Data: []byte(signature)}}
			s.Metadata = func(xml []byte) []byte {
				return bytes.Replace(xml, []byte("</rim:RegistryObjectList>"), fmt.Appendf(nil, `<rim:ExtrinsicObject id="Sign" mimeType="text/xml">`+
					`<rim:Slot name="URI"><rim:ValueList><rim:Value>SIGN0001.XML</rim:Value></rim:ValueList></rim:Slot><rim:Slot name="size"><rim:ValueList><rim:Value>%d</rim:Value></rim:ValueList></rim:Slot>`+
					`</rim:ExtrinsicObject><rim:Association associationType="urn:ihe:iti:2007:AssociationType:signs" sourceObject="Sign" targetObject="Document1"/></rim:RegistryObjectList>`, size), 1)
			}
		})
	}

	for _, c := range []struct {
		row     int
		name    string
		data    []byte
		verdict greffe.Verdict
		given   string // documents that go their way
		held    string // what a person has to look at
		rules   string // those of xdm that say why
	}{
		{0, "as it should be", whole, "ok", "2!3 new", "", ""},

		{1, "251 entries", spec(func(s *sandbox.XDMSpec) { s.Extra = many }), "refused", "", "2", "xdm.entries"},
		{1, "bomb", extra("BOMBE.TXT", make([]byte, 5<<20)), "refused", "", "2", "xdm.ratio"},
		{1, "parent folder", extra("../EVIL.TXT", []byte("x")), "refused", "", "2", "xdm.path"},
		{1, "absolute", extra("/etc/passwd", []byte("x")), "refused", "", "2", "xdm.path"},
		{1, "drive", extra(`C:\EVIL.TXT`, []byte("x")), "refused", "", "2", "xdm.names xdm.path"},
		{1, "NUL", extra("IHE_XDM/SUBSET01/A\x00.XML", []byte("x")), "refused", "", "2", "xdm.path"},
		{1, "link", header("DOC0001.XML", func(h *zip.FileHeader) { h.SetMode(fs.ModeSymlink | 0o777) }), "refused", "", "2", "xdm.symlink"},
		{1, "password", header("DOC0001.XML", func(h *zip.FileHeader) { h.Flags |= 1 }), "refused", "", "2", "xdm.encrypted"},
		{1, "AES", header("DOC0001.XML", func(h *zip.FileHeader) { h.Flags |= 1; h.Method = 99 }), "refused", "", "2", "xdm.encrypted"},
		{1, "same name", extra("IHE_XDM/SUBSET01/doc0001.xml", []byte("<autre/>")), "refused", "", "2", "xdm.duplicate"},
		{1, "other compression", header("DOC0001.XML", func(h *zip.FileHeader) { h.Method = 9 }), "held", "", "2", "xdm.method"},
		{1, "name before the file", bytes.Replace(whole, []byte("SUBSET01/DOC0001.XML"), []byte("SUBSET01/DOC0009.XML"), 1), "refused", "", "2", "xdm.contradiction"},
		{1, "separators", spec(func(s *sandbox.XDMSpec) { s.Slash = `\` }), "ok", "2!3 new", "", "xdm.names"},
		{1, "wrapping folder", spec(func(s *sandbox.XDMSpec) { s.Folder = "Export 2026/" }), "ok", "2!3 new", "", "xdm.wrapped"},
		{1, "resource forks", extra("__MACOSX/IHE_XDM/SUBSET01/._METADATA.XML", []byte("\x00\x05\x16\x07")), "ok", "2!3 new", "", ""},

		{2, "cut", whole[:len(whole)-40], "refused", "", "2", "xdm.truncated"},
		{2, "empty", zipOf(t), "refused", "", "2", "xdm.zip"},
		{2, "noise before it", append([]byte("\r\n\r\n"), whole...), "ok", "2!3 new", "", "xdm.prefix"},
		{2, "noise behind it", append(bytes.Clone(whole), "\r\n\r\n"...), "ok", "2!3 new", "", "xdm.trailing"},

		{3, "no metadata", without("METADATA.XML"), "refused", "", "2", "xdm.metadata"},
		{3, "metadata in lower case", header("METADATA.XML", func(h *zip.FileHeader) { h.Name = strings.ToLower(h.Name) }), "ok", "2!3 new", "", "xdm.uri.case"},
		{3, "no page, no notice", rezip(t, whole, func(h *zip.FileHeader) *zip.FileHeader {
			if strings.HasPrefix(h.Name, "IHE_XDM/") {
				return h
			}
			return nil
		}), "ok", "2!1 new", "", "xdm.index"},

		{4, "blanks", text("<lcm:SubmitObjectsRequest ", "\n\n <lcm:SubmitObjectsRequest "), "ok", "2!3 new", "", "xdm.blanks"},
		{4, "BOM", text("<lcm:SubmitObjectsRequest ", "\ufeff<lcm:SubmitObjectsRequest "), "ok", "2!3 new", "", ""},
		{4, "entity", text("<lcm:SubmitObjectsRequest ", entity+"<lcm:SubmitObjectsRequest "), "refused", "", "2!3", "xdm.metadata.xml"},
		{4, "deep", text("<rim:RegistryPackage ", strings.Repeat("<a>", 500)+"<rim:RegistryPackage "), "refused", "", "2!3", "xdm.metadata.xml"},
		{4, "ebRIM 2.1", text("ebxml-regrep:xsd:rim:3.0", "ebxml-regrep:rim:xsd:2.1"), "held", "", "2!3", "xdm.ebrim"},
		{4, "ids that point nowhere", text(`classifiedObject="Document1"`, `classifiedObject="urn:uuid:0"`), "ok", "2!3 new", "", ""},

		{5, "document not there", without("DOC0001.XML"), "refused", "", "2", "xdm.document"},
		{5, "no URI", text(`name="URI"`, `name="URL"`), "refused", "", "2 2!3", "xdm.unreferenced xdm.uri"},
		{5, "other case", text("DOC0001.XML", "doc0001.xml"), "ok", "2!3 new", "", "xdm.uri.case"},
		{5, "other name", text("DOC0001.XML", "CR.XML"), "warning", "2!3 new", "", "xdm.uri.hash"},

		{6, "other size", text(fmt.Sprintf("<rim:Value>%d<", len(one.Data)), "<rim:Value>12<"), "refused", "", "2!3", "xdm.size"},
		{6, "no size", text(`name="size"`, `name="s"`), "warning", "2!3 new", "", "xdm.size.missing"},

		{7, "other hash", text(hash, strings.Repeat("0A", 20)), "refused", "", "2!3", "xdm.hash"},
		{7, "no hash", text(`name="hash"`, `name="h"`), "warning", "2!3 new", "", "xdm.hash.missing"},
		{7, "hash in lower case", text(hash, strings.ToLower(hash)), "ok", "2!3 new", "", ""},
		{7, "another kind of hash", text(hash, strings.Repeat("0A", 32)), "held", "", "2!3", "xdm.hash.form"},

		{8, "no CDA", file(func([]byte) []byte { return []byte("<Autre/>") }), "refused", "", "2!3", "xdm.cda"},
		{8, "PDF called CDA", file(func([]byte) []byte { return pdf }), "refused", "", "2!3", "xdm.cda"},
		{8, "BOM", file(func(b []byte) []byte { return append([]byte("\ufeff"), b...) }), "ok", "2!3 new", "", ""},

		{9, "other id", text(facts(1, 1).UniqueID.Root+`"`, `1.2.3.99"`), "warning", "2!3 new", "", "xdm.cda.id"},
		{9, "other type", text(`nodeRepresentation="11502-2"`, `nodeRepresentation="34133-9"`), "warning", "2!3 new", "", "xdm.cda.type"},
		{9, "other title", text(`value="Compte rendu"`, `value="Autre"`), "ok", "2!3 new", "", "xdm.cda.title"},
		{9, "other confidentiality", text(`nodeRepresentation="N"`, `nodeRepresentation="R"`), "warning", "2!3 new", "", "xdm.cda.confidentiality"},
		{9, "other patient", text(sandbox.Patient(1).INS.Extension, sandbox.Patient(2).INS.Extension), "held", "", "2!3", "xdm.cda.patient"},

		{10, "two patients", spec(func(s *sandbox.XDMSpec) { s.Files = append(s.Files, level3(facts(2, 1))) }), "refused", "", "2!3 2!4", "xdm.patients"},

		{11, "C without parent", text(`<rim:Slot name="hash">`, `<rim:Slot name="urn:action:extraMetadataSlot"><rim:ValueList><rim:Value>C</rim:Value></rim:ValueList></rim:Slot><rim:Slot name="hash">`), "warning", "2!3 replace", "", "xdm.cda.parent"},
		{11, "D", text(`<rim:Slot name="hash">`, `<rim:Slot name="urn:action:extraMetadataSlot"><rim:ValueList><rim:Value>D</rim:Value></rim:ValueList></rim:Slot><rim:Slot name="hash">`), "ok", "2!3 delete", "", ""},
		{11, "unknown action", text(`<rim:Slot name="hash">`, `<rim:Slot name="urn:action:extraMetadataSlot"><rim:ValueList><rim:Value>Z</rim:Value></rim:ValueList></rim:Slot><rim:Slot name="hash">`), "held", "", "2!3", "xdm.action"},

		{13, "another file", extra("IHE_XDM/SUBSET01/NOTE.PDF", sandbox.PDF("Autre", nil, 0)), "held", "2!3 new", "2!4", "xdm.unreferenced"},
		{13, "another CDA", extra("IHE_XDM/SUBSET01/DOC0002.XML", level3(facts(1, 2)).Data), "held", "2!3 new", "2!4", "xdm.unreferenced"},
		{13, "a second copy of the tree", spec(func(s *sandbox.XDMSpec) {
			z, err := zip.NewReader(bytes.NewReader(whole), int64(len(whole)))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range z.File[2:] {
				rc, err := f.Open()
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(rc)
				if err != nil {
					t.Fatal(err)
				}
				s.Extra = append(s.Extra, sandbox.ZipEntry{Name: "Copie/" + f.Name, Data: b})
			}
		}), "ok", "2!3 new", "", "xdm.copy"},
		{13, "a signature", signed(len(signature)), "ok", "2!3 new", "", "xdm.codes xdm.hash.missing xdm.patientid xdm.uniqueid"},
		{13, "a signature that is damaged", signed(5), "refused", "2!3 new", "2!4", "xdm.cda xdm.codes xdm.hash.missing xdm.patientid xdm.size xdm.uniqueid"},
	} {
		t.Run(fmt.Sprintf("%d %s", c.row, c.name), func(t *testing.T) {
			t.Parallel()
			raw := mail("", xdmFile(c.data))
			out := parse(t, quiet(), raw)
			agreesAgain(t, raw, out)
			var given, held []string
			var rules []string
			add := func(findings []greffe.Finding) {
				for _, f := range findings {
					if strings.HasPrefix(f.Rule, "xdm.") {
						rules = append(rules, f.Rule)
					}
				}
			}
			for _, d := range out.Documents {
				if d.Verdict == greffe.VerdictHeld || d.Verdict == greffe.VerdictRefused {
					held = append(held, d.Part)
				} else {
					given = append(given, d.Part+" "+string(d.Action))
				}
				add(d.Findings)
			}
			for _, p := range out.Parts {
				add(p.Findings)
			}
			slices.Sort(rules)
			if got := strings.Join(slices.Compact(rules), " "); got != c.rules {
				t.Errorf("rules %q, want %q", got, c.rules)
			}
			if out.Verdict != c.verdict || strings.Join(given, " ") != c.given || strings.Join(held, " ") != c.held {
				t.Errorf("verdict %s, given %v, held %v; want %s, %q, %q", out.Verdict, given, held, c.verdict, c.given, c.held)
			}
		})
	}
}

// TestArchiveBudgets: each limit is a finding that holds what it covers, and nothing is
// unpacked beyond it.
func TestArchiveBudgets(t *testing.T) {
	t.Parallel()
	pdf := sandbox.PDF("Compte rendu", []string{"Glycémie"}, 0)
	one, two := archived(level1(facts(1, 1), pdf)), archived(level3(facts(1, 2)))
	unpacked := func(a attachment) (n int64) {
		z, err := zip.NewReader(bytes.NewReader(a.data), int64(len(a.data)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range z.File {
			n += int64(f.UncompressedSize64)
		}
		return n
	}
	zipped := func(name string, data []byte) []byte { return zipOf(t, name, string(data)) }
	for name, c := range map[string]struct {
		cfg  Config
		data []attachment
		rule string
	}{
		"entries":                    {Config{Archive: xdm.Limits{Entries: 3}}, []attachment{one}, "xdm.entries"},
		"unpacked, of an archive":    {Config{Archive: xdm.Limits{Total: 1000}}, []attachment{one}, "xdm.total"},
		"unpacked, of the metadata":  {Config{Archive: xdm.Limits{Metadata: 1000}}, []attachment{one}, "xdm.metadata.xml"},
		"unpacked, of the message":   {Config{Unpacked: unpacked(one)}, []attachment{one, two}, "parser.unpacked"},
		"unpacked, of its last part": {Config{Unpacked: unpacked(one) + 100}, []attachment{one, two}, "xdm.total"},
		"unpacked, of a nested one":  {Config{Unpacked: unpacked(one) + 100}, []attachment{{name: "a.zip", media: "application/zip", data: zipped("b.zip", one.data)}}, "xdm.total"},
		"ratio":                      {Config{Archive: xdm.Limits{Ratio: 10}}, []attachment{{name: "a.zip", media: "application/zip", data: zipped("b.txt", bytes.Repeat([]byte("ab"), 1<<20))}}, "xdm.ratio"},
		"ratio, of a nested one":     {Config{Archive: xdm.Limits{Ratio: 10}}, []attachment{{name: "a.zip", media: "application/zip", data: zipped("b.zip", zipped("c.txt", bytes.Repeat([]byte("ab"), 1<<20)))}}, "xdm.ratio"},
		"archives inside each other": {Config{}, []attachment{{name: "a.zip", media: "application/zip", data: zipped("b.zip", zipped("c.zip", one.data))}}, "parser.nested-zip"},
		"parts, with those of a CDA": {Config{Parts: 5}, []attachment{one}, "parser.parts"},
		"parts, of a nested one":     {Config{Parts: 6}, []attachment{{name: "a.zip", media: "application/zip", data: zipped("b.zip", one.data)}}, "parser.parts"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.cfg.Environment = ins.Any
			p := New(c.cfg, nil, nil, slog.New(slog.DiscardHandler))
			raw := mail("", c.data...)
			out := parse(t, p, raw)
			agreesAgain(t, raw, out)
			all := slices.Clone(out.Findings)
			for _, part := range out.Parts {
				all = append(all, part.Findings...)
			}
			for _, d := range out.Documents {
				all = append(all, d.Findings...)
			}
			if !slices.Contains(rules(all), c.rule) {
				t.Errorf("rules %v, want %s", rules(all), c.rule)
			}
			if out.Verdict != greffe.VerdictHeld && out.Verdict != greffe.VerdictRefused {
				t.Errorf("verdict %s", out.Verdict)
			}
		})
	}
}

// TestTimeEndsInsideAnArchive: the files that were not read any more are listed, and held.
func TestTimeEndsInsideAnArchive(t *testing.T) {
	t.Parallel()
	data := archived(level1(facts(1, 1), sandbox.PDF("Compte rendu", nil, 0))).data
	r := &reading{p: quiet(), ctx: t.Context(), deadline: someDay}
	it := r.add("2", "IHE_XDM.ZIP", "application/zip", nil)
	it.content = &content{}
	if _, err := it.content.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := r.openZip(it); err != nil {
		t.Fatal(err)
	}
	if len(r.items) != 5 || !hasRule(r.findings, ruleTime.ID) {
		t.Fatalf("%d parts, findings %v", len(r.items), r.findings)
	}
	for _, child := range r.items[1:] {
		if !child.Skipped || child.SHA256 != "" {
			t.Errorf("part %s was read", child.Path)
		}
	}
}
