package pdf

import (
	"bytes"
	"compress/zlib"
	"io"
	"regexp"

	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/types"
)

// maxHidden bounds what is inflated in search of hidden programs.
const maxHidden = 16 << 20

// hidden looks for scripts and programs where the cross-reference table does not
// lead: earlier revisions, objects that it leaves out, objects that pdfcpu could
// not read. Another reader may come to them, above all one that rebuilds the table.
func (s *scan) hidden() {
	if s.has(ruleScript) || s.has(ruleLaunch) {
		return
	}
	if s.lay.active {
		s.found(ruleHidden)
		return
	}
	if s.facts.Encrypted || len(s.lay.objStms) == 0 {
		return
	}
	known := make(map[int]bool)
	for _, e := range s.ctx.Table {
		if e == nil {
			continue
		}
		if o, ok := e.Object.(types.ObjectStreamDict); ok {
			known[int(o.StreamOffset)] = true
		}
	}
	left := int64(maxHidden)
	var z io.ReadCloser
	for _, o := range s.lay.objStms {
		if known[o.at] || left <= 0 {
			continue
		}
		b := o.data
		if !o.raw {
			var err error
			if z == nil {
				z, err = zlib.NewReader(bytes.NewReader(o.data))
			} else {
				err = z.(zlib.Resetter).Reset(bytes.NewReader(o.data), nil)
			}
			if err != nil {
				continue // no reader can open it either, or it has another filter
			}
			b, _ = io.ReadAll(io.LimitReader(z, left))
		}
		left -= int64(len(b))
		if active(b) {
			s.found(ruleHidden)
			return
		}
	}
}

// active reports whether b, which is the text of objects, holds an action that runs
// a script or a program (§12.6.4.5, §12.6.4.16).
func active(b []byte) bool {
	if bytes.Contains(b, []byte("#")) {
		b = unescape(b)
	}
	for _, name := range []string{"/JavaScript", "/Launch"} {
		for rest := b; ; {
			i := bytes.Index(rest, []byte(name))
			if i < 0 {
				break
			}
			if bytes.HasSuffix(bytes.TrimRight(rest[:i], blanks), []byte("/S")) {
				return true
			}
			rest = rest[i+len(name):]
		}
	}
	for rest := b; ; {
		i := bytes.Index(rest, []byte("/JS"))
		if i < 0 {
			return false
		}
		rest = rest[i+len("/JS"):]
		v := bytes.TrimLeft(rest[:min(len(rest), 64)], blanks)
		if scriptValue.Match(v) {
			return true
		}
	}
}

// scriptValue matches what a script can be: a string, or a reference to one.
var scriptValue = regexp.MustCompile(`^(\(|<[^<]|\d+[\s\x00]+\d+[\s\x00]+R)`)

// unescape resolves the escapes of names (§7.3.5): #53 is S.
func unescape(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '#' && i+2 < len(b) {
			if high, low := hexDigit(b[i+1]), hexDigit(b[i+2]); high >= 0 && low >= 0 {
				out = append(out, byte(high<<4|low))
				i += 2
				continue
			}
		}
		out = append(out, b[i])
	}
	return out
}
