package sandbox

import (
	"fmt"
	"net/mail"
	"strings"

	"greffe/pkg/greffe"
)

// passedOn adds documents that come by a detour, and a second time.
func (s *sampler) passedOn() {
	secretary := mail.Address{Name: "Secrétariat de cardiologie", Address: MailboxService}

	s.tick()
	d := s.level1(leroux, jeanne, typeImaging, classImaging, "Doppler des troncs supra-aortiques", "Plaques non sténosantes des deux bulbes carotidiens.")
	m := s.delivery(leroux, d)
	m.To = secretary
	forward := s.mail(leroux, "TR: "+m.Subject, "")
	forward.From, forward.Body = secretary, &MailPart{Type: "multipart/mixed", Parts: []MailPart{
		textPart("Pour intégration au dossier, merci.\n"),
		{Type: "message/rfc822", Encoding: "8bit", Name: "message.eml", Data: Mail(m)},
	}}
	s.toDPI("Transféré en pièce jointe (message/rfc822)", forward, want(greffe.KindForward, greffe.StateDelivered, "", greffe.StateDelivered))

	s.tick()
	d = s.level1(martel, lucas, typeConsultation, classReport, "Certificat d'aptitude au sport", "Pas de contre-indication clinique ce jour.")
	inline := s.delivery(martel, d)
	inline.Text = "\n-----Message d'origine-----\nDe : " + inline.From.String() + "\nÀ : " + secretary.String() + "\nObjet : " + inline.Subject + "\n\n" + inline.Text
	inline.From, inline.ReceiptTo, inline.ReplyTo, inline.Subject = secretary, "", "", "TR : "+inline.Subject
	s.toDPI("Transféré dans le texte", inline, want(greffe.KindForward, greffe.StateDelivered, "", greffe.StateDelivered))

	s.tick()
	d = s.level1(clinic, yvon, typeConsultation, classReport, "Consultation de rythmologie", "Flutter auriculaire, ablation proposée.")
	original := s.delivery(clinic, d)
	const named = "Document qui reviendra"
	e := delivered(1, "")
	e.Same = named
	s.toDPI(named, original, delivered(1, ""))

	s.tick()
	reply := original
	reply.ID, reply.InReplyTo = fmt.Sprintf("re.%d@cabinet-martel.example", s.number()), original.ID
	reply.From, reply.ReceiptTo, reply.ReplyTo, reply.Date = martel.mailbox(), "", "", s.at
	reply.Subject = "RE: " + original.Subject
	reply.Text = "Bien reçu, je revois M. TESTARD mardi.\n\n> " + strings.ReplaceAll(original.Text, "\n", "\n> ")
	s.toDPI("Réponse qui porte encore l'archive", reply, Expectation{Kind: greffe.KindReply, Verdict: greffe.VerdictOK, State: greffe.StateTodo,
		Documents: []greffe.State{greffe.StateDuplicate}, Same: named})

	s.tick()
	s.toService("Même document dans une seconde boîte", original, Expectation{Kind: greffe.KindDelivery, Verdict: greffe.VerdictOK, State: greffe.StateDuplicate,
		Documents: []greffe.State{greffe.StateDuplicate}, Same: named})

	answer := s.mail(leroux, "RE: Compte rendu de cardiologie", "Bonjour,\n\nMerci pour ce compte rendu. Faut-il maintenir l'anticoagulant avant l'examen de jeudi ?\n\nBien cordialement,\nDr Camille LEROUX-ESSAI\n")
	answer.InReplyTo = "20261102090000.12@ch-exemple.mssante.example"
	s.toDPI("Réponse d'un confrère à un compte rendu", answer, want(greffe.KindReply, greffe.StateTodo, ""))

	quoted := s.mail(martel, "RE: Compte rendu d'hospitalisation", "> Bonjour,\n>\n> Veuillez trouver ci-joint le compte rendu.\n>\n> Cordialement\n")
	quoted.InReplyTo = "20261101120000.9@ch-exemple.mssante.example"
	s.toService("Réponse : texte cité seulement", quoted, want(greffe.KindReply, greffe.StateTodo, ""))

	s.toService("Message d'un confrère sans pièce jointe", s.mail(martel, "Rendez-vous de M. TESTARD",
		"Bonjour,\n\nPourriez-vous avancer le rendez-vous de ce patient ? La dyspnée s'aggrave.\n\nMerci d'avance,\nDr Yvon MARTEL\n"),
		want(greffe.KindText, greffe.StateTodo, ""))

	s.toService("Message vide", s.mail(martel, "", ""), want(greffe.KindEmpty, greffe.StateTodo, ""))

	patient := s.mail(martel, "Re: Votre consultation", "Bonjour docteur,\n\nJe vous envoie l'ordonnance de mon médecin traitant.\n\nCordialement\n")
	patient.From = mail.Address{Address: maelle.INS.Extension + "@patient.mssante.example"}
	patient.Header = nil
	patient.Attachments = []MailPart{attachment("application/pdf", "ordonnance.pdf", PDF("Ordonnance", []string{"Ordonnance scannée par la patiente."}, 0))}
	s.toService("Message d'un patient", patient, want(greffe.KindPatient, greffe.StateTodo, ""))
}

// robots adds what machines send: nobody has to act, nothing may be imported.
func (s *sampler) robots() {
	mta := mail.Address{Name: "Mail Delivery System", Address: "mailer-daemon@operateur.mssante.example"}
	software := mail.Address{Name: "DPI Centre hospitalier de Test-sur-Mer", Address: "dpi@ch-test-sur-mer.example"}
	nothing := func(k greffe.MessageKind) Expectation { return want(k, greffe.StateDismissed, "") }

	s.tick()
	d := s.level1(clinic, unknown, typeStay, classReport, "Compte rendu d'hospitalisation", "Document émis par le CH Exemple.")
	sent := s.delivery(clinic, d)
	sent.From, sent.To = mail.Address{Name: "Cardiologie CH Exemple", Address: MailboxService}, software
	sent.ID = fmt.Sprintf("sortant.%d@ch-exemple.mssante.example", s.number())

	ko := s.mail(clinic, "[KO Intégration système !][902] "+sent.Subject, "")
	ko.From, ko.ReturnPath, ko.InReplyTo = software, "<>", sent.ID
	ko.Header = []string{"Auto-Submitted: auto-replied"}
	parts := report("disposition-notification", "Le document n'a pas pu être intégré dans le DPI : 902, identifiant de patient inconnu.\n",
		"message/disposition-notification", "Reporting-UA: dpi.ch-test-sur-mer.example; DPI 4.2\r\nFinal-Recipient: rfc822;"+software.Address+
			"\r\nOriginal-Message-ID: <"+sent.ID+">\r\nDisposition: automatic-action/MDN-sent-automatically; processed/Error: 902^Identifiant de patient inconnu^applicationErrorCode\r\n")
	// The older form of the KO carries the archive and the copies again (domain: MDN structure).
	parts.Parts = append(parts.Parts, sent.Attachments...)
	ko.Body = &parts
	s.toService("Accusé d'échec avec l'archive d'origine (MDN KO)", ko, nothing(greffe.KindMDN))

	ok := s.mail(clinic, sent.Subject, "")
	ok.From, ok.ReturnPath, ok.InReplyTo = software, "<>", sent.ID
	body := report("disposition-notification", "Le document a été intégré.\n", "message/disposition-notification",
		"Reporting-UA: dpi.ch-test-sur-mer.example; DPI 4.2\r\nFinal-Recipient: rfc822;"+software.Address+"\r\nOriginal-Message-ID: <"+sent.ID+
			">\r\nDisposition: automatic-action/MDN-sent-automatically; processed\r\n")
	body.Parts = append(body.Parts, MailPart{Type: "message/rfc822", Encoding: "8bit", Data: Mail(sent)})
	ok.Body = &body
	s.toService("Accusé de lecture (MDN)", ok, nothing(greffe.KindMDN))

	dsn := s.mail(clinic, "Undelivered Mail Returned to Sender", "")
	dsn.From, dsn.ReturnPath, dsn.Header = mta, "<>", []string{"Auto-Submitted: auto-replied"}
	bounced := report("delivery-status", "Votre message n'a pas pu être remis : boîte inconnue.\n", "message/delivery-status",
		"Reporting-MTA: dns; operateur.mssante.example\r\nArrival-Date: "+s.at.Format("Mon, 02 Jan 2006 15:04:05 -0700")+
			"\r\n\r\nFinal-Recipient: rfc822; absent@cabinet.example\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 User unknown\r\n")
	bounced.Parts = append(bounced.Parts, MailPart{Type: "message/rfc822", Encoding: "8bit", Data: Mail(sent)})
	dsn.Body = &bounced
	s.toService("Avis de non-remise (DSN)", dsn, nothing(greffe.KindDSN))

	koMail := s.mail(clinic, "[KO Intégration système !][904] "+sent.Subject,
		"Le document n'a pas été intégré : 904, l'INS ou les traits diffèrent.\nContact : cellule d'identitovigilance, poste 4021.\n")
	koMail.From, koMail.Header = software, []string{"Auto-Submitted: auto-replied"}
	koMail.Attachments = append([]MailPart{{Type: "message/rfc822", Encoding: "8bit", Name: "message_original.eml", Data: Mail(sent)}}, sent.Attachments...)
	s.toService("Courriel de KO d'un autre système", koMail, nothing(greffe.KindKO))

	away := s.mail(martel, "Réponse automatique : Compte rendu", "Le cabinet est fermé jusqu'au 1er décembre. En cas d'urgence, composez le 15.\n")
	away.Header = append(away.Header, "Auto-Submitted: auto-replied", "X-Auto-Response-Suppress: All")
	s.toService("Réponse automatique d'absence", away, nothing(greffe.KindAutoReply))

	quota := s.mail(clinic, "Votre boîte aux lettres est remplie à 85 %", "Pensez à archiver vos messages.\n\nL'opérateur MSSanté\n")
	quota.From, quota.ReturnPath, quota.Header = mail.Address{Name: "Opérateur MSSanté", Address: "no-reply@operateur.mssante.example"}, "<>", []string{"Auto-Submitted: auto-generated", "Precedence: bulk"}
	s.toService("Avis de l'opérateur : quota", quota, nothing(greffe.KindNotice))

	certificate := s.mail(clinic, "Votre certificat expire dans 60 jours", "Le certificat ORG AUTH_CLI de votre structure expire le 21/01/2027. Pensez à le renouveler.\n")
	certificate.From, certificate.Header = mail.Address{Address: "noreply@igc.operateur.mssante.example"}, []string{"Auto-Submitted: auto-generated"}
	s.toDPI("Avis de fin de certificat", certificate, nothing(greffe.KindNotice))
}

// report returns the first two parts of a multipart/report (RFC 6522).
func report(kind, text, machineType, machine string) MailPart {
	return MailPart{Type: "multipart/report; report-type=" + kind, Parts: []MailPart{
		textPart(text), {Type: machineType, Encoding: "7bit", Data: []byte(machine)},
	}}
}
