package greffe

import (
	"regexp"
	"strings"
)

// reasons names in French why a document did not go its way, by the code of its outcome: a
// rule of the integrator, an application code of HL7 table 0533 (domain §8.1), what a
// person decided. A cause sums several of them up (causes).
var reasons = map[string]string{
	// The document itself.
	"unsafe": "Pièce suspecte", "verdict": "Contrôle du document", "masked": "Document masqué", "hprim": "Résultat HPRIM en texte",
	"pdf": "PDF sans identité de patient", "no-pdf": "PDF que le DI ne reçoit pas", "other-format": "Pièce sans identité de patient",
	"no-number": "Document sans numéro", "no-type": "Type de document qu’aucun DI ne prend",
	// Its patient (domain §6.4).
	"two-patients": "Deux patients dans le document", "message-patients": "Plusieurs patients dans le message",
	"chosen-other": "Patient choisi autre que celui du document", "chosen-incomplete": "Patient choisi sans INS ou sans ses traits", "chosen-wrong": "Patient choisi à l’INS irrégulière",
	"name-only": "Aucun identifiant de patient", "ins-absent": "INS absente du document", "ins-wrong": "INS irrégulière", "traits-missing": "Traits d’identité absents du document",
	"patient-unknown": "Patient inconnu du DI", "patient-closed": "Dossier du patient fermé dans le DI", "patient-several": "Plusieurs dossiers pour cette INS dans le DI",
	"trait-differs": "Traits différents de ceux du DI", "not-qualified": "Identité non qualifiée dans le DI", "not-exact": "Identité proche, à confirmer",
	// Its versions (domain §4.4).
	"same-number": "Numéro déjà pris par un autre contenu", "same-number-again": "Numéro déjà pris par un autre contenu",
	"other-patient": "Lié à un document d’un autre patient", "circle": "Remplacements croisés", "replace-blocked": "Version précédente à traiter d’abord",
	"unknown-action": "Action non reconnue", "fhir.deletion": "Suppression à faire à la main", "hl7.events": "Remplacement ou suppression à faire à la main",
	"duplicate": "Déjà reçu", "withdrawn": "Supprimé par son auteur", "obsolete": "Version dépassée",
	// What the DI answered.
	"900": "Version précédente inconnue du DI", "901": "Auteur non admis à remplacer", "902": "Patient inconnu du DI", "903": "INS absente, demandée par le DI",
	"904": "Identité différente de celle du DI", "905": "Traits d’identité incomplets pour le DI", "906": "Refus du DI sans motif codé", "413": "Document trop volumineux pour le DI",
	"AE": "Refus technique du DI, sans explication",
	// Ourselves, and persons.
	"archive": "Document illisible dans l’archive", "unwritable": "Message au DI impossible à écrire", "greffe": "Erreur de Greffe", "reindex": "Sort incertain depuis la reconstruction de l’index",
	CodeReopened: "Repris par une personne", CodeRefusal: "Refusé par une personne", CodeDecision: "Classé par une personne",
}

// technicalCode is what a DI says of our message itself: HL7 table 0357, whose codes are
// below 300. What it says of the document comes from a table that may grow.
var technicalCode = regexp.MustCompile(`^[12][0-9]{2}$`)

var statusCode = regexp.MustCompile(`^[1-5][0-9]{2}$`) // of HTTP

// Reason names in French, in a few words, why an outcome with this code was not a
// delivery: "AE 902", "422 904", "pdf". A code that has no words of its own is shown as
// it is: it is an opaque one (see Outcome.Code), never what somebody wrote.
func Reason(code string) string {
	if text, ok := reasons[code]; ok {
		return text
	}
	first, last, two := strings.Cut(code, " ")
	if text, ok := reasons[last]; ok && two {
		return text
	}
	switch {
	case code == "":
		return "Sans code"
	case first == "AE" && technicalCode.MatchString(last):
		return "Erreur technique du DI (" + code + ")"
	case first == "AE":
		return "Refus du DI (" + code + ")"
	case code == "409", code == "412", code == "422": // its rules (FHIR R4 §3.1.0.1.9)
		return "Refus du DI (réponse " + code + ")"
	case statusCode.MatchString(first):
		return "Erreur technique du DI (réponse " + first + ")"
	}
	return "Autre motif (" + code + ")"
}
