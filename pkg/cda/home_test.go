package cda

import (
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

func TestReadHomeAddress(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		addr string
		want greffe.PostalAddress
	}{
		"structured": {`<addr use="HP"><houseNumber>12</houseNumber><streetNameType>rue</streetNameType><streetName>du Puits</streetName><additionalLocator>Bât. B</additionalLocator><postalCode>29000</postalCode><city>ESSAI</city><country>FRA</country></addr>`,
			greffe.PostalAddress{Street: "12 rue du Puits", Other: "Bât. B", City: "ESSAI", PostalCode: "29000", Country: "FRA"}},
		"lines": {`<addr><streetAddressLine>28 av.  du Puits</streetAddressLine><streetAddressLine>ESSAI</streetAddressLine><streetAddressLine>29000</streetAddressLine></addr>`,
			greffe.PostalAddress{Street: "28 av. du Puits", Other: "ESSAI 29000"}},
		"the one lived at":      {`<addr use="WP"><city>A</city></addr><addr use="H"><city>B</city></addr><addr use="HP"><city>C</city></addr>`, greffe.PostalAddress{City: "B"}},
		"not given":             {`<addr nullFlavor="UNK"><city>A</city></addr>`, greffe.PostalAddress{}},
		"none":                  {``, greffe.PostalAddress{}},
		"absurdly long":         {`<addr><city>` + strings.Repeat("x", 2000) + `</city><streetAddressLine>` + strings.Repeat("é", 2000) + `</streetAddressLine></addr>`, greffe.PostalAddress{Street: clipRunes(strings.Repeat("é", 2000), maxValue)}},
		"of another vocabulary": {`<x:addr xmlns:x="urn:x"><x:city>A</x:city></x:addr>`, greffe.PostalAddress{}},
	} {
		d, findings := Read(strings.NewReader(strings.Replace(sample, `<telecom value="mailto:285022999907751`, c.addr+`<telecom value="mailto:285022999907751`, 1)))
		checkRules(t, findings)
		if d.Patient.Home != c.want {
			t.Errorf("%s: %+v", name, d.Patient.Home)
		}
	}
}
