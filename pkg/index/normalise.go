package index

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normVersion is the version of normalise and of the columns that the queue is filtered
// by. Change it with them: Open then writes these columns again.
const normVersion = "3"

// Letters that Unicode does not decompose, in lower case.
var ligatures = map[rune]string{
	'œ': "oe", 'æ': "ae", 'ß': "ss", 'ø': "o", 'ł': "l", 'đ': "d", 'þ': "th", 'ı': "i",
}

// normalise returns s as searches compare it: no accents, lower case, anything
// that is neither letter nor digit is one blank, none at the ends. It is done
// here and not by the database so that both engines find the same.
func normalise(s string) string {
	var b strings.Builder
	gap := false
	for _, r := range norm.NFKD.String(strings.ToValidUTF8(s, " ")) {
		switch {
		case unicode.Is(unicode.Mn, r):
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			if gap && b.Len() > 0 {
				b.WriteByte(' ')
			}
			gap = false
			r = unicode.ToLower(r)
			if plain, ok := ligatures[r]; ok {
				b.WriteString(plain)
			} else {
				b.WriteRune(r)
			}
		default:
			gap = true
		}
	}
	return b.String()
}

// after returns the upper end of the range of strings that begin with prefix.
func after(prefix string) string { return prefix + string(utf8.MaxRune) }

// clean makes s fit for a text column: valid UTF-8 without NUL (PostgreSQL
// refuses both) and at most limit bytes, so that an index entry stays small.
func clean(s string, limit int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", " ")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// searchWords returns the different words of the texts, in order of appearance:
// at most 200, each of at most 40 bytes.
func searchWords(texts ...string) []string {
	seen := map[string]bool{}
	var words []string
	for _, t := range texts {
		for w := range strings.FieldsSeq(normalise(clean(t, 4096))) {
			w = clean(w, 40)
			if !seen[w] {
				seen[w] = true
				if words = append(words, w); len(words) == 200 {
					return words
				}
			}
		}
	}
	return words
}
