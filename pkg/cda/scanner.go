package cda

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"

	"greffe/pkg/greffe"
)

// Limits of one XML document. The largest of the official examples has 3 MB,
// 60,000 elements and a depth of 30.
const (
	MaxInput    = 256 << 20 // bytes of UTF-8, after any transcoding
	maxDepth    = 128       // nested elements
	maxAttrs    = 100       // attributes of one element
	maxTag      = 256 << 10 // bytes of one tag
	maxElements = 2_000_000
	maxBindings = 128  // prefixes in scope: each name is looked up among them
	maxNames    = 4096 // names kept for reuse
	window      = 64 << 10
)

// Kind tells what Scanner.Next found.
type Kind uint8

// Kinds of token. An empty element gives Start, then End.
const (
	Start Kind = iota + 1
	End
	Text
)

// Scanner reads XML 1.0 with namespaces as a flow of tokens, in memory that does
// not grow with the document. It is strict where leniency would be a risk: one
// root, tags that match, bound prefixes, no attribute twice, no document type, no
// entity but the five of XML, no forbidden character. It is lenient where real
// files are untidy and nothing can be misread: blanks or a BOM before the XML.
// It does not refuse "]]>" in text or "--" in a comment.
//
// What it returns is valid until the next call of Next.
type Scanner struct {
	memory   *memory // nil once closed
	dec      decoder
	readErr  error // what r returned, when it was not io.EOF
	buf      []byte
	pos, end int
	base     int64 // offset of buf[0] in the document
	eof      bool

	space, local string
	raw          string // name of an End as it is written
	attrs        []attr
	text         []byte
	scratch      []byte

	stack    []element
	bindings []binding
	names    map[string]string
	elements int // so far

	maxInput    int64
	maxElements int

	lines lineCount

	cdata   bool // inside a CDATA section
	closing bool // the End of an empty element comes next
	done    bool // the root was closed

	// Leading reports, once the root was met, that blanks came before the XML
	// declaration or the root.
	Leading bool
}

type attr struct {
	space, local string
	prefix       string
	value        []byte
}

type element struct {
	raw, space, local string
	bindings          int // how many there were outside
}

type binding struct{ prefix, uri string }

// SyntaxError says why a document cannot be read. Any error of this package is
// either one of these or the error of the reader that was given.
type SyntaxError struct {
	Rule   greffe.Rule // the rule that is broken
	Reason string      // French, a few words
	Offset int64       // bytes of UTF-8 before the place
}

// Error names the rule and the place, never the content.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("read XML: %s at byte %d", e.Rule.ID, e.Offset)
}

// Finding returns the finding that the error stands for.
func (e *SyntaxError) Finding(where string) greffe.Finding {
	if e.Reason == "" {
		return e.Rule.At(where)
	}
	return e.Rule.At(where, e.Reason)
}

func (s *Scanner) fail(rule greffe.Rule, reason string) error {
	return &SyntaxError{Rule: rule, Reason: reason, Offset: s.base + int64(s.pos)}
}

// NewScanner returns a Scanner of r. It reads the first bytes of r to learn the
// character encoding; an encoding that is not known is an error of Next.
//
// Close gives its memory back for the next Scanner. Not to call it is no leak.
func NewScanner(r io.Reader) *Scanner {
	m := memories.Get().(*memory)
	s := &Scanner{
		memory: m, buf: m.buf, names: m.names, attrs: m.attrs[:0], stack: m.stack[:0], bindings: m.bindings[:0], scratch: m.scratch[:0],
		maxInput: MaxInput, maxElements: maxElements,
	}
	s.dec.reset(r)
	s.readErr = s.dec.start()
	return s
}

// memory is what a Scanner needs and another one can use after it.
type memory struct {
	buf      []byte
	names    map[string]string
	attrs    []attr
	stack    []element
	bindings []binding
	scratch  []byte
}

// memories are those of Scanners that were closed: messages come by the thousand.
var memories = sync.Pool{New: func() any {
	return &memory{buf: make([]byte, window), names: make(map[string]string, 64)}
}}

// Close gives the memory of s back. Nothing that s returned but strings may be used after
// that, and s only returns errors. It may be called again.
func (s *Scanner) Close() {
	m := s.memory
	if m == nil {
		return
	}
	s.memory = nil
	if len(s.buf) <= 4*window { // one huge tag must not weigh on all that follow
		m.buf = s.buf
	}
	if len(s.names) > maxNames/4 {
		clear(s.names) // those of a hostile document
	}
	m.attrs, m.stack, m.bindings, m.scratch = s.attrs, s.stack, s.bindings, s.scratch
	if cap(m.scratch) > window {
		m.scratch = nil
	}
	s.buf, s.names, s.attrs, s.stack, s.bindings, s.scratch, s.text = nil, nil, nil, nil, nil, nil, nil
	s.pos, s.end, s.eof, s.cdata, s.closing, s.readErr = 0, 0, true, false, false, errClosed
	memories.Put(m)
}

var errClosed = errors.New("scanner is closed")

// Name returns the namespace and the local name of a Start or End.
func (s *Scanner) Name() (space, local string) { return s.space, s.local }

// Is reports whether the Start or End is the named element.
func (s *Scanner) Is(space, local string) bool { return s.local == local && s.space == space }

// Text returns the characters of a Text. One text may come in several.
func (s *Scanner) Text() []byte { return s.text }

// Misdeclared reports whether bytes were met so far that are not in the encoding that
// the document declares; they were read as French text is most likely meant.
func (s *Scanner) Misdeclared() bool { return s.dec.wrong }

// Depth returns the number of open elements: 1 at the Start of the root, 0 after its End.
func (s *Scanner) Depth() int { return len(s.stack) }

// Attr returns the value of the attribute without namespace, or "".
func (s *Scanner) Attr(local string) string {
	for i := range s.attrs {
		if a := &s.attrs[i]; a.local == local && a.space == "" {
			return string(a.value)
		}
	}
	return ""
}

// Next reads the next token. It returns io.EOF after a complete document, a
// *SyntaxError for a bad one, or the error of the reader.
func (s *Scanner) Next() (Kind, error) {
	if s.closing {
		s.closing = false
		return s.pop(), nil
	}
	for {
		if s.pos == s.end && !s.fill() {
			return 0, s.finish()
		}
		switch {
		case s.cdata:
			if kind, err := s.nextCDATA(); kind != 0 || err != nil {
				return kind, err
			}
		case s.buf[s.pos] == '<':
			if kind, err := s.markup(); kind != 0 || err != nil {
				return kind, err
			}
		default:
			if kind, err := s.nextText(); kind != 0 || err != nil {
				return kind, err
			}
		}
	}
}

// finish says what the end of the input means between two tokens.
func (s *Scanner) finish() error {
	switch {
	case s.readErr == nil && s.done:
		return io.EOF
	case s.readErr == nil && s.elements == 0:
		return s.fail(RuleXML, "le fichier ne contient pas de XML")
	}
	return s.cut()
}

// cut says what the end of the input means inside a token.
func (s *Scanner) cut() error {
	if s.readErr != nil {
		return s.readErr
	}
	s.pos = s.end
	return s.fail(RuleXML, "le fichier est tronqué")
}

// fill reads more bytes behind s.end, moving or growing the window when there is
// no room. It returns false at the end of the input.
func (s *Scanner) fill() bool {
	if s.eof || s.readErr != nil {
		return false
	}
	if s.pos > 0 && (s.pos == s.end || s.end == len(s.buf)) {
		if s.lines.on {
			s.line()
		}
		s.base += int64(s.pos)
		s.end = copy(s.buf, s.buf[s.pos:s.end])
		s.pos = 0
	}
	if s.end == len(s.buf) {
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	for range 100 {
		n, err := s.dec.Read(s.buf[s.end:])
		s.end += n
		switch {
		case s.base+int64(s.end) > s.maxInput:
			s.readErr = s.fail(RuleLimits, "le fichier est trop volumineux")
			s.end -= n
			return false
		case err == io.EOF:
			s.eof = true
			return n > 0
		case err != nil:
			s.readErr = err
			return n > 0
		case n > 0:
			return true
		}
	}
	s.readErr = io.ErrNoProgress
	return false
}

// lineCount counts the line ends before a place, when it is on.
type lineCount struct {
	on   bool
	n    int   // before upTo
	upTo int64 // offset in the document
}

// line returns the line, from 1, of the end of the last token. It needs s.lines.on from
// the first call of Next.
func (s *Scanner) line() int {
	from := int(s.lines.upTo - s.base)
	s.lines.n += bytes.Count(s.buf[from:s.pos], []byte("\n"))
	s.lines.upTo = s.base + int64(s.pos)
	return s.lines.n + 1
}

// need makes n bytes available from s.pos, or as many as there are.
func (s *Scanner) need(n int) []byte {
	for s.end-s.pos < n && s.fill() {
	}
	return s.buf[s.pos:min(s.pos+n, s.end)]
}

// nextText takes the text from s.pos up to the next markup or the end of the
// window. It returns 0 when it only skipped blanks outside the root.
func (s *Scanner) nextText() (Kind, error) {
	if len(s.stack) > 0 && s.buf[s.pos] == '&' {
		return s.reference()
	}
	w := s.buf[s.pos:s.end]
	whole := false // markup follows: the last character is complete
	if i := bytes.IndexByte(w, '<'); i >= 0 {
		w, whole = w[:i], true
	}
	if len(s.stack) == 0 {
		if len(bytes.TrimLeft(w, " \t\r\n")) > 0 {
			return 0, s.fail(RuleXML, "du texte se trouve hors de l’élément racine")
		}
		s.Leading = s.Leading || s.base+int64(s.pos) == 0
		s.pos += len(w)
		return 0, nil
	}
	if i := bytes.IndexByte(w, '&'); i >= 0 {
		w, whole = w[:i], true
	}
	return s.emit(w, whole)
}

// emit returns the bytes w at s.pos as Text. Unless whole, a character cut by the
// end of the window waits for its rest.
func (s *Scanner) emit(w []byte, whole bool) (Kind, error) {
	if !whole {
		n := cutRune(w)
		if n == 0 && len(w) > 0 {
			if s.fill() {
				return 0, nil // again, with the rest
			}
			n = len(w) // the end of the input cuts the character: not valid
		}
		w = w[:n]
	}
	if !validText(w) {
		return 0, s.fail(RuleXML, "un caractère est interdit ou mal codé")
	}
	s.text = w
	s.pos += len(w)
	return Text, nil
}

// cutRune returns the length of w without the incomplete character at its end.
func cutRune(w []byte) int {
	for i := 1; i <= 3 && i <= len(w); i++ {
		if c := w[len(w)-i]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(w[len(w)-i:]) {
				return len(w) - i
			}
			break
		}
	}
	return len(w)
}

// validText reports whether b is UTF-8 without forbidden control characters.
func validText(b []byte) bool {
	rest := b
	for len(rest) >= 8 {
		// Whether one of eight bytes is below a blank; a few others are looked at for nothing.
		w := binary.LittleEndian.Uint64(rest)
		if (w-0x2020202020202020)&^w&0x8080808080808080 != 0 && control(rest[:8]) {
			return false
		}
		rest = rest[8:]
	}
	return !control(rest) && utf8.Valid(b)
}

// control reports whether b has a control character that XML forbids.
func control(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\t' && c != '\r' {
			return true
		}
	}
	return false
}

// nextCDATA takes text of a CDATA section; 0 at its end.
func (s *Scanner) nextCDATA() (Kind, error) {
	w := s.buf[s.pos:s.end]
	if i := bytes.Index(w, []byte("]]>")); i >= 0 {
		if i == 0 {
			s.pos += 3
			s.cdata = false
			return 0, nil
		}
		return s.emit(w[:i], true)
	}
	if len(w) <= 2 {
		if !s.fill() {
			return 0, s.cut()
		}
		return 0, nil
	}
	return s.emit(w[:len(w)-2], false)
}

// skip passes over everything up to and including delim.
func (s *Scanner) skip(delim string) error {
	for {
		w := s.buf[s.pos:s.end]
		if i := bytes.Index(w, []byte(delim)); i >= 0 {
			s.pos += i + len(delim)
			return nil
		}
		s.pos += max(0, len(w)-len(delim)+1)
		if !s.fill() {
			return s.cut()
		}
	}
}
