package cda

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/net/html"
)

// document wraps the content of a structured body.
func document(body string) string {
	return `<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:o="urn:other"><title>Essai &lt;1&gt;</title><component><structuredBody>` + body + `</structuredBody></component></ClinicalDocument>`
}

const png = "\x89PNG\r\n\x1a\n0123"

func TestWriteHTMLGolden(t *testing.T) {
	t.Parallel()
	picture := base64.StdEncoding.EncodeToString([]byte(png))
	doc := document(`<component><section><code code="x" displayName="du code"/><title>Titre <sub>2</sub></title>
<text><paragraph styleCode="Bold">Un<br/>deux</paragraph><list listType="ordered"><caption>Liste</caption><item>a</item><item>b</item></list><list><item>c<list><item>d</item></list></item></list>
<content styleCode="Bold Italics xRed" ID="i1">fort</content> <content revised="delete">ôté</content> <linkHtml href="javascript:alert(1)">lien</linkHtml><footnote ID="n1">note</footnote> fin<footnoteRef IDREF="n1"/>
<table border="1" width="100%"><caption>T</caption><col width="10"/><thead><tr><th colspan="2" align="center">A</th></tr></thead><tbody><tr><td rowspan="2" styleCode="Bold Botrule">1 &amp; 2</td><td colspan="0">x</td></tr></tbody></table>
<renderMultiMedia referencedObject="p1 p9"/></text>
<entry><observationMedia ID="p1"><value mediaType="image/jpeg" representation="B64">` + picture + `</value></observationMedia></entry>
<component><section><code displayName="Sous-section"/><text>texte</text></section></component></section></component>`)
	want := `<article class="cda"><h1>Essai &lt;1&gt;</h1><section><h2>Titre <sub>2</sub></h2><div>` +
		`<p class="bold">Un<br>deux</p><ol><li class="caption">Liste</li><li>a</li><li>b</li></ol><ul><li>c<ul><li>d</li></ul></li></ul>` +
		`<strong><em>fort</em></strong> <del>ôté</del> lien<small class="footnote"><sup>1</sup> note</small> fin<sup>1</sup>` +
		`<table><caption>T</caption><thead><tr><th colspan="2" class="center">A</th></tr></thead><tbody><tr><td rowspan="2" class="bold botrule">1 &amp; 2</td><td>x</td></tr></tbody></table>` +
		`<img alt="Image du document" src="data:image/png;base64,` + picture + `"><span class="note">[fichier joint au document, à afficher à part]</span></div>` +
		`<section><h3>Sous-section</h3><div>texte</div></section></section></article>`
	var out bytes.Buffer
	if err := WriteHTML(&out, strings.NewReader(doc)); err != nil {
		t.Fatal(err)
	}
	if got := strings.ReplaceAll(out.String(), "\n", ""); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	checkHTML(t, out.Bytes())
}

// Every construct of the narrative block has a form of its own.
func TestWriteHTMLKnowsTheNarrativeBlock(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"links":             {`<linkHtml href="https://a.example/?b=1&amp;c">x</linkHtml><linkHtml href="#i1">y</linkHtml><linkHtml href=" JavaScript:z">z</linkHtml>`, `x <span class="note">(https://a.example/?b=1&amp;c)</span>yz`},
		"notes":             {`a<footnoteRef IDREF="n"/><footnote>u</footnote><footnote>v</footnote><footnote ID="n">w</footnote><footnoteRef IDREF="n"/>`, `a<sup>1</sup><small class="footnote"><sup>2</sup> u</small><small class="footnote"><sup>3</sup> v</small><small class="footnote"><sup>1</sup> w</small><sup>1</sup>`},
		"marks":             {`<list listType="ordered" styleCode="LittleRoman Bold"><item>a</item></list><list styleCode="Square"><item><caption>c</caption>b</item></list>`, `<ol type="i" class="bold"><li>a</li></ol><ul type="square"><li><span class="caption">c</span>b</li></ul>`},
		"table":             {`<table styleCode="Bold"><colgroup><col/></colgroup><thead><tr><th scope="col" valign="top">h</th></tr></thead><tfoot><tr><td>f</td></tr></tfoot><tbody><tr styleCode="Italics"><td styleCode="Lrule Rrule Toprule" align="right" rowspan="3">x</td></tr></tbody></table>`, `<table class="bold"><thead><tr><th scope="col" class="top">h</th></tr></thead><tfoot><tr><td>f</td></tr></tfoot><tbody><tr class="italic"><td rowspan="3" class="lrule right rrule toprule">x</td></tr></tbody></table>`},
		"content in itself": {`<content revised="insert">a<content styleCode="Underline">b<sub>2</sub><sup>3</sup></content></content><paragraph><caption>c</caption>p</paragraph>`, `<ins>a<span class="underline">b<sub>2</sub><sup>3</sup></span></ins><p><span class="caption">c</span>p</p>`},
		"picture's words":   {`<renderMultiMedia referencedObject="none"><caption>légende</caption></renderMultiMedia>`, `<span class="note">[fichier joint au document, à afficher à part]</span><span class="caption">légende</span>`},
	} {
		var out bytes.Buffer
		if err := WriteHTML(&out, strings.NewReader(document(`<component><section><text>`+c.text+`</text></section></component>`))); err != nil {
			t.Fatal(err)
		}
		if want := `<article class="cda"><h1>Essai &lt;1&gt;</h1><section><div>` + c.want + `</div></section></article>`; out.String() != want {
			t.Errorf("%s:\n got %s\nwant %s", name, out.String(), want)
		}
		checkHTML(t, out.Bytes())
	}
}

func TestWriteHTMLShowsWhatIsNotStructured(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		string(levelOne(1000)): `<article class="cda"><h1>Compte rendu  d&#39;essai</h1><p class="note">Le contenu de ce document est un fichier PDF, à afficher à part.</p></article>`,
		`<ClinicalDocument xmlns="urn:hl7-org:v3"><component><nonXMLBody><text mediaType="text/plain">a &lt;b&gt;</text></nonXMLBody></component></ClinicalDocument>`:              `<article class="cda"><pre>a &lt;b&gt;</pre></article>`,
		`<ClinicalDocument xmlns="urn:hl7-org:v3"><component><nonXMLBody><text mediaType="image/png" representation="B64">AAAA</text></nonXMLBody></component></ClinicalDocument>`: `<article class="cda"><p class="note">Le contenu de ce document est une image, à afficher à part.</p></article>`,
		`<html/>`: `<article class="cda"><p class="note">Le fichier n’est pas un document CDA. Demandez un nouvel envoi à l’expéditeur.</p></article>`,
		document(`<component><section><text><paragraph>début`): `<article class="cda"><h1>Essai &lt;1&gt;</h1><section><div><p>début</p></div></section><p class="note">Le document ne peut pas être lu jusqu’au bout : une balise de fin ne correspond pas à sa balise de début. Demandez un nouvel envoi à l’expéditeur.</p></article>`,
	} {
		var out bytes.Buffer
		if err := WriteHTML(&out, strings.NewReader(doc)); err != nil || out.String() != want {
			t.Errorf("got  %s (%v)\nwant %s", out.String(), err, want)
		}
	}
}

func TestWriteHTMLIsSafe(t *testing.T) {
	t.Parallel()
	nasty := []string{
		`<text><script>alert(1)</script><o:script>x</o:script><style>a{}</style><iframe src="x"/></text>`,
		`<text>&lt;script&gt;alert(1)&lt;/script&gt;<paragraph onclick="x" style="y" styleCode="&quot; onclick=&quot;x">p</paragraph></text>`,
		`<text><table><tr><td colspan="1&quot; onload=&quot;x" align="x&quot;y">c</td></tr>texte<paragraph>p</paragraph></table></text>`,
		`<text><linkHtml href="javascript:x">y</linkHtml><renderMultiMedia referencedObject="&quot;&gt;&lt;script&gt;"/></text>`,
		`<text><renderMultiMedia referencedObject="p"/></text><entry><observationMedia ID="p"><value mediaType="image/svg+xml" representation="B64">` + base64.StdEncoding.EncodeToString([]byte(`<svg onload="x"/>`)) + `</value></observationMedia></entry>`,
	}
	for _, n := range nasty {
		var out bytes.Buffer
		if err := WriteHTML(&out, strings.NewReader(document(`<component><section>`+n+`</section></component>`))); err != nil {
			t.Fatal(err)
		}
		checkHTML(t, out.Bytes())
	}
}

func TestWriteHTMLKeepsTextThatIsOutOfPlace(t *testing.T) {
	t.Parallel()
	doc := document(`<component><section><text><list>avant<item>a</item><foo>dans</foo></list><table>libre<tr>rang<td>c</td></tr></table><unknown>inconnu</unknown></text></section></component>`)
	var out bytes.Buffer
	if err := WriteHTML(&out, strings.NewReader(doc)); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"avant", "dans", "libre", "rang", "inconnu"} {
		if !strings.Contains(out.String(), word) {
			t.Errorf("%q is lost: %s", word, out.String())
		}
	}
}

func TestWriteHTMLIsBounded(t *testing.T) {
	t.Parallel()
	picture := base64.StdEncoding.EncodeToString([]byte(png + strings.Repeat("x", 1<<20)))
	for name, body := range map[string]string{
		"text":    `<text>` + strings.Repeat("<paragraph>&quot;texte texte texte texte</paragraph>", 300_000) + `</text>`,
		"breaks":  `<text>` + strings.Repeat("<br/>", 1_500_000) + `</text>`,
		"picture": `<text>` + strings.Repeat(`<renderMultiMedia referencedObject="p p p"/>`, 3000) + `</text><entry><observationMedia ID="p"><value representation="B64">` + picture + `</value></observationMedia></entry>`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out countingWriter
			if err := WriteHTML(&out, strings.NewReader(document(`<component><section>`+body+`</section></component>`))); err != nil {
				t.Fatal(err)
			}
			if out.n > 64<<20 {
				t.Errorf("%d bytes are written", out.n)
			}
		})
	}
}

type countingWriter struct{ n int }

func (c *countingWriter) Write(p []byte) (int, error) { c.n += len(p); return len(p), nil }

func TestWriteHTMLReturnsErrorsOfReaderAndWriter(t *testing.T) {
	t.Parallel()
	disk := errors.New("disk")
	if err := WriteHTML(io.Discard, iotest.ErrReader(disk)); !errors.Is(err, disk) {
		t.Errorf("reader: %v", err)
	}
	if err := WriteHTML(failingWriter{disk}, strings.NewReader(sample)); !errors.Is(err, disk) {
		t.Errorf("writer: %v", err)
	}
}

type failingWriter struct{ err error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }

var (
	allowedElements = strings.Fields("article section h1 h2 h3 h4 h5 h6 div p br sub sup strong em span ins del ul ol li table caption thead tbody tfoot tr td th small pre img")
	allowedClasses  = strings.Fields("cda bold italic underline left center right justify top middle bottom lrule rrule toprule botrule caption footnote note")
	dataURI         = regexp.MustCompile(`^data:image/(png|jpeg|gif);base64,[A-Za-z0-9+/]+=*$`)
)

// checkHTML reads the fragment as a browser does and refuses everything but the fixed list
// of elements and attributes, balanced.
func checkHTML(t testing.TB, fragment []byte) {
	t.Helper()
	z := html.NewTokenizer(bytes.NewReader(fragment))
	var open []string
	for {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			if z.Err() != io.EOF || len(open) > 0 {
				t.Errorf("ends with %v, open: %v", z.Err(), open)
			}
			return
		case html.CommentToken, html.DoctypeToken:
			t.Errorf("%v in the fragment", kind)
		case html.StartTagToken, html.SelfClosingTagToken:
			tok := z.Token()
			if !slices.Contains(allowedElements, tok.Data) {
				t.Errorf("element %s", tok.Data)
			}
			for _, a := range tok.Attr {
				ok := false
				switch a.Key {
				case "class":
					ok = !slices.ContainsFunc(strings.Fields(a.Val), func(c string) bool { return !slices.Contains(allowedClasses, c) })
				case "type":
					ok = slices.Contains([]string{"1", "i", "I", "a", "A", "disc", "circle", "square"}, a.Val) && (tok.Data == "ol" || tok.Data == "ul")
				case "scope":
					ok = slices.Contains([]string{"row", "col", "rowgroup", "colgroup"}, a.Val)
				case "colspan", "rowspan":
					ok = regexp.MustCompile(`^[0-9]{1,4}$`).MatchString(a.Val)
				case "src":
					ok = tok.Data == "img" && dataURI.MatchString(a.Val)
				case "alt":
					ok = tok.Data == "img"
				}
				if !ok {
					t.Errorf("attribute %s=%.60q of %s", a.Key, a.Val, tok.Data)
				}
			}
			if tok.Data != "br" && tok.Data != "img" {
				open = append(open, tok.Data)
			}
		case html.EndTagToken:
			tok := z.Token()
			if len(open) == 0 || open[len(open)-1] != tok.Data {
				t.Errorf("</%s> closes %v", tok.Data, open)
				return
			}
			open = open[:len(open)-1]
		}
	}
}
