package ins

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Normalise returns a name in the form in which names are compared (domain §6.4):
// without diacritics, upper-case, ligatures and typographic apostrophes undone,
// blanks collapsed. Hyphen and blank stay different: "MARIE-LOUISE" and
// "MARIE LOUISE" may be one given name or two.
func Normalise(name string) string {
	if normal(name) {
		return name
	}
	var b strings.Builder
	for _, r := range norm.NFKD.String(strings.ToValidUTF8(name, "\uFFFD")) {
		switch r {
		case 'œ', 'Œ':
			b.WriteString("OE")
		case 'æ', 'Æ':
			b.WriteString("AE")
		case 'ß', 'ẞ':
			b.WriteString("SS")
		case 'ø', 'Ø':
			b.WriteByte('O')
		case '’', '‘', 'ʼ', '´', '`', '′':
			b.WriteByte('\'')
		case '‐', '‑', '‒', '–', '−':
			b.WriteByte('-')
		default:
			switch {
			case unicode.Is(unicode.Mn, r):
			case unicode.IsSpace(r):
				b.WriteByte(' ')
			default:
				b.WriteRune(unicode.ToUpper(r))
			}
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// normal reports whether a name is in that form already, as INSi gives it.
func normal(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c >= utf8.RuneSelf || c < ' ' || c >= 'a' && c <= 'z' || c == '`' || c == 0x7f {
			return false
		}
		if c == ' ' && (i == 0 || i == len(name)-1 || name[i-1] == ' ') {
			return false
		}
	}
	return true
}

// Equal reports whether two names are the same once normalised. Empty names are
// equal to nothing: what is not known matches nobody.
func Equal(a, b string) bool {
	a = Normalise(a)
	return a != "" && a == Normalise(b)
}
