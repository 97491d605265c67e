package cda

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// encodings are the 8-bit character sets met in French hospital files.
// ISO-8859-1 is read as windows-1252, which only differs where ISO-8859-1 has
// control characters that XML text never means.
var encodings = map[string]encoding.Encoding{
	"iso-8859-1": charmap.Windows1252, "iso8859-1": charmap.Windows1252, "latin1": charmap.Windows1252,
	"windows-1252": charmap.Windows1252, "cp1252": charmap.Windows1252,
	"iso-8859-15": charmap.ISO8859_15, "iso8859-15": charmap.ISO8859_15, "latin9": charmap.ISO8859_15,
}

var declaredEncoding = regexp.MustCompile(`^\s*<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']`)

// decode returns a reader of r in UTF-8, without a BOM. The encoding comes from the
// BOM, else from the look of the first bytes, else from the XML declaration
// (XML 1.0, appendix F).
func decode(r io.Reader) (io.Reader, error) {
	head := make([]byte, 1024)
	n, err := io.ReadFull(r, head)
	head = head[:n]
	switch {
	case err == nil:
		r = io.MultiReader(bytes.NewReader(head), r)
	case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
		r = bytes.NewReader(head)
	default:
		r = io.MultiReader(bytes.NewReader(head), failed{err})
	}
	utf16 := func(order unicode.Endianness) (io.Reader, error) {
		return transform.NewReader(r, unicode.UTF16(order, unicode.UseBOM).NewDecoder()), nil
	}
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		_, err := io.CopyN(io.Discard, r, 3)
		return r, err
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("<\x00")):
		return utf16(unicode.LittleEndian)
	case bytes.HasPrefix(head, []byte("\xfe\xff")), bytes.HasPrefix(head, []byte("\x00<")):
		return utf16(unicode.BigEndian)
	}
	m := declaredEncoding.FindSubmatch(head)
	if m == nil {
		return r, nil
	}
	name := strings.ToLower(string(m[1]))
	switch enc, ok := encodings[name]; {
	case ok:
		return transform.NewReader(r, enc.NewDecoder()), nil
	case name == "utf-8", name == "utf8", name == "us-ascii", name == "ascii", strings.HasPrefix(name, "utf-16"):
		// UTF-16 that reads as ASCII is a wrong declaration: the bytes are right.
		return r, nil
	}
	return bytes.NewReader(nil), &SyntaxError{Rule: RuleEncoding, Reason: name}
}

// failed is what is left of a reader that returned err.
type failed struct{ err error }

// Read implements io.Reader.
func (f failed) Read([]byte) (int, error) { return 0, f.err }
