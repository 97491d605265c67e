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
	ruleRPPS      = rule("ins.rpps", greffe.Warning, "Le numéro RPPS %s est faux (chiffre de contrôle).", "Annuaire Santé, RPPS")
	ruleADELI     = rule("ins.adeli", greffe.Warning, "Le numéro ADELI %s est mal formé (9 caractères attendus).", "Annuaire Santé, ADELI")
	ruleFINESS    = rule("ins.finess", greffe.Warning, "Le numéro FINESS %s est faux (chiffre de contrôle).", "FINESS")
	ruleSIREN     = rule("ins.siren", greffe.Warning, "Le numéro SIREN %s est faux (chiffre de contrôle).", "INSEE, Sirene")
	ruleSIRET     = rule("ins.siret", greffe.Warning, "Le numéro SIRET %s est faux (chiffre de contrôle).", "INSEE, Sirene")
	ruleNational  = rule("ins.national", greffe.Warning, "L’identifiant national de professionnel « %s » n’a pas une forme connue.", "CI-SIS, identifiants IDNPS (PS_IdNat)")
	ruleStructure = rule("ins.structure", greffe.Info, "L’identifiant national de structure « %s » n’a pas la longueur qu’annonce son premier chiffre.", "CI-SIS, identifiants IDNST (Struct_IdNat)")
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
			findings = append(findings, rule.At(where, strings.ToValidUTF8(number, "\uFFFD")))
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

// register is one of the registers that a national id begins with a digit for.
type register struct {
	rule greffe.Rule
	size int
	ok   func(number string) bool
}

var (
	rpps   = register{ruleRPPS, 11, Luhn}
	adeli  = register{ruleADELI, 9, adeliShape}
	finess = register{ruleFINESS, 9, finessKey}
	siren  = register{ruleSIREN, 9, Luhn}
	siret  = register{ruleSIRET, 14, siretKey}
	rang   = register{ruleRPPS, 13, func(n string) bool { return Luhn(n[:11]) }} // a practice: RPPS and rank
)

// persons and structures are the registers by the first digit of PS_IdNat and
// Struct_IdNat. What follows a "/" is a local number inside the structure.
var (
	persons    = map[byte]register{'0': adeli, '1': adeli, '3': finess, '4': siren, '5': siret, '6': rpps, '8': rpps}
	structures = map[byte]register{'0': adeli, '1': finess, '2': siren, '3': siret, '4': rang}
)

// broken returns the rule that the id of a register breaks, and the number to show; ""
// when it breaks none or is of another register.
func broken(id greffe.OID) (greffe.Rule, string) {
	whole := strings.Join(strings.Fields(id.Extension), "")
	ext, local, inside := strings.Cut(whole, "/")
	if ext == "" || id.Root != OIDPersons && id.Root != OIDStructures {
		return greffe.Rule{}, ""
	}
	known, rule := persons, ruleNational
	if id.Root == OIDStructures {
		known, rule = structures, ruleStructure
	}
	number := ext[1:]
	r, ok := known[ext[0]]
	switch {
	case ok && len(number) == r.size:
		return unless(r.ok(number), r.rule, number)
	case ok && inside && local != "" && len(number) >= r.size:
		return unless(r.ok(number[:r.size]), r.rule, number[:r.size]) // a rank or key may follow
	case id.Root == OIDPersons && len(ext) == rpps.size && !inside: // some senders write the bare number
		return unless(Luhn(ext), ruleRPPS, ext)
	case id.Root == OIDStructures && len(ext) == finess.size && !inside && finessKey(ext):
		return greffe.Rule{}, ""
	case id.Root == OIDStructures && (!ok || inside || !digits(ext)):
		return greffe.Rule{}, "" // technical ids have no prefix and no common shape
	}
	return rule, whole
}

// adeliShape checks the department, which may be Corsican, and seven digits. No rule for
// its key is published.
func adeliShape(n string) bool { return digits(uncorsican(n)) }

// finessKey checks the check digit; the letter of Corsica keeps it from being computed.
func finessKey(n string) bool {
	if corsican(n) {
		return digits(uncorsican(n))
	}
	return Luhn(n)
}

// siretKey checks the check digit. La Poste has more establishments than check digits:
// theirs add up to a multiple of five.
func siretKey(n string) bool {
	if Luhn(n) {
		return true
	}
	sum := 0
	for i := range len(n) {
		sum += int(n[i] - '0')
	}
	return strings.HasPrefix(n, "356000000") && digits(n) && sum%5 == 0
}

func digits(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

func corsican(n string) bool {
	n = strings.ToUpper(n)
	return strings.HasPrefix(n, "2A") || strings.HasPrefix(n, "2B")
}

func uncorsican(n string) string {
	if corsican(n) {
		return "20" + n[2:]
	}
	return n
}

func unless(ok bool, rule greffe.Rule, number string) (greffe.Rule, string) {
	if ok {
		return greffe.Rule{}, ""
	}
	return rule, number
}
