package fhir

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"math/big"
	"slices"
	"time"
)

// Provide returns the ITI-65 transaction of the submission: List,
// DocumentReference, Binary and, for a replacement, the PATCH that supersedes the
// old reference, all or nothing. Without content (reference mode) the List and
// the Binary are left out and the attachment points at s.URL.
//
// A repeat creates neither List nor DocumentReference again (ifNoneExist). The
// content is opened when the request is sent and streamed into it.
func (s *Submission) Provide(content *Blob) *Transaction {
	ref := s.Reference()
	refURL := "urn:uuid:" + s.UUID
	binURL := ""
	b := Bundle{ResourceType: "Bundle", Type: "transaction"}
	if content != nil {
		binURL = "urn:uuid:" + s.derived("binary")
		ref.Content[0].Attachment.URL = binURL
		set := Identifier{Use: "usual", System: uri, Value: "urn:oid:" + s.submissionOID()}
		list := List{
			ResourceType: "List", Status: "current", Mode: "working",
			Identifier: []Identifier{set},
			Code:       &Concept{Coding: []Coding{{System: listTypes, Code: "submissionset"}}},
			Subject:    ref.Subject,
			Date:       s.At.Format(time.RFC3339),
			Entry:      []ListEntry{{Item: Reference{Reference: refURL}}},
		}
		if s.SourceID != "" {
			list.Extension = append(list.Extension, Extension{
				URL:             "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-sourceId",
				ValueIdentifier: &Identifier{System: uri, Value: "urn:oid:" + s.SourceID},
			})
		}
		if c := concept(s.Document.Type, typeSystem); c != nil {
			list.Extension = append(list.Extension, Extension{
				URL:          "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-designationType",
				ValueConcept: c,
			})
		}
		b.Entry = append(b.Entry,
			Entry{FullURL: "urn:uuid:" + s.derived("list"), Resource: raw(list), Request: &Request{Method: "POST", URL: "List", IfNoneExist: query("identifier", set.Token())}},
			Entry{FullURL: refURL, Resource: raw(ref), Request: &Request{Method: "POST", URL: "DocumentReference", IfNoneExist: s.IfNoneExist()}},
		)
	} else {
		b.Entry = append(b.Entry, Entry{FullURL: refURL, Resource: raw(ref), Request: &Request{Method: "POST", URL: "DocumentReference", IfNoneExist: s.IfNoneExist()}})
	}
	if s.Replaces != "" {
		b.Entry = append(b.Entry, Entry{Resource: raw(Setting("DocumentReference.status", "superseded")), Request: &Request{Method: "PATCH", URL: s.Replaces}})
	}
	t := &Transaction{want: len(b.Entry), content: content}
	for i, e := range b.Entry {
		if e.FullURL == refURL {
			t.reference = i
		}
	}
	t.head = raw(b)
	if content != nil {
		// The Binary is the last entry. Its JSON is cut where the content goes: a text
		// inside a JSON string cannot look like the empty member, its quotes are escaped.
		t.want++
		e := raw(Entry{FullURL: binURL, Resource: raw(Binary{ResourceType: "Binary", ContentType: s.Document.MediaType}), Request: &Request{Method: "POST", URL: "Binary"}})
		before, after, _ := bytes.Cut(e, []byte(`"data":""`))
		t.head = slices.Concat(bytes.TrimSuffix(t.head, []byte("]}")), []byte(","), before, []byte(`"data":"`))
		t.tail = slices.Concat([]byte(`"`), after, []byte("]}"))
	}
	return t
}

// derived returns another UUID that depends only on the submission.
func (s *Submission) derived(kind string) string {
	h := sha256.Sum256([]byte(s.UUID + "\x00" + kind))
	return UUID([16]byte(h[:16]))
}

// submissionOID returns an OID under 2.25 (ITU-T X.667): the submission set's
// uniqueId has to be one.
func (s *Submission) submissionOID() string {
	h := sha256.Sum256([]byte(s.UUID + "\x00set"))
	return "2.25." + new(big.Int).SetBytes(h[:16]).String()
}

// Blob is content that can be opened, more than once.
type Blob struct {
	Size int64
	Open func() (io.ReadCloser, error)
}

// Transaction is a request body that streams.
type Transaction struct {
	head, tail []byte
	content    *Blob
	want       int // entries
	reference  int // which entry is the DocumentReference
}

// size returns the length of the body in bytes.
func (t *Transaction) size() int64 {
	n := int64(len(t.head) + len(t.tail))
	if t.content != nil {
		n += (t.content.Size + 2) / 3 * 4
	}
	return n
}

// body opens the content and returns the whole request body.
func (t *Transaction) body() (io.ReadCloser, error) {
	if t.content == nil {
		return io.NopCloser(bytes.NewReader(t.head)), nil
	}
	f, err := t.content.Open()
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(t.head), &encoder{r: f}, bytes.NewReader(t.tail)), f}, nil
}

// encoder reads the base64 of r.
type encoder struct {
	r   io.Reader
	out []byte // encoded, not yet read
	buf [24 << 10]byte
	enc [32 << 10]byte
	err error
}

func (e *encoder) Read(p []byte) (int, error) {
	for len(e.out) == 0 {
		if e.err != nil {
			return 0, e.err
		}
		var n int
		n, e.err = io.ReadFull(e.r, e.buf[:]) // a multiple of 3 except at the end
		if errors.Is(e.err, io.ErrUnexpectedEOF) {
			e.err = io.EOF
		}
		if e.err != nil && !errors.Is(e.err, io.EOF) {
			return 0, e.err // nothing of a broken end is sent
		}
		base64.StdEncoding.Encode(e.enc[:], e.buf[:n])
		e.out = e.enc[:base64.StdEncoding.EncodedLen(n)]
	}
	n := copy(p, e.out)
	e.out = e.out[n:]
	return n, nil
}
