package index

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

func TestTokens(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		k := Token{ID: "abc", Name: "Export de nuit", Role: "auditor", Places: []string{Everywhere}, Digest: greffe.DigestOf([]byte("secret")), By: "root", Expires: time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()}
		if err := db.AddToken(t.Context(), k, Entry{Actor: "root", Action: "token-add", Subject: k.Actor(), Result: "ok"}); err != nil {
			t.Fatal(err)
		}
		got, err := db.TokenOf(t.Context(), k.Digest)
		if err != nil || got.Created.IsZero() {
			t.Fatalf("%+v %v", got, err)
		}
		k.Created = got.Created
		if !reflect.DeepEqual(got, k) {
			t.Errorf("%+v, want %+v", got, k)
		}
		if _, err := db.TokenOf(t.Context(), greffe.DigestOf([]byte("another"))); !errors.Is(err, ErrNotFound) {
			t.Errorf("a secret that is none: %v", err)
		}
		if err := db.UsedToken(t.Context(), got, "192.0.2.1"); err != nil {
			t.Fatal(err)
		}
		got, _ = db.TokenOf(t.Context(), k.Digest)
		if got.Used.IsZero() || got.From != "192.0.2.1" {
			t.Errorf("used %s from %q", got.Used, got.From)
		}
		if err := db.UsedToken(t.Context(), got, "192.0.2.2"); err != nil { // at once: not worth a write
			t.Fatal(err)
		}
		if again, _ := db.TokenOf(t.Context(), k.Digest); again.From != "192.0.2.1" {
			t.Errorf("noted again at once: %q", again.From)
		}
		said := 0
		revoke := func() error {
			return db.RevokeToken(t.Context(), "abc", "root", func(k Token) []Entry {
				said++
				return []Entry{{Actor: "root", Action: "token-revoked", Subject: k.Actor(), Result: "ok"}}
			})
		}
		for range 2 {
			if err := revoke(); err != nil {
				t.Fatal(err)
			}
		}
		if got, _ = db.TokenOf(t.Context(), k.Digest); got.Revoked.IsZero() || got.RevokedBy != "root" || said != 1 {
			t.Errorf("revoked %s by %q, told %d times", got.Revoked, got.RevokedBy, said)
		}
		if err := db.RevokeToken(t.Context(), "none", "root", func(Token) []Entry { return nil }); !errors.Is(err, ErrNotFound) {
			t.Errorf("revoking none: %v", err)
		}
		if list, err := db.Tokens(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("%d tokens, %v", len(list), err)
		}
	})
}

func TestKeyedRequests(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		k := Keyed{Login: "jeton:a", Name: "k", Request: greffe.DigestOf([]byte("a"))}
		if got, err := db.BeginKeyed(t.Context(), k); err != nil || got.Answer != "" {
			t.Fatalf("%+v %v", got, err)
		}
		if _, err := db.BeginKeyed(t.Context(), k); !errors.Is(err, ErrKeyBusy) {
			t.Errorf("at once again: %v", err)
		}
		other := k
		other.Request = greffe.DigestOf([]byte("b"))
		if _, err := db.BeginKeyed(t.Context(), other); !errors.Is(err, ErrKeyReused) {
			t.Errorf("another request with the key: %v", err)
		}
		other.Login = "jeton:b"
		if _, err := db.BeginKeyed(t.Context(), other); err != nil {
			t.Errorf("the same key of another token: %v", err)
		}
		// It was broken off: who asks again carries it out.
		if _, err := db.write.ExecContext(t.Context(), `UPDATE keyed SET at = at - 60000`); err != nil {
			t.Fatal(err)
		}
		if got, err := db.BeginKeyed(t.Context(), k); err != nil || got.Answer != "" {
			t.Errorf("after it was broken off: %+v %v", got, err)
		}
		// It was not carried out: the key is free.
		if err := db.EndKeyed(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		if got, err := db.BeginKeyed(t.Context(), k); err != nil || got.Answer != "" {
			t.Errorf("after it was not carried out: %+v %v", got, err)
		}
		k.Answer = `{"x":1}`
		if err := db.EndKeyed(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		k.Answer = ""
		if got, err := db.BeginKeyed(t.Context(), k); err != nil || got.Answer != `{"x":1}` {
			t.Errorf("%+v %v", got, err)
		}
	})
}
