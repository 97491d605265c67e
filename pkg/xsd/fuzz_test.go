package xsd

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// Messages quote the document: whatever they hold, the summary is a short sentence.
func FuzzReport(f *testing.F) {
	f.Add("/dev/fd/3:91: element code: Schemas validity error : Element '{urn:hl7-org:v3}code', attribute 'code': '' is not a valid value of the union type '{urn:hl7-org:v3}cs'.\n/dev/fd/3 fails to validate\n")
	f.Add("/dev/fd/3:1: element a: Schemas validity error : Element 'a': This element is not expected. Expected is one of ( {urn:hl7-org:v3}id, b ).\n/dev/fd/3 validates\n")
	f.Add("/dev/fd/3:1: parser error : Document is empty\n\n^\n")
	f.Fuzz(func(t *testing.T, said string) {
		r, err := readReport([]byte(said), "/dev/fd/3")
		if s := r.summary(); err == nil && (!utf8.ValidString(s) || len(s) > 4096 || strings.Contains(s, "\n")) {
			t.Errorf("summary %q", s)
		}
	})
}
