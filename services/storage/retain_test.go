package storage

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// archived stores a message and returns it as the index knows it.
func (h *house) archived(t testing.TB, uid uint32, raw []byte) index.Detail {
	t.Helper()
	r := h.receive(t, uid, raw)
	if _, err := h.storeMessage(t.Context(), parse(t, r, raw)); err != nil {
		t.Fatal(err)
	}
	return h.detail(t, r.ID)
}

func (h *house) detail(t testing.TB, id greffe.MessageID) index.Detail {
	t.Helper()
	d, err := h.db.Message(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// locks returns until when each object of a message is locked and how many are held.
func (h *house) locks(t testing.TB, d index.Detail) (until []time.Time, held int) {
	t.Helper()
	for _, o := range objectsOf(d) {
		i, err := h.store.Retain(t.Context(), o, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		until = append(until, i.RetainUntil)
		if i.Held {
			held++
		}
	}
	return until, held
}

func (h *house) entries(t testing.TB, subject string, action string) []greffe.Entry {
	t.Helper()
	all, err := h.db.JournalAfter(t.Context(), 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	var list []greffe.Entry
	for _, e := range all {
		if e.Subject == subject && e.Action == action {
			list = append(list, e)
		}
	}
	return list
}

func TestExtend(t *testing.T) {
	t.Parallel()
	t.Run("directory", func(t *testing.T) { t.Parallel(); testExtend(t, newHouse(t)) })
	t.Run("S3", func(t *testing.T) { t.Parallel(); testExtend(t, newHouseS3(t)) })
}

func testExtend(t *testing.T, h *house) {
	d := h.archived(t, 1, sampleMail(t, 1, 1000))
	other := h.archived(t, 2, sampleMail(t, 2, 1000))
	l := NewLocks(h.store, h.db)
	until := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
	objects := len(objectsOf(d)) // raw, 5 parts, manifest
	if k, err := l.Extend(t.Context(), d, until, "alice", true); err != nil || k.Changed != objects || k.Objects != objects || k.Until.After(until) || k.Until.IsZero() {
		t.Errorf("dry: %+v, %v", k, err)
	}
	for _, u := range first(h.locks(t, d)) {
		if !u.Before(until) {
			t.Error("a dry run changed something")
		}
	}
	if n := len(h.entries(t, string(d.ID), "retained")); n != 0 {
		t.Errorf("a dry run left %d entries", n)
	}
	if k, err := l.Extend(t.Context(), d, until, "alice", false); err != nil || k.Changed != objects {
		t.Errorf("%+v, %v", k, err)
	}
	for _, u := range first(h.locks(t, d)) {
		if !u.Equal(until) {
			t.Errorf("locked until %v, want %v", u, until)
		}
	}
	// An earlier end changes nothing and is said.
	if k, err := l.Extend(t.Context(), d, until.Add(-time.Hour), "alice", false); err != nil || k.Changed != 0 || !k.Until.Equal(until) {
		t.Errorf("%+v, %v", k, err)
	}
	e := h.entries(t, string(d.ID), "retained")
	if len(e) != 2 || e[0].Actor != "alice" || !strings.Contains(e[0].Detail, fmt.Sprintf("changed=%d", objects)) || e[0].Result != "ok" {
		t.Errorf("journal %+v", e)
	}
	shared := map[string]bool{}
	for _, o := range objectsOf(d) {
		shared[o.Key] = true
	}
	until2, _ := h.locks(t, other)
	for n, o := range objectsOf(other) {
		if until2[n].Equal(until) != shared[o.Key] {
			t.Errorf("the other message: %s is locked until %v", o.Key, until2[n])
		}
	}
}

func first[A, B any](a A, _ B) A { return a }

// What of the sealed journal proves a message is extended with it, and nothing else.
func TestExtendReachesTheJournal(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.archived(t, 1, sampleMail(t, 1, 1000))
	now := time.Now()
	last := h.entries(t, string(d.ID), "archived")[0].Seq
	object := func(r evidence.Range, kind string) greffe.Object {
		b := []byte(r.Key(kind))
		o, err := h.store.Put(t.Context(), r.Key(kind), bytes.NewReader(b), int64(len(b)), greffe.DigestOf(b))
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	own, next, stamped, far := evidence.NewRange(1, last+2, now), evidence.NewRange(last+3, last+4, now), evidence.NewRange(last+5, last+9, now.AddDate(0, 0, 1)), evidence.NewRange(last+10, last+11, now.AddDate(0, 0, 1))
	wanted := []greffe.Object{
		object(own, evidence.KindSegment), object(own, evidence.KindFacts), object(own, evidence.KindCheckpoint),
		object(stamped, evidence.KindCheckpoint), object(stamped, evidence.KindStamp), object(stamped, evidence.KindToken),
	}
	key := []byte("key")
	pub, err := h.store.Put(t.Context(), archive.JournalPrefix+"keys/x.pub", bytes.NewReader(key), 3, greffe.DigestOf(key))
	if err != nil {
		t.Fatal(err)
	}
	wanted = append(wanted, pub)
	others := []greffe.Object{object(next, evidence.KindSegment), object(next, evidence.KindCheckpoint), object(stamped, evidence.KindSegment), object(far, evidence.KindToken)}
	until := now.Add(48 * time.Hour).UTC().Truncate(time.Second)
	k, err := NewLocks(h.store, h.db).Extend(t.Context(), d, until, "alice", false)
	if err != nil || k.Journal != len(wanted) {
		t.Errorf("%+v, %v", k, err)
	}
	for n, list := range [][]greffe.Object{wanted, others} {
		for _, o := range list {
			i, err := h.store.Retain(t.Context(), o, time.Time{})
			if err != nil || i.RetainUntil.Equal(until) != (n == 0) {
				t.Errorf("%s is locked until %v, %v", o.Key, i.RetainUntil, err)
			}
		}
	}
}

func TestHold(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	logo := fakePDF(9, 500)
	a, b := h.archived(t, 1, fakeMail(logo, fakePDF(1, 500))), h.archived(t, 2, fakeMail(logo, fakePDF(2, 500)))
	l := NewLocks(h.store, h.db)
	for _, d := range []index.Detail{a, b} {
		if k, err := l.Hold(t.Context(), d, true, "alice", "affaire 12/2026", false); err != nil || k.Objects != 5 || k.Held+k.Changed != 5 {
			t.Errorf("%+v, %v", k, err)
		}
	}
	if holds, err := h.db.Holds(t.Context()); err != nil || len(holds) != 2 || holds[0].Reason != "affaire 12/2026" || holds[0].By != "alice" {
		t.Errorf("%+v, %v", holds, err)
	}
	if k, err := l.Hold(t.Context(), a, false, "bob", "fin", true); err != nil || k.Changed != 3 {
		t.Errorf("dry: %+v, %v", k, err)
	}
	// What the other one shares stays held: the text and the logo.
	if k, err := l.Hold(t.Context(), a, false, "bob", "fin", false); err != nil || k.Changed != 3 {
		t.Errorf("%+v, %v", k, err)
	}
	if _, held := h.locks(t, a); held != 2 {
		t.Errorf("%d objects are still held", held)
	}
	if _, held := h.locks(t, b); held != 5 {
		t.Errorf("%d objects of the other message are held", held)
	}
	if k, err := l.Hold(t.Context(), b, false, "bob", "fin", false); err != nil || k.Changed != 5 {
		t.Errorf("%+v, %v", k, err)
	}
	if _, held := h.locks(t, a); held != 0 {
		t.Errorf("%d objects are still held", held)
	}
	if e := h.entries(t, string(a.ID), "released"); len(e) != 1 || e[0].Actor != "bob" || !strings.HasPrefix(e[0].Detail, "fact:") || strings.Contains(e[0].Detail, "fin") {
		t.Errorf("journal %+v", e)
	}
}

// Each change of a lock fails twice, once before and once after it was done; then it
// is asked for again, and everything is as it should be.
func TestLockFaults(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	uid := uint32(0)
	for _, stored := range []bool{false, true} {
		for n := range 8 {
			for _, what := range []string{"extend", "hold", "release"} {
				uid++
				d := h.archived(t, uid, sampleMail(t, uint64(uid), 500))
				until := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
				do := func(s archive.Store) error {
					l := NewLocks(s, h.db)
					var err error
					switch what {
					case "extend":
						_, err = l.Extend(t.Context(), d, until, "alice", false)
					default:
						_, err = l.Hold(t.Context(), d, what == "hold", "alice", "x", false)
					}
					return err
				}
				if what == "release" {
					if _, err := NewLocks(h.store, h.db).Hold(t.Context(), d, true, "alice", "x", false); err != nil {
						t.Fatal(err)
					}
				}
				err := do(&faulty{Store: h.store, step: step{n, stored}})
				if n < len(objectsOf(d))-2 && !errors.Is(err, errStep) {
					t.Errorf("%s: step %d did not fail: %v", what, n, err)
				}
				// Nobody is told that it is done before it is.
				action := map[string]string{"extend": "retained", "hold": "held", "release": "released"}[what]
				if what != "hold" && errors.Is(err, errStep) && len(h.entries(t, string(d.ID), action)) != 0 {
					t.Errorf("%s: the journal says that it is done after step %d", what, n)
				}
				if err := do(h.store); err != nil {
					t.Errorf("%s: the repeat after step %d: %v", what, n, err)
				}
				ends, held := h.locks(t, d)
				for _, u := range ends {
					if what == "extend" && !u.Equal(until) {
						t.Errorf("locked until %v", u)
					}
				}
				if want := map[string]int{"hold": len(ends)}[what]; held != want {
					t.Errorf("%s: %d objects are held, want %d", what, held, want)
				}
				if what == "hold" { // what messages share would stay held
					if _, err := NewLocks(h.store, h.db).Hold(t.Context(), d, false, "alice", "x", false); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	h.verify(t)
}

// judgedAgain waits until the locks of a short-lived house have ended.
func (h *house) ended(t testing.TB, ids ...greffe.MessageID) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for _, id := range ids {
		for _, o := range objectsOf(h.detail(t, id)) {
			for {
				i, err := h.store.Retain(t.Context(), o, time.Time{})
				if err != nil {
					t.Fatal(err)
				}
				if !i.RetainUntil.After(time.Now()) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%s is locked until %v", o.Key, i.RetainUntil)
				}
			}
		}
	}
}

// settled brings the documents of a message to their end.
func (h *house) settled(t testing.TB, d index.Detail) {
	t.Helper()
	for _, doc := range d.Documents {
		if _, err := h.db.SaveOutcome(t.Context(), doc.ID, greffe.Outcome{State: greffe.StateDelivered, At: time.Now().UTC()}, ""); err != nil {
			t.Fatal(err)
		}
	}
}

func TestElimination(t *testing.T) {
	t.Parallel()
	h := newHouseFor(t, time.Second)
	store := h.store.(archive.Eliminator)
	logo := fakePDF(9, 500)
	mail := func(n uint64) []byte { return fakeMail(logo, fakeZip(t, fakeCDA(fakePDF(n, 500)))) }
	a, b, c := h.archived(t, 1, mail(1)), h.archived(t, 2, mail(2)), h.archived(t, 3, mail(3))
	ids := []greffe.MessageID{a.ID, b.ID}
	if _, bad, err := AskElimination(t.Context(), store, h.db, ids, "alice", false, nil); err != nil || len(bad) != 2 || !strings.Contains(bad[0].Text, "en cours de traitement") {
		t.Errorf("before they are settled: %+v, %v", bad, err)
	}
	for _, d := range []index.Detail{a, b, c} {
		h.settled(t, d)
	}
	locks := NewLocks(h.store, h.db)
	if _, err := locks.Hold(t.Context(), b, true, "alice", "x", false); err != nil {
		t.Fatal(err)
	}
	h.ended(t, a.ID, b.ID)
	e, bad, err := AskElimination(t.Context(), store, h.db, ids, "alice", false, nil)
	if err != nil || e.ID == "" || len(e.Messages) != 1 || e.Messages[0].ID != a.ID || len(bad) != 1 || bad[0].Message != b.ID || !strings.Contains(bad[0].Text, "gelé") {
		t.Fatalf("%+v, %+v, %v", e, bad, err)
	}
	if _, _, err := Eliminate(t.Context(), store, h.db, e.ID, "Alice", nil); !errors.Is(err, index.ErrSamePerson) {
		t.Errorf("confirmed by who asked: %v", err)
	}
	if _, _, err := Eliminate(t.Context(), store, h.db, "none", "bob", nil); !errors.Is(err, index.ErrNotFound) {
		t.Errorf("what nobody asked: %v", err)
	}
	if _, err := archive.ReadManifest(t.Context(), store, a.Manifest); err != nil {
		t.Fatalf("something was removed: %v", err)
	}
	done, certificate, err := Eliminate(t.Context(), store, h.db, e.ID, "bob", nil)
	if err != nil {
		t.Fatal(err)
	}
	if done.Certified.IsZero() || done.AskedBy != "alice" || done.ConfirmedBy != "bob" || done.Order.IsZero() || len(done.Messages) != 1 {
		t.Errorf("certificate %+v", done)
	}
	// Shared with others: the text and the logo. The rest is gone.
	kept := 0
	for _, o := range done.Messages[0].Objects {
		_, err := store.Stat(t.Context(), o.Key)
		if o.Kept == "shared" {
			kept++
			if err != nil {
				t.Errorf("%s, which others name: %v", o.Key, err)
			}
		} else if !errors.Is(err, archive.ErrNotFound) {
			t.Errorf("%s is still there: %v", o.Key, err)
		}
	}
	if kept != 2 {
		t.Errorf("%d objects were kept", kept)
	}
	if _, err := h.db.Message(t.Context(), a.ID); !errors.Is(err, index.ErrNotFound) {
		t.Errorf("the index still knows it: %v", err)
	}
	h.traces(t, a.ID)
	if tally, _, err := h.db.Tally(t.Context()); err != nil || tally[greffe.StateDelivered] != 2 {
		t.Errorf("tally %v, %v", tally, err)
	}
	for action, subject := range map[string]string{"elimination-asked": e.ID, "elimination-confirmed": e.ID, "eliminated": string(a.ID), "elimination-certified": e.ID} {
		if len(h.entries(t, subject, action)) != 1 {
			t.Errorf("%d entries %s about %s", len(h.entries(t, subject, action)), action, subject)
		}
	}
	again, o, err := Eliminate(t.Context(), store, h.db, e.ID, "carol", nil)
	if err != nil || o != certificate || !again.Certified.Equal(done.Certified) {
		t.Errorf("the repeat: %+v, %+v, %v", again, o, err)
	}
	h.verify(t)
}

// traces looks through every table for what is left of a message that was eliminated:
// its id may stay where it says that it was here, and nowhere else.
func (h *house) traces(t *testing.T, id greffe.MessageID) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+h.file+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	names := func(query string, args ...any) (list []string) {
		rows, err := db.Query(query, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				t.Fatal(err)
			}
			list = append(list, s)
		}
		return list
	}
	for _, table := range names(`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`) {
		switch table {
		case "journal", "journal_facts", "eliminations", "listed":
			continue
		}
		for _, column := range names(`SELECT name FROM pragma_table_info($1)`, table) {
			for range names(`SELECT 'x' FROM "`+table+`" WHERE CAST("`+column+`" AS TEXT) LIKE $1`, string(id)+"%") {
				t.Errorf("%s.%s still names the message", table, column)
			}
		}
	}
}

// A message that another one began to share after the request keeps what is shared.
func TestEliminationOfWhatArrivesAgain(t *testing.T) {
	t.Parallel()
	h := newHouseFor(t, 2*time.Second)
	store := h.store.(archive.Eliminator)
	pdf := fakePDF(5, 500)
	a := h.archived(t, 1, fakeMail(pdf))
	h.ended(t, a.ID)
	e, bad, err := AskElimination(t.Context(), store, h.db, []greffe.MessageID{a.ID}, "alice", false, nil)
	if err != nil || len(bad) != 0 {
		t.Fatal(bad, err)
	}
	// The same file in another message, which the index does not know yet.
	o, err := store.Put(t.Context(), archive.ContentKey(greffe.DigestOf(pdf)), bytes.NewReader(pdf), int64(len(pdf)), greffe.DigestOf(pdf))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Eliminate(t.Context(), store, h.db, e.ID, "bob", nil); !errors.Is(err, ErrNotYet) {
		t.Errorf("with a part that is locked again: %v", err)
	}
	if err := readBack(t.Context(), store, o); err != nil {
		t.Error(err)
	}
	h.verify(t)
}

// A message that the index lost might name anything: nothing is eliminated then.
func TestNoEliminationBesideAnUnknownMessage(t *testing.T) {
	t.Parallel()
	h, lost := newHouseFor(t, time.Second), newHouse(t)
	a := h.archived(t, 1, fakeMail(fakePDF(5, 500)))
	lost.Storage.store = h.store
	lost.archived(t, 2, fakeMail(fakePDF(6, 500)))
	h.ended(t, a.ID)
	if _, _, err := AskElimination(t.Context(), h.store, h.db, []greffe.MessageID{a.ID}, "alice", false, nil); !errors.Is(err, ErrNotYet) {
		t.Errorf("%v, want ErrNotYet", err)
	}
}

// Each step of an elimination fails twice; the repeat ends it, and verify judges.
func TestEliminationFaults(t *testing.T) {
	t.Parallel()
	h := newHouseFor(t, time.Second)
	var ids []greffe.MessageID
	for uid := range uint32(20) {
		d := h.archived(t, uid+1, sampleMail(t, uint64(uid), 300))
		h.settled(t, d)
		ids = append(ids, d.ID)
	}
	h.ended(t, ids...)
	steps := 0
	for _, stored := range []bool{false, true} {
		for n := range 10 { // order, manifest, raw, five parts of which two are shared, certificate
			id := ids[0]
			ids = ids[1:]
			e, bad, err := AskElimination(t.Context(), h.store, h.db, []greffe.MessageID{id}, "alice", false, nil)
			if err != nil || len(bad) != 0 {
				t.Fatal(bad, err)
			}
			_, _, err = Eliminate(t.Context(), &faulty{Store: h.store, step: step{n, stored}}, h.db, e.ID, "bob", nil)
			if err != nil && !errors.Is(err, errStep) {
				t.Errorf("step %d: %v", n, err)
			}
			if err != nil {
				steps++
			}
			done, _, err := Eliminate(t.Context(), h.store.(archive.Eliminator), h.db, e.ID, "bob", nil)
			if err != nil || done.Certified.IsZero() {
				t.Errorf("the repeat after step %d (stored %v): %+v, %v", n, stored, done, err)
			}
			if _, err := h.db.Message(t.Context(), id); !errors.Is(err, index.ErrNotFound) {
				t.Errorf("the index still knows it: %v", err)
			}
			if rep := h.verify(t); rep.SurplusCount != 0 {
				t.Errorf("after step %d (stored %v):\n%s", n, stored, rep)
			}
		}
	}
	if steps < 12 {
		t.Errorf("only %d steps failed", steps)
	}
}
