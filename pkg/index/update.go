package index

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	maxGroup  = 32               // writes that share one transaction
	groupTime = 30 * time.Second // for one transaction, the wait for other processes included
)

// write is one call of update, waiting for its turn or being done.
type write struct {
	ctx  context.Context
	f    func(t *tx) error
	turn chan bool // true: lead the next group; false: done by another
	err  error
}

// turns lines up the writers of this process.
type turns struct {
	mu      sync.Mutex
	waiting []*write
	busy    bool // someone leads
}

// errUnfinished is what a write returns whose group ended badly. It may be repeated.
var errUnfinished = errors.New("the transaction was not finished")

// update runs f in a write transaction and returns once it is durable. Nothing is
// written when f or the commit fails.
//
// Writers who wait at the same time share a transaction, each behind a savepoint of
// its own: making a commit durable costs more than all that is in it. One of them
// leads and does the work of the others. f runs once, perhaps in another goroutine,
// and not at all when ctx is done before its turn; it is not cut short by ctx.
func (db *DB) update(ctx context.Context, f func(t *tx) error) error {
	w := &write{ctx: ctx, f: f, turn: make(chan bool, 1), err: errUnfinished}
	q := &db.turns
	q.mu.Lock()
	q.waiting = append(q.waiting, w)
	lead := !q.busy
	q.busy = true
	q.mu.Unlock()
	if lead || <-w.turn {
		db.lead()
	}
	return w.err
}

// lead does the write that waits longest, which is the caller's, with those behind it.
func (db *DB) lead() {
	q := &db.turns
	q.mu.Lock()
	n := min(len(q.waiting), maxGroup)
	group := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	q.mu.Unlock()
	defer func() { // also when a write panics
		q.mu.Lock()
		if len(q.waiting) > 0 {
			q.waiting[0].turn <- true
		} else {
			q.busy, q.waiting = false, nil
		}
		q.mu.Unlock()
		for _, w := range group[1:] {
			w.turn <- false
		}
	}()
	failed, err := db.writeGroup(group)
	for i, w := range group {
		w.err = err
		if failed[i] != nil {
			w.err = failed[i]
		}
	}
}

// writeGroup writes a group and returns what failed in each write; err is of those
// in which nothing did. The transaction is READ COMMITTED on PostgreSQL: the lock is
// its first statement, and each later one sees what the writer before has committed.
func (db *DB) writeGroup(group []*write) (failed []error, err error) {
	failed = make([]error, len(group))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(group[0].ctx), groupTime)
	defer cancel()
	begin, pipe := db.write.BeginTx, (*pipeline)(nil) // SQLite: BEGIN IMMEDIATE
	if db.postgres {
		conn, err := db.write.Conn(ctx)
		if err != nil {
			return failed, fmt.Errorf("begin: %w", err)
		}
		defer conn.Close()
		begin, pipe = conn.BeginTx, &pipeline{conn: conn}
	}
	sqlTx, err := begin(ctx, nil)
	if err != nil {
		return failed, fmt.Errorf("begin: %w", err)
	}
	defer sqlTx.Rollback()
	turn := &tx{Tx: sqlTx, ctx: ctx, db: db, pipe: pipe}
	if db.postgres {
		// The key depends on the schema, so that two indexes in one database do not wait for each other.
		if _, err := turn.exec(`SELECT pg_advisory_xact_lock(hashtext('greffe journal ' || current_schema()))`); err != nil {
			return failed, fmt.Errorf("wait for writers: %w", err)
		}
	}
	for i, w := range group {
		if w.ctx.Err() != nil {
			failed[i] = context.Cause(w.ctx)
			continue
		}
		t := &tx{Tx: sqlTx, ctx: ctx, db: db, counts: map[count]int64{}, pipe: turn.pipe}
		if len(group) == 1 {
			failed[i] = t.run(w.f)
		} else if failed[i], err = t.runInside(w.f); err != nil {
			return failed, err
		}
		turn.missing = append(turn.missing, t.missing...)
	}
	if len(group) == 1 && failed[0] != nil {
		return failed, nil // rolled back
	}
	// What is not sent yet is the release of a savepoint, which the commit does, too.
	if err := sqlTx.Commit(); err != nil {
		return failed, fmt.Errorf("commit: %w", err)
	}
	for _, query := range turn.missing {
		db.prepare(ctx, query)
	}
	return failed, nil
}

// run does one write, whose journal entries and counts come last.
func (t *tx) run(f func(t *tx) error) error {
	if err := f(t); err != nil {
		return err
	}
	if err := t.writeCounts(); err != nil {
		return fmt.Errorf("write counts: %w", err)
	}
	if err := t.writeEntries(); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return t.flush()
}

// runInside does one write of several: failed is its own error, which leaves the
// others alone; err ends them all. A database may have rolled everything back when a
// statement failed (a full disk); it then no longer knows the savepoint.
func (t *tx) runInside(f func(t *tx) error) (failed, err error) {
	mark := t.pipe.mark()
	if err := t.later(`SAVEPOINT one`); err != nil {
		return nil, fmt.Errorf("savepoint: %w", err)
	}
	if failed = t.run(f); failed != nil {
		if t.pipe.forget(mark) {
			return failed, nil // not even the savepoint was sent
		}
		if _, err := t.exec(`ROLLBACK TO SAVEPOINT one`); err != nil {
			return failed, fmt.Errorf("roll back to savepoint: %w", errors.Join(err, failed))
		}
	}
	if err := t.later(`RELEASE SAVEPOINT one`); err != nil {
		return failed, fmt.Errorf("release savepoint: %w", err)
	}
	return failed, nil
}
