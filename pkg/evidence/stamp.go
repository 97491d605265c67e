package evidence

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"greffe/pkg/greffe"
)

// maxStamp bounds the bytes of a stamp.
const maxStamp = 4 << 10

// Stamp is what a time-stamping authority attests: a checkpoint, and the tokens that it
// gave before, so that whoever forges one must forge all that came since. It is a text of
// six lines, whose SHA-256 is the imprint of the token beside it:
//
//	greffe-stamp/1
//	checkpoint <key> <SHA-256>
//	root <root of the tree, base64>
//	previous <key> <SHA-256>     the token (.tsr) before this one, or "previous -"
//	month <key> <SHA-256>        the newest token at least a month older than the checkpoint, or "month -"
//	year <key> <SHA-256>         the newest one at least a year older, or "year -"
//
// openssl ts -verify -data x.stamp -in x.tsr -CAfile ca.pem checks it.
type Stamp struct {
	Checkpoint            Link
	Root                  tlog.Hash
	Previous, Month, Year Link
}

const stampHead = "greffe-stamp/1\n"

// Range returns the range of entries of the checkpoint.
func (s *Stamp) Range() Range {
	r, _, _ := ParseKey(s.Checkpoint.Key)
	return r
}

// Bytes returns the stamp as it is stored and stamped.
func (s *Stamp) Bytes() []byte {
	return fmt.Appendf(nil, stampHead+"checkpoint %s\nroot %s\nprevious %s\nmonth %s\nyear %s\n",
		s.Checkpoint.text(), s.Root, s.Previous.text(), s.Month.text(), s.Year.text())
}

// ParseStamp reads a stamp; ErrFormat for what Bytes does not write.
func ParseStamp(b []byte) (*Stamp, error) {
	bad := func(why string) (*Stamp, error) { return nil, fmt.Errorf("%w: stamp: %s", ErrFormat, why) }
	if len(b) > maxStamp {
		return bad("too long")
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) != 7 {
		return bad("number of lines")
	}
	s := &Stamp{}
	for i, l := range []*Link{&s.Checkpoint, nil, &s.Previous, &s.Month, &s.Year} {
		_, text, _ := strings.Cut(lines[i+1], " ")
		if l == nil {
			var err error
			if s.Root, err = tlog.ParseHash(text); err != nil {
				return bad("root")
			}
			continue
		}
		if text == "-" && l != &s.Checkpoint {
			continue
		}
		key, sum, _ := strings.Cut(text, " ")
		*l = Link{key, greffe.Digest(sum)}
		want := KindToken
		if l == &s.Checkpoint {
			want = KindCheckpoint
		}
		if _, kind, ok := ParseKey(key); !ok || kind != want || !l.SHA256.Valid() {
			return bad("line " + fmt.Sprint(i+2))
		}
	}
	if !bytes.Equal(s.Bytes(), b) {
		return bad("not spelled as it must be")
	}
	return s, nil
}
