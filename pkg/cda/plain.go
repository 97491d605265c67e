package cda

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

const (
	xsi = "http://www.w3.org/2001/XMLSchema-instance"

	// maxPlainText is how much of one text WritePlain writes: libxml2 refuses a text of more
	// than 10 MB, and no schema of CDA looks at it.
	maxPlainText = 1 << 20
)

// ErrNotCDA says that there is no ClinicalDocument in the input.
var ErrNotCDA = errNotCDA

// WritePlain writes the ClinicalDocument of r as plain XML for a program that checks it
// against a schema: in UTF-8, without declaration, comments and processing instructions,
// without the values in base64, without xsi:schemaLocation (nothing in it points to a
// file), and taken out of the stylesheet of an auto-présentable document. Elements keep
// their names and prefixes, and their line as far as line ends let them.
//
// It returns ErrNotCDA, a *SyntaxError when r is not well formed, or the error of r or w;
// what was written before that is of no use.
func WritePlain(w io.Writer, r io.Reader) error {
	s := NewScanner(r)
	defer s.Close()
	s.lines.on = true
	if _, err := openDocument(s); err != nil {
		return err
	}
	p := plainWriter{s: s, w: bufio.NewWriterSize(w, 16<<10), line: 1}
	if err := p.document(); err != nil {
		return err
	}
	return p.w.Flush()
}

// plainWriter writes tokens. Errors of w stay with the bufio.Writer until Flush.
type plainWriter struct {
	s      *Scanner
	w      *bufio.Writer
	line   int // that is being written
	opened int // depth of the innermost base64 value, 0 outside of any
	text   int // bytes of the text that is being written
}

func (p *plainWriter) document() error {
	depth := p.s.Depth()
	p.start(p.s.bindings)
	for {
		kind, err := p.s.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch kind {
		case Start:
			p.start(p.s.bindings[p.s.stack[len(p.s.stack)-1].bindings:])
		case End:
			p.text = 0
			if p.opened > p.s.Depth() {
				p.opened = 0
			}
			p.w.WriteString("</")
			p.w.WriteString(p.s.raw)
			p.w.WriteByte('>')
			if p.s.Depth() < depth {
				return nil
			}
		case Text:
			p.chars(p.s.Text())
		}
	}
}

// start writes the start tag that was just read, with the bindings.
func (p *plainWriter) start(bindings []binding) {
	s := p.s
	p.text = 0
	top := s.stack[len(s.stack)-1]
	p.w.WriteByte('<')
	p.w.WriteString(top.raw)
	for ; p.line < s.line(); p.line++ {
		p.w.WriteByte('\n')
	}
	for i, b := range bindings {
		if hidden(bindings[i+1:], b.prefix) {
			continue
		}
		name := " xmlns"
		if b.prefix != "" {
			name += ":" + b.prefix
		}
		p.attribute(name, b.uri)
	}
	for i := range s.attrs {
		a := &s.attrs[i]
		if a.space == xsi && (a.local == "schemaLocation" || a.local == "noNamespaceSchemaLocation") {
			continue
		}
		name := " " + a.local
		if a.prefix != "" {
			name = " " + a.prefix + ":" + a.local
		}
		p.attribute(name, string(a.value))
	}
	p.w.WriteByte('>')
	if p.opened == 0 && isBase64(s) {
		p.opened = s.Depth()
	}
}

// hidden reports whether a later binding takes the place of the prefix.
func hidden(later []binding, prefix string) bool {
	for _, b := range later {
		if b.prefix == prefix {
			return true
		}
	}
	return false
}

func (p *plainWriter) attribute(name, value string) {
	p.w.WriteString(name)
	p.w.WriteString(`="`)
	attributeEscaper.WriteString(p.w, value)
	p.w.WriteByte('"')
}

// A line end in a value is a blank (XML 1.0 §3.3.3).
var (
	attributeEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;", "\n", " ", "\r", " ", "\t", " ")
	textEscaper      = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
)

// chars writes text, without the files in base64.
func (p *plainWriter) chars(b []byte) {
	if p.opened > 0 || p.text+len(b) > maxPlainText {
		return
	}
	p.text += len(b)
	for _, c := range b {
		if c == '\n' {
			p.line++
		}
	}
	textEscaper.WriteString(p.w, string(b))
}
