package eml

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

const maxParams = 100 // of one header field

// mediaType is the value of a Content-Type or Content-Disposition field.
type mediaType struct {
	value  string // lower-case, without parameters
	params map[string]string
}

// parseMediaType reads a value and its parameters in every form that mail has
// them: RFC 2045, the extended and numbered parameters of RFC 2231 in any
// charset, encoded words where none are allowed, raw 8-bit, missing quotes.
// Parameter values are decoded UTF-8; the first of two with one name wins.
func parseMediaType(s string) mediaType {
	head, rest := cutOutsideQuotes(s)
	m := mediaType{strings.ToLower(strings.Join(strings.Fields(clean(stripComment(head))), "")), nil}
	pieces := map[string][]piece{}
	last := ""
	for n := 0; rest != "" && n < maxParams; n++ {
		var item string
		item, rest = cutOutsideQuotes(rest)
		name, value, ok := strings.Cut(item, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if !ok || name == "" || strings.ContainsAny(name, " \t\"") {
			// Not a parameter: the rest of a value with an unquoted semicolon (a;b.pdf).
			if p := pieces[last]; len(p) > 0 && !p[len(p)-1].quoted && strings.TrimSpace(item) != "" {
				p[len(p)-1].value += ";" + item
			}
			continue
		}
		p := piece{index: -1}
		p.value, p.quoted = unquote(value)
		base := name
		if star := strings.IndexByte(name, '*'); star >= 0 {
			base = name[:star]
			num := strings.TrimSuffix(name[star+1:], "*")
			p.extended = strings.HasSuffix(name, "*")
			p.index = 0
			if num != "" {
				k, err := strconv.Atoi(num)
				if err != nil || k < 0 || k > 1000 {
					continue
				}
				p.index = k
			}
		}
		pieces[base] = append(pieces[base], p)
		last = base
	}
	m.params = make(map[string]string, len(pieces))
	for name, p := range pieces {
		m.params[name] = join(p)
	}
	return m
}

// piece is one parameter, or one segment of a numbered one.
type piece struct {
	index            int // -1: a plain parameter
	value            string
	extended, quoted bool
}

// join puts the value of a parameter together. The RFC 2231 form is preferred to
// the plain one that senders add for old readers.
func join(pieces []piece) string {
	var segments []piece
	for _, p := range pieces {
		if p.index >= 0 && !slices.ContainsFunc(segments, func(q piece) bool { return q.index == p.index }) {
			segments = append(segments, p)
		}
	}
	if len(segments) == 0 {
		return decodeWords(pieces[0].value)
	}
	slices.SortStableFunc(segments, func(a, b piece) int { return cmp.Compare(a.index, b.index) })
	// The charset stands in the first segment and counts for all of them; bytes are
	// joined before they are decoded, a letter may be cut in two.
	charset := ""
	var raw strings.Builder
	for i, p := range segments {
		v := p.value
		if p.extended {
			if cs, after, ok := strings.Cut(v, "'"); ok && i == 0 {
				if _, text, ok := strings.Cut(after, "'"); ok {
					charset, v = cs, text
				}
			}
			v = percentDecode(v)
		}
		raw.WriteString(v)
	}
	if charset == "" {
		return decodeWords(raw.String())
	}
	text, _ := decodeCharset(charset, []byte(raw.String()))
	return text
}

// cutOutsideQuotes cuts s at the first semicolon that is not between quotes. A
// quote that is never closed does not count.
func cutOutsideQuotes(s string) (item, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"' && (quoted || strings.IndexByte(s[i+1:], '"') >= 0):
			quoted = !quoted
		case s[i] == ';' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// unquote removes the quotes and escapes of a quoted string. A backslash only
// escapes a quote or itself: Windows paths are sent unescaped.
func unquote(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if s == "" || s[0] != '"' {
		return s, false
	}
	s = s[1:]
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		case s[i] == '"':
			return b.String(), true
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), true
}

// percentDecode decodes %XX; anything else stands for itself.
func percentDecode(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi >= 0 && lo >= 0 {
				b = append(b, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// stripComment removes a trailing comment: "base64 (encoded by x)".
func stripComment(s string) string {
	if k := strings.IndexByte(s, '('); k >= 0 {
		s = s[:k]
	}
	return strings.TrimSpace(s)
}
