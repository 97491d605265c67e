package eml

import (
	"bytes"
	"strings"
)

// field is one header field, unfolded; its value is as it came, not decoded.
type field struct {
	name  string
	value []byte
}

// header is the header of a mail or of a part, in the order it came.
type header struct {
	fields []field
	size   int
	junk   bool // a line that is no field was left out
	over   bool // larger than the limit: the rest was left out
	abrupt bool // no blank line before the content
}

// get returns the first field called name; the first wins when there are several.
func (h *header) get(name string) string {
	for _, f := range h.fields {
		if strings.EqualFold(f.name, name) {
			return string(f.value)
		}
	}
	return ""
}

// all returns the values of every field called name.
func (h *header) all(name string) []string {
	var v []string
	for _, f := range h.fields {
		if strings.EqualFold(f.name, name) {
			v = append(v, string(f.value))
		}
	}
	return v
}

// header reads a header and the blank line after it. It stops before a delimiter
// and before a line that can only be content.
func (s *source) header(limit int) *header {
	h := &header{}
	for {
		if _, ok := s.delimiter(); ok {
			return h
		}
		b := s.fill(window)
		if len(b) == 0 {
			return h
		}
		b = b[:min(len(b), window)]
		switch kind := lineKind(b); {
		case kind == lineBlank:
			s.line(0)
			return h
		case kind == lineField || kind == lineFolded && len(h.fields) > 0:
			text, size := s.line(max(limit-h.size, 0))
			h.size += size
			switch {
			case h.size > limit:
				h.over = true
			case kind == lineField:
				name, value, _ := bytes.Cut(text, []byte{':'})
				h.fields = append(h.fields, field{string(bytes.TrimSpace(name)), bytes.Trim(value, " \t")})
			default: // appended in place: a thousand folds must not cost a thousand copies
				last := &h.fields[len(h.fields)-1]
				last.value = append(append(last.value, ' '), bytes.Trim(text, " \t")...)
			}
		default:
			// Not a field. It is junk between fields when the header goes on after it,
			// otherwise the content begins here and its blank line was forgotten.
			next := lineJunk
			if k := bytes.IndexByte(b, '\n'); k >= 0 && k+1 < len(b) {
				next = lineKind(b[k+1:])
			}
			if next == lineJunk || next == lineFolded || next == lineBlank && len(h.fields) == 0 {
				h.abrupt = true
				return h
			}
			h.junk = true
			_, size := s.line(0)
			h.size += size
		}
	}
}

// line consumes the current line and returns it without its end, at most limit
// bytes of it, and its full size.
func (s *source) line(limit int) ([]byte, int) {
	var text []byte
	size := 0
	for {
		b := s.fill(1)
		if len(b) == 0 {
			break
		}
		k := bytes.IndexByte(b, '\n') + 1
		piece := b[:k]
		if k == 0 {
			piece = b
		}
		text = append(text, piece[:min(len(piece), limit-len(text))]...)
		size += len(piece)
		s.i += len(piece)
		if k > 0 {
			break
		}
	}
	s.bol = true
	return bytes.TrimRight(text, "\r\n"), size
}

type kindOfLine int

const (
	lineJunk kindOfLine = iota
	lineField
	lineFolded
	lineBlank
)

// lineKind looks at the line that b begins with. The end of the input is a blank
// line.
func lineKind(b []byte) kindOfLine {
	switch {
	case len(b) == 0 || b[0] == '\n' || b[0] == '\r' && (len(b) == 1 || b[1] == '\n'):
		return lineBlank
	case b[0] == ' ' || b[0] == '\t':
		return lineFolded
	case fieldName(b) != "":
		return lineField
	}
	return lineJunk
}

// fieldName returns the name of the header field that b begins with. RFC 5322
// lets a name be any visible ASCII; those that exist are letters, digits, hyphens,
// dots and underscores, and believing less keeps content from passing for a header.
func fieldName(b []byte) string {
	k := 0
	for k < len(b) && k < 100 && (b[k] >= 'a' && b[k] <= 'z' || b[k] >= 'A' && b[k] <= 'Z' ||
		b[k] >= '0' && b[k] <= '9' || b[k] == '-' || b[k] == '_' || b[k] == '.') {
		k++
	}
	end := k
	for end < len(b) && end < 100 && (b[end] == ' ' || b[end] == '\t') {
		end++
	}
	if k == 0 || end >= len(b) || b[end] != ':' {
		return ""
	}
	return string(b[:k])
}

// mailNames are the fields of which a mail has at least one.
var mailNames = []string{"from", "to", "subject", "date", "message-id", "received", "return-path", "delivered-to", "mime-version",
	"reply-to", "sender", "cc", "dkim-signature", "authentication-results", "content-type", "content-transfer-encoding", "resent-from"}

// prologue passes over what programs put before a header (blank lines, a byte
// order mark, the "From " line of an mbox) and reports whether a mail follows.
// When none does, nothing was consumed.
func (s *source) prologue() bool {
	b := s.fill(window)
	b = b[:min(len(b), window)]
	skip := 0
	if bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
		skip = 3
	}
	for {
		rest := b[skip:]
		k := bytes.IndexByte(rest, '\n')
		if k < 0 {
			break
		}
		if len(bytes.TrimSpace(rest[:k])) > 0 && !bytes.HasPrefix(rest, []byte("From ")) && !bytes.HasPrefix(rest, []byte(">From ")) {
			break
		}
		skip += k + 1
	}
	for rest, lines := b[skip:], 0; len(rest) > 0 && lines < 40; lines++ {
		if lineKind(rest) == lineBlank {
			break
		}
		if name := strings.ToLower(fieldName(rest)); name != "" {
			for _, known := range mailNames {
				if name == known || strings.HasPrefix(name, "x-") {
					s.i += skip
					return true
				}
			}
		}
		k := bytes.IndexByte(rest, '\n')
		if k < 0 {
			break
		}
		rest = rest[k+1:]
	}
	return false
}
