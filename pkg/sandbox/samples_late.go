package sandbox

import "greffe/pkg/greffe"

// Types is what the demo record systems beside the first one take: codes of documents.
const (
	TypeImaging      = "18748-4" // the radiology information system
	TypePrescription = "57833-6" // the pharmacy
)

// outOfStep adds what no machine can settle as usual: a version that comes when the one
// after it is integrated, and a name that one of two record systems cannot write.
func (s *sampler) outOfStep() {
	s.tick()
	v1 := s.level1(clinic, yvon, typeMeeting, classReport, "Avis de la réunion cardio-vasculaire", "Proposition : angioplastie.")
	v2 := s.next(v1, "Avis de la réunion cardio-vasculaire (définitif)", "Proposition : traitement médical seul.")
	// The software of its author numbers versions, and names none that it replaces.
	v2.Action, v2.Replaces = greffe.ActionNew, greffe.OID{}
	s.toDPI("Version 2, dont la version 1 n'est pas encore arrivée", s.delivery(clinic, v2), delivered(1, ""))

	s.tick()
	greek := soizic
	greek.UsedFamily = "ΔΟΚΙΜΗ" // not in ISO 8859-15
	d := s.level1(leroux, greek, typeImaging, classImaging, "Radiographie de la cheville", "Pas de lésion osseuse visible.")
	s.toDPI("Nom qu'un des deux DI ne peut pas écrire", s.delivery(leroux, d), want(greffe.KindDelivery, greffe.StateIncident, "", greffe.StateIncident))

	s.tick()
	s.toDPI("Version 1, arrivée après la version 2", s.delivery(clinic, v1), want(greffe.KindDelivery, greffe.StateDismissed, "", greffe.StateDismissed))
	s.list[len(s.list)-1].Late = true
}
