package pdf_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/pdfcpu/pdfcpu/pkg/api"
	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/model"
	"go.uber.org/goleak"

	"greffe/pkg/greffe"
	"greffe/pkg/pdf"
	"greffe/pkg/sandbox"
)

func TestMain(m *testing.M) {
	pdf.ServeIfWorker()
	if file := os.Getenv(envParent); file != "" {
		beParent(file)
	}
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
	return encryptedFile(t, letter(), user, owner)
}

func encryptedFile(t testing.TB, file []byte, user, owner string) []byte {
	t.Helper()
	conf := model.NewAESConfiguration(user, owner, 256)
	var b bytes.Buffer
	if err := api.Encrypt(bytes.NewReader(file), &b, conf); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
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

// BenchmarkCheck checks files in a warm child, one at a time: a letter, a scan of 30
// MB, and a file of 2,000 pages.
func BenchmarkCheck(b *testing.B) {
	for _, k := range []struct {
		name string
		file []byte
	}{
		{"letter of 150 KB", letter()}, {"scan of 30 MB", sandbox.PDF("Imagerie", nil, 30<<20)}, {"2000 pages", manyPages(2000)},
	} {
		b.Run(k.name, func(b *testing.B) {
			c := checker(b, pdf.Config{Workers: 1})
			b.SetBytes(int64(len(k.file)))
			b.ReportAllocs()
			check(b, c, k.file) // warm
			before := pdf.Work(c)
			n := 0
			for b.Loop() {
				check(b, c, k.file)
				n++
			}
			if after := pdf.Work(c); after > before { // else the child was replaced
				b.ReportMetric(float64((after-before).Microseconds())/float64(n), "µs-child-cpu/op")
			}
			b.ReportMetric(float64(pdf.Peak(c))/(1<<20), "MiB-child-peak")
		})
	}
}
