package evidence

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"greffe/pkg/greffe"
)

// Limits of a segment. A text of an entry has at most 256 bytes, so that a line has
// less than 10 KiB however it is escaped.
const (
	MaxEntries = 10_000
	maxLine    = 16 << 10
	MaxSegment = MaxEntries * maxLine // bytes
)

// timeFormat is RFC 3339 with exactly three decimals; times are UTC.
const timeFormat = "2006-01-02T15:04:05.000Z"

// line is an entry as JSON: its members in the order of the format.
type line struct {
	Seq     int64         `json:"seq"`
	At      string        `json:"at"`
	Actor   string        `json:"actor"`
	Action  string        `json:"action"`
	Subject string        `json:"subject"`
	From    string        `json:"from"`
	Result  string        `json:"result"`
	Detail  string        `json:"detail"`
	Prev    greffe.Digest `json:"prev"`
	Hash    greffe.Digest `json:"hash"`
}

// Segment is a sealed run of entries.
type Segment struct {
	Entries []greffe.Entry
	Lines   [][]byte // of each entry, without the line feed: the leaves of the tree
}

// Bytes returns the segment as it is stored.
func (s *Segment) Bytes() []byte {
	b := bytes.Join(s.Lines, []byte("\n"))
	return append(b, '\n')
}

// NewSegment writes entries as a segment. They must be between 1 and MaxEntries, follow
// one another (greffe.CheckChain) and have times that RFC 3339 writes.
func NewSegment(entries []greffe.Entry) (*Segment, error) {
	if len(entries) == 0 || len(entries) > MaxEntries {
		return nil, fmt.Errorf("%w: a segment of %d entries", ErrFormat, len(entries))
	}
	if err := greffe.CheckChain(entries[0].Seq-1, entries[0].Prev, entries); err != nil {
		return nil, fmt.Errorf("evidence: write segment: %w", err)
	}
	s := &Segment{Entries: entries, Lines: make([][]byte, len(entries))}
	var b bytes.Buffer
	enc := newEncoder(&b)
	ends := make([]int, len(entries))
	for i := range entries {
		if err := encodeLine(enc, &entries[i]); err != nil {
			return nil, err
		}
		ends[i] = b.Len()
	}
	begin := 0
	for i, end := range ends {
		if s.Lines[i] = b.Bytes()[begin : end-1 : end-1]; len(s.Lines[i]) > maxLine-1 {
			return nil, fmt.Errorf("%w: entry %d is too long", ErrFormat, entries[i].Seq)
		}
		begin = end
	}
	return s, nil
}

func newEncoder(b *bytes.Buffer) *json.Encoder {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false) // for people
	return enc
}

func encodeLine(enc *json.Encoder, e *greffe.Entry) error {
	if y := e.At.UTC().Year(); y < 1000 || y > 9999 || e.At.Nanosecond()%1e6 != 0 {
		return fmt.Errorf("%w: time of entry %d", ErrFormat, e.Seq)
	}
	err := enc.Encode(line{e.Seq, e.At.UTC().Format(timeFormat), e.Actor, e.Action, e.Subject, e.From, e.Result, e.Detail, e.Prev, e.Hash})
	if err != nil {
		return fmt.Errorf("evidence: write entry %d: %w", e.Seq, err)
	}
	return nil
}

// ParseSegment reads a segment. It returns ErrFormat for what NewSegment would not have
// written byte by byte, whatever the entries say, and greffe.ErrChain when they do not
// follow one another: then the segment is returned, too, so that a person can look at it.
// Whether they follow the segment before is for the caller to check, with
// greffe.CheckChain. It keeps b.
func ParseSegment(b []byte) (*Segment, error) {
	if len(b) == 0 || len(b) > MaxSegment || b[len(b)-1] != '\n' {
		return nil, fmt.Errorf("%w: segment of %d bytes that ends with a line", ErrFormat, len(b))
	}
	n := bytes.Count(b, []byte("\n"))
	if n > MaxEntries {
		return nil, fmt.Errorf("%w: segment of %d lines", ErrFormat, n)
	}
	s := &Segment{Entries: make([]greffe.Entry, 0, n), Lines: make([][]byte, 0, n)}
	var again bytes.Buffer
	enc := newEncoder(&again)
	for text := range bytes.Lines(b) {
		e, err := parseLine(text[:len(text)-1], enc, &again)
		if err != nil {
			return nil, fmt.Errorf("line %d of segment: %w", len(s.Lines)+1, err)
		}
		s.Entries, s.Lines = append(s.Entries, e), append(s.Lines, text[:len(text)-1:len(text)-1])
	}
	if err := greffe.CheckChain(s.Entries[0].Seq-1, s.Entries[0].Prev, s.Entries); err != nil {
		return s, fmt.Errorf("evidence: segment: %w", err)
	}
	return s, nil
}

// ParseLine reads one line of a segment, without its line feed. It returns ErrFormat for
// one that is not written as NewSegment does, and greffe.ErrChain, with the entry, when
// its hash is not that of its fields.
func ParseLine(text []byte) (greffe.Entry, error) {
	var again bytes.Buffer
	e, err := parseLine(text, newEncoder(&again), &again)
	if err == nil {
		err = greffe.CheckChain(e.Seq-1, e.Prev, []greffe.Entry{e})
	}
	return e, err
}

func parseLine(text []byte, enc *json.Encoder, again *bytes.Buffer) (greffe.Entry, error) {
	bad := func(why string) (greffe.Entry, error) {
		return greffe.Entry{}, fmt.Errorf("%w: %s", ErrFormat, why)
	}
	if len(text) >= maxLine {
		return bad("too long")
	}
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return bad("not JSON")
	}
	at, err := time.Parse(timeFormat, l.At)
	if err != nil || l.Seq < 1 || l.Seq > maxSeq || !l.Prev.Valid() || !l.Hash.Valid() {
		return bad("a number, a time or a digest is out of range")
	}
	e := greffe.Entry{
		Seq: l.Seq, At: at, Actor: l.Actor, Action: l.Action, Subject: l.Subject, From: l.From,
		Result: l.Result, Detail: l.Detail, Prev: l.Prev, Hash: l.Hash,
	}
	again.Reset()
	if err := encodeLine(enc, &e); err != nil {
		return greffe.Entry{}, err
	}
	// One entry has one spelling: nothing can hide in blanks, escapes or doubled members.
	if !bytes.Equal(again.Bytes()[:again.Len()-1], text) {
		return bad("not spelled as it must be")
	}
	return e, nil
}

// LeafHash returns the hash of the leaf that a line is (RFC 6962 §2.1).
func LeafHash(line []byte) tlog.Hash { return tlog.RecordHash(line) }
