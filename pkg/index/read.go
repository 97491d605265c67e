package index

import (
	"context"
	"database/sql"
)

// maxPrepared bounds the queries that are kept prepared: a search is put together
// from many conditions, and not each of its forms comes again.
const maxPrepared = 200

// query reads rows. On SQLite the statement is kept prepared, on each of the reading
// connections that it was used on: parsing its SQL took half of the time of a small
// read. pgx does that by itself.
func (db *DB) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if db.postgres {
		return db.read.QueryContext(ctx, query, args...)
	}
	if s, ok := db.queries.Load(query); ok {
		return s.(*sql.Stmt).QueryContext(ctx, args...)
	}
	if db.prepared.Add(1) > maxPrepared {
		return db.read.QueryContext(ctx, query, args...)
	}
	s, err := db.read.PrepareContext(ctx, query)
	if err != nil {
		db.prepared.Add(-1)
		return nil, err
	}
	kept, loaded := db.queries.LoadOrStore(query, s)
	if loaded {
		db.prepared.Add(-1)
		s.Close() // another was faster; what it holds is not needed
	}
	return kept.(*sql.Stmt).QueryContext(ctx, args...)
}
