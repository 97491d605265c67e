package parser

import (
	"errors"
	"fmt"

	"greffe/pkg/greffe"
)

// errChecker marks a PDF checker that does not work, which is not the file's fault.
var errChecker = errors.New("PDF checker")

// checkedPDF is what was found in a PDF of this message: most come twice, in the CDA
// and beside it.
type checkedPDF struct {
	facts    *greffe.PDF
	findings []greffe.Finding
}

// checkPDF has the child process look at a PDF.
func (r *reading) checkPDF(it *item) error {
	if r.p.pdf == nil {
		return nil
	}
	c, known := r.checked[it.SHA256]
	if !known {
		facts, findings, err := r.p.pdf.Check(r.ctx, it.content.reader())
		if err != nil {
			return fmt.Errorf("%w: %w", errChecker, err)
		}
		c.findings = findings
		if facts != (greffe.PDF{}) {
			c.facts = &facts
		}
		if r.checked == nil {
			r.checked = make(map[greffe.Digest]checkedPDF)
		}
		r.checked[it.SHA256] = c
	}
	it.PDF = c.facts
	it.Findings = append(it.Findings, placed(it.Path, c.findings)...)
	return nil
}
