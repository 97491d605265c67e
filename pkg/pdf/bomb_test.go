package pdf_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"greffe/pkg/pdf"
)

// Bombs that once brought pdfcpu, or a reader around it, to its knees.
func bombs() map[string][]byte {
	one := bomb(700 << 20)
	return map[string][]byte{
		"cross-reference stream": xrefBomb(one),
		"metadata":               onePage("/Metadata 4 0 R", "", stream("/Type/Metadata/Subtype/XML/Filter/FlateDecode", one)),
		"metadata, twice":        onePage("/Metadata 4 0 R", "", stream("/Type/Metadata/Subtype/XML/Filter[/FlateDecode/FlateDecode]", deflate(one))),
		"object stream":          onePage("", "", stream("/Type/ObjStm/N 1/First 10/Filter/FlateDecode", one)),
		"object stream in use":   streamBomb(one),
		"nested arrays":          onePage("/X "+strings.Repeat("[", 1<<20), ""),
		"nested dictionaries":    onePage("/X "+strings.Repeat("<</A", 1<<20), ""),
		"page tree of itself":    classic("<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2>>"),
		"absurd size":            bytes.Replace(onePage("", ""), []byte("/Size 4"), []byte("/Size 2000000000"), 1),
		"absurd length":          onePage("", "", "<</Length 2000000000>>\nstream\nx\nendstream"),
		"reference to itself":    onePage("/X 4 0 R", "", "4 0 R"),
	}
}

func TestABombIsAFindingAndTheNextFilePasses(t *testing.T) {
	t.Parallel()
	c := checker(t, pdf.Config{Workers: 1, Memory: memoryFactor * 256 << 20})
	for name, file := range bombs() {
		began := time.Now()
		r, got := check(t, c, file)
		t.Logf("%s: %d bytes, %v, %+v, %v", name, len(file), got, r, time.Since(began).Round(time.Millisecond))
		if r, got := check(t, c, letter()); r.Pages != 2 || got != nil {
			t.Fatalf("after %s the letter is %+v %v", name, r, got)
		}
	}
}
