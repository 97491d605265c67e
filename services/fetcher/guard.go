package fetcher

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// What ends a connection, besides errors of the network.
var (
	errStalled = errors.New("the server stopped sending")
	errFlood   = errors.New("the server sent far more than was asked for")
	errCut     = errors.New("the server closed the connection")
)

// progress is how much must come within guard.stall of waiting.
const progress = 16 << 10

// guard bounds what a server may do to the IMAP client: the client has no limit
// on the size of a response, and its time limits are absolute, so that they stop
// large messages on slow lines and let a server that says nothing hang it.
//
// Bytes: between begin and rest at most the given budget is read; allow adds to
// it when a literal of known size starts. Time: each 16 KiB, or the end of the
// command, must come within stall, counting only the time spent waiting for the
// server, not the time a slow reader takes.
type guard struct {
	net.Conn
	stall time.Duration

	mu     sync.Mutex
	head   []byte        // read before the connection: a greeting already consumed
	budget int64         // bytes that may still be read
	left   time.Duration // of waiting
	since  time.Time     // when waiting began
	window int           // bytes since left was last refilled
	cause  error         // why the connection ended

	lines lines // what was read; Read's alone
}

func newGuard(c net.Conn, stall time.Duration, head string) *guard {
	return &guard{Conn: c, stall: stall, left: stall, budget: quiet, head: []byte(head)}
}

// quiet is the budget outside commands: the odd EXISTS, FETCH FLAGS or BYE.
const quiet = 1 << 20

// begin starts a command whose answer takes at most budget bytes.
func (g *guard) begin(budget int64) { g.set(budget, g.stall) }

// rest ends a command: for d the server may say nothing.
func (g *guard) rest(d time.Duration) { g.set(quiet, d) }

func (g *guard) set(budget int64, left time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.budget, g.left, g.window, g.since = budget, left, 0, time.Now()
	_ = g.Conn.SetReadDeadline(g.since.Add(left)) // also moves that of a Read under way
}

// allow adds a literal of n bytes to the budget.
func (g *guard) allow(n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.budget += n
}

// kill closes the connection because of err; the first reason stays.
func (g *guard) kill(err error) {
	g.mu.Lock()
	if g.cause == nil {
		g.cause = err
	}
	g.mu.Unlock()
	_ = g.Conn.Close()
}

// why returns what ended the connection, nil while it lives.
func (g *guard) why() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cause
}

// Close implements net.Conn. The client closes the connection when it cannot
// make sense of an answer.
func (g *guard) Close() error {
	g.kill(net.ErrClosed)
	return nil
}

// Read implements net.Conn.
func (g *guard) Read(p []byte) (int, error) {
	g.mu.Lock()
	if g.cause != nil {
		defer g.mu.Unlock()
		return 0, g.cause
	}
	if len(g.head) > 0 {
		n := copy(p, g.head)
		g.head = g.head[n:]
		g.mu.Unlock()
		return n, g.lines.see(p[:n])
	}
	// One byte over the budget tells a flood from an answer that just fits.
	if room := g.budget + 1; int64(len(p)) > room {
		p = p[:room]
	}
	g.since = time.Now()
	_ = g.Conn.SetReadDeadline(g.since.Add(g.left))
	g.mu.Unlock()

	n, err := g.Conn.Read(p)

	g.mu.Lock()
	g.budget -= int64(n)
	g.window += n
	g.left -= time.Since(g.since)
	if g.window >= progress {
		g.left, g.window = max(g.left, g.stall), 0
	}
	flood := g.budget < 0
	g.mu.Unlock()
	odd := g.lines.see(p[:n])
	switch {
	case flood:
		err = errFlood
	case odd != nil:
		err, n = odd, 0 // the client must not see it
	case err == nil:
		return n, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = errStalled
	case errors.Is(err, io.EOF):
		err = errCut
	}
	g.kill(err)
	if err == errCut {
		return n, io.EOF // as the client expects it
	}
	return n, err
}

// SetReadDeadline and SetDeadline are the guard's own business.
func (g *guard) SetReadDeadline(time.Time) error { return nil }
func (g *guard) SetDeadline(time.Time) error     { return nil }
