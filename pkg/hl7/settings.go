package hl7

import (
	"fmt"
	"slices"
	"strings"

	"greffe/pkg/greffe"
)

// NumberForm says how a document number is written in TXA-12 and TXA-13.
type NumberForm string

// Forms of a document number. The volet's rule and its official examples disagree.
const (
	NumberRule    NumberForm = "rule"    // extension^^root^ISO, or root alone
	NumberExample NumberForm = "example" // root.extension^namespace
)

// PatientList says which identifiers of the patient PID-3 holds.
type PatientList string

// Lists of identifiers. The volet asks for the list of the document; an identifier
// of another hospital is of no use to a receiver that does not compare OIDs.
const (
	ListAll PatientList = "all" // all those of the document, in its order
	ListOwn PatientList = "own" // the INS, and the ones of OwnRoot
	ListINS PatientList = "ins" // the INS alone
)

// Settings is what a receiver wants to see. The zero value of each field but
// Sending and Receiving stands for the rule of the volet; the other values are for
// receivers that were built after one of its examples, or after the standards it
// borrows from. Each says which field of the message it changes.
type Settings struct {
	Sending    string  // MSH-3 and MSH-4: application^organisation
	Receiving  string  // MSH-5 and MSH-6: application^organisation
	Processing string  // MSH-11: P (default), T or D
	Charset    Charset // MSH-18; UTF8 by default
	Profile    string  // MSH-21; 1.1^CISIS_CDA_HL7_LPS by default, examples have a blank after ^
	// Structure is MSH-9.3: MDM_T02 by default. One line of the volet prints
	// MDM^T02^MDM^T02^MDM_T02, which makes it MDM^T02^MDM_T02.
	Structure string

	// Patients are the identifiers of PID-3; ListAll by default.
	Patients PatientList
	// INSType is PID-3.5 of an INS: INS by default. NH is the form of XDS, without a
	// name of the authority in PID-3.4.
	INSType string
	// OwnRoot and OwnName are the OID of the patient numbers (IPP) of the hospital and
	// the name of their authority, PID-3.4; empty: no name.
	OwnRoot, OwnName string
	// Unknown is PID-8 of a patient whose sex is UN in the document: U (HL7 table
	// 0001) by default, or UN (JDV_J143).
	Unknown string
	// Reliability is PID-32 (PROV, VALI, RECUP, QUAL). By default it is what the
	// mail says of the identity: QUAL with X-MSS-INS: O, else VALI as in the official
	// messages, and PROV for a document without INS.
	Reliability string

	Number    NumberForm // TXA-12 and TXA-13
	Namespace string     // second component of NumberExample

	Subtype string // OBX-5.2 of the document; "text" by default, some receivers want "TEXT"
	// OrganizationHD writes PRT-8.6 as namespace&OID&ISO, which is its data type,
	// instead of the bare FINESS of the volet.
	OrganizationHD bool
	// BareMessageID leaves out the angle brackets of the Message-ID in OBX-3.1, as the
	// examples do.
	BareMessageID bool
	// MessageIDLimit and SubjectLimit shorten OBX-3.1 and OBX-3.2 to so many characters,
	// for a receiver that holds to the 20 and 199 of HL7; 0 leaves them whole.
	MessageIDLimit, SubjectLimit int

	// PlainPDF allows a PDF without CDA, about a patient that a person chose, and is
	// its type when it has none: code^label^system, as in OBR-4. Empty: never. The
	// volet knows only CDA.
	PlainPDF string
	// PDFType is OBX-5.2 and OBX-5.3 of such a PDF; application^pdf by default.
	PDFType string
}

// Check says what is wrong with the settings.
func (s Settings) Check() error {
	for _, p := range []struct{ name, value string }{{"sending", s.Sending}, {"receiving", s.Receiving}} {
		app, org, _ := strings.Cut(p.value, "^")
		if app == "" || org == "" || !plain(app+org) {
			return fmt.Errorf("hl7: %s %q: want application^organisation", p.name, p.value)
		}
	}
	for _, p := range []struct {
		name, value string
		allowed     []string
	}{
		{"processing", s.Processing, []string{"P", "T", "D"}},
		{"number", string(s.Number), []string{string(NumberRule), string(NumberExample)}},
		{"patients", string(s.Patients), []string{string(ListAll), string(ListOwn), string(ListINS)}},
		{"INS type", s.INSType, []string{"INS", "NH"}},
		{"sex unknown", s.Unknown, []string{"U", "UN"}},
		{"reliability", s.Reliability, []string{"PROV", "VALI", "RECUP", "QUAL"}},
	} {
		if p.value != "" && !slices.Contains(p.allowed, p.value) {
			return fmt.Errorf("hl7: %s %q: want one of %s", p.name, p.value, strings.Join(p.allowed, ", "))
		}
	}
	for _, p := range []struct{ name, value string }{{"subtype", s.Subtype}, {"own root", s.OwnRoot}, {"own name", s.OwnName}, {"namespace", s.Namespace}} {
		if !plain(p.value) {
			return fmt.Errorf("hl7: %s %q cannot be written", p.name, p.value)
		}
	}
	for _, p := range []struct{ name, value string }{{"profile", s.Profile}, {"structure", s.Structure}, {"PDF type", s.PDFType}, {"plain PDF", s.PlainPDF}} {
		if strings.ContainsAny(p.value, "|~\\&\r\n\x0b\x1c") {
			return fmt.Errorf("hl7: %s %q cannot be written", p.name, p.value)
		}
	}
	if n := strings.Count(s.PDFType, "^"); s.PDFType != "" && n != 1 {
		return fmt.Errorf("hl7: PDF type %q: want type^subtype", s.PDFType)
	}
	if s.PlainPDF != "" && (strings.Count(s.PlainPDF, "^") != 2 || strings.Contains("^"+s.PlainPDF+"^", "^^")) {
		return fmt.Errorf("hl7: plain PDF %q: want code^label^system", s.PlainPDF)
	}
	if s.Patients == ListOwn && s.OwnRoot == "" {
		return fmt.Errorf("hl7: patients %q without an OID of one's own", string(s.Patients))
	}
	if s.MessageIDLimit < 0 || s.SubjectLimit < 0 {
		return fmt.Errorf("hl7: limits %d and %d: want none below 0", s.MessageIDLimit, s.SubjectLimit)
	}
	return s.charset().check()
}

// plain reports whether s is one component without escapes.
func plain(s string) bool { return !strings.ContainsAny(s, "|^~\\&\r\n\x0b\x1c") }

func (s Settings) charset() Charset {
	if s.Charset == "" {
		return UTF8
	}
	return s.Charset
}

func (s Settings) processing() string { return or(s.Processing, "P") }
func (s Settings) profile() string    { return or(s.Profile, "1.1^CISIS_CDA_HL7_LPS") }

// content is OBX-5 up to the document itself (volet, OBX#1).
func (s Settings) content(pdf bool) string {
	if pdf {
		return "^" + or(s.PDFType, "application^pdf") + "^Base64^"
	}
	return "^" + or(s.Subtype, "text") + "^XML^Base64^"
}

func (s Settings) reliability(d *greffe.Document, m *greffe.Message) string {
	switch {
	case s.Reliability != "":
		return s.Reliability
	case d.Patient.INS.IsZero():
		return "PROV"
	case strings.EqualFold(strings.TrimSpace(m.MSSINS), "O"):
		return "QUAL"
	}
	return "VALI"
}

// number writes a document number (volet, TXA-12).
func (s Settings) number(id greffe.OID) string {
	switch {
	case id.IsZero():
		return ""
	case s.Number == NumberExample:
		n := id.Root
		if id.Extension != "" {
			n += "." + id.Extension
		}
		return comp(escape(n), escape(s.Namespace))
	case id.Extension == "":
		return escape(id.Root)
	}
	return comp(escape(id.Extension), "", escape(id.Root), "ISO")
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
