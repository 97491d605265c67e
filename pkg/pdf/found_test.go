package pdf_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
	"greffe/pkg/pdf"
)

const script = "<</S/JavaScript/JS(app.alert\\(1\\))>>"

// finds is a file and the rules that it breaks, in their order.
type finds struct {
	name string
	file []byte
	want string
}

func (k finds) check(t *testing.T, c *pdf.Checker) {
	t.Run(k.name, func(t *testing.T) {
		t.Parallel()
		_, got := check(t, c, k.file)
		if g := strings.Join(got, " "); g != k.want {
			t.Errorf("found %q, want %q", g, k.want)
		}
	})
}

func TestWhatCanBeRead(t *testing.T) {
	t.Parallel()
	c := checker(t, pdf.Config{})
	sound := onePage("", "")
	table := bytes.LastIndex(sound, []byte("xref\n0 "))
	inner := attached("a.pdf", "", sound)
	lin := linear()
	for _, k := range []finds{
		{"one page", sound, ""},
		{"letter", letter(), ""},
		{"object streams", compressed(fmt.Sprintf(catalogObj, ""), pagesObj, fmt.Sprintf(pageObj, "")), "blank"},
		{"linearised", lin, ""},
		{"updated", updated(sound, 9, "<</Producer(x)>>"), "updated"},
		{"blank lines at the end", append(slices.Clone(sound), "\r\n\r\n\x00\x00"...), ""},
		{"blank lines before", append([]byte("\r\n"), sound...), ""},

		{"empty", nil, "empty"},
		{"a web page", []byte("<html>Votre session a expiré</html>"), "not-pdf"},
		{"header only", []byte("%PDF-1.4\n"), "unreadable truncated"},
		{"garbage between header and end", []byte("%PDF-1.4\n" + strings.Repeat("x", 2000) + "\n%%EOF"), "unreadable damaged"},
		{"a page tree of itself", classic("<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2>>"), "pages damaged"},
		{"fewer pages than said", bytes.Replace(sound, []byte("/Count 1"), []byte("/Count 7"), 1), "damaged"},
		{"no page", classic("<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[]/Count 0>>"), "pages"},

		{"cut in the middle", letter()[:100<<10], "unreadable truncated"},
		{"cut before the table", sound[:table], "truncated"},
		{"cut in the table", sound[:table+30], "truncated"},
		{"cut before the offset", sound[:bytes.LastIndex(sound, []byte("startxref"))], "truncated"},
		{"cut in the offset", sound[:bytes.LastIndex(sound, []byte("\n%%EOF"))-1], "truncated"},
		{"only the mark of the end is missing", sound[:bytes.LastIndex(sound, []byte("%%EOF"))], "damaged"},
		{"cut in an update", append(slices.Clone(sound), "4 0 obj\n<</Type/Annot"...), "truncated"},
		{"cut at the start of an update", append(slices.Clone(sound), "4 0"...), "truncated"},
		{"linearised, cut after its first part", lin[:bytes.Index(lin, []byte("%%EOF"))+6], "pages truncated damaged"},
		{"linearised, cut in its second part", lin[:bytes.LastIndex(lin, []byte("xref\n0 "))], "truncated"},
		{"cut after the end of an inner PDF", inner[:bytes.Index(inner, []byte("%%EOF"))+6], "truncated embedded blank"},
		{"a block is missing", append(slices.Clone(letter()[:20000]), letter()[60000:]...), "truncated"},
		{"a block came twice", append(slices.Clone(letter()[:60000]), letter()[20000:]...), "damaged"},
		{"table further on than said", bytes.Replace(sound, []byte("startxref\n"), []byte("startxref\n00000000"), 1), ""},
		{"startxref names the beginning", startAt(sound, 9), "damaged"},

		{"password", encrypted(t, "secret", "owner"), "encrypted"},
		{"owner password only", encrypted(t, "", "owner"), "restricted"},

		{"HTML before", append([]byte("<html><script>x</script>"), sound...), "polyglot leading"},
		{"mail text before", append([]byte("--=_Part_1\r\n\r\n"), sound...), "leading"},
		{"program before", append([]byte("MZ\x90\x00"), sound...), "polyglot leading"},
		{"shell script before", append([]byte("#!/bin/sh\nexit\n"), sound...), "polyglot leading"},
		{"text after", append(slices.Clone(sound), "\r\n--=_Part_1--\r\n"...), "trailing"},
		{"archive after", append(slices.Clone(sound), "PK\x03\x04....PK\x05\x06"...), "polyglot trailing"},
		{"page after", append(slices.Clone(sound), "<script>x</script>"...), "polyglot trailing"},
		{"program after", append(slices.Clone(sound), "MZ\x90\x00\x03"...), "polyglot trailing"},
		{"archive whose comment is the end of the PDF", zipAround(sound), "polyglot"},

		{"blank page", onePage("", "/Contents 4 0 R", stream("", []byte("q Q"))), "blank"},
		{"page without content", classic(fmt.Sprintf(catalogObj, ""), pagesObj, fmt.Sprintf(pageObj, "")), "blank"},
		{"page of blanks", onePage("", "/Contents 4 0 R", stream("", []byte("BT /F1 9 Tf [( ) -250 (  )] TJ <0003> Tj ET"))), "blank"},
		{"page of one letter", onePage("", "/Contents 4 0 R", stream("", []byte("BT /F1 9 Tf [( ) -250 (a)] TJ ET"))), ""},
		{"page of two contents", onePage("", "/Contents[4 0 R 5 0 R]", stream("", []byte("q")), stream("", []byte("0 0 9 9 re f Q"))), ""},
		{"page of a picture", onePage("", "/Contents 4 0 R", stream("", []byte("q /I Do Q"))), ""},
		{"blank page with an annotation", onePage("", "/Contents 4 0 R/Annots[5 0 R]", stream("", nil), "<</Type/Annot/Subtype/Text/Rect[0 0 9 9]/Contents(x)>>"), ""},
	} {
		k.check(t, c)
	}
}

// startAt replaces the offset after startxref.
func startAt(file []byte, n int) []byte {
	i := bytes.LastIndex(file, []byte("startxref"))
	return fmt.Appendf(slices.Clone(file[:i]), "startxref\n%d\n%%%%EOF\n", n)
}

// unlisted returns a file with an object that its table does not name.
func unlisted(body string) []byte {
	file := onePage("", "")
	i := bytes.LastIndex(file, []byte("xref\n0"))
	object := "9 0 obj\n" + body + "\nendobj\n"
	return startAt(slices.Concat(file[:i], []byte(object), file[i:]), i+len(object))
}

// zipAround puts the directory of an empty archive into a comment at the end of the
// PDF, so that what follows it is the comment of the archive.
func zipAround(file []byte) []byte {
	i := bytes.LastIndex(file, []byte("startxref"))
	rest := append([]byte("\n"), file[i:]...)
	head := append(slices.Clone(file[:i]), "%PK\x05\x06"...)
	head = append(head, make([]byte, 16)...)
	head = append(head, byte(len(rest)), byte(len(rest)>>8))
	return append(head, rest...)
}

func TestWhatActs(t *testing.T) {
	t.Parallel()
	c := checker(t, pdf.Config{})
	for _, k := range []finds{
		{"script at opening", onePage("/OpenAction "+script, ""), "javascript"},
		{"script by reference", onePage("/OpenAction 4 0 R", "", "<</S/JavaScript/JS 5 0 R>>", stream("", []byte("x"))), "javascript"},
		{"script in the name tree", onePage("/Names<</JavaScript<</Names[(a) 4 0 R]>>>>", "", script), "javascript"},
		{"script on a page", onePage("", "/AA<</O "+script+">>"), "javascript additional-action"},
		{"script in an object stream", compressed(fmt.Sprintf(catalogObj, "/OpenAction 4 0 R"), pagesObj, fmt.Sprintf(pageObj, ""), script), "javascript blank"},
		{"script that nothing refers to, in an object stream", compressed(fmt.Sprintf(catalogObj, ""), pagesObj, fmt.Sprintf(pageObj, ""), script), "javascript blank"},
		{"script in the object stream of a hybrid file", hybrid(script), "hidden blank"},
		{"script behind a name with an escape", onePage("/OpenAction<</S/Java#53cript/JS(x)>>", ""), "javascript"},
		{"script after a page turn", onePage("/OpenAction<</S/GoTo/D[3 0 R/Fit]/Next[<</S/Named/N/NextPage>>"+script+"]>>", ""), "javascript"},
		{"script of a rendition", annotated("/Subtype/Screen/A<</S/Rendition/OP 0/JS(x)>>"), "javascript media damaged"},
		{"script in an update", updated(onePage("", ""), 1, fmt.Sprintf(catalogObj, "/OpenAction "+script)), "javascript updated"},
		{"script in an encrypted file", encryptedFile(t, onePage("/OpenAction "+script, ""), "", "owner"), "javascript restricted"},
		{"script that an update took away", updated(onePage("/OpenAction "+script, ""), 1, fmt.Sprintf(catalogObj, "")), "hidden updated"},
		{"script stream that an update took away", updated(onePage("/X 4 0 R", "", "<</JS 5 0 R>>", stream("", []byte("x"))), 4, "null"), "hidden updated"},
		{"program that no table names", unlisted("<</S /Launch/F(cmd.exe)>>"), "hidden"},
		{"the word in a text", onePage("/Lang(JavaScript /Launch)", ""), ""},

		{"launch", onePage("/OpenAction<</S/Launch/F(cmd.exe)>>", ""), "launch"},
		{"launch by a click", annotated("/Subtype/Link/A<</S/Launch/Win<</F(cmd.exe)>>>>"), "launch"},
		{"turns to a page at opening", onePage("/OpenAction[3 0 R/Fit]", ""), ""},
		{"prints at opening", onePage("/OpenAction<</S/Named/N/Print>>", ""), ""},
		{"turns to a page when it closes", onePage("", "/AA<</C<</S/GoTo/D[3 0 R/Fit]>>>>"), "additional-action"},
		{"site at opening", onePage("/OpenAction<</S/URI/URI(https://a.example)>>", ""), "open-action links"},
		{"site after a page turn at opening", onePage("/OpenAction<</S/GoTo/D[3 0 R/Fit]/Next<</S/URI/URI(https://a.example)>>>>", ""), "open-action links"},
		{"form sent at opening", onePage("/OpenAction<</S/SubmitForm/F<</FS/URL/F(https://a.example)>>>>", ""), "open-action submit"},

		{"rich media", annotated("/Subtype/RichMedia/RichMediaContent<</Assets<<>>>>"), "rich-media"},
		{"3D", annotated("/Subtype/3D/3DD 5 0 R", stream("/Type/3D/Subtype/U3D", []byte("U3D"))), "rich-media"},
		{"PostScript", onePage("", "/Resources<</XObject<</P 4 0 R>>>>", stream("/Type/XObject/Subtype/PS", []byte("showpage"))), "postscript damaged"},
		{"XFA", onePage("/AcroForm<</Fields[]/XFA 4 0 R>>", "", stream("", []byte("<xdp/>"))), "xfa"},
		{"portfolio", onePage("/Collection<</View/D>>/Names<</EmbeddedFiles<</Names[(a)4 0 R]>>>>", "", "<</Type/Filespec/F(a.xml)/EF<</F 5 0 R>>>>", stream("/Type/EmbeddedFile", []byte("<a/>"))), "portfolio embedded"},
	} {
		k.check(t, c)
	}
}

func TestWhatIsCarried(t *testing.T) {
	t.Parallel()
	c := checker(t, pdf.Config{})
	for _, k := range []finds{
		{"text", attached("a.xml", "", []byte("<a/>")), "embedded"},
		{"text without a specification", onePage("", "", stream("/Type/EmbeddedFile", []byte("<a/>"))), "embedded"},
		{"program by name", attached("a.EXE ", "", []byte("x")), "embedded-program embedded"},
		{"program by its second name", onePage("/Names<</EmbeddedFiles<</Names[(a)4 0 R]>>>>", "", "<</Type/Filespec/F(a.txt)/UF<FEFF0061002E006A0073>/EF<</F 5 0 R/UF 5 0 R>>>>", stream("/Type/EmbeddedFile", []byte("x"))), "embedded-program embedded"},
		{"program by content", attached("a.txt", "/Filter/FlateDecode", deflate([]byte("MZ\x90\x00"))), "embedded-program embedded"},
		{"program behind two filters", attached("a.txt", "/Filter[/ASCIIHexDecode/FlateDecode]", fmt.Appendf(nil, "%X>", deflate([]byte("MZ\x90\x00")))), "embedded-program embedded"},
		{"program in run lengths", attached("a.txt", "/Filter/RunLengthDecode", []byte("\x03\x7fELF\x80")), "embedded-program embedded"},
		{"web page", attached("a.txt", "", []byte("\xef\xbb\xbf\n<!DOCTYPE html><script>x</script>")), "embedded-program embedded"},
		{"archive", attached("a.dat", "", []byte("PK\x03\x04xx")), "embedded-archive embedded"},
		{"old office file", attached("a.doc", "", []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")), "embedded-archive embedded"},
		{"PDF", attached("a.pdf", "/Filter/FlateDecode", deflate(onePage("", ""))), "embedded"},
		{"PDF with a script", attached("a.pdf", "/Filter/FlateDecode", deflate(onePage("/OpenAction "+script, ""))), "javascript embedded"},
		{"PDF in a PDF with a script", attached("a.pdf", "", attached("b.pdf", "/Filter/FlateDecode", deflate(onePage("/OpenAction "+script, "")))), "javascript embedded"},
		{"PDF in PDF in PDF", attached("a.pdf", "", attached("b.pdf", "", attached("c.pdf", "", onePage("", "")))), "embedded-archive embedded"},
		{"PDF with a password", attached("a.pdf", "", encrypted(t, "secret", "owner")), "embedded-archive embedded"},
		{"file of an annotation", annotated("/Subtype/FileAttachment/FS 5 0 R", "<</Type/Filespec/F(a.bat)/EF<</F 6 0 R>>>>", stream("/Type/EmbeddedFile", []byte("x"))), "embedded-program embedded"},

		{"link", annotated("/Subtype/Link/A<</S/URI/URI(https://a.example)>>"), "links"},
		{"link to another file", annotated("/Subtype/Link/A<</S/GoToR/F(x.pdf)/D[0/Fit]>>"), "goto-remote"},
		{"link into an embedded file", annotated("/Subtype/Link/A<</S/GoToE/T<</R/C/N(a)>>/D[0/Fit]>>"), "goto-remote"},
		{"button that sends", annotated("/Subtype/Link/A<</S/SubmitForm/F(https://a.example)>>"), "submit"},
		{"button that imports", annotated("/Subtype/Link/A<</S/ImportData/F(a.fdf)>>"), "import"},
		{"file that stays elsewhere", onePage("/X 4 0 R", "", "<</Type/Filespec/F(//server/share/a.pdf)>>"), "external"},
		{"stream that stays elsewhere", onePage("/X 4 0 R", "", "<</F(//server/a)/Length 0>>\nstream\n\nendstream"), "external"},
		{"page of another file", onePage("", "/Resources<</XObject<</P 4 0 R>>>>", stream("/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Ref<</F(a.pdf)/Page 0>>", nil)), "reference-xobject"},
		{"film", annotated("/Subtype/Movie/Movie<</F(a.mpg)>>"), "media"},
		{"form", onePage("/AcroForm<</Fields[4 0 R]/DA(/F1 0 Tf)>>", "/Annots[4 0 R]", "<</Type/Annot/Subtype/Widget/FT/Tx/T(nom)/Rect[0 0 9 9]>>"), "form"},
		{"signature", signed(0), "form signed"},
		{"signature, and something after it", append(signed(0), "4 0 obj\n<<>>\nendobj\nxref\n1 0\ntrailer\n<<>>\nstartxref\n0\n%%EOF"...), "damaged form signed updated-after-signature updated"},
	} {
		k.check(t, c)
	}
}

// TestAttachmentsAreNamed: the secretary sees what the file carries, on one line.
func TestAttachmentsAreNamed(t *testing.T) {
	t.Parallel()
	c := checker(t, pdf.Config{Workers: 1})
	var names strings.Builder
	more := []string{stream("/Type/EmbeddedFile", []byte("x"))}
	for i := range 12 {
		fmt.Fprintf(&names, "(%02d)%d 0 R", i, 5+i)
		more = append(more, fmt.Sprintf("<</Type/Filespec/F(pièce %02d\\n%s.txt)/EF<</F 4 0 R>>>>", i, strings.Repeat("x", 90)))
	}
	_, findings, err := c.Check(t.Context(), bytes.NewReader(onePage("/Names<</EmbeddedFiles<</Names["+names.String()+"]>>>>", "", more...)))
	if err != nil || len(findings) != 1 || strings.ContainsAny(findings[0].Text, "\n\r") || strings.Count(findings[0].Text, "«") != 8 ||
		!strings.HasSuffix(findings[0].Text, "… » et 4 autres.") || len(findings[0].Text) > 1000 {
		t.Errorf("%v %v", findings, err)
	}
}

func TestFacts(t *testing.T) {
	t.Parallel()
	c := checker(t, pdf.Config{Workers: 1})
	claim := func(xmp string) []byte {
		return onePage("/Metadata 4 0 R", "", stream("/Type/Metadata/Subtype/XML/Filter/FlateDecode", deflate([]byte(xmp))))
	}
	for name, k := range map[string]struct {
		file []byte
		want greffe.PDF
	}{
		"letter":              {letter(), greffe.PDF{Pages: 2, Version: "1.7", PDFA: "1B"}},
		"restricted":          {encrypted(t, "", "owner"), greffe.PDF{Pages: 2, Version: "1.7", PDFA: "1B", Encrypted: true}},
		"encrypted":           {encrypted(t, "secret", "owner"), greffe.PDF{Encrypted: true}},
		"claim as attributes": {claim(`<rdf:Description pdfaid:part="3" pdfaid:conformance='u'/>`), greffe.PDF{Pages: 1, Version: "1.7", PDFA: "3U"}},
		"claim in UTF-16":     {claim("\xfe\xff" + strings.Join(strings.Split("\x00<pdfaid:part>4</pdfaid:part>", ""), "\x00")), greffe.PDF{Pages: 1, Version: "1.7", PDFA: "4"}},
		"signed":              {signed(0), greffe.PDF{Pages: 1, Version: "1.7", Signatures: 1}},
		"linearised":          {linear(), greffe.PDF{Pages: 1, Version: "1.4"}},
		"version in catalog":  {bytes.Replace(onePage("/Version/1.7", ""), []byte("%PDF-1.7"), []byte("%PDF-1.4"), 1), greffe.PDF{Pages: 1, Version: "1.7"}},
	} {
		if got, found := check(t, c, k.file); got != k.want {
			t.Errorf("%s: %+v, want %+v (%v)", name, got, k.want, found)
		}
	}
}
