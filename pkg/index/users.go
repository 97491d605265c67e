package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// ErrTaken is returned for an account whose login, or whose subject of OpenID Connect,
// another account has.
var ErrTaken = errors.New("index: another account has this login")

const userColumns = `login, name, role, rpps, mailboxes_json, hash, renew, disabled, totp, totp_step, recovery_json, issuer, subject`

// SaveUser writes a user, replacing the one with the same login, and in the same
// transaction the journal entries that say who did it.
func (db *DB) SaveUser(ctx context.Context, u User, entries ...Entry) error {
	err := db.update(ctx, func(t *tx) error {
		t.entries = append(t.entries, entries...)
		return t.saveUser(u)
	})
	if err != nil {
		return fmt.Errorf("save user: %w", err)
	}
	return nil
}

// AddUser writes a user whose login, issuer and subject nobody has yet; ErrTaken
// otherwise. Entries as of SaveUser.
func (db *DB) AddUser(ctx context.Context, u User, entries ...Entry) error {
	err := db.update(ctx, func(t *tx) error {
		var n int
		if err := t.row([]any{&n}, `SELECT COUNT(*) FROM users WHERE login = $1 OR (subject <> '' AND issuer = $2 AND subject = $3)`, u.Login, u.Issuer, u.Subject); err != nil {
			return err
		}
		if n > 0 {
			return ErrTaken
		}
		t.entries = append(t.entries, entries...)
		return t.saveUser(u)
	})
	if err != nil {
		return fmt.Errorf("add user: %w", err)
	}
	return nil
}

// ChangeUser lets change alter the user with this login and writes the result with the
// entries it returns, all in one transaction: nobody else alters the user meanwhile. An
// error of change is given back and nothing is written. ErrNotFound when there is no
// such user. The login itself stays.
func (db *DB) ChangeUser(ctx context.Context, login string, change func(*User) ([]Entry, error)) error {
	err := db.update(ctx, func(t *tx) error {
		u, err := scanUser(func(dest ...any) error {
			return t.row(dest, `SELECT `+userColumns+` FROM users WHERE login = $1`, login)
		})
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		entries, err := change(&u)
		if err != nil {
			return err
		}
		u.Login = login
		t.entries = append(t.entries, entries...)
		return t.saveUser(u)
	})
	if err != nil {
		return fmt.Errorf("change user: %w", err)
	}
	return nil
}

func (t *tx) saveUser(u User) error {
	places, err1 := encode(u.Places)
	recovery, err2 := encode(u.Recovery)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	_, err := t.exec(`INSERT INTO users (`+userColumns+`) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13)
		ON CONFLICT (login) DO UPDATE SET name=excluded.name, role=excluded.role, rpps=excluded.rpps, mailboxes_json=excluded.mailboxes_json,
		hash=excluded.hash, renew=excluded.renew, disabled=excluded.disabled, totp=excluded.totp, totp_step=excluded.totp_step,
		recovery_json=excluded.recovery_json, issuer=excluded.issuer, subject=excluded.subject`,
		u.Login, clean(u.Name, 200), u.Role, u.RPPS, places, u.Hash, flag(u.Renew), flag(u.Disabled), u.TOTP, u.TOTPStep, recovery, u.Issuer, u.Subject)
	return err
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// User returns the user with this login; ErrNotFound when there is none.
func (db *DB) User(ctx context.Context, login string) (User, error) {
	return db.user(ctx, `WHERE login = $1`, clean(login, 200))
}

// Subject returns the user whom an OpenID Connect provider calls subject; ErrNotFound
// when there is none.
func (db *DB) Subject(ctx context.Context, issuer, subject string) (User, error) {
	if subject == "" {
		return User{}, fmt.Errorf("read user: %w", ErrNotFound)
	}
	return db.user(ctx, `WHERE issuer = $1 AND subject = $2 AND subject <> ''`, issuer, subject)
}

// Users returns all users by login.
func (db *DB) Users(ctx context.Context) ([]User, error) { return db.users(ctx, `ORDER BY login`) }

func (db *DB) user(ctx context.Context, where string, args ...any) (User, error) {
	list, err := db.users(ctx, where, args...)
	if err != nil {
		return User{}, err
	}
	if len(list) == 0 {
		return User{}, fmt.Errorf("read user: %w", ErrNotFound)
	}
	return list[0], nil
}

func (db *DB) users(ctx context.Context, where string, args ...any) ([]User, error) {
	rows, err := db.query(ctx, `SELECT `+userColumns+` FROM users `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	defer rows.Close()
	var list []User
	for rows.Next() {
		u, err := scanUser(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("read users: %w", err)
		}
		list = append(list, u)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	return list, nil
}

// scanUser reads userColumns.
func scanUser(scan func(dest ...any) error) (u User, err error) {
	var places, recovery string
	var renew, disabled int
	if err := scan(&u.Login, &u.Name, &u.Role, &u.RPPS, &places, &u.Hash, &renew, &disabled, &u.TOTP, &u.TOTPStep, &recovery, &u.Issuer, &u.Subject); err != nil {
		return u, err
	}
	u.Renew, u.Disabled = renew != 0, disabled != 0
	return u, errors.Join(decode(places, &u.Places), decode(recovery, &u.Recovery))
}

// DeleteUser removes a user, with journal entries as SaveUser; ErrNotFound when there is
// none.
func (db *DB) DeleteUser(ctx context.Context, login string, entries ...Entry) error {
	err := db.update(ctx, func(t *tx) error {
		t.entries = append(t.entries, entries...)
		n, err := t.exec(`DELETE FROM users WHERE login = $1`, login)
		if err == nil && n == 0 {
			err = ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete user: %w", err)
	}
	return nil
}
