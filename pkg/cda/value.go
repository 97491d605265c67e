package cda

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"crypto/sha1" //nolint:gosec // the default of HL7; it shows damage, it proves nothing
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"strings"

	"greffe/pkg/greffe"
)

// Limits of a compressed value: beyond them it is a bomb.
const (
	maxInflated  = 256 << 20 // bytes
	maxRatio     = 200       // bytes out for each byte in
	freeInflated = 1 << 20   // bytes that no ratio is asked for
)

// Value is one file that a document carries. It is an io.Reader of the bytes of the file:
// decoded from base64, decompressed when the document says that they are compressed. It is
// of use during the call that it was given to.
type Value struct {
	N         int    // from 0, in document order
	MediaType string // as declared, lower-case, without parameters; "" when none is. What the bytes are is for the caller to find out.

	tag      *valueTag
	text     *encodedText
	r        io.Reader
	raw      *tally // of the decoded bytes, when they are compressed or have a checksum
	file     *tally // of the file, when it has a checksum
	finished bool
}

// valueTag is what the tag of a value says.
type valueTag struct {
	mediaType   string
	compression string // upper-case
	check       string // integrityCheck
	algorithm   string
}

func readTag(s *Scanner) *valueTag {
	return &valueTag{
		mediaType:   cleanMediaType(s.Attr("mediaType")),
		compression: strings.ToUpper(strings.TrimSpace(s.Attr("compression"))),
		check:       strings.Join(strings.Fields(s.Attr("integrityCheck")), ""),
		algorithm:   strings.ToUpper(strings.TrimSpace(s.Attr("integrityCheckAlgorithm"))),
	}
}

func newValue(n int, tag *valueTag, s *Scanner) *Value {
	v := &Value{N: n, MediaType: tag.mediaType, tag: tag, text: &encodedText{s: s, chunk: s.Text()}}
	v.r = v.text
	if tag.check != "" || tag.inflates() {
		v.raw = newTally(v.r, tag)
		v.r = v.raw
	}
	if tag.inflates() {
		v.r = &inflater{in: v.raw}
		if tag.check != "" {
			v.file = newTally(v.r, tag)
			v.r = v.file
		}
	}
	return v
}

// inflates reports whether the value is compressed by a method that we read: DF is RFC 1951,
// GZ RFC 1952, ZL RFC 1950 (HL7 v3 data types, CompressionAlgorithm).
func (t *valueTag) inflates() bool {
	return t.compression == "DF" || t.compression == "GZ" || t.compression == "ZL"
}

// Read implements io.Reader. A *ValueError says that the file cannot be had, though the
// document goes on after it.
func (v *Value) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.finished = v.finished || errors.Is(err, io.EOF)
	return n, err
}

// ValueError says why the file in a value cannot be had.
type ValueError struct {
	Reason string // French, a few words
}

// Error names the fault, never the content.
func (e *ValueError) Error() string { return "decompress a value: " + e.Reason }

// Finding returns the finding that the error stands for.
func (e *ValueError) Finding(where string) greffe.Finding { return ruleCompressed.At(where, e.Reason) }

// Findings returns what is wrong with the value. Call it after the last Read.
func (v *Value) Findings(where string) []greffe.Finding {
	var findings []greffe.Finding
	add := func(r greffe.Rule, args ...any) { findings = append(findings, r.At(where, args...)) }
	if v.text.dec.foreign > 0 {
		add(ruleForeign)
	}
	if v.text.dec.cut {
		add(ruleCut)
	}
	if c := v.tag.compression; c != "" && !v.tag.inflates() {
		add(ruleMethod, clipRunes(c, 20))
	}
	switch {
	case v.tag.check == "" || !v.finished:
	case v.raw.h == nil:
		add(ruleAlgorithm, clipRunes(v.tag.algorithm, 20))
	case v.raw.equals(v.tag.check), v.file != nil && v.file.equals(v.tag.check):
	default:
		add(ruleIntegrity)
	}
	return findings
}

// clipRunes shortens a word of a document for a sentence.
func clipRunes(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}

// tally counts and hashes what is read through it.
type tally struct {
	r io.Reader
	n int64
	h hash.Hash // nil without a checksum to compare, or for an algorithm that is not known
}

func newTally(r io.Reader, tag *valueTag) *tally {
	t := &tally{r: r}
	if tag.check == "" {
		return t
	}
	switch tag.algorithm {
	case "", "SHA-1", "SHA1":
		t.h = sha1.New() //nolint:gosec // see above
	case "SHA-256", "SHA256":
		t.h = sha256.New()
	}
	return t
}

func (t *tally) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.n += int64(n)
	if t.h != nil {
		t.h.Write(p[:n])
	}
	return n, err
}

// equals compares with a checksum as HL7 writes it, in base64, or as some senders do, in
// hexadecimal digits.
func (t *tally) equals(check string) bool {
	if t.h == nil {
		return false
	}
	sum := t.h.Sum(nil)
	return strings.TrimRight(check, "=") == base64.RawStdEncoding.EncodeToString(sum) || strings.EqualFold(check, hex.EncodeToString(sum))
}

// inflater decompresses within limits. Which of the three methods it is follows from the
// bytes: senders mix their names up.
type inflater struct {
	in  *tally
	r   io.Reader
	n   int64
	err error
}

func (f *inflater) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	if f.r == nil {
		if f.err = f.open(); f.err != nil {
			return 0, f.err
		}
	}
	n, err := f.r.Read(p)
	f.n += int64(n)
	switch {
	case f.n > maxInflated, f.n > freeInflated && f.n > maxRatio*f.in.n:
		f.err = &ValueError{"il est démesuré une fois décompressé"}
		return 0, f.err
	case err != nil && !errors.Is(err, io.EOF):
		f.err = f.fault(err)
	default:
		f.err = err
	}
	return n, f.err
}

func (f *inflater) open() error {
	in := bufio.NewReader(f.in)
	head, _ := in.Peek(2) // an error comes again
	var err error
	switch {
	case len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b:
		f.r, err = gzip.NewReader(in)
	case len(head) == 2 && head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0:
		f.r, err = zlib.NewReader(in)
	default:
		f.r = flate.NewReader(in)
	}
	if err != nil {
		return f.fault(err)
	}
	return nil
}

// fault tells what is wrong with the compressed bytes from what is wrong with the document
// or its reader.
func (f *inflater) fault(err error) error {
	if text, ok := f.in.r.(*encodedText); ok && text.err != nil && !errors.Is(text.err, io.EOF) {
		return text.err
	}
	return &ValueError{"son contenu est abîmé"}
}
