package index

import (
	"errors"
	"testing"
	"time"
)

func TestApprovals(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		for _, id := range []string{"1", "2"} {
			if err := db.AskApproval(t.Context(), Approval{ID: id, Requester: "paul", Message: "m", INS: "x", Reason: "réclamation"}, Entry{Actor: "paul", Action: "approval-asked"}); err != nil {
				t.Fatal(err)
			}
		}
		said := func(a Approval) []Entry {
			return []Entry{{Actor: "jeanne", Action: "approval-granted", Detail: a.Requester}}
		}
		later := time.Now().Add(time.Hour)
		for by, want := range map[string]error{"paul": ErrDecided, "": ErrDecided} {
			if err := db.DecideApproval(t.Context(), "1", by, true, later, said); !errors.Is(err, want) {
				t.Errorf("by %q: %v", by, err)
			}
		}
		if err := db.DecideApproval(t.Context(), "nope", "jeanne", true, later, said); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if err := db.DecideApproval(t.Context(), "1", "jeanne", true, later, said); err != nil {
			t.Fatal(err)
		}
		if err := db.DecideApproval(t.Context(), "1", "louis", false, later, said); !errors.Is(err, ErrDecided) {
			t.Errorf("a second word: %v", err)
		}
		if err := db.DecideApproval(t.Context(), "2", "jeanne", false, later, said); err != nil {
			t.Fatal(err)
		}
		list, err := db.Granted(t.Context(), "paul", time.Now())
		if err != nil || len(list) != 1 || list[0].ID != "1" || list[0].DecidedBy != "jeanne" || list[0].Reason != "réclamation" || list[0].Asked.IsZero() {
			t.Errorf("%+v, %v", list, err)
		}
		if list, _ := db.Granted(t.Context(), "paul", later); len(list) != 0 {
			t.Errorf("past its time: %+v", list)
		}
		if list, _ := db.Granted(t.Context(), "jeanne", time.Now()); len(list) != 0 {
			t.Errorf("for another person: %+v", list)
		}
		if all, err := db.Approvals(t.Context(), 10); err != nil || len(all) != 2 {
			t.Errorf("%d requests, %v", len(all), err)
		}
	})
}
