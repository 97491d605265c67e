package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"greffe/pkg/greffe"
)

// Checked returns a reader of r that ends with io.EOF only when r gave exactly
// size bytes of digest sha, and with ErrDigest otherwise. The verdict comes
// before the last bytes are handed out, so that whoever copies from it never
// holds a complete object that is wrong. The digest is only checked at the end:
// a caller that stops earlier has proved nothing.
func Checked(r io.Reader, size int64, sha greffe.Digest) io.Reader {
	return &checked{r: r, h: sha256.New(), left: size, sha: sha}
}

type checked struct {
	r    io.Reader
	h    hash.Hash
	left int64 // bytes still expected
	sha  greffe.Digest
	done bool  // the verdict is known
	err  error // it is bad, or r failed
}

func (c *checked) Read(p []byte) (int, error) {
	switch {
	case c.err != nil:
		return 0, c.err
	case c.done:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	n := 0
	if c.left > 0 {
		var err error
		n, err = c.r.Read(p[:min(int64(len(p)), c.left)])
		c.h.Write(p[:n])
		c.left -= int64(n)
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			c.err = err
			return n, err
		case err != nil && c.left > 0:
			c.err = fmt.Errorf("%w: ended %d bytes early", ErrDigest, c.left)
			return n, c.err
		case c.left > 0:
			return n, nil
		}
	}
	if c.err = c.finish(); c.err != nil {
		return 0, c.err
	}
	c.done = true
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// finish makes sure that r ends here and that the digest is right.
func (c *checked) finish() error {
	var one [1]byte
	for range 100 {
		n, err := c.r.Read(one[:])
		switch {
		case n > 0:
			return fmt.Errorf("%w: more bytes than announced", ErrDigest)
		case errors.Is(err, io.EOF):
			if got := greffe.DigestFrom(c.h.Sum(nil)); got != c.sha {
				return fmt.Errorf("%w: read %s, want %s", ErrDigest, got, c.sha)
			}
			return nil
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

// contextReader stops reading when ctx is done. It looks again after reading, so
// that an end that comes after the cancellation does not pass for a good one.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.r.Read(p)
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return n, err
}

// checkPut refuses what no driver can store.
func checkPut(key string, size int64, sha greffe.Digest) error {
	switch {
	case !validKey(key):
		return fmt.Errorf("%w: %.40q", ErrKey, key)
	case size < 0 || !sha.Valid():
		return fmt.Errorf("%w: nothing to check against (size %d)", ErrDigest, size)
	}
	return nil
}
