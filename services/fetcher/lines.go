package fetcher

import (
	"bytes"
	"errors"
	"strings"
)

// errCapability is a list of capabilities with a parenthesis in it, which no server
// has a reason to send (RFC 9051 §9, capability). go-imap v2.0.0-beta.8 looks for the
// end of the blanks before it for ever, holding a processor, so it must not see one.
var errCapability = errors.New("the server announces its capabilities as no server does")

const (
	lineHead = 80 // bytes of the beginning of a line that are looked at
	lineTail = 24 // and of its end: "{4294967296+}" and CR
)

// lines follows what a server says, line by line and past literals, and finds what
// the client must not read. It changes nothing and keeps a hundred bytes.
//
// A line that ends like a literal and is the text of a status response is no literal
// (RFC 9051 §7.1): taking it for one would let a server hide a line from us.
type lines struct {
	literal int64  // bytes of a literal that are still to come
	head    []byte // of the line
	tail    []byte
	list    bool // inside a list of capabilities
	ended   bool // the list of this line is over
}

// see looks at the next bytes.
func (l *lines) see(p []byte) error {
	for len(p) > 0 {
		if l.literal > 0 {
			n := min(int64(len(p)), l.literal)
			l.literal -= n
			p = p[n:]
			continue
		}
		end := bytes.IndexByte(p, '\n')
		part := p
		if end >= 0 {
			part = p[:end]
		}
		if err := l.add(part); err != nil {
			return err
		}
		if end < 0 {
			return nil
		}
		p = p[end+1:]
		l.literal = l.announced()
		l.tail = l.tail[:0]
		if l.literal == 0 {
			l.head, l.list, l.ended = l.head[:0], false, false
		}
	}
	return nil
}

// add looks at bytes of one line.
func (l *lines) add(part []byte) error {
	for len(part) > 0 && !l.ended {
		if l.list {
			i := bytes.IndexAny(part, "(]")
			if i < 0 {
				break
			}
			if part[i] == '(' {
				return errCapability
			}
			l.ended = true
			break
		}
		if len(l.head) == lineHead {
			l.ended = true
			break
		}
		l.head = append(l.head, part[0])
		l.tail = append(l.tail, part[0])
		part = part[1:]
		l.list = capability(l.head)
	}
	if len(part) >= lineTail {
		l.tail = append(l.tail[:0], part[len(part)-lineTail:]...)
	} else {
		l.tail = append(l.tail, part...)
		l.tail = l.tail[max(len(l.tail)-lineTail, 0):]
	}
	return nil
}

// words returns the tag, or "*", and what follows it in capitals.
func words(head []byte) (rest string) {
	_, rest, _ = strings.Cut(strings.ToUpper(string(head)), " ")
	return strings.TrimLeft(rest, " ")
}

// capability reports whether a line that begins with head is about to list
// capabilities: as data, or as the code of a status response.
func capability(head []byte) bool {
	const word = "CAPABILITY"
	if len(head) < len(word) || !bytes.EqualFold(head[len(head)-len(word):], []byte(word)) {
		return false
	}
	rest := words(head)
	for _, status := range []string{"OK", "NO", "BAD", "BYE", "PREAUTH"} {
		if code, ok := strings.CutPrefix(rest, status); ok {
			code, ok = strings.CutPrefix(strings.TrimLeft(code, " "), "[")
			return ok && strings.TrimLeft(code, " ") == word
		}
	}
	return rest == word
}

// announced returns the size of the literal that the line which ended here announces.
func (l *lines) announced() int64 {
	tail := strings.TrimSuffix(string(l.tail), "\r")
	open := strings.LastIndexByte(tail, '{')
	if open < 0 || !strings.HasSuffix(tail, "}") {
		return 0
	}
	rest := words(l.head)
	for _, status := range []string{"OK ", "NO ", "BAD ", "BYE ", "PREAUTH "} {
		if strings.HasPrefix(rest, status) {
			return 0
		}
	}
	n := int64(0)
	digits := strings.TrimSuffix(tail[open+1:len(tail)-1], "+")
	if digits == "" || len(digits) > 12 {
		return 0
	}
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0
		}
		n = 10*n + int64(c-'0')
	}
	return n
}
