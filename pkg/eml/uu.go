package eml

import (
	"bufio"
	"bytes"
	"io"
	"strings"

	"greffe/pkg/greffe"
)

// uuPieces gives the files that are coded into a text between lines "begin" and
// "end" (POSIX uuencode, in both of its codes).
func uuPieces(src io.Reader, piece func(n int, l *Leaf, r io.Reader) error) (findings []greffe.Finding, err error) {
	br := bufio.NewReaderSize(src, 8<<10)
	n, whole := 0, true
	for {
		line, err := br.ReadSlice('\n')
		begins := whole
		whole = err == nil
		if name, base64, ok := uuBegin(line); ok && begins && whole && (base64 || uuFirst(br)) {
			if n == maxPieces {
				return append(findings, rulePieces.At("", maxPieces)), nil
			}
			b := &block{br: br, end: "end"}
			var dec decoder
			if base64 {
				b.end = "===="
				dec = newBase64(b)
			} else {
				dec = newUULines(b)
			}
			l := &Leaf{Name: name, Declared: "application/octet-stream", Disposition: "attachment"}
			r := &pieceReader{dec: dec, leaf: l, block: b}
			if err := piece(n, l, r); err != nil {
				return findings, err
			}
			if _, err := io.Copy(io.Discard, r); err != nil {
				return findings, err
			}
			n++
			continue
		}
		switch err {
		case nil, bufio.ErrBufferFull:
		case io.EOF:
			return findings, nil
		default:
			return findings, err
		}
	}
}

// uuBegin reads the line that begins a file: "begin 644 name" or "begin-base64 644 name".
func uuBegin(line []byte) (name string, base64, ok bool) {
	s := strings.TrimRight(string(line[:min(len(line), 600)]), "\r\n")
	rest, ok := strings.CutPrefix(s, "begin ")
	if !ok {
		if rest, ok = strings.CutPrefix(s, "begin-base64 "); !ok {
			return "", false, false
		}
		base64 = true
	}
	mode, name, ok := strings.Cut(rest, " ")
	if !ok || len(mode) < 3 || len(mode) > 4 || strings.Trim(mode, "01234567") != "" {
		return "", false, false
	}
	name = cut(clean(utf8OrLatin(strings.Trim(name, `" `))), 500)
	return name, base64, name != ""
}

// uuFirst reports whether the next line is one of uuencoded data, so that a sentence
// with "begin" in it is not taken for a file.
func uuFirst(br *bufio.Reader) bool {
	b, _ := br.Peek(90)
	line, _, ok := bytes.Cut(b, []byte("\n"))
	line = bytes.TrimRight(line, "\r")
	if !ok || len(line) == 0 || line[0] < ' ' || line[0] > '`' {
		return len(line) == 0 && ok || bytes.HasPrefix(b, []byte("end"))
	}
	want := (int(line[0]-' ')&63 + 2) / 3 * 4
	return len(line)-1 <= want+2 && len(line)-1 >= want-4 // a checksum may follow, blanks may be lost
}

// block reads lines until the one that ends them.
type block struct {
	br    *bufio.Reader
	end   string
	left  []byte
	whole bool // the line before ended
	begun bool
	ended bool
}

func (b *block) Read(p []byte) (int, error) {
	for len(b.left) == 0 {
		if b.ended {
			return 0, io.EOF
		}
		line, err := b.br.ReadSlice('\n')
		if (b.whole || !b.begun) && string(bytes.TrimSpace(line)) == b.end {
			b.ended = true
			return 0, io.EOF
		}
		b.begun, b.whole = true, err == nil
		if b.left = line; len(line) == 0 && err != nil {
			return 0, err
		}
	}
	n := copy(p, b.left)
	b.left = b.left[n:]
	return n, nil
}

// newUULines decodes uuencoded lines without their begin and end.
func newUULines(r io.Reader) *lineDecoder {
	d := &lineDecoder{br: bufio.NewReaderSize(r, 1<<10), rule: ruleUU}
	d.each = func(line []byte, whole bool) {
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			d.uuLine(line)
			d.bad = d.bad || !whole
		}
	}
	d.end = func() {}
	return d
}

// pieceReader notes what the decoder of a piece found at its end.
type pieceReader struct {
	dec   decoder
	leaf  *Leaf
	block *block // nil when the piece has no end of its own
	done  bool
}

func (r *pieceReader) Read(p []byte) (int, error) {
	n, err := r.dec.Read(p)
	if err == io.EOF && !r.done {
		r.done = true
		for _, rule := range r.dec.defects() {
			r.leaf.Findings = append(r.leaf.Findings, rule.At(""))
		}
		if r.block != nil && !r.block.ended && len(r.leaf.Findings) == 0 {
			r.leaf.Findings = append(r.leaf.Findings, ruleUU.At(""))
		}
	}
	return n, err
}
