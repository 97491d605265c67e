package evidence

import (
	"strings"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
)

// # Proof pack, version greffe-pack/1
//
// A pack is a ZIP as ZipWriter writes it: nothing is compressed, nothing is hidden
// between the files. It holds
//
//	objects/<key in the archive>        messages and documents, byte by byte as they were received
//	manifests/<message id>.json         what each message held (archive.Manifest)
//	journal/entries.jsonl               the lines of the journal about them, as in its segments, in their order
//	journal/facts.jsonl                 what some of these entries are about, as beside the segments
//	journal/proofs.txt                  the proofs of these lines in the tree of the journal, see below
//	journal/2026/11/22/<range>.*        checkpoints, stamps and tokens, byte by byte as in the archive
//	keys/<key id>.pub, keys/<key id>.pem  each public key that signed, as a line and as PEM (SubjectPublicKeyInfo)
//	certificates/<SHA-256>.pem          the certificates of the time-stamping authorities
//	LISEZMOI.txt                        how to check all this with sha256sum and openssl alone, in French
//	preuve.json                         the Record: what is in the pack and every check that was made
//	preuve.pdf                          the same to be read, in French
//	SHA256SUMS                          the digest of each file before it, in their order in the ZIP
//	SHA256SUMS.note                     a signed note (as a checkpoint is): the lines "greffe-pack/1" and
//	                                    "<SHA-256 of SHA256SUMS>  SHA256SUMS", signed with the key of the journal
//
// proofs.txt begins with the line "greffe-proofs/1". Then come blocks, each after an
// empty line:
//
//	entry <seq> <key of a checkpoint>        RFC 6962 §2.1.1: the leaf seq-1 is in the tree of the checkpoint.
//	L <base64>                               One line for each hash from the leaf up; L when it is the left of the two
//	R <base64>                               that are hashed together with 0x01 before them, R when it is the right.
//
//	growth <key of a checkpoint> <key of the next>   RFC 6962 §2.1.2: the second tree begins with the first.
//	<base64>
//
// There is one entry block for each line of entries.jsonl, in that order, then one
// growth block for each pair of checkpoints that follow one another by size. The ends of
// the file and of each block are line feeds.
//
// A reader trusts nothing in the pack but what follows from the public key of the
// journal and the certificate of the authority that it was given by another way.
const (
	PackFormat = "greffe-pack/1"

	objectsPrefix      = "objects/"
	manifestsPrefix    = "manifests/"
	keysFolder         = "keys/"
	certificatesFolder = "certificates/"
	entriesName        = archive.JournalPrefix + "entries.jsonl"
	factsName          = archive.JournalPrefix + "facts.jsonl"
	proofsName         = archive.JournalPrefix + "proofs.txt"
	readmeName         = "LISEZMOI.txt"
	recordName         = "preuve.json"
	reportName         = "preuve.pdf"
	sumsName           = "SHA256SUMS"
	noteName           = "SHA256SUMS.note"
)

// Record is preuve.json: what a pack holds and what was checked. Its schema is
// api/pack.schema.json. It names nobody: ids, digests and times.
type Record struct {
	Format      string             `json:"format"` // PackFormat
	Made        time.Time          `json:"made"`   // UTC, to the second
	By          string             `json:"by"`     // program and version
	Journal     string             `json:"journal"`
	Scope       Scope              `json:"scope"`
	Verdict     Status             `json:"verdict"`
	Checks      []Check            `json:"checks"`
	Messages    []PackMessage      `json:"messages"`
	Entries     int                `json:"entries"`
	Checkpoints []PackedCheckpoint `json:"checkpoints"`
	Stamps      []PackedStamp      `json:"stamps"`
}

// Scope says what was asked for. The INS of a patient is not repeated.
type Scope struct {
	Kind string `json:"kind"` // document, message, patient, period or selection
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// PackMessage is a message of the pack.
type PackMessage struct {
	ID        greffe.MessageID `json:"id"`
	Mailbox   string           `json:"mailbox"`
	Received  time.Time        `json:"received"` // by Greffe
	Manifest  greffe.Digest    `json:"manifest"`
	Mail      greffe.Digest    `json:"mail,omitempty"`     // of the message as it came; empty when it was refused unread
	Withheld  bool             `json:"withheld,omitempty"` // the mail and the other documents are not in the pack
	Documents []PackDocument   `json:"documents"`
}

// PackDocument is a document of the pack.
type PackDocument struct {
	ID     greffe.DocumentID `json:"id"`
	Format greffe.Format     `json:"format"`
	Type   string            `json:"type,omitempty"` // code
	Label  string            `json:"label,omitempty"`
	SHA256 greffe.Digest     `json:"sha256"`
	Size   int64             `json:"size"`
	File   string            `json:"file"` // of the pack
}

// PackedCheckpoint is a checkpoint of the pack.
type PackedCheckpoint struct {
	File string    `json:"file"`
	Size int64     `json:"size"`
	Root string    `json:"root"` // base64
	Time time.Time `json:"time"` // of its last entry
	Keys []string  `json:"keys"` // ids of the keys that signed it
}

// PackedStamp is a time stamp of the pack.
type PackedStamp struct {
	File       string    `json:"file"`
	Checkpoint string    `json:"checkpoint"`
	Time       time.Time `json:"time"` // by the authority
	Policy     string    `json:"policy,omitempty"`
	Serial     string    `json:"serial,omitempty"`
	Authority  string    `json:"authority,omitempty"` // subject of its certificate
}

// fileOf returns the name in a pack of an object of the archive.
func fileOf(o greffe.Object) string { return objectsPrefix + o.Key }

func manifestFile(id greffe.MessageID) string { return manifestsPrefix + string(id) + ".json" }

// known reports whether a pack may hold a file of that name.
func known(name string) bool {
	switch name {
	case entriesName, factsName, proofsName, readmeName, recordName, reportName, sumsName, noteName:
		return true
	}
	if rest, ok := strings.CutPrefix(name, objectsPrefix); ok {
		_, manifest, ok1 := archive.KeyMessage(rest)
		_, ok2 := archive.KeyDigest(rest)
		return ok1 && !manifest || ok2
	}
	if id, ok := between(name, manifestsPrefix, ".json"); ok {
		return greffe.MessageID(id).Valid()
	}
	if sum, ok := between(name, certificatesFolder, ".pem"); ok {
		return greffe.Digest(sum).Valid()
	}
	if id, ok := between(name, keysFolder, ".pub"); ok {
		return validKeyID(id)
	}
	if id, ok := between(name, keysFolder, ".pem"); ok {
		return validKeyID(id)
	}
	_, kind, ok := ParseKey(name)
	return ok && (kind == KindCheckpoint || kind == KindStamp || kind == KindToken)
}

func between(s, prefix, suffix string) (string, bool) {
	rest, ok1 := strings.CutPrefix(s, prefix)
	rest, ok2 := strings.CutSuffix(rest, suffix)
	return rest, ok1 && ok2
}

func validKeyID(id string) bool {
	return len(id) == 8 && strings.Trim(id, "0123456789abcdef") == ""
}
