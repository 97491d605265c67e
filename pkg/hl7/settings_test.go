package hl7

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

func TestSettingsOfTheConflicts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		change  func(*MDM, *Settings)
		segment string
		nth     int // of that name, from 0
		field   int
		want    string
	}{
		{"upper-case subtype", func(_ *MDM, s *Settings) { s.Subtype = "TEXT" }, "OBX", 0, 5, "^TEXT^XML^Base64^PENsaW5pY2FsRG9jdW1lbnQvPg=="},
		{"number with extension", func(m *MDM, _ *Settings) { m.Document.UniqueID.Extension = "42" }, "TXA", 0, 12, "42^^1.2.250.1.999.2.7.1001^ISO"},
		{"number as in the examples", func(m *MDM, s *Settings) {
			m.Document.UniqueID.Extension = "42"
			s.Number, s.Namespace = NumberExample, "CH_TEST"
		}, "TXA", 0, 12, "1.2.250.1.999.2.7.1001.42^CH_TEST"},
		{"profile with the stray blank", func(_ *MDM, s *Settings) { s.Profile = "1.1^ CISIS_CDA_HL7_LPS" }, "MSH", 0, 21, "1.1^ CISIS_CDA_HL7_LPS"},
		{"identity qualified by the sender", func(m *MDM, _ *Settings) { m.Mail.MSSINS = "O" }, "PID", 0, 32, "QUAL"},
		{"identity without INS", func(m *MDM, _ *Settings) { m.Document.Patient.INS = greffe.OID{} }, "PID", 0, 32, "PROV"},
		{"identity as configured", func(_ *MDM, s *Settings) { s.Reliability = "QUAL" }, "PID", 0, 32, "QUAL"},
		{"short message id", func(_ *MDM, s *Settings) { s.MessageIDLimit = 20 }, "OBX", 1, 3, "<20260314093512.4821^XDM/1.0/DDM+CR d'imagerie médicale ESSAI-KERVELLA Maelle 14/02/1985"},
		{"replacement", func(m *MDM, _ *Settings) {
			m.Event, m.Parent = Replace, greffe.OID{Root: "1.2.250.1.999.2.7.1000"}
		}, "TXA", 0, 13, "1.2.250.1.999.2.7.1000"},
		{"replacement status", func(m *MDM, _ *Settings) {
			m.Event, m.Parent = Replace, greffe.OID{Root: "1.2.250.1.999.2.7.1000"}
		}, "OBX", 0, 11, "C"},
		{"deletion order", func(m *MDM, _ *Settings) { m.Event = Delete }, "ORC", 0, 1, "CA"},
		{"changed visibility", func(m *MDM, _ *Settings) { m.VisibilityChanged = true }, "OBX", 5, 5, "Y^^expandedYes-NoIndicator"},
		{"hidden from guardians", func(m *MDM, _ *Settings) {
			m.Document.Confidentiality = []greffe.Code{{Code: "N"}, {Code: greffe.HiddenFromGuardians}}
		}, "OBX", 4, 5, "Y^^expandedYes-NoIndicator"},
		{"used name", func(m *MDM, _ *Settings) { m.Document.Patient.UsedFamily = "D^UPONT" }, "PID", 0, 5, `ESSAI-KERVELLA^MAELLE^MAELLE ANNE^^^^L~D\S\UPONT^^^^^^D`},
		{"French code system", func(m *MDM, _ *Settings) { m.Document.Type.System = "1.2.250.1.213.1.1.4.12" }, "OBR", 0, 4, "18748-4^CR d'imagerie médicale^TRE_A05"},
		{"unusable date", func(m *MDM, _ *Settings) { m.Document.ServiceStart = "hier|x" }, "TXA", 0, 4, ""},
		{"structure as one line of the volet prints it", func(_ *MDM, s *Settings) { s.Structure = "MDM^T02^MDM_T02" }, "MSH", 0, 9, "MDM^T02^MDM^T02^MDM_T02"},
		{"INS in the form of XDS", func(m *MDM, s *Settings) { m.Document.Patient.IDs = m.Document.Patient.IDs[:1]; s.INSType = "NH" }, "PID", 0, 3, "285022999907751^^^&1.2.250.1.213.1.4.10&ISO^NH"},
		{"name of the hospital's own authority", func(_ *MDM, s *Settings) { s.OwnRoot, s.OwnName = "1.2.250.1.999.1", "CH_TEST" }, "PID", 0, 3,
			"285022999907751^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.10&ISO^INS~0045871^^^CH_TEST&1.2.250.1.999.1&ISO^PI"},
		{"identifiers of one's own", func(m *MDM, s *Settings) {
			m.Document.Patient.IDs = append(m.Document.Patient.IDs, greffe.OID{Root: "1.2.250.1.999.99", Extension: "elsewhere"})
			s.Patients, s.OwnRoot = ListOwn, "1.2.250.1.999.1"
		}, "PID", 0, 3, "285022999907751^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.10&ISO^INS~0045871^^^&1.2.250.1.999.1&ISO^PI"},
		{"INS alone", func(_ *MDM, s *Settings) { s.Patients = ListINS }, "PID", 0, 3, "285022999907751^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.10&ISO^INS"},
		{"NIA", func(m *MDM, _ *Settings) { m.Document.Patient.IDs = []greffe.OID{{Root: rootNIA, Extension: "3"}} }, "PID", 0, 3, "3^^^ASIP-SANTE-INS-NIA&1.2.250.1.213.1.4.9&ISO^INS"},
		{"sex unknown", func(m *MDM, _ *Settings) { m.Document.Patient.Sex = "UN" }, "PID", 0, 8, "U"},
		{"sex unknown as in the CDA", func(m *MDM, s *Settings) { m.Document.Patient.Sex, s.Unknown = "UN", "UN" }, "PID", 0, 8, "UN"},
		{"home address before birth place", func(m *MDM, _ *Settings) {
			m.Document.Patient.Home = greffe.PostalAddress{Street: "12 rue du Puits", City: "ESSAI", PostalCode: "29000", Country: "FRA"}
		}, "PID", 0, 11, "12 rue du Puits^^ESSAI^^29000^FRA^H~^^^^^^BDL^^29999"},
		{"stay", func(m *MDM, _ *Settings) { m.Document.Encounter = greffe.OID{Root: "1.2.9", Extension: "NDA7"} }, "PID", 0, 18, "NDA7^^^&1.2.9&ISO^AN"},
		{"authority of the service as an HD", func(_ *MDM, s *Settings) { s.OrganizationHD = true }, "PRT", 1, 8, "Service de radiologie^^^^^990000010&1.2.250.1.71.4.2.2&ISO^UF^^^3435"},
		{"Message-ID without brackets", func(_ *MDM, s *Settings) { s.BareMessageID, s.SubjectLimit = true, 14 }, "OBX", 1, 3, "20260314093512.4821@cabinet-martel.example^XDM/1.0/DDM+CR"},
		{"signer", func(m *MDM, _ *Settings) {
			m.Document.Signer.ID = greffe.OID{Root: rootPerson, Extension: "899900000011"}
		}, "TXA", 0, 22, "899900000011"},
		{"signer without national number", func(m *MDM, _ *Settings) { m.Document.Signer.ID = greffe.OID{Root: "1.2", Extension: "7"} }, "TXA", 0, 22, ""},
		{"author with a bare RPPS", func(m *MDM, _ *Settings) { m.Document.Authors[0].ID.Extension = "99900000011" }, "PRT", 0, 5, "99900000011^MARTEL^Yvon^^^^^^ASIP-SANTE-PS&1.2.250.1.71.4.2.1&ISO^D^^^RPPS"},
		{"author with a bare ADELI", func(m *MDM, _ *Settings) { m.Document.Authors[0].ID.Extension = "990000011" }, "PRT", 0, 5, "990000011^MARTEL^Yvon^^^^^^ASIP-SANTE-PS&1.2.250.1.71.4.2.1&ISO^D^^^ADELI"},
		{"author with a local number", func(m *MDM, _ *Settings) { m.Document.Authors[0].ID = greffe.OID{Root: "1.2", Extension: "7"} }, "PRT", 0, 5, "7^MARTEL^Yvon^^^^^^&1.2&ISO^D^^^EI"},
		{"author without number", func(m *MDM, _ *Settings) { m.Document.Authors[0].ID = greffe.OID{} }, "PRT", 0, 5, "^MARTEL^Yvon^^^^^^^D"},
		{"software as author", func(m *MDM, _ *Settings) { m.Document.Authors = []greffe.Person{{Device: "SIL"}} }, "PRT", 0, 10, "SIL"},
		{"organisation as author", func(m *MDM, _ *Settings) {
			m.Document.Authors = []greffe.Person{{Organization: greffe.Org{Name: "Labo & fils", ID: greffe.OID{Root: rootOrganization, Extension: "1990000010"}}}}
		}, "PRT", 0, 8, `Labo \T\ fils^^^^^ASIP-SANTE-ST&1.2.250.1.71.4.2.2&ISO^IDNST^^^1990000010`},
		{"nobody as author", func(m *MDM, _ *Settings) { m.Document.Authors = nil; m.Mail.From[0].Name = "Secrétariat" }, "PRT", 0, 8, "Secrétariat"},
		{"another recipient, once", func(m *MDM, _ *Settings) {
			m.Mail.To = []greffe.Address{{Address: "GREFFE.radio@ch-test.example"}, {Address: "b@ch-test.example"}}
			m.Mail.Cc = []greffe.Address{{Address: "B@ch-test.example"}}
		}, "PRT", 2, 15, "^^X.400^b@ch-test.example"},
		{"line break in the subject", func(m *MDM, _ *Settings) { m.Mail.Subject = "a\rMSA|AA\x0b\x1c" }, "OBX", 1, 3, `<20260314093512.4821@cabinet-martel.example>^XDM/1.0/DDM+a MSA\F\AA  `},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, s := sample()
			c.change(&m, &s)
			n := c.nth
			for _, seg := range parse(t, encode(t, m, s)) {
				if seg.Name != c.segment {
					continue
				}
				if n--; n < 0 {
					if got := seg.Field(c.field); got != c.want {
						t.Errorf("%s-%d is %q, want %q", c.segment, c.field, got, c.want)
					}
					return
				}
			}
			t.Error("segment not found")
		})
	}
}

func TestWrongMessagesAreRefusedBeforeAByteIsWritten(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*MDM, *Settings){
		"long control id":            func(m *MDM, _ *Settings) { m.Control = strings.Repeat("x", 21) },
		"no control id":              func(m *MDM, _ *Settings) { m.Control = "" },
		"replacement without parent": func(m *MDM, _ *Settings) { m.Event = Replace },
		"unknown event":              func(m *MDM, _ *Settings) { m.Event = "T03" },
		"no document number":         func(m *MDM, _ *Settings) { m.Document.UniqueID = greffe.OID{} },
		"no receiver":                func(_ *MDM, s *Settings) { s.Receiving = "DPI" },
		"unknown processing":         func(_ *MDM, s *Settings) { s.Processing = "X" },
		"unknown charset":            func(_ *MDM, s *Settings) { s.Charset = "UTF-16" },
		"unknown reliability":        func(_ *MDM, s *Settings) { s.Reliability = "SURE" },
		"unknown number form":        func(_ *MDM, s *Settings) { s.Number = "other" },
		"subtype with separator":     func(_ *MDM, s *Settings) { s.Subtype = "a^b" },
		"unknown list of patients":   func(_ *MDM, s *Settings) { s.Patients = "some" },
		"own list without own OID":   func(_ *MDM, s *Settings) { s.Patients = ListOwn },
		"unknown type of INS":        func(_ *MDM, s *Settings) { s.INSType = "NIR" },
		"unknown sex":                func(_ *MDM, s *Settings) { s.Unknown = "O" },
		"structure with separator":   func(_ *MDM, s *Settings) { s.Structure = "MDM|T02" },
		"end of frame in the name":   func(_ *MDM, s *Settings) { s.OwnName = "a\x1c" },
		"PDF type without subtype":   func(_ *MDM, s *Settings) { s.PDFType = "pdf" },
		"plain PDF without system":   func(_ *MDM, s *Settings) { s.PlainPDF = "51851-4^Document administratif" },
		"limit below 0":              func(_ *MDM, s *Settings) { s.SubjectLimit = -1 },
		"PDF that is not allowed":    func(m *MDM, _ *Settings) { m.Document.Format = greffe.FormatPDF },
		"PDF about nobody": func(m *MDM, s *Settings) {
			m.Document.Format, m.Document.Patient, s.PlainPDF = greffe.FormatPDF, greffe.Patient{}, "51851-4^Document administratif^LN"
		},
		"name in other letters":   func(m *MDM, s *Settings) { s.Charset, m.Document.Patient.BirthFamily = Latin9, "Ελλη" },
		"number in other letters": func(m *MDM, s *Settings) { s.Charset, m.Document.UniqueID.Extension = Latin9, "A–1" },
		"parent in other letters": func(m *MDM, s *Settings) { s.Charset, m.Parent = Latin9, greffe.OID{Root: "1.2", Extension: "ő"} },
		"INS in other letters":    func(m *MDM, s *Settings) { s.Charset, m.Document.Patient.IDs[0].Extension = Latin9, "２" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, s := sample()
			change(&m, &s)
			var b bytes.Buffer
			if err := m.Encode(&b, s, strings.NewReader("x")); err == nil || b.Len() > 0 {
				t.Errorf("err %v, %d bytes written", err, b.Len())
			}
		})
	}
}

func TestLatin9DegradesAndReadsBack(t *testing.T) {
	t.Parallel()
	m, s := sample()
	s.Charset = Latin9
	m.Mail.Subject, m.Mail.Body = "Cœur d’Ængström — ő€ 漢", "déjà œ"
	b := encode(t, m, s)
	if bytes.Contains(b, []byte("é")) || !bytes.Contains(b, []byte("m\xe9dicale")) {
		t.Error("text is not in Latin-9")
	}
	segments := parse(t, b)
	for _, seg := range segments {
		if seg.Name == "OBX" && seg.Field(1) == "2" {
			if got, want := seg.Text(3, 2), "XDM/1.0/DDM+Cœur d'Ængström - o€ ?"; got != want {
				t.Errorf("subject %q, want %q", got, want)
			}
			body, _ := base64.StdEncoding.DecodeString(seg.Text(5, 5))
			if string(body) != "d\xe9j\xe0 \xbd" {
				t.Errorf("body % x", body)
			}
		}
	}
}

// A name loses its accents before it loses a letter; the free text around it may
// lose both.
func TestLatin9Names(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"ŁUKASZ ĐURĐEVIĆ": "LUKASZ DURDEVIC", "ŐRSI": "ORSI", "CŒUR ÿ Ÿ Š Ž": "CŒUR ÿ Ÿ Š Ž", "D’ARC": "D'ARC", "Groẞ": "GroSS", "IŞIK ı": "ISIK i",
	} {
		m, s := sample()
		s.Charset, m.Document.Patient.BirthFamily = Latin9, in
		pid, _ := Find(parse(t, encode(t, m, s)), "PID")
		if got := pid.Text(5, 1); got != want {
			t.Errorf("%q arrives as %q, want %q", in, got, want)
		}
	}
}

// A PDF without CDA, once a person has said whose it is and the settings allow it.
func TestPlainPDF(t *testing.T) {
	t.Parallel()
	write := func(change func(*MDM, *Settings)) []Segment {
		m, s := sample()
		m.Document = greffe.Document{Format: greffe.FormatPDF, SHA256: greffe.DigestOf([]byte("%PDF")), Patient: m.Document.Patient}
		s.PlainPDF = "51851-4^Document administratif^LN"
		change(&m, &s)
		return parse(t, encode(t, m, s))
	}
	fields := func(list []Segment) string {
		var out []string
		for name, n := range map[string][]int{"OBR": {4}, "TXA": {2, 3, 12}, "OBX": {3, 5}, "PID": {5}} {
			s, _ := Find(list, name)
			for _, n := range n {
				out = append(out, fmt.Sprintf("%s-%d %s", name, n, s.Field(n)))
			}
		}
		slices.Sort(out)
		return strings.Join(out, "\n")
	}
	usual := fields(write(func(*MDM, *Settings) {}))
	const want = `OBR-4 51851-4^Document administratif^LN
OBX-3 51851-4^Document administratif^LN
OBX-5 ^application^pdf^Base64^PENsaW5pY2FsRG9jdW1lbnQvPg==
PID-5 ESSAI-KERVELLA^MAELLE^MAELLE ANNE^^^^L
TXA-12 2.25.
TXA-2 51851-4
TXA-3 AP`
	if got := regexp.MustCompile(`2\.25\.[0-9]+`).ReplaceAllString(usual, "2.25."); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if again := fields(write(func(*MDM, *Settings) {})); again != usual {
		t.Errorf("a repeat has another number:\n%s", again)
	}
	if other := fields(write(func(m *MDM, _ *Settings) {
		m.Document.Patient.IDs = slices.Clone(m.Document.Patient.IDs)[:1]
	})); other == usual {
		t.Error("the same PDF about another patient has the same number")
	}
	own := fields(write(func(m *MDM, s *Settings) {
		m.Document.Type = greffe.Code{Code: "11490-0", System: "2.16.840.1.113883.6.1", Label: "Lettre de sortie"}
		s.PDFType = "AP^PDF"
	}))
	if !strings.Contains(own, "OBR-4 11490-0^Lettre de sortie^LN") || !strings.Contains(own, "^AP^PDF^Base64^") {
		t.Errorf("with a type of its own:\n%s", own)
	}
}
