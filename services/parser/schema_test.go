package parser

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
	"greffe/pkg/ins"
	"greffe/pkg/xsd"
)

// checking is a parser with the published schemas.
func checking(t testing.TB, program string) *Parser {
	t.Helper()
	dir, err := filepath.Abs("../../../shared/ref/cda-xsd")
	if _, staterr := os.Stat(dir); err != nil || staterr != nil {
		t.Skip("the schemas are not here")
	}
	if _, err := exec.LookPath("xmllint"); err != nil {
		t.Skip("xmllint is not installed")
	}
	c := xsd.New(xsd.Config{Schemas: dir, Program: program, Workers: 2})
	t.Cleanup(func() { c.Close() })
	return New(Config{Environment: ins.Any, Schemas: c}, nil, nil, slog.New(slog.DiscardHandler))
}

func of(findings []greffe.Finding, rule string) (out []string) {
	for _, f := range findings {
		if f.Rule == rule {
			out = append(out, f.Text)
		}
	}
	return out
}

// Documents of the publisher of the schemas follow them, auto-présentables ones, too.
func TestOfficialDocumentsFollowTheSchema(t *testing.T) {
	t.Parallel()
	p := checking(t, "")
	archives, err := filepath.Glob(filepath.Join(corpus(t, "xdm"), "*", "IHE_XDM.ZIP"))
	if err != nil || len(archives) == 0 {
		t.Fatal(err)
	}
	for _, name := range archives {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out := parse(t, p, mail("", xdmFile(data)))
		for _, d := range out.Documents {
			if got := slices.Concat(of(d.Findings, "xsd.invalid"), of(out.Findings, "xsd.unchecked")); len(got) > 0 {
				t.Errorf("%s: %v", filepath.Base(filepath.Dir(name)), got)
			}
		}
	}
}

func TestSchemaIsAWarningAtMost(t *testing.T) {
	t.Parallel()
	good := string(level3(facts(0, 1)).Data)
	broken := strings.Replace(good, "<languageCode", "<langueCode/><languageCode", 1)
	for name, c := range map[string]struct {
		program   string
		files     []string
		invalid   int
		unchecked int
	}{
		"broken":               {"", []string{broken}, 1, 0},
		"points to a file":     {"", []string{strings.Replace(good, "<ClinicalDocument ", `<ClinicalDocument xsi:schemaLocation="urn:hl7-org:v3 file:///etc/passwd" `, 1)}, 0, 0},
		"program is missing":   {"xmllint-absent", []string{good, broken}, 0, 1},
		"program does nothing": {"true", []string{good, broken}, 0, 1},
		"not well formed":      {"", []string{strings.Replace(good, "</ClinicalDocument>", "", 1)}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var parts []attachment
			for _, f := range c.files {
				parts = append(parts, attachment{name: "cda.xml", media: "text/xml", data: []byte(f)})
			}
			out := parse(t, checking(t, c.program), mail("", parts...))
			var invalid []string
			for _, d := range out.Documents {
				invalid = append(invalid, of(d.Findings, "xsd.invalid")...)
			}
			unchecked := of(out.Findings, "xsd.unchecked")
			if len(invalid) != c.invalid || len(unchecked) != c.unchecked || c.invalid > 0 && !strings.Contains(invalid[0], "langueCode : cet élément n’est pas attendu ici") {
				t.Errorf("invalid %q, unchecked %q", invalid, unchecked)
			}
		})
	}
}

func BenchmarkParseWithSchema(b *testing.B) {
	data := mail("", attachment{name: "cda.xml", media: "text/xml", data: level3(facts(0, 1)).Data})
	for name, p := range map[string]*Parser{"without": quiet(), "with": checking(b, "")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				parse(b, p, data)
			}
		})
	}
}
