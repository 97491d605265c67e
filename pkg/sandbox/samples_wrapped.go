package sandbox

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf16"

	"greffe/pkg/greffe"
)

// wrapped adds documents that come inside something else: what Outlook, old programs
// and careful senders put around them. What can be opened goes in; the rest says why not.
func (s *sampler) wrapped() {
	todo := greffe.StateTodo
	letter := func(title string) CDASpec {
		s.tick()
		return s.level1(martel, Patient(s.number()), typeConsultation, classReport, title, "Courrier arrivé dans une enveloppe de plus.")
	}
	scan := func(title string) []byte {
		return PDF(title, []string{fmt.Sprintf("Document numérisé n° %d-%d.", s.seed, s.number())}, 0)
	}
	write := func(subject, text string, parts ...MailPart) MailSpec {
		m := s.mail(martel, subject, text)
		m.Attachments = parts
		return m
	}

	d := letter("Courrier envoyé d'Outlook")
	m := s.delivery(martel, d)
	m.Attachments = []MailPart{attachment("application/ms-tnef", "winmail.dat", tnefFile("IHE_XDM.zip", XDM(archiveOf(s.at, d))))}
	s.toDPI("Archive dans un winmail.dat (Outlook)", m, delivered(1, ""))

	d = letter("Courrier archivé deux fois")
	m = s.delivery(martel, d)
	m.Attachments = []MailPart{attachment(zipType, "envoi.zip", Zip([]ZipEntry{{"IHE_XDM.zip", XDM(archiveOf(s.at, d))}}, s.at))}
	s.toDPI("Archive XDM dans une archive ZIP", m, delivered(1, ""))

	inner := Zip([]ZipEntry{{"courrier.pdf", scan("Courrier")}}, s.at)
	deep := Zip([]ZipEntry{{"b.zip", Zip([]ZipEntry{{"a.zip", inner}}, s.at)}}, s.at)
	s.toService("Archives emboîtées trois fois", write("Dossier complet", "Dossier en pièce jointe.\n", attachment(zipType, "dossier.zip", deep)), held("parser.nested-zip", todo))

	s.toService("Archive 7z", write("Dossier complet", "Dossier comprimé avec 7-Zip.\n",
		attachment("application/octet-stream", "dossier.7z", append([]byte("7z\xbc\xaf\x27\x1c\x00\x04"), noise(fmt.Sprint("7z", s.seed), 9000)...))), held("parser.archive.format", todo))

	s.toService("PDF en uuencode dans le texte", write("Courrier",
		"Bonjour,\n\nCi-dessous le courrier.\n\n"+uuencode("courrier.pdf", scan("Courrier"))), held("parser.pdf", todo))

	yenc := s.mail(martel, "Courrier", "")
	yenc.Body = &MailPart{Type: "text/plain; charset=iso-8859-1", Encoding: "8bit",
		Data: []byte(fmt.Sprintf("Bonjour,\r\n\r\n=ybegin line=128 size=64 name=courrier.pdf\r\n%s\r\n=yend size=64\r\n", yencode(noise(fmt.Sprint("yenc", s.seed), 64))))}
	s.toService("Pièce codée en yEnc", yenc, held("parser.yenc", todo))

	d = letter("Courrier signé")
	m = s.delivery(martel, d)
	body := MailPart{Type: "multipart/mixed", Parts: append([]MailPart{textPart(m.Text)}, m.Attachments...)}
	m.Body = signed(body, m.ID, martel.address)
	s.toDPI("Message signé (S/MIME)", m, delivered(1, "eml.signature-intact"))

	m = write("Message chiffré", "")
	m.Body = &MailPart{Type: "application/pkcs7-mime; smime-type=enveloped-data", Name: "smime.p7m", Data: enveloped(fmt.Sprint("chiffré", s.seed), 4000)}
	s.toService("Message chiffré (S/MIME)", m, held("parser.encrypted", todo))

	m = write("Message chiffré", "")
	m.Body = &MailPart{Type: `multipart/encrypted; protocol="application/pgp-encrypted"`, Parts: []MailPart{
		{Type: "application/pgp-encrypted", Encoding: "7bit", Data: []byte("Version: 1\r\n")},
		{Type: "application/octet-stream", Name: "encrypted.asc", Inline: true, Encoding: "7bit", Data: []byte("-----BEGIN PGP MESSAGE-----\r\n\r\n" +
			base64Lines(noise(fmt.Sprint("pgp", s.seed), 1200)) + "-----END PGP MESSAGE-----\r\n")},
	}}
	s.toService("Message chiffré (PGP)", m, held("parser.encrypted", todo))

	s.toService("PDF protégé par un mot de passe", write("Résultats", "Le mot de passe est la date de naissance.\n",
		attachment("application/pdf", "resultats.pdf", lockedPDF("Résultats", "14021985"))), held("pdf.encrypted", todo))

	s.toService("PDF avec un fichier joint", write("Courrier", "Courrier et tableau de suivi.\n",
		attachment("application/pdf", "courrier.pdf", pdfWithFile("Courrier", "suivi.csv", []byte(fmt.Sprintf("date;poids\r\n20/11/2026;%d\r\n", 60+s.seed%20))))), held("pdf.embedded", todo))

	s.toService("PDF avec un programme joint", write("Facture", "Facture en pièce jointe.\n",
		attachment("application/pdf", "facture.pdf", pdfWithFile("Facture", "facture.exe", append([]byte("MZ\x90\x00"), noise(fmt.Sprint("exe", s.seed), 500)...)))), held("pdf.embedded-program", todo))
}

// untidyDocuments adds archives whose document or metadata have an unusual form.
func (s *sampler) untidyDocuments() {
	letter := func(title string) CDASpec {
		s.tick()
		return s.level1(martel, Patient(s.number()), typeConsultation, classReport, title, "Courrier écrit par un logiciel inhabituel.")
	}

	d := letter("Courrier en UTF-16")
	x := archiveOf(s.at, d)
	x.Files[0].Data = wide(bytes.Replace(x.Files[0].Data, []byte("UTF-8"), []byte("UTF-16"), 1))
	s.toDPI("CDA en UTF-16", withArchive(s.delivery(martel, d), XDM(x)), delivered(1, ""))

	d = letter("Courrier en ISO-8859-1")
	x = archiveOf(s.at, d)
	x.Files[0].Data = latin1(string(bytes.Replace(x.Files[0].Data, []byte("UTF-8"), []byte("ISO-8859-1"), 1)))
	s.toDPI("CDA en ISO-8859-1", withArchive(s.delivery(martel, d), XDM(x)), delivered(1, ""))

	d = letter("Courrier avec une DTD")
	x = archiveOf(s.at, d)
	x.Files[0].Data = bytes.Replace(x.Files[0].Data, []byte("<ClinicalDocument"), []byte(`<!DOCTYPE ClinicalDocument [<!ENTITY x SYSTEM "file:///etc/passwd">]>`+"\n<ClinicalDocument"), 1)
	e := refused(held("cda.dtd"))
	e.Open = true
	s.toDPI("CDA avec une DTD", withArchive(s.delivery(martel, d), XDM(x)), e)

	d = letter("Courrier, métadonnées anciennes")
	x = archiveOf(s.at, d)
	x.Metadata = func(xml []byte) []byte {
		return []byte(strings.NewReplacer("urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0", "urn:oasis:names:tc:ebxml-regrep:registry:xsd:2.1",
			"urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0", "urn:oasis:names:tc:ebxml-regrep:rim:xsd:2.1", "rim:RegistryObjectList", "rim:LeafRegistryObjectList").Replace(string(xml)))
	}
	s.toDPI("Métadonnées ebRIM 2.1", withArchive(s.delivery(martel, d), XDM(x)), held("xdm.ebrim", greffe.StateTodo))

	d = letter("Courrier en deux lots")
	second := s.level1(martel, d.Patient, typePrescription, classPrescription, "Ordonnance", "Paracétamol 1 g si douleur.")
	x = archiveOf(s.at, d)
	other := archiveOf(s.at, second)
	x.Extra = []ZipEntry{{"IHE_XDM/SUBSET02/METADATA.XML", metadata(other)}, {"IHE_XDM/SUBSET02/DOC0001.XML", other.Files[0].Data}}
	s.toDPI("Deux lots de soumission dans une archive", withArchive(s.delivery(martel, d), XDM(x)), delivered(2, ""))
}

// wide returns UTF-8 text in UTF-16LE with its byte order mark.
func wide(b []byte) []byte {
	out := []byte("\xff\xfe")
	for _, u := range utf16.Encode([]rune(string(b))) {
		out = append(out, byte(u), byte(u>>8))
	}
	return out
}

// uuencode returns a file as old mail programs wrote it into the text.
func uuencode(name string, data []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "begin 644 %s\n", name)
	alphabet := []byte{'`'}
	for c := byte('!'); c < '`'; c++ {
		alphabet = append(alphabet, c)
	}
	coding := base64.NewEncoding(string(alphabet)).WithPadding('`' + 1) // groups of three like base64, with other signs
	for len(data) > 0 {
		n := min(45, len(data))
		line := append(bytes.Clone(data[:n]), make([]byte, (3-n%3)%3)...)
		b.WriteByte(alphabet[n])
		b.WriteString(coding.EncodeToString(line) + "\n")
		data = data[n:]
	}
	b.WriteString("`\nend\n")
	return b.String()
}

// yencode returns bytes as yEnc writes them.
func yencode(data []byte) []byte {
	var out []byte
	for _, c := range data {
		if c += 42; c == 0 || c == '\n' || c == '\r' || c == '=' {
			out, c = append(out, '='), c+64
		}
		out = append(out, c)
	}
	return out
}
