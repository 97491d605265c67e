package cda

import (
	"slices"
	"strings"
)

// Identifiers that the header names (CI-SIS, structuration minimale).
const (
	typeRoot     = "2.16.840.1.113883.1.3"
	hl7France    = "2.16.840.1.113883.2.8.2.1"
	ciSIS        = "1.2.250.1.213.1.1.1.1"
	oidByPatient = "1.2.250.1.213.4.1" // custodian of documents that a patient wrote
)

// completeness checks what the header must hold besides the facts that are kept: one
// finding per element, which names all that it lacks.
func (h *header) completeness() {
	root := h.root
	var known []string
	for _, t := range root.All("templateId") {
		if id := t.Attr("root"); id != "" && len(known) < maxList && !slices.Contains(known, id) {
			known = append(known, id)
		}
	}
	if slices.Contains(known, hl7France) && slices.Contains(known, ciSIS) {
		h.check(len(known) >= 3, ruleVolet, "templateId")
	}
	for _, c := range h.d.Confidentiality {
		h.check(len(c.Code) == 1, ruleConfMask, "confidentialityCode", clipRunes(c.Code, 40))
	}
	h.completeAuthors()
	h.completeSigner()
	if keeper := root.Get("custodian", "assignedCustodian", "representedCustodianOrganization"); keeper != nil {
		ids := keeper.All("id")
		h.check(slices.ContainsFunc(ids, func(n *Node) bool {
			r := n.Attr("root")
			return r == oidStructures || r == oidByPatient
		}), ruleCustodianID, "custodian")
	}
	if act := root.Get("documentationOf", "serviceEvent"); act != nil {
		performers := act.All("performer")
		h.check(slices.ContainsFunc(performers, func(n *Node) bool { return n.Attr("typeCode") == "PRF" }), ruleService, "documentationOf", "l’exécutant (PRF) manque")
	}
	for _, p := range root.All("participant") {
		if p.Get("time") == nil {
			h.add(ruleParticipant, "participant")
			break
		}
	}
	for _, a := range root.All("authorization") {
		if a.Get("consent", "statusCode").Attr("code") != "completed" {
			h.add(ruleConsent, "authorization")
			break
		}
	}
	for _, rel := range root.All("relatedDocument") {
		if code := rel.Attr("typeCode"); code != "RPLC" {
			h.add(ruleRelated, "relatedDocument", clipRunes(code, 20))
			break
		}
	}
	h.completePatient()
}

// lacks reports what an element lacks, in one finding.
func (h *header) lacks(rule func(missing string), all ...struct {
	ok   bool
	what string
}) {
	var missing []string
	for _, a := range all {
		if !a.ok {
			missing = append(missing, a.what)
		}
	}
	if len(missing) > 0 {
		rule(strings.Join(missing, ", "))
	}
}

// part is one thing that an element must hold.
type part = struct {
	ok   bool
	what string
}

func (h *header) completeAuthors() {
	for _, a := range h.list("author") {
		who := a.Get("assignedAuthor")
		device := who.Get("assignedAuthoringDevice")
		person := who.Get("assignedPerson", "name")
		reported := false
		h.lacks(func(missing string) { reported = true; h.add(ruleAuthorLacks, "author", missing) },
			part{timestamp.MatchString(a.Get("time").Attr("value")), "la date"},
			part{hasID(who), "l’identifiant"},
			part{who.Get("code").Attr("code") != "" || device != nil, "la profession"},
			part{person.Get("family").String() != "" || device.Get("softwareName").String() != "" || person.String() != "", "le nom"},
			part{who.Get("representedOrganization") == nil || hasID(who.Get("representedOrganization")), "l’identifiant de la structure"},
		)
		if reported {
			return // one sentence is enough for the sender
		}
	}
}

func (h *header) completeSigner() {
	signer := h.root.Get("legalAuthenticator")
	if signer == nil {
		return // said already
	}
	who := signer.Get("assignedEntity")
	name := who.Get("assignedPerson", "name")
	h.lacks(func(missing string) { h.add(ruleSignerLacks, "legalAuthenticator", missing) },
		part{timestamp.MatchString(signer.Get("time").Attr("value")), "la date"},
		part{signer.Get("signatureCode").Attr("code") == "S", "la marque de signature (S)"},
		part{hasID(who), "l’identifiant"},
		part{name.Get("family").String() != "" || name.String() != "", "le nom"},
	)
}

// completePatient checks that each family name says what it is: birth name or used name.
func (h *header) completePatient() {
	for _, name := range h.root.Get("recordTarget", "patientRole", "patient").All("name") {
		for _, family := range name.All("family") {
			if q := strings.Fields(family.Attr("qualifier")); len(q) == 0 {
				h.add(ruleQualifier, "recordTarget")
				return
			}
		}
	}
}

// hasID reports whether an element has an id that is more than a nullFlavor.
func hasID(n *Node) bool {
	return slices.ContainsFunc(n.All("id"), func(id *Node) bool { return id.Attr("root") != "" })
}
