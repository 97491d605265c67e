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

// ClaimAnswer records that an answer is due, unless one with its key is known, and
// returns the one that is recorded: that of another message when a copy of the same
// mail was answered.
func (db *DB) ClaimAnswer(ctx context.Context, a greffe.Answer) (greffe.Answer, error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	err := db.update(ctx, func(t *tx) error {
		n, err := t.exec(`INSERT INTO answers (key, message_id, kind, state, code, recipient, mail_id, reason, begun_at, at)
			VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10) ON CONFLICT (key) DO NOTHING`,
			a.Key, string(a.Message), a.Kind, string(a.State), clean(a.Code, 60), clean(a.Recipient, 320), clean(a.MailID, 320), clean(a.Reason, 1000), millis(now), millis(now))
		if err != nil {
			return err
		}
		if n > 0 {
			a.Begun, a.At = now, now
			if a.State == greffe.AnswerAsked {
				return t.noteAnswer(a)
			}
			return nil
		}
		var begun, at int64
		a = greffe.Answer{Key: a.Key}
		err = t.row([]any{&a.Message, &a.Kind, &a.State, &a.Code, &a.Recipient, &a.MailID, &a.Reason, &begun, &at},
			`SELECT message_id, kind, state, code, recipient, mail_id, reason, begun_at, at FROM answers WHERE key = $1`, a.Key)
		a.Begun, a.At = moment(begun), moment(at)
		return err
	})
	if err != nil {
		return greffe.Answer{}, fmt.Errorf("claim answer: %w", err)
	}
	return a, nil
}

// SaveAnswer records what became of a claimed answer, with its journal entry when
// the state is another one. ErrNotFound when it was not claimed.
func (db *DB) SaveAnswer(ctx context.Context, a greffe.Answer) error {
	err := db.update(ctx, func(t *tx) error {
		var before greffe.AnswerState
		err := t.row([]any{&before}, `SELECT state FROM answers WHERE key = $1`, a.Key)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		a.At = time.Now().UTC().Truncate(time.Millisecond)
		if _, err := t.exec(`UPDATE answers SET kind=$2, state=$3, code=$4, recipient=$5, reason=$6, at=$7 WHERE key=$1`,
			a.Key, a.Kind, string(a.State), clean(a.Code, 60), clean(a.Recipient, 320), clean(a.Reason, 1000), millis(a.At)); err != nil {
			return err
		}
		if before != a.State {
			return t.noteAnswer(a)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save answer: %w", err)
	}
	return nil
}

// ConfirmAnswer records that a person lets the answer go that waits for her word, and
// returns it; ErrNotFound when none of the message waits: another person was first, or
// the same word came twice after it was heard.
func (db *DB) ConfirmAnswer(ctx context.Context, c greffe.Confirmed) (greffe.Answer, error) {
	var key string
	err := db.update(ctx, func(t *tx) error {
		err := t.row([]any{&key}, `SELECT key FROM answers WHERE message_id = $1 AND state = 'asked' ORDER BY key LIMIT 1`, string(c.Message))
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		if _, err := t.exec(`UPDATE answers SET state='due', reason='', at=$2 WHERE key=$1`, key, millis(time.Now())); err != nil {
			return err
		}
		t.note(c.By, "decided", string(c.Message), "receipt", clean(c.ID, 100))
		return nil
	})
	if err != nil {
		return greffe.Answer{}, fmt.Errorf("confirm answer: %w", err)
	}
	list, err := db.Answers(ctx, c.Message)
	for _, a := range list {
		if a.Key == key {
			return a, nil
		}
	}
	return greffe.Answer{}, fmt.Errorf("confirm answer: %w", errors.Join(err, ErrNotFound))
}

func (t *tx) noteAnswer(a greffe.Answer) error {
	return t.noteFact("notifier", "notified", string(a.Message), string(a.State), strings.TrimSpace(a.Kind+" "+clean(a.Code, 60)), greffe.Matter{Answer: &a})
}

// Answers returns the answers of a message, oldest first.
func (db *DB) Answers(ctx context.Context, id greffe.MessageID) ([]greffe.Answer, error) {
	rows, err := db.query(ctx, `SELECT key, message_id, kind, state, code, recipient, mail_id, reason, begun_at, at
		FROM answers WHERE message_id = $1 ORDER BY begun_at, key`, string(id))
	if err != nil {
		return nil, fmt.Errorf("read answers: %w", err)
	}
	defer rows.Close()
	var list []greffe.Answer
	for rows.Next() {
		var a greffe.Answer
		var begun, at int64
		if err := rows.Scan(&a.Key, &a.Message, &a.Kind, &a.State, &a.Code, &a.Recipient, &a.MailID, &a.Reason, &begun, &at); err != nil {
			return nil, fmt.Errorf("read answers: %w", err)
		}
		a.Begun, a.At = moment(begun), moment(at)
		list = append(list, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read answers: %w", err)
	}
	return list, nil
}

// AnswersTo counts the answers that were sent to a recipient since a moment.
func (db *DB) AnswersTo(ctx context.Context, recipient string, since time.Time) (int, error) {
	rows, err := db.query(ctx, `SELECT COUNT(*) FROM answers WHERE recipient = $1 AND at >= $2 AND state = 'sent'`, clean(recipient, 320), millis(since))
	if err != nil {
		return 0, fmt.Errorf("count answers: %w", err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		if err := rows.Scan(&n); err != nil {
			return 0, fmt.Errorf("count answers: %w", err)
		}
	}
	return n, rows.Err()
}
