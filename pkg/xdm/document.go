package xdm

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the hash that IHE XDS prescribes; it proves transport only
	"encoding/hex"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"greffe/pkg/cda"
	"greffe/pkg/greffe"
)

// DocumentEntry is what METADATA.XML says about one document.
type DocumentEntry struct {
	Entry           int    // index of its entry; -1 when it is missing
	URI             string // as written
	Size            int64  // bytes, as the metadata say; -1 when they do not
	SHA1            string // 40 hexadecimal digits, lower-case, as the metadata say; "" when they do not
	Action          string // "" new, "C" replace, "D" delete, anything else as written
	UniqueID        greffe.OID
	EntryUUID       string
	MimeType        string
	Type            greffe.Code
	Class           greffe.Code
	Format          greffe.Code
	Facility        greffe.Code
	Practice        greffe.Code
	Confidentiality []greffe.Code
	Events          []greffe.Code
	Title           string
	Language        string
	Created         string // HL7 TS as received, in UTC
	ServiceStart    string
	ServiceStop     string
	Authors         []greffe.Person
	PatientID       greffe.OID     // Root is the assigning authority
	Patient         greffe.Patient // sourcePatientInfo with the ids
	ReplacesEntry   string         // entryUUID, without prefix, of the document that an RPLC association has this one replace
	Replaces        greffe.OID     // the uniqueId of that document, when the archive holds it, too
	Signs           bool           // it is the signature of a document
	Findings        []greffe.Finding

	patients []greffe.OID // every id that is given for the patient
	where    string
}

func (d *DocumentEntry) add(r greffe.Rule, args ...any) {
	d.Findings = append(d.Findings, r.At(d.where, args...))
}

// readDocument reads an ExtrinsicObject.
func readDocument(o object) DocumentEntry {
	d := DocumentEntry{
		Entry:           -1,
		Size:            -1,
		URI:             joinURI(slots(o.n, "URI")),
		Action:          o.slot(actionSlot),
		UniqueID:        parseOID(o.identifier(docUniqueID)),
		EntryUUID:       clip(o.n.Attr("id")),
		MimeType:        strings.ToLower(clip(o.n.Attr("mimeType"))),
		Type:            o.code(docType),
		Class:           o.code(docClass),
		Format:          o.code(docFormat),
		Facility:        o.code(docFacility),
		Practice:        o.code(docPractice),
		Confidentiality: o.codes(docConfidentiality),
		Events:          o.codes(docEvent),
		Title:           o.name(),
		Language:        o.slot("languageCode"),
		Created:         o.slot("creationTime"),
		ServiceStart:    o.slot("serviceStartTime"),
		ServiceStop:     o.slot("serviceStopTime"),
		Authors:         o.authors(docAuthor),
		PatientID:       parseCX(o.identifier(docPatientID)),
	}
	note := func(r greffe.Rule, args ...any) { d.Findings = append(d.Findings, r.At("", args...)) }
	if v, err := strconv.ParseInt(o.slot("size"), 10, 64); err == nil && v >= 0 {
		d.Size = v
	}
	if hash := o.slot("hash"); sha1Hex.MatchString(hash) {
		d.SHA1 = strings.ToLower(hash)
	} else if hash != "" {
		note(ruleHashForm)
	}
	for _, v := range o.identifiers(docPatientID) {
		d.patients = append(d.patients, parseCX(v))
	}
	for _, c := range []struct {
		name   string
		values []string
	}{{"size", slots(o.n, "size")}, {"hash", slots(o.n, "hash")}, {"action", slots(o.n, actionSlot)}, {"uniqueId", o.identifiers(docUniqueID)}, {"URI", wholeURIs(o.n)}} {
		if slices.ContainsFunc(c.values, func(v string) bool { return !strings.EqualFold(v, c.values[0]) }) {
			note(ruleValues, c.name)
		}
	}
	d.Patient = parsePatient(slots(o.n, "sourcePatientInfo"), d.PatientID, parseCX(o.slot("sourcePatientId")))
	if d.URI == "" {
		if v := clip(o.n.Attr("uri")); v != "" {
			d.URI = v
			note(ruleURIAttribute)
		}
	}
	return d
}

// actionSlot says what is to be done with a document (domain §4.2: none, C or D).
const actionSlot = "urn:action:extraMetadataSlot"

var sha1Hex = regexp.MustCompile(`^[0-9A-Fa-f]{40}$`)

// wholeURIs returns the values of an URI slot that are no pieces of a longer one.
func wholeURIs(n *cda.Node) []string {
	return slices.DeleteFunc(slots(n, "URI"), numbered.MatchString)
}

var numbered = regexp.MustCompile(`^[0-9]{1,3}\|`)

// joinURI puts the values of an URI slot together: a long one is cut into numbered
// pieces, "1|…", "2|…" (IHE ITI TF-3 §4.2.3.2.27).
func joinURI(values []string) string {
	if len(values) > 0 && !numbered.MatchString(values[0]) {
		return values[0]
	}
	if len(values) == 1 {
		return numbered.ReplaceAllString(values[0], "")
	}
	slices.SortStableFunc(values, func(a, b string) int {
		x, _, _ := strings.Cut(a, "|")
		y, _, _ := strings.Cut(b, "|")
		m, _ := strconv.Atoi(x)
		n, _ := strconv.Atoi(y)
		return m - n
	})
	var b strings.Builder
	for _, v := range values {
		b.WriteString(numbered.ReplaceAllString(v, ""))
	}
	return clip(b.String())
}

// parseOID reads a uniqueId: root, or root^extension.
func parseOID(v string) greffe.OID {
	root, ext, _ := strings.Cut(v, "^")
	return greffe.OID{Root: strings.TrimPrefix(root, "urn:oid:"), Extension: ext}
}

// match finds the entry of every document of the set and checks it.
func (a *Archive) match(set *SubmissionSet) {
	for i := range set.Documents {
		d := &set.Documents[i]
		d.where = where(set.Metadata)
		for j := range d.Findings {
			d.Findings[j].Where = d.where
		}
		a.locate(set, d)
		if d.Entry >= 0 {
			d.where = where(d.Entry)
			a.verify(d)
		}
		d.complete()
	}
}

// sum is what was learnt by reading an entry to its end.
type sum struct {
	sha1 string // lower-case hexadecimal digits
	size int64
	err  error
}

// hash reads an entry, once however many documents name it, and keeps the bytes of a
// small one.
func (a *Archive) hash(i int) sum {
	s, known := a.sums[i]
	if !known {
		if a.sums == nil {
			a.sums, a.kept = make(map[int]sum), make(map[int][]byte)
		}
		s = a.read(i)
		a.sums[i] = s
	}
	return s
}

func (a *Archive) read(i int) sum {
	rc, err := a.OpenEntry(i)
	if err != nil {
		return sum{err: err}
	}
	defer rc.Close()
	h := sha1.New()
	n := a.Entries[i].Size
	if n > maxKept-a.keptSize {
		n, err = io.Copy(h, rc)
	} else {
		b := bytes.NewBuffer(make([]byte, 0, n+bytes.MinRead))
		if n, err = b.ReadFrom(rc); err == nil {
			a.kept[i] = b.Bytes()
			a.keptSize += n
			h.Write(b.Bytes())
		}
	}
	return sum{hex.EncodeToString(h.Sum(nil)), n, err}
}

// verify compares size and hash of the entry with the metadata.
func (a *Archive) verify(d *DocumentEntry) {
	s := a.hash(d.Entry)
	if s.err != nil {
		d.Findings = append(d.Findings, a.unreadable(d.Entry))
		return
	}
	switch {
	case d.Size < 0:
		d.add(ruleNoSize)
	case d.Size != s.size:
		d.add(ruleSize, s.size, strconv.FormatInt(d.Size, 10))
	}
	switch {
	case d.SHA1 == "" && !hasRule(d.Findings, ruleHashForm):
		d.add(ruleNoHash)
	case d.SHA1 == "":
	case d.SHA1 != s.sha1:
		d.add(ruleHash)
	}
}

// complete reports what the metadata lack.
func (d *DocumentEntry) complete() {
	if d.UniqueID.IsZero() {
		d.add(ruleUniqueID)
	}
	if d.PatientID.IsZero() {
		d.add(rulePatientID)
	}
	if d.Action != "" && d.Action != "C" && d.Action != "D" {
		d.add(ruleAction, d.Action)
	}
	var missing []string
	for _, c := range []struct {
		code greffe.Code
		what string
	}{{d.Type, "le type"}, {d.Class, "la classe"}, {d.Format, "le format"}} {
		if c.code.Code == "" {
			missing = append(missing, c.what)
		}
	}
	if len(d.Confidentiality) == 0 {
		missing = append(missing, "la confidentialité")
	}
	if len(missing) > 0 {
		d.add(ruleCodes, "il manque "+strings.Join(missing, ", "))
	}
}

func hasRule(findings []greffe.Finding, r greffe.Rule) bool {
	return slices.ContainsFunc(findings, func(f greffe.Finding) bool { return f.Rule == r.ID })
}
