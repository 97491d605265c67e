package hl7

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// ErrNoAnswer is returned when the receiver could not be reached, or took a
// message and did not answer it. It may have the message or not: send it again
// with the same MSH-10.
var ErrNoAnswer = errors.New("hl7: no answer")

// Kinds of ErrNoAnswer, for whoever has to mend it.
var (
	// ErrUnreachable is returned when no connection could be made: the receiver
	// cannot have the message.
	ErrUnreachable = fmt.Errorf("%w: not reached", ErrNoAnswer)
	// ErrTimeout is returned when the receiver took the message and said nothing in
	// time, or stopped taking it.
	ErrTimeout = fmt.Errorf("%w: timed out", ErrNoAnswer)
	// ErrForeign is the ErrTimeout of a receiver that did say something, but about
	// another message (MSA-2), or no acknowledgement.
	ErrForeign = fmt.Errorf("%w: answered something else", ErrTimeout)
)

// ErrClosed is returned by Send after Close.
var ErrClosed = errors.New("hl7: client closed")

// ClientConfig says how a receiver is reached.
type ClientConfig struct {
	Address string // host:port
	// TLS returns what a new connection over TLS needs, as it is now: certificates are
	// renewed. nil: plain TCP.
	TLS         func() (*tls.Config, error)
	Connections int           // at once, each with one message in flight; 0 means 1
	DialTimeout time.Duration // including the TLS handshake; 0 means 10 s
	AckTimeout  time.Duration // from the end of the message to its answer; 0 means 60 s
	// StallTimeout is the longest time without progress while a message is
	// written; 0 means 30 s.
	StallTimeout time.Duration
}

// Client sends messages over MLLP. Its methods may be called at once.
//
// A connection carries one message at a time and stays open for the next. The
// answer is the acknowledgement whose MSA-2 is the MSH-10 that was sent: late
// and foreign ones, and frames that are no acknowledgement, are skipped. After
// a failure the connection is closed, since what the peer will say on it is unknown.
type Client struct {
	cfg    ClientConfig
	slots  chan struct{}
	linger time.Duration // of Ping

	mu     sync.Mutex
	idle   []*link
	closed bool
	wg     sync.WaitGroup // readers of links
}

// NewClient returns a client; it connects when there is something to send.
func NewClient(cfg ClientConfig) *Client {
	set := func(d *time.Duration, otherwise time.Duration) {
		if *d == 0 {
			*d = otherwise
		}
	}
	set(&cfg.DialTimeout, 10*time.Second)
	set(&cfg.AckTimeout, 60*time.Second)
	set(&cfg.StallTimeout, 30*time.Second)
	cfg.Connections = max(cfg.Connections, 1)
	return &Client{cfg: cfg, slots: make(chan struct{}, cfg.Connections), linger: 300 * time.Millisecond}
}

// Send sends the message that write gives and returns its answer, whatever it
// says. write may be called a second time, when a connection that was idle
// turns out dead. An error of write itself is returned as it is, and the frame
// is left unfinished so that the peer drops it. Other failures are ErrNoAnswer
// (ErrUnreachable, ErrTimeout, ErrForeign), or the error of ctx.
func (c *Client) Send(ctx context.Context, control string, write func(io.Writer) error) (ACK, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return ACK{}, ctx.Err()
	}
	for {
		l, reused, err := c.take(ctx)
		if err != nil {
			return ACK{}, err
		}
		a, err := c.exchange(ctx, l, control, write)
		if err == nil {
			c.put(l)
			return a, nil
		}
		l.close()
		if ctx.Err() != nil {
			return ACK{}, ctx.Err()
		}
		if errors.Is(err, errDead) {
			if reused { // the peer closed it while it was idle
				continue
			}
			err = fmt.Errorf("%w: %s: %w", ErrNoAnswer, c.cfg.Address, err)
		}
		return ACK{}, err
	}
}

// Ping connects, waits a moment for the receiver to close again, as one that does not
// take our address or our certificate does (TLS 1.3 tells only then), and closes.
func (c *Client) Ping(ctx context.Context) error {
	l, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	t := time.NewTimer(c.linger)
	defer t.Stop()
	select {
	case <-l.dead:
		return fmt.Errorf("%w: %s closes the connection: %w", ErrUnreachable, c.cfg.Address, l.err)
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close closes the idle connections, and those in use as they are given back.
// It waits for nothing that is being sent: end the contexts of those.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	idle := c.idle
	c.idle = nil
	c.mu.Unlock()
	for _, l := range idle {
		l.close()
	}
	c.wg.Wait()
}

// take returns an idle connection that still lives, or a new one.
func (c *Client) take(ctx context.Context) (l *link, reused bool, err error) {
	for {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return nil, false, ErrClosed
		}
		if len(c.idle) == 0 {
			c.mu.Unlock()
			break
		}
		l = c.idle[len(c.idle)-1]
		c.idle = c.idle[:len(c.idle)-1]
		c.mu.Unlock()
		if l.alive() {
			return l, true, nil
		}
		l.close()
	}
	l, err = c.dial(ctx)
	return l, false, err
}

func (c *Client) put(l *link) {
	c.mu.Lock()
	closed := c.closed
	if !closed {
		c.idle = append(c.idle, l)
	}
	c.mu.Unlock()
	if closed {
		l.close()
	}
}

func (c *Client) dial(ctx context.Context) (*link, error) {
	dctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	d := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 4}}
	var conn net.Conn
	var err error
	if c.cfg.TLS != nil {
		var tc *tls.Config
		if tc, err = c.cfg.TLS(); err == nil {
			conn, err = (&tls.Dialer{NetDialer: d, Config: tc}).DialContext(dctx, "tcp", c.cfg.Address)
		}
	} else {
		conn, err = d.DialContext(dctx, "tcp", c.cfg.Address)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: connect to %s: %w", ErrUnreachable, c.cfg.Address, err)
	}
	l := &link{conn: conn, out: bufio.NewWriterSize(nil, 64<<10), answers: make(chan ACK, 16), dead: make(chan struct{})}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		conn.Close()
		return nil, ErrClosed
	}
	c.wg.Go(l.read)
	c.mu.Unlock()
	return l, nil
}

// exchange sends one message on l and waits for its answer.
func (c *Client) exchange(ctx context.Context, l *link, control string, write func(io.Writer) error) (ACK, error) {
	stop := context.AfterFunc(ctx, func() { l.conn.Close() })
	defer stop()

	l.foreign.Store(false)
	w := &progress{conn: l.conn, stall: c.cfg.StallTimeout}
	buf := l.out
	buf.Reset(w)
	buf.WriteByte(frameStart)
	err := write(buf)
	if err == nil {
		buf.Write([]byte{frameEnd, frameCR})
		err = buf.Flush()
	}
	if w.err != nil {
		if errors.Is(w.err, os.ErrDeadlineExceeded) { // it is there and does not read
			return ACK{}, fmt.Errorf("%w: %s stopped taking the message for %s", ErrTimeout, c.cfg.Address, c.cfg.StallTimeout)
		}
		// What the peer said before it stopped reading tells more: an AE, an alert of TLS.
		l.conn.SetReadDeadline(time.Now().Add(c.linger))
		<-l.dead
		select {
		case a := <-l.answers:
			if a.Control == control && a.Code != "CA" {
				return ACK{}, fmt.Errorf("%w: %s answered %s inside the message", ErrNoAnswer, c.cfg.Address, a.Code)
			}
		default:
		}
		return ACK{}, fmt.Errorf("%w: write: %w, read: %w", errDead, w.err, l.err)
	}
	if err != nil {
		return ACK{}, err
	}
	timer := time.NewTimer(c.cfg.AckTimeout)
	defer timer.Stop()
	for {
		select {
		case a := <-l.answers:
			if a.Control == control && a.Code != "CA" {
				return a, nil
			}
			l.foreign.Store(l.foreign.Load() || a.Control != control)
		case <-l.dead:
			// What was read before the end still counts.
			select {
			case a := <-l.answers:
				if a.Control == control && a.Code != "CA" {
					return a, nil
				}
				continue
			default:
			}
			if l.heard {
				return ACK{}, fmt.Errorf("%w: %s: %w", ErrNoAnswer, c.cfg.Address, l.err)
			}
			return ACK{}, fmt.Errorf("%w: %w", errDead, l.err)
		case <-timer.C:
			if l.foreign.Load() {
				return ACK{}, fmt.Errorf("%w: %s, for %s", ErrForeign, c.cfg.Address, c.cfg.AckTimeout)
			}
			return ACK{}, fmt.Errorf("%w: %s took the message and said nothing for %s", ErrTimeout, c.cfg.Address, c.cfg.AckTimeout)
		case <-ctx.Done():
			return ACK{}, ctx.Err()
		}
	}
}

// errDead marks a connection that broke before a byte of an answer to the
// current message came.
var errDead = errors.New("connection lost")

// progress is a connection whose every write has to make progress in time.
type progress struct {
	conn  net.Conn
	stall time.Duration
	err   error
}

func (p *progress) Write(b []byte) (int, error) {
	// Small enough pieces: a slow line makes progress within each.
	for n := 0; n < len(b); {
		p.conn.SetWriteDeadline(time.Now().Add(p.stall))
		m, err := p.conn.Write(b[n:min(n+32<<10, len(b))])
		n += m
		if err != nil {
			p.err = err
			return n, err
		}
	}
	return len(b), nil
}
