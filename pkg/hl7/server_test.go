package hl7

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// startLimited starts a receiver with limits of its own.
func startLimited(t *testing.T, l limits, h Handler) (dial func() net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.serve(ctx, ln, h) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(time.Minute))
		return c
	}
}

func echo(_ context.Context, r io.Reader, w io.Writer) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return WriteFrame(w, b)
}

// says sends a message and returns what came back; the error when nothing did.
func says(c net.Conn, message string) (string, error) {
	if err := WriteFrame(c, []byte(message)); err != nil {
		return "", err
	}
	f, err := nextFrame(bufio.NewReader(c))
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(f)
	return string(b), err
}

// What peers may take of a receiver is bounded: connections, bytes, time.
func TestServeIsBounded(t *testing.T) {
	t.Parallel()
	t.Run("connections", func(t *testing.T) {
		t.Parallel()
		dial := startLimited(t, limits{2, 1000, time.Minute}, echo)
		a, b := dial(), dial()
		for _, c := range []net.Conn{a, b} {
			if s, err := says(c, "MSH"); s != "MSH" || err != nil {
				t.Fatal(s, err)
			}
		}
		if s, err := says(dial(), "MSH"); err == nil {
			t.Errorf("a third connection was served: %q", s)
		}
		a.Close() // its place is free again, as soon as that was seen
		for until := time.Now().Add(time.Minute); ; {
			if s, err := says(dial(), "MSH"); s == "MSH" && err == nil {
				break
			}
			if time.Now().After(until) {
				t.Fatal("the place of a connection that ended is not free")
			}
		}
		if s, err := says(b, "again"); s != "again" || err != nil {
			t.Error(s, err)
		}
	})
	t.Run("bytes", func(t *testing.T) {
		t.Parallel()
		for name, h := range map[string]Handler{"read": echo, "left": func(context.Context, io.Reader, io.Writer) error { return nil }} {
			dial := startLimited(t, limits{2, 1000, time.Minute}, h)
			if s, err := says(dial(), strings.Repeat("x", 100_000)); err == nil {
				t.Errorf("%s: %d bytes came back", name, len(s))
			}
		}
		dial := startLimited(t, limits{2, 1000, time.Minute}, echo)
		c := dial()
		for range 3 {
			if s, err := says(c, strings.Repeat("x", 1000)); len(s) != 1000 || err != nil {
				t.Error(len(s), err)
			}
		}
	})
	t.Run("time", func(t *testing.T) {
		t.Parallel()
		dial := startLimited(t, limits{2, 1000, 20 * time.Millisecond}, echo)
		c := dial()
		c.Write([]byte("\x0bMSH")) // and no more
		if _, err := io.ReadAll(c); err != nil && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
			t.Errorf("the connection stays: %v", err)
		}
	})
}

// A handler that waits is told when the peer has gone.
func TestServeNoticesThatThePeerIsGone(t *testing.T) {
	t.Parallel()
	told, read := make(chan error, 1), make(chan struct{})
	dial := startLimited(t, serveLimits, func(ctx context.Context, r io.Reader, _ io.Writer) error {
		io.Copy(io.Discard, r)
		close(read)
		<-ctx.Done()
		told <- ctx.Err()
		return ctx.Err()
	})
	c := dial()
	if err := WriteFrame(c, []byte("MSH")); err != nil {
		t.Fatal(err)
	}
	<-read
	c.Close()
	select {
	case <-told:
	case <-time.After(time.Minute):
		t.Fatal("the handler waits for a peer that is gone")
	}
}
