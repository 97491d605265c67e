package archive

import (
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
)

// What leaves the archive for a while, as a proof pack that waits to be downloaded, lies
// where more may read than may read the archive. It is covered there: encrypted, in the
// format of the age program, with a key of its own that is kept elsewhere and ends it.

// ErrCover is returned for bytes that the key does not uncover, or not to their end.
var ErrCover = errors.New("archive: covered bytes are damaged or of another key")

// NewCover returns a key for Cover and Uncover.
func NewCover() (key string, err error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", fmt.Errorf("archive: cover: %w", err)
	}
	return id.String(), nil
}

// Cover returns a reader of the bytes of r encrypted with key. It holds 64 KiB.
func Cover(key string, r io.Reader) (io.Reader, error) {
	id, err := age.ParseX25519Identity(key)
	if err != nil {
		return nil, fmt.Errorf("%w: key", ErrCover) // not what age says: it may hold the key
	}
	enc, err := age.EncryptReader(r, id.Recipient())
	if err != nil {
		return nil, fmt.Errorf("archive: cover: %w", err)
	}
	return enc, nil
}

// Uncover returns a reader of the bytes that were covered with key. Each 64 KiB are
// checked before they are given; what is cut short ends with an error, never with io.EOF.
func Uncover(key string, r io.Reader) (io.Reader, error) {
	id, err := age.ParseX25519Identity(key)
	if err != nil {
		return nil, fmt.Errorf("%w: key", ErrCover)
	}
	src := &sourceErr{r: r}
	dec, err := age.Decrypt(src, id)
	if err != nil {
		return nil, uncoverError(src, err)
	}
	return uncovered{src, dec}, nil
}

type uncovered struct {
	src *sourceErr
	dec io.Reader
}

func (u uncovered) Read(p []byte) (int, error) {
	n, err := u.dec.Read(p)
	if err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = uncoverError(u.src, err)
	}
	return n, err
}

// uncoverError tells an error of what is read from one of its bytes.
func uncoverError(src *sourceErr, err error) error {
	if src.err != nil {
		return src.err
	}
	return fmt.Errorf("%w: %w", ErrCover, err)
}
