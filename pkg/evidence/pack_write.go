package evidence

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
)

// ErrTooLarge is returned for a pack that no reader would take.
var ErrTooLarge = errors.New("evidence: too much for one pack")

// PackOutput is where a pack is written: an *os.File, read again before it is signed.
type PackOutput interface {
	zipOutput
	io.ReaderAt
}

// PackWriter writes a proof pack: first what carries the proof, by its Add methods, then
// Finish, which reads all of it again, makes every check on the very bytes that are in
// the pack, and writes the record, the report and the signed list of digests.
//
// It is not for use by several goroutines at once; its Checks are.
type PackWriter struct {
	// Checks gathers what is compared beside the archive while the pack is written.
	Checks *Checks

	out  PackOutput
	zip  *ZipWriter
	list []PackMessage
}

// NewPackWriter returns a writer to an empty output.
func NewPackWriter(out PackOutput) *PackWriter {
	return &PackWriter{Checks: NewChecks(), out: out, zip: NewZipWriter(out)}
}

func (w *PackWriter) has(name string) bool { return w.zip.names[strings.ToLower(name)] }

func (w *PackWriter) add(name string, b []byte) error {
	_, err := w.zip.Add(name, bytes.NewReader(b))
	return err
}

// AddObject adds an object of the archive; one that is there already is not read again.
// An error of r, archive.ErrDigest for example, comes back wrapped and leaves the pack
// without the object.
func (w *PackWriter) AddObject(o greffe.Object, r io.Reader) error {
	if w.has(fileOf(o)) {
		return nil
	}
	_, err := w.zip.Add(fileOf(o), r)
	return err
}

// HasObject reports whether an object was added.
func (w *PackWriter) HasObject(o greffe.Object) bool { return w.has(fileOf(o)) }

// AddManifest adds the bytes of the manifest of a message, of which these documents
// were asked for. withheld says that the mail and what else it held is not added.
func (w *PackWriter) AddManifest(b []byte, documents []greffe.DocumentID, withheld bool) error {
	m, err := archive.ParseManifest(b)
	if err != nil {
		return err
	}
	p := PackMessage{ID: m.Parsed.Received.ID, Withheld: withheld}
	for _, d := range documents {
		p.Documents = append(p.Documents, PackDocument{ID: d})
	}
	w.list = append(w.list, p)
	return w.add(manifestFile(p.ID), b)
}

// PackJournal is what a pack holds of the journal.
type PackJournal struct {
	Lines       [][]byte          // of segments, by seq
	Facts       [][]byte          // lines of facts files, line feed included, by seq
	Entries     []EntryProof      // for each of Lines
	Growth      []GrowthProof     // for each pair of Checkpoints
	Checkpoints map[string][]byte // by key, as they are in the archive
	Stamps      map[string][]byte // stamps and tokens, the same
	Keys        []string          // lines of public keys
	// Certificates are those of the authorities that stamped.
	Certificates []*x509.Certificate
}

// AddJournal adds the journal.
func (w *PackWriter) AddJournal(j PackJournal) error {
	lines := append(bytes.Join(j.Lines, []byte("\n")), '\n')
	if len(j.Lines) == 0 {
		lines = nil
	}
	if err := w.add(entriesName, lines); err != nil {
		return err
	}
	if len(j.Facts) > 0 {
		if err := w.add(factsName, bytes.Join(j.Facts, nil)); err != nil {
			return err
		}
	}
	var proofs bytes.Buffer
	if err := encodeProofs(&proofs, j.Entries, j.Growth); err != nil {
		return err
	}
	if err := w.add(proofsName, proofs.Bytes()); err != nil {
		return err
	}
	for _, m := range []map[string][]byte{j.Checkpoints, j.Stamps} {
		keys := make([]string, 0, len(m))
		for k := range m {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			if err := w.add(k, m[k]); err != nil {
				return err
			}
		}
	}
	for _, c := range j.Certificates {
		if name, b := certificateFile(c); !w.has(name) {
			if err := w.add(name, b); err != nil {
				return err
			}
		}
	}
	for _, k := range j.Keys {
		v, err := ParsePublicKey(k)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%s%08x", keysFolder, v.KeyHash())
		if w.has(name + ".pub") {
			continue
		}
		text, err := publicPEM(k)
		if err != nil {
			return err
		}
		if err := w.add(name+".pub", []byte(strings.TrimSpace(k)+"\n")); err != nil {
			return err
		}
		if err := w.add(name+".pem", []byte(text)); err != nil {
			return err
		}
	}
	return nil
}

// publicPEM writes the line of a public key as PEM (RFC 8410), which openssl reads.
func publicPEM(line string) (string, error) {
	if _, err := ParsePublicKey(line); err != nil {
		return "", err
	}
	fields := strings.SplitN(strings.TrimSpace(line), "+", 3) // name, id and base64, which may hold plus signs
	raw, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return "", fmt.Errorf("%w: public key", ErrFormat)
	}
	der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(raw[1:]))
	if err != nil {
		return "", fmt.Errorf("evidence: public key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

// Finish makes the checks and writes the rest of the pack. head gives Made, By, Journal
// and Scope of the record. It returns the record as it is in the pack; what it found
// wrong is in it, and is no error. The pack is then complete, but not closed nor synced.
func (w *PackWriter) Finish(ctx context.Context, head Record, key *Key, trust Trust) (Record, error) {
	rec := head
	rec.Format, rec.Messages, rec.Stamps = PackFormat, w.list, []PackedStamp{}
	if rec.Messages == nil {
		rec.Messages = []PackMessage{}
	}
	if err := newPack(ctx, w.out, w.zip.files, w.Checks, trust, &rec).examine(); err != nil {
		return rec, err
	}
	rec.Checks = w.Checks.list(wherePack, whereArchive)
	rec.Verdict = verdict(rec.Checks)
	record, err := rec.encode()
	if err != nil {
		return rec, err
	}
	if len(record) > maxRecord {
		return rec, fmt.Errorf("%w: a record of %d messages", ErrTooLarge, len(rec.Messages))
	}
	report, err := rec.report()
	if err != nil {
		return rec, err
	}
	for _, f := range []struct {
		name string
		b    []byte
	}{{readmeName, []byte(readme(&rec))}, {recordName, record}, {reportName, report}} {
		if err := w.add(f.name, f.b); err != nil {
			return rec, err
		}
	}
	var sums strings.Builder
	for _, f := range w.zip.files {
		fmt.Fprintf(&sums, "%s  %s\n", f.sum, f.name)
	}
	signed, err := note.Sign(&note.Note{Text: noteText([]byte(sums.String()))}, key.signer)
	if err != nil {
		return rec, fmt.Errorf("evidence: sign pack: %w", err)
	}
	if err := w.add(sumsName, []byte(sums.String())); err != nil {
		return rec, err
	}
	if err := w.add(noteName, signed); err != nil {
		return rec, err
	}
	return rec, w.zip.Close()
}

// noteText is what is signed of SHA256SUMS. Its first line is no name of a journal, so
// that it can never be taken for a checkpoint.
func noteText(sums []byte) string {
	return fmt.Sprintf("%s\n%s  %s\n", PackFormat, greffe.DigestOf(sums), sumsName)
}

// encode writes preuve.json.
func (r *Record) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // for people
	e.SetIndent("", " ")
	if err := e.Encode(r); err != nil {
		return nil, fmt.Errorf("evidence: write record: %w", err)
	}
	return b.Bytes(), nil
}
