package console

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// Invented identities whose commune codes do not exist, so that no real person can
// match, and the official test patients.
var (
	maelle = greffe.Patient{
		IDs: []greffe.OID{{Root: "1.2.250.1.213.1.4.10", Extension: "285022999907751"}}, INS: greffe.OID{Root: "1.2.250.1.213.1.4.10", Extension: "285022999907751"},
		BirthFamily: "ESSAI-KERVELLA", FirstGiven: "MAELLE", Givens: "MAELLE ANNE", Sex: "F", BirthDate: "19850214", BirthPlace: "29999",
	}
	dominique = greffe.Patient{
		IDs: []greffe.OID{{Root: "1.2.250.1.213.1.4.10", Extension: "279035121518989"}}, INS: greffe.OID{Root: "1.2.250.1.213.1.4.10", Extension: "279035121518989"},
		BirthFamily: "PAT-TROIS", FirstGiven: "DOMINIQUE", Givens: "DOMINIQUE MARIE-LOUISE", Sex: "F", BirthDate: "19790328", BirthPlace: "51215",
	}
	ruth = greffe.Patient{
		IDs: []greffe.OID{{Root: "1.2.250.1.213.1.4.10", Extension: "277076322082910"}}, INS: greffe.OID{Root: "1.2.250.1.213.1.4.10", Extension: "277076322082910"},
		BirthFamily: "NESSI", UsedFamily: "DECOURCY", FirstGiven: "RUTH", Givens: "RUTH ISABELLE", Sex: "F", BirthDate: "19770714", BirthPlace: "63220",
	}
	nameless = greffe.Patient{BirthFamily: "ESSAI-KERVELLA", FirstGiven: "MAELLE", Sex: "F", BirthDate: "19850214"}
	martel   = greffe.Person{ID: greffe.OID{Root: "1.2.250.1.71.4.2.1", Extension: "899900000011"}, Prefix: "Dr", Given: "Yvon", Family: "MARTEL",
		Specialty: greffe.Code{Code: "SM26", Label: "Qualifié en médecine générale"}, Organization: greffe.Org{Name: "Cabinet du Dr MARTEL"}}
	campari = greffe.Person{Given: "Marcel", Family: "CAMPARINI", Prefix: "Dr", Specialty: greffe.Code{Label: "Biologie médicale"}, Organization: greffe.Org{Name: "Laboratoire des charmes"}}
)

// samplePDF writes a one-page PDF with lines of text.
func samplePDF(lines ...string) []byte {
	var stream strings.Builder
	fmt.Fprintf(&stream, "BT /F1 20 Tf 60 770 Td (%s) Tj /F1 11 Tf 0 -34 Td\n", lines[0])
	for _, l := range lines[1:] {
		fmt.Fprintf(&stream, "(%s) Tj 0 -17 Td\n", l)
	}
	stream.WriteString("ET")
	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", stream.Len(), stream.String()),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
	}
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n")
	var at []int
	for i, o := range objects {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	x := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, o := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, x)
	return b.Bytes()
}

func reportPDF(title string) []byte {
	return samplePDF(title, "Patient : ESSAI-KERVELLA Maelle, 14/02/1985", "", "Indication : essoufflement a l'effort.", "",
		"Ventricule gauche non dilate, fraction d'ejection estimee a 62 %.", "Pas d'anomalie de la cinetique segmentaire.",
		"Valve mitrale : fuite minime.", "", "Conclusion : examen sans anomalie significative.", "", "Dr Yvon MARTEL")
}

// sampleCDA writes a level 3 document with a narrative.
func sampleCDA(title string) []byte {
	return []byte(`<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3"><title>` + title + `</title><component><structuredBody>
<component><section><title>Hématologie</title><text><paragraph>Prélèvement du 20/11/2026 à 8 h 10, à jeun.</paragraph>
<table border="1"><thead><tr><th>Examen</th><th>Résultat</th><th>Unité</th><th>Valeurs de référence</th></tr></thead><tbody>
<tr><td>Hémoglobine</td><td>13,4</td><td>g/dL</td><td>12,0 – 16,0</td></tr>
<tr><td>Leucocytes</td><td><content styleCode="Bold">11,8</content></td><td>G/L</td><td>4,0 – 10,0</td></tr>
<tr><td>Plaquettes</td><td>245</td><td>G/L</td><td>150 – 400</td></tr></tbody></table></text></section></component>
<component><section><title>Biochimie</title><text><list><item>Créatinine : 68 µmol/L</item><item>Potassium : 4,1 mmol/L</item></list>
<paragraph>Conclusion : hyperleucocytose modérée, à contrôler.</paragraph></text></section></component>
</structuredBody></component></ClinicalDocument>`)
}

func samplePNG() []byte {
	m := image.NewRGBA(image.Rect(0, 0, 420, 300))
	for x := range 420 {
		for y := range 300 {
			g := uint8(40 + (x*y)%120)
			m.Set(x, y, color.RGBA{g, g, g + 20, 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func cda1(set string, version int, title string, p greffe.Patient) greffe.Document {
	return greffe.Document{
		Format: greffe.FormatCDA1, UniqueID: greffe.OID{Root: fmt.Sprintf("1.2.250.1.999.2.%s.%d", set, version)}, SetID: greffe.OID{Root: "1.2.250.1.999.2." + set}, Version: version,
		Title: title, Patient: p, Type: greffe.Code{Code: "34752-6", System: "2.16.840.1.113883.6.1", Label: "CR d’examens cardiologiques"},
		Created: "20261121093000+0100", ServiceStart: "20261121090000+0100", Authors: []greffe.Person{martel}, Signer: martel,
		Custodian: greffe.Org{Name: "Cabinet du Dr MARTEL"}, Confidentiality: []greffe.Code{{Code: "N"}}, MediaType: "text/xml",
	}
}

func cda3(set, title string, p greffe.Patient) greffe.Document {
	d := cda1(set, 1, title, p)
	d.Format, d.Authors, d.Signer = greffe.FormatCDA3, []greffe.Person{campari}, campari
	d.Type = greffe.Code{Code: "11502-2", Label: "CR d’examens biologiques"}
	d.Custodian = greffe.Org{Name: "Laboratoire des charmes"}
	return d
}

var (
	toCharmes = greffe.Address{Name: "Laboratoire des charmes", Address: "resultats@labo-charmes.example"}
	accepted  = greffe.Outcome{DI: "dpi", Action: "T02", Control: "c", State: greffe.StateDelivered, Code: "AA", Text: "Accepté par le dossier."}
)

// sampleMail is one of each kind of message, from the oldest to the newest.
func sampleMail() []mail {
	pdf := reportPDF("Echocardiographie")
	out := func(o ...greffe.Outcome) []greffe.Outcome { return o }
	return []mail{
		{subject: "Compte rendu DECOURCY Ruth", ago: 52 * time.Hour, body: "Bonjour,\n\nVeuillez trouver ci-joint le compte rendu.\n", docs: []doc{{facts: cda1("20", 1, "Épreuve d’effort", ruth), bytes: []byte("<ClinicalDocument n='20'/>"), body: pdf, outcomes: out(accepted)}}},
		{mailbox: radio, folder: "INBOX/Dr Second", subject: "IRM PAT-TROIS", ago: 50 * time.Hour, docs: []doc{{facts: cda1("21", 1, "IRM cérébrale", dominique), bytes: []byte("<ClinicalDocument n='21'/>"), body: pdf, outcomes: out(accepted)}}},
		{subject: "Courrier scanné", ago: 30 * time.Hour, from: greffe.Address{Name: "Clinique des Essais — secrétariat", Address: "secretariat@clinique-essais.example"},
			docs: []doc{{facts: greffe.Document{Format: greffe.FormatPDF, MediaType: "application/pdf", Title: "", Findings: []greffe.Finding{{Rule: "parser.nocda", Severity: greffe.Hold, Text: "Le PDF est arrivé sans document CDA : une personne doit dire à quel patient il appartient.", Where: "2"}}}, bytes: samplePDF("Courrier de sortie"), name: "courrier de sortie.pdf",
				outcomes: out(greffe.Outcome{State: greffe.StateTodo, Text: "PDF sans CDA : patient à désigner par une personne."})}}},
		{subject: "Résultats ESSAI-KERVELLA Maëlle", from: toCharmes, ago: 26 * time.Hour, docs: []doc{{facts: cda3("22", "Compte rendu d’analyses de biologie médicale", maelle), bytes: sampleCDA("Compte rendu d’analyses"), outcomes: out(accepted)}}},
		{subject: "Accusé de lecture : Lettre de liaison", kind: greffe.KindMDN, from: greffe.Address{Name: "", Address: "accueil@maison-sante.example"}, ago: 25 * time.Hour, body: "Le message a été affiché."},
		{subject: "Résultats (copie)", from: toCharmes, ago: 24 * time.Hour, docs: []doc{{facts: cda3("22", "Compte rendu d’analyses de biologie médicale", maelle), bytes: sampleCDA("Compte rendu d’analyses"), outcomes: out(greffe.Outcome{State: greffe.StateDuplicate, Text: "Même document déjà reçu le 21/11/2026."})}}},
		{subject: "Photo de plaie", ago: 9 * time.Hour, from: greffe.Address{Name: "IDE libérale — Nora TEST", Address: "nora.test@idel.example"}, docs: []doc{{facts: greffe.Document{Format: greffe.FormatImage, MediaType: "image/png"}, bytes: samplePNG(), name: "plaie J7.png",
			outcomes: out(greffe.Outcome{State: greffe.StateTodo, Text: "Image sans identité : patient à désigner par une personne."})}}},
		{subject: "Re: Compte rendu", kind: greffe.KindReply, ago: 8 * time.Hour, body: "Bien reçu, merci. Pouvez-vous m’adresser aussi le tracé ?\n\nDr MARTEL"},
		{subject: "Holter PAT-TROIS Dominique 28/03/1979", ago: 7 * time.Hour, docs: []doc{{facts: cda1("23", 2, "Holter ECG des 24 heures", dominique), bytes: []byte("<ClinicalDocument n='23'/>"), body: pdf,
			outcomes: out(greffe.Outcome{DI: "dpi", Action: "T02", Control: "h", State: greffe.StateWaiting, Text: "Le dossier ne répond pas ; prochain essai dans 2 minutes."}, greffe.Outcome{DI: "dpi", Action: "T02", Control: "h", State: greffe.StateRefused, Code: "AE 902", Text: "Patient inconnu du dossier informatisé (902). Créez ou qualifiez l’identité, puis renvoyez."})}}},
		{subject: "Résultats HPRIM", from: toCharmes, ago: 6 * time.Hour, docs: []doc{{facts: greffe.Document{Format: greffe.FormatHPRIM, MediaType: "text/plain"}, bytes: []byte("000451\r\nESSAI-KERVELLA\r\nMAELLE\r\n1 rue des Essais\r\n\r\n29999 ESSAI\r\n14/02/1985\r\n\r\n451\r\n20/11/2026\r\nLABO\r\n\r\n\r\nGlyc\xe9mie \xe0 jeun : 0,92 g/L\r\n****FIN****\r\n"), name: "R000451.hpr",
			outcomes: out(greffe.Outcome{State: greffe.StateTodo, Text: "Texte HPRIM : jamais rattaché automatiquement."})}}},
		{subject: "Lettre masquée", ago: 5 * time.Hour, docs: []doc{{facts: func() greffe.Document {
			d := cda1("24", 1, "Lettre de consultation spécialisée, avec un intitulé volontairement très long pour éprouver la mise en page de la file et du document", ruth)
			d.Confidentiality = append(d.Confidentiality, greffe.Code{Code: greffe.MaskedToProfessionals}, greffe.Code{Code: greffe.HiddenFromPatient})
			d.Findings = []greffe.Finding{{Rule: "xdm.masked", Severity: greffe.Hold, Text: "Le document est masqué aux professionnels : il ne peut pas être envoyé au dossier sans décision.", Where: "2"}, {Rule: "xdm.hash", Severity: greffe.Warning, Text: "L’empreinte annoncée dans les métadonnées est écrite en majuscules.", Where: "2!4"}}
			return d
		}(), bytes: []byte("<ClinicalDocument n='24'/>"), body: pdf, outcomes: out(greffe.Outcome{State: greffe.StateTodo, Text: "Document masqué aux professionnels : décision d’une personne nécessaire."})}}},
		{mailbox: radio, subject: "Scanner thoracique et compte rendu", ago: 4 * time.Hour, docs: []doc{
			{facts: cda1("25", 1, "Scanner thoracique", dominique), bytes: []byte("<ClinicalDocument n='25'/>"), body: pdf, outcomes: out(accepted)},
			{facts: cda1("26", 1, "Lettre au médecin traitant", dominique), bytes: []byte("<ClinicalDocument n='26'/>"), body: pdf, outcomes: out(greffe.Outcome{DI: "dpi", Action: "T02", Control: "x", State: greffe.StateWaiting, Text: "Le dossier ne répond pas ; prochain essai dans 5 minutes."})}}},
		{subject: "CR sans INS", ago: 3 * time.Hour, docs: []doc{{facts: cda1("27", 1, "Consultation de cardiologie", nameless), bytes: []byte("<ClinicalDocument n='27'/>"), body: pdf, outcomes: out(greffe.Outcome{State: greffe.StateTodo, Text: "Le document ne porte pas d’INS : une personne doit comparer les identités."})}}},
		{subject: "Archive illisible", ago: 2 * time.Hour, docs: []doc{{facts: greffe.Document{Format: greffe.FormatUnknown, MediaType: "application/octet-stream"}, bytes: []byte{0, 1, 2, 3}, name: "IHE_XDM.ZIP", outcomes: out(greffe.Outcome{State: greffe.StateIncident, Text: "La lecture a échoué plusieurs fois."})}}},
		{subject: "Échographie ESSAI-KERVELLA Maëlle 14/02/1985", ago: 40 * time.Minute, body: "Chère consœur, cher confrère,\n\nVeuillez trouver ci-joint le compte rendu de l’échocardiographie de Mme ESSAI-KERVELLA.\n\nBien confraternellement,\nDr Yvon MARTEL", docs: []doc{{facts: cda1("28", 1, "Échocardiographie transthoracique", maelle), bytes: []byte("<ClinicalDocument n='28'/>"), body: pdf, name: "DOC0001.XML", outcomes: out(accepted)}}},
		{subject: "Résultats DECOURCY Ruth", from: toCharmes, ago: 12 * time.Minute, docs: []doc{{facts: cda3("29", "Compte rendu d’analyses de biologie médicale", ruth), bytes: sampleCDA("Compte rendu d’analyses"), outcomes: out(accepted)}}},
		{subject: "Compte rendu opératoire", ago: 3 * time.Minute, docs: []doc{{facts: cda1("30", 1, "Compte rendu opératoire", dominique), bytes: []byte("<ClinicalDocument n='30'/>"), body: pdf}}},
		{subject: "", ago: time.Minute, waiting: true},
	}
}
