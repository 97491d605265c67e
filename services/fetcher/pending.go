package fetcher

import (
	"sync"
	"time"

	"greffe/pkg/greffe"
)

// landedAge is for how long it is remembered that a message was archived: the ledger
// that a comparison reads may be behind the event by a moment.
const (
	landedAge  = time.Minute
	landedMost = 4096 // remembered without looking which are too old
)

// pending is what of a mailbox is not known to be archived, folder by folder: set by each
// comparison with the server, taken away from by each message that is archived. It says
// how things stand between two comparisons and decides nothing.
type pending struct {
	mu      sync.Mutex
	folders map[string]*left
}

// left is pending for one folder.
type left struct {
	validity uint32
	server   int                  // messages on the server at the last comparison
	at       time.Time            // of that comparison
	uids     map[uint32]time.Time // not known to be archived, with their internal dates (zero: not asked)
	landed   map[uint32]time.Time // archived a short while ago
}

func newPending() *pending { return &pending{folders: map[string]*left{}} }

func (p *pending) folder(name string, validity uint32) *left {
	l := p.folders[name]
	if l == nil || l.validity != validity {
		l = &left{validity: validity, uids: map[uint32]time.Time{}, landed: map[uint32]time.Time{}}
		p.folders[name] = l
	}
	return l
}

// compared records what a comparison found: how many messages the server has and which of
// them are to come. The internal dates that were known stay known.
func (p *pending) compared(folder string, validity uint32, server int, uids uidSet, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.folder(folder, validity)
	l.forget(at)
	old := l.uids
	l.server, l.at, l.uids = server, at, make(map[uint32]time.Time, min(uids.count(), listMost))
	for uid := range uids.all() {
		if _, landed := l.landed[uid]; !landed {
			l.uids[uid] = old[uid]
		}
	}
}

// dated adds internal dates.
func (p *pending) dated(folder string, validity uint32, dates map[uint32]time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.folder(folder, validity)
	for uid, t := range dates {
		if _, ok := l.uids[uid]; ok {
			l.uids[uid] = t
		}
	}
}

// forget drops what landed long ago.
func (l *left) forget(now time.Time) {
	for uid, t := range l.landed {
		if now.Sub(t) > landedAge {
			delete(l.landed, uid)
		}
	}
}

// archived takes a message away.
func (p *pending) archived(o greffe.Origin, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.folder(o.Folder, o.UIDValidity)
	delete(l.uids, o.UID)
	if l.landed[o.UID] = at; len(l.landed)%landedMost == 0 { // a process that compares nothing hears of all the same
		l.forget(at)
	}
}

// figures sums up, in the order of names; folders that were not compared yet are left out.
func (p *pending) figures(names []string) (all []greffe.FolderFigures) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range names {
		l := p.folders[name]
		if l == nil || l.at.IsZero() {
			continue
		}
		f := greffe.FolderFigures{Name: name, Server: l.server, Waiting: len(l.uids), Compared: l.at.UTC()}
		for _, t := range l.uids {
			if !t.IsZero() && (f.Oldest.IsZero() || t.Before(f.Oldest)) {
				f.Oldest = t.UTC()
			}
		}
		all = append(all, f)
	}
	return all
}
