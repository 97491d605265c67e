package cda

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"greffe/pkg/greffe"
)

func TestReadWholeHeader(t *testing.T) {
	t.Parallel()
	d, findings := Read(strings.NewReader(sample))
	checkRules(t, findings)
	martel := greffe.Person{
		ID: greffe.OID{Root: oidPersons, Extension: "899900000011"}, Family: "MARTEL", Given: "Yvon", Prefix: "DR",
		Specialty:    greffe.Code{Code: "G15_10/SM26", System: "1.2.250.1.213.1.1.4.5", Label: "Médecin"},
		Organization: greffe.Org{ID: greffe.OID{Root: oidStructures, Extension: "1990000010"}, Name: "Clinique d'essai"},
	}
	want := greffe.Document{
		Format: greffe.FormatCDA3, MediaType: MediaType, Action: greffe.ActionReplace,
		UniqueID: greffe.OID{Root: "1.2.3.4.5", Extension: "A-1"}, SetID: greffe.OID{Root: "1.2.3.4.5", Extension: "A"}, Version: 2,
		Replaces: greffe.OID{Root: "1.2.3.4.5", Extension: "A-0"},
		Type:     greffe.Code{Code: "11502-2", System: "2.16.840.1.113883.6.1", Label: "CR d'examens biologiques"},
		Title:    "Compte rendu d'essai", Language: "fr-FR", Created: "20260102030405+0100",
		ServiceStart: "202601020800+0100", ServiceStop: "202601020900+0100",
		Event: greffe.Code{Code: "18723-7", System: "2.16.840.1.113883.6.1", Label: "Hématologie"},
		Authors: []greffe.Person{martel, {
			ID: greffe.OID{Root: "9.9.9", Extension: "1"}, Device: "Labo SIL",
		}},
		Signer:    greffe.Person{ID: martel.ID, Family: "Dr Yvon MARTEL"},
		Custodian: martel.Organization,
		Recipients: []greffe.Person{{
			ID: greffe.OID{Root: oidPersons, Extension: "899900000029"}, Family: "LEROUX", Given: "Ana",
			Organization: greffe.Org{Name: "CH d'essai"},
		}},
		Facility:        greffe.Code{Code: "SA01", System: "1.2.250.1.71.4.2.4"},
		Practice:        greffe.Code{Code: "ETABLISSEMENT", System: "1.2.250.1.213.1.1.4.9"},
		Encounter:       greffe.OID{Root: "1.2.3.9", Extension: "NDA7"},
		Orders:          []greffe.OID{{Root: "1.2.3", Extension: "P1"}},
		Confidentiality: []greffe.Code{{Code: "N", System: "2.16.840.1.113883.5.25"}},
		Patient: greffe.Patient{
			IDs:         []greffe.OID{{Root: "1.2.250.1.213.1.4.10", Extension: "285022999907751"}, {Root: "1.2.3.4.567.8.9.10", Extension: "77"}},
			INS:         greffe.OID{Root: "1.2.250.1.213.1.4.10", Extension: "285022999907751"},
			BirthFamily: "ESSAI-KERVELLA", UsedFamily: "ESSAI", FirstGiven: "MAELLE", Givens: "MAELLE ANNE", UsedGiven: "ANNE",
			Sex: "F", BirthDate: "19850214", BirthPlace: "29999",
		},
	}
	if !reflect.DeepEqual(d, want) {
		t.Errorf("got  %+v\nwant %+v", d, want)
	}
}

// Each change of the sample breaks exactly the rules named.
func TestReadFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, old, new string
		rules          []string
	}{
		{"blanks first", "<?xml", "\r\n  <?xml", []string{"cda.blanks"}},
		{"other realm", `realmCode code="FR"`, `realmCode code="US"`, []string{"cda.realm"}},
		{"no type id", `extension="POCD_HD000040"`, ``, []string{"cda.typeid"}},
		{"no template", `<templateId root="1.2.250.1.213.1.1.1.1"/>`, ``, []string{"cda.template"}},
		{"no id", `<id root="1.2.3.4.5" extension="A-1"/>`, ``, []string{"cda.id"}},
		{"null id", `<id root="1.2.3.4.5" extension="A-1"/>`, `<id nullFlavor="UNK"/>`, []string{"cda.id"}},
		{"two ids", `<id root="1.2.3.4.5" extension="A-1"/>`, `<id root="1.2.3.4.5" extension="A-1"/><id root="1.2.3.4.5" extension="A-2"/>`, []string{"cda.ids"}},
		{"huge id", `extension="A-1"`, `extension="` + strings.Repeat("A", 300) + `"`, []string{"cda.long"}},
		{"no code", `<code code="11502-2" displayName`, `<code nullFlavor="NI" displayName`, []string{"cda.code"}},
		{"no title", `<title>Compte rendu  d'essai</title>`, ``, []string{"cda.title"}},
		{"blank title", `<title>Compte rendu  d'essai</title>`, `<title> </title>`, []string{"cda.title"}},
		{"two titles", `<title>Compte`, `<title>Un</title><title>Compte`, []string{"cda.repeated"}},
		{"bad time", `effectiveTime value="20260102030405+0100"`, `effectiveTime value="hier"`, []string{"cda.time"}},
		{"no confidentiality", `<confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/>`, ``, []string{"cda.confidentiality"}},
		{"bad language", `languageCode code="fr-FR"`, `languageCode code="français"`, []string{"cda.language"}},
		{"no set", `<setId root="1.2.3.4.5" extension="A"/><versionNumber value="2"/>`, `<versionNumber value="2"/>`, []string{"cda.set"}},
		{"bad version", `<versionNumber value="2"/>`, `<versionNumber value="-2"/>`, []string{"cda.version"}},
		{"version one replaces", `<versionNumber value="2"/>`, `<versionNumber value="1"/>`, []string{"cda.first", "cda.parentversion"}},
		{"parent without id", `<id root="1.2.3.4.5" extension="A-0"/>`, ``, []string{"cda.parent"}},
		{"its own parent", `extension="A-0"`, `extension="A-1"`, []string{"cda.self"}},
		{"other set", `extension="A-0"/><setId root="1.2.3.4.5" extension="A"/>`, `extension="A-0"/><setId root="1.2.3.4.5" extension="B"/>`, []string{"cda.parentset"}},
		{"two parents", `<relatedDocument`, `<relatedDocument typeCode="RPLC"><parentDocument><id root="7"/></parentDocument></relatedDocument><relatedDocument`, []string{"cda.parents"}},
		{"addendum", `typeCode="RPLC"`, `typeCode="APND"`, []string{"cda.related"}},
		{"author without date", `<author><time value="20260102"/><assignedAuthor><id root="9.9.9"`, `<author><assignedAuthor><id root="9.9.9"`, []string{"cda.author.lacks"}},
		{"author without profession", `<code code="G15_10/SM26"`, `<code`, []string{"cda.author.lacks"}},
		{"no signature", `<signatureCode code="S"/>`, ``, []string{"cda.signer.lacks"}},
		{"signer without id", `<assignedEntity><id root="1.2.250.1.71.4.2.1" extension="899900000011"/><assignedPerson>`, `<assignedEntity><id nullFlavor="UNK"/><assignedPerson>`, []string{"cda.signer.lacks"}},
		{"keeper of another register", `<representedCustodianOrganization><id root="1.2.250.1.71.4.2.2"`, `<representedCustodianOrganization><id root="1.2"`, []string{"cda.custodian.id"}},
		{"participant", `<relatedDocument`, `<participant typeCode="PRF"><associatedEntity/></participant><relatedDocument`, []string{"cda.participant"}},
		{"consent", `<componentOf>`, `<authorization><consent><statusCode code="active"/></consent></authorization><componentOf>`, []string{"cda.consent"}},
		{"performer of another kind", `<performer typeCode="PRF">`, `<performer typeCode="SPRF">`, []string{"cda.service"}},
		{"mask in the header", `<confidentialityCode code="N"`, `<confidentialityCode code="MASQUE_PS"`, []string{"cda.confidentiality.mask"}},
		{"no patient", `recordTarget>`, `recordTargets>`, []string{"cda.patient"}},
		{"empty patient", `<recordTarget>`, `<recordTarget/><recordTarget>`, []string{"cda.patient", "cda.patients"}},
		{"two patients", `</recordTarget>`, `</recordTarget><recordTarget><patientRole><id root="1.2.250.1.213.1.4.10" extension="172119999905581"/></patientRole></recordTarget>`, []string{"cda.patients"}},
		{"no patient id", `<id root="1.2.250.1.213.1.4.10" extension="285022999907751"/><id root="1.2.3.4.567.8.9.10" extension="77"/>`, ``, []string{"cda.patient.id"}},
		{"two birth names", `<family qualifier="BR">ESSAI-KERVELLA</family>`, `<family qualifier="BR">ESSAI-KERVELLA</family><family qualifier="BR">AUTRE</family>`, []string{"cda.patient.name"}},
		{"two birth dates", `<birthTime value="19850214"/>`, `<birthTime value="19850214"/><birthTime value="19850215"/>`, []string{"cda.patient.name"}},
		{"no birth date", `<birthTime value="19850214"/>`, ``, []string{"cda.patient.birth"}},
		{"other sex", `<administrativeGenderCode code="F"/>`, `<administrativeGenderCode code="2"/>`, []string{"cda.patient.sex"}},
		{"mailbox of another", `mailto:285022999907751@`, `mailto:172119999905581@`, []string{"cda.patient.mail"}},
		{"no author", `author>`, `writer>`, []string{"cda.author"}},
		{"no custodian", `custodian>`, `keeper>`, []string{"cda.custodian"}},
		{"no signer", `legalAuthenticator>`, `signer>`, []string{"cda.signer"}},
		{"no act", `documentationOf>`, `documentOf>`, []string{"cda.service"}},
		{"act without date", `<low value="202601020800+0100"/>`, ``, []string{"cda.service"}},
		{"no stay", `componentOf>`, `part>`, []string{"cda.encounter"}},
		{"no body", `component>`, `parts>`, []string{"cda.body"}},
		{"body in words", `<structuredBody>`, `<nonXMLBody><text mediaType="text/plain">mots</text></nonXMLBody><structuredBody>`, []string{"cda.body.type"}},
		{"many recipients", `<informationRecipient><intended`, strings.Repeat(`<informationRecipient/>`, 60) + `<informationRecipient><intended`, []string{"cda.many"}},
		{"other namespace", `urn:hl7-org:v3`, `urn:hl7-org:v2`, []string{"cda.namespace"}},
		{"document type", `<ClinicalDocument `, `<!DOCTYPE ClinicalDocument [<!ENTITY x SYSTEM "file:///etc/passwd">]><ClinicalDocument `, []string{"cda.dtd"}},
		{"unknown entity", `<title>Compte`, `<title>&compte;`, []string{"cda.xml"}},
		{"unknown encoding", `encoding="UTF-8"`, `encoding="EBCDIC-FR"`, []string{"cda.encoding"}},
		{"not a document", `ClinicalDocument`, `ClinicalNote`, []string{"cda.root"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			changed := strings.ReplaceAll(sample, c.old, c.new)
			if changed == sample {
				t.Fatal("the sample does not contain what is to be changed")
			}
			d, findings := Read(strings.NewReader(changed))
			var rules []string
			for _, f := range findings {
				// A fault of the XML hides what comes after it.
				if c.rules != nil && strings.HasPrefix(c.rules[0], "cda.xml") && f.Rule != "cda.xml" {
					continue
				}
				rules = append(rules, f.Rule)
			}
			if len(c.rules) == 1 && c.rules[0] == "cda.xml" {
				if len(rules) != 1 || d.UniqueID.IsZero() {
					t.Errorf("rules %v; the id that comes before the fault is lost: %v", rules, d.UniqueID.IsZero())
				}
				return
			}
			checkRules(t, findings, c.rules...)
		})
	}
}

func TestReadCharacterSets(t *testing.T) {
	t.Parallel()
	latin, err := charmap.ISO8859_1.NewEncoder().String(strings.Replace(sample, "UTF-8", "ISO-8859-1", 1))
	if err != nil {
		t.Fatal(err)
	}
	as := func(name string) string { return strings.Replace(sample, "UTF-8", name, 1) }
	encoded := func(e encoding.Encoding, s string) string {
		t.Helper()
		out, err := e.NewEncoder().String(s)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for name, tc := range map[string]struct {
		doc   string
		wrong bool
	}{
		"BOM":                          {"\ufeff" + sample, false},
		"ISO-8859-1":                   {latin, false},
		"ISO-8859-15":                  {encoded(charmap.ISO8859_15, as("ISO-8859-15")), false},
		"windows-1252":                 {encoded(charmap.Windows1252, as("windows-1252")), false},
		"UTF-16 with BOM":              {encoded(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), as("UTF-16")), false},
		"UTF-16 without BOM":           {encoded(unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), as("UTF-16")), false},
		"no declaration":               {strings.SplitAfterN(sample, "\n", 2)[1], false},
		"no declaration, windows-1252": {encoded(charmap.Windows1252, strings.SplitAfterN(sample, "\n", 2)[1]), true},
		"UTF-8, declared UTF-16":       {as("UTF-16"), true},
		"UTF-8, declared ISO-8859-1":   {as("ISO-8859-1"), true},
		"ISO-8859-1, declared UTF-8":   {encoded(charmap.ISO8859_1, sample), true},
		"BOM, declared ISO-8859-1":     {"\ufeff" + as("ISO-8859-1"), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, wrap := range []func(io.Reader) io.Reader{iotest.OneByteReader, func(r io.Reader) io.Reader { return r }, iotest.HalfReader} {
				d, findings := Read(wrap(strings.NewReader(tc.doc)))
				if tc.wrong {
					checkRules(t, findings, "cda.encoding.declared")
				} else {
					checkRules(t, findings)
				}
				if d.Event.Label != "Hématologie" || d.Patient.BirthFamily != "ESSAI-KERVELLA" {
					t.Errorf("read %q, %q", d.Event.Label, d.Patient.BirthFamily)
				}
			}
			if !IsCDA([]byte(tc.doc)[:4000]) {
				t.Error("not recognised")
			}
		})
	}
}

// What one reading gives does not hang on how the bytes come.
func TestDecoderDoesNotDependOnChunks(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"8-bit after UTF-8":  `<a>` + strings.Repeat("é", 3000) + "\xe9t\xe9 \xc9\xbb" + strings.Repeat("ab\xe9", 3000) + `</a>`,
		"latin, mixed":       `<?xml version="1.0" encoding="ISO-8859-1"?><a>` + strings.Repeat("\xc9\xbb \xe9 é", 5000) + `</a>`,
		"cut character":      "<a>\xe2\x82",
		"four byte sequence": "<a>" + strings.Repeat("\xf0\x9f\x98\x80\xf0", 2000) + "</a>",
	} {
		read := func(r io.Reader) string {
			s := NewScanner(r)
			defer s.Close()
			b, err := io.ReadAll(&s.dec)
			return fmt.Sprint(string(b), err, s.Misdeclared())
		}
		want := read(strings.NewReader(doc))
		for _, got := range []string{read(iotest.OneByteReader(strings.NewReader(doc))), read(iotest.HalfReader(strings.NewReader(doc))), read(iotest.DataErrReader(strings.NewReader(doc)))} {
			if got != want {
				t.Errorf("%s: read otherwise", name)
			}
		}
		if !utf8.ValidString(want) || strings.Contains(name, "latin") && !strings.Contains(want, "É»") {
			t.Errorf("%s: %.80q", name, want)
		}
	}
}

func TestReadStopsAtTheBody(t *testing.T) {
	t.Parallel()
	r := &countingReader{r: bytes.NewReader(levelOne(4 << 20))}
	d, findings := Read(r)
	checkRules(t, findings)
	if d.Format != greffe.FormatCDA1 || d.FormatCode.Code != "urn:ihe:iti:xds-sd:pdf:2008" {
		t.Errorf("format %s, code %v", d.Format, d.FormatCode)
	}
	if r.n > 300<<10 {
		t.Errorf("%d bytes were read for the header", r.n)
	}
}

func TestReadReportsABrokenReader(t *testing.T) {
	t.Parallel()
	r := io.MultiReader(strings.NewReader(sample[:2000]), iotest.ErrReader(errors.New("disk")))
	d, findings := Read(r)
	if greffe.VerdictOf(findings) != greffe.VerdictRefused || d.UniqueID.Root != "1.2.3.4.5" {
		t.Errorf("id %v, findings %v", d.UniqueID, findings)
	}
}

func TestIsCDA(t *testing.T) {
	t.Parallel()
	wrapper := `<?xml version="1.0"?><!-- un commentaire --><xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:d="urn:asip-sante:ci-sis">`
	for doc, want := range map[string]bool{
		sample[:300]: true, wrapper: true, wrapper + "<d:Contenu>": true,
		`<a:ClinicalDocument xmlns:a="urn:hl7-org:v3">`: true,
		`<!DOCTYPE x><ClinicalDocument xmlns="x">`:      true, // for Read to refuse, in words
		``: false, `%PDF-1.4`: false, `<html><body>ClinicalDocument</body></html>`: false,
		`<xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:template match="/"/>`: false,
		`<SubmitObjectsRequest/>`: false,
	} {
		if got := IsCDA([]byte(doc)); got != want {
			t.Errorf("IsCDA(%.60q) = %v", doc, got)
		}
	}
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
