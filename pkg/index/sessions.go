package index

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"greffe/pkg/greffe"
)

// The session methods are those of scs.CtxStore. The index keeps the SHA-256 of
// a token: who reads the index cannot take over a session.

func sessionKey(token string) string { return string(greffe.DigestOf([]byte(token))) }

// FindCtx returns the data of a session; false when there is none or it expired.
func (db *DB) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	var data string
	err := db.read.QueryRowContext(ctx, `SELECT data FROM sessions WHERE token = $1 AND expires_at > $2`,
		sessionKey(token), time.Now().UnixMilli()).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("find session: %w", err)
	}
	b, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return nil, false, fmt.Errorf("find session: %w", err)
	}
	return b, true, nil
}

// CommitCtx writes a session and removes those that have expired.
func (db *DB) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	err := db.update(ctx, func(t *tx) error {
		if _, err := t.exec(`DELETE FROM sessions WHERE expires_at <= $1`, time.Now().UnixMilli()); err != nil {
			return err
		}
		_, err := t.exec(`INSERT INTO sessions (token, data, expires_at) VALUES ($1,$2,$3)
			ON CONFLICT (token) DO UPDATE SET data=excluded.data, expires_at=excluded.expires_at`,
			sessionKey(token), base64.StdEncoding.EncodeToString(b), expiry.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("commit session: %w", err)
	}
	return nil
}

// DeleteCtx removes a session; it is not an error when there is none.
func (db *DB) DeleteCtx(ctx context.Context, token string) error {
	err := db.update(ctx, func(t *tx) error {
		_, err := t.exec(`DELETE FROM sessions WHERE token = $1`, sessionKey(token))
		return err
	})
	if err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	return nil
}

// Find is FindCtx for callers without a context.
func (db *DB) Find(token string) ([]byte, bool, error) {
	return db.FindCtx(context.Background(), token)
}

// Commit is CommitCtx for callers without a context.
func (db *DB) Commit(token string, b []byte, expiry time.Time) error {
	return db.CommitCtx(context.Background(), token, b, expiry)
}

// Delete is DeleteCtx for callers without a context.
func (db *DB) Delete(token string) error { return db.DeleteCtx(context.Background(), token) }
