package ins

import (
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

// TestCompareTraits compares one trait of two descriptions that are else the same.
func TestCompareTraits(t *testing.T) {
	t.Parallel()
	local := func(ext string) []greffe.OID { return []greffe.OID{{Root: "1.2.3", Extension: ext}} }
	for _, c := range []struct {
		trait  Trait
		a, b   string
		is     Likeness
		change func(p *greffe.Patient, v string)
	}{
		// Names: what strict comparison lets pass.
		{TraitBirthFamily, "ESSAI", "Essai", Same, nil},
		{TraitBirthFamily, "LE GOFF", "le  goff ", Same, nil},
		{TraitBirthFamily, "BÉNÉZÉ", "BENEZE", Same, nil},
		{TraitBirthFamily, "CŒUR", "COEUR", Same, nil},
		{TraitBirthFamily, "L’HARIDON", "L'HARIDON", Same, nil},
		{TraitBirthFamily, "GARÇON", "GARC\u0327ON", Same, nil},
		// What only a person may accept.
		{TraitBirthFamily, "ESSAI-KERVELLA", "ESSAI KERVELLA", Compatible, nil},
		{TraitBirthFamily, "L'HARIDON", "LHARIDON", Compatible, nil},
		{TraitBirthFamily, "D'ESSAINT", "D ESSAINT", Compatible, nil},
		{TraitBirthFamily, "DE LA FICTION", "FICTION", Compatible, nil},
		{TraitBirthFamily, "DE LA FICTION", "DELAFICTION", Compatible, nil},
		{TraitBirthFamily, "VAN DER ESSAI", "ESSAI", Compatible, nil},
		{TraitBirthFamily, "DE LA ROCHE-FICTIVE", "DE LA ROCHE-FICT", Compatible, nil}, // cut by a program
		{TraitBirthFamily, "DUPONT", "DUPOND", Differs, nil},
		{TraitBirthFamily, "MARTIN", "MARTINEAU", Differs, nil}, // too short to have been cut
		{TraitBirthFamily, "LE GALL", "GALL", Differs, nil},     // LE is part of the name
		{TraitBirthFamily, "", "ESSAI", Absent, nil},
		{TraitBirthFamily, " \t", "ESSAI", Absent, nil},
		{TraitFirstGiven, "LÉA", "LEA", Same, nil},
		{TraitFirstGiven, "MARIE-LOUISE", "MARIE LOUISE", Compatible, nil},
		{TraitFirstGiven, "MAELLE", "MAELYS", Differs, nil},
		{TraitFirstGiven, "JEAN", "JEAN-PIERRE", Differs, nil}, // maybe brothers
		{TraitGivens, "JEAN PIERRE", "JEAN PIERRE", Same, nil},
		{TraitGivens, "JEAN-PIERRE", "JEAN PIERRE", Compatible, nil},
		{TraitGivens, "JEAN PIERRE MARIE", "JEAN", Compatible, nil},
		{TraitGivens, "JEAN PIERRE MARIE", "PIERRE JEAN MARIE", Differs, nil},
		{TraitGivens, "MAELLE ANNE", "ANNE", Compatible, nil}, // PID-5.3 has the names after the first
		{TraitGivens, "MAELLE ANNE", "LISE", Differs, nil},
		// Dates.
		{TraitBirthDate, "19850214", "19850214", Same, nil},
		{TraitBirthDate, "19850214", "19850215", Differs, nil},
		{TraitBirthDate, "19850214", "19851402", Differs, nil}, // day and month exchanged
		{TraitBirthDate, "19850214", "1985", Compatible, nil},
		{TraitBirthDate, "19850214", "198503", Differs, nil},
		{TraitBirthDate, "19850214", "19850000", Compatible, nil},
		{TraitBirthDate, "19850214", "19850200", Compatible, nil},
		{TraitBirthDate, "19850214", "19860000", Differs, nil},
		{TraitBirthDate, "", "19850214", Absent, nil},
		// Sex.
		{TraitSex, "M", "m", Same, nil}, {TraitSex, "M", "F", Differs, nil}, {TraitSex, "F", "UN", Compatible, nil},
		{TraitSex, "I", "M", Compatible, nil}, {TraitSex, "U", "U", Same, nil}, {TraitSex, "", "M", Absent, nil},
		// Places.
		{TraitBirthPlace, "29999", "29999", Same, nil},
		{TraitBirthPlace, "2a999", "2A999", Same, nil},
		{TraitBirthPlace, "20999", "2A999", Compatible, nil}, // Corsica before 1976
		{TraitBirthPlace, "2B999", "20999", Compatible, nil},
		{TraitBirthPlace, "2A999", "2B999", Differs, nil},
		{TraitBirthPlace, "20998", "2A999", Differs, nil},
		{TraitBirthPlace, "75012", "92012", Compatible, nil}, // Seine before 1968
		{TraitBirthPlace, "78499", "95499", Compatible, nil},
		{TraitBirthPlace, "75056", "75115", Compatible, nil}, // Paris and one of its arrondissements
		{TraitBirthPlace, "69123", "69388", Compatible, nil},
		{TraitBirthPlace, "13055", "13201", Compatible, nil},
		{TraitBirthPlace, "75056", "75999", Compatible, func(p *greffe.Patient, v string) { p.BirthPlace = strings.Replace(v, "75999", "75101", 1) }},
		{TraitBirthPlace, "99352", "91352", Compatible, nil}, // abroad, with the number of a former department
		{TraitBirthPlace, "99352", "99351", Differs, nil},
		{TraitBirthPlace, "99999", "29999", Compatible, nil}, // not known
		{TraitBirthPlace, "QUIMPER", "29232", Compatible, nil},
		{TraitBirthPlace, "29232", "29233", Differs, nil},
		// Numbers.
		{TraitINS, "285022999907751", "2 85 02 29 999 077 51", Same, nil},
		{TraitINS, "155082A99912348", "155082a99912348", Same, nil},
		{TraitINS, "285022999907751", "2850229999077", Compatible, nil}, // without its key
		{TraitINS, "285022999907751", "172119999905581", Differs, nil},
		{TraitINS, "", "285022999907751", Absent, nil},
		{TraitLocalID, "77", "77", Same, func(p *greffe.Patient, v string) { p.IDs = local(v) }},
		{TraitLocalID, "77", "78", Differs, func(p *greffe.Patient, v string) { p.IDs = local(v) }},
		{TraitLocalID, "77", "", Absent, func(p *greffe.Patient, v string) { p.IDs = local(v) }},
	} {
		p, q := patient(OIDNIRTest), patient(OIDNIRTest)
		change := c.change
		if change == nil {
			change = func(p *greffe.Patient, v string) { setTrait(p, c.trait, v) }
		}
		change(&p, c.a)
		change(&q, c.b)
		for _, got := range []Comparison{Compare(p, q), Compare(q, p)} {
			if l := got.Of(c.trait); l.Is != c.is {
				t.Errorf("%s: %q and %q are %s, want %s", c.trait, c.a, c.b, l.Is, c.is)
			}
		}
	}
}

func setTrait(p *greffe.Patient, t Trait, v string) {
	switch t {
	case TraitINS:
		p.INS.Extension, p.IDs = v, []greffe.OID{{Root: OIDNIRTest, Extension: v}}
	case TraitBirthFamily:
		p.BirthFamily = v
	case TraitFirstGiven:
		p.FirstGiven, p.Givens = v, ""
	case TraitGivens:
		p.Givens = v
	case TraitBirthDate:
		p.BirthDate = v
	case TraitSex:
		p.Sex = v
	case TraitBirthPlace:
		p.BirthPlace = v
	}
}

// TestMatch adds the traits up: whom two descriptions may be.
func TestMatch(t *testing.T) {
	t.Parallel()
	noINS := func(p *greffe.Patient) { p.INS, p.IDs = greffe.OID{}, nil }
	for name, c := range map[string]struct {
		change func(p, q *greffe.Patient)
		match  Match
		differ string
	}{
		"same":                {func(p, q *greffe.Patient) {}, MatchStrict, ""},
		"other case":          {func(p, q *greffe.Patient) { q.FirstGiven, q.BirthFamily = "Maëlle", "Essai-Kervella" }, MatchStrict, ""},
		"same, other OID":     {func(p, q *greffe.Patient) { q.INS.Root, q.IDs[1].Root = OIDNIR, OIDNIR }, MatchUnproven, ""},
		"a trait is not said": {func(p, q *greffe.Patient) { q.BirthPlace = "" }, MatchINS, ""},
		"a hyphen":            {func(p, q *greffe.Patient) { q.BirthFamily = "ESSAI KERVELLA" }, MatchINS, ""},
		"only the number":     {func(p, q *greffe.Patient) { *q = greffe.Patient{INS: p.INS, IDs: p.IDs} }, MatchINS, ""},
		"only the name":       {func(p, q *greffe.Patient) { *q = greffe.Patient{BirthFamily: "ESSAI-KERVELLA"} }, MatchUnproven, ""},
		"nothing":             {func(p, q *greffe.Patient) { *q = greffe.Patient{} }, MatchUnproven, ""},
		// Never a match on name and birth date alone, nor on all traits without a number.
		"name and birth date": {func(p, q *greffe.Patient) { noINS(q) }, MatchUnproven, ""},
		"all traits, no INS on either side": {func(p, q *greffe.Patient) {
			noINS(p)
			noINS(q)
		}, MatchUnproven, ""},
		"other number, all traits the same": {func(p, q *greffe.Patient) { setTrait(q, TraitINS, "172119999905581") }, MatchNone, "le matricule INS"},
		"two numbers on one side": {func(p, q *greffe.Patient) {
			q.IDs = append(slices.Clone(q.IDs), greffe.OID{Root: OIDNIRTest, Extension: "172119999905581"})
		}, MatchNone, "le matricule INS"},
		"same number, other name":       {func(p, q *greffe.Patient) { q.BirthFamily = "AUTRE" }, MatchNone, "le nom"},
		"same number, other sex, place": {func(p, q *greffe.Patient) { q.Sex, q.BirthPlace = "M", "51215" }, MatchNone, "le sexe et le lieu de naissance"},
		"another patient altogether": {func(p, q *greffe.Patient) {
			setTrait(q, TraitINS, "172119999905581")
			q.BirthFamily, q.FirstGiven, q.Givens, q.Sex, q.BirthDate, q.BirthPlace = "FICTIVO", "JOAO", "JOAO PEDRO", "M", "19721130", "99999"
		}, MatchNone, "le matricule INS, le nom, le premier prénom, la liste des prénoms, la date de naissance et le sexe"},
		"twins at birth": {func(p, q *greffe.Patient) {
			noINS(q)
			q.FirstGiven, q.Givens = "MAELYS", "MAELYS ANNE"
		}, MatchNone, "le premier prénom et la liste des prénoms"},
		"other local id, same INS":       {func(p, q *greffe.Patient) { q.IDs[0].Extension = "78" }, MatchStrict, "l’identifiant local (IPP)"},
		"other local id, no INS":         {func(p, q *greffe.Patient) { noINS(q); q.IDs = []greffe.OID{{Root: "1.2.3", Extension: "78"}} }, MatchNone, "l’identifiant local (IPP)"},
		"married name only, on one side": {func(p, q *greffe.Patient) { q.BirthFamily, q.UsedFamily = "", "MARTINEAU" }, MatchINS, ""},
		"names in use only, different": {func(p, q *greffe.Patient) {
			p.BirthFamily, p.UsedFamily, q.BirthFamily, q.UsedFamily = "", "ESSAI", "", "MARTINEAU"
		}, MatchNone, "le nom"},
		"name in use is that of birth": {func(p, q *greffe.Patient) { q.BirthFamily, q.UsedFamily = "", "Essai Kervella" }, MatchINS, ""},
		"only a list of given names":   {func(p, q *greffe.Patient) { q.FirstGiven = "" }, MatchINS, ""},
		"compound name cut in two": {func(p, q *greffe.Patient) {
			p.FirstGiven, p.Givens, q.FirstGiven, q.Givens = "JEAN", "JEAN PIERRE MARIE", "JEAN-PIERRE", "JEAN-PIERRE MARIE"
		}, MatchINS, ""},
	} {
		p, q := patient(OIDNIRTest), patient(OIDNIRTest)
		c.change(&p, &q)
		for _, got := range []Comparison{Compare(p, q), Compare(q, p)} {
			if got.Match() != c.match || got.Which(Differs) != c.differ || got.Contradicts() != (c.match == MatchNone) {
				t.Errorf("%s: %s, differs %q; want %s, %q", name, got.Match(), got.Which(Differs), c.match, c.differ)
			}
			for _, l := range got {
				if l.Trait.Name() == "" || l.Is.Text() == "" {
					t.Errorf("line %+v has no words", l)
				}
			}
		}
	}
}

// TestAgree: a document and its metadata.
func TestAgree(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*greffe.Patient)
		rule   string
		says   string
	}{
		"same":             {func(*greffe.Patient) {}, "", ""},
		"less is known":    {func(p *greffe.Patient) { *p = greffe.Patient{BirthFamily: "ESSAI-KERVELLA"} }, "", ""},
		"nothing is known": {func(p *greffe.Patient) { *p = greffe.Patient{} }, "", ""},
		"other local id":   {func(p *greffe.Patient) { p.IDs[0].Extension = "78" }, "", ""},
		"other INS":        {func(p *greffe.Patient) { setTrait(p, TraitINS, "172119999905581") }, "ins.conflict", "le matricule INS"},
		"other birth date": {func(p *greffe.Patient) { p.BirthDate = "19850215" }, "ins.conflict", "la date de naissance"},
		"other spelling":   {func(p *greffe.Patient) { p.BirthFamily = "ESSAI KERVELLA" }, "ins.spelling", "le nom"},
	} {
		p, q := patient(OIDNIRTest), patient(OIDNIRTest)
		c.change(&q)
		for _, findings := range [][]greffe.Finding{Agree(p, q, "1"), Agree(q, p, "1")} {
			ids := rules(t, findings)
			if c.rule == "" && len(ids) > 0 || c.rule != "" && !slices.Equal(ids, []string{c.rule}) {
				t.Errorf("%s: %v", name, findings)
			}
			for _, f := range findings {
				if !strings.Contains(f.Text, c.says) || strings.Contains(f.Text, q.INS.Extension) {
					t.Errorf("%s: %q does not say %q, or names the patient", name, f.Text, c.says)
				}
			}
		}
	}
}
