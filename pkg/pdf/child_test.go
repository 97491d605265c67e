package pdf_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"greffe/pkg/pdf"
)

func TestARunawayChildIsKilled(t *testing.T) {
	t.Parallel()
	short := pdf.Config{Workers: 1, Timeout: 200 * time.Millisecond}
	for _, k := range []struct {
		name string
		cfg  pdf.Config
		does string
	}{
		{"works for ever", short, pdf.TestSpin},
		{"waits for ever", short, pdf.TestHang},
		{"takes memory for ever", pdf.Config{Workers: 1, Memory: memoryFactor * 256 << 20}, pdf.TestHoard},
		{"calls itself for ever", pdf.Config{Workers: 1}, pdf.TestRecurse},
		{"ends", pdf.Config{Workers: 1}, pdf.TestExit},
		{"answers nonsense", pdf.Config{Workers: 1}, pdf.TestGarbage},
		{"answers for ever", pdf.Config{Workers: 1}, pdf.TestFlood},
		{"answers by half", short, pdf.TestHalf},
		{"answers with a rule that is none", pdf.Config{Workers: 1}, pdf.TestLie},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			c := checker(t, k.cfg)
			for range 2 {
				began := time.Now()
				if _, got := check(t, c, []byte("%PDF-1.7 "+k.does)); !slices.Equal(got, []string{"overrun"}) {
					t.Fatalf("found %v", got)
				}
				t.Logf("ended after %v", time.Since(began).Round(time.Millisecond))
				if r, got := check(t, c, letter()); r.Pages != 2 || got != nil {
					t.Fatalf("the next file is %+v %v", r, got)
				}
			}
		})
	}
}

// TestChildrenEndWithTheirParent: a parent that is killed in the middle of a check
// leaves nothing behind, whatever its child was doing.
func TestChildrenEndWithTheirParent(t *testing.T) {
	t.Parallel()
	for _, does := range []string{pdf.TestSpin, pdf.TestHang, ""} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), envParent+"=%PDF-1.7 "+does)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var child int
		if _, err := fmt.Fscan(out, &child); err != nil || child == 0 {
			t.Fatalf("%q: no child: %v", does, err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait() // killed
		gone := false
		for deadline := time.Now().Add(20 * time.Second); !gone && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
			_, rest, _ := strings.Cut(string(stat), ") ")
			gone = err != nil || strings.HasPrefix(rest, "Z") // nobody may be there to bury it
		}
		if !gone {
			t.Errorf("%q: the child %d lives on", does, child)
			syscall.Kill(child, syscall.SIGKILL)
		}
	}
}

const envParent = "GREFFE_PDF_TEST_PARENT"

// beParent checks a file that does not end, and says which child has it.
func beParent(file string) {
	c := pdf.New(pdf.Config{Workers: 1, Timeout: time.Hour})
	go c.Check(context.Background(), strings.NewReader(file))
	for {
		lists, _ := filepath.Glob("/proc/self/task/*/children")
		for _, list := range lists {
			if pid, _ := os.ReadFile(list); len(pid) > 0 {
				time.Sleep(300 * time.Millisecond) // until it has the file
				fmt.Println(strings.TrimSpace(string(pid)))
				select {}
			}
		}
		time.Sleep(time.Millisecond)
	}
}

func TestAPanicIsAFinding(t *testing.T) {
	t.Parallel()
	c := checker(t, pdf.Config{Workers: 1})
	if _, got := check(t, c, []byte("%PDF-1.7 "+pdf.TestPanic)); !slices.Equal(got, []string{"unreadable"}) {
		t.Errorf("found %v", got)
	}
}

func TestMany(t *testing.T) {
	t.Parallel()
	c := checker(t, pdf.Config{Workers: 2})
	bad := onePage("/OpenAction "+script, "")
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			switch {
			case i%50 == 7:
				if _, got := check(t, c, []byte("%PDF-1.7 "+pdf.TestExit)); !slices.Equal(got, []string{"overrun"}) {
					t.Errorf("crash: %v", got)
				}
			case i%2 == 0:
				if r, got := check(t, c, letter()); r.Pages != 2 || got != nil {
					t.Errorf("letter: %+v %v", r, got)
				}
			default:
				if _, got := check(t, c, bad); !slices.Equal(got, []string{"javascript"}) {
					t.Errorf("script: %v", got)
				}
			}
		})
	}
	wg.Wait()
}

func TestErrorsAreNotTheFilesFault(t *testing.T) {
	t.Parallel()
	c := checker(t, pdf.Config{Workers: 1, MaxSize: 1 << 20})
	cut := errors.New("spool gone")
	if _, _, err := c.Check(t.Context(), io.MultiReader(bytes.NewReader(letter()), iotest.ErrReader(cut))); !errors.Is(err, cut) {
		t.Errorf("reader: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	began := make(chan bool)
	go func() { <-began; cancel() }()
	slow := iotest.OneByteReader(io.MultiReader(strings.NewReader("%PDF-1.7 "+pdf.TestHang), readerFunc(func([]byte) (int, error) {
		close(began)
		return 0, io.EOF
	})))
	if _, _, err := c.Check(ctx, slow); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, got := check(t, c, make([]byte, 1<<20+1)); !slices.Equal(got, []string{"size"}) {
		t.Errorf("large: %v", got)
	}
	if _, got := check(t, c, append(make([]byte, 1<<20-5), "%%EOF"...)); !slices.Equal(got, []string{"not-pdf"}) {
		t.Errorf("just small enough: %v", got)
	}
	c.Close()
	if _, _, err := c.Check(t.Context(), bytes.NewReader(letter())); !errors.Is(err, pdf.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestAProgramThatDoesNotServeIsAnErrorNotABomb(t *testing.T) {
	t.Parallel()
	// A child that tries to be a parent refuses to start children.
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "GREFFE_PDF_WORKER=1", "GREFFE_PDF_MEMORY=x")
	out, err := cmd.CombinedOutput()
	if err == nil || strings.Contains(string(out), "PASS") {
		t.Errorf("%v: %s", err, out)
	}
}
