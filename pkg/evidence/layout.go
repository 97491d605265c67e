package evidence

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"greffe/pkg/archive"
)

// Kinds of objects of a range, which are the ends of their keys.
const (
	KindSegment    = ".jsonl"
	KindFacts      = ".facts.jsonl"
	KindCheckpoint = ".checkpoint"
	KindStamp      = ".stamp"
	KindToken      = ".tsr"
)

// keysPrefix is where public keys are.
const keysPrefix = archive.JournalPrefix + "keys/"

// maxSeq is the greatest number that twelve digits write.
const maxSeq = 999_999_999_999

// Range is a run of entries that was sealed at once, First and Last included.
type Range struct {
	First, Last int64
	Day         time.Time // UTC day of the entry Last
}

// NewRange returns the range of the entries first to last, the last one made at at.
func NewRange(first, last int64, at time.Time) Range {
	return Range{first, last, at.UTC().Truncate(24 * time.Hour)}
}

// Valid reports whether the range has between 1 and MaxEntries entries and a day of
// which keys can be made.
func (r Range) Valid() bool {
	y := r.Day.Year()
	return r.First >= 1 && r.Last >= r.First && r.Last-r.First < MaxEntries && r.Last <= maxSeq && y >= 1000 && y <= 9999
}

// Key returns the key of the object of that kind; "" when the range is not valid,
// which every store refuses.
func (r Range) Key(kind string) string {
	if !r.Valid() {
		return ""
	}
	return fmt.Sprintf("%s%s%012d-%012d%s", archive.JournalPrefix, r.Day.Format("2006/01/02/"), r.First, r.Last, kind)
}

// ParseKey returns the range and the kind of an object below journal/; ok is false for
// any key that Range.Key does not give, those of public keys included.
func ParseKey(key string) (r Range, kind string, ok bool) {
	rest, ok := strings.CutPrefix(key, archive.JournalPrefix)
	const day, name = len("2006/01/02/"), len("000000000001-000000000002")
	if !ok || len(rest) < day+name || rest[day+12] != '-' {
		return Range{}, "", false
	}
	at, err := time.Parse("2006/01/02/", rest[:day])
	first, err1 := strconv.ParseInt(rest[day:day+12], 10, 64)
	last, err2 := strconv.ParseInt(rest[day+13:day+name], 10, 64)
	if err != nil || err1 != nil || err2 != nil {
		return Range{}, "", false
	}
	r, kind = Range{first, last, at}, rest[day+name:]
	switch kind {
	case KindSegment, KindFacts, KindCheckpoint, KindStamp, KindToken:
		return r, kind, r.Key(kind) == key
	}
	return Range{}, "", false
}
