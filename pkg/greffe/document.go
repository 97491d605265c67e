package greffe

import (
	"crypto/sha256"
	"encoding/base32"
	"strconv"
	"strings"
)

// Code is a coded value of a code system.
type Code struct {
	Code   string `json:"code"`
	System string `json:"system,omitempty"` // OID
	Label  string `json:"label,omitempty"`
}

// OID is an instance identifier as CDA writes it: II of HL7 data types.
type OID struct {
	Root      string `json:"root"`
	Extension string `json:"extension,omitempty"`
}

// String returns root, or root^extension (the XDS form of a uniqueId).
func (o OID) String() string {
	if o.Extension == "" {
		return o.Root
	}
	return o.Root + "^" + o.Extension
}

// IsZero reports whether o names nothing.
func (o OID) IsZero() bool { return o.Root == "" && o.Extension == "" }

// Action is what a document asks the DI to do (domain §4.4).
type Action string

// Actions.
const (
	ActionNew     Action = "new"
	ActionReplace Action = "replace"
	ActionDelete  Action = "delete"
)

// Format is the form of a document.
type Format string

// Formats.
const (
	FormatCDA1    Format = "cda-n1"  // header and an encapsulated file, usually PDF
	FormatCDA3    Format = "cda-n3"  // header and coded sections
	FormatPDF     Format = "pdf"     // no CDA: a person says whose it is
	FormatHPRIM   Format = "hprim"   // text, never attached by itself
	FormatImage   Format = "image"   // attached image that is not a logo
	FormatText    Format = "text"    // attached text
	FormatUnknown Format = "unknown" // kept, shown, decided by a person
)

// Formats lists every format, the richest first.
var Formats = []Format{FormatCDA3, FormatCDA1, FormatPDF, FormatHPRIM, FormatText, FormatImage, FormatUnknown}

// Person is an author, a signer or a recipient.
type Person struct {
	ID           OID    `json:"id,omitzero"` // root 1.2.250.1.71.4.2.1 for a national id (IDNPS)
	Family       string `json:"family,omitempty"`
	Given        string `json:"given,omitempty"`
	Prefix       string `json:"prefix,omitempty"`
	Specialty    Code   `json:"specialty,omitzero"`
	Function     Code   `json:"function,omitzero"` // role of an author (JDV_J47): préleveur, médecin traitant…
	Device       string `json:"device,omitempty"`  // software, when the author is not a person
	Organization Org    `json:"organization,omitzero"`
}

// Org is an organisation.
type Org struct {
	ID   OID    `json:"id,omitzero"` // root 1.2.250.1.71.4.2.2 for a national id (IDNST)
	Name string `json:"name,omitempty"`
}

// Patient is the person a document is about, as the document says it
// (CDA recordTarget, domain §5.3). Nothing in it was verified by Greffe.
type Patient struct {
	IDs         []OID  `json:"ids,omitempty"` // in document order
	INS         OID    `json:"ins,omitzero"`  // the one of IDs with an INS OID (domain §6.1)
	BirthFamily string `json:"birth_family,omitempty"`
	UsedFamily  string `json:"used_family,omitempty"`
	FirstGiven  string `json:"first_given,omitempty"` // first given name at birth
	Givens      string `json:"givens,omitempty"`      // all given names at birth, blanks between
	UsedGiven   string `json:"used_given,omitempty"`
	Sex         string `json:"sex,omitempty"`         // M, F, UN (JDV_J143)
	BirthDate   string `json:"birth_date,omitempty"`  // YYYYMMDD as received; shorter when only partly known
	BirthPlace  string `json:"birth_place,omitempty"` // INSEE COG

	Home PostalAddress `json:"home,omitzero"` // where the patient lives; never compared
}

// PostalAddress is an address as a document writes it (AD of HL7 data types). A
// document that gives only lines has the first in Street and the others in Other.
type PostalAddress struct {
	Street     string `json:"street,omitempty"` // number, type and name of the street
	Other      string `json:"other,omitempty"`  // building, locality
	City       string `json:"city,omitempty"`
	PostalCode string `json:"postal_code,omitempty"`
	Country    string `json:"country,omitempty"` // as written: a name or a code
}

// HasTraits reports whether the five strict traits are all there: birth family
// name, given names, birth date in full, sex and birth place (domain §6.1).
func (p Patient) HasTraits() bool {
	return p.BirthFamily != "" && p.FirstGiven != "" && p.Givens != "" &&
		len(p.BirthDate) == 8 && p.Sex != "" && p.BirthPlace != ""
}

// IsZero reports whether nothing is known about the patient.
func (p Patient) IsZero() bool {
	return len(p.IDs) == 0 && p.BirthFamily == "" && p.UsedFamily == "" && p.FirstGiven == "" && p.BirthDate == ""
}

// Document is one medical document of a message, with what its header says.
type Document struct {
	Format          Format   `json:"format"`
	UniqueID        OID      `json:"unique_id,omitzero"` // CDA id; zero without CDA
	SetID           OID      `json:"set_id,omitzero"`
	Version         int      `json:"version,omitempty"`
	Action          Action   `json:"action"`
	Replaces        OID      `json:"replaces,omitzero"` // parentDocument id of relatedDocument RPLC
	Type            Code     `json:"type,omitzero"`     // CDA code = XDS typeCode
	Class           Code     `json:"class,omitzero"`    // XDS classCode
	FormatCode      Code     `json:"format_code,omitzero"`
	Title           string   `json:"title,omitempty"`
	Language        string   `json:"language,omitempty"`
	Created         string   `json:"created,omitempty"`       // HL7 TS of effectiveTime, as received
	ServiceStart    string   `json:"service_start,omitempty"` // HL7 TS of the main act
	ServiceStop     string   `json:"service_stop,omitempty"`
	Event           Code     `json:"event,omitzero"` // code of the main act
	Authors         []Person `json:"authors,omitempty"`
	Signer          Person   `json:"signer,omitzero"` // legalAuthenticator
	Custodian       Org      `json:"custodian,omitzero"`
	Recipients      []Person `json:"recipients,omitempty"`      // informationRecipient
	Facility        Code     `json:"facility,omitzero"`         // XDS healthcareFacilityTypeCode
	Practice        Code     `json:"practice,omitzero"`         // XDS practiceSettingCode
	Encounter       OID      `json:"encounter,omitzero"`        // stay number of encompassingEncounter
	EncounterType   Code     `json:"encounter_type,omitzero"`   // kind of stay (JDV_J142)
	Orders          []OID    `json:"orders,omitempty"`          // inFulfillmentOf
	Confidentiality []Code   `json:"confidentiality,omitempty"` // CDA code first, then the masking codes of METADATA.XML
	Patient         Patient  `json:"patient,omitzero"`
	// Announced is the patient that METADATA.XML gives for the document (XDS
	// sourcePatientInfo): it proves nothing, and a person compares it with Patient.
	Announced Patient `json:"announced,omitzero"`

	Part      string   `json:"part"`            // path of the part that is the document
	Body      string   `json:"body,omitempty"`  // path of the file a person reads, when it is not Part: PDF embedded in level 1
	Twins     []string `json:"twins,omitempty"` // paths of copies in the same message
	MediaType string   `json:"media_type"`
	SHA256    Digest   `json:"sha256"` // of Part
	Size      int64    `json:"size"`   // of Part

	Verdict  Verdict   `json:"verdict"`
	Findings []Finding `json:"findings,omitempty"`
}

// Masked codes of JDV_J08 (domain §5.5).
const (
	MaskedToProfessionals = "MASQUE_PS"
	HiddenFromPatient     = "INVISIBLE_PATIENT"
	HiddenFromGuardians   = "INVISIBLE_REPRESENTANTS_LEGAUX"
)

// Marked reports whether the document carries the confidentiality code.
func (d *Document) Marked(code string) bool {
	for _, c := range d.Confidentiality {
		if c.Code == code {
			return true
		}
	}
	return false
}

// Identity names what must be done at most once: this version of this document,
// with this action. A CDA is named by its id and version, anything else by its
// content. Two messages that carry the same document give the same identity. It
// is 32 characters that say nothing about the patient.
func (d *Document) Identity() string {
	if d.UniqueID.IsZero() {
		return opaque("content", string(d.SHA256))
	}
	action := "put"
	if d.Action == ActionDelete {
		action = "delete"
	}
	return opaque("cda", d.UniqueID.String(), strconv.Itoa(d.Version), action)
}

// Lineage names the chain of versions that the document belongs to: what must be
// delivered strictly one after the other. It is the setId, else the id it
// replaces, else its own identity.
func (d *Document) Lineage() string {
	switch {
	case !d.SetID.IsZero():
		return opaque("set", d.SetID.String())
	case !d.Replaces.IsZero():
		return opaque("id", d.Replaces.String())
	case !d.UniqueID.IsZero():
		return opaque("id", d.UniqueID.String())
	}
	return opaque("content", string(d.SHA256))
}

// opaque hashes a kind and its fields to 32 characters of base 32 (160 bits).
func opaque(fields ...string) string {
	h := sha256.Sum256([]byte(strings.Join(fields, "\x00")))
	return strings.ToLower(base32.StdEncoding.EncodeToString(h[:20]))
}
