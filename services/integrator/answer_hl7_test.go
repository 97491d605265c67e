package integrator

import (
	"strings"
	"testing"

	"greffe/pkg/greffe"
	"greffe/pkg/hl7"
)

// Each row of the tables of domain §8.1: what the DI answers, what becomes of the
// document, whether the queue of the DI stops, and what the person reads.
func TestAnswerTables(t *testing.T) {
	t.Parallel()
	const (
		delivered = greffe.StateDelivered
		waiting   = greffe.StateWaiting
		refused   = greffe.StateRefused // and only this is told to the sender
		incident  = greffe.StateIncident
	)
	for _, c := range []struct {
		name, segments string
		action         greffe.Action
		state          greffe.State
		code           string
		stops          bool
		text           string
	}{
		// MSA-1.
		{"AA", "MSA|AA|G1", greffe.ActionNew, delivered, "AA", false, "Le DI a accepté le document."},
		{"AA of a replacement", "MSA|AA|G1", greffe.ActionReplace, delivered, "AA", false, "à la place de la version précédente"},
		{"AA of a deletion", "MSA|AA|G1", greffe.ActionDelete, delivered, "AA", false, "la suppression"},
		{"AA with a warning", "MSA|AA|G1\rERR||PRT^1^15|0|W|906^Adresse inconnue", greffe.ActionNew, delivered, "AA", false, "« Adresse inconnue »"},
		{"AR", "MSA|AR|G1", greffe.ActionNew, waiting, "AR", false, "Le DI demande de revenir plus tard : nouvel essai automatique."},
		{"AR with its reason", "MSA|AR|G1\rERR|||207^Maintenance|E", greffe.ActionNew, waiting, "AR", false, "« Maintenance »"},
		{"AE without ERR", "MSA|AE|G1", greffe.ActionNew, incident, "AE", true, "sans dire pourquoi"},
		{"CE of the enhanced mode", "MSA|CE|G1\rERR||PID^1^3|101", greffe.ActionNew, incident, "AE 101", true, "au champ PID-3"},

		// ERR-3.
		{"0 beside AE", "MSA|AE|G1\rERR|||0^Message accepted|I", greffe.ActionNew, incident, "AE 0", true, "Message accepted"},
		{"100", "MSA|AE|G1\rERR||PV1|100|E", greffe.ActionNew, incident, "AE 100", true, "erreur technique 100 au champ PV1 : segments absents ou dans le désordre."},
		{"101", "MSA|AE|G1\rERR||TXA^1^12|101|E", greffe.ActionNew, incident, "AE 101", true, "au champ TXA-12 : champ obligatoire absent."},
		{"102", "MSA|AE|G1\rERR||PRT^2^8^1^6|102|E", greffe.ActionNew, incident, "AE 102", true, "au champ PRT-8.6 (n° 2) : type de donnée."},
		{"103", "MSA|AE|G1\rERR||TXA^1^2|103|E", greffe.ActionNew, incident, "AE 103", true, "Faire ajouter cette valeur aux tables du DI"},
		{"198", "MSA|AE|G1\rERR||PRT|198|E", greffe.ActionNew, incident, "AE 198", true, "répétitions"},
		{"199", "MSA|AE|G1\rERR|||199|E", greffe.ActionNew, incident, "AE 199", true, "autre erreur de syntaxe"},
		{"200", "MSA|AE|G1\rERR||MSH^1^9|200|E", greffe.ActionNew, incident, "AE 200", true, "MSH-9"},
		{"201 of a new document", "MSA|AE|G1\rERR||MSH^1^9|201|E", greffe.ActionNew, incident, "AE 201", true, "événement"},
		{"200 of a replacement", "MSA|AE|G1\rERR||MSH^1^9|200|E", greffe.ActionReplace, incident, "AE 200", true, "au champ MSH-9 : type de message non pris en charge. Si ce DI ne prend pas les remplacements (T10), le dire dans hl7.events"},
		{"200 of a deletion", "MSA|AE|G1\rERR||MSH^1^9|200|E", greffe.ActionDelete, incident, "AE 200", true, "les suppressions (T04), le dire dans hl7.events"},
		{"201 of a replacement", "MSA|AE|G1\rERR||MSH^1^9|201|E", greffe.ActionReplace, incident, "AE 201", true, "les remplacements (T10)"},
		{"201 of a deletion", "MSA|AE|G1\rERR||MSH^1^9|201|E", greffe.ActionDelete, incident, "AE 201", true, "les suppressions (T04)"},
		{"202 of a replacement", "MSA|AE|G1\rERR||MSH^1^11|202|E", greffe.ActionReplace, incident, "AE 202", true, "ce DI est-il le bon"},
		{"203 of a deletion", "MSA|AE|G1\rERR||MSH^1^12|203|E", greffe.ActionDelete, incident, "AE 203", true, "version de HL7"},
		{"101 of a replacement", "MSA|AE|G1\rERR||TXA^1^13|101|E", greffe.ActionReplace, incident, "AE 101", true, "au champ TXA-13 : champ obligatoire absent."},
		{"202", "MSA|AE|G1\rERR||MSH^1^11|202|E", greffe.ActionNew, incident, "AE 202", true, "ce DI est-il le bon"},
		{"203", "MSA|AE|G1\rERR||MSH^1^12|203|E", greffe.ActionNew, incident, "AE 203", true, "version de HL7"},
		{"204", "MSA|AE|G1\rERR|||204|E", greffe.ActionNew, incident, "AE 204", true, "inconnu"},
		{"205", "MSA|AE|G1\rERR|||205|E", greffe.ActionNew, incident, "AE 205", true, "déjà connu"},
		{"206", "MSA|AE|G1\rERR|||206|E", greffe.ActionNew, incident, "AE 206", true, "verrouillé"},
		{"unknown", "MSA|AE|G1\rERR|||299^Erreur maison|E", greffe.ActionNew, incident, "AE 299", true, "Erreur maison"},
		{"no code", "MSA|AE|G1\rERR||PID^1^5~PID^1^7||E", greffe.ActionNew, incident, "AE", true, "au champ PID-5, PID-7"},
		{"a field named in a strange way", "MSA|AE|G1\rERR||" + strings.Repeat("x", 900) + "|101|E", greffe.ActionNew, incident, "AE 101", true, "…"},

		// ERR-5.
		{"900", "MSA|AE|G1\rERR||TXA^1^13|207|E|900^x^applicationErrorCode", greffe.ActionReplace, refused, "AE 900", false, "version précédente"},
		{"901", "MSA|AE|G1\rERR|||207|E|901", greffe.ActionReplace, refused, "AE 901", false, "auteur"},
		{"902", "MSA|AE|G1\rERR||PID^1^3|207|E|902^x^applicationErrorCondition", greffe.ActionNew, refused, "AE 902", false, "inconnu"},
		{"903", "MSA|AE|G1\rERR|||207|E|903^x^messageErrorCondition", greffe.ActionNew, refused, "AE 903", false, "INS"},
		{"904", "MSA|AE|G1\rERR|||207|E|904", greffe.ActionNew, refused, "AE 904", false, "comparer les deux identités"},
		{"905", "MSA|AE|G1\rERR|||207|E|905", greffe.ActionNew, refused, "AE 905", false, "incomplets"},
		{"906", "MSA|AE|G1\rERR|||207|E|906^Dossier clos", greffe.ActionNew, refused, "AE 906", false, "« Dossier clos »"},
		{"a code to come", "MSA|AE|G1\rERR|||207|E|912^Service fermé", greffe.ActionNew, refused, "AE 912", false, "« Service fermé »"},
		{"a name as code", "MSA|AE|G1\rERR|||207|E|MAELLE^Dossier clos", greffe.ActionNew, refused, "AE 906", false, "« Dossier clos »"},
		{"a name as technical code", "MSA|AE|G1\rERR|||MAELLE|E", greffe.ActionNew, incident, "AE", true, "erreur technique"},
		{"207 and no more", "MSA|AE|G1\rERR|||207|E", greffe.ActionNew, refused, "AE 906", false, "Le DI refuse le document."},
		{"code without 207", "MSA|AE|G1\rERR|||101|E|904", greffe.ActionNew, refused, "AE 904", false, "identité"},
		{"warning before the error", "MSA|AE|G1\rERR|||0|W|906^Peu importe\rERR|||207|E|902", greffe.ActionNew, refused, "AE 902", false, "inconnu"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, err := hl7.ParseACK([]byte("MSH|^~\\&|DPI|CH|GREFFE|CH|20260314||ACK^T02^ACK|7|T|2.6\r" + c.segments + "\r"))
			if err != nil {
				t.Fatal(err)
			}
			r := readACK(a, Delivery{Action: c.action})
			if r.State != c.state || r.Code != c.code || r.Stops != c.stops || r.Silent || !strings.Contains(r.Text, c.text) {
				t.Errorf("%q %q stops %v: %s", r.State, r.Code, r.Stops, r.Text)
			}
			if len([]rune(r.Text)) > 800 {
				t.Errorf("a text of %d characters", len([]rune(r.Text)))
			}
		})
	}
}
