package parser

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

// TestOfficialArchives reads the official examples as a mailbox receives them. The
// expectations were read in the files.
func TestOfficialArchives(t *testing.T) {
	t.Parallel()
	const main, loinc = "279035121518989 PAT-TROIS DOMINIQUE 19790328", "2.16.840.1.113883.6.1"
	for dir, want := range map[string]struct {
		patient string
		typ     greffe.Code
		id, set string
		version int
		date    string
		action  greffe.Action
		parent  string
		format  greffe.Format
		title   string
	}{
		"AVC-SUNV_2022.01": {main, greffe.Code{Code: "34133-9", System: loinc}, "1.2.250.1.213.1.1.1.17.2022.1.1", "1.2.250.1.213.1.1.1.17.2022.1",
			1, "20181003111700+0100", greffe.ActionNew, "", greffe.FormatCDA3, "Fiche de sortie d'unité neuro-vasculaire"},
		"BIO-CR-BIO_2021.01_Auto-Presentable": {main, greffe.Code{Code: "11502-2", System: loinc}, "1.2.250.1.213.1.1.1.55.2021.1.1", "1.2.250.1.213.1.1.1.55.2021.1",
			1, "20210401171000+0100", greffe.ActionNew, "", greffe.FormatCDA3, "Compte rendu d'examens biologiques"},
		"BIO-CR-BIO_2021.01_CDA-R2-Niveau-1": {main, greffe.Code{Code: "11502-2", System: loinc}, "1.2.250.1.213.1.1.1.55.2021.3.1", "1.2.250.1.213.1.1.1.55.2021.3",
			1, "20210104160527+0100", greffe.ActionNew, "", greffe.FormatCDA1, "Compte rendu d'examens biologiques"},
		"BIO-CR-BIO_2024.01_Microbiologie_V1": {main, greffe.Code{Code: "11502-2", System: loinc}, "1.2.250.1.213.1.1.1.55.2024.8.1", "1.2.250.1.213.1.1.1.55.2024.8",
			1, "20240104160527+0100", greffe.ActionNew, "", greffe.FormatCDA3, "Compte rendu d'examens biologiques"},
		"BIO-CR-BIO_2024.01_Microbiologie_V2": {main, greffe.Code{Code: "11502-2", System: loinc}, "1.2.250.1.213.1.1.1.55.2024.8.2", "1.2.250.1.213.1.1.1.55.2024.8",
			2, "20240104160527+0100", greffe.ActionReplace, "1.2.250.1.213.1.1.1.55.2024.8.1", greffe.FormatCDA3, "Compte rendu d'examens biologiques"},
		"BIO-CR-BIO_2024.01_Microbiologie_V2_Delete": {main, greffe.Code{Code: "11502-2", System: loinc}, "1.2.250.1.213.1.1.1.55.2024.8.2", "1.2.250.1.213.1.1.1.55.2024.8",
			2, "20240104160527+0100", greffe.ActionDelete, "1.2.250.1.213.1.1.1.55.2024.8.1", greffe.FormatCDA3, "Compte rendu d'examens biologiques"},
		"CANCER-PPS_2022.01_Autopresentable": {"279035121518989 PAT-TROIS DOMINIQUE 19760531", greffe.Code{Code: "18776-5", System: loinc}, "1.2.250.1.213.1.1.1.26.2022.1.1", "1.2.250.1.213.1.1.1.26.2022.1",
			1, "20210113121700+0100", greffe.ActionNew, "", greffe.FormatCDA3, "PROGRAMME PERSONNALISÉ DE SOINS EN CANCEROLOGIE"},
		"CARD-F-PRC-AVK_2022.01": {main, greffe.Code{Code: "34133-9", System: loinc}, "1.2.250.1.213.1.1.1.2.1.1.2022.1.1", "1.2.250.1.213.1.1.1.2.1.1.2022.1",
			2, "20080929094914+0100", greffe.ActionReplace, "", greffe.FormatCDA3, "Fiche patient à risque en cardiologie - Traitement AVK"},
		"DOC_NON_STRUCTURE_CDA-R2-N1": {main, greffe.Code{Code: "11502-2", System: loinc}, "1.3.6.1.4.1.19376.1.2.20.12345.1.1", "1.3.6.1.4.1.19376.1.2.20.12345.1",
			1, "20210401134745+0100", greffe.ActionNew, "", greffe.FormatCDA1, "Compte rendu d'examens biologiques"},
		"IMG_CR_IMG_2024.01": {main, greffe.Code{Code: "18748-4", System: loinc}, "1.2.250.1.213.1.1.1.45.2024.1.1", "1.2.250.1.213.1.1.1.45.2024.1",
			2, "20210108111700+0100", greffe.ActionReplace, "90E1C8EC-F951-4B26-A305-A34848818DD6", greffe.FormatCDA3, "CR d’imagerie médicale - Scanner Tête + Cou + Thorax avec injection"},
		"IMG_CR_IMG_2024.01_CDA-R2-Niveau-1": {main, greffe.Code{Code: "18748-4", System: loinc}, "1.2.250.1.213.1.1.1.45.2024.2.1", "1.2.250.1.213.1.1.1.45.2024.2",
			2, "20210108111700+0100", greffe.ActionReplace, "90E1C8EC-F951-4B26-A305-A34848818DD6", greffe.FormatCDA1, "CR d’imagerie médicale - Scanner Tête + Cou + Thorax avec injection"},
		"SDM-MR_2025.01_nouveau-ne": {"224027511583555 DECOURCY Léa 20240228", greffe.Code{Code: "34133-9", System: loinc}, "1.2.250.1.213.1.1.1.30.2024.1.1", "1.2.250.1.213.1.1.1.30.2024.1",
			2, "20240228160000+0100", greffe.ActionReplace, "", greffe.FormatCDA3, "Set de données minimum maladies rares (SDM-MR)"},
		"VSM_1.4_2022.01": {main, greffe.Code{Code: "SYNTH", System: "1.2.250.1.213.1.1.4.12"}, "1.2.250.1.213.1.1.1.13.2022.1.1", "1.2.250.1.213.1.1.1.13.2022.1",
			6, "20200312111700+0100", greffe.ActionReplace, "", greffe.FormatCDA3, "Synthèse Médicale"},
		"eP-MED-DM_2024.01_PosoStruct": {main, greffe.Code{Code: "57833-6", System: loinc}, "1.2.250.1.213.1.1.1.39.2024.2.1", "1.2.250.1.213.1.1.1.39.2024.2",
			1, "20231201093000+0100", greffe.ActionNew, "", greffe.FormatCDA3, "Prescription de médicaments et/ou de dispositifs médicaux"},
	} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(filepath.Join(corpus(t, "xdm", dir), "IHE_XDM.ZIP"))
			if err != nil {
				t.Fatal(err)
			}
			out := parse(t, quiet(), mail("Subject: XDM/1.0/DDM+CR\r\n", xdmFile(data)))
			if len(out.Documents) != 1 || out.Message.Kind != greffe.KindDelivery || !out.Message.XDMMarker {
				t.Fatalf("%d documents, kind %s", len(out.Documents), out.Message.Kind)
			}
			d := out.Documents[0]
			p := d.Patient
			if got := strings.Join([]string{p.INS.Extension, p.BirthFamily, p.FirstGiven, p.BirthDate}, " "); got != want.patient {
				t.Errorf("patient %q, want %q", got, want.patient)
			}
			if d.Type.Code != want.typ.Code || d.Type.System != want.typ.System {
				t.Errorf("type %+v, want %+v", d.Type, want.typ)
			}
			if d.UniqueID.Root != want.id || d.SetID.Root != want.set || d.Version != want.version || d.Replaces.Root != want.parent {
				t.Errorf("id %v set %v version %d replaces %v", d.UniqueID, d.SetID, d.Version, d.Replaces)
			}
			if d.Created != want.date || d.Action != want.action || d.Format != want.format || d.Title != want.title {
				t.Errorf("created %s, action %s, format %s, title %q", d.Created, d.Action, d.Format, d.Title)
			}
			if !strings.HasPrefix(d.Part, "2!") || (d.Body != "") != (d.Format == greffe.FormatCDA1) || d.Class.Code == "" {
				t.Errorf("part %s, body %s, class %+v", d.Part, d.Body, d.Class)
			}
			if d.Verdict == greffe.VerdictRefused || d.Verdict == greffe.VerdictHeld {
				t.Errorf("verdict %s: %v", d.Verdict, d.Findings)
			}
		})
	}
}

// TestVendorArchives: what real software makes is read as far as it goes.
func TestVendorArchives(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(corpus(t, "xdm-vendor"), "*.zip"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%d archives, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out := parse(t, quiet(), mail("", xdmFile(data)))
		if len(out.Documents) != 1 || out.Verdict != greffe.VerdictHeld && out.Verdict != greffe.VerdictRefused {
			t.Errorf("%s: %d documents, verdict %s", filepath.Base(file), len(out.Documents), out.Verdict)
		}
		for _, d := range out.Documents {
			t.Logf("%s: %s %s %v", filepath.Base(file), d.Part, d.Verdict, rules(d.Findings))
		}
	}
}

// TestVersionsOfOneDocument: a deletion carries the bytes of the version it deletes
// and is not taken for a copy of it.
func TestVersionsOfOneDocument(t *testing.T) {
	t.Parallel()
	var parts []attachment
	for _, dir := range []string{"BIO-CR-BIO_2024.01_Microbiologie_V2", "BIO-CR-BIO_2024.01_Microbiologie_V2_Delete"} {
		data, err := os.ReadFile(filepath.Join(corpus(t, "xdm", dir), "IHE_XDM.ZIP"))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, xdmFile(data))
	}
	out := parse(t, quiet(), mail("", append(parts, parts[0])...))
	var actions []greffe.Action
	for _, d := range out.Documents {
		actions = append(actions, d.Action)
	}
	if !slices.Equal(actions, []greffe.Action{greffe.ActionReplace, greffe.ActionDelete}) {
		t.Errorf("actions %v", actions)
	}
	if out.Documents[0].SHA256 == out.Documents[1].SHA256 && out.Documents[0].Identity() == out.Documents[1].Identity() {
		t.Error("replacement and deletion have one identity")
	}
}
