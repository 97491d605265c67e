package pdf

import (
	"bytes"
	"os"

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
			for {
			}
		case bytes.HasSuffix(file, []byte(TestHoard)):
			var all [][]byte
			for {
				b := make([]byte, 1<<20)
				for i := range b {
					b[i] = 1
				}
				all = append(all, b)
			}
		case bytes.HasSuffix(file, []byte(TestRecurse)):
			recurse(0)
		case bytes.HasSuffix(file, []byte(TestPanic)):
			panic("test")
		case bytes.HasSuffix(file, []byte(TestExit)):
			os.Exit(9)
		}
	}
}

//go:noinline
func recurse(n int) int { return recurse(n+1) + n }

// Inspect is what the child does, in this process.
func Inspect(file []byte) (Report, []greffe.Finding) {
	a := inspect(file)
	return a.Report, a.Findings
}
