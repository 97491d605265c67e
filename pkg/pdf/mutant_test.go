package pdf_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/pdf"
	"greffe/pkg/sandbox"
)

// sources are sound files of every build, to be damaged.
func sources(t testing.TB) [][]byte {
	files := [][]byte{
		onePage("", ""), letter(), linear(), hybrid("<<>>"), signed(0), updated(onePage("", ""), 9, "<<>>"), encrypted(t, "", "owner"),
		compressed(fmt.Sprintf(catalogObj, ""), pagesObj, fmt.Sprintf(pageObj, ""), script),
		attached("a.pdf", "", onePage("", "")), sandbox.PDF("Compte rendu", []string{"Glycémie : 5,1 mmol/L"}, 4000),
	}
	const most = 20
	n := 0
	corpusFiles(t, func(_ string, file []byte) {
		if n++; n <= most {
			files = append(files, file)
		}
	})
	return files
}

// TestCutFiles: a file that ends before its cross-reference table was told where to
// find it is never taken as whole, wherever it was cut.
func TestCutFiles(t *testing.T) {
	t.Parallel()
	c := checker(t, pdf.Config{})
	for i, file := range sources(t) {
		start := bytes.LastIndex(file, []byte("startxref\n"))
		if bytes.Count(file, []byte("startxref")) != 1 || start < 0 {
			continue // an earlier revision may be whole, a cut one is tested elsewhere
		}
		rng := rand.New(rand.NewPCG(7, uint64(i)))
		cuts := []int{start, start + len("startxref\n"), start + len("startxref\n") + 1}
		for range 30 {
			cuts = append(cuts, 10+rng.IntN(start-10))
		}
		for _, n := range cuts {
			_, findings, err := c.Check(t.Context(), bytes.NewReader(file[:n]))
			if err != nil {
				t.Fatal(err)
			}
			if v := greffe.VerdictOf(findings); v != greffe.VerdictHeld && v != greffe.VerdictRefused {
				t.Errorf("file %d of %d bytes, cut at %d: %s %v", i, len(file), n, v, findings)
			}
		}
	}
}

// TestMutants: a file that was damaged in any way is judged, in bounded time, and the
// children live on or are replaced. GREFFE_PDF_MUTANTS makes more of them.
func TestMutants(t *testing.T) {
	t.Parallel()
	c := checker(t, pdf.Config{Workers: 2, Timeout: 5 * time.Second})
	files := sources(t)
	each := 30
	if n, err := strconv.Atoi(os.Getenv("GREFFE_PDF_MUTANTS")); err == nil {
		each = n
	}
	var mu sync.Mutex
	verdicts := map[greffe.Verdict]int{}
	var slowest time.Duration
	var work sync.WaitGroup
	for i := range files {
		work.Go(func() {
			rng := rand.New(rand.NewPCG(11, uint64(i)))
			for n := range each {
				file := mutate(rng, files[i], files)
				began := time.Now()
				_, findings, err := c.Check(t.Context(), bytes.NewReader(file))
				took := time.Since(began)
				if err != nil {
					t.Errorf("mutant %d of file %d: %v", n, i, err)
					return
				}
				if slices.ContainsFunc(findings, func(f greffe.Finding) bool { return f.Rule == "pdf.overrun" }) {
					t.Logf("mutant %d of file %d overran after %v", n, i, took)
					if dir := os.Getenv("GREFFE_PDF_KEEP"); dir != "" {
						os.WriteFile(fmt.Sprintf("%s/overrun-%d-%d.pdf", dir, i, n), file, 0o600)
					}
				}
				mu.Lock()
				verdicts[greffe.VerdictOf(findings)]++
				slowest = max(slowest, took)
				mu.Unlock()
			}
		})
	}
	work.Wait()
	t.Logf("%v, the slowest took %v", verdicts, slowest)
}

// mutate damages a file as mail, disks and programs do, and as a fuzzer would.
func mutate(rng *rand.Rand, file []byte, all [][]byte) []byte {
	out := slices.Clone(file)
	tokens := []string{"obj", "endobj", "stream", "endstream", "xref", "trailer", "startxref", "%%EOF", "/Kids", "/Type", "/Length", "/Filter/FlateDecode",
		"/Pages", "<<", ">>", "[", "]", "(", ")", " R", "1 0 R", "3 0 R", "0", "-1", "99999999999", "/ObjStm", "/XRef", "/W[0 0 0]", "/Prev 0", "/Encrypt 1 0 R", "null", "/Names", "/AA", "/A", "/Next"}
	for range 1 + rng.IntN(4) {
		if len(out) < 20 {
			return out
		}
		at := rng.IntN(len(out))
		size := min(1+rng.IntN(200), len(out)-at)
		switch rng.IntN(9) {
		case 0: // cut
			out = out[:at]
		case 1: // a bit
			out[at] ^= 1 << rng.IntN(8)
		case 2: // bytes of noise
			for k := range min(size, 16) {
				out[at+k] = byte(rng.Uint32())
			}
		case 3: // a block twice
			out = slices.Insert(out, at, slices.Clone(out[at:at+size])...)
		case 4: // a block gone
			out = slices.Delete(out, at, at+size)
		case 5: // one word for another
			from, to := tokens[rng.IntN(len(tokens))], tokens[rng.IntN(len(tokens))]
			out = bytes.Replace(out, []byte(from), []byte(to), 1+rng.IntN(3))
		case 6: // a word somewhere
			out = slices.Insert(out, at, []byte(tokens[rng.IntN(len(tokens))])...)
		case 7: // ends of lines
			out = bytes.ReplaceAll(out, []byte("\n"), []byte("\r\n"))
		case 8: // the rest of another file
			other := all[rng.IntN(len(all))]
			out = append(out[:at:at], other[rng.IntN(len(other)):]...)
		}
	}
	return out
}
