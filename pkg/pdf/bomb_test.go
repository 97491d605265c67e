package pdf_test

import (
	"bytes"
	"encoding/ascii85"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pdfcpu/pdfcpu/pkg/filter"

	"greffe/pkg/pdf"
)

// bombs are files that ask for more than they are worth. Some once brought pdfcpu,
// or a reader around it, to its knees; the others try each place where a reader
// follows, unpacks or allocates what a file says.
func bombs() map[string][]byte {
	one := bomb(100 << 20)
	xmp := func(filters string, data []byte) []byte {
		return onePage("/Metadata 4 0 R", "", stream("/Type/Metadata/Subtype/XML/Filter"+filters, data))
	}
	file := func(filters string, data []byte) []byte { return attached("a.bin", "/Filter"+filters, data) }
	return map[string][]byte{
		"cross-reference stream":         xrefBomb(one),
		"metadata":                       xmp("/FlateDecode", one),
		"metadata, twice":                xmp("[/FlateDecode/FlateDecode]", deflate(one)),
		"metadata, LZW":                  xmp("/LZWDecode", lzwBomb()),
		"metadata, LZW in ASCII85":       xmp("[/ASCII85Decode/LZWDecode]", a85(lzwBomb())),
		"metadata, run lengths":          xmp("[/FlateDecode/RunLengthDecode]", deflate(bytes.Repeat([]byte{129, 'x'}, 8<<20))),
		"metadata, a thousand filters":   xmp("["+strings.Repeat("/FlateDecode", 1000)+"]", one),
		"embedded file":                  file("/FlateDecode", one),
		"embedded PDF":                   file("/FlateDecode", deflate(append([]byte("%PDF-1.7\n"), make([]byte, 70<<20)...))),
		"embedded PDFs":                  quine(),
		"object stream":                  onePage("", "", stream("/Type/ObjStm/N 1/First 10/Filter/FlateDecode", one)),
		"object stream in use":           streamBomb(one),
		"object stream of many":          onePage("", "", stream("/Type/ObjStm/N 100000000/First 1000000000/Filter/FlateDecode", one)),
		"content":                        onePage("", "/Contents 4 0 R", stream("/Filter/FlateDecode", one)),
		"predictor":                      predictorBomb(),
		"picture, JBIG2":                 onePage("", "/Resources<</XObject<</I 4 0 R>>>>", stream("/Type/XObject/Subtype/Image/Width 2000000000/Height 2000000000/BitsPerComponent 1/ColorSpace/DeviceGray/Filter/JBIG2Decode", one[:1000])),
		"picture, JPX":                   onePage("", "/Resources<</XObject<</I 4 0 R>>>>", stream("/Type/XObject/Subtype/Image/Width 2000000000/Height 2000000000/Filter/JPXDecode", one[:1000])),
		"nested arrays":                  onePage("/X "+strings.Repeat("[", 1<<20), ""),
		"nested dictionaries":            onePage("/X "+strings.Repeat("<</A", 1<<20), ""),
		"nested arrays, closed":          onePage("/X "+strings.Repeat("[", 1<<18)+strings.Repeat("]", 1<<18), ""),
		"nested strings":                 onePage("/X "+strings.Repeat("(", 1<<20)+strings.Repeat(")", 1<<20), ""),
		"huge array":                     onePage("/X ["+strings.Repeat("1 ", 4<<20)+"]", ""),
		"huge array of references":       onePage("/X ["+strings.Repeat("3 0 R ", 1<<20)+"]", ""),
		"huge dictionary":                onePage("/X <<"+manyKeys(200_000)+">>", ""),
		"huge name":                      onePage("/"+strings.Repeat("x", 8<<20)+" 1", ""),
		"huge number":                    onePage("/X "+strings.Repeat("9", 4<<20), ""),
		"page tree of itself":            classic("<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2>>"),
		"page tree that doubles":         doubling("/Pages 2 0 R", "<</Type/Pages/Count 2/Kids[%[1]d 0 R %[1]d 0 R]>>"),
		"deep page tree":                 deepTree(100_000),
		"outlines of themselves":         onePage("/Outlines 4 0 R", "", "<</Type/Outlines/First 5 0 R/Last 5 0 R/Count 1>>", "<</Title(a)/Parent 4 0 R/Next 5 0 R/First 5 0 R/Last 5 0 R>>"),
		"names that double":              doubling("/Pages 2 0 R/Names<</Dests 4 0 R/EmbeddedFiles 4 0 R>>", "<</Kids[%[1]d 0 R %[1]d 0 R]/Limits[(a)(b)]>>"),
		"fields that double":             doubling("/Pages 2 0 R/AcroForm<</Fields[4 0 R]>>", "<</T(a)/Kids[%[1]d 0 R %[1]d 0 R]>>"),
		"structure that doubles":         doubling("/Pages 2 0 R/StructTreeRoot<</Type/StructTreeRoot/K 4 0 R>>", "<</Type/StructElem/S/P/K[%[1]d 0 R %[1]d 0 R]>>"),
		"actions that double":            doubling("/Pages 2 0 R/OpenAction 4 0 R", "<</S/GoTo/D[3 0 R/Fit]/Next[%[1]d 0 R %[1]d 0 R]>>"),
		"resources that double":          doubling("/Pages 2 0 R/X 4 0 R", "<</Type/XObject/Subtype/Form/BBox[0 0 1 1]/Resources<</XObject<</A %[1]d 0 R/B %[1]d 0 R>>>>/Length 0>>\nstream\n\nendstream"),
		"functions that double":          onePage("", "/Resources<</Shading<</S<</ShadingType 1/ColorSpace/DeviceGray/Function 4 0 R>>>>>>", "<</FunctionType 3/Domain[0 1]/Functions[4 0 R 4 0 R]/Bounds[.5]/Encode[0 1 0 1]>>"),
		"colours of themselves":          onePage("", "/Resources<</ColorSpace<</C 4 0 R>>>>", "[/Indexed 4 0 R 255 (x)]"),
		"absurd size":                    bytes.Replace(onePage("", ""), []byte("/Size 5"), []byte("/Size 2000000000"), 1),
		"absurd size of the stream":      xrefSize("/Size 2000000000/Index[0 2000000000]"),
		"absurd widths":                  xrefSize("/Size 3/W[2000000000 2000000000 2000000000]"),
		"absurd table":                   bytes.Replace(onePage("", ""), []byte("xref\n0 5"), []byte("xref\n0 2000000000"), 1),
		"absurd length":                  onePage("", "", "<</Length 2000000000>>\nstream\nx\nendstream"),
		"length of itself":               onePage("", "", "<</Length 4 0 R>>\nstream\nx\nendstream"),
		"reference to itself":            onePage("/X 4 0 R", "", "4 0 R"),
		"tables in a ring":               ring(),
		"a long chain of tables":         chain(20_000),
		"encryption of itself":           bytes.Replace(onePage("", "", "<</Filter 4 0 R/V 4 0 R/Length 4 0 R/O 4 0 R>>"), []byte("trailer\n<<"), []byte("trailer\n<</Encrypt 4 0 R"), 1),
		"a million objects, no table":    noTable(1_000_000, "%d 0 obj\n<<>>\nendobj\n"),
		"a million headers of objects":   noTable(1_000_000, "%d 0 obj\n"),
		"a million streams without end":  noTable(500_000, "%d 0 obj<<>>\nstream\n"),
		"a million references to a file": onePage("/X ["+strings.Repeat("4 0 R ", 200_000)+"]", "", "<</Type/Filespec/F(a)/EF<</F 5 0 R>>>>", stream("/Type/EmbeddedFile/Filter/LZWDecode", lzwBomb())),
		"blanks":                         append([]byte("%PDF-1.7\n"), bytes.Repeat([]byte{' '}, 30<<20)...),
		"comments":                       append([]byte("%PDF-1.7\n"), bytes.Repeat([]byte("%\n"), 8<<20)...),
		"marks of the end":               append([]byte("%PDF-1.7\n"), bytes.Repeat([]byte("startxref\n0\n%%EOF\n"), 1<<20)...),
		"streams in streams":             append([]byte("%PDF-1.7\n"), bytes.Repeat([]byte(">>stream\n"), 2<<20)...),
	}
}

func a85(data []byte) []byte {
	b := make([]byte, ascii85.MaxEncodedLen(len(data)))
	return append(b[:ascii85.Encode(b, data)], "~>"...)
}

// lzwBomb is 80 MiB of zeros.
func lzwBomb() []byte {
	f, err := filter.NewFilter(filter.LZW, nil)
	if err != nil {
		panic(err)
	}
	r, err := f.Encode(bytes.NewReader(make([]byte, 80<<20)))
	if err != nil {
		panic(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		panic(err)
	}
	return b
}

// predictorBomb asks for rows of 2 GB.
func predictorBomb() []byte {
	return bytes.Replace(xrefBomb(deflate(make([]byte, 1000))), []byte("/Filter"),
		[]byte("/DecodeParms<</Predictor 12/Columns 2000000000/Colors 4/BitsPerComponent 16>>/Filter"), 1)
}

func xrefSize(dict string) []byte {
	return bytes.Replace(xrefBomb(deflate(make([]byte, 1000))), []byte("/Size 100/W[1 4 1]"), []byte(dict+"/W[1 4 1]"), 1)
}

// quine is a file that embeds a file that embeds a file, each ten times.
func quine() []byte {
	file := onePage("", "", stream("", make([]byte, 1<<20)))
	for range 4 {
		more := []string{stream("/Type/EmbeddedFile/Filter/FlateDecode", deflate(file))}
		for range 10 {
			more = append(more, "<</Type/Filespec/F(a.pdf)/EF<</F 4 0 R>>>>")
		}
		file = onePage("", "", more...)
	}
	return file
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "/K%d %d", i, i)
	}
	return b.String()
}

// doubling has objects from 4 on that each refer twice to the next: 2^60 ways.
func doubling(catalog, node string) []byte {
	objects := []string{"<</Type/Catalog" + catalog + ">>", pagesObj, fmt.Sprintf(pageObj, "")}
	if strings.Contains(node, "/Type/Pages") {
		objects = objects[:1]
	}
	for range 60 {
		objects = append(objects, fmt.Sprintf(node, len(objects)+2))
	}
	return classic(append(objects, "<<>>")...)
}

func deepTree(n int) []byte {
	objects := make([]string, 0, n+2)
	objects = append(objects, fmt.Sprintf(catalogObj, ""))
	for i := range n {
		objects = append(objects, fmt.Sprintf("<</Type/Pages/Count 1/Kids[%d 0 R]>>", i+3))
	}
	return classic(append(objects, fmt.Sprintf(pageObj, ""))...)
}

func ring() []byte {
	file := onePage("", "")
	at := bytes.LastIndex(file, []byte("xref\n0"))
	return bytes.Replace(file, []byte("trailer\n<<"), fmt.Appendf(nil, "trailer\n<</Prev %d", at), 1)
}

func chain(n int) []byte {
	file := onePage("", "")
	b := bytes.NewBuffer(file)
	prev := bytes.LastIndex(file, []byte("xref\n0"))
	for range n {
		at := b.Len()
		fmt.Fprintf(b, "xref\n0 0\ntrailer\n<</Size 5/Root 1 0 R/Prev %d>>\nstartxref\n%d\n%%%%EOF\n", prev, at)
		prev = at
	}
	return b.Bytes()
}

func noTable(n int, object string) []byte {
	b := bytes.NewBufferString("%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj" + pagesObj + "endobj\n3 0 obj" + fmt.Sprintf(pageObj, "") + "endobj\n")
	for i := range n {
		fmt.Fprintf(b, object, i+4)
	}
	b.WriteString("trailer\n<</Root 1 0 R>>\nstartxref\n0\n%%EOF\n")
	return b.Bytes()
}

// TestABombIsAFindingAndTheNextFilePasses: whatever a file asks for, it is answered
// in bounded time and memory, and the file after it is read as if nothing had been.
// It is not parallel, so that every child is its own.
func TestABombIsAFindingAndTheNextFilePasses(t *testing.T) {
	const timeout = 2 * time.Second
	const memory = memoryFactor * 256 << 20
	c := checker(t, pdf.Config{Workers: 1, Timeout: timeout, Memory: memory})
	peak := watchChildren(t)
	for name, file := range bombs() {
		if memoryFactor > 1 && len(file) > 1<<20 {
			continue // the race detector makes these ten times as slow, and finds no more in them
		}
		began := time.Now()
		r, got := check(t, c, file)
		took := time.Since(began)
		t.Logf("%-32s %9d bytes, %6v, %v, %+v", name, len(file), took.Round(time.Millisecond), got, r)
		if took > 15*timeout { // of which it may work for one
			t.Errorf("%s took %v", name, took)
		}
		if r, got := check(t, c, letter()); r.Pages != 2 || got != nil {
			t.Fatalf("after %s the letter is %+v %v", name, r, got)
		}
	}
	// The limit counts what a program writes; its text comes on top.
	if held := peak(); held == 0 || held > memory+64<<20 {
		t.Errorf("a child held %d MiB", held>>20)
	} else {
		t.Logf("the largest child held %d MiB", held>>20)
	}
}

// watchChildren looks at the children of this process until it is asked how many
// bytes the largest of them ever held.
func watchChildren(t *testing.T) (peak func() int64) {
	stop, done := make(chan bool), make(chan bool)
	var most int64
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			lists, _ := filepath.Glob("/proc/self/task/*/children")
			for _, list := range lists {
				pids, _ := os.ReadFile(list)
				for _, pid := range strings.Fields(string(pids)) {
					status, _ := os.ReadFile("/proc/" + pid + "/status")
					if !strings.HasPrefix(string(status), "Name:\texe\n") {
						continue // not yet a child: a copy of ourselves
					}
					_, rest, _ := strings.Cut(string(status), "VmHWM:")
					if fields := strings.Fields(rest); len(fields) > 0 {
						kb, _ := strconv.ParseInt(fields[0], 10, 64)
						most = max(most, kb<<10)
					}
				}
			}
		}
	}()
	return func() int64 {
		close(stop)
		<-done
		return most
	}
}
