package sandbox

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"greffe/pkg/clamd"
)

// Antivirus is a demo antivirus that speaks as much of clamd's protocol as Greffe
// uses. It knows one malware, the EICAR test file, and looks for it in the bytes as
// they come: it opens nothing. Its methods may be called at once.
type Antivirus struct {
	addr string
	done sync.WaitGroup

	mu      sync.Mutex
	l       net.Listener // nil while it is down
	conns   map[net.Conn]bool
	version string
	limit   int64
	scans   int
	behave  func(head []byte) (answer string, other bool)
}

// StartAntivirus listens on addr; empty: 127.0.0.1 and a free port.
func StartAntivirus(addr string) (*Antivirus, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	a := &Antivirus{addr: addr, conns: map[net.Conn]bool{}, limit: 100 << 20}
	a.SetBase("27460", time.Now())
	if err := a.Up(); err != nil {
		return nil, err
	}
	return a, nil
}

// Addr returns host:port, the same when it was down in between.
func (a *Antivirus) Addr() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.addr
}

// SetBase sets the version and the date of the signature base that it claims to have.
func (a *Antivirus) SetBase(version string, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version = fmt.Sprintf("ClamAV 1.4.6/%s/%s", version, at.UTC().Format(time.ANSIC))
}

// SetLimit sets the size in bytes above which it scans nothing (StreamMaxLength).
func (a *Antivirus) SetLimit(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.limit = n
}

// Scans returns how many parts were scanned to their end.
func (a *Antivirus) Scans() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.scans
}

// Behave decides what is answered about a part by its first bytes, at most 64: answer
// when other is true (empty: it hangs up), else what it should. nil means normally.
func (a *Antivirus) Behave(f func(head []byte) (answer string, other bool)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.behave = f
}

// Up listens again after Down.
func (a *Antivirus) Up() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.l != nil {
		return nil
	}
	l, err := net.Listen("tcp", a.addr)
	if err != nil {
		return fmt.Errorf("sandbox: antivirus: %w", err)
	}
	a.l, a.addr = l, l.Addr().String()
	a.done.Go(func() { a.accept(l) })
	return nil
}

// Down hangs up on everybody and listens no more.
func (a *Antivirus) Down() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.l != nil {
		a.l.Close()
		a.l = nil
	}
	for c := range a.conns {
		c.Close()
	}
}

// Close ends it.
func (a *Antivirus) Close() error {
	a.Down()
	a.done.Wait()
	return nil
}

func (a *Antivirus) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		a.mu.Lock()
		if a.l != l {
			c.Close() // it came while we went down
		}
		a.conns[c] = true
		a.mu.Unlock()
		a.done.Go(func() {
			a.serve(c)
			c.Close()
			a.mu.Lock()
			delete(a.conns, c)
			a.mu.Unlock()
		})
	}
}

// serve answers one command.
func (a *Antivirus) serve(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(io.LimitReader(c, 1<<30))
	command, err := r.ReadSlice(0)
	if err != nil {
		return
	}
	switch string(command) {
	case "zVERSION\x00":
		a.mu.Lock()
		line := a.version
		a.mu.Unlock()
		_, _ = io.WriteString(c, line+"\x00")
	case "zINSTREAM\x00":
		if line := a.scan(r); line != "" {
			_, _ = io.WriteString(c, line+"\x00")
		}
	default:
		_, _ = io.WriteString(c, "UNKNOWN COMMAND\x00")
	}
}

// scan reads chunks to their end and returns the answer; empty when they broke off.
func (a *Antivirus) scan(r io.Reader) string {
	a.mu.Lock()
	limit, behave := a.limit, a.behave
	a.mu.Unlock()
	mark := clamd.TestFile()
	var window []byte // the end of what was read, and the next bytes
	found := false
	var head []byte
	buf := make([]byte, 32<<10)
	for total := int64(0); ; {
		var n uint32
		if err := binary.Read(r, binary.BigEndian, &n); err != nil {
			return ""
		}
		if n == 0 {
			break
		}
		if total += int64(n); total > limit {
			return "INSTREAM size limit exceeded. ERROR"
		}
		for left := int(n); left > 0; {
			k, err := r.Read(buf[:min(left, len(buf))])
			if err != nil {
				return ""
			}
			left -= k
			head = append(head, buf[:min(k, 64-len(head))]...)
			window = append(window, buf[:k]...)
			found = found || bytes.Contains(window, mark)
			window = append(window[:0], window[max(0, len(window)-len(mark)+1):]...)
		}
	}
	a.mu.Lock()
	a.scans++
	a.mu.Unlock()
	if behave != nil {
		if answer, other := behave(head); other {
			return answer
		}
	}
	if found {
		return "stream: Eicar-Test-Signature FOUND"
	}
	return "stream: OK"
}
