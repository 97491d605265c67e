package ins

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"greffe/pkg/greffe"
)

// Normalise returns a name in the form in which names are compared (domain §6.4):
// without diacritics, upper-case, ligatures and typographic apostrophes undone,
// blanks collapsed. Hyphen and blank stay different: "MARIE-LOUISE" and
// "MARIE LOUISE" may be one given name or two.
//
// It uses golang.org/x/text for the canonical decomposition of Unicode.
func Normalise(name string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(name) {
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

// Equal reports whether two names are the same once normalised. Empty names are
// equal to nothing: what is not known matches nobody.
func Equal(a, b string) bool {
	a = Normalise(a)
	return a != "" && a == Normalise(b)
}

// Conflict names, in French, the first trait that two descriptions of a patient
// both give and on which they differ; "" when they can be one person. A trait that
// one of them lacks is no conflict.
func Conflict(p, q greffe.Patient) string {
	for _, t := range []struct{ what, a, b string }{
		{"le nom de naissance", Normalise(p.BirthFamily), Normalise(q.BirthFamily)},
		{"le premier prénom", Normalise(p.FirstGiven), Normalise(q.FirstGiven)},
		{"les prénoms de naissance", Normalise(p.Givens), Normalise(q.Givens)},
		{"la date de naissance", p.BirthDate, q.BirthDate},
		{"le sexe", strings.ToUpper(p.Sex), strings.ToUpper(q.Sex)},
		{"le lieu de naissance", strings.ToUpper(p.BirthPlace), strings.ToUpper(q.BirthPlace)},
	} {
		if t.a != "" && t.b != "" && t.a != t.b {
			return t.what
		}
	}
	for _, a := range p.IDs {
		for _, b := range q.IDs {
			if a.Root == b.Root && a.Extension != b.Extension && KindOf(a.Root) != "" {
				return "l’INS"
			}
		}
	}
	return ""
}
