package pdf

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"syscall"
	"time"

	"greffe/pkg/greffe"
)

// ServeIfWorker runs the checking loop and ends the process when this process was
// started as a child of a Checker; else it does nothing. It must come first in
// main, and in the TestMain of each package that opens PDFs.
func ServeIfWorker() {
	if os.Getenv(envWorker) == "" {
		return
	}
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "greffe-pdf:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve checks one file after the other until in ends: the parent closed it or
// died.
func serve(in io.Reader, out io.Writer) error {
	memory, err := strconv.ParseInt(os.Getenv(envMemory), 10, 64)
	if err != nil {
		return err
	}
	maxSize, err := strconv.ParseInt(os.Getenv(envMaxSize), 10, 64)
	if err != nil {
		return err
	}
	// Nothing that a library prints may get between the answers.
	if os.Stdout, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0); err != nil {
		return err
	}
	if err := confine(memory); err != nil {
		return err
	}
	prepare()
	go endWithParent(os.Getppid())
	if _, err := io.WriteString(out, greeting); err != nil {
		return err
	}
	r := bufio.NewReaderSize(in, maxChunk)
	var file []byte
	for {
		if cap(file) > 4<<20 {
			file = nil // one large file must not weigh on all that follow
			debug.FreeOSMemory()
		}
		file, err = readFile(r, file[:0], maxSize)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		a := inspect(file)
		a.Spent = a.Spent || held() > uint64(memory)/4
		text, err := json.Marshal(a)
		if err != nil {
			return err
		}
		head := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(text)), uint32(len(text)))
		if _, err := out.Write(append(head, text...)); err != nil {
			return err
		}
	}
}

// endWithParent ends this process when its parent is gone. While it waits for a file,
// the end of the pipe tells it so; this is for the time it works on one.
func endWithParent(parent int) {
	for range time.Tick(time.Second / 2) {
		if os.Getppid() != parent {
			os.Exit(3)
		}
	}
}

// held returns the memory that this process took from the system, also what it could
// give back: the limit counts it, and it does not come in one piece again.
func held() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// confine bounds what this process can take. RLIMIT_DATA counts the writable
// private memory, which is what a Go heap is made of; RLIMIT_AS would count the
// address space that the runtime reserves and never uses (more than 1 GiB). The
// collector works harder as the bound comes near; beyond it the process dies.
func confine(memory int64) error {
	debug.SetMemoryLimit(memory / 4 * 3)
	debug.SetGCPercent(400) // files come one after the other, and most are small
	debug.SetMaxStack(64 << 20)
	for _, l := range []struct {
		what int
		max  uint64
	}{
		{syscall.RLIMIT_DATA, uint64(memory)},
		{syscall.RLIMIT_CORE, 0},
		{syscall.RLIMIT_FSIZE, 0}, // it has no file to write
	} {
		if err := syscall.Setrlimit(l.what, &syscall.Rlimit{Cur: l.max, Max: l.max}); err != nil {
			return fmt.Errorf("limit %d: %w", l.what, err)
		}
	}
	return nil
}

// readFile reads the chunks of one file, into the memory of buf while it is
// enough; io.EOF when there is no other file.
func readFile(r *bufio.Reader, buf []byte, maxSize int64) ([]byte, error) {
	var head [4]byte
	for first := true; ; first = false {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			if !first && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return buf, err
		}
		n := int(binary.BigEndian.Uint32(head[:]))
		if n == 0 {
			return buf, nil
		}
		if n > maxChunk || int64(len(buf)+n) > maxSize {
			return buf, errOversize
		}
		at := len(buf)
		if cap(buf) < at+n {
			buf = append(make([]byte, 0, max(min(2*cap(buf), int(maxSize)), at+n, 256<<10)), buf...)
		}
		buf = buf[:at+n]
		if _, err := io.ReadFull(r, buf[at:]); err != nil {
			return buf, err
		}
	}
}

// misbehave is set by this package's tests, to see what becomes of a child.
var misbehave = func(file []byte) {}

// inspect says what is in the file. A panic of the reader is a file that cannot
// be read.
func inspect(file []byte) (a answer) {
	s := &scan{file: file, seen: map[string]greffe.Finding{}}
	defer func() {
		if recover() != nil {
			s.found(ruleUnreadable)
			a = answer{s.facts, s.findings(), true}
		}
	}()
	misbehave(file)
	s.run()
	return answer{s.facts, s.findings(), s.spent}
}
