package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"greffe/pkg/greffe"
)

// ManifestFormat is the format that this package writes and reads.
const ManifestFormat = "greffe-manifest/1"

// maxManifest bounds what is read as a manifest: 64 MiB.
const maxManifest = 64 << 20

// ErrManifest is returned for a manifest that cannot be what Greffe wrote: not
// JSON, of another format, or contradicting itself.
var ErrManifest = errors.New("archive: not a valid manifest")

// Manifest is manifest.json: what a message held and where each piece of it is.
//
// For a reader without Greffe: the file is JSON in UTF-8, indented with one
// blank, and ends with a newline. Times are RFC 3339 in UTC. A digest is the
// SHA-256 of the bytes in lower-case hexadecimal.
//
//   - format: "greffe-manifest/1".
//   - parsed: what was read. received says where and when the message was
//     found (mailbox, folder, UIDVALIDITY and UID of the IMAP server, the
//     server's date), its size and digest; message holds its headers; parts
//     lists every piece with path, declared name, declared and detected type,
//     size, digest and verdict; documents lists the medical documents and what
//     their headers say; findings what was wrong, with the id of the rule; antivirus
//     what scanned every part that has a digest: engine, version and date of its
//     signature base. It is absent when nothing did.
//   - raw: the object that holds the message as it came. Its key is empty for a
//     message whose bytes were refused unread.
//   - objects: for each part, by its path, the object that holds its bytes.
//     Every part is there except those marked "skipped", which live on in the
//     raw message only.
//
// An object is {key, version, sha256, size}: the key below the root of the
// directory or the bucket, the S3 version id (absent in a directory), and what
// the bytes must be. To check a message by hand, run sha256sum on the files that
// raw and objects name and compare.
//
// A part's path says how to get its bytes out of message.eml: "2.1" is a MIME
// part numbered as in RFC 9051 §6.4.5, "!n" the n-th entry of the ZIP archive
// before it and "#n" the n-th base64 value of the CDA before it, both from 0.
//
// A message has one manifest for ever: it is written after everything that it
// names, and not written again when the same message is read once more.
type Manifest struct {
	Format  string                   `json:"format"` // ManifestFormat
	Parsed  greffe.Parsed            `json:"parsed"`
	Raw     greffe.Object            `json:"raw,omitzero"`      // zero when the bytes were refused unread
	Objects map[string]greffe.Object `json:"objects,omitempty"` // by part path
}

// Encode returns the bytes of manifest.json: the same for the same manifest.
func (m *Manifest) Encode() ([]byte, error) {
	if err := m.validate(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // for people
	e.SetIndent("", " ")
	if err := e.Encode(m); err != nil {
		return nil, fmt.Errorf("archive: encode manifest: %w", err)
	}
	if b.Len() > maxManifest {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrManifest, b.Len(), maxManifest)
	}
	return b.Bytes(), nil
}

// validate checks that the manifest says one thing: each part has its object
// with the part's size and digest at the key of the layout, and nothing else.
func (m *Manifest) validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrManifest}, args...)...)
	}
	if m.Format != ManifestFormat {
		return bad("format %.40q", m.Format)
	}
	r := m.Parsed.Received
	if !r.ID.Valid() {
		return bad("message id %.40q", r.ID)
	}
	if r.Refused != nil {
		if !m.Raw.IsZero() || len(m.Objects) != 0 {
			return bad("message refused unread has objects")
		}
		return nil
	}
	if m.Raw.Key != RawKey(r.ID) || m.Raw.SHA256 != r.SHA256 || m.Raw.Size != r.Size || !r.SHA256.Valid() {
		return bad("raw object is not the message")
	}
	stored := 0
	for _, p := range m.Parsed.Parts {
		if p.Skipped {
			continue
		}
		o, ok := m.Objects[p.Path]
		if !ok || o.SHA256 != p.SHA256 || o.Size != p.Size || o.Key != ContentKey(p.SHA256) || o.Key == "" {
			return bad("object of part %.40q", p.Path)
		}
		stored++
	}
	if stored != len(m.Objects) {
		return bad("%d parts, %d objects", stored, len(m.Objects))
	}
	return nil
}

// PutManifest writes the manifest at its key and returns the object with its
// digest. The key may hold the manifest of an earlier reading of the same
// message: then ErrExists is returned and FindManifest gives that one.
func PutManifest(ctx context.Context, s Store, m *Manifest) (greffe.Object, error) {
	b, err := m.Encode()
	if err != nil {
		return greffe.Object{}, err
	}
	return s.Put(ctx, ManifestKey(m.Parsed.Received.ID), bytes.NewReader(b), int64(len(b)), greffe.DigestOf(b))
}

// ReadManifest reads the manifest at o and checks its bytes against o.SHA256
// and its content against itself. It returns ErrDigest or ErrManifest when they
// are not what was written, and reads at most 64 MiB.
func ReadManifest(ctx context.Context, s Store, o greffe.Object) (*Manifest, error) {
	m, got, err := readManifest(ctx, s, o)
	if err != nil {
		return nil, err
	}
	if got.SHA256 != o.SHA256 {
		return nil, fmt.Errorf("archive: manifest %s: %w: read %s, want %s", o.Key, ErrDigest, got.SHA256, o.SHA256)
	}
	return m, nil
}

// FindManifest reads the manifest of a message whose digest is not known and
// returns it with the object that it is. ErrNotFound when the message has none.
func FindManifest(ctx context.Context, s Store, id greffe.MessageID) (*Manifest, greffe.Object, error) {
	i, err := s.Stat(ctx, ManifestKey(id))
	if err != nil {
		return nil, greffe.Object{}, err
	}
	m, o, err := readManifest(ctx, s, i.Object)
	if err != nil {
		return nil, greffe.Object{}, err
	}
	if i.SHA256 != "" && i.SHA256 != o.SHA256 {
		return nil, greffe.Object{}, fmt.Errorf("archive: manifest %s: %w: read %s, stored as %s", o.Key, ErrDigest, o.SHA256, i.SHA256)
	}
	return m, o, nil
}

func readManifest(ctx context.Context, s Store, o greffe.Object) (*Manifest, greffe.Object, error) {
	r, err := s.Open(ctx, o)
	if err != nil {
		return nil, greffe.Object{}, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return nil, greffe.Object{}, fmt.Errorf("archive: read manifest %s: %w", o.Key, err)
	}
	if len(b) > maxManifest {
		return nil, greffe.Object{}, fmt.Errorf("archive: manifest %s: %w: over %d bytes", o.Key, ErrManifest, maxManifest)
	}
	m, err := ParseManifest(b)
	if err != nil {
		return nil, greffe.Object{}, fmt.Errorf("archive: manifest %s: %w", o.Key, err)
	}
	if ManifestKey(m.Parsed.Received.ID) != o.Key {
		return nil, greffe.Object{}, fmt.Errorf("archive: manifest %s: %w: is about another message", o.Key, ErrManifest)
	}
	return m, greffe.Object{Key: o.Key, Version: o.Version, SHA256: greffe.DigestOf(b), Size: int64(len(b))}, nil
}

// ParseManifest reads the bytes of a manifest and checks what it says against itself.
// ErrManifest when it is none, or has more than 64 MiB.
func ParseManifest(b []byte) (*Manifest, error) {
	if len(b) > maxManifest {
		return nil, fmt.Errorf("%w: over %d bytes", ErrManifest, maxManifest)
	}
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if err := m.validate(); err != nil {
		return nil, err
	}
	return &m, nil
}
