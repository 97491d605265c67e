package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"greffe/pkg/greffe"
)

// SaveSettled notes in the journal that a message was marked or moved in its mailbox,
// once: the same mark for the same fact is not noted again. ErrNotFound when there is no
// such message.
func (db *DB) SaveSettled(ctx context.Context, e greffe.Settled) error {
	err := db.update(ctx, func(t *tx) error {
		var one int
		err := t.row([]any{&one}, `SELECT 1 FROM messages WHERE id = $1`, string(e.Message))
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		detail := clean(string(e.Mark), 40) + " " + strconv.FormatInt(e.At.UnixMilli(), 10)
		err = t.row([]any{&one}, `SELECT 1 FROM journal WHERE subject = $1 AND action = 'settled' AND detail = $2 LIMIT 1`, string(e.Message), detail)
		if errors.Is(err, sql.ErrNoRows) {
			t.note("fetcher", "settled", string(e.Message), string(e.Result), detail)
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("save settled %s: %w", e.Message, err)
	}
	return nil
}
