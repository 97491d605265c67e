package eml

import (
	"bufio"
	"bytes"
	"io"
)

// newQuoted decodes quoted-printable (RFC 2045 §6.7). An equals sign that begins
// no escape stands for itself.
func newQuoted(r io.Reader) *lineDecoder {
	d := &lineDecoder{br: bufio.NewReaderSize(r, 8<<10), rule: ruleQuoted}
	var carry, joint []byte // the end of a piece that may be half an escape; with the next piece
	d.each = func(line []byte, whole bool) {
		if len(carry) > 0 {
			joint = append(append(joint[:0], carry...), line...)
			line, carry = joint, carry[:0]
		}
		eol := ""
		if whole {
			text := bytes.TrimRight(line, "\r\n")
			eol = string(line[len(text):])
			line = bytes.TrimRight(text, " \t") // added on the way (rule 3)
			if n := len(line); n > 0 && line[n-1] == '=' {
				line, eol = line[:n-1], "" // soft line break
			}
		} else if k := bytes.LastIndexByte(line[max(0, len(line)-2):], '='); k >= 0 {
			at := max(0, len(line)-2) + k
			carry = append(carry[:0], line[at:]...)
			line = line[:at]
		}
		for {
			k := bytes.IndexByte(line, '=')
			if k < 0 {
				break
			}
			d.buf = append(d.buf, line[:k]...)
			if k+2 < len(line) && unhex(line[k+1]) >= 0 && unhex(line[k+2]) >= 0 {
				d.buf = append(d.buf, byte(unhex(line[k+1])<<4|unhex(line[k+2])))
				line = line[k+3:]
				continue
			}
			d.bad = true
			d.buf = append(d.buf, '=')
			line = line[k+1:]
		}
		d.buf = append(d.buf, line...)
		d.buf = append(d.buf, eol...)
	}
	d.end = func() { d.buf = append(d.buf, carry...) }
	return d
}

// newUU decodes a uuencoded body: the lines between "begin" and "end".
func newUU(r io.Reader) *lineDecoder {
	d := &lineDecoder{br: bufio.NewReaderSize(r, 8<<10), rule: ruleUU}
	const (
		before = iota
		inside
		after
	)
	state := before
	d.each = func(line []byte, whole bool) {
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case state == before:
			if bytes.HasPrefix(line, []byte("begin ")) {
				state = inside
			}
		case state == inside && string(bytes.TrimSpace(line)) == "end":
			state = after
		case state == after && bytes.HasPrefix(line, []byte("begin ")):
			d.bad = true // a second file, which has no place here
		case state == inside && len(line) > 0:
			d.uuLine(line)
			d.bad = d.bad || !whole
		}
	}
	d.end = func() { d.bad = d.bad || state != after }
	return d
}

// uuLine decodes one line: a length, then groups of four characters.
func (d *lineDecoder) uuLine(line []byte) {
	value := func(i int) byte {
		if i >= len(line) {
			return 0 // blanks at the end of a line get lost on the way
		}
		return (line[i] - ' ') & 63
	}
	if line[0] < ' ' || line[0] > '`' {
		d.bad = true
		return
	}
	n := int(value(0))
	if (n+2)/3*4 > len(line)+3 {
		d.bad = true
	}
	for i := 1; n > 0 && i < len(line)+4; i += 4 {
		a, b, c, e := value(i), value(i+1), value(i+2), value(i+3)
		three := [3]byte{a<<2 | b>>4, b<<4 | c>>2, c<<6 | e}
		d.buf = append(d.buf, three[:min(n, 3)]...)
		n -= min(n, 3)
	}
}
