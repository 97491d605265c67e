package cda

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"testing"

	"greffe/pkg/greffe"
)

// corpus returns the path of a folder of sample files beside the repository, and skips
// the test where it is absent.
func corpus(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Skip("no repository root")
		}
		dir = filepath.Dir(dir)
	}
	path := filepath.Join(filepath.Dir(dir), "shared", "corpus", name)
	if _, err := os.Stat(path); err != nil {
		t.Skip("the corpus is not here")
	}
	return path
}

// fromZip returns the only entry of the archive with that base name.
func fromZip(t testing.TB, archive, base string) []byte {
	t.Helper()
	z, err := zip.OpenReader(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		if filepath.Base(f.Name) != base {
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	t.Fatalf("no %s in the archive", base)
	return nil
}

// What the 14 official documents say, read by eye in the files.
var official = []struct {
	name                        string
	format                      greffe.Format
	media                       string
	id, set                     string
	version                     int
	replaces                    string
	code, title, created        string
	author, given, organisation string
	birthDate                   string
	values                      int // files in base64
}{
	{"AVC-SUNV_2022.01", greffe.FormatCDA3, MediaType, "1.2.250.1.213.1.1.1.17.2022.1.1", "1.2.250.1.213.1.1.1.17.2022.1", 1, "", "34133-9", "Fiche de sortie d'unité neuro-vasculaire", "20181003111700+0100", "BIDEAULT", "Jacques", "Clinique du Belvédère", "19790328", 0},
	{"BIO-CR-BIO_2021.01_Auto-Presentable", greffe.FormatCDA3, MediaTypeXSL, "1.2.250.1.213.1.1.1.55.2021.1.1", "1.2.250.1.213.1.1.1.55.2021.1", 1, "", "11502-2", "Compte rendu d'examens biologiques", "20210401171000+0100", "CAMPARINI", "Marcel", "Laboratoire des charmes", "19790328", 0},
	{"BIO-CR-BIO_2021.01_CDA-R2-Niveau-1", greffe.FormatCDA1, MediaType, "1.2.250.1.213.1.1.1.55.2021.3.1", "1.2.250.1.213.1.1.1.55.2021.3", 1, "", "11502-2", "Compte rendu d'examens biologiques", "20210104160527+0100", "CAMPARINI", "Marcel", "Laboratoire des charmes", "19790328", 1},
	{"BIO-CR-BIO_2024.01_Microbiologie_V1", greffe.FormatCDA3, MediaType, "1.2.250.1.213.1.1.1.55.2024.8.1", "1.2.250.1.213.1.1.1.55.2024.8", 1, "", "11502-2", "Compte rendu d'examens biologiques", "20240104160527+0100", "CAMPARINI", "Marcel", "Laboratoire des charmes", "19790328", 1},
	{"BIO-CR-BIO_2024.01_Microbiologie_V2", greffe.FormatCDA3, MediaType, "1.2.250.1.213.1.1.1.55.2024.8.2", "1.2.250.1.213.1.1.1.55.2024.8", 2, "1.2.250.1.213.1.1.1.55.2024.8.1", "11502-2", "Compte rendu d'examens biologiques", "20240104160527+0100", "CAMPARINI", "Marcel", "Laboratoire des charmes", "19790328", 1},
	{"BIO-CR-BIO_2024.01_Microbiologie_V2_Delete", greffe.FormatCDA3, MediaType, "1.2.250.1.213.1.1.1.55.2024.8.2", "1.2.250.1.213.1.1.1.55.2024.8", 2, "1.2.250.1.213.1.1.1.55.2024.8.1", "11502-2", "Compte rendu d'examens biologiques", "20240104160527+0100", "CAMPARINI", "Marcel", "Laboratoire des charmes", "19790328", 1},
	{"CANCER-PPS_2022.01_Autopresentable", greffe.FormatCDA3, MediaTypeXSL, "1.2.250.1.213.1.1.1.26.2022.1.1", "1.2.250.1.213.1.1.1.26.2022.1", 1, "", "18776-5", "PROGRAMME PERSONNALISÉ DE SOINS EN CANCEROLOGIE", "20210113121700+0100", "MULLER", "Charles", "Clinique du Dr. MULLER", "19760531", 0},
	{"CARD-F-PRC-AVK_2022.01", greffe.FormatCDA3, MediaType, "1.2.250.1.213.1.1.1.2.1.1.2022.1.1", "1.2.250.1.213.1.1.1.2.1.1.2022.1", 2, "", "34133-9", "Fiche patient à risque en cardiologie - Traitement AVK", "20080929094914+0100", "ANDRE", "Jacques", "Hôpital Européen Georges Pompidou", "19790328", 0},
	{"DOC_NON_STRUCTURE_CDA-R2-N1", greffe.FormatCDA1, MediaType, "1.3.6.1.4.1.19376.1.2.20.12345.1.1", "1.3.6.1.4.1.19376.1.2.20.12345.1", 1, "", "11502-2", "Compte rendu d'examens biologiques", "20210401134745+0100", "CAMPARINI", "Marcel", "Laboratoire des charmes", "19790328", 1},
	{"IMG_CR_IMG_2024.01", greffe.FormatCDA3, MediaType, "1.2.250.1.213.1.1.1.45.2024.1.1", "1.2.250.1.213.1.1.1.45.2024.1", 2, "90E1C8EC-F951-4B26-A305-A34848818DD6", "18748-4", "CR d’imagerie médicale - Scanner Tête + Cou + Thorax avec injection", "20210108111700+0100", "BIDEAULT", "Jacques", "Centre de radiologie Ambroise", "19790328", 1},
	{"IMG_CR_IMG_2024.01_CDA-R2-Niveau-1", greffe.FormatCDA1, MediaType, "1.2.250.1.213.1.1.1.45.2024.2.1", "1.2.250.1.213.1.1.1.45.2024.2", 2, "90E1C8EC-F951-4B26-A305-A34848818DD6", "18748-4", "CR d’imagerie médicale - Scanner Tête + Cou + Thorax avec injection", "20210108111700+0100", "BIDEAULT", "Jacques", "Centre de radiologie Ambroise", "19790328", 1},
	{"SDM-MR_2025.01_nouveau-ne", greffe.FormatCDA3, MediaType, "1.2.250.1.213.1.1.1.30.2024.1.1", "1.2.250.1.213.1.1.1.30.2024.1", 2, "", "34133-9", "Set de données minimum maladies rares (SDM-MR)", "20240228160000+0100", "BOILEAU", "Charles", "", "20240228", 0},
	{"VSM_1.4_2022.01", greffe.FormatCDA3, MediaType, "1.2.250.1.213.1.1.1.13.2022.1.1", "1.2.250.1.213.1.1.1.13.2022.1", 6, "", "SYNTH", "Synthèse Médicale", "20200312111700+0100", "MEDIONI", "Stéphane", "Centre de soins le Belvédère", "19790328", 0},
	{"eP-MED-DM_2024.01_PosoStruct", greffe.FormatCDA3, MediaType, "1.2.250.1.213.1.1.1.39.2024.2.1", "1.2.250.1.213.1.1.1.39.2024.2", 1, "", "57833-6", "Prescription de médicaments et/ou de dispositifs médicaux", "20231201093000+0100", "PIOU", "Romain", "Cabinet du DR Pierre JOLI", "19790328", 2},
}

func TestReadOfficialDocuments(t *testing.T) {
	t.Parallel()
	dir := corpus(t, "xdm")
	for _, want := range official {
		t.Run(want.name, func(t *testing.T) {
			t.Parallel()
			raw := fromZip(t, filepath.Join(dir, want.name, "IHE_XDM.ZIP"), "DOC0001.XML")
			if !IsCDA(raw[:8192]) {
				t.Error("not recognised by its first 8 KB")
			}
			d, findings := Read(bytes.NewReader(raw))
			if len(findings) > 0 {
				t.Errorf("findings about an official document: %v", findings)
			}
			action := greffe.ActionNew
			if want.replaces != "" {
				action = greffe.ActionReplace
			}
			for _, c := range []struct {
				what      string
				got, want any
			}{
				{"format", d.Format, want.format}, {"media type", d.MediaType, want.media},
				{"id", d.UniqueID, greffe.OID{Root: want.id}}, {"setId", d.SetID, greffe.OID{Root: want.set}},
				{"version", d.Version, want.version}, {"replaces", d.Replaces, greffe.OID{Root: want.replaces}}, {"action", d.Action, action},
				{"type", d.Type.Code, want.code}, {"title", d.Title, want.title}, {"created", d.Created, want.created},
				{"language", d.Language, "fr-FR"}, {"author", d.Authors[0].Family, want.author}, {"given", d.Authors[0].Given, want.given},
				{"organisation", d.Authors[0].Organization.Name, want.organisation},
				{"birth date", d.Patient.BirthDate, want.birthDate},
			} {
				if c.got != c.want {
					t.Errorf("%s = %v, want %v", c.what, c.got, c.want)
				}
			}
			ins, family, first, givens, place := "279035121518989", "PAT-TROIS", "DOMINIQUE", "DOMINIQUE MARIE-LOUISE", "51215"
			if want.name == "SDM-MR_2025.01_nouveau-ne" {
				ins, family, first, givens, place = "224027511583555", "DECOURCY", "Léa", "Léa Marie", "75115"
			}
			p := d.Patient
			if p.INS != (greffe.OID{Root: "1.2.250.1.213.1.4.10", Extension: ins}) || p.BirthFamily != family || p.FirstGiven != first ||
				p.Givens != givens || p.UsedFamily != family || p.Sex != "F" || p.BirthPlace != place || !p.HasTraits() {
				t.Errorf("patient = %+v", p)
			}
			if d.Facility.Code == "" || d.Practice.Code == "" || d.Custodian.Name == "" || d.Signer.Family == "" || !d.Marked("N") {
				t.Errorf("header is not complete: %+v", d)
			}
			n := 0
			if _, err := Embedded(bytes.NewReader(raw), func(v *Value) error {
				i, media := v.N, v.MediaType
				b, err := io.ReadAll(v)
				if got := v.Findings(""); len(got) > 0 {
					t.Errorf("value %d: %v", i, got)
				}
				if i != n || len(b) == 0 || !bytes.HasPrefix(b, []byte("%PDF-")) && !bytes.HasPrefix(b, []byte("\x89PNG")) {
					t.Errorf("value %d (%s) starts with %q", i, media, b[:min(8, len(b))])
				}
				n++
				return err
			}); err != nil || n != want.values {
				t.Errorf("%d values (error %v), want %d", n, err, want.values)
			}
			var out bytes.Buffer
			if err := WriteHTML(&out, bytes.NewReader(raw)); err != nil {
				t.Fatal(err)
			}
			checkHTML(t, out.Bytes())
			if d.Format == greffe.FormatCDA3 && bytes.Count(out.Bytes(), []byte("<section>")) == 0 {
				t.Error("a structured document shows no section")
			}
		})
	}
}

func TestReadMDMAndVendorDocuments(t *testing.T) {
	t.Parallel()
	hl7, vendor := corpus(t, "hl7"), corpus(t, "xdm-vendor")
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(hl7, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct {
		name       string
		raw        []byte
		id         greffe.OID
		version    int
		action     greffe.Action
		birth      string
		usedFamily string
		ins        bool
		rules      []string
	}{
		{"T02", read("mdm-t02-initial.cda.xml"), greffe.OID{Root: "1.2.250.1.71.4.2.2.120456789.71024000081"}, 1, greffe.ActionNew, "19790328", "", true, []string{"cda.set", "cda.author.lacks"}},
		{"T10", read("mdm-t10-replace.cda.xml"), greffe.OID{Root: "1.2.250.1.71.4.2.2.120456789.71024000082"}, 2, greffe.ActionReplace, "19790328", "", true, []string{"cda.set", "cda.author.lacks"}},
		{"Allscripts", fromZip(t, filepath.Join(vendor, "Allscripts.zip"), "DOC00001.XML"), greffe.OID{Root: "1.3.6.1.4.1.22812.5.998723538.0.1", Extension: "421030037"}, 0, greffe.ActionNew, "19271127", "Washington", false,
			[]string{"cda.realm", "cda.template", "cda.set", "cda.version", "cda.service", "cda.encounter", "cda.custodian.id", "cda.patient.qualifier"}},
		{"Medicity", fromZip(t, filepath.Join(vendor, "Medicity.zip"), "DOC00001.XML"), greffe.OID{Root: "1.3.6.1.4.1.21367.13.2225", Extension: "123"}, 1, greffe.ActionNew, "19600127", "Ross", false,
			[]string{"cda.realm", "cda.template", "cda.service", "cda.encounter", "cda.custodian.id", "cda.patient.qualifier", "cda.participant"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, findings := Read(bytes.NewReader(c.raw))
			if d.UniqueID != c.id || d.Version != c.version || d.Action != c.action {
				t.Errorf("id %v, version %d, action %s", d.UniqueID, d.Version, d.Action)
			}
			if p := d.Patient; p.BirthDate != c.birth || p.UsedFamily != c.usedFamily || !p.INS.IsZero() != c.ins {
				t.Errorf("patient = %+v", p)
			}
			checkRules(t, findings, c.rules...)
		})
	}
}

func BenchmarkReadHeader4MB(b *testing.B) {
	raw := levelOne(4 << 20)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if d, _ := Read(bytes.NewReader(raw)); d.Format != greffe.FormatCDA1 {
			b.Fatal(d.Format)
		}
	}
}

func BenchmarkEmbedded4MB(b *testing.B) {
	raw := levelOne(4 << 20)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Embedded(bytes.NewReader(raw), func(r *Value) error {
			_, err := io.Copy(io.Discard, r)
			return err
		}); err != nil {
			b.Fatal(err)
		}
	}
}

// A document as the parser reads it: header, then each file decoded and hashed. The
// processor time is what counts on a machine that others use, too.
func BenchmarkDocument(b *testing.B) {
	for name, raw := range map[string][]byte{
		"level1-4MB":   levelOne(4 << 20),
		"level3-150KB": fromZip(b, filepath.Join(corpus(b, "xdm"), "BIO-CR-BIO_2024.01_Microbiologie_V2", "IHE_XDM.ZIP"), "DOC0001.XML"),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			start := processor()
			for b.Loop() {
				Read(bytes.NewReader(raw))
				if _, err := Embedded(bytes.NewReader(raw), func(v *Value) error {
					_, err := io.Copy(sha256.New(), v)
					return err
				}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((processor()-start).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}

func BenchmarkLevel3(b *testing.B) {
	raw := fromZip(b, filepath.Join(corpus(b, "xdm"), "BIO-CR-BIO_2024.01_Microbiologie_V2", "IHE_XDM.ZIP"), "DOC0001.XML")
	for name, f := range map[string]func() error{
		"Read": func() error { Read(bytes.NewReader(raw)); return nil },
		"Embedded": func() error {
			_, err := Embedded(bytes.NewReader(raw), func(r *Value) error {
				_, err := io.Copy(io.Discard, r)
				return err
			})
			return err
		},
		"HTML": func() error { return WriteHTML(io.Discard, bytes.NewReader(raw)) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
