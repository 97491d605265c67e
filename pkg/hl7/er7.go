package hl7

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Errors of reading a message.
var (
	// ErrSyntax is returned for bytes that are not an HL7 v2 message in ER7.
	ErrSyntax = errors.New("hl7: not an ER7 message")
	// ErrTooLong is returned for a message or a field beyond the limits.
	ErrTooLong = errors.New("hl7: message too long")
)

// separators are the five characters of MSH-1 and MSH-2.
type separators struct {
	field, component, repetition, escape, sub byte
}

var usual = separators{'|', '^', '~', '\\', '&'}

// Segment is one line of a message. Its fields are kept as received, in UTF-8;
// Get decodes one value.
type Segment struct {
	Name   string
	fields []string // fields[n-1] is field n
	sep    separators
}

// Len returns the number of the last field that was received.
func (s Segment) Len() int { return len(s.fields) }

// Field returns field n (from 1) with its separators and escapes, or "".
func (s Segment) Field(n int) string {
	if n < 1 || n > len(s.fields) {
		return ""
	}
	return s.fields[n-1]
}

// Reps returns how often field n is repeated; 0 when it is empty.
func (s Segment) Reps(n int) int {
	f := s.Field(n)
	if f == "" {
		return 0
	}
	return 1 + strings.Count(f, string(rune(s.sep.repetition)))
}

// Get returns one value without escapes: field, repetition, component and
// subcomponent all count from 1; what is not there is "".
func (s Segment) Get(field, rep, component, sub int) string {
	f := s.Field(field)
	if s.Name == "MSH" && field <= 2 {
		return f // the separators themselves
	}
	f = nth(f, s.sep.repetition, rep)
	f = nth(f, s.sep.component, component)
	f = nth(f, s.sep.sub, sub)
	return s.sep.unescape(f)
}

// Text returns the first value of a component: Get(field, 1, component, 1).
func (s Segment) Text(field, component int) string { return s.Get(field, 1, component, 1) }

// nth returns the n-th (from 1) piece of s between separators.
func nth(s string, sep byte, n int) string {
	for ; n > 1; n-- {
		i := strings.IndexByte(s, sep)
		if i < 0 {
			return ""
		}
		s = s[i+1:]
	}
	if i := strings.IndexByte(s, sep); i >= 0 && n == 1 {
		s = s[:i]
	}
	if n < 1 {
		return ""
	}
	return s
}

// unescape replaces the escape sequences of HL7 v2.6 chapter 2.7. A sequence it
// does not know stays as it is: nothing that was sent is dropped.
func (p separators) unescape(s string) string {
	if strings.IndexByte(s, p.escape) < 0 {
		return s
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, string(rune(p.escape)))
		b.WriteString(before)
		if !found {
			return b.String()
		}
		code, after, found := strings.Cut(rest, string(rune(p.escape)))
		value, known := p.escaped(code)
		if !found || !known {
			b.WriteByte(p.escape)
			s = rest
			continue
		}
		b.WriteString(value)
		s = after
	}
}

func (p separators) escaped(code string) (string, bool) {
	switch code {
	case "F":
		return string(rune(p.field)), true
	case "S":
		return string(rune(p.component)), true
	case "T":
		return string(rune(p.sub)), true
	case "R":
		return string(rune(p.repetition)), true
	case "E":
		return string(rune(p.escape)), true
	case "H", "N": // highlighting
		return "", true
	case ".br":
		return "\n", true
	}
	if len(code) < 3 || len(code) > 101 || code[0] != 'X' || len(code)%2 == 0 {
		return "", false
	}
	var b []byte
	for i := 1; i < len(code); i += 2 {
		var v byte
		if _, err := fmt.Sscanf(code[i:i+2], "%02x", &v); err != nil {
			return "", false
		}
		b = append(b, v)
	}
	return strings.ToValidUTF8(string(b), "\uFFFD"), true
}

// escape makes free text safe inside a component. Control characters become
// blanks: a CR would end the segment, VT and FS the MLLP frame.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '|':
			b.WriteString(`\F\`)
		case r == '^':
			b.WriteString(`\S\`)
		case r == '&':
			b.WriteString(`\T\`)
		case r == '~':
			b.WriteString(`\R\`)
		case r == '\\':
			b.WriteString(`\E\`)
		case r < 0x20 || r == 0x7f || r == utf8.RuneError || r >= 0x80 && r < 0xa0:
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// comp joins escaped pieces to a field; empty ones at the end are left out.
func comp(pieces ...string) string { return joined("^", pieces) }

// sub joins escaped pieces to a component; empty ones at the end are left out.
func sub(pieces ...string) string { return joined("&", pieces) }

func joined(sep string, pieces []string) string {
	for len(pieces) > 0 && pieces[len(pieces)-1] == "" {
		pieces = pieces[:len(pieces)-1]
	}
	return strings.Join(pieces, sep)
}

// draft is a segment being written: field n is at n-1, already escaped.
type draft struct {
	name   string
	fields []string
}

func newDraft(name string) *draft { return &draft{name: name} }

func (d *draft) set(n int, field string) *draft {
	for len(d.fields) < n {
		d.fields = append(d.fields, "")
	}
	d.fields[n-1] = field
	return d
}

func (d *draft) String() string {
	f := d.fields
	if d.name == "MSH" { // MSH-1 is the separator after the name
		f = f[1:]
	}
	return d.name + "|" + joined("|", f)
}

// script writes segments in the character set of the receiver and remembers the
// first error.
type script struct {
	w       io.Writer
	charset Charset
	err     error
}

func (s *script) raw(text string) {
	if s.err == nil {
		_, s.err = s.w.Write(s.charset.encode(text))
	}
}

func (s *script) segment(d *draft) { s.raw(d.String() + "\r") }
