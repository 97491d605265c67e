package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"greffe/pkg/greffe"
)

const (
	maxDays      = 400 // days looked back for one that was not stated
	maxDaysAtOne = 200 // days that DaysToState returns
)

// DaysToState returns the days of a mailbox before today (midnight in the time zone of
// the hospital) that are to be stated, oldest first, at most 200: those since its first
// comparison, of the last 400, without a complete statement, and those of which
// something changed since.
func (db *DB) DaysToState(ctx context.Context, w Watched, today time.Time) ([]time.Time, error) {
	days, err := db.daysToState(ctx, clean(w.Address, 320), today)
	if err != nil {
		return nil, fmt.Errorf("days to state: %w", err)
	}
	return days, nil
}

func (db *DB) daysToState(ctx context.Context, mailbox string, today time.Time) ([]time.Time, error) {
	due := map[time.Time]bool{}
	add := func(at time.Time) {
		y, m, d := at.In(today.Location()).Date()
		if day := time.Date(y, m, d, 0, 0, 0, 0, today.Location()); day.Before(today) {
			due[day] = true
		}
	}
	var first sql.NullInt64
	if err := db.read.QueryRowContext(ctx, `SELECT MIN(first_at) FROM compared WHERE mailbox = $1`, mailbox).Scan(&first); err != nil {
		return nil, err
	}
	if first.Valid {
		from := moment(first.Int64)
		if oldest := today.AddDate(0, 0, -maxDays); from.Before(oldest) {
			from = oldest
		}
		for d := from.In(today.Location()); d.Before(today); d = d.AddDate(0, 0, 1) {
			add(d)
		}
		add(from)
		rows, err := db.query(ctx, `SELECT day FROM statements WHERE mailbox = $1 AND day >= $2 AND complete = 1`, mailbox, from.Format(time.DateOnly))
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			var label string
			if err := rows.Scan(&label); err != nil {
				return nil, errors.Join(err, rows.Close())
			}
			if day, err := time.ParseInLocation(time.DateOnly, label, today.Location()); err == nil {
				delete(due, day)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
	}
	rows, err := db.query(ctx, `SELECT hour FROM unstated WHERE mailbox = $1 AND hour < $2 ORDER BY hour LIMIT 20000`, mailbox, today.UnixMilli()/msPerHour+1)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var hour int64
		if err := rows.Scan(&hour); err != nil {
			return nil, err
		}
		// Not every time zone is whole hours away from UTC: an hour may be of two days.
		add(time.UnixMilli(hour * msPerHour))
		add(time.UnixMilli(hour*msPerHour + msPerHour - 1))
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	days := make([]time.Time, 0, len(due))
	for d := range due {
		days = append(days, d)
	}
	slices.SortFunc(days, time.Time.Compare)
	return days[:min(len(days), maxDaysAtOne)], nil
}

// SaveStatement writes a statement about the day that begins at day, with its journal
// entry, and reports whether it did: one that says the same as the last about that
// mailbox and day (the same digest) is not written again.
func (db *DB) SaveStatement(ctx context.Context, s greffe.Statement, day time.Time) (bool, error) {
	written := false
	err := db.update(ctx, func(t *tx) error {
		mailbox := clean(s.Mailbox, 320)
		// What changed while the statement was made is stated again.
		_, err := t.exec(`DELETE FROM unstated WHERE mailbox = $1 AND hour >= $2 AND hour < $3 AND changed_at < $4`,
			mailbox, day.UnixMilli()/msPerHour, day.AddDate(0, 0, 1).UnixMilli()/msPerHour, millis(s.At))
		if err != nil {
			return err
		}
		var text string
		err = t.row([]any{&text}, `SELECT statement_json FROM statements WHERE mailbox = $1 AND day = $2`, mailbox, s.Day)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		var last greffe.Statement
		if err := decode(text, &last); err != nil {
			return err
		}
		if last.Digest == s.Digest {
			return nil
		}
		if text, err = encode(s); err != nil {
			return err
		}
		complete := 0
		if s.Complete {
			complete = 1
		}
		if _, err := t.exec(insertStatements+`($1,$2,$3,$4,$5,$6)`+newerStatements, mailbox, s.Day, millis(s.At), complete, s.Missing, text); err != nil {
			return err
		}
		m := greffe.Matter{Statement: &s}
		if m.Compared, err = t.compared(mailbox); err != nil {
			return err
		}
		written = true
		return t.noteFact("storage", "stated", greffe.MailboxKey(s.Mailbox), s.Result(), s.Detail(), m)
	})
	if err != nil {
		return false, fmt.Errorf("save statement: %w", err)
	}
	return written, nil
}

const (
	insertStatements = `INSERT INTO statements (mailbox, day, at, complete, missing, statement_json) VALUES `
	newerStatements  = ` ON CONFLICT (mailbox, day) DO UPDATE SET at=excluded.at, complete=excluded.complete, missing=excluded.missing,
		statement_json=excluded.statement_json WHERE statements.at <= excluded.at`
)

// compared returns when the folders of a mailbox were compared with its server.
func (t *tx) compared(mailbox string) ([]greffe.Compare, error) {
	rows, err := t.QueryContext(t.ctx, `SELECT folder, first_at, last_at FROM compared WHERE mailbox = $1 ORDER BY folder`, mailbox)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []greffe.Compare
	for rows.Next() {
		var c greffe.Compare
		var first, last int64
		if err := rows.Scan(&c.Folder, &first, &last); err != nil {
			return nil, err
		}
		c.First, c.Last = moment(first), moment(last)
		list = append(list, c)
	}
	return list, rows.Err()
}

// Statements returns the last statements about a day (YYYY-MM-DD), by mailbox, and
// apart from them the newest 50 of any day in which something is missing or was not
// compared.
func (db *DB) Statements(ctx context.Context, day string) (of, doubtful []greffe.Statement, err error) {
	of, err1 := db.readStatements(ctx, `WHERE day = $1 ORDER BY mailbox LIMIT 1000`, clean(day, 10))
	doubtful, err2 := db.readStatements(ctx, `WHERE (missing > 0 OR complete = 0) AND day <> $1 ORDER BY day DESC, mailbox LIMIT 50`, clean(day, 10))
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, fmt.Errorf("read statements: %w", err)
	}
	return of, doubtful, nil
}

func (db *DB) readStatements(ctx context.Context, where string, args ...any) ([]greffe.Statement, error) {
	rows, err := db.query(ctx, `SELECT statement_json FROM statements `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []greffe.Statement
	for rows.Next() {
		var text string
		var s greffe.Statement
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		if err := decode(text, &s); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}
