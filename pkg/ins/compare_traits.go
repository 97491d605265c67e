package ins

import (
	"slices"
	"strings"

	"greffe/pkg/greffe"
)

// shortestCut is the length, in letters, from which a name may be the beginning of a
// longer one because a program cut it.
const shortestCut = 12

// fold writes a normalised name in the form in which spellings are compared: what
// stands between its words is left out.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case ' ', '-', '\'', '.', ',':
			return -1
		}
		return r
	}, Normalise(name))
}

// particles may be written or left out before a family name.
var particles = []string{"DE LA ", "DE L'", "DE ", "D'", "DU ", "DES ", "VAN DER ", "VAN DEN ", "VAN ", "VON DER ", "VON "}

func withoutParticle(name string) string {
	for _, p := range particles {
		if rest, ok := strings.CutPrefix(name, p); ok && rest != "" {
			return rest
		}
	}
	return name
}

// compareName compares two names of the same nature.
func compareName(a, b string) Likeness {
	a, b = Normalise(a), Normalise(b)
	switch {
	case a == "" || b == "":
		return Absent
	case a == b:
		return Same
	case alike(fold(a), fold(b)), fold(withoutParticle(a)) == fold(withoutParticle(b)):
		return Compatible
	}
	return Differs
}

// alike reports whether two folded names are equal or one is the other one cut.
func alike(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return a != "" && (a == b || len(a) >= shortestCut && strings.HasPrefix(b, a))
}

// compareFamily compares the names of birth; where one of the two gives none, the names
// in use, which prove less. It returns the values that were compared, too.
func compareFamily(p, q greffe.Patient) (Likeness, string, string) {
	if is := compareName(p.BirthFamily, q.BirthFamily); is != Absent {
		return is, p.BirthFamily, q.BirthFamily
	}
	a, b := p.BirthFamily, q.BirthFamily
	for _, x := range []string{p.BirthFamily, p.UsedFamily} {
		for _, y := range []string{q.BirthFamily, q.UsedFamily} {
			if is := compareName(x, y); is == Same || is == Compatible {
				return Compatible, x, y
			}
		}
	}
	if Normalise(p.UsedFamily) != "" && Normalise(q.UsedFamily) != "" {
		return Differs, p.UsedFamily, q.UsedFamily
	}
	return Absent, a, b // a name of birth and one in use: both may be right
}

// compareGivens compares the first given names and the lists. A side that has only one
// of the two is compared with what it has.
func compareGivens(p, q greffe.Patient) (first, list Likeness) {
	a, b := firstGiven(p), firstGiven(q)
	first = compareName(p.FirstGiven, q.FirstGiven)
	switch {
	case first == Absent && a != "" && b != "":
		if first = compareName(a, b); first == Same {
			first = Compatible
		} else if first == Differs && (startsList(p.Givens, b) || startsList(q.Givens, a)) {
			first = Compatible
		}
	case first == Differs && startsList(p.Givens, q.FirstGiven) && startsList(q.Givens, p.FirstGiven):
		first = Compatible // JEAN and JEAN-PIERRE, when both lists begin with both
	}
	return first, compareLists(p.Givens, q.Givens, a, b)
}

// firstGiven is the first given name of birth, else the first of the list, else the one
// in use.
func firstGiven(p greffe.Patient) string {
	if p.FirstGiven != "" {
		return p.FirstGiven
	}
	if f := strings.Fields(Normalise(p.Givens)); len(f) > 0 {
		return f[0]
	}
	return p.UsedGiven
}

// startsList reports whether a list of given names begins with a name: "JEAN" and
// "JEAN-PIERRE" both begin "JEAN PIERRE MARIE".
func startsList(list, name string) bool {
	l, n := listOf(list), listOf(name)
	return len(n) > 0 && len(l) >= len(n) && slices.Equal(l[:len(n)], n)
}

func listOf(names string) []string {
	return strings.FieldsFunc(Normalise(names), func(r rune) bool { return r == ' ' || r == '-' || r == ',' })
}

// compareLists compares two lists of given names. Lists agree when one is the beginning
// of the other, or all of it but the first name (that of either side), as HL7 v2 has it
// in PID-5.3.
func compareLists(a, b string, firsts ...string) Likeness {
	switch is := compareName(a, b); is {
	case Same, Absent, Compatible:
		return is
	}
	x, y := listOf(a), listOf(b)
	if len(x) > len(y) {
		x, y = y, x
	}
	switch {
	case len(x) == 0 || len(y) == 0:
		return Absent
	case slices.Equal(y[:len(x)], x):
		return Compatible
	}
	for _, first := range firsts {
		f := listOf(first)
		if len(y) == len(x)+len(f) && slices.Equal(y[:len(f)], f) && slices.Equal(y[len(f):], x) {
			return Compatible
		}
	}
	return Differs
}

// compareDate compares two dates, YYYYMMDD or the beginning of one; 00 stands for a
// month or day that is not known.
func compareDate(a, b string) Likeness {
	a, b = strings.TrimSpace(a), strings.TrimSpace(b)
	switch {
	case a == "" || b == "":
		return Absent
	case a == b:
		return Same
	}
	for i := 0; i < 8; i += 2 {
		if i+2 > len(a) || i+2 > len(b) {
			return Compatible
		}
		x, y := a[i:i+2], b[i:i+2]
		if x != y && (i < 4 || x != "00" && y != "00") {
			return Differs
		}
	}
	return Compatible // what follows the day is no part of the trait
}

// formerDepartments are the departments of today, or the countries, that have the
// communes of a former one. Communes kept their number.
var formerDepartments = map[string][]string{
	"20": {"2A", "2B"},                   // Corsica until 1976
	"75": {"92", "93", "94"},             // Seine until 1968
	"78": {"91", "92", "93", "94", "95"}, // Seine-et-Oise until 1968
}

// wholes are the communes that the register knows as a whole and by arrondissement.
var wholes = map[string]string{"75056": "751", "69123": "6938", "13055": "132"}

// formerCountries are the countries whose births have, in old registers, the number of a
// department instead of 99.
var formerCountries = map[string]string{"91": "352", "92": "352", "93": "352", "94": "352", "95": "350", "96": "351"}

// comparePlace compares two INSEE codes of communes or countries. Codes of today and of
// the day of birth are compatible.
func comparePlace(a, b string) Likeness {
	a, b = strings.ToUpper(squeeze(a)), strings.ToUpper(squeeze(b))
	switch {
	case a == "" || b == "":
		return Absent
	case a == b:
		return Same
	case !isCOG(a) || !isCOG(b), a == "99999", b == "99999":
		return Compatible // a label, or "not known": nothing can be said
	case formerPlace(a, b), formerPlace(b, a):
		return Compatible
	}
	return Differs
}

// isCOG reports whether a place has the form of a code of the Code officiel géographique:
// five digits, with 2A and 2B for Corsica.
func isCOG(place string) bool {
	if len(place) != 5 {
		return false
	}
	for i := range len(place) {
		c := place[i]
		if (c < '0' || c > '9') && (i != 1 || place[0] != '2' || c != 'A' && c != 'B') {
			return false
		}
	}
	return true
}

func formerPlace(old, now string) bool {
	if slices.Contains(formerDepartments[old[:2]], now[:2]) && old[2:] == now[2:] {
		return true
	}
	if w := wholes[old]; w != "" && strings.HasPrefix(now, w) {
		return true
	}
	c := formerCountries[old[:2]]
	return c != "" && now == "99"+c
}
