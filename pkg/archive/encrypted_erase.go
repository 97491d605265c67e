package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

func (e *Encrypted) Retain(ctx context.Context, o greffe.Object, until time.Time) (Info, error) {
	if inClear(o.Key) {
		return e.inner.Retain(ctx, o, until)
	}
	return e.change(ctx, o, func(o greffe.Object) (Info, error) { return e.inner.Retain(ctx, o, until) })
}

func (e *Encrypted) Hold(ctx context.Context, o greffe.Object, on bool) (Info, error) {
	if inClear(o.Key) {
		return e.inner.Hold(ctx, o, on)
	}
	return e.change(ctx, o, func(o greffe.Object) (Info, error) { return e.inner.Hold(ctx, o, on) })
}

func (e *Encrypted) change(ctx context.Context, o greffe.Object, f func(greffe.Object) (Info, error)) (i Info, err error) {
	err = e.find(ctx, o, func(p place) error {
		i, err = f(p.object)
		i = e.info(o.Key, p, i)
		return err
	})
	if err != nil {
		return Info{}, err
	}
	return i, nil
}

// Eliminate removes every generation of an object that the version names, or all of
// them without one, and then their keys: a crash between leaves a key without an object.
func (e *Encrypted) Eliminate(ctx context.Context, o greffe.Object) error {
	if inClear(o.Key) {
		return e.inner.Eliminate(ctx, o)
	}
	if !validKey(o.Key) || !sealable(o.Key) {
		return fmt.Errorf("archive: eliminate: %w: %.40q", ErrKey, o.Key)
	}
	removed := false
	there, err := e.there(ctx, o.Key)
	if err != nil {
		return err
	}
	for _, sealed := range there {
		err := e.inner.Eliminate(ctx, greffe.Object{Key: sealed, Version: o.Version})
		if err == nil {
			removed = true
		} else if !errors.Is(err, ErrNotFound) {
			return err
		}
		_, err = e.inner.Stat(ctx, sealed)
		if err == nil {
			continue // another version of it stays, with its key
		}
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		for _, end := range []string{"", erasedEnd} {
			err := e.inner.Eliminate(ctx, greffe.Object{Key: KeysPrefix + sealed + end})
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
		}
	}
	err = e.inner.Eliminate(ctx, o)
	if errors.Is(err, ErrNotFound) && removed {
		return nil
	}
	return err
}

// there returns where the generations of key are of which anything is left: the encrypted
// object, its wrapped key or the note of an erasure.
func (e *Encrypted) there(ctx context.Context, key string) ([]string, error) {
	var list []string
	for _, prefix := range []string{key + ".", KeysPrefix + key + "."} {
		for i, err := range e.inner.List(ctx, prefix) {
			if err != nil {
				return nil, err
			}
			sealed := strings.TrimSuffix(strings.TrimPrefix(i.Key, KeysPrefix), erasedEnd)
			if of, ok := clearKey(sealed); ok && of == key && !slices.Contains(list, sealed) {
				list = append(list, sealed)
			}
		}
	}
	return list, nil
}

// Condemn notes that the key of an object shall be destroyed by the erasure called
// order, instead of one that was noted before. From now on the same bytes arriving again
// are stored beside it, with a key of their own. Durable when it returns; may be
// repeated. ErrNotFound when there is no such object, ErrNoKey when it was stored in clear.
func (e *Encrypted) Condemn(ctx context.Context, o greffe.Object, order string) error {
	if !validName(order) {
		return fmt.Errorf("archive: condemn: %w: %.40q", ErrKey, order)
	}
	return e.noted(ctx, o, func(note string, now *ErasedError) error {
		if now != nil && now.Order == order {
			return nil
		}
		if now != nil { // of a request that nobody confirmed
			if err := e.inner.Eliminate(ctx, greffe.Object{Key: note}); err != nil {
				return err
			}
		}
		return e.putSmall(ctx, note, []byte(erasedMark+order+"\n"))
	})
}

// Condemned returns the erasure that was noted for an object whose key is there, empty
// when there is none; errors as for Condemn.
func (e *Encrypted) Condemned(ctx context.Context, o greffe.Object) (order string, err error) {
	err = e.noted(ctx, o, func(_ string, now *ErasedError) error {
		if now != nil {
			order = now.Order
		}
		return nil
	})
	return order, err
}

// noted calls f with the key of the note beside the key of an object, and what it says.
func (e *Encrypted) noted(ctx context.Context, o greffe.Object, f func(note string, now *ErasedError) error) error {
	if inClear(o.Key) {
		return fmt.Errorf("archive: condemn %s: %w", o.Key, ErrNoKey)
	}
	return e.find(ctx, o, func(p place) error {
		if _, err := e.inner.Stat(ctx, p.object.Key); err != nil {
			return err
		}
		if p.id == nil {
			return fmt.Errorf("archive: condemn %s: %w", o.Key, ErrNoKey)
		}
		err := e.gone(ctx, o.Key, p.object.Key)
		now, ok := errors.AsType[*ErasedError](err)
		if !ok && !errors.Is(err, ErrKeyLost) {
			return err
		}
		return f(KeysPrefix+p.object.Key+erasedEnd, now)
	})
}

// ErrNoKey is returned for an object that was stored in clear: there is no key to destroy.
var ErrNoKey = errors.New("archive: object is not encrypted")

// Erase destroys the keys that Condemn noted for order: the object stays where it is
// for as long as it is locked, and nobody can read it any more. It cannot be undone, but
// by a copy of the wrapped key and the master key together. A legal hold is for the
// caller to respect. Durable when it returns; may be repeated. ErrNotFound when order
// condemned nothing at this key.
func (e *Encrypted) Erase(ctx context.Context, key, order string) error {
	if !validKey(key) || !sealable(key) {
		return fmt.Errorf("archive: erase: %w: %.40q", ErrKey, key)
	}
	found := false
	there, err := e.there(ctx, key)
	if err != nil {
		return fmt.Errorf("archive: erase %s: %w", key, err)
	}
	for _, sealed := range there {
		err := e.gone(ctx, key, sealed)
		said, noted := errors.AsType[*ErasedError](err)
		if !noted && !errors.Is(err, ErrKeyLost) {
			return err
		}
		if !noted || said.Order != order {
			continue
		}
		found = true
		if err := e.inner.Eliminate(ctx, greffe.Object{Key: KeysPrefix + sealed}); err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("archive: erase %s: %w", key, err)
		}
	}
	if !found {
		return fmt.Errorf("archive: erase %s: %w", key, ErrNotFound)
	}
	return nil
}
