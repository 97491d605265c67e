package eml

import (
	"encoding/binary"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"

	"greffe/pkg/greffe"
)

// Attributes of a TNEF stream that are read (MS-OXTNEF §2.1.3.2). Their high half is
// a type, which every writer gives and no reader needs.
const (
	tnefSignature = 0x223E9F78

	attOemCodepage    = 0x9007
	attBody           = 0x800C
	attMsgProps       = 0x9003
	attAttachRendData = 0x9002 // begins an attachment
	attAttachData     = 0x800F
	attAttachTitle    = 0x8010
	attAttachment     = 0x9005
)

// Bounds of one TNEF stream.
const (
	maxAttributes = 10_000
	maxProperties = 10_000
	maxName       = 2000    // bytes of a name, before it is decoded
	maxRTF        = 8 << 20 // bytes that a compressed text may give
	maxBodies     = 8       // texts of one message
)

// tnef is what is known of a TNEF stream: where its pieces stand, not their bytes.
type tnef struct {
	src      io.ReaderAt
	end      int64
	codepage string // charset of 8-bit names and texts
	internet string // charset of the HTML text, where it says so
	bodies   []span // text, HTML, RTF
	files    []tnefFile
	findings []greffe.Finding
	err      error // of src
	many     bool
}

// span is a piece of the stream.
type span struct {
	off, size int64
	media     string
	charset   string
	wide      bool // UTF-16LE, given as UTF-8
}

// tnefFile is one attachment. Names and data come from attributes or, better, from
// MAPI properties.
type tnefFile struct {
	title, long, mime, cid string
	data, object           span // of the attribute, of the property
	hidden                 bool
}

// tnefPieces gives the attachments of a TNEF stream, then the texts of its message.
func tnefPieces(src *io.SectionReader, piece func(n int, l *Leaf, r io.Reader) error) ([]greffe.Finding, error) {
	t := &tnef{src: src, end: src.Size(), codepage: "windows-1252"}
	t.read()
	if t.err != nil {
		return nil, t.err
	}
	n := 0
	for _, f := range t.files {
		s := f.data
		if s.size == 0 {
			s = f.object
		}
		l := &Leaf{Name: f.name(), Declared: strings.ToLower(f.mime), Disposition: "attachment", ContentID: f.cid}
		if l.Declared == "" {
			l.Declared = "application/octet-stream"
		}
		if f.cid != "" && f.hidden {
			l.Disposition, l.InRelated = "inline", true
		}
		if err := piece(n, l, io.NewSectionReader(src, s.off, s.size)); err != nil {
			return t.findings, err
		}
		n++
	}
	for _, s := range t.bodies {
		l := &Leaf{Declared: s.media, Charset: s.charset, InAlternative: true}
		var r io.Reader = io.NewSectionReader(src, s.off, s.size)
		switch {
		case s.media == "application/rtf":
			rtf := newRTF(r)
			if rtf == nil {
				continue // the same in each reading
			}
			r = rtf
		case s.wide:
			r, l.Charset = newWide(r), "utf-8"
		}
		if err := piece(n, l, r); err != nil {
			return t.findings, err
		}
		n++
	}
	return t.findings, nil
}

func (f *tnefFile) name() string {
	if f.long != "" {
		return f.long
	}
	return f.title
}

// read walks the attributes.
func (t *tnef) read() {
	c := &cursor{src: t.src, end: t.end}
	if c.u32() != tnefSignature && c.err == nil {
		t.find(ruleTNEFDamaged)
		return
	}
	c.skip(2) // key
	for n := 0; c.off < c.end && c.err == nil; n++ {
		if n == maxAttributes {
			t.many = true
			break
		}
		level, id, size := c.u8(), c.u32(), int64(c.u32())
		if c.err != nil || level != 1 && level != 2 {
			t.find(ruleTNEFDamaged)
			break
		}
		data := span{off: c.off, size: size}
		if size > c.end-c.off {
			// Cut on the way: what there is of the attachment is given, and said to be cut.
			data.size = c.end - c.off
			t.find(ruleTNEFDamaged)
		}
		t.attribute(id&0xFFFF, data)
		c.skip(size + 2) // and the checksum
	}
	if c.err != nil && c.err != io.ErrUnexpectedEOF {
		t.err = c.err
	} else if c.err != nil {
		t.find(ruleTNEFDamaged)
	}
	if t.many {
		t.findings = append(t.findings, rulePieces.At("", maxPieces))
	}
}

func (t *tnef) find(rule greffe.Rule) {
	for _, f := range t.findings {
		if f.Rule == rule.ID {
			return
		}
	}
	t.findings = append(t.findings, rule.At(""))
}

func (t *tnef) attribute(id uint32, data span) {
	last := func() *tnefFile {
		if len(t.files) == 0 {
			t.files = append(t.files, tnefFile{})
		}
		return &t.files[len(t.files)-1]
	}
	switch id {
	case attOemCodepage:
		if b := t.bytes(data, 4); len(b) == 4 {
			t.codepage = charsetOf(binary.LittleEndian.Uint32(b))
		}
	case attBody:
		if data.size > 0 && len(t.bodies) < maxBodies {
			data.media, data.charset = "text/plain", t.codepage
			t.bodies = append(t.bodies, t.unended(data))
		}
	case attMsgProps:
		t.properties(data, nil)
	case attAttachRendData:
		if len(t.files) == maxPieces {
			t.many = true
			return
		}
		t.files = append(t.files, tnefFile{})
	case attAttachData:
		last().data = data
	case attAttachTitle:
		last().title = t.text(data, false)
	case attAttachment:
		t.properties(data, last())
	}
}

// bytes reads at most limit bytes of s.
func (t *tnef) bytes(s span, limit int64) []byte {
	b := make([]byte, min(s.size, limit))
	if n, err := t.src.ReadAt(b, s.off); n < len(b) {
		if err != nil && err != io.EOF && t.err == nil {
			t.err = err
		}
		return b[:n]
	}
	return b
}

// unended leaves out the zero that ends a text.
func (t *tnef) unended(s span) span {
	unit := int64(1)
	if s.wide {
		unit = 2
	}
	for range 4 { // some writers count the padding
		if s.size < unit {
			break
		}
		end := t.bytes(span{off: s.off + s.size - unit, size: unit}, unit)
		if int64(len(end)) < unit || end[0] != 0 || end[unit-1] != 0 {
			break
		}
		s.size -= unit
	}
	return s
}

// text reads a name.
func (t *tnef) text(s span, wide bool) string {
	b := t.bytes(s, maxName)
	var text string
	if wide {
		units := make([]uint16, len(b)/2)
		for i := range units {
			units[i] = binary.LittleEndian.Uint16(b[2*i:])
		}
		text = string(utf16.Decode(units))
	} else {
		text, _ = decodeCharset(t.codepage, b)
	}
	text, _, _ = strings.Cut(text, "\x00")
	return cut(clean(text), 500)
}

// charsetOf names a Windows code page.
func charsetOf(page uint32) string {
	switch page {
	case 65001:
		return "utf-8"
	case 20127:
		return "us-ascii"
	case 28591:
		return "iso-8859-1"
	case 28605:
		return "iso-8859-15"
	}
	if page >= 1250 && page <= 1258 {
		return "windows-" + strconv.Itoa(int(page))
	}
	return "windows-1252" // what French senders mean
}

// cursor reads a stream forwards. After an error every read gives zero.
type cursor struct {
	src io.ReaderAt
	off int64
	end int64
	err error // io.ErrUnexpectedEOF at the end, else of src
	buf [8]byte
}

func (c *cursor) read(n int64) []byte {
	b := c.buf[:n]
	clear(b)
	if c.err != nil {
		return b
	}
	if n > c.end-c.off {
		c.err, c.off = io.ErrUnexpectedEOF, c.end
		return b
	}
	if k, err := c.src.ReadAt(b, c.off); k < len(b) {
		if c.err = err; err == nil || err == io.EOF {
			c.err = io.ErrUnexpectedEOF
		}
		clear(b)
	}
	c.off += n
	return b
}

func (c *cursor) u8() byte    { return c.read(1)[0] }
func (c *cursor) u16() uint16 { return binary.LittleEndian.Uint16(c.read(2)) }
func (c *cursor) u32() uint32 { return binary.LittleEndian.Uint32(c.read(4)) }

// skip passes over n bytes, which may lie behind the end.
func (c *cursor) skip(n int64) {
	if n > c.end-c.off {
		c.off = c.end
		if c.err == nil {
			c.err = io.ErrUnexpectedEOF
		}
		return
	}
	c.off += n
}
