package sandbox

import (
	"bytes"
	"fmt"
	"net/mail"
	"regexp"

	"golang.org/x/text/encoding/charmap"

	"greffe/pkg/greffe"
)

// untidy adds mails that break a rule of mail or of archives without harm to the
// documents: they go in.
func (s *sampler) untidy() {
	letter := func(title string) CDASpec {
		s.tick()
		return s.level1(martel, Patient(s.number()), typeConsultation, classReport, title, "Courrier envoyé par un logiciel approximatif.")
	}

	// Raw windows-1252 in the header, as RFC 5322 forbids.
	m := s.delivery(martel, letter("Bilan préopératoire"))
	m.To = mail.Address{Address: MailboxDPI}
	raw := Mail(m)
	raw = replaceField(raw, "Subject", latin1(m.Subject))
	raw = replaceField(raw, "From", latin1("Dr Aimé BRÛLÉ <"+martel.address+">"))
	s.add("En-têtes en windows-1252 brut", MailboxDPI, "INBOX", raw, delivered(1, ""))

	m = s.delivery(martel, letter("Épreuve d’effort"))
	m.To = mail.Address{Address: MailboxDPI}
	raw = replaceField(Mail(m), "Subject", []byte("=?iso-8859-15?Q?XDM/1.0/DDM+=C9preuve_d'effort?=\r\n =?ISO-8859-15?B?"+"IKQgYydlc3QgdW4gZXNzYWk="+"?="))
	s.add("Objet codé en ISO-8859-15", MailboxDPI, "INBOX", raw, delivered(1, ""))

	d := letter("Courrier")
	m = s.delivery(martel, d)
	m.Attachments[0].Name = "IHE_XDM – dossier médical complet de l’été, transmis par le cabinet du docteur Martel à l’hôpital.zip"
	s.toDPI("Noms de fichiers longs et accentués (RFC 2231)", m, delivered(1, ""))

	d = letter("Courrier")
	m = s.delivery(martel, d)
	m.To = mail.Address{Address: MailboxDPI}
	m.Body = &MailPart{Type: "multipart/mixed", NoFinalLine: true, Parts: append([]MailPart{textPart(m.Text)}, m.Attachments...)}
	s.add("Marque de fin absente", MailboxDPI, "INBOX", Mail(m), noted(delivered(1, "eml.end-missing")))

	d = letter("Courrier")
	m = s.delivery(martel, d)
	m.To = mail.Address{Address: MailboxDPI}
	m.Attachments[0].Encoding = "x-junk"
	m.Attachments[0].Data = []byte(junked(base64Lines(m.Attachments[0].Data)))
	raw = bytes.Replace(Mail(m), []byte("Content-Transfer-Encoding: x-junk"), []byte("Content-Transfer-Encoding: base64"), 1)
	s.add("Base64 avec des caractères parasites", MailboxDPI, "INBOX", raw, noted(delivered(1, "eml.base64")))

	d = letter("Courrier")
	x := archiveOf(s.at, d)
	x.Metadata = func(xml []byte) []byte { return append([]byte("\xef\xbb\xbf\r\n   \r\n"), xml...) }
	s.toDPI("BOM et blancs avant METADATA.XML", withArchive(s.delivery(martel, d), XDM(x)), delivered(1, "xdm.blanks"))

	d = letter("Courrier")
	x = archiveOf(s.at, d)
	x.Files[0].Data = append([]byte("\xef\xbb\xbf"), x.Files[0].Data...)
	s.toDPI("BOM avant le CDA", withArchive(s.delivery(martel, d), XDM(x)), delivered(1, ""))

	d = letter("Courrier")
	x = archiveOf(s.at, d)
	x.Folder = "export du 20 novembre/"
	s.toDPI("Archive dans un dossier de trop", withArchive(s.delivery(martel, d), XDM(x)), delivered(1, "xdm.wrapped"))

	d = letter("Courrier")
	x = archiveOf(s.at, d)
	x.Slash = `\`
	s.toDPI("Barres obliques inversées dans le ZIP", withArchive(s.delivery(martel, d), XDM(x)), delivered(1, "xdm.names"))

	d = letter("Courrier")
	x = archiveOf(s.at, d)
	x.Files[0].Facts.Action = greffe.ActionReplace // version 2 of a document that never came
	e := noted(delivered(1, "xdm.cda.parent"))
	s.toDPI("Remplacement sans document remplacé", withArchive(s.delivery(martel, d), XDM(x)), e)

	d = letter("Courrier")
	m = s.delivery(martel, d)
	html := MailPart{Type: "multipart/related", Parts: []MailPart{
		{Type: "text/html; charset=utf-8", Encoding: "quoted-printable", Data: []byte("<html><body><p>Bonjour,</p><p>Veuillez trouver le document en pièce jointe.</p><img src=\"cid:logo@martel\" alt=\"Cabinet Martel\"></body></html>\r\n")},
		{Type: "image/png", Name: "logo.png", Inline: true, ContentID: "logo@martel", Data: s.curve(64, 32)},
	}}
	m.Body = &MailPart{Type: "multipart/mixed", Parts: append([]MailPart{
		{Type: "multipart/alternative", Parts: []MailPart{textPart(m.Text), html}},
	}, m.Attachments...)}
	s.toDPI("Logo dans le texte HTML", m, delivered(1, ""))

	d = letter("Courrier")
	m = s.delivery(martel, d)
	m.Attachments[0].Type, m.Attachments[0].Name = "application/octet-stream", ""
	s.toDPI("Archive sans nom ni type", m, delivered(1, ""))
}

// broken adds archives that cannot be trusted: a person looks.
func (s *sampler) broken() {
	letter := func() CDASpec {
		s.tick()
		return s.level1(martel, maelle, typeConsultation, classReport, "Courrier de consultation", "Archive abîmée.")
	}
	// How many documents such an archive shows is not the point; none goes in.
	open := func(rule string) Expectation {
		e := refused(held(rule))
		e.Open = true
		return e
	}
	change := func(pattern, by string) func([]byte) []byte {
		return func(xml []byte) []byte { return regexp.MustCompile(pattern).ReplaceAll(xml, []byte(by)) }
	}

	for _, c := range []struct {
		name, rule string
		metadata   func([]byte) []byte
	}{
		{"Empreinte fausse", "xdm.hash", change(`name="hash"><rim:ValueList><rim:Value>[0-9A-F]{8}`, `name="hash"><rim:ValueList><rim:Value>00000000`)},
		{"Taille fausse", "xdm.size", change(`name="size"><rim:ValueList><rim:Value>\d+`, `name="size"><rim:ValueList><rim:Value>17`)},
		{"METADATA.XML absent", "xdm.metadata", func([]byte) []byte { return nil }},
		{"METADATA.XML tronqué", "xdm.metadata.xml", func(xml []byte) []byte { return xml[:len(xml)/2] }},
		{"Action inconnue", "xdm.action", change(`<rim:Slot name="hash">`, `<rim:Slot name="urn:action:extraMetadataSlot"><rim:ValueList><rim:Value>Z</rim:Value></rim:ValueList></rim:Slot><rim:Slot name="hash">`)},
		{"METADATA.XML avec entité externe", "xdm.metadata.xml", change(`^`, `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>`)},
	} {
		d := letter()
		x := archiveOf(s.at, d)
		x.Metadata = c.metadata
		e := open(c.rule)
		if c.rule == "xdm.action" {
			e.Verdict = greffe.VerdictHeld // the bytes are sound, what to do with them is not said
		}
		s.toDPI(c.name, withArchive(s.delivery(martel, d), XDM(x)), e)
	}

	d := letter()
	x := archiveOf(s.at, d)
	x.Files[0].Data = nil
	s.toDPI("Document annoncé mais absent", withArchive(s.delivery(martel, d), XDM(x)), open("xdm.document"))

	d = letter()
	x = archiveOf(s.at, d)
	x.Extra = []ZipEntry{{"../../etc/cron.d/greffe", []byte("* * * * * root true\n")}}
	s.toDPI("Chemin dangereux dans l'archive", withArchive(s.delivery(martel, d), XDM(x)), open("xdm.path"))

	d = letter()
	x = archiveOf(s.at, d)
	x.Extra = []ZipEntry{{"IHE_XDM/SUBSET01/BOMBE.BIN", make([]byte, 20<<20)}}
	s.toDPI("Bombe de décompression", withArchive(s.delivery(martel, d), XDM(x)), open("xdm.ratio"))

	d = letter()
	zip := XDM(archiveOf(s.at, d))
	s.toDPI("Archive ZIP coupée", withArchive(s.delivery(martel, d), zip[:len(zip)*2/3]), open("xdm.truncated"))

	s.tick()
	s.add("Ceci n'est pas un courriel", MailboxDPI, "INBOX", noise(fmt.Sprint("mail", s.seed), 3000), Expectation{Verdict: greffe.VerdictHeld, State: greffe.StateTodo, Open: true, Rule: "eml.not-mail"})
}

// replaceField puts raw bytes in the place of the value of a header field.
func replaceField(raw []byte, name string, value []byte) []byte {
	at := regexp.MustCompile(`(?m)^` + name + `: (?:.*\r\n[ \t])*.*\r\n`).FindIndex(raw)
	if at == nil {
		panic("sandbox: no field " + name)
	}
	return bytes.Join([][]byte{raw[:at[0]], []byte(name + ": "), value, []byte("\r\n"), raw[at[1]:]}, nil)
}

// latin1 returns s in windows-1252, with "?" for what it lacks.
func latin1(s string) []byte {
	var b []byte
	for _, r := range s {
		c, ok := charmap.Windows1252.EncodeRune(r)
		if !ok {
			c = '?'
		}
		b = append(b, c)
	}
	return b
}

// junked puts characters that are not base64 into lines of base64.
func junked(lines string) string {
	n := 0
	return regexp.MustCompile(`\r\n`).ReplaceAllStringFunc(lines, func(end string) string {
		n++
		switch n % 5 {
		case 1:
			return "!\r\n"
		case 3:
			return " \t\r\n\r\n"
		}
		return end
	})
}
