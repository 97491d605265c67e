package pdf

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/types"
)

const (
	maxBlank   = 64        // pages that are looked at to see whether all are blank
	maxContent = 256 << 10 // bytes of the content of a page that are looked at
)

// pages counts the pages that can be reached (§7.7.3), whatever the file says
// their number is, and sees whether anything is on them. A tree that comes back to
// itself is followed once.
func (s *scan) pages() {
	root, err := s.ctx.Catalog()
	if err != nil || root == nil {
		s.found(rulePages)
		return
	}
	said := 0
	if tree, ok := s.deref(root["Pages"]).(types.Dict); ok {
		if n, ok := s.deref(tree["Count"]).(types.Integer); ok {
			said = n.Value()
		}
	}
	n := 0
	blank := true
	seen := map[int]bool{}
	for todo := []types.Object{root["Pages"]}; len(todo) > 0; {
		o := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if ref, ok := o.(types.IndirectRef); ok {
			at := ref.ObjectNumber.Value()
			if seen[at] {
				s.found(ruleDamaged)
				continue
			}
			seen[at] = true
		}
		d, ok := s.deref(o).(types.Dict)
		if !ok {
			s.found(ruleDamaged)
			continue
		}
		if kids, ok := s.deref(d["Kids"]).(types.Array); ok {
			todo = append(todo, kids...)
		} else if s.name(d["Type"]) != "Pages" {
			n++
			blank = blank && n <= maxBlank && s.blank(d)
		}
	}
	s.facts.Pages = n
	switch {
	case n == 0:
		s.found(rulePages)
	case blank:
		s.found(ruleBlank)
	}
	if n != said {
		s.found(ruleDamaged)
	}
}

// blank reports whether nothing is shown on a page. A page whose content cannot be
// read is not blank.
func (s *scan) blank(page types.Dict) bool {
	if annotations, ok := s.deref(page["Annots"]).(types.Array); ok && len(annotations) > 0 {
		return false
	}
	parts := types.Array{page["Contents"]}
	if list, ok := s.deref(page["Contents"]).(types.Array); ok {
		parts = list
	}
	var content []byte
	for _, p := range parts {
		var b []byte
		var err error
		switch sd := s.deref(p).(type) {
		case types.StreamDict:
			b, err = decode(&sd, maxContent)
		case *types.StreamDict:
			b, err = decode(sd, maxContent)
		}
		content = append(append(content, b...), '\n')
		if err != nil || len(content) >= maxContent {
			return false
		}
	}
	return !paints(content)
}

var (
	// paintings are the operators that leave something on a page (Annex A). Those
	// that show text are looked at more closely.
	paintings = " S s f F f* B B* b b* sh Do EI "
	showings  = " Tj TJ ' \" "
	// blankHex matches a string of blanks, also in the codes that fonts of two bytes
	// commonly give the blank.
	blankHex = regexp.MustCompile(`^(20|0020|0003|A0|a0|00A0|00a0|[\s\x00])*$`)
)

// paints reports whether a content stream (§7.8.2) shows anything.
func paints(b []byte) bool {
	ink := false // a string before the operator shows a character
	for len(b) > 0 {
		c := b[0]
		switch {
		case strings.IndexByte(blanks+"[]{})>", c) >= 0:
			b = b[1:]
		case c == '%':
			i := bytes.IndexAny(b, "\r\n")
			if i < 0 {
				return false
			}
			b = b[i:]
		case c == '(':
			n, shown := literal(b)
			ink = ink || shown
			b = b[n:]
		case c == '<' && !bytes.HasPrefix(b, []byte("<<")):
			i := bytes.IndexByte(b, '>')
			if i < 0 {
				return false
			}
			ink = ink || !blankHex.Match(b[1:i])
			b = b[i:]
		case c == '<':
			b = b[2:]
		default:
			n := 1
			for n < len(b) && strings.IndexByte(blanks+"[]{}()<>/%", b[n]) < 0 {
				n++
			}
			word := " " + string(b[:n]) + " "
			switch {
			case c >= '0' && c <= '9' || c == '-' || c == '.' || c == '+' || c == '/':
			case strings.Contains(paintings, word), ink && strings.Contains(showings, word):
				return true
			default:
				ink = false
			}
			b = b[n:]
		}
	}
	return false
}

// literal returns the length of the string that b begins with (§7.3.4.2), and
// whether it has a character that is no blank.
func literal(b []byte) (n int, shown bool) {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '\\':
			i++
			shown = true
		case c == '(':
			shown = shown || depth > 0
			depth++
		case c == ')':
			if depth--; depth == 0 {
				return i + 1, shown
			}
		case c > ' ' && c != 0xa0:
			shown = true
		}
	}
	return len(b), shown
}
