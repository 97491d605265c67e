package parser

import (
	"errors"
	"slices"

	"greffe/pkg/cda"
	"greffe/pkg/codes"
	"greffe/pkg/greffe"
	"greffe/pkg/xdm"
)

// document makes a document of a part.
func (r *reading) document(it *item, entry *xdm.DocumentEntry) *document {
	d := &document{it: it, entry: entry}
	d.Format, d.Action, d.MediaType = formatOf(it.Kind), greffe.ActionNew, it.Detected
	d.Part, d.SHA256, d.Size = it.Path, it.SHA256, it.Size
	it.done = true
	r.documents = append(r.documents, d)
	return d
}

func formatOf(k greffe.PartKind) greffe.Format {
	switch k {
	case greffe.PartPDF:
		return greffe.FormatPDF
	case greffe.PartImage:
		return greffe.FormatImage
	case greffe.PartHPRIM:
		return greffe.FormatHPRIM
	case greffe.PartText:
		return greffe.FormatText
	}
	return greffe.FormatUnknown
}

// openCDA reads the header of a CDA and every file that it carries.
func (r *reading) openCDA(it *item, entry *xdm.DocumentEntry) error {
	facts, findings := cda.Read(it.content.reader())
	if entry == nil && facts.Format == greffe.FormatUnknown && hasRule(findings, "cda.root") {
		it.Kind, it.typ.hold = greffe.PartXML, ruleXML // a stylesheet for CDAs names them without being one
		return nil
	}
	it.Detected = facts.MediaType
	d := r.document(it, entry)
	facts.Part, facts.SHA256, facts.Size = d.Part, d.SHA256, d.Size
	d.Document = facts
	d.inner = r.innerSum(it.content, facts.MediaType == cda.MediaTypeXSL)
	it.Findings = append(it.Findings, placed(it.Path, findings)...)
	switch {
	case entry != nil:
		d.more = append(d.more, entry.Complete(&d.Document, it.Path)...)
	case it.parent != nil && it.parent.Kind == greffe.PartXDM:
		d.more = append(d.more, ruleUnreferenced.At(it.Path))
	default:
		d.more = append(d.more, ruleBare.At(it.Path))
	}
	if greffe.VerdictOf(findings) != greffe.VerdictRefused {
		d.more = append(d.more, r.checkSchema(it)...)
	}
	if err := r.embedded(it, d); err != nil {
		return err
	}
	if d.Format == greffe.FormatCDA1 && d.Body == "" && d.SHA256 != "" {
		d.more = append(d.more, ruleNoBody.At(it.Path))
	}
	return nil
}

func hasRule(findings []greffe.Finding, id string) bool {
	return slices.ContainsFunc(findings, func(f greffe.Finding) bool { return f.Rule == id })
}

var errStop = errors.New("stop")

// judge completes the findings of every document and sums them up. whole are the
// findings about the message that hold everything in it.
func (r *reading) judge(whole []greffe.Finding) {
	first, second, differs := r.differ()
	for _, d := range r.documents {
		d.more = append(d.more, r.identify(d)...)
		isCDA := d.Format == greffe.FormatCDA1 || d.Format == greffe.FormatCDA3
		if isCDA || d.entry != nil {
			d.more = append(d.more, codes.Complete(&d.Document, d.Part)...)
		}
		if d.Marked(greffe.MaskedToProfessionals) {
			d.more = append(d.more, ruleMasked.At(d.Part))
		}
		if differs != "" {
			d.more = append(d.more, rulePatients.At(d.Part, first, second, differs))
		}
		d.Findings = r.findingsOf(d, whole)
		d.Verdict = greffe.VerdictOf(d.Findings)
		d.it.Verdict = d.Verdict
	}
}

// findingsOf gathers what was found about a document: its own, those of the parts
// inside it and of the containers around it, each once.
func (r *reading) findingsOf(d *document, whole []greffe.Finding) []greffe.Finding {
	var out []greffe.Finding
	seen := make(map[greffe.Finding]bool)
	add := func(list []greffe.Finding, least greffe.Severity) {
		for _, f := range list {
			if !seen[f] && (least == greffe.Info || f.Severity != greffe.Info) {
				seen[f] = true
				out = append(out, f)
			}
		}
	}
	add(d.it.Findings, greffe.Info)
	add(d.more, greffe.Info)
	for _, it := range r.items {
		if d.it.Kind == greffe.PartCDA && d.Part != "" && it.TwinOf == "" && inside(it, d.it) {
			add(it.Findings, greffe.Warning)
		}
	}
	for up := d.it.parent; up != nil; up = up.parent {
		add(up.Findings, greffe.Warning)
	}
	add(whole, greffe.Warning)
	return out
}
