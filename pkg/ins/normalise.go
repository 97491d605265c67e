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
func Normalise(name string) string {
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

// Equal reports whether two names are the same once normalised. Empty names are
// equal to nothing: what is not known matches nobody.
func Equal(a, b string) bool {
	a = Normalise(a)
	return a != "" && a == Normalise(b)
}

// Agree compares two descriptions of the patient of one message: two documents, or a
// document and its metadata. It returns a finding when they cannot be one person: an
// INS of the same kind or a strict trait that both give differs. What one of them
// lacks is no conflict.
func Agree(p, q greffe.Patient, where string) []greffe.Finding {
	if what := conflict(p, q); what != "" {
		return []greffe.Finding{ruleConflict.At(where, what)}
	}
	return nil
}

func conflict(p, q greffe.Patient) string {
	for _, a := range p.IDs {
		for _, b := range q.IDs {
			if a.Root == b.Root && KindOf(a.Root) != "" && !strings.EqualFold(a.Extension, b.Extension) {
				return "l’INS"
			}
		}
	}
	for _, t := range []struct{ what, a, b string }{
		{"le nom de naissance", Normalise(p.BirthFamily), Normalise(q.BirthFamily)},
		{"le premier prénom", Normalise(p.FirstGiven), Normalise(q.FirstGiven)},
		{"la liste des prénoms", Normalise(p.Givens), Normalise(q.Givens)},
		{"la date de naissance", p.BirthDate, q.BirthDate},
		{"le sexe", strings.ToUpper(p.Sex), strings.ToUpper(q.Sex)},
		{"le lieu de naissance", strings.ToUpper(p.BirthPlace), strings.ToUpper(q.BirthPlace)},
	} {
		if t.a != "" && t.b != "" && t.a != t.b {
			return t.what
		}
	}
	return ""
}
