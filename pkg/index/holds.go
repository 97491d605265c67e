package index

import (
	"context"
	"fmt"
	"time"

	"greffe/pkg/greffe"
)

// Hold is a message under a legal hold: kept whatever its lock says. The journal has
// the same: its last entry "held" or "released" about the message.
type Hold struct {
	Message greffe.MessageID
	At      time.Time
	By      string // login
	Reason  string // a reference, without name or INS
}

// SaveHold records that a message is held, or no longer, with its journal entry
// ("held", "released"). Call it before the objects are held and after they were
// released, so that a crash leaves what is too much held. Repeating it writes the
// entry again and changes nothing else.
func (db *DB) SaveHold(ctx context.Context, h Hold, on bool) error {
	err := db.update(ctx, func(t *tx) error {
		if !on {
			// What a person writes may hold a name: the journal has its digest only.
			if err := t.noteFact(h.By, "released", string(h.Message), "ok", "", greffe.Matter{Reason: clean(h.Reason, 256)}); err != nil {
				return err
			}
			_, err := t.exec(`DELETE FROM holds WHERE message_id = $1`, string(h.Message))
			return err
		}
		if err := t.noteFact(h.By, "held", string(h.Message), "ok", "", greffe.Matter{Reason: clean(h.Reason, 256)}); err != nil {
			return err
		}
		_, err := t.exec(`INSERT INTO holds (message_id, at, actor, reason) VALUES ($1,$2,$3,$4) ON CONFLICT (message_id) DO NOTHING`,
			string(h.Message), t.now().UnixMilli(), clean(h.By, 256), clean(h.Reason, 256))
		return err
	})
	if err != nil {
		return fmt.Errorf("save hold of %s: %w", h.Message, err)
	}
	return nil
}

// Holds returns every message under a hold, in the order of their ids.
func (db *DB) Holds(ctx context.Context) ([]Hold, error) {
	rows, err := db.query(ctx, `SELECT message_id, at, actor, reason FROM holds ORDER BY message_id`)
	if err != nil {
		return nil, fmt.Errorf("read holds: %w", err)
	}
	defer rows.Close()
	var list []Hold
	for rows.Next() {
		var h Hold
		var at int64
		if err := rows.Scan(&h.Message, &at, &h.By, &h.Reason); err != nil {
			return nil, fmt.Errorf("read holds: %w", err)
		}
		h.At = moment(at)
		list = append(list, h)
	}
	return list, rows.Err()
}

// About returns the entries about a message and its documents that follow seq, oldest
// first, at most a thousand.
func (db *DB) About(ctx context.Context, id greffe.MessageID, seq int64) ([]Entry, error) {
	list, err := db.entries(ctx, `SELECT `+entryColumns+` FROM journal WHERE subject >= $1 AND subject < $2 AND seq > $3 ORDER BY seq LIMIT 1000`,
		string(id), string(id)+".", seq)
	if err != nil {
		return nil, fmt.Errorf("read journal about %s: %w", id, err)
	}
	return list, nil
}
