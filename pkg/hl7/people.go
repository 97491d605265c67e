package hl7

import (
	"strings"

	"greffe/pkg/greffe"
)

// Roots of national identifiers.
const (
	rootPerson = "1.2.250.1.71.4.2.1" // IDNPS
	rootNIA    = "1.2.250.1.213.1.4.9"
)

// pid writes the patient as the document says: the list of PID-3 is the list of
// recordTarget/patientRole/id, in its order.
func (m *MDM) pid(s Settings) *draft {
	p := &m.Document.Patient
	var ids []string
	for _, id := range p.IDs {
		ids = append(ids, patientID(id))
	}
	names := comp(escape(p.BirthFamily), escape(p.FirstGiven), escape(p.Givens), "", "", "", "L")
	if p.UsedFamily != "" || p.UsedGiven != "" {
		names += "~" + comp(escape(p.UsedFamily), escape(p.UsedGiven), "", "", "", "", "D")
	}
	d := newDraft("PID").
		set(3, strings.Join(ids, "~")).
		set(5, names).
		set(7, dateTime(p.BirthDate)).
		set(8, sex(p.Sex))
	if p.BirthPlace != "" {
		d.set(11, comp("", "", "", "", "", "", "BDL", "", escape(p.BirthPlace)))
	}
	if e := m.Document.Encounter; e.Extension != "" {
		d.set(18, comp(escape(e.Extension), "", "", sub("", escape(e.Root), "ISO"), "AN"))
	}
	return d.set(31, "N").set(32, s.reliability(&m.Document, &m.Mail))
}

func patientID(id greffe.OID) string {
	if id.Extension == "" {
		return comp(escape(id.Root), "", "", "", "PI")
	}
	switch id.Root {
	case "1.2.250.1.213.1.4.8", "1.2.250.1.213.1.4.10", "1.2.250.1.213.1.4.11":
		return comp(escape(id.Extension), "", "", sub("ASIP-SANTE-INS-NIR", id.Root, "ISO"), "INS")
	case rootNIA:
		return comp(escape(id.Extension), "", "", sub("ASIP-SANTE-INS-NIA", id.Root, "ISO"), "INS")
	}
	return comp(escape(id.Extension), "", "", sub("", escape(id.Root), "ISO"), "PI")
}

// sex maps JDV_J143 to HL7 table 0001.
func sex(code string) string {
	switch code {
	case "M", "F":
		return code
	case "":
		return ""
	}
	return "U"
}

// participation begins a PRT segment, pre-adopted from HL7 v2.9.
func participation(code, label string) *draft {
	return newDraft("PRT").set(2, "UC").set(4, comp(code, label, "participation"))
}

func mailbox(address string) string {
	if address == "" {
		return ""
	}
	return comp("", "", "X.400", escape(address))
}

// sender is the first author of the document with a national number, at the
// address that sent the mail. Without one it is the author's organisation or
// software, or the name in the From header.
func (m *MDM) sender() *draft {
	d := participation("SB", "Send by")
	var from greffe.Address
	if len(m.Mail.From) > 0 {
		from = m.Mail.From[0]
	}
	d.set(15, mailbox(from.Address))
	for _, a := range m.Document.Authors {
		if a.ID.Root == rootPerson && a.ID.Extension != "" && a.Family != "" {
			return d.set(5, comp(escape(a.ID.Extension), escape(a.Family), escape(a.Given), "", "", "", "", "",
				sub("ASIP-SANTE-PS", rootPerson, "ISO"), "D", "", "", "IDNPS"))
		}
	}
	for _, a := range m.Document.Authors {
		if a.Organization.Name != "" {
			return d.set(8, escape(a.Organization.Name))
		}
		if a.Device != "" {
			return d.set(10, escape(a.Device))
		}
	}
	return d.set(8, escape(or(from.Name, from.Address)))
}

// recipients are the mailbox that received the mail, with the service that it
// belongs to, then the other addresses the mail was sent to.
func (m *MDM) recipients() []*draft {
	first := participation("RCT", "Result Copies To").set(15, mailbox(m.Mailbox))
	if v := m.Service; v.Code != "" || v.Name != "" {
		first.set(8, comp(escape(v.Name), "", "", "", "", escape(v.Authority), "UF", "", "", escape(v.Code)))
	}
	out := []*draft{first}
	for _, a := range m.Mail.To {
		if len(out) == recipientLimit {
			break
		}
		if a.Address != "" && !strings.EqualFold(a.Address, m.Mailbox) {
			out = append(out, participation("RCT", "Result Copies To").set(15, mailbox(a.Address)))
		}
	}
	return out
}
