package ins

import (
	"errors"
	"strconv"
	"strings"

	"greffe/pkg/greffe"
)

const (
	insGuide = "Référentiel INS (matricule, OID et traits)"
	rniv     = "RNIV, traits stricts ; CI-SIS, Transmission au LPS, code 905"
)

// Rules about the patient.
var (
	ruleMissing     = greffe.Rule{ID: "ins.missing", Severity: greffe.Hold, Text: "Le document ne porte pas d’INS : une personne doit retrouver le patient.", Source: "CI-SIS, Transmission au LPS, code 903"}
	ruleTwo         = greffe.Rule{ID: "ins.two", Severity: greffe.Hold, Text: "Le document porte deux INS différents pour le patient.", Source: insGuide}
	ruleEnvironment = greffe.Rule{ID: "ins.environment", Severity: greffe.Hold, Text: "L’INS n’est pas du bon environnement : %s reçu sur une installation %s.", Source: insGuide}
	ruleSyntax      = greffe.Rule{ID: "ins.syntax", Severity: greffe.Hold, Text: "Le matricule INS est mal formé (15 caractères attendus).", Source: insGuide}
	ruleKey         = greffe.Rule{ID: "ins.key", Severity: greffe.Hold, Text: "La clé du matricule INS est fausse : c’est sans doute une faute de frappe.", Source: insGuide}
	ruleKeyTest     = greffe.Rule{ID: "ins.key.test", Severity: greffe.Warning, Text: "La clé de ce matricule INS de test est fausse.", Source: insGuide}
	ruleTraits      = greffe.Rule{ID: "ins.traits", Severity: greffe.Hold, Text: "L’INS n’est pas accompagné de ses cinq traits stricts ; il manque : %s.", Source: rniv}
	ruleConflict    = greffe.Rule{ID: "ins.conflict", Severity: greffe.Hold, Text: "Deux descriptions du patient se contredisent sur %s.", Source: "MSSanté, Référentiel socle n° 2, ECO.2.1.1"}
	ruleBirth       = greffe.Rule{ID: "ins.birth", Severity: greffe.Warning, Text: "L’année ou le mois de naissance ne correspond pas au matricule INS.", Source: "Greffe"}
	ruleSex         = greffe.Rule{ID: "ins.sex", Severity: greffe.Warning, Text: "Le sexe ne correspond pas au matricule INS.", Source: "Greffe"}
)

// Check returns what is wrong with the identity of the patient of one document,
// where environment is that of the installation. No finding means that the document
// may be matched by its INS; it never means that the identity is right.
func Check(p greffe.Patient, environment Environment, where string) []greffe.Finding {
	var findings []greffe.Finding
	add := func(r greffe.Rule, args ...any) { findings = append(findings, r.At(where, args...)) }

	id := p.INS
	for _, other := range p.IDs {
		switch {
		case KindOf(other.Root) == "" || other.Extension == "":
		case id.IsZero():
			id = other
		case !strings.EqualFold(other.Extension, id.Extension):
			add(ruleTwo)
			return findings // nothing more can be said about either
		}
	}
	if id.Extension == "" || KindOf(id.Root) == "" {
		add(ruleMissing)
		return findings
	}
	if kind := KindOf(id.Root); !environment.Accepts(kind) {
		add(ruleEnvironment, kind, environment.name())
	}
	ins, err := Parse(id)
	switch {
	case errors.Is(err, ErrKey) && ins.Kind.Production():
		add(ruleKey)
	case errors.Is(err, ErrKey):
		add(ruleKeyTest)
	case err != nil:
		add(ruleSyntax)
	}
	if missing := missingTraits(p); missing != "" {
		add(ruleTraits, missing)
	}
	if err == nil {
		if !ins.sameBirth(p.BirthDate) {
			add(ruleBirth)
		}
		if !ins.sameSex(p.Sex) {
			add(ruleSex)
		}
	}
	return findings
}

func (e Environment) name() string {
	if e == Production {
		return "de production"
	}
	return "de test"
}

// missingTraits lists in French the strict traits that p lacks; "" when
// p.HasTraits() holds.
func missingTraits(p greffe.Patient) string {
	var missing []string
	for _, t := range []struct {
		ok   bool
		what string
	}{
		{p.BirthFamily != "", "le nom de naissance"},
		{p.FirstGiven != "", "le premier prénom de naissance"},
		{p.Givens != "", "la liste des prénoms de naissance"},
		{len(p.BirthDate) == 8, "la date de naissance complète"},
		{p.Sex != "", "le sexe"},
		{p.BirthPlace != "", "le code du lieu de naissance"},
	} {
		if !t.ok {
			missing = append(missing, t.what)
		}
	}
	return strings.Join(missing, ", ")
}

// sameBirth compares year and month with the matricule. A month of the matricule
// above 12 is a convention for unknown dates and compares with nothing.
func (i INS) sameBirth(date string) bool {
	if len(date) < 6 {
		return true
	}
	month, _ := strconv.Atoi(i.Matricule[3:5])
	return date[2:4] == i.Matricule[1:3] && (month > 12 || date[4:6] == i.Matricule[3:5])
}

// sameSex compares the sex with the first digit, for registered people only.
func (i INS) sameSex(sex string) bool {
	switch {
	case sex == "M" && i.Matricule[0] == '2', sex == "F" && i.Matricule[0] == '1':
		return false
	}
	return true
}

// Rules returns every rule of this package.
func Rules() []greffe.Rule {
	return []greffe.Rule{
		ruleMissing, ruleTwo, ruleEnvironment, ruleSyntax, ruleKey, ruleKeyTest, ruleTraits, ruleConflict, ruleBirth, ruleSex,
		ruleRPPS, ruleFINESS, ruleSIREN, ruleSIRET, ruleNational,
	}
}
