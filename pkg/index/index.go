// Package index is the projection of the archive that queues and searches read:
// messages, documents, outcomes, people who log in and the audit journal, in
// PostgreSQL or SQLite by the same SQL.
package index

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"greffe/pkg/greffe"
)

var errTODO = errors.New("index: being built")

// ErrNotFound is returned for something the index does not hold.
var ErrNotFound = errors.New("index: not found")

// DB is the index. Its methods may be called at once.
type DB struct{}

// Open opens the index and brings its schema up to date. dsn is a PostgreSQL URL
// (postgres://…) or the path of a SQLite file.
func Open(ctx context.Context, dsn string, log *slog.Logger) (*DB, error) { return nil, errTODO }
func (db *DB) Close() error                                               { return errTODO }
func (db *DB) Ping(ctx context.Context) error                             { return errTODO }

// --- storage

// SaveReceived records that the raw message is in the archive (zero raw: refused
// unread), with a journal entry. Repeating it changes nothing.
func (db *DB) SaveReceived(ctx context.Context, r greffe.Received, raw greffe.Object) error {
	return errTODO
}

// SaveArchived records a message, its parts and documents and the journal
// entries in one transaction. Repeating it changes nothing and returns the same.
// Documents start in StateArchived (the integrator decides), the message as
// greffe.Summary says.
func (db *DB) SaveArchived(ctx context.Context, p greffe.Parsed, manifest, raw greffe.Object, objects map[string]greffe.Object) (greffe.Archived, error) {
	return greffe.Archived{}, errTODO
}

// --- integrator

// Document is one document as it came in one message.
type Document struct {
	ID          greffe.DocumentID
	Message     greffe.MessageID
	Origin      greffe.Origin
	Facts       greffe.Document
	Identity    string
	Lineage     string
	Object      greffe.Object // archived bytes of Facts.Part
	BodyObject  greffe.Object // archived bytes of Facts.Body; zero when there is none
	State       greffe.State
	Reason      string // French: why it is in this state
	DuplicateOf greffe.DocumentID
	Outcome     greffe.Outcome // the last one; zero when none
	ReceivedAt  time.Time
	ArchivedAt  time.Time
	DecidedAt   time.Time
}

// Document returns one document; ErrNotFound when there is none.
func (db *DB) Document(ctx context.Context, id greffe.DocumentID) (Document, error) {
	return Document{}, errTODO
}

// Claim makes id the occurrence that stands for identity, if none does yet, and
// returns the one that does: id itself, or the one that came first. Repeatable.
func (db *DB) Claim(ctx context.Context, identity string, id greffe.DocumentID) (greffe.DocumentID, error) {
	return "", errTODO
}

// SameLineage returns the documents of a lineage, oldest first (at most 1,000).
func (db *DB) SameLineage(ctx context.Context, lineage string) ([]Document, error) {
	return nil, errTODO
}

// WithUniqueID returns the documents whose CDA id is o, oldest first (at most 1,000).
func (db *DB) WithUniqueID(ctx context.Context, o greffe.OID) ([]Document, error) {
	return nil, errTODO
}

// SaveOutcome records what became of a document with its journal entry and
// returns the state of its message after it. duplicateOf is set for StateDuplicate.
// Recording the same outcome again (same state, code and control) changes nothing.
func (db *DB) SaveOutcome(ctx context.Context, id greffe.DocumentID, o greffe.Outcome, duplicateOf greffe.DocumentID) (greffe.State, error) {
	return "", errTODO
}

// SaveDecision records a person's decision once; false when it was recorded before.
func (db *DB) SaveDecision(ctx context.Context, d greffe.Decided) (bool, error) {
	return false, errTODO
}

// --- console

// Message is one row of the queue.
type Message struct {
	ID         greffe.MessageID
	Origin     greffe.Origin
	Kind       greffe.MessageKind
	Subject    string
	From       string // display: name, else address
	MessageID  string // Message-ID header
	Size       int64
	State      greffe.State
	Verdict    greffe.Verdict
	ReceivedAt time.Time // when Greffe took it
	ArchivedAt time.Time // zero: not yet
	Documents  []Document
}

// MessageFilter says which messages; zero fields do not filter.
type MessageFilter struct {
	States    []greffe.State
	Mailboxes []string // also the mailboxes a user may see
	Text      string   // words of subject, sender, patient name or document title, accents ignored
	From, To  time.Time
	Before    string // cursor of the next page, as returned
	Limit     int    // 0 means 50, at most 200
}

// Messages returns a page of the queue, newest first, and the cursor of the next one ("" at the end).
func (db *DB) Messages(ctx context.Context, f MessageFilter) ([]Message, string, error) {
	return nil, "", errTODO
}

// Counts returns how many messages are in each state, in these mailboxes (nil: all).
func (db *DB) Counts(ctx context.Context, mailboxes []string) (map[greffe.State]int, error) {
	return nil, errTODO
}

// Tally returns how many documents are in each state.
func (db *DB) Tally(ctx context.Context) (messages, documents map[greffe.State]int, err error) {
	return nil, nil, errTODO
}

// Detail is all the index knows about a message.
type Detail struct {
	Message
	Parsed   *greffe.Parsed // nil until archived
	Raw      greffe.Object
	Manifest greffe.Object
	Objects  map[string]greffe.Object // by part path
	Outcomes []Attempt                // oldest first
	History  []Entry                  // journal entries about the message and its documents, oldest first
}

// Attempt is one outcome of one document.
type Attempt struct {
	Document greffe.DocumentID
	Outcome  greffe.Outcome
}

// Message returns one message; ErrNotFound when there is none.
func (db *DB) Message(ctx context.Context, id greffe.MessageID) (Detail, error) {
	return Detail{}, errTODO
}

// DocumentFilter searches documents; zero fields do not filter.
type DocumentFilter struct {
	INS       string    // matricule, blanks ignored; the key may be missing (13 characters)
	Name      string    // beginning of birth or used family name, then of a given name; accents, case and hyphens ignored; at least 2 letters
	BirthDate string    // YYYYMMDD
	From, To  time.Time // received
	Mailboxes []string
	Before    string
	Limit     int
}

// Documents returns a page of documents, newest first, and the cursor of the next one.
func (db *DB) Documents(ctx context.Context, f DocumentFilter) ([]Document, string, error) {
	return nil, "", errTODO
}

// --- journal

// Entry is one line of the audit journal: who did what to what, when, from
// where, with what result. It holds opaque ids only: no names, INS or subjects.
type Entry struct {
	Seq     int64
	At      time.Time
	Actor   string // login, or the name of the service
	Action  string // received archived delivered decided read searched downloaded login …
	Subject string // message or document id, or login
	From    string // network address for people, host name for services
	Result  string // ok, refused, or a state
	Detail  string // opaque detail, for example a rule id or an outcome code
}

// Append writes an entry; Seq and At are given by the index.
func (db *DB) Append(ctx context.Context, e Entry) error { return errTODO }

// Journal returns entries from the newest, at most limit, before seq (0: from the newest).
func (db *DB) Journal(ctx context.Context, before int64, limit int) ([]Entry, error) {
	return nil, errTODO
}

// --- people

// User is a person who may log in.
type User struct {
	Login     string
	Name      string
	Role      string   // secretary | auditor | admin
	Mailboxes []string // that a secretary may see; empty: all
	Hash      string   // argon2id, PHC string
	Disabled  bool
}

func (db *DB) SaveUser(ctx context.Context, u User) error           { return errTODO }
func (db *DB) User(ctx context.Context, login string) (User, error) { return User{}, errTODO }
func (db *DB) Users(ctx context.Context) ([]User, error)            { return nil, errTODO }
func (db *DB) DeleteUser(ctx context.Context, login string) error   { return errTODO }

// Session store (scs.CtxStore).
func (db *DB) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	return nil, false, errTODO
}
func (db *DB) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	return errTODO
}
func (db *DB) DeleteCtx(ctx context.Context, token string) error     { return errTODO }
func (db *DB) Find(token string) ([]byte, bool, error)               { return nil, false, errTODO }
func (db *DB) Commit(token string, b []byte, expiry time.Time) error { return errTODO }
func (db *DB) Delete(token string) error                             { return errTODO }

// --- verify

// EachMessage calls f for every message in id order.
func (db *DB) EachMessage(ctx context.Context, f func(Detail) error) error { return errTODO }
