package cda

import (
	"slices"
	"strings"

	"greffe/pkg/greffe"
)

// people reads authors, signer, custodian and recipients.
func (h *header) people() {
	root, d := h.root, &h.d
	named := false
	for _, a := range h.list("author") {
		if p := h.author(a); p != (greffe.Person{}) {
			d.Authors = append(d.Authors, p)
			named = named || p.Family != "" || p.Device != ""
		}
	}
	h.check(named, ruleAuthor, "author")

	keeper := root.Get("custodian", "assignedCustodian", "representedCustodianOrganization")
	d.Custodian = h.org(keeper)
	h.check(d.Custodian != (greffe.Org{}), ruleCustodian, "custodian")

	entity := root.Get("legalAuthenticator", "assignedEntity")
	d.Signer = h.person(entity, entity.Get("assignedPerson"))
	d.Signer.Organization = h.org(entity.Get("representedOrganization"))
	h.check(d.Signer != (greffe.Person{}), ruleSigner, "legalAuthenticator")

	for _, r := range h.list("informationRecipient") {
		to := r.Get("intendedRecipient")
		p := h.person(to, to.Get("informationRecipient"))
		p.Organization = h.org(to.Get("receivedOrganization"))
		if p != (greffe.Person{}) {
			d.Recipients = append(d.Recipients, p)
		}
	}
}

func (h *header) author(a *Node) greffe.Person {
	n := a.Get("assignedAuthor")
	p := h.person(n, n.Get("assignedPerson"))
	p.Function = h.code(a.Get("functionCode"))
	if dev := n.Get("assignedAuthoringDevice"); dev != nil {
		name := dev.Get("softwareName").String()
		if model := dev.Get("manufacturerModelName").String(); model != "" && model != name {
			name = strings.TrimSpace(name + " " + model)
		}
		p.Device = h.clip(name, maxValue, "assignedAuthoringDevice")
	}
	p.Organization = h.org(n.Get("representedOrganization"))
	return p
}

// person reads the id and specialty of a role and the name of who plays it.
func (h *header) person(role, player *Node) greffe.Person {
	p := greffe.Person{Specialty: h.code(role.Get("code"))}
	for _, id := range role.All("id") {
		// The national id counts more than any local one.
		if oid := h.oid(id); !oid.IsZero() && (p.ID.IsZero() || oid.Root == oidPersons && p.ID.Root != oidPersons) {
			p.ID = oid
		}
	}
	if name := player.Get("name"); name != nil {
		p.Family = h.names(name, "family")
		p.Given = h.names(name, "given")
		p.Prefix = h.names(name, "prefix")
		if p.Family == "" {
			p.Family = h.text(name, "name") // a name written in one piece
		}
	}
	return p
}

// names joins the parts of one kind of a name.
func (h *header) names(name *Node, part string) string {
	var all []string
	for _, n := range name.All(part) {
		if len(all) == maxList {
			break
		}
		if v := h.text(n, part); v != "" && !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return h.clip(strings.Join(all, " "), maxValue, part)
}

func (h *header) org(n *Node) greffe.Org {
	var o greffe.Org
	for _, id := range n.All("id") {
		if oid := h.oid(id); !oid.IsZero() && (o.ID.IsZero() || oid.Root == oidStructures && o.ID.Root != oidStructures) {
			o.ID = oid
		}
	}
	o.Name = h.text(n.Get("name"), "name")
	return o
}
