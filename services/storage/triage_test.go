package storage

import (
	"errors"
	"testing"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// TestTriage: what a person decides about a message is carried out once: a legal hold is
// on every object of the archive before it is told, and a repeat of an older decision
// does not undo a later one.
func TestTriage(t *testing.T) {
	t.Parallel()
	t.Run("directory", func(t *testing.T) { t.Parallel(); testTriage(t, newHouse(t)) })
	t.Run("S3", func(t *testing.T) { t.Parallel(); testTriage(t, newHouseS3(t)) })
}

func testTriage(t *testing.T, h *house) {
	d := h.archived(t, 1, sampleMail(t, 1, 1000))
	do := func(id string, verb greffe.Verb) {
		t.Helper()
		placed, err := h.onTriaged(t.Context(), greffe.Triaged{ID: id, Message: d.ID, Verb: verb, Reason: "Dossier 12", By: "claire", At: time.Now().UTC()})
		if err != nil || placed.Message != d.ID || placed.ID != id {
			t.Fatalf("%s: %+v, %v", verb, placed, err)
		}
	}
	held := func(want bool) {
		t.Helper()
		n := len(objectsOf(d))
		if !want {
			n = 0
		}
		_, is, err := h.db.HoldOf(t.Context(), d.ID)
		if _, got := h.locks(t, d); got != n || is != want || err != nil {
			t.Errorf("%d objects held, want %d; index %v, %v", got, n, is, err)
		}
	}
	do("a", greffe.VerbHold)
	held(true)
	do("b", greffe.VerbRelease)
	held(false)
	do("a", greffe.VerbHold) // told again after a crash
	held(false)
	for action, want := range map[string]int{"decided": 2, "held": 1, "released": 1} {
		if got := h.entries(t, string(d.ID), action); len(got) != want || got[0].Actor != "claire" {
			t.Errorf("%d entries %s, want %d", len(got), action, want)
		}
	}
	do("c", greffe.VerbLater)
	if m := h.detail(t, d.ID); len(m.Triages) != 3 {
		t.Errorf("%d decisions", len(m.Triages))
	}
	if _, err := h.onTriaged(t.Context(), greffe.Triaged{ID: "x", Message: d.ID, Verb: "burn"}); !errors.Is(err, bus.ErrPermanent) {
		t.Errorf("an unknown verb: %v", err)
	}
	if _, err := h.onTriaged(t.Context(), greffe.Triaged{ID: "y", Message: "01AAAAAAAAAAAAAAAAAAAAAAAA", Verb: greffe.VerbLater}); !errors.Is(err, bus.ErrPermanent) {
		t.Errorf("an unknown message: %v", err)
	}
}
