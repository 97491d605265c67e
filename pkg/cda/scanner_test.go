package cda

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// tokens writes what the scanner finds, joined texts, in one line each.
func tokens(r io.Reader) ([]string, error) {
	s := NewScanner(r)
	var out []string
	text := false
	for {
		kind, err := s.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if kind == Text {
			if !text {
				out = append(out, "t ")
			}
			text = true
			out[len(out)-1] += string(s.Text())
			continue
		}
		text = false
		space, local := s.Name()
		line := fmt.Sprintf("%d {%s}%s", kind, space, local)
		if kind == Start {
			for _, a := range s.attrs {
				line += fmt.Sprintf(" {%s}%s=%s", a.space, a.local, a.value)
			}
		}
		out = append(out, line)
	}
}

// reference writes the same with encoding/xml.
func reference(r io.Reader) ([]string, error) {
	d := xml.NewDecoder(r)
	var out []string
	text, depth := false, 0
	for {
		token, err := d.Token()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		switch v := token.(type) {
		case xml.CharData:
			if depth == 0 || len(v) == 0 {
				continue
			}
			if !text {
				out = append(out, "t ")
			}
			text = true
			out[len(out)-1] += string(v)
		case xml.StartElement:
			text, depth = false, depth+1
			line := fmt.Sprintf("%d {%s}%s", Start, v.Name.Space, v.Name.Local)
			for _, a := range v.Attr {
				if a.Name.Space != "xmlns" && (a.Name.Space != "" || a.Name.Local != "xmlns") {
					line += fmt.Sprintf(" {%s}%s=%s", a.Name.Space, a.Name.Local, a.Value)
				}
			}
			out = append(out, line)
		case xml.EndElement:
			text, depth = false, depth-1
			out = append(out, fmt.Sprintf("%d {%s}%s", End, v.Name.Space, v.Name.Local))
		}
	}
}

func same(t *testing.T, doc []byte) {
	t.Helper()
	got, err := tokens(bytes.NewReader(doc))
	if err != nil {
		t.Fatalf("not read: %v", err)
	}
	want, err := reference(bytes.NewReader(doc))
	if err != nil {
		t.Fatalf("encoding/xml does not read it: %v", err)
	}
	clean := func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n") }
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || clean(got[i]) != clean(want[i]) {
			t.Fatalf("token %d of %d (encoding/xml: %d) differs:\n%q\n%q", i, len(got), len(want), at(got, i), at(want, i))
		}
	}
}

func at(s []string, i int) string {
	if i < len(s) {
		return s[i]
	}
	return "-"
}

func TestScannerReadsAsEncodingXML(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		sample, `<a/>`, `<a></a>`, "<a\n b = 'x' c=\"&lt;&#65;&amp;'\"\t/>", `<a>x&lt;y&#x41;&amp;z</a>`,
		`<?xml version="1.0"?><!-- c --><?pi x?><a>t<!-- - - >--><?pi?>u</a><!-- end --> `,
		`<a><![CDATA[<b>&amp;]] ]>]]>x<![CDATA[]]></a>`,
		`<p:a xmlns:p="u" p:x="1" x="2"><p:b xmlns:p="v" xml:lang="fr"/><c xmlns="w"><d/></c><e/></p:a>`,
		`<a>é€😀</a>`, `<é x="œ"/>`, `<a b=">"/>`,
	} {
		same(t, []byte(doc))
		// The same tokens however the bytes come in.
		whole, _ := tokens(strings.NewReader(doc))
		slow, err := tokens(iotest.OneByteReader(strings.NewReader(doc)))
		if err != nil || strings.Join(whole, "\n") != strings.Join(slow, "\n") {
			t.Errorf("%.40q: byte by byte: %v, %v", doc, slow, err)
		}
	}
	// Characters across the border of the window.
	for pad := range 4 {
		same(t, []byte("<a>"+strings.Repeat("x", window-5+pad)+strings.Repeat("é😀", window/4)+"</a>"))
	}
	same(t, []byte("<a b='"+strings.Repeat("x", window+10)+"'>"+strings.Repeat("<b>é</b>", window/16)+"</a>"))
}

func TestScannerReadsTheCorpus(t *testing.T) {
	t.Parallel()
	dir := corpus(t, "xdm")
	for _, o := range official {
		archive := filepath.Join(dir, o.name, "IHE_XDM.ZIP")
		same(t, bytes.TrimPrefix(fromZip(t, archive, "DOC0001.XML"), []byte("\ufeff")))
		same(t, fromZip(t, archive, "METADATA.XML"))
	}
	schemas := filepath.Join(filepath.Dir(corpus(t, "hl7")), "..", "ref", "jdv")
	files, _ := filepath.Glob(filepath.Join(schemas, "*.xml"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		same(t, bytes.TrimPrefix(b, []byte("\ufeff")))
	}
}

func TestScannerRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ doc, rule string }{
		"nothing":             {"", "cda.xml"},
		"blanks":              {" \n", "cda.xml"},
		"text":                {"bonjour", "cda.xml"},
		"cut in a tag":        {"<a", "cda.xml"},
		"cut in a text":       {"<a>x", "cda.xml"},
		"cut in a comment":    {"<a><!-- x", "cda.xml"},
		"cut in CDATA":        {"<a><![CDATA[x]]", "cda.xml"},
		"cut in a character":  {"<a>\xc3", "cda.xml"},
		"cut at <":            {"<a><", "cda.xml"},
		"cut after the root":  {"<a/><b", "cda.xml"},
		"cut comment at last": {"<a/><!-- x", "cda.xml"},
		"two roots":           {"<a/><b/>", "cda.xml"},
		"text after the root": {"<a/>x", "cda.xml"},
		"wrong end":           {"<a></b>", "cda.xml"},
		"end first":           {"</a>", "cda.xml"},
		"attribute twice":     {`<a b="1" b="2"/>`, "cda.xml"},
		"same name, prefixes": {`<a xmlns:p="u" xmlns:q="u" p:b="1" q:b="2"/>`, "cda.xml"},
		"no blank between":    {`<a b="1"c="2"/>`, "cda.xml"},
		"no quotes":           {`<a b=1/>`, "cda.xml"},
		"no value":            {`<a b/>`, "cda.xml"},
		"unbound prefix":      {`<p:a/>`, "cda.xml"},
		"unbound attribute":   {`<a p:b="1"/>`, "cda.xml"},
		"empty namespace":     {`<a xmlns:p=""/>`, "cda.xml"},
		"two colons":          {`<a:b:c xmlns:a="u"/>`, "cda.xml"},
		"name with a digit":   {`<1a/>`, "cda.xml"},
		"< in a value":        {`<a b="<"/>`, "cda.xml"},
		"unknown entity":      {`<a>&nbsp;</a>`, "cda.xml"},
		"bare ampersand":      {`<a>fish & chips</a>`, "cda.xml"},
		"null reference":      {`<a>&#0;</a>`, "cda.xml"},
		"surrogate":           {`<a>&#xD800;</a>`, "cda.xml"},
		"control character":   {"<a>\x01</a>", "cda.xml"},
		"UTF-32":              {"<\x00\x00\x00a\x00\x00\x00", "cda.encoding"},
		"namespace twice":     {`<a xmlns:p="u" xmlns:p="v"/>`, "cda.xml"},
		"unknown encoding":    {`<?xml version="1.0" encoding="EBCDIC-FR"?><a/>`, "cda.encoding"},
		"CDATA at the top":    {"<![CDATA[x]]><a/>", "cda.xml"},
		"document type":       {`<!DOCTYPE a><a/>`, "cda.dtd"},
		"lower-case doctype":  {`<!doctype html><html/>`, "cda.dtd"},
		"laughs":              {`<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><l>&b;</l>`, "cda.dtd"},
		"deep":                {strings.Repeat("<a>", 200_000), "cda.limits"},
		"many attributes":     {"<a " + manyAttributes(200) + "/>", "cda.limits"},
		"huge attribute":      {`<a b="` + strings.Repeat("x", 1<<20) + `"/>`, "cda.limits"},
		"huge name":           {`<` + strings.Repeat("x", 300) + `/>`, "cda.xml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := NewScanner(strings.NewReader(c.doc))
			var err error
			for err == nil {
				_, err = s.Next()
			}
			bad, ok := errors.AsType[*SyntaxError](err)
			if !ok || bad.Rule.ID != c.rule {
				t.Fatalf("error %v, want %s", err, c.rule)
			}
			if f := bad.Finding("2"); f.Text == "" || strings.Contains(f.Text, "%") {
				t.Errorf("finding %q", f.Text)
			}
		})
	}
}

func manyAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `a%d="" `, i)
	}
	return b.String()
}

func TestScannerStopsAtItsLimits(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"bytes":    "<a>" + strings.Repeat("x", 1<<20),
		"elements": "<a>" + strings.Repeat("<b/>", 1001) + "</a>",
	} {
		s := NewScanner(strings.NewReader(doc))
		s.maxInput, s.maxElements = 1<<20, 1000
		var err error
		for err == nil {
			_, err = s.Next()
		}
		if bad, ok := errors.AsType[*SyntaxError](err); !ok || bad.Rule.ID != "cda.limits" {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
