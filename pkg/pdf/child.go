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
	"strconv"
	"sync"
	"syscall"
	"time"

	"greffe/pkg/greffe"
)

// The wire between parent and child, over two pipes. The parent sends a file as
// chunks, each after its length (4 bytes, big endian); length 0 ends the file.
// The child answers with the length and a JSON answer. It greets when it starts.
const (
	greeting  = "greffe-pdf 1\n"
	maxChunk  = 64 << 10
	maxAnswer = 1 << 20
)

// answer is what the child found.
type answer struct {
	Facts    greffe.PDF       `json:"facts"`
	Findings []greffe.Finding `json:"findings,omitempty"`
}

// Environment of a child.
const (
	envWorker  = "GREFFE_PDF_WORKER"
	envTimeout = "GREFFE_PDF_TIMEOUT"
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
		envTimeout + "=" + cfg.Timeout.String(),
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

// feed sends a file. It returns errChild when the child went away, errOversize
// for a file of more than limit bytes, else the error of r.
func (k *child) feed(r io.Reader, limit int64) error {
	buf := make([]byte, 4+maxChunk)
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
		if _, err := k.in.Write(out); err != nil {
			return fmt.Errorf("%w: %w", errChild, err)
		}
		if end {
			return nil
		}
	}
}

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
	return a, json.Unmarshal(text, &a)
}
