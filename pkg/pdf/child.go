package pdf

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"greffe/pkg/greffe"
)

// The wire between parent and child, over two pipes. The parent sends a file as
// chunks, each after its length (4 bytes, big endian); length 0 ends the file.
// The child answers with the length and a JSON answer. It greets when it starts.
const (
	greeting  = "greffe-pdf 2\n"
	maxChunk  = 64 << 10
	maxAnswer = 1 << 20
	pipeSize  = 1 << 20 // or parent and child take turns for each 64 KiB
)

// answer is what the child found.
type answer struct {
	Facts    greffe.PDF       `json:"facts"`
	Findings []greffe.Finding `json:"findings,omitempty"`
	// Spent says that the child must not be given another file: it holds much memory,
	// or work on this one goes on.
	Spent bool `json:"spent,omitempty"`
}

// Environment of a child.
const (
	envWorker  = "GREFFE_PDF_WORKER"
	envMemory  = "GREFFE_PDF_MEMORY"
	envMaxSize = "GREFFE_PDF_MAX_SIZE"
)

var (
	errOversize = errors.New("file too large")
	errChild    = errors.New("checking process gone")
)

// child is a checking process and the pipes to it.
type child struct {
	cmd   *exec.Cmd
	in    *os.File
	out   *bufio.Reader
	dead  chan struct{} // closed when it was reaped
	stop  func()        // kills it
	since time.Time     // when it became idle
}

// startWithin is how long a child may take to greet, on a loaded machine.
const startWithin = 20 * time.Second

// start runs this program again as a child and waits for its greeting.
func start(ctx context.Context, cfg Config) (*child, error) {
	if os.Getenv(envWorker) != "" {
		// Or each child would start children, without end.
		return nil, errors.New("this is a checking process itself: main must call pdf.ServeIfWorker first")
	}
	exe := "/proc/self/exe" // the program that runs, also when its file was replaced
	if _, err := os.Stat(exe); err != nil {
		if exe, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(exe)
	cmd.Args = []string{"greffe-pdf"}
	cmd.Dir = "/"
	// Nothing of our environment: it may hold secrets.
	cmd.Env = []string{
		envWorker + "=1",
		envMemory + "=" + strconv.FormatInt(cfg.Memory, 10),
		envMaxSize + "=" + strconv.FormatInt(cfg.MaxSize, 10),
	}
	// A Ctrl-C at the terminal is for the parent, which ends its children itself.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		theirIn.Close()
		in.Close()
		return nil, err
	}
	cmd.Stdin, cmd.Stdout = theirIn, theirOut
	err = cmd.Start()
	theirIn.Close()
	theirOut.Close()
	if err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	widen(in)
	k := &child{cmd: cmd, in: in, out: bufio.NewReader(out), dead: make(chan struct{})}
	k.stop = sync.OnceFunc(func() {
		cmd.Process.Kill() // an error means that it is gone
		<-k.dead
	})
	go func() {
		cmd.Wait()
		out.Close() // ends a read even if the pipe lives on somewhere
		in.Close()
		close(k.dead)
	}()
	stop := context.AfterFunc(ctx, k.kill)
	late := time.AfterFunc(startWithin, k.kill)
	hello := make([]byte, len(greeting))
	_, err = io.ReadFull(k.out, hello)
	late.Stop()
	stop()
	if err == nil && string(hello) != greeting {
		err = errors.New("main must call pdf.ServeIfWorker first")
	}
	if err != nil {
		k.kill()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("no greeting: %w", err)
	}
	return k, nil
}

// kill ends the child and waits until it is gone. It may be called again.
func (k *child) kill() { k.stop() }

func (k *child) alive() bool {
	select {
	case <-k.dead:
		return false
	default:
		return true
	}
}

// widen asks for a larger pipe. It works as well with the one it has.
func widen(pipe *os.File) {
	raw, err := pipe.SyscallConn()
	if err == nil {
		raw.Control(func(fd uintptr) { unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
	}
}

// chunks are buffers for feed.
var chunks = sync.Pool{New: func() any { b := make([]byte, 4+maxChunk+4); return &b }}

// feed sends a file. It returns errChild when the child went away or takes nothing
// for the time of patience, errOversize for a file of more than limit bytes, else the
// error of r.
func (k *child) feed(r io.Reader, limit int64, patience time.Duration) error {
	b := chunks.Get().(*[]byte)
	defer chunks.Put(b)
	buf := (*b)[:4+maxChunk]
	for left := limit; ; {
		n, err := io.ReadFull(r, buf[4:])
		if left -= int64(n); left < 0 {
			return errOversize
		}
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return err
		}
		binary.BigEndian.PutUint32(buf, uint32(n))
		out := buf[:4+n]
		if end && n > 0 {
			out = append(out, 0, 0, 0, 0)
		}
		k.in.SetWriteDeadline(time.Now().Add(patience)) // a pipe that knows no deadline is one that waits
		if _, err := k.in.Write(out); err != nil {
			return fmt.Errorf("%w: %w", errChild, err)
		}
		if end {
			return nil
		}
	}
}

// work returns the processor time that the child has used. It is the same on a busy
// machine as on an idle one. It returns false where the system does not tell.
func (k *child) work() (time.Duration, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", k.cmd.Process.Pid))
	if err != nil {
		return 0, false
	}
	// proc_pid_stat(5): the name of the program, in brackets, may hold anything.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, false
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	const tick = time.Second / 100 // USER_HZ is 100 on every platform that Go runs on
	return time.Duration(user+system) * tick, err1 == nil && err2 == nil
}

// watch kills the child once it has worked for the time limit, or after patience
// times that on the clock. The function it returns ends the watch and reports whether
// the child was left alone.
func (k *child) watch(limit time.Duration) (inTime func() bool) {
	began := time.Now()
	var mu sync.Mutex
	var timer *time.Timer
	var before time.Duration
	counts, killed, over := false, false, false
	mu.Lock()
	defer mu.Unlock()
	// It is asked what it has worked a little after it began: most files are done then.
	timer = time.AfterFunc(limit/20, func() {
		mu.Lock()
		defer mu.Unlock()
		now, ok := k.work()
		left := limit - (now - before)
		switch {
		case over:
		case !counts && ok:
			before, counts = now, true
			timer.Reset(limit)
		case !ok || left <= 0 || time.Since(began) >= patience*limit:
			killed = true
			go k.kill()
		default:
			timer.Reset(max(left, limit/20))
		}
	})
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		over = true
		timer.Stop()
		return !killed
	}
}

// patience is how many times its processor time a file may take on the clock: other
// programs may keep the processors busy.
const patience = 5

// answer waits for what the child has to say.
func (k *child) answer() (answer, error) {
	var a answer
	var head [4]byte
	if _, err := io.ReadFull(k.out, head[:]); err != nil {
		return a, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxAnswer {
		return a, errors.New("answer too long")
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(k.out, text); err != nil {
		return a, err
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return a, err
	}
	for _, f := range a.Findings {
		if !slices.ContainsFunc(rules, func(r greffe.Rule) bool { return r.ID == f.Rule && r.Severity == f.Severity }) {
			return a, errors.New("answer with a rule that is none")
		}
	}
	return a, nil
}
