package parser

import (
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"greffe/pkg/greffe"
)

// A document is a document in whatever character set it is written.
func TestCharacterSetsOfDocuments(t *testing.T) {
	t.Parallel()
	doc := `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + strings.TrimPrefix(string(level3(facts(0, 1)).Data), `<?xml version="1.0" encoding="UTF-8"?>`)
	for name, c := range map[string]struct {
		declared string
		in       encoding.Encoding
		wrong    int
	}{
		"UTF-8":                    {"UTF-8", encoding.Nop, 0},
		"ISO-8859-1":               {"ISO-8859-1", charmap.ISO8859_1, 0},
		"ISO-8859-15":              {"ISO-8859-15", charmap.ISO8859_15, 0},
		"windows-1252":             {"windows-1252", charmap.Windows1252, 0},
		"windows-1252, said UTF-8": {"UTF-8", charmap.Windows1252, 1},
		"UTF-8, said ISO-8859-1":   {"ISO-8859-1", encoding.Nop, 1},
		"UTF-16LE with a BOM":      {"UTF-16", unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), 0},
		"UTF-16BE with a BOM":      {"UTF-16", unicode.UTF16(unicode.BigEndian, unicode.UseBOM), 0},
		"UTF-16LE without a BOM":   {"UTF-16LE", unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), 0},
		"UTF-16BE without a BOM":   {"UTF-16BE", unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, err := c.in.NewEncoder().String(strings.Replace(doc, "UTF-8", c.declared, 1))
			if err != nil {
				t.Fatal(err)
			}
			out := parse(t, quiet(), mail("", attachment{name: "cda.xml", media: "text/xml", data: []byte(raw)}))
			if len(out.Documents) != 1 || out.Documents[0].Format != greffe.FormatCDA3 {
				t.Fatalf("documents %+v", out.Documents)
			}
			d := out.Documents[0]
			if d.UniqueID != facts(0, 1).UniqueID || d.Patient.BirthFamily != facts(0, 1).Patient.BirthFamily || d.SHA256 != greffe.DigestOf([]byte(raw)) {
				t.Errorf("id %v, patient %q", d.UniqueID, d.Patient.BirthFamily)
			}
			if got := of(d.Findings, "cda.encoding.declared"); len(got) != c.wrong {
				t.Errorf("%d findings about the encoding", len(got))
			}
		})
	}
}
