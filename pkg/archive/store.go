// Package archive keeps bytes for decades: a write-once [Store] with two drivers,
// S3 with Object Lock and a directory, and the layout and manifests that let
// anyone read what it holds without Greffe.
//
// What is in the archive can be read with a file browser and a text editor:
//
//	messages/2026/11/22/<message id>/message.eml     the message as the mail server gave it
//	messages/2026/11/22/<message id>/manifest.json   what it held and where each piece is (see Manifest)
//	content/ab/<SHA-256>                             the bytes of a part, once however often they came
//	journal/…                                        the sealed journal (see package evidence)
//	eliminations/2046/11/22/<id>.certificate.json    what was removed, by whom (api/elimination.schema.json)
//
// The date is the one that the mail server gave to the message, in UTC. The
// manifest is written last: a message with a manifest is complete. No key
// carries a name, an INS or a subject.
//
// Every object is locked from the moment it is there: until the end nothing of Greffe
// removes it, and on S3 nobody can. A lock is extended and never shortened; the same
// bytes arriving again extend it when theirs would end later. A lock of a month or
// more ends at midnight UTC, so that what arrives ten times a day is extended once. A
// legal hold keeps an object beyond its lock, until somebody takes the hold away.
//
// How to read the locks without Greffe: on S3 they are the retention and the legal
// hold of the object version (Object Lock). In a directory, the file .retention at its
// root says how long objects are locked, in lines that are only ever appended:
//
//	greffe-retention/1 from 2026-11-22T08:00:00Z 631152000
//
// An object is locked for the seconds of the last line that is not younger than its
// modification time (of the first line, when all are younger). What was extended or
// held has beside it a file .<name>.lock, appended to likewise: the latest "until" and
// the last "hold" count.
//
//	greffe-lock/1 until 2056-11-22T00:00:00Z
//	greffe-lock/1 hold on
//
// # Encryption
//
// With a file of master keys, each object below messages/ and content/, and the facts
// beside the journal, is encrypted with a key of its own (see Encrypted). Everything is
// in the format of the age program (age-encryption.org/v1):
//
//	content/ab/<SHA-256>.age             the object, encrypted to a key that exists once
//	keys/content/ab/<SHA-256>.age        that key (AGE-SECRET-KEY-1…), encrypted to the master key
//	keys/content/ab/<SHA-256>.age.erased the erasure that destroys it: "greffe-erased/1 <id>"
//	content/ab/<SHA-256>.2.age           the same bytes that arrived after that, with a key of their own
//	keys/masters/<id>.pub                each master key that ever wrapped a key here: its public key
//
// To read an object without Greffe, with the file of master keys:
//
//	age -d -i master.key keys/content/ab/<SHA-256>.age >object.key
//	age -d -i object.key content/ab/<SHA-256>.age | sha256sum
//
// Keys of objects in manifests, sizes and digests are those in clear, so that what is
// proven does not depend on how it is kept; S3 versions are those of the encrypted
// objects, as are the checksums that the server keeps and that are read back.
//
// What is below keys/ has no lock, so that it can be destroyed: that erases an object
// before its lock ends, and is the only way to; so can whoever may delete below keys/,
// which is the price of being able to. It has no second copy either, in the index
// or anywhere, that an erasure could forget: the archive and the master keys are enough to
// rebuild everything, and a backup of keys/ is what a lost key comes back from. An object
// whose key is missing without a note, or damaged, is named by verify and is
// not mistaken for one that was erased; the certificate that is locked below
// eliminations/ must name what the note says.
//
// The segments, checkpoints and time stamps of the journal, public keys, orders and
// certificates stay in clear: they hold ids and digests only, and what they prove shall
// outlive every key. The file of master keys may hold several: the first one wraps, all
// of them unwrap. A master key is retired by a new one above it, and kept for as long as
// anything that it wrapped. The keys of objects are X25519: their public halves are kept
// nowhere, so that a quantum computer finds nothing to compute them from; master
// keys that Greffe makes are hybrid (ML-KEM-768 and X25519), which the age program reads
// since version 1.3.
//
// Dependencies: minio-go speaks the S3 protocol (signatures, checksums, Object
// Lock, versions); filippo.io/age encrypts, in a public format that its program reads
// without us; golang.org/x/sys tells the free space of a file system and makes
// files and links relative to a directory that is open.
package archive

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"greffe/pkg/greffe"
)

// Store keeps objects that are written once and never change.
//
// Duties of every driver, held by one suite of tests:
//   - an object is there in full or not at all: nobody ever sees a part of one;
//   - what Put, Stat or List showed survives a crash of the machine;
//   - no method replaces or removes an object, or shortens its lock (what can
//     remove one after its lock is Eliminator, apart);
//   - methods may be called at once, from several processes too: of many Puts of
//     one key exactly one stores its bytes;
//   - memory does not grow with the size of an object;
//   - errors are told apart by value: ErrKey, ErrDigest, ErrExists, ErrLocked and ErrNoLock
//     are final, ErrNotFound is an answer, ErrUnavailable means the same call may work
//     later. An error of the reader that the caller passed comes back as it is, wrapped.
//
// A driver never tries a Put again by itself, because it cannot read r twice:
// the caller does, and may, since a repeated Put is harmless. After an error that
// is not final the object may be there in full: an answer can be lost.
type Store interface {
	// Put streams size bytes of digest sha from r to key and returns when they
	// are durable and locked. The same key with the same bytes again returns the object
	// that is there, its lock extended when one that begins now ends later; with other
	// bytes it returns ErrExists. r is read to its end; when
	// it gives more, less or other bytes than announced, ErrDigest is returned and
	// nothing is stored. A key that is not made of the letters that the layout
	// uses is refused with ErrKey.
	Put(ctx context.Context, key string, r io.Reader, size int64, sha greffe.Digest) (greffe.Object, error)

	// Open reads an object, the given version of it when o names one. It returns
	// ErrNotFound when there is none. Only o.Key and o.Version are used, and the
	// bytes are not checked: wrap the reader in Checked when that matters. ctx
	// bounds the whole reading.
	Open(ctx context.Context, o greffe.Object) (io.ReadSeekCloser, error)

	// Stat returns the object at key; ErrNotFound when there is none. SHA256 is
	// empty when the driver keeps no checksum beside the bytes (directory): only
	// reading them proves them.
	Stat(ctx context.Context, key string) (Info, error)

	// List walks the objects whose key begins with prefix, in the order of the
	// bytes of their keys. SHA256, RetainUntil, Mode and Held are not filled in.
	// After an error the walk ends.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]

	// Retain extends the lock of an object (the given version of it when o names one)
	// so that it ends at until or later, to the second, and returns the object as it
	// is locked then. A lock that ends later stays as it is: a zero until only asks. It
	// is durable when it returns and may be repeated. ErrNotFound when there is no such
	// object, ErrNoLock from a store that does not lock. At most 200 years from now.
	Retain(ctx context.Context, o greffe.Object, until time.Time) (Info, error)

	// Hold puts a legal hold on an object, or takes it away, and returns the object as
	// it is then. Durable when it returns; may be repeated; errors as for Retain.
	Hold(ctx context.Context, o greffe.Object, on bool) (Info, error)

	// Check tries the store and says what works, what does not and what it cannot
	// promise, in French. It may leave a small probe below "checks/" behind for
	// as long as the store holds on to it.
	Check(ctx context.Context) []Check

	// Close gives connections and files back. Readers that are open stay usable.
	Close() error
}

// Info is what the store knows about an object.
type Info struct {
	greffe.Object
	Stored      time.Time // when it was written, by the store's clock
	RetainUntil time.Time // zero when nothing is locked
	Mode        string    // COMPLIANCE, GOVERNANCE or empty: nothing but Greffe itself keeps the lock
	Held        bool      // there is a legal hold
	Encrypted   bool      // it has a key of its own: see Encrypted
}

// Eliminator is a Store whose objects can be removed once nothing locks them. It is
// apart from Store so that nobody who only stores and reads can remove anything; the
// one path that uses it asks two persons first.
type Eliminator interface {
	Store

	// Eliminate removes the given version of an object for good. The lock and the hold
	// are looked at where they are kept, just before: ErrLocked while there is one of
	// them, or when the store does not show that there ever was a lock; ErrNoLock from
	// a store that does not lock, because nothing there keeps an object that arrives
	// again meanwhile. ErrNotFound when there is none: after an error that is not final
	// it may be gone.
	Eliminate(ctx context.Context, o greffe.Object) error
}

// Check is one thing that was tried.
type Check struct {
	Name string // French, a few words
	OK   bool
	Text string // French: what was found and, when not OK, what to do

	// Later: not OK because the store did not answer. The same check may pass later;
	// it says nothing about what the store promises.
	Later bool

	// Unlocked: OK, and Text says that nothing but Greffe keeps what is stored from being
	// removed. Without such a check all of them OK mean that the store proved its lock.
	Unlocked bool
}

// Errors of a Store, to be told apart with errors.Is.
var (
	ErrNotFound    = errors.New("archive: no such object")
	ErrExists      = errors.New("archive: key holds other bytes")
	ErrDigest      = errors.New("archive: bytes do not match their size or digest")
	ErrKey         = errors.New("archive: not a key of the archive")
	ErrUnavailable = errors.New("archive: store is not available")
	ErrLocked      = errors.New("archive: object is locked or held")
	ErrNoLock      = errors.New("archive: the store does not lock objects")
)
