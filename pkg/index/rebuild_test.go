package index

import (
	"errors"
	"testing"

	"greffe/pkg/greffe"
)

// What BeginRebuild removes comes back from its journal and manifests, on both engines.
func TestRebuild(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		p := message("a@b.example", 1, document("1", 1, patient("MARTIN", "", "Anne", "19840312", "")))
		a := save(t, db, p)
		id := a.Documents[0]
		if _, err := db.Claim(t.Context(), p.Documents[0].Identity(), id); err != nil {
			t.Fatal(err)
		}
		outcome(t, db, id, greffe.Outcome{DI: "dpi", State: greffe.StateDelivered, Code: "AA", At: start})
		entries := journal(t, db)
		last := entries[len(entries)-1]
		facts, err := db.Facts(t.Context(), 1, last.Seq)
		if err != nil {
			t.Fatal(err)
		}
		before, err := db.Audit(t.Context(), p.Received.ID)
		if err != nil {
			t.Fatal(err)
		}
		seal := Seal{First: 1, Last: last.Seq - 1, At: last.At, Hash: last.Prev, Done: true, Root: "root", Segment: greffe.Object{Key: "s"}, Checkpoint: greffe.Object{Key: "c"}}
		sealed := func(_ bool, add func(Sealed) error) error {
			return add(Sealed{Seal: seal, Entries: entries[:len(entries)-1], Facts: facts[:len(facts)-1]})
		}
		if _, err := db.BeginRebuild(t.Context(), false, sealed); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("not empty: %v", err)
		}
		broken := errors.New("broken")
		if _, err := db.BeginRebuild(t.Context(), true, func(bool, func(Sealed) error) error { return broken }); !errors.Is(err, broken) {
			t.Errorf("a journal that is broken: %v", err)
		}
		if _, err := db.Audit(t.Context(), p.Received.ID); err != nil {
			t.Errorf("a broken journal costs the index: %v", err)
		}
		// The last entry is not sealed yet: it stays.
		if kept, err := db.BeginRebuild(t.Context(), true, sealed); kept != 1 || err != nil {
			t.Fatal(kept, err)
		}
		if _, err := db.Audit(t.Context(), p.Received.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("still there: %v", err)
		}
		if err := db.RestoreStamp(t.Context(), Stamp{Last: seal.Last, At: start}); err != nil {
			t.Fatal(err)
		}
		if err := db.RestoreMessages(t.Context(), []Restored{{p, manifestOf(p), rawOf(p), objects(p)}}); err != nil {
			t.Fatal(err)
		}
		if n, err := db.RestoreReceived(t.Context()); n != 0 || err != nil {
			t.Errorf("received: %d, %v", n, err)
		}
		if done, without, err := db.RestoreLife(t.Context()); done != 2 || without != 0 || err != nil {
			t.Errorf("life: %d, %d, %v", done, without, err)
		}
		if err := db.EndRebuild(t.Context(), "test"); err != nil {
			t.Fatal(err)
		}
		after, err := db.Audit(t.Context(), p.Received.ID)
		if err != nil || after.State != before.State || !after.ArchivedAt.Equal(before.ArchivedAt) || len(after.Outcomes) != 1 || len(after.History) != len(before.History) {
			t.Errorf("before %+v\nafter %+v, %v", before, after, err)
		}
		if holder, err := db.Holder(t.Context(), p.Documents[0].Identity()); holder != id || err != nil {
			t.Errorf("claim: %q, %v", holder, err)
		}
		if wrong, err := db.Recount(t.Context()); len(wrong) > 0 || err != nil {
			t.Errorf("counts: %v, %v", wrong, err)
		}
		if wrong, err := db.Differences(t.Context(), &p, manifestOf(p), rawOf(p), objects(p)); len(wrong) > 0 || err != nil {
			t.Errorf("rows: %v, %v", wrong, err)
		}
		if list := journal(t, db); len(list) != len(entries)+1 || list[len(list)-1].Action != "reindexed" {
			t.Errorf("the journal has %d entries", len(list))
		}
	})
}
