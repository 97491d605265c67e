package integrator

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"io"
	"time"

	"greffe/pkg/fhir"
	"greffe/pkg/greffe"
	"greffe/pkg/hl7"
)

// Delivery is one thing to do at one DI about one document.
type Delivery struct {
	ID     greffe.DocumentID
	Facts  greffe.Document
	Action greffe.Action // new, replace or delete: decided, not only asked for
	// Parent is the document that is replaced; ParentReference is what the DI
	// called it when it took it, if it said.
	Parent          greffe.OID
	ParentReference string
	// PatientReference is the address of the patient at a DI that was asked for them
	// (Finder); empty: the DI finds the patient by INS.
	PatientReference string
	Reference        string // what the DI calls this document, when it is to be deleted and it said so
	Control          string // MSH-10: the same for each repeat
	UUID             string // FHIR identifier: the same for each repeat
	Mail             greffe.Message
	Mailbox          string
	Service          hl7.Service
	// VisibilityChanged says that the replacement is masked otherwise than its parent.
	VisibilityChanged bool
	At                time.Time
	Size              int64
	// Open reads the archived bytes; the reader fails at its end when they are not
	// those that were archived. It may be called more than once.
	Open func() (io.ReadCloser, error)
}

// Result is what came of one Send.
type Result struct {
	greffe.Outcome
	// Silent says that the DI gave no answer at all, or that what stands before it
	// answered that it is away: nothing is wrong with this document, and every other one
	// would have had the same.
	Silent bool
	// Stops says that the DI found our message wrong (HL7 ERR-3, domain §8.1): each that
	// follows would be as wrong, so that the queue of the DI stops until a person resumes it.
	Stops bool
}

// Sender gives documents to a DI by one protocol.
//
// Duties of both implementations, held by one suite of tests:
//   - Send returns what the DI said as a Result: StateDelivered only when the DI
//     says that it has the document, StateRefused when it will not have it as it
//     is, StateIncident when it says that our message is wrong, StateWaiting for
//     everything that may pass, an answer that did not come included;
//   - a DI that says when to come back is obeyed by Outcome.After, at most an hour;
//   - an error means that the bytes could not be read or that ctx ended, never
//     that the DI was in the way: nothing of the document counts as delivered then;
//   - a repeat with the same Control and UUID is recognisable to the DI;
//   - the document is streamed, and never completed when its bytes are not those
//     that were archived;
//   - methods may be called at once.
type Sender interface {
	Send(ctx context.Context, d Delivery) (Result, error)
	Ping(ctx context.Context) error
	Close()
}

// Finder is a Sender whose DI can be asked who a patient is, before anything is sent.
type Finder interface {
	// FindPatients returns those whom the DI knows by this INS, with the traits it
	// has of them; none when it knows nobody. An error is a DI that does not answer,
	// or refuses to (*fhir.Error): nothing is known then.
	FindPatients(ctx context.Context, ins greffe.OID) ([]fhir.Candidate, error)
}

var alphabet = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// identifiers derive what names a delivery to a DI. attempt is empty but for a
// delivery that follows a definite refusal: a DI that remembers its answers by
// MSH-10 would give the old one again.
func identifiers(di, identity, attempt string) (control, uuid string) {
	name := di + "\x00" + identity
	h := sha256.Sum256([]byte("uuid\x00" + name))
	uuid = fhir.UUID([16]byte(h[:16]))
	if attempt != "" {
		name += "\x00" + attempt
	}
	h = sha256.Sum256([]byte("control\x00" + name))
	return "G" + alphabet.EncodeToString(h[:12])[:19], uuid // 95 bits in the 20 characters of MSH-10
}

// Texts for the queue.
const (
	textUnreachable = "Le DI ne répond pas : nouvel essai automatique."
	textLater       = "Le DI demande de revenir plus tard : nouvel essai automatique."
	textDelivered   = "Le DI a accepté le document."
	textReplaced    = "Le DI a accepté le document à la place de la version précédente."
	textDeleted     = "Le DI a accepté la suppression du document."
)

// refusals are the sentences for the application codes of HL7 table 0533
// (volet, ERR-5). Each of them needs a person.
var refusals = map[string]string{
	"900": "Le DI n'a pas la version précédente attendue : vérifier quelle version du document il détient.",
	"901": "Le DI n'autorise pas cet auteur à remplacer ou supprimer le document.",
	"902": "Le patient est inconnu du DI : vérifier son identité avec la cellule d'identitovigilance, puis renvoyer le document.",
	"903": "Le document ne porte pas l'INS du patient : le DI ne le rattache pas.",
	"904": "L'INS ou les traits d'identité du document diffèrent de ceux du DI : comparer les deux identités avant toute chose.",
	"905": "Les traits d'identité du document sont incomplets : l'émetteur doit le corriger.",
	"906": "Le DI refuse le document.",
}

// refusal returns the sentence for an application code; an unknown one is
// treated as 906, since the table may grow.
func refusal(code, said string) string {
	text, ok := refusals[code]
	if !ok || code == "906" {
		text = refusals["906"]
		if said != "" {
			text = "Le DI refuse le document : « " + short(said) + " »."
		}
	}
	return text
}

// short bounds what a DI said before it is kept and shown.
func short(s string) string {
	if r := []rune(s); len(r) > 200 {
		return string(r[:200]) + "…"
	}
	return s
}

// delivered is the outcome of a success; warning is added to its text.
func delivered(d Delivery, warning string) greffe.Outcome {
	text := textDelivered
	switch d.Action {
	case greffe.ActionReplace:
		text = textReplaced
	case greffe.ActionDelete:
		text = textDeleted
	}
	if warning != "" {
		text += " Il signale : « " + short(warning) + " »."
	}
	return greffe.Outcome{State: greffe.StateDelivered, Text: text}
}

// ours reports whether err is not the DI's: the context ended, or the bytes could
// not be read.
func ours(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, errContent)
}

// errContent marks an error of reading the archived bytes.
var errContent = errors.New("read archived document")
