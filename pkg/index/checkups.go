package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"greffe/pkg/greffe"
)

// Checkup is a verification of one message that a person asked for.
type Checkup struct {
	ID        string
	Message   greffe.MessageID
	Requester string // login
	From      string // network address of the request
	Asked     time.Time
	Done      time.Time // zero while it waits or goes on
	Problem   string    // French: why it could not be done; "" when there is a report
	Report    string    // JSON (api/verify.schema.json)
}

// maxCheckups is how many verifications may wait at once.
const maxCheckups = 50

const checkupColumns = `id, message_id, requester, asked_from, asked_at, done_at, problem, report_json`

// AskCheckup writes that somebody wants a message verified, and returns the id of the
// request: that of the same person about the same message when one waits already.
// ErrPending when 50 wait.
func (db *DB) AskCheckup(ctx context.Context, c Checkup) (id string, err error) {
	err = db.update(ctx, func(t *tx) error {
		err := t.row([]any{&id}, `SELECT id FROM checkups WHERE message_id = $1 AND requester = $2 AND done_at = 0`, string(c.Message), c.Requester)
		if err == nil || !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		var n int
		if err := t.row([]any{&n}, `SELECT COUNT(*) FROM checkups WHERE done_at = 0`); err != nil {
			return err
		}
		if n >= maxCheckups {
			return ErrPending
		}
		id = c.ID
		_, err = t.exec(`INSERT INTO checkups (`+checkupColumns+`) VALUES ($1,$2,$3,$4,$5,0,'','')`, c.ID, string(c.Message), c.Requester, clean(c.From, 100), millis(t.now()))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("ask verification: %w", err)
	}
	return id, nil
}

// EndCheckup writes what came out of a verification, with the entries that say so, and
// forgets those that are older than a month. One that has ended stays as it is.
func (db *DB) EndCheckup(ctx context.Context, id, problem, report string, entries ...Entry) error {
	err := db.update(ctx, func(t *tx) error {
		n, err := t.exec(`UPDATE checkups SET done_at = $2, problem = $3, report_json = $4 WHERE id = $1 AND done_at = 0`, id, millis(t.now()), clean(problem, 2000), report)
		if err != nil || n == 0 {
			return err
		}
		t.entries = append(t.entries, entries...)
		_, err = t.exec(`DELETE FROM checkups WHERE done_at > 0 AND done_at < $1`, millis(t.now().AddDate(0, -1, 0)))
		return err
	})
	if err != nil {
		return fmt.Errorf("end verification: %w", err)
	}
	return nil
}

// NextCheckup returns the verification that waits longest; ErrNotFound when none does.
func (db *DB) NextCheckup(ctx context.Context) (Checkup, error) {
	return db.checkup(ctx, `WHERE done_at = 0 ORDER BY asked_at, id LIMIT 1`)
}

// LastCheckup returns the newest verification of a message; ErrNotFound when there is none.
func (db *DB) LastCheckup(ctx context.Context, id greffe.MessageID) (Checkup, error) {
	return db.checkup(ctx, `WHERE message_id = $1 ORDER BY asked_at DESC, id DESC LIMIT 1`, string(id))
}

func (db *DB) checkup(ctx context.Context, where string, args ...any) (Checkup, error) {
	var c Checkup
	var asked, done int64
	err := db.read.QueryRowContext(ctx, `SELECT `+checkupColumns+` FROM checkups `+where, args...).Scan(&c.ID, &c.Message, &c.Requester, &c.From, &asked, &done, &c.Problem, &c.Report)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Checkup{}, fmt.Errorf("read verification: %w", err)
	}
	c.Asked, c.Done = moment(asked), moment(done)
	return c, nil
}
