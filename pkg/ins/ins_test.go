package ins

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

func TestKeyVectors(t *testing.T) {
	t.Parallel()
	for s13, want := range map[string]string{
		"2790351215189": "89", "2770763220829": "10", "1000175101001": "51", "1891275125012": "82",
		"155082A999123": "48", "155082a999123": "48", "292072B999115": "47", // Corsica
		"1721199999055": "81", "2850229999077": "51",
		"1850229999081": "97", "1850229999080": "01",
	} {
		if got, err := Key(s13); err != nil || got != want {
			t.Errorf("Key(%s) = %q, %v; want %s", s13, got, err, want)
		}
	}
	for _, bad := range []string{"", "279035121518", "27903512151899", "279035121518A", "27A0351215189", "279032C215189", "2790351é15189"} {
		if _, err := Key(bad); !errors.Is(err, ErrSyntax) {
			t.Errorf("Key(%q) gives %v", bad, err)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		root, extension string
		kind            Kind
		matricule       string
		err             error
	}{
		{OIDNIRTest, "279035121518989", NIRTest, "279035121518989", nil},
		{OIDNIR, "155082a99912348", NIR, "155082A99912348", nil},
		{OIDNIA, "1 72 11 99 999 055 81", NIA, "172119999905581", nil},
		{OIDNIRDemo, "292072B99911547", NIRDemo, "292072B99911547", nil},
		{OIDNIRTest, "221042545611404", NIRTest, "221042545611404", ErrKey}, // an official example
		{"1.2.250.1.213.1.4.2", "279035121518989", "", "", ErrOID},          // the abandoned INS-C
		{"1.2.3.4.567.8.9.10", "1234567890121", "", "", ErrOID},
		{OIDNIR, "", "", "", ErrSyntax},
		{OIDNIR, "27903512151898", "", "", ErrSyntax},
		{OIDNIR, "2790351215189", NIR, "2790351215189", ErrNoKey},
		{OIDNIR, "2.79.03.51.215.189-89", NIR, "279035121518989", nil},
		{OIDNIR, "2 79 03 51 215 189\u00a089", NIR, "279035121518989", nil},
		{OIDNIR, "9790351215189", "", "", ErrSyntax},
		{OIDNIR, "979035121518989", "", "", ErrSyntax}, // no such sex
		{OIDNIR, "279135121518989", "", "", ErrSyntax}, // month 13
		{OIDNIR, "279002A21518989", "", "", ErrSyntax}, // letter in the wrong place
		{OIDNIR, "279035121518900", "", "", ErrSyntax}, // key 00
		{OIDNIR, "27903512151898é", "", "", ErrSyntax},
		{OIDNIR, "220204299907743", NIR, "220204299907743", ErrKey}, // month 20: not known
	} {
		got, err := Parse(greffe.OID{Root: c.root, Extension: c.extension})
		if !errors.Is(err, c.err) || got.Kind != c.kind || got.Matricule != c.matricule {
			t.Errorf("Parse(%s^%s) = %+v, %v", c.extension, c.root, got, err)
		}
	}
}

func TestEnvironments(t *testing.T) {
	t.Parallel()
	all := []Kind{NIR, NIA, NIRTest, NIRDemo, ""}
	for e, want := range map[Environment][]Kind{
		Production: {NIR, NIA}, Test: {NIRTest, NIRDemo}, "": {NIRTest, NIRDemo}, "typo": {NIRTest, NIRDemo}, Any: {NIR, NIA, NIRTest, NIRDemo},
	} {
		for _, k := range all {
			if e.Accepts(k) != slices.Contains(want, k) {
				t.Errorf("%q accepts %q: %v", e, k, e.Accepts(k))
			}
		}
	}
}

// patient returns a complete patient, invented.
func patient(root string) greffe.Patient {
	id := greffe.OID{Root: root, Extension: "285022999907751"}
	return greffe.Patient{
		IDs: []greffe.OID{{Root: "1.2.3", Extension: "77"}, id}, INS: id,
		BirthFamily: "ESSAI-KERVELLA", FirstGiven: "MAELLE", Givens: "MAELLE ANNE", Sex: "F", BirthDate: "19850214", BirthPlace: "29999",
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	set := func(p *greffe.Patient, extension string) {
		p.INS.Extension = extension
		p.IDs[1].Extension = extension
	}
	setKey := func(p *greffe.Patient) {
		first := p.INS.Extension[:13]
		key, err := Key(first)
		if err != nil {
			t.Error(err)
		}
		set(p, first+key)
	}
	for _, c := range []struct {
		name    string
		root    string
		env     Environment
		change  func(*greffe.Patient)
		rules   []string
		verdict greffe.Verdict
	}{
		{"test", OIDNIRTest, Test, nil, nil, greffe.VerdictOK},
		{"production", OIDNIR, Production, nil, nil, greffe.VerdictOK},
		{"inspection", OIDNIA, Any, nil, nil, greffe.VerdictOK},
		{"INS only among the ids", OIDNIRTest, Test, func(p *greffe.Patient) { p.INS = greffe.OID{} }, nil, greffe.VerdictOK},
		{"real person on a test system", OIDNIR, Test, nil, []string{"ins.environment"}, greffe.VerdictRefused},
		{"NIA on a test system", OIDNIA, Test, nil, []string{"ins.environment"}, greffe.VerdictRefused},
		{"test person in production", OIDNIRTest, Production, nil, []string{"ins.environment"}, greffe.VerdictRefused},
		{"demonstration in production", OIDNIRDemo, Production, nil, []string{"ins.environment"}, greffe.VerdictRefused},
		{"demonstration", OIDNIRDemo, Test, nil, nil, greffe.VerdictOK},
		{"no id", OIDNIRTest, Test, func(p *greffe.Patient) { *p = greffe.Patient{} }, []string{"ins.missing"}, greffe.VerdictHeld},
		{"local id only", OIDNIRTest, Test, func(p *greffe.Patient) { p.INS, p.IDs = greffe.OID{}, p.IDs[:1] }, []string{"ins.missing"}, greffe.VerdictHeld},
		{"two INS", OIDNIRTest, Test, func(p *greffe.Patient) {
			p.IDs = append(p.IDs, greffe.OID{Root: OIDNIA, Extension: "172119999905581"})
		}, []string{"ins.two"}, greffe.VerdictHeld},
		{"the same INS twice", OIDNIRTest, Test, func(p *greffe.Patient) {
			p.IDs = append(p.IDs, greffe.OID{Root: OIDNIRDemo, Extension: "285022999907751"})
		}, nil, greffe.VerdictOK},
		{"wrong key in production", OIDNIR, Production, func(p *greffe.Patient) { set(p, "285022999907752") }, []string{"ins.key"}, greffe.VerdictHeld},
		{"wrong key in test", OIDNIRTest, Test, func(p *greffe.Patient) { set(p, "285022999907752") }, []string{"ins.key.test"}, greffe.VerdictWarning},
		{"without its key", OIDNIRTest, Test, func(p *greffe.Patient) { set(p, "2850229999077") }, []string{"ins.key.missing"}, greffe.VerdictHeld},
		{"too short", OIDNIRTest, Test, func(p *greffe.Patient) { set(p, "285022999907") }, []string{"ins.syntax"}, greffe.VerdictHeld},
		{"number and key apart", OIDNIRTest, Test, func(p *greffe.Patient) { set(p, "2 85 02 29 999 077 51") }, []string{"ins.form"}, greffe.VerdictWarning},
		{"the same INS written in two ways", OIDNIRTest, Test, func(p *greffe.Patient) {
			p.IDs = append(p.IDs, greffe.OID{Root: OIDNIRTest, Extension: "2.85.02.29.999.077 51"})
		}, nil, greffe.VerdictOK},
		{"Corsica in small letters", OIDNIRTest, Test, func(p *greffe.Patient) {
			set(p, "155082a99912348")
			p.Sex, p.BirthDate, p.BirthPlace = "M", "19550817", "20999"
		}, []string{"ins.form"}, greffe.VerdictWarning},
		{"number of someone under registration", OIDNIRTest, Test, func(p *greffe.Patient) { set(p, "785022999907704"); setKey(p) }, []string{"ins.provisional"}, greffe.VerdictWarning},
		{"the same as an NIA", OIDNIA, Production, func(p *greffe.Patient) { set(p, "785022999907704"); setKey(p) }, nil, greffe.VerdictOK},
		{"INS under a local OID", OIDNIRTest, Test, func(p *greffe.Patient) {
			p.INS, p.IDs = greffe.OID{}, []greffe.OID{{Root: "1.2.3", Extension: "285022999907751"}}
		}, []string{"ins.oid", "ins.missing"}, greffe.VerdictHeld},
		{"number of somebody else under a local OID", OIDNIRTest, Test, func(p *greffe.Patient) { p.IDs[0].Extension = "172119999905581" }, []string{"ins.oid"}, greffe.VerdictWarning},
		{"its own number under a local OID", OIDNIRTest, Test, func(p *greffe.Patient) { p.IDs[0].Extension = "285022999907751" }, nil, greffe.VerdictOK},
		{"the abandoned INS-C beside", OIDNIRTest, Test, func(p *greffe.Patient) { p.IDs[0].Root = "1.2.250.1.213.1.4.2" }, []string{"ins.obsolete"}, greffe.VerdictOK},
		{"the abandoned INS-C alone", OIDNIRTest, Test, func(p *greffe.Patient) {
			p.INS, p.IDs = greffe.OID{}, []greffe.OID{{Root: "1.2.250.1.213.1.4.6", Extension: "1234567890123456789012"}}
		}, []string{"ins.obsolete", "ins.missing"}, greffe.VerdictHeld},
		{"first given name of another list", OIDNIRTest, Test, func(p *greffe.Patient) { p.Givens = "ANNE MAELLE" }, []string{"ins.given"}, greffe.VerdictWarning},
		{"compound given name", OIDNIRTest, Test, func(p *greffe.Patient) { p.FirstGiven, p.Givens = "MAËLLE-ANNE", "MAELLE ANNE LISE" }, nil, greffe.VerdictOK},
		{"no such day", OIDNIRTest, Test, func(p *greffe.Patient) { p.BirthDate = "19850230" }, []string{"ins.date"}, greffe.VerdictWarning},
		{"day not known", OIDNIRTest, Test, func(p *greffe.Patient) { p.BirthDate = "19850200" }, nil, greffe.VerdictOK},
		{"month not known", OIDNIRTest, Test, func(p *greffe.Patient) { p.BirthDate = "19850000" }, nil, greffe.VerdictOK},
		{"place in letters", OIDNIRTest, Test, func(p *greffe.Patient) { p.BirthPlace = "QUIMPER" }, []string{"ins.place"}, greffe.VerdictWarning},
		{"place of another matricule", OIDNIRTest, Test, func(p *greffe.Patient) { p.BirthPlace = "51215" }, []string{"ins.birthplace"}, greffe.VerdictOK},
		{"no birth place", OIDNIRTest, Test, func(p *greffe.Patient) { p.BirthPlace = "" }, []string{"ins.traits"}, greffe.VerdictHeld},
		{"half a birth date", OIDNIRTest, Test, func(p *greffe.Patient) { p.BirthDate = "198502" }, []string{"ins.traits"}, greffe.VerdictHeld},
		{"other year", OIDNIRTest, Test, func(p *greffe.Patient) { p.BirthDate = "19840214" }, []string{"ins.birth"}, greffe.VerdictWarning},
		{"other month", OIDNIRTest, Test, func(p *greffe.Patient) { p.BirthDate = "19850314" }, []string{"ins.birth"}, greffe.VerdictWarning},
		{"other sex", OIDNIRTest, Test, func(p *greffe.Patient) { p.Sex = "M" }, []string{"ins.sex"}, greffe.VerdictWarning},
		{"sex not known", OIDNIRTest, Test, func(p *greffe.Patient) { p.Sex = "UN" }, nil, greffe.VerdictOK},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := patient(c.root)
			if c.change != nil {
				c.change(&p)
			}
			findings := Check(p, c.env, "2!4")
			if got := rules(t, findings); !slices.Equal(got, c.rules) || greffe.VerdictOf(findings) != c.verdict {
				t.Errorf("rules %v (%s), want %v (%s)", got, greffe.VerdictOf(findings), c.rules, c.verdict)
			}
			if missing := missingTraits(p); (missing == "") != p.HasTraits() {
				t.Errorf("missing traits %q, HasTraits %v", missing, p.HasTraits())
			}
		})
	}
}

func rules(t *testing.T, findings []greffe.Finding) []string {
	t.Helper()
	var ids []string
	for _, f := range findings {
		if strings.Contains(f.Text, "%!") || !slices.ContainsFunc(Rules(), func(r greffe.Rule) bool { return r.ID == f.Rule }) {
			t.Errorf("finding %+v", f)
		}
		ids = append(ids, f.Rule)
	}
	return ids
}

func TestEqualAndNormalise(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Léa  Marie": "LEA MARIE", "D’Hélène": "D'HELENE", "Œuvré": "OEUVRE", "Læticia": "LAETICIA", "MARIE–LOUISE": "MARIE-LOUISE",
		" Çelik\u00a0Ñ ": "CELIK N", "e\u0301te\u0301": "ETE", "ﬁn": "FIN", "straße": "STRASSE", "": "", "\t": "",
	} {
		if got := Normalise(in); got != want {
			t.Errorf("Normalise(%q) = %q, want %q", in, got, want)
		}
		if Normalise(Normalise(in)) != Normalise(in) {
			t.Errorf("Normalise(%q) is not stable", in)
		}
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"LÉA", "lea", true}, {"MARIE-LOUISE", "MARIE LOUISE", false}, {"O'BRIEN", "O’Brien", true}, {"", "", false}, {"DUPONT", "DUPOND", false},
	} {
		if Equal(c.a, c.b) != c.want {
			t.Errorf("Equal(%q, %q) = %v", c.a, c.b, !c.want)
		}
	}
}

func TestRegisters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ root, extension, rule string }{
		{OIDPersons, "801234567897", ""}, {OIDPersons, "899900000011", ""}, {OIDPersons, "99900000029", ""}, {OIDPersons, "8 999 000 000 29", ""},
		{OIDPersons, "801234534765", "ins.rpps"}, {OIDPersons, "01234564895", "ins.rpps"},
		{OIDPersons, "0751234567", ""}, {OIDPersons, "02A1234567", ""}, {OIDPersons, "075123456X", "ins.adeli"}, {OIDPersons, "075123", "ins.national"},
		{OIDPersons, "3990000010/12", ""}, {OIDPersons, "3990000011/12", "ins.finess"}, {OIDPersons, "4732829320/12", ""}, {OIDPersons, "573282932000074/7", ""},
		{OIDPersons, "599900000011/7", "ins.national"}, {OIDPersons, "699900000011/7", ""}, {OIDPersons, "Dr Martel", "ins.national"}, {OIDPersons, "é", "ins.national"},
		{OIDStructures, "0751234567", ""}, {OIDStructures, "49990000001101", ""}, {OIDStructures, "49990000001201", "ins.rpps"},
		{OIDStructures, "990000010", ""}, {OIDStructures, "19900000", "ins.structure"}, {OIDStructures, "12B0000012", ""}, {OIDStructures, "12AX000012", "ins.finess"},
		{OIDStructures, "1060021920", ""}, {OIDStructures, "1490012345", "ins.finess"}, {OIDStructures, "1 990 000 028", ""},
		{OIDStructures, "1750803447", ""}, {OIDStructures, "1990000010", ""}, {OIDStructures, "12A0000012", ""},
		{OIDStructures, "1120459876", "ins.finess"}, {OIDStructures, "2732829320", ""}, {OIDStructures, "2732829321", "ins.siren"},
		{OIDStructures, "373282932000074", ""}, {OIDStructures, "373282932000075", "ins.siret"}, {OIDStructures, "335600000012346", ""}, {OIDStructures, "335600000012345", "ins.siret"},
		{OIDStructures, "technique", ""}, {OIDStructures, "1/LOCAL", ""}, {OIDStructures, "", ""}, {"1.2.3", "801234534765", ""},
	} {
		d := greffe.Document{
			Authors:   []greffe.Person{{ID: greffe.OID{Root: c.root, Extension: c.extension}}, {Organization: greffe.Org{ID: greffe.OID{Root: c.root, Extension: c.extension}}}},
			Custodian: greffe.Org{ID: greffe.OID{Root: c.root, Extension: c.extension}},
		}
		got := rules(t, CheckRegisters(&d, "1"))
		if want := []string{c.rule}; c.rule == "" && len(got) > 0 || c.rule != "" && !slices.Equal(got, want) {
			t.Errorf("%s^%s: %v, want %q once", c.extension, c.root, got, c.rule)
		}
	}
}

func TestRulesAreWellFormed(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, r := range Rules() {
		if seen[r.ID] || !strings.HasPrefix(r.ID, "ins.") || r.Text == "" || r.Source == "" || r.Severity == "" {
			t.Errorf("rule %+v", r)
		}
		seen[r.ID] = true
	}
}

func FuzzParse(f *testing.F) {
	f.Add(OIDNIR, "279035121518989", "Léa")
	f.Add(OIDNIRTest, "155082A99912348", "D’Œ")
	f.Add("", " é ", "\xff")
	f.Fuzz(func(t *testing.T, root, extension, name string) {
		i, err := Parse(greffe.OID{Root: root, Extension: extension})
		if err == nil {
			if key, _ := Key(i.Matricule[:13]); key != i.Matricule[13:] || len(i.Matricule) != 15 || i.Kind == "" {
				t.Errorf("%+v is not well formed", i)
			}
		}
		p := greffe.Patient{IDs: []greffe.OID{{Root: root, Extension: extension}}, BirthFamily: name, UsedGiven: extension, Givens: name, BirthDate: extension, Sex: name, BirthPlace: name}
		q := greffe.Patient{IDs: []greffe.OID{{Root: root, Extension: name}}, UsedFamily: name, FirstGiven: name, Givens: extension, BirthDate: name, Sex: extension, BirthPlace: extension}
		if Compare(p, p).Contradicts() && len(numbers(p)) < 2 {
			t.Errorf("%+v is not itself", p)
		}
		if Compare(p, q).Match() != Compare(q, p).Match() {
			t.Errorf("%+v and %+v: %+v, but %+v the other way round", p, q, Compare(p, q), Compare(q, p))
		}
		Check(greffe.Patient{IDs: []greffe.OID{{Root: root, Extension: extension}}, BirthDate: name, Sex: name}, Any, "")
		CheckRegisters(&greffe.Document{Custodian: greffe.Org{ID: greffe.OID{Root: root, Extension: extension}}}, "")
		CheckRegisters(&greffe.Document{Custodian: greffe.Org{ID: greffe.OID{Root: OIDPersons, Extension: extension}}}, "")
		if n := Normalise(name); Normalise(n) != n {
			t.Errorf("Normalise(%q) is not stable: %q, %q", name, n, Normalise(n))
		}
	})
}
