package ins

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"greffe/pkg/greffe"
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
		case squeeze(other.Extension) != squeeze(id.Extension):
			add(ruleTwo)
			return findings // nothing more can be said about either
		}
	}
	for _, r := range others(p, id) {
		add(r)
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
	case errors.Is(err, ErrNoKey):
		add(ruleNoKey)
	case err != nil:
		add(ruleSyntax)
	}
	if err == nil {
		if ins.Matricule != id.Extension {
			add(ruleForm)
		}
		if ins.provisional() && ins.Kind != NIA {
			add(ruleProvisional)
		}
	}
	if missing := missingTraits(p); missing != "" {
		add(ruleTraits, missing)
	}
	for _, r := range oddTraits(p) {
		add(r)
	}
	if err == nil {
		if !ins.sameBirth(p.BirthDate) {
			add(ruleBirth)
		}
		if !ins.sameSex(p.Sex) {
			add(ruleSex)
		}
		if comparePlace(ins.Matricule[5:10], p.BirthPlace) == Differs {
			add(ruleBorn)
		}
	}
	return findings
}

// Agree compares what a document and its metadata say about the patient, and returns a
// finding when they cannot be one person, or when they do not write a trait the same way.
// What one of them lacks is no conflict.
func Agree(metadata, document greffe.Patient, where string) []greffe.Finding {
	c := Compare(metadata, document)
	if c.Contradicts() {
		return []greffe.Finding{ruleConflict.At(where, c.Which(Differs))}
	}
	if what := c.Which(Compatible); what != "" {
		return []greffe.Finding{ruleSpelling.At(where, what)}
	}
	return nil
}

// obsolete are the OIDs of the abandoned INS-C: production, test, demonstration.
var obsolete = []string{"1.2.250.1.213.1.4.2", "1.2.250.1.213.1.4.6", "1.2.250.1.213.1.4.7"}

// others returns what is worth saying about the ids beside the INS, each rule once.
func others(p greffe.Patient, id greffe.OID) []greffe.Rule {
	var odd, old bool
	for _, o := range p.IDs {
		switch {
		case KindOf(o.Root) != "":
		case slices.Contains(obsolete, o.Root):
			old = true
		case squeeze(o.Extension) != squeeze(id.Extension):
			// An order or a stay has 15 digits, too, but not the right key.
			_, err := Parse(greffe.OID{Root: OIDNIR, Extension: o.Extension})
			odd = odd || err == nil
		}
	}
	var rules []greffe.Rule
	if odd {
		rules = append(rules, ruleOID)
	}
	if old {
		rules = append(rules, ruleObsolete)
	}
	return rules
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

// oddTraits returns the rules that the traits break by themselves.
func oddTraits(p greffe.Patient) []greffe.Rule {
	var rules []greffe.Rule
	if p.FirstGiven != "" && p.Givens != "" && !startsList(p.Givens, p.FirstGiven) {
		rules = append(rules, ruleGiven)
	}
	if len(p.BirthDate) == 8 && !onCalendar(p.BirthDate) {
		rules = append(rules, ruleDate)
	}
	if p.BirthPlace != "" && !isCOG(strings.ToUpper(p.BirthPlace)) {
		rules = append(rules, rulePlace)
	}
	return rules
}

// onCalendar reports whether a date of eight characters exists, where 00 is a day or a
// month that is not known.
func onCalendar(date string) bool {
	year, month, day := date[:4], date[4:6], date[6:]
	if month == "00" {
		month = "01"
	}
	if day == "00" {
		day = "01"
	}
	_, err := time.Parse("20060102", year+month+day)
	return err == nil
}

// sameBirth compares year and month with the matricule. A month of the matricule
// above 12 is a convention for unknown dates and compares with nothing, nor does a month
// of the date that is not known.
func (i INS) sameBirth(date string) bool {
	if len(date) < 6 {
		return true
	}
	month, _ := strconv.Atoi(i.Matricule[3:5])
	return date[2:4] == i.Matricule[1:3] && (month > 12 || date[4:6] == "00" || date[4:6] == i.Matricule[3:5])
}

// sameSex compares the sex with the first digit, for registered people only.
func (i INS) sameSex(sex string) bool {
	switch {
	case sex == "M" && i.Matricule[0] == '2', sex == "F" && i.Matricule[0] == '1':
		return false
	}
	return true
}
