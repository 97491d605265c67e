package fhir

import (
	"errors"
	"io"
	"sync"
)

// watched opens request bodies and remembers why reading one failed: net/http
// does not always return that error.
type watched struct {
	open func() (io.ReadCloser, error)
	mu   sync.Mutex
	err  error
}

func (w *watched) again() (io.ReadCloser, error) {
	r, err := w.open()
	if err != nil {
		w.note(err)
		return nil, err
	}
	return watchedBody{r, w}, nil
}

func (w *watched) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

func (w *watched) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

type watchedBody struct {
	io.ReadCloser
	w *watched
}

func (b watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.w.note(err)
	}
	return n, err
}
