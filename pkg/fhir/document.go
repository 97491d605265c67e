package fhir

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// Code systems of the French profile.
const (
	loinc           = "http://loinc.org"
	typeSystem      = "https://mos.esante.gouv.fr/NOS/TRE_A05-TypeDocComplementaire/FHIR/TRE-A05-TypeDocComplementaire"
	classSystem     = "https://mos.esante.gouv.fr/NOS/TRE_A03-ClasseDocument/FHIR/TRE-A03-ClasseDocument"
	confidentiality = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
	listTypes       = "https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes"
	uri             = "urn:ietf:rfc:3986"
	rootLOINC       = "2.16.840.1.113883.6.1"
)

// Submission is one document on its way to a server.
type Submission struct {
	Document greffe.Document
	// UUID is the entry's identifier, the same for each repeat, which lets the
	// server recognise one: 8-4-4-4-12 hexadecimal digits.
	UUID string
	URL  string    // where the server finds the bytes; ignored by Provide
	SHA1 []byte    // of the bytes, 20 of them
	At   time.Time // date of the reference
	// Replaces is the address on the server of the reference that this one takes
	// the place of ("DocumentReference/4711"); empty for a new document.
	Replaces string
	// Patient is the address on the server of the patient ("Patient/4711"), when it
	// was asked for; empty: the patient is named by INS alone.
	Patient  string
	SourceID string    // OID of the sending system, for the submission set
	Patch    PatchForm // how the old reference is superseded
}

// Entry returns the identifier that names the submission for ever.
func (s *Submission) Entry() Identifier { return Identifier{System: uri, Value: "urn:uuid:" + s.UUID} }

// IfNoneExist is the search that finds an earlier copy of the same submission.
func (s *Submission) IfNoneExist() string { return query("identifier", s.Entry().Token()) }

// Master returns the uniqueId of a document as a FHIR identifier. An id with an
// extension has no urn:oid form: its root is the system.
func Master(id greffe.OID) Identifier {
	if id.Extension == "" {
		return Identifier{System: uri, Value: "urn:oid:" + id.Root}
	}
	return Identifier{System: "urn:oid:" + id.Root, Value: id.Extension}
}

// Reference returns the DocumentReference of the submission (PDSm comprehensive).
func (s *Submission) Reference() DocumentReference {
	d := &s.Document
	master := Master(d.UniqueID)
	if d.UniqueID.IsZero() { // no CDA: its bytes and where they came from name it
		master = Identifier{System: uri, Value: "urn:oid:" + s.oid("document")}
	}
	r := DocumentReference{
		ResourceType:     "DocumentReference",
		MasterIdentifier: &master,
		Identifier:       []Identifier{{Use: "usual", System: uri, Value: "urn:uuid:" + s.UUID}},
		Status:           "current",
		Type:             concept(d.Type, typeSystem),
		Subject:          subject(d.Patient, s.Patient),
		Date:             s.At.Format(time.RFC3339),
		Content: []Content{{
			Attachment: Attachment{
				ContentType: d.MediaType, Language: d.Language, URL: s.URL, Size: d.Size,
				Hash: base64.StdEncoding.EncodeToString(s.SHA1), Title: d.Title, Creation: instant(d.Created),
			},
			Format: format(d.FormatCode),
		}},
	}
	if r.Type == nil && d.Title != "" {
		r.Type = &Concept{Text: d.Title} // a plain PDF has no code; none is made up
	}
	if c := concept(d.Class, classSystem); c != nil {
		r.Category = []Concept{*c}
	}
	for _, c := range d.Confidentiality {
		system := confidentiality
		if len(c.Code) > 1 && c.System != "" {
			system = "urn:oid:" + c.System
		}
		r.SecurityLabel = append(r.SecurityLabel, Concept{Coding: []Coding{{System: system, Code: c.Code, Display: c.Label}}})
	}
	for i, a := range d.Authors {
		if i == 10 {
			break
		}
		if ref := s.contain(&r, a, fmt.Sprint("author", i+1)); ref != nil {
			r.Author = append(r.Author, *ref)
		}
	}
	r.Authenticator = s.contain(&r, d.Signer, "signer")
	if o := d.Custodian; o.Name != "" || !o.ID.IsZero() {
		r.Custodian = &Reference{Display: o.Name, Identifier: identifier(o.ID)}
	}
	if s.Replaces != "" {
		r.RelatesTo = []RelatesTo{{Code: "replaces", Target: Reference{Reference: s.Replaces}}}
	}
	r.Contained = append(r.Contained, raw(FromPatient(d.Patient)))
	r.Context = &Context{
		FacilityType: concept(d.Facility, ""), PracticeSetting: concept(d.Practice, ""),
		SourcePatientInfo: &Reference{Reference: "#patient"},
	}
	if e := concept(d.Event, ""); e != nil {
		r.Context.Event = []Concept{*e}
	}
	if d.ServiceStart != "" || d.ServiceStop != "" {
		r.Context.Period = &Period{Start: instant(d.ServiceStart), End: instant(d.ServiceStop)}
	}
	return r
}

// contain adds a person to the contained resources and returns the pointer to it.
func (s *Submission) contain(r *DocumentReference, p greffe.Person, id string) *Reference {
	if p.Family == "" {
		if p.Device == "" && p.Organization.Name == "" {
			return nil
		}
		name := p.Device
		if name == "" {
			name = p.Organization.Name
		}
		return &Reference{Display: name, Identifier: identifier(p.Organization.ID)}
	}
	who := Practitioner{ResourceType: "Practitioner", ID: id, Name: []HumanName{{Family: p.Family, Given: list(p.Given), Prefix: list(p.Prefix)}}}
	if i := identifier(p.ID); i != nil {
		who.Identifier = []Identifier{*i}
	}
	r.Contained = append(r.Contained, raw(who))
	return &Reference{Reference: "#" + id}
}

// FromPatient returns the resource of a patient as a document names them (FR Core).
func FromPatient(p greffe.Patient) Patient {
	out := Patient{ResourceType: "Patient", ID: "patient", BirthDate: date(p.BirthDate)}
	for _, id := range p.IDs {
		if i := identifier(id); i != nil {
			out.Identifier = append(out.Identifier, *i)
		}
	}
	birth := HumanName{Use: "official", Family: p.BirthFamily, Given: list(p.FirstGiven)}
	if p.Givens != "" {
		birth.Extension = []Extension{{URL: extGivens, ValueString: p.Givens}}
	}
	out.Name = []HumanName{birth}
	if p.BirthPlace != "" {
		out.Extension = []Extension{{URL: extBirthPlace, ValueAddress: &Address{
			Extension: []Extension{{URL: extINSEE, ValueCoding: &Coding{System: communes, Code: p.BirthPlace}}},
		}}}
	}
	if p.UsedFamily != "" || p.UsedGiven != "" {
		out.Name = append(out.Name, HumanName{Use: "usual", Family: p.UsedFamily, Given: list(p.UsedGiven)})
	}
	switch p.Sex {
	case "M":
		out.Gender = "male"
	case "F":
		out.Gender = "female"
	case "UN":
		out.Gender = "unknown"
	}
	return out
}

// subject names the patient by INS, else by the first identifier of the document, and
// by address when the server gave it.
func subject(p greffe.Patient, address string) *Reference {
	id := p.INS
	if id.IsZero() && len(p.IDs) > 0 {
		id = p.IDs[0]
	}
	i := identifier(id)
	if i == nil && address == "" {
		return nil
	}
	return &Reference{Reference: address, Identifier: i}
}

func identifier(id greffe.OID) *Identifier {
	if id.IsZero() {
		return nil
	}
	i := Master(id)
	return &i
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// systems are the addresses of the French code systems, by OID (NOS).
var systems = map[string]string{
	rootLOINC:                   loinc,
	"1.2.250.1.213.1.1.4.1":     classSystem,
	"1.2.250.1.213.1.1.4.12":    typeSystem,
	"1.2.250.1.213.1.1.4.9":     "https://mos.esante.gouv.fr/NOS/TRE_A01-CadreExercice/FHIR/TRE-A01-CadreExercice",
	"1.2.250.1.71.4.2.4":        "https://mos.esante.gouv.fr/NOS/TRE_R02-SecteurActivite/FHIR/TRE-R02-SecteurActivite",
	"1.2.250.1.213.1.1.4.2.282": "https://mos.esante.gouv.fr/NOS/TRE_A06-FormatCodeComplementaire/FHIR/TRE-A06-FormatCodeComplementaire",
	"1.3.6.1.4.1.19376.1.2.3":   "https://mos.esante.gouv.fr/NOS/TRE_A11-IheFormatCode/FHIR/TRE-A11-IheFormatCode",
	"2.16.840.1.113883.5.25":    confidentiality,
}

// concept returns a coded value; other is the address of the system when it does not
// say its own.
func concept(c greffe.Code, other string) *Concept {
	if c.Code == "" {
		return nil
	}
	return &Concept{Coding: []Coding{{System: system(c.System, other), Code: c.Code, Display: c.Label}}}
}

func system(oid, other string) string {
	if oid == "" {
		return other
	}
	if known := systems[oid]; known != "" {
		return known
	}
	return "urn:oid:" + oid
}

func format(c greffe.Code) *Coding {
	if c.Code == "" {
		return nil
	}
	return &Coding{System: system(c.System, ""), Code: c.Code, Display: c.Label}
}

// date turns YYYYMMDD, or less, into a FHIR date; "" when it is not one.
func date(ts string) string {
	for _, f := range []struct{ in, out string }{{"20060102", "2006-01-02"}, {"200601", "2006-01"}, {"2006", "2006"}} {
		if t, err := time.Parse(f.in, ts); err == nil {
			return t.Format(f.out)
		}
	}
	return ""
}

// instant turns an HL7 TS into a FHIR dateTime. FHIR asks for an offset when there
// is a time: a TS without one keeps only its date rather than an invented offset.
func instant(ts string) string {
	whole, offset := ts, ""
	if i := strings.IndexAny(ts, "+-"); i > 0 {
		whole, offset = ts[:i], ts[i:]
	}
	whole, _, _ = strings.Cut(whole, ".")
	if offset != "" {
		for _, f := range []string{"20060102150405-0700", "200601021504-0700"} {
			if t, err := time.Parse(f, whole+offset); err == nil {
				return t.Format(time.RFC3339)
			}
		}
	}
	if len(whole) > 8 {
		whole = whole[:8]
	}
	return date(whole)
}

// UUID formats 16 bytes of a hash as a version 8 UUID (RFC 9562 §5.8).
func UUID(b [16]byte) string {
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
