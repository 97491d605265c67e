package cda

import (
	"bytes"
	"errors"
	"io"
	"strings"
)

// maxValues bounds the files that one document may carry. The official examples
// carry 6 at most.
const maxValues = 1000

// Embedded calls f for every value of r written in base64 (an element with
// representation="B64": the PDF of level 1, the images and PDFs of level 3), in
// document order, n counting from 0. mediaType is what the element declares,
// lower-case, "" when it declares none; what the bytes are is for f to find out. The
// reader gives the decoded bytes as they are scanned: nothing is held whole. f may
// leave the rest of a value unread. Empty values are passed over.
//
// Decoding is lenient: characters outside the alphabet are skipped, padding may be
// missing. The same bytes give the same values each time.
//
// It returns the first error of f or of r, or a *SyntaxError when the document is
// not well formed: what f was given before that is complete and stands, a value
// cut by the fault returns the error from its reader.
func Embedded(r io.Reader, f func(n int, mediaType string, r io.Reader) error) error {
	s := NewScanner(r)
	defer s.Close()
	var open []string // per open element: its media type, "\x00" when it is not base64
	n := 0
	kind, err := s.Next()
	for err == nil {
		switch kind {
		case Start:
			if media := "\x00"; s.Attr("representation") != "B64" {
				open = append(open, media)
			} else {
				open = append(open, cleanMediaType(s.Attr("mediaType")))
			}
		case End:
			open = open[:len(open)-1]
		case Text:
			media := open[len(open)-1]
			if media == "\x00" || len(bytes.TrimSpace(s.Text())) == 0 {
				break
			}
			if n == maxValues {
				return s.fail(RuleLimits, "il y a trop de fichiers intégrés")
			}
			v := value{s: s, chunk: s.Text()}
			if err := f(n, media, &v); err != nil {
				return err
			}
			if _, err := io.Copy(io.Discard, &v); err != nil {
				return err
			}
			n++
			kind, err = v.next, nil
			continue
		}
		kind, err = s.Next()
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// cleanMediaType returns a declared media type without parameters, lower-case;
// "" when it is not one.
func cleanMediaType(v string) string {
	v, _, _ = strings.Cut(v, ";")
	v = strings.ToLower(strings.TrimSpace(v))
	if len(v) > 100 || strings.IndexFunc(v, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return ""
	}
	return v
}

// value decodes the text that the scanner stands on, up to the next tag.
type value struct {
	s     *Scanner
	chunk []byte
	dec   base64Decoder
	next  Kind // the token after the value, once it was read
	err   error
}

// Read implements io.Reader.
func (v *value) Read(p []byte) (int, error) {
	if v.dec.spare > 0 || len(p) < 3 {
		return v.readSmall(p)
	}
	n := 0
	for v.err == nil && len(p)-n >= 3 {
		if len(v.chunk) == 0 {
			v.advance()
			if v.err == io.EOF {
				n += v.dec.flush(p[n:])
			}
			continue
		}
		nd, ns := v.dec.decode(p[n:], v.chunk)
		n += nd
		v.chunk = v.chunk[ns:]
	}
	if n > 0 {
		return n, nil
	}
	return 0, v.err
}

// advance takes the next chunk of text.
func (v *value) advance() {
	kind, err := v.s.Next()
	switch {
	case errors.Is(err, io.EOF): // cannot be: the element is still open
		v.err = io.ErrUnexpectedEOF
	case err != nil:
		v.err = err
	case kind == Text:
		v.chunk = v.s.Text()
	default:
		v.next, v.err = kind, io.EOF
	}
}

// readSmall serves a caller that asks for less than one group of three bytes, and
// what is left of the group afterwards.
func (v *value) readSmall(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if v.dec.spare == 0 {
		n, err := v.Read(v.dec.small[:])
		if n == 0 {
			return 0, err
		}
		v.dec.from, v.dec.spare = 0, n
	}
	n := copy(p, v.dec.small[v.dec.from:v.dec.from+v.dec.spare])
	v.dec.from += n
	v.dec.spare -= n
	return n, nil
}

// base64Decoder turns base64 text into bytes, group by group.
type base64Decoder struct {
	bits uint32
	n    int // characters of the open group

	small       [3]byte // for readSmall
	from, spare int
}

// code gives the 6 bits of each character; 0xFE for padding, 0xFF for what is skipped.
var code = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xFF
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range len(alphabet) {
		t[alphabet[i]] = byte(i)
	}
	t['-'], t['_'], t['='] = 62, 63, 0xFE // RFC 4648 §5
	return t
}()

// decode decodes src into dst, which has room for three bytes or more, and
// returns how many bytes it wrote and how many it took.
func (d *base64Decoder) decode(dst, src []byte) (nd, ns int) {
	for ns < len(src) && len(dst)-nd >= 3 {
		if d.n == 0 {
			for len(src)-ns >= 4 && len(dst)-nd >= 3 {
				g := src[ns : ns+4 : ns+4]
				a, b, c, e := code[g[0]], code[g[1]], code[g[2]], code[g[3]]
				if a|b|c|e >= 64 {
					break
				}
				out := dst[nd : nd+3 : nd+3]
				out[0], out[1], out[2] = a<<2|b>>4, b<<4|c>>2, c<<6|e
				nd += 3
				ns += 4
			}
			if ns == len(src) || len(dst)-nd < 3 {
				return nd, ns
			}
		}
		switch v := code[src[ns]]; {
		case v < 64:
			d.bits = d.bits<<6 | uint32(v)
			if d.n++; d.n == 4 {
				dst[nd], dst[nd+1], dst[nd+2] = byte(d.bits>>16), byte(d.bits>>8), byte(d.bits)
				nd += 3
				d.n, d.bits = 0, 0
			}
		case v == 0xFE:
			nd += d.flush(dst[nd:])
		}
		ns++
	}
	return nd, ns
}

// flush writes the whole bytes of an open group, one or two, and starts a new group.
func (d *base64Decoder) flush(dst []byte) int {
	n := 0
	switch d.n {
	case 2:
		dst[0] = byte(d.bits >> 4)
		n = 1
	case 3:
		dst[0], dst[1] = byte(d.bits>>10), byte(d.bits>>2)
		n = 2
	}
	d.n, d.bits = 0, 0
	return n
}
