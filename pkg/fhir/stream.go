package fhir

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"slices"
)

// Blob is content that can be opened, more than once.
type Blob struct {
	Size int64
	Open func() (io.ReadCloser, error)
}

// stream is a request body: JSON, with the base64 of a content somewhere in it that
// is never in memory as a whole.
type stream struct {
	head, tail []byte
	content    *Blob // nil: head is all
}

// around returns the stream of the JSON text b with the content as the value of its
// one empty member "data". A text inside a JSON string cannot look like that member:
// its quotes are escaped.
func around(b []byte, content *Blob) stream {
	before, after, _ := bytes.Cut(b, []byte(`"data":""`))
	return stream{head: slices.Concat(before, []byte(`"data":"`)), tail: slices.Concat([]byte(`"`), after), content: content}
}

// size returns the length of the body in bytes.
func (s *stream) size() int64 {
	n := int64(len(s.head) + len(s.tail))
	if s.content != nil {
		n += (s.content.Size + 2) / 3 * 4
	}
	return n
}

// body opens the content and returns the whole request body.
func (s *stream) body() (io.ReadCloser, error) {
	if s.content == nil {
		return io.NopCloser(bytes.NewReader(s.head)), nil
	}
	f, err := s.content.Open()
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(s.head), &encoder{r: f}, bytes.NewReader(s.tail)), f}, nil
}

// encoder reads the base64 of r.
type encoder struct {
	r   io.Reader
	out []byte // encoded, not yet read
	buf [24 << 10]byte
	enc [32 << 10]byte
	err error
}

func (e *encoder) Read(p []byte) (int, error) {
	for len(e.out) == 0 {
		if e.err != nil {
			return 0, e.err
		}
		var n int
		n, e.err = io.ReadFull(e.r, e.buf[:]) // a multiple of 3 except at the end
		if errors.Is(e.err, io.ErrUnexpectedEOF) {
			e.err = io.EOF
		}
		if e.err != nil && !errors.Is(e.err, io.EOF) {
			return 0, e.err // nothing of a broken end is sent
		}
		base64.StdEncoding.Encode(e.enc[:], e.buf[:n])
		e.out = e.enc[:base64.StdEncoding.EncodedLen(n)]
	}
	n := copy(p, e.out)
	e.out = e.out[n:]
	return n, nil
}
