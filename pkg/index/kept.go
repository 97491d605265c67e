package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Kept is something that a person keeps: a saved view of the queue, a preference.
type Kept struct {
	Kind  string
	Name  string
	Value string
}

// ErrTooMany is returned when a person keeps too much of a kind.
var ErrTooMany = errors.New("index: too many of them")

const (
	maxKept   = 50
	maxChosen = 1 << 20 // bytes of a selection
)

// Keep writes what a person keeps, replacing what has the same kind and name.
// ErrTooMany at the 51st of a kind.
func (db *DB) Keep(ctx context.Context, login string, k Kept) error {
	err := db.update(ctx, func(t *tx) error {
		if _, err := t.exec(`INSERT INTO kept (login, kind, name, value) VALUES ($1,$2,$3,$4) ON CONFLICT (login, kind, name) DO UPDATE SET value=excluded.value`,
			clean(login, 200), clean(k.Kind, 20), clean(k.Name, 200), clean(k.Value, 4000)); err != nil {
			return err
		}
		var n int
		if err := t.row([]any{&n}, `SELECT COUNT(*) FROM kept WHERE login = $1 AND kind = $2`, clean(login, 200), clean(k.Kind, 20)); err != nil {
			return err
		}
		if n > maxKept {
			return ErrTooMany
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep: %w", err)
	}
	return nil
}

// Forget removes what a person keeps under a name.
func (db *DB) Forget(ctx context.Context, login, kind, name string) error {
	err := db.update(ctx, func(t *tx) error {
		_, err := t.exec(`DELETE FROM kept WHERE login = $1 AND kind = $2 AND name = $3`, clean(login, 200), kind, clean(name, 200))
		return err
	})
	if err != nil {
		return fmt.Errorf("forget: %w", err)
	}
	return nil
}

// KeptBy returns what a person keeps, by kind and name.
func (db *DB) KeptBy(ctx context.Context, login string) ([]Kept, error) {
	rows, err := db.query(ctx, `SELECT kind, name, value FROM kept WHERE login = $1 ORDER BY kind, name`, clean(login, 200))
	if err != nil {
		return nil, fmt.Errorf("read what is kept: %w", err)
	}
	defer rows.Close()
	var list []Kept
	for rows.Next() {
		var k Kept
		if err := rows.Scan(&k.Kind, &k.Name, &k.Value); err != nil {
			return nil, fmt.Errorf("read what is kept: %w", err)
		}
		list = append(list, k)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read what is kept: %w", err)
	}
	return list, nil
}

// SaveSelection keeps for an hour what a person chose, as JSON of at most 1 MiB.
func (db *DB) SaveSelection(ctx context.Context, id, login, selection string) error {
	if len(selection) > maxChosen {
		return fmt.Errorf("save selection: %w", ErrTooMany)
	}
	err := db.update(ctx, func(t *tx) error {
		now := time.Now()
		if _, err := t.exec(`DELETE FROM selections WHERE at < $1`, now.Add(-time.Hour).UnixMilli()); err != nil {
			return err
		}
		_, err := t.exec(`INSERT INTO selections (id, login, at, selection_json) VALUES ($1,$2,$3,$4)`, id, clean(login, 200), now.UnixMilli(), selection)
		return err
	})
	if err != nil {
		return fmt.Errorf("save selection: %w", err)
	}
	return nil
}

// TakeSelection returns what a person chose and removes it: it is acted upon once.
// ErrNotFound when there is none (any more).
func (db *DB) TakeSelection(ctx context.Context, id, login string) (string, error) {
	text := ""
	err := db.update(ctx, func(t *tx) error {
		err := t.row([]any{&text}, `SELECT selection_json FROM selections WHERE id = $1 AND login = $2 AND at >= $3`, id, clean(login, 200), time.Now().Add(-time.Hour).UnixMilli())
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		_, err = t.exec(`DELETE FROM selections WHERE id = $1`, id)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read selection: %w", err)
	}
	return text, nil
}
