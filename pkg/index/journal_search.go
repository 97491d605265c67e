package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"greffe/pkg/greffe"
)

// JournalFilter says which entries of the journal; zero fields do not filter.
type JournalFilter struct {
	Actor    string
	Action   string
	Result   string
	Subject  string    // a message id finds the entries of its documents, too
	From, To time.Time // From included, To excluded
	Before   int64     // sequence number that all entries come before: the last of the page before
	Limit    int       // 0 means 100, at most 1,000
}

// SearchJournal returns the entries that a filter keeps, newest first.
func (db *DB) SearchJournal(ctx context.Context, f JournalFilter) ([]Entry, error) {
	list, err := db.searchJournal(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("search journal: %w", err)
	}
	return list, nil
}

func (db *DB) searchJournal(ctx context.Context, f JournalFilter) ([]Entry, error) {
	var a arguments
	where := "1 = 1"
	// The order is that of the chain, not of the clock: a date gives the place where its
	// entries begin and end, and is looked at in each entry besides.
	if !f.From.IsZero() {
		seq, found, err := db.seqAt(ctx, f.From)
		if err != nil || !found {
			return nil, err
		}
		where += " AND seq >= " + a.add(seq) + " AND at >= " + a.add(f.From.UnixMilli())
	}
	if !f.To.IsZero() {
		seq, found, err := db.seqAt(ctx, f.To)
		if err != nil {
			return nil, err
		}
		if found {
			where += " AND seq < " + a.add(seq)
		}
		where += " AND at < " + a.add(f.To.UnixMilli())
	}
	if f.Before > 0 {
		where += " AND seq < " + a.add(f.Before)
	}
	if f.Actor != "" {
		where += " AND actor = " + a.add(clean(f.Actor, 256))
	}
	if f.Action != "" {
		where += " AND action = " + a.add(clean(f.Action, 256))
	}
	if f.Result != "" {
		where += " AND result = " + a.add(clean(f.Result, 256))
	}
	switch subject := clean(f.Subject, 256); {
	case greffe.MessageID(subject).Valid():
		where += " AND subject >= " + a.add(subject) + " AND subject < " + a.add(subject+".")
	case subject != "":
		where += " AND subject = " + a.add(subject)
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	return db.entries(ctx, `SELECT `+entryColumns+` FROM journal WHERE `+where+` ORDER BY seq DESC LIMIT `+a.add(min(limit, 1000)), a...)
}

// seqAt returns the number of the first entry that is not before t; false when there is
// none.
func (db *DB) seqAt(ctx context.Context, t time.Time) (int64, bool, error) {
	var seq int64
	err := db.read.QueryRowContext(ctx, `SELECT seq FROM journal WHERE at >= $1 ORDER BY at, seq LIMIT 1`, t.UnixMilli()).Scan(&seq)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return seq, err == nil, err
}
