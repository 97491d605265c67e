package evidence

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"greffe/pkg/greffe"
)

// Limits of a facts file.
const (
	maxFact  = 1 << 20   // bytes of one fact
	MaxFacts = 256 << 20 // bytes of the file
)

// EncodeFacts returns the facts file of a segment whose entries have these facts, in
// the order of Seq; nil when there are none.
func EncodeFacts(facts []greffe.Fact) ([]byte, error) {
	var b bytes.Buffer
	last := int64(0)
	for _, f := range facts {
		if f.Seq <= last || len(f.Text) > maxFact || bytes.IndexByte(f.Text, '\n') >= 0 || !json.Valid(f.Text) {
			return nil, fmt.Errorf("%w: fact of entry %d", ErrFormat, f.Seq)
		}
		last = f.Seq
		fmt.Fprintf(&b, `{"seq":%d,"fact":%s}`+"\n", f.Seq, f.Text)
	}
	if b.Len() > MaxFacts {
		return nil, fmt.Errorf("%w: %d bytes of facts", ErrFormat, b.Len())
	}
	return b.Bytes(), nil
}

// ParseFacts reads a facts file; ErrFormat for what EncodeFacts does not write. It
// keeps b. CheckFacts compares them with their segment.
func ParseFacts(b []byte) ([]greffe.Fact, error) {
	if len(b) > MaxFacts || len(b) > 0 && b[len(b)-1] != '\n' {
		return nil, fmt.Errorf("%w: facts of %d bytes", ErrFormat, len(b))
	}
	var facts []greffe.Fact
	last := int64(0)
	for text := range bytes.Lines(b) {
		rest, ok1 := bytes.CutPrefix(text, []byte(`{"seq":`))
		number, rest, ok2 := bytes.Cut(rest, []byte(`,"fact":`))
		fact, ok3 := bytes.CutSuffix(rest, []byte("}\n"))
		seq, err := strconv.ParseInt(string(number), 10, 64)
		if !ok1 || !ok2 || !ok3 || err != nil || strconv.FormatInt(seq, 10) != string(number) || seq <= last || len(facts) == MaxEntries ||
			len(fact) > maxFact || !json.Valid(fact) {
			return nil, fmt.Errorf("%w: line %d of facts", ErrFormat, len(facts)+1)
		}
		last = seq
		facts = append(facts, greffe.Fact{Seq: seq, Text: fact})
	}
	return facts, nil
}

// CheckFacts checks that the entries and the facts name each other: each fact has the
// digest that its entry names, and no entry that names one is without. ErrMismatch
// with the number of the first entry that does not.
func CheckFacts(entries []greffe.Entry, facts []greffe.Fact) error {
	for i := range entries {
		e := &entries[i]
		want, _ := e.FactDigest()
		if len(facts) > 0 && facts[0].Seq == e.Seq {
			if greffe.DigestOf(facts[0].Text) != want {
				return fmt.Errorf("%w: fact of entry %d", ErrMismatch, e.Seq)
			}
			facts = facts[1:]
		} else if want != "" {
			return fmt.Errorf("%w: the fact of entry %d is missing", ErrMismatch, e.Seq)
		}
	}
	if len(facts) > 0 {
		return fmt.Errorf("%w: fact of entry %d, which is not in the segment or not in order", ErrMismatch, facts[0].Seq)
	}
	return nil
}
