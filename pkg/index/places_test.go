package index

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"greffe/pkg/greffe"
)

func TestSplitPlace(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][2]string{
		"a@ch.example":                    {"a@ch.example", ""},
		"a@ch.example/INBOX/Dr Martin":    {"a@ch.example", "INBOX/Dr Martin"},
		"a/b@ch.example/INBOX.Dr@Martin/": {"a/b@ch.example", "INBOX.Dr@Martin/"},
		"a@ch.example/":                   {"a@ch.example", ""},
		Nowhere:                           {"", ""},
		"sans arobase/x":                  {"sans arobase/x", ""},
	} {
		if mailbox, folder := SplitPlace(in); mailbox != want[0] || folder != want[1] {
			t.Errorf("%q: %q %q", in, mailbox, folder)
		}
	}
}

// TestPlaces: whatever the list and the search, what is found is what Within says, each
// once, and the counts are of the same.
func TestPlaces(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		origins := map[greffe.MessageID]greffe.Origin{}
		for i := range 24 {
			folder := []string{"INBOX", "INBOX/Dr Martin", "INBOX/Dr Ott"}[i%3]
			p := message([]string{"a@ch.example", "b@ch.example"}[i/3%2], i+1, document(fmt.Sprint(i), 1, maelle))
			p.Received.Origin.Folder = folder
			a := save(t, db, p)
			origins[a.ID] = p.Received.Origin
			outcome(t, db, a.Documents[0], greffe.Outcome{State: []greffe.State{greffe.StateTodo, greffe.StateDelivered}[i%2], At: start})
		}
		for _, places := range [][]string{
			nil, {Everywhere}, {Nowhere}, {"c@ch.example"}, {"a@ch.example"}, {"a@ch.example", "b@ch.example"}, {"b@ch.example/INBOX/Dr Martin"},
			{"a@ch.example", "a@ch.example/INBOX"}, {"a@ch.example/INBOX/Dr Ott", "a@ch.example/INBOX/Dr Ott", "b@ch.example"},
			{"b@ch.example/INBOX", "a@ch.example/INBOX/Dr Martin"}, {"a@ch.example/nulle part"}, {Nowhere, Everywhere},
		} {
			var all, todo []greffe.MessageID
			for id, o := range origins {
				if Within(places, o) {
					all = append(all, id)
				}
			}
			same := func(what string, got []greffe.MessageID, err error) {
				t.Helper()
				want := slices.Clone(all)
				if what == "todo" {
					want = todo
				}
				slices.Sort(want)
				slices.Sort(got)
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("%s of %q: %d messages, %d expected, %v", what, places, len(got), len(want), err)
				}
			}
			for what, f := range map[string]MessageFilter{"queue": {}, "word": {Text: "compte"}} {
				f.Places, f.Limit = places, 200
				list, _, err := db.Messages(t.Context(), f)
				var got []greffe.MessageID
				for _, m := range list {
					got = append(got, m.ID)
					if what == "queue" && m.State == greffe.StateTodo {
						todo = append(todo, m.ID)
					}
				}
				same(what, got, err)
			}
			list, _, err := db.Messages(t.Context(), MessageFilter{Places: places, States: []greffe.State{greffe.StateTodo}, Limit: 200})
			var got []greffe.MessageID
			for _, m := range list {
				got = append(got, m.ID)
			}
			same("todo", got, err)
			counts, err := db.Counts(t.Context(), places)
			if err != nil || counts[greffe.StateTodo] != len(todo) || counts[greffe.StateDelivered] != len(all)-len(todo) {
				t.Errorf("counts of %q: %v, %v; %d expected, %d of them to do", places, counts, err, len(all), len(todo))
			}
			for what, f := range map[string]DocumentFilter{"documents": {}, "name": {Name: "essai"}, "ins": {INS: maelle.INS.Extension}, "birth": {BirthDate: maelle.BirthDate},
				"dates": {From: start}, "name and ins": {Name: "martin", INS: maelle.INS.Extension}} {
				f.Places, f.Limit = places, 200
				list, _, err := db.Documents(t.Context(), f)
				var got []greffe.MessageID
				for _, d := range list {
					got = append(got, d.Message)
				}
				same(what, got, err)
			}
		}
	})
}

func TestUsersAreChangedOneAtATime(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		u := User{Login: "anne", Role: "professional", RPPS: "99900000011", Places: []string{"a@ch.example/INBOX/Dr Martin"}, TOTP: "SECRET", TOTPStep: 3, Recovery: []string{"x"}, Issuer: "https://idp.example", Subject: "42", Renew: true}
		if err := db.AddUser(t.Context(), u, Entry{Actor: "root", Action: "user-add", Subject: "anne"}); err != nil {
			t.Fatal(err)
		}
		if got, err := db.Subject(t.Context(), "https://idp.example", "42"); err != nil || got.Login != "anne" || got.TOTPStep != 3 || !got.Renew || got.RPPS != u.RPPS || len(got.Recovery) != 1 {
			t.Errorf("%+v, %v", got, err)
		}
		for _, x := range [][2]string{{"https://other.example", "42"}, {"https://idp.example", ""}, {"", ""}} {
			if _, err := db.Subject(t.Context(), x[0], x[1]); !errors.Is(err, ErrNotFound) {
				t.Errorf("subject %q: %v", x, err)
			}
		}
		before := len(journal(t, db))
		for _, taken := range []User{{Login: "anne"}, {Login: "bob", Issuer: "https://idp.example", Subject: "42"}} {
			if err := db.AddUser(t.Context(), taken, Entry{Actor: "root", Action: "user-add"}); !errors.Is(err, ErrTaken) {
				t.Errorf("%+v: %v", taken, err)
			}
		}
		for _, login := range []string{"bob", "claire"} { // two local accounts have no subject
			if err := db.AddUser(t.Context(), User{Login: login}); err != nil {
				t.Error(err)
			}
		}
		// A code is accepted once, whoever comes at once.
		late := errors.New("too late")
		results := make(chan error)
		for range 8 {
			go func() {
				results <- db.ChangeUser(t.Context(), "anne", func(u *User) ([]Entry, error) {
					if u.TOTPStep >= 4 {
						return nil, late
					}
					u.TOTPStep = 4
					return []Entry{{Actor: "anne", Action: "login"}}, nil
				})
			}()
		}
		won := 0
		for range 8 {
			if err := <-results; err == nil {
				won++
			} else if !errors.Is(err, late) {
				t.Error(err)
			}
		}
		if after := len(journal(t, db)); won != 1 || after != before+1 {
			t.Errorf("%d changes made, %d entries", won, after-before)
		}
		if err := db.ChangeUser(t.Context(), "personne", func(*User) ([]Entry, error) { return nil, nil }); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	})
}
