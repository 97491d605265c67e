package ins

import (
	"slices"
	"strings"

	"greffe/pkg/greffe"
)

// Trait is one thing by which two descriptions of a person are compared. Its values
// are stable words; Name gives the French one.
type Trait string

// Traits: the number, the five strict traits of domain §6.1 (given names count as one,
// compared as the first one and as the list), and two that prove nothing alone.
const (
	TraitINS         Trait = "ins"
	TraitBirthFamily Trait = "birth_family"
	TraitFirstGiven  Trait = "first_given"
	TraitGivens      Trait = "givens"
	TraitBirthDate   Trait = "birth_date"
	TraitSex         Trait = "sex"
	TraitBirthPlace  Trait = "birth_place"
	TraitLocalID     Trait = "local_id"
)

var traitNames = map[Trait]string{
	TraitINS: "le matricule INS", TraitBirthFamily: "le nom", TraitFirstGiven: "le premier prénom", TraitGivens: "la liste des prénoms",
	TraitBirthDate: "la date de naissance", TraitSex: "le sexe", TraitBirthPlace: "le lieu de naissance", TraitLocalID: "l’identifiant local (IPP)",
}

// Name returns the French name of the trait with its article, to be shown.
func (t Trait) Name() string { return traitNames[t] }

// Likeness is what comparing one trait gives.
type Likeness string

// Likenesses.
const (
	// Same: equal once normalised as domain §6.4 says; what a DI accepts as strict.
	Same Likeness = "same"
	// Compatible: may be the same thing written otherwise (a hyphen, a particle, the name
	// in use, a date known in part, the old code of a commune). Never a proof, no
	// contradiction either.
	Compatible Likeness = "compatible"
	// Differs: one person cannot have both.
	Differs Likeness = "differs"
	// Absent: one of the two does not say.
	Absent Likeness = "absent"
)

// Text returns the likeness in French, to be shown.
func (l Likeness) Text() string {
	switch l {
	case Same:
		return "identique"
	case Compatible:
		return "compatible, mais pas identique"
	case Differs:
		return "diffère"
	}
	return "manque d’un côté"
}

// Line is one trait of two descriptions. A and B are the values as received.
type Line struct {
	Trait Trait
	A, B  string
	Is    Likeness
}

// Comparison is two descriptions of a person compared trait by trait, always all
// traits in the same order.
type Comparison []Line

// Match is what a comparison adds up to.
type Match string

// Matches. There is none for a name and a birth date: they prove nothing.
const (
	MatchStrict   Match = "strict"   // same INS, every strict trait the same
	MatchINS      Match = "ins"      // same INS, nothing differs, but a trait is absent or only compatible
	MatchUnproven Match = "unproven" // nothing differs, but no INS is there on both sides
	MatchNone     Match = "none"     // contradiction: not the same person until a person says so
)

// Compare compares two descriptions of a person (domain §6.4). It is symmetric but for
// the order of A and B. Any number of traits may be absent from both.
func Compare(p, q greffe.Patient) Comparison {
	number := compareINS(p, q)
	family, a, b := compareFamily(p, q)
	first, givens := compareGivens(p, q)
	return Comparison{
		{TraitINS, p.INS.Extension, q.INS.Extension, number},
		{TraitBirthFamily, a, b, family},
		{TraitFirstGiven, p.FirstGiven, q.FirstGiven, first},
		{TraitGivens, p.Givens, q.Givens, givens},
		{TraitBirthDate, p.BirthDate, q.BirthDate, compareDate(p.BirthDate, q.BirthDate)},
		{TraitSex, p.Sex, q.Sex, compareSex(p.Sex, q.Sex)},
		{TraitBirthPlace, p.BirthPlace, q.BirthPlace, comparePlace(p.BirthPlace, q.BirthPlace)},
		compareLocal(p, q),
	}
}

// Of returns the line about a trait.
func (c Comparison) Of(t Trait) Line {
	for _, l := range c {
		if l.Trait == t {
			return l
		}
	}
	return Line{Trait: t, Is: Absent}
}

// Match returns what the comparison adds up to. An IPP that differs is a contradiction
// only when no INS says that both are one person: records are double, people are not.
func (c Comparison) Match() Match {
	number := c.Of(TraitINS).Is
	strict := number == Same
	for _, l := range c {
		if l.Trait == TraitLocalID {
			if l.Is == Differs && number != Same {
				return MatchNone
			}
			continue
		}
		if l.Is == Differs {
			return MatchNone
		}
		strict = strict && l.Is == Same
	}
	switch {
	case strict:
		return MatchStrict
	case number == Same:
		return MatchINS
	}
	return MatchUnproven
}

// Contradicts reports whether the two cannot be taken for one person.
func (c Comparison) Contradicts() bool { return c.Match() == MatchNone }

// Which lists in French the traits of a likeness: "le nom, le sexe"; "" for none.
func (c Comparison) Which(is Likeness) string {
	var names []string
	for _, l := range c {
		if l.Is == is {
			names = append(names, l.Trait.Name())
		}
	}
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " et " + names[n-1]
	}
	return strings.Join(names, "")
}

// compareINS compares every INS of both sides: with two different matricules on either
// side, nobody knows which is right.
func compareINS(p, q greffe.Patient) Likeness {
	a, b := numbers(p), numbers(q)
	switch {
	case len(a) == 0 || len(b) == 0:
		return Absent
	case len(a) > 1 || len(b) > 1 || a[0].Extension != b[0].Extension:
		// A matricule without its key agrees with the whole one.
		if len(a) == 1 && len(b) == 1 && a[0].Extension[:min(13, len(a[0].Extension))] == b[0].Extension[:min(13, len(b[0].Extension))] &&
			min(len(a[0].Extension), len(b[0].Extension)) == 13 {
			return Compatible
		}
		return Differs
	case a[0].Root != b[0].Root:
		return Compatible // one matricule under two authorities: one of them is wrong
	}
	return Same
}

// numbers returns the different matricules of a patient, squeezed.
func numbers(p greffe.Patient) []greffe.OID {
	var out []greffe.OID
	for _, id := range append([]greffe.OID{p.INS}, p.IDs...) {
		m := squeeze(id.Extension)
		if KindOf(id.Root) == "" || m == "" || slices.ContainsFunc(out, func(o greffe.OID) bool { return o.Extension == m }) {
			continue
		}
		out = append(out, greffe.OID{Root: id.Root, Extension: m})
	}
	return out
}

// compareLocal compares the ids that both sides have from one authority that is not
// that of the INS.
func compareLocal(p, q greffe.Patient) Line {
	l := Line{Trait: TraitLocalID, Is: Absent}
	for _, a := range p.IDs {
		for _, b := range q.IDs {
			if a.Root != b.Root || a.Root == "" || KindOf(a.Root) != "" || a.Extension == "" || b.Extension == "" {
				continue
			}
			if strings.EqualFold(a.Extension, b.Extension) {
				return Line{TraitLocalID, a.Extension, b.Extension, Same}
			}
			l = Line{TraitLocalID, a.Extension, b.Extension, Differs}
		}
	}
	return l
}

// compareSex compares two codes of sex: M and F differ; anything else (U, UN, UNK, I, O)
// says that it is not known or neither.
func compareSex(a, b string) Likeness {
	a, b = strings.ToUpper(strings.TrimSpace(a)), strings.ToUpper(strings.TrimSpace(b))
	known := func(s string) bool { return s == "M" || s == "F" }
	switch {
	case a == "" || b == "":
		return Absent
	case a == b:
		return Same
	case known(a) && known(b):
		return Differs
	}
	return Compatible
}
