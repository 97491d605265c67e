package hl7

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"sync"
	"time"

	"greffe/pkg/greffe"
)

// Event is what an MDM message asks for.
type Event string

// Events of the volet. The message structure is MDM_T02 for all three.
const (
	First   Event = "T02" // a new document
	Replace Event = "T10" // takes the place of its parent; also a change of visibility
	Delete  Event = "T04" // withdraws the document itself
)

// order and status give ORC-1 and the OBX-11 of the document.
func (e Event) order() (string, string) {
	switch e {
	case Replace:
		return "RO", "C"
	case Delete:
		return "CA", "D"
	}
	return "NW", "F"
}

// Service is the unit of the hospital that a mailbox belongs to: the receiver
// routes by it.
type Service struct {
	Code      string // number of the unit (UF)
	Name      string
	Authority string // FINESS of the hospital
}

// MDM is one message about one document.
type MDM struct {
	Event    Event
	Control  string    // MSH-10, at most 20 characters; the same for each repeat
	At       time.Time // MSH-7 and EVN-2, in its own location
	Document greffe.Document
	Parent   greffe.OID // TXA-13; required for Replace
	Mail     greffe.Message
	Mailbox  string // address that received the mail
	Service  Service
	// VisibilityChanged sets MODIF_CONF_CODE: the replacement shows or hides what
	// its parent did not.
	VisibilityChanged bool
}

// controlLimit is the length of MSH-10 that every version of HL7 v2 accepts.
const controlLimit = 20

// recipientLimit bounds the PRT segments of a mail sent to a whole list.
const recipientLimit = 20

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// Encode writes the message, without MLLP frame, and reads the document from
// content while it does. It returns the first error of w or content; what was
// written until then is not a message.
func (m *MDM) Encode(w io.Writer, s Settings, content io.Reader) error {
	if err := s.Check(); err != nil {
		return err
	}
	if err := m.check(s); err != nil {
		return err
	}
	out := &script{w: w, charset: s.charset()}
	for _, d := range m.head(s) {
		out.segment(d)
	}
	out.raw("OBX|1|ED|" + kind(m.kind(s)) + "||" + s.content(m.plainPDF()))
	if out.err != nil {
		return out.err
	}
	b := base64.NewEncoder(base64.StdEncoding, w)
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	if _, err := io.CopyBuffer(b, content, *buf); err != nil {
		return fmt.Errorf("write document to HL7 message: %w", err)
	}
	if err := b.Close(); err != nil {
		return fmt.Errorf("write document to HL7 message: %w", err)
	}
	_, status := m.Event.order()
	out.raw("||||||" + status + "\r")
	for _, d := range m.tail(s) {
		out.segment(d)
	}
	return out.err
}

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

// stamp is a date-time as the official messages write it: local, to the second.
func stamp(t time.Time) string { return t.Format("20060102150405") }

// head is everything before the document.
func (m *MDM) head(s Settings) []*draft {
	d := &m.Document
	order, _ := m.Event.order()
	sendApp, sendOrg, _ := strings.Cut(s.Sending, "^")
	recvApp, recvOrg, _ := strings.Cut(s.Receiving, "^")
	at := stamp(m.At)
	msh := newDraft("MSH").
		set(2, `^~\&`).
		set(3, sendApp).set(4, sendOrg).set(5, recvApp).set(6, recvOrg).
		set(7, at).
		set(9, "MDM^"+string(m.Event)+"^"+or(s.Structure, "MDM_T02")).
		set(10, escape(m.Control)).
		set(11, s.processing()).
		set(12, "2.6").
		set(17, "FRA").
		set(18, string(s.charset())).
		set(21, s.profile())
	presentation := "TEXT"
	if m.plainPDF() {
		presentation = "AP" // HL7 table 0191: data of an application
	}
	txa := newDraft("TXA").
		set(1, "1").
		set(2, escape(m.kind(s).Code)).
		set(3, presentation).
		set(4, dateTime(or(d.ServiceStart, d.Created))).
		set(12, s.number(m.number())).
		set(13, s.number(m.Parent)).
		set(17, "AU")
	if id := d.Signer.ID; id.Root == rootPerson {
		txa.set(22, escape(id.Extension)) // HL7 asks for it beside AU, the examples have it
	}
	return []*draft{
		msh,
		newDraft("EVN").set(2, at),
		m.pid(s),
		newDraft("PV1").set(1, "1").set(2, "N"),
		newDraft("ORC").set(1, order),
		newDraft("OBR").set(1, "1").set(4, kind(m.kind(s))),
		txa,
	}
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

// tail is everything after the document.
func (m *MDM) tail(s Settings) []*draft {
	var out []*draft
	out = append(out, m.sender(s))
	out = append(out, m.recipients(s)...)
	for i, a := range m.Mail.ReplyTo {
		if i == recipientLimit {
			break
		}
		out = append(out, participation("REPLY", "Reply To").set(15, mailbox(a.Address)))
	}
	out = append(out, newDraft("OBX").set(1, "2").set(2, "ED").
		set(3, comp(m.messageID(s), escape(clip(m.subject(), s.SubjectLimit)))).
		set(5, "^text^^Base64^"+base64.StdEncoding.EncodeToString(s.charset().encode(m.Mail.Body))).
		set(11, "F"))
	for i, x := range []struct {
		code, label string
		yes         bool
	}{
		{"MASQUE_PS", "Masqué aux professionnels de Santé", m.Document.Marked(greffe.MaskedToProfessionals)},
		{"INVISIBLE_PATIENT", "Document Non Visible par le patient", m.Document.Marked(greffe.HiddenFromPatient)},
		// The HL7 table and JDV_J08 do not spell this code alike.
		{"INVISIBLE_REP_LEGAUX", "Non visible par les représentants Légaux du patient", m.Document.Marked(greffe.HiddenFromGuardians)},
		{"MODIF_CONF_CODE", "Modification Confidentiality Code", m.VisibilityChanged},
	} {
		answer := "N"
		if x.yes {
			answer = "Y"
		}
		out = append(out, newDraft("OBX").set(1, strconv.Itoa(i+3)).set(2, "CWE").
			set(3, comp(x.code, x.label, "MetaDMPMSS")).
			set(5, comp(answer, "", "expandedYes-NoIndicator")).
			set(11, "F"))
	}
	return out
}

func (m *MDM) subject() string {
	if m.Mail.XDMMarker {
		return "XDM/1.0/DDM+" + m.Mail.Subject
	}
	return m.Mail.Subject
}

func (m *MDM) messageID(s Settings) string {
	if len(m.Mail.MessageIDs) == 0 {
		return ""
	}
	id := m.Mail.MessageIDs[0]
	if !s.BareMessageID {
		id = "<" + id + ">"
	}
	return escape(clip(id, s.MessageIDLimit))
}

// clip returns the first n characters of s; n of 0 means all.
func clip(s string, n int) string {
	if r := []rune(s); n > 0 && len(r) > n {
		return string(r[:n])
	}
	return s
}
