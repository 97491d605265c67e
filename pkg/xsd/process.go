package xsd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	documents   = 200 // that one process is given before another takes over
	startWithin = 20 * time.Second
	maxOutput   = 64 << 10 // bytes of messages kept about one document
)

// process is a running xmllint. It is told at its start to read /dev/fd/3, then
// /dev/fd/4, then /dev/fd/3 and so on: two pipes. A document ends when the last writer of
// its pipe closes it, and the next one waits because there is a writer at the other pipe
// before that. When we die all writers are gone, and xmllint runs to its end.
//
// After each document xmllint is told to read a file that does not exist, whose name is a
// secret of this process: its complaint marks the end of what it says about the document,
// and no document can forge that.
type process struct {
	cmd    *exec.Cmd
	read   [2]*os.File // the ends that xmllint reads, held to open writers by
	write  [2]*os.File // the writers; nil when there is none
	out    *bufio.Reader
	pipe   *os.File // under out
	mark   []byte
	served int
	dead   chan struct{}
	stop   func()
}

// start runs xmllint and waits until it has loaded the schemas.
func start(ctx context.Context, cfg Config) (*process, error) {
	schema, err := filepath.Abs(filepath.Join(cfg.Schemas, Entry))
	if err != nil {
		return nil, err
	}
	p := &process{mark: []byte("greffe-" + rand.Text()), dead: make(chan struct{})}
	args := []string{"--nonet", "--nocatalogs", "--noout", "--schema", schema, string(p.mark)}
	for i := range documents {
		args = append(args, fmt.Sprintf("/dev/fd/%d", 3+i%2), string(p.mark))
	}
	p.cmd = exec.Command(cfg.Program, args...)
	p.cmd.Dir = "/"
	p.cmd.Env = []string{} // it may hold secrets, and libxml2 takes orders from it
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.run(); err != nil {
		return nil, err
	}
	release := p.until(ctx, time.Now().Add(startWithin))
	said, err := p.answer()
	if release() {
		return nil, p.failed(ctx, errors.New("the schemas were not loaded in time"))
	}
	if err != nil {
		return nil, p.failed(ctx, fmt.Errorf("load the schemas: %w", err))
	}
	if bytes.Contains(said, []byte("failed to compile")) {
		p.kill()
		return nil, fmt.Errorf("load the schemas: %s", firstError(said))
	}
	if err := p.confine(cfg); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// run makes the pipes and starts the program.
func (p *process) run() error {
	var files []*os.File
	closeAll := func() {
		for _, f := range files {
			f.Close()
		}
	}
	for i := range p.read {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll()
			return err
		}
		files = append(files, r, w)
		p.read[i], p.write[i] = r, w
	}
	out, theirs, err := os.Pipe()
	if err != nil {
		closeAll()
		return err
	}
	files = append(files, out)
	p.cmd.ExtraFiles = p.read[:]
	p.cmd.Stderr = theirs
	err = p.cmd.Start()
	theirs.Close()
	if err != nil {
		closeAll()
		return err
	}
	p.pipe, p.out = out, bufio.NewReader(out)
	p.write[1].Close() // opened again with the first document
	p.write[1] = nil
	p.stop = sync.OnceFunc(func() {
		p.cmd.Process.Kill() // an error means that it is gone
		<-p.dead
		for _, f := range []*os.File{p.write[0], p.write[1], out} {
			if f != nil {
				f.Close()
			}
		}
	})
	go func() {
		p.cmd.Wait()      // how it ended does not matter
		p.read[0].Close() // no reader is left: who writes gets an error
		p.read[1].Close()
		close(p.dead)
	}()
	return nil
}

// confine sets the limits of the process. It has not been given anything yet.
func (p *process) confine(cfg Config) error {
	seconds := uint64(documents) * uint64(cfg.Timeout/time.Second+1)
	for _, l := range []struct {
		what int
		max  uint64
	}{
		{unix.RLIMIT_AS, uint64(cfg.Memory)},
		{unix.RLIMIT_CPU, seconds}, // a document by itself is stopped by the clock
		{unix.RLIMIT_FSIZE, 0},     // it has nothing to write
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_NOFILE, 8}, // the two pipes, what it says, the document
		{unix.RLIMIT_NPROC, 0},
	} {
		if err := unix.Prlimit(p.cmd.Process.Pid, l.what, &unix.Rlimit{Cur: l.max, Max: l.max}, nil); err != nil {
			return fmt.Errorf("limit %d of the process: %w", l.what, err)
		}
	}
	return nil
}

// ownError is an error of the function that writes the document.
type ownError struct{ error }

// check has one document checked. After an error the process is of no more use; errGone
// says that it ended by itself.
func (p *process) check(ctx context.Context, write func(io.Writer) error, cfg Config) (report, error) {
	at := p.served % 2
	p.served++
	if err := p.open(1 - at); err != nil {
		return report{}, fmt.Errorf("%w: %w", errGone, err)
	}
	release := p.until(ctx, time.Now().Add(cfg.Timeout))
	w := &limited{w: p.write[at], left: cfg.MaxSize}
	buf := bufio.NewWriterSize(w, 32<<10)
	err := write(buf)
	if err == nil {
		err = buf.Flush()
	}
	if w.err != nil {
		err = w.err
	} else if err != nil {
		err = ownError{err}
	}
	var said []byte
	if err == nil {
		p.write[at].Close()
		p.write[at] = nil
		said, err = p.answer()
	}
	if release() {
		if ctx.Err() != nil {
			return report{}, context.Cause(ctx)
		}
		return report{}, errors.New("the document took too long")
	}
	if err != nil {
		return report{}, err
	}
	return readReport(said, fmt.Sprintf("/dev/fd/%d", 3+at))
}

// open makes a writer of the pipe.
func (p *process) open(i int) error {
	raw, err := p.read[i].SyscallConn()
	if err != nil {
		return err
	}
	// Under Control the descriptor cannot be closed and given to another file.
	cerr := raw.Control(func(fd uintptr) {
		p.write[i], err = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_WRONLY, 0)
	})
	return errors.Join(cerr, err)
}

// until ends the process at the deadline or with ctx, which unblocks whoever writes to it
// or reads from it. The function that it returns calls that off and reports whether it
// was too late to.
func (p *process) until(ctx context.Context, deadline time.Time) (release func() bool) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	stop := context.AfterFunc(ctx, func() { p.cmd.Process.Kill() })
	return func() bool {
		late := !stop()
		cancel()
		return late
	}
}

// failed ends a process that did not start and says why.
func (p *process) failed(ctx context.Context, err error) error {
	p.kill()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// answer reads what xmllint says up to its mark; the first maxOutput bytes of it.
func (p *process) answer() ([]byte, error) {
	var said []byte
	for {
		line, err := p.out.ReadSlice('\n')
		switch {
		case bytes.Contains(line, p.mark):
			return said, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return said, fmt.Errorf("%w: %s", errGone, firstError(said))
		case len(said)+len(line) <= maxOutput:
			said = append(said, line...)
		}
	}
}

// firstError returns the first message of the program that is more than a warning.
func firstError(said []byte) string {
	for line := range strings.Lines(string(said)) {
		if line = strings.TrimSpace(line); line != "" && !strings.Contains(line, "warning") {
			return clip(line)
		}
	}
	return "no message"
}

// kill ends the process and waits until it is gone. It may be called again.
func (p *process) kill() { p.stop() }

func (p *process) alive() bool {
	select {
	case <-p.dead:
		return false
	default:
		return true
	}
}

// limited writes to the pipe of the process, up to a number of bytes, and keeps its error
// apart from those of the caller.
type limited struct {
	w    io.Writer
	left int64
	err  error
}

// Write implements io.Writer.
func (l *limited) Write(b []byte) (int, error) {
	if l.left -= int64(len(b)); l.left < 0 {
		l.err = errSize
		return 0, l.err
	}
	n, err := l.w.Write(b)
	if err != nil {
		l.err = fmt.Errorf("%w: %w", errGone, err)
	}
	return n, l.err
}
