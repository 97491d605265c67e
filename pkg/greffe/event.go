package greffe

import "time"

// Object names bytes in the archive for ever.
type Object struct {
	Key     string `json:"key"`
	Version string `json:"version,omitempty"` // S3 version id; empty in a directory
	SHA256  Digest `json:"sha256"`
	Size    int64  `json:"size"`
}

// IsZero reports whether o names nothing.
func (o Object) IsZero() bool { return o.Key == "" }

// Received says that the raw bytes of a message wait in the spool. The fetcher
// publishes it; storage keeps the bytes, the parser reads them.
type Received struct {
	ID     MessageID `json:"id"`
	Origin Origin    `json:"origin"`
	Size   int64     `json:"size"`             // bytes, as read; as announced when Refused
	SHA256 Digest    `json:"sha256,omitempty"` // of the raw bytes; empty when Refused
	Spool  string    `json:"spool,omitempty"`  // name in the spool; empty when Refused
	// Refused is set for a message whose bytes were not taken (over the size cap,
	// or a message that keeps breaking the connection). It is shown and stays in
	// its mailbox.
	Refused *Finding  `json:"refused,omitempty"`
	At      time.Time `json:"at"` // when the fetcher took it, UTC
}

// Listed says what a comparison of one folder with its server saw there. The fetcher
// publishes it before it takes anything of it; storage keeps it, so that what was seen
// can be counted against what is archived.
type Listed struct {
	Mailbox     string    `json:"mailbox"`
	Folder      string    `json:"folder"`
	UIDValidity uint32    `json:"uidvalidity"`
	Messages    []Sight   `json:"messages,omitempty"` // not known to be archived, and not listed before by this process
	Complete    bool      `json:"complete,omitempty"` // with this one all that the folder held at At was listed
	At          time.Time `json:"at"`                 // when the server was asked, UTC
}

// Sight is a message as a server lists it.
type Sight struct {
	UID          uint32    `json:"uid"`
	InternalDate time.Time `json:"internal_date,omitzero"` // UTC; zero when the server does not say
}

// Parsed is all that was read in a message.
type Parsed struct {
	Received  Received   `json:"received"`
	Message   Message    `json:"message"`
	Parts     []Part     `json:"parts"`
	Documents []Document `json:"documents,omitempty"`
	Findings  []Finding  `json:"findings,omitempty"` // about the message as a whole
	Verdict   Verdict    `json:"verdict"`
	At        time.Time  `json:"at"`
	Parser    string     `json:"parser"` // version of the program that read it
	// Antivirus is what scanned every part that has a digest; nil when nothing did.
	Antivirus *Antivirus `json:"antivirus,omitempty"`
}

// Antivirus is what scanned a message for malware.
type Antivirus struct {
	Engine   string    `json:"engine"`             // "ClamAV 1.4.6"
	Base     string    `json:"base,omitempty"`     // version of its signature base; empty when it names none
	BaseDate time.Time `json:"base_date,omitzero"` // of that base
}

// Archived says that a message, its parts and its manifest are in the archive
// and in the index: the mailbox may now be touched, the documents may be delivered.
type Archived struct {
	ID        MessageID    `json:"id"`
	Origin    Origin       `json:"origin"`
	Manifest  Object       `json:"manifest"`
	Documents []DocumentID `json:"documents,omitempty"`
	State     State        `json:"state"` // of the message
	// Spool is the name of the spooled copy that nobody needs any more.
	Spool string    `json:"spool,omitempty"`
	At    time.Time `json:"at"`
}

// Outcome is what became of one attempt to deliver one document.
type Outcome struct {
	DI        string    `json:"di,omitempty"`        // name in the configuration; empty when nothing was sent
	Action    string    `json:"action,omitempty"`    // T02, T10, T04, POST, PATCH
	Control   string    `json:"control,omitempty"`   // MSH-10 or FHIR identifier: the same for each repeat
	State     State     `json:"state"`               // what the document becomes
	Code      string    `json:"code,omitempty"`      // MSA-1 or HTTP status, and application code: "AE 902"
	Text      string    `json:"text,omitempty"`      // French, for the queue
	Reference string    `json:"reference,omitempty"` // what the DI calls it, when it says so
	At        time.Time `json:"at"`

	// After is how long the DI asked to be left alone before the next try, bounded by
	// whoever read it; 0: it did not say. It is for the moment only and not recorded.
	After time.Duration `json:"-"`

	// Next is when a machine tries again by itself; zero when none does.
	Next time.Time `json:"next,omitzero"`
	// Candidates are the patients that the DI named when it was asked for the one of the
	// document (domain §6.4), for the person who has to choose; at most 10.
	Candidates []Candidate `json:"candidates,omitempty"`
}

// Candidate is a patient as a DI knows them.
type Candidate struct {
	Patient Patient `json:"patient"`          // what the DI did not say is empty
	Status  string  `json:"status,omitempty"` // of the identity: PROV, RECUP, VALI, QUAL (domain §6.3); empty: not said
	Closed  bool    `json:"closed,omitempty"` // merged into another one, or closed: nothing may go there
}

// Delivered says what became of one document: sent and accepted, refused,
// waiting for a person, a duplicate. It is published each time that changes.
type Delivered struct {
	Document DocumentID `json:"document"`
	Origin   Origin     `json:"origin"`
	Outcome  Outcome    `json:"outcome"`
	// Message is the state of the whole message after this outcome.
	Message State `json:"message"`
}

// Verb is what a person decides about a document.
type Verb string

// Verbs of a decision.
const (
	VerbRetry   Verb = "retry"   // send to the DI again
	VerbDismiss Verb = "dismiss" // needs nothing, with a reason
	VerbAttach  Verb = "attach"  // is about the patient of the decision: send it for that one
	VerbRefuse  Verb = "refuse"  // not for us, with a reason: the sender is told
	VerbCopy    Verb = "copy"    // the same as another document, which the DI has
	VerbReopen  Verb = "reopen"  // takes back VerbDismiss or VerbClose
)

// Verbs of a decision about a message as a whole.
const (
	VerbClose   Verb = "close"   // a message that is ToRead was read and needs nothing
	VerbLater   Verb = "later"   // comes back on a day
	VerbPass    Verb = "pass"    // is for a colleague
	VerbMove    Verb = "move"    // is for another service
	VerbHold    Verb = "hold"    // legal hold
	VerbRelease Verb = "release" // of a legal hold
)

// Decided is a person's decision about one document.
type Decided struct {
	ID       string     `json:"id"` // random; the decision is applied once
	Document DocumentID `json:"document"`
	Verb     Verb       `json:"verb"`
	Reason   string     `json:"reason,omitempty"`
	Of       DocumentID `json:"of,omitempty"` // VerbCopy: the document that the DI has
	By       string     `json:"by"`           // login
	At       time.Time  `json:"at"`
	// DI is the one that the decision is about; empty: each that waits for a person.
	DI string `json:"di,omitempty"`
	// Patient is whom the person chose, with VerbAttach: typed, or one of the
	// candidates that the DI named. It goes before the one that the document names.
	Patient *Patient `json:"patient,omitempty"`
	// Remember asks that the next versions of this document that name the same patient
	// as it does go to the chosen one, too, without asking again.
	Remember bool `json:"remember,omitempty"`
	// Compared is what the person saw when she chose: the patient of the document beside
	// the chosen one, trait by trait.
	Compared []Compared `json:"compared,omitempty"`
}

// Compared is one line of a comparison of two patients, as it was on the screen. The
// words are those of package ins.
type Compared struct {
	Trait    string `json:"trait"`
	Document string `json:"document,omitempty"` // as the document says it
	Chosen   string `json:"chosen,omitempty"`   // as the chosen patient has it
	Is       string `json:"is"`                 // same, compatible, differs, absent
}

// Triaged is a person's decision about one message as a whole. The storage worker
// carries it out.
type Triaged struct {
	ID      string    `json:"id"` // random; the decision is applied once
	Message MessageID `json:"message"`
	Verb    Verb      `json:"verb"`
	Reason  string    `json:"reason,omitempty"`
	Until   time.Time `json:"until,omitzero"` // VerbLater: when it comes back; zero takes an earlier one back
	To      string    `json:"to,omitempty"`   // VerbPass: login, "" takes it back; VerbMove: mailbox
	By      string    `json:"by"`             // login
	At      time.Time `json:"at"`
}

// Closed reports whether the last word of people about a message that is ToRead is that it
// needs nothing; list is all that they decided about it, oldest first.
func Closed(list []Triaged) bool {
	closed := false
	for _, d := range list {
		switch d.Verb {
		case VerbClose:
			closed = true
		case VerbReopen:
			closed = false
		}
	}
	return closed
}

// Placed says that a Triaged was carried out: the index shows it.
type Placed struct {
	ID      string    `json:"id"` // of the Triaged
	Message MessageID `json:"message"`
}

// Wanted says that the index holds a request that storage answers: to build a proof pack
// or to verify a message. Losing one delays the request, no more.
type Wanted struct {
	ID string `json:"id"` // of this event
}

// Settled says that what is configured for a message was done to it in its mailbox. The
// fetcher publishes it, once more when it does it again; storage notes it in the journal
// once.
type Settled struct {
	Message MessageID    `json:"message"`
	State   State        `json:"state"`  // of the message, which asked for it
	Mark    SettledMark  `json:"mark"`   // what is configured for that state
	Result  SettleResult `json:"result"` // done, or too late
	At      time.Time    `json:"at"`     // of the fact that asked for it
}

// SettledMark is a setting of a mailbox that was applied.
type SettledMark string

// Settings of a mailbox, in the order in which they can be applied.
const (
	SettledArchived  SettledMark = "on_archived"
	SettledDelivered SettledMark = "on_delivered"
	SettledFailed    SettledMark = "on_failed"
)

// SettleResult is what came of it.
type SettleResult string

// Results of settling.
const (
	SettleDone SettleResult = "ok"   // the message bears the mark, or was moved
	SettleGone SettleResult = "gone" // it is not where it was any more, nor can it be found
)

// Confirmed is a person's word about an answer that waits for one: the receipt that was
// asked for may go, although to another address than the one of return; or, with Drop,
// nothing has to be sent (any more): it may not go, or she told the sender otherwise.
type Confirmed struct {
	ID      string    `json:"id"` // random
	Message MessageID `json:"message"`
	Drop    bool      `json:"drop,omitempty"`
	By      string    `json:"by"` // login
	At      time.Time `json:"at"`
}
