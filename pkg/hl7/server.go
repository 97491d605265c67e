package hl7

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
)

// Handler takes one message from r and writes its answer, with WriteFrame, to w.
// What it leaves unread of the message is skipped. An error closes the
// connection; an answer is not required.
type Handler func(ctx context.Context, r io.Reader, w io.Writer) error

// Serve receives messages on ln and calls h for each, one at a time per
// connection, until ctx is done; then it closes ln and every connection, waits
// for the handlers and returns nil. It is meant for the demonstration record
// system and for tests: it does not limit how many connections it accepts.
func Serve(ctx context.Context, ln net.Listener, h Handler) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		wg.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			serve(ctx, conn, h)
		})
	}
}

func serve(ctx context.Context, conn net.Conn, h Handler) {
	r := bufio.NewReaderSize(conn, 64<<10)
	for {
		f, err := nextFrame(r)
		if err != nil {
			return
		}
		if err := h(ctx, f, conn); err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, f); err != nil && r.Buffered() == 0 {
			return
		}
	}
}
