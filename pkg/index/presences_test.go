package index

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

func TestPresences(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		later := time.Now().Add(time.Hour)
		for id, expiry := range map[string]time.Time{"a": later, "gone": time.Now().Add(-time.Second)} {
			if err := db.BeginPresence(t.Context(), id, expiry); err != nil {
				t.Fatal(err)
			}
		}
		begun, err := db.Presence(t.Context(), "a")
		if err != nil || !begun.Locked.IsZero() || time.Since(begun.Seen) > time.Minute {
			t.Fatalf("%+v, %v", begun, err)
		}
		if _, err := db.Presence(t.Context(), "gone"); !errors.Is(err, ErrNotFound) {
			t.Errorf("an expired presence: %v", err)
		}
		if err := db.LockPresence(t.Context(), "a", "/documents/x", Draft{"motif": {"début de phrase"}}, Entry{Actor: "anne", Action: "locked"}); err != nil {
			t.Fatal(err)
		}
		// Nothing done in another window opens it again; a second lock adds what that one held.
		if err := db.SeenPresence(t.Context(), "a", time.Hour); err != nil {
			t.Fatal(err)
		}
		if err := db.LockPresence(t.Context(), "a", "/recherche", Draft{"nom": {"x"}}); err != nil {
			t.Fatal(err)
		}
		p, err := db.Presence(t.Context(), "a")
		if err != nil || p.Locked.IsZero() || !p.Seen.Equal(begun.Seen) || len(p.Drafts) != 2 {
			t.Errorf("%+v, %v", p, err)
		}
		if err := db.UnlockPresence(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if d, err := db.TakeDraft(t.Context(), "a", "/documents/x"); err != nil || !reflect.DeepEqual(d, Draft{"motif": {"début de phrase"}}) {
			t.Errorf("draft %v, %v", d, err)
		}
		if d, err := db.TakeDraft(t.Context(), "a", "/documents/x"); err != nil || d != nil {
			t.Errorf("the same draft again: %v, %v", d, err)
		}
		if p, err = db.Presence(t.Context(), "a"); err != nil || !p.Locked.IsZero() || len(p.Drafts) != 1 {
			t.Errorf("%+v, %v", p, err)
		}
		// Too late: who did nothing for long is not seen again without unlocking.
		if err := db.SeenPresence(t.Context(), "a", 0); err != nil {
			t.Fatal(err)
		}
		if q, _ := db.Presence(t.Context(), "a"); !q.Seen.Equal(p.Seen) {
			t.Error("a presence past its time was seen again")
		}
		for _, err := range []error{db.LockPresence(t.Context(), "nope", "", nil), db.UnlockPresence(t.Context(), "nope"), second(db.TakeDraft(t.Context(), "nope", ""))} {
			if !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
		}
	})
}
