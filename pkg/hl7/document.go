package hl7

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"

	"greffe/pkg/greffe"
)

// Errors of a message that cannot be written for a receiver. They do not pass by
// themselves: settings or document have to change.
var (
	// ErrCharset is returned for a name or an identifier that the character set of the
	// receiver has no letters for: what the receiver would read is another one.
	ErrCharset = errors.New("hl7: not in the character set of the receiver")
	// ErrNotCDA is returned for a document that is no CDA, unless it is a PDF about a
	// chosen patient and Settings.PlainPDF allows it.
	ErrNotCDA = errors.New("hl7: the receiver takes CDA only")
)

func (m *MDM) check(s Settings) error {
	switch {
	case m.Event != First && m.Event != Replace && m.Event != Delete:
		return fmt.Errorf("hl7: event %q", string(m.Event))
	case m.Control == "" || len(m.Control) > controlLimit:
		return fmt.Errorf("hl7: MSH-10 of %d characters: want 1 to %d", len(m.Control), controlLimit)
	case m.Event == Replace && m.Parent.IsZero():
		return errors.New("hl7: a replacement without the number of its parent")
	case m.plainPDF() && (s.PlainPDF == "" || len(m.Document.Patient.IDs) == 0):
		return fmt.Errorf("%w: a PDF about %d identifiers", ErrNotCDA, len(m.Document.Patient.IDs))
	case m.number().IsZero():
		return fmt.Errorf("%w: a document without number", ErrNotCDA)
	}
	return m.legible(s)
}

// legible checks that what names document and patient is not changed by the
// character set. Free text may lose accents and signs.
func (m *MDM) legible(s Settings) error {
	c, d := s.charset(), &m.Document
	if c == UTF8 {
		return nil
	}
	exact := map[string][]greffe.OID{"TXA-12": {d.UniqueID}, "TXA-13": {m.Parent}, "PID-3": d.Patient.IDs, "PID-18": {d.Encounter}}
	for field, ids := range exact {
		for _, id := range ids {
			if !c.holds(id.Root + id.Extension) {
				return fmt.Errorf("%s: %w", field, ErrCharset)
			}
		}
	}
	p := &d.Patient
	for _, name := range []string{p.BirthFamily, p.FirstGiven, p.Givens, p.UsedFamily, p.UsedGiven} {
		if !c.spells(name) {
			return fmt.Errorf("PID-5: %w", ErrCharset)
		}
	}
	return nil
}

// plainPDF reports whether the document is a PDF without CDA.
func (m *MDM) plainPDF() bool { return m.Document.Format == greffe.FormatPDF }

// kind is the type of the document.
func (m *MDM) kind(s Settings) greffe.Code {
	if m.plainPDF() && m.Document.Type.Code == "" {
		f := strings.SplitN(s.PlainPDF, "^", 3)
		return greffe.Code{Code: f[0], Label: f[1], System: f[2]}
	}
	return m.Document.Type
}

// number is the document number. What has none of its own, a PDF, gets one under the
// arc of UUIDs (Rec. ITU-T X.667), the same whenever the same bytes are sent about the
// same patient.
func (m *MDM) number() greffe.OID {
	d := &m.Document
	if !d.UniqueID.IsZero() || !m.plainPDF() || d.SHA256 == "" {
		return d.UniqueID
	}
	h := sha256.New()
	io.WriteString(h, "document\x00"+string(d.SHA256))
	for _, id := range d.Patient.IDs {
		io.WriteString(h, "\x00"+id.String())
	}
	b := h.Sum(nil)[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80 // version 8, RFC 9562 §5.8
	return greffe.OID{Root: "2.25." + new(big.Int).SetBytes(b).String()}
}

// kind is OBR-4: the type of document with the name of its code system.
func kind(t greffe.Code) string {
	system := t.System
	switch t.System {
	case "2.16.840.1.113883.6.1", "":
		system = "LN"
	case "1.2.250.1.213.1.1.4.12":
		system = "TRE_A05"
	}
	return comp(escape(t.Code), escape(t.Label), escape(system))
}

// dateTime passes a TS of CDA through when it is a DTM of HL7 v2: at least a
// year, digits, perhaps a fraction and an offset. Anything else is left out.
func dateTime(ts string) string {
	digits := 0
	for digits < len(ts) && ts[digits] >= '0' && ts[digits] <= '9' {
		digits++
	}
	if digits < 4 || digits > 14 || digits%2 != 0 {
		return ""
	}
	for i := digits; i < len(ts); i++ {
		if c := ts[i]; (c < '0' || c > '9') && c != '.' && c != '+' && c != '-' {
			return ""
		}
	}
	return ts
}
