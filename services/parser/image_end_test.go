package parser

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

// TestImagesInWords: who files an image sees its size before it is opened, and hears
// of one whose end did not arrive.
func TestImagesInWords(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"jpeg", "png", "gif"} {
		whole := drawn(t, format, 900, 700)
		large := slices.Concat(whole[:len(whole)/2], whole[len(whole)/2:], make([]byte, 3000)) // what cameras add
		for name, k := range map[string]struct {
			data []byte
			cut  bool
		}{
			"whole":      {whole, false},
			"with more":  {large, false},
			"half of it": {whole[:len(whole)/2], true},
			"last bytes": {whole[:len(whole)-1], format != "png"}, // of a PNG that is the check sum of nothing
		} {
			out := parse(t, quiet(), mail("", attachment{name: "photo." + format, media: "application/octet-stream", data: k.data}))
			if len(out.Documents) != 1 || out.Documents[0].Format != greffe.FormatImage {
				t.Fatalf("%s, %s: %+v", format, name, out.Documents)
			}
			d := out.Documents[0]
			got := rules(d.Findings)
			if slices.Contains(got, "parser.image-cut") != k.cut || !slices.Contains(got, "parser.image-size") || d.Verdict != greffe.VerdictHeld {
				t.Errorf("%s, %s: %s %v", format, name, d.Verdict, got)
			}
			for _, f := range d.Findings {
				if f.Rule == "parser.image-size" && f.Text != "Image de 900 × 700 pixels." {
					t.Errorf("%s, %s: %s", format, name, f.Text)
				}
			}
		}
	}
}

// TestImageEndInPieces: the mark is found wherever the pieces are cut.
func TestImageEndInPieces(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("\xff\x00"), 10_000)
	data = append(data, "\xff\xd9"+strings.Repeat("x", 1000)...)
	for size := 1; size <= 3*tailSize; size = size*3 + 1 {
		e := endOf("image/jpeg")
		for piece := range slices.Chunk(data, size) {
			e.add(piece)
		}
		if !bytes.Contains(e.tail, e.mark) || len(e.tail) != tailSize {
			t.Errorf("in pieces of %d: %d bytes kept", size, len(e.tail))
		}
	}
}
