package parser

import (
	"path"
	"strings"

	"greffe/pkg/greffe"
	"greffe/pkg/ins"
)

// copies finds what came twice in the message: documents with the same bytes and the
// same action, files that equal the one inside a CDA, attachments that equal each
// other. The copy is kept, pointed at its original, and not delivered.
func (r *reading) copies() {
	kept := r.documents[:0:0]
	for _, d := range r.documents {
		if i := sameDocument(kept, d); i >= 0 {
			// The one that metadata describe says more; it stays.
			if kept[i].entry == nil && d.entry != nil {
				kept[i], d = d, kept[i]
			}
			r.copyOf(d.it, kept[i])
			for _, child := range r.items {
				if child.parent == d.it {
					child.TwinOf = kept[i].Part + strings.TrimPrefix(child.Path, d.Part)
					child.ignore("copie du document")
				}
			}
			continue
		}
		kept = append(kept, d)
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
	byDigest := make(map[greffe.Digest]*item) // files inside CDAs, then attachments
	owner := make(map[*item]*document)
	for _, d := range kept {
		for _, it := range r.items {
			if it.parent == d.it && d.it.Kind == greffe.PartCDA && !it.Skipped && byDigest[it.SHA256] == nil {
				byDigest[it.SHA256], owner[it] = it, d
			}
		}
	}
	for _, it := range r.items {
		if it.done || it.Skipped || it.Size == 0 {
			continue
		}
		first := byDigest[it.SHA256]
		if first == nil {
			byDigest[it.SHA256] = it
			continue
		}
		it.copyOf(first)
		if d := owner[first]; d != nil {
			d.Twins = append(d.Twins, it.Path)
		}
	}
}

func (r *reading) copyOf(it *item, d *document) {
	it.TwinOf = d.Part
	it.ignore("copie du document")
	d.Twins = append(d.Twins, it.Path)
}

// sameDocument returns the index of the document in list that d repeats, or -1.
func sameDocument(list []*document, d *document) int {
	for i, e := range list {
		if e.SHA256 == d.SHA256 && e.Action == d.Action && e.it.Kind == d.it.Kind && e.it.Kind == greffe.PartCDA {
			return i
		}
	}
	return -1
}

// renderings finds the PDFs that show level 3 documents (MSSanté ECO.2.1.1 and
// ECO.2.1.5): there is no byte to prove it, so it takes as many PDFs as documents,
// all about one patient, and the patient's name in each file name (ECO.2.1.6).
// Otherwise each PDF is a document of its own that a person looks at.
func (r *reading) renderings() {
	var cdas, pdfs []*document
	for _, d := range r.documents {
		switch {
		case d.Format == greffe.FormatCDA3 && len(d.Twins) == 0:
			cdas = append(cdas, d)
		case d.Format == greffe.FormatPDF && d.entry == nil && d.it.loose():
			pdfs = append(pdfs, d)
		}
	}
	if _, _, differs := r.differ(); len(cdas) == 0 || len(cdas) != len(pdfs) || differs != "" {
		return
	}
	p := cdas[0].Patient
	for _, d := range pdfs {
		if greffe.VerdictOf(d.it.Findings) == greffe.VerdictRefused || !namesPatient(d.it.Name, p) {
			return
		}
	}
	for i, d := range pdfs {
		r.copyOf(d.it, cdas[i])
		d.it.Reason = "version PDF du document"
		for j, e := range r.documents {
			if e == d {
				r.documents = append(r.documents[:j], r.documents[j+1:]...)
				break
			}
		}
	}
}

// namesPatient reports whether a file name holds the family name of the patient, as
// whole words.
func namesPatient(name string, p greffe.Patient) bool {
	words := func(s string) string {
		return " " + strings.Join(strings.FieldsFunc(ins.Normalise(s), func(c rune) bool {
			return (c < 'A' || c > 'Z') && (c < '0' || c > '9')
		}), " ") + " "
	}
	file := words(strings.TrimSuffix(name, path.Ext(name)))
	for _, family := range []string{p.BirthFamily, p.UsedFamily} {
		if w := words(family); strings.TrimSpace(w) != "" && strings.Contains(file, w) {
			return true
		}
	}
	return false
}
