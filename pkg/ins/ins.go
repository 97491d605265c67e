// Package ins checks French identities: the INS of a patient (matricule, its key,
// its OID and the five strict traits) and the numbers of professionals and
// structures (RPPS, FINESS, SIREN, SIRET).
//
// It says whether an identity is well formed and complete, never whether it is
// true: only the national service INSi and the identity office of the hospital can
// tell. The package has no state and works on plain values.
//
// Outside the standard library it uses golang.org/x/text, for the canonical decomposition of
// Unicode by which names with and without accents are compared.
package ins

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"greffe/pkg/greffe"
)

// OIDs of the authorities that assign an INS (domain §6.1).
const (
	OIDNIR     = "1.2.250.1.213.1.4.8"  // INS-NIR, production
	OIDNIA     = "1.2.250.1.213.1.4.9"  // INS-NIA, production
	OIDNIRTest = "1.2.250.1.213.1.4.10" // INS-NIR, test
	OIDNIRDemo = "1.2.250.1.213.1.4.11" // INS-NIR, demonstration
)

// Kind is the kind of an INS. Its values are those of FR Core.
type Kind string

// Kinds of INS.
const (
	NIR     Kind = "INS-NIR"
	NIA     Kind = "INS-NIA"
	NIRTest Kind = "INS-NIR-TEST"
	NIRDemo Kind = "INS-NIR-DEMO"
)

// KindOf returns the kind of INS that the OID stands for; "" for any other OID, the
// abandoned INS-C included.
func KindOf(oid string) Kind {
	switch oid {
	case OIDNIR:
		return NIR
	case OIDNIA:
		return NIA
	case OIDNIRTest:
		return NIRTest
	case OIDNIRDemo:
		return NIRDemo
	}
	return ""
}

// Production reports whether the kind belongs to real people.
func (k Kind) Production() bool { return k == NIR || k == NIA }

// Environment says which INS an installation accepts. The empty value is Test: an
// installation that was not told otherwise refuses the identities of real people.
type Environment string

// Environments.
const (
	Production Environment = "production" // .8 and .9 only
	Test       Environment = "test"       // .10 and .11 only
	Any        Environment = "any"        // inspection of a file: all of them
)

// Accepts reports whether an INS of kind k belongs to the environment.
func (e Environment) Accepts(k Kind) bool {
	switch e {
	case Any:
		return k != ""
	case Production:
		return k.Production()
	}
	return k == NIRTest || k == NIRDemo
}

// INS is a national health identity without its traits.
type INS struct {
	Matricule string // 15 characters, upper-case, without blanks; 13 with ErrNoKey
	Kind      Kind
}

// Errors of Parse and Key, to be tested with errors.Is.
var (
	ErrOID    = errors.New("the OID is not that of an INS")
	ErrSyntax = errors.New("the matricule is not well formed")
	ErrKey    = errors.New("the key of the matricule is wrong")
	ErrNoKey  = errors.New("the key of the matricule is missing")
)

// Parse reads the INS in id. Blanks, dots and hyphens in the matricule are left out. A
// matricule whose key is wrong is returned together with ErrKey, one of 13 characters
// without its key together with ErrNoKey; with the other errors the INS is zero.
func Parse(id greffe.OID) (INS, error) {
	kind := KindOf(id.Root)
	if kind == "" {
		return INS{}, ErrOID
	}
	m := squeeze(id.Extension)
	if len(m) == 13 && wellFormed(m+"01") {
		return INS{Matricule: m, Kind: kind}, ErrNoKey
	}
	if !wellFormed(m) {
		return INS{}, ErrSyntax
	}
	i := INS{Matricule: m, Kind: kind}
	key, err := Key(m[:13])
	if err != nil {
		return INS{}, err
	}
	if key != m[13:] {
		return i, ErrKey
	}
	return i, nil
}

// squeeze writes a matricule as the standard does: upper-case, without the blanks, dots
// and hyphens that people put in to read it.
func squeeze(matricule string) string {
	return strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || unicode.IsSpace(r) {
			return -1
		}
		return unicode.ToUpper(r)
	}, matricule)
}

// provisional reports whether a matricule is a number given while a registration is
// under way: such a number is an NIA, never a NIR, and changes one day.
func (i INS) provisional() bool { return strings.ContainsRune("3478", rune(i.Matricule[0])) }

// wellFormed checks the shape of domain §6.2: sex, year, month, department and
// commune (digits, or 2A and 2B for Corsica), order number, key.
func wellFormed(m string) bool {
	if len(m) != 15 {
		return false
	}
	for i := range len(m) {
		c := m[i]
		if (c < '0' || c > '9') && (i != 6 || m[5] != '2' || c != 'A' && c != 'B') {
			return false
		}
	}
	switch m[0] {
	case '1', '2', '3', '4', '7', '8': // 3, 4, 7 and 8 while a registration is under way
	default:
		return false
	}
	month, _ := strconv.Atoi(m[3:5])
	if month < 1 || month > 12 && month < 20 || month > 42 && month < 50 {
		return false
	}
	key, _ := strconv.Atoi(m[13:])
	return key >= 1 && key <= 97
}

// Key returns the two digits that check the first 13 characters of a matricule:
// 97 − (N mod 97), where 2A counts as 19 and 2B as 18 (domain §6.2). The error is
// ErrSyntax.
func Key(s13 string) (string, error) {
	if len(s13) != 13 {
		return "", ErrSyntax
	}
	b := []byte(s13)
	if b[5] == '2' {
		switch b[6] {
		case 'A', 'a':
			b[5], b[6] = '1', '9'
		case 'B', 'b':
			b[5], b[6] = '1', '8'
		}
	}
	n := uint64(0)
	for _, c := range b {
		if c < '0' || c > '9' {
			return "", ErrSyntax
		}
		n = n*10 + uint64(c-'0')
	}
	return fmt.Sprintf("%02d", 97-n%97), nil
}
