package parser

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
	"greffe/pkg/ins"
	"greffe/pkg/pdf"
	"greffe/pkg/sandbox"
)

// report is level 3 document n about Jean DUPONT-ESSAI, of 20 November 2026.
func report(n int, title, label string) greffe.Document {
	d := facts(1, n)
	d.Title, d.Type.Label = title, label
	d.Patient.BirthFamily, d.Patient.UsedFamily = "DUPONT-ESSAI", ""
	d.Patient.FirstGiven, d.Patient.UsedGiven, d.Patient.Givens, d.Patient.BirthDate = "JEAN", "JEAN", "JEAN PAUL MARIE", "19510709"
	d.UniqueID.Extension = fmt.Sprintf("26-00%d4711", n)
	return d
}

// TestRenderings pairs PDFs with level 3 documents by what their names say, and never by
// the order in which they came.
func TestRenderings(t *testing.T) {
	t.Parallel()
	blood := report(1, "Examens biologiques sanguins", "CR d'examens biologiques")
	knee := report(2, "IRM du genou gauche", "CR d'imagerie médicale")
	sister := report(3, "Examens biologiques sanguins", "CR d'examens biologiques")
	sister.Patient = sandbox.Patient(2)
	again := report(4, "Examens biologiques sanguins", "CR d'examens biologiques")
	accents := report(5, "Échographie hépatique", "CR d'imagerie médicale")
	accents.Patient.BirthFamily, accents.Patient.FirstGiven, accents.Patient.UsedGiven, accents.Patient.Givens = "LE GALL", "ANNE-LISE", "", "ANNE-LISE MARIE"
	const twin, plain = "twin", "parser.pdf"
	for name, c := range map[string]struct {
		documents []greffe.Document
		pdfs      []string // names
		want      []string // for each: twin of which document (from 1), or the rule that holds it
	}{
		// By the grammar of ECO.2.1.6.
		"as it should be":           {[]greffe.Document{blood}, []string{"20261120_CR d'examens biologiques_DUPONT-ESSAI_JEAN_000451.pdf"}, []string{"twin 1"}},
		"small letters, no number":  {[]greffe.Document{blood}, []string{"20261120_cr d’examens biologiques_dupont-essai_jean.PDF"}, []string{"twin 1"}},
		"all given names":           {[]greffe.Document{blood}, []string{"20261120_biologie_DUPONT ESSAI_JEAN PAUL MARIE_1.pdf"}, []string{"twin 1"}},
		"blanks are underscores":    {[]greffe.Document{accents}, []string{"20261120_échographie_hépatique_LE_GALL_Anne_Lise_1.pdf"}, []string{"twin 1"}},
		"accents apart":             {[]greffe.Document{accents}, []string{"20261120_e\u0301chographie he\u0301patique_Le Gall_Anne-Lise_1.pdf"}, []string{"twin 1"}},
		"other order than the CDAs": {[]greffe.Document{blood, knee}, []string{"20261120_IRM genou_DUPONT-ESSAI_JEAN_2.pdf", "20261120_biologie_DUPONT-ESSAI_JEAN_1.pdf"}, []string{"twin 2", "twin 1"}},
		"one of two has a PDF":      {[]greffe.Document{blood, knee}, []string{"20261120_IRM genou_DUPONT-ESSAI_JEAN_2.pdf"}, []string{"twin 2"}},
		"a PDF more":                {[]greffe.Document{knee}, []string{"20261120_IRM genou_DUPONT-ESSAI_JEAN_2.pdf", "20261120_Ordonnance_DUPONT-ESSAI_JEAN_3.pdf"}, []string{"twin 1", "parser.pdf.unproven"}},
		"document number":           {[]greffe.Document{blood, again}, []string{"20261120_biologie_DUPONT-ESSAI_JEAN_26-0044711.pdf"}, []string{"twin 2"}},
		// Wrong patients.
		"brother":                    {[]greffe.Document{blood}, []string{"20261120_CR d'examens biologiques_DUPONT-ESSAI_PIERRE_000451.pdf"}, []string{"parser.pdf.patient"}},
		"brother with a longer name": {[]greffe.Document{blood}, []string{"20261120_CR d'examens biologiques_DUPONT-ESSAI_JEAN-PIERRE_000451.pdf"}, []string{"parser.pdf.patient"}},
		"namesake":                   {[]greffe.Document{blood}, []string{"20261120_CR d'examens biologiques_DUPONT_JEAN_000451.pdf"}, []string{"parser.pdf.patient"}},
		"somebody else":              {[]greffe.Document{blood}, []string{"20261120_CR d'examens biologiques_MARTIN_CLAIRE_000451.pdf"}, []string{"parser.pdf.patient"}},
		"two patients, in order": {[]greffe.Document{blood, sister}, []string{"20261120_biologie_DUPONT-ESSAI_JEAN_1.pdf", "20261120_biologie_" + sister.Patient.BirthFamily + "_ANNE_2.pdf"},
			[]string{plain, plain}},
		"two patients, no names": {[]greffe.Document{blood, sister}, []string{"1.pdf", "2.pdf"}, []string{plain, plain}},
		// Another document about the same patient.
		"another day":                            {[]greffe.Document{blood}, []string{"20251120_CR d'examens biologiques_DUPONT-ESSAI_JEAN_000451.pdf"}, []string{"parser.pdf.unproven"}},
		"another kind, same day":                 {[]greffe.Document{blood}, []string{"20261120_Ordonnance_DUPONT-ESSAI_JEAN_000451.pdf"}, []string{"parser.pdf.unproven"}},
		"another kind, one number":               {[]greffe.Document{blood}, []string{"20261120_Ordonnance_DUPONT-ESSAI_JEAN_26-0014711.pdf"}, []string{"parser.pdf.unproven"}},
		"only the patient":                       {[]greffe.Document{blood}, []string{"DUPONT-ESSAI Jean.pdf"}, []string{"parser.pdf.unproven"}},
		"only patient and day":                   {[]greffe.Document{blood}, []string{"DUPONT-ESSAI Jean 20-11-2026.pdf"}, []string{"parser.pdf.unproven"}},
		"as many as documents, and nothing said": {[]greffe.Document{blood, knee}, []string{"doc1.pdf", "doc2.pdf"}, []string{plain, plain}},
		"family name only":                       {[]greffe.Document{blood}, []string{"CR biologie DUPONT-ESSAI.pdf"}, []string{plain}},
		// Nobody can tell.
		"two PDFs for one":     {[]greffe.Document{blood}, []string{"20261120_biologie_DUPONT-ESSAI_JEAN_1.pdf", "20261120_biologie_DUPONT-ESSAI_JEAN_2.pdf"}, []string{"parser.pdf.ambiguous", "parser.pdf.ambiguous"}},
		"one PDF for two":      {[]greffe.Document{blood, again}, []string{"20261120_biologie_DUPONT-ESSAI_JEAN_1.pdf"}, []string{"parser.pdf.ambiguous"}},
		"two alike, two alike": {[]greffe.Document{blood, again}, []string{"20261120_biologie_DUPONT-ESSAI_JEAN_1.pdf", "20261120_biologie_DUPONT-ESSAI_JEAN_2.pdf"}, []string{"parser.pdf.ambiguous", "parser.pdf.ambiguous"}},
		// Other names.
		"in words":                 {[]greffe.Document{knee}, []string{"IRM genou gauche - Jean DUPONT-ESSAI.pdf"}, []string{"twin 1"}},
		"with day and birth date":  {[]greffe.Document{knee}, []string{"DUPONT ESSAI JEAN 09-07-1951 IRM 20.11.2026.pdf"}, []string{"twin 1"}},
		"with birth date only":     {[]greffe.Document{knee}, []string{"DUPONT-ESSAI Jean 09071951 IRM genou gauche.pdf"}, []string{"twin 1"}},
		"day of the message":       {[]greffe.Document{knee}, []string{"20261122_IRM genou gauche_DUPONT-ESSAI_JEAN_2.pdf"}, []string{"twin 1"}},
		"longer given name, words": {[]greffe.Document{knee}, []string{"IRM genou gauche - DUPONT-ESSAI Jean-Pierre.pdf"}, []string{plain}},
		"no name at all":           {[]greffe.Document{knee}, []string{""}, []string{plain}},
		"nothing but marks":        {[]greffe.Document{knee}, []string{"____.pdf"}, []string{plain}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var files []sandbox.XDMFile
			for _, d := range c.documents {
				files = append(files, level3(d))
			}
			parts := []attachment{archived(files...)}
			if name == "two patients, in order" || name == "two patients, no names" {
				parts = []attachment{archived(files[0]), archived(files[1])}
			}
			archives := len(parts)
			for i, n := range c.pdfs {
				parts = append(parts, attachment{name: n, media: "application/pdf", data: sandbox.PDF("Copie", []string{fmt.Sprint(i)}, 0)})
				if n != "" {
					parts[len(parts)-1].headers = "Content-Disposition: attachment; filename=\"" + n + "\"\r\n"
				}
			}
			out := parse(t, quiet(), mail("", parts...))
			for i := range c.pdfs {
				path := fmt.Sprint(2 + archives + i)
				got := "nothing"
				for n, d := range out.Documents {
					if slices.Contains(d.Twins, path) {
						got = fmt.Sprintf("%s %d", twin, n+1)
					}
					if d.Part == path {
						got = strings.Join(pdfRules(d), " ")
						if d.Verdict != greffe.VerdictHeld {
							t.Errorf("PDF %d is %s", i+1, d.Verdict)
						}
					}
				}
				if got != c.want[i] {
					t.Errorf("PDF %d: %s, want %s", i+1, got, c.want[i])
				}
			}
		})
	}
}

func pdfRules(d greffe.Document) (out []string) {
	for _, id := range rules(d.Findings) {
		if strings.HasPrefix(id, "parser.pdf") {
			out = append(out, id)
		}
	}
	return out
}

// TestTwins finds what is one document by its bytes, wherever the copy stands.
func TestTwins(t *testing.T) {
	t.Parallel()
	file := sandbox.PDF("Compte rendu", []string{"Glycémie"}, 0)
	one := level1(facts(1, 1), file)
	nested := func(parts ...attachment) attachment {
		return attachment{media: "message/rfc822", data: mail("", parts...)}
	}
	zipped := func(files ...string) attachment {
		return attachment{name: "docs.zip", media: "application/zip", data: zipOf(t, files...)}
	}
	d := facts(1, 1)
	bare := sandbox.CDA(sandbox.CDASpec{Document: d, Sections: "<component><section><text>x</text></section></component>"})
	styled := sandbox.CDA(sandbox.CDASpec{Document: d, Sections: "<component><section><text>x</text></section></component>", SelfPresenting: true})
	changed := sandbox.CDA(sandbox.CDASpec{Document: d, Sections: "<component><section><text>y</text></section></component>", SelfPresenting: true})
	xml := func(data []byte) attachment { return attachment{name: "cr.xml", media: "text/xml", data: data} }
	big := bytes.Replace(bare, []byte("<text>x</text>"), []byte("<text>"+strings.Repeat("x ", memorySize)+"</text>"), 1)
	bigStyled := bytes.Replace(styled, []byte("<text>x</text>"), []byte("<text>"+strings.Repeat("x ", memorySize)+"</text>"), 1)
	described := archivedWith(t, facts(1, 1), file)
	for name, c := range map[string]struct {
		parts []attachment
		want  []string // part of each document and its twins
		holds string   // rule that holds them all
	}{
		"PDF in a nested mail":                  {[]attachment{archived(one), nested(pdfFile("a.pdf", file))}, []string{"2!3 = 3.2"}, ""},
		"PDF in a ZIP":                          {[]attachment{zipped("a.pdf", string(file)), archived(one)}, []string{"3!3 = 2!0"}, ""},
		"PDF three times":                       {[]attachment{pdfFile("a.pdf", file), archived(one), nested(pdfFile("b.pdf", file)), zipped("c.pdf", string(file))}, []string{"3!3 = 2 4.2 5!0"}, ""},
		"the archive again, in the mail inside": {[]attachment{archived(one), nested(archived(one))}, []string{"2!3 = 3.2"}, ""},
		"the archive again, packed anew":        {[]attachment{archived(one), zipped("x/README", "x", "IHE_XDM/A/METADATA.XML", "<x/>", "cr.xml", string(one.Data))}, nil, ""},
		"document in XDM, and bare":             {[]attachment{xml(one.Data), archived(one)}, []string{"3!3 = 2"}, ""},
		"two versions carry one PDF":            {[]attachment{archived(one, level1(facts(1, 2), file)), pdfFile("a.pdf", file)}, []string{"2!3 = 3", "2!4 = 3"}, ""},
		"level 1, and another PDF of its name": {[]attachment{archived(level1(report(1, "IRM du genou", "CR d'imagerie"), file)),
			pdfFile("20261120_IRM genou_DUPONT-ESSAI_JEAN_1.pdf", sandbox.PDF("IRM", []string{"Autre"}, 0))}, []string{"2!3 =", "3 ="}, ""},
		"a PDF that metadata describe, and copy": {[]attachment{described, pdfFile("a.pdf", file)}, []string{"2!3 = 3"}, ""},
		"auto-présentable and its document":      {[]attachment{archived(sandbox.XDMFile{Facts: d, Data: styled}), xml(bare)}, []string{"2!3 = 3"}, ""},
		"document and its auto-présentable":      {[]attachment{xml(styled), archived(sandbox.XDMFile{Facts: d, Data: bare})}, []string{"3!3 = 2"}, ""},
		"auto-présentable first, both large":     {[]attachment{xml(bigStyled), xml(big)}, []string{"2 = 3"}, ""},
		"auto-présentable with another text":     {[]attachment{archived(sandbox.XDMFile{Facts: d, Data: changed}), xml(bare)}, []string{"2!3 =", "3 ="}, "parser.same-id"},
		"auto-présentable of another patient":    {[]attachment{xml(bytes.ReplaceAll(styled, []byte(">"+d.Patient.BirthFamily+"<"), []byte(">AUTRE<"))), xml(bare)}, []string{"2 =", "3 ="}, "parser.same-id"},
		"one document, metadata of two patients": {[]attachment{archived(one), archived(sandbox.XDMFile{Facts: facts(2, 1), Data: one.Data})}, []string{"2!3 = 3!3"}, "ins.conflict"},
		"one document, masked the second time": {[]attachment{archived(one), archived(func() sandbox.XDMFile {
			f := facts(1, 1)
			f.Confidentiality = append(f.Confidentiality, greffe.Code{Code: greffe.MaskedToProfessionals, System: "1.2.250.1.213.1.1.4.13"})
			return sandbox.XDMFile{Facts: f, Data: one.Data}
		}())}, []string{"2!3 = 3!3"}, "parser.masked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := parse(t, quiet(), mail("", c.parts...))
			var got []string
			for _, d := range out.Documents {
				got = append(got, strings.TrimSpace(d.Part+" = "+strings.Join(d.Twins, " ")))
				if c.holds != "" && !slices.Contains(rules(d.Findings), c.holds) {
					t.Errorf("document %s: %v, want %s", d.Part, rules(d.Findings), c.holds)
				}
			}
			if c.want != nil && !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q\n%s", got, c.want, outcome(out))
			}
			if c.want == nil && len(out.Documents) == 0 {
				t.Error("no document")
			}
		})
	}
}

// archivedWith is an archive whose metadata describe a PDF instead of a CDA.
func archivedWith(t *testing.T, d greffe.Document, file []byte) attachment {
	t.Helper()
	return xdmFile(sandbox.XDM(sandbox.XDMSpec{Files: []sandbox.XDMFile{{Facts: d, Data: file}}, Time: someDay, Metadata: func(x []byte) []byte {
		return bytes.ReplaceAll(x, []byte(`mimeType="text/xml"`), []byte(`mimeType="application/pdf"`))
	}}))
}

// TestHarmfulRenderingIsSeen: a PDF with something wrong in it is not put behind the
// document that it looks like.
func TestHarmfulRenderingIsSeen(t *testing.T) {
	t.Parallel()
	checker := pdf.New(pdf.Config{Workers: 1})
	t.Cleanup(func() { checker.Close() })
	p := New(Config{Environment: ins.Any, Version: "test"}, nil, checker, slog.New(slog.DiscardHandler))
	d := report(1, "Examens biologiques sanguins", "CR d'examens biologiques")
	const name = "20261120_biologie_DUPONT-ESSAI_JEAN_1.pdf"
	good := sandbox.PDF("Examens biologiques sanguins", []string{"Glycémie"}, 0)
	for what, c := range map[string]struct {
		file []byte
		name string
		twin bool
	}{
		"good":                       {good, name, true},
		"by its own title":           {good, "DUPONT-ESSAI_Jean.pdf", true},
		"by its title, nobody named": {good, "cr.pdf", false},
		"damaged":                    {good[:len(good)/3], name, false},
	} {
		out := parse(t, p, mail("", archived(level3(d)), pdfFile(c.name, c.file)))
		if twin := len(out.Documents) == 1; twin != c.twin {
			t.Errorf("%s: %s", what, outcome(out))
		}
	}
}

func FuzzEvidence(f *testing.F) {
	f.Add("20261120_CR d'examens biologiques_DUPONT-ESSAI_JEAN_000451.pdf", "DUPONT-ESSAI", "JEAN")
	f.Add("IRM 09-07-1951 LE GALL Anne Lise.pdf", "LE GALL", "ANNE-LISE")
	f.Add("____", "", "é")
	f.Fuzz(func(t *testing.T, name, family, given string) {
		d := report(1, name, family)
		d.Patient.BirthFamily, d.Patient.FirstGiven = family, given
		s := describe(&d)
		e := parseName(name, "20261120").speaksFor(&s, &greffe.PDF{Title: name})
		if e.points > 0 && (!e.named || e.somebody) {
			t.Errorf("%q counts for %s %s without naming them", name, given, family)
		}
		if e.named && !strings.Contains(squash(name), squash(given)) && !strings.Contains(squash(name), "JEAN") {
			t.Errorf("%q does not name %q", name, given)
		}
	})
}
