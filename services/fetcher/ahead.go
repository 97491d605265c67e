package fetcher

import (
	"bytes"
	"io"
	"sync"
)

const (
	// aheadSize is the largest message that is read whole before it is spooled: the
	// next one then comes over the line while the disk of the bus is waited for.
	// Larger ones go straight through and are never held.
	aheadSize = 1 << 20
	aheadMost = 4 // such messages at once in one folder
)

// ahead spools small messages while the next ones are read.
type ahead struct {
	buffers chan []byte // as many as may be under way
	wg      sync.WaitGroup

	mu  sync.Mutex
	err error // the first
}

func newAhead() *ahead {
	a := &ahead{buffers: make(chan []byte, aheadMost)}
	for range aheadMost {
		a.buffers <- nil
	}
	return a
}

// read takes size bytes from r and gives them to spool, which runs by itself. It
// returns an error of r, or one of an earlier spool.
func (a *ahead) read(r io.Reader, size int64, spool func(io.Reader) error) error {
	buffer := <-a.buffers
	if err := a.failed(); err != nil {
		a.buffers <- buffer
		return err
	}
	if need := int(size) + bytes.MinRead; cap(buffer) < need { // room to see the end
		buffer = make([]byte, need)
	}
	whole := bytes.NewBuffer(buffer[:0])
	if _, err := whole.ReadFrom(&exact{r: r, left: size}); err != nil {
		a.buffers <- buffer
		return err
	}
	a.wg.Go(func() {
		defer func() { a.buffers <- buffer }()
		if err := spool(whole); err != nil {
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.err == nil {
				a.err = err
			}
		}
	})
	return nil
}

func (a *ahead) failed() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// wait returns when nothing is spooled any more, with the first error.
func (a *ahead) wait() error {
	a.wg.Wait()
	return a.failed()
}
