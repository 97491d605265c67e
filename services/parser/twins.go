package parser

import (
	"bytes"
	"hash/maphash"
	"io"
	"regexp"
	"slices"
	"strings"

	"greffe/pkg/cda"
	"greffe/pkg/greffe"
	"greffe/pkg/ins"
)

// ruleSameID is about two documents that claim to be one.
var ruleSameID = rule("parser.same-id", greffe.Hold, "Deux documents différents de ce message portent le même identifiant et la même version. Comparez-les avant de les classer.", "HL7 CDA R2 §4.2.1.7")

// copies finds what came twice in the message, by its bytes: documents with the same
// action, a document and its auto-présentable form, files that equal the one inside a CDA
// or one that metadata describe, attachments that equal each other. The copy is kept,
// pointed at its original, and not delivered.
func (r *reading) copies() {
	kept := r.documents[:0:0]
	for _, d := range r.documents {
		i := slices.IndexFunc(kept, func(e *document) bool { return sameDocument(e, d) })
		if i < 0 {
			kept = append(kept, d)
			continue
		}
		// The one that metadata describe says more; it stays.
		if kept[i].entry == nil && d.entry != nil {
			kept[i], d = d, kept[i]
		}
		r.merge(kept[i], d)
	}
	r.documents = kept
	for i, d := range kept {
		for _, e := range kept[:i] {
			if !d.UniqueID.IsZero() && d.UniqueID == e.UniqueID && d.Version == e.Version && d.Action == e.Action {
				d.more = append(d.more, ruleSameID.At(d.Part))
				e.more = append(e.more, ruleSameID.At(e.Part))
			}
		}
	}
	r.copiedFiles()
}

// copiedFiles points the parts that no document accounts for at the file that they equal:
// one inside a CDA, one that is a document by its metadata, or the first of themselves.
func (r *reading) copiedFiles() {
	first := make(map[greffe.Digest]*item)
	owners := make(map[greffe.Digest][]*document)
	own := func(d *document, it *item) {
		if it.Skipped || it.Size == 0 {
			return
		}
		if first[it.SHA256] == nil {
			first[it.SHA256] = it
		}
		if list := owners[it.SHA256]; len(list) == 0 || list[len(list)-1] != d {
			owners[it.SHA256] = append(list, d)
		}
	}
	byItem := make(map[*item]*document, len(r.documents))
	for _, d := range r.documents {
		byItem[d.it] = d
	}
	for _, it := range r.items {
		if d := byItem[it.parent]; d != nil && it.parent.Kind == greffe.PartCDA {
			own(d, it)
		}
	}
	for _, d := range r.documents {
		own(d, d.it)
	}
	for _, it := range r.items {
		if it.done || it.Skipped || it.Size == 0 {
			continue
		}
		if first[it.SHA256] == nil {
			first[it.SHA256] = it
			continue
		}
		it.copyOf(first[it.SHA256])
		for _, d := range owners[it.SHA256] {
			d.Twins = append(d.Twins, it.Path)
		}
	}
}

func (r *reading) copyOf(it *item, d *document) {
	it.TwinOf = d.Part
	it.ignore("copie du document")
	d.Twins = append(d.Twins, it.Path)
}

// merge makes a copy of another document: what its metadata say otherwise stays said.
func (r *reading) merge(d, twin *document) {
	r.copyOf(twin.it, d)
	for _, child := range r.items {
		if child.parent == twin.it {
			child.TwinOf = d.Part + strings.TrimPrefix(child.Path, twin.Part)
			child.ignore("copie du document")
		}
	}
	for _, c := range twin.Confidentiality { // masked once is masked
		if !d.Marked(c.Code) {
			d.Confidentiality = append(d.Confidentiality, c)
		}
	}
	if twin.entry != nil {
		d.more = append(d.more, ins.Agree(twin.entry.Patient, d.Patient, twin.Part)...)
	}
}

// sameDocument reports whether two documents are one: the same bytes, or the same CDA
// bare and in the stylesheet that shows it (auto-présentable).
func sameDocument(d, e *document) bool {
	if d.Action != e.Action || d.it.Kind != greffe.PartCDA || e.it.Kind != greffe.PartCDA {
		return false
	}
	return d.SHA256 == e.SHA256 && d.SHA256 != "" ||
		d.inner != 0 && d.inner == e.inner && (d.MediaType == cda.MediaTypeXSL) != (e.MediaType == cda.MediaTypeXSL) &&
			!d.UniqueID.IsZero() && d.UniqueID == e.UniqueID && d.Version == e.Version
}

var (
	rootTag   = regexp.MustCompile(`<([A-Za-z_][A-Za-z0-9_.-]*:)?ClinicalDocument(\s[^<>]*)?>`)
	innerSeed = maphash.MakeSeed()
)

const maxInner = 16 << 20

// innerSum is a hash of what stands between the tags of the ClinicalDocument, for finding
// the same document with and without the stylesheet around it; the tag itself may declare
// other prefixes. It is 0 when there is none, and for large documents when none of the
// message is auto-présentable: reading them into memory has to be worth it.
func (r *reading) innerSum(c *content, styled bool) uint64 {
	b := c.mem
	if c.file != nil {
		if c.size > maxInner || !styled && !r.styled {
			return 0
		}
		b = make([]byte, c.size)
		if _, err := io.ReadFull(c.reader(), b); err != nil {
			return 0 // they stay two documents
		}
	}
	r.styled = r.styled || styled
	at := rootTag.FindSubmatchIndex(b)
	if at == nil {
		return 0
	}
	prefix := ""
	if at[2] >= 0 {
		prefix = string(b[at[2]:at[3]])
	}
	end := bytes.LastIndex(b, []byte("</"+prefix+"ClinicalDocument"))
	if end < at[1] {
		return 0
	}
	return maphash.Bytes(innerSeed, bytes.TrimSpace(b[at[1]:end]))
}
