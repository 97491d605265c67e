package hl7

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Bytes of an MLLP frame (HL7 v2 transport specification, MLLP release 1):
// VT message FS CR.
const (
	frameStart = 0x0B
	frameEnd   = 0x1C
	frameCR    = 0x0D
)

// frameReader reads one message out of a stream of frames. Bytes between frames
// are skipped, up to a bound, and a new start inside a frame is an error of that frame.
type frameReader struct {
	r    *bufio.Reader
	done bool
	err  error
}

// errCut is the error of a frame that ended without its end bytes.
var errCut = errors.New("hl7: MLLP frame cut short")

// junkLimit bounds what may come between two frames.
const junkLimit = 64 << 10

// nextFrame waits for the start of a frame. io.EOF when the stream ends first.
func nextFrame(r *bufio.Reader) (*frameReader, error) {
	for range junkLimit {
		b, err := r.ReadByte()
		if err != nil {
			return nil, err
		}
		if b == frameStart {
			return &frameReader{r: r}, nil
		}
	}
	return nil, fmt.Errorf("%w: no MLLP frame in %d bytes", ErrSyntax, junkLimit)
}

// Read returns the bytes of the message; io.EOF only at the end of the frame.
func (f *frameReader) Read(p []byte) (int, error) {
	if f.done || f.err != nil {
		if f.err == nil {
			return 0, io.EOF
		}
		return 0, f.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if _, err := f.r.Peek(1); err != nil {
		return 0, f.fail(err)
	}
	chunk, _ := f.r.Peek(min(f.r.Buffered(), len(p)))
	n := len(chunk)
	for _, c := range [...]byte{frameEnd, frameStart} {
		if i := bytes.IndexByte(chunk[:n], c); i >= 0 {
			n = i
		}
	}
	copy(p, chunk[:n])
	f.r.Discard(n)
	if n == len(chunk) {
		return n, nil
	}
	if chunk[n] == frameStart {
		// The peer gave up the frame and begins another: leave that one to be read.
		f.err = fmt.Errorf("%w: another begins inside it", errCut)
		if n == 0 {
			return 0, f.err
		}
		return n, nil
	}
	f.r.Discard(1)
	f.done = true
	// FS without CR is taken as an end, too. Only a byte that is there already is
	// looked at: waiting for the CR would hang on a peer that never sends it.
	if f.r.Buffered() > 0 {
		if b, err := f.r.Peek(1); err == nil && b[0] == frameCR {
			f.r.Discard(1)
		}
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (f *frameReader) fail(err error) error {
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", errCut, io.ErrUnexpectedEOF)
	}
	f.err = err
	return err
}

// WriteFrame writes a message in a frame.
func WriteFrame(w io.Writer, message []byte) error {
	b := make([]byte, 0, len(message)+3)
	b = append(b, frameStart)
	b = append(b, message...)
	b = append(b, frameEnd, frameCR)
	_, err := w.Write(b)
	return err
}
