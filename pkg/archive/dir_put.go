package archive

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"golang.org/x/sys/unix"

	"greffe/pkg/greffe"
)

// Put writes beside and links into place. System calls, in this order:
//
//	mkdir(parent), fsync(its parent)         for each directory not yet known to be durable
//	open(parent)
//	fstatat(parent, name)                    what is there is compared, not written again
//	openat(.tmp, x, O_CREAT|O_EXCL, 0400), write…, fsync, close
//	linkat(.tmp, x, parent, name)            fails when name is there: never replaces
//	unlinkat(.tmp, x)
//	fsync(parent), close
//
// The last fsync is also done when the key was there already: another writer may
// have linked it and not be that far yet.
//
// The temporary file has a name, rather than none (O_TMPFILE), because its inode
// then has a link when it is synced: on a file system without a journal the link
// count of a nameless file would reach the disk after the entry that points to it.
func (d *dirStore) Put(ctx context.Context, key string, r io.Reader, size int64, sha greffe.Digest) (greffe.Object, error) {
	if err := checkPut(key, size, sha); err != nil {
		return greffe.Object{}, err
	}
	fail := func(err error) (greffe.Object, error) {
		return greffe.Object{}, fmt.Errorf("archive: put %s: %w", key, outage(err))
	}
	if err := d.makeDirs(path.Dir(key)); err != nil {
		return fail(err)
	}
	// The path is walked once: what follows is relative to this directory.
	parent, err := d.openDir(path.Dir(key))
	if err != nil {
		return fail(err)
	}
	name := path.Base(key)
	body := Checked(contextReader{ctx, r}, size, sha)
	err = d.put(ctx, parent, name, body)
	if errors.Is(err, fs.ErrExist) {
		if err = same(ctx, parent, name, body, size, sha); err == nil {
			err = d.relock(ctx, key)
		}
	}
	if err == nil {
		err = parent.Sync()
	}
	if err := errors.Join(err, parent.Close()); err != nil {
		return fail(err)
	}
	return greffe.Object{Key: key, SHA256: sha, Size: size}, nil
}

// put stores body as name in parent; fs.ErrExist when something is there.
func (d *dirStore) put(ctx context.Context, parent *os.File, name string, body io.Reader) error {
	err := at(parent, func(dir int) error {
		var st unix.Stat_t
		return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	if err == nil {
		return fs.ErrExist // spares writing what came before
	}
	temp := rand.Text()
	f, err := openAt(d.temp, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	// Best effort: sweep removes what is left.
	defer at(d.temp, func(dir int) error { return unix.Unlinkat(dir, temp, 0) })
	_, err = copyChunks(f, body)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	err = at(d.temp, func(from int) error {
		return at(parent, func(to int) error { return unix.Linkat(from, temp, to, name, 0) })
	})
	if err != nil {
		return fmt.Errorf("link: %w", err)
	}
	return nil
}

// same reads body to its end and the file name in parent to its end: nil when both
// are size bytes of digest sha.
func same(ctx context.Context, parent *os.File, name string, body io.Reader, size int64, sha greffe.Digest) error {
	if _, err := copyChunks(io.Discard, body); err != nil {
		return err
	}
	f, err := openAt(parent, name, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := copyChunks(io.Discard, Checked(contextReader{ctx, f}, size, sha)); err != nil {
		if errors.Is(err, ErrDigest) {
			return ErrExists
		}
		return err
	}
	return nil
}

// makeDirs makes dir and its parents and makes their entries durable. A
// directory that another writer made a moment ago is synced too: its maker may
// not be that far yet.
func (d *dirStore) makeDirs(dir string) error {
	if dir == "." || d.isKnown(dir) {
		return nil
	}
	if err := d.makeDirs(path.Dir(dir)); err != nil {
		return err
	}
	if err := d.root.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := d.syncDir(path.Dir(dir)); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.known) >= maxKnown {
		clear(d.known)
	}
	d.known[dir] = struct{}{}
	return nil
}

func (d *dirStore) isKnown(dir string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.known[dir]
	return ok
}

func (d *dirStore) syncDir(dir string) error {
	f, err := d.openDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// openDir opens a directory inside the archive; a link that leads out of it is refused.
func (d *dirStore) openDir(dir string) (*os.File, error) {
	return d.root.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
}

// openAt opens the file name in dir, and no link.
func openAt(dir *os.File, name string, flags int) (f *os.File, err error) {
	err = at(dir, func(fd int) error {
		file, err := unix.Openat(fd, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o400)
		if err == nil {
			f = os.NewFile(uintptr(file), name)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return f, nil
}

// at calls f with the descriptor of dir, which stays open until f returns, and again
// when a signal interrupts it.
func at(dir *os.File, f func(fd int) error) error {
	c, err := dir.SyscallConn()
	if err != nil {
		return err
	}
	var called error
	err = c.Control(func(fd uintptr) {
		for called = f(int(fd)); errors.Is(called, syscall.EINTR); {
			called = f(int(fd))
		}
	})
	return errors.Join(err, called)
}
