package console

import (
	"slices"
	"strings"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
	identity "greffe/pkg/ins"
)

// twinView is a part that is a copy of a document: one document on screen, two files in
// the archive.
type twinView struct {
	greffe.Part
	N            int // place in the list, for its address
	Downloadable bool
}

// twinsOf lists the copies of a document in its message, in their order.
func twinsOf(m index.Detail, f greffe.Document) []twinView {
	if m.Parsed == nil {
		return nil
	}
	var out []twinView
	for i, p := range m.Parsed.Parts {
		if slices.Contains(f.Twins, p.Path) {
			_, kept := m.Objects[p.Path]
			out = append(out, twinView{p, i, kept && !greffe.Unsafe(p.Findings)})
		}
	}
	return out
}

// original returns the document that a part is a copy of, or of a file inside it; nil
// when that is no document.
func original(documents []index.Document, twinOf string) *index.Document {
	if twinOf == "" {
		return nil
	}
	for i := range documents {
		f := &documents[i].Facts
		if twinOf == f.Part || twinOf == f.Body || strings.HasPrefix(twinOf, f.Part+"#") || strings.HasPrefix(f.Part, twinOf+"!") {
			return &documents[i]
		}
	}
	return nil
}

// comparedView is the identity of this document beside that of another one, when they do
// not say the same.
type comparedView struct {
	Other       index.Document
	Contradicts bool
	Lines       []identity.Line
}

const maxCompared = 3 // tables on one page

// compared compares the patient of a document with those of others that have to do with
// it, and keeps what a person should look at.
func compared(f greffe.Document, others []index.Document) []comparedView {
	var out []comparedView
	for _, o := range others {
		if f.Patient.IsZero() || o.Facts.Patient.IsZero() || len(out) == maxCompared {
			continue
		}
		c := identity.Compare(f.Patient, o.Facts.Patient)
		if c.Contradicts() || c.Which(identity.Compatible) != "" {
			out = append(out, comparedView{o, c.Contradicts(), readable(c)})
		}
	}
	return out
}

// readable writes dates, sexes and numbers as the rest of the page does, and leaves out
// what neither of the two says.
func readable(c identity.Comparison) []identity.Line {
	var out []identity.Line
	for _, l := range c {
		if l.A == "" && l.B == "" {
			continue
		}
		for _, v := range []*string{&l.A, &l.B} {
			switch {
			case *v == "":
				*v = "—"
			case l.Trait == identity.TraitINS:
				*v = ins(*v)
			case l.Trait == identity.TraitBirthDate:
				*v = hl7Time(*v)
			case l.Trait == identity.TraitSex:
				*v = word(sexWords, *v)
			}
		}
		out = append(out, l)
	}
	return out
}
