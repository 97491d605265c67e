package sandbox

import (
	"math/rand/v2"
	"slices"
	"time"

	"greffe/pkg/clamd"
	"greffe/pkg/greffe"
)

// Suspects returns mails with the EICAR test file in them, wherever malware may hide,
// and a clean document beside it in the first. They are apart from Samples because what
// becomes of them asks for an antivirus, and because the one of the machine they are
// kept on may object. The same options give the same bytes.
func Suspects(o SampleOptions) []Sample {
	at := o.Now.Add(-6 * time.Hour).Truncate(time.Second)
	s := &sampler{rand: rand.New(rand.NewPCG(o.Seed, 11)), seed: o.Seed, now: o.Now.Truncate(time.Second), at: at, n: 5000}
	eicar := clamd.TestFile()
	const rule = "antivirus.found"

	s.tick()
	d := s.level1(martel, maelle, typeConsultation, classReport, "Consultation de suivi", "Évolution favorable.")
	m := s.delivery(martel, d)
	m.Attachments = append(m.Attachments, attachment("application/octet-stream", "facture.com", eicar))
	s.toDPI("Programme malveillant joint à un document sain", m, Expectation{Kind: greffe.KindDelivery, State: greffe.StateTodo,
		Documents: []greffe.State{greffe.StateDelivered, greffe.StateTodo}, Rule: rule})

	m = s.mail(labo, "Résultats", "Bonjour,\r\n\r\nVeuillez trouver les résultats.")
	m.Attachments = []MailPart{attachment("application/zip", "resultats.zip", Zip([]ZipEntry{{Name: "lisez-moi.txt", Data: []byte("Bonjour")}, {Name: "resultats.pdf.com", Data: eicar}}, s.at))}
	s.toDPI("Programme malveillant dans une archive", m, Expectation{Kind: greffe.KindDelivery, State: greffe.StateTodo, Open: true, Rule: rule})

	s.tick()
	d = s.level1(leroux, yvon, typeImaging, classImaging, "Échographie abdominale", "Sans particularité.")
	d.PDF = slices.Concat(d.PDF, eicar)
	s.toDPI("Programme malveillant dans le PDF d’un document", s.delivery(leroux, d), held(rule, greffe.StateTodo))

	m = s.mail(clinic, "Votre facture", "")
	m.Body = &MailPart{Type: "text/html; charset=utf-8", Encoding: "7bit", Data: eicar}
	s.toService("Programme malveillant dans le texte", m, Expectation{State: greffe.StateTodo, Open: true, Rule: rule})
	return s.list
}
