package hl7

import (
	"fmt"
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

// Settings is what a receiver wants to see. The zero value of each field but
// Sending and Receiving stands for the rule of the volet.
type Settings struct {
	Sending    string     // MSH-3 and MSH-4: application^organisation
	Receiving  string     // MSH-5 and MSH-6: application^organisation
	Processing string     // MSH-11: P (default), T or D
	Charset    Charset    // MSH-18; UTF8 by default
	Profile    string     // MSH-21; 1.1^CISIS_CDA_HL7_LPS by default
	Subtype    string     // OBX-5.2; "text" by default, some receivers want "TEXT"
	Number     NumberForm // TXA-12 and TXA-13
	Namespace  string     // second component of NumberExample
	// Reliability is PID-32 (PROV, VALI, RECUP, QUAL). By default it is what the
	// mail says of the identity: QUAL with X-MSS-INS: O, else VALI as in the official
	// messages, and PROV for a document without INS.
	Reliability string
	// MessageIDLimit shortens the Message-ID in OBX-3.1 to so many characters, for
	// a receiver that holds to the 20 of HL7; 0 leaves it whole.
	MessageIDLimit int
}

// Check says what is wrong with the settings.
func (s Settings) Check() error {
	for _, p := range []struct{ name, value string }{{"sending", s.Sending}, {"receiving", s.Receiving}} {
		app, org, _ := strings.Cut(p.value, "^")
		if app == "" || org == "" || strings.ContainsAny(app+org, "|^~\\&\r\n") {
			return fmt.Errorf("hl7: %s %q: want application^organisation", p.name, p.value)
		}
	}
	switch s.Processing {
	case "", "P", "T", "D":
	default:
		return fmt.Errorf("hl7: processing %q: want P, T or D", s.Processing)
	}
	switch s.Number {
	case "", NumberRule, NumberExample:
	default:
		return fmt.Errorf("hl7: number %q: want %q or %q", string(s.Number), NumberRule, NumberExample)
	}
	switch s.Reliability {
	case "", "PROV", "VALI", "RECUP", "QUAL":
	default:
		return fmt.Errorf("hl7: reliability %q: want PROV, VALI, RECUP or QUAL", s.Reliability)
	}
	if strings.ContainsAny(s.Profile, "|\r\n") || strings.ContainsAny(s.Subtype, "|^~\\&\r\n") || s.MessageIDLimit < 0 {
		return fmt.Errorf("hl7: profile %q, subtype %q or message id limit %d cannot be written", s.Profile, s.Subtype, s.MessageIDLimit)
	}
	return s.charset().check()
}

func (s Settings) charset() Charset {
	if s.Charset == "" {
		return UTF8
	}
	return s.Charset
}

func (s Settings) processing() string { return or(s.Processing, "P") }
func (s Settings) profile() string    { return or(s.Profile, "1.1^CISIS_CDA_HL7_LPS") }
func (s Settings) subtype() string    { return or(s.Subtype, "text") }

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
