package console

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
)

// renewed is what was read from files that are replaced while the console runs, a
// certificate each year: it is read again when one of them has changed. What cannot be
// read, perhaps because it is just being written, leaves what was read before in use.
type renewed[T any] struct {
	load  func() (T, error)
	paths []string
	log   *slog.Logger

	mu    sync.Mutex
	state string // of the files, as they were read last
	value T
}

// newRenewed reads the files for the first time, when an error is one of the start.
func newRenewed[T any](log *slog.Logger, load func() (T, error), paths ...string) (*renewed[T], error) {
	r := &renewed[T]{load: load, paths: paths, log: log}
	r.state = r.look()
	var err error
	r.value, err = load()
	return r, err
}

// look tells the files from what they were, without reading them.
func (r *renewed[T]) look() string {
	var b strings.Builder
	for _, path := range r.paths {
		if i, err := os.Stat(path); err == nil {
			fmt.Fprint(&b, i.ModTime().UnixNano(), " ", i.Size(), "\n")
		} else {
			b.WriteString("absent\n")
		}
	}
	return b.String()
}

// get returns what the files say now.
func (r *renewed[T]) get() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	state := r.look()
	if state == r.state {
		return r.value
	}
	r.state = state // an error is told once for each change
	v, err := r.load()
	if err != nil {
		r.log.Error("a renewed file cannot be used: what was read before stays in use", slog.Any("error", err))
		return r.value
	}
	r.value = v
	r.log.Info("renewed files were read")
	return v
}
