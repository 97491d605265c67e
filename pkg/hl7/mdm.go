package hl7

import (
	"encoding/base64"
	"fmt"
	"io"
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

// tail is everything after the document.
func (m *MDM) tail(s Settings) []*draft {
	var out []*draft
	out = append(out, m.sender(s))
	out = append(out, m.recipients(s)...)
	for _, a := range m.Mail.ReplyTo[:min(len(m.Mail.ReplyTo), recipientLimit)] {
		if a.Address != "" {
			out = append(out, participation("REPLY", "Reply To").set(15, mailbox(a.Address)))
		}
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
