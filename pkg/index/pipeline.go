package index

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// pipeline sends statements of a transaction on PostgreSQL several at a time: those of
// which nothing is asked wait for the next one of which something is. Each way to the server
// and back costs more than most statements do there, and writers take turns meanwhile.
type pipeline struct {
	conn   *sql.Conn
	behind []statement // not sent yet
	sent   int         // how often something was
}

type statement struct {
	query string
	args  []any
}

// mostBehind bounds what waits to be sent, in statements.
const mostBehind = 100

// flush sends what waits, with one more statement if there is one, and returns how many
// rows that one changed.
func (p *pipeline) flush(ctx context.Context, more ...statement) (changed int64, err error) {
	list := append(p.behind, more...)
	p.behind = nil
	if len(list) == 0 {
		return 0, nil
	}
	p.sent++
	err = p.conn.Raw(func(driver any) error {
		c, ok := driver.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("a connection of %T", driver)
		}
		var b pgx.Batch
		for _, s := range list {
			b.Queue(s.query, s.args...)
		}
		results := c.Conn().SendBatch(ctx, &b)
		for range list {
			tag, err := results.Exec()
			if err != nil {
				results.Close() // the error is known
				return err
			}
			changed = tag.RowsAffected()
		}
		return results.Close()
	})
	return changed, err
}

// progress is how far a pipeline is.
type progress struct{ behind, sent int }

func (p *pipeline) mark() progress {
	if p == nil {
		return progress{}
	}
	return progress{len(p.behind), p.sent}
}

// forget gives up what was left for later since m, and reports whether nothing was sent
// since then: there is nothing to roll back.
func (p *pipeline) forget(m progress) bool {
	switch {
	case p == nil:
		return false
	case p.sent == m.sent:
		p.behind = p.behind[:m.behind]
		return true
	}
	p.behind = nil
	return false
}

// later runs a statement of which nothing is asked but that it succeeds, which is known at
// the end of the write at the latest.
func (t *tx) later(query string, args ...any) error {
	if t.pipe == nil {
		_, err := t.exec(query, args...)
		return err
	}
	t.pipe.behind = append(t.pipe.behind, statement{query, args})
	if len(t.pipe.behind) < mostBehind {
		return nil
	}
	return t.flush()
}

// flush has what was left for later done.
func (t *tx) flush() error {
	if t.pipe == nil {
		return nil
	}
	_, err := t.pipe.flush(t.ctx)
	return err
}

// QueryContext is that of the transaction, after what comes before.
func (t *tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := t.flush(); err != nil {
		return nil, err
	}
	return t.Tx.QueryContext(ctx, query, args...)
}
