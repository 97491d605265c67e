package cda

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func seed(f *testing.F) {
	for _, s := range []string{
		sample, string(levelOne(200)), document(`<component><section><title>t</title><text><list><item>a</item></list><table><tr><td>x</td></tr></table></text></section></component>`),
		`<a b="&#65;"><![CDATA[x]]>&amp;<!-- c --><?p?></a>`, `<p:a xmlns:p="u"><p:b/></p:a>`, `<b representation="B64">Ym9u!=</b>`, `<b representation="B64" compression="GZ">H4sIAAAAAAAAA0vKzy/NTQUAMuZd9wYAAAA=</b>`,
		`<nonXMLBody><text mediaType="application/pdf" integrityCheck="x">JVBERi0=</text></nonXMLBody>`,
		"\xff\xfe<\x00a\x00/\x00>\x00", `<?xml version="1.0" encoding="ISO-8859-15"?><a>` + "\xa4</a>", `<!DOCTYPE a><a/>`,
		`<xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><d:Contenu xmlns:d="urn:asip-sante:ci-sis"><ClinicalDocument xmlns="urn:hl7-org:v3"/></d:Contenu></xsl:stylesheet>`,
	} {
		f.Add([]byte(s))
	}
}

// What the scanner accepts, encoding/xml reads in the same way; "]]>" in text is the one
// known difference.
func FuzzScanner(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		if _, err := tokens(bytes.NewReader(doc)); err != nil || len(doc) == 0 || doc[0] != '<' || bytes.Contains(doc, []byte("]]")) {
			return
		}
		if bytes.Contains(bytes.ToLower(doc), []byte("<?xml")) || doc[len(doc)-1] == 0 || !plain(doc) {
			return // declarations and other encodings, which encoding/xml treats otherwise
		}
		same(t, doc)
	})
}

// plain leaves out what encoding/xml is stricter about: names and comments.
func plain(doc []byte) bool {
	for _, c := range doc {
		if c >= 0x80 || c == 0 {
			return false
		}
	}
	return !bytes.Contains(doc, []byte("<!--")) && !bytes.Contains(doc, []byte("<?"))
}

func FuzzRead(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		d, findings := Read(bytes.NewReader(doc))
		again, _ := Read(bytes.NewReader(doc))
		if d.UniqueID != again.UniqueID || d.Patient.INS != again.Patient.INS {
			t.Error("two reads differ")
		}
		for _, finding := range findings {
			if strings.Contains(finding.Text, "%!") {
				t.Errorf("text of %s: %s", finding.Rule, finding.Text)
			}
		}
		IsCDA(doc)
	})
}

func FuzzEmbedded(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		read := func(wrap func(io.Reader) io.Reader) (string, bool) {
			var all strings.Builder
			_, err := Embedded(wrap(bytes.NewReader(doc)), func(v *Value) error {
				b, err := io.ReadAll(v)
				var bad *ValueError
				if err == nil || errors.As(err, &bad) {
					all.WriteString(v.MediaType + ":" + string(b) + fmt.Sprint(err, v.Findings("")) + "\n")
					err = nil
				}
				return err
			})
			if _, bad := errors.AsType[*SyntaxError](err); err != nil && !bad {
				t.Errorf("error %v", err)
			}
			return all.String(), err == nil
		}
		a, okA := read(func(r io.Reader) io.Reader { return r })
		b, okB := read(func(r io.Reader) io.Reader { return io.MultiReader(io.LimitReader(r, 7), r) })
		if a != b || okA != okB {
			t.Errorf("two reads differ: %q, %q", a, b)
		}
	})
}

func FuzzWriteHTML(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		var out bytes.Buffer
		if err := WriteHTML(&out, bytes.NewReader(doc)); err != nil {
			t.Error(err)
		}
		checkHTML(t, out.Bytes())
	})
}
