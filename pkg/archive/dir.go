package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"greffe/pkg/greffe"
)

// dirStore is the directory driver. It never replaces a file, leaves files read-only
// and removes none before its lock has ended, but whoever administers the machine can remove them: it makes
// tampering evident (digests, manifests), not impossible.
//
// The whole directory must be one file system that supports hard links.
type dirStore struct {
	root *os.Root
	temp *os.File // tempDir

	retention time.Duration // of what is stored now; 0: nothing is locked
	policy    []rule        // of what was stored, oldest first

	mu    sync.Mutex
	known map[string]struct{} // directories whose own entry is durable
}

const (
	tempDir   = ".tmp"         // no key begins with a dot
	tempAge   = 24 * time.Hour // a temporary file this old belongs to nobody
	maxKnown  = 10_000         // directories remembered
	copyChunk = 128 << 10
)

// OpenDir opens the directory dir as a Store, making it when it is not there
// and removing what writers that died left behind. What is stored is locked for
// retention (0: not at all; at most 200 years). Several processes may have it open.
func OpenDir(dir string, retention time.Duration) (Store, error) {
	if retention < 0 || retention > maxRetention {
		return nil, fmt.Errorf("archive: retention %v: want 0 to 200 years", retention)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("archive: make directory: %w", outage(err))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("archive: open directory: %w", outage(err))
	}
	d := &dirStore{root: root, known: make(map[string]struct{})}
	err = d.sweep()
	if err == nil {
		d.temp, err = d.openDir(tempDir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("archive: temporary files: %w", outage(err)), root.Close())
	}
	if err := d.loadPolicy(retention); err != nil {
		return nil, errors.Join(fmt.Errorf("archive: %s: %w", policyFile, outage(err)), d.Close())
	}
	return d, nil
}

// sweep makes the directory of temporary files and removes old ones.
func (d *dirStore) sweep() error {
	if err := d.root.Mkdir(tempDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := d.root.Open(tempDir)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(1000)
		for _, e := range entries {
			fi, err := e.Info()
			if err != nil || time.Since(fi.ModTime()) < tempAge {
				continue
			}
			if err := d.root.Remove(tempDir + "/" + e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (d *dirStore) Close() error { return errors.Join(d.temp.Close(), d.root.Close()) }

func (d *dirStore) Open(ctx context.Context, o greffe.Object) (io.ReadSeekCloser, error) {
	if !validKey(o.Key) {
		return nil, fmt.Errorf("archive: open: %w: %.40q", ErrKey, o.Key)
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	f, err := d.root.Open(o.Key)
	if err != nil {
		return nil, fmt.Errorf("archive: open %s: %w", o.Key, absent(err))
	}
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("archive: open %s: %w", o.Key, ErrNotFound), err, f.Close())
	}
	return &dirReader{contextReader{ctx, f}, f}, nil
}

// dirReader is an open file that stops when its context is done.
type dirReader struct {
	io.Reader
	f *os.File
}

func (r *dirReader) Seek(offset int64, whence int) (int64, error) { return r.f.Seek(offset, whence) }
func (r *dirReader) Close() error                                 { return r.f.Close() }

func (d *dirStore) Stat(ctx context.Context, key string) (Info, error) {
	if !validKey(key) {
		return Info{}, fmt.Errorf("archive: stat: %w: %.40q", ErrKey, key)
	}
	if err := ctx.Err(); err != nil {
		return Info{}, context.Cause(ctx)
	}
	i, _, err := d.look(key)
	if err != nil {
		return Info{}, fmt.Errorf("archive: stat %s: %w", key, absent(err))
	}
	return i, nil
}

func dirInfo(key string, fi fs.FileInfo) Info {
	return Info{Object: greffe.Object{Key: key, Size: fi.Size()}, Stored: fi.ModTime().UTC()}
}

// absent gives fs.ErrNotExist the name that every driver uses.
func absent(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return outage(err)
}

// outages are the errors that are about the file system or the machine, not
// about one object: somebody has to mend something, then the same call works.
var outages = []error{
	syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EACCES, syscall.EPERM, syscall.EIO, syscall.ENXIO,
	syscall.ENODEV, syscall.ESTALE, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ETIMEDOUT,
}

func outage(err error) error {
	for _, o := range outages {
		if errors.Is(err, o) {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	return err
}

var chunks = sync.Pool{New: func() any { b := make([]byte, copyChunk); return &b }}

// copyChunks is io.Copy through a pooled buffer.
func copyChunks(w io.Writer, r io.Reader) (int64, error) {
	b := chunks.Get().(*[]byte)
	defer chunks.Put(b)
	// The wrappers hide ReadFrom and WriteTo, which would take their own buffer.
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, *b)
}
