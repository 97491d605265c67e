package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
)

// sealedRange is what the archive holds of one sealed range of entries, as its keys say.
type sealedRange struct {
	evidence.Range
	kinds map[string]string // kind to the version that is on top
}

// journal holds the journal of the index against its sealed segments, these against
// their checkpoints, and these against each other. It reads the ranges in the order of
// their entries, from the first that was asked for.
//
// It holds some 200 bytes for each sealed range: 100 MB for a year in which each
// minute had something to seal.
func (v *verifier) journal(ctx context.Context) error {
	ranges, err := v.ranges(ctx)
	if err != nil {
		return err
	}
	w, err := v.walkJournal(ctx)
	if err != nil {
		return err
	}
	if v.opt.Message != "" {
		return w.about(ctx, ranges)
	}
	first := 0
	if since := v.opt.journalSince(); !since.IsZero() {
		day := since.UTC().Truncate(24 * time.Hour)
		first = max(0, min(len(ranges)-1, slices.IndexFunc(ranges, func(r sealedRange) bool { return !r.Day.Before(day) })))
		if len(ranges) > 0 && ranges[len(ranges)-1].Day.Before(day) {
			first = len(ranges) - 1 // the last of all is always looked at
		}
	}
	if first > 0 {
		if err := w.begin(ctx, ranges[first].First); err != nil {
			return err
		}
	}
	v.mu.Lock()
	v.total += len(ranges) - first
	v.mu.Unlock()
	for i := first; i < len(ranges); i++ {
		if err := w.sealed(ctx, ranges[i], i == len(ranges)-1); err != nil {
			return err
		}
		v.progress()
	}
	if err := w.tail(ctx); err != nil {
		return err
	}
	w.pastGaps()
	if err := w.gapOfStamps(ctx); err != nil {
		return err
	}
	return w.later(ctx)
}

// journalSince is the day from which on the journal is looked at.
func (o *VerifyOptions) journalSince() time.Time {
	if o.JournalSince.After(o.Since) {
		return o.JournalSince
	}
	return o.Since
}

// ranges lists what is below journal/, in the order of the entries.
func (v *verifier) ranges(ctx context.Context) ([]sealedRange, error) {
	var list []sealedRange
	for i, err := range v.store.List(ctx, archive.JournalPrefix) {
		if err != nil {
			return nil, err
		}
		r, kind, ok := evidence.ParseKey(i.Key)
		if !ok {
			if !strings.HasPrefix(i.Key, evidence.KeysPrefix()) {
				v.add(Problem{Check: OrphanForeignKey, Key: i.Key}, nil)
			}
			continue
		}
		if n := len(list); n == 0 || list[n-1].Range != r {
			list = append(list, sealedRange{r, map[string]string{}})
		}
		list[len(list)-1].kinds[kind] = i.Version
	}
	slices.SortStableFunc(list, func(a, b sealedRange) int {
		if a.First != b.First {
			return int(a.First - b.First)
		}
		return int(a.Last - b.Last)
	})
	return list, nil
}

// chain holds entries of the index, which come one after the other, against the ones
// before.
func (w *journalWalk) chain(entries []greffe.Entry) {
	v := w.v
	good, steady := int64(0), int64(0)
	for i := range entries {
		e := &entries[i]
		if err := greffe.CheckChain(w.seq, w.hash, entries[i:i+1]); err != nil {
			v.add(Problem{Check: CheckChain, Entry: e.Seq}, err)
		} else {
			good++
		}
		if e.At.Before(w.at.Add(-clockSlack)) {
			w.clock(Problem{Check: CheckClock, Entry: e.Seq}, fmt.Errorf("the time goes back from %s to %s", stamp(w.at), stamp(e.At)))
		} else {
			steady++
		}
		w.seq, w.hash, w.at = e.Seq, e.Hash, e.At
	}
	v.held(CheckChain, good)
	v.held(CheckClock, steady)
	v.mu.Lock()
	v.rep.Journal += int64(len(entries))
	v.mu.Unlock()
}

// tail looks at what is not sealed yet: it must follow what is, and not wait for long.
func (w *journalWalk) tail(ctx context.Context) error {
	v := w.v
	unsealed, late := int64(0), false
	for {
		list, err := v.db.JournalAfter(ctx, w.seq, evidence.MaxEntries)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			break
		}
		if unsealed == 0 && time.Since(list[0].At) > sealPatience {
			// It may have been sealed since the archive was listed.
			if _, err := v.db.SealOf(ctx, list[0].Seq); err != nil {
				late = true
				v.add(Problem{Check: CheckSealing, Entry: list[0].Seq}, fmt.Errorf("from %s", stamp(list[0].At)))
			}
		}
		unsealed += int64(len(list))
		w.chain(list)
	}
	v.mu.Lock()
	v.rep.Unsealed = unsealed
	v.mu.Unlock()
	if !late {
		v.held(CheckSealing, 1)
	}
	return nil
}

// later looks for seals that the index knows beyond all that the archive showed: the
// end of the journal may have been cut off.
func (w *journalWalk) later(ctx context.Context) error {
	for last := w.last; ; {
		list, err := w.v.db.Seals(ctx, last, 1000)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, s := range list {
			last = s.Last
			if !s.Done {
				continue
			}
			_, err := w.v.store.Stat(ctx, s.Checkpoint.Key)
			switch {
			case err == nil: // sealed since the archive was listed
			case errors.Is(err, archive.ErrNotFound), errors.Is(err, archive.ErrKey):
				w.v.add(Problem{Check: CheckCheckpoint, Entry: s.First, Key: s.Checkpoint.Key}, err)
			default:
				return err
			}
		}
	}
}
