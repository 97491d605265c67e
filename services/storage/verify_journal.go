package storage

import (
	"context"
	"errors"

	"greffe/pkg/greffe"
)

// journal checks the chain of the audit journal.
func (v *verifier) journal(ctx context.Context) error {
	var seq int64
	prev := greffe.FirstPrev
	var last greffe.Entry
	for {
		list, err := v.db.JournalAfter(ctx, seq, 10_000)
		if err != nil || len(list) == 0 {
			return err
		}
		for i := range list {
			e := &list[i]
			if err := greffe.CheckChain(seq, prev, list[i:i+1]); err != nil {
				v.add(Problem{Check: CheckChain, Entry: e.Seq}, err)
			}
			if e.At.Before(last.At.Add(-clockSlack)) {
				v.add(Problem{Check: CheckClock, Entry: e.Seq}, errors.New("the time goes back from "+stamp(last.At)+" to "+stamp(e.At)))
			}
			seq, prev, last = e.Seq, e.Hash, *e
		}
		v.held(CheckChain, int64(len(list)))
		v.held(CheckClock, int64(len(list)))
		v.mu.Lock()
		v.rep.Journal += int64(len(list))
		v.mu.Unlock()
	}
}
