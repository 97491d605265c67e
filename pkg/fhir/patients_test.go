package fhir

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

// known is a patient of a French server, with everything that FR Core has.
const known = `{"resourceType":"Patient","id":"4711","active":true,
 "extension":[
  {"url":"https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-identity-reliability","extension":[{"url":"identityStatus","valueCoding":{"code":"QUAL"}}]},
  {"url":"http://hl7.org/fhir/StructureDefinition/patient-birthPlace","valueAddress":{"city":"X","extension":[{"url":"https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-address-insee-code","valueCoding":{"code":"29999"}}]}}],
 "identifier":[{"use":"old","system":"urn:oid:1.2.250.1.213.1.4.10","value":"100000000000000"},
  {"use":"official","system":"urn:oid:1.2.250.1.213.1.4.10","value":"285 022 999 907 751"},{"system":"urn:oid:1.2.250.1.999.1","value":"IPP7"},{"system":"http://example.org","value":"x"}],
 "name":[{"use":"official","family":"ESSAI-KERVELLA","given":["MAELLE"],"extension":[{"url":"https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-patient-birth-list-given-name","valueString":"MAELLE ANNE"}]},
  {"use":"usual","family":"MARTIN","given":["Maëlle"]}],
 "gender":"female","birthDate":"1985-02-14"}`

func TestFindPatients(t *testing.T) {
	t.Parallel()
	ins := greffe.OID{Root: "1.2.250.1.213.1.4.10", Extension: "285022999907751"}
	page := func(next string, patients ...string) string {
		entries := ""
		for i, p := range patients {
			entries += map[bool]string{true: ","}[i > 0] + `{"search":{"mode":"match"},"resource":` + p + `}`
		}
		link := ""
		if next != "" {
			link = `"link":[{"relation":"self","url":"x"},{"relation":"next","url":"` + next + `"}],`
		}
		return `{"resourceType":"Bundle","type":"searchset",` + link + `"entry":[` + entries + `]}`
	}
	numbered := func(n int, more string) string {
		return strings.Replace(strings.Replace(known, "4711", fmt.Sprint(n), 1), `"active":true,`, more, 1)
	}
	stranger := strings.ReplaceAll(known, "285 022 999 907 751", "155082A99912348")
	for _, c := range []struct {
		name     string
		pages    []string // the last one is repeated
		want     string   // references
		inactive bool
		asked    int
		noAnswer bool
	}{
		{name: "nobody", pages: []string{page("")}, asked: 1},
		{name: "one", pages: []string{page("", known)}, want: "Patient/4711", asked: 1},
		{name: "two", pages: []string{page("", known, numbered(2, ""))}, want: "Patient/4711 Patient/2", asked: 1},
		{name: "a server that answers with everybody", pages: []string{page("", stranger, known)}, want: "Patient/4711", asked: 1},
		{name: "closed", pages: []string{page("", numbered(3, `"active":false,`))}, want: "Patient/3", inactive: true, asked: 1},
		{name: "merged", pages: []string{page("", numbered(3, `"link":[{"type":"replaced-by","other":{"reference":"Patient/4"}}],`))}, want: "Patient/3", inactive: true, asked: 1},
		{name: "an id that leads elsewhere", pages: []string{page("", strings.Replace(known, "4711", "..", 1))}, asked: 1},
		{name: "two pages", pages: []string{page("Patient?identifier=285022999907751&_offset=20", numbered(1, "")), page("", numbered(2, ""))}, want: "Patient/1 Patient/2", asked: 2},
		{name: "an opaque second page", pages: []string{page("http://proxy.example/fhir?_getpages=a1", numbered(1, "")), page("", numbered(2, ""))}, want: "Patient/1 Patient/2", asked: 2},
		{name: "pages without end", pages: []string{page("?_getpages=a1", numbered(1, ""))}, want: "Patient/1 Patient/1 Patient/1 Patient/1 Patient/1", asked: 5},
		{name: "empty pages without end", pages: []string{page("?_getpages=a1")}, noAnswer: true, asked: 5},
		{name: "a page elsewhere", pages: []string{page("http://evil.example/x")}, noAnswer: true, asked: 1},
		{name: "a page above", pages: []string{page("/fhir/../admin/285022999907751")}, noAnswer: true, asked: 1},
		{name: "the INS in a path", pages: []string{page("Patient/285022999907751/next")}, noAnswer: true, asked: 1},
		{name: "not a bundle", pages: []string{known}, noAnswer: true, asked: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			cl := server(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.String(), ins.Extension) {
					t.Errorf("the INS is in the address %s", r.URL)
				}
				if asked == 0 && r.PostFormValue("identifier") != "urn:oid:"+ins.Root+"|"+ins.Extension {
					t.Errorf("searched for %q", r.PostFormValue("identifier"))
				}
				asked++
				fmt.Fprint(w, c.pages[min(asked, len(c.pages))-1])
			})
			list, err := cl.FindPatients(t.Context(), ins)
			if c.noAnswer != errors.Is(err, ErrNoAnswer) || !c.noAnswer && err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, k := range list {
				got = append(got, k.Reference)
				if k.Inactive != c.inactive || k.Reliability != "QUAL" {
					t.Errorf("%+v", k)
				}
			}
			if strings.Join(got, " ") != c.want || asked != c.asked {
				t.Errorf("%v after %d requests", got, asked)
			}
		})
	}
}

func TestTraits(t *testing.T) {
	t.Parallel()
	var p Patient
	if err := json.Unmarshal([]byte(known), &p); err != nil {
		t.Fatal(err)
	}
	got := p.Traits()
	want := greffe.Patient{
		INS:         greffe.OID{Root: "1.2.250.1.213.1.4.10", Extension: "285 022 999 907 751"},
		BirthFamily: "ESSAI-KERVELLA", FirstGiven: "MAELLE", Givens: "MAELLE ANNE", UsedFamily: "MARTIN", UsedGiven: "Maëlle",
		Sex: "F", BirthDate: "19850214", BirthPlace: "29999",
	}
	want.IDs = []greffe.OID{want.INS, {Root: "1.2.250.1.999.1", Extension: "IPP7"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	// What Greffe writes of a patient, it reads.
	if again := FromPatient(want).Traits(); !reflect.DeepEqual(again, want) {
		t.Errorf("%+v", again)
	}
}
