package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// Token lets a script use the API in place of a person: with one role and some places,
// until a day.
type Token struct {
	ID      string        // opaque: what the journal and addresses call it
	Name    string        // what a person calls it
	Role    string        // as of User
	Places  []string      // as of User
	Digest  greffe.Digest // of the secret, which is not kept
	Created time.Time
	By      string // login of who made it
	Expires time.Time

	Revoked   time.Time // zero: not
	RevokedBy string
	Used      time.Time // last use, within tokenUse; zero: never
	From      string    // network address of that use
}

// Actor is what the journal calls a token: no login may begin so, see IsTokenActor.
func (t Token) Actor() string { return tokenActor + t.ID }

const tokenActor = "jeton:"

// IsTokenActor reports whether login is one that a token has in the journal. No account
// may have such a one.
func IsTokenActor(login string) bool { return strings.HasPrefix(strings.ToLower(login), tokenActor) }

// tokenUse is how often a use of a token is noted: not each request is worth a write.
const tokenUse = time.Minute

const tokenColumns = `id, name, role, places_json, digest, created_at, created_by, expires_at, revoked_at, revoked_by, used_at, used_from`

// AddToken writes a token, with the journal entries that say who made it.
func (db *DB) AddToken(ctx context.Context, k Token, entries ...Entry) error {
	places, err := encode(k.Places)
	if err != nil {
		return fmt.Errorf("add token: %w", err)
	}
	err = db.update(ctx, func(t *tx) error {
		t.entries = append(t.entries, entries...)
		_, err := t.exec(`INSERT INTO tokens (id, name, role, places_json, digest, created_at, created_by, expires_at) VALUES ($1,$2,$3,$4,$5,$6,$7,$8)`,
			k.ID, clean(k.Name, 200), k.Role, places, string(k.Digest), millis(t.now()), k.By, millis(k.Expires))
		return err
	})
	if err != nil {
		return fmt.Errorf("add token: %w", err)
	}
	return nil
}

// TokenOf returns the token whose secret has this digest, also one that ended or was
// revoked; ErrNotFound when there is none.
func (db *DB) TokenOf(ctx context.Context, secret greffe.Digest) (Token, error) {
	list, err := db.tokens(ctx, `WHERE digest = $1`, string(secret))
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("read token: %w", ErrNotFound)
	}
	if err != nil {
		return Token{}, err
	}
	return list[0], nil
}

// Tokens returns all tokens, the newest first.
func (db *DB) Tokens(ctx context.Context) ([]Token, error) {
	return db.tokens(ctx, `ORDER BY created_at DESC, id`)
}

// RevokeToken ends a token at once, with the journal entries that said returns about it;
// of one that is revoked already nothing changes. ErrNotFound when there is none.
func (db *DB) RevokeToken(ctx context.Context, id, by string, said func(Token) []Entry) error {
	err := db.update(ctx, func(t *tx) error {
		k, err := scanToken(func(dest ...any) error {
			return t.row(dest, `SELECT `+tokenColumns+` FROM tokens WHERE id = $1`, id)
		})
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil || !k.Revoked.IsZero() {
			return err
		}
		t.entries = append(t.entries, said(k)...)
		_, err = t.exec(`UPDATE tokens SET revoked_at = $1, revoked_by = $2 WHERE id = $3`, millis(t.now()), by, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	return nil
}

// UsedToken notes that a token was used now, unless that was noted within a minute.
func (db *DB) UsedToken(ctx context.Context, k Token, from string) error {
	if time.Since(k.Used) < tokenUse {
		return nil
	}
	err := db.update(ctx, func(t *tx) error {
		_, err := t.exec(`UPDATE tokens SET used_at = $1, used_from = $2 WHERE id = $3`, millis(t.now()), clean(from, 100), k.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("note use of token: %w", err)
	}
	return nil
}

func (db *DB) tokens(ctx context.Context, where string, args ...any) ([]Token, error) {
	rows, err := db.query(ctx, `SELECT `+tokenColumns+` FROM tokens `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	defer rows.Close()
	var list []Token
	for rows.Next() {
		k, err := scanToken(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("read tokens: %w", err)
		}
		list = append(list, k)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	return list, nil
}

func scanToken(scan func(dest ...any) error) (k Token, err error) {
	var places string
	var created, expires, revoked, used int64
	if err := scan(&k.ID, &k.Name, &k.Role, &places, &k.Digest, &created, &k.By, &expires, &revoked, &k.RevokedBy, &used, &k.From); err != nil {
		return k, err
	}
	k.Created, k.Expires, k.Revoked, k.Used = moment(created), moment(expires), moment(revoked), moment(used)
	return k, decode(places, &k.Places)
}
