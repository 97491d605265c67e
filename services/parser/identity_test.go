package parser

import (
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
	"greffe/pkg/ins"
	"greffe/pkg/sandbox"
)

// TestOnePatient builds messages whose identities agree or not: the header of the
// document (CDA), its metadata, its submission set and the message must be about one
// patient, else the document is held with a sentence that says what differs.
func TestOnePatient(t *testing.T) {
	t.Parallel()
	type change = func(p *greffe.Patient)
	other := func(p *greffe.Patient) { *p = sandbox.Patient(2) }
	number := func(v string) change {
		return func(p *greffe.Patient) {
			p.INS.Extension = v
			p.IDs = []greffe.OID{p.INS}
		}
	}
	p1, p2 := sandbox.Patient(1), sandbox.Patient(2)
	const ipp = "1.2.3.4.567.8.9.10"
	local := func(ext string) change {
		return func(p *greffe.Patient) {
			p.INS, p.IDs = greffe.OID{}, []greffe.OID{{Root: ipp, Extension: ext}}
		}
	}
	for name, c := range map[string]struct {
		cda, metadata change
		replace       []string // places of METADATA.XML that get another INS
		headers       string
		verdict       greffe.Verdict
		rules         []string // every finding about the patient
		says          string   // in one of them
	}{
		"all agree":                {verdict: greffe.VerdictOK},
		"all agree, INS qualified": {headers: "X-MSS-INS: O\r\n", verdict: greffe.VerdictOK},
		"metadata of somebody else": {metadata: other, verdict: greffe.VerdictHeld,
			rules: []string{"ins.conflict", "xdm.cda.patient"}, says: "le matricule INS, le nom, le premier prénom"},
		"metadata with another INS": {metadata: number(p2.INS.Extension), verdict: greffe.VerdictHeld,
			rules: []string{"ins.conflict", "xdm.cda.patient"}, says: "ce qui diffère : le matricule INS."},
		"one digit of the INS differs": {metadata: number(p1.INS.Extension[:12] + "9" + p1.INS.Extension[13:]), verdict: greffe.VerdictHeld,
			rules: []string{"ins.conflict", "xdm.cda.patient"}, says: "le matricule INS"},
		"same INS, other name": {metadata: func(p *greffe.Patient) { p.BirthFamily = "AUTRE" }, verdict: greffe.VerdictHeld,
			rules: []string{"ins.conflict"}, says: "ce qui diffère : le nom."},
		"same INS, other first given name": {metadata: func(p *greffe.Patient) { p.FirstGiven = "CLOVIS" }, verdict: greffe.VerdictHeld,
			rules: []string{"ins.conflict"}, says: "ce qui diffère : le premier prénom."},
		"same INS, other birth date": {metadata: func(p *greffe.Patient) { p.BirthDate = "19010101" }, verdict: greffe.VerdictHeld,
			rules: []string{"ins.conflict"}, says: "la date de naissance."},
		"same INS, other sex": {metadata: func(p *greffe.Patient) { p.Sex = "F" }, verdict: greffe.VerdictHeld,
			rules: []string{"ins.conflict"}, says: "le sexe."},
		"same INS, other birth place": {metadata: func(p *greffe.Patient) { p.BirthPlace = "51215" }, verdict: greffe.VerdictHeld,
			rules: []string{"ins.conflict"}, says: "le lieu de naissance."},
		"same name in small letters": {metadata: func(p *greffe.Patient) { p.BirthFamily = strings.ToLower(p.BirthFamily) }, verdict: greffe.VerdictOK},
		"same name with a hyphen": {metadata: func(p *greffe.Patient) { p.BirthFamily = p.BirthFamily[:4] + "-" + p.BirthFamily[4:] },
			verdict: greffe.VerdictWarning, rules: []string{"ins.spelling"}, says: "le nom"},
		"metadata say less": {metadata: func(p *greffe.Patient) { *p = greffe.Patient{INS: p.INS, IDs: p.IDs} }, verdict: greffe.VerdictOK},
		"no INS in the document, another one in the metadata": {cda: local("42"), metadata: other, verdict: greffe.VerdictHeld,
			rules: []string{"ins.conflict", "ins.missing", "xdm.cda.patient"}},
		"two records of one hospital, no INS": {cda: local("42"), metadata: local("43"), verdict: greffe.VerdictHeld,
			rules: []string{"ins.conflict", "ins.missing", "xdm.cda.patient"}, says: "l’identifiant local"},
		"two INS in the document": {cda: func(p *greffe.Patient) { p.IDs = []greffe.OID{p.INS, p2.INS} }, verdict: greffe.VerdictHeld,
			rules: []string{"ins.conflict", "ins.two"}, says: "le matricule INS"},
		"the submission set of another patient": {replace: []string{"set"}, verdict: greffe.VerdictRefused,
			rules: []string{"parser.patient.set", "xdm.patients"}, says: "Le lot de soumission"},
		"metadata with two INS": {replace: []string{"source"}, verdict: greffe.VerdictHeld,
			rules: []string{"parser.patient.metadata", "xdm.cda.patient"}, says: "désignent à elles seules deux patients"},
		"a qualified INS is announced, none is there": {cda: local("42"), metadata: local("42"), headers: "X-MSS-INS: O\r\n", verdict: greffe.VerdictHeld,
			rules: []string{"ins.missing", "parser.mss-ins"}, says: "X-MSS-INS : O"},
		"a qualified INS is announced, a trait is missing": {cda: func(p *greffe.Patient) { p.BirthPlace = "" }, headers: "X-MSS-INS: o\r\n", verdict: greffe.VerdictHeld,
			rules: []string{"ins.traits", "parser.mss-ins"}, says: "le code du lieu de naissance"},
		"an INS that the sender did not check": {headers: "X-MSS-INS: N\r\n", verdict: greffe.VerdictWarning,
			rules: []string{"parser.mss-ins.unqualified"}, says: "X-MSS-INS : N"},
		"neither INS nor announced": {cda: local("42"), metadata: local("42"), headers: "X-MSS-INS: N\r\n", verdict: greffe.VerdictHeld, rules: []string{"ins.missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inside, outside := facts(1, 1), facts(1, 1)
			if c.cda != nil {
				c.cda(&inside.Patient)
			}
			if outside.Patient = inside.Patient; c.metadata != nil {
				outside.Patient = facts(1, 1).Patient
				c.metadata(&outside.Patient)
			}
			if name == "two INS in the document" {
				outside.Patient = p1
			}
			spec := sandbox.XDMSpec{Files: []sandbox.XDMFile{{Facts: outside, Data: level3(inside).Data}}, Time: someDay}
			spec.Metadata = func(x []byte) []byte { return elsewhere(t, string(x), c.replace, p1.INS.Extension, p2.INS.Extension) }
			out := parse(t, New(Config{Environment: ins.Test}, nil, nil, quiet().log), mail(c.headers, xdmFile(sandbox.XDM(spec))))
			if len(out.Documents) != 1 {
				t.Fatalf("%d documents", len(out.Documents))
			}
			d := out.Documents[0]
			var got []string
			said := ""
			for _, f := range d.Findings {
				if strings.HasPrefix(f.Rule, "ins.") || strings.Contains(f.Rule, "patient") || strings.HasPrefix(f.Rule, "parser.mss-ins") {
					got, said = append(got, f.Rule), said+f.Text
				}
				if strings.Contains(f.Text, p1.INS.Extension) || strings.Contains(f.Text, p1.BirthFamily) {
					t.Errorf("%q names the patient", f.Text)
				}
			}
			slices.Sort(got)
			if d.Verdict != c.verdict || !slices.Equal(got, c.rules) || !strings.Contains(said, c.says) {
				t.Errorf("%s %v, want %s %v\n%s", d.Verdict, got, c.verdict, c.rules, said)
			}
		})
	}
}

// elsewhere puts another INS into one place of METADATA.XML.
func elsewhere(t *testing.T, x string, places []string, old, new string) []byte {
	for _, place := range places {
		from := map[string]string{"set": "<rim:RegistryPackage", "source": `"sourcePatientId"`}[place]
		i := strings.Index(x, from)
		if i < 0 {
			t.Fatalf("no %s in METADATA.XML", from)
		}
		j := strings.Index(x[i:], old)
		if j < 0 {
			t.Fatalf("no INS behind %s in METADATA.XML", from)
		}
		x = x[:i+j] + new + x[i+j+len(old):]
	}
	return []byte(x)
}

// TestOnePatientPerMessage: documents of one message that are about several people are
// all held, by whatever way they came.
func TestOnePatientPerMessage(t *testing.T) {
	t.Parallel()
	person := func(n int, change func(*greffe.Patient)) greffe.Document {
		d := facts(1, n)
		if change != nil {
			change(&d.Patient)
		}
		return d
	}
	nobody := func(p *greffe.Patient) { *p = greffe.Patient{BirthFamily: p.BirthFamily} }
	noINS := func(p *greffe.Patient) { p.INS, p.IDs = greffe.OID{}, nil }
	for name, c := range map[string]struct {
		documents []greffe.Document
		differs   bool
		says      string
	}{
		"one patient":              {[]greffe.Document{person(1, nil), person(2, nil)}, false, ""},
		"one and an unknown one":   {[]greffe.Document{person(1, nil), person(2, noINS)}, false, ""},
		"two patients":             {[]greffe.Document{person(1, nil), facts(2, 2)}, true, "Les documents 1 et 2"},
		"the third is another one": {[]greffe.Document{person(1, nobody), person(2, nil), facts(2, 3)}, true, "et 3"},
		"first knows too little":   {[]greffe.Document{person(1, nobody), person(2, nil), person(3, func(p *greffe.Patient) { p.BirthDate = "19010101" })}, true, "Les documents 2 et 3 de ce message ne désignent pas le même patient ; ce qui diffère : la date de naissance."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var parts []attachment
			for _, d := range c.documents {
				parts = append(parts, archived(level3(d)))
			}
			out := parse(t, quiet(), mail("", parts...))
			if len(out.Documents) != len(c.documents) {
				t.Fatalf("%d documents", len(out.Documents))
			}
			for _, d := range out.Documents {
				i := slices.IndexFunc(d.Findings, func(f greffe.Finding) bool { return f.Rule == "parser.patients" })
				if (i >= 0) != c.differs {
					t.Errorf("document %s: %v", d.Part, rules(d.Findings))
				} else if i >= 0 && !strings.Contains(d.Findings[i].Text, c.says) {
					t.Errorf("document %s: %q does not say %q", d.Part, d.Findings[i].Text, c.says)
				}
			}
		})
	}
}
