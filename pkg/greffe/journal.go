package greffe

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Entry is one line of the journal: who did what to what, when, from where, with
// what result. It holds opaque ids only: no names, INS or subjects.
type Entry struct {
	Seq     int64     // from 1, without a gap
	At      time.Time // UTC, to the millisecond
	Actor   string    // login, or the name of the service
	Action  string    // received archived delivered decided read searched downloaded login …
	Subject string    // message or document id, or login
	From    string    // network address for people, host name for services
	Result  string    // ok, refused, or a state
	Detail  string    // opaque detail, for example a rule id or an outcome code; see FactDigest

	// Prev and Hash chain the entries: see Digest.
	Prev Digest
	Hash Digest
}

// Fact is what an entry is about when the journal may not hold it: JSON, kept beside
// the segments of the journal. Detail of the entry names its SHA-256: see WithFact.
type Fact struct {
	Seq  int64
	Text []byte
}

// Matter is what the text of a fact says: what Greffe learnt or was told that no other
// object of the archive holds. An index is rebuilt from manifests and these.
type Matter struct {
	Received    *Received  `json:"received,omitempty"` // entry "received", with Raw
	Raw         *Object    `json:"raw,omitempty"`      // absent when the message was refused unread
	Outcome     *Outcome   `json:"outcome,omitempty"`  // entry "delivered" of the document that it is about
	DuplicateOf DocumentID `json:"duplicate_of,omitempty"`
	Decision    *Decided   `json:"decision,omitempty"` // entry "decided" about a document
	Triage      *Triaged   `json:"triage,omitempty"`   // entry "decided" about a message
	Answer      *Answer    `json:"answer,omitempty"`   // entry "notified"
	Reason      string     `json:"reason,omitempty"`   // entries "held" and "released": what a person wrote; "di-down": what is wrong
	// Entry "elimination-asked": the messages that it is about.
	Messages []MessageID `json:"messages,omitempty"`
	// Entry "stated": the statement, and when the folders of its mailbox were compared.
	Statement *Statement `json:"statement,omitempty"`
	Compared  []Compare  `json:"compared,omitempty"`
}

// Compare is when a folder was compared with its server, first and last.
type Compare struct {
	Folder string    `json:"folder"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

// FirstPrev is Prev of the first entry of a journal.
var FirstPrev = Digest(strings.Repeat("0", 2*sha256.Size))

// ErrChain is returned for entries that do not follow one another.
var ErrChain = errors.New("the journal does not hold together")

// Digest returns the Hash that e must have, from its Prev and its other fields. It
// is the SHA-256 of these bytes, in this order:
//
//   - the line "greffe-journal/1" and a line feed;
//   - nine fields as netstrings (length in decimal, colon, bytes, comma): Prev in
//     64 hexadecimal digits, Seq in decimal, At in milliseconds since 1970 UTC in
//     decimal, then Actor, Action, Subject, From, Result and Detail in UTF-8.
//
// Prev of the first entry (Seq 1) is 64 zeros, of any other the Hash of the one
// before; Seq grows by one.
func (e *Entry) Digest() Digest {
	h := sha256.New()
	io.WriteString(h, "greffe-journal/1\n")
	for _, s := range []string{
		string(e.Prev), strconv.FormatInt(e.Seq, 10), strconv.FormatInt(e.At.UnixMilli(), 10),
		e.Actor, e.Action, e.Subject, e.From, e.Result, e.Detail,
	} {
		fmt.Fprintf(h, "%d:%s,", len(s), s)
	}
	return DigestFrom(h.Sum(nil))
}

// CheckChain checks that the entries follow the entry numbered seq whose Hash is
// prev (0 and FirstPrev: they are the first), without a gap and each with its own
// Hash. It returns ErrChain with the number of the first entry that does not.
func CheckChain(seq int64, prev Digest, entries []Entry) error {
	for i := range entries {
		e := &entries[i]
		switch {
		case e.Seq != seq+1:
			return fmt.Errorf("%w: entry %d is missing", ErrChain, seq+1)
		case e.Prev != prev:
			return fmt.Errorf("%w: entry %d does not follow the one before", ErrChain, e.Seq)
		case e.Digest() != e.Hash:
			return fmt.Errorf("%w: entry %d was changed", ErrChain, e.Seq)
		}
		seq, prev = e.Seq, e.Hash
	}
	return nil
}

// factMark begins the last word of Detail of an entry that has a fact.
const factMark = "fact:"

// WithFact returns detail with the digest of the fact that the entry is about: the
// bytes that the journal itself may not hold, kept beside its segments. detail is
// shortened so that the digest always fits.
func WithFact(detail string, d Digest) string {
	const most = 256 - 1 - len(factMark) - 2*sha256.Size
	if detail = strings.ToValidUTF8(detail, ""); len(detail) > most {
		detail = strings.ToValidUTF8(detail[:most], "")
	}
	return strings.TrimLeft(detail+" "+factMark+string(d), " ")
}

// FactDigest returns the SHA-256 of the fact of the entry and Detail without it;
// the digest is empty when the entry has no fact.
func (e *Entry) FactDigest() (d Digest, detail string) {
	i := strings.LastIndexByte(e.Detail, ' ')
	word, ok := strings.CutPrefix(e.Detail[i+1:], factMark)
	if d = Digest(word); !ok || !d.Valid() {
		return "", e.Detail
	}
	return d, e.Detail[:max(i, 0)]
}
