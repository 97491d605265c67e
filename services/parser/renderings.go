package parser

import (
	"slices"

	"greffe/pkg/greffe"
)

// Rules about a PDF that may be the copy of a document, and is not proven to be.
var (
	ruleAmbiguous  = rule("parser.pdf.ambiguous", greffe.Hold, "Ce PDF peut être la copie de plusieurs documents de ce message, ou plusieurs PDF celle du même : rien ne dit lequel. Comparez-les avant de classer.", ref2+", ECO.2.1.1 et ECO.2.1.5")
	ruleUnproven   = rule("parser.pdf.unproven", greffe.Hold, "Ce PDF porte le nom du patient, mais rien ne prouve qu’il soit la copie d’un document de ce message (date, type ou titre) : ce peut être un autre document. Ouvrez-le.", ref2+", ECO.2.1.6")
	ruleSomebody   = rule("parser.pdf.patient", greffe.Hold, "Le nom de ce PDF désigne un autre patient que les documents de ce message. Ouvrez-le et vérifiez de qui il s’agit.", ref2+", ECO.2.1.1 et ECO.2.1.6")
	ruleOtherBytes = rule("parser.pdf.other", greffe.Hold, "Ce PDF est nommé comme un document de ce message, mais ce n’est pas le fichier que ce document contient : comparez-les.", ref2+", ECO.2.1.5")
)

var twinRules = []greffe.Rule{ruleSameID, ruleAmbiguous, ruleUnproven, ruleSomebody, ruleOtherBytes}

const (
	enough   = 3  // points that prove a rendering, besides the name of the patient
	maxPairs = 64 // PDFs, and documents, that are compared with each other
)

// renderings finds the PDFs that show level 3 documents (MSSanté ECO.2.1.1 and
// ECO.2.1.5). No byte proves it, so it takes evidence: the name of the PDF, or its title,
// must name the patient, and must fit date, type or title of one document better than of
// any other, and that document no other PDF as well. Never the order in which they came.
// Any other PDF is a document of its own that a person looks at, and is told why.
func (r *reading) renderings() {
	var documents, pdfs []*document
	for _, d := range r.documents {
		switch {
		case d.Format == greffe.FormatCDA3 || d.Format == greffe.FormatCDA1:
			documents = append(documents, d)
		case d.Format == greffe.FormatPDF && d.entry == nil:
			pdfs = append(pdfs, d)
		}
	}
	if len(documents) == 0 || len(pdfs) == 0 {
		return
	}
	if _, _, differs := r.differ(); differs != "" {
		return // every document is held, and every PDF is one
	}
	if len(documents) > maxPairs || len(pdfs) > maxPairs {
		for _, p := range pdfs {
			p.more = append(p.more, ruleAmbiguous.At(p.Part))
		}
		return
	}
	scores := make([][]evidence, len(pdfs))
	shown := make([]described, len(documents))
	for j, d := range documents {
		shown[j] = describe(&d.Document)
	}
	for i, p := range pdfs {
		name := parseName(p.it.Name, r.sent)
		scores[i] = make([]evidence, len(documents))
		for j := range documents {
			scores[i][j] = name.speaksFor(&shown[j], p.it.PDF)
		}
	}
	var twins []*document
	for i, p := range pdfs {
		j, rule := pair(scores, documents, i)
		switch {
		case rule.ID != "":
			// It says more than that a PDF came without a document.
			p.more = slices.DeleteFunc(p.more, func(f greffe.Finding) bool { return f.Rule == rulePDF.ID })
			p.more = append(p.more, rule.At(p.Part))
		case j >= 0 && !harmful(p.it.Findings): // what is wrong with it must be seen
			r.copyOf(p.it, documents[j])
			p.it.Reason = "version PDF du document"
			twins = append(twins, p)
		}
	}
	r.documents = slices.DeleteFunc(r.documents, func(d *document) bool { return slices.Contains(twins, d) })
}

func harmful(findings []greffe.Finding) bool {
	v := greffe.VerdictOf(findings)
	return v == greffe.VerdictHeld || v == greffe.VerdictRefused
}

// pair returns the document that the i-th PDF is the rendering of, or -1 and what to tell
// about it: nothing for a PDF that does not name the patient.
func pair(scores [][]evidence, documents []*document, i int) (int, greffe.Rule) {
	best, named, somebody := -1, false, true
	tie := false
	for j, e := range scores[i] {
		named = named || e.named
		somebody = somebody && e.somebody
		switch {
		case e.points < enough:
		case best < 0 || e.points > scores[i][best].points:
			best, tie = j, false
		case e.points == scores[i][best].points:
			tie = true
		}
	}
	switch {
	case best < 0 && named:
		return -1, ruleUnproven
	case best < 0 && somebody:
		return -1, ruleSomebody
	case best < 0:
		return -1, greffe.Rule{}
	case tie:
		return -1, ruleAmbiguous
	}
	for k := range scores {
		if k != i && scores[k][best].points >= scores[i][best].points {
			return -1, ruleAmbiguous
		}
	}
	if documents[best].Format == greffe.FormatCDA1 { // its copy has the bytes of what it carries
		return -1, ruleOtherBytes
	}
	return best, greffe.Rule{}
}
