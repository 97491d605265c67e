package eml

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/mail"
	"github.com/emersion/go-message/textproto"
)

// header is the header of a mail or of a part as go-message read it, with what had
// to be mended before it could.
type header struct {
	mail.Header
	mended
}

// mended says what was wrong with a header.
type mended struct {
	junk   bool // a line that is no field was left out
	over   bool // larger than the limit: the rest was left out
	abrupt bool // no blank line before the content
}

// fieldCost is what a field counts at least towards Limits.HeaderBytes: go-message
// holds some 300 bytes for a field of three.
const fieldCost = 256

// maxExtra is how many lines are kept of a header above its limit, of window bytes at
// most.
const maxExtra = 12

// header reads the header of a mail and the blank line after it.
func (s *source) header(limit int) (*header, error) {
	block, m := s.headerBlock(limit)
	return readHeader(bufio.NewReader(bytes.NewReader(block)), m)
}

// readHeader gives a block that headerBlock made to go-message.
func readHeader(br *bufio.Reader, m mended) (*header, error) {
	fields, err := textproto.ReadHeader(br)
	if err != nil {
		return nil, fmt.Errorf("read mended header: %w", err)
	}
	return newHeader(fields, m), nil
}

func newHeader(fields textproto.Header, m mended) *header {
	return &header{mail.Header{Header: message.Header{Header: fields}}, m}
}

// headerBlock consumes a header and the blank line after it and returns of it what
// textproto.ReadHeader takes: fields, each line ended by CRLF, and the blank line.
// It stops before a delimiter and before a line that can only be content.
func (s *source) headerBlock(limit int) (block []byte, m mended) {
	size, fields := 0, 0
	extra, wanted := 0, false // fields above the limit: what says how to read the content is
	add := func(field bool, line []byte) {
		start := len(block)
		if field {
			wanted = extra < maxExtra && isContentField(line[:fieldNameSize(line)])
		}
		room := max(limit-size, 0)
		if wanted {
			room = max(room, window)
		}
		var n int
		block, n = s.line(block, room)
		if size += n; field {
			size += max(fieldCost-n, 0)
			fields++
		}
		if size > limit {
			m.over = true
			if wanted {
				extra++
			}
			if !wanted || n > window {
				block, wanted = block[:start], false
				return
			}
		}
		block = append(block, "\r\n"...)
	}
	for {
		if _, ok := s.delimiter(); ok {
			break
		}
		b := s.look(window)
		if len(b) == 0 {
			break
		}
		b = b[:min(len(b), window)]
		kind := lineKind(b)
		if kind == lineBlank {
			s.line(nil, 0)
			break
		}
		if kind == lineField || kind == lineFolded && fields > 0 {
			add(kind == lineField, b)
			continue
		}
		// Not a field. It is junk between fields when the header goes on after it,
		// otherwise the content begins here and its blank line was forgotten.
		next := lineJunk
		if k := bytes.IndexByte(b, '\n'); k >= 0 && k+1 < len(b) {
			next = lineKind(b[k+1:])
		}
		if next == lineJunk || next == lineFolded || next == lineBlank && fields == 0 {
			m.abrupt = true
			break
		}
		m.junk = true
		_, n := s.line(nil, 0)
		size += n
	}
	return append(block, "\r\n"...), m
}

// line consumes the current line, appends it without its end, at most limit bytes
// of it, to text and returns its full size.
func (s *source) line(text []byte, limit int) ([]byte, int) {
	size, start := 0, len(text)
	for {
		piece, err := s.br.ReadSlice('\n')
		if s.tap != nil {
			s.tap.Write(piece)
		}
		size += len(piece)
		text = append(text, piece[:min(len(piece), start+limit-len(text))]...)
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			s.err = err
		}
		s.bol = true
		return text[:start+len(bytes.TrimRight(text[start:], "\r\n"))], size
	}
}

// contentFields say what the content is and how it is coded.
var contentFields = [][]byte{[]byte("content-type"), []byte("content-transfer-encoding"), []byte("content-disposition")}

func isContentField(name []byte) bool {
	for _, f := range contentFields {
		if bytes.EqualFold(name, f) {
			return true
		}
	}
	return false
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
	case fieldNameSize(b) > 0:
		return lineField
	}
	return lineJunk
}

// fieldName returns the name of the header field that b begins with. RFC 5322
// lets a name be any visible ASCII; those that exist are letters, digits, hyphens,
// dots and underscores, and believing less keeps content from passing for a header.
func fieldName(b []byte) string { return string(b[:fieldNameSize(b)]) }

// fieldNameSize returns the size of that name, 0 when there is none.
func fieldNameSize(b []byte) int {
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
		return 0
	}
	return k
}

// mailNames are the fields of which a mail has at least one.
var mailNames = []string{"from", "to", "subject", "date", "message-id", "received", "return-path", "delivered-to", "mime-version",
	"reply-to", "sender", "cc", "dkim-signature", "authentication-results", "content-type", "content-transfer-encoding", "resent-from"}

// prologue passes over what programs put before a header (blank lines, a byte
// order mark, the "From " line of an mbox) and reports whether a mail follows.
// When none does, nothing was consumed.
func (s *source) prologue() bool {
	b := s.look(window)
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
					s.take(skip)
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
