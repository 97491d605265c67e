package greffe

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"
)

// Digest is a SHA-256 in 64 lower-case hexadecimal digits, or empty when the
// bytes were never read.
type Digest string

// DigestOf returns the digest of b.
func DigestOf(b []byte) Digest {
	s := sha256.Sum256(b)
	return Digest(hex.EncodeToString(s[:]))
}

// DigestFrom returns the digest of a finished SHA-256 sum of 32 bytes.
func DigestFrom(sum []byte) Digest { return Digest(hex.EncodeToString(sum)) }

// Valid reports whether d has the form of a SHA-256.
func (d Digest) Valid() bool {
	if len(d) != 2*sha256.Size {
		return false
	}
	for i := range len(d) {
		if c := d[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Bytes returns the 32 bytes of d, or nil when d is not valid.
func (d Digest) Bytes() []byte {
	if !d.Valid() {
		return nil
	}
	b, _ := hex.DecodeString(string(d))
	return b
}

// MessageID names one message of one mailbox for ever. It is 26 characters of
// Crockford's base 32 (the form of a ULID): 48 bits of the message's internal
// date in milliseconds, then 80 bits of a hash over where it was found and what
// it contains. It sorts by time, says nothing about the patient, and is the same
// each time the same message is taken.
type MessageID string

// Earliest and latest internal date that a MessageID carries; a server that
// claims another gets the earliest, so that the id stays deterministic.
var (
	earliest = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// NewMessageID derives the id of the message found at o with the raw bytes of
// digest raw. raw is empty for a message whose bytes were refused unread.
func NewMessageID(o Origin, raw Digest) MessageID {
	at := o.InternalDate
	if at.Before(earliest) || at.After(latest) {
		at = earliest
	}
	h := sha256.New()
	for _, s := range []string{o.Mailbox, o.Folder, fmt.Sprint(o.UIDValidity), fmt.Sprint(o.UID), string(raw)} {
		// Length first: no two lists of fields hash the same bytes.
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		io.WriteString(h, s)
	}
	var b [17]byte // 130 bits hold 26 characters; the two leading bits are zero
	ms := uint64(at.UnixMilli())
	copy(b[7:], h.Sum(nil)[:10])
	for i := range 6 {
		b[6-i] = byte(ms >> (8 * i))
	}
	// base32 reads from the top: shift the 128 bits right by 2 so that they end
	// on the last of 26 characters.
	var v [17]byte
	for i := range 16 {
		v[i] |= b[i+1] >> 2
		v[i+1] |= b[i+1] << 6
	}
	return MessageID(crockford.EncodeToString(v[:])[:26])
}

// Valid reports whether id has the form that NewMessageID gives. Ids come back
// from URLs and object keys: check them before use.
func (id MessageID) Valid() bool {
	if len(id) != 26 {
		return false
	}
	for i := range len(id) {
		if !strings.ContainsRune("0123456789ABCDEFGHJKMNPQRSTVWXYZ", rune(id[i])) {
			return false
		}
	}
	return id[0] <= '7'
}

// Time returns the internal date that the id carries, in UTC with a resolution
// of one millisecond; the zero time when the id is not valid.
func (id MessageID) Time() time.Time {
	if !id.Valid() {
		return time.Time{}
	}
	var ms uint64
	for i := range 10 {
		ms = ms<<5 | uint64(strings.IndexByte("0123456789ABCDEFGHJKMNPQRSTVWXYZ", id[i]))
	}
	return time.UnixMilli(int64(ms)).UTC()
}

// DocumentID names one document as it came in one message: the message id, a
// hyphen and its number in the message, counted from 1. The same document in two
// messages has two DocumentIDs and one Identity.
type DocumentID string

// NewDocumentID returns the id of the n-th document (from 1) of message m.
func NewDocumentID(m MessageID, n int) DocumentID {
	return DocumentID(fmt.Sprintf("%s-%d", m, n))
}

// Message returns the message that the document came in.
func (id DocumentID) Message() MessageID {
	m, _, _ := strings.Cut(string(id), "-")
	return MessageID(m)
}

// Valid reports whether id has the form that NewDocumentID gives.
func (id DocumentID) Valid() bool {
	m, n, ok := strings.Cut(string(id), "-")
	if !ok || len(n) == 0 || len(n) > 4 || n[0] == '0' || !MessageID(m).Valid() {
		return false
	}
	for i := range len(n) {
		if n[i] < '0' || n[i] > '9' {
			return false
		}
	}
	return true
}
