package parser

import (
	"slices"
	"strings"

	"greffe/pkg/eml"
	"greffe/pkg/greffe"
)

// finish classifies the message, accounts for every part and writes the result.
func (r *reading) finish(out *greffe.Parsed, res *eml.Result) {
	out.Message = res.Message
	if out.Message.Body == "" {
		out.Message.Body = r.body
	}
	r.announced = res.Message.MSSINS
	if !res.Message.Date.IsZero() {
		r.sent = res.Message.Date.Format("20060102")
	}
	findings := append(res.Findings, r.findings...)
	for _, it := range r.items {
		if reason := r.ignorable(it); reason != "" && !it.done && !it.grave() {
			it.ignore(reason)
		}
	}
	r.dropReports() // before the kind: what a report sends back is not attached to it
	report := out.Message.Kind == greffe.KindMDN || out.Message.Kind == greffe.KindDSN
	out.Message.Kind = eml.Kind(out.Message, r.parts())
	switch {
	case !eml.Carries(out.Message):
		r.drop(out.Message.Kind)
	case report && out.Message.Kind != greffe.KindMDN && out.Message.Kind != greffe.KindDSN:
		findings = append(findings, ruleBeside.At(""))
	case eml.FromPatient(out.Message):
		findings = append(findings, rulePatientQuoted.At(""))
	}
	r.copies()
	r.remaining()
	r.renderings()
	r.expose()

	var whole []greffe.Finding
	for _, f := range findings {
		if f.Severity == greffe.Hold || f.Severity == greffe.Refuse {
			whole = append(whole, f)
		}
	}
	r.judge(whole)
	if len(r.documents) > 0 && r.otherCodes(out.Message.MSSCodeCDA) {
		findings = append(findings, ruleCodes.At(""))
	}
	out.Findings = findings
	out.Verdict = greffe.VerdictOf(findings)
	for _, d := range r.documents {
		d.Twins = r.twinsOf(d)
		out.Documents = append(out.Documents, d.Document)
		out.Verdict = out.Verdict.Worse(d.Verdict)
	}
	out.Antivirus = r.antivirus
	out.Parts = r.parts()
	for _, p := range out.Parts {
		out.Verdict = out.Verdict.Worse(p.Verdict)
	}
}

// grave reports whether something was found that a person must see, whatever the part
// seems to be. What is wrong with a file of an archive is told with the archive.
func (it *item) grave() bool {
	v := greffe.VerdictOf(it.Findings)
	return greffe.Unsafe(it.Findings) || it.leaf != nil && (v == greffe.VerdictHeld || v == greffe.VerdictRefused)
}

// parts returns the parts as they stand, each with a verdict.
func (r *reading) parts() []greffe.Part {
	parts := make([]greffe.Part, len(r.items))
	for i, it := range r.items {
		if it.Verdict == "" {
			parts[i] = it.Part
			parts[i].Verdict = greffe.VerdictOf(it.Findings)
			if it.Skipped {
				parts[i].Verdict = parts[i].Verdict.Worse(greffe.VerdictHeld)
			}
			continue
		}
		parts[i] = it.Part
	}
	return parts
}

func (it *item) ignore(reason string) {
	it.Verdict, it.Reason, it.done = greffe.VerdictIgnored, reason, true
}

// copyOf marks a part that holds the same as another one.
func (it *item) copyOf(other *item) {
	it.TwinOf = other.Path
	it.ignore("copie du document")
}

// ignorable returns why a part carries nothing; "" when it may carry something. What
// is attached, in the sender's words, is never ignored for its form alone.
func (r *reading) ignorable(it *item) string {
	if it.Skipped {
		return ""
	}
	carries := it.Kind == greffe.PartCDA || it.Kind == greffe.PartPDF
	if it.noise != "" && (!carries || it.quiet) {
		return it.noise
	}
	l := it.leaf
	if l == nil {
		return ignorableEntry(it)
	}
	attached := r.attached(it)
	switch it.Kind {
	case greffe.PartText:
		if !attached {
			return "texte du message"
		}
	case greffe.PartHTML:
		if !attached || l.InAlternative {
			return "texte du message, en HTML"
		}
	case greffe.PartImage:
		return it.decoration()
	case greffe.PartEmpty:
		if !attached {
			return "pièce vide"
		}
	default:
		if it.parent != nil && it.Detected == "application/rtf" && !attached {
			return "texte du message, en RTF"
		}
		return it.typ.ignore
	}
	return ""
}

// attached reports whether the sender attached the part rather than wrote it. Some
// programs give the text of a mail a name.
func (r *reading) attached(it *item) bool {
	return it.leaf != nil && (it.leaf.Disposition == "attachment" || it.leaf.Name != "" && it != r.items[0])
}

// ignorableEntry does the same for a file of an archive.
func ignorableEntry(it *item) string {
	if it.parent.Kind == greffe.PartXDM {
		switch it.Kind {
		case greffe.PartText, greffe.PartHTML, greffe.PartXML, greffe.PartImage, greffe.PartEmpty:
			return "fichier annexe de l’archive, que ses métadonnées ne décrivent pas"
		}
	}
	if it.Kind == greffe.PartMetadata && it.parent.Kind == greffe.PartXDM {
		return "" // done below: it describes the documents
	}
	return it.typ.ignore
}

// drop ignores all parts of a message that documents may not be taken from.
func (r *reading) drop(k greffe.MessageKind) {
	reason := "pièce renvoyée par un accusé ou un avis automatique : jamais reprise"
	switch k {
	case greffe.KindKO, greffe.KindForward, greffe.KindReply:
		reason = "pièce renvoyée par le système d’un autre établissement : jamais reprise"
	case greffe.KindPatient:
		reason = "pièce d’un message de patient : jamais reprise automatiquement"
	}
	r.documents = nil
	for _, it := range r.items {
		if it.Verdict != greffe.VerdictIgnored {
			it.ignore(reason)
		}
	}
}

// dropReports does the same for what stands inside a report. Where the multipart did
// not say that it is one, its parts were looked at before that was known.
func (r *reading) dropReports() {
	inside := func(it *item) bool {
		for ; it.parent != nil; it = it.parent {
		}
		return it.leaf != nil && it.leaf.InReport
	}
	for _, it := range r.items {
		if inside(it) && it.Verdict != greffe.VerdictIgnored {
			it.ignore("pièce renvoyée par un accusé ou un avis automatique : jamais reprise")
		}
	}
	r.documents = slices.DeleteFunc(r.documents, func(d *document) bool { return inside(d.it) })
}

// remaining makes a document of its own of each part that nothing accounts for.
func (r *reading) remaining() {
	for _, it := range r.items {
		switch {
		case it.done || it.Skipped:
		case it.Kind == greffe.PartMetadata && it.parent != nil && it.parent.Kind == greffe.PartXDM:
			it.done = true
		default:
			d := r.document(it, nil)
			if it.typ.hold.ID != "" {
				d.more = append(d.more, it.typ.hold.At(it.Path, it.typ.args...))
			}
			if f, ok := it.measured(); ok {
				d.more = append(d.more, f)
			}
		}
	}
	slices.SortStableFunc(r.documents, func(a, b *document) int { return r.order(a) - r.order(b) })
}

func (r *reading) order(d *document) int { return slices.Index(r.items, d.it) }

// twinsOf lists the parts that are copies of d, of what a person reads of it, or of the
// archive that it came in.
func (r *reading) twinsOf(d *document) []string {
	twins := d.Twins
	for _, it := range r.items {
		if it.TwinOf != "" && (it.TwinOf == d.Part || strings.HasPrefix(d.Part, it.TwinOf+"!")) && !slices.Contains(twins, it.Path) {
			twins = append(twins, it.Path)
		}
	}
	return twins
}

// otherCodes reports whether the codes that the message announces are not those of
// its documents.
func (r *reading) otherCodes(announced []string) bool {
	if len(announced) == 0 {
		return false
	}
	for _, d := range r.documents {
		if d.Type.Code != "" && !slices.ContainsFunc(announced, func(c string) bool { return strings.EqualFold(c, d.Type.Code) }) {
			return true
		}
	}
	return false
}
