package mss

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
)

// Auth says how to log in to a mailbox, for reading and for sending.
type Auth struct {
	Mechanism    string // external, plain, login, oauthbearer or xoauth2
	Username     string // empty: the address (external: what the certificate says)
	PasswordFile string // plain, login
	TokenFile    string // oauthbearer, xoauth2
}

// Valid reports, in French, what is missing from a, given the path of the client's
// certificate.
func (a Auth) Valid(certificate string) error {
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

// Client returns the client's side of the mechanism for user (external: may be empty)
// at the server address (host:port). The error is a FileError.
func (a Auth) Client(user, address string) (sasl.Client, error) {
	switch a.Mechanism {
	case "external":
		return sasl.NewExternalClient(user), nil
	case "plain", "login":
		password, err := Secret(a.PasswordFile)
		if err != nil {
			return nil, err
		}
		if a.Mechanism == "login" {
			return sasl.NewLoginClient(user, password), nil
		}
		return sasl.NewPlainClient("", user, password), nil
	}
	token, err := Secret(a.TokenFile)
	if err != nil {
		return nil, err
	}
	if a.Mechanism == "xoauth2" {
		return &xoauth2{user: user, token: token}, nil
	}
	o := &sasl.OAuthBearerOptions{Username: user, Token: token}
	if host, port, err := net.SplitHostPort(address); err == nil {
		o.Host = host
		o.Port, _ = strconv.Atoi(port)
	}
	return sasl.NewOAuthBearerClient(o), nil
}

// xoauth2 is XOAUTH2, which Pro Santé Connect operators ask for (ECO.1.2.1) and
// go-sasl does not have: "user=" address ^A "auth=Bearer " token ^A ^A.
type xoauth2 struct{ user, token string }

func (c *xoauth2) Start() (string, []byte, error) {
	clean := strings.NewReplacer("\x01", "")
	return "XOAUTH2", []byte("user=" + clean.Replace(c.user) + "\x01auth=Bearer " + clean.Replace(c.token) + "\x01\x01"), nil
}

// Next gets the reason of a refusal, a JSON text, and answers nothing, after
// which the server says NO.
func (c *xoauth2) Next([]byte) ([]byte, error) { return []byte{}, nil }
