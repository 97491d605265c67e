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

// Activity is one document as it is counted for those who watch: nothing of it says
// whom it is about.
type Activity struct {
	Mailbox    string
	Folder     string
	Sender     string    // address of the message's From, of those that need a person or were put aside
	ReceivedAt time.Time // when the mailbox got it; when Greffe took it, if the server did not say
	State      greffe.State
	Outcome    greffe.Outcome // the last one; the zero value before there is any
	ByHand     bool           // a person decided something about it
}

// Activities gives each the documents whose message was taken from from on and before to,
// oldest first. each must not use the index; an error of it ends the reading and is returned.
func (db *DB) Activities(ctx context.Context, from, to time.Time, each func(Activity) error) error {
	sender := `json_extract(f.parsed_json, '$.message.from[0].address')`
	if db.postgres {
		sender = `f.parsed_json::json #>> '{message,from,0,address}'`
	}
	rows, err := db.query(ctx, `SELECT d.mailbox, m.folder, CASE WHEN d.state IN ('`+strings.Join([]string{string(greffe.StateTodo), string(greffe.StateRefused), string(greffe.StateIncident), string(greffe.StateDismissed)}, `','`)+`')
			THEN COALESCE((SELECT `+sender+` FROM message_facts f WHERE f.message_id = d.message_id), '') ELSE '' END, m.internal_date, d.received_at, d.state, d.outcome_json,
			EXISTS (SELECT 1 FROM decisions c WHERE c.document_id = d.id)
		FROM documents d JOIN messages m ON m.id = d.message_id
		WHERE d.received_at >= $1 AND d.received_at < $2 ORDER BY d.received_at, d.id`, millis(from), millis(to))
	if err != nil {
		return fmt.Errorf("read activity: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var a Activity
		var arrived, taken int64
		var outcome string
		if err := rows.Scan(&a.Mailbox, &a.Folder, &a.Sender, &arrived, &taken, &a.State, &outcome, &a.ByHand); err != nil {
			return fmt.Errorf("read activity: %w", err)
		}
		if err := decode(outcome, &a.Outcome); err != nil {
			return fmt.Errorf("read activity: %w", err)
		}
		if a.ReceivedAt = moment(arrived); arrived == 0 || arrived > taken {
			a.ReceivedAt = moment(taken)
		}
		if err := each(a); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read activity: %w", err)
	}
	return nil
}

// SaveConsulted records that somebody looked into mailboxes; a time before the one
// that is known changes nothing. It is a convenience of those who watch, not a fact of
// the journal: each look has its entry there.
func (db *DB) SaveConsulted(ctx context.Context, mailboxes []string, at time.Time) error {
	err := db.update(ctx, func(t *tx) error {
		for _, m := range mailboxes {
			if _, err := t.exec(`INSERT INTO consulted (mailbox, at) VALUES ($1,$2)
				ON CONFLICT (mailbox) DO UPDATE SET at = excluded.at WHERE consulted.at < excluded.at`, m, millis(at)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save consultation: %w", err)
	}
	return nil
}

// MailboxState is how the messages in the queue of a mailbox stand: those taken from it
// that were not passed on, and those that were passed to it.
type MailboxState struct {
	Counts    map[greffe.State]int // of messages
	OldestAt  time.Time            // when the oldest message that a person must see to was taken; zero when there is none
	Consulted time.Time            // when somebody who works the queue last looked into it; zero when not known
}

// UnattendedFor reports whether something has waited for a person for longer than d in the
// queue of the mailbox while nobody looked into it. Never when nothing waits, nor when d is
// not positive.
func (s MailboxState) UnattendedFor(d time.Duration, now time.Time) bool {
	return d > 0 && !s.OldestAt.IsZero() && now.Sub(s.OldestAt) > d && now.Sub(s.Consulted) > d
}

const oldestAtDesk = `SELECT received_at FROM messages WHERE desk = $1 AND state = $2 ORDER BY received_at LIMIT 1`

// Mailbox returns how the messages in the queue of a mailbox stand.
func (db *DB) Mailbox(ctx context.Context, mailbox string) (MailboxState, error) {
	var s MailboxState
	fail := func(err error) (MailboxState, error) { return MailboxState{}, fmt.Errorf("read mailbox: %w", err) }
	var err error
	if s.Counts, _, err = db.tallies(ctx, `kind = 'message' AND mailbox = $1`, mailbox); err != nil {
		return fail(err)
	}
	for _, state := range []greffe.State{greffe.StateTodo, greffe.StateRefused, greffe.StateIncident} {
		var at int64
		err := db.read.QueryRowContext(ctx, oldestAtDesk, mailbox, string(state)).Scan(&at)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return fail(err)
		case s.OldestAt.IsZero() || moment(at).Before(s.OldestAt):
			s.OldestAt = moment(at)
		}
	}
	var at int64
	err = db.read.QueryRowContext(ctx, `SELECT at FROM consulted WHERE mailbox = $1`, mailbox).Scan(&at)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fail(err)
	}
	s.Consulted = moment(at)
	return s, nil
}
