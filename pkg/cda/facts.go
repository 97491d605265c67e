package cda

import (
	"regexp"
	"slices"
	"strconv"

	"greffe/pkg/greffe"
)

// Limits of what is taken from a header into a greffe.Document.
const (
	maxValue = 1000 // bytes of one value
	maxID    = 256  // bytes of a root or an extension
	maxList  = 50   // authors, recipients, ids, orders
)

// OIDs of the French registers of persons and structures (domain §7).
const (
	oidPersons    = "1.2.250.1.71.4.2.1"
	oidStructures = "1.2.250.1.71.4.2.2"
)

var (
	timestamp = regexp.MustCompile(`^[0-9]{4}(0[1-9]|1[0-2])?((0[1-9]|[12][0-9]|3[01])([01][0-9]|2[0-3])?([0-5][0-9])?([0-5][0-9](\.[0-9]{1,6})?)?)?([+-][0-9]{2,4})?$`)
	language  = regexp.MustCompile(`^[a-zA-Z]{2,3}(-[a-zA-Z]{2})?$`)
)

// facts fills the document from the tree of the header and checks the
// cardinalities of domain §5.2.
func (h *header) facts() {
	root, d := h.root, &h.d
	if root.Space != HL7 {
		h.add(ruleNamespace, "")
	}
	if h.s.Leading {
		h.add(ruleBlanks, "")
	}
	h.single("id", "typeId", "code", "title", "effectiveTime", "confidentialityCode", "languageCode", "setId", "versionNumber", "realmCode", "typeId", "dataEnterer", "custodian", "legalAuthenticator", "componentOf")
	h.check(root.Get("realmCode").Attr("code") == "FR", ruleRealm, "realmCode")
	h.check(root.Get("typeId").Attr("extension") == "POCD_HD000040" && root.Get("typeId").Attr("root") == typeRoot, ruleType, "typeId")
	var templates []string
	for _, t := range root.All("templateId") {
		templates = append(templates, t.Attr("root"))
	}
	h.check(slices.Contains(templates, hl7France) && slices.Contains(templates, ciSIS), ruleTemplate, "templateId")

	h.identity()
	d.Type = h.code(root.Get("code"))
	h.check(d.Type.Code != "", ruleCode, "code")
	d.Title = h.text(root.Get("title"), "title")
	h.check(d.Title != "", ruleTitle, "title")
	d.Created = h.value(root.Get("effectiveTime"), "effectiveTime")
	h.check(timestamp.MatchString(d.Created), ruleTime, "effectiveTime")
	if c := h.code(root.Get("confidentialityCode")); c.Code != "" {
		d.Confidentiality = []greffe.Code{c}
	}
	h.check(len(d.Confidentiality) > 0, ruleConf, "confidentialityCode")
	d.Language = h.clip(root.Get("languageCode").Attr("code"), maxValue, "languageCode")
	h.check(language.MatchString(d.Language), ruleLanguage, "languageCode")

	h.patient()
	h.people()
	h.service()
	h.encounter()
	for _, o := range h.list("inFulfillmentOf") {
		for _, id := range o.Get("order").All("id") {
			if oid := h.oid(id); !oid.IsZero() && len(d.Orders) < maxList {
				d.Orders = append(d.Orders, oid)
			}
		}
	}
	h.completeness()
	h.bodyFacts(templates)
}

// identity reads the ids of the document, its version and what it replaces.
func (h *header) identity() {
	root, d := h.root, &h.d
	for _, n := range root.All("id") {
		id := h.oid(n)
		if !d.UniqueID.IsZero() && !id.IsZero() && id != d.UniqueID {
			h.add(ruleIDs, "id")
			break
		}
		if d.UniqueID.IsZero() {
			d.UniqueID = id
		}
	}
	h.check(!d.UniqueID.IsZero(), ruleID, "id")
	d.SetID = h.oid(root.Get("setId"))
	h.check(!d.SetID.IsZero(), ruleSet, "setId")
	d.Version = version(root.Get("versionNumber"))
	h.check(d.Version > 0, ruleVersion, "versionNumber")

	for _, rel := range root.All("relatedDocument") {
		if rel.Attr("typeCode") != "RPLC" {
			continue
		}
		parent := rel.Get("parentDocument")
		id := h.oid(parent.Get("id"))
		switch {
		case id.IsZero():
			h.add(ruleParent, "relatedDocument")
			continue
		case !d.Replaces.IsZero() && d.Replaces != id:
			h.add(ruleParents, "relatedDocument")
			return
		case id == d.UniqueID:
			h.add(ruleSelf, "relatedDocument")
		}
		d.Replaces, d.Action = id, greffe.ActionReplace
		if set := h.oid(parent.Get("setId")); !set.IsZero() && !d.SetID.IsZero() && set != d.SetID {
			h.add(ruleParentSet, "relatedDocument")
		}
		if v := version(parent.Get("versionNumber")); v > 0 && d.Version > 0 && v >= d.Version {
			h.add(ruleParentLess, "relatedDocument")
		}
		if d.Version == 1 {
			h.add(ruleFirst, "relatedDocument")
		}
	}
}

// version returns a version number from 1, or 0.
func version(n *Node) int {
	v, err := strconv.ParseUint(n.Attr("value"), 10, 31)
	if err != nil {
		return 0
	}
	return int(v)
}

// service reads the main act: the first documentationOf.
func (h *header) service() {
	d := &h.d
	act := h.root.Get("documentationOf", "serviceEvent")
	if act == nil {
		h.add(ruleService, "documentationOf", "il manque")
		return
	}
	d.Event = h.code(act.Get("code"))
	when := act.Get("effectiveTime")
	d.ServiceStart = h.value(when.Get("low"), "effectiveTime")
	d.ServiceStop = h.value(when.Get("high"), "effectiveTime")
	if d.ServiceStart == "" {
		d.ServiceStart = h.value(when, "effectiveTime")
	}
	h.check(timestamp.MatchString(d.ServiceStart), ruleService, "documentationOf", "sa date de début manque")
	for _, p := range act.All("performer") {
		org := p.Get("assignedEntity", "representedOrganization")
		if c := h.code(org.Get("standardIndustryClassCode")); d.Practice.Code == "" {
			d.Practice = c
		}
	}
	h.check(d.Practice.Code != "", ruleService, "documentationOf", "le cadre d’exercice de l’exécutant manque")
}

// encounter reads the stay and the kind of facility.
func (h *header) encounter() {
	d := &h.d
	stay := h.root.Get("componentOf", "encompassingEncounter")
	if stay == nil {
		h.add(ruleEncounter, "componentOf", "elle manque")
		return
	}
	for _, n := range stay.All("id") {
		// Some examples write the id of a professional here: not a stay number.
		if id := h.oid(n); d.Encounter.IsZero() && id.Root != oidPersons && id.Root != oidStructures {
			d.Encounter = id
		}
	}
	d.EncounterType = h.code(stay.Get("code"))
	d.Facility = h.code(stay.Get("location", "healthCareFacility", "code"))
	h.check(stay.Get("effectiveTime") != nil, ruleEncounter, "componentOf", "ses dates manquent")
	h.check(d.Facility.Code != "", ruleEncounter, "componentOf", "le type d’établissement manque")
}

// bodyFacts tells the level of the document.
func (h *header) bodyFacts(templates []string) {
	d := &h.d
	switch {
	case h.body == nil:
		h.add(ruleBody, "component")
	case h.body.Local == "structuredBody":
		d.Format = greffe.FormatCDA3
	default:
		d.Format = greffe.FormatCDA1
		media := cleanMediaType(h.body.Attr("mediaType"))
		pdf := media == "application/pdf" && h.body.Attr("representation") == "B64"
		if pdf || slices.Contains(templates, xdsSDTemplate) {
			d.FormatCode = greffe.Code{Code: "urn:ihe:iti:xds-sd:pdf:2008", System: "1.3.6.1.4.1.19376.1.2.3"}
		}
		if media == "" {
			media = "aucun"
		}
		h.check(pdf, ruleBodyType, "component", media)
	}
}

// check adds the finding unless ok.
func (h *header) check(ok bool, rule greffe.Rule, where string, args ...any) {
	if !ok {
		h.add(rule, where, args...)
	}
}

// single reports the elements that are written more than once.
func (h *header) single(names ...string) {
	for _, name := range names {
		if all := h.root.All(name); len(all) > 1 && name != "id" {
			h.add(ruleRepeated, name, name)
		}
	}
}

// list returns the first children of a repeatable kind.
func (h *header) list(name string) []*Node {
	all := h.root.All(name)
	if len(all) > maxList {
		h.add(ruleMany, name, name)
		all = all[:maxList]
	}
	return all
}

// oid reads an instance identifier; zero when it has a nullFlavor or no root.
func (h *header) oid(n *Node) greffe.OID {
	id := greffe.OID{
		Root:      h.clip(n.Attr("root"), maxID, "root"),
		Extension: h.clip(n.Attr("extension"), maxID, "extension"),
	}
	if id.Root == "" {
		return greffe.OID{}
	}
	return id
}

func (h *header) code(n *Node) greffe.Code {
	return greffe.Code{
		Code:   h.clip(n.Attr("code"), maxID, "code"),
		System: h.clip(n.Attr("codeSystem"), maxID, "codeSystem"),
		Label:  h.clip(n.Attr("displayName"), maxValue, "displayName"),
	}
}

func (h *header) value(n *Node, where string) string {
	return h.clip(n.Attr("value"), 40, where)
}

func (h *header) text(n *Node, where string) string {
	return h.clip(n.String(), maxValue, where)
}

// clip drops a value that is too long: half of an identifier is another one.
func (h *header) clip(v string, limit int, where string) string {
	if len(v) > limit {
		h.add(ruleLong, where, where)
		return ""
	}
	return v
}
