package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"greffe/pkg/greffe"
)

// Approval is an auditor's request to read a message, or all documents of a patient,
// which another auditor grants or refuses.
type Approval struct {
	ID        string
	Requester string // login
	Message   greffe.MessageID
	INS       string // of the patient of the message; "": the message alone
	Reason    string // as the requester wrote it
	Asked     time.Time
	DecidedBy string    // login of the second auditor; "" while it waits
	Decided   time.Time // zero while it waits
	Granted   bool
	Expires   time.Time // of what was granted
}

// ErrDecided is returned for an approval that was decided before, and for one that its
// requester would decide.
var ErrDecided = errors.New("index: not for this person to decide, or decided before")

const approvalColumns = `id, requester, message_id, ins, reason, asked_at, decided_by, decided_at, granted, expires_at`

// AskApproval writes a request, with the journal entries that say so.
func (db *DB) AskApproval(ctx context.Context, a Approval, entries ...Entry) error {
	err := db.update(ctx, func(t *tx) error {
		t.entries = append(t.entries, entries...)
		_, err := t.exec(`INSERT INTO approvals (`+approvalColumns+`) VALUES ($1,$2,$3,$4,$5,$6,'',0,0,0)`,
			a.ID, a.Requester, string(a.Message), a.INS, clean(a.Reason, 1000), millis(t.now()))
		return err
	})
	if err != nil {
		return fmt.Errorf("ask approval: %w", err)
	}
	return nil
}

// DecideApproval writes the word of a second person, with the entries that said returns
// about the request. ErrDecided when it was given, or when the requester gives it;
// ErrNotFound when there is no such request.
func (db *DB) DecideApproval(ctx context.Context, id, by string, granted bool, expires time.Time, said func(Approval) []Entry) error {
	err := db.update(ctx, func(t *tx) error {
		a, err := scanApproval(func(dest ...any) error {
			return t.row(dest, `SELECT `+approvalColumns+` FROM approvals WHERE id = $1`, id)
		})
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		if a.DecidedBy != "" || a.Requester == by || by == "" {
			return ErrDecided
		}
		t.entries = append(t.entries, said(a)...)
		_, err = t.exec(`UPDATE approvals SET decided_by = $1, decided_at = $2, granted = $3, expires_at = $4 WHERE id = $5`,
			by, millis(t.now()), flag(granted), millis(expires), id)
		return err
	})
	if err != nil {
		return fmt.Errorf("decide approval: %w", err)
	}
	return nil
}

// Approvals returns the newest n requests of everybody, newest first.
func (db *DB) Approvals(ctx context.Context, n int) ([]Approval, error) {
	return db.approvals(ctx, `ORDER BY asked_at DESC, id DESC LIMIT $1`, n)
}

// Granted returns what a person may read at the time now.
func (db *DB) Granted(ctx context.Context, requester string, now time.Time) ([]Approval, error) {
	return db.approvals(ctx, `WHERE requester = $1 AND expires_at > $2 AND granted = 1`, requester, millis(now))
}

func (db *DB) approvals(ctx context.Context, where string, args ...any) ([]Approval, error) {
	rows, err := db.query(ctx, `SELECT `+approvalColumns+` FROM approvals `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read approvals: %w", err)
	}
	defer rows.Close()
	var list []Approval
	for rows.Next() {
		a, err := scanApproval(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("read approvals: %w", err)
		}
		list = append(list, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read approvals: %w", err)
	}
	return list, nil
}

func scanApproval(scan func(dest ...any) error) (a Approval, err error) {
	var message string
	var asked, decided, expires int64
	var granted int
	err = scan(&a.ID, &a.Requester, &message, &a.INS, &a.Reason, &asked, &a.DecidedBy, &decided, &granted, &expires)
	a.Message, a.Asked, a.Decided, a.Expires, a.Granted = greffe.MessageID(message), moment(asked), moment(decided), moment(expires), granted != 0
	return a, err
}
