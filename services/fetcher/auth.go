package fetcher

import (
	"errors"
	"fmt"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-sasl"

	"greffe/pkg/mss"
)

var (
	errLogin = errors.New("the server refused the login")
	errBusy  = errors.New("the server cannot check the login now")
)

// login authenticates with the configured mechanism. The error is errLogin when
// the credentials were refused and errBusy when the server could not tell.
func (s *session) login(mb Mailbox) error {
	a, user := mb.Auth, mb.Auth.Username
	if user == "" && a.Mechanism != "external" {
		user = mb.Address
	}
	// Without SASL-IR (RFC 4959) the client would send an empty identity as "=", which
	// is wrong there: name the mailbox instead.
	if user == "" && !s.client.Caps().Has(imap.CapSASLIR) {
		user = mb.Address
	}
	var mechanism sasl.Client
	var password string
	var err error
	if a.Mechanism == "login" {
		password, err = mss.Secret(a.PasswordFile) // the command LOGIN, not the mechanism of that name
	} else {
		address := ""
		if e, err := parseURL(mb.URL); err == nil {
			address = e.address
		}
		mechanism, err = a.Client(user, address)
	}
	if err != nil {
		return err
	}
	err = s.do(64<<10, "login", func() error {
		if a.Mechanism == "login" {
			return s.client.Login(user, password).Wait()
		}
		return s.client.Authenticate(mechanism)
	})
	if err == nil {
		return s.capabilities()
	}
	var refusal *imap.Error
	var bearer *sasl.OAuthBearerError
	switch {
	case errors.As(err, &bearer):
		return fmt.Errorf("%w: %w", errLogin, err)
	case !errors.As(err, &refusal):
		return err
	}
	if unsure(refusal) {
		return fmt.Errorf("%w: %w", errBusy, err)
	}
	// BAD as well as NO: the client ends a refused token exchange with "=", which
	// servers call BAD.
	return fmt.Errorf("%w: %w", errLogin, err)
}

// unsure reports whether a server refused because of its own state (RFC 5530),
// so that asking again later may help.
func unsure(answer *imap.Error) bool {
	switch answer.Code {
	case imap.ResponseCodeUnavailable, imap.ResponseCodeInUse, imap.ResponseCodeLimit,
		imap.ResponseCodeServerBug, imap.ResponseCodeContactAdmin:
		return true
	}
	return false
}
