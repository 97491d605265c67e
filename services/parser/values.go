package parser

import (
	"errors"
	"fmt"
	"strings"

	"greffe/pkg/cda"
	"greffe/pkg/greffe"
	"greffe/pkg/ins"
)

// maxInnerDepth is how deep documents inside documents are opened; a deeper one is kept as a
// file of the one around it.
const maxInnerDepth = 3

// Rules about the files that a CDA carries.
var (
	ruleValueHeld  = rule("parser.value", greffe.Hold, "Le document contient un fichier que Greffe n’ouvre pas (%s) : une personne doit décider.", ours)
	ruleValueOther = rule("parser.value.other", greffe.Warning, "Le document contient un fichier d’un format inattendu (%s) : vérifiez qu’il s’ouvre.", xdsSDMedia)
	ruleValueType  = rule("parser.value.type", greffe.Warning, "Un fichier contenu dans le document est annoncé « %s » alors que son contenu est « %s » : vérifiez qu’il s’ouvre.", "HL7 v3, ED.mediaType")
	ruleInner      = rule("parser.inner", greffe.Warning, "Le document en contient un autre : celui-ci est archivé avec lui et n’est pas classé à part.", ours)
	ruleInnerOther = rule("parser.inner.patient", greffe.Hold, "Le document en contient un autre, qui ne désigne pas le même patient (%s) : une personne doit vérifier.", "MSSanté, Référentiel socle n° 2, ECO.2.1.1")
	ruleInnerXML   = rule("parser.inner.xml", greffe.Hold, "Le document en contient un autre, qui ne peut pas être lu : une personne doit vérifier.", ours)
	ruleInnerDeep  = rule("parser.inner.deep", greffe.Hold, "Des documents sont contenus les uns dans les autres sur plus de %d niveaux : les derniers n’ont pas été ouverts. Vérifiez le document avant de le classer.", ours)
)

const xdsSDMedia = "IHE ITI XDS-SD, corps non structuré"

var valueRules = []greffe.Rule{ruleValueHeld, ruleValueOther, ruleValueType, ruleInner, ruleInnerOther, ruleInnerXML, ruleInnerDeep}

// embedded looks at the files inside a CDA, which is d or stands inside d. The first one
// of a level 1 document is what a person reads. What is wrong with them is a finding about
// the part that it is.
func (r *reading) embedded(it *item, d *document) error {
	findings, err := cda.Embedded(it.content.reader(), func(v *cda.Value) error {
		child := r.add(fmt.Sprintf("%s#%d", it.Path, v.N), "", v.MediaType, it)
		if child == nil {
			return errStop
		}
		child.done = true
		if r.late() {
			child.Skipped = true
			return nil
		}
		err := r.take(child, v)
		if bad, ok := errors.AsType[*cda.ValueError](err); ok {
			child.Skipped = true
			child.Findings = append(child.Findings, bad.Finding(child.Path))
			return nil
		}
		if err != nil {
			return err
		}
		child.Findings = append(child.Findings, v.Findings(child.Path)...)
		if it == d.it && d.Format == greffe.FormatCDA1 && d.Body == "" {
			d.Body = child.Path
		}
		return r.value(child, d)
	})
	for _, f := range placed(it.Path, findings) {
		if !hasRule(it.Findings, f.Rule) {
			it.Findings = append(it.Findings, f)
		}
	}
	fault, isFault := errors.AsType[*cda.SyntaxError](err)
	switch {
	case err == nil, errors.Is(err, errStop):
		return nil
	case isFault:
		if f := fault.Finding(it.Path); !hasRule(it.Findings, f.Rule) && !hasRule(it.Findings, ruleInnerXML.ID) {
			it.Findings = append(it.Findings, f)
		}
		return nil
	}
	return fmt.Errorf("read the files of a document: %w", err)
}

// value takes the second look at a file inside a CDA. Archives are not opened there.
func (r *reading) value(child *item, d *document) error {
	defer func() { child.content.close(); child.content = nil }()
	switch {
	case hasRule(child.Findings, "cda.value.method"): // the bytes are not those of the file
		return nil
	case child.Kind == greffe.PartCDA:
		return r.inner(child, d)
	case child.Kind == greffe.PartPDF:
		if err := r.checkPDF(child); err != nil {
			return err
		}
	case child.Kind == greffe.PartImage, child.Kind == greffe.PartText, child.Kind == greffe.PartXML, child.Detected == "application/rtf":
	case child.typ.hold.ID == ruleProgram.ID:
		child.Findings = append(child.Findings, ruleProgram.At(child.Path))
	case child.typ.zip:
		child.Findings = append(child.Findings, ruleValueHeld.At(child.Path, "archive ZIP ou document de bureautique"))
	case child.typ.hold.ID == ruleArchive.ID, child.typ.hold.ID == ruleEncrypted.ID, child.Detected == oleStorage:
		child.Findings = append(child.Findings, ruleValueHeld.At(child.Path, child.typ.name()))
	default:
		child.Findings = append(child.Findings, ruleValueOther.At(child.Path, child.typ.name()))
	}
	if said, is := mediaName(child.Declared), mediaName(child.Detected); said != "" && is != "" && said != is {
		child.Findings = append(child.Findings, ruleValueType.At(child.Path, child.Declared, child.Detected))
	}
	return nil
}

// name says in French what a part is that is not opened.
func (t typ) name() string {
	switch {
	case len(t.args) > 0:
		return fmt.Sprint(t.args[0])
	case t.hold.ID == ruleEncrypted.ID:
		return "fichier chiffré"
	}
	return t.media
}

// mediaName brings the names of one media type together; "" for one that says nothing.
func mediaName(media string) string {
	switch media {
	case "application/octet-stream", "binary/octet-stream", "application/x-ole-storage":
		return ""
	case "image/jpg", "image/pjpeg":
		return "image/jpeg"
	case "image/x-png":
		return "image/png"
	case "image/tif", "image/x-tiff":
		return "image/tiff"
	case "application/x-pdf", "text/pdf":
		return "application/pdf"
	case "text/rtf", "application/x-rtf", "text/richtext":
		return "application/rtf"
	case "application/xml", "application/xslt+xml", "text/x-hl7-text+xml", "application/hl7-cda+xml", "text/xsl":
		return "text/xml"
	case "application/zip", "application/x-zip-compressed":
		return "application/zip"
	}
	if strings.HasPrefix(media, "text/") && media != "text/xml" && media != "text/html" {
		return "text/plain"
	}
	return media
}

// inner looks at a CDA inside the document d: whom it is about, and the files in it. It is
// no document of its own: what the sender sent is d.
func (r *reading) inner(it *item, d *document) error {
	if strings.Count(it.Path, "#") > maxInnerDepth {
		it.Findings = append(it.Findings, ruleInnerDeep.At(it.Path, maxInnerDepth))
		return nil
	}
	facts, findings := cda.Read(it.content.reader())
	it.Detected = facts.MediaType
	switch c := ins.Compare(d.Patient, facts.Patient); {
	case greffe.VerdictOf(findings) == greffe.VerdictRefused:
		it.Findings = append(it.Findings, ruleInnerXML.At(it.Path))
	case c.Contradicts():
		it.Findings = append(it.Findings, ruleInnerOther.At(it.Path, c.Which(ins.Differs)))
	default:
		it.Findings = append(it.Findings, ruleInner.At(it.Path))
	}
	return r.embedded(it, d)
}

// inside reports whether a part is a value of the CDA, at any depth.
func inside(it, container *item) bool {
	for up := it.parent; up != nil && it.leaf == nil; up = up.parent {
		if up == container {
			return true
		}
	}
	return false
}
