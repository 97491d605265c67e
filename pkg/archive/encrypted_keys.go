package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"filippo.io/age"

	"greffe/pkg/greffe"
)

const (
	sealedEnd   = ".age"    // of the key of an encrypted object and of its wrapped key
	erasedEnd   = ".erased" // of the note that an erasure was asked for
	mastersPath = KeysPrefix + "masters/"

	generations = 10_000   // of one key, which is erased and arrives again; they are walked in order
	maxWrapped  = 64 << 10 // bytes of a wrapped key
	erasedMark  = "greffe-erased/1 "
)

// inClear reports whether what is at key is not encrypted: the sealed journal, but for
// the facts beside it, and what eliminations leave. They hold ids and digests only, and
// prove without any key what happened to the rest.
func inClear(key string) bool {
	switch {
	case strings.HasPrefix(key, JournalPrefix):
		return !strings.HasSuffix(key, factsEnd)
	case strings.HasPrefix(key, EliminationsPrefix), strings.HasPrefix(key, checksPrefix):
		return true
	}
	return false
}

// factsEnd is how keys of facts end (package evidence): they say what persons wrote.
const factsEnd = ".facts.jsonl"

// ownedByMany reports whether several messages may bring what is at key.
func ownedByMany(key string) bool { return !strings.HasPrefix(key, MessagesPrefix) }

// sealable reports whether key can be that of an encrypted object, and is not taken for
// a generation of another one.
func sealable(key string) bool {
	back, _ := clearKey(key + sealedEnd)
	return back == key && !strings.HasPrefix(key, KeysPrefix) && !strings.HasSuffix(key, sealedEnd)
}

// sealedKey returns where the encrypted object of key is: key.age, or key.2.age and so
// on, when it arrived again after the one before was erased.
func sealedKey(key string, gen int) string {
	if gen > 1 {
		key += "." + strconv.Itoa(gen)
	}
	return key + sealedEnd
}

// clearKey undoes sealedKey.
func clearKey(sealed string) (key string, ok bool) {
	if key, ok = strings.CutSuffix(sealed, sealedEnd); !ok {
		return "", false
	}
	if i := strings.LastIndexByte(key, '.'); i > 0 {
		if n, err := strconv.Atoi(key[i+1:]); err == nil && n >= 2 && n <= generations && strconv.Itoa(n) == key[i+1:] {
			key = key[:i]
		}
	}
	return key, true
}

// identity returns the key of an encrypted object. ErrNotFound when it has none,
// ErrKeyLost when it is damaged or its master key was given up, ErrUnavailable with
// ErrNoMaster when that is missing in the file.
func (e *Encrypted) identity(ctx context.Context, sealed string) (*age.X25519Identity, error) {
	b, err := e.small(ctx, KeysPrefix+sealed)
	if err != nil {
		return nil, err
	}
	lost := func(err error) (*age.X25519Identity, error) {
		return nil, fmt.Errorf("%w: %w: %s%s: %w", ErrKeyLost, ErrDigest, KeysPrefix, sealed, err)
	}
	r, err := age.Decrypt(bytes.NewReader(b), e.masters.identities...)
	if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		if err := e.compare(ctx); err != nil {
			return nil, fmt.Errorf("%s%s: %w", KeysPrefix, sealed, err)
		}
		// Every master key that the archive names is here: this one was given up.
		return lost(errors.New("its master key is not named by the archive"))
	}
	if err != nil {
		return lost(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return lost(err)
	}
	id, err := age.ParseX25519Identity(strings.TrimSpace(string(text)))
	if err != nil {
		return lost(errors.New("it holds no secret key"))
	}
	return id, nil
}

// makeKey makes the key of an object and returns once it is durable, wrapped. Of
// several that make it at once one wins, and all return that one.
func (e *Encrypted) makeKey(ctx context.Context, sealed string) (*age.X25519Identity, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("archive: make a key: %w", err)
	}
	r, err := age.EncryptReader(strings.NewReader(id.String()+"\n"), e.masters.recipient)
	if err != nil {
		return nil, fmt.Errorf("archive: wrap a key: %w", err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("archive: wrap a key: %w", err)
	}
	err = e.putSmall(ctx, KeysPrefix+sealed, b)
	if errors.Is(err, ErrExists) {
		return e.identity(ctx, sealed)
	}
	if err != nil {
		return nil, err
	}
	return id, nil
}

// gone says why an object has no key: an ErasedError, or ErrKeyLost, or that it could
// not be found out. An object that has one is about to be erased when it is an ErasedError.
func (e *Encrypted) gone(ctx context.Context, key, sealed string) error {
	b, err := e.small(ctx, KeysPrefix+sealed+erasedEnd)
	switch {
	case errors.Is(err, ErrNotFound):
		return fmt.Errorf("%w: %w: %s%s", ErrKeyLost, ErrDigest, KeysPrefix, sealed)
	case err != nil:
		return err
	}
	order, ok := strings.CutPrefix(strings.TrimSuffix(string(b), "\n"), erasedMark)
	if !ok || !validName(order) {
		return fmt.Errorf("%w: %w: %s%s%s is not what Greffe wrote", ErrKeyLost, ErrDigest, KeysPrefix, sealed, erasedEnd)
	}
	return &ErasedError{Key: key, Order: order}
}

// known makes sure, once, that every master key that ever wrapped a key of this archive
// is in the file, and names the one that wraps now: who starts with another file must
// not find out years later.
func (e *Encrypted) known(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ready {
		return nil
	}
	if err := e.compare(ctx); err != nil {
		return err
	}
	line := []byte(e.masters.first + "\n")
	if err := e.putSmall(ctx, mastersPath+e.masters.ID()+".pub", line); err != nil {
		return err
	}
	e.ready = true
	return nil
}

// compare returns ErrUnavailable with ErrNoMaster when a master key is missing.
func (e *Encrypted) compare(ctx context.Context) error {
	for i, err := range e.inner.List(ctx, mastersPath) {
		if err != nil {
			return err
		}
		b, err := e.small(ctx, i.Key)
		if err != nil {
			return err
		}
		if public := strings.TrimSpace(string(b)); !e.masters.public[public] {
			return fmt.Errorf("%w: %w: %s", ErrUnavailable, ErrNoMaster, strings.TrimSuffix(strings.TrimPrefix(i.Key, mastersPath), ".pub"))
		}
	}
	return nil
}

// small reads a small object.
func (e *Encrypted) small(ctx context.Context, key string) ([]byte, error) {
	r, err := e.inner.Open(ctx, greffe.Object{Key: key})
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(r, maxWrapped+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	if len(b) > maxWrapped {
		return nil, fmt.Errorf("%w: %w: %s is over %d bytes", ErrKeyLost, ErrDigest, key, maxWrapped)
	}
	return b, nil
}

func (e *Encrypted) putSmall(ctx context.Context, key string, b []byte) error {
	_, err := e.inner.Put(ctx, key, bytes.NewReader(b), int64(len(b)), greffe.DigestOf(b))
	return err
}
