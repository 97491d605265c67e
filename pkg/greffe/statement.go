package greffe

import (
	"fmt"
	"time"
)

// Statement says of one mailbox and one day whether everything that the server listed
// is in the archive. A message belongs to the day of its INTERNALDATE (RFC 9051 §2.3.3)
// in the time zone of the hospital, or else to the day it was first seen.
//
// Seen = Archived + Unread + Missing, and the other counts are of what was seen:
// Seen = Delivered + Held + Pending + Settled + Missing.
type Statement struct {
	Mailbox string `json:"mailbox"`
	Day     string `json:"day"` // YYYY-MM-DD

	Seen      int `json:"seen"`      // listed by the server, or taken
	Listed    int `json:"listed"`    // of them, listed by the server before anything was taken
	Archived  int `json:"archived"`  // the original is in the archive
	Unread    int `json:"unread"`    // not downloaded, for a reason that the queue shows; still in the mailbox
	Delivered int `json:"delivered"` // the record system has it
	Held      int `json:"held"`      // waits for a person: à traiter, refusé par le DI, incident
	Pending   int `json:"pending"`   // on its way: reçu, archivé, en attente du DI
	Settled   int `json:"settled"`   // needs nothing: classé sans suite, doublon, eliminated after its retention, or erased
	Missing   int `json:"missing"`   // listed by the server and not in the archive

	MissingUIDs []MissingUID `json:"missing_uids,omitempty"` // at most MaxMissing

	// Complete is set when each folder of the mailbox was compared with its server after
	// the end of the day; Late names those that were not.
	Complete bool      `json:"complete"`
	Late     []string  `json:"late,omitempty"`
	Compared time.Time `json:"compared,omitzero"` // the earliest of the last comparisons of the folders; zero when one never was

	// Digest is the SHA-256 of what was seen and what stands for it: the first line
	// "greffe-statement/1 <day> <complete|incomplete>", then for each message, by folder,
	// UIDVALIDITY and UID, the line "<SHA-256 of the folder's name> <UIDVALIDITY> <UID>
	// <message id, or ->", each ended by a line feed.
	Digest Digest    `json:"digest"`
	At     time.Time `json:"at"`
}

// MissingUID is a message that was seen on the server and is not in the archive.
type MissingUID struct {
	Folder       string    `json:"folder"`
	UIDValidity  uint32    `json:"uidvalidity"`
	UID          uint32    `json:"uid"`
	InternalDate time.Time `json:"internal_date,omitzero"`
}

// MaxMissing bounds the list of a statement; Missing counts them all.
const MaxMissing = 1000

// OK reports whether nothing is missing and nothing remains to be compared.
func (s Statement) OK() bool { return s.Missing == 0 && s.Complete }

// Result is the result of the statement in the journal: ok, missing, or incomplete.
func (s Statement) Result() string {
	switch {
	case s.Missing > 0:
		return "missing"
	case !s.Complete:
		return "incomplete"
	}
	return "ok"
}

// Detail is the detail of the statement in the journal: its day, its counts and its
// digest, in at most 256 bytes.
func (s Statement) Detail() string {
	return fmt.Sprintf("%s seen=%d archived=%d delivered=%d held=%d missing=%d sha256=%s",
		s.Day, s.Seen, s.Archived, s.Delivered, s.Held, s.Missing, s.Digest)
}

// MailboxKey is what stands for a mailbox in the journal and in addresses of pages: an
// address can hold a name. Ten hexadecimal digits of SHA-256("greffe mailbox", NUL, address).
func MailboxKey(address string) string {
	return string(DigestOf([]byte("greffe mailbox\x00" + address))[:10])
}
