package archive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/minio/minio-go/v7"

	"greffe/pkg/greffe"
)

// errNotLocked: the server took what was asked and did not do it.
var errNotLocked = errors.New("the server did not lock the object")

// errKeyLocked: the bucket locks by default what must stay destroyable.
var errKeyLocked = errors.New("the bucket locks wrapped keys by its default retention")

// change looks at one version of an object, does what f says and names what fails.
func (s *s3Store) change(ctx context.Context, what string, o greffe.Object, f func(context.Context, Info) (Info, error)) (Info, error) {
	if !validKey(o.Key) {
		return Info{}, fmt.Errorf("archive: %s: %w: %.40q", what, ErrKey, o.Key)
	}
	limited, cancel := context.WithTimeout(ctx, patience(0))
	defer cancel()
	i, err := s.head(limited, o.Key, o.Version)
	if errors.Is(err, ErrNotFound) && o.Version == "" {
		i, err = s.hidden(limited, o.Key, err)
	}
	if err == nil {
		i, err = f(limited, i)
	}
	switch {
	case err == nil:
		return i, nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case limited.Err() != nil:
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return Info{}, fmt.Errorf("archive: %s %s: %w", what, o.Key, err)
}

func (s *s3Store) Retain(ctx context.Context, o greffe.Object, until time.Time) (Info, error) {
	return s.change(ctx, "retain", o, func(ctx context.Context, i Info) (Info, error) {
		if s.mode == "" || destroyable(o.Key) {
			return Info{}, ErrNoLock
		}
		return s.extend(ctx, i, until)
	})
}

// extend asks for a later end of the lock and believes what the server shows then:
// another process may have extended it further, so that this was refused.
func (s *s3Store) extend(ctx context.Context, i Info, until time.Time) (Info, error) {
	until = roundUp(until.UTC(), time.Second)
	if !until.After(i.RetainUntil) || !until.After(time.Now()) {
		return i, nil
	}
	if err := checkUntil(until); err != nil {
		return Info{}, err
	}
	mode := s.mode
	if i.Mode == minio.Compliance.String() {
		mode = minio.Compliance // what was locked for good in a trial stays so
	}
	asked := s.c.PutObjectRetention(ctx, s.bucket, i.Key, minio.PutObjectRetentionOptions{Mode: &mode, RetainUntilDate: &until, VersionID: i.Version})
	after, err := s.head(ctx, i.Key, i.Version)
	if err != nil {
		return Info{}, errors.Join(err, fault(asked))
	}
	if after.RetainUntil.Before(until) {
		return Info{}, fmt.Errorf("%w: %w: until %v: %w", ErrUnavailable, errNotLocked, after.RetainUntil, errors.Join(asked, errors.New("not until the date that was asked for")))
	}
	return after, nil
}

func (s *s3Store) Hold(ctx context.Context, o greffe.Object, on bool) (Info, error) {
	return s.change(ctx, "hold", o, func(ctx context.Context, i Info) (Info, error) {
		if s.mode == "" || destroyable(o.Key) {
			return Info{}, ErrNoLock
		}
		status := minio.LegalHoldDisabled
		if on {
			status = minio.LegalHoldEnabled
		}
		if i.Held == on && on {
			return i, nil
		}
		// Taking away is always asked: a key without s3:GetObjectLegalHold sees none.
		if err := s.c.PutObjectLegalHold(ctx, s.bucket, i.Key, minio.PutObjectLegalHoldOptions{Status: &status, VersionID: i.Version}); err != nil {
			return Info{}, fault(err)
		}
		after, err := s.head(ctx, i.Key, i.Version)
		if err == nil && after.Held != on {
			err = fmt.Errorf("%w: the server does not show the hold that was asked for", ErrUnavailable)
		}
		return after, err
	})
}

// Eliminate removes one version. The server looks at the lock once more by itself.
func (s *s3Store) Eliminate(ctx context.Context, o greffe.Object) error {
	if destroyable(o.Key) {
		return s.destroy(ctx, o.Key)
	}
	_, err := s.change(ctx, "eliminate", o, func(ctx context.Context, i Info) (Info, error) {
		switch {
		case s.mode == "":
			return Info{}, ErrNoLock
		case i.Version == "":
			return Info{}, fmt.Errorf("%w: the bucket keeps no versions", ErrNoLock)
		case i.Held, i.RetainUntil.IsZero(), i.RetainUntil.After(time.Now()):
			return Info{}, fmt.Errorf("%w (until %v, held %v)", ErrLocked, i.RetainUntil, i.Held)
		}
		asked := s.c.RemoveObject(ctx, s.bucket, i.Key, minio.RemoveObjectOptions{VersionID: i.Version})
		_, err := s.head(ctx, i.Key, i.Version)
		switch {
		case errors.Is(err, ErrNotFound):
			return i, nil
		case err != nil:
			return Info{}, errors.Join(err, fault(asked))
		}
		return Info{}, fmt.Errorf("%w: the server did not remove the object: %w", ErrUnavailable, errors.Join(asked, errors.New("it is still there")))
	})
	return err
}

// destroy removes every version of a wrapped key and every marker over it: one that is
// left can be read. The list says whether it is done, not the answers.
func (s *s3Store) destroy(ctx context.Context, key string) error {
	if !validKey(key) {
		return fmt.Errorf("archive: destroy: %w: %.40q", ErrKey, key)
	}
	limited, cancel := context.WithTimeout(ctx, patience(0))
	defer cancel()
	left := func(f func(minio.ObjectInfo) error) (n int, err error) {
		for v, err := range s.versions(limited, key) {
			if err != nil {
				return n, err
			}
			if v.Key != key {
				continue
			}
			n++
			if err := f(v); err != nil {
				return n, err
			}
		}
		return n, nil
	}
	n, err := left(func(v minio.ObjectInfo) error {
		return fault(s.c.RemoveObject(limited, s.bucket, key, minio.RemoveObjectOptions{VersionID: v.VersionID}))
	})
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	if err == nil {
		if n, err = left(func(minio.ObjectInfo) error { return nil }); err == nil && n > 0 {
			err = fmt.Errorf("%w: %d versions are still there", ErrUnavailable, n)
		}
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case limited.Err() != nil:
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return fmt.Errorf("archive: destroy %s: %w", key, err)
}
