package sandbox

import (
	"slices"

	"greffe/pkg/greffe"
)

// identities adds documents whose patient is the question.
func (s *sampler) identities() {
	letter := func(p greffe.Patient) CDASpec {
		s.tick()
		return s.level1(martel, p, typeConsultation, classReport, "Courrier de consultation", "Merci de revoir ce patient en consultation.")
	}

	s.toDPI("Patient inconnu du DI (902)", s.delivery(martel, letter(unknown)),
		want(greffe.KindDelivery, greffe.StateRefused, "", greffe.StateRefused))

	// Nobody asked for a receipt, and the address of the sender is gone: the "courriel de
	// KO" comes back.
	gone := s.delivery(martel, letter(unknown))
	gone.From.Address, gone.ReceiptTo, gone.ReplyTo = "absent@cabinet-martel.example", "", ""
	s.toDPI("Refusé, et l'adresse de l'expéditeur n'existe plus", gone, want(greffe.KindDelivery, greffe.StateRefused, "", greffe.StateRefused))

	other := maelle
	other.FirstGiven, other.Givens, other.UsedGiven, other.BirthDate = "MAELYS", "MAELYS ANNE", "MAELYS", "19850215"
	different := s.delivery(martel, letter(other))
	different.ReceiptTo = "" // nobody asked: it is told by a "courriel de KO"
	s.toDPI("Traits différents de ceux du DI (904)", different,
		want(greffe.KindDelivery, greffe.StateRefused, "", greffe.StateRefused))

	local := stranger
	local.INS, local.IDs = greffe.OID{}, []greffe.OID{{Root: oidHospital, Extension: "0045871"}}
	s.toDPI("Document sans INS", s.delivery(martel, letter(local)), held("ins.missing", greffe.StateTodo))

	wrong := yvon
	wrong.INS = greffe.OID{Root: oidINSProduction, Extension: yvon.INS.Extension[:13] + "03"}
	if wrong.INS.Extension == yvon.INS.Extension {
		wrong.INS.Extension = yvon.INS.Extension[:13] + "04"
	}
	wrong.IDs = []greffe.OID{wrong.INS}
	s.toDPI("Clé fausse sur un INS de production", s.delivery(martel, letter(wrong)), refused(held("ins.key", greffe.StateTodo)))

	s.toDPI("Clé fausse sur un INS de test", s.delivery(martel, letter(mistyped)), noted(delivered(1, "ins.key.test")))

	partial := soizic
	partial.BirthPlace, partial.Sex = "", ""
	s.toDPI("Traits stricts incomplets (905)", s.delivery(martel, letter(partial)), held("ins.traits", greffe.StateTodo))

	two := jeanne
	two.IDs = []greffe.OID{jeanne.INS, joao.INS}
	s.toDPI("Deux INS pour un patient", s.delivery(martel, letter(two)), held("ins.two", greffe.StateTodo))

	masked := letter(pascal)
	masked.Confidentiality = append(masked.Confidentiality, masking(greffe.MaskedToProfessionals, "Masqué aux professionnels de santé"))
	s.toDPI("Document masqué aux professionnels de santé", s.delivery(martel, masked), held("parser.masked", greffe.StateTodo))

	first := letter(maelle)
	second := s.level1(martel, yvon, typePrescription, classPrescription, "Ordonnance", "Aspirine 75 mg : 1 sachet par jour.")
	e := refused(held("xdm.patients", greffe.StateTodo, greffe.StateTodo))
	e.Open = true
	s.toDPI("Deux patients dans une archive", s.delivery(martel, first, second), e)

	d := letter(laetitia)
	x := archiveOf(s.at, d)
	x.Files[0].Facts.Patient = soizic // the metadata say another patient than the document
	s.toDPI("Patient des métadonnées différent", withArchive(s.delivery(martel, d), XDM(x)), held("xdm.cda.patient", greffe.StateTodo))

	known := letter(joao)
	known.Patient.IDs = slices.Concat([]greffe.OID{{Root: oidHospital, Extension: "0098213"}}, joao.IDs)
	s.toDPI("INS et identifiant local (IPP)", s.delivery(martel, known), delivered(1, ""))
}
