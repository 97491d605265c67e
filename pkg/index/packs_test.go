package index

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

func TestPacks(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		items := []PackItem{{Message: "b"}, {Message: "a", Document: "a-2"}, {Message: "a", Document: "a-1"}, {Message: "b"}}
		asked := Pack{ID: "p1", Requester: "paul", From: "192.0.2.1", Reason: "réclamation 2026-12", Kind: "selection", Messages: 2, Documents: 2, State: PackWaiting}
		if err := db.AskPack(t.Context(), asked, items, Entry{Actor: "paul", Action: "pack-asked", Subject: "p1"}); err != nil {
			t.Fatal(err)
		}
		got, err := db.PackItems(t.Context(), "p1")
		if err != nil || len(got) != 3 || got[0] != (PackItem{"a", "a-1"}) || got[2] != (PackItem{"b", ""}) {
			t.Errorf("items %v, %v", got, err)
		}
		refusal := errors.New("no")
		for id, want := range map[string]error{"p1": refusal, "nope": ErrNotFound} {
			if err := db.ChangePack(t.Context(), id, func(p *Pack) ([]Entry, error) { p.State = PackReady; return nil, refusal }); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", id, err, want)
			}
		}
		later := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
		change := func(f func(p *Pack)) {
			t.Helper()
			err := db.ChangePack(t.Context(), "p1", func(p *Pack) ([]Entry, error) {
				f(p)
				return []Entry{{Actor: "storage", Action: "pack-built", Subject: p.ID}}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		change(func(p *Pack) {
			p.State, p.Noted, p.Size, p.SHA256, p.CoverKey, p.Stored, p.Built, p.Expires = PackReady, true, 12, greffe.DigestOf(nil), "key", true, later, later
			p.Requester, p.Reason = "mallory", "" // stay as they were asked
		})
		p, err := db.Pack(t.Context(), "p1")
		if err != nil || p.State != PackReady || !p.Noted || p.Requester != "paul" || p.Reason != asked.Reason || p.From != asked.From || p.CoverKey != "key" || !p.Expires.Equal(later) || !p.Ended.IsZero() || p.Asked.IsZero() {
			t.Errorf("%+v, %v", p, err)
		}
		if list, err := db.PacksIn(t.Context(), PackReady, 10); err != nil || len(list) != 1 {
			t.Errorf("%d ready, %v", len(list), err)
		}
		// The end takes the key and the list away; the bytes are still to go.
		change(func(p *Pack) { p.State = PackExpired })
		p, err = db.Pack(t.Context(), "p1")
		if err != nil || p.CoverKey != "" || p.Ended.IsZero() || !p.Stored {
			t.Errorf("at its end: %+v, %v", p, err)
		}
		if got, err := db.PackItems(t.Context(), "p1"); err != nil || len(got) != 0 {
			t.Errorf("items of what ended: %v, %v", got, err)
		}
		if list, err := db.PacksToRemove(t.Context(), 10); err != nil || len(list) != 1 {
			t.Errorf("%d to remove, %v", len(list), err)
		}
		if err := db.ForgetPacks(t.Context(), later); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Pack(t.Context(), "p1"); err != nil {
			t.Errorf("forgotten with bytes on the bus: %v", err)
		}
		change(func(p *Pack) { p.Stored = false })
		if err := db.ForgetPacks(t.Context(), later); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Pack(t.Context(), "p1"); !errors.Is(err, ErrNotFound) {
			t.Errorf("after months: %v", err)
		}
		for i := range MaxPacks + 1 {
			err := db.AskPack(t.Context(), Pack{ID: "many" + strconv.Itoa(i), Requester: "paul", State: PackQueued}, nil)
			if want := i == MaxPacks; errors.Is(err, ErrPending) != want || !want && err != nil {
				t.Errorf("request %d: %v", i, err)
			}
		}
		if list, err := db.Packs(t.Context(), "paul", 3); err != nil || len(list) != 3 {
			t.Errorf("%d of paul, %v", len(list), err)
		}
	})
}

func TestCheckups(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		if _, err := db.NextCheckup(t.Context()); !errors.Is(err, ErrNotFound) {
			t.Errorf("none waits: %v", err)
		}
		first, err := db.AskCheckup(t.Context(), Checkup{ID: "c1", Message: "m", Requester: "paul"})
		again, err2 := db.AskCheckup(t.Context(), Checkup{ID: "c2", Message: "m", Requester: "paul"})
		other, err3 := db.AskCheckup(t.Context(), Checkup{ID: "c3", Message: "m", Requester: "jo"})
		if errors.Join(err, err2, err3) != nil || first != "c1" || again != "c1" || other != "c3" {
			t.Errorf("%s %s %s: %v %v %v", first, again, other, err, err2, err3)
		}
		if c, err := db.NextCheckup(t.Context()); err != nil || c.ID != "c1" || !c.Done.IsZero() || c.Asked.IsZero() {
			t.Errorf("next %+v, %v", c, err)
		}
		for _, report := range []string{"{}", "changed"} {
			if err := db.EndCheckup(t.Context(), "c1", "", report, Entry{Actor: "paul", Action: "verified", Subject: "m", Result: "ok"}); err != nil {
				t.Fatal(err)
			}
		}
		if list, err := db.SearchJournal(t.Context(), JournalFilter{Action: "verified"}); err != nil || len(list) != 1 {
			t.Errorf("%d entries, %v", len(list), err)
		}
		if c, err := db.NextCheckup(t.Context()); err != nil || c.ID != "c3" {
			t.Errorf("next %+v, %v", c, err)
		}
		if err := db.EndCheckup(t.Context(), "c3", "L’archive ne répond pas.", ""); err != nil {
			t.Fatal(err)
		}
		if c, err := db.LastCheckup(t.Context(), "m"); err != nil || c.Done.IsZero() {
			t.Errorf("last %+v, %v", c, err)
		}
		for i := range maxCheckups + 1 {
			_, err := db.AskCheckup(t.Context(), Checkup{ID: "x" + strconv.Itoa(i), Message: greffe.MessageID(strconv.Itoa(i)), Requester: "paul"})
			if want := i == maxCheckups; errors.Is(err, ErrPending) != want || !want && err != nil {
				t.Errorf("request %d: %v", i, err)
			}
		}
	})
}

// TestPackLists: each list has its order, and a person's is of nobody else.
func TestPackLists(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		ask := func(id, requester string, s PackState) {
			t.Helper()
			if err := db.AskPack(t.Context(), Pack{ID: id, Requester: requester, State: s}, []PackItem{{Message: "m"}}); err != nil {
				t.Fatal(err)
			}
		}
		change := func(id string, f func(p *Pack)) {
			t.Helper()
			if err := db.ChangePack(t.Context(), id, func(p *Pack) ([]Entry, error) { f(p); return nil, nil }); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []string{"p1", "p2", "p3", "p4"} {
			ask(id, "paul", PackQueued)
		}
		ask("p5", "jo", PackWaiting)
		change("p1", func(p *Pack) { p.State, p.Stored = PackCancelled, true })
		change("p3", func(p *Pack) { p.State, p.Stored = PackReady, true })
		for _, id := range []string{"p2", "p5"} {
			change(id, func(p *Pack) { p.DecidedBy, p.Decided = "jeanne", time.Now() })
		}
		for name, c := range map[string]struct {
			list func() ([]Pack, error)
			want string
		}{
			"of paul":          {func() ([]Pack, error) { return db.Packs(t.Context(), "paul", 10) }, "p4 p3 p2 p1"},
			"newest of paul":   {func() ([]Pack, error) { return db.Packs(t.Context(), "paul", 2) }, "p4 p3"},
			"of nobody":        {func() ([]Pack, error) { return db.Packs(t.Context(), "", 10) }, ""},
			"queued":           {func() ([]Pack, error) { return db.PacksIn(t.Context(), PackQueued, 10) }, "p2 p4"},
			"next":             {func() ([]Pack, error) { return db.PacksIn(t.Context(), PackQueued, 1) }, "p2"},
			"decided":          {func() ([]Pack, error) { return db.PacksDecided(t.Context(), 10) }, "p5 p2"},
			"decided, newest":  {func() ([]Pack, error) { return db.PacksDecided(t.Context(), 1) }, "p5"},
			"whose bytes stay": {func() ([]Pack, error) { return db.PacksToRemove(t.Context(), 10) }, "p1"},
		} {
			list, err := c.list()
			var got []string
			for _, p := range list {
				got = append(got, p.ID)
			}
			if err != nil || strings.Join(got, " ") != c.want {
				t.Errorf("%s: %q %v, want %q", name, got, err, c.want)
			}
		}
	})
}

// TestRequestsOfManyAtOnce: two programs on one index lose no change of a pack, admit no
// more than may wait, and verify a message once for who asks twice.
func TestRequestsOfManyAtOnce(t *testing.T) {
	t.Parallel()
	for name, dsn := range map[string]func(testing.TB) string{"sqlite": sqliteDSN, "postgres": postgresDSN} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := dsn(t)
			both := []*DB{open(t, at), open(t, at)}
			const each = 2 * MaxPacks
			var group sync.WaitGroup
			var admitted atomic.Int64
			var asked sync.Map // id of a verification
			if err := both[0].AskPack(t.Context(), Pack{ID: "counted", Requester: "jo", State: PackBuilding}, nil); err != nil {
				t.Fatal(err)
			}
			for i, db := range both {
				for n := range each {
					group.Go(func() {
						err := db.ChangePack(t.Context(), "counted", func(p *Pack) ([]Entry, error) { p.Done++; return nil, nil })
						if err != nil {
							t.Error(err)
						}
						err = db.AskPack(t.Context(), Pack{ID: fmt.Sprint("p", i, "-", n), Requester: "paul", State: PackQueued}, nil)
						if err == nil {
							admitted.Add(1)
						} else if !errors.Is(err, ErrPending) {
							t.Error(err)
						}
						id, err := db.AskCheckup(t.Context(), Checkup{ID: fmt.Sprint("c", i, "-", n), Message: "m", Requester: "paul"})
						if err != nil {
							t.Error(err)
						}
						asked.Store(id, true)
					})
				}
			}
			group.Wait()
			if p, err := both[0].Pack(t.Context(), "counted"); err != nil || p.Done != 2*each {
				t.Errorf("%d changes are left of %d, %v", p.Done, 2*each, err)
			}
			if n := admitted.Load(); n != MaxPacks {
				t.Errorf("%d packs of one person wait, want %d", n, MaxPacks)
			}
			ids := 0
			asked.Range(func(any, any) bool { ids++; return true })
			if ids != 1 {
				t.Errorf("%d verifications of one message for one person", ids)
			}
		})
	}
}

// TestOldCheckupsAreForgotten: a month later, when another ends; what waits stays.
func TestOldCheckupsAreForgotten(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		for _, id := range []string{"old", "young", "waits", "last"} {
			if _, err := db.AskCheckup(t.Context(), Checkup{ID: id, Message: greffe.MessageID("m-" + id), Requester: "paul"}); err != nil {
				t.Fatal(err)
			}
		}
		age := func(id string, days int) {
			t.Helper()
			if err := db.EndCheckup(t.Context(), id, "", "{}"); err != nil {
				t.Fatal(err)
			}
			err := db.update(t.Context(), func(t *tx) error {
				_, err := t.exec(`UPDATE checkups SET done_at = $2 WHERE id = $1`, id, millis(t.now().AddDate(0, 0, -days)))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		age("old", 32)
		age("young", 27)
		if err := db.EndCheckup(t.Context(), "last", "", "{}"); err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string]error{"old": ErrNotFound, "young": nil, "waits": nil, "last": nil} {
			if _, err := db.LastCheckup(t.Context(), greffe.MessageID("m-"+id)); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", id, err, want)
			}
		}
	})
}
