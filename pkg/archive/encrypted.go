package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"

	"greffe/pkg/greffe"
)

// Encrypted is a store whose objects are encrypted, each with a key of its own that can
// be destroyed: see the package comment for what lies where. It keeps the contract of
// the store that it is made of, and adds:
//
//   - the wrapped key of an object is durable before the object is there;
//   - an object whose key is missing or damaged is ErrKeyLost, which is an ErrDigest,
//     too: nobody takes it for what was stored. One whose key was destroyed by Erase is
//     an ErasedError;
//   - the same bytes arriving at such a key are stored once more beside it, so that no
//     message is lost because another one was erased; below messages/, where a key
//     belongs to one message, Put of what was erased is an ErasedError;
//   - a wrapped key whose master key is not in the file is ErrUnavailable: the file has to
//     be mended, then the same call works. Who lost a master key for good removes its
//     name below keys/masters/: what it wrapped is ErrKeyLost then;
//   - Stat, Retain and Hold return no SHA-256: what the driver has is that of the
//     encrypted bytes.
//
// What was stored before encryption was turned on is read as it is.
type Encrypted struct {
	inner     Eliminator
	masters   *Masters
	retention time.Duration
	header    int64 // bytes before the nonce of every encrypted object

	mu    sync.Mutex
	ready bool // the master keys were compared with those that the archive names
}

// Errors of Encrypted, beside those of every Store.
var (
	ErrKeyLost  = errors.New("archive: the key of an encrypted object is missing or damaged")
	ErrNoMaster = errors.New("archive: a master key of this archive is not in the file of master keys")
)

// ErasedError says that the key of an object was destroyed, or is about to be.
type ErasedError struct {
	Key   string // of the object
	Order string // id of the erasure
}

func (e *ErasedError) Error() string {
	return fmt.Sprintf("archive: %s was erased (erasure %s)", e.Key, e.Order)
}

// Encrypt returns store with its objects encrypted. retention is that of store: what
// arrives again is locked for as long as what arrives (0: nothing is locked). Closing
// it closes store.
func Encrypt(store Eliminator, masters *Masters, retention time.Duration) (*Encrypted, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("archive: encryption: %w", err)
	}
	empty, err := age.EncryptReader(bytes.NewReader(nil), id.Recipient())
	if err != nil {
		return nil, fmt.Errorf("archive: encryption: %w", err)
	}
	header, err := age.ExtractHeader(empty)
	if err != nil {
		return nil, fmt.Errorf("archive: encryption: %w", err)
	}
	return &Encrypted{inner: store, masters: masters, retention: retention, header: int64(len(header))}, nil
}

func (e *Encrypted) Close() error { return e.inner.Close() }

// Put looks at the wrapped key, the object and what was stored in clear before, in this
// order of what decides: see the generations of a key in the package comment.
func (e *Encrypted) Put(ctx context.Context, key string, r io.Reader, size int64, sha greffe.Digest) (greffe.Object, error) {
	if inClear(key) {
		return e.inner.Put(ctx, key, r, size, sha)
	}
	if err := checkPut(key, size, sha); err != nil {
		return greffe.Object{}, err
	}
	if !sealable(key) {
		return greffe.Object{}, fmt.Errorf("archive: put: %w: %.40q", ErrKey, key)
	}
	if err := e.known(ctx); err != nil {
		return greffe.Object{}, err
	}
	body := Checked(contextReader{ctx, r}, size, sha)
	for gen := 1; gen <= generations; gen++ {
		o, err := e.put(ctx, key, gen, body, size, sha)
		if !errors.Is(err, errNext) {
			return o, err
		}
	}
	return greffe.Object{}, fmt.Errorf("archive: put %s: %w", key, ErrKeyLost)
}

// errNext: this generation cannot be read any more, the next one takes the bytes.
var errNext = errors.New("next generation")

func (e *Encrypted) put(ctx context.Context, key string, gen int, body io.Reader, size int64, sha greffe.Digest) (greffe.Object, error) {
	sealed := sealedKey(key, gen)
	var id *age.X25519Identity
	var there Info
	var keyErr, thereErr, clearErr error
	var wait errgroup.Group
	// In this order: another writer makes its key before its object.
	wait.Go(func() error {
		there, thereErr = e.inner.Stat(ctx, sealed)
		id, keyErr = e.identity(ctx, sealed)
		return nil
	})
	clearErr = ErrNotFound
	if gen == 1 {
		wait.Go(func() error { _, clearErr = e.inner.Stat(ctx, key); return nil })
	}
	_ = wait.Wait()
	absent := errors.Is(thereErr, ErrNotFound)
	switch {
	case thereErr != nil && !absent:
		return greffe.Object{}, thereErr
	case keyErr != nil && !errors.Is(keyErr, ErrNotFound) && !errors.Is(keyErr, ErrKeyLost):
		return greffe.Object{}, keyErr
	case absent && clearErr == nil: // from before encryption
		return e.inner.Put(ctx, key, body, size, sha)
	case absent && !errors.Is(clearErr, ErrNotFound):
		return greffe.Object{}, clearErr
	case errors.Is(keyErr, ErrKeyLost):
		return greffe.Object{}, errNext
	case keyErr != nil && absent:
		var err error
		if id, err = e.makeKey(ctx, sealed); err != nil {
			return greffe.Object{}, err
		}
	case keyErr != nil:
		return greffe.Object{}, e.passed(key, e.gone(ctx, key, sealed))
	}
	if !absent {
		if err := e.gone(ctx, key, sealed); !errors.Is(err, ErrKeyLost) { // an erasure was asked for
			return greffe.Object{}, e.passed(key, err)
		}
		if _, err := copyChunks(io.Discard, body); err != nil {
			return greffe.Object{}, fmt.Errorf("archive: put %s: %w", key, err)
		}
		return e.same(ctx, key, id, there, size, sha)
	}
	s, err := seal(body, id)
	if err != nil {
		return greffe.Object{}, fmt.Errorf("archive: put %s: %w", key, err)
	}
	defer s.Close()
	o, err := e.inner.Put(ctx, sealed, s.reader(), s.size, s.sha)
	if errors.Is(err, ErrExists) { // another writer was faster, with the same key
		if there, err = e.inner.Stat(ctx, sealed); err == nil {
			return e.same(ctx, key, id, there, size, sha)
		}
	}
	if err != nil {
		return greffe.Object{}, err
	}
	return greffe.Object{Key: key, Version: o.Version, SHA256: sha, Size: size}, nil
}

// passed decides about an object that is erased or lost: what other messages may bring
// again is stored once more, what was one message stays erased.
func (e *Encrypted) passed(key string, why error) error {
	_, erased := errors.AsType[*ErasedError](why)
	if errors.Is(why, ErrKeyLost) || erased && ownedByMany(key) {
		return errNext
	}
	return why
}

// same returns the object that is there, when it holds size bytes of digest sha, locked
// as if it arrived now. It is read: what cannot be read back is not archived.
func (e *Encrypted) same(ctx context.Context, key string, id *age.X25519Identity, there Info, size int64, sha greffe.Digest) (greffe.Object, error) {
	fail := func(err error) (greffe.Object, error) {
		return greffe.Object{}, fmt.Errorf("archive: put %s: %w", key, err)
	}
	err := e.holds(ctx, key, id, there.Object, size, sha)
	if errors.Is(err, ErrExists) {
		// On S3 somebody may have put another version over ours: the list shows the first.
		for i, listed := range e.inner.List(ctx, there.Key) {
			if listed != nil {
				return fail(listed)
			}
			if i.Key == there.Key && i.Version != there.Version {
				there = i
				err = e.holds(ctx, key, id, there.Object, size, sha)
			}
			break
		}
	}
	if err != nil {
		return fail(err)
	}
	if e.retention > 0 {
		_, err := e.inner.Retain(ctx, there.Object, lockEnd(time.Now(), e.retention))
		switch {
		case errors.Is(err, ErrNotFound):
			return fail(fmt.Errorf("%w: eliminated at this moment: %w", ErrUnavailable, err))
		case errors.Is(err, errNotLocked) && there.Mode == "": // see s3Store.same
		case err != nil:
			return fail(err)
		}
	}
	return greffe.Object{Key: key, Version: there.Version, SHA256: sha, Size: size}, nil
}

// holds returns nil when the encrypted object o is size bytes of digest sha, ErrExists
// when it is something else.
func (e *Encrypted) holds(ctx context.Context, key string, id *age.X25519Identity, o greffe.Object, size int64, sha greffe.Digest) error {
	r, err := e.open(ctx, key, place{object: o, id: id})
	if err == nil {
		_, err = copyChunks(io.Discard, Checked(r, size, sha))
		err = errors.Join(err, r.Close())
	}
	if errors.Is(err, ErrDigest) {
		return ErrExists
	}
	return err
}
