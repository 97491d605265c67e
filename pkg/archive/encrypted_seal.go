package archive

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"filippo.io/age"

	"greffe/pkg/greffe"
)

// sealedMemory is the largest encrypted object that is held in memory until its digest
// is known; a larger one is held in a file. In clear nothing is held.
const sealedMemory = 1 << 20

// sealed is an encrypted object before it is stored: a store wants size and digest first.
type sealed struct {
	io.ReaderAt
	size int64
	sha  greffe.Digest
	mem  *bytes.Buffer
	f    *os.File // nil in memory
}

var sealedBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// seal encrypts r to id. A large object goes to a temporary file that has lost its name
// before the first byte is written.
func seal(r io.Reader, id *age.X25519Identity) (*sealed, error) {
	src := &sourceErr{r: r}
	enc, err := age.EncryptReader(src, id.Recipient())
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	h := sha256.New()
	in := io.TeeReader(enc, h)
	s := &sealed{mem: sealedBuffers.Get().(*bytes.Buffer)}
	s.mem.Reset()
	s.size, err = copyChunks(s.mem, io.LimitReader(in, sealedMemory+1))
	if err == nil && s.size > sealedMemory {
		err = s.spill(in)
	}
	if err != nil {
		if src.err != nil {
			err = src.err // what age makes of it hides the cause
		}
		return nil, errors.Join(err, s.Close())
	}
	if s.f == nil {
		s.ReaderAt = bytes.NewReader(s.mem.Bytes())
	}
	s.sha = greffe.DigestFrom(h.Sum(nil))
	return s, nil
}

// spill writes what is in memory and the rest to a file.
func (s *sealed) spill(rest io.Reader) error {
	f, err := os.CreateTemp("", "greffe-sealed-")
	if err != nil {
		return fmt.Errorf("hold an encrypted object: %w: %w", ErrUnavailable, err)
	}
	s.f, s.ReaderAt = f, f
	if err := os.Remove(f.Name()); err != nil {
		return fmt.Errorf("hold an encrypted object: %w", err)
	}
	if s.size, err = copyChunks(f, io.MultiReader(s.mem, rest)); err != nil {
		return outage(err)
	}
	return nil
}

func (s *sealed) reader() io.Reader { return io.NewSectionReader(s.ReaderAt, 0, s.size) }

// Close frees what was held, once.
func (s *sealed) Close() error {
	sealedBuffers.Put(s.mem)
	if s.f != nil {
		return s.f.Close()
	}
	return nil
}

// sourceErr remembers the error of what is read, to tell it from one of age.
type sourceErr struct {
	r   io.Reader
	err error
}

func (s *sourceErr) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// Sizes of the format age-encryption.org/v1: a nonce, then chunks with a tag each.
const (
	ageNonce = 16
	ageChunk = 64 << 10
	ageTag   = 16
)

// clearSize returns how many bytes an encrypted object of size bytes holds.
func (e *Encrypted) clearSize(size int64) int64 {
	size -= e.header + ageNonce
	if size < ageTag {
		return 0 // not what Greffe wrote
	}
	chunks := (size + ageChunk + ageTag - 1) / (ageChunk + ageTag)
	return size - chunks*ageTag
}
