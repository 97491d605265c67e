package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Presence is a person at a screen: when they last did something, and whether the
// screen is locked.
type Presence struct {
	Seen   time.Time
	Locked time.Time        // zero: not locked by anybody
	Drafts map[string]Draft // by page, what was typed and not sent when it was locked
}

// Draft is what was typed into a page, by the names of its fields.
type Draft map[string][]string

const maxDrafts = 5 // pages of one presence; the others are not kept

// BeginPresence writes a presence that begins now and is forgotten at expiry.
func (db *DB) BeginPresence(ctx context.Context, id string, expiry time.Time) error {
	err := db.update(ctx, func(t *tx) error {
		if _, err := t.exec(`DELETE FROM presences WHERE expires_at <= $1`, millis(t.now())); err != nil {
			return err
		}
		_, err := t.exec(`INSERT INTO presences (id, seen_at, locked_at, drafts_json, expires_at) VALUES ($1,$2,0,'',$3)`, id, millis(t.now()), millis(expiry))
		return err
	})
	if err != nil {
		return fmt.Errorf("begin presence: %w", err)
	}
	return nil
}

// Presence returns a presence; ErrNotFound when there is none or it expired.
func (db *DB) Presence(ctx context.Context, id string) (p Presence, err error) {
	var seen, locked int64
	var drafts string
	err = db.read.QueryRowContext(ctx, `SELECT seen_at, locked_at, drafts_json FROM presences WHERE id = $1 AND expires_at > $2`, id, time.Now().UnixMilli()).
		Scan(&seen, &locked, &drafts)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err == nil {
		err = decode(drafts, &p.Drafts)
	}
	if err != nil {
		return Presence{}, fmt.Errorf("read presence: %w", err)
	}
	p.Seen, p.Locked = moment(seen), moment(locked)
	return p, nil
}

// SeenPresence notes that the person did something now. It changes nothing when the
// screen is locked or nothing was done for longer than idle.
func (db *DB) SeenPresence(ctx context.Context, id string, idle time.Duration) error {
	err := db.update(ctx, func(t *tx) error {
		_, err := t.exec(`UPDATE presences SET seen_at = $1 WHERE id = $2 AND locked_at = 0 AND seen_at > $3`, millis(t.now()), id, millis(t.now().Add(-idle)))
		return err
	})
	if err != nil {
		return fmt.Errorf("note presence: %w", err)
	}
	return nil
}

// LockPresence locks the screen and keeps what was typed into page, if anything, with
// the journal entries that say so.
func (db *DB) LockPresence(ctx context.Context, id, page string, d Draft, entries ...Entry) error {
	err := db.changePresence(ctx, id, func(t *tx, p *Presence) {
		t.entries = append(t.entries, entries...)
		if p.Locked.IsZero() {
			p.Locked = t.now()
		}
		if _, known := p.Drafts[page]; len(d) > 0 && (known || len(p.Drafts) < maxDrafts) {
			if p.Drafts == nil {
				p.Drafts = map[string]Draft{}
			}
			p.Drafts[page] = d
		}
	})
	if err != nil {
		return fmt.Errorf("lock presence: %w", err)
	}
	return nil
}

// UnlockPresence ends a lock: the person is seen now.
func (db *DB) UnlockPresence(ctx context.Context, id string, entries ...Entry) error {
	err := db.changePresence(ctx, id, func(t *tx, p *Presence) {
		t.entries = append(t.entries, entries...)
		p.Seen, p.Locked = t.now(), time.Time{}
	})
	if err != nil {
		return fmt.Errorf("unlock presence: %w", err)
	}
	return nil
}

// TakeDraft returns what was typed into page before the lock and forgets it; nil for
// nothing.
func (db *DB) TakeDraft(ctx context.Context, id, page string) (d Draft, err error) {
	err = db.changePresence(ctx, id, func(t *tx, p *Presence) {
		d = p.Drafts[page]
		delete(p.Drafts, page)
	})
	if err != nil {
		return nil, fmt.Errorf("take draft: %w", err)
	}
	return d, nil
}

func (db *DB) changePresence(ctx context.Context, id string, change func(*tx, *Presence)) error {
	return db.update(ctx, func(t *tx) error {
		var p Presence
		var seen, locked int64
		var drafts string
		err := t.row([]any{&seen, &locked, &drafts}, `SELECT seen_at, locked_at, drafts_json FROM presences WHERE id = $1`, id)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err == nil {
			err = decode(drafts, &p.Drafts)
		}
		if err != nil {
			return err
		}
		p.Seen, p.Locked = moment(seen), moment(locked)
		change(t, &p)
		drafts = ""
		if len(p.Drafts) > 0 {
			if drafts, err = encode(p.Drafts); err != nil {
				return err
			}
		}
		_, err = t.exec(`UPDATE presences SET seen_at = $1, locked_at = $2, drafts_json = $3 WHERE id = $4`, millis(p.Seen), millis(p.Locked), drafts, id)
		return err
	})
}
