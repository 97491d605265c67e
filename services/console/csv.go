package console

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// maxExport bounds the lines of one file: more is not read by a person, and the whole
// of a period is what the export command is for.
const maxExport = 50_000

// exportTime bounds the writing of one file.
const exportTime = 5 * time.Minute

// sheet writes a table that a French spreadsheet opens as it is: RFC 4180 with semicolons,
// after a byte order mark that says UTF-8.
type sheet struct {
	w   *csv.Writer
	buf *bufio.Writer
}

// newSheet answers with a file of this name; nothing but an error may be answered before.
func newSheet(w http.ResponseWriter, name string, head ...string) *sheet {
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", disposition(name))
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(exportTime))
	s := &sheet{buf: bufio.NewWriter(w)}
	s.buf.WriteString("\ufeff")
	s.w = csv.NewWriter(s.buf)
	s.w.Comma, s.w.UseCRLF = ';', true
	s.row(head...)
	return s
}

func (s *sheet) row(cells ...string) {
	line := make([]string, len(cells))
	for i, c := range cells {
		line[i] = harmless(c)
	}
	_ = s.w.Write(line) // kept until flush
}

// flush writes what is left. The browser may have gone away, which is nobody's fault.
func (s *sheet) flush() error {
	s.w.Flush()
	if err := s.w.Error(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return s.buf.Flush()
}

// harmless keeps a spreadsheet from taking a text of a sender's for a formula: what begins
// as one gets an apostrophe before it.
func harmless(s string) string {
	if t := strings.TrimLeft(s, " \t\r\n"); t != "" && strings.ContainsRune("=+-@|%", rune(t[0])) {
		return "'" + s
	}
	return s
}
