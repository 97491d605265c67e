package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"filippo.io/age"

	"greffe/pkg/greffe"
)

// place is where an object really is.
type place struct {
	object greffe.Object       // key and version in the store below
	id     *age.X25519Identity // nil: it was stored in clear
}

// find calls f with the place of o: the first generation that has its key, then what
// was stored in clear. f says ErrNotFound when it is not there.
func (e *Encrypted) find(ctx context.Context, o greffe.Object, f func(place) error) error {
	if !validKey(o.Key) || !sealable(o.Key) {
		return fmt.Errorf("archive: %w: %.40q", ErrKey, o.Key)
	}
	var why error
	for gen := 1; gen <= generations; gen++ {
		sealed := sealedKey(o.Key, gen)
		id, err := e.identity(ctx, sealed)
		if errors.Is(err, ErrNotFound) {
			if _, there := e.inner.Stat(ctx, sealed); there == nil {
				id, err = e.identity(ctx, sealed) // a writer makes the key before the object
			}
		}
		if err == nil {
			err = f(place{greffe.Object{Key: sealed, Version: o.Version}, id})
			if !errors.Is(err, ErrNotFound) {
				return err
			}
			continue // a key whose object did not come that far, or another version
		}
		if errors.Is(err, ErrNotFound) {
			_, err = e.inner.Stat(ctx, sealed)
			if errors.Is(err, ErrNotFound) {
				break
			}
			if err == nil {
				err = e.gone(ctx, o.Key, sealed)
			}
		}
		if _, erased := errors.AsType[*ErasedError](err); !erased && !errors.Is(err, ErrKeyLost) {
			return err
		}
		why = err
	}
	err := f(place{object: o})
	if errors.Is(err, ErrNotFound) && why != nil {
		return why
	}
	return err
}

func (e *Encrypted) Open(ctx context.Context, o greffe.Object) (r io.ReadSeekCloser, err error) {
	if inClear(o.Key) {
		return e.inner.Open(ctx, o)
	}
	err = e.find(ctx, o, func(p place) error {
		if p.id == nil {
			r, err = e.inner.Open(ctx, p.object)
		} else {
			r, err = e.open(ctx, o.Key, p)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (e *Encrypted) open(ctx context.Context, key string, p place) (io.ReadSeekCloser, error) {
	inner, err := e.inner.Open(ctx, p.object)
	if err != nil {
		return nil, err
	}
	r := &ageReader{key: key, inner: inner, id: p.id, sealed: -1, clearSize: e.clearSize}
	if err := r.begin(); err != nil {
		return nil, errors.Join(err, inner.Close())
	}
	return r, nil
}

// ageReader decrypts while it reads. From its beginning an object streams; from
// anywhere else it is read chunk by chunk.
type ageReader struct {
	key       string
	inner     io.ReadSeekCloser
	id        *age.X25519Identity
	clearSize func(int64) int64

	at     int64       // where the next Read begins
	stream io.Reader   // in order, at at; nil after a Seek
	random io.ReaderAt // anywhere; nil until it is needed
	sealed int64       // size of what inner gives; -1: not known yet
	failed error       // what inner said, which age hides
}

// begin reads the header. inner is at its beginning.
func (r *ageReader) begin() (err error) {
	r.stream, err = age.Decrypt(innerReader{r}, r.id)
	return r.blame(err)
}

// innerReader reads in order what is encrypted; ReadAt reads it anywhere.
type innerReader struct{ *ageReader }

func (i innerReader) Read(p []byte) (int, error) {
	n, err := i.inner.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		i.failed = err
	}
	return n, err
}

func (i innerReader) ReadAt(p []byte, off int64) (int, error) {
	if _, err := i.inner.Seek(off, io.SeekStart); err != nil {
		i.failed = err
		return 0, err
	}
	n, err := io.ReadFull(struct{ io.Reader }{i}, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// blame tells bytes that were changed from a store that does not answer.
func (r *ageReader) blame(err error) error {
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return err
	case r.failed != nil:
		return r.failed
	}
	return fmt.Errorf("archive: read %s: %w: %w", r.key, ErrDigest, err)
}

func (r *ageReader) Read(p []byte) (int, error) {
	if r.stream == nil && r.at == 0 {
		if _, err := r.inner.Seek(0, io.SeekStart); err != nil {
			return 0, err
		}
		if err := r.begin(); err != nil {
			return 0, err
		}
	}
	if r.stream != nil {
		n, err := r.stream.Read(p)
		r.at += int64(n)
		return n, r.blame(err)
	}
	if r.at >= r.clearSize(r.sealed) {
		return 0, io.EOF
	}
	if r.random == nil {
		random, _, err := age.DecryptReaderAt(innerReader{r}, r.sealed, r.id)
		if err != nil {
			return 0, r.blame(err)
		}
		r.random = random
	}
	n, err := r.random.ReadAt(p, r.at)
	r.at += int64(n)
	return n, r.blame(err)
}

func (r *ageReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		if r.sealed < 0 {
			r.stream = nil
			size, err := r.inner.Seek(0, io.SeekEnd)
			if err != nil {
				return r.at, err
			}
			r.sealed = size
		}
		offset += r.clearSize(r.sealed)
	default:
		offset = -1
	}
	if offset < 0 {
		return r.at, fmt.Errorf("archive: seek in %s: no such place", r.key)
	}
	if offset == r.at && r.stream != nil {
		return offset, nil
	}
	if r.sealed < 0 {
		size, err := r.inner.Seek(0, io.SeekEnd)
		if err != nil {
			return r.at, err
		}
		r.sealed = size
	}
	r.stream, r.at = nil, offset
	return offset, nil
}

func (r *ageReader) Close() error { return r.inner.Close() }

func (e *Encrypted) Stat(ctx context.Context, key string) (i Info, err error) {
	if inClear(key) {
		return e.inner.Stat(ctx, key)
	}
	err = e.find(ctx, greffe.Object{Key: key}, func(p place) error {
		i, err = e.inner.Stat(ctx, p.object.Key)
		i = e.info(key, p, i)
		return err
	})
	if err != nil {
		return Info{}, err
	}
	return i, nil
}

// info says of the object at key what the store below says of the one that is there.
func (e *Encrypted) info(key string, p place, i Info) Info {
	i.Key = key
	if p.id != nil {
		i.Size, i.SHA256, i.Encrypted = e.clearSize(i.Size), "", true
	}
	return i
}

// List shows each key once, whatever generations it has. Wrapped keys are not shown.
func (e *Encrypted) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		last := ""
		for i, err := range e.inner.List(ctx, prefix) {
			if err != nil {
				yield(Info{}, err)
				return
			}
			if strings.HasPrefix(i.Key, KeysPrefix) {
				continue
			}
			if key, sealed := clearKey(i.Key); sealed && !inClear(key) {
				i = e.info(key, place{id: &age.X25519Identity{}}, i)
			}
			if i.Key == last {
				continue
			}
			last = i.Key
			if !yield(i, nil) {
				return
			}
		}
	}
}
