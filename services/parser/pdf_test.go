package parser

import (
	"log/slog"
	"testing"

	"greffe/pkg/greffe"
	"greffe/pkg/ins"
	"greffe/pkg/pdf"
	"greffe/pkg/sandbox"
)

// TestPDFFacts: what a PDF says about itself is kept with each part that holds it,
// also when the same file came twice and was checked once.
func TestPDFFacts(t *testing.T) {
	t.Parallel()
	checker := pdf.New(pdf.Config{Workers: 1})
	defer checker.Close()
	p := New(Config{Environment: ins.Any}, nil, checker, slog.New(slog.DiscardHandler))
	file := sandbox.PDF("Compte rendu", make([]string, 60), 0)
	out := parse(t, p, mail("Subject: XDM/1.0/DDM+CR\r\n", archived(level1(facts(1, 1), file)), pdfFile("a.pdf", file), pdfFile("b.pdf", file[:200])))
	n := 0
	for _, part := range out.Parts {
		if part.Kind == greffe.PartPDF && part.Size == int64(len(file)) {
			n++
			if part.PDF == nil || part.PDF.Pages != 2 || part.PDF.Version != "1.4" || part.PDF.Title != "Compte rendu" || part.PDF.Encrypted {
				t.Errorf("part %s: %+v", part.Path, part.PDF)
			}
		} else if part.PDF != nil && part.PDF.Pages != 0 {
			t.Errorf("part %s: %+v", part.Path, part.PDF)
		}
	}
	if n != 2 {
		t.Errorf("%d parts hold the PDF", n)
	}
}
