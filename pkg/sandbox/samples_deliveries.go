package sandbox

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"strings"

	"greffe/pkg/greffe"
)

// deliveries adds mails as they should be.
func (s *sampler) deliveries() {
	s.tick()
	d := s.level1(martel, maelle, typeConsultation, classReport, "Consultation de médecine générale",
		"Motif : dyspnée d'effort d'aggravation progressive depuis trois semaines.", "Examen : TA 13/8, FC 78/min, auscultation sans particularité.",
		"Conclusion : avis cardiologique demandé, ECG joint au courrier.")
	s.toDPI("CDA de niveau 1 avec sa copie PDF", s.delivery(martel, d), delivered(1, ""))

	s.tick()
	d = s.laboratory(yvon)
	m := s.delivery(labo, d)
	m.Attachments = append(m.Attachments, attachment("application/pdf", s.copyName(d), PDF(d.Title, heading(labo, yvon, d), 0)))
	s.toDPI("Compte rendu de biologie structuré (niveau 3)", m, delivered(1, ""))

	s.tick()
	d = s.imaging(soizic)
	m = s.delivery(leroux, d)
	m.Attachments = append(m.Attachments, attachment("application/pdf", s.copyName(d), PDF(d.Title, heading(leroux, soizic, d), 0)))
	s.toDPI("Compte rendu d'imagerie structuré avec une image", m, delivered(1, ""))

	s.tick()
	d = s.laboratory(jeanne)
	d.SelfPresenting, d.Title = true, "Examens biologiques (document auto-présentable)"
	s.toDPI("Document auto-présentable", s.delivery(labo, d), delivered(1, ""))

	s.tick()
	stay := s.level1(clinic, jeanne, typeStay, classReport, "Compte rendu d'hospitalisation en cardiologie",
		"Hospitalisation du 12 au 18 novembre pour décompensation cardiaque globale.", "Évolution favorable sous diurétiques.")
	letter := s.level1(clinic, jeanne, typeDischarge, classReport, "Lettre de liaison à la sortie",
		"Retour à domicile le 18 novembre.", "Poids de sortie : 61 kg. Contrôle de la kaliémie à huit jours.")
	prescription := s.level1(clinic, jeanne, typePrescription, classPrescription, "Ordonnance de sortie",
		"Furosémide 40 mg : 1 comprimé le matin.", "Bisoprolol 2,5 mg : 1 comprimé le matin.", "À renouveler pendant trois mois.")
	s.toService("Plusieurs documents dans une archive", s.delivery(clinic, stay, letter, prescription), delivered(3, ""))

	s.tick()
	d = s.level1(leroux, pascal, typeImaging, classImaging, "Échographie cardiaque transthoracique",
		"Ventricule gauche non dilaté, FEVG 58 % (Simpson biplan).", "Pas de valvulopathie significative.")
	s.toService("Patient né en Corse du Sud", s.delivery(leroux, d), delivered(1, ""))

	s.tick()
	d = s.level1(leroux, laetitia, typeImaging, classImaging, "Radiographie du thorax de face", "Pas d'opacité parenchymateuse. Silhouette cardiaque normale.")
	s.toDPI("Patiente née en Haute-Corse, nom d'usage différent", s.delivery(leroux, d), delivered(1, ""))

	s.tick()
	d = s.level1(martel, joao, typeConsultation, classReport, "Bilan de santé", "Patient suivi pour hypertension artérielle équilibrée.")
	s.toDPI("Patient né à l'étranger", s.delivery(martel, d), delivered(1, ""))

	s.tick()
	d = s.level1(clinic, lucas, typeConsultation, classReport, "Consultation de cardiologie pédiatrique", "Souffle innocent, pas de suivi nécessaire.")
	d.Confidentiality = append(d.Confidentiality, masking(greffe.HiddenFromGuardians, "Non visible par les représentants légaux du patient"))
	s.toDPI("Document invisible aux représentants légaux", s.delivery(clinic, d), delivered(1, ""))

	s.tick()
	d = s.level1(clinic, soizic, typeMeeting, classReport, "Réunion de concertation pluridisciplinaire", "Proposition : traitement médical, réévaluation à trois mois.")
	d.Confidentiality = append(d.Confidentiality, masking(greffe.HiddenFromPatient, "Document non visible par le patient"))
	s.toService("Document invisible au patient", s.delivery(clinic, d), delivered(1, ""))

	s.tick()
	d = s.level1(martel, yvon, typePrescription, classPrescription, "Ordonnance",
		strings.Split(strings.Repeat("Paracétamol 1 g, si douleur, sans dépasser trois prises par jour.\n", 70), "\n")...)
	m = s.delivery(martel, d)
	m.To.Address = MailboxService
	s.add("Dans le dossier d'un médecin", MailboxService, FolderDoctor, Mail(m), delivered(1, ""))

	s.tick()
	d = s.level1(martel, Patient(3), typeConsultation, classReport, "Suivi de grossesse – 2ᵉ trimestre", "Échographie morphologique normale.")
	m = s.delivery(martel, d)
	m.Attachments = append(m.Attachments,
		attachment("application/pkcs7-signature", "smime.p7s", noise("signature", 1500)),
		attachment("text/vcard; charset=utf-8", "Dr MARTEL.vcf", []byte("BEGIN:VCARD\r\nVERSION:3.0\r\nN:MARTEL;Yvon;;Dr;\r\nFN:Dr Yvon MARTEL\r\nEND:VCARD\r\n")))
	s.toDPI("Avec signature et carte de visite", m, delivered(1, ""))
}

// chains adds versions of one document that follow each other.
func (s *sampler) chains() {
	s.tick()
	v1 := s.level1(leroux, maelle, typeImaging, classImaging, "Scanner thoracique", "Conclusion : nodule de 6 mm du lobe supérieur droit.")
	s.toDPI("Chaîne : version 1", s.delivery(leroux, v1), delivered(1, ""))
	s.tick()
	v2 := s.next(v1, "Scanner thoracique (rectifié)", "Conclusion : nodule de 6 mm du lobe supérieur GAUCHE.")
	m := s.delivery(leroux, v2)
	m.Subject = "[Annule et remplace] " + m.Subject
	s.toDPI("Chaîne : version 2 qui remplace", m, delivered(1, ""))
	s.tick()
	v2.Action = greffe.ActionDelete
	m = s.delivery(leroux, v2)
	m.Text = "Bonjour,\n\nCe compte rendu a été établi par erreur pour cette patiente. Merci de le supprimer.\n\nLe secrétariat\n"
	s.toDPI("Chaîne : suppression", m, delivered(1, ""))

	s.tick()
	v1 = s.laboratory(soizic)
	s.toDPI("Biologie : résultats partiels", s.delivery(labo, v1), delivered(1, ""))
	s.tick()
	v2 = s.laboratory(soizic)
	v2.SetID, v2.Version, v2.Action, v2.Replaces = v1.SetID, 2, greffe.ActionReplace, v1.UniqueID
	v2.UniqueID, v2.Title = greffe.OID{Root: v1.SetID.Root + ".2"}, "Examens biologiques (résultats complets)"
	s.toDPI("Biologie : résultats complets", s.delivery(labo, v2), delivered(1, ""))

	s.tick()
	v1 = s.level1(clinic, pascal, typeStay, classReport, "Compte rendu d'hospitalisation", "Coronarographie sans lésion significative.")
	s.toDPI("Masquage ultérieur : version 1", s.delivery(clinic, v1), delivered(1, ""))
	s.tick()
	v2 = s.next(v1, v1.Title, "Coronarographie sans lésion significative.")
	v2.Confidentiality = append([]greffe.Code{normal}, masking(greffe.HiddenFromPatient, "Document non visible par le patient"))
	s.toDPI("Masquage ultérieur : version 2", s.delivery(clinic, v2), delivered(1, ""))
}

// laboratory returns a lab report of level 3 with a table of results and a curve.
func (s *sampler) laboratory(p greffe.Patient) CDASpec {
	d := s.document(labo, p, typeLaboratory, classReport, formatLaboratory, "Examens biologiques sanguins")
	d.Templates = []string{"1.3.6.1.4.1.19376.1.3.3", "1.2.250.1.213.1.1.1.55"}
	potassium := 35 + s.rand.IntN(20)
	d.Sections = section(loinc("18719-5", "Biochimie"), "Biochimie",
		table([]string{"Examen", "Résultat", "Unité", "Intervalle de référence"},
			[]string{"Sodium", fmt.Sprint(136 + s.rand.IntN(8)), "mmol/L", "136 – 145"},
			[]string{"Potassium", fmt.Sprintf("%d,%d", potassium/10, potassium%10), "mmol/L", "3,5 – 5,1"},
			[]string{"Créatinine", fmt.Sprint(60 + s.rand.IntN(50)), "µmol/L", "49 – 90"},
			[]string{"CRP", fmt.Sprint(1 + s.rand.IntN(40)), "mg/L", "< 5"}), "") +
		section(loinc("18723-7", "Hématologie"), "Hémogramme",
			table([]string{"Examen", "Résultat", "Unité"},
				[]string{"Hémoglobine", fmt.Sprintf("%d,%d", 11+s.rand.IntN(4), s.rand.IntN(10)), "g/dL"},
				[]string{"Leucocytes", fmt.Sprintf("%d,%d", 4+s.rand.IntN(6), s.rand.IntN(10)), "G/L"},
				[]string{"Plaquettes", fmt.Sprint(150 + s.rand.IntN(200)), "G/L"})+
				`<paragraph>Évolution sur un an :</paragraph><renderMultiMedia referencedObject="COURBE"/>`,
			media("COURBE", "image/png", s.curve(240, 120)))
	return d
}

// imaging returns an imaging report of level 3 with a key image.
func (s *sampler) imaging(p greffe.Patient) CDASpec {
	d := s.document(leroux, p, typeImaging, classImaging, formatImaging, "IRM du genou gauche")
	d.Templates = []string{"1.2.840.10008.9.1", "1.2.840.10008.9.20", "1.2.250.1.213.1.1.1.45"}
	d.Sections = section(loinc("18785-6", "Motif de l'examen"), "Indication", "<paragraph>Gonalgies mécaniques, suspicion de lésion méniscale.</paragraph>", "") +
		section(loinc("55111-9", "Technique d'imagerie"), "Technique", "<paragraph>Séquences T1 et DP FAT SAT dans les trois plans.</paragraph>", "") +
		section(loinc("18782-3", "Observations"), "Résultats",
			`<list><item>Fissure horizontale de la corne postérieure du ménisque médial.</item><item>Ligaments croisés continus.</item><item>Lame d'épanchement.</item></list>`+
				`<renderMultiMedia referencedObject="IMAGE1"/>`, media("IMAGE1", "image/png", s.curve(160, 160))) +
		section(loinc("19005-8", "Conclusion"), "Conclusion", "<paragraph>Lésion méniscale médiale <content styleCode=\"Bold\">non déplacée</content>.</paragraph>", "")
	return d
}

// curve returns a PNG of w by h pixels with a curve on a grid.
func (s *sampler) curve(w, h int) []byte {
	m := image.NewPaletted(image.Rect(0, 0, w, h), color.Palette{color.White, color.Gray{200}, color.RGBA{0, 60, 160, 255}})
	y := h / 2
	for x := range w {
		for g := 0; g < h; g += 20 {
			m.SetColorIndex(x, g, 1)
		}
		y = min(max(y+s.rand.IntN(7)-3, 2), h-3)
		for k := -1; k <= 1; k++ {
			m.SetColorIndex(x, y+k, 2)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(fmt.Sprintf("sandbox: png: %v", err)) // memory does not fail
	}
	return b.Bytes()
}
