package fhir

import "io"

// maxText is how much of one JSON string is kept, in bytes as they come.
const maxText = 64 << 10

// brief reads JSON and leaves out what is long in its strings: a server that keeps
// documents inside their references (ITI-105) gives all of them back with the answer to a
// search, of which only names and states are wanted. What it yields is JSON if what it
// reads is.
type brief struct {
	r      io.Reader
	inside bool // a string
	n      int  // bytes of it so far
	escape int  // bytes of an escape that are still to come
}

func (b *brief) Read(p []byte) (int, error) {
	for {
		n, err := b.r.Read(p)
		kept := 0
		for _, c := range p[:n] {
			if b.keeps(c) {
				p[kept] = c
				kept++
			}
		}
		if kept > 0 || err != nil || len(p) == 0 {
			return kept, err
		}
	}
}

// keeps takes the next byte, and reports whether it is yielded.
func (b *brief) keeps(c byte) bool {
	if !b.inside {
		b.inside, b.n = c == '"', 0
		return true
	}
	b.n++
	long := b.n > maxText
	switch {
	case b.escape == 0 && c == '"':
		b.inside = false
		return true
	case b.escape == 0 && c == '\\':
		b.escape = 1
		if long {
			b.escape = -1 // of an escape that is left out
		}
		return !long
	case b.escape == -1:
		b.escape = 0 // what follows of \uXXXX are plain characters
		return false
	case b.escape == 1 && c == 'u':
		b.escape = 5
		fallthrough
	case b.escape > 0: // begun before the end: seen through
		b.escape--
		return true
	}
	return !long
}
