package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
)

// Lengths are in thousandths of a point.
const (
	pageWidth  = 595_280 // A4
	pageHeight = 841_890
	margin     = 48_000
	textWidth  = pageWidth - 2*margin
	lowest     = margin + 16_000 // above the footer
	cellPad    = 4_000
)

// Report is a PDF in the making. It is for one goroutine.
type Report struct {
	title         string
	made          time.Time
	regular, bold *pdfFont
	pages         []*reportPage
	y             int // top of what comes next, from the foot of the page
	root          *tag
}

// reportPage is one page: what is drawn, and which element each piece of it belongs to.
type reportPage struct {
	content bytes.Buffer
	marks   []*tag // by marked-content id
}

// tag is an element of the structure tree.
type tag struct {
	kind   string // standard structure type: Document, H1, P, Table, TR, TH, TD…
	attr   string
	kids   []any // *tag or mark
	object int
}

// mark is a piece of a page that belongs to an element.
type mark struct{ page, id int }

// New begins a report. made is the date that its metadata carry: the same calls make the
// same bytes.
func New(title string, made time.Time) (*Report, error) {
	r := &Report{title: title, made: made, root: &tag{kind: "Document"}}
	var err error
	if r.regular, err = newPDFFont("R", goregular.TTF); err != nil {
		return nil, err
	}
	if r.bold, err = newPDFFont("B", gobold.TTF); err != nil {
		return nil, err
	}
	r.newPage()
	return r, nil
}

func (r *Report) newPage() {
	r.pages = append(r.pages, &reportPage{})
	r.y = pageHeight - margin
}

func (r *Report) page() *reportPage { return r.pages[len(r.pages)-1] }

func (t *tag) add(kind string) *tag {
	k := &tag{kind: kind}
	t.kids = append(t.kids, k)
	return k
}

// pt writes thousandths of a point as a number of PDF.
func pt(n int) string { return fmt.Sprintf("%d.%03d", n/1000, n%1000) }

// text draws lines of one element on this page, the first one with its top at y.
func (r *Report) text(t *tag, f *pdfFont, size int, x, y, leading int, lines []string) {
	p := r.page()
	t.kids = append(t.kids, mark{len(r.pages) - 1, len(p.marks)})
	fmt.Fprintf(&p.content, "/%s << /MCID %d >> BDC\n", t.kind, len(p.marks))
	p.marks = append(p.marks, t)
	r.lines(f, size, x, y, leading, lines)
	p.content.WriteString("EMC\n")
}

func (r *Report) lines(f *pdfFont, size, x, y, leading int, lines []string) {
	p := r.page()
	for i, l := range lines {
		if i < len(lines)-1 {
			l += " " // so that lines do not run together when they are read aloud
		}
		fmt.Fprintf(&p.content, "BT /%s %d Tf 1 0 0 1 %s %s Tm %s Tj ET\n", f.name, size, pt(x), pt(y-size*1000-i*leading), f.encode(l))
	}
}

// block writes a text over the whole width, on as many pages as it takes.
func (r *Report) block(kind string, f *pdfFont, size, before int, s string) {
	lines := f.wrap(s, size, textWidth)
	leading := size * 1350
	r.y -= before
	t := r.root.add(kind)
	if kind != "P" && r.y-leading*(len(lines)+3) < lowest { // a heading stays with what follows
		r.newPage()
	}
	for len(lines) > 0 {
		if r.y-leading < lowest {
			r.newPage()
		}
		n := min(len(lines), (r.y-lowest)/leading)
		r.text(t, f, size, margin, r.y, leading, lines[:n])
		r.y -= n * leading
		lines = lines[n:]
	}
}

// Heading writes a heading of level 1, 2 or 3.
func (r *Report) Heading(level int, s string) {
	size := []int{20, 14, 11}[level-1]
	r.block(fmt.Sprintf("H%d", level), r.bold, size, []int{0, 16_000, 10_000}[level-1], s)
}

// Paragraph writes a paragraph, on as many pages as it takes.
func (r *Report) Paragraph(s string) { r.block("P", r.regular, 10, 5_000, s) }

// Table writes a table whose columns have these shares of the width. The first row is
// the header; rowHeads makes the first cell of each row a header, too. A row stays on
// one page, and the header is drawn again on each.
func (r *Report) Table(shares []int, rowHeads bool, head []string, rows [][]string) {
	const size = 8
	total := 0
	for _, s := range shares {
		total += s
	}
	widths := make([]int, len(shares))
	for i, s := range shares {
		widths[i] = textWidth * s / total
	}
	r.y -= 6_000
	table := r.root.add("Table")
	thead := table.add("THead")
	tbody := table.add("TBody")
	top := r.row(nil, widths, size, false, head, true) // measured only
	if r.y-top-3*size*1350 < lowest {
		r.newPage()
	}
	r.row(thead, widths, size, rowHeads, head, true)
	for _, cells := range rows {
		if r.y-r.row(nil, widths, size, rowHeads, cells, false) < lowest {
			r.newPage()
			r.artifactRow(widths, size, head)
		}
		r.row(tbody, widths, size, rowHeads, cells, false)
	}
}

// row draws a row and returns its height; it only measures when t is nil.
func (r *Report) row(t *tag, widths []int, size int, rowHeads bool, cells []string, head bool) int {
	leading := size * 1300
	most := (pageHeight - 2*margin - 60_000) / leading
	wrapped := make([][]string, len(cells))
	height := 0
	for i, c := range cells {
		wrapped[i] = r.cellFont(head || rowHeads && i == 0).wrap(c, size, widths[i]-2*cellPad)
		if len(wrapped[i]) > most {
			wrapped[i] = append(wrapped[i][:most-1], "…")
		}
		height = max(height, len(wrapped[i])*leading+2*cellPad)
	}
	if t == nil {
		return height
	}
	tr := t.add("TR")
	r.frame(widths, height, head)
	x := margin
	for i := range cells {
		cell, f := tr.add("TD"), r.cellFont(head || rowHeads && i == 0)
		switch {
		case head:
			cell.kind, cell.attr = "TH", "<< /O /Table /Scope /Column >>"
		case rowHeads && i == 0:
			cell.kind, cell.attr = "TH", "<< /O /Table /Scope /Row >>"
		}
		r.text(cell, f, size, x+cellPad, r.y-cellPad+size*150, leading, wrapped[i])
		x += widths[i]
	}
	r.y -= height
	return height
}

func (r *Report) cellFont(head bool) *pdfFont {
	if head {
		return r.bold
	}
	return r.regular
}

// frame draws the lines of a row, which nobody needs to hear.
func (r *Report) frame(widths []int, height int, head bool) {
	c := &r.page().content
	c.WriteString("/Artifact BMC\nq 0.5 w 0.6 G\n")
	x := margin
	for _, w := range widths {
		if head {
			fmt.Fprintf(c, "0.92 g %s %s %s %s re f\n", pt(x), pt(r.y-height), pt(w), pt(height))
		}
		fmt.Fprintf(c, "%s %s %s %s re S\n", pt(x), pt(r.y-height), pt(w), pt(height))
		x += w
	}
	c.WriteString("Q\nEMC\n")
}

// artifactRow draws the header again for the eye.
func (r *Report) artifactRow(widths []int, size int, head []string) {
	height := r.row(nil, widths, size, false, head, true)
	r.frame(widths, height, true)
	c := &r.page().content
	c.WriteString("/Artifact BMC\n")
	x := margin
	for i, s := range head {
		r.lines(r.bold, size, x+cellPad, r.y-cellPad+size*150, size*1300, r.bold.wrap(s, size, widths[i]-2*cellPad))
		x += widths[i]
	}
	c.WriteString("EMC\n")
	r.y -= height
}

// Bytes returns the PDF: the same bytes for the same calls.
func (r *Report) Bytes() []byte {
	for i, p := range r.pages {
		p.content.WriteString("/Artifact << /Type /Pagination /Subtype /Footer >> BDC\n")
		current := r.pages
		r.pages = r.pages[:i+1]
		r.lines(r.regular, 8, margin, margin-6_000, 0, []string{fmt.Sprintf("%s, page %d sur %d", r.title, i+1, len(current))})
		r.pages = current
		p.content.WriteString("EMC\n")
	}
	w := &pdfObjects{}
	catalog, pages, tree, parents := w.reserve(), w.reserve(), w.reserve(), w.reserve()
	fonts := fmt.Sprintf("<< /R %d 0 R /B %d 0 R >>", r.regular.objects(w), r.bold.objects(w))
	numbers := make([]int, len(r.pages))
	var kids strings.Builder
	for i, p := range r.pages {
		content := w.stream("", p.content.Bytes())
		numbers[i] = w.add(fmt.Sprintf("<< /Type /Page /Parent %d 0 R /MediaBox [0 0 %s %s] /Resources << /Font %s >> /Contents %d 0 R /StructParents %d /Tabs /S >>",
			pages, pt(pageWidth), pt(pageHeight), fonts, content, i))
		fmt.Fprintf(&kids, "%d 0 R ", numbers[i])
	}
	w.set(pages, fmt.Sprintf("<< /Type /Pages /Count %d /Kids [%s] >>", len(r.pages), strings.TrimSpace(kids.String())))
	r.root.number(w)
	r.root.write(w, tree, numbers)
	w.set(tree, fmt.Sprintf("<< /Type /StructTreeRoot /K %d 0 R /ParentTree %d 0 R /ParentTreeNextKey %d >>", r.root.object, parents, len(r.pages)))
	var nums strings.Builder
	for i, p := range r.pages {
		fmt.Fprintf(&nums, "%d [", i)
		for _, t := range p.marks {
			fmt.Fprintf(&nums, "%d 0 R ", t.object)
		}
		nums.WriteString("] ")
	}
	w.set(parents, "<< /Nums ["+nums.String()+"] >>")
	at := r.made.UTC()
	xmp := fmt.Sprintf(xmpPacket, xmlText(r.title), at.Format(time.RFC3339))
	metadata := w.add(fmt.Sprintf("<< /Type /Metadata /Subtype /XML /Length %d >>\nstream\n%s\nendstream", len(xmp), xmp))
	info := w.add(fmt.Sprintf("<< /Title %s /Creator (Greffe) /CreationDate (D:%s) >>", utf16Text(r.title), at.Format("20060102150405")+"+00'00'"))
	w.set(catalog, fmt.Sprintf("<< /Type /Catalog /Pages %d 0 R /Lang (fr-FR) /MarkInfo << /Marked true >> /StructTreeRoot %d 0 R /Metadata %d 0 R /ViewerPreferences << /DisplayDocTitle true >> >>",
		pages, tree, metadata))

	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	offsets := make([]int, len(w.list))
	for i, o := range w.list {
		offsets[i] = b.Len()
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(w.list)+1)
	for _, o := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	sum := sha256.Sum256(b.Bytes())
	id := hex.EncodeToString(sum[:16])
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root %d 0 R /Info %d 0 R /ID [<%s> <%s>] >>\nstartxref\n%d\n%%%%EOF\n", len(w.list)+1, catalog, info, id, id, start)
	return b.Bytes()
}

// number gives the elements their objects.
func (t *tag) number(w *pdfObjects) {
	t.object = w.reserve()
	for _, k := range t.kids {
		if k, ok := k.(*tag); ok {
			k.number(w)
		}
	}
}

// write writes the elements.
func (t *tag) write(w *pdfObjects, parent int, pages []int) {
	var kids strings.Builder
	for _, k := range t.kids {
		switch k := k.(type) {
		case *tag:
			fmt.Fprintf(&kids, "%d 0 R ", k.object)
			k.write(w, t.object, pages)
		case mark:
			fmt.Fprintf(&kids, "<< /Type /MCR /Pg %d 0 R /MCID %d >> ", pages[k.page], k.id)
		}
	}
	attr := ""
	if t.attr != "" {
		attr = " /A " + t.attr
	}
	w.set(t.object, fmt.Sprintf("<< /Type /StructElem /S /%s /P %d 0 R%s /K [%s] >>", t.kind, parent, attr, strings.TrimSpace(kids.String())))
}

// utf16Text writes a text string (ISO 32000-1 §7.9.2.2).
func utf16Text(s string) string {
	var b strings.Builder
	b.WriteString("<FEFF")
	for _, u := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, "%04X", u)
	}
	return b.String() + ">"
}

var xmlEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

func xmlText(s string) string { return xmlEscapes.Replace(s) }

const xmpPacket = `<?xpacket begin="` + "\ufeff" + `" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/">
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">%s</rdf:li></rdf:Alt></dc:title><dc:language><rdf:Bag><rdf:li>fr-FR</rdf:li></rdf:Bag></dc:language><xmp:CreateDate>%s</xmp:CreateDate><xmp:CreatorTool>Greffe</xmp:CreatorTool>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>`
