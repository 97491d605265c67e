package index

import (
	"context"
	"fmt"
	"strings"

	"greffe/pkg/greffe"
)

// StatementFilter says which statements; zero fields do not filter.
type StatementFilter struct {
	Mailboxes []string // addresses; nil means all of them
	From, To  string   // days YYYY-MM-DD, both included
	// After is the last statement of the page before: its day and mailbox.
	After greffe.Statement
	Limit int // 0 means 50, at most 200
}

// StatementsOf returns the last statement about each mailbox and day that a filter keeps:
// the newest day first, and of a day by mailbox.
func (db *DB) StatementsOf(ctx context.Context, f StatementFilter) ([]greffe.Statement, error) {
	var a arguments
	where := "1 = 1"
	if f.Mailboxes != nil {
		marks := []string{"''"} // no mailbox has it: none are asked for, none are found
		for _, m := range f.Mailboxes {
			marks = append(marks, a.add(clean(m, 320)))
		}
		where += " AND mailbox IN (" + strings.Join(marks, ", ") + ")"
	}
	if f.From != "" {
		where += " AND day >= " + a.add(clean(f.From, 10))
	}
	if f.To != "" {
		where += " AND day <= " + a.add(clean(f.To, 10))
	}
	if f.After.Day != "" {
		day := a.add(clean(f.After.Day, 10))
		where += " AND day <= " + day + " AND (day < " + day + " OR mailbox > " + a.add(clean(f.After.Mailbox, 320)) + ")"
	}
	limit := f.Limit
	if limit <= 0 {
		limit = rowsOfPage
	}
	list, err := db.readStatements(ctx, "WHERE "+where+" ORDER BY day DESC, mailbox LIMIT "+a.add(min(limit, 200)), a...)
	if err != nil {
		return nil, fmt.Errorf("read statements: %w", err)
	}
	return list, nil
}

const rowsOfPage = 50

// StatementOf returns the last statement about a day (YYYY-MM-DD) of the mailbox whose
// greffe.MailboxKey is key; ErrNotFound when there is none.
func (db *DB) StatementOf(ctx context.Context, day, key string) (greffe.Statement, error) {
	list, err := db.readStatements(ctx, `WHERE day = $1 ORDER BY mailbox`, clean(day, 10))
	if err != nil {
		return greffe.Statement{}, fmt.Errorf("read statement: %w", err)
	}
	for _, s := range list {
		if greffe.MailboxKey(s.Mailbox) == key {
			return s, nil
		}
	}
	return greffe.Statement{}, fmt.Errorf("read statement: %w", ErrNotFound)
}

// StatedEntry returns the entry of the journal that a statement was written with;
// ErrNotFound when the journal has none that says the same.
func (db *DB) StatedEntry(ctx context.Context, s greffe.Statement) (Entry, error) {
	list, err := db.entries(ctx, `SELECT `+entryColumns+` FROM journal WHERE subject = $1 AND action = 'stated' AND substr(detail, 1, 11) = $2 ORDER BY seq DESC LIMIT 100`,
		greffe.MailboxKey(s.Mailbox), clean(s.Day, 10)+" ")
	if err != nil {
		return Entry{}, fmt.Errorf("read entry of a statement: %w", err)
	}
	for _, e := range list {
		if strings.Contains(e.Detail, "sha256="+string(s.Digest)) {
			return e, nil
		}
	}
	return Entry{}, fmt.Errorf("read entry of a statement: %w", ErrNotFound)
}
