package eml

import (
	"bufio"
	"bytes"
	"io"
)

const (
	bufferSize  = 64 << 10
	maxBoundary = 1000     // RFC 2046 allows 70; longer ones exist, absurd ones are not believed
	window      = 8 << 10  // how far a decision may look ahead
	maxPreamble = 64 << 10 // a preamble up to here is held while the first delimiter is looked for
)

// source looks ahead in the content of a mail or of a multipart, so that the
// layers before go-message can tell what is a header line, a delimiter, content.
type source struct {
	br       *bufio.Reader
	err      error     // what br ended with
	bol      bool      // the unread bytes are at the beginning of a line
	declared string    // boundary parameter; empty when there is none
	found    string    // boundary taken from the content because declared did not come
	guess    bool      // no delimiter seen yet: a line that looks like one may be adopted
	start    []byte    // what every delimiter begins with, the line end before it included
	tap      io.Writer // takes the lines of a header as they came; nil mostly
}

// look tries to have want unread bytes (at most bufferSize) and returns all there are.
func (s *source) look(want int) []byte {
	want = max(min(want, bufferSize), s.br.Buffered())
	if s.err != nil {
		want = s.br.Buffered()
	}
	b, err := s.br.Peek(want)
	if err != nil {
		s.err = err
	}
	return b
}

// take consumes n bytes that were looked at and returns them, valid until the next call.
func (s *source) take(n int) []byte {
	b, _ := s.br.Peek(n)
	n, _ = s.br.Discard(len(b))
	if n > 0 {
		s.bol = b[n-1] == '\n'
	}
	return b[:n]
}

// delimiter is a delimiter line of a multipart.
type delimiter struct {
	end  bool
	size int // bytes of the line
}

// reach is how many bytes from the beginning of a line must be seen to decide
// whether it is a delimiter.
func (s *source) reach() int {
	if s.guess {
		return window
	}
	return max(len(s.declared), len(s.found)) + 80 // dashes, padding, line end
}

// delimiter reports whether the unread bytes begin with a delimiter line.
func (s *source) delimiter() (delimiter, bool) {
	if !s.bol || s.declared == "" && s.found == "" && !s.guess {
		return delimiter{}, false
	}
	if b := s.look(2); len(b) < 2 || b[0] != '-' || b[1] != '-' {
		return delimiter{}, false
	}
	return s.match(s.look(s.reach()))
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
	for _, want := range [2]string{s.declared, s.found} {
		if want == "" || len(name) < len(want) || string(name[:len(want)]) != want {
			continue
		}
		switch string(name[len(want):]) {
		case "":
			return delimiter{false, size}, true
		case "--":
			return delimiter{true, size}, true
		}
	}
	if s.guess && looksLikeDelimiter(name, b[size:]) {
		s.found = string(name)
		return delimiter{false, size}, true
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

// chunk returns the next bytes of the part being read, valid until the next call,
// and nothing when a delimiter or the end is reached. The line end before a
// delimiter belongs to the delimiter (RFC 2046 §5.1.1).
func (s *source) chunk() []byte {
	if _, ok := s.delimiter(); ok {
		return nil
	}
	reach := s.reach()
	for b := s.look(1); ; {
		from := 0
		for {
			k := bytes.Index(b[from:], s.start)
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
					return s.take(data)
				}
				b = s.look(nl + 1 + reach)
			}
			if _, ok := s.match(b[nl+1:]); ok {
				return s.take(nl + 1)[:data]
			}
			from = nl + 1
		}
		if s.err != nil {
			return s.take(len(b))
		}
		if n := certain(b, s.start); n > 0 {
			return s.take(n)
		}
		b = s.look(len(b) + 1)
	}
}

// adopt ends the guessing: from now on delimiters are those of the known boundary.
func (s *source) adopt() {
	s.guess = false
	if s.declared == "" || s.found == "" {
		s.start = []byte("\n--" + s.declared + s.found)
	}
}

// certain returns how many bytes of b, in which no delimiter starts, cannot be the
// beginning of one either.
func certain(b, start []byte) int {
	n := len(b)
	if k := bytes.LastIndexByte(b[max(0, n-len(start)):], '\n'); k >= 0 {
		if k += max(0, n-len(start)); bytes.HasPrefix(start, b[k:]) {
			n = k
		}
	}
	if n > 0 && b[n-1] == '\r' {
		n--
	}
	return n
}

// origin is the reader of the whole message. It remembers how that one ended, which
// layers above may put into words of their own.
type origin struct {
	r   io.Reader
	err error
}

func (o *origin) Read(p []byte) (n int, err error) {
	if o.err == nil {
		n, o.err = o.r.Read(p)
	}
	return n, o.err
}

// failed returns the error of the message's reader, nil at a plain end.
func (o *origin) failed() error {
	if o.err == io.EOF {
		return nil
	}
	return o.err
}
