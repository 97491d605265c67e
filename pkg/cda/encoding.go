package cda

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// charsets are the 8-bit character sets met in French hospital files. ISO-8859-1 is read
// as windows-1252, which only differs where ISO-8859-1 has control characters that XML
// text never means.
var charsets = map[string]*charmap.Charmap{
	"iso-8859-1": charmap.Windows1252, "iso8859-1": charmap.Windows1252, "iso_8859-1": charmap.Windows1252,
	"latin1": charmap.Windows1252, "latin-1": charmap.Windows1252, "l1": charmap.Windows1252,
	"windows-1252": charmap.Windows1252, "cp1252": charmap.Windows1252, "cp-1252": charmap.Windows1252, "ansi": charmap.Windows1252,
	"iso-8859-15": charmap.ISO8859_15, "iso8859-15": charmap.ISO8859_15, "iso_8859-15": charmap.ISO8859_15,
	"latin9": charmap.ISO8859_15, "latin-9": charmap.ISO8859_15,
	"ibm850": charmap.CodePage850, "cp850": charmap.CodePage850, "macintosh": charmap.Macintosh,
}

var declaredEncoding = regexp.MustCompile(`^\s*<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']`)

const headSize = 1024 // bytes that the encoding is told from

// decoder gives the bytes of a reader in UTF-8, without a BOM. The encoding comes from the
// BOM, else from the look of the first bytes, else from the XML declaration (XML 1.0,
// appendix F). Declarations are often wrong, so 8-bit text is read character by character:
// what is UTF-8 as UTF-8, what is not by a table of one byte each.
type decoder struct {
	r     io.Reader
	table *charmap.Charmap // for bytes that are not UTF-8; nil for UTF-16, which is converted below
	utf8  bool             // declared or taken to be UTF-8
	wide  bool             // UTF-16

	declared string // name in the XML declaration, lower-case; "" when there is none
	wrong    bool   // bytes were met that are not in the encoding that was declared

	head    [headSize]byte
	pending []byte  // to give before anything is read: raw bytes of the head, or the rest of a character
	tail    [4]byte // under pending
	out     []byte  // converted, to give
	space   []byte  // under out
	err     error   // of r, once everything before it was given
}

func (d *decoder) reset(r io.Reader) { *d = decoder{r: r, space: d.space[:0]} }

// start tells the encoding. Its error is that of r or a *SyntaxError.
func (d *decoder) start() error {
	n, err := io.ReadFull(d.r, d.head[:])
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	head := d.head[:n]
	d.pending, d.err = head, err
	if m := declaredEncoding.FindSubmatch(head); m != nil {
		d.declared = strings.ToLower(string(m[1]))
	}
	utf16 := func(order unicode.Endianness) error {
		src := &decoder{r: d.r, pending: head, err: err}
		d.r = transform.NewReader(readerFunc(src.raw), unicode.UTF16(order, unicode.UseBOM).NewDecoder())
		d.pending, d.err, d.wide = nil, nil, true
		return nil
	}
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe\x00\x00")), bytes.HasPrefix(head, []byte("\x00\x00\xfe\xff")),
		bytes.HasPrefix(head, []byte("<\x00\x00\x00")), bytes.HasPrefix(head, []byte("\x00\x00\x00<")):
		return d.refuse("utf-32")
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		d.pending = head[3:]
		if m := declaredEncoding.FindSubmatch(d.pending); m != nil {
			d.declared = strings.ToLower(string(m[1]))
		}
		d.table, d.utf8 = charmap.Windows1252, true
		d.wrong = d.declared != "" && !isUTF8(d.declared)
		return nil
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("<\x00")):
		return utf16(unicode.LittleEndian)
	case bytes.HasPrefix(head, []byte("\xfe\xff")), bytes.HasPrefix(head, []byte("\x00<")):
		return utf16(unicode.BigEndian)
	}
	d.table, d.utf8 = charmap.Windows1252, true
	switch {
	case d.declared == "", isUTF8(d.declared):
	case strings.HasPrefix(d.declared, "utf-16"), strings.HasPrefix(d.declared, "ucs-2"), d.declared == "unicode":
		d.wrong = true // UTF-16 that reads as ASCII: the bytes are right
	default:
		table, ok := charsets[d.declared]
		if !ok {
			return d.refuse(d.declared)
		}
		d.table, d.utf8 = table, false
	}
	return nil
}

func isUTF8(name string) bool {
	switch name {
	case "utf-8", "utf8", "us-ascii", "ascii":
		return true
	}
	return false
}

func (d *decoder) refuse(name string) error {
	d.pending, d.r, d.err = nil, nil, io.EOF
	return &SyntaxError{Rule: RuleEncoding, Reason: name}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// raw gives the bytes as they are.
func (d *decoder) raw(p []byte) (int, error) {
	if len(d.pending) > 0 {
		n := copy(p, d.pending)
		d.pending = d.pending[n:]
		return n, nil
	}
	if d.err != nil {
		return 0, d.err
	}
	n, err := d.r.Read(p)
	if err != nil {
		d.err = err
	}
	if n > 0 {
		err = nil
	}
	return n, err
}

// Read implements io.Reader.
func (d *decoder) Read(p []byte) (int, error) {
	if len(d.out) > 0 {
		n := copy(p, d.out)
		d.out = d.out[n:]
		return n, nil
	}
	if d.wide {
		return d.raw(p)
	}
	if len(p) < 2*utf8.UTFMax {
		var small [64]byte
		n, err := d.Read(small[:])
		d.out = append(append([]byte(nil), small[:n]...), d.out...)
		n = copy(p, d.out)
		d.out = d.out[n:]
		return n, err
	}
	n, err := d.raw(p)
	for n > 0 && n < utf8.UTFMax && err == nil && !utf8.Valid(p[:n]) {
		var more int // a character may still come: not enough to tell
		more, err = d.raw(p[n:])
		if n += more; more == 0 && err == nil {
			err = io.ErrNoProgress
		}
	}
	if n == 0 {
		return 0, err
	}
	b := p[:n]
	if err == nil {
		// The rest of a character comes with the next bytes.
		if k := cutRune(b); k > 0 && k < n {
			rest := copy(d.tail[:], b[k:])
			d.pending = append(d.tail[:rest:rest], d.pending...)
			b = b[:k]
		}
	} else if !errors.Is(err, io.EOF) {
		return 0, err
	}
	if utf8.Valid(b) && (d.utf8 || !highBytes(b)) {
		return len(b), nil
	}
	d.out = d.convert(d.space[:0], b)
	d.space = d.out[:0]
	n = copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

// convert appends b in UTF-8.
func (d *decoder) convert(out, b []byte) []byte {
	for len(b) > 0 {
		if b[0] < utf8.RuneSelf {
			out = append(out, b[0])
			b = b[1:]
			continue
		}
		r, size := utf8.DecodeRune(b)
		isUTF8 := r != utf8.RuneError || size > 1
		switch {
		case d.utf8 && isUTF8, isUTF8 && french(r):
			d.wrong = d.wrong || !d.utf8
			out = append(out, b[:size]...)
		default:
			d.wrong = d.wrong || d.utf8
			size = 1
			out = utf8.AppendRune(out, d.table.DecodeByte(b[0]))
		}
		b = b[size:]
	}
	return out
}

// french reports whether a character is one that French text is written with beyond ASCII.
// Its bytes in UTF-8 begin with 0xC2, 0xC3, 0xC5 or 0xE2, which as 8-bit text are Â, Ã, Å
// and â before a sign: no word of French has that.
func french(r rune) bool {
	return r >= 0xA0 && r <= 0xFF || r == 'œ' || r == 'Œ' || r == 'Ÿ' || r == '€' || r >= 0x2010 && r <= 0x2026
}

func highBytes(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return true
		}
	}
	return false
}
