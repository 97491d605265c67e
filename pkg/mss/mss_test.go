package mss

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecret(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	for content, want := range map[string]string{"pw\n": "pw", "pw\r\nnote": "pw", "pw": "pw", "": "", "\npw": "", strings.Repeat("x", 70<<10): ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		var bad *FileError
		if got, err := Secret(path); got != want || (want == "") != errors.As(err, &bad) {
			t.Errorf("%.10q: %q, %v", content, got, err)
		}
	}
}

func TestMechanisms(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("jeton\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mechanism, want := range map[string]struct{ name, first string }{
		"plain":       {"PLAIN", "\x00a@b\x00jeton"},
		"login":       {"LOGIN", ""},
		"external":    {"EXTERNAL", "a@b"},
		"oauthbearer": {"OAUTHBEARER", "n,a=a@b,\x01host=mail.example\x01port=993\x01auth=Bearer jeton\x01\x01"},
		"xoauth2":     {"XOAUTH2", "user=a@b\x01auth=Bearer jeton\x01\x01"},
	} {
		a := Auth{Mechanism: mechanism, PasswordFile: path, TokenFile: path}
		if err := a.Valid("cert.pem"); err != nil {
			t.Errorf("%s: %v", mechanism, err)
		}
		if err := (Auth{Mechanism: mechanism}).Valid(""); err == nil {
			t.Errorf("%s without anything to log in with is taken", mechanism)
		}
		c, err := a.Client("a@b", "mail.example:993")
		if err != nil {
			t.Fatal(err)
		}
		if name, first, err := c.Start(); err != nil || name != want.name || mechanism != "login" && string(first) != want.first {
			t.Errorf("%s: %s %q, %v", mechanism, name, first, err)
		}
	}
}
