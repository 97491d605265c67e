package xdm

import (
	"archive/zip"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

// Each case is a good archive with one thing changed; documents of the untidy ones are
// found all the same.
func TestOpenUntidyAndWrongTrees(t *testing.T) {
	t.Parallel()
	m := meta{uri: "DOC0001.XML", content: cdaFile}
	file := func(name, content string) entry { return entry{name: name, content: content} }
	md := func(text string) []entry {
		return []entry{file("INDEX.HTM", ""), file("README.TXT", ""), file("IHE_XDM/SUBSET01/METADATA.XML", text), file("IHE_XDM/SUBSET01/DOC0001.XML", cdaFile)}
	}
	change := func(old, new string) []entry {
		text := strings.ReplaceAll(metadata(m), old, new)
		if text == metadata(m) {
			t.Fatalf("the metadata do not contain %q", old)
		}
		return md(text)
	}
	for name, c := range map[string]struct {
		entries []entry
		found   []int // entry of each document
		rules   []string
	}{
		// Repairable and reported.
		"lower case":  {[]entry{file("index.htm", ""), file("readme.txt", ""), file("ihe_xdm/subset01/metadata.xml", metadata(m)), file("ihe_xdm/subset01/doc0001.xml", cdaFile)}, []int{3}, []string{"xdm.uri.case"}},
		"backslashes": {[]entry{file("INDEX.HTM", ""), file("README.TXT", ""), file(`IHE_XDM\SUBSET01\METADATA.XML`, metadata(m)), file(`IHE_XDM\SUBSET01\DOC0001.XML`, cdaFile)}, []int{3}, []string{"xdm.names"}},
		"wrapped":     {[]entry{file("x/INDEX.HTM", ""), file("x/README.TXT", ""), file("x/IHE_XDM/SUBSET01/METADATA.XML", metadata(m)), file("x/IHE_XDM/SUBSET01/DOC0001.XML", cdaFile)}, []int{3}, []string{"xdm.wrapped"}},
		"no tree":     {[]entry{file("METADATA.XML", metadata(m)), file("DOC0001.XML", cdaFile)}, []int{1}, []string{"xdm.index", "xdm.layout"}},
		"noise": {append(good(), file("__MACOSX/IHE_XDM/SUBSET01/._METADATA.XML", "\x00"), file("__MACOSX/IHE_XDM/SUBSET01/METADATA.XML", "\x00"), file(".DS_Store", ""), file("IHE_XDM/SUBSET01/Thumbs.db", ""),
			file("IHE_XDM/SUBSET01/CDA.XSL", ""), file("logo.png", "")), []int{5}, nil},
		"second copy":      {append(good(), file("copie/IHE_XDM/SUBSET01/METADATA.XML", metadata(m)), file("copie/IHE_XDM/SUBSET01/DOC0001.XML", cdaFile)), []int{5}, []string{"xdm.copy"}},
		"stray copy":       {append(good(), file("DOC0001.XML", cdaFile)), []int{5}, nil},
		"blanks":           {md("\n \t" + metadata(m)), []int{3}, []string{"xdm.blanks"}},
		"BOM":              {md("\ufeff<?xml version=\"1.0\"?>" + metadata(m)), []int{3}, nil},
		"other prefix":     {md(strings.NewReplacer("<rim:", "<ns2:", "</rim:", "</ns2:", "xmlns:rim", "xmlns:ns2").Replace(metadata(m))), []int{3}, nil},
		"URI with folders": {change(">DOC0001.XML<", ">IHE_XDM/SUBSET01/DOC0001.XML<"), []int{3}, nil},
		"URI with dot":     {change(">DOC0001.XML<", ">./DOC0001.XML<"), []int{3}, nil},
		"URI escaped":      {change(">DOC0001.XML<", ">DOC%30001.XML<"), []int{3}, nil},
		"URI numbered":     {change("<rim:Value>DOC0001.XML<", "<rim:Value>2|1.XML</rim:Value><rim:Value>1|DOC000<"), []int{3}, nil},
		"URI attribute":    {change(`mimeType="text/xml"`, `mimeType="text/xml" uri="DOC0001.XML"`), []int{3}, nil},
		"found by hash":    {change(">DOC0001.XML<", ">ENVOI.XML<"), []int{3}, []string{"xdm.uri.hash"}},
		"no prefix":        {change("urn:uuid:", ""), []int{3}, nil},
		"lower-case tags":  {change("rim:Classification", "rim:classification"), []int{3}, nil},
		"no size":          {md(metadata(meta{uri: "DOC0001.XML", content: cdaFile, size: "-"})), []int{3}, []string{"xdm.size.missing"}},
		"no hash":          {md(metadata(meta{uri: "DOC0001.XML", content: cdaFile, hash: "-"})), []int{3}, []string{"xdm.hash.missing"}},
		"extra file":       {append(good(), file("IHE_XDM/SUBSET01/DOC0002.PDF", "%PDF-")), []int{5}, []string{"xdm.unreferenced"}},
		"other namespace":  {change(rim3, "urn:x"), []int{3}, []string{"xdm.namespace"}},
		"two documents":    {good(m, meta{uri: "DOC0002.XML", content: cdaFile + " "}), []int{5, 6}, nil},
		"two subsets":      {append(good(), file("IHE_XDM/SUBSET02/METADATA.XML", metadata(meta{uri: "DOC0001.XML", content: "<x/>", id: "1.7"})), file("IHE_XDM/SUBSET02/DOC0001.XML", "<x/>")), []int{5, 7}, nil},
		"several sets":     {change("</rim:RegistryObjectList>", `<rim:RegistryPackage id="f"><rim:Classification classificationNode="urn:uuid:`+nodeSubmissionSet+`"/></rim:RegistryPackage></rim:RegistryObjectList>`), []int{3}, []string{"xdm.sets"}},
		"a folder":         {change("</rim:RegistryObjectList>", `<rim:RegistryPackage id="f"><rim:Classification classificationNode="urn:uuid:d9d542f3-6cc4-48b6-8870-ea235fbc94c2"/></rim:RegistryPackage></rim:RegistryObjectList>`), []int{3}, nil},
		"no set id":        {change("1.9.9", ""), []int{3}, []string{"xdm.set"}},
		"no unique id":     {change(`value="1.2.3.4.5"`, `value=""`), []int{3}, []string{"xdm.uniqueid"}},
		"no type":          {change(docType, "0"), []int{3}, []string{"xdm.codes"}},

		// Held.
		"ebRIM 2.1":                   {change(rim3, rim2), []int{3}, []string{"xdm.ebrim"}},
		"other action":                {md(metadata(meta{uri: "DOC0001.XML", content: cdaFile, action: "X"})), []int{3}, []string{"xdm.action"}},
		"same id":                     {good(m, meta{uri: "DOC0002.XML", content: cdaFile + " ", id: "1.2.3.4.5"}), []int{5, 6}, []string{"xdm.uniqueid.twice"}},
		"same file":                   {md(metadata(m, m)), []int{3, 3}, []string{"xdm.shared"}},
		"same document, two purposes": {md(metadata(meta{uri: "DOC0001.XML", content: cdaFile, id: "1.2"}, meta{uri: "DOC0001.XML", content: cdaFile, id: "1.2", action: "D"})), []int{3, 3}, []string{"xdm.shared", "xdm.uniqueid.twice"}},
		"same document, twice":        {md(metadata(meta{uri: "DOC0001.XML", content: cdaFile, id: "1.2"}, meta{uri: "DOC0001.XML", content: cdaFile, id: "1.2"})), []int{3, 3}, nil},

		// Refused.
		"no metadata":      {[]entry{file("INDEX.HTM", ""), file("README.TXT", ""), file("IHE_XDM/SUBSET01/DOC0001.XML", cdaFile)}, nil, []string{"xdm.metadata"}},
		"only medium":      {[]entry{file("INDEX.HTM", ""), file("README.TXT", "")}, nil, []string{"xdm.metadata"}},
		"broken metadata":  {md(metadata(m)[:500]), nil, []string{"xdm.metadata.xml"}},
		"document type":    {md("<!DOCTYPE x>" + metadata(m)), nil, []string{"xdm.metadata.xml"}},
		"other XML":        {md("<html/>"), nil, []string{"xdm.metadata.root"}},
		"long metadata":    {md(strings.Repeat(" ", 9_000_000) + metadata(m)), nil, []string{"xdm.metadata.xml"}},
		"no document":      {md(metadata()), nil, []string{"xdm.none"}},
		"no URI":           {change(slotXML("URI", "DOC0001.XML"), ""), []int{-1}, []string{"xdm.unreferenced", "xdm.uri"}},
		"missing document": {append(md(metadata(m))[:3], file("IHE_XDM/SUBSET01/AUTRE.XML", "<autre/>")), []int{-1}, []string{"xdm.document", "xdm.unreferenced"}},
		"other size":       {md(metadata(meta{uri: "DOC0001.XML", content: cdaFile, size: "12"})), []int{3}, []string{"xdm.size"}},
		"other hash":       {md(metadata(meta{uri: "DOC0001.XML", content: cdaFile, hash: strings.Repeat("0", 40)})), []int{3}, []string{"xdm.hash"}},
		"two patients":     {md(metadata(meta{uri: "DOC0001.XML", content: cdaFile, patient: "172119999905581^^^&amp;1.2.250.1.213.1.4.10&amp;ISO^NH"})), []int{3}, []string{"xdm.patients"}},
		"two patients, two subsets": {append(good(), file("IHE_XDM/SUBSET02/METADATA.XML", strings.ReplaceAll(metadata(meta{uri: "DOC0001.XML", content: "<x/>", id: "1.7"}), "285022999907751", "172119999905581")), file("IHE_XDM/SUBSET02/DOC0001.XML", "<x/>")),
			[]int{5, 7}, []string{"xdm.patients"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := open(t, build(t, c.entries...), Limits{Ratio: 100_000})
			if name == "same id" || name == "same file" { // nobody knows which one is right
				for _, d := range a.Sets[0].Documents {
					if greffe.VerdictOf(d.Findings) != greffe.VerdictHeld {
						t.Errorf("document %d is not held", d.Entry)
					}
				}
			}
			if got := a.rules(t); !slices.Equal(got, c.rules) {
				t.Errorf("rules %v, want %v", got, c.rules)
			}
			var found []int
			for _, s := range a.Sets {
				for _, d := range s.Documents {
					found = append(found, d.Entry)
				}
			}
			if !slices.Equal(found, c.found) {
				t.Errorf("documents are entries %v, want %v", found, c.found)
			}
			for i, e := range a.Entries {
				if e.Noise != (e.Reason != "") || e.Noise && slices.Contains(found, i) {
					t.Errorf("entry %d: noise %v, reason %q", i, e.Noise, e.Reason)
				}
			}
		})
	}
}

func TestPlainZipIsNotXDM(t *testing.T) {
	t.Parallel()
	a := open(t, build(t, entry{name: "photo.jpg", content: "\xff\xd8\xff"}, entry{name: "note.txt", content: "x"}), Limits{})
	if a.IsXDM() || len(a.rules(t)) > 0 || len(a.Sets) > 0 {
		t.Errorf("XDM %v, rules %v", a.IsXDM(), a.rules(t))
	}
}

func TestNamesForDisplay(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"R\x82sultat.pdf": "Résultat.pdf", "Résultat.pdf": "Résultat.pdf", "a\nb": "a\uFFFDb", strings.Repeat("é", 400): strings.Repeat("é", 250) + "…",
	} {
		name, _ := (&record{FileHeader: zip.FileHeader{Name: in}}).decodeName()
		if got := displayName(name); got != want {
			t.Errorf("displayName(%q) = %q", in, got)
		}
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	ins := greffe.OID{Root: "1.2.250.1.213.1.4.10", Extension: "285022999907751"}
	ipp := greffe.OID{Root: "1.2.3.4.567.8.9.10", Extension: "77"}
	n, masked := greffe.Code{Code: "N"}, greffe.Code{Code: greffe.MaskedToProfessionals}
	entryOf := func() DocumentEntry {
		return DocumentEntry{UniqueID: greffe.OID{Root: "1.2"}, Type: greffe.Code{Code: "11502-2"}, Class: greffe.Code{Code: "10"}, Format: greffe.Code{Code: "urn:f"},
			Facility: greffe.Code{Code: "SA01"}, Practice: greffe.Code{Code: "AMBULATOIRE"}, Title: "Essai", Confidentiality: []greffe.Code{n},
			Patient: greffe.Patient{IDs: []greffe.OID{ins, ipp}}}
	}
	docOf := func() greffe.Document {
		return greffe.Document{Format: greffe.FormatCDA3, Action: greffe.ActionNew, UniqueID: greffe.OID{Root: "1.2"}, Type: greffe.Code{Code: "11502-2"}, Title: " essai",
			Facility: greffe.Code{Code: "SA25"}, Confidentiality: []greffe.Code{n}, Patient: greffe.Patient{IDs: []greffe.OID{ins}}}
	}
	rplc := func(d *greffe.Document) { d.Action, d.Replaces = greffe.ActionReplace, greffe.OID{Root: "1.1"} }
	for name, c := range map[string]struct {
		change func(*DocumentEntry, *greffe.Document)
		action greffe.Action
		rules  []string
	}{
		"initial":            {func(*DocumentEntry, *greffe.Document) {}, greffe.ActionNew, nil},
		"replacement":        {func(e *DocumentEntry, d *greffe.Document) { e.Action = "C"; rplc(d) }, greffe.ActionReplace, nil},
		"C without parent":   {func(e *DocumentEntry, d *greffe.Document) { e.Action = "C" }, greffe.ActionReplace, []string{"xdm.cda.parent"}},
		"parent without C":   {func(e *DocumentEntry, d *greffe.Document) { rplc(d) }, greffe.ActionReplace, []string{"xdm.cda.action"}},
		"deletion":           {func(e *DocumentEntry, d *greffe.Document) { e.Action = "D"; rplc(d) }, greffe.ActionDelete, nil},
		"other id":           {func(e *DocumentEntry, d *greffe.Document) { d.UniqueID.Root = "1.3" }, greffe.ActionNew, []string{"xdm.cda.id"}},
		"id joined by a dot": {func(e *DocumentEntry, d *greffe.Document) { d.UniqueID = greffe.OID{Root: "1", Extension: "2"} }, greffe.ActionNew, nil},
		"other type":         {func(e *DocumentEntry, d *greffe.Document) { e.Type.Code = "34133-9" }, greffe.ActionNew, []string{"xdm.cda.type"}},
		"other title":        {func(e *DocumentEntry, d *greffe.Document) { e.Title = "Autre" }, greffe.ActionNew, []string{"xdm.cda.title"}},
		"other level":        {func(e *DocumentEntry, d *greffe.Document) { e.Confidentiality[0].Code = "R" }, greffe.ActionNew, []string{"xdm.cda.confidentiality"}},
		"other INS": {func(e *DocumentEntry, d *greffe.Document) {
			d.Patient.IDs = []greffe.OID{{Root: ins.Root, Extension: "172119999905581"}}
		}, greffe.ActionNew, []string{"xdm.cda.patient"}},
		"other IPP, same INS": {func(e *DocumentEntry, d *greffe.Document) {
			d.Patient.IDs = append(d.Patient.IDs, greffe.OID{Root: ipp.Root, Extension: "78"})
		}, greffe.ActionNew, []string{"xdm.cda.patient"}},
		"nothing in common":        {func(e *DocumentEntry, d *greffe.Document) { d.Patient.IDs = []greffe.OID{{Root: "9", Extension: "1"}} }, greffe.ActionNew, []string{"xdm.cda.patient"}},
		"id of no authority":       {func(e *DocumentEntry, d *greffe.Document) { e.Patient.IDs = []greffe.OID{{Extension: ins.Extension}} }, greffe.ActionNew, nil},
		"other id of no authority": {func(e *DocumentEntry, d *greffe.Document) { e.Patient.IDs = []greffe.OID{{Extension: "78"}} }, greffe.ActionNew, []string{"xdm.cda.patient"}},
		"one more local id": {func(e *DocumentEntry, d *greffe.Document) {
			d.Patient.IDs = append(d.Patient.IDs, greffe.OID{Root: "9", Extension: "1"})
		}, greffe.ActionNew, nil},
		"no id in metadata":        {func(e *DocumentEntry, d *greffe.Document) { e.Patient.IDs = nil }, greffe.ActionNew, nil},
		"announced as XML, is not": {func(e *DocumentEntry, d *greffe.Document) { e.MimeType = "text/xml"; d.Format = greffe.FormatUnknown }, greffe.ActionNew, []string{"xdm.cda"}},
		"action not known":         {func(e *DocumentEntry, d *greffe.Document) { e.Action = "X" }, greffe.ActionNew, nil}, // held by xdm.action
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, d := entryOf(), docOf()
			c.change(&e, &d)
			if got := ruleIDs(t, e.Complete(&d, "2!4")); !slices.Equal(got, c.rules) || d.Action != c.action {
				t.Errorf("action %s, rules %v; want %s, %v", d.Action, got, c.action, c.rules)
			}
			if d.Class.Code != "10" || d.FormatCode.Code != "urn:f" || d.Facility.Code != "SA25" || d.Practice.Code != "AMBULATOIRE" {
				t.Errorf("codes %v %v %v %v", d.Class, d.FormatCode, d.Facility, d.Practice)
			}
		})
	}
	e, d := entryOf(), docOf()
	e.Confidentiality = []greffe.Code{n, masked}
	if findings := e.Complete(&d, "1"); len(findings) > 0 || !d.Marked(greffe.MaskedToProfessionals) || len(d.Confidentiality) != 2 {
		t.Errorf("masking codes are %v (%v)", d.Confidentiality, findings)
	}
	// A PDF has nothing but its metadata.
	e, pdf := entryOf(), greffe.Document{Format: greffe.FormatPDF, Action: greffe.ActionNew}
	if findings := e.Complete(&pdf, "1"); len(findings) > 0 || pdf.UniqueID.Root != "1.2" || len(pdf.Patient.IDs) != 2 || pdf.Title != "Essai" || pdf.Type.Code != "11502-2" {
		t.Errorf("PDF %+v (%v)", pdf, findings)
	}
}
