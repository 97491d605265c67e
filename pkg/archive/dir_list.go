package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"syscall"
)

// List holds the names of one directory at a time. Files that no key names are
// passed over.
func (d *dirStore) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if !validPrefix(prefix) {
			return // no key begins so
		}
		dir, _, found := cutLast(prefix)
		if !found {
			dir = "."
		}
		if err := d.walk(ctx, dir, prefix, yield); err != nil && !errors.Is(err, errStop) {
			yield(Info{}, fmt.Errorf("archive: list %.40q: %w", prefix, outage(err)))
		}
	}
}

var errStop = errors.New("stop")

func (d *dirStore) walk(ctx context.Context, dir, prefix string, yield func(Info, error) bool) error {
	f, err := d.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	entries, err := f.ReadDir(-1)
	err = errors.Join(err, f.Close())
	if errors.Is(err, syscall.ENOTDIR) {
		return nil // an object: no key goes on below it
	} else if err != nil {
		return err
	}
	// A directory sorts as its keys do: with the slash.
	order := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(order(a), order(b)) })
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		key := path.Join(dir, e.Name())
		switch {
		case !validName(e.Name()):
		case e.IsDir():
			// Inside the prefix, or on the way to it.
			if strings.HasPrefix(key+"/", prefix) || strings.HasPrefix(prefix, key+"/") {
				if err := d.walk(ctx, key, prefix, yield); err != nil {
					return err
				}
			}
		case e.Type().IsRegular() && strings.HasPrefix(key, prefix):
			fi, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			} else if err != nil {
				return err
			}
			if !yield(dirInfo(key, fi), nil) {
				return errStop
			}
		}
	}
	return nil
}
