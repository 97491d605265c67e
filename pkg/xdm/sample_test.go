package xdm

import (
	"archive/zip"
	"bytes"
	"crypto/sha1"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

// cdaFile is a document of invented identity, small but with what metadata are compared with.
const cdaFile = `<ClinicalDocument xmlns="urn:hl7-org:v3"><id root="1.2.3.4.5"/><code code="11502-2"/><title>Essai</title></ClinicalDocument>`

// entry is one file of an archive to build.
type entry struct {
	name, content string
	header        func(*zip.FileHeader)
	raw           bool // content is compressed already
}

// build returns a ZIP.
func build(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(0o644)
		if strings.HasSuffix(e.name, "/") {
			h.Method = zip.Store
		}
		create := w.CreateHeader
		if e.raw {
			h.CompressedSize64 = uint64(len(e.content))
			create = w.CreateRaw
		}
		if e.header != nil {
			e.header(h)
		}
		f, err := create(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(e.content)); err != nil && !strings.HasSuffix(e.name, "/") {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// stored makes an entry whose directory says what it likes about its size.
func stored(name, content string, declared uint64, flags uint16) entry {
	return entry{name: name, content: content, raw: true, header: func(h *zip.FileHeader) {
		h.Method, h.Flags = zip.Store, flags
		h.UncompressedSize64 = declared
		h.CRC32 = crc32.ChecksumIEEE([]byte(content))
	}}
}

// meta describes one document in a METADATA.XML to build.
type meta struct {
	uri, content, action, id, patient string
	extra                             string // more XML inside the ExtrinsicObject
	size, hash                        string // instead of the right ones; "-" for none
}

func slotXML(name string, values ...string) string {
	if len(values) == 1 && values[0] == "" {
		return ""
	}
	var b strings.Builder
	for _, v := range values {
		b.WriteString("<rim:Value>" + v + "</rim:Value>")
	}
	return `<rim:Slot name="` + name + `"><rim:ValueList>` + b.String() + `</rim:ValueList></rim:Slot>`
}

func codeXML(scheme, code string) string {
	return `<rim:Classification classificationScheme="urn:uuid:` + scheme + `" classifiedObject="urn:uuid:stale" nodeRepresentation="` + code + `">` +
		slotXML("codingScheme", "1.9."+code) + `<rim:Name><rim:LocalizedString value="label ` + code + `"/></rim:Name></rim:Classification>`
}

const testPatient = "285022999907751^^^&amp;1.2.250.1.213.1.4.10&amp;ISO^NH"

// metadata returns a METADATA.XML.
func metadata(docs ...meta) string {
	var b strings.Builder
	b.WriteString(`<lcm:SubmitObjectsRequest xmlns:lcm="urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0" xmlns:rim="` + rim3 + `"><rim:RegistryObjectList>` +
		`<rim:RegistryPackage id="set1">` + slotXML("submissionTime", "20260102030405") + `<rim:Name><rim:LocalizedString value="Lot"/></rim:Name>` +
		`<rim:Classification classificationNode="urn:uuid:` + nodeSubmissionSet + `" classifiedObject="nowhere"/>` + codeXML(setContentType, "SA01") +
		`<rim:Classification classificationScheme="urn:uuid:` + setAuthor + `">` + slotXML("authorPerson", "899900000011^MARTEL^Yvon^^^^^^&amp;1.2.250.1.71.4.2.1&amp;ISO^D^^^IDNPS") +
		slotXML("authorInstitution", "Clinique d'essai^^^^^&amp;1.2.250.1.71.4.2.2&amp;ISO^IDNST^^^1990000010") + slotXML("authorSpecialty", "G15_10^Médecin^1.2.250.1.213.1.1.4.5") + `</rim:Classification>` +
		idXML(setUniqueID, "1.9.9") + idXML(setSourceID, "1.9.8") + idXML(setPatientID, testPatient) + `</rim:RegistryPackage>`)
	for i, d := range docs {
		size, hash := fmt.Sprint(len(d.content)), fmt.Sprintf("%X", sha1.Sum([]byte(d.content)))
		if d.size != "" {
			size = strings.Trim(d.size, "-")
		}
		if d.hash != "" {
			hash = strings.Trim(d.hash, "-")
		}
		id, patient := d.id, d.patient
		if id == "" {
			id = fmt.Sprintf("1.2.3.4.%d", 5+i)
		}
		if patient == "" {
			patient = testPatient
		}
		fmt.Fprintf(&b, `<rim:ExtrinsicObject id="urn:uuid:doc%d" mimeType="text/xml" objectType="urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1">`, i+1)
		b.WriteString(slotXML("urn:action:extraMetadataSlot", d.action) + slotXML("hash", hash) + slotXML("size", size) + slotXML("URI", d.uri) +
			slotXML("creationTime", "20260102020405") + slotXML("languageCode", "fr-FR") + slotXML("serviceStartTime", "202601020700") +
			slotXML("sourcePatientId", "77^^^&amp;1.2.3.4.567.8.9.10&amp;ISO^PI") +
			slotXML("sourcePatientInfo", "PID-5|ESSAI-KERVELLA^MAELLE^MAELLE ANNE^^^^L", "PID-5|ESSAI^ANNE^^^^^D", "PID-7|19850214", "PID-8|F", "PID-11|^^^^^^BDL^^29999") +
			`<rim:Name><rim:LocalizedString value="Essai"/></rim:Name>` + codeXML(docType, "11502-2") + codeXML(docClass, "10") +
			codeXML(docFormat, "urn:f") + codeXML(docFacility, "SA01") + codeXML(docPractice, "ETABLISSEMENT") + codeXML(docConfidentiality, "N") +
			codeXML(docEvent, "E1") + codeXML(docEvent, "E2") + d.extra + idXML(docPatientID, patient) + idXML(docUniqueID, id) + `</rim:ExtrinsicObject>`)
	}
	b.WriteString(`<rim:Association associationType="urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember" sourceObject="set1" targetObject="urn:uuid:doc1"/></rim:RegistryObjectList></lcm:SubmitObjectsRequest>`)
	return b.String()
}

func idXML(scheme, value string) string {
	return `<rim:ExternalIdentifier identificationScheme="urn:uuid:` + scheme + `" registryObject="urn:uuid:stale" value="` + value + `"/>`
}

// good returns the entries of an archive without any finding.
func good(docs ...meta) []entry {
	if len(docs) == 0 {
		docs = []meta{{uri: "DOC0001.XML", content: cdaFile}}
	}
	entries := []entry{{name: "INDEX.HTM", content: "<html/>"}, {name: "README.TXT", content: "x"}, {name: "IHE_XDM/"}, {name: "IHE_XDM/SUBSET01/"},
		{name: "IHE_XDM/SUBSET01/METADATA.XML", content: metadata(docs...)}}
	for _, d := range docs {
		entries = append(entries, entry{name: "IHE_XDM/SUBSET01/" + d.uri, content: d.content})
	}
	return entries
}

// opened is what a test looks at.
type opened struct {
	*Archive
	findings []greffe.Finding
}

func open(t testing.TB, b []byte, lim Limits) opened {
	t.Helper()
	a, findings, _ := Open(bytes.NewReader(b), int64(len(b)), lim)
	return opened{a, findings}
}

// rules returns the ids of every rule that the archive breaks, each once.
func (o opened) rules(t testing.TB) []string {
	t.Helper()
	all := slices.Clone(o.findings)
	if o.Archive != nil {
		for _, e := range o.Entries {
			all = append(all, e.Findings...)
		}
		for _, s := range o.Sets {
			all = append(all, s.Findings...)
			for _, d := range s.Documents {
				all = append(all, d.Findings...)
			}
		}
	}
	return ruleIDs(t, all)
}

func ruleIDs(t testing.TB, findings []greffe.Finding) []string {
	t.Helper()
	var ids []string
	for _, f := range findings {
		if strings.Contains(f.Text, "%!") || !slices.ContainsFunc(Rules(), func(r greffe.Rule) bool { return r.ID == f.Rule }) {
			t.Errorf("finding %+v", f)
		}
		ids = append(ids, f.Rule)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// corpus returns the path of a folder of sample files beside the repository, and skips the
// test where it is absent.
func corpus(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Skip("no repository root")
		}
		dir = filepath.Dir(dir)
	}
	path := filepath.Join(filepath.Dir(dir), "shared", "corpus", name)
	if _, err := os.Stat(path); err != nil {
		t.Skip("the corpus is not here")
	}
	return path
}

func TestRulesAreWellFormed(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, r := range Rules() {
		if seen[r.ID] || !strings.HasPrefix(r.ID, "xdm.") || r.Text == "" || r.Source == "" || r.Severity == "" {
			t.Errorf("rule %+v", r)
		}
		seen[r.ID] = true
	}
}
