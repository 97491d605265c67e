package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"greffe/pkg/greffe"
)

// Stamp is a time stamp over the checkpoint of the seal that ends with entry Last.
type Stamp struct {
	Last  int64
	At    time.Time     // of the token
	Stamp greffe.Object // what was stamped
	Token greffe.Object // the answer of the authority
}

func (db *DB) stamps(ctx context.Context, where string, args ...any) ([]Stamp, error) {
	rows, err := db.query(ctx, `SELECT last, at, stamp_json, token_json FROM stamps `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read stamps: %w", err)
	}
	defer rows.Close()
	var list []Stamp
	for rows.Next() {
		var s Stamp
		var at int64
		var stamp, token string
		if err := errors.Join(rows.Scan(&s.Last, &at, &stamp, &token), decode(stamp, &s.Stamp), decode(token, &s.Token)); err != nil {
			return nil, fmt.Errorf("read stamps: %w", err)
		}
		s.At = time.UnixMilli(at).UTC()
		list = append(list, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read stamps: %w", err)
	}
	return list, nil
}

// Stamps returns the stamps over the seals after entry seq (0: from the first), oldest
// first, at most limit (at most 1,000).
func (db *DB) Stamps(ctx context.Context, seq int64, limit int) ([]Stamp, error) {
	return db.stamps(ctx, `WHERE last > $1 ORDER BY last LIMIT $2`, seq, min(max(limit, 1), 1000))
}

// StampBefore returns the newest stamp whose token is not younger than t; ErrNotFound
// when there is none.
func (db *DB) StampBefore(ctx context.Context, t time.Time) (Stamp, error) {
	list, err := db.stamps(ctx, `WHERE at <= $1 ORDER BY at DESC, last DESC LIMIT 1`, t.UnixMilli())
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("read stamps: %w", ErrNotFound)
	}
	if err != nil {
		return Stamp{}, err
	}
	return list[0], nil
}

// TryStamp reports whether the caller may ask the authority for a token now: nobody
// asked for pause. It counts as asking. So several processes ask, and pay, once.
func (db *DB) TryStamp(ctx context.Context, pause time.Duration) (bool, error) {
	may := false
	err := db.update(ctx, func(t *tx) error {
		var text string
		err := t.row([]any{&text}, `SELECT value FROM settings WHERE name = 'stamp asked'`)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		asked, _ := strconv.ParseInt(text, 10, 64)
		now := t.now().UnixMilli()
		// A clock that was set back must not stop the stamping.
		if may = now-asked >= pause.Milliseconds() || asked > now; !may {
			return nil
		}
		_, err = t.exec(`INSERT INTO settings (name, value) VALUES ('stamp asked', $1)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, strconv.FormatInt(now, 10))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("ask for a stamp: %w", err)
	}
	return may, nil
}

// SaveStamp records a token that is in the archive, with a journal entry. Repeating it
// changes nothing.
func (db *DB) SaveStamp(ctx context.Context, s Stamp) error {
	stamp, err1 := encode(s.Stamp)
	token, err2 := encode(s.Token)
	err := errors.Join(err1, err2)
	if err == nil {
		err = db.update(ctx, func(t *tx) error {
			n, err := t.exec(`INSERT INTO stamps (last, at, stamp_json, token_json) VALUES ($1,$2,$3,$4) ON CONFLICT (last) DO NOTHING`,
				s.Last, s.At.UnixMilli(), stamp, token)
			if err == nil && n > 0 {
				t.note("storage", "stamped", "journal", "ok", string(s.Token.SHA256))
			}
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("save stamp: %w", err)
	}
	return nil
}
