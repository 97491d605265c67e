package ins

import (
	"strings"

	"greffe/pkg/greffe"
)

// OIDs of the national registers of persons (IDNPS) and structures (IDNST),
// domain §7.
const (
	OIDPersons    = "1.2.250.1.71.4.2.1"
	OIDStructures = "1.2.250.1.71.4.2.2"
)

// Rules about professionals and structures. They are warnings at most: official
// examples break them, and they do not endanger the patient.
var (
	ruleRPPS     = greffe.Rule{ID: "ins.rpps", Severity: greffe.Warning, Text: "Le numéro RPPS %s est faux (chiffre de contrôle).", Source: "Annuaire Santé, RPPS"}
	ruleFINESS   = greffe.Rule{ID: "ins.finess", Severity: greffe.Warning, Text: "Le numéro FINESS %s est faux (chiffre de contrôle).", Source: "FINESS"}
	ruleSIREN    = greffe.Rule{ID: "ins.siren", Severity: greffe.Warning, Text: "Le numéro SIREN %s est faux (chiffre de contrôle).", Source: "INSEE, Sirene"}
	ruleSIRET    = greffe.Rule{ID: "ins.siret", Severity: greffe.Warning, Text: "Le numéro SIRET %s est faux (chiffre de contrôle).", Source: "INSEE, Sirene"}
	ruleNational = greffe.Rule{ID: "ins.national", Severity: greffe.Warning, Text: "L’identifiant national %s n’a pas une forme connue.", Source: "CI-SIS, identifiants IDNPS et IDNST"}
)

// Luhn reports whether the digits end with the right check digit (mod 10). It is
// false for anything but digits.
func Luhn(digits string) bool {
	sum := 0
	for i := range len(digits) {
		c := digits[len(digits)-1-i]
		if c < '0' || c > '9' {
			return false
		}
		d := int(c - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return digits != "" && sum%10 == 0
}

// CheckRegisters returns what is wrong with the national numbers of the authors, the
// signer, the recipients and the custodian of a document, each number once.
func CheckRegisters(d *greffe.Document, where string) []greffe.Finding {
	var findings []greffe.Finding
	seen := make(map[greffe.OID]bool)
	check := func(id greffe.OID) {
		if id.Extension == "" || seen[id] {
			return
		}
		seen[id] = true
		if rule, number := broken(id); number != "" {
			findings = append(findings, rule.At(where, number))
		}
	}
	for _, list := range [][]greffe.Person{d.Authors, {d.Signer}, d.Recipients} {
		for _, p := range list {
			check(p.ID)
			check(p.Organization.ID)
		}
	}
	check(d.Custodian.ID)
	return findings
}

// broken returns the rule that the id of a register breaks, and the bare number; ""
// when it breaks none or is of another register.
func broken(id greffe.OID) (greffe.Rule, string) {
	ext := strings.Join(strings.Fields(id.Extension), "")
	if strings.Contains(ext, "/") {
		return greffe.Rule{}, "" // local id inside a structure
	}
	switch id.Root {
	case OIDPersons:
		switch {
		case len(ext) == 12 && ext[0] == '8':
			return unless(Luhn(ext[1:]), ruleRPPS, ext[1:])
		case len(ext) == 11: // some senders write the bare RPPS
			return unless(Luhn(ext), ruleRPPS, ext)
		case len(ext) == 10 && ext[0] == '0': // ADELI: no key is published
			return greffe.Rule{}, ""
		}
		return ruleNational, ext
	case OIDStructures:
		number := ext[min(1, len(ext)):]
		switch {
		case len(ext) == 10 && ext[0] == '1' && corsican(number):
			return greffe.Rule{}, ""
		case len(ext) == 10 && ext[0] == '1':
			return unless(Luhn(number), ruleFINESS, number)
		case len(ext) == 10 && ext[0] == '2':
			return unless(Luhn(number), ruleSIREN, number)
		case len(ext) == 15 && ext[0] == '3':
			// La Poste numbers its establishments without the check digit.
			return unless(Luhn(number) || strings.HasPrefix(number, "356000000"), ruleSIRET, number)
		}
		// Technical ids have no prefix and no common shape.
	}
	return greffe.Rule{}, ""
}

// corsican reports whether a FINESS number is of Corsica, where the letter keeps the
// check digit from being computed.
func corsican(finess string) bool {
	return strings.HasPrefix(finess, "2A") || strings.HasPrefix(finess, "2B")
}

func unless(ok bool, rule greffe.Rule, number string) (greffe.Rule, string) {
	if ok {
		return greffe.Rule{}, ""
	}
	return rule, number
}
