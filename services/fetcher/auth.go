package fetcher

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-sasl"
)

var (
	errLogin = errors.New("the server refused the login")
	errBusy  = errors.New("the server cannot check the login now")
)

// valid reports, in French, what is missing from a, given the client certificate's path.
func (a Auth) valid(certificate string) error {
	switch a.Mechanism {
	case "external":
		if certificate == "" {
			return errors.New("auth : « external » demande un certificat client (certificate)")
		}
	case "plain", "login":
		if a.PasswordFile == "" {
			return fmt.Errorf("auth : « %s » demande un fichier de mot de passe (password)", a.Mechanism)
		}
	case "oauthbearer", "xoauth2":
		if a.TokenFile == "" {
			return fmt.Errorf("auth : « %s » demande un fichier de jeton (token)", a.Mechanism)
		}
	default:
		return errors.New("auth : mechanism vaut external, plain, login, oauthbearer ou xoauth2")
	}
	return nil
}

// secret reads the first line of a file.
func secret(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", &fileError{path, err}
	}
	if len(b) > 64<<10 {
		return "", &fileError{path, errors.New("too large for a secret")}
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return "", &fileError{path, errors.New("empty")}
	}
	return string(line), nil
}

// login authenticates with the configured mechanism. The error is errLogin when
// the credentials were refused and errBusy when the server could not tell.
func (s *session) login(mb Mailbox) error {
	a, user := mb.Auth, mb.Auth.Username
	if user == "" && a.Mechanism != "external" {
		user = mb.Address
	}
	var mechanism sasl.Client
	var password string
	var err error
	switch a.Mechanism {
	case "external":
		// Without SASL-IR (RFC 4959) the client would send an empty identity as
		// "=", which is wrong there: name the mailbox instead.
		if user == "" && !s.client.Caps().Has(imap.CapSASLIR) {
			user = mb.Address
		}
		mechanism = sasl.NewExternalClient(user)
	case "plain", "login":
		if password, err = secret(a.PasswordFile); err != nil {
			return err
		}
		mechanism = sasl.NewPlainClient("", user, password)
	default:
		token, err := secret(a.TokenFile)
		if err != nil {
			return err
		}
		if a.Mechanism == "xoauth2" {
			mechanism = &xoauth2Client{user: user, token: token}
			break
		}
		o := &sasl.OAuthBearerOptions{Username: user, Token: token}
		if e, err := parseURL(mb.URL); err == nil {
			o.Host = e.host
			if _, port, err := net.SplitHostPort(e.address); err == nil {
				o.Port, _ = strconv.Atoi(port)
			}
		}
		mechanism = sasl.NewOAuthBearerClient(o)
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

// xoauth2Client is XOAUTH2, which Pro Santé Connect operators ask for
// (ECO.1.2.1) and go-sasl does not have: "user=" address ^A "auth=Bearer " token ^A ^A.
type xoauth2Client struct{ user, token string }

func (c *xoauth2Client) Start() (string, []byte, error) {
	clean := strings.NewReplacer("\x01", "")
	return "XOAUTH2", []byte("user=" + clean.Replace(c.user) + "\x01auth=Bearer " + clean.Replace(c.token) + "\x01\x01"), nil
}

// Next gets the reason of a refusal, a JSON text, and answers nothing, after
// which the server says NO.
func (c *xoauth2Client) Next([]byte) ([]byte, error) { return []byte{}, nil }
