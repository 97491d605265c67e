package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/minio/minio-go/v7"

	"greffe/pkg/greffe"
)

// stall is how long a reader waits for the next bytes.
const stall = time.Minute

// Open sends the request at once, so that an object that is not there is known
// before the first Read. The body streams; Seek makes the next Read ask for a
// range.
func (s *s3Store) Open(ctx context.Context, o greffe.Object) (io.ReadSeekCloser, error) {
	if !validKey(o.Key) {
		return nil, fmt.Errorf("archive: open: %w: %.40q", ErrKey, o.Key)
	}
	r := &s3Reader{s: s, parent: ctx, key: o.Key, version: o.Version}
	err := r.ask()
	if errors.Is(err, ErrNotFound) && o.Version == "" {
		// Hidden by a delete marker?
		var i Info
		if i, err = s.Stat(ctx, o.Key); err == nil {
			r.version = i.Version
			err = r.ask()
		}
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("archive: open %s: %w", o.Key, err)
	}
	return r, nil
}

// s3Reader reads one version of one object.
type s3Reader struct {
	s            *s3Store
	parent       context.Context
	key, version string
	size         int64 // of the whole object, known after the first request
	at           int64 // where the next Read begins

	body   io.ReadCloser // nil: ask before reading
	cancel context.CancelFunc
	timer  *time.Timer // cancels the request when nothing comes
}

// ask requests the bytes from r.at to the end.
func (r *s3Reader) ask() error {
	ctx, cancel := context.WithCancel(r.parent)
	timer := time.AfterFunc(stall, cancel)
	opts := minio.GetObjectOptions{VersionID: r.version}
	if r.at > 0 {
		if err := opts.SetRange(r.at, 0); err != nil { // "from at to the end"
			cancel()
			return err
		}
	}
	body, info, _, err := r.s.c.GetObject(ctx, r.s.bucket, r.key, opts)
	timer.Stop()
	if err != nil {
		cancel()
		if r.parent.Err() == nil && errors.Is(err, context.Canceled) {
			return fmt.Errorf("%w: no answer in %v", ErrUnavailable, stall)
		}
		return fault(err)
	}
	if r.at == 0 {
		r.size = info.Size
		if r.version == "" {
			// Later ranges come from the version that was opened.
			r.version = version(info.VersionID)
		}
	}
	r.body, r.cancel, r.timer = body, cancel, timer
	return nil
}

func (r *s3Reader) Read(p []byte) (int, error) {
	if r.at >= r.size {
		return 0, io.EOF
	}
	if r.parent.Err() != nil { // what the connection has read ahead is not for who gave up
		return 0, context.Cause(r.parent)
	}
	if r.body == nil {
		if err := r.ask(); err != nil {
			return 0, fmt.Errorf("archive: read %s: %w", r.key, err)
		}
	}
	r.timer.Reset(stall)
	n, err := r.body.Read(p)
	r.timer.Stop()
	r.at += int64(n)
	switch {
	case err == nil || (errors.Is(err, io.EOF) && r.at == r.size):
		return n, err
	case r.parent.Err() != nil:
		return n, context.Cause(r.parent)
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, fmt.Errorf("archive: read %s: %w: %w", r.key, ErrUnavailable, err)
}

func (r *s3Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 || whence < io.SeekStart || whence > io.SeekEnd {
		return r.at, fmt.Errorf("archive: seek in %s: no such place", r.key)
	}
	if offset != r.at {
		r.stop()
		r.at = offset
	}
	return offset, nil
}

func (r *s3Reader) stop() {
	if r.body == nil {
		return
	}
	r.timer.Stop()
	r.cancel()
	r.body.Close() // the connection is given up, its error says nothing
	r.body = nil
}

// Close gives the connection back. It never fails: nothing is pending.
func (r *s3Reader) Close() error {
	r.stop()
	r.size = 0 // reading on gives io.EOF, not another request
	return nil
}
