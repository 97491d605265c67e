package codes

import (
	"strings"

	"greffe/pkg/greffe"
)

const source = "CI-SIS, nomenclatures des objets de santé (JDV)"

// Rules about codes.
var (
	ruleUnknown = greffe.Rule{ID: "codes.unknown", Severity: greffe.Warning, Text: "Le code « %s » (%s) n’est pas dans le jeu de valeurs %s, version du %s.", Source: source}
	ruleSystem  = greffe.Rule{ID: "codes.system", Severity: greffe.Warning, Text: "Le code « %s » (%s) est dans le jeu de valeurs %s, version du %s, mais avec un autre système de codage.", Source: source}
	ruleAlias   = greffe.Rule{ID: "codes.alias", Severity: greffe.Warning, Text: "Le code de masquage « %s » n’est pas celui du jeu de valeurs ; il a été lu comme « %s ».", Source: source + ", JDV_J08"}
	ruleEnded   = greffe.Rule{ID: "codes.ended", Severity: greffe.Info, Text: "Le code « %s » (%s) n’est plus dans le jeu de valeurs %s, version du %s.", Source: source}
)

// Rules returns every rule of this package.
func Rules() []greffe.Rule { return []greffe.Rule{ruleUnknown, ruleSystem, ruleAlias, ruleEnded} }

// Complete gives the codes of a document the labels that it lacks, and the class that
// follows from its kind when nothing gave one. It returns what is wrong with the codes,
// each code once, as findings about where. Call it when the document has all its codes:
// those of the CDA header and those of METADATA.XML.
func Complete(d *greffe.Document, where string) []greffe.Finding {
	c := checker{where: where}
	c.check("type de document", &d.Type, typeCode)
	if d.Class.Code == "" {
		d.Class = ClassOf(d.Type)
	}
	c.check("classe de document", &d.Class, classCode)
	for i := range d.Confidentiality {
		c.unmask(&d.Confidentiality[i])
		c.check("confidentialité", &d.Confidentiality[i], headerLevel, confidentiality)
	}
	c.check("type d’établissement", &d.Facility, facility)
	c.check("cadre d’exercice", &d.Practice, practice)
	c.check("type de prise en charge", &d.EncounterType, encounter)
	for i := range d.Authors {
		c.check("spécialité de l’auteur", &d.Authors[i].Specialty, specialty)
		c.check("rôle de l’auteur", &d.Authors[i].Function, function)
	}
	if sex := (greffe.Code{Code: d.Patient.Sex, System: genderSystem}); sex.Code != "" {
		c.check("sexe du patient", &sex, gender)
	}
	// Signers and recipients are no professionals of that set alone: their label is
	// completed, their code is not judged.
	people := []*greffe.Person{&d.Signer}
	for i := range d.Recipients {
		people = append(people, &d.Recipients[i])
	}
	for _, p := range people {
		if k, ok := sets()[specialty].find(p.Specialty); ok && p.Specialty.Label == "" {
			p.Specialty.Label = k.label
		}
	}
	return c.findings
}

// unmask reads a masking code by the names that it is met under as the one of JDV_J08: no
// mask may be lost over the way it is written.
func (c *checker) unmask(code *greffe.Code) {
	name := strings.ToUpper(strings.TrimSpace(code.Code))
	if name == "INVISIBLE_REP_LEGAUX" { // HL7 v2, MetaDMPMSS
		name = greffe.HiddenFromGuardians
	}
	switch name {
	case greffe.MaskedToProfessionals, greffe.HiddenFromPatient, greffe.HiddenFromGuardians:
		if name != code.Code {
			c.findings = append(c.findings, ruleAlias.At(c.where, clip(code.Code), name))
			code.Code = name
		}
	}
}

// checker gathers what is wrong.
type checker struct {
	where    string
	findings []greffe.Finding
}

// check completes and checks a code against the sets that it may come from.
func (c *checker) check(what string, code *greffe.Code, names ...string) {
	if code.Code == "" {
		return
	}
	var k concept
	var s *set
	ok := false
	for _, name := range names {
		if s = sets()[name]; !ok {
			k, ok = s.find(*code)
		}
		if ok {
			break
		}
	}
	if ok && strings.TrimSpace(code.Label) == "" {
		code.Label = k.label
	}
	switch {
	case !ok:
		c.add(ruleUnknown, what, code, s)
	case k.ended:
		c.add(ruleEnded, what, code, s)
	case code.System != "" && code.System != k.system:
		c.add(ruleSystem, what, code, s)
	}
}

func (c *checker) add(r greffe.Rule, what string, code *greffe.Code, s *set) {
	day := s.version[8:] + "/" + s.version[5:7] + "/" + s.version[:4]
	f := r.At(c.where, clip(code.Code), what, s.name, day)
	for _, g := range c.findings {
		if g == f {
			return
		}
	}
	c.findings = append(c.findings, f)
}

// clip shortens a code for a sentence: it comes from outside.
func clip(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}
