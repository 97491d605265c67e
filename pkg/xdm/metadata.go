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
	maxNodes     = 100_000
	maxDocuments = 200
	maxValue     = 1000 // bytes of one value
	maxValues    = 50   // values of one slot, codes of one kind
)

// SubmissionSet is one METADATA.XML: a set of documents that were sent together.
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
		set := SubmissionSet{Metadata: m}
		objects, bad := a.readObjects(m)
		set.Findings = bad
		if objects != nil {
			a.readSet(&set, objects)
		}
		a.Sets = append(a.Sets, set)
	}
	a.checkPatients()
	a.checkIDs()
	a.markUnreferenced(metadata)
	return findings
}

// where names an entry in a finding.
func where(entry int) string { return fmt.Sprintf("!%d", entry) }

// readObjects parses a METADATA.XML and returns the element that holds its objects.
func (a *Archive) readObjects(m int) (*cda.Node, []greffe.Finding) {
	at := where(m)
	rc, err := a.OpenEntry(m)
	if err != nil {
		return nil, []greffe.Finding{a.unreadable(m)}
	}
	defer rc.Close()
	limited := &io.LimitedReader{R: rc, N: a.lim.Metadata + 1}
	s := cda.NewScanner(limited)
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
	if root.Local != "SubmitObjectsRequest" {
		return nil, []greffe.Finding{ruleMetadataRoot.At(at)}
	}
	objects := root
	for _, c := range root.Children {
		if strings.HasSuffix(c.Local, "RegistryObjectList") {
			objects = c // LeafRegistryObjectList in ebRIM 2.1
			break
		}
	}
	var findings []greffe.Finding
	if s.Leading {
		findings = append(findings, ruleBlanks.At(at))
	}
	switch {
	case objects.Space == rim2 || strings.Contains(root.Space, "2.1"):
		findings = append(findings, ruleEbRIM.At(at))
	case objects.Space != rim3:
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

// readSet fills the set from the objects: packages, documents and associations.
func (a *Archive) readSet(set *SubmissionSet, objects *cda.Node) {
	at := where(set.Metadata)
	add := func(r greffe.Rule, args ...any) { set.Findings = append(set.Findings, r.At(at, args...)) }
	packages := kind(objects, "RegistryPackage")
	var sets []*cda.Node
	for _, p := range packages {
		if isSubmissionSet(p, objects) {
			sets = append(sets, p)
		}
	}
	if len(sets) == 0 {
		sets = packages
	} else if len(sets) > 1 {
		add(ruleSets)
	}
	if len(sets) > 0 {
		o := object{sets[0], objects}
		set.UniqueID = o.identifier(setUniqueID)
		set.SourceID = o.identifier(setSourceID)
		set.PatientID = parseCX(o.identifier(setPatientID))
		set.SubmissionTime = o.slot("submissionTime")
		set.Title = o.name()
		set.ContentType = o.code(setContentType)
		set.Authors = o.authors(setAuthor)
	}
	switch {
	case len(sets) == 0:
		add(ruleSet, "il n’est pas décrit")
	case set.UniqueID == "":
		add(ruleSet, "il n’a pas d’identifiant")
	}
	documents := kind(objects, "ExtrinsicObject")
	switch {
	case len(documents) == 0:
		add(ruleNone)
	case len(documents) > maxDocuments:
		add(ruleMany, maxDocuments)
		documents = documents[:maxDocuments]
	}
	for _, n := range documents {
		set.Documents = append(set.Documents, readDocument(object{n, objects}))
	}
	readAssociations(set, objects)
	a.match(set)
}

// isSubmissionSet tells the package of a set from that of a folder: by a classification
// inside it, or by one beside it that names it.
func isSubmissionSet(p, objects *cda.Node) bool {
	for _, c := range kind(p, "Classification") {
		if bare(c.Attr("classificationNode")) == nodeSubmissionSet {
			return true
		}
	}
	for _, c := range kind(objects, "Classification") {
		if bare(c.Attr("classificationNode")) == nodeSubmissionSet && c.Attr("classifiedObject") == p.Attr("id") {
			return true
		}
	}
	return false
}

// readAssociations reads which documents the documents of the set replace.
func readAssociations(set *SubmissionSet, objects *cda.Node) {
	for _, as := range kind(objects, "Association") {
		typ := as.Attr("associationType")
		if i := strings.LastIndexByte(typ, ':'); i >= 0 {
			typ = typ[i+1:]
		}
		if !slices.Contains([]string{"RPLC", "XFRM_RPLC", "APND_RPLC"}, typ) {
			continue
		}
		for i := range set.Documents {
			if d := &set.Documents[i]; d.id != "" && bare(d.id) == bare(as.Attr("sourceObject")) {
				d.Replaces = greffe.OID{Root: clip(as.Attr("targetObject"))}
			}
		}
	}
}

// checkPatients refuses sets that speak of several patients: ids of the same authority
// with different values.
func (a *Archive) checkPatients() {
	seen := make(map[string]string)
	for i := range a.Sets {
		s := &a.Sets[i]
		ids := []greffe.OID{s.PatientID}
		for _, d := range s.Documents {
			ids = append(ids, d.PatientID, d.Patient.INS)
		}
		for _, id := range ids {
			if id.Extension == "" || id.Root == "" {
				continue // ids of no authority cannot be compared
			}
			if other, ok := seen[id.Root]; ok && !strings.EqualFold(other, id.Extension) {
				s.Findings = append(s.Findings, rulePatients.At(where(s.Metadata)))
				break
			}
			seen[id.Root] = id.Extension
		}
	}
}

// checkIDs holds documents that share their unique id or their file.
func (a *Archive) checkIDs() {
	ids, files := make(map[greffe.OID]bool), make(map[int]bool)
	for i := range a.Sets {
		for j := range a.Sets[i].Documents {
			d := &a.Sets[i].Documents[j]
			if !d.UniqueID.IsZero() && ids[d.UniqueID] {
				d.add(ruleTwice)
			}
			if d.Entry >= 0 && files[d.Entry] {
				d.add(ruleShared)
			}
			ids[d.UniqueID], files[d.Entry] = true, true
		}
	}
}
