package cda

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"greffe/pkg/greffe"
)

// maxValues bounds the files that one document may carry. The official examples
// carry 6 at most.
const maxValues = 1000

// Embedded calls f for every file that the document of r carries in base64: the content of
// each element with representation="B64" (the PDF of level 1, the images and PDFs of level
// 3) and of a nonXMLBody that is no text and forgets to say so, in document order. A value
// gives its bytes as they are scanned: nothing is held whole. f may leave the rest of a
// value unread. Empty values are passed over.
//
// Decoding is lenient: characters outside the alphabet are skipped, padding may be
// missing. The same bytes give the same values each time.
//
// It returns what is to be said of the document that Read does not see, and the first
// error of f or of r, or a *SyntaxError when the document is not well formed: what f was
// given before that is complete and stands, a value cut by the fault returns the error
// from its Read.
func Embedded(r io.Reader, f func(*Value) error) ([]greffe.Finding, error) {
	s := NewScanner(r)
	defer s.Close()
	var findings []greffe.Finding
	var open []*valueTag // per open element; nil when it holds no file
	outside := false
	n := 0
	kind, err := s.Next()
	for err == nil {
		switch kind {
		case Start:
			var tag *valueTag
			if isBase64(s) {
				tag = readTag(s)
			}
			if !outside && s.local == "reference" && refersOutside(s.Attr("value")) {
				outside = true
				findings = append(findings, ruleReference.At(""))
			}
			open = append(open, tag)
		case End:
			open = open[:len(open)-1]
		case Text:
			tag := open[len(open)-1]
			if tag == nil || len(bytes.TrimSpace(s.Text())) == 0 {
				break
			}
			if n == maxValues {
				return findings, s.fail(RuleLimits, "il y a trop de fichiers intégrés")
			}
			v := newValue(n, tag, s)
			if err := f(v); err != nil {
				return findings, err
			}
			if _, err := io.Copy(io.Discard, v.text); err != nil {
				return findings, err
			}
			n++
			kind, err = v.text.next, nil
			continue
		}
		kind, err = s.Next()
	}
	if s.Misdeclared() {
		findings = append(findings, RuleDeclared.At(""))
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return findings, err
}

// refersOutside reports whether a reference is to anything but a place in the document.
func refersOutside(v string) bool {
	v = strings.TrimSpace(v)
	return v != "" && v[0] != '#'
}

// isBase64 reports whether the element whose Start was read holds a file in base64.
func isBase64(s *Scanner) bool {
	switch strings.ToUpper(strings.TrimSpace(s.Attr("representation"))) {
	case "B64":
		return true
	case "":
	default:
		return false
	}
	if n := len(s.stack); s.local != "text" || n < 2 || s.stack[n-2].local != "nonXMLBody" {
		return false
	}
	media := cleanMediaType(s.Attr("mediaType"))
	return media != "" && !strings.HasPrefix(media, "text/")
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

// encodedText decodes the text that the scanner stands on, up to the next tag.
type encodedText struct {
	s     *Scanner
	chunk []byte
	dec   base64Decoder
	next  Kind // the token after the value, once it was read
	err   error
}

// Read implements io.Reader.
func (v *encodedText) Read(p []byte) (int, error) {
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
func (v *encodedText) advance() {
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
func (v *encodedText) readSmall(p []byte) (int, error) {
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
