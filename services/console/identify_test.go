package console

import (
	"errors"
	"testing"
	"time"

	"greffe/pkg/index"
)

// A command takes no less proof of a person than the login page does.
func TestIdentify(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := newSecret()
	key, err := base32Plain.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []index.User{
		{Login: "chef", Role: "admin", Hash: hashed(), TOTP: secret},
		{Login: "neuf", Role: "admin", Hash: hashed(), Renew: true},
		{Login: "sans", Role: "admin"},
		{Login: "ancien", Role: "admin", Hash: hashed(), Disabled: true},
		{Login: "cible", Role: "admin", Hash: hashed()},
	} {
		if err := w.db.SaveUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().Unix() / totpPeriod
	try := func(login, pw, code string, factor ...string) error {
		give := func(s string) func() (string, error) { return func() (string, error) { return s, nil } }
		return Identify(t.Context(), w.db, Identity{Login: login, Password: give(pw), Code: give(code), From: "serveur", What: "retain", Roles: []string{"admin"}, Factor: factor})
	}
	good := totpCode(key, now)
	for _, c := range []struct {
		name, login, pw, code string
		factor                []string
		want                  error
	}{
		{"password alone where that is all", "root", password, "", nil, nil},
		{"wrong password", "root", "un autre", "", nil, ErrIdentity},
		{"no code", "chef", password, "", nil, ErrIdentity},
		{"wrong code", "chef", password, "000000x", nil, ErrIdentity},
		{"password and code", "chef", password, good, nil, nil},
		{"the same code again", "chef", password, good, nil, ErrIdentity},
		{"a role that may not", "paul", password, "", nil, ErrAccount},
		{"nobody", "personne", password, "", nil, ErrAccount},
		{"disabled", "ancien", password, "", nil, ErrAccount},
		{"a password to change", "neuf", password, "", nil, ErrAccount},
		{"no password", "sans", "", "", nil, ErrAccount},
		{"a second factor that is missing", "root", password, "", []string{"admin"}, ErrAccount},
	} {
		if err := try(c.login, c.pw, c.code, c.factor...); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if !w.journalled("root", "denied", "root", "refused") || !w.journalled("paul", "denied", "paul", "refused") {
		t.Error("refusals are not in the journal")
	}
	for i := range maxPair {
		if err := try("cible", "un autre", ""); !errors.Is(err, ErrIdentity) {
			t.Errorf("try %d: %v", i, err)
		}
	}
	if err := try("cible", password, ""); !errors.Is(err, ErrLockedOut) || !w.journalled("cible", "denied", "cible", "locked") {
		t.Errorf("the right password after %d wrong ones: %v", maxPair, err)
	}
}
