package evidence

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"greffe/pkg/greffe"
)

// MaxCheckpoint bounds the bytes of a checkpoint.
const MaxCheckpoint = 16 << 10

// maxVersion is the longest version id of S3.
const maxVersion = 1024

// Checkpoint is the signed state of the journal after a segment.
type Checkpoint struct {
	Origin   string // the name of the journal
	Size     int64  // entries from the first
	Root     tlog.Hash
	Time     time.Time     // of the last entry
	Segment  greffe.Object // Size is not known
	Facts    greffe.Object // zero when there are none
	Previous Link          // zero for the first
}

// Link names an object by its key and digest.
type Link struct {
	Key    string
	SHA256 greffe.Digest
}

// Range returns the range of entries that the checkpoint seals.
func (c *Checkpoint) Range() Range {
	r, _, _ := ParseKey(c.Segment.Key)
	return r
}

// Key returns the key of the checkpoint.
func (c *Checkpoint) Key() string { return c.Range().Key(KindCheckpoint) }

// Sign returns the checkpoint as it is stored: the same bytes for the same checkpoint
// and key. ErrFormat when it contradicts itself or is of another journal.
func (c *Checkpoint) Sign(k *Key) ([]byte, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	if c.Origin != k.Name() {
		return nil, fmt.Errorf("%w: checkpoint of %.40q, key of %.40q", ErrMismatch, c.Origin, k.Name())
	}
	b, err := note.Sign(&note.Note{Text: c.Text()}, k.signer)
	if err != nil {
		return nil, fmt.Errorf("evidence: sign checkpoint: %w", err)
	}
	return b, nil
}

// Text returns what is signed.
func (c *Checkpoint) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%d\n%s\n", c.Origin, c.Size, c.Root)
	fmt.Fprintf(&b, "time %s\n", c.Time.UTC().Format(timeFormat))
	object := func(word string, o greffe.Object) {
		version := o.Version
		if version == "" {
			version = "-"
		}
		fmt.Fprintf(&b, "%s %s %s %s\n", word, o.Key, o.SHA256, version)
	}
	object("segment", c.Segment)
	if !c.Facts.IsZero() {
		object("facts", c.Facts)
	}
	b.WriteString("previous " + c.Previous.text() + "\n")
	return b.String()
}

// text returns key and digest, or a hyphen.
func (l Link) text() string {
	if l == (Link{}) {
		return "-"
	}
	return l.Key + " " + string(l.SHA256)
}

func (c *Checkpoint) validate() error {
	bad := func(why string) error { return fmt.Errorf("%w: checkpoint: %s", ErrFormat, why) }
	r, kind, ok := ParseKey(c.Segment.Key)
	y := c.Time.UTC().Year()
	switch {
	case !validOrigin(c.Origin):
		return bad("origin")
	case !ok || kind != KindSegment || r.Last != c.Size || !c.Segment.SHA256.Valid() || !validVersion(c.Segment.Version):
		return bad("segment")
	case y < 1000 || y > 9999 || c.Time.Nanosecond()%1e6 != 0 || NewRange(r.First, r.Last, c.Time) != r:
		return bad("time")
	case !c.Facts.IsZero() && (c.Facts.Key != r.Key(KindFacts) || !c.Facts.SHA256.Valid() || !validVersion(c.Facts.Version)):
		return bad("facts")
	}
	if c.Previous == (Link{}) {
		if r.First != 1 {
			return bad("no previous one")
		}
		return nil
	}
	p, kind, ok := ParseKey(c.Previous.Key)
	if !ok || kind != KindCheckpoint || p.Last != r.First-1 || !c.Previous.SHA256.Valid() {
		return bad("previous")
	}
	return nil
}

func validVersion(v string) bool {
	return len(v) <= maxVersion && v != "-" && !strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' })
}

// OpenCheckpoint reads a checkpoint and checks its signatures. It returns the ids of the
// known keys that signed it. When none did, the checkpoint is returned with ErrSignature.
// Only its form is checked, not what it says: see Check.
func OpenCheckpoint(b []byte, known ...note.Verifier) (c *Checkpoint, signed []string, err error) {
	if len(b) > MaxCheckpoint {
		return nil, nil, fmt.Errorf("%w: checkpoint of %d bytes", ErrFormat, len(b))
	}
	n, err := note.Open(b, keyring(known))
	if unverified, ok := errors.AsType[*note.UnverifiedNoteError](err); ok {
		n, err = unverified.Note, ErrSignature
	} else if err != nil {
		if _, ok := errors.AsType[*note.InvalidSignatureError](err); ok {
			return nil, nil, fmt.Errorf("%w: %w", ErrSignature, err)
		}
		return nil, nil, fmt.Errorf("%w: checkpoint: %w", ErrFormat, err)
	}
	c, bad := parseCheckpoint(n.Text)
	if bad != nil {
		return nil, nil, bad
	}
	if !spelled(b, n) {
		return nil, nil, fmt.Errorf("%w: checkpoint: signatures", ErrFormat)
	}
	for _, s := range n.Sigs {
		if s.Name != c.Origin {
			return nil, nil, fmt.Errorf("%w: checkpoint of %s signed with the key of %s", ErrMismatch, c.Origin, s.Name)
		}
		signed = append(signed, fmt.Sprintf("%08x", s.Hash))
	}
	return c, signed, err
}

// spelled reports whether the signatures of a note are written in the one way: package
// note drops those that come twice and reads base64 with any last bits.
func spelled(b []byte, n *note.Note) bool {
	size := len(n.Text) + 1
	for _, s := range slices.Concat(n.Sigs, n.UnverifiedSigs) {
		size += len("— ") + len(s.Name) + 1 + len(s.Base64) + 1
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return false
		}
	}
	return size == len(b)
}

func parseCheckpoint(text string) (*Checkpoint, error) {
	bad := func(why string) (*Checkpoint, error) {
		return nil, fmt.Errorf("%w: checkpoint: %s", ErrFormat, why)
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 6 || len(lines) > 7 {
		return bad("number of lines")
	}
	c := &Checkpoint{Origin: lines[0]}
	var err error
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return bad("size")
	}
	if c.Root, err = tlog.ParseHash(lines[2]); err != nil {
		return bad("root")
	}
	for _, l := range lines[3:] {
		word, rest, _ := strings.Cut(l, " ")
		f := strings.Split(rest, " ")
		switch {
		case word == "time" && len(f) == 1:
			if c.Time, err = time.Parse(timeFormat, f[0]); err != nil {
				return bad("time")
			}
		case (word == "segment" || word == "facts") && len(f) == 3:
			o := greffe.Object{Key: f[0], SHA256: greffe.Digest(f[1])}
			if f[2] != "-" {
				o.Version = f[2]
			}
			if word == "facts" {
				c.Facts = o
			} else {
				c.Segment = o
			}
		case word == "previous" && len(f) == 2:
			c.Previous = Link{f[0], greffe.Digest(f[1])}
		}
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	// One checkpoint has one spelling; this finds lines in another order, twice or unknown.
	if c.Text() != text {
		return bad("not spelled as it must be")
	}
	return c, nil
}

// Check checks that a segment is that of the checkpoint and that the tree of all
// entries before, to which it adds the segment, has the root that was signed: nil means
// that every entry so far is the one that was sealed. Without a tree (nil), because
// entries before are lost, it is that each entry of the segment is. The error is
// ErrFormat, ErrMismatch or greffe.ErrChain. A segment of another digest leaves the tree
// alone; after any other error the tree is no longer of use.
func (c *Checkpoint) Check(tree *Tree, segment []byte) (*Segment, error) {
	if greffe.DigestOf(segment) != c.Segment.SHA256 {
		return nil, fmt.Errorf("%w: the segment %s was changed", ErrMismatch, c.Segment.Key)
	}
	s, err := ParseSegment(segment)
	if err != nil {
		return s, err
	}
	r, last := c.Range(), s.Entries[len(s.Entries)-1]
	if s.Entries[0].Seq != r.First || last.Seq != r.Last || !last.At.Equal(c.Time) {
		return s, fmt.Errorf("%w: the segment %s holds entries %d to %d", ErrMismatch, c.Segment.Key, s.Entries[0].Seq, last.Seq)
	}
	if tree == nil {
		return s, nil
	}
	if err := tree.AppendSegment(s); err != nil {
		return s, err
	}
	if tree.Root() != c.Root {
		return s, fmt.Errorf("%w: the tree of %d entries has another root", ErrMismatch, c.Size)
	}
	return s, nil
}

// CheckFacts checks that text is the facts file of the checkpoint, and that its facts
// and the entries of the segment name each other. text is nil when the checkpoint names
// none.
func (c *Checkpoint) CheckFacts(s *Segment, text []byte) ([]greffe.Fact, error) {
	if c.Facts.IsZero() {
		return nil, CheckFacts(s.Entries, nil)
	}
	if greffe.DigestOf(text) != c.Facts.SHA256 {
		return nil, fmt.Errorf("%w: the facts %s were changed", ErrMismatch, c.Facts.Key)
	}
	list, err := ParseFacts(text)
	if err == nil {
		err = CheckFacts(s.Entries, list)
	}
	return list, err
}
