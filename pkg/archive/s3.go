package archive

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"

	"greffe/pkg/greffe"
)

// Above lookFirst bytes Put asks whether the key is there before it sends them.
const lookFirst = 64 << 10

// patience bounds one call that moves size bytes: a minute and what a line of
// 256 KiB/s needs, so that a server that stalls is noticed.
func patience(size int64) time.Duration {
	return time.Minute + time.Duration(size>>18)*time.Second
}

func (s *s3Store) Put(ctx context.Context, key string, r io.Reader, size int64, sha greffe.Digest) (greffe.Object, error) {
	if err := checkPut(key, size, sha); err != nil {
		return greffe.Object{}, err
	}
	limited, cancel := context.WithTimeout(ctx, patience(size))
	defer cancel()
	body := Checked(contextReader{limited, r}, size, sha).(*checked)
	o, err := s.put(limited, key, body, size, sha)
	switch {
	case err == nil:
		return o, nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case limited.Err() != nil:
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	case body.err != nil:
		err = body.err // what the client makes of it hides the cause
	}
	return greffe.Object{}, fmt.Errorf("archive: put %s: %w", key, err)
}

func (s *s3Store) put(ctx context.Context, key string, body io.Reader, size int64, sha greffe.Digest) (greffe.Object, error) {
	if size == 0 || size > lookFirst {
		_, err := s.head(ctx, key, "")
		if errors.Is(err, ErrNotFound) && size > 0 {
			return s.send(ctx, key, body, size, sha)
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return greffe.Object{}, err
		}
		// It is there, or there is nothing to send: the bytes are only checked.
		if _, err := copyChunks(io.Discard, body); err != nil {
			return greffe.Object{}, err
		}
		if err == nil {
			return s.same(ctx, key, size, sha)
		}
		body = bytes.NewReader(nil)
	}
	return s.send(ctx, key, body, size, sha)
}

// send uploads in one request and returns once the server shows the object with
// the right size, digest and lock.
func (s *s3Store) send(ctx context.Context, key string, body io.Reader, size int64, sha greffe.Digest) (greffe.Object, error) {
	opts := minio.PutObjectOptions{
		ContentType:      "application/octet-stream", // whatever it is, no browser shall run it from the bucket
		DisableMultipart: true,                       // the checksum of a multipart object is not that of its bytes
		// minio-go sends this one as the header of that name.
		UserMetadata: map[string]string{checksumHeader: checksum(sha)},
	}
	opts.SetMatchETagExcept("*") // If-None-Match: *
	var until time.Time
	locks := s.mode != "" && !destroyable(key)
	if locks {
		until = lockEnd(time.Now(), s.retain)
		opts.Mode, opts.RetainUntilDate = s.mode, until
	}
	up, err := s.c.Client.PutObject(ctx, s.bucket, key, onlyReader{body}, size, opts)
	if err != nil {
		switch status(err) {
		case http.StatusPreconditionFailed:
			return s.same(ctx, key, size, sha)
		case http.StatusConflict: // another put of the key is being decided
			o, same := s.same(ctx, key, size, sha)
			if same == nil || errors.Is(same, ErrExists) {
				return o, same
			}
			return greffe.Object{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return greffe.Object{}, fault(err)
	}
	i, err := s.head(ctx, key, version(up.VersionID))
	if err != nil {
		return greffe.Object{}, fmt.Errorf("read back: %w", err)
	}
	if err := s.holds(ctx, i, size, sha); err != nil {
		return greffe.Object{}, fmt.Errorf("read back: %w", err)
	}
	if destroyable(key) && (i.Mode != "" || i.Held) {
		return greffe.Object{}, fmt.Errorf("%w: %w (mode %q until %v)", ErrUnavailable, errKeyLocked, i.Mode, i.RetainUntil)
	}
	if locks && (i.Mode != s.mode.String() || i.RetainUntil.Before(until)) {
		return greffe.Object{}, fmt.Errorf("%w: %w (mode %q until %v)", ErrUnavailable, errNotLocked, i.Mode, i.RetainUntil)
	}
	return greffe.Object{Key: key, Version: i.Version, SHA256: sha, Size: size}, nil
}

const checksumHeader = "x-amz-checksum-sha256"

func checksum(sha greffe.Digest) string { return base64.StdEncoding.EncodeToString(sha.Bytes()) }

// onlyReader hides everything but Read: minio-go would seek, size or close it.
type onlyReader struct{ io.Reader }

// same returns the version of key that holds size bytes of digest sha, locked as if
// it arrived now. ErrExists when no version holds these bytes.
func (s *s3Store) same(ctx context.Context, key string, size int64, sha greffe.Digest) (greffe.Object, error) {
	i, err := s.find(ctx, key, size, sha)
	if err != nil {
		return greffe.Object{}, err
	}
	if s.mode != "" && !destroyable(key) {
		_, err = s.extend(ctx, i, lockEnd(time.Now(), s.retain))
		switch {
		case errors.Is(err, ErrNotFound):
			err = fmt.Errorf("%w: eliminated at this moment: %w", ErrUnavailable, err)
		case errors.Is(err, errNotLocked) && i.Mode == "":
			// Some servers show no lock of a version that another one, or a delete
			// marker, lies over. It was seen to be locked when it was stored: what is
			// hidden by somebody must not keep a message from being archived.
			err = nil
		}
	}
	if err != nil {
		return greffe.Object{}, fmt.Errorf("extend the lock: %w", err)
	}
	return greffe.Object{Key: key, Version: i.Version, SHA256: sha, Size: size}, nil
}

// find returns the version of key that holds size bytes of digest sha: nearly
// always the newest one. When a later version or a delete marker was put over
// it, the others are looked at. ErrExists when no version holds these bytes.
func (s *s3Store) find(ctx context.Context, key string, size int64, sha greffe.Digest) (Info, error) {
	i, err := s.head(ctx, key, "")
	if err == nil {
		if err = s.holds(ctx, i, size, sha); err == nil {
			return i, nil
		}
	}
	if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrExists) {
		return Info{}, err
	}
	some := false
	for v, err := range s.versions(ctx, key) {
		if err != nil {
			return Info{}, err
		}
		if v.Key != key {
			break
		}
		if v.IsDeleteMarker || v.Size != size {
			some = some || !v.IsDeleteMarker
			continue
		}
		some = true
		i, err := s.head(ctx, key, version(v.VersionID))
		if err != nil {
			return Info{}, err
		}
		if s.holds(ctx, i, size, sha) == nil {
			return i, nil
		}
	}
	if !some {
		return Info{}, fmt.Errorf("%w: the server refuses the key and shows nothing there", ErrUnavailable)
	}
	return Info{}, ErrExists
}

// holds checks that an object is size bytes of digest sha: nil, or ErrExists.
// The bytes are read when the server keeps no checksum.
func (s *s3Store) holds(ctx context.Context, i Info, size int64, sha greffe.Digest) error {
	if i.Size != size {
		return ErrExists
	}
	if i.SHA256 != "" {
		if i.SHA256 != sha {
			return ErrExists
		}
		return nil
	}
	r, err := s.Open(ctx, i.Object)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := copyChunks(io.Discard, Checked(r, size, sha)); errors.Is(err, ErrDigest) {
		return ErrExists
	} else if err != nil {
		return err
	}
	return nil
}

func (s *s3Store) Stat(ctx context.Context, key string) (Info, error) {
	if !validKey(key) {
		return Info{}, fmt.Errorf("archive: stat: %w: %.40q", ErrKey, key)
	}
	limited, cancel := context.WithTimeout(ctx, patience(0))
	defer cancel()
	i, err := s.head(limited, key, "")
	if errors.Is(err, ErrNotFound) {
		i, err = s.hidden(limited, key, err)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return Info{}, fmt.Errorf("archive: stat %s: %w", key, err)
	}
	return i, nil
}

// hidden returns the version of key below a delete marker, or absent when there
// is none. It always looks: not every server says that a marker is why it shows
// nothing, and an answer to HEAD, having no body, cannot tell an object that is
// not there from a bucket that is not there or a key that is not known.
func (s *s3Store) hidden(ctx context.Context, key string, absent error) (Info, error) {
	for v, err := range s.versions(ctx, key) {
		switch {
		case err != nil:
			return Info{}, err
		case v.Key != key:
			return Info{}, absent
		case !v.IsDeleteMarker && version(v.VersionID) != "":
			return s.head(ctx, key, v.VersionID)
		}
	}
	return Info{}, absent
}

// head asks about one version of key, or the newest.
func (s *s3Store) head(ctx context.Context, key, ver string) (Info, error) {
	o, err := s.c.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{VersionID: ver, Checksum: true})
	if err != nil {
		return Info{}, fault(err)
	}
	i := Info{
		Object: greffe.Object{Key: key, Version: version(o.VersionID), Size: o.Size},
		Stored: o.LastModified.UTC(),
		Mode:   o.Metadata.Get("X-Amz-Object-Lock-Mode"),
		Held:   o.Metadata.Get("X-Amz-Object-Lock-Legal-Hold") == "ON",
	}
	if sum, err := base64.StdEncoding.DecodeString(o.ChecksumSHA256); err == nil && len(sum) == 32 {
		i.SHA256 = greffe.DigestFrom(sum)
	}
	if t, err := time.Parse(time.RFC3339Nano, o.Metadata.Get("X-Amz-Object-Lock-Retain-Until-Date")); err == nil {
		i.RetainUntil = t.UTC()
	}
	return i, nil
}

// versions walks every version and delete marker of the keys that begin with
// prefix: keys in order, each with its newest version first.
func (s *s3Store) versions(ctx context.Context, prefix string) iter.Seq2[minio.ObjectInfo, error] {
	return func(yield func(minio.ObjectInfo, error) bool) {
		for o := range s.c.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true, WithVersions: true}) {
			if o.Err != nil {
				yield(o, fault(o.Err))
				return
			}
			if !yield(o, nil) {
				return
			}
		}
		// The iterator ends without a word when ctx is done.
		if ctx.Err() != nil {
			yield(minio.ObjectInfo{}, context.Cause(ctx))
		}
	}
}

// List shows for each key the first version that was written: the one that the
// archive vouches for, also when a delete marker hides it.
func (s *s3Store) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if !validPrefix(prefix) {
			return
		}
		var last Info
		for v, err := range s.versions(ctx, prefix) {
			if err != nil {
				yield(Info{}, fmt.Errorf("archive: list %s: %w", prefix, err))
				return
			}
			if last.Key != "" && last.Key != v.Key {
				if !yield(last, nil) {
					return
				}
				last = Info{}
			}
			if !v.IsDeleteMarker && validKey(v.Key) {
				last = Info{Object: greffe.Object{Key: v.Key, Version: version(v.VersionID), Size: v.Size}, Stored: v.LastModified.UTC()}
			}
		}
		if last.Key != "" {
			yield(last, nil)
		}
	}
}

// version is the id under which a version is asked for: none in a bucket
// without versioning.
func version(id string) string {
	if id == "null" {
		return ""
	}
	return id
}
