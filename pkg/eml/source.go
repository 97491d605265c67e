package eml

import (
	"bytes"
	"io"
)

const (
	bufferSize  = 64 << 10
	maxBoundary = 1000     // RFC 2046 allows 70; longer ones exist, absurd ones are not believed
	window      = 8 << 10  // how far a decision may look ahead
	maxPreamble = 64 << 10 // a preamble up to here is held while the first delimiter is looked for
)

// source reads one mail, outer or nested, and knows at each point the delimiters
// of all multiparts that are open: any of them ends the part being read, so that
// an inner multipart that was never closed does not swallow what follows it.
type source struct {
	r      io.Reader
	buf    []byte
	i, n   int // unread bytes are buf[i:n]
	err    error
	bol    bool     // i is the beginning of a line
	levels []*level // open multiparts, the outermost first
}

// level is one open multipart.
type level struct {
	declared string // boundary parameter; empty when there is none
	found    string // boundary taken from the content because declared did not come
	guess    bool   // no delimiter seen yet: a line that looks like one may be adopted
}

func newSource(r io.Reader) *source {
	return &source{r: r, buf: make([]byte, bufferSize), bol: true}
}

// fill tries to have want unread bytes (at most bufferSize) and returns them all.
func (s *source) fill(want int) []byte {
	if s.n-s.i >= want || s.err != nil {
		return s.buf[s.i:s.n]
	}
	if s.i > 0 {
		s.n = copy(s.buf, s.buf[s.i:s.n])
		s.i = 0
	}
	for idle := 0; s.n < want && s.err == nil; {
		var k int
		k, s.err = s.r.Read(s.buf[s.n:])
		s.n += k
		if k > 0 {
			idle = 0
		} else if idle++; idle > 100 && s.err == nil {
			s.err = io.ErrNoProgress
		}
	}
	return s.buf[s.i:s.n]
}

// failed returns the error of the underlying reader, nil at a plain end.
func (s *source) failed() error {
	if s.err == io.EOF {
		return nil
	}
	return s.err
}

// delimiter is a delimiter line of a multipart.
type delimiter struct {
	level int // index in levels
	end   bool
	size  int // bytes of the line
}

// reach is how many bytes from the beginning of a line must be seen to decide
// whether it is a delimiter.
func (s *source) reach() int {
	n := 0
	for _, l := range s.levels {
		if l.guess {
			return window
		}
		n = max(n, len(l.declared), len(l.found))
	}
	return n + 80 // dashes, padding, line end
}

// delimiter reports whether the unread bytes begin with a delimiter line.
func (s *source) delimiter() (delimiter, bool) {
	if !s.bol || len(s.levels) == 0 {
		return delimiter{}, false
	}
	if b := s.fill(2); len(b) < 2 || b[0] != '-' || b[1] != '-' {
		return delimiter{}, false
	}
	return s.match(s.fill(s.reach()))
}

// match looks at b, which begins with a line that begins with two hyphens. Never
// more than reach bytes count, so that the answer does not depend on how much
// happened to be buffered.
func (s *source) match(b []byte) (delimiter, bool) {
	b = b[:min(len(b), s.reach())]
	line, size := b, len(b)
	if k := bytes.IndexByte(b[:min(len(b), maxBoundary+80)], '\n'); k >= 0 {
		line, size = b[:k], k+1
	} else if len(b) >= s.reach() || len(b) >= maxBoundary+80 {
		return delimiter{}, false
	}
	name := bytes.TrimRight(line[2:], " \t\r")
	for i := len(s.levels) - 1; i >= 0; i-- {
		for _, want := range [2]string{s.levels[i].declared, s.levels[i].found} {
			if want == "" || len(name) < len(want) || string(name[:len(want)]) != want {
				continue
			}
			switch string(name[len(want):]) {
			case "":
				return delimiter{i, false, size}, true
			case "--":
				return delimiter{i, true, size}, true
			}
		}
	}
	if top := len(s.levels) - 1; s.levels[top].guess && looksLikeDelimiter(name, b[size:]) {
		s.levels[top].found = string(name)
		return delimiter{top, false, size}, true
	}
	return delimiter{}, false
}

// looksLikeDelimiter reports whether name is a plausible boundary and the line
// after it begins a part header.
func looksLikeDelimiter(name, after []byte) bool {
	if len(name) == 0 || len(name) > 200 || bytes.IndexByte(name, ' ') >= 0 {
		return false
	}
	const field = "content-"
	return len(after) > len(field) && bytes.EqualFold(after[:len(field)], []byte(field))
}

// take consumes a delimiter line.
func (s *source) take(d delimiter) {
	s.i += d.size
	s.bol = true
}

// chunk returns the next bytes of the part being read, valid until the next call,
// and nothing when a delimiter or the end is reached. The line end before a
// delimiter belongs to the delimiter (RFC 2046 §5.1.1).
func (s *source) chunk() []byte {
	if len(s.levels) == 0 {
		b := s.fill(1)
		s.i = s.n
		return b
	}
	if _, ok := s.delimiter(); ok {
		return nil
	}
	s.fill(1)
	reach := s.reach()
	for {
		b, from := s.buf[s.i:s.n], 0
		for {
			k := bytes.Index(b[from:], []byte("\n--"))
			if k < 0 {
				break
			}
			nl := from + k
			data := nl
			if data > 0 && b[data-1] == '\r' {
				data--
			}
			if len(b)-nl-1 < reach && s.err == nil {
				if data > 0 { // give what is certain; the line is looked at next time
					return s.give(data)
				}
				b = s.fill(nl + 1 + reach)
			}
			if _, ok := s.match(b[nl+1:]); ok {
				s.i += nl + 1
				s.bol = true
				return b[:data]
			}
			from = nl + 1
		}
		if s.err != nil {
			return s.give(len(b))
		}
		if keep := maybeLineEnd(b); len(b) > keep {
			return s.give(len(b) - keep)
		}
		s.fill(len(b) + 1)
	}
}

func (s *source) give(k int) []byte {
	b := s.buf[s.i : s.i+k]
	s.i += k
	if k > 0 {
		s.bol = false
	}
	return b
}

// maybeLineEnd returns how many bytes at the end of b may begin a delimiter.
func maybeLineEnd(b []byte) int {
	for _, tail := range []string{"\r\n-", "\r\n", "\n-", "\n", "\r"} {
		if bytes.HasSuffix(b, []byte(tail)) {
			return len(tail)
		}
	}
	return 0
}

// skip passes over the rest of the part being read.
func (s *source) skip() {
	for len(s.chunk()) > 0 {
	}
}

// body reads the part being read, to the next delimiter.
type body struct {
	s    *source
	left []byte
}

func (b *body) Read(p []byte) (int, error) {
	if len(b.left) == 0 {
		if b.left = b.s.chunk(); len(b.left) == 0 {
			if err := b.s.failed(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
	}
	k := copy(p, b.left)
	b.left = b.left[k:]
	return k, nil
}
