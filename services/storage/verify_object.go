package storage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
)

// objects looks at the raw message and the parts of one message.
func (v *verifier) objects(ctx context.Context, id greffe.MessageID, raw greffe.Object, parts map[string]greffe.Object) error {
	if !raw.IsZero() {
		if err := v.object(ctx, id, "", raw); err != nil {
			return err
		}
	}
	for _, path := range slices.Sorted(maps.Keys(parts)) {
		if err := v.object(ctx, id, path, parts[path]); err != nil {
			return err
		}
	}
	return nil
}

// object looks at one object, once however many messages name it.
func (v *verifier) object(ctx context.Context, id greffe.MessageID, part string, o greffe.Object) error {
	mark, known := slot(o.SHA256)
	// Raw messages have a key of their own, whatever their digest.
	if known = known && o.Key == archive.ContentKey(o.SHA256); known {
		v.mu.Lock()
		good, looked := v.seen[mark]
		v.mu.Unlock()
		if looked && good {
			return nil
		}
	}
	err := v.look(ctx, o)
	problem := Problem{Message: id, Part: part, Key: o.Key}
	told, failed := v.unreadable(ctx, problem, err)
	if failed != nil {
		return failed
	}
	switch {
	case told:
	case errors.Is(err, archive.ErrNotFound), errors.Is(err, archive.ErrKey):
		problem.Check = CheckObject
		v.add(problem, nil)
	case errors.Is(err, archive.ErrDigest):
		problem.Check = CheckObjectBytes
		v.held(CheckObject, 1)
		v.add(problem, err)
	case err != nil:
		return err
	default:
		v.held(CheckObject, 1)
		v.held(CheckObjectBytes, 1)
		if v.encrypted {
			v.held(CheckKey, 1)
		}
		if err := v.retention(ctx, id, part, o); err != nil {
			return err
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if known {
		v.seen[mark] = err == nil
	}
	if err == nil {
		v.rep.Objects++
		if v.opt.Full {
			v.rep.Bytes += o.Size
		}
	}
	return nil
}

// unreadable tells of an object whose key is lost, or was destroyed; told is false for
// any other error. Of one that was erased the certificate is looked at.
func (v *verifier) unreadable(ctx context.Context, p Problem, err error) (told bool, failed error) {
	if e, ok := errors.AsType[*archive.ErasedError](err); ok {
		wrong := v.certificates.covers(ctx, e)
		switch {
		case wrong == nil:
			v.held(CheckErased, 1)
		case errors.Is(wrong, archive.ErrUnavailable), ctx.Err() != nil:
			return true, wrong
		default:
			p.Check = CheckErased
			v.add(p, wrong)
		}
		return true, nil
	}
	if errors.Is(err, archive.ErrKeyLost) {
		p.Check = CheckKey
		v.add(p, err)
		return true, nil
	}
	return false, nil
}

// retention looks whether an object is locked for as long as promised.
func (v *verifier) retention(ctx context.Context, id greffe.MessageID, part string, o greffe.Object) error {
	if v.opt.Retention == 0 {
		v.skip("Aucun verrou n’est promis par cette configuration.", CheckRetention)
		return nil
	}
	i, err := v.store.Stat(ctx, o.Key)
	if err == nil && i.Version != o.Version {
		i, err = v.store.Retain(ctx, o, time.Time{}) // another version lies over it: only asks
	}
	if errors.Is(err, archive.ErrNotFound) {
		return nil // told of already
	}
	if err != nil {
		return err
	}
	if until := i.Stored.Add(v.opt.Retention - lockSlack); i.RetainUntil.Before(until) {
		why := fmt.Errorf("locked until %s, promised until %s", stamp(i.RetainUntil), stamp(i.Stored.Add(v.opt.Retention)))
		if i.RetainUntil.IsZero() {
			why = errors.New("not locked")
		}
		v.add(Problem{Check: CheckRetention, Message: id, Part: part, Key: o.Key}, why)
		return nil
	}
	v.held(CheckRetention, 1)
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// slot is the beginning of a digest: enough to tell objects apart.
func slot(d greffe.Digest) (s [16]byte, ok bool) {
	b := d.Bytes()
	if b == nil {
		return s, false
	}
	return [16]byte(b[:16]), true
}

// look returns nil for an object that is there as recorded, archive.ErrNotFound or
// archive.ErrDigest otherwise.
func (v *verifier) look(ctx context.Context, o greffe.Object) error {
	if v.opt.Full {
		return readBack(ctx, v.store, o)
	}
	i, err := v.store.Stat(ctx, o.Key)
	if err != nil {
		return err
	}
	if i.Version != o.Version {
		// Another version lies over it: is ours still below?
		f, err := v.store.Open(ctx, o)
		if err != nil {
			return err
		}
		return f.Close()
	}
	if i.Size != o.Size {
		return fmt.Errorf("%w: %d bytes instead of %d", archive.ErrDigest, i.Size, o.Size)
	}
	if i.SHA256 != "" && i.SHA256 != o.SHA256 {
		return fmt.Errorf("%w: stored as %s", archive.ErrDigest, i.SHA256)
	}
	return nil
}
