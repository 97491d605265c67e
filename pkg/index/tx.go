package index

import (
	"context"
	"database/sql"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// tx is a write transaction. Writers take turns over the whole index, so that
// the journal has one order: what a transaction reads, nobody changes before it
// ends. Journal entries and changes of the counts are gathered and written at
// the end.
type tx struct {
	*sql.Tx
	ctx     context.Context
	db      *DB
	entries []Entry
	facts   map[int]string // of entries, by their place
	counts  map[count]int64
	missing []string // statements that were not prepared yet
	at      time.Time
	pipe    *pipeline // of the transaction; nil: each statement is sent by itself
}

// now is the one time of all that the transaction writes, in UTC to the millisecond:
// the journal, which is sealed, so gives the times of the rows back when the index is lost.
func (t *tx) now() time.Time {
	if t.at.IsZero() {
		t.at = time.Now().UTC().Truncate(time.Millisecond)
	}
	return t.at
}

// count names one row of the table tallies.
type count struct {
	kind    string // message | document
	mailbox string
	state   greffe.State
}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	if t.pipe != nil {
		return t.pipe.flush(t.ctx, statement{query, args})
	}
	var res sql.Result
	var err error
	if s := t.prepared(query); s != nil {
		res, err = s.ExecContext(t.ctx, args...)
	} else {
		res, err = t.ExecContext(t.ctx, query, args...)
	}
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// row reads the one row of a query into dest; sql.ErrNoRows when there is none.
func (t *tx) row(dest []any, query string, args ...any) error {
	if s := t.prepared(query); s != nil {
		return s.QueryRowContext(t.ctx, args...).Scan(dest...)
	}
	if err := t.flush(); err != nil {
		return err
	}
	return t.QueryRowContext(t.ctx, query, args...).Scan(dest...)
}

// prepared returns the statement of a query, or nil when it is not prepared: a
// quarter of the time of a write went into parsing its SQL. pgx keeps prepared
// statements by itself; on SQLite they live on the one write connection, which
// the transaction occupies, so new ones are prepared after it.
func (t *tx) prepared(query string) *sql.Stmt {
	if t.db.postgres {
		return nil
	}
	if s, ok := t.db.statements.Load(query); ok {
		return t.StmtContext(t.ctx, s.(*sql.Stmt))
	}
	t.missing = append(t.missing, query)
	return nil
}

// prepare keeps a prepared statement for later transactions. Failing to is no
// harm. There are as many as there are texts of statements in this package,
// times 50 for those of several rows.
func (db *DB) prepare(ctx context.Context, query string) {
	if _, ok := db.statements.Load(query); ok {
		return
	}
	s, err := db.write.PrepareContext(ctx, query)
	if err != nil {
		return
	}
	if _, loaded := db.statements.LoadOrStore(query, s); loaded {
		s.Close()
	}
}

// count notes that mailbox has by more (or less) of kind in state.
func (t *tx) count(kind, mailbox string, state greffe.State, by int64) {
	t.counts[count{kind, mailbox, state}] += by
}

func (t *tx) writeCounts() error {
	var rows [][]any
	for c, n := range t.counts {
		if n != 0 {
			rows = append(rows, []any{c.kind, c.mailbox, string(c.state), n})
		}
	}
	return t.insert(`INSERT INTO tallies (kind, mailbox, state, n) VALUES `, rows,
		` ON CONFLICT (kind, mailbox, state) DO UPDATE SET n = tallies.n + excluded.n`)
}

// insert writes rows of equal length, many in one statement.
func (t *tx) insert(head string, rows [][]any, tail string) error {
	for len(rows) > 0 {
		n := min(len(rows), 50)
		var args []any
		for _, r := range rows[:n] {
			args = append(args, r...)
		}
		marks := values(n, len(rows[0]))
		if !t.db.postgres {
			// SQLite looks numbered ones up by their names, one after the other.
			marks = marksOf(n, len(rows[0]))
		}
		if err := t.later(head+marks+tail, args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// marksOf returns the placeholders of n rows of width columns in their order: (?,?),(?,?).
func marksOf(n, width int) string {
	row := "(" + strings.Repeat("?,", width-1) + "?)"
	return strings.Repeat(row+",", n-1) + row
}

// values returns the placeholders of n rows of width columns: ($1,$2),($3,$4).
func values(n, width int) string {
	var b strings.Builder
	for i := range n * width {
		switch {
		case i == 0:
			b.WriteString("($")
		case i%width == 0:
			b.WriteString("),($")
		default:
			b.WriteString(",$")
		}
		b.WriteString(strconv.Itoa(i + 1))
	}
	b.WriteString(")")
	return b.String()
}

// arguments gathers the values of a query built piece by piece.
type arguments []any

// add notes v and returns its placeholder.
func (a *arguments) add(v any) string {
	*a = append(*a, v)
	return "$" + strconv.Itoa(len(*a))
}

// marks notes the values and returns their placeholders, separated by commas.
func marks[T ~string](a *arguments, values []T) string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = a.add(string(v))
	}
	return strings.Join(list, ",")
}

// encode returns v as JSON. Its values come from events that were JSON before,
// so it cannot fail but for a time out of range.
func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// decode reads JSON that encode wrote; an empty text leaves v alone.
func decode(s string, v any) error {
	if s == "" {
		return nil
	}
	return json.Unmarshal([]byte(s), v)
}

// millis returns t as the time columns hold it, 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// moment is the reverse of millis, in UTC.
func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
