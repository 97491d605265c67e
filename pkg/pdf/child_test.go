package pdf_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"greffe/pkg/pdf"
)

func TestARunawayChildIsKilled(t *testing.T) {
	t.Parallel()
	for _, k := range []struct {
		name string
		cfg  pdf.Config
		file []byte
	}{
		{"time", pdf.Config{Workers: 1, Timeout: 50 * time.Millisecond}, []byte("%PDF-1.7 " + pdf.TestHang)},
		{"memory", pdf.Config{Workers: 1, Memory: memoryFactor * 256 << 20}, []byte("%PDF-1.7 " + pdf.TestHoard)},
		{"stack", pdf.Config{Workers: 1}, []byte("%PDF-1.7 " + pdf.TestRecurse)},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			c := checker(t, k.cfg)
			for range 2 {
				began := time.Now()
				if _, got := check(t, c, k.file); !slices.Equal(got, []string{"overrun"}) {
					t.Fatalf("found %v", got)
				}
				t.Logf("ended after %v", time.Since(began).Round(time.Millisecond))
				if k.cfg.Timeout != 0 {
					continue // too short for anything else
				}
				if r, got := check(t, c, letter()); r.Pages != 2 || got != nil {
					t.Fatalf("the next file is %+v %v", r, got)
				}
			}
		})
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
	cmd.Env = append(os.Environ(), "GREFFE_PDF_WORKER=1", "GREFFE_PDF_TIMEOUT=x")
	out, err := cmd.CombinedOutput()
	if err == nil || strings.Contains(string(out), "PASS") {
		t.Errorf("%v: %s", err, out)
	}
}
