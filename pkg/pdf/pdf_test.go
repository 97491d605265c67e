package pdf_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/pdfcpu/pdfcpu/pkg/api"
	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/model"
	"go.uber.org/goleak"

	"greffe/pkg/greffe"
	"greffe/pkg/pdf"
)

func TestMain(m *testing.M) {
	pdf.ServeIfWorker()
	api.DisableConfigDir()
	goleak.VerifyTestMain(m)
}

func checker(t testing.TB, cfg pdf.Config) *pdf.Checker {
	t.Helper()
	c := pdf.New(cfg)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func check(t testing.TB, c *pdf.Checker, file []byte) (greffe.PDF, []string) {
	t.Helper()
	report, findings, err := c.Check(t.Context(), bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, f := range findings {
		if f.Text == "" || strings.Contains(f.Text, "%!") {
			t.Errorf("%s says %q", f.Rule, f.Text)
		}
		ids = append(ids, strings.TrimPrefix(f.Rule, "pdf."))
	}
	return report, ids
}

func encrypted(t testing.TB, user, owner string) []byte {
	t.Helper()
	conf := model.NewAESConfiguration(user, owner, 256)
	var b bytes.Buffer
	if err := api.Encrypt(bytes.NewReader(letter()), &b, conf); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const script = "<</S/JavaScript/JS(app.alert\\(1\\))>>"

func TestWhatIsFound(t *testing.T) {
	t.Parallel()
	c := checker(t, pdf.Config{})
	sound := onePage("", "")
	for _, k := range []struct {
		name string
		file []byte
		want string // rules, in order
	}{
		{"one page", sound, ""},
		{"letter", letter(), ""},
		{"object streams", compressed(fmt.Sprintf(catalogObj, ""), pagesObj, fmt.Sprintf(pageObj, "")), ""},
		{"blank lines at the end", append(slices.Clone(sound), "\r\n\r\n\x00\x00"...), ""},

		{"empty", nil, "empty"},
		{"a web page", []byte("<html>Votre session a expiré</html>"), "not-pdf"},
		{"header only", []byte("%PDF-1.4\n"), "unreadable truncated"},
		{"garbage between header and end", []byte("%PDF-1.4\n" + strings.Repeat("x", 2000) + "\n%%EOF"), "unreadable damaged"},
		{"cut in the middle", letter()[:100<<10], "unreadable truncated"},
		{"cut before the table", sound[:bytes.Index(sound, []byte("xref"))], "truncated"},
		{"cut in an update", append(slices.Clone(sound), "4 0 obj\n<</Type/Annot"...), "truncated"},
		{"table in the wrong place", bytes.Replace(sound, []byte("startxref\n"), []byte("startxref\n9"), 1), "damaged"},
		{"a page tree of itself", classic("<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2>>"), "pages damaged"},
		{"fewer pages than said", bytes.Replace(sound, []byte("/Count 1"), []byte("/Count 7"), 1), "damaged"},
		{"no page", classic("<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[]/Count 0>>"), "pages"},

		{"password", encrypted(t, "secret", "owner"), "encrypted"},
		{"owner password only", encrypted(t, "", "owner"), "restricted"},

		{"HTML before", append([]byte("<html><script>x</script>"), sound...), "polyglot leading"},
		{"mail text before", append([]byte("--=_Part_1\r\n\r\n"), sound...), "leading"},
		{"program before", append([]byte("MZ\x90\x00"), sound...), "polyglot leading"},
		{"text after", append(slices.Clone(sound), "\r\n--=_Part_1--\r\n"...), "trailing"},
		{"archive after", append(slices.Clone(sound), "PK\x03\x04....PK\x05\x06"...), "polyglot trailing"},

		{"script at opening", onePage("/OpenAction "+script, ""), "javascript"},
		{"script by reference", onePage("/OpenAction 4 0 R", "", "<</S/JavaScript/JS 5 0 R>>", stream("", []byte("x"))), "javascript"},
		{"script in the name tree", onePage("/Names<</JavaScript<</Names[(a) 4 0 R]>>>>", "", script), "javascript"},
		{"script on a page", onePage("", "/AA<</O "+script+">>"), "javascript"},
		{"script in an object stream", compressed(fmt.Sprintf(catalogObj, "/OpenAction 4 0 R"), pagesObj, fmt.Sprintf(pageObj, ""), script), "javascript"},
		{"script that nothing refers to, in an object stream", compressed(fmt.Sprintf(catalogObj, ""), pagesObj, fmt.Sprintf(pageObj, ""), script), "javascript"},
		{"script behind a name with an escape", onePage("/OpenAction<</S/Java#53cript/JS(x)>>", ""), "javascript"},
		{"launch", onePage("/OpenAction<</S/Launch/F(cmd.exe)>>", ""), "launch"},
		{"turns to a page at opening", onePage("/OpenAction[3 0 R/Fit]", ""), ""},
		{"site at opening", onePage("/OpenAction<</S/URI/URI(https://a.example)>>", ""), "open-action links"},
		{"site after a page turn at opening", onePage("/OpenAction<</S/GoTo/D[3 0 R/Fit]/Next<</S/URI/URI(https://a.example)>>>>", ""), "open-action links"},
		{"link", onePage("", "/Annots[4 0 R]", "<</Type/Annot/Subtype/Link/Rect[0 0 9 9]/A<</S/URI/URI(https://a.example)>>>>"), "links"},
		{"other file", onePage("", "/Annots[4 0 R]", "<</Type/Annot/Subtype/Link/Rect[0 0 9 9]/A<</S/GoToR/F(x.pdf)/D[0/Fit]>>>>"), "external"},
		{"embedded text", onePage("/Names<</EmbeddedFiles<</Names[(a)4 0 R]>>>>", "", "<</Type/Filespec/F(a.xml)/EF<</F 5 0 R>>>>", stream("/Type/EmbeddedFile", []byte("<a/>"))), "embedded"},
		{"embedded program by name", onePage("/Names<</EmbeddedFiles<</Names[(a)4 0 R]>>>>", "", "<</Type/Filespec/F(a.EXE )/EF<</F 5 0 R>>>>", stream("", []byte("x"))), "embedded-program embedded"},
		{"embedded program by content", onePage("/Names<</EmbeddedFiles<</Names[(a)4 0 R]>>>>", "", "<</Type/Filespec/F(a.txt)/EF<</F 5 0 R>>>>", stream("/Type/EmbeddedFile/Filter/FlateDecode", deflate([]byte("MZ\x90\x00")))), "embedded-program embedded"},
		{"form", onePage("/AcroForm<</Fields[4 0 R]/DA(/F1 0 Tf)>>", "/Annots[4 0 R]", "<</Type/Annot/Subtype/Widget/FT/Tx/T(nom)/Rect[0 0 9 9]>>"), "form"},
		{"XFA", onePage("/AcroForm<</Fields[]/XFA 4 0 R>>", "", stream("", []byte("<xdp/>"))), "xfa"},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			_, got := check(t, c, k.file)
			if g := strings.Join(got, " "); g != k.want {
				t.Errorf("found %q, want %q", g, k.want)
			}
		})
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	c := checker(t, pdf.Config{Workers: 1})
	if r, _ := check(t, c, letter()); r != (greffe.PDF{Pages: 2, Version: "1.7", PDFA: "1B"}) {
		t.Errorf("letter: %+v", r)
	}
	if r, _ := check(t, c, encrypted(t, "", "owner")); !r.Encrypted || r.Pages != 2 {
		t.Errorf("restricted: %+v", r)
	}
	if r, _ := check(t, c, encrypted(t, "secret", "owner")); !r.Encrypted || r.Pages != 0 {
		t.Errorf("encrypted: %+v", r)
	}
	xmp := `<rdf:Description pdfaid:part="3" pdfaid:conformance='u'/>`
	file := onePage("/Metadata 4 0 R", "", stream("/Type/Metadata/Subtype/XML/Filter/FlateDecode", deflate([]byte(xmp))))
	if r, _ := check(t, c, file); r.PDFA != "3U" {
		t.Errorf("claim as attributes: %+v", r)
	}
}

// Bombs that once brought pdfcpu, or a reader around it, to its knees.
func bombs() map[string][]byte {
	one := bomb(700 << 20)
	return map[string][]byte{
		"cross-reference stream": xrefBomb(one),
		"metadata":               onePage("/Metadata 4 0 R", "", stream("/Type/Metadata/Subtype/XML/Filter/FlateDecode", one)),
		"metadata, twice":        onePage("/Metadata 4 0 R", "", stream("/Type/Metadata/Subtype/XML/Filter[/FlateDecode/FlateDecode]", deflate(one))),
		"object stream":          onePage("", "", stream("/Type/ObjStm/N 1/First 10/Filter/FlateDecode", one)),
		"object stream in use":   streamBomb(one),
		"nested arrays":          onePage("/X "+strings.Repeat("[", 1<<20), ""),
		"nested dictionaries":    onePage("/X "+strings.Repeat("<</A", 1<<20), ""),
		"page tree of itself":    classic("<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2>>"),
		"absurd size":            bytes.Replace(onePage("", ""), []byte("/Size 4"), []byte("/Size 2000000000"), 1),
		"absurd length":          onePage("", "", "<</Length 2000000000>>\nstream\nx\nendstream"),
		"reference to itself":    onePage("/X 4 0 R", "", "4 0 R"),
	}
}

func TestABombIsAFindingAndTheNextFilePasses(t *testing.T) {
	t.Parallel()
	c := checker(t, pdf.Config{Workers: 1, Memory: memoryFactor * 256 << 20})
	for name, file := range bombs() {
		began := time.Now()
		r, got := check(t, c, file)
		t.Logf("%s: %d bytes, %v, %+v, %v", name, len(file), got, r, time.Since(began).Round(time.Millisecond))
		if r, got := check(t, c, letter()); r.Pages != 2 || got != nil {
			t.Fatalf("after %s the letter is %+v %v", name, r, got)
		}
	}
}

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

func TestRulesAreListedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range pdf.Rules() {
		if seen[r.ID] || !strings.HasPrefix(r.ID, "pdf.") || r.Text == "" || r.Source == "" || r.Severity == "" {
			t.Errorf("%+v", r)
		}
		seen[r.ID] = true
	}
}

func FuzzInspect(f *testing.F) {
	f.Add(onePage("", ""))
	f.Add(onePage("/OpenAction "+script, ""))
	f.Add(compressed(fmt.Sprintf(catalogObj, ""), pagesObj, fmt.Sprintf(pageObj, ""), script))
	f.Add([]byte("%PDF-1.4\n%%EOF"))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, findings := pdf.Inspect(file)
		if r.Pages == 0 && greffe.VerdictOf(findings) == greffe.VerdictOK {
			t.Error("no page and nothing wrong")
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	c := checker(b, pdf.Config{})
	file := letter()
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	times := make([]time.Duration, 0, 1000)
	check(b, c, file) // warm
	for b.Loop() {
		began := time.Now()
		check(b, c, file)
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds()), "µs-median")
}
