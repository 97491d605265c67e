package greffe

import "strings"

// Cause says in one word why a message or document waits for a person: what the queue
// is sorted by. The sentence is Outcome.Text.
type Cause string

// Causes, in the order in which the queue shows them.
const (
	CauseSuspect   Cause = "suspect"    // the antivirus did not call it clean
	CauseIdentity  Cause = "identity"   // INS or traits differ from those of the DI, or of another document
	CauseUnknown   Cause = "unknown"    // the DI does not know the patient
	CauseNoINS     Cause = "no-ins"     // no INS, or traits missing
	CauseNoPatient Cause = "no-patient" // nothing says whose it is: a plain PDF, a picture, a text
	CauseMasked    Cause = "masked"     // hidden from professionals (MASQUE_PS)
	CauseVersion   Cause = "version"    // does not fit the other versions of it
	CauseControl   Cause = "control"    // what is wrong with the file
	CauseRefused   Cause = "refused"    // the DI will not have it, for another reason
	CauseReply     Cause = "reply"      // a person answers a report
	CauseToRead    Cause = "to-read"    // a message without a document
	CauseReopened  Cause = "reopened"   // a person took it up again
	CauseOther     Cause = "other"
)

// Causes lists every cause in the order of the queue.
var Causes = []Cause{
	CauseSuspect, CauseIdentity, CauseUnknown, CauseNoINS, CauseNoPatient, CauseMasked, CauseVersion,
	CauseControl, CauseRefused, CauseReply, CauseToRead, CauseReopened, CauseOther,
}

// French names the cause as the queue does.
func (c Cause) French() string {
	switch c {
	case CauseSuspect:
		return "Pièce suspecte"
	case CauseIdentity:
		return "Identité différente"
	case CauseUnknown:
		return "Patient inconnu"
	case CauseNoINS:
		return "Pas d’INS"
	case CauseNoPatient:
		return "Sans patient"
	case CauseMasked:
		return "Masqué"
	case CauseVersion:
		return "Versions à comparer"
	case CauseControl:
		return "Contrôle à revoir"
	case CauseRefused:
		return "Document refusé"
	case CauseReply:
		return "Réponse à un CR"
	case CauseToRead:
		return "Message à lire"
	case CauseReopened:
		return "Repris"
	}
	return "Autre"
}

// causes gives the cause of each code of an outcome: the rules of the integrator and
// the application codes of domain §8.1.
var causes = map[string]Cause{
	"unsafe": CauseSuspect, "other-patient": CauseIdentity, "904": CauseIdentity, "902": CauseUnknown,
	"two-patients": CauseIdentity, "chosen-other": CauseIdentity, "chosen-wrong": CauseIdentity, "chosen-incomplete": CauseIdentity, "message-patients": CauseIdentity,
	"patient-closed": CauseIdentity, "patient-several": CauseIdentity, "trait-differs": CauseIdentity, "not-qualified": CauseIdentity,
	"not-exact": CauseIdentity, "patient-unknown": CauseUnknown,
	"name-only": CauseNoINS, "ins-absent": CauseNoINS, "ins-wrong": CauseNoINS, "traits-missing": CauseNoINS, "no-pdf": CauseNoPatient,
	"903": CauseNoINS, "905": CauseNoINS,
	"pdf": CauseNoPatient, "hprim": CauseNoPatient, "other-format": CauseNoPatient,
	"masked": CauseMasked, "verdict": CauseControl, "no-number": CauseControl,
	"same-number": CauseVersion, "same-number-again": CauseVersion, "circle": CauseVersion, "replace-blocked": CauseVersion,
	"unknown-action": CauseVersion, "900": CauseVersion, CodeReopened: CauseReopened,
}

// Codes of the outcomes that a person's decision gives.
const (
	CodeDecision = "decision"     // put aside, or called a copy
	CodeRefusal  = "decision 906" // refused: the sender is told
	CodeReopened = "reopened"     // taken up again
)

// Refused reports whether the sender has to learn that the document was not taken: the
// DI refused it, or a person did.
func (o Outcome) Refused() bool { return o.State == StateRefused || o.Code == CodeRefusal }

// Waits reports whether a person has to look at something in state s.
func (s State) Waits() bool { return s == StateTodo || s == StateRefused || s == StateIncident }

// Cause returns why a document with this outcome waits for a person; "" when it does not.
func (o Outcome) Cause() Cause {
	if !o.State.Waits() {
		return ""
	}
	if c, ok := causes[o.Code]; ok {
		return c
	}
	if c, ok := causes[o.Code[strings.LastIndexByte(o.Code, ' ')+1:]]; ok {
		return c
	}
	if o.State == StateRefused {
		return CauseRefused
	}
	return CauseOther
}

// CauseOfMessage returns why a message of this kind waits for a person when none of its
// documents does (see ToRead).
func CauseOfMessage(kind MessageKind) Cause {
	switch kind {
	case KindReply:
		return CauseReply
	case KindUnread:
		return CauseControl
	}
	return CauseToRead
}
