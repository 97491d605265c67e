package index

import (
	"reflect"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
)

var _ scs.CtxStore = (*DB)(nil)

func TestUsers(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		anne := User{Login: "anne", Name: "Anne Legrand", Role: "secretary", Places: []string{"a@ch.example"}, Hash: "$argon2id$x"}
		bob := User{Login: "bob", Name: "Bob", Role: "auditor", Hash: "$argon2id$y", Disabled: true}
		for _, u := range []User{bob, {Login: "anne", Role: "admin"}, anne} {
			if err := db.SaveUser(t.Context(), u); err != nil {
				t.Fatal(err)
			}
		}
		if list, err := db.Users(t.Context()); err != nil || !reflect.DeepEqual(list, []User{anne, bob}) {
			t.Errorf("%+v %v", list, err)
		}
		if err := db.DeleteUser(t.Context(), "bob"); err != nil {
			t.Error(err)
		}
		if u, err := db.User(t.Context(), "anne"); err != nil || !reflect.DeepEqual(u, anne) {
			t.Errorf("%+v %v", u, err)
		}
	})
}

func TestSessions(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		data := []byte("\x00binary\xff")
		later := time.Now().Add(time.Hour)
		if err := db.Commit("token", []byte("old"), later); err != nil {
			t.Fatal(err)
		}
		if err := db.Commit("token", data, later); err != nil {
			t.Fatal(err)
		}
		if b, ok, err := db.Find("token"); err != nil || !ok || string(b) != string(data) {
			t.Errorf("%q %v %v", b, ok, err)
		}
		if err := db.Commit("expired", data, time.Now().Add(-time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := db.Find("expired"); err != nil || ok {
			t.Errorf("an expired session was found: %v", err)
		}
		if err := db.Commit("other", data, later); err != nil { // removes the expired one
			t.Fatal(err)
		}
		var n, plain int
		if err := db.read.QueryRowContext(t.Context(), `SELECT COUNT(*), COALESCE(SUM(CASE WHEN token = 'token' THEN 1 ELSE 0 END), 0) FROM sessions`).Scan(&n, &plain); err != nil || n != 2 || plain != 0 {
			t.Errorf("%d sessions, %d with a plain token, %v", n, plain, err)
		}
		if err := db.Delete("token"); err != nil {
			t.Error(err)
		}
		if _, ok, err := db.Find("token"); err != nil || ok {
			t.Errorf("a deleted session was found: %v", err)
		}
	})
}
