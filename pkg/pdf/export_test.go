package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/pdfcpu/pdfcpu/pkg/filter"
	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/types"

	"greffe/pkg/greffe"
)

// Files that make the child of a test program misbehave, as a file might that
// finds a fault of the reader.
const (
	TestHang    = "greffe-test-hang"
	TestHoard   = "greffe-test-hoard"
	TestRecurse = "greffe-test-recurse"
	TestPanic   = "greffe-test-panic"
	TestExit    = "greffe-test-exit"
	TestSpin    = "greffe-test-spin"
	TestGarbage = "greffe-test-garbage"
	TestFlood   = "greffe-test-flood"
	TestHalf    = "greffe-test-half"
	TestLie     = "greffe-test-lie"
)

func init() {
	misbehave = func(file []byte) {
		switch {
		case bytes.HasSuffix(file, []byte(TestHang)):
			time.Sleep(time.Hour)
		case bytes.HasSuffix(file, []byte(TestHoard)):
			all := map[int][]byte{}
			for n := 0; len(all) >= n; n++ { // for ever
				all[n] = bytes.Repeat([]byte{1}, 1<<20)
			}
		case bytes.HasSuffix(file, []byte(TestRecurse)):
			deep(1)
		case bytes.HasSuffix(file, []byte(TestPanic)):
			panic("test")
		case bytes.HasSuffix(file, []byte(TestExit)):
			os.Exit(9)
		case bytes.HasSuffix(file, []byte(TestSpin)):
			for n := 1; n != 0; n |= 1 { // for ever
			}
		case bytes.HasSuffix(file, []byte(TestGarbage)):
			syscall.Write(1, []byte("\x00\x00\x00\x05{]{]{"))
		case bytes.HasSuffix(file, []byte(TestFlood)):
			for b := bytes.Repeat([]byte{0xff}, 1<<16); len(b) > 0; { // for ever
				syscall.Write(1, b)
			}
		case bytes.HasSuffix(file, []byte(TestHalf)):
			syscall.Write(1, []byte("\x00\x00"))
			time.Sleep(time.Hour)
		case bytes.HasSuffix(file, []byte(TestLie)):
			answer := `{"findings":[{"rule":"pdf.invented","severity":"info","text":"<b>"}]}`
			syscall.Write(1, append([]byte{0, 0, 0, byte(len(answer))}, answer...))
		}
	}
}

func deep(n int) {
	if n > 0 { // always
		deep(n + 1)
	}
	runtime.KeepAlive(n)
}

// Inspect is what the child does, in this process.
func Inspect(file []byte) (greffe.PDF, []greffe.Finding) {
	a := inspect(file)
	return a.Facts, a.Findings
}

// Work returns the processor time that the idle child has used.
func Work(c *Checker) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) == 0 {
		return 0
	}
	d, _ := c.idle[0].work()
	return d
}

// Peak returns how many bytes the idle child ever held.
func Peak(c *Checker) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) == 0 {
		return 0
	}
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.idle[0].cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kb int64
	fmt.Sscan(rest, &kb)
	return kb << 10
}

// Lay looks at a file from outside, and reports what can be asked of any file.
func Lay(file []byte) error {
	l := lay(file, 0)
	switch {
	case l.end >= 0 && l.end+len(endMark) > len(file), l.start >= 0 && l.start+len(startMark) > len(file):
		return fmt.Errorf("%d and %d are beyond the end", l.end, l.start)
	case l.end >= 0 && !bytes.HasPrefix(file[l.end:], endMark), l.start >= 0 && !bytes.HasPrefix(file[l.start:], startMark):
		return errors.New("no mark where one was found")
	case len(l.objStms) > maxObjStms:
		return errors.New("too many object streams")
	}
	for _, o := range l.objStms {
		if o.at+len(o.data) > len(file) {
			return errors.New("an object stream beyond the end")
		}
	}
	offset, _ := l.startOffset(file)
	l.tableAt(file, offset)
	if l.start >= 0 && l.tableBefore(file) > l.start {
		return errors.New("the table is not before the offset")
	}
	return nil
}

// Decode decodes data with filters, one letter each: Flate, LZW, A85, Hex, Run length.
func Decode(filters string, data []byte, limit int64) ([]byte, error) {
	names := map[rune]string{'F': filter.Flate, 'L': filter.LZW, 'A': filter.ASCII85, 'H': filter.ASCIIHex, 'R': filter.RunLength}
	sd := &types.StreamDict{Raw: data}
	for _, c := range filters {
		sd.FilterPipeline = append(sd.FilterPipeline, types.PDFFilter{Name: names[c]})
	}
	return decode(sd, limit)
}

// Paints reports whether a content stream shows anything.
func Paints(content []byte) bool { return paints(content) }
