package codes

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

func ids(findings []greffe.Finding) []string {
	var out []string
	for _, f := range findings {
		out = append(out, f.Rule)
	}
	return out
}

const loinc = "2.16.840.1.113883.6.1"

func TestComplete(t *testing.T) {
	t.Parallel()
	person := func(p greffe.Person) []greffe.Person { return []greffe.Person{p, p} }
	for name, c := range map[string]struct {
		doc   greffe.Document
		rules []string
		check func(d greffe.Document) bool
	}{
		"nothing to say": {greffe.Document{}, nil, func(d greffe.Document) bool { return d.Class.Code == "" }},
		"labels and class follow from the kind": {
			greffe.Document{Type: greffe.Code{Code: "11502-2", System: loinc}, Facility: greffe.Code{Code: "SA07"}},
			nil,
			func(d greffe.Document) bool {
				return d.Type.Label != "" && d.Class == (greffe.Code{Code: "10", System: classSystem, Label: "Compte rendu"}) && d.Facility.Label != ""
			},
		},
		"the document's own words stay": {
			greffe.Document{Type: greffe.Code{Code: "57057-2", System: loinc, Label: "à moi"}, Class: greffe.Code{Code: "10", System: classSystem}},
			nil,
			func(d greffe.Document) bool {
				return d.Type.Label == "à moi" && d.Class.Code == "10" && d.Class.Label == "Compte rendu"
			},
		},
		"unknown kind": {
			greffe.Document{Type: greffe.Code{Code: "99999-9", System: loinc}}, []string{"codes.unknown"},
			func(d greffe.Document) bool { return d.Class.Code == "" && d.Type.Label == "" },
		},
		"ended kind, which still has its class": {
			greffe.Document{Type: greffe.Code{Code: "11526-1", System: loinc}}, []string{"codes.ended"},
			func(d greffe.Document) bool { return d.Class.Code == "10" },
		},
		"code of another system": {
			greffe.Document{Type: greffe.Code{Code: "11502-2", System: "1.2.3"}}, []string{"codes.system"},
			func(d greffe.Document) bool { return d.Class.Code == "10" },
		},
		"levels and masking": {
			greffe.Document{Confidentiality: []greffe.Code{{Code: "N"}, {Code: "U"}, {Code: greffe.MaskedToProfessionals}, {Code: greffe.HiddenFromPatient}, {Code: greffe.HiddenFromGuardians}, {Code: "INVISIBLE_REP_LEGAUX"}}},
			[]string{"codes.alias"},
			func(d greffe.Document) bool {
				return d.Confidentiality[5].Code == greffe.HiddenFromGuardians && d.Confidentiality[1].Label == "Non restreint" && strings.HasPrefix(d.Confidentiality[2].Label, "Masqué")
			},
		},
		"a finding comes once however many authors": {
			greffe.Document{Authors: person(greffe.Person{Specialty: greffe.Code{Code: "X"}, Function: greffe.Code{Code: "PCP"}})},
			[]string{"codes.unknown"},
			func(d greffe.Document) bool { return d.Authors[1].Function.Label != "" },
		},
		"sex":       {greffe.Document{Patient: greffe.Patient{Sex: "X"}}, []string{"codes.unknown"}, nil},
		"long code": {greffe.Document{Practice: greffe.Code{Code: strings.Repeat("é", 200)}}, []string{"codes.unknown"}, nil},
		"signer": {
			greffe.Document{Signer: greffe.Person{Specialty: greffe.Code{Code: "G15_10/SM03"}}, Recipients: person(greffe.Person{Specialty: greffe.Code{Code: "X"}})},
			nil, func(d greffe.Document) bool { return d.Signer.Specialty.Label != "" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			findings := Complete(&c.doc, "2")
			if !slices.Equal(ids(findings), c.rules) {
				t.Errorf("findings %v, want %v", findings, c.rules)
			}
			for _, f := range findings {
				if strings.Contains(f.Text, "%") || len(f.Text) > 300 {
					t.Errorf("text %q", f.Text)
				}
			}
			if c.check != nil && !c.check(c.doc) {
				t.Errorf("document %+v", c.doc)
			}
		})
	}
}

// The data have the form that the reader of sets takes for granted.
func TestSetsAreComplete(t *testing.T) {
	t.Parallel()
	for _, name := range []string{typeCode, classCode, confidentiality, headerLevel, facility, practice, specialty, function, encounter, gender} {
		s := sets()[name]
		if s == nil || len(s.version) != 10 || !strings.HasPrefix(s.oid, "1.2.250.1.213.1.1.5.") && !strings.HasPrefix(s.oid, "2.16.840.1.113883.1.11.") {
			t.Fatalf("set %s: %+v", name, s)
		}
		for code, all := range s.concepts {
			for _, k := range all {
				if code == "" || k.system == "" || k.label == "" && !k.ended {
					t.Errorf("%s: code %q: %+v", name, code, k)
				}
				if k.class != "" && sets()[classCode].concepts[k.class] == nil {
					t.Errorf("%s: code %q has the class %q", name, code, k.class)
				}
			}
		}
	}
}

// The data say what the published files say, where those are at hand.
func TestSetsEqualThePublishedFiles(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("../../../shared/ref/jdv/*.xml")
	if len(files) == 0 {
		t.Skip("the published files are not here")
	}
	for _, file := range files {
		var v struct {
			ValueSet struct {
				ID       string `xml:"id,attr"`
				Revision string `xml:"revisionDate,attr"`
				Concepts []struct {
					Code    string `xml:"code,attr"`
					System  string `xml:"codeSystem,attr"`
					Display string `xml:"displayName,attr"`
				} `xml:"ConceptList>Concept"`
			}
		}
		raw, err := os.ReadFile(file)
		if err == nil {
			err = xml.Unmarshal(raw, &v)
		}
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".xml")
		s := sets()[name]
		if s == nil || s.oid != v.ValueSet.ID || s.version != v.ValueSet.Revision[:10] {
			t.Errorf("%s: OID %s, revised %s; we have %+v", name, v.ValueSet.ID, v.ValueSet.Revision, s)
			continue
		}
		current := 0
		for _, all := range s.concepts {
			for _, k := range all {
				if !k.ended {
					current++
				}
			}
		}
		if current != len(v.ValueSet.Concepts) {
			t.Errorf("%s: %d codes, published %d", name, current, len(v.ValueSet.Concepts))
		}
		for _, c := range v.ValueSet.Concepts {
			k, ok := s.find(greffe.Code{Code: c.Code, System: c.System})
			if !ok || k.system != c.System || k.label != strings.Join(strings.Fields(c.Display), " ") {
				t.Errorf("%s: %+v; we have %+v", name, c, k)
			}
		}
	}
}
