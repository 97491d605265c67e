package pdf_test

import (
	"bytes"
	"fmt"
	"testing"

	"greffe/pkg/greffe"
	"greffe/pkg/pdf"
)

// FuzzInspect does the whole check in this process: what the child does.
func FuzzInspect(f *testing.F) {
	for _, file := range [][]byte{
		onePage("", ""), onePage("/OpenAction "+script, ""), linear(), hybrid(script), signed(0), updated(onePage("", ""), 9, script),
		compressed(fmt.Sprintf(catalogObj, ""), pagesObj, fmt.Sprintf(pageObj, ""), script),
		attached("a.pdf", "", onePage("/OpenAction "+script, "")), onePage("/AcroForm<</Fields[4 0 R]/XFA 4 0 R>>", "/AA<</O 4 0 R>>", "<</EF<</F 4 0 R>>/Next[4 0 R]>>"),
		[]byte("%PDF-1.4\n%%EOF"),
	} {
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		facts, findings := pdf.Inspect(file)
		if facts.Pages == 0 && greffe.VerdictOf(findings) == greffe.VerdictOK {
			t.Error("no page and nothing wrong")
		}
	})
}

// FuzzStructure looks at files from outside only, which is much faster.
func FuzzStructure(f *testing.F) {
	for _, file := range [][]byte{onePage("", ""), linear(), hybrid("<<>>"), signed(0), updated(onePage("", ""), 9, "<<>>"), []byte(">>stream\n%%EOFendstream")} {
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if err := pdf.Lay(file); err != nil {
			t.Error(err)
		}
	})
}

// FuzzStream decodes streams and reads them as the content of a page.
func FuzzStream(f *testing.F) {
	f.Add("F", deflate([]byte("BT (x) Tj ET")))
	f.Add("AL", []byte("J..)6T`?p&<!J9%_[umg\"B7/Z7KNXbN'S+,*Q/&\"OLT'F~>"))
	f.Add("HR", []byte("00 41 FF 42 80>"))
	f.Add("", []byte("q (a\\)(b)) Tj <0020> Tj [(x) 1 <41>] TJ % x\n Q"))
	f.Fuzz(func(t *testing.T, filters string, data []byte) {
		const limit = 1 << 16
		b, err := pdf.Decode(filters, data, limit)
		if len(b) > limit || err != nil && len(b) > 0 {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		pdf.Paints(b)
	})
}

func TestFilters(t *testing.T) {
	t.Parallel()
	for _, k := range []struct{ filters, data, want string }{
		{"H", "48 65 6C6c\n6F2>zz", "Hello "},
		{"H", "zz>", ""},
		{"R", "\x04Hello\xff!\x80xxx", "Hello!!"},
		{"R", "\x04Hel", "Hel"},
		{"A", "87cUR\nD]~>zz", "Hello"},
		{"AF", string(a85(deflate([]byte("Hello")))), "Hello"},
		{"F", string(deflate(bytes.Repeat([]byte("Hello"), 100))), "HelloHelloHelloHello"},
		{"", "Hello", "Hello"},
	} {
		if got, err := pdf.Decode(k.filters, []byte(k.data), 20); err != nil || string(got) != k.want {
			t.Errorf("%s %q: %q, %v, want %q", k.filters, k.data, got, err, k.want)
		}
	}
	for _, filters := range []string{"FFFFF", "X"} {
		if b, err := pdf.Decode(filters, []byte("x"), 20); err == nil || b != nil {
			t.Errorf("%s: %q, %v", filters, b, err)
		}
	}
}
