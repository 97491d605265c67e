package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// ErrRebuilding is returned by Open for an index whose rebuilding did not end: what
// it does not hold yet would be delivered again.
var ErrRebuilding = errors.New("index: rebuilding did not end")

// ErrNotEmpty is returned by BeginRebuild for an index that holds something.
var ErrNotEmpty = errors.New("index: not empty")

// rebuildMark is the setting that is there while an index is rebuilt.
const rebuildMark = "rebuilding"

// OpenToRebuild is Open for who rebuilds the index, or tries again to.
func OpenToRebuild(ctx context.Context, dsn string, log *slog.Logger) (*DB, error) {
	return openDB(ctx, dsn, log)
}

// rebuilding reports whether a rebuilding did not end.
func (db *DB) rebuilding(ctx context.Context) (bool, error) {
	var n int64
	err := db.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM settings WHERE name = '`+rebuildMark+`'`).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("read settings: %w", err)
	}
	return n > 0, nil
}

// rebuilt are the tables that the archive gives back, those that refer to others
// first. What is in no other place stays: accounts, answers to senders, holds and
// eliminations.
var rebuilt = []string{
	"message_words", "document_names", "triages", "asked", "takings", "outcomes", "decisions", "claims", "documents", "message_facts", "messages", "tallies",
	"stamps", "journal_tiles", "journal_facts", "seals", "journal",
}

// BeginRebuild marks the index as being rebuilt, so that no service uses it before
// EndRebuild. ErrNotEmpty when it holds messages or a journal, unless replace is set:
// then they are removed, and the accounts stay. No service may run.
func (db *DB) BeginRebuild(ctx context.Context, replace bool) error {
	var full int64
	err := db.read.QueryRowContext(ctx, `SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM messages LIMIT 1) AS m) +
		(SELECT COUNT(*) FROM (SELECT 1 FROM journal LIMIT 1) AS j) + (SELECT COUNT(*) FROM (SELECT 1 FROM seals LIMIT 1) AS s)`).Scan(&full)
	if err != nil {
		return fmt.Errorf("begin to rebuild: %w", err)
	}
	if full > 0 && !replace {
		return fmt.Errorf("begin to rebuild: %w", ErrNotEmpty)
	}
	if err := db.clear(ctx); err != nil {
		return fmt.Errorf("begin to rebuild: %w", err)
	}
	return nil
}

// clear empties the tables and sets the mark, in one transaction that may be long.
func (db *DB) clear(ctx context.Context) error {
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	// The answers refer to messages: they wait beside until these are back.
	list := []string{
		`CREATE TABLE IF NOT EXISTS answers_kept AS SELECT * FROM answers`,
		`DELETE FROM answers`,
	}
	for _, table := range rebuilt[:len(rebuilt)-1] {
		list = append(list, `DELETE FROM `+table)
	}
	if db.postgres {
		list = append(list, `ALTER TABLE journal DISABLE TRIGGER journal_no_change`, `DELETE FROM journal`, `ALTER TABLE journal ENABLE TRIGGER journal_no_change`)
	} else {
		list = append(list, `DROP TRIGGER IF EXISTS journal_no_delete`, `DELETE FROM journal`,
			`CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END`)
	}
	list = append(list, `INSERT INTO settings (name, value) VALUES ('`+rebuildMark+`', '1') ON CONFLICT (name) DO NOTHING`)
	for _, query := range list {
		if _, err := tx.ExecContext(ctx, query); err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
	}
	return tx.Commit()
}

// EndRebuild takes the mark away and notes in the journal that the index was rebuilt.
func (db *DB) EndRebuild(ctx context.Context, detail string) error {
	err := db.update(ctx, func(t *tx) error {
		for _, query := range []string{
			`DELETE FROM answers WHERE key IN (SELECT key FROM answers_kept)`, // they know what is not sealed yet
			`INSERT INTO answers SELECT * FROM answers_kept WHERE message_id IN (SELECT id FROM messages)`,
			`DROP TABLE answers_kept`,
			`DELETE FROM settings WHERE name = '` + rebuildMark + `'`,
		} {
			if _, err := t.ExecContext(t.ctx, query); err != nil {
				return err
			}
		}
		t.note("greffe", "reindexed", "index", "ok", detail)
		return nil
	})
	if err != nil {
		return fmt.Errorf("end rebuilding: %w", err)
	}
	return nil
}

// RestoreSeal writes a sealed range of the journal back as it was: its entries, their
// facts, the seal and the tiles of the tree that it changed. The ranges come in order.
func (db *DB) RestoreSeal(ctx context.Context, s Seal, entries []Entry, facts []greffe.Fact, tiles []Tile) error {
	segment, err1 := encode(s.Segment)
	checkpoint, err2 := encode(s.Checkpoint)
	sealFacts, err3 := "", error(nil)
	if !s.Facts.IsZero() {
		sealFacts, err3 = encode(s.Facts)
	}
	err := errors.Join(err1, err2, err3)
	if err == nil {
		err = db.update(ctx, func(t *tx) error {
			rows := make([][]any, len(entries))
			for i, e := range entries {
				rows[i] = []any{e.Seq, e.At.UnixMilli(), e.Actor, e.Action, e.Subject, e.From, e.Result, e.Detail, string(e.Prev), string(e.Hash)}
			}
			if err := t.insert(`INSERT INTO journal (seq, at, actor, action, subject, origin, result, detail, prev, hash) VALUES `, rows, ``); err != nil {
				return err
			}
			rows = rows[:0]
			for _, f := range facts {
				rows = append(rows, []any{f.Seq, string(f.Text)})
			}
			if err := t.insert(`INSERT INTO journal_facts (seq, fact) VALUES `, rows, ``); err != nil {
				return err
			}
			if _, err := t.exec(`INSERT INTO seals (last, first, at, hash, done, root, segment_json, facts_json, checkpoint_json) VALUES ($1,$2,$3,$4,1,$5,$6,$7,$8)`,
				s.Last, s.First, s.At.UnixMilli(), string(s.Hash), s.Root, segment, sealFacts, checkpoint); err != nil {
				return err
			}
			return t.insertTiles(tiles)
		})
	}
	if err != nil {
		return fmt.Errorf("restore entries %d to %d: %w", s.First, s.Last, err)
	}
	return nil
}

// RestoreStamp writes a stamp back, after its seal; the journal has its entry.
func (db *DB) RestoreStamp(ctx context.Context, s Stamp) error {
	stamp, err1 := encode(s.Stamp)
	token, err2 := encode(s.Token)
	err := errors.Join(err1, err2)
	if err == nil {
		err = db.update(ctx, func(t *tx) error {
			_, err := t.exec(`INSERT INTO stamps (last, at, stamp_json, token_json) VALUES ($1,$2,$3,$4)`, s.Last, s.At.UnixMilli(), stamp, token)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("restore stamp of %d: %w", s.Last, err)
	}
	return nil
}

// Restored is a message as its manifest says.
type Restored struct {
	Parsed   greffe.Parsed
	Manifest greffe.Object
	Raw      greffe.Object
	Objects  map[string]greffe.Object
}

// RestoreMessages writes messages back in one transaction, after the journal: with the
// times that it gives. What it does not say of them, because the end of it was never
// sealed, is noted anew.
func (db *DB) RestoreMessages(ctx context.Context, list []Restored) error {
	err := db.update(ctx, func(t *tx) error {
		now := t.now()
		defer func() { t.at = now }()
		for i := range list {
			m := &list[i]
			t.at = now
			err := t.quietly(func() error {
				id := m.Parsed.Received.ID
				first, found, err := t.receivedFact(id)
				if err != nil {
					return err
				}
				if found {
					if _, err := t.insertReceived(*first.Received, m.Raw); err != nil {
						return err
					}
				}
				var at int64
				err = t.row([]any{&at}, `SELECT at FROM journal WHERE subject = $1 AND action = 'archived' ORDER BY seq LIMIT 1`, string(id))
				if err == nil {
					t.at = time.UnixMilli(at).UTC()
				} else if !errors.Is(err, sql.ErrNoRows) {
					return err
				}
				_, err = t.saveArchived(m.Parsed, m.Manifest, m.Raw, m.Objects)
				return err
			})
			if err != nil {
				return fmt.Errorf("message %s: %w", m.Parsed.Received.ID, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("restore messages: %w", err)
	}
	return nil
}

// quietly runs f and keeps of the entries that it notes those that the journal lacks.
func (t *tx) quietly(f func() error) error {
	n := len(t.entries)
	if err := f(); err != nil {
		return err
	}
	noted, facts := slices.Clone(t.entries[n:]), map[int]string{}
	for i := range noted {
		if text, ok := t.facts[n+i]; ok {
			facts[i] = text
			delete(t.facts, n+i)
		}
	}
	t.entries = t.entries[:n]
	for i, e := range noted {
		var one int
		err := t.row([]any{&one}, `SELECT 1 FROM journal WHERE subject = $1 AND action = $2 LIMIT 1`, e.Subject, e.Action)
		if err == nil {
			continue
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if text, ok := facts[i]; ok {
			t.facts[len(t.entries)] = text
		}
		t.entries = append(t.entries, e)
	}
	return nil
}

// receivedFact returns what the journal keeps of the arrival of a message.
func (t *tx) receivedFact(id greffe.MessageID) (m greffe.Matter, found bool, err error) {
	var text string
	// CROSS JOIN keeps SQLite from reading all facts in their order.
	err = t.row([]any{&text}, `SELECT f.fact FROM journal j CROSS JOIN journal_facts f
		WHERE f.seq = j.seq AND j.subject = $1 AND j.action = 'received' ORDER BY j.seq LIMIT 1`, string(id))
	if errors.Is(err, sql.ErrNoRows) {
		return m, false, nil
	}
	if err == nil {
		err = decode(text, &m)
	}
	return m, err == nil && m.Received != nil && m.Received.ID == id, err
}

// RestoreReceived writes back the messages that the journal says were received and
// that have no manifest, and returns how many there are. Those that were eliminated
// stay away.
func (db *DB) RestoreReceived(ctx context.Context) (int, error) {
	n := 0
	for last := int64(0); ; {
		rows, err := db.query(ctx, `SELECT j.seq, f.fact FROM journal j JOIN journal_facts f ON f.seq = j.seq
			WHERE j.seq > $1 AND j.action = 'received' AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = j.subject)
			AND NOT EXISTS (SELECT 1 FROM journal e WHERE e.subject = j.subject AND e.action = 'eliminated')
			ORDER BY j.seq LIMIT 200`, last)
		if err != nil {
			return n, fmt.Errorf("restore received messages: %w", err)
		}
		var list []greffe.Matter
		for err == nil && rows.Next() {
			var text string
			var m greffe.Matter
			if err = rows.Scan(&last, &text); err == nil {
				err = decode(text, &m)
			}
			if m.Received != nil {
				list = append(list, m)
			}
		}
		if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
			return n, fmt.Errorf("restore received messages: %w", err)
		}
		if len(list) == 0 {
			return n, nil
		}
		err = db.update(ctx, func(t *tx) error {
			for _, m := range list {
				var raw greffe.Object
				if m.Raw != nil {
					raw = *m.Raw
				}
				if err := t.quietly(func() error { _, err := t.insertReceived(*m.Received, raw); return err }); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return n, fmt.Errorf("restore received messages: %w", err)
		}
		n += len(list)
	}
}

// RestoreLife does again, in the order of the journal, what became of documents and
// of their senders: claims, outcomes, decisions and answers, after the messages. It returns how many it did and
// how many are about documents that the index does not hold (any more).
// progress, when not nil, is told the entry that it reached.
func (db *DB) RestoreLife(ctx context.Context, progress func(seq int64)) (done, without int, err error) {
	type event struct {
		action, subject, detail string
		matter                  greffe.Matter
	}
	for last := int64(0); ; {
		rows, err := db.query(ctx, `SELECT j.seq, j.action, j.subject, j.detail, COALESCE(f.fact, '') FROM journal j LEFT JOIN journal_facts f ON f.seq = j.seq
			WHERE j.seq > $1 AND j.action IN ('claimed', 'delivered', 'decided', 'notified') ORDER BY j.seq LIMIT 500`, last)
		if err != nil {
			return done, without, fmt.Errorf("restore outcomes: %w", err)
		}
		var list []event
		for err == nil && rows.Next() {
			var e event
			var text string
			if err = rows.Scan(&last, &e.action, &e.subject, &e.detail, &text); err == nil {
				err = decode(text, &e.matter)
			}
			list = append(list, e)
		}
		if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
			return done, without, fmt.Errorf("restore outcomes: %w", err)
		}
		if len(list) == 0 {
			return done, without, nil
		}
		lost := 0
		err = db.update(ctx, func(t *tx) error {
			lost = 0
			for _, e := range list {
				n := len(t.entries)
				known, err := t.live(e.action, greffe.DocumentID(e.subject), e.detail, e.matter)
				for i := range t.entries[n:] {
					delete(t.facts, n+i)
				}
				t.entries = t.entries[:n] // the journal has it
				if err != nil {
					return fmt.Errorf("document %s: %w", e.subject, err)
				}
				if !known {
					lost++
				}
			}
			return nil
		})
		if err != nil {
			return done, without, fmt.Errorf("restore outcomes: %w", err)
		}
		done, without = done+len(list)-lost, without+lost
		if progress != nil {
			progress(last)
		}
	}
}

// live does one thing of the life of a document again; false when there is no such
// document.
func (t *tx) live(action string, id greffe.DocumentID, detail string, m greffe.Matter) (bool, error) {
	if message := greffe.MessageID(id); message.Valid() {
		if action == "decided" && m.Triage != nil {
			_, err := t.saveTriage(*m.Triage)
			if errors.Is(err, ErrNotFound) {
				return false, nil
			}
			return err == nil, err
		}
		return t.answered(message, action, m)
	}
	var one int
	err := t.row([]any{&one}, `SELECT 1 FROM documents WHERE id = $1`, string(id))
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	switch {
	case err != nil:
		return false, err
	case action == "claimed":
		_, err = t.exec(`INSERT INTO claims (identity, document_id) VALUES ($1,$2) ON CONFLICT (identity) DO NOTHING`, strings.TrimSpace(detail), string(id))
	case action == "delivered" && m.Outcome != nil:
		_, err = t.saveOutcome(id, *m.Outcome, m.DuplicateOf)
	case action == "decided" && m.Decision != nil:
		_, err = t.saveDecision(*m.Decision)
	default:
		return false, nil
	}
	return true, err
}

// answered records an answer to the sender of a message again; false when there is no
// such message. A person's word that it may go is in the state of the answer.
func (t *tx) answered(id greffe.MessageID, action string, m greffe.Matter) (bool, error) {
	var one int
	err := t.row([]any{&one}, `SELECT 1 FROM messages WHERE id = $1`, string(id))
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil || action != "notified" || m.Answer == nil {
		return err == nil, err
	}
	a := m.Answer
	_, err = t.exec(`INSERT INTO answers (key, message_id, kind, state, code, recipient, mail_id, reason, begun_at, at)
		VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10) ON CONFLICT (key) DO UPDATE SET kind=excluded.kind, state=excluded.state, code=excluded.code,
			recipient=excluded.recipient, reason=excluded.reason, at=excluded.at`,
		a.Key, string(id), a.Kind, string(a.State), clean(a.Code, 60), clean(a.Recipient, 320), clean(a.MailID, 320), clean(a.Reason, 1000), millis(a.Begun), millis(a.At))
	return err == nil, err
}
