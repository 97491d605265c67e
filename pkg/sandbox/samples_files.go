package sandbox

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"strings"

	"golang.org/x/text/encoding/charmap"

	"greffe/pkg/greffe"
)

// files adds mails whose attachments are not what the specifications ask for: a
// person says whose they are.
func (s *sampler) files() {
	todo := greffe.StateTodo
	pdf := func(title string) []byte {
		return PDF(title, []string{"Patient : ESSAI-KERVELLA Maelle", "", fmt.Sprintf("Document numérisé n° %d-%d.", s.seed, s.number())}, 20_000)
	}
	attach := func(subject, text string, parts ...MailPart) MailSpec {
		m := s.mail(martel, subject, text)
		m.Attachments = parts
		return m
	}
	const greeting = "Bonjour,\n\nCi-joint le document concernant Mme ESSAI-KERVELLA.\n\nCordialement\n"

	s.toService("PDF seul", attach("Courrier Mme ESSAI-KERVELLA", greeting, attachment("application/pdf", "courrier.pdf", pdf("Courrier"))), held("parser.pdf", todo))
	s.toService("Plusieurs PDF", attach("Dossier Mme ESSAI-KERVELLA", greeting,
		attachment("application/pdf", "ECG du 12 novembre.pdf", pdf("ECG")), attachment("application/octet-stream", "écho_cœur.pdf", pdf("Échographie")),
		attachment("application/pdf", "biologie.pdf", pdf("Biologie"))), held("parser.pdf", todo, todo, todo))
	s.toService("PDF « annule et remplace »", attach("[Annule et remplace] Courrier Mme ESSAI-KERVELLA", greeting,
		attachment("application/pdf", "courrier_v2.pdf", pdf("Courrier rectifié"))), held("parser.pdf", todo))
	s.toService("PDF annoncé sous un autre type", attach("Résultat", greeting, attachment("text/plain", "resultat.txt", pdf("Résultat"))), held("parser.pdf", todo))

	s.toService("PDF tronqué", attach("Compte rendu", greeting, attachment("application/pdf", "cr.pdf", pdf("Compte rendu")[:12_000])), refused(held("pdf.truncated", todo)))
	s.toService("PDF avec JavaScript", attach("Formulaire", greeting,
		attachment("application/pdf", "formulaire.pdf", pdfWithScript("Formulaire", s.seed))), held("pdf.javascript", todo))

	hprim := strings.Join([]string{"ESSAI-KERVELLA MAELLE", "ESSAI-KERVELLA", "MAELLE", "12 rue de l'Essai", "", "29999 TEST-SUR-MER", "14/02/1985",
		"", "L2611-00417", "20/11/2026", "LABORATOIRE DE L'ODET", "DR MARTIN", "", "GLYCEMIE A JEUN : 5,1 mmol/L", "FERRITINE : 44 µg/L", fmt.Sprintf("DEMANDE : %d", s.seed), "****FIN****", "****FINFICHIER****", ""}, "\r\n")
	latin, err := charmap.Windows1252.NewEncoder().String(hprim)
	if err != nil {
		panic(err) // every character of the constant is in windows-1252
	}
	m := s.mail(labo, "Résultats de laboratoire", "Résultats en pièce jointe, au format HPRIM.\n")
	m.Attachments = []MailPart{attachment("application/octet-stream", "L261100417.hpr", []byte(latin))}
	s.toService("Résultats HPRIM", m, held("parser.hprim", todo))

	s.toService("Photographie", attach("Photo de la plaie", "Photo prise ce matin au domicile.\n", attachment("image/jpeg", "IMG_2041.jpg", s.photo())), held("parser.image", todo))
	s.toService("Fichier de traitement de texte", attach("Compte rendu", greeting, attachment("application/vnd.openxmlformats-officedocument.wordprocessingml.document",
		"Compte rendu.docx", Zip([]ZipEntry{
			{"[Content_Types].xml", []byte(`<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>`)},
			{"word/document.xml", []byte(`<?xml version="1.0" encoding="UTF-8"?><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>Compte rendu n° ` + fmt.Sprint(s.seed) + `</w:t></w:r></w:p></w:body></w:document>`)},
		}, s.at))), held("parser.unknown", todo))
	s.toService("Ancien fichier de traitement de texte", attach("Compte rendu", greeting, attachment("application/msword", "CR.doc",
		append([]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), noise(fmt.Sprint("ole", s.seed), 8000)...))), held("parser.unknown", todo))

	s.tick()
	d := s.level1(martel, maelle, typeConsultation, classReport, "Courrier de consultation", "CDA joint sans archive.")
	bare := s.delivery(martel, d)
	bare.Subject = "Courrier de consultation"
	bare.Attachments = []MailPart{attachment("text/xml", "courrier.xml", CDA(d))}
	s.toDPI("CDA joint sans archive XDM", bare, noted(delivered(1, "parser.bare")))
}

// pdfWithScript returns a PDF that runs JavaScript when it is opened.
func pdfWithScript(title string, number uint64) []byte {
	return pdfFile(title, []string{fmt.Sprintf("Formulaire n° %d à remplir.", number)}, 0, "/OpenAction << /S /JavaScript /JS (app.alert\\('Bonjour'\\)) >>")
}

// photo returns a JPEG that looks like nothing in particular.
func (s *sampler) photo() []byte {
	m := image.NewRGBA(image.Rect(0, 0, 640, 480))
	for y := range 480 {
		for x := range 640 {
			m.Set(x, y, color.RGBA{uint8(180 + (x*y+int(s.seed%97))%40), uint8(120 + x/8), uint8(100 + y/6), 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		panic(err) // memory does not fail
	}
	return b.Bytes()
}
