package hl7

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// receiver starts a server and returns its address.
func receiver(t testing.TB, cfg *tls.Config, h Handler) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	if cfg != nil {
		ln = tls.NewListener(ln, cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln, h) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return addr
}

func client(t testing.TB, cfg ClientConfig) *Client {
	t.Helper()
	if cfg.AckTimeout == 0 {
		cfg.AckTimeout = 5 * time.Second
	}
	c := NewClient(cfg)
	t.Cleanup(c.Close)
	return c
}

// message writes a small message with this MSH-10.
func message(control string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "MSH|^~\\&|G|C|D|C|2026||MDM^T02^MDM_T02|%s|T|2.6\rEVN||2026\r", control)
		return err
	}
}

// readAll reads the message and returns its MSH.
func readAll(r io.Reader) (Segment, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return Segment{}, err
	}
	s, err := Parse(b)
	if err != nil {
		return Segment{}, err
	}
	return s[0], nil
}

func accept(_ context.Context, r io.Reader, w io.Writer) error {
	msh, err := readAll(r)
	if err != nil {
		return err
	}
	return WriteFrame(w, Answer(msh, ACK{Code: "AA", ID: "1"}, time.Now()))
}

func TestClientSendsManyAtOnce(t *testing.T) {
	t.Parallel()
	var most, now atomic.Int64
	addr := receiver(t, nil, func(ctx context.Context, r io.Reader, w io.Writer) error {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		return accept(ctx, r, w)
	})
	c := client(t, ClientConfig{Address: addr, Connections: 4})
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			id := fmt.Sprint("G", i)
			a, err := c.Send(t.Context(), id, message(id))
			if err != nil || a.Code != "AA" || a.Control != id {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
	wg.Wait()
	if most.Load() > 4 {
		t.Errorf("%d messages at once", most.Load())
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// Each of these receivers misbehaves once in its own way.
func TestClientSurvivesReceivers(t *testing.T) {
	t.Parallel()
	answer := func(msh Segment, control string) []byte {
		a := Answer(msh, ACK{Code: "AA", ID: "1"}, time.Now())
		return []byte(strings.Replace(string(a), msh.Text(10, 1), control, 1))
	}
	for _, c := range []struct {
		name string
		h    func(n int64, msh Segment, w io.Writer) error
		want error // of the first Send; the second always works
	}{
		{"foreign and late answers first", func(_ int64, msh Segment, w io.Writer) error {
			WriteFrame(w, answer(msh, "OTHER"))
			WriteFrame(w, answer(msh, "G0"))
			return WriteFrame(w, answer(msh, msh.Text(10, 1)))
		}, nil},
		{"a frame that is no answer first", func(_ int64, msh Segment, w io.Writer) error {
			WriteFrame(w, []byte("bonjour"))
			WriteFrame(w, nil)
			return WriteFrame(w, answer(msh, msh.Text(10, 1)))
		}, nil},
		{"bytes between frames", func(_ int64, msh Segment, w io.Writer) error {
			io.WriteString(w, "\r\n  \x1c\r")
			return WriteFrame(w, answer(msh, msh.Text(10, 1)))
		}, nil},
		{"a frame begun twice", func(_ int64, msh Segment, w io.Writer) error {
			io.WriteString(w, "\x0bMSH|^~\\&|half")
			return WriteFrame(w, answer(msh, msh.Text(10, 1)))
		}, nil},
		{"no CR after the frame", func(_ int64, msh Segment, w io.Writer) error {
			_, err := fmt.Fprintf(w, "\x0b%s\x1c", answer(msh, msh.Text(10, 1)))
			return err
		}, nil},
		{"in pieces", func(_ int64, msh Segment, w io.Writer) error {
			for _, b := range fmt.Appendf(nil, "\x0b%s\x1c\r", answer(msh, msh.Text(10, 1))) {
				if _, err := w.Write([]byte{b}); err != nil {
					return err
				}
			}
			return nil
		}, nil},
		{"closes mid-answer", func(n int64, msh Segment, w io.Writer) error {
			if n == 1 {
				io.WriteString(w, "\x0bMSH|^~\\&|DPI")
				return io.EOF
			}
			return WriteFrame(w, answer(msh, msh.Text(10, 1)))
		}, ErrNoAnswer},
		{"closes without answer", func(n int64, msh Segment, w io.Writer) error {
			if n == 1 {
				return io.EOF
			}
			return WriteFrame(w, answer(msh, msh.Text(10, 1)))
		}, ErrNoAnswer},
		{"says nothing", func(n int64, msh Segment, w io.Writer) error {
			if n == 1 {
				return nil
			}
			return WriteFrame(w, answer(msh, msh.Text(10, 1)))
		}, ErrNoAnswer},
		{"only garbage", func(n int64, msh Segment, w io.Writer) error {
			if n == 1 {
				_, err := w.Write(bytes.Repeat([]byte("garbage "), 20_000))
				return err
			}
			return WriteFrame(w, answer(msh, msh.Text(10, 1)))
		}, ErrNoAnswer},
		{"an endless answer", func(n int64, msh Segment, w io.Writer) error {
			if n == 1 {
				io.WriteString(w, "\x0bMSH|^~\\&|")
				_, err := w.Write(make([]byte, 2<<20))
				return err
			}
			return WriteFrame(w, answer(msh, msh.Text(10, 1)))
		}, ErrNoAnswer},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int64
			addr := receiver(t, nil, func(_ context.Context, r io.Reader, w io.Writer) error {
				msh, err := readAll(r)
				if err != nil {
					return err
				}
				return c.h(n.Add(1), msh, w)
			})
			cl := client(t, ClientConfig{Address: addr, AckTimeout: 400 * time.Millisecond})
			a, err := cl.Send(t.Context(), "G1", message("G1"))
			if !errors.Is(err, c.want) || err == nil && a.Control != "G1" {
				t.Fatalf("first: %+v, %v", a, err)
			}
			cl.cfg.AckTimeout = 10 * time.Second
			if a, err := cl.Send(t.Context(), "G2", message("G2")); err != nil || a.Control != "G2" {
				t.Fatalf("second: %+v, %v", a, err)
			}
		})
	}
}

func TestClientReconnectsWhenIdleConnectionWasClosed(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	addr := receiver(t, nil, func(ctx context.Context, r io.Reader, w io.Writer) error {
		n.Add(1)
		if err := accept(ctx, r, w); err != nil {
			return err
		}
		return io.EOF // one message per connection
	})
	c := client(t, ClientConfig{Address: addr})
	for i := range 20 {
		id := fmt.Sprint("G", i)
		if a, err := c.Send(t.Context(), id, message(id)); err != nil || a.Control != id {
			t.Fatalf("%d: %+v, %v", i, a, err)
		}
	}
	if n.Load() != 20 {
		t.Errorf("%d messages for 20", n.Load())
	}
}

func TestClientStopsWithItsContextAndWhenClosed(t *testing.T) {
	t.Parallel()
	got := make(chan struct{}, 1)
	addr := receiver(t, nil, func(_ context.Context, r io.Reader, _ io.Writer) error {
		_, err := readAll(r)
		got <- struct{}{}
		return err
	})
	c := client(t, ClientConfig{Address: addr})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-got; cancel() }()
	if _, err := c.Send(ctx, "G1", message("G1")); !errors.Is(err, context.Canceled) {
		t.Errorf("err %v", err)
	}
	c.Close()
	if _, err := c.Send(t.Context(), "G1", message("G1")); !errors.Is(err, ErrClosed) {
		t.Errorf("err %v", err)
	}
}

func TestClientUnreachable(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	c := client(t, ClientConfig{Address: addr})
	if _, err := c.Send(t.Context(), "G1", message("G1")); !errors.Is(err, ErrUnreachable) {
		t.Errorf("err %v", err)
	}
	if err := c.Ping(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("err %v", err)
	}
}

// A second message on a connection comes only after the answer to the first.
func TestClientHasOneMessageInFlight(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := client(t, ClientConfig{Address: ln.Addr().String(), Connections: 1, AckTimeout: time.Minute})
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Go(func() {
			id := fmt.Sprint("G", i)
			if a, err := c.Send(t.Context(), id, message(id)); err != nil || a.Control != id {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for range 5 {
		f, err := nextFrame(r)
		if err != nil {
			t.Fatal(err)
		}
		msh, err := readAll(f)
		if err != nil {
			t.Fatal(err)
		}
		if r.Buffered() > 0 && f.done {
			if b, _ := r.Peek(1); b[0] == frameCR { // the end of this frame came in a piece of its own
				r.Discard(1)
			}
		}
		conn.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
		if b, err := r.Peek(2); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q came before the answer, %v", b, err)
		}
		conn.SetReadDeadline(time.Time{})
		if err := WriteFrame(conn, Answer(msh, ACK{Code: "AA", ID: "1"}, time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}

// A receiver that stops reading must not hold the sender for ever.
func TestClientStalledWrite(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		if conn, err := ln.Accept(); err == nil {
			accepted <- conn
		}
	}()
	c := client(t, ClientConfig{Address: ln.Addr().String(), StallTimeout: 200 * time.Millisecond})
	_, err = c.Send(t.Context(), "G1", func(w io.Writer) error {
		_, err := io.Copy(w, io.LimitReader(zeros{}, 64<<20))
		return err
	})
	if !errors.Is(err, ErrTimeout) || !errors.Is(err, ErrNoAnswer) {
		t.Errorf("err %v", err)
	}
	(<-accepted).Close()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// A document that turns out corrupt while it is sent must not arrive.
func TestBrokenContentNeverArrives(t *testing.T) {
	t.Parallel()
	var whole atomic.Int64
	failed := make(chan error, 1)
	addr := receiver(t, nil, func(ctx context.Context, r io.Reader, w io.Writer) error {
		b, err := io.ReadAll(r)
		if err != nil {
			failed <- err
			return err
		}
		whole.Add(1)
		return accept(ctx, bytes.NewReader(b), w)
	})
	c := client(t, ClientConfig{Address: addr})
	corrupt := errors.New("digest differs")
	m, s := sample()
	_, err := c.Send(t.Context(), m.Control, func(w io.Writer) error {
		return m.Encode(w, s, io.MultiReader(io.LimitReader(zeros{}, 1<<20), failing{corrupt}))
	})
	if !errors.Is(err, corrupt) || errors.Is(err, ErrNoAnswer) {
		t.Errorf("err %v", err)
	}
	if err := <-failed; !errors.Is(err, errCut) {
		t.Errorf("the receiver saw %v", err)
	}
	if a, err := c.Send(t.Context(), m.Control, func(w io.Writer) error {
		return m.Encode(w, s, io.LimitReader(zeros{}, 3<<20))
	}); err != nil || a.Code != "AA" {
		t.Errorf("%+v, %v", a, err)
	}
	if whole.Load() != 1 {
		t.Errorf("%d whole messages", whole.Load())
	}
}

// always is for settings that do not change; nil for none.
func always(cfg *tls.Config) func() (*tls.Config, error) {
	if cfg == nil {
		return nil
	}
	return func() (*tls.Config, error) { return cfg, nil }
}

func TestClientWithMutualTLS(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	server := &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	addr := receiver(t, server, accept)
	good := client(t, ClientConfig{Address: addr, TLS: always(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}, ServerName: "di.example"})})
	for _, id := range []string{"G1", "G2"} {
		if a, err := good.Send(t.Context(), id, message(id)); err != nil || a.Code != "AA" {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	for name, cfg := range map[string]*tls.Config{
		"unknown authority":     {ServerName: "di.example", Certificates: []tls.Certificate{cert}},
		"no client certificate": {ServerName: "di.example", RootCAs: pool},
		"other name":            {ServerName: "other.example", RootCAs: pool, Certificates: []tls.Certificate{cert}},
	} {
		c := client(t, ClientConfig{Address: addr, TLS: always(cfg)})
		if _, err := c.Send(t.Context(), "G1", message("G1")); !errors.Is(err, ErrNoAnswer) {
			t.Errorf("%s: %v", name, err)
		}
		c.linger = 20 * time.Second
		if err := c.Ping(t.Context()); !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: ping: %v", name, err)
		}
	}
	if err := good.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
}

// What came instead of the answer is said.
func TestClientNamesWhatCameInstead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer  string
		foreign bool
	}{
		"nothing":            {"", false},
		"about another":      {"MSH|^~\\&|D|C|G|C|2026||ACK|7|T|2.6\rMSA|AA|OTHER\r", true},
		"no acknowledgement": {"bonjour", true},
		"commit accept":      {"MSH|^~\\&|D|C|G|C|2026||ACK|7|T|2.6\rMSA|CA|G1\r", false},
	} {
		addr := receiver(t, nil, func(_ context.Context, r io.Reader, w io.Writer) error {
			if _, err := readAll(r); err != nil || c.answer == "" {
				return err
			}
			return WriteFrame(w, []byte(c.answer))
		})
		_, err := client(t, ClientConfig{Address: addr, AckTimeout: time.Second}).Send(t.Context(), "G1", message("G1"))
		if !errors.Is(err, ErrTimeout) || errors.Is(err, ErrForeign) != c.foreign {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A receiver that floods the connection with answers to others is heard to the end.
func TestClientIsNotDrownedByForeignAnswers(t *testing.T) {
	t.Parallel()
	addr := receiver(t, nil, func(_ context.Context, r io.Reader, w io.Writer) error {
		msh, err := readAll(r)
		if err != nil {
			return err
		}
		for n := range 500 {
			a := Answer(msh, ACK{Code: "AE", ID: "1"}, time.Now())
			WriteFrame(w, bytes.Replace(a, []byte(msh.Text(10, 1)), fmt.Appendf(nil, "X%d", n), 1))
		}
		return WriteFrame(w, Answer(msh, ACK{Code: "AA", ID: "2"}, time.Now()))
	})
	c := client(t, ClientConfig{Address: addr, AckTimeout: 30 * time.Second})
	for _, id := range []string{"G1", "G2"} {
		if a, err := c.Send(t.Context(), id, message(id)); err != nil || a.Code != "AA" || a.Control != id {
			t.Errorf("%+v, %v", a, err)
		}
	}
}

func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "di.example"}, DNSNames: []string{"di.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}
