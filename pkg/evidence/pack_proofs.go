package evidence

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const proofsFirst = "greffe-proofs/1"

// EntryProof says that entry Seq is in the tree of a checkpoint; see ProveEntry.
type EntryProof struct {
	Seq        int64
	Checkpoint *Checkpoint
	Hashes     []tlog.Hash
}

// GrowthProof says that the tree of New begins with that of Old; see ProveGrowth.
type GrowthProof struct {
	Old, New *Checkpoint
	Hashes   []tlog.Hash
}

// sides returns for each hash of the proof of leaf index in a tree of size leaves
// whether it is the left (L) or the right (R) one (RFC 9162 §2.1.3.2); "" when index is
// not in the tree.
func sides(index, size int64) string {
	if index < 0 || index >= size {
		return ""
	}
	var b strings.Builder
	for last := size - 1; last > 0; index, last = index>>1, last>>1 {
		if index&1 == 1 || index == last {
			for index&1 == 0 { // the last leaf of an incomplete level goes up alone
				index, last = index>>1, last>>1
			}
			b.WriteByte('L')
		} else {
			b.WriteByte('R')
		}
	}
	return b.String()
}

// encodeProofs writes proofs.txt.
func encodeProofs(w io.Writer, entries []EntryProof, growth []GrowthProof) error {
	b := bufio.NewWriter(w)
	b.WriteString(proofsFirst + "\n")
	for _, p := range entries {
		side := sides(p.Seq-1, p.Checkpoint.Size)
		if len(side) != len(p.Hashes) {
			return fmt.Errorf("%w: proof of entry %d", ErrMismatch, p.Seq)
		}
		fmt.Fprintf(b, "\nentry %d %s\n", p.Seq, p.Checkpoint.Key())
		for i, h := range p.Hashes {
			fmt.Fprintf(b, "%c %s\n", side[i], h)
		}
	}
	for _, p := range growth {
		fmt.Fprintf(b, "\ngrowth %s %s\n", p.Old.Key(), p.New.Key())
		for _, h := range p.Hashes {
			fmt.Fprintf(b, "%s\n", h)
		}
	}
	return b.Flush()
}

// proofBlock is one block of proofs.txt.
type proofBlock struct {
	seq    int64 // of an entry; 0: growth
	keys   []string
	sides  string
	hashes []tlog.Hash
}

// readProofs calls f for each block of proofs.txt, which it reads strictly: ErrFormat
// for what encodeProofs does not write. Memory does not grow with r.
func readProofs(r io.Reader, f func(proofBlock) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 1<<10), 1<<10)
	s.Split(wholeLines)
	bad := func(why string) error { return fmt.Errorf("%w: proofs: %s", ErrFormat, why) }
	if !s.Scan() || s.Text() != proofsFirst {
		return bad("first line")
	}
	var b *proofBlock
	flush := func() error {
		if b == nil {
			return nil
		}
		return f(*b)
	}
	empty := false
	for s.Scan() {
		line := s.Text()
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" && !empty:
			empty = true
			continue
		case empty && word == "entry":
			if err := flush(); err != nil {
				return err
			}
			number, key, _ := strings.Cut(rest, " ")
			seq, err := strconv.ParseInt(number, 10, 64)
			if err != nil || seq < 1 || seq > maxSeq || strconv.FormatInt(seq, 10) != number || key == "" {
				return bad("entry")
			}
			b = &proofBlock{seq: seq, keys: []string{key}}
		case empty && word == "growth":
			if err := flush(); err != nil {
				return err
			}
			old, next, ok := strings.Cut(rest, " ")
			if !ok {
				return bad("growth")
			}
			b = &proofBlock{keys: []string{old, next}}
		case !empty && b != nil && len(b.hashes) < MaxProof:
			text := line
			if b.seq > 0 {
				if word != "L" && word != "R" {
					return bad("side")
				}
				b.sides += word
				text = rest
			}
			h, err := tlog.ParseHash(text)
			if err != nil || h.String() != text {
				return bad("hash")
			}
			b.hashes = append(b.hashes, h)
		default:
			return bad("line")
		}
		empty = false
	}
	if s.Err() != nil || empty {
		return bad("end")
	}
	return flush()
}

// wholeLines splits into lines that end with a line feed; anything else is an error.
func wholeLines(data []byte, end bool) (int, []byte, error) {
	for i, c := range data {
		if c == '\n' {
			return i + 1, data[:i], nil
		}
	}
	if end && len(data) > 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return 0, nil, nil
}
