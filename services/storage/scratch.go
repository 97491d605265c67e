package storage

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// errFull is returned for a write beyond the limit of a scratch file.
var errFull = errors.New("storage: larger than a pack may be")

// scratch is a file of which nothing stays readable: it has no name, and what is written
// to it is encrypted (AES-256 in counter mode) with a key that only this process ever had.
// Without a name a crash leaves nothing to remove; without the key, nothing to read on the
// disk, whether or not the archive is encrypted. It is an evidence.PackOutput, for one
// goroutine at a time. Bytes are not authenticated: a pack carries its own proof.
type scratch struct {
	f     *os.File
	block cipher.Block
	at    int64
	limit int64
}

// newScratch makes a scratch file in dir of at most limit bytes.
func newScratch(dir string, limit int64) (*scratch, error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("working file: %w", err)
		}
	}
	var key [32]byte
	rand.Read(key[:]) // never fails (crypto/rand)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("working file: %w", err)
	}
	f, err := os.CreateTemp(dir, "greffe-pack-")
	if err != nil {
		return nil, fmt.Errorf("working file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("working file: %w", err), f.Close())
	}
	return &scratch{f: f, block: block, limit: limit}, nil
}

// cover writes to dst what src is at an offset of the file; it is its own reverse.
func (s *scratch) cover(dst, src []byte, at int64) {
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint64(iv[8:], uint64(at/aes.BlockSize))
	stream := cipher.NewCTR(s.block, iv[:])
	var skip [aes.BlockSize]byte
	stream.XORKeyStream(skip[:at%aes.BlockSize], skip[:at%aes.BlockSize])
	stream.XORKeyStream(dst, src)
}

func (s *scratch) WriteAt(p []byte, at int64) (n int, err error) {
	if at < 0 || at+int64(len(p)) > s.limit {
		return 0, errFull
	}
	buf := make([]byte, min(len(p), 32<<10))
	for n < len(p) && err == nil {
		part := buf[:min(len(buf), len(p)-n)]
		s.cover(part, p[n:n+len(part)], at+int64(n))
		var done int
		done, err = s.f.WriteAt(part, at+int64(n))
		n += done
	}
	return n, err
}

func (s *scratch) Write(p []byte) (int, error) {
	n, err := s.WriteAt(p, s.at)
	s.at += int64(n)
	return n, err
}

func (s *scratch) ReadAt(p []byte, at int64) (int, error) {
	n, err := s.f.ReadAt(p, at)
	s.cover(p[:n], p[:n], at)
	return n, err
}

func (s *scratch) Truncate(size int64) error { return s.f.Truncate(size) }

func (s *scratch) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekCurrent {
		offset, whence = s.at+offset, io.SeekStart
	}
	at, err := s.f.Seek(offset, whence)
	if err == nil {
		s.at = at
	}
	return at, err
}

// Close removes the file.
func (s *scratch) Close() error { return s.f.Close() }
