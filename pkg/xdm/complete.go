package xdm

import (
	"slices"
	"strings"

	"greffe/pkg/cda"
	"greffe/pkg/greffe"
)

// Complete adds to a document, read from its CDA header or known only by its file, what
// the metadata say about it: class, format, facility, practice, masking codes, and the
// action that is asked (decision table of domain §4.4, as far as it can be told without
// knowing the parent). It returns what does not agree between the two (domain §4.3,
// checks 8, 9 and 11); the document's own values win. Traits of the patient are for
// package ins to compare.
func (d *DocumentEntry) Complete(doc *greffe.Document, where string) []greffe.Finding {
	var findings []greffe.Finding
	add := func(r greffe.Rule, args ...any) { findings = append(findings, r.At(where, args...)) }
	isCDA := doc.Format == greffe.FormatCDA1 || doc.Format == greffe.FormatCDA3

	if !isCDA && (d.MimeType == cda.MediaType || d.MimeType == cda.MediaTypeXSL) {
		add(ruleNotCDA)
	}
	if isCDA && !d.UniqueID.IsZero() && !sameID(d.UniqueID, doc.UniqueID) {
		add(ruleNotSameID)
	}
	if d.Type.Code != "" && doc.Type.Code != "" && d.Type.Code != doc.Type.Code {
		add(ruleNotSameType, doc.Type.Code, d.Type.Code)
	}
	if d.Title != "" && doc.Title != "" && !sameText(d.Title, doc.Title) {
		add(ruleNotSameTitle)
	}
	if isCDA && !d.samePatient(doc.Patient) {
		add(ruleNotSamePatient)
	}
	d.completeCodes(doc, add)
	d.completeAction(doc, isCDA, add)
	if !isCDA {
		// Nothing but the metadata says anything about this file.
		doc.UniqueID, doc.Patient, doc.Authors = d.UniqueID, d.Patient, d.Authors
	}
	fill(&doc.Title, d.Title)
	fill(&doc.Language, d.Language)
	fill(&doc.Created, d.Created)
	fill(&doc.ServiceStart, d.ServiceStart)
	fill(&doc.ServiceStop, d.ServiceStop)
	return findings
}

func fill(to *string, v string) {
	if *to == "" {
		*to = v
	}
}

// completeCodes merges the codes. Confidentiality comes first from the document, then
// from the metadata, the only place for the masking codes (domain §5.5).
func (d *DocumentEntry) completeCodes(doc *greffe.Document, add func(greffe.Rule, ...any)) {
	for _, c := range []struct {
		to   *greffe.Code
		from greffe.Code
	}{{&doc.Type, d.Type}, {&doc.Class, d.Class}, {&doc.FormatCode, d.Format}, {&doc.Facility, d.Facility}, {&doc.Practice, d.Practice}} {
		// Class and format have their place in the metadata.
		if c.from.Code != "" && (c.to.Code == "" || c.to == &doc.Class || c.to == &doc.FormatCode) {
			*c.to = c.from
		}
	}
	if len(d.Events) > 0 && doc.Event.Code == "" {
		doc.Event = d.Events[0]
	}
	has := func(code string) bool {
		return slices.ContainsFunc(doc.Confidentiality, func(c greffe.Code) bool { return c.Code == code })
	}
	own := len(doc.Confidentiality) > 0
	for _, c := range d.Confidentiality {
		switch {
		case has(c.Code):
			continue
		case own && len(c.Code) == 1: // N, R, V: a level, of which there is one
			add(ruleNotSameConf)
		}
		doc.Confidentiality = append(doc.Confidentiality, c)
	}
}

// completeAction decides what is asked. A value that is not known leaves the action of
// the document; the finding of the metadata holds it. What the metadata say of the parent
// (an association) is worth no more than its id, which only an archive that holds the
// parent, too, turns into the number that the DI knows it by.
func (d *DocumentEntry) completeAction(doc *greffe.Document, isCDA bool, add func(greffe.Rule, ...any)) {
	switch d.Action {
	case "D":
		// The archive carries the last version itself, with its own link to the version
		// before: that link is no replacement.
		doc.Action = greffe.ActionDelete
		if d.ReplacesEntry != "" {
			add(ruleDeleteReplaces)
		}
		return
	case "C":
		doc.Action = greffe.ActionReplace
	case "":
		switch {
		case !isCDA:
		case doc.Action == greffe.ActionReplace && d.ReplacesEntry == "":
			add(ruleNoAction)
		case d.ReplacesEntry != "":
			doc.Action = greffe.ActionReplace
		}
	}
	if doc.Action != greffe.ActionReplace || !isCDA {
		return
	}
	switch {
	case doc.Replaces.IsZero():
		doc.Replaces = d.Replaces
		add(ruleNoParent)
	case !d.Replaces.IsZero() && !sameID(d.Replaces, doc.Replaces):
		add(ruleOtherParent)
	}
}

// samePatient reports whether the metadata can be about the patient of the document: no
// id of an authority that both use differs, and some id of the metadata is there.
func (d *DocumentEntry) samePatient(p greffe.Patient) bool {
	if len(d.Patient.IDs) == 0 || len(p.IDs) == 0 {
		return true // nothing to compare: others say that an id is missing
	}
	common := false
	for _, a := range d.Patient.IDs {
		same, other := false, false
		for _, b := range p.IDs {
			switch equal := strings.EqualFold(a.Extension, b.Extension); {
			case strings.EqualFold(a.Root, b.Root):
				same, other = same || equal, other || !equal
			case a.Root == "": // the metadata do not say whose id it is
				same = same || equal
			}
		}
		if other && !same {
			return false
		}
		common = common || same
	}
	return common
}

// sameID compares a uniqueId with the id of a CDA. Some senders join root and extension
// with a dot.
func sameID(meta, id greffe.OID) bool {
	return meta == id || strings.EqualFold(meta.String(), id.String()) ||
		meta.Extension == "" && id.Extension != "" && meta.Root == id.Root+"."+id.Extension
}

func sameText(a, b string) bool {
	return strings.EqualFold(strings.Join(strings.Fields(a), " "), strings.Join(strings.Fields(b), " "))
}
