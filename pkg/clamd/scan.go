package clamd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"unicode"
)

// Result is what clamd says of a part that it scanned.
type Result struct {
	// Signature is the name of what was found; empty when the part is clean. It is
	// printable and has at most 200 bytes.
	Signature string
}

// Clean reports whether nothing was found.
func (r Result) Clean() bool { return r.Signature == "" }

// Heuristic reports whether what was found is a guess rather than a known malware:
// clamd's Heuristics.* (also its limits, when AlertExceedsMax is set) and PUA.*
// (potentially unwanted).
func (r Result) Heuristic() bool {
	return strings.HasPrefix(r.Signature, "Heuristics.") || strings.HasPrefix(r.Signature, "PUA.")
}

// Scan has clamd scan what r gives, in memory that does not depend on its size. An
// error of r is returned as it is; see the errors of the package for the others.
func (c *Client) Scan(ctx context.Context, r io.Reader) (Result, error) {
	s, err := c.Stream(ctx)
	if err != nil {
		return Result{}, err
	}
	defer s.Close()
	for err == nil && !s.over {
		var n int
		n, err = r.Read((*s.chunk)[4+s.n:])
		if s.n += n; s.n == chunkSize {
			s.flush()
		}
	}
	if err != nil && err != io.EOF {
		return Result{}, err
	}
	return s.Result()
}

// chunkSize is how much of a part is sent at once: well below any StreamMaxLength.
const chunkSize = 64 << 10

// chunks are the buffers of streams: the length of a chunk in four bytes, and its bytes.
var chunks = sync.Pool{New: func() any { b := make([]byte, 4+chunkSize); return &b }}

// Stream is one part on its way to clamd, for a caller that has other things to do
// with its bytes. It is used by one goroutine.
type Stream struct {
	k     *conn
	chunk *[]byte // not yet sent
	n     int     // bytes of the part in it
	over  bool    // clamd takes no more: what it says will tell why
	err   error   // of writing
}

// Stream begins a scan. Close must be called.
func (c *Client) Stream(ctx context.Context) (*Stream, error) {
	k, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	s := &Stream{k: k, chunk: chunks.Get().(*[]byte)}
	s.send([]byte("zINSTREAM\x00"))
	return s, nil
}

// Write takes p to be sent. It never fails: when clamd takes no more, the rest is
// dropped and Result says why. p is not kept.
func (s *Stream) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0 && !s.over; {
		n := copy((*s.chunk)[4+s.n:], rest)
		rest = rest[n:]
		if s.n += n; s.n == chunkSize {
			s.flush()
		}
	}
	return len(p), nil
}

// flush sends the chunk that is being filled.
func (s *Stream) flush() {
	if s.n > 0 {
		binary.BigEndian.PutUint32(*s.chunk, uint32(s.n))
		s.send((*s.chunk)[:4+s.n])
		s.n = 0
	}
}

func (s *Stream) send(b []byte) {
	if s.over {
		return
	}
	err := s.k.within(s.k.c.cfg.Stall)
	if err == nil {
		_, err = s.k.Write(b)
	}
	if err != nil {
		s.over, s.err = true, err
	}
}

// Result ends the part and returns what clamd says of it. It is called once.
func (s *Stream) Result() (Result, error) {
	s.flush()
	s.send([]byte{0, 0, 0, 0})
	if ne, ok := errors.AsType[net.Error](s.err); ok && ne.Timeout() || s.k.ctx.Err() != nil {
		return Result{}, s.k.why("send the part", s.err)
	}
	// clamd may have answered and hung up before it took all: the answer counts, not
	// the broken pipe.
	line, err := s.k.answer()
	if err != nil {
		if s.err != nil {
			err = fmt.Errorf("%w: %w", ErrAnswer, s.err)
		}
		return Result{}, err
	}
	res, err := parseScan(line)
	if err == nil && res.Clean() && s.over {
		// "Clean" about bytes that did not all arrive means nothing; malware stands.
		return Result{}, fmt.Errorf("%w: before the end of the part: %w", ErrAnswer, s.err)
	}
	return res, err
}

// Close ends the stream, whatever became of it.
func (s *Stream) Close() {
	if s.k != nil {
		s.k.close()
		chunks.Put(s.chunk)
		s.k, s.chunk = nil, nil
	}
}

// parseScan reads an answer to INSTREAM: "stream: OK", "stream: NAME FOUND" or
// "... ERROR".
func parseScan(line string) (Result, error) {
	said, ok := strings.CutPrefix(line, "stream: ")
	switch name, found := strings.CutSuffix(said, " FOUND"); {
	case ok && said == "OK":
		return Result{}, nil
	case ok && found && strings.TrimSpace(name) != "":
		return Result{Signature: printable(strings.TrimSpace(name))}, nil
	case strings.HasSuffix(line, "ERROR") && strings.Contains(line, "size limit exceeded"):
		return Result{}, ErrTooLarge
	case strings.HasSuffix(line, "ERROR"):
		return Result{}, fmt.Errorf("%w: %s", ErrFailed, printable(strings.TrimSpace(strings.TrimSuffix(said, "ERROR"))))
	}
	return Result{}, fmt.Errorf("%w: %s", ErrAnswer, printable(line))
}

// printable makes a text of the server fit to be shown and logged.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	const most = 200
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most-3], "") + "..."
	}
	return s
}
