package sandbox

import (
	"fmt"

	"greffe/pkg/greffe"
)

// twins adds deliveries whose PDFs are, or only seem to be, the copies of their documents.
func (s *sampler) twins() {
	copyOf := func(m MailSpec, name string, lines ...string) MailSpec {
		m.Attachments = append(m.Attachments, attachment("application/pdf", name, PDF("Copie", lines, 0)))
		return m
	}
	name := func(d CDASpec, what string, p greffe.Patient, n int) string {
		return fmt.Sprintf("%s_%s_%s_%s_%06d.pdf", d.ServiceStart[:8], what, p.BirthFamily, p.FirstGiven, n)
	}

	s.tick()
	d := s.laboratory(soizic)
	sister := soizic
	sister.FirstGiven = "MAIWENN"
	s.toDPI("PDF d'une sœur à côté du document", copyOf(s.delivery(labo, d), name(d, "CR d'examens biologiques", sister, 1), "Glycémie"),
		held("parser.pdf.patient", greffe.StateDelivered, greffe.StateTodo))

	s.tick()
	d = s.imaging(yvon)
	s.toDPI("PDF d'un autre examen du même patient", copyOf(s.delivery(leroux, d), name(d, "Ordonnance", yvon, 2), "Paracétamol"),
		held("parser.pdf.unproven", greffe.StateDelivered, greffe.StateTodo))

	s.tick()
	d = s.laboratory(maelle)
	m := copyOf(s.delivery(labo, d), name(d, "biologie", maelle, 3), "Page 1")
	s.toDPI("Deux PDF pour un seul document", copyOf(m, name(d, "biologie", maelle, 4), "Page 2"),
		held("parser.pdf.ambiguous", greffe.StateDelivered, greffe.StateTodo, greffe.StateTodo))

	s.tick()
	first, second := s.laboratory(pascal), s.imaging(pascal)
	m = copyOf(s.delivery(labo, first, second), name(second, "IRM genou gauche", pascal, 5), "Genou")
	s.toDPI("Copies PDF dans un autre ordre que les documents", copyOf(m, name(first, "Examens biologiques", pascal, 6), "Sodium"), delivered(2, ""))

	s.tick()
	d = s.laboratory(jeanne)
	d.Title = "Examens biologiques (nu et auto-présentable)"
	m = s.delivery(labo, d)
	styled := d
	styled.SelfPresenting = true
	m.Attachments = append(m.Attachments, attachment("text/xml", "document.xml", CDA(styled)))
	s.toDPI("Le même document, nu et auto-présentable", m, delivered(1, ""))
}
