package cda

import (
	"regexp"
	"slices"
	"strings"

	"greffe/pkg/greffe"
)

// insRoots are the OIDs of an INS, in the order in which the official tool looks
// for the patient's id (domain §4.2, §6.1).
var insRoots = []string{"1.2.250.1.213.1.4.8", "1.2.250.1.213.1.4.9", "1.2.250.1.213.1.4.10", "1.2.250.1.213.1.4.11"}

var birthDate = regexp.MustCompile(`^[0-9]{4}((0[0-9]|1[0-2])([0-2][0-9]|3[01])?)?`)

// patientMailbox is the address of a patient in the national space: the matricule.
var patientMailbox = regexp.MustCompile(`(?i)^mailto:([0-9][0-9AB]{14})@(?:[a-z0-9-]+\.)*patient\.mssante\.fr$`)

// patient reads recordTarget (domain §5.3). Contradictions inside it are held:
// nobody but a person can say which value is right.
func (h *header) patient() {
	targets := h.root.All("recordTarget")
	if len(targets) == 0 {
		h.add(rulePatient, "recordTarget")
		return
	}
	p := h.patientOf(targets[0].Get("patientRole"))
	for _, other := range targets[1:] {
		if q := h.patientOf(other.Get("patientRole")); !slices.Equal(p.IDs, q.IDs) {
			h.add(rulePatients, "recordTarget")
			break
		}
	}
	h.d.Patient = p
	if p.IsZero() {
		h.add(rulePatient, "recordTarget")
		return
	}
	h.check(len(p.IDs) > 0, rulePatientID, "recordTarget")
	h.check(birthDate.MatchString(p.BirthDate), rulePatientBirth, "recordTarget")
	h.check(p.Sex == "F" || p.Sex == "M" || p.Sex == "UN", rulePatientSex, "recordTarget")
}

// INS returns the one of a patient's ids that is an INS, of production before test; zero
// when there is none. Whether it is a good one is for package ins.
func INS(ids []greffe.OID) greffe.OID {
	for _, root := range insRoots {
		for _, id := range ids {
			if id.Root == root {
				return id
			}
		}
	}
	return greffe.OID{}
}

func (h *header) patientOf(role *Node) greffe.Patient {
	var p greffe.Patient
	for _, n := range role.All("id") {
		id := h.oid(n)
		if id.Extension == "" || slices.Contains(p.IDs, id) {
			continue
		}
		if len(p.IDs) == maxList {
			h.add(ruleMany, "recordTarget", "id")
			break
		}
		p.IDs = append(p.IDs, id)
	}
	p.INS = INS(p.IDs)
	for _, t := range role.All("telecom") {
		m := patientMailbox.FindStringSubmatch(t.Attr("value"))
		if m != nil && !p.INS.IsZero() && !strings.EqualFold(m[1], p.INS.Extension) {
			h.add(rulePatientMail, "recordTarget")
		}
	}
	person := role.Get("patient")
	h.patientName(person, &p)
	p.Sex = h.one(person, "administrativeGenderCode", "code", "sexe")
	p.BirthDate = h.one(person, "birthTime", "value", "date de naissance")
	if birthDate.MatchString(p.BirthDate) && len(p.BirthDate) > 8 {
		p.BirthDate = p.BirthDate[:8] // an hour of birth is no strict trait
	}
	p.BirthPlace = h.text(person.Get("birthplace", "place", "addr", "county"), "birthplace")
	p.Home = home(role.All("addr"))
	return p
}

// home reads the address that a patient lives at: the one with use H, HP or HV, else the
// first. It is no trait of an identity: what is odd about it is no finding.
func home(all []*Node) greffe.PostalAddress {
	var a greffe.PostalAddress
	var addr *Node
	for _, n := range all {
		if n.Attr("nullFlavor") != "" {
			continue
		}
		lived := slices.ContainsFunc(strings.Fields(n.Attr("use")), func(u string) bool { return u == "H" || u == "HP" || u == "HV" })
		if addr == nil || lived {
			addr = n
		}
		if lived {
			break
		}
	}
	part := func(names ...string) string {
		var words []string
		for _, name := range names {
			for _, n := range addr.All(name) {
				if v := n.String(); v != "" && len(words) < maxList {
					words = append(words, v)
				}
			}
		}
		v := strings.Join(words, " ")
		if len(v) > maxValue {
			return ""
		}
		return v
	}
	a.Street = part("houseNumber", "houseNumberNumeric", "streetNameType", "streetName")
	a.Other = part("additionalLocator", "unitID", "buildingNumberSuffix", "postBox", "precinct")
	a.City, a.PostalCode, a.Country = part("city"), part("postalCode"), part("country")
	if lines := addr.All("streetAddressLine"); len(lines) > 0 && a.Street == "" {
		a.Street = clipRunes(lines[0].String(), maxValue)
		var rest []string
		for _, n := range lines[1:min(len(lines), maxList)] {
			rest = append(rest, n.String())
		}
		a.Other = clipRunes(strings.TrimSpace(strings.Join(rest, " ")+" "+a.Other), maxValue)
	}
	return a
}

// patientName reads the names: BR those of birth, CL (SP in older documents) those
// in use, given names without qualifier all those of birth. A name without any
// qualifier is taken as the one in use: it is no strict trait.
func (h *header) patientName(person *Node, p *greffe.Patient) {
	qualified := false
	for _, name := range person.All("name") {
		for _, part := range name.Children {
			qualified = qualified || part.Attr("qualifier") != ""
		}
	}
	for _, name := range person.All("name") {
		for _, part := range name.Children {
			v := h.text(part, part.Local)
			if v == "" || part.Space != name.Space {
				continue
			}
			q := strings.Fields(part.Attr("qualifier") + " -")[0]
			switch part.Local + " " + q {
			case "family BR":
				h.set(&p.BirthFamily, v, "nom de naissance")
			case "family CL", "family SP":
				h.set(&p.UsedFamily, v, "nom utilisé")
			case "family -":
				if p.UsedFamily == "" {
					p.UsedFamily = v
				}
			case "given BR":
				h.set(&p.FirstGiven, v, "premier prénom")
			case "given CL", "given SP":
				h.set(&p.UsedGiven, v, "prénom utilisé")
			case "given -":
				all := &p.Givens
				if !qualified {
					all = &p.UsedGiven
				}
				if *all != v && !strings.HasSuffix(*all, " "+v) {
					*all = h.clip(strings.TrimSpace(*all+" "+v), maxValue, "given")
				}
			}
		}
	}
}

// set stores the value of a trait; a second, different one is a contradiction.
func (h *header) set(to *string, v, what string) {
	switch {
	case *to == "":
		*to = v
	case *to != v:
		h.add(rulePatientName, "recordTarget", what)
	}
}

// one returns an attribute of the only element of its kind.
func (h *header) one(n *Node, element, attribute, what string) string {
	var v string
	for _, e := range n.All(element) {
		if a := h.clip(e.Attr(attribute), 40, element); a != "" {
			h.set(&v, a, what)
		}
	}
	return v
}
