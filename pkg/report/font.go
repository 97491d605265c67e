package report

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/image/font"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// pdfFont is a TrueType font that a report embeds whole. Widths are in thousandths of
// its size, so that layout needs no floating point and is the same everywhere.
type pdfFont struct {
	name   string // in the page's resources
	file   []byte
	font   *sfnt.Font
	buf    sfnt.Buffer
	glyphs map[rune]pdfGlyph
	used   map[uint16]rune
}

type pdfGlyph struct {
	id    uint16
	width int
}

func newPDFFont(name string, file []byte) (*pdfFont, error) {
	f, err := sfnt.Parse(file)
	if err != nil {
		return nil, fmt.Errorf("report: font: %w", err)
	}
	return &pdfFont{name: name, file: file, font: f, glyphs: map[rune]pdfGlyph{}, used: map[uint16]rune{}}, nil
}

// glyph returns the glyph of a character, that of a question mark when there is none.
func (f *pdfFont) glyph(r rune) pdfGlyph {
	if g, ok := f.glyphs[r]; ok {
		return g
	}
	var g pdfGlyph
	id, err := f.font.GlyphIndex(&f.buf, r)
	if err != nil || id == 0 {
		if r != '?' {
			g = f.glyph('?')
		}
	} else {
		em := fixed.Int26_6(f.font.UnitsPerEm()) << 6
		a, err := f.font.GlyphAdvance(&f.buf, id, em, font.HintingNone)
		if err == nil {
			g = pdfGlyph{uint16(id), int(a) * 1000 / int(em)}
			f.used[g.id] = r
		}
	}
	f.glyphs[r] = g
	return g
}

// width returns the width of s in thousandths of the font's size.
func (f *pdfFont) width(s string) (n int) {
	for _, r := range s {
		n += f.glyph(r).width
	}
	return n
}

// encode returns s as a string of glyph numbers (Identity-H).
func (f *pdfFont) encode(s string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, "%04X", f.glyph(r).id)
	}
	return "<" + b.String() + ">"
}

// wrap breaks s into lines of at most width thousandths of a point in this size: at
// blanks, within a word when it must.
func (f *pdfFont) wrap(s string, size, width int) (lines []string) {
	line, have := "", 0
	blank := f.width(" ") * size
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || unicode.IsControl(r) }) {
		w := f.width(word) * size
		switch {
		case line != "" && have+blank+w <= width:
			line, have = line+" "+word, have+blank+w
			continue
		case line != "":
			lines = append(lines, line)
		}
		for w > width {
			n, part := 0, 0
			for i, r := range word {
				g := f.glyph(r).width * size
				if part+g > width && i > 0 {
					break
				}
				part += g
				n = i + len(string(r))
			}
			lines = append(lines, word[:n])
			word, w = word[n:], w-part
		}
		line, have = word, w
	}
	if line != "" || len(lines) == 0 {
		lines = append(lines, line)
	}
	return lines
}

// objects writes the objects of the font and returns the number of the first.
func (f *pdfFont) objects(w *pdfObjects) int {
	m := f.font
	scale := func(n int) int { return n * 1000 / int(m.UnitsPerEm()) }
	name := "GreffeSans"
	if n, err := m.Name(&f.buf, sfnt.NameIDPostScript); err == nil && !strings.ContainsFunc(n, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("/()<>[]{}%#", r) }) {
		name = n
	}
	em := fixed.Int26_6(m.UnitsPerEm()) << 6
	metrics, _ := m.Metrics(&f.buf, em, font.HintingNone)
	bounds, _ := m.Bounds(&f.buf, em, font.HintingNone)
	file := w.stream(fmt.Sprintf("/Length1 %d", len(f.file)), f.file)
	descriptor := w.add(fmt.Sprintf("<< /Type /FontDescriptor /FontName /%s /Flags 32 /FontBBox [%d %d %d %d] /ItalicAngle 0 /Ascent %d /Descent %d /CapHeight %d /StemV 80 /FontFile2 %d 0 R >>",
		name, scale(bounds.Min.X.Round()), -scale(bounds.Max.Y.Round()), scale(bounds.Max.X.Round()), -scale(bounds.Min.Y.Round()),
		scale(metrics.Ascent.Round()), -scale(metrics.Descent.Round()), scale(metrics.CapHeight.Round()), file))
	ids := make([]uint16, 0, len(f.used))
	for id := range f.used {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var widths, chars strings.Builder
	for i := 0; i < len(ids); i += 100 { // a CMap section has at most 100 lines
		part := ids[i:min(i+100, len(ids))]
		fmt.Fprintf(&chars, "%d beginbfchar\n", len(part))
		for _, id := range part {
			fmt.Fprintf(&widths, "%d [%d] ", id, f.glyph(f.used[id]).width)
			fmt.Fprintf(&chars, "<%04X> <%04X>\n", id, f.used[id]) // all of them are in the BMP
		}
		chars.WriteString("endbfchar\n")
	}
	cid := w.add(fmt.Sprintf("<< /Type /Font /Subtype /CIDFontType2 /BaseFont /%s /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> /FontDescriptor %d 0 R /DW 0 /W [%s] /CIDToGIDMap /Identity >>",
		name, descriptor, strings.TrimSpace(widths.String())))
	unicodes := w.stream("", []byte("/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n"+
		"/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n"+
		"1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n"+chars.String()+"endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n"))
	return w.add(fmt.Sprintf("<< /Type /Font /Subtype /Type0 /BaseFont /%s /Encoding /Identity-H /DescendantFonts [%d 0 R] /ToUnicode %d 0 R >>", name, cid, unicodes))
}

// pdfObjects collects the indirect objects of a file, numbered from 1.
type pdfObjects struct{ list [][]byte }

// reserve takes a number for an object that is written later with set.
func (w *pdfObjects) reserve() int {
	w.list = append(w.list, nil)
	return len(w.list)
}

func (w *pdfObjects) set(n int, body string) { w.list[n-1] = []byte(body) }

func (w *pdfObjects) add(body string) int {
	n := w.reserve()
	w.set(n, body)
	return n
}

// stream adds a compressed stream.
func (w *pdfObjects) stream(dict string, data []byte) int {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	z.Write(data) // to memory: cannot fail
	z.Close()
	return w.add(fmt.Sprintf("<< %s /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream", dict, b.Len(), b.Bytes()))
}
