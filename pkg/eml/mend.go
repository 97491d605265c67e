package eml

import (
	"crypto/rand"
	"io"
	"strings"

	"github.com/emersion/go-message/textproto"
)

// mender rewrites a multipart as it reads it, so that go-message's reader of parts
// finds every part whatever the sender did: the boundary is found in the content
// when the declared one does not come, header lines that are none are left out, a
// forgotten blank line is put in, all delimiters have the same line end, the last
// one is never missing and is never followed by anything.
//
// The boundary that it writes is its own and no sender can know it: go-message takes
// a line of content that begins with the boundary and a hyphen for a delimiter and
// then gives up. The content of parts passes unchanged.
type mender struct {
	*source
	limit    int // of a header, in bytes
	boundary string
	outer    *mender // around this one, nil for the outermost
	left     []byte  // to be read next
	state    func(*mender) error
	notes    []note // one for each part that was begun and not yet fetched
	closed   bool   // the sender's final delimiter came, and no part after it
	parts    int
	signed   io.Writer // takes the first part as it came, header included; nil when nobody asks
}

// note is what the mender knows of a part that its reader cannot see.
type note struct {
	mended
	unparted bool // not a part: content before any delimiter, too much for a preamble
	afterEnd bool // came after the final delimiter
}

// newMender returns a mender of the multipart in s and the reader of its parts.
func newMender(s *source, declared string, limit int, outer *mender) (*mender, *textproto.MultipartReader) {
	m := &mender{source: s, limit: limit, outer: outer, state: (*mender).preamble}
	if outer != nil {
		m.boundary = outer.boundary // each reader sees only its own mender's
	} else {
		m.boundary = rand.Text()
	}
	s.bol, s.guess, s.start = true, true, []byte("\n--")
	if s.declared = strings.TrimSpace(declared); len(s.declared) > maxBoundary {
		s.declared = ""
	}
	return m, textproto.NewMultipartReader(m, m.boundary)
}

// inUse reports whether an enclosing multipart has the same boundary.
func (m *mender) inUse() bool {
	for o := m.outer; o != nil; o = o.outer {
		if m.declared != "" && (m.declared == o.declared || m.declared == o.found) {
			return true
		}
	}
	return false
}

// Read gives the mended multipart.
func (m *mender) Read(p []byte) (int, error) {
	for len(m.left) == 0 {
		if m.state == nil {
			return 0, io.EOF
		}
		if err := m.state(m); err != nil {
			return 0, err
		}
	}
	n := copy(p, m.left)
	m.left = m.left[n:]
	return n, nil
}

// preamble looks for the first delimiter. What stands before it is left out, unless
// there is none or it is larger than a preamble is: then it is the content, and
// given as a part.
func (m *mender) preamble() error {
	var held []byte
	for len(held) < maxPreamble {
		b := m.chunk()
		if len(b) == 0 {
			break
		}
		held = append(held, b...)
	}
	m.state = (*mender).content
	if _, ok := m.delimiter(); ok {
		return nil
	}
	m.begin(note{unparted: true}, []byte("\r\n"))
	m.left = append(m.left, held...)
	return nil
}

// content gives what remains of a part, then the next delimiter.
func (m *mender) content() error {
	if m.left = m.chunk(); len(m.left) > 0 {
		if m.signed != nil && m.parts == 1 {
			m.signed.Write(m.left)
		}
		return nil
	}
	d, ok := m.delimiter()
	if !ok {
		if m.err != io.EOF {
			return m.err
		}
		m.state = nil
		m.left = []byte("\r\n--" + m.boundary + "--\r\n")
		return nil
	}
	m.take(d.size)
	m.bol = true
	if m.guess {
		m.adopt()
	}
	if d.end {
		m.closed = true
		for len(m.chunk()) > 0 { // the epilogue
		}
		return nil
	}
	if m.signed != nil && m.parts == 0 {
		m.tap = m.signed
	}
	block, mended := m.headerBlock(m.limit)
	m.tap = nil
	m.begin(note{mended: mended, afterEnd: m.closed}, block)
	m.parts++
	m.closed = false
	return nil
}

// begin writes a delimiter and a header.
func (m *mender) begin(n note, block []byte) {
	m.notes = append(m.notes, n)
	m.left = append([]byte("\r\n--"+m.boundary+"\r\n"), block...)
}
