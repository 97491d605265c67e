package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/pdfcpu/pdfcpu/pkg/api"
	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/model"
)

func write(t *testing.T, rows int) []byte {
	t.Helper()
	r, err := New("Essai d’un rapport", time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	r.Heading(1, "Titre")
	r.Paragraph(strings.Repeat("Un œuf à la coque, ça s’achète où ? ", 400))
	r.Heading(2, "Table")
	var lines [][]string
	for range rows {
		lines = append(lines, []string{"01M83PA8DGWRZ4P84351HC7FRD-1", strings.Repeat("long ", 40)})
	}
	r.Table([]int{30, 70}, true, []string{"Identifiant", "Valeur"}, lines)
	return r.Bytes()
}

// TestReport: a strict reader takes it, it is tagged and in French, its pages follow each
// other, and the same calls make the same bytes.
func TestReport(t *testing.T) {
	t.Parallel()
	b := write(t, 200)
	conf := model.NewDefaultConfiguration()
	conf.ValidationMode = model.ValidationStrict
	if err := api.Validate(bytes.NewReader(b), conf); err != nil {
		t.Errorf("validate: %v", err)
	}
	n, err := api.PageCount(bytes.NewReader(b), conf)
	if err != nil || n < 10 {
		t.Errorf("%d pages, %v", n, err)
	}
	for _, want := range []string{"/Lang (fr-FR)", "/MarkInfo << /Marked true >>", "/StructTreeRoot", "/Scope /Column", "/DisplayDocTitle true"} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("no %s", want)
		}
	}
	if !bytes.Equal(b, write(t, 200)) {
		t.Error("the same calls made other bytes")
	}
}
