package index

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// ClaimAnswer records that an answer is due, unless one with its key is known, and
// returns the one that is recorded: that of another message when a copy of the same
// mail was answered.
func (db *DB) ClaimAnswer(ctx context.Context, a greffe.Answer) (greffe.Answer, error) {
	a.Code, a.Recipient, a.MailID, a.Reason = clean(a.Code, 60), clean(a.Recipient, 320), clean(a.MailID, 320), clean(a.Reason, 1000)
	err := db.update(ctx, func(t *tx) error {
		now := t.now()
		n, err := t.exec(`INSERT INTO answers (key, message_id, kind, state, code, recipient, mail_id, reason, begun_at, at)
			VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10) ON CONFLICT (key) DO NOTHING`,
			a.Key, string(a.Message), a.Kind, string(a.State), a.Code, a.Recipient, a.MailID, a.Reason, millis(now), millis(now))
		if err != nil {
			return err
		}
		if n > 0 {
			a.Begun, a.At = now, now
			if a.State != greffe.AnswerDue {
				return t.noteAnswer(a)
			}
			return nil
		}
		list, err := readAnswers(t.QueryContext(t.ctx, `SELECT `+answerColumns+` FROM answers WHERE key = $1`, a.Key))
		if err != nil || len(list) == 0 {
			return cmp.Or(err, sql.ErrNoRows)
		}
		a = list[0]
		return nil
	})
	if err != nil {
		return greffe.Answer{}, fmt.Errorf("claim answer: %w", err)
	}
	return a, nil
}

// SaveAnswer records what became of a claimed answer, with its journal entry when
// that is something else. ErrNotFound when it was not claimed.
func (db *DB) SaveAnswer(ctx context.Context, a greffe.Answer) error {
	err := db.update(ctx, func(t *tx) error {
		list, err := readAnswers(t.QueryContext(t.ctx, `SELECT `+answerColumns+` FROM answers WHERE key = $1`, a.Key))
		if err != nil || len(list) == 0 {
			return cmp.Or(err, ErrNotFound)
		}
		before := list[0]
		a.Code, a.Recipient, a.Reason, a.At = clean(a.Code, 60), clean(a.Recipient, 320), clean(a.Reason, 1000), t.now()
		if _, err := t.exec(`UPDATE answers SET kind=$2, state=$3, code=$4, recipient=$5, reason=$6, at=$7 WHERE key=$1`,
			a.Key, a.Kind, string(a.State), a.Code, a.Recipient, a.Reason, millis(a.At)); err != nil {
			return err
		}
		if before.State != a.State || before.Kind != a.Kind || before.Code != a.Code || before.Recipient != a.Recipient || before.Reason != a.Reason {
			return t.noteAnswer(a)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save answer: %w", err)
	}
	return nil
}

// ConfirmAnswer records a person's word about the answers of a message: the one that
// waits for it may go, or, with Drop, those that wait or failed need nothing more. It
// returns how many are changed by it; ErrNotFound when none waits: another person was
// first, or the same word came twice after it was heard.
func (db *DB) ConfirmAnswer(ctx context.Context, c greffe.Confirmed) (int, error) {
	n := 0
	err := db.update(ctx, func(t *tx) error {
		list, err := readAnswers(t.QueryContext(t.ctx, `SELECT `+answerColumns+` FROM answers
			WHERE message_id = $1 AND state IN ('asked', 'failed') ORDER BY begun_at, key`, string(c.Message)))
		if err != nil {
			return err
		}
		n = 0
		now, word := t.now(), "receipt"
		for _, a := range list {
			switch {
			case c.Drop:
				a.State, a.At, word = greffe.AnswerDropped, now, "no-receipt"
				if err := t.noteAnswer(a); err != nil {
					return err
				}
			case a.State == greffe.AnswerAsked && n == 0:
				a.State, a.Reason = greffe.AnswerDue, ""
			default:
				continue
			}
			if _, err := t.exec(`UPDATE answers SET state=$2, reason=$3, at=$4 WHERE key=$1`, a.Key, string(a.State), a.Reason, millis(now)); err != nil {
				return err
			}
			n++
		}
		if n == 0 {
			return ErrNotFound
		}
		t.note(c.By, "confirmed", string(c.Message), word, clean(c.ID, 100))
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("confirm answer: %w", err)
	}
	return n, nil
}

func (t *tx) noteAnswer(a greffe.Answer) error {
	return t.noteFact("notifier", "notified", string(a.Message), string(a.State), strings.TrimSpace(a.Kind+" "+clean(a.Code, 60)), greffe.Matter{Answer: &a})
}

// Answers returns the answers of a message, oldest first.
func (db *DB) Answers(ctx context.Context, id greffe.MessageID) ([]greffe.Answer, error) {
	list, err := readAnswers(db.query(ctx, `SELECT `+answerColumns+` FROM answers WHERE message_id = $1 ORDER BY begun_at, key`, string(id)))
	if err != nil {
		return nil, fmt.Errorf("read answers: %w", err)
	}
	return list, nil
}

// AnswerSentAs returns the answer that is the mail with a Message-ID (without angle
// brackets); ErrNotFound when none is.
func (db *DB) AnswerSentAs(ctx context.Context, mailID string) (greffe.Answer, error) {
	list, err := readAnswers(db.query(ctx, `SELECT `+answerColumns+` FROM answers WHERE mail_id = $1 ORDER BY key LIMIT 1`, clean(mailID, 320)))
	if err != nil || len(list) == 0 {
		return greffe.Answer{}, fmt.Errorf("read answer: %w", cmp.Or(err, ErrNotFound))
	}
	return list[0], nil
}

// addAnswers adds to messages (at most 200) their answers.
func (db *DB) addAnswers(ctx context.Context, messages []Message) error {
	if len(messages) == 0 {
		return nil
	}
	place := make(map[greffe.MessageID]int, len(messages))
	ids := make([]greffe.MessageID, len(messages))
	for i := range messages {
		place[messages[i].ID], ids[i] = i, messages[i].ID
	}
	var a arguments
	list, err := readAnswers(db.query(ctx, `SELECT `+answerColumns+` FROM answers WHERE message_id IN (`+marks(&a, ids)+`) ORDER BY begun_at, key`, a...))
	if err != nil {
		return err
	}
	for _, answer := range list {
		m := &messages[place[answer.Message]]
		m.Answers = append(m.Answers, answer)
	}
	return nil
}

// AnsweredSince returns the messages whose answers changed at a moment or later, with the
// time of the last change, at most 1,000.
func (db *DB) AnsweredSince(ctx context.Context, at time.Time) (map[greffe.MessageID]time.Time, error) {
	rows, err := db.query(ctx, `SELECT message_id, at FROM answers WHERE at >= $1 ORDER BY at LIMIT 1000`, millis(at))
	if err != nil {
		return nil, fmt.Errorf("read answers: %w", err)
	}
	defer rows.Close()
	list := map[greffe.MessageID]time.Time{}
	for rows.Next() {
		var id greffe.MessageID
		var ms int64
		if err := rows.Scan(&id, &ms); err != nil {
			return nil, fmt.Errorf("read answers: %w", err)
		}
		list[id] = moment(ms)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read answers: %w", err)
	}
	return list, nil
}

// CountFollowUps counts the messages of places (none: all) whose answers a person has to
// look after: asked for, or not arrived.
func (db *DB) CountFollowUps(ctx context.Context, places []string) (int, error) {
	var a arguments
	in := inPlaces(&a, places, messagePlace)
	var n int
	// CROSS JOIN keeps SQLite from reading all that stands in the mailboxes.
	err := db.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT DISTINCT message_id FROM answers WHERE state IN ('asked', 'failed')) AS f
		CROSS JOIN messages WHERE messages.id = f.message_id`+in, a...).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count answers: %w", err)
	}
	return n, nil
}

// Copies returns the documents that are duplicates of one, at most 100.
func (db *DB) Copies(ctx context.Context, of greffe.DocumentID) ([]Document, error) {
	list, err := db.documents(ctx, `SELECT `+documentColumns+fromDocuments+`WHERE d.duplicate_of = $1 AND d.duplicate_of <> '' ORDER BY d.id LIMIT 100`, string(of))
	if err != nil {
		return nil, fmt.Errorf("read copies of %s: %w", of, err)
	}
	return list, nil
}

const answerColumns = `key, message_id, kind, state, code, recipient, mail_id, reason, begun_at, at`

// readAnswers reads the rows of a query of answerColumns.
func readAnswers(rows *sql.Rows, err error) ([]greffe.Answer, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []greffe.Answer
	for rows.Next() {
		var a greffe.Answer
		var begun, at int64
		if err := rows.Scan(&a.Key, &a.Message, &a.Kind, &a.State, &a.Code, &a.Recipient, &a.MailID, &a.Reason, &begun, &at); err != nil {
			return nil, err
		}
		a.Begun, a.At = moment(begun), moment(at)
		list = append(list, a)
	}
	return list, rows.Err()
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
