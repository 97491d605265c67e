package fhir

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"math/big"
	"slices"
	"time"
)

// Profiles that a server may choose its rules by.
const (
	profileBundle     = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-comprehensive-provide-document-bundle"
	profileSimplified = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-simplified-publish"
)

// Transaction is an ITI-65 request that streams.
type Transaction struct {
	stream
	want      int // entries
	reference int // which entry is the DocumentReference
}

// Provide returns the transaction of the submission: List, DocumentReference, the
// PATCH that supersedes the old reference when there is one, and Binary, all or
// nothing (MHD ITI-65). Without content (reference mode) List and Binary are left
// out, and the attachment points at s.URL.
//
// A repeat creates neither List nor DocumentReference again (ifNoneExist); a Binary
// has nothing to be recognised by, so that a caller asks for the reference first.
// The content is opened when the request is sent and streamed into it.
func (s *Submission) Provide(content *Blob) *Transaction {
	ref := s.Reference()
	// Not the entry's identifier: some servers put the address they give a resource
	// wherever its address in the bundle stands, identifiers included.
	refURL := "urn:uuid:" + s.derived("reference")
	binURL := "urn:uuid:" + s.derived("binary")
	b := Bundle{ResourceType: "Bundle", Type: "transaction"}
	if content != nil {
		b.Meta = &Meta{Profile: []string{profileBundle}}
		ref.Content[0].Attachment.URL = binURL
		list := s.list(ref.Subject, refURL)
		b.Entry = append(b.Entry, Entry{
			FullURL: "urn:uuid:" + s.derived("list"), Resource: raw(list),
			Request: &Request{Method: "POST", URL: "List", IfNoneExist: query("identifier", list.Identifier[0].Token())},
		})
	}
	t := &Transaction{reference: len(b.Entry)}
	b.Entry = append(b.Entry, Entry{FullURL: refURL, Resource: raw(ref), Request: &Request{Method: "POST", URL: "DocumentReference", IfNoneExist: s.IfNoneExist()}})
	if s.Replaces != "" {
		_, _, patch := s.Patch.setStatus("superseded")
		b.Entry = append(b.Entry, Entry{Resource: patch, Request: &Request{Method: "PATCH", URL: s.Replaces}})
	}
	t.want = len(b.Entry)
	t.head = raw(b)
	if content != nil { // the Binary is the last entry
		t.want++
		bin := raw(Entry{FullURL: binURL, Resource: raw(Binary{ResourceType: "Binary", ContentType: s.Document.MediaType}), Request: &Request{Method: "POST", URL: "Binary"}})
		before := slices.Concat(bytes.TrimSuffix(t.head, []byte("]}")), []byte(","))
		t.stream = around(bin, content)
		t.head, t.tail = slices.Concat(before, t.head), append(t.tail, "]}"...)
	}
	return t
}

// list is the submission set. Its author is Greffe: what the sender of the mail
// submitted was another set.
func (s *Submission) list(subject *Reference, item string) List {
	device := Device{ResourceType: "Device", ID: "source", DeviceName: []DeviceName{{Name: "Greffe", Type: "model-name"}}}
	list := List{
		ResourceType: "List", Status: "current", Mode: "working",
		Identifier: []Identifier{
			{Use: "usual", System: uri, Value: "urn:oid:" + s.oid("set")},
			{Use: "official", System: uri, Value: "urn:uuid:" + s.derived("list entry")},
		},
		Code:    &Concept{Coding: []Coding{{System: listTypes, Code: "submissionset"}}},
		Subject: subject,
		Date:    s.At.Format(time.RFC3339),
		Source:  &Reference{Reference: "#source"},
		Entry:   []ListEntry{{Item: Reference{Reference: item}}},
	}
	if s.SourceID != "" {
		id := Identifier{System: uri, Value: "urn:oid:" + s.SourceID}
		device.Identifier = []Identifier{id}
		list.Extension = append(list.Extension, Extension{URL: "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-sourceId", ValueIdentifier: &id})
	}
	// PDSm takes the kind of establishment for the content type, if it is known.
	kind := concept(s.Document.Facility, "")
	if kind == nil {
		kind = concept(s.Document.Type, typeSystem)
	}
	if kind != nil {
		list.Extension = append(list.Extension, Extension{URL: "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-designationType", ValueConcept: kind})
	}
	list.Contained = []json.RawMessage{raw(device)}
	return list
}

// Creation is the request that creates one DocumentReference.
type Creation struct {
	stream
	ifNoneExist string
}

// Create returns the request to create the reference alone. With content, the
// document is inside (ITI-105, simplified publish), streamed when the request is
// sent; without, the attachment points at s.URL.
func (s *Submission) Create(content *Blob) *Creation {
	ref := s.Reference()
	c := &Creation{ifNoneExist: s.IfNoneExist()}
	if content == nil {
		c.head = raw(ref)
		return c
	}
	ref.Meta = &Meta{Profile: []string{profileSimplified}}
	a := &ref.Content[0].Attachment
	a.URL, a.Data = "", new(string)
	c.stream = around(raw(ref), content)
	return c
}

// derived returns another UUID that depends only on the submission.
func (s *Submission) derived(kind string) string {
	h := sha256.Sum256([]byte(s.UUID + "\x00" + kind))
	return UUID([16]byte(h[:16]))
}

// oid returns an OID under 2.25 (ITU-T X.667) that depends only on the submission:
// the uniqueId of a set, or of a document that has none, has to be one.
func (s *Submission) oid(kind string) string {
	h := sha256.Sum256([]byte(s.UUID + "\x00" + kind))
	return "2.25." + new(big.Int).SetBytes(h[:16]).String()
}
