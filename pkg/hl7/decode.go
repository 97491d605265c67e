package hl7

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Limits of what a Decoder accepts, unless its fields say otherwise.
const (
	maxField    = 64 << 10
	maxMessage  = 256 << 20
	maxSegments = 10_000
	maxFields   = 500
)

// Decoder reads a message segment by segment, so that the document in it need
// not fit in memory. It is for one goroutine.
type Decoder struct {
	// Long is asked for a writer when a field turns out longer than MaxField. All
	// the bytes of the field, as received, go to that writer and the field is empty
	// in its segment. Without Long, or when it returns nil, such a field is ErrTooLong.
	Long func(segment string, field int) io.Writer
	// MaxField is the longest field kept in memory, in bytes; 0 means 64 KiB.
	MaxField int
	// MaxMessage is the longest message, in bytes; 0 means 256 MiB.
	MaxMessage int64

	r        *bufio.Reader
	sep      separators
	charset  Charset
	started  bool
	segments int
	read     int64
}

// NewDecoder returns a decoder of one message.
func NewDecoder(r io.Reader) *Decoder {
	return &Decoder{r: bufio.NewReaderSize(r, 32<<10)}
}

// Parse reads a whole message that is in memory. It copies what it returns.
func Parse(b []byte) ([]Segment, error) {
	d := NewDecoder(bytes.NewReader(b))
	d.MaxField = len(b)
	var all []Segment
	for {
		s, err := d.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
}

// Find returns the first segment called name.
func Find(segments []Segment, name string) (Segment, bool) {
	for _, s := range segments {
		if s.Name == name {
			return s, true
		}
	}
	return Segment{}, false
}

// Next returns the next segment; io.EOF after the last one. The first must be
// MSH, else ErrSyntax. CR, LF and CRLF all end a segment.
func (d *Decoder) Next() (Segment, error) {
	if err := d.skipBlank(); err != nil {
		return Segment{}, err
	}
	if d.segments++; d.segments > maxSegments {
		return Segment{}, fmt.Errorf("%w: more than %d segments", ErrTooLong, maxSegments)
	}
	if !d.started {
		if err := d.header(); err != nil {
			return Segment{}, err
		}
	}
	seg := Segment{sep: d.sep}
	for {
		field, last, err := d.field(seg.Name, len(seg.fields)+1)
		if err != nil {
			return Segment{}, err
		}
		if seg.Name == "" {
			if seg.Name = string(field); !validName(seg.Name) {
				return Segment{}, fmt.Errorf("%w: bad segment name", ErrSyntax)
			}
			if seg.Name == "MSH" {
				seg.fields = append(seg.fields, string(rune(d.sep.field)))
			}
		} else {
			if len(seg.fields) >= maxFields {
				return Segment{}, fmt.Errorf("%w: more than %d fields", ErrTooLong, maxFields)
			}
			seg.fields = append(seg.fields, d.charset.decode(field))
		}
		if last {
			break
		}
	}
	if seg.Name == "MSH" {
		d.charset = charsetOf(seg.Text(18, 1))
	}
	return seg, nil
}

func validName(s string) bool {
	if len(s) != 3 {
		return false
	}
	for i := range 3 {
		if c := s[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// skipBlank skips empty lines and, before the first segment, a byte order mark.
func (d *Decoder) skipBlank() error {
	for {
		b, err := d.r.ReadByte()
		if err != nil {
			return d.end(err)
		}
		d.read++
		if b == '\r' || b == '\n' {
			if d.read > d.maxMessage() {
				return ErrTooLong
			}
			continue
		}
		if b == 0xEF && !d.started {
			if next, err := d.r.Peek(2); err == nil && next[0] == 0xBB && next[1] == 0xBF {
				d.r.Discard(2)
				continue
			}
		}
		d.read--
		return d.r.UnreadByte()
	}
}

// header learns the separators from the first eight bytes.
func (d *Decoder) header() error {
	h, err := d.r.Peek(8)
	if err != nil && len(h) < 8 {
		if err == io.EOF {
			return fmt.Errorf("%w: shorter than a header", ErrSyntax)
		}
		return err
	}
	if string(h[:3]) != "MSH" {
		return fmt.Errorf("%w: does not begin with MSH", ErrSyntax)
	}
	d.sep = separators{h[3], h[4], h[5], h[6], h[7]}
	seen := map[byte]bool{}
	for _, c := range h[3:8] {
		if c <= ' ' || c >= 0x7f || seen[c] || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
			return fmt.Errorf("%w: bad separators", ErrSyntax)
		}
		seen[c] = true
	}
	d.started = true
	return nil
}

// field reads up to the next separator or the end of the segment.
func (d *Decoder) field(segment string, n int) (value []byte, last bool, err error) {
	limit := d.MaxField
	if limit == 0 {
		limit = maxField
	}
	var long io.Writer
	keep := func(b []byte) error {
		if d.read += int64(len(b)); d.read > d.maxMessage() {
			return fmt.Errorf("%w: more than %d bytes", ErrTooLong, d.maxMessage())
		}
		if long == nil && len(value)+len(b) > limit {
			if d.Long != nil {
				long = d.Long(segment, n)
			}
			if long == nil {
				return fmt.Errorf("%w: a field of more than %d bytes", ErrTooLong, limit)
			}
			if _, err := long.Write(value); err != nil {
				return err
			}
			value = nil
		}
		if long != nil {
			_, err := long.Write(b)
			return err
		}
		value = append(value, b...)
		return nil
	}
	for {
		if _, err := d.r.Peek(1); err != nil {
			if err == io.EOF {
				return value, true, nil
			}
			return nil, false, err
		}
		chunk, _ := d.r.Peek(d.r.Buffered())
		end := len(chunk)
		for _, c := range [...]byte{d.sep.field, '\r', '\n'} { // three fast passes over what is mostly base64
			if i := bytes.IndexByte(chunk[:end], c); i >= 0 {
				end = i
			}
		}
		if err := keep(chunk[:end]); err != nil {
			return nil, false, err
		}
		if end == len(chunk) {
			d.r.Discard(end)
			continue
		}
		last = chunk[end] != d.sep.field
		d.r.Discard(end + 1)
		d.read++
		return value, last, nil
	}
}

func (d *Decoder) maxMessage() int64 {
	if d.MaxMessage == 0 {
		return maxMessage
	}
	return d.MaxMessage
}

// end turns the end of the input into an error when nothing came before it.
func (d *Decoder) end(err error) error {
	if err == io.EOF && !d.started {
		return fmt.Errorf("%w: empty", ErrSyntax)
	}
	return err
}
