package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"greffe/pkg/archive"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// Locks changes how long messages are kept. A message means its raw mail, its manifest
// and every part; content that other messages share is kept for the longest of them.
// Extending also extends what of the sealed journal proves the life of the message: the
// segments with its entries, their facts and checkpoints, the first time stamp after
// each, and the public keys. Every change has its entry in the journal.
//
// Its methods may be called at once and repeated; after a crash they are repeated.
type Locks struct {
	store archive.Store
	index *index.DB

	mu       sync.Mutex
	days     map[string][]archive.Info // what journal/ holds of some days
	extended map[string]time.Time      // objects of the journal, done in this run
}

// NewLocks returns what changes the locks of store. store and db stay the caller's.
func NewLocks(store archive.Store, db *index.DB) *Locks {
	return &Locks{store: store, index: db, days: map[string][]archive.Info{}, extended: map[string]time.Time{}}
}

const (
	lockWorkers = 8       // objects of a message at once
	keptDays    = 8       // days of the journal that are remembered
	keptObjects = 100_000 // objects of the journal that are remembered
)

// Kept says how one message is kept: what was found, and what was changed.
type Kept struct {
	Message greffe.MessageID `json:"message"`
	Objects int              `json:"objects"`        // raw mail, manifest and parts
	Until   time.Time        `json:"until"`          // the earliest end of their locks, before
	Held    int              `json:"held,omitempty"` // objects under a legal hold, before
	Changed int              `json:"changed"`        // objects that were changed, or would be
	Journal int              `json:"journal"`        // objects of the sealed journal that were extended, or would be
	Missing []string         `json:"missing,omitempty"`
}

// objectsOf returns every object of a message, the manifest last.
func objectsOf(d index.Detail) []greffe.Object {
	var list []greffe.Object
	seen := map[string]bool{}
	add := func(o greffe.Object) {
		if !o.IsZero() && !seen[o.Key+" "+o.Version] {
			seen[o.Key+" "+o.Version] = true
			list = append(list, o)
		}
	}
	add(d.Raw)
	for _, path := range slices.Sorted(maps.Keys(d.Objects)) {
		add(d.Objects[path])
	}
	add(d.Manifest)
	return list
}

// each calls f for every object of a message with its lock and adds up what is there.
// f returns whether the object changes.
func (l *Locks) each(ctx context.Context, d index.Detail, f func(context.Context, greffe.Object, archive.Info) (bool, error)) (Kept, error) {
	k := Kept{Message: d.ID}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lockWorkers)
	for _, o := range objectsOf(d) {
		g.Go(func() error {
			i, err := l.store.Retain(ctx, o, time.Time{}) // asks
			if errors.Is(err, archive.ErrNotFound) {
				mu.Lock()
				defer mu.Unlock()
				k.Missing = append(k.Missing, o.Key)
				return nil
			}
			if err != nil {
				return err
			}
			changed, err := f(ctx, o, i)
			mu.Lock()
			defer mu.Unlock()
			if k.Objects++; k.Until.IsZero() || i.RetainUntil.Before(k.Until) {
				k.Until = i.RetainUntil
			}
			if i.Held {
				k.Held++
			}
			if changed {
				k.Changed++
			}
			return err
		})
	}
	err := g.Wait()
	slices.Sort(k.Missing)
	return k, err
}

// Look says how a message is kept and changes nothing.
func (l *Locks) Look(ctx context.Context, d index.Detail) (Kept, error) {
	return l.each(ctx, d, func(context.Context, greffe.Object, archive.Info) (bool, error) { return false, nil })
}

// Extend keeps a message until until at least; a lock that ends later stays. With dry
// it only says what would change. by is who asked. The journal says "retained" once it
// is done, with the date and how many objects changed.
func (l *Locks) Extend(ctx context.Context, d index.Detail, until time.Time, by string, dry bool) (Kept, error) {
	extend := func(ctx context.Context, o greffe.Object, i archive.Info) (bool, error) {
		if !until.After(i.RetainUntil) || !until.After(time.Now()) {
			return false, nil
		}
		if dry {
			return true, nil
		}
		_, err := l.store.Retain(ctx, o, until)
		return err == nil, err
	}
	k, err := l.each(ctx, d, extend)
	if err != nil {
		return k, fmt.Errorf("extend message %s: %w", d.ID, err)
	}
	if k.Journal, err = l.extendJournal(ctx, d.ID, until, extend); err != nil {
		return k, fmt.Errorf("extend the journal of message %s: %w", d.ID, err)
	}
	if dry {
		return k, nil
	}
	result := "ok"
	if len(k.Missing) > 0 {
		result = "incomplete"
	}
	err = l.index.Append(ctx, greffe.Entry{Actor: by, Action: "retained", Subject: string(d.ID), Result: result,
		Detail: fmt.Sprintf("until=%s objects=%d changed=%d journal=%d", until.UTC().Format(time.RFC3339), k.Objects, k.Changed, k.Journal)})
	return k, err
}

// Hold puts a message under a legal hold, whatever its lock says, or releases it. What
// other held messages share stays held. reason is a reference, for the journal: it must
// name nobody. The sealed journal is never eliminated and needs no hold.
func (l *Locks) Hold(ctx context.Context, d index.Detail, on bool, by, reason string, dry bool) (Kept, error) {
	shared, err := l.heldElsewhere(ctx, d.ID, on)
	if err != nil {
		return Kept{}, err
	}
	h := index.Hold{Message: d.ID, By: by, Reason: reason}
	if on && !dry {
		if err := l.index.SaveHold(ctx, h, true); err != nil {
			return Kept{}, err
		}
	}
	k, err := l.each(ctx, d, func(ctx context.Context, o greffe.Object, i archive.Info) (bool, error) {
		if i.Held == on || shared[o.Key+" "+o.Version] {
			return false, nil
		}
		if dry {
			return true, nil
		}
		_, err := l.store.Hold(ctx, o, on)
		return err == nil, err
	})
	if err != nil {
		return k, fmt.Errorf("hold message %s: %w", d.ID, err)
	}
	if !on && !dry {
		return k, l.index.SaveHold(ctx, h, false)
	}
	return k, nil
}

// heldElsewhere returns the objects of the other messages that are held, for a release.
func (l *Locks) heldElsewhere(ctx context.Context, id greffe.MessageID, on bool) (map[string]bool, error) {
	if on {
		return nil, nil
	}
	holds, err := l.index.Holds(ctx)
	if err != nil {
		return nil, err
	}
	shared := map[string]bool{}
	for _, h := range holds {
		if h.Message == id {
			continue
		}
		d, err := l.index.Message(ctx, h.Message)
		if err != nil {
			return nil, fmt.Errorf("message %s, which is held: %w", h.Message, err)
		}
		for _, o := range objectsOf(d) {
			shared[o.Key+" "+o.Version] = true
		}
	}
	return shared, nil
}

// extendJournal extends what proves the entries about a message, each object once in a
// run. Entries that are not sealed yet are sealed with a lock of their own.
func (l *Locks) extendJournal(ctx context.Context, id greffe.MessageID, until time.Time, extend func(context.Context, greffe.Object, archive.Info) (bool, error)) (int, error) {
	wanted := map[string]greffe.Object{}
	for after := int64(0); ; {
		entries, err := l.index.About(ctx, id, after)
		if err != nil {
			return 0, err
		}
		for _, e := range entries {
			if err := l.proofs(ctx, e, wanted); err != nil {
				return 0, err
			}
			after = e.Seq
		}
		if len(entries) == 0 {
			break
		}
	}
	if len(wanted) > 0 {
		for i, err := range l.store.List(ctx, archive.JournalPrefix+"keys/") {
			if err != nil {
				return 0, err
			}
			wanted[i.Key] = i.Object
		}
	}
	n := 0
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		l.mu.Lock()
		done := !until.After(l.extended[key])
		l.mu.Unlock()
		if done {
			continue
		}
		o := wanted[key]
		i, err := l.store.Retain(ctx, o, time.Time{})
		if err != nil {
			return n, err
		}
		changed, err := extend(ctx, o, i)
		if err != nil {
			return n, err
		}
		if changed {
			n++
		}
		l.mu.Lock()
		if len(l.extended) >= keptObjects {
			clear(l.extended)
		}
		l.extended[key] = until
		l.mu.Unlock()
	}
	return n, nil
}

// proofs adds the objects that prove an entry: what was sealed with it, and the first
// time stamp that came after. A range is filed under the day of its last entry, which
// is the day of e or the next; stamps come every day.
func (l *Locks) proofs(ctx context.Context, e greffe.Entry, wanted map[string]greffe.Object) error {
	sealed := evidence.Range{}
	for n := range 3 {
		list, err := l.day(ctx, e.At.UTC().AddDate(0, 0, n))
		if err != nil {
			return err
		}
		for _, i := range list {
			r, kind, ok := evidence.ParseKey(i.Key)
			switch {
			case !ok || r.Last < e.Seq:
				continue
			case r.First <= e.Seq:
				sealed = r
				wanted[i.Key] = i.Object
			case sealed.Last == 0:
				continue
			}
			if kind == evidence.KindToken {
				stamp := slices.IndexFunc(list, func(s archive.Info) bool { return s.Key == r.Key(evidence.KindStamp) })
				checkpoint := slices.IndexFunc(list, func(s archive.Info) bool { return s.Key == r.Key(evidence.KindCheckpoint) })
				wanted[i.Key] = i.Object
				for _, at := range []int{stamp, checkpoint} {
					if at >= 0 {
						wanted[list[at].Key] = list[at].Object
					}
				}
				return nil
			}
		}
	}
	return nil
}

// day lists journal/ for one day, in the order of the entries.
func (l *Locks) day(ctx context.Context, t time.Time) ([]archive.Info, error) {
	prefix := archive.JournalPrefix + t.Format("2006/01/02/")
	l.mu.Lock()
	list, known := l.days[prefix]
	l.mu.Unlock()
	if known {
		return list, nil
	}
	for i, err := range l.store.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b archive.Info) int { return cmp.Compare(a.Key, b.Key) })
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.days) >= keptDays {
		clear(l.days)
	}
	l.days[prefix] = list
	return list, nil
}
