// Package archive keeps bytes for decades: a write-once store with two drivers,
// S3 with Object Lock and a directory, and the layout and manifests that let
// anyone read what it holds without Greffe.
package archive

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"time"

	"greffe/pkg/greffe"
)

var errTODO = errors.New("archive: being built")

// Store keeps objects that are written once. (duties to be written here)
type Store interface {
	// Put streams size bytes of digest sha from r to key. The same key with the same
	// bytes again returns the object that is there; with other bytes it returns ErrExists.
	// It is durable when it returns. r must be read to its end; its bytes are
	// checked against sha and ErrDigest is returned, nothing stored, when they differ.
	Put(ctx context.Context, key string, r io.Reader, size int64, sha greffe.Digest) (greffe.Object, error)
	// Open reads an object. ErrNotFound when there is none.
	Open(ctx context.Context, o greffe.Object) (io.ReadSeekCloser, error)
	// Stat returns the object at key; ErrNotFound when there is none.
	Stat(ctx context.Context, key string) (Info, error)
	// List walks the objects below prefix in key order.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]
	// Check tries the store and says what works, what does not and what it cannot promise.
	Check(ctx context.Context) []Check
	Close() error
}

// Info is what the store knows about an object.
type Info struct {
	greffe.Object
	Stored      time.Time
	RetainUntil time.Time // zero when nothing is locked
	Mode        string    // COMPLIANCE, GOVERNANCE or empty
}

// Check is one thing that was tried.
type Check struct {
	Name string // French, a few words
	OK   bool
	Text string // French: what was found and, when not OK, what to do
}

var (
	ErrNotFound = errors.New("archive: no such object")
	ErrExists   = errors.New("archive: key holds other bytes")
	ErrDigest   = errors.New("archive: bytes do not match their digest")
)

// S3Config says where the bucket is.
type S3Config struct {
	Endpoint  string // http(s)://host:port
	Bucket    string
	Region    string
	AccessKey string // path of a file
	SecretKey string // path of a file
	CA        string // path of a PEM file; empty: system authorities
	Mode      string // compliance | governance | none
	Retention time.Duration
}

// OpenS3 opens the bucket.
func OpenS3(ctx context.Context, cfg S3Config, log *slog.Logger) (Store, error) { return nil, errTODO }

// OpenDir opens (and makes) the directory dir.
func OpenDir(dir string) (Store, error) { return nil, errTODO }

// Keys of the layout.
func RawKey(id greffe.MessageID) string      { return "" } // messages/2026/11/22/<id>/message.eml
func ManifestKey(id greffe.MessageID) string { return "" } // messages/2026/11/22/<id>/manifest.json
func ContentKey(d greffe.Digest) string      { return "" } // content/ab/<sha256>

// Manifest is manifest.json: what a message held and where each piece of it is.
type Manifest struct {
	Format  string                   `json:"format"` // "greffe-manifest/1"
	Parsed  greffe.Parsed            `json:"parsed"`
	Raw     greffe.Object            `json:"raw"`     // zero when the bytes were refused unread
	Objects map[string]greffe.Object `json:"objects"` // by part path
}

// ReadManifest reads and checks the manifest of a message.
func ReadManifest(ctx context.Context, s Store, o greffe.Object) (*Manifest, error) {
	return nil, errTODO
}
