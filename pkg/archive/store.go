// Package archive keeps bytes for decades: a write-once [Store] with two drivers,
// S3 with Object Lock and a directory, and the layout and manifests that let
// anyone read what it holds without Greffe.
//
// What is in the archive can be read with a file browser and a text editor:
//
//	messages/2026/11/22/<message id>/message.eml     the message as the mail server gave it
//	messages/2026/11/22/<message id>/manifest.json   what it held and where each piece is (see Manifest)
//	content/ab/<SHA-256>                             the bytes of a part, once however often they came
//
// The date is the one that the mail server gave to the message, in UTC. The
// manifest is written last: a message with a manifest is complete. No key
// carries a name, an INS or a subject.
//
// Dependencies: minio-go speaks the S3 protocol (signatures, checksums, Object
// Lock, versions); golang.org/x/sys tells the free space of a file system and makes
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
//   - no method replaces, shortens or removes an object;
//   - methods may be called at once, from several processes too: of many Puts of
//     one key exactly one stores its bytes;
//   - memory does not grow with the size of an object;
//   - errors are told apart by value: ErrKey, ErrDigest and ErrExists are final,
//     ErrNotFound is an answer, ErrUnavailable means the same call may work later.
//     An error of the reader that the caller passed comes back as it is, wrapped.
//
// A driver never tries a Put again by itself, because it cannot read r twice:
// the caller does, and may, since a repeated Put is harmless. After an error that
// is not final the object may be there in full: an answer can be lost.
type Store interface {
	// Put streams size bytes of digest sha from r to key and returns when they
	// are durable. The same key with the same bytes again returns the object that
	// is there; with other bytes it returns ErrExists. r is read to its end; when
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
	// bytes of their keys. SHA256, RetainUntil and Mode are not filled in. After
	// an error the walk ends.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]

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
	Mode        string    // COMPLIANCE, GOVERNANCE or empty
}

// Check is one thing that was tried.
type Check struct {
	Name string // French, a few words
	OK   bool
	Text string // French: what was found and, when not OK, what to do
}

// Errors of a Store, to be told apart with errors.Is.
var (
	ErrNotFound    = errors.New("archive: no such object")
	ErrExists      = errors.New("archive: key holds other bytes")
	ErrDigest      = errors.New("archive: bytes do not match their size or digest")
	ErrKey         = errors.New("archive: not a key of the archive")
	ErrUnavailable = errors.New("archive: store is not available")
)
