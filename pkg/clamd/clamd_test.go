package clamd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers each connection with f, on loopback, and returns the address.
func serve(t testing.TB, f func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func client(t testing.TB, cfg Config) *Client {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// readPart reads INSTREAM as clamd does and returns the bytes.
func readPart(c net.Conn) ([]byte, error) {
	r := bufio.NewReader(c)
	if cmd, err := r.ReadString(0); err != nil || cmd != "zINSTREAM\x00" {
		return nil, errors.New("not INSTREAM")
	}
	var part []byte
	for {
		var n uint32
		if err := binary.Read(r, binary.BigEndian, &n); err != nil {
			return part, err
		}
		if n == 0 {
			return part, nil
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return part, err
		}
		part = append(part, b...)
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"tcp://av:3310": "tcp av:3310", "av:3311": "tcp av:3311", "tcp://av": "tcp av:3310", "tcp://[::1]:3310/": "tcp [::1]:3310",
		"unix:///run/clamav/clamd.ctl": "unix /run/clamav/clamd.ctl", "/run/clamd.ctl": "unix /run/clamd.ctl",
		"": "", "http://av:3310": "", "unix://run/clamd.ctl": "", "tcp://": "", "tcp://u:p@av": "", "tcp://av:x": "", "unix:///": "", "tcp://av/x": "",
	} {
		network, address, err := ParseAddress(s)
		if got := strings.TrimSpace(network + " " + address); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", s, got, err, want)
		}
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]struct {
		signature string
		heuristic bool
		err       error
	}{
		"stream: OK":                                     {},
		"stream: Eicar-Test-Signature FOUND":             {signature: "Eicar-Test-Signature"},
		"stream: Heuristics.Limits.Exceeded FOUND":       {signature: "Heuristics.Limits.Exceeded", heuristic: true},
		"stream: PUA.Win.Packer FOUND":                   {signature: "PUA.Win.Packer", heuristic: true},
		"stream: A\x1b[31mB FOUND":                       {signature: "A?[31mB"},
		"stream: " + strings.Repeat("é", 150) + " FOUND": {signature: strings.Repeat("é", 98) + "..."},
		"INSTREAM size limit exceeded. ERROR":            {err: ErrTooLarge},
		"stream: Can't write to temporary file ERROR":    {err: ErrFailed},
		"stream: lstat() failed. ERROR":                  {err: ErrFailed},
		"UNKNOWN COMMAND":                                {err: ErrAnswer},
		"stream:  FOUND":                                 {err: ErrAnswer},
		"OK":                                             {err: ErrAnswer},
		"stream: OKAY":                                   {err: ErrAnswer},
		"stream: not OK":                                 {err: ErrAnswer},
		"":                                               {err: ErrAnswer},
	} {
		res, err := parseScan(line)
		if res.Signature != want.signature || res.Heuristic() != want.heuristic || !errors.Is(err, want.err) || (err == nil) != (want.err == nil) {
			t.Errorf("%q: %+v, %v", line, res, err)
		}
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	v, err := parseVersion("ClamAV 1.4.6/27460/Sun Nov 22 08:41:12 2026")
	now := time.Date(2026, 11, 24, 8, 41, 12, 0, time.UTC)
	if err != nil || v.Engine != "ClamAV 1.4.6" || v.Base != "27460" || v.Age(now) != 48*time.Hour {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := parseVersion("ClamAV 1.4.6"); err != nil || v.Base != "" || v.Age(now) != 0 {
		t.Errorf("a local base alone: %+v, %v", v, err)
	}
	if v, err := parseVersion("ClamAV 1.4.6/27460/yesterday"); err != nil || !v.Date.IsZero() {
		t.Errorf("a date that is none: %+v, %v", v, err)
	}
	if _, err := parseVersion("220 smtp.example ESMTP"); !errors.Is(err, ErrAnswer) {
		t.Errorf("another server: %v", err)
	}
}

// What a server can do wrong, and what must not come of it: a clean verdict.
func TestTroubleIsNeverClean(t *testing.T) {
	t.Parallel()
	say := func(line string) func(net.Conn) {
		return func(c net.Conn) { readPart(c); io.WriteString(c, line) }
	}
	hang := func(c net.Conn) { io.Copy(io.Discard, c) }
	for name, x := range map[string]struct {
		server func(net.Conn)
		want   error
	}{
		"hangs up at once":           {func(net.Conn) {}, nil},
		"hangs up after the part":    {func(c net.Conn) { readPart(c) }, nil},
		"hangs up in its answer":     {say("stream: O"), nil},
		"answer without its end":     {say("stream: OK"), nil},
		"answer of another protocol": {say("HTTP/1.1 400 Bad Request\r\n\r\n\x00"), ErrAnswer},
		"endless answer":             {say(strings.Repeat("x", 1<<20)), ErrAnswer},
		"error":                      {say("stream: Can't allocate memory ERROR\x00"), ErrFailed},
		"never answers":              {hang, context.DeadlineExceeded},
		"takes nothing":              {func(c net.Conn) { time.Sleep(300 * time.Millisecond) }, nil},
		"OK before the end of the part": {func(c net.Conn) {
			io.WriteString(c, "stream: OK\x00")
			c.(*net.TCPConn).SetLinger(0)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := serve(t, x.server)
			cfg := Config{Address: addr}
			if name == "takes nothing" {
				cfg.Stall = 100 * time.Millisecond
			}
			c := client(t, cfg)
			limit := 20 * time.Second
			if x.want == context.DeadlineExceeded {
				limit = 200 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			part := make([]byte, 8<<20) // more than the buffers of a socket
			began := time.Now()
			res, err := c.Scan(ctx, bytes.NewReader(part))
			if err == nil || !res.Clean() {
				t.Fatalf("%+v, %v", res, err)
			}
			if x.want != nil && !errors.Is(err, x.want) {
				t.Errorf("error %v, want %v", err, x.want)
			}
			if d := time.Since(began); d > 5*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	c := client(t, Config{Address: filepath.Join(t.TempDir(), "none.sock")})
	if _, err := c.Scan(t.Context(), strings.NewReader("x")); err == nil {
		t.Error("scanned by nobody")
	}
	if _, err := c.Version(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("version: %v", err)
	}
}

// A slow clamd is waited for: time counts from its last sign, not from the beginning.
func TestSlowButAlive(t *testing.T) {
	t.Parallel()
	addr := serve(t, func(c net.Conn) {
		part, err := readPart(iotestConn{c})
		if err == nil && len(part) == 3000 {
			for _, b := range []byte("stream: Slow FOUND\x00") {
				c.Write([]byte{b})
			}
		}
	})
	c := client(t, Config{Address: addr})
	res, err := c.Scan(t.Context(), iotest.OneByteReader(bytes.NewReader(make([]byte, 3000))))
	if err != nil || res.Signature != "Slow" {
		t.Errorf("%+v, %v", res, err)
	}
}

// iotestConn reads a byte at a time.
type iotestConn struct{ net.Conn }

func (c iotestConn) Read(p []byte) (int, error) { return c.Conn.Read(p[:min(len(p), 1)]) }

// clamd says that a part is too large while it is still being sent, and hangs up: the
// answer is read all the same.
func TestAnswerAfterBrokenPipe(t *testing.T) {
	t.Parallel()
	addr := serve(t, func(c net.Conn) {
		io.CopyN(io.Discard, c, 1<<20)
		io.WriteString(c, "INSTREAM size limit exceeded. ERROR\x00")
	})
	c := client(t, Config{Address: addr})
	s, err := c.Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 200 {
		if n, err := s.Write(make([]byte, 100<<10)); n != 100<<10 || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	if _, err := s.Result(); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
}

func TestAReaderThatBreaksIsTheCallers(t *testing.T) {
	t.Parallel()
	addr := serve(t, func(c net.Conn) {
		if _, err := readPart(c); err == nil {
			t.Error("a part that broke off was ended as if it were whole")
		}
	})
	broken := errors.New("broken")
	c := client(t, Config{Address: addr})
	if _, err := c.Scan(t.Context(), io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken))); err != broken {
		t.Errorf("%v", err)
	}
}

// Places are given back, and no more connections are open than there are places.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	addr := serve(t, func(c net.Conn) { readPart(c); io.WriteString(c, "stream: OK\x00") })
	c := client(t, Config{Address: addr, Connections: 1})
	for range 20 {
		if _, err := c.Scan(t.Context(), strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Stream(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second connection: %v", err)
	}
	s.Close()
	s.Close()
	if _, err := c.Scan(t.Context(), strings.NewReader("x")); err != nil {
		t.Error(err)
	}
}

// The real clamd, when there is one: its signature base holds EICAR, and its
// StreamMaxLength is 25 MiB (.ci/clamd.sh).
func TestRealClamd(t *testing.T) {
	t.Parallel()
	addr := os.Getenv("GREFFE_TEST_CLAMD")
	if addr == "" {
		t.Skip("GREFFE_TEST_CLAMD is not set")
	}
	c := client(t, Config{Address: addr})
	v, err := c.Version(t.Context())
	if err != nil || !strings.HasPrefix(v.Engine, "ClamAV ") {
		t.Errorf("version %+v, %v", v, err)
	}
	res, err := c.Scan(t.Context(), bytes.NewReader(TestFile()))
	if err != nil || res.Clean() || res.Heuristic() {
		t.Errorf("EICAR: %+v, %v", res, err)
	}
	for _, n := range []int{0, 1, 100, chunkSize, chunkSize + 1, 4 << 20} {
		if res, err := c.Scan(t.Context(), bytes.NewReader(make([]byte, n))); err != nil || !res.Clean() {
			t.Errorf("%d bytes: %+v, %v", n, res, err)
		}
	}
	for range 5 { // the answer and the broken pipe race
		if _, err := c.Scan(t.Context(), bytes.NewReader(make([]byte, 40<<20))); !errors.Is(err, ErrTooLarge) {
			t.Errorf("40 MiB: %v", err)
		}
	}
}

// FuzzAnswer: whatever a server says, nothing panics, and only the one line is clean.
func FuzzAnswer(f *testing.F) {
	f.Add("stream: OK")
	f.Add("stream: Eicar FOUND")
	f.Add("INSTREAM size limit exceeded. ERROR")
	f.Add("ClamAV 1.4.6/27460/Sun Nov 22 08:41:12 2026")
	f.Fuzz(func(t *testing.T, line string) {
		res, err := parseScan(line)
		if err == nil && res.Clean() != (line == "stream: OK") {
			t.Errorf("%q is %+v", line, res)
		}
		if len(res.Signature) > 200 {
			t.Errorf("a signature of %d bytes", len(res.Signature))
		}
		if v, err := parseVersion(line); err == nil && v.Engine == "" {
			t.Errorf("%q has no engine", line)
		}
	})
}

// BenchmarkScan needs GREFFE_TEST_CLAMD.
func BenchmarkScan(b *testing.B) {
	addr := os.Getenv("GREFFE_TEST_CLAMD")
	if addr == "" {
		b.Skip("GREFFE_TEST_CLAMD is not set")
	}
	c := client(b, Config{Address: addr})
	part := make([]byte, 20<<10)
	b.SetBytes(int64(len(part)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Scan(b.Context(), bytes.NewReader(part)); err != nil {
			b.Fatal(err)
		}
	}
}
