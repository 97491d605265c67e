package pdf

import (
	"bytes"
	"os"
	"runtime"
	"time"

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
