package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"greffe/pkg/index"
)

// Errors of Identify.
var (
	ErrIdentity  = errors.New("console: not the password or the code of this account")
	ErrLockedOut = errors.New("console: too many wrong tries")
	ErrAccount   = errors.New("console: this account cannot do it")
)

// Identity is what a person proves who they are with, to a command on the machine.
type Identity struct {
	Login    string
	Password func() (string, error)
	Code     func() (string, error) // of the second factor; asked for when the account has one
	From     string                 // name of the machine, for the journal
	What     string                 // what is proved for, one word, for the journal
	// Roles are those that may do it; Factor those whose accounts must have a second factor.
	Roles, Factor []string
}

// Identify proves to a command who a person is, as strictly as the login page: an account
// in use and complete, of a role that may (else ErrAccount, with a French reason), its
// password and, where it has a second factor, a code that was not used before (else
// ErrIdentity). Failures are journalled, and counted there with those of the login page:
// after 5 on this machine or 25 anywhere within 15 minutes it is ErrLockedOut, whatever is
// typed.
func Identify(ctx context.Context, db *index.DB, who Identity) error {
	refuse := func(result string, err error) error {
		return errors.Join(err, db.Append(context.WithoutCancel(ctx), index.Entry{Actor: who.Login, Action: "denied", Subject: who.Login, From: who.From, Result: result, Detail: who.What}))
	}
	u, err := db.User(ctx, who.Login)
	if err != nil && !errors.Is(err, index.ErrNotFound) {
		return fmt.Errorf("read account: %w", err)
	}
	switch {
	case err != nil || u.Disabled:
		return fmt.Errorf("%w : il n'existe pas ou est désactivé ; « greffe users list » montre les comptes", ErrAccount)
	case !slices.Contains(who.Roles, u.Role):
		return refuse("refused", fmt.Errorf("%w : son rôle ne le permet pas", ErrAccount))
	case u.Hash == "":
		return fmt.Errorf("%w : il n'a pas de mot de passe propre à Greffe, la personne se connecte par un fournisseur d'identité", ErrAccount)
	case u.Renew:
		return fmt.Errorf("%w : son mot de passe doit d'abord être changé, dans la console", ErrAccount)
	case u.TOTP == "" && slices.Contains(who.Factor, u.Role):
		return fmt.Errorf("%w : il doit d'abord mettre en place un second facteur, dans la console", ErrAccount)
	}
	here, anywhere, err := failures(ctx, db, who)
	if err != nil {
		return err
	}
	if here >= maxPair || anywhere >= maxLogin {
		return ErrLockedOut
	}
	wrong := func() error {
		if here+1 >= maxPair || anywhere+1 >= maxLogin {
			return refuse("locked", ErrIdentity)
		}
		return refuse("refused", ErrIdentity)
	}
	pw, err := who.Password()
	if err != nil {
		return err
	}
	if !CheckPassword(u.Hash, pw) {
		return wrong()
	}
	if u.TOTP == "" {
		return nil
	}
	code, err := who.Code()
	if err != nil {
		return err
	}
	ok, err := takeCode(ctx, db, u.Login, who.From, code)
	if err != nil {
		return err
	}
	if !ok {
		return wrong()
	}
	return nil
}

// failures counts what the journal tells of wrong tries of a login within the window: to
// commands of this machine, and altogether.
func failures(ctx context.Context, db *index.DB, who Identity) (here, anywhere int, err error) {
	from := time.Now().Add(-attemptWindow)
	denied, err1 := db.SearchJournal(ctx, index.JournalFilter{Actor: who.Login, Action: "denied", Subject: who.Login, From: from})
	logins, err2 := db.SearchJournal(ctx, index.JournalFilter{Action: "login", Subject: who.Login, From: from})
	for _, e := range denied {
		if anywhere++; e.From == who.From {
			here++
		}
	}
	for _, e := range logins {
		if e.Result != "ok" {
			anywhere++
		}
	}
	return here, anywhere, errors.Join(err1, err2)
}
