package xdm

import (
	"bytes"
	"encoding/base64"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"greffe/pkg/cda"
	"greffe/pkg/greffe"
)

// What the metadata of the 14 official archives say, read by eye in the files. Their
// patients, types and dates are those of the documents (package cda).
var official = []struct {
	name, action, id, typ, class, format string
	asked                                greffe.Action
	rules                                []string // about metadata and document together
}{
	{"AVC-SUNV_2022.01", "", "1.2.250.1.213.1.1.1.17.2022.1.1", "34133-9", "11", "urn:asip:ci-sis:sunv:2013", greffe.ActionNew, nil},
	{"BIO-CR-BIO_2021.01_Auto-Presentable", "", "1.2.250.1.213.1.1.1.55.2021.1.1", "11502-2", "10", "urn:ihe:lab:xd-lab:2008", greffe.ActionNew, nil},
	{"BIO-CR-BIO_2021.01_CDA-R2-Niveau-1", "", "1.2.250.1.213.1.1.1.55.2021.3.1", "11502-2", "10", "urn:ihe:iti:xds-sd:pdf:2008", greffe.ActionNew, nil},
	{"BIO-CR-BIO_2024.01_Microbiologie_V1", "", "1.2.250.1.213.1.1.1.55.2024.8.1", "11502-2", "10", "urn:ihe:lab:xd-lab:2008", greffe.ActionNew, nil},
	{"BIO-CR-BIO_2024.01_Microbiologie_V2", "C", "1.2.250.1.213.1.1.1.55.2024.8.2", "11502-2", "10", "urn:ihe:lab:xd-lab:2008", greffe.ActionReplace, nil},
	{"BIO-CR-BIO_2024.01_Microbiologie_V2_Delete", "D", "1.2.250.1.213.1.1.1.55.2024.8.2", "11502-2", "10", "urn:ihe:lab:xd-lab:2008", greffe.ActionDelete, nil},
	{"CANCER-PPS_2022.01_Autopresentable", "", "1.2.250.1.213.1.1.1.26.2022.1.1", "18776-5", "44", "urn:asip:ci-sis:pps-cancer:2017", greffe.ActionNew, nil},
	{"CARD-F-PRC-AVK_2022.01", "C", "1.2.250.1.213.1.1.1.2.1.1.2022.1.1", "34133-9", "11", "urn:asip:ci-sis:avk:2009", greffe.ActionReplace, []string{"xdm.cda.parent"}},
	{"DOC_NON_STRUCTURE_CDA-R2-N1", "", "1.3.6.1.4.1.19376.1.2.20.12345.1.1", "11502-2", "10", "urn:ihe:iti:xds-sd:pdf:2008", greffe.ActionNew, nil},
	{"IMG_CR_IMG_2024.01", "C", "1.2.250.1.213.1.1.1.45.2024.1.1", "18748-4", "31", "urn:ihe:rad:CDA:ImagingReportStructuredHeadings:2013", greffe.ActionReplace, nil},
	{"IMG_CR_IMG_2024.01_CDA-R2-Niveau-1", "C", "1.2.250.1.213.1.1.1.45.2024.2.1", "18748-4", "10", "urn:ihe:iti:xds-sd:pdf:2008", greffe.ActionReplace, nil},
	{"SDM-MR_2025.01_nouveau-ne", "C", "1.2.250.1.213.1.1.1.30.2024.1.1", "34133-9", "11", "urn:asip:ci-sis:sdm-mr:2017", greffe.ActionReplace, []string{"xdm.cda.parent"}},
	{"VSM_1.4_2022.01", "C", "1.2.250.1.213.1.1.1.13.2022.1.1", "SYNTH", "11", "urn:asip:ci-sis:vsm:2012", greffe.ActionReplace, []string{"xdm.cda.parent"}},
	{"eP-MED-DM_2024.01_PosoStruct", "", "1.2.250.1.213.1.1.1.39.2024.2.1", "57833-6", "42", "urn:ihe:pharm:pre:2010", greffe.ActionNew, nil},
}

func TestOpenOfficialArchives(t *testing.T) {
	t.Parallel()
	dir := corpus(t, "xdm")
	for _, want := range official {
		t.Run(want.name, func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(filepath.Join(dir, want.name, "IHE_XDM.ZIP"))
			if err != nil {
				t.Fatal(err)
			}
			a := open(t, b, Limits{})
			if got := a.rules(t); !slices.Equal(got, []string{"xdm.blanks"}) {
				t.Errorf("rules %v", got)
			}
			d := a.Sets[0].Documents[0]
			if d.Entry < 0 || a.Entries[d.Entry].Name != "IHE_XDM/SUBSET01/DOC0001.XML" {
				t.Fatalf("the document is entry %d", d.Entry)
			}
			matricule, birth := "279035121518989", "19790328"
			switch want.name {
			case "SDM-MR_2025.01_nouveau-ne":
				matricule, birth = "224027511583555", "20240228"
			case "CANCER-PPS_2022.01_Autopresentable":
				birth = "19760531"
			}
			ins := greffe.OID{Root: "1.2.250.1.213.1.4.10", Extension: matricule}
			if d.Action != want.action || d.UniqueID.String() != want.id || d.Type.Code != want.typ || d.Class.Code != want.class || d.Format.Code != want.format ||
				d.PatientID != ins || a.Sets[0].PatientID != ins || d.Patient.BirthDate != birth || !d.Patient.HasTraits() || d.Confidentiality[0].Code != "N" {
				t.Errorf("document %+v", d)
			}
			rc, err := a.OpenEntry(d.Entry)
			if err != nil {
				t.Fatal(err)
			}
			defer rc.Close()
			doc, _ := cda.Read(rc)
			if got := ruleIDs(t, d.Complete(&doc, "2!4")); !slices.Equal(got, want.rules) || doc.Action != want.asked {
				t.Errorf("action %s, rules %v; want %s, %v", doc.Action, got, want.asked, want.rules)
			}
			if doc.Class.Code != want.class || doc.FormatCode.Code != want.format || doc.Patient.INS != ins {
				t.Errorf("document %+v", doc)
			}
		})
	}
}

func TestOpenVendorArchives(t *testing.T) {
	t.Parallel()
	dir := corpus(t, "xdm-vendor")
	for _, want := range []struct {
		name, document, family, id string
		rules                      []string
	}{
		{"Allscripts", "IHE_XDM/SUBSET01/DOC00001.XML", "Washington", "1.3.6.1.4.1.22812.5.998723538.0.1.421030037", []string{"xdm.patientid", "xdm.unreferenced"}},
		{"Medicity", "IHE_XDM/SUBSET01/DOC00001.XML", "MEDICITY", "1.3.6.1.4.1.21367.13.2225^123", []string{"xdm.hash.missing", "xdm.size.missing", "xdm.uri.attribute", "xdm.uri.case"}},
		{"Siemens", "", "", "", []string{"xdm.metadata"}},
	} {
		t.Run(want.name, func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(filepath.Join(dir, want.name+".zip"))
			if err != nil {
				t.Fatal(err)
			}
			a := open(t, b, Limits{})
			if got := a.rules(t); !a.IsXDM() || !slices.Equal(got, want.rules) {
				t.Errorf("XDM %v, rules %v", a.IsXDM(), got)
			}
			if want.document == "" {
				if len(a.Sets) > 0 {
					t.Errorf("sets %+v", a.Sets)
				}
				return
			}
			d := a.Sets[0].Documents[0]
			if d.Entry < 0 || a.Entries[d.Entry].Name != want.document || d.Patient.UsedFamily != want.family || d.UniqueID.String() != want.id {
				t.Errorf("document %+v", d)
			}
		})
	}
}

// BenchmarkOpen opens an archive and reads its document as the parser does: an official one
// with a level 3 document, and one of 150 KB with a document that hardly compresses.
func BenchmarkOpen(b *testing.B) {
	archives := map[string][]byte{"150 KB": archiveOf(b, 150_000)}
	if raw, err := os.ReadFile(filepath.Join(corpus(b, "xdm"), "BIO-CR-BIO_2024.01_Microbiologie_V2", "IHE_XDM.ZIP")); err == nil {
		archives["official"] = raw
	}
	for name, raw := range archives {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			var size int64
			for b.Loop() {
				a, _, err := Open(bytes.NewReader(raw), int64(len(raw)), Limits{})
				if err != nil || len(a.Sets) != 1 {
					b.Fatal("not read")
				}
				rc, err := a.OpenEntry(a.Sets[0].Documents[0].Entry)
				if err != nil {
					b.Fatal(err)
				}
				if size, err = io.Copy(io.Discard, rc); err != nil {
					b.Fatal(err)
				}
				rc.Close()
			}
			b.ReportMetric(float64(size), "document-bytes")
		})
	}
}

// archiveOf returns an archive of about size bytes, whose document is base64.
func archiveOf(t testing.TB, size int) []byte {
	data := make([]byte, size*99/100)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(rnd.Uint32())
	}
	return build(t, good(meta{uri: "DOC0001.XML", content: cdaFile + "<!--" + base64.StdEncoding.EncodeToString(data) + "-->"})...)
}
