package xdm

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"greffe/pkg/cda"
	"greffe/pkg/greffe"
)

// Identification and classification schemes of XDS metadata (IHE ITI TF-3 §4.2.5), without
// the prefix urn:uuid: that some senders omit.
const (
	nodeSubmissionSet = "a54d6aa5-d40d-43f9-88c5-b4633d873bdd"
	setUniqueID       = "96fdda7c-d067-4183-912e-bf5ee74998a8"
	setSourceID       = "554ac39e-e3fe-47fe-b233-965d2a147832"
	setPatientID      = "6b5aea1a-874d-4603-a4bc-96a0a7b38446"
	setAuthor         = "a7058bb9-b4e4-4307-ba5b-e3f0ab85e12d"
	folderPatientID   = "f64ffdf0-4b97-4e06-b79f-a52b38ec2f8a"
	setContentType    = "aa543740-bdda-424e-8c96-df4873be8500"

	docUniqueID        = "2e82c1f6-a085-4c72-9da3-8640a32e42ab"
	docPatientID       = "58a6f841-87b3-4a3e-92fd-a8ffeff98427"
	docAuthor          = "93606bcf-9494-43ec-9b4e-a7748d1a838d"
	docClass           = "41a5887f-8865-4c09-adf7-e362475b143a"
	docConfidentiality = "f4f85eac-e6cb-4883-b524-f2705394840f"
	docEvent           = "2c6b8cb7-8b2a-4051-b291-b1ae6a575ef4"
	docFormat          = "a09d5840-386c-46f2-b5ad-9c3699a4309d"
	docFacility        = "f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1"
	docPractice        = "cccf5598-8b07-4b77-a05e-ae952c785ead"
	docType            = "f0306f51-975f-434e-a61c-c59651d33983"

	rim3 = "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"
	rim2 = "urn:oasis:names:tc:ebxml-regrep:rim:xsd:2.1"
)

// Limits of one METADATA.XML; the official examples have 600 elements for a document.
const (
	maxNodes        = 100_000
	maxDocuments    = 200 // of all METADATA.XML together
	maxAssociations = 2000
	maxValue        = 1000 // bytes of one value
	maxValues       = 50   // values of one slot, codes of one kind
)

// SubmissionSet is a set of documents that were sent together: one METADATA.XML, or a part
// of one that describes several.
type SubmissionSet struct {
	Metadata       int // index of the entry
	UniqueID       string
	SourceID       string
	PatientID      greffe.OID // Root is the assigning authority
	SubmissionTime string     // HL7 TS as received
	Title          string
	ContentType    greffe.Code
	Authors        []greffe.Person
	Documents      []DocumentEntry
	Findings       []greffe.Finding

	patients []greffe.OID // every id that it or a folder gives for the patient
}

// readSets reads every METADATA.XML.
func (a *Archive) readSets() []greffe.Finding {
	if !a.xdm {
		return nil
	}
	metadata, strict := a.metadataEntries()
	if len(metadata) == 0 {
		return []greffe.Finding{ruleMissing.At("")}
	}
	findings := a.checkLayout(metadata, strict)
	metadata, copies := a.dropCopies(metadata)
	findings = append(findings, copies...)
	for _, m := range metadata {
		registry, bad := a.readObjects(m)
		sets := []SubmissionSet{{Metadata: m}}
		if registry != nil {
			sets = a.readMetadata(m, registry)
		}
		sets[0].Findings = append(bad, sets[0].Findings...)
		a.Sets = append(a.Sets, sets...)
	}
	a.checkPatients()
	a.checkIDs()
	a.markUnreferenced(metadata)
	return findings
}

// where names an entry in a finding.
func where(entry int) string { return fmt.Sprintf("!%d", entry) }

// readObjects parses a METADATA.XML and returns its objects.
func (a *Archive) readObjects(m int) (*registry, []greffe.Finding) {
	at := where(m)
	rc, err := a.OpenEntry(m)
	if err != nil {
		return nil, []greffe.Finding{a.unreadable(m)}
	}
	defer rc.Close()
	limited := &io.LimitedReader{R: rc, N: a.lim.Metadata + 1}
	s := cda.NewScanner(limited)
	defer s.Close()
	var root *cda.Node
	for {
		kind, err := s.Next()
		if err == io.EOF {
			break
		}
		if err == nil && kind == cda.Start {
			root, err = s.Tree(&cda.TreeLimits{Nodes: maxNodes, Bytes: int(a.lim.Metadata)})
		}
		if err != nil {
			return nil, []greffe.Finding{metadataFault(err, limited.N == 0, at)}
		}
	}
	if limited.N == 0 {
		return nil, []greffe.Finding{metadataFault(nil, true, at)}
	}
	objects, request, wrapped := readRegistry(root)
	if objects == nil {
		return nil, []greffe.Finding{ruleMetadataRoot.At(at)}
	}
	var findings []greffe.Finding
	if s.Leading {
		findings = append(findings, ruleBlanks.At(at))
	}
	if wrapped {
		findings = append(findings, ruleMetadataWrapped.At(at))
	}
	switch space := objects.list.Space; {
	case space == rim2 || strings.Contains(request.Space, "2.1"):
		findings = append(findings, ruleEbRIM.At(at))
	case space != rim3:
		findings = append(findings, ruleNamespace.At(at))
	}
	return objects, findings
}

// unreadable says why the bytes of an entry cannot be had.
func (a *Archive) unreadable(i int) greffe.Finding {
	for _, f := range a.Entries[i].Findings {
		if f.Severity == greffe.Hold || f.Severity == greffe.Refuse {
			return f
		}
	}
	return ruleEntry.At(where(i))
}

// metadataFault says why a METADATA.XML cannot be read.
func metadataFault(err error, tooLong bool, at string) greffe.Finding {
	bad, ok := errors.AsType[*cda.SyntaxError](err)
	switch {
	case tooLong:
		return ruleMetadataXML.At(at, "il est trop volumineux")
	case errors.Is(err, ErrCorrupt), !ok:
		return ruleEntry.At(at)
	case bad.Reason == "":
		return ruleMetadataXML.At(at, "il contient une déclaration de type (DTD), interdite")
	}
	return ruleMetadataXML.At(at, bad.Reason)
}

// readMetadata reads the sets of a METADATA.XML with their documents: one, where senders
// follow the profile. Findings about the file are those of its first set.
func (a *Archive) readMetadata(m int, r *registry) []SubmissionSet {
	var sets []SubmissionSet
	var packages []*cda.Node // of the sets
	var folders []greffe.OID // patients of folders and of packages that are neither
	for _, p := range r.packages {
		o := object{p, r}
		if len(r.packages) == 1 || isSubmissionSet(o) {
			sets, packages = append(sets, readSet(m, o)), append(packages, p)
		} else if v := o.identifier(folderPatientID); v != "" {
			folders = append(folders, parseCX(v))
		}
	}
	described := len(sets)
	if described == 0 {
		sets = []SubmissionSet{{Metadata: m}}
	}
	first := &sets[0]
	first.patients = append(first.patients, folders...)
	add := func(r greffe.Rule, args ...any) { first.Findings = append(first.Findings, r.At(where(m), args...)) }
	switch {
	case described == 0:
		add(ruleSet, "il n’est pas décrit")
	case described > 1:
		add(ruleSets)
	case first.UniqueID == "":
		add(ruleSet, "il n’a pas d’identifiant")
	}
	if len(packages) > 0 && len(slots(packages[0], actionSlot)) > 0 {
		add(ruleActionSet)
	}
	documents := r.documents
	switch {
	case len(documents) == 0:
		add(ruleNone)
	case len(documents) > maxDocuments-a.found:
		add(ruleMany, maxDocuments)
		documents = documents[:maxDocuments-a.found]
	}
	a.found += len(documents)
	entries := make([]*DocumentEntry, len(documents))
	for i, n := range documents {
		d := readDocument(object{n, r})
		entries[i] = &d
	}
	if len(r.associations) > maxAssociations {
		add(ruleAssociation, fmt.Sprintf("plus de %d liens", maxAssociations))
	}
	list := readAssociations(r)
	link(entries, list, add)
	setOf, owner := make(map[string]*SubmissionSet), make(map[string]*SubmissionSet)
	for i, p := range packages {
		setOf[bare(p.Attr("id"))] = &sets[i]
	}
	for _, as := range list {
		if set := setOf[as.source]; as.kind == hasMember && as.source != "" && set != nil {
			owner[as.target] = set
		}
	}
	for _, d := range entries {
		set := owner[bare(d.EntryUUID)]
		if set == nil {
			set = first
		}
		set.Documents = append(set.Documents, *d)
	}
	for i := range sets {
		a.match(&sets[i])
	}
	return sets
}

// readSet reads the package of a set.
func readSet(m int, o object) SubmissionSet {
	s := SubmissionSet{
		Metadata:       m,
		UniqueID:       o.identifier(setUniqueID),
		SourceID:       o.identifier(setSourceID),
		PatientID:      parseCX(o.identifier(setPatientID)),
		SubmissionTime: o.slot("submissionTime"),
		Title:          o.name(),
		ContentType:    o.code(setContentType),
		Authors:        o.authors(setAuthor),
	}
	for _, v := range o.identifiers(setPatientID) {
		s.patients = append(s.patients, parseCX(v))
	}
	return s
}

// isSubmissionSet tells the package of a set from that of a folder: by a classification
// inside it, or by one beside it that names it.
func isSubmissionSet(o object) bool {
	is := func(c *cda.Node) bool { return bare(c.Attr("classificationNode")) == nodeSubmissionSet }
	return slices.ContainsFunc(kind(o.n, "Classification"), is) || slices.ContainsFunc(o.r.loose[bare(o.n.Attr("id"))], is)
}
