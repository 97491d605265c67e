package hl7

import (
	"strings"

	"greffe/pkg/greffe"
)

// Roots of national identifiers.
const (
	rootPerson       = "1.2.250.1.71.4.2.1" // IDNPS
	rootOrganization = "1.2.250.1.71.4.2.2" // IDNST
	rootNIA          = "1.2.250.1.213.1.4.9"
)

// pid writes the patient as the document says: the list of PID-3 is the list of
// recordTarget/patientRole/id, in its order.
func (m *MDM) pid(s Settings) *draft {
	p := &m.Document.Patient
	names := comp(escape(p.BirthFamily), escape(p.FirstGiven), escape(p.Givens), "", "", "", "L")
	if p.UsedFamily != "" || p.UsedGiven != "" {
		names += "~" + comp(escape(p.UsedFamily), escape(p.UsedGiven), "", "", "", "", "D")
	}
	var addresses []string
	if a := p.Home; a != (greffe.PostalAddress{}) {
		addresses = append(addresses, comp(escape(a.Street), escape(a.Other), escape(a.City), "", escape(a.PostalCode), escape(a.Country), "H"))
	}
	if p.BirthPlace != "" {
		addresses = append(addresses, comp("", "", "", "", "", "", "BDL", "", escape(p.BirthPlace)))
	}
	d := newDraft("PID").
		set(3, strings.Join(m.patientIDs(s), "~")).
		set(5, names).
		set(7, dateTime(p.BirthDate)).
		set(8, s.sex(p.Sex)).
		set(11, strings.Join(addresses, "~"))
	if e := m.Document.Encounter; e.Extension != "" {
		d.set(18, comp(escape(e.Extension), "", "", sub("", escape(e.Root), "ISO"), "AN"))
	}
	return d.set(31, "N").set(32, s.reliability(&m.Document, &m.Mail))
}

// patientIDs are the repetitions of PID-3.
func (m *MDM) patientIDs(s Settings) []string {
	var ids []string
	for _, id := range m.Document.Patient.IDs {
		ins := insAuthority(id.Root) != ""
		if ins || s.Patients == "" || s.Patients == ListAll || s.Patients == ListOwn && id.Root == s.OwnRoot {
			ids = append(ids, s.patientID(id))
		}
	}
	return ids
}

// insAuthority is the name of the authority of an INS (domain §6.1); empty for
// another identifier.
func insAuthority(root string) string {
	switch root {
	case "1.2.250.1.213.1.4.8", "1.2.250.1.213.1.4.10", "1.2.250.1.213.1.4.11":
		return "ASIP-SANTE-INS-NIR"
	case rootNIA:
		return "ASIP-SANTE-INS-NIA"
	}
	return ""
}

func (s Settings) patientID(id greffe.OID) string {
	if id.Extension == "" {
		return comp(escape(id.Root), "", "", "", "PI")
	}
	if name := insAuthority(id.Root); name != "" {
		if s.INSType == "NH" {
			name = ""
		}
		return comp(escape(id.Extension), "", "", sub(name, id.Root, "ISO"), or(s.INSType, "INS"))
	}
	name := ""
	if id.Root == s.OwnRoot {
		name = s.OwnName
	}
	return comp(escape(id.Extension), "", "", sub(escape(name), escape(id.Root), "ISO"), "PI")
}

// sex maps JDV_J143 to HL7 table 0001.
func (s Settings) sex(code string) string {
	switch code {
	case "M", "F", "":
		return code
	}
	return or(s.Unknown, "U")
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
// address that sent the mail. Without one it is a person, an organisation or a
// software that wrote it, else the name in the From header.
func (m *MDM) sender(s Settings) *draft {
	d := participation("SB", "Send by")
	var from greffe.Address
	if len(m.Mail.From) > 0 {
		from = m.Mail.From[0]
	}
	d.set(15, mailbox(from.Address))
	authors := m.Document.Authors
	for _, a := range authors {
		if a.ID.Root == rootPerson && a.ID.Extension != "" && a.Family != "" {
			return d.set(5, person(a))
		}
	}
	for _, a := range authors {
		switch {
		case a.Family != "":
			return d.set(5, person(a))
		case a.Organization.Name != "":
			return d.set(8, organization(a.Organization))
		case a.Device != "":
			return d.set(10, escape(a.Device))
		}
	}
	return d.set(8, escape(or(from.Name, from.Address)))
}

// person is an XCN (volet, PRT-5): identifier, names, authority, kind of name and
// kind of identifier.
func person(p greffe.Person) string {
	if p.ID.Extension == "" {
		return comp("", escape(p.Family), escape(p.Given), "", "", "", "", "", "", "D")
	}
	authority := sub("", escape(p.ID.Root), "ISO")
	if p.ID.Root == rootPerson {
		authority = sub("ASIP-SANTE-PS", rootPerson, "ISO")
	}
	return comp(escape(p.ID.Extension), escape(p.Family), escape(p.Given), "", "", "", "", "", authority, "D", "", "", kindOfPerson(p.ID))
}

// kindOfPerson is the type of a person's identifier by its shape (domain §7): the
// national one has a digit in front of the number that some documents carry bare.
func kindOfPerson(id greffe.OID) string {
	switch {
	case id.Root != rootPerson || strings.Contains(id.Extension, "/"):
		return "EI"
	case len(id.Extension) == 11:
		return "RPPS"
	case len(id.Extension) == 9:
		return "ADELI"
	}
	return "IDNPS"
}

// organization is an XON (volet, PRT-8): name, authority, kind and identifier.
func organization(o greffe.Org) string {
	switch {
	case o.ID.Extension == "":
		return escape(o.Name)
	case o.ID.Root == rootOrganization:
		return comp(escape(o.Name), "", "", "", "", sub("ASIP-SANTE-ST", rootOrganization, "ISO"), "IDNST", "", "", escape(o.ID.Extension))
	}
	return comp(escape(o.Name), "", "", "", "", sub("", escape(o.ID.Root), "ISO"), "", "", "", escape(o.ID.Extension))
}

// service is the XON of a unit of the hospital.
func (s Settings) service(v Service) string {
	authority := escape(v.Authority)
	if s.OrganizationHD && v.Authority != "" {
		authority = sub(escape(v.Authority), rootOrganization, "ISO")
	}
	return comp(escape(v.Name), "", "", "", "", authority, "UF", "", "", escape(v.Code))
}

// recipients are the mailbox that received the mail, with the service that it
// belongs to, then the other addresses the mail was sent to.
func (m *MDM) recipients(s Settings) []*draft {
	first := participation("RCT", "Result Copies To").set(15, mailbox(m.Mailbox))
	if v := m.Service; v.Code != "" || v.Name != "" {
		first.set(8, s.service(v))
	}
	out := []*draft{first}
	seen := map[string]bool{"": true, strings.ToLower(m.Mailbox): true}
	for _, list := range [][]greffe.Address{m.Mail.To, m.Mail.Cc} {
		for _, a := range list {
			if key := strings.ToLower(a.Address); !seen[key] && len(out) < recipientLimit {
				seen[key] = true
				out = append(out, participation("RCT", "Result Copies To").set(15, mailbox(a.Address)))
			}
		}
	}
	return out
}
