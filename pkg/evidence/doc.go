// Package evidence proves that nothing was changed: the sealed segments of the
// journal, the Merkle tree over them, signed checkpoints and time stamps. Bytes in,
// values and checks out; it opens no network and no disk.
//
// # What is in the archive
//
// The journal is sealed in ranges of at most 10,000 entries, <first>-<last> in
// twelve digits, below the UTC day of the last entry:
//
//	journal/2026/11/22/<first>-<last>.jsonl        the entries of the range, one a line
//	journal/2026/11/22/<first>-<last>.facts.jsonl  what some entries are about, when they may not hold it
//	journal/2026/11/22/<first>-<last>.checkpoint   the signed state of the journal after the range
//	journal/2026/11/22/<first>-<last>.stamp        what a time-stamping authority attested, at least every 24 h
//	journal/2026/11/22/<first>-<last>.tsr          its answer (RFC 3161)
//	journal/keys/<key id>.pub                      each public key that ever signed
//
// # Segment, version greffe-journal/1
//
// A segment is JSON lines: UTF-8, one object a line, each line ends with a line feed,
// no blanks, members in this order and no others: seq (number), at (RFC 3339, UTC,
// milliseconds: "2026-11-22T10:00:00.000Z"), actor, action, subject, from, result,
// detail, prev, hash (strings). hash is what greffe.Entry.Digest documents; prev is
// the hash of the entry before, of entry 1 64 zeros.
//
// A line of a facts file is {"seq":n,"fact":…}. The last word of detail of entry n is
// "fact:" and the SHA-256, in hexadecimal, of the bytes of the value of "fact". Facts are
// what greffe.Matter documents: a message as it was received, an outcome of a delivery, a
// decision of a person, why something is held, what was asked to be eliminated, what is
// complete.
//
// # Tree
//
// The Merkle tree is that of RFC 6962 §2.1 with SHA-256. Leaf number seq-1 is the line
// of entry seq without its line feed: hash(0x00 line). A node is hash(0x01 left right).
// Hashes are kept as tiles of height 8 (C2SP tlog-tiles): tile n of level l holds the
// roots of the complete subtrees of 256^l leaves numbered 256n to 256n+255.
//
// # Checkpoint
//
// A checkpoint is a signed note (C2SP signed-note, Ed25519): a text, an empty line,
// and one line "— <key name> <base64 of key id and signature>" for each signature. The
// first three lines of the text are those of C2SP tlog-checkpoint, the others extend it:
//
//	<origin: the name of the journal, which is that of the key>
//	<size: the number of entries from the first>
//	<root of the tree, base64>
//	time <time of the last entry, as in the segment>
//	segment <key> <SHA-256> <S3 version id or ->
//	facts <key> <SHA-256> <S3 version id or ->         only when there are any
//	previous <key> <SHA-256>                            the checkpoint before; "previous -" for the first
//
// A public key is a line "<name>+<key id>+<base64>": the base64 is of the byte 1 and the
// 32 bytes of the Ed25519 key; the key id is, in hexadecimal, the first four bytes of the
// SHA-256 of name, line feed and those 33 bytes.
//
// Everything here reads bytes from outside strictly: what is not written exactly as
// above, or is larger than its limit, is refused with ErrFormat. Functions may be
// called at once; values that are shared must not be changed.
//
// # Time stamps
//
// A .stamp is the text that Stamp documents, a .tsr the whole answer (TimeStampResp of
// RFC 3161) of an authority to a request over the SHA-256 of those bytes.
//
// Dependencies: smallstep/pkcs7 checks the signature of a token (CMS); it is the fork of the
// package that is looked after. The rest of RFC 3161 is small and ours, because package
// asn1 refuses the times with fractions that authorities give; digitorus/timestamp is the
// authority of the tests. golang.org/x/mod has the tree (sumdb/tlog) and the note (sumdb/note) of
// the Go checksum database, in wide use and with a public specification.
package evidence

import "errors"

// Errors, to be told apart with errors.Is.
var (
	// ErrFormat: bytes that Greffe cannot have written.
	ErrFormat = errors.New("evidence: not in the format of the journal")
	// ErrSignature: no known key signed it.
	ErrSignature = errors.New("evidence: no valid signature by a known key")
	// ErrMismatch: two things that each look right do not belong together.
	ErrMismatch = errors.New("evidence: does not match")
)
