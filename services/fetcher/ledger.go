package fetcher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// ledger knows which messages are archived and which were published. It lives in
// two buckets of the bus, so that it survives a restart and is shared by the
// processes that take turns at a mailbox. Losing it costs work, never a message:
// everything is then taken again under the same ids.
//
//	fetcher-archived   <folder id>.<uidvalidity>   "1:500,502"
//	fetcher-cursor     <folder id>                 {"uidvalidity":7,"uid":502,"taken":"1:500,502"}
type ledger struct {
	archivedBy *bus.Bucket
	cursorBy   *bus.Bucket

	mu      sync.Mutex
	pending map[string]*entry // by key, not yet being written
	writing map[string]*sync.Mutex
}

// entry is one write of the archived set that several events share.
type entry struct {
	uids uidSet
	done chan struct{}
	err  error // once done
}

// cursor is what was published from a folder: UID is the greatest, Taken all of
// them, so that a gap left by trouble is seen.
type cursor struct {
	UIDValidity uint32 `json:"uidvalidity"`
	UID         uint32 `json:"uid"`
	Taken       string `json:"taken"`
}

func newLedger() *ledger {
	return &ledger{pending: make(map[string]*entry), writing: make(map[string]*sync.Mutex)}
}

func (l *ledger) open(ctx context.Context, b *bus.Bus) (err error) {
	if l.archivedBy, err = b.Bucket(ctx, "fetcher-archived"); err != nil {
		return err
	}
	l.cursorBy, err = b.Bucket(ctx, "fetcher-cursor")
	return err
}

// folderID names a folder of a mailbox without telling either.
func folderID(mailbox, folder string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s%s", len(mailbox), mailbox, folder))
	return hex.EncodeToString(sum[:12])
}

func archivedKey(mailbox, folder string, validity uint32) string {
	return fmt.Sprintf("%s.%d", folderID(mailbox, folder), validity)
}

// archived returns the UIDs that the archive is known to hold.
func (l *ledger) archived(ctx context.Context, mailbox, folder string, validity uint32) (uidSet, error) {
	set, _, err := l.load(ctx, archivedKey(mailbox, folder, validity))
	return set, err
}

func (l *ledger) load(ctx context.Context, key string) (uidSet, uint64, error) {
	value, rev, err := l.archivedBy.Get(ctx, key)
	if errors.Is(err, bus.ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read what is archived: %w", err)
	}
	set, err := parseUIDSet(string(value))
	if err != nil {
		// Written by nobody we know: taking everything again mends it.
		return nil, rev, nil
	}
	return set, rev, nil
}

// record adds an archived message and returns once that is durable. Calls that
// come while a write of the same folder is under way share the next one.
func (l *ledger) record(ctx context.Context, o greffe.Origin) error {
	if o.UID == 0 {
		return nil
	}
	key := archivedKey(o.Mailbox, o.Folder, o.UIDValidity)
	l.mu.Lock()
	e, mine := l.pending[key], false
	if e == nil {
		e, mine = &entry{done: make(chan struct{})}, true
		l.pending[key] = e
	}
	e.uids.add(o.UID)
	if l.writing[key] == nil {
		l.writing[key] = &sync.Mutex{}
	}
	turn := l.writing[key]
	l.mu.Unlock()

	if !mine {
		select {
		case <-e.done:
			return e.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	turn.Lock()
	defer turn.Unlock()
	l.mu.Lock()
	delete(l.pending, key) // from here on others start a new entry
	l.mu.Unlock()
	e.err = l.write(ctx, key, e.uids)
	close(e.done)
	return e.err
}

func (l *ledger) write(ctx context.Context, key string, uids uidSet) error {
	for {
		set, rev, err := l.load(ctx, key)
		if err != nil {
			return err
		}
		if len(uids.minus(set)) == 0 {
			return nil
		}
		set.addSet(uids)
		_, err = l.archivedBy.Put(ctx, key, []byte(set.String()), rev)
		if !errors.Is(err, bus.ErrConflict) {
			return err
		}
	}
}

// forget removes UIDs from what is archived.
func (l *ledger) forget(ctx context.Context, mailbox, folder string, validity uint32, uids uidSet) error {
	key := archivedKey(mailbox, folder, validity)
	for {
		set, rev, err := l.load(ctx, key)
		if err != nil || rev == 0 {
			return err
		}
		_, err = l.archivedBy.Put(ctx, key, []byte(set.minus(uids).String()), rev)
		if !errors.Is(err, bus.ErrConflict) {
			return err
		}
	}
}

// bookmark is the cursor of one folder as this process last saw it.
type bookmark struct {
	key      string
	loaded   bool
	validity uint32
	taken    uidSet
	rev      uint64
}

// taken returns what was published from a folder under this UIDVALIDITY.
func (l *ledger) taken(ctx context.Context, m *bookmark, validity uint32) (uidSet, error) {
	if err := l.look(ctx, m); err != nil || m.validity != validity {
		return nil, err
	}
	return m.taken, nil
}

// look reads the cursor again. One that makes no sense counts as empty: taking
// again mends it.
func (l *ledger) look(ctx context.Context, m *bookmark) error {
	m.loaded, m.validity, m.taken = false, 0, nil
	value, rev, err := l.cursorBy.Get(ctx, m.key)
	if err != nil && !errors.Is(err, bus.ErrNotFound) {
		return fmt.Errorf("read the cursor: %w", err)
	}
	var c cursor
	if err == nil && json.Unmarshal(value, &c) == nil {
		if set, err := parseUIDSet(c.Taken); err == nil {
			m.validity, m.taken = c.UIDValidity, set
		}
	}
	m.loaded, m.rev = true, rev
	return nil
}

// take moves the cursor past messages whose events are durable.
func (l *ledger) take(ctx context.Context, m *bookmark, validity uint32, uids uidSet) error {
	for {
		if !m.loaded {
			if err := l.look(ctx, m); err != nil {
				return err
			}
		}
		if m.validity != validity {
			m.validity, m.taken = validity, nil
		}
		if len(uids.minus(m.taken)) == 0 {
			return nil
		}
		m.taken.addSet(uids)
		m.loaded = false // until the write is known to have succeeded
		value, err := json.Marshal(cursor{validity, m.taken[len(m.taken)-1].last, m.taken.String()})
		if err != nil {
			return err
		}
		rev, err := l.cursorBy.Put(ctx, m.key, value, m.rev)
		switch {
		case errors.Is(err, bus.ErrConflict):
			continue // another process held the mailbox in between
		case err != nil:
			return fmt.Errorf("save the cursor: %w", err)
		}
		m.loaded, m.rev = true, rev
		return nil
	}
}
