package fetcher

import (
	"errors"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// span is the UIDs from first to last, both included.
type span struct{ first, last uint32 }

// uidSet is a set of UIDs as ascending spans that do not touch: a mailbox of any
// size that was taken in full is one span. The zero value is empty.
type uidSet []span

// addSpan adds the UIDs from first to last.
func (s *uidSet) addSpan(first, last uint32) {
	if first == 0 || last < first {
		return
	}
	// i: the first span that ends at or after first-1, j: the first that begins after last+1.
	i, _ := slices.BinarySearchFunc(*s, first, func(e span, first uint32) int {
		if e.last < first-1 {
			return -1
		}
		return 1
	})
	j := i
	for j < len(*s) && (last == ^uint32(0) || (*s)[j].first <= last+1) {
		first, last = min(first, (*s)[j].first), max(last, (*s)[j].last)
		j++
	}
	*s = slices.Replace(*s, i, j, span{first, last})
}

func (s *uidSet) add(uid uint32) { s.addSpan(uid, uid) }

func (s *uidSet) addSet(t uidSet) {
	for _, e := range t {
		s.addSpan(e.first, e.last)
	}
}

func (s uidSet) has(uid uint32) bool {
	_, found := slices.BinarySearchFunc(s, uid, func(e span, uid uint32) int {
		switch {
		case e.last < uid:
			return -1
		case e.first > uid:
			return 1
		}
		return 0
	})
	return found
}

// count returns how many UIDs s holds.
func (s uidSet) count() int {
	n := 0
	for _, e := range s {
		n += int(e.last-e.first) + 1
	}
	return n
}

// all walks the UIDs in ascending order.
func (s uidSet) all() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for _, e := range s {
			for uid := e.first; ; uid++ {
				if !yield(uid) {
					return
				}
				if uid == e.last {
					break
				}
			}
		}
	}
}

// minus returns the UIDs of s that are not in t.
func (s uidSet) minus(t uidSet) uidSet {
	var out uidSet
	j := 0
	for _, e := range s {
		from, done := e.first, false
		for j > 0 && t[j-1].last >= e.first {
			j--
		}
		for ; j < len(t) && t[j].first <= e.last; j++ {
			if t[j].last < from {
				continue
			}
			if t[j].first > from {
				out = append(out, span{from, t[j].first - 1})
			}
			if t[j].last >= e.last {
				done = true
				break
			}
			from = t[j].last + 1
		}
		if !done {
			out = append(out, span{from, e.last})
		}
	}
	return out
}

// from returns the UIDs of s from first on.
func (s uidSet) from(first uint32) uidSet {
	var out uidSet
	for _, e := range s {
		if e.last >= first {
			out = append(out, span{max(e.first, first), e.last})
		}
	}
	return out
}

// String returns s in the syntax of an IMAP sequence set: "1:500,502".
func (s uidSet) String() string {
	var b []byte
	for i, e := range s {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(e.first), 10)
		if e.last > e.first {
			b = append(b, ':')
			b = strconv.AppendUint(b, uint64(e.last), 10)
		}
	}
	return string(b)
}

var errUIDSet = errors.New("not a set of UIDs")

// parseUIDSet reads what String wrote.
func parseUIDSet(text string) (uidSet, error) {
	var s uidSet
	if text == "" {
		return nil, nil
	}
	for item := range strings.SplitSeq(text, ",") {
		a, b, ranged := strings.Cut(item, ":")
		if !ranged {
			b = a
		}
		first, err1 := strconv.ParseUint(a, 10, 32)
		last, err2 := strconv.ParseUint(b, 10, 32)
		if err1 != nil || err2 != nil || first == 0 || last < first {
			return nil, errUIDSet
		}
		s.addSpan(uint32(first), uint32(last))
	}
	return s, nil
}
