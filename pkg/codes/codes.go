// Package codes knows the value sets that French documents are coded with: the kind of
// document, its class, its confidentiality, the kind of facility, the setting, the
// specialty and role of the author, the kind of stay, the sex of the patient. It gives a
// code its French label and says which codes it does not know.
//
// The sets are data (sets.tsv), taken from those that the Agence du Numérique en Santé
// publishes at https://mos.esante.gouv.fr/NOS, each with its OID and the date of its
// version. They change several times a year, and senders are not bound to wait for us: a
// code that is not known is a warning, never more. A kind of document also has the class
// that it belongs to, from the association table ASS_X04 (OID 1.2.250.1.213.1.1.4.249,
// version of 2024-02-23); kinds that this table still has and JDV_J07 has no more are kept
// and marked as ended.
//
// It uses neither network nor disk and has no state but the sets, read once. Its functions
// may be called by several goroutines at once.
package codes

import (
	_ "embed"
	"strings"
	"sync"

	"greffe/pkg/greffe"
)

//go:embed sets.tsv
var data string

// Names of the sets.
const (
	typeCode        = "JDV_J07_XdsTypeCode_CISIS"
	classCode       = "JDV_J06_XdsClassCode_CISIS"
	confidentiality = "JDV_J08_XdsConfidentialityCode_CISIS"
	headerLevel     = "JDV_HL7_Confidentiality_CISIS" // what a CDA header may hold
	facility        = "JDV_J02_XdsHealthcareFacilityTypeCode_CISIS"
	practice        = "JDV_J04_XdsPracticeSettingCode_CISIS"
	specialty       = "JDV_J01_XdsAuthorSpecialty_CISIS"
	function        = "JDV_J47_FunctionCode_CISIS"
	encounter       = "JDV_J142_TypeRencontre_CISIS"
	gender          = "JDV_J143_AdministrativeGender_CISIS"
)

// Code systems.
const (
	classSystem  = "1.2.250.1.213.1.1.4.1" // TRE_A03_ClasseDocument
	genderSystem = "2.16.840.1.113883.5.1"
)

// set is one value set.
type set struct {
	name, oid string
	version   string // date of its last revision, YYYY-MM-DD
	concepts  map[string][]concept
}

// concept is one code of a set.
type concept struct {
	system string // OID
	label  string // French
	class  string // of a kind of document; "" when no table gives one
	ended  bool   // was in an earlier version of the set
}

// sets are all value sets by name. A line of the data that starts with # names a set, its
// OID and its version; the others give code, system, label, class and "ended".
var sets = sync.OnceValue(func() map[string]*set {
	all := make(map[string]*set)
	var s *set
	for line := range strings.Lines(data) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if f[0] == "#" {
			s = &set{name: f[1], oid: f[2], version: f[3], concepts: make(map[string][]concept)}
			all[s.name] = s
			continue
		}
		f = append(f, "", "")
		s.concepts[f[0]] = append(s.concepts[f[0]], concept{system: f[1], label: f[2], class: f[3], ended: f[4] != ""})
	}
	return all
})

// find returns the concept of a code: the one of its system, else the first.
func (s *set) find(c greffe.Code) (concept, bool) {
	all := s.concepts[c.Code]
	if len(all) == 0 {
		return concept{}, false
	}
	for _, k := range all {
		if k.system == c.System {
			return k, true
		}
	}
	return all[0], true
}

// ClassOf returns the class that the association table gives to a kind of document (XDS
// classCode from XDS typeCode), with its label; zero when the table does not have it. It is
// for documents whose metadata give no class: official archives differ from the table.
func ClassOf(kind greffe.Code) greffe.Code {
	k, ok := sets()[typeCode].find(kind)
	if !ok || k.class == "" {
		return greffe.Code{}
	}
	c := greffe.Code{Code: k.class, System: classSystem}
	class, _ := sets()[classCode].find(c)
	c.Label = class.label
	return c
}
