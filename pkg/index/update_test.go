package index

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
)

// Writers who share a transaction: what one of them does wrong is its own affair.
func TestWritersInOneTransaction(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		const writers = 200
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		errMine := errors.New("mine")
		put := func(ctx context.Context, n int) error {
			return db.update(ctx, func(tx *tx) error {
				if _, err := tx.exec(`INSERT INTO settings (name, value) VALUES ($1, $2)`, fmt.Sprintf("w%d", n), "x"); err != nil {
					return err
				}
				tx.entries = append(tx.entries, Entry{Actor: "test", Action: "test", Subject: fmt.Sprint(n)})
				switch n % 5 {
				case 1:
					return errMine
				case 2: // a statement that fails spoils a transaction on PostgreSQL
					_, err := tx.exec(`INSERT INTO settings (name, value) VALUES ($1, $2)`, fmt.Sprintf("w%d", n), "again")
					return err
				case 3:
					if n == 103 {
						panic("a bug in one write")
					}
				}
				return nil
			})
		}
		results := make([]error, writers)
		var wg sync.WaitGroup
		for n := range writers {
			wg.Go(func() {
				ctx := t.Context()
				if n%5 == 4 {
					ctx = gone
				}
				defer func() {
					if recover() != nil {
						results[n] = errUnfinished
					}
				}()
				results[n] = put(ctx, n)
			})
		}
		wg.Wait()
		written := 0
		for n, err := range results {
			var rows int
			if e := db.read.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM settings WHERE name = $1`, fmt.Sprintf("w%d", n)).Scan(&rows); e != nil {
				t.Fatal(e)
			}
			if (rows == 1) != (err == nil) {
				t.Errorf("write %d: %d rows, error %v", n, rows, err)
			}
			written += rows
			switch {
			case n%5 == 0 || n%5 == 3: // may have shared a transaction with the one that panicked
				if err != nil && !errors.Is(err, errUnfinished) {
					t.Errorf("write %d: %v", n, err)
				}
			case n%5 == 1 && !errors.Is(err, errMine) && !errors.Is(err, errUnfinished),
				n%5 == 2 && err == nil,
				n%5 == 4 && !errors.Is(err, context.Canceled) && !errors.Is(err, errUnfinished):
				t.Errorf("write %d: %v", n, err)
			}
		}
		if written < writers/5 {
			t.Errorf("only %d writes were done", written)
		}
		if err := db.VerifyJournal(t.Context(), nil); err != nil {
			t.Error(err)
		}
		entries, err := db.JournalAfter(t.Context(), 0, writers+1)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != written {
			t.Errorf("%d entries for %d writes", len(entries), written)
		}
		if err := put(t.Context(), writers); err != nil {
			t.Error("after the panic:", err)
		}
	})
}
