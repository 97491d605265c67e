package eml

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"greffe/pkg/greffe"
)

// decoder is a reader that undoes a transfer encoding; once read to its end it
// knows what was wrong.
type decoder interface {
	io.Reader
	defects() []greffe.Rule
}

// identity passes 7bit, 8bit and binary.
type identity struct{ io.Reader }

func (identity) defects() []greffe.Rule { return nil }

// Values of base64Value above 63.
const (
	isBlank = 64 + iota
	isNewline
	isPad
	isJunk
)

// base64Value maps a byte to its value in RFC 4648 §4, or to what else it is.
var base64Value = func() (t [256]byte) {
	for i := range t {
		t[i] = isJunk
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = byte(i)
	}
	t[' '], t['\t'], t['\r'], t['\n'], t['='] = isBlank, isBlank, isBlank, isNewline, isPad
	return t
}()

// base64Reader decodes base64 as it is found in mail: characters outside the
// alphabet are left out, padding may be missing, several encoded pieces may follow
// each other. What follows padding or a blank line is only taken when its line can
// be nothing but base64, so that the footer of a relay does not end up in a
// document.
type base64Reader struct {
	r   io.Reader
	in  []byte
	out []byte // decoded, not yet given
	buf []byte // storage of out
	err error

	acc      uint32
	k        int  // characters in acc
	any      bool // something was decoded
	newline  bool // the last character was a line end
	suspect  bool // decide about the next line before taking it
	padded   bool // suspect because of padding
	ended    bool // the rest is not base64
	line     []byte
	dirty    bool
	cutShort bool
	tail     bool
}

const suspectLine = 1024 // characters of a line that are looked at

func newBase64(r io.Reader) *base64Reader {
	const block = 32 << 10
	return &base64Reader{r: r, in: make([]byte, block), buf: make([]byte, 0, block+suspectLine)}
}

func (d *base64Reader) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		n, err := d.r.Read(d.in)
		d.buf = d.buf[:0]
		d.feed(d.in[:n])
		if err == io.EOF {
			d.finish()
		}
		d.err = err
		d.out = d.buf
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

func (d *base64Reader) feed(b []byte) {
	for i := 0; i < len(b) && !d.ended; {
		if d.suspect {
			i += d.gather(b[i:])
			continue
		}
		if d.k == 0 {
			from := i
			i += d.quads(b[i:])
			if i > from {
				d.any, d.newline = true, false
			}
			if i == len(b) {
				return
			}
		}
		d.one(b[i])
		i++
	}
}

// base64Quad maps the character at each place of four to its bits; isBad is set in
// what is none of the alphabet.
var base64Quad = func() (t [4][256]uint32) {
	for i := range 256 {
		v := uint32(base64Value[i])
		for k := range t {
			if t[k][i] = v << (18 - 6*k); v > 63 {
				t[k][i] = isBad
			}
		}
	}
	return t
}()

const isBad = 1 << 31

// quads decodes groups of four characters as long as nothing else stands between
// them, and returns how many characters it took.
func (d *base64Reader) quads(b []byte) int {
	src, t := b, &base64Quad
	n := len(d.buf)
	dst := d.buf[n:cap(d.buf)]
	for len(src) >= 8 && len(dst) >= 8 {
		hi := t[0][src[0]] | t[1][src[1]] | t[2][src[2]] | t[3][src[3]]
		lo := t[0][src[4]] | t[1][src[5]] | t[2][src[6]] | t[3][src[7]]
		if (hi|lo)&isBad != 0 {
			break
		}
		binary.BigEndian.PutUint64(dst, uint64(hi)<<40|uint64(lo)<<16)
		src, dst, n = src[8:], dst[6:], n+6
	}
	d.buf = d.buf[:n]
	for len(src) >= 4 {
		v := t[0][src[0]] | t[1][src[1]] | t[2][src[2]] | t[3][src[3]]
		if v&isBad != 0 {
			break
		}
		d.buf = append(d.buf, byte(v>>16), byte(v>>8), byte(v))
		src = src[4:]
	}
	return len(b) - len(src)
}

// one takes one character.
func (d *base64Reader) one(c byte) {
	switch v := base64Value[c]; v {
	case isBlank:
	case isNewline:
		if d.newline && d.any {
			d.suspect = true
		}
		d.newline = true
	case isPad:
		d.padding()
	case isJunk:
		d.dirty = true
	default:
		d.any, d.newline = true, false
		d.acc = d.acc<<6 | uint32(v)
		if d.k++; d.k == 4 {
			d.buf = append(d.buf, byte(d.acc>>16), byte(d.acc>>8), byte(d.acc))
			d.acc, d.k = 0, 0
		}
	}
}

// padding ends an encoded piece.
func (d *base64Reader) padding() {
	if !d.any {
		d.dirty = true
		return
	}
	d.rest()
	d.suspect, d.padded = true, true
}

// rest gives the bytes of an incomplete quantum.
func (d *base64Reader) rest() {
	switch d.k {
	case 1:
		d.cutShort = true
	case 2:
		d.buf = append(d.buf, byte(d.acc>>4))
	case 3:
		d.buf = append(d.buf, byte(d.acc>>10), byte(d.acc>>2))
	}
	d.acc, d.k = 0, 0
}

// gather collects the line that must be looked at and returns how much of b it took.
func (d *base64Reader) gather(b []byte) int {
	k := bytes.IndexByte(b, '\n')
	n := k + 1
	if k < 0 {
		n = len(b)
	}
	n = min(n, suspectLine-len(d.line))
	d.line = append(d.line, b[:n]...)
	if k >= 0 && n == k+1 || len(d.line) == suspectLine {
		d.decide()
	}
	return n
}

// decide takes the collected line or ends the decoding.
func (d *base64Reader) decide() {
	text := bytes.Trim(d.line, "= \t\r\n")
	if len(text) == 0 {
		d.line = d.line[:0]
		return
	}
	full := bytes.TrimSpace(d.line)
	plain := len(full)%4 == 0 || !d.padded && len(full) >= 40 || len(d.line) == suspectLine
	for _, c := range text {
		plain = plain && base64Value[c] < 64
	}
	if !plain {
		d.ended, d.tail = true, true
		return
	}
	d.dirty = d.dirty || d.padded
	line := d.line
	d.line, d.suspect, d.padded, d.newline = nil, false, false, false
	d.feed(line)
}

func (d *base64Reader) finish() {
	if d.suspect && len(d.line) > 0 && !d.ended {
		d.decide()
	}
	if d.k != 0 {
		d.cutShort = true
	}
	d.rest()
}

func (d *base64Reader) defects() (rules []greffe.Rule) {
	if d.dirty {
		rules = append(rules, ruleBase64)
	}
	if d.cutShort {
		rules = append(rules, ruleBase64Cut)
	}
	if d.tail {
		rules = append(rules, ruleBase64Tail)
	}
	return rules
}

// lineDecoder is what quoted-printable and uuencode share: they decode line by
// line (or piece by piece of a line longer than the buffer).
type lineDecoder struct {
	br   *bufio.Reader
	out  []byte
	buf  []byte
	err  error
	each func(line []byte, whole bool)
	end  func()
	bad  bool
	rule greffe.Rule
}

func (d *lineDecoder) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		line, err := d.br.ReadSlice('\n')
		d.buf = d.buf[:0]
		if len(line) > 0 {
			d.each(line, err == nil || err == io.EOF)
		}
		if err == io.EOF {
			d.end()
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			d.err = err
		}
		d.out = d.buf
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

func (d *lineDecoder) defects() []greffe.Rule {
	if d.bad {
		return []greffe.Rule{d.rule}
	}
	return nil
}
