package cda

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestWritePlain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ doc, want string }{
		"as it is":                 {`<ClinicalDocument xmlns="urn:hl7-org:v3" a="1"><id root="1"/>x</ClinicalDocument>`, `<ClinicalDocument xmlns="urn:hl7-org:v3" a="1"><id root="1"></id>x</ClinicalDocument>`},
		"nothing but the document": {"<?xml version='1.0'?><?xml-stylesheet href='http://x'?><!-- c --><ClinicalDocument xmlns='u'><!-- d --><?p q?></ClinicalDocument><!-- e -->", `<ClinicalDocument xmlns="u"></ClinicalDocument>`},
		"no way to a file":         {`<ClinicalDocument xmlns="u" xmlns:x="` + xsi + `" x:schemaLocation="u http://x/y.xsd" x:noNamespaceSchemaLocation="y"><a x:type="CD"/></ClinicalDocument>`, `<ClinicalDocument xmlns="u" xmlns:x="` + xsi + `"><a x:type="CD"></a></ClinicalDocument>`},
		"out of its stylesheet": {`<s:stylesheet xmlns:s="` + xsl + `" xmlns:h="urn:other"><d:Contenu xmlns:d="` + asip + `"><h:ClinicalDocument xmlns:h="` + HL7 + `"><h:id/></h:ClinicalDocument></d:Contenu><s:template/></s:stylesheet>`,
			`<h:ClinicalDocument xmlns:s="` + xsl + `" xmlns:d="` + asip + `" xmlns:h="` + HL7 + `"><h:id></h:id></h:ClinicalDocument>`},
		"no files": {`<ClinicalDocument xmlns="u"><text representation="B64">QUJD<thumbnail representation="B64">QUJD</thumbnail>QUJD</text><text>QUJD</text></ClinicalDocument>`, `<ClinicalDocument xmlns="u"><text representation="B64"><thumbnail representation="B64"></thumbnail></text><text>QUJD</text></ClinicalDocument>`},
		"escaped":  {`<ClinicalDocument xmlns="u" a="&lt;&quot;&amp;&#10;'">&lt;<![CDATA[<b>]]></ClinicalDocument>`, `<ClinicalDocument xmlns="u" a="&lt;&quot;&amp; '">&lt;&lt;b&gt;</ClinicalDocument>`},
		"lines":    {"<?xml version='1.0'?>\n\n<ClinicalDocument\nxmlns='u'>\n<text representation='B64'>AA\nAA</text>\n<id\n\n/></ClinicalDocument>", "<ClinicalDocument\n\n\n xmlns=\"u\">\n<text representation=\"B64\"></text>\n<id\n\n\n></id></ClinicalDocument>"},
	} {
		var out bytes.Buffer
		if err := WritePlain(&out, strings.NewReader(c.doc)); err != nil || out.String() != c.want {
			t.Errorf("%s: error %v\n got %q\nwant %q", name, err, out.String(), c.want)
		}
	}
	if err := WritePlain(io.Discard, strings.NewReader("<a/>")); !errors.Is(err, ErrNotCDA) {
		t.Errorf("error %v for what is not a CDA", err)
	}
	var out bytes.Buffer
	if err := WritePlain(&out, strings.NewReader(document("<a>"+strings.Repeat("x", 20<<20)+"</a>"))); err != nil || out.Len() > 2*maxPlainText {
		t.Errorf("error %v, %d bytes of a huge text", err, out.Len())
	}
}

// What is written is read by others as the document that it was.
func FuzzWritePlain(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		var out bytes.Buffer
		if WritePlain(&out, bytes.NewReader(doc)) != nil {
			return
		}
		first := out.Bytes()
		var again bytes.Buffer
		if err := WritePlain(&again, bytes.NewReader(first)); err != nil {
			t.Fatalf("not read again: %v: %q", err, first)
		}
		if plain(first) { // encoding/xml is stricter about names
			dec := xml.NewDecoder(bytes.NewReader(first))
			for {
				if _, err := dec.Token(); err == io.EOF {
					break
				} else if err != nil && !strings.Contains(err.Error(), "]]>") {
					t.Fatalf("%v: %q", err, first)
				}
			}
		}
		if bytes.Contains(first, []byte("<!")) || bytes.Contains(first, []byte("<?")) {
			t.Errorf("declaration in %q", first)
		}
	})
}
