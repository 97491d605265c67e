package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"greffe/pkg/greffe"
)

// Keyed is a request that a script gave a name of its own (an idempotency key), so that
// it can ask again without doing it twice.
type Keyed struct {
	Login   string
	Name    string        // digest of the key
	Request greffe.Digest // of what was asked for
	At      time.Time     // when it was first asked for, or last taken up
	Answer  string        // JSON; "" when there is none yet
}

// Errors about requests with a key.
var (
	ErrKeyReused = errors.New("index: the key was given to another request")
	ErrKeyBusy   = errors.New("index: a request with this key is being carried out")
)

const (
	keyedFor  = 48 * time.Hour   // how long a key is remembered
	keyedBusy = 30 * time.Second // after which a request without an answer is taken to have been broken off
)

// BeginKeyed notes that a request is being carried out. It returns what was noted of an
// earlier one with its key when that was answered; an Answer of "" means: carry it out.
// ErrKeyReused when the earlier one asked for something else, ErrKeyBusy when it is not
// answered and may still be.
func (db *DB) BeginKeyed(ctx context.Context, k Keyed) (Keyed, error) {
	err := db.update(ctx, func(t *tx) error {
		now := t.now()
		if _, err := t.exec(`DELETE FROM keyed WHERE at < $1`, millis(now.Add(-keyedFor))); err != nil {
			return err
		}
		var request greffe.Digest
		var answer string
		var at int64
		err := t.row([]any{&request, &answer, &at}, `SELECT request, answer_json, at FROM keyed WHERE login = $1 AND name = $2`, k.Login, k.Name)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			_, err = t.exec(`INSERT INTO keyed (login, name, request, at) VALUES ($1,$2,$3,$4)`, k.Login, k.Name, string(k.Request), millis(now))
			return err
		case err != nil:
			return err
		case request != k.Request:
			return ErrKeyReused
		case answer != "":
			k.Answer, k.At = answer, moment(at)
			return nil
		case now.Sub(moment(at)) < keyedBusy:
			return ErrKeyBusy
		}
		_, err = t.exec(`UPDATE keyed SET at = $1 WHERE login = $2 AND name = $3`, millis(now), k.Login, k.Name)
		return err
	})
	if err != nil {
		return Keyed{}, fmt.Errorf("begin request: %w", err)
	}
	return k, nil
}

// EndKeyed keeps the answer of a request for who asks again; with "" the request was not
// carried out and is forgotten.
func (db *DB) EndKeyed(ctx context.Context, k Keyed) error {
	err := db.update(ctx, func(t *tx) (err error) {
		if k.Answer == "" {
			_, err = t.exec(`DELETE FROM keyed WHERE login = $1 AND name = $2 AND answer_json = ''`, k.Login, k.Name)
		} else {
			_, err = t.exec(`UPDATE keyed SET answer_json = $1 WHERE login = $2 AND name = $3`, k.Answer, k.Login, k.Name)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("end request: %w", err)
	}
	return nil
}
