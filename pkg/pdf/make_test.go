package pdf_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
)

// Objects of a small file of one page. The tests add to them.
const (
	catalogObj = "<</Type/Catalog/Pages 2 0 R%s>>"
	pagesObj   = "<</Type/Pages/Kids[3 0 R]/Count 1>>"
	pageObj    = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<<>>%s>>"
)

// onePage returns a readable file with more entries in its catalog and page, and
// more objects, numbered from 4.
func onePage(catalog, page string, more ...string) []byte {
	if !strings.Contains(page, "/Contents") {
		page += fmt.Sprintf("/Contents %d 0 R", 4+len(more))
		more = append(slices.Clone(more), stream("", []byte("BT /F1 12 Tf 72 700 Td (x) Tj ET")))
	}
	return classic(append([]string{fmt.Sprintf(catalogObj, catalog), pagesObj, fmt.Sprintf(pageObj, page)}, more...)...)
}

// classic writes objects, numbered from 1, with a cross-reference table. The
// first is the catalog.
func classic(objects ...string) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	var offsets []int
	for i, o := range objects {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, at := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", at)
	}
	fmt.Fprintf(&b, "trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, start)
	return b.Bytes()
}

// stream returns a stream object with more entries in its dictionary.
func stream(dict string, data []byte) string {
	return fmt.Sprintf("<<%s/Length %d>>\nstream\n%s\nendstream", dict, len(data), data)
}

func deflate(data []byte) []byte {
	var b bytes.Buffer
	z, _ := zlib.NewWriterLevel(&b, zlib.BestCompression)
	z.Write(data)
	z.Close()
	return b.Bytes()
}

// bomb returns size zero bytes, deflated.
func bomb(size int64) []byte {
	var b bytes.Buffer
	z, _ := zlib.NewWriterLevel(&b, zlib.BestSpeed)
	io.CopyN(z, zeros{}, size)
	z.Close()
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// compressed writes the objects into an object stream behind a cross-reference
// stream, as PDF 1.5 allows.
func compressed(objects ...string) []byte {
	var index, body strings.Builder
	for i, o := range objects {
		fmt.Fprintf(&index, "%d %d ", i+1, body.Len())
		body.WriteString(o + "\n")
	}
	n := len(objects)
	var b bytes.Buffer
	b.WriteString("%PDF-1.5\n%\xe2\xe3\xcf\xd3\n")
	streamAt := b.Len()
	fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", n+1,
		stream(fmt.Sprintf("/Type/ObjStm/N %d/First %d/Filter/FlateDecode", n, index.Len()), deflate([]byte(index.String()+body.String()))))
	xrefAt := b.Len()
	entries := []byte{0, 0, 0, 0, 0, 0xff}
	for i := range n {
		entries = append(entries, 2)
		entries = binary.BigEndian.AppendUint32(entries, uint32(n+1))
		entries = append(entries, byte(i))
	}
	for _, at := range []int{streamAt, xrefAt} {
		entries = append(entries, 1)
		entries = binary.BigEndian.AppendUint32(entries, uint32(at))
		entries = append(entries, 0)
	}
	fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\nstartxref\n%d\n%%%%EOF\n", n+2,
		stream(fmt.Sprintf("/Type/XRef/Size %d/W[1 4 1]/Root 1 0 R/Filter/FlateDecode", n+3), deflate(entries)), xrefAt)
	return b.Bytes()
}

// xrefBomb is a file whose cross-reference stream is the bomb.
func xrefBomb(bomb []byte) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.5\n")
	at := b.Len()
	fmt.Fprintf(&b, "1 0 obj\n%s\nendobj\nstartxref\n%d\n%%%%EOF\n",
		stream("/Type/XRef/Size 100/W[1 4 1]/Root 1 0 R/Filter/FlateDecode", bomb), at)
	return b.Bytes()
}

// letter is an ordinary letter of about 150 KB: two pages, a picture, PDF/A-1B.
func letter() []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	picture := make([]byte, 140<<10)
	for i := range picture {
		picture[i] = byte(rng.Uint32())
	}
	xmp := `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/" rdf:about=""><pdfaid:part>1</pdfaid:part><pdfaid:conformance>B</pdfaid:conformance></rdf:Description></rdf:RDF></x:xmpmeta>`
	text := "BT /F1 12 Tf 72 700 Td (Compte rendu de consultation) Tj ET"
	return classic(
		fmt.Sprintf(catalogObj, "/Metadata 4 0 R"),
		"<</Type/Pages/Kids[3 0 R 8 0 R]/Count 2>>",
		fmt.Sprintf(pageObj, "/Contents 5 0 R/Resources<</XObject<</I 6 0 R>>/Font<</F1 7 0 R>>>>"),
		stream("/Type/Metadata/Subtype/XML", []byte(xmp)),
		stream("/Filter/FlateDecode", deflate([]byte(text))),
		stream("/Type/XObject/Subtype/Image/Width 280/Height 512/BitsPerComponent 8/ColorSpace/DeviceGray", picture),
		"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
		fmt.Sprintf(pageObj, "/Contents 5 0 R/Resources<</Font<</F1 7 0 R>>>>"),
	)
}

// manyPages has n pages with a line of text each.
func manyPages(n int) []byte {
	objects := []string{fmt.Sprintf(catalogObj, ""), ""}
	var kids strings.Builder
	for i := range n {
		fmt.Fprintf(&kids, "%d 0 R ", 3+2*i)
		objects = append(objects, fmt.Sprintf(pageObj, fmt.Sprintf("/Contents %d 0 R", 4+2*i)),
			stream("/Filter/FlateDecode", deflate([]byte("BT /F1 12 Tf 72 700 Td (Compte rendu de consultation) Tj ET"))))
	}
	objects[1] = fmt.Sprintf("<</Type/Pages/Kids[%s]/Count %d>>", kids.String(), n)
	return classic(objects...)
}

// streamBomb is a file whose pages are said to be in an object stream that is
// the bomb.
func streamBomb(bomb []byte) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.5\n")
	bombAt := b.Len()
	fmt.Fprintf(&b, "3 0 obj\n%s\nendobj\n", stream("/Type/ObjStm/N 2/First 10/Filter/FlateDecode", bomb))
	xrefAt := b.Len()
	entries := []byte{0, 0, 0, 0, 0, 0xff, 2, 0, 0, 0, 3, 0, 2, 0, 0, 0, 3, 1}
	for _, at := range []int{bombAt, xrefAt} {
		entries = append(binary.BigEndian.AppendUint32(append(entries, 1), uint32(at)), 0)
	}
	fmt.Fprintf(&b, "4 0 obj\n%s\nendobj\nstartxref\n%d\n%%%%EOF\n",
		stream("/Type/XRef/Size 5/W[1 4 1]/Root 1 0 R/Filter/FlateDecode", deflate(entries)), xrefAt)
	return b.Bytes()
}

// updated appends an update (§7.5.6) that replaces or adds object n.
func updated(file []byte, n int, body string) []byte {
	prev := bytes.LastIndex(file, []byte("xref\n0 "))
	b := bytes.NewBuffer(slices.Clone(file))
	at := b.Len()
	fmt.Fprintf(b, "%d 0 obj\n%s\nendobj\n", n, body)
	start := b.Len()
	fmt.Fprintf(b, "xref\n%d 1\n%010d 00000 n \ntrailer\n<</Size %d/Root 1 0 R/Prev %d>>\nstartxref\n%d\n%%%%EOF\n", n, at, max(n+1, 10), prev, start)
	return b.Bytes()
}

// hybrid writes a file with a table that old readers use and a cross-reference
// stream that adds objects in an object stream (§7.5.8.4). Object 4 is only there.
func hybrid(object4 string) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.5\n")
	var at []int
	for i, o := range []string{fmt.Sprintf(catalogObj, "/OpenAction 4 0 R"), pagesObj, fmt.Sprintf(pageObj, "")} {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	inStream := b.Len()
	index := "4 0 "
	fmt.Fprintf(&b, "5 0 obj\n%s\nendobj\n", stream(fmt.Sprintf("/Type/ObjStm/N 1/First %d/Filter/FlateDecode", len(index)), deflate([]byte(index+object4))))
	xrefStream := b.Len()
	entries := []byte{2, 0, 0, 0, 5, 0}
	fmt.Fprintf(&b, "6 0 obj\n%s\nendobj\n", stream("/Type/XRef/Size 7/Index[4 1]/W[1 4 1]/Root 1 0 R", entries))
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 7\n0000000000 65535 f \n%010d 00000 n \n%010d 00000 n \n%010d 00000 n \n0000000000 00000 f \n%010d 00000 n \n%010d 00000 n \n",
		at[0], at[1], at[2], inStream, xrefStream)
	fmt.Fprintf(&b, "trailer\n<</Size 7/Root 1 0 R/XRefStm %d>>\nstartxref\n%d\n%%%%EOF\n", xrefStream, start)
	return b.Bytes()
}

// linear writes a linearised file (Annex F): the first page and its table come
// first, the rest and its table follow.
func linear() []byte {
	write := func(whole, main, first int) (file []byte, mainAt, firstAt int) {
		var b bytes.Buffer
		b.WriteString("%PDF-1.4\n")
		dict := b.Len()
		fmt.Fprintf(&b, "5 0 obj\n<</Linearized 1/L %08d/H[100 10]/O 3/E 600/N 1/T %08d>>\nendobj\n", whole, main)
		firstAt = b.Len()
		table := bytes.NewBufferString("xref\n3 3\n")
		size := len("xref\n3 3\n") + 3*20 + len(fmt.Sprintf("trailer\n<</Size 6/Root 4 0 R/Prev %08d>>\nstartxref\n0\n%%%%EOF\n", main))
		page := firstAt + size
		pageText := fmt.Sprintf("3 0 obj\n"+pageObj+"\nendobj\n", "/Contents 2 0 R")
		catalogText := "4 0 obj\n<</Type/Catalog/Pages 1 0 R>>\nendobj\n"
		for _, at := range []int{page, page + len(pageText), dict} {
			fmt.Fprintf(table, "%010d 00000 n \n", at)
		}
		fmt.Fprintf(table, "trailer\n<</Size 6/Root 4 0 R/Prev %08d>>\nstartxref\n0\n%%%%EOF\n", main)
		b.Write(table.Bytes())
		b.WriteString(strings.Replace(pageText, "/Parent 2 0 R", "/Parent 1 0 R", 1) + catalogText)
		pages := b.Len()
		b.WriteString("1 0 obj\n" + pagesObj + "\nendobj\n")
		content := b.Len()
		fmt.Fprintf(&b, "2 0 obj\n%s\nendobj\n", stream("", []byte("BT /F1 12 Tf 72 700 Td (x) Tj ET")))
		mainAt = b.Len()
		fmt.Fprintf(&b, "xref\n0 3\n0000000000 65535 f \n%010d 00000 n \n%010d 00000 n \ntrailer\n<</Size 3>>\nstartxref\n%d\n%%%%EOF\n", pages, content, firstAt)
		return b.Bytes(), mainAt, firstAt
	}
	file, main, first := write(0, 0, 0)
	file, _, _ = write(len(file), main, first)
	return file
}

// signed returns a file with a signature that covers it to its end, but for less.
func signed(less int) []byte {
	const shape = "/AcroForm<</Fields[4 0 R]/SigFlags 3>>"
	sig := "<</Type/Sig/Filter/Adobe.PPKLite/SubFilter/adbe.pkcs7.detached/ByteRange[0 00200 00300 %05d]/Contents<00>>>"
	make := func(n int) []byte {
		return onePage(shape, "/Annots[4 0 R]", "<</Type/Annot/Subtype/Widget/FT/Sig/T(s)/V 5 0 R/Rect[0 0 0 0]>>", fmt.Sprintf(sig, n))
	}
	return make(len(make(0)) - 300 - less)
}

// attached is a file that embeds another one, under a name.
func attached(name, dict string, data []byte) []byte {
	return onePage("/Names<</EmbeddedFiles<</Names[(a)4 0 R]>>>>", "",
		fmt.Sprintf("<</Type/Filespec/F(%s)/EF<</F 5 0 R>>>>", name), stream("/Type/EmbeddedFile"+dict, data))
}

// annotated is a file with a link or another annotation on its page.
func annotated(annotation string, more ...string) []byte {
	return onePage("", "/Annots[4 0 R]", append([]string{"<</Type/Annot/Rect[0 0 9 9]" + annotation + ">>"}, more...)...)
}
