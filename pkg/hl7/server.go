package hl7

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Handler takes one message from r and writes its answer, with WriteFrame, to w.
// What it leaves unread of the message is skipped. ctx ends when the peer is gone, too,
// once the message was read. An error closes the connection; an answer is not required.
type Handler func(ctx context.Context, r io.Reader, w io.Writer) error

// limits bound what peers may take of a receiver.
type limits struct {
	connections int           // at once; one more is closed as it comes
	message     int64         // bytes of one; the connection of a longer one is closed
	idle        time.Duration // without a byte, in a message or between two
}

var serveLimits = limits{connections: 64, message: 192 << 20, idle: 10 * time.Minute}

// Serve receives messages on ln and calls h for each, one at a time per
// connection, until ctx is done; then it closes ln and every connection, waits
// for the handlers and returns nil. It is meant for the demonstration record
// system and for tests. It holds 64 connections at once, each for at most ten minutes
// without a byte, and takes messages of up to 192 MiB.
func Serve(ctx context.Context, ln net.Listener, h Handler) error {
	return serveLimits.serve(ctx, ln, h)
}

func (l limits) serve(ctx context.Context, ln net.Listener, h Handler) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	room := make(chan struct{}, l.connections)
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		select {
		case room <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		wg.Go(func() {
			defer func() { <-room }()
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			l.attend(ctx, conn, h)
		})
	}
}

// attend serves one connection until it ends.
func (l limits) attend(ctx context.Context, conn net.Conn, h Handler) {
	r := bufio.NewReaderSize(impatient{conn, l.idle}, 64<<10)
	for {
		f, err := nextFrame(r)
		if err != nil {
			return
		}
		if err := l.handle(ctx, conn, r, f, h); err != nil {
			return
		}
	}
}

// handle has one message handled. While the handler makes up its mind, the next byte is
// waited for, so that a peer that has gone ends the waiting.
func (l limits) handle(ctx context.Context, conn net.Conn, r *bufio.Reader, f *frameReader, h Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var next sync.WaitGroup
	defer next.Wait() // r has one reader at a time
	read := &bounded{r: f, left: l.message, end: sync.OnceFunc(func() {
		next.Go(func() {
			for range junkLimit {
				b, err := r.Peek(1)
				switch {
				case err != nil:
					cancel()
					return
				case b[0] == frameStart:
					return
				}
				r.Discard(1) // the CR of the last frame, or what nextFrame would skip
			}
		})
	})}
	if err := h(ctx, read, conn); err != nil {
		conn.Close()
		return err
	}
	if _, err := io.Copy(io.Discard, read); err != nil && r.Buffered() == 0 || errors.Is(err, errTooLong) {
		conn.Close()
		return err
	}
	return nil
}

var errTooLong = fmt.Errorf("%w: a message that is too long", ErrSyntax)

// bounded reads one message, and calls end when it has been read whole.
type bounded struct {
	r    io.Reader
	left int64
	end  func()
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooLong
	}
	if errors.Is(err, io.EOF) {
		b.end()
	}
	return n, err
}

// impatient gives each read its time.
type impatient struct {
	net.Conn
	idle time.Duration
}

func (c impatient) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}
