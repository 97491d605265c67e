package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"

	"greffe/pkg/greffe"
)

// refreshSearch writes the search columns again when they were written by
// another version of normalise. Until it is done, what is not yet rewritten may be
// missing from searches, so Open waits for it.
func (db *DB) refreshSearch(ctx context.Context) error {
	var version string
	err := db.read.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = 'normalisation'`).Scan(&version)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read version of the search columns: %w", err)
	}
	if version == normVersion {
		return nil
	}
	n, last := 0, ""
	for {
		list, err := db.details(ctx, `WHERE m.id > $1 ORDER BY m.id LIMIT 100`, last)
		if err != nil {
			return fmt.Errorf("refresh search columns: %w", err)
		}
		if len(list) == 0 {
			break
		}
		err = db.update(ctx, func(t *tx) error {
			for i := range list {
				if err := t.refreshMessage(&list[i]); err != nil {
					return fmt.Errorf("message %s: %w", list[i].ID, err)
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("refresh search columns: %w", err)
		}
		n, last = n+len(list), string(list[len(list)-1].ID)
	}
	err = db.update(ctx, func(t *tx) error {
		_, err := t.exec(`INSERT INTO settings (name, value) VALUES ('normalisation', $1)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, normVersion)
		return err
	})
	if err != nil {
		return fmt.Errorf("write version of the search columns: %w", err)
	}
	if n > 0 {
		db.log.LogAttrs(ctx, slog.LevelInfo, "search columns written again", slog.Int("messages", n))
	}
	return nil
}

func (t *tx) refreshMessage(d *Detail) error {
	if d.Parsed == nil {
		return t.recause(d.ID)
	}
	code, _ := doctype(d.Parsed)
	if _, err := t.exec(`UPDATE messages SET doctype=$2, sender_key=$3 WHERE id=$1`, string(d.ID), code, SenderKey(&d.Parsed.Message)); err != nil {
		return err
	}
	if err := errors.Join(t.insertDoctypes(d.Parsed), t.recause(d.ID), t.refreshKeys(d)); err != nil {
		return err
	}
	if _, err := t.exec(`DELETE FROM message_words WHERE message_id = $1`, string(d.ID)); err != nil {
		return err
	}
	if err := t.insertWords(d.Parsed, millis(d.ReceivedAt)); err != nil {
		return err
	}
	for i := range d.Parsed.Documents {
		id := greffe.NewDocumentID(d.ID, i+1)
		if _, err := t.exec(`DELETE FROM document_names WHERE document_id = $1`, string(id)); err != nil {
			return err
		}
		err := t.insertNames(id, &d.Parsed.Documents[i].Patient, clean(d.Origin.Mailbox, 320), clean(d.Queue.Mailbox, 320), millis(d.Parsed.Received.At))
		if i < len(d.Documents) && d.Documents[i].Chosen != nil && err == nil {
			err = t.insertNames(id, d.Documents[i].Chosen, clean(d.Origin.Mailbox, 320), clean(d.Queue.Mailbox, 320), millis(d.Parsed.Received.At))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
