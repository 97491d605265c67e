package storage

import (
	"testing"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// TestDaysAreStated: a day is stated once it has ended and every folder was compared with
// its server since, or when that did not happen for two hours; late messages make it be
// stated again.
func TestDaysAreStated(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	h.cfg.Zone = paris
	w := index.Watched{Address: "a@ch.example", Folders: []string{"INBOX"}}
	midnight := time.Date(2026, 11, 23, 0, 0, 0, 0, paris) // the end of the day
	said := func(now time.Time) (results []string) {
		t.Helper()
		for range 2 { // two services
			if err := h.stateMailbox(t.Context(), w, now); err != nil {
				t.Fatal(err)
			}
		}
		list, err := h.db.JournalAfter(t.Context(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if e.Action == "stated" {
				results = append(results, e.Detail[:10]+" "+e.Result)
			}
		}
		return results
	}
	want := func(now time.Time, want ...string) {
		t.Helper()
		if got := said(now); len(got) != len(want) || len(got) > 0 && got[len(got)-1] != want[len(want)-1] {
			t.Errorf("at %v: %q, want %q", now, got, want)
		}
	}
	list := func(at time.Time, uids ...uint32) {
		t.Helper()
		l := greffe.Listed{Mailbox: w.Address, Folder: "INBOX", UIDValidity: 1, Complete: true, At: at}
		for _, uid := range uids {
			l.Messages = append(l.Messages, greffe.Sight{UID: uid, InternalDate: midnight.Add(-time.Hour)})
		}
		if err := h.onListed(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	list(midnight.Add(-30*time.Minute), 1)
	want(midnight.Add(-time.Minute))
	want(midnight.Add(time.Hour)) // waits for a comparison
	want(midnight.Add(3*time.Hour), "2026-11-22 missing")
	o := greffe.Origin{Mailbox: w.Address, Folder: "INBOX", UIDValidity: 1, UID: 1, InternalDate: midnight.Add(-time.Hour)}
	raw := greffe.DigestOf([]byte("mail"))
	if err := h.db.SaveReceived(t.Context(), greffe.Received{ID: greffe.NewMessageID(o, raw), Origin: o, SHA256: raw, Size: 4, At: midnight}, greffe.Object{Key: "k"}); err != nil {
		t.Fatal(err)
	}
	want(midnight.Add(4*time.Hour), "2026-11-22 missing", "2026-11-22 incomplete")
	list(midnight.Add(5 * time.Hour))
	want(midnight.Add(6*time.Hour), "2026-11-22 missing", "2026-11-22 incomplete", "2026-11-22 ok")
	list(midnight.Add(7*time.Hour), 2)
	want(midnight.Add(8*time.Hour), "2026-11-22 missing", "2026-11-22 incomplete", "2026-11-22 ok", "2026-11-22 missing")
}

// What was done to a message in its mailbox is noted once, however often it is told.
func TestSettledIsNotedOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.archived(t, 1, fakeMail())
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	e := greffe.Settled{Message: d.ID, State: greffe.StateDismissed, Mark: greffe.SettledDelivered, Result: greffe.SettleDone, At: at}
	for range 2 {
		if err := h.onSettled(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	e.At = at.Add(time.Hour) // another outcome
	if err := h.onSettled(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if list := h.entries(t, string(d.ID), "settled"); len(list) != 2 || list[0].Actor != "fetcher" || list[0].Result != "ok" {
		t.Errorf("%+v", list)
	}
	e.Message = greffe.NewMessageID(greffe.Origin{UID: 9}, "")
	if err := h.onSettled(t.Context(), e); err != nil {
		t.Errorf("of a message that is gone: %v", err)
	}
}
