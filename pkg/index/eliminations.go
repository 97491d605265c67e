package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// KindErasure is the kind of an elimination that destroys the keys of what is still locked.
const KindErasure = "erasure"

// Elimination is the removal of messages whose locks have ended, or their erasure before
// that, asked by one person and confirmed by another.
type Elimination struct {
	ID          string
	Kind        string // KindErasure, or empty
	AskedAt     time.Time
	AskedBy     string // login
	ConfirmedAt time.Time
	ConfirmedBy string    // login
	DoneAt      time.Time // zero: not finished
	Messages    []greffe.MessageID
	Order       string        // JSON of what was confirmed; empty until then
	Certificate greffe.Object // zero until done
}

// words are what the journal says of each kind.
func (e *Elimination) words() (noun, done string) {
	if e.Kind == KindErasure {
		return "erasure", "erased"
	}
	return "elimination", "eliminated"
}

// ErrSamePerson is returned when who asked would confirm.
var ErrSamePerson = errors.New("index: who asked cannot confirm")

// AskElimination records a request, with its journal entry.
func (db *DB) AskElimination(ctx context.Context, e Elimination) error {
	messages, err := encode(e.Messages)
	if err != nil {
		return fmt.Errorf("ask elimination: %w", err)
	}
	noun, _ := e.words()
	err = db.update(ctx, func(t *tx) error {
		if err := t.noteFact(e.AskedBy, noun+"-asked", e.ID, "ok", fmt.Sprintf("messages=%d", len(e.Messages)), greffe.Matter{Messages: e.Messages}); err != nil {
			return err
		}
		_, err := t.exec(insertEliminations+`($1,$2,$3,0,'',0,$4,'','',$5)`, e.ID, t.now().UnixMilli(), clean(e.AskedBy, 256), messages, e.Kind)
		return err
	})
	if err != nil {
		return fmt.Errorf("ask elimination: %w", err)
	}
	return nil
}

const insertEliminations = `INSERT INTO eliminations (id, asked_at, asked_by, confirmed_at, confirmed_by, done_at, messages_json, order_json, certificate_json, kind) VALUES `

// ConfirmElimination records who confirms and the order, with a journal entry for the
// elimination and one for each message. What was confirmed before stays as it was and
// is returned. ErrSamePerson when by asked for it, ErrNotFound when nobody did.
func (db *DB) ConfirmElimination(ctx context.Context, id, by string, order string) (Elimination, error) {
	e, err := db.Elimination(ctx, id)
	switch {
	case err != nil:
		return Elimination{}, err
	case strings.EqualFold(e.AskedBy, by):
		return Elimination{}, fmt.Errorf("confirm elimination %s: %w", id, ErrSamePerson)
	}
	noun, _ := e.words()
	err = db.update(ctx, func(t *tx) error {
		n, err := t.exec(`UPDATE eliminations SET confirmed_at=$2, confirmed_by=$3, order_json=$4 WHERE id=$1 AND confirmed_at=0`,
			id, t.now().UnixMilli(), clean(by, 256), order)
		if err != nil || n == 0 {
			return err
		}
		t.note(by, noun+"-confirmed", id, "ok", "sha256="+string(greffe.DigestOf([]byte(order))))
		return nil
	})
	if err != nil {
		return Elimination{}, fmt.Errorf("confirm elimination %s: %w", id, err)
	}
	return db.Elimination(ctx, id)
}

// EliminateMessage removes all that the index knows about a message, with the journal
// entry "eliminated" or "erased" that names e. The journal keeps what it said of it
// before. Repeating it changes nothing.
func (db *DB) EliminateMessage(ctx context.Context, e Elimination, by string, id greffe.MessageID) error {
	err := db.update(ctx, func(t *tx) error { return t.eliminate(e, by, id) })
	if err != nil {
		return fmt.Errorf("eliminate %s: %w", id, err)
	}
	return nil
}

func (t *tx) eliminate(e Elimination, by string, id greffe.MessageID) error {
	rows, err := t.QueryContext(t.ctx, `SELECT 'message', mailbox, state FROM messages WHERE id = $1
		UNION ALL SELECT 'document', mailbox, state FROM documents WHERE message_id = $1`, string(id))
	if err != nil {
		return err
	}
	defer rows.Close()
	known := false
	for rows.Next() {
		var kind, mailbox string
		var state greffe.State
		if err := rows.Scan(&kind, &mailbox, &state); err != nil {
			return err
		}
		known = true
		t.count(kind, mailbox, state, -1)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || !known {
		return err
	}
	const its = `IN (SELECT id FROM documents WHERE message_id = $1)`
	for _, query := range []string{
		// What it stood for may be delivered again, should it ever come again.
		`DELETE FROM claims WHERE document_id ` + its,
		`DELETE FROM decisions WHERE document_id ` + its,
		`DELETE FROM outcomes WHERE document_id ` + its,
		`DELETE FROM deliveries WHERE document_id ` + its,
		`DELETE FROM document_names WHERE document_id ` + its,
		`DELETE FROM document_keys WHERE document_id ` + its,
		`DELETE FROM asked WHERE item = $1 OR item ` + its,
		`DELETE FROM triages WHERE message_id = $1`,
		`DELETE FROM takings WHERE message_id = $1`,
		`DELETE FROM documents WHERE message_id = $1`,
		`DELETE FROM answers WHERE message_id = $1`,
		`DELETE FROM message_words WHERE message_id = $1`,
		`DELETE FROM message_facts WHERE message_id = $1`,
		// Who sends nothing any more is forgotten.
		`DELETE FROM sender_words WHERE sender_key = (SELECT sender_key FROM messages WHERE id = $1)
			AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.sender_key = sender_words.sender_key AND m.id <> $1)`,
		`DELETE FROM messages WHERE id = $1`,
	} {
		if _, err := t.exec(query, string(id)); err != nil {
			return err
		}
	}
	_, done := e.words()
	t.note(by, done, string(id), "ok", e.ID)
	return nil
}

// FinishElimination records the certificate, with its journal entry. Repeating it
// changes nothing.
func (db *DB) FinishElimination(ctx context.Context, e Elimination, by string, certificate greffe.Object) error {
	id := e.ID
	noun, _ := e.words()
	text, err := encode(certificate)
	if err != nil {
		return fmt.Errorf("finish elimination %s: %w", id, err)
	}
	err = db.update(ctx, func(t *tx) error {
		n, err := t.exec(`UPDATE eliminations SET done_at=$2, certificate_json=$3 WHERE id=$1 AND done_at=0`, id, t.now().UnixMilli(), text)
		if err == nil && n > 0 {
			t.note(by, noun+"-certified", id, "ok", "sha256="+string(certificate.SHA256))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("finish elimination %s: %w", id, err)
	}
	return nil
}

// Erased says when a message was erased and by which erasure, from the journal;
// ErrNotFound when it was not.
func (db *DB) Erased(ctx context.Context, id greffe.MessageID) (at time.Time, erasure string, err error) {
	var ms int64
	err = db.read.QueryRowContext(ctx, `SELECT at, detail FROM journal WHERE subject = $1 AND action = 'erased' ORDER BY seq DESC LIMIT 1`, string(id)).Scan(&ms, &erasure)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return time.Time{}, "", fmt.Errorf("was %s erased: %w", id, err)
	}
	return moment(ms), erasure, nil
}

// Elimination returns one elimination; ErrNotFound when there is none.
func (db *DB) Elimination(ctx context.Context, id string) (Elimination, error) {
	list, err := db.eliminations(ctx, `WHERE id = $1`, id)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Elimination{}, fmt.Errorf("read elimination: %w", err)
	}
	return list[0], nil
}

// Eliminations returns the newest hundred eliminations, the newest first.
func (db *DB) Eliminations(ctx context.Context) ([]Elimination, error) {
	list, err := db.eliminations(ctx, `ORDER BY asked_at DESC, id LIMIT 100`)
	if err != nil {
		return nil, fmt.Errorf("read eliminations: %w", err)
	}
	return list, nil
}

func (db *DB) eliminations(ctx context.Context, where string, args ...any) ([]Elimination, error) {
	rows, err := db.query(ctx, `SELECT id, asked_at, asked_by, confirmed_at, confirmed_by, done_at, messages_json, order_json, certificate_json, kind
		FROM eliminations `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Elimination
	for rows.Next() {
		var e Elimination
		var asked, confirmed, done int64
		var messages, certificate string
		if err := rows.Scan(&e.ID, &asked, &e.AskedBy, &confirmed, &e.ConfirmedBy, &done, &messages, &e.Order, &certificate, &e.Kind); err != nil {
			return nil, err
		}
		e.AskedAt, e.ConfirmedAt, e.DoneAt = moment(asked), moment(confirmed), moment(done)
		if err := errors.Join(decode(messages, &e.Messages), decode(certificate, &e.Certificate)); err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, rows.Err()
}
