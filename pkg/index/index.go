// Package index is the projection of the archive that queues and searches read:
// messages, documents, outcomes, people who log in and the audit journal, in
// PostgreSQL or SQLite by the same SQL.
//
// Everything in it but the users, the decisions and the not yet sealed end of
// the journal can be rebuilt from the archive. Each fact is written in one
// transaction together with its journal entry, the state of its message and the
// counts by state; repeating a fact changes nothing. The archive is written
// before the index, so a crash leaves objects that the index does not know yet,
// never the reverse.
//
// Rows keep the facts whole as JSON, beside the few columns that queries need.
// No query uses OFFSET; pages go on from the last row seen.
//
// Dependencies: modernc.org/sqlite is SQLite without cgo, which keeps the binary
// static; pgx is the PostgreSQL driver that is maintained; goose runs the
// migrations; x/text decomposes accents for the search columns.
package index

import (
	"errors"
	"time"

	"greffe/pkg/greffe"
)

// ErrNotFound is returned for something the index does not hold.
var ErrNotFound = errors.New("index: not found")

// Document is one document as it came in one message.
type Document struct {
	ID          greffe.DocumentID
	Message     greffe.MessageID
	Origin      greffe.Origin
	Queue       greffe.Origin // of its message
	Facts       greffe.Document
	Identity    string
	Lineage     string
	Object      greffe.Object // archived bytes of Facts.Part
	BodyObject  greffe.Object // archived bytes of Facts.Body; zero when there is none
	State       greffe.State
	Reason      string // French: why it is in this state
	DuplicateOf greffe.DocumentID
	Outcome     greffe.Outcome  // the one that gave the state, of the DI where it is gravest; zero when none
	Chosen      *greffe.Patient // whom a person said that it is about; nil: nobody said so
	ReceivedAt  time.Time
	ArchivedAt  time.Time
	DecidedAt   time.Time // of Outcome; zero when none
}

// Message is one row of the queue.
type Message struct {
	ID         greffe.MessageID
	Origin     greffe.Origin
	Kind       greffe.MessageKind // empty until parsed
	Subject    string
	From       string // display: name, else address
	MessageID  string // Message-ID header
	Size       int64
	State      greffe.State
	Verdict    greffe.Verdict
	ReceivedAt time.Time // when Greffe took it
	ArchivedAt time.Time // zero: not yet
	// Queue is the mailbox and folder in whose queue it stands: those of Origin unless a
	// person passed it to another service.
	Queue     greffe.Origin
	Cause     greffe.Cause // why it waits for a person; empty when it does not
	Sender    string       // opaque key of the sender's address
	Assignee  string       // login of the person it was passed to; empty: anybody's
	Later     time.Time    // put off until then; zero: not
	Documents []Document
	Answers   []greffe.Answer // to its sender, oldest first; of a page of the queue and of one message only
}

// Detail is all the index knows about a message.
type Detail struct {
	Message
	Received   greffe.Received
	Parsed     *greffe.Parsed // nil until archived
	Raw        greffe.Object
	Manifest   greffe.Object
	Objects    map[string]greffe.Object // by part path
	Deliveries []Delivery               // of its documents, in the order of their ids and DIs
	Outcomes   []Attempt                // oldest first
	Decisions  []greffe.Decided         // oldest first
	Triages    []greffe.Triaged         // decisions about the message as a whole, oldest first
	History    []Entry                  // journal entries about the message and its documents, oldest first
	Facts      map[int64]string         // of Audit alone: what entries are about (JSON of greffe.Matter), by their numbers
}

// Attempt is one outcome of one document.
type Attempt struct {
	Document greffe.DocumentID
	Outcome  greffe.Outcome
}

// MessageFilter says which messages; zero fields do not filter.
type MessageFilter struct {
	States   []greffe.State
	Places   []string // in whose queue the message stands, also what a person may see; see Everywhere
	Cause    greffe.Cause
	Type     string    // code of the type of the first document, see DB.Types
	Sender   string    // key of the sender, see SenderKey
	Assignee string    // login
	Due      time.Time // only what is not put off beyond it
	Later    time.Time // only what is put off beyond it
	Text     string    // words of subject, sender, patient name or document title, accents ignored
	FollowUp bool      // a person has to look after an answer to the sender
	From, To time.Time
	Before   string // cursor: what comes after it, as Messages returns
	After    string // cursor: the page that ends before it; not with Before
	Limit    int    // 0 means 50, at most 200
}

// DocumentFilter searches documents; zero fields do not filter.
type DocumentFilter struct {
	INS       string    // matricule, blanks ignored; the key may be missing (13 characters)
	Name      string    // beginning of birth or used family name, then of a given name; accents, case and hyphens ignored; at least 2 letters
	BirthDate string    // YYYYMMDD
	From, To  time.Time // received; From included, To excluded
	Places    []string  // where the document was taken from or passed to, else as of MessageFilter
	Sender    string    // beginnings of words of the sender's name or address
	Type      string    // code of its type, see DB.Types
	Format    greffe.Format
	State     greffe.State
	MessageID string // Message-ID of its mail, with or without <>
	Before    string // cursors, as of MessageFilter
	After     string
	Limit     int // 0 means 50, at most 200

	// The day that the document itself gives, whatever its zone, as midnight UTC; and the
	// time of archiving. To is excluded.
	DatedFrom, DatedTo, ArchivedFrom, ArchivedTo time.Time
}

// Entry is one line of the journal.
type Entry = greffe.Entry

// User is a person who may log in.
type User struct {
	Login    string
	Name     string
	Role     string   // secretary | professional | auditor | admin
	RPPS     string   // 11 digits, of a professional; "" when not known
	Places   []string // what the person may see, as of Everywhere; empty: nothing
	Hash     string   // argon2id, PHC string; "" for a person who logs in by OpenID Connect alone
	Renew    bool     // the password must be changed before anything else
	Disabled bool

	// Second factor (RFC 6238). The secret is not encrypted in the index: its file is
	// readable by its owner alone, and a database by who may read the table.
	TOTP     string   // secret, base32; "" when there is none
	TOTPStep int64    // of the last code that was accepted: none is accepted twice
	Recovery []string // SHA-256 of each recovery code that was not used yet

	// OpenID Connect: who the person is for the provider (iss and sub); "" for a local
	// account. No two accounts have the same.
	Issuer, Subject string
}
