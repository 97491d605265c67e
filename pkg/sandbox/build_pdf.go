package sandbox

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf16"

	"golang.org/x/text/encoding/charmap"
)

// PDF returns a PDF 1.4 file with a title and lines of text (48 to a page), in
// French if need be: it uses Helvetica, one of the fonts that every viewer has,
// with the characters of windows-1252; others become "?". When the file would be
// smaller than size bytes, the first page shows an image of noise that cannot be
// compressed and fills it up to about that size. The same arguments give the same bytes.
func PDF(title string, lines []string, size int) []byte { return pdfFile(title, lines, size, "") }

// pdfFile is PDF with further entries of the document catalogue.
func pdfFile(title string, lines []string, size int, catalog string) []byte {
	const perPage = 48
	var w pdfWriter
	w.b.WriteString("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
	pages := max(1, (len(lines)+perPage-1)/perPage)
	// Objects: 1 catalogue, 2 page tree, 3 and 4 fonts, 5 information, 6 image
	// (or null), then a page and its content for each page.
	var kids []string
	for i := range pages {
		kids = append(kids, fmt.Sprintf("%d 0 R", 7+2*i))
	}
	w.object(1, "<< /Type /Catalog /Pages 2 0 R /Lang (fr-FR) "+catalog+" >>")
	w.object(2, fmt.Sprintf("<< /Type /Pages /Count %d /Kids [ %s ] >>", pages, strings.Join(kids, " ")))
	w.object(3, "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
	w.object(4, "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>")
	w.object(5, "<< /Title "+pdfText(title)+" /Producer (Greffe) >>")

	// The rest of the file is about 900 bytes and 60 for each line.
	width, height := 400, (size-w.b.Len()-900-60*len(lines))/400
	if height > 0 {
		w.stream(6, fmt.Sprintf("/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 8", width, height),
			noise(title, width*height))
	} else {
		w.object(6, "null")
	}
	for i := range pages {
		resources := "/Font << /F1 3 0 R /F2 4 0 R >>"
		if height > 0 {
			resources += " /XObject << /I1 6 0 R >>"
		}
		w.object(7+2*i, fmt.Sprintf("<< /Type /Page /Parent 2 0 R /MediaBox [ 0 0 595 842 ] /Resources << %s >> /Contents %d 0 R >>", resources, 8+2*i))
		var c strings.Builder
		if i == 0 {
			fmt.Fprintf(&c, "BT /F2 16 Tf 56 780 Td %s Tj ET\n", pdfString(title))
			if height > 0 {
				c.WriteString("q 100 0 0 75 440 700 cm /I1 Do Q\n")
			}
		}
		c.WriteString("BT /F1 10 Tf 14 TL 56 750 Td\n")
		for _, line := range lines[min(i*perPage, len(lines)):min((i+1)*perPage, len(lines))] {
			c.WriteString(pdfString(line) + " Tj T*\n")
		}
		c.WriteString("ET\n")
		w.stream(8+2*i, "", []byte(c.String()))
	}
	return w.end()
}

// pdfWriter writes numbered objects and the table of where they begin.
type pdfWriter struct {
	b       bytes.Buffer
	offsets []int  // of object i+1
	trailer string // entries of the trailer; the document information when empty
}

func (w *pdfWriter) begin(n int) {
	for len(w.offsets) < n {
		w.offsets = append(w.offsets, 0)
	}
	w.offsets[n-1] = w.b.Len()
	fmt.Fprintf(&w.b, "%d 0 obj\n", n)
}

func (w *pdfWriter) object(n int, body string) {
	w.begin(n)
	w.b.WriteString(body + "\nendobj\n")
}

func (w *pdfWriter) stream(n int, entries string, data []byte) {
	w.begin(n)
	fmt.Fprintf(&w.b, "<< %s /Length %d >>\nstream\n", entries, len(data))
	w.b.Write(data)
	w.b.WriteString("\nendstream\nendobj\n")
}

func (w *pdfWriter) end() []byte {
	at := w.b.Len()
	fmt.Fprintf(&w.b, "xref\n0 %d\n0000000000 65535 f \n", len(w.offsets)+1)
	for _, o := range w.offsets {
		fmt.Fprintf(&w.b, "%010d 00000 n \n", o)
	}
	more := w.trailer
	if more == "" {
		more = "/Info 5 0 R"
	}
	fmt.Fprintf(&w.b, "trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n", len(w.offsets)+1, more, at)
	return w.b.Bytes()
}

// pdfString returns s as a literal string in windows-1252.
func pdfString(s string) string {
	var b strings.Builder
	b.WriteByte('(')
	for _, r := range s {
		c, ok := charmap.Windows1252.EncodeRune(r)
		if !ok {
			c = '?'
		}
		switch {
		case c == '(' || c == ')' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ':
			b.WriteByte(' ')
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte(')')
	return b.String()
}

// pdfText returns s as a text string outside a page, in UTF-16 (PDF 1.4 §3.8.1).
func pdfText(s string) string {
	var b strings.Builder
	b.WriteString("<FEFF")
	for _, u := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, "%04X", u)
	}
	b.WriteByte('>')
	return b.String()
}

// noise returns n bytes that look random and depend on the seed alone.
func noise(seed string, n int) []byte {
	var key [32]byte
	copy(key[:], seed)
	b := make([]byte, n)
	rand.NewChaCha8(key).Read(b)
	return b
}
