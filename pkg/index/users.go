package index

import (
	"context"
	"fmt"
)

// SaveUser writes a user, replacing the one with the same login, and in the same
// transaction the journal entries that say who did it.
func (db *DB) SaveUser(ctx context.Context, u User, entries ...Entry) error {
	mailboxes, err := encode(u.Mailboxes)
	if err != nil {
		return fmt.Errorf("save user: %w", err)
	}
	disabled := 0
	if u.Disabled {
		disabled = 1
	}
	err = db.update(ctx, func(t *tx) error {
		t.entries = append(t.entries, entries...)
		_, err := t.exec(`INSERT INTO users (login, name, role, mailboxes_json, hash, disabled) VALUES ($1,$2,$3,$4,$5,$6)
			ON CONFLICT (login) DO UPDATE SET name=excluded.name, role=excluded.role, mailboxes_json=excluded.mailboxes_json,
			hash=excluded.hash, disabled=excluded.disabled`,
			u.Login, clean(u.Name, 200), u.Role, mailboxes, u.Hash, disabled)
		return err
	})
	if err != nil {
		return fmt.Errorf("save user: %w", err)
	}
	return nil
}

// User returns the user with this login; ErrNotFound when there is none.
func (db *DB) User(ctx context.Context, login string) (User, error) {
	list, err := db.users(ctx, `WHERE login = $1`, clean(login, 200))
	if err != nil {
		return User{}, err
	}
	if len(list) == 0 {
		return User{}, fmt.Errorf("read user: %w", ErrNotFound)
	}
	return list[0], nil
}

// Users returns all users by login.
func (db *DB) Users(ctx context.Context) ([]User, error) { return db.users(ctx, `ORDER BY login`) }

func (db *DB) users(ctx context.Context, where string, args ...any) ([]User, error) {
	rows, err := db.query(ctx, `SELECT login, name, role, mailboxes_json, hash, disabled FROM users `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	defer rows.Close()
	var list []User
	for rows.Next() {
		var u User
		var mailboxes string
		var disabled int
		if err := rows.Scan(&u.Login, &u.Name, &u.Role, &mailboxes, &u.Hash, &disabled); err != nil {
			return nil, fmt.Errorf("read users: %w", err)
		}
		if err := decode(mailboxes, &u.Mailboxes); err != nil {
			return nil, fmt.Errorf("read users: %w", err)
		}
		u.Disabled = disabled != 0
		list = append(list, u)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	return list, nil
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
