// Package pdf checks PDF files that come from outside: whether they can be read,
// what they claim to be, and whether they carry anything that acts. A hostile
// file cannot take the caller down: it is read in a child process of the same
// program, with bounds on time and memory, which is killed and replaced when it
// overruns them.
//
// pdfcpu reads the files: pure Go, and of the libraries tried the one that
// neither hung nor crashed on some 3,400 sample files. It validates in its
// relaxed mode, as its strict mode rejects what ordinary programs write; what the
// relaxed mode lets through (cut files, foreign bytes around the PDF, scripts) is
// looked for here. The life of a check: structure.go looks at the bytes from outside
// (layout.go), pdfcpu reads the objects, page.go counts the pages, walk.go looks at
// every object, embedded.go into attached files, hidden.go where no table leads, and
// pdfcpu validates at last. golang.org/x/sys widens the pipe to the child.
package pdf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"greffe/pkg/greffe"
)

// Config bounds the checking. Zero values are the defaults.
type Config struct {
	Workers int           // child processes at once; 0 means as many as processors, at most 4
	Timeout time.Duration // of processor time for one file, and a fifth of its time on the clock; 0 means 10 s
	Memory  int64         // bytes that a child may hold; 0 means 1 GiB
	MaxSize int64         // bytes of the largest file that is opened; 0 means 128 MiB, at most an eighth of Memory
}

// idleAfter is how long a child waits for its next file before it is ended.
const idleAfter = time.Minute

// Checker hands files to child processes. Its methods may be called at once; a
// Check beyond Workers waits for its turn.
type Checker struct {
	cfg   Config
	turns chan struct{}

	mu     sync.Mutex
	idle   []*child // the last used is at the end
	closed bool
	sweep  *time.Timer
	busy   sync.WaitGroup
}

// New returns a Checker. Its children start when they are needed and end after a
// minute without work.
func New(cfg Config) *Checker {
	if cfg.Workers <= 0 {
		cfg.Workers = min(runtime.NumCPU(), 4)
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Memory <= 0 {
		cfg.Memory = 1 << 30
	}
	if cfg.MaxSize <= 0 {
		cfg.MaxSize = 128 << 20
	}
	// A child takes a file in whole before it looks at it: that must never fail.
	cfg.MaxSize = min(cfg.MaxSize, cfg.Memory/8)
	return &Checker{cfg: cfg, turns: make(chan struct{}, cfg.Workers)}
}

// ErrClosed is returned by Check after Close.
var ErrClosed = errors.New("pdf: checker closed")

// Close ends the children, those at work once they are done.
func (c *Checker) Close() error {
	c.mu.Lock()
	c.closed = true
	idle := c.idle
	c.idle = nil
	if c.sweep != nil {
		c.sweep.Stop()
	}
	c.mu.Unlock()
	for _, k := range idle {
		k.kill()
	}
	c.busy.Wait()
	return nil
}

// Check reads a PDF from r to its end and says what is in it and what is wrong
// with it. The findings carry no Where. Whatever the file does to the child is a
// finding; the error is for what is not the file's fault: r failed, ctx ended, or
// no child could be started (then the file was not judged: try again).
func (c *Checker) Check(ctx context.Context, r io.Reader) (greffe.PDF, []greffe.Finding, error) {
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		return greffe.PDF{}, nil, context.Cause(ctx)
	}
	k, err := c.take(ctx)
	if err != nil {
		return greffe.PDF{}, nil, err
	}
	defer c.busy.Done()
	stop := context.AfterFunc(ctx, k.kill)
	defer stop()

	switch err := k.feed(r, c.cfg.MaxSize, patience*c.cfg.Timeout); {
	case errors.Is(err, errOversize):
		k.kill()
		return greffe.PDF{}, []greffe.Finding{ruleSize.At("", c.cfg.MaxSize>>20)}, nil
	case errors.Is(err, errChild) && ctx.Err() == nil:
		// It only stores what it is given here: a file cannot be the reason.
		k.kill()
		return greffe.PDF{}, nil, fmt.Errorf("pdf: hand over: %w", err)
	case err != nil:
		k.kill()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return greffe.PDF{}, nil, fmt.Errorf("pdf: %w", err)
	}
	inTime := k.watch(c.cfg.Timeout)
	a, err := k.answer()
	alive := inTime()
	if err != nil {
		k.kill()
		if ctx.Err() != nil {
			return greffe.PDF{}, nil, fmt.Errorf("pdf: %w", context.Cause(ctx))
		}
		return greffe.PDF{}, []greffe.Finding{ruleOverrun.At("")}, nil
	}
	switch {
	case a.Spent:
		k.kill()
	case stop() && alive: // else it is being killed just now
		c.give(k)
	}
	return a.Facts, a.Findings, nil
}

// take returns an idle child, or a new one, and counts it as busy.
func (c *Checker) take(ctx context.Context) (*child, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, ErrClosed
	}
	c.busy.Add(1)
	for len(c.idle) > 0 {
		k := c.idle[len(c.idle)-1]
		c.idle = c.idle[:len(c.idle)-1]
		if k.alive() {
			c.mu.Unlock()
			return k, nil
		}
	}
	c.mu.Unlock()
	k, err := start(ctx, c.cfg)
	if err != nil {
		c.busy.Done()
		return nil, fmt.Errorf("pdf: start the checking process: %w", err)
	}
	return k, nil
}

// give keeps a child for the next file.
func (c *Checker) give(k *child) {
	c.mu.Lock()
	if !c.closed {
		k.since = time.Now()
		c.idle = append(c.idle, k)
		if c.sweep == nil {
			c.sweep = time.AfterFunc(idleAfter, c.endIdle)
		}
		k = nil
	}
	c.mu.Unlock()
	if k != nil {
		k.kill()
	}
}

// endIdle ends the children that had no work for a while.
func (c *Checker) endIdle() {
	c.mu.Lock()
	n := 0
	for n < len(c.idle) && time.Since(c.idle[n].since) >= idleAfter {
		n++
	}
	old := c.idle[:n:n]
	c.idle = c.idle[n:]
	c.sweep = nil
	if len(c.idle) > 0 && !c.closed {
		c.sweep = time.AfterFunc(idleAfter-time.Since(c.idle[0].since), c.endIdle)
	}
	c.mu.Unlock()
	for _, k := range old {
		k.kill()
	}
}
