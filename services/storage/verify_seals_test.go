package storage

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"greffe/pkg/archive"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
)

// sealedHouse has three messages, each archived and sealed on its own, with some
// reading in between, and an entry that is not sealed.
func sealedHouse(t testing.TB) (*house, *evidence.Key, []greffe.Received) {
	t.Helper()
	h := newHouse(t)
	key := newJournalKey(t, "essai")
	sealer := NewSealer(h.store, h.db, key, slog.New(slog.DiscardHandler))
	var list []greffe.Received
	for uid := range uint32(3) {
		raw := sampleMail(t, uint64(uid), 1000)
		r := h.receive(t, uid+1, raw)
		if _, err := h.storeMessage(t.Context(), parse(t, r, raw)); err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
		say(t, h.db, 299)
		if _, err := sealer.SealAll(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	say(t, h.db, 1)
	return h, key, list
}

// objectsOf returns the keys of the journal of one kind, oldest first.
func (h *house) objectsOf(t testing.TB, kind string) []string {
	t.Helper()
	var keys []string
	for i, err := range h.store.List(t.Context(), archive.JournalPrefix) {
		if err != nil {
			t.Fatal(err)
		}
		if _, k, ok := evidence.ParseKey(i.Key); ok && k == kind {
			keys = append(keys, i.Key)
		}
	}
	return keys
}

// rewrite changes the journal of the index from one entry on, so that it chains.
func (h *house) rewrite(t testing.TB, first int64, change func(*greffe.Entry)) {
	t.Helper()
	all, err := h.db.JournalAfter(t.Context(), 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", h.file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `DROP TRIGGER IF EXISTS journal_no_update`); err != nil {
		t.Fatal(err)
	}
	for i := range all {
		e := &all[i]
		if e.Seq < first {
			continue
		}
		if e.Seq == first {
			change(e)
		} else {
			e.Prev = all[i-1].Hash
		}
		e.Hash = e.Digest()
		if _, err := db.ExecContext(t.Context(), `UPDATE journal SET at=$1, actor=$2, prev=$3, hash=$4 WHERE seq=$5`, e.At.UnixMilli(), e.Actor, string(e.Prev), string(e.Hash), e.Seq); err != nil {
			t.Fatal(err)
		}
	}
}

// Each change of the journal, of its segments and of their checkpoints is found and
// named: by check, object and entry.
func TestVerifyNamesWhatBrokeInTheJournal(t *testing.T) {
	t.Parallel()
	type want struct {
		check CheckID
		entry int64  // 0: whichever
		key   string // end of the key
	}
	for name, c := range map[string]struct {
		fault func(t *testing.T, h *house, key *evidence.Key)
		want  []want
	}{
		"nothing": {func(*testing.T, *house, *evidence.Key) {}, nil},
		"a torn segment": {func(t *testing.T, h *house, _ *evidence.Key) {
			h.overwrite(t, h.objectsOf(t, evidence.KindSegment)[1], func(b []byte) []byte { return b[:len(b)/2] })
		}, []want{{CheckSegment, 304, evidence.KindSegment}}},
		"a segment that is gone": {func(t *testing.T, h *house, _ *evidence.Key) {
			h.overwrite(t, h.objectsOf(t, evidence.KindSegment)[0], remove)
		}, []want{{CheckSegment, 1, evidence.KindSegment}}},
		"a letter changed in a segment": {func(t *testing.T, h *house, _ *evidence.Key) {
			h.overwrite(t, h.objectsOf(t, evidence.KindSegment)[2], func(b []byte) []byte { return bytes.Replace(b, []byte(`"anne"`), []byte(`"yvon"`), 1) })
		}, []want{{CheckSegment, 607, evidence.KindSegment}}},
		"a missing checkpoint": {func(t *testing.T, h *house, _ *evidence.Key) {
			h.overwrite(t, h.objectsOf(t, evidence.KindCheckpoint)[1], remove)
		}, []want{{CheckCheckpoint, 304, evidence.KindCheckpoint}}},
		"the last checkpoint missing": {func(t *testing.T, h *house, _ *evidence.Key) {
			h.overwrite(t, h.objectsOf(t, evidence.KindCheckpoint)[2], remove)
		}, []want{{CheckCheckpoint, 607, evidence.KindCheckpoint}}},
		"a whole seal cut out": {func(t *testing.T, h *house, _ *evidence.Key) {
			h.overwrite(t, h.objectsOf(t, evidence.KindCheckpoint)[1], remove)
			h.overwrite(t, h.objectsOf(t, evidence.KindSegment)[1], remove)
		}, []want{{CheckCheckpoint, 304, evidence.KindCheckpoint}}},
		"the end of the sealed journal cut off": {func(t *testing.T, h *house, _ *evidence.Key) {
			h.overwrite(t, h.objectsOf(t, evidence.KindCheckpoint)[2], remove)
			h.overwrite(t, h.objectsOf(t, evidence.KindSegment)[2], remove)
		}, []want{{CheckCheckpoint, 607, evidence.KindCheckpoint}}},
		"a torn checkpoint": {func(t *testing.T, h *house, _ *evidence.Key) {
			h.overwrite(t, h.objectsOf(t, evidence.KindCheckpoint)[0], cut)
		}, []want{{CheckCheckpoint, 1, evidence.KindCheckpoint}}},
		"a checkpoint with another root": {func(t *testing.T, h *house, key *evidence.Key) {
			h.resign(t, 2, key, func(c *evidence.Checkpoint) { c.Root[0] ^= 1 })
		}, []want{{CheckSeals, 0, ""}, {CheckSeals, 0, ""}, {CheckRoot, 909, evidence.KindCheckpoint}}},
		"a checkpoint signed by a stranger": {func(t *testing.T, h *house, _ *evidence.Key) {
			h.resign(t, 1, newJournalKey(t, "essai"), func(*evidence.Checkpoint) {})
		}, []want{{CheckSeals, 606, evidence.KindCheckpoint}, {CheckSignature, 606, evidence.KindCheckpoint}, {CheckPrevious, 909, evidence.KindCheckpoint}}},
		"a checkpoint that names another one before": {func(t *testing.T, h *house, key *evidence.Key) {
			h.resign(t, 2, key, func(c *evidence.Checkpoint) { c.Previous.SHA256 = greffe.DigestOf(nil) })
		}, []want{{CheckSeals, 909, evidence.KindCheckpoint}, {CheckPrevious, 909, evidence.KindCheckpoint}}},
		"a deleted line of the journal": {func(t *testing.T, h *house, _ *evidence.Key) {
			h.sql(t, `DROP TRIGGER journal_no_delete; DELETE FROM journal WHERE seq = 400`)
		}, []want{{CheckChain, 401, ""}, {CheckSame, 400, evidence.KindSegment}}},
		"a deleted line that is not sealed": {func(t *testing.T, h *house, _ *evidence.Key) {
			say(t, h.db, 2)
			h.sql(t, `DROP TRIGGER journal_no_delete; DELETE FROM journal WHERE seq = 911`)
		}, []want{{CheckChain, 912, ""}}},
		"the chain rewritten from one entry on": {func(t *testing.T, h *house, _ *evidence.Key) {
			h.rewrite(t, 500, func(e *greffe.Entry) { e.Actor = "yvon" })
		}, []want{{CheckSame, 500, evidence.KindSegment}, {CheckSame, 607, evidence.KindSegment}}},
		"the clock set back": {func(t *testing.T, h *house, _ *evidence.Key) {
			h.rewrite(t, 910, func(e *greffe.Entry) { e.At = e.At.Add(-time.Hour) })
		}, []want{{CheckClock, 910, ""}}},
		"entries that are not sealed": {func(t *testing.T, h *house, _ *evidence.Key) {
			h.rewrite(t, 910, func(e *greffe.Entry) { e.At = e.At.Add(-3 * time.Hour) })
		}, []want{{CheckClock, 910, ""}, {CheckSealing, 910, ""}}},
		"a seal changed in the index": {func(t *testing.T, h *house, _ *evidence.Key) {
			h.sql(t, `UPDATE seals SET root = '' WHERE first = 304`)
		}, []want{{CheckSeals, 606, evidence.KindCheckpoint}}},
		"a seal removed from the index": {func(t *testing.T, h *house, _ *evidence.Key) {
			h.sql(t, `DELETE FROM seals WHERE first = 304`)
		}, []want{{CheckSeals, 606, evidence.KindCheckpoint}}},
		"a stranger in the journal": {func(t *testing.T, h *house, _ *evidence.Key) {
			if _, err := h.store.Put(t.Context(), "journal/readme.txt", strings.NewReader("x"), 1, greffe.DigestOf([]byte("x"))); err != nil {
				t.Fatal(err)
			}
		}, []want{{OrphanForeignKey, 0, "readme.txt"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, key, _ := sealedHouse(t)
			c.fault(t, h, key)
			rep, err := Verify(t.Context(), h.store, h.db, VerifyOptions{Keys: verifiers(t, key)})
			if err != nil {
				t.Fatal(err)
			}
			found := append(rep.Holes, rep.Surplus...)
			good := len(found) == len(c.want)
			for _, w := range c.want {
				good = good && slices.ContainsFunc(found, func(p Problem) bool {
					return p.Check == w.check && (w.entry == 0 || p.Entry == w.entry) && strings.HasSuffix(p.Key, w.key)
				})
			}
			if !good {
				t.Errorf("want %v, found\n%s", c.want, rep)
			}
			if err := reportSchema(t).Validate(asJSON(t, rep)); err != nil {
				t.Error(err)
			}
			if name == "nothing" && (rep.Checkpoints != 3 || rep.Unsealed != 1 || rep.Journal != 910) {
				t.Errorf("report:\n%s", rep)
			}
		})
	}
}

// resign replaces the n-th checkpoint by one that says something else.
func (h *house) resign(t testing.TB, n int, key *evidence.Key, change func(*evidence.Checkpoint)) {
	t.Helper()
	name := h.objectsOf(t, evidence.KindCheckpoint)[n]
	path := filepath.Join(h.dir, filepath.FromSlash(name))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, _, _ := evidence.OpenCheckpoint(b)
	change(c)
	b, err = c.Sign(key)
	if err == nil {
		err = os.Remove(path)
	}
	if err == nil {
		err = os.WriteFile(path, b, 0o400)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func verifiers(t testing.TB, keys ...*evidence.Key) []note.Verifier {
	t.Helper()
	var list []note.Verifier
	for _, k := range keys {
		v, err := evidence.ParsePublicKey(k.Public())
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}

// The newest checkpoint must be signed by the key of the configuration, whatever the
// archive holds.
func TestVerifyKnowsItsKey(t *testing.T) {
	t.Parallel()
	h, _, _ := sealedHouse(t)
	// Configured, and nothing sealed with it yet.
	next := newJournalKey(t, "essai")
	opt := VerifyOptions{Keys: verifiers(t, next)}
	rep, err := Verify(t.Context(), h.store, h.db, opt)
	if err != nil || !rep.OK() || rep.WarningCount != 1 || rep.Warnings[0].Check != CheckSignature {
		t.Errorf("before it seals: %v\n%s", err, rep)
	}
	seal := func(key *evidence.Key) {
		t.Helper()
		say(t, h.db, 1)
		if _, err := NewSealer(h.store, h.db, key, slog.New(slog.DiscardHandler)).SealAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	seal(next)
	if rep, err = Verify(t.Context(), h.store, h.db, opt); err != nil || !rep.OK() || rep.WarningCount != 0 {
		t.Errorf("after it sealed: %v\n%s", err, rep)
	}
	seal(newJournalKey(t, "essai")) // somebody else's
	if rep, err = Verify(t.Context(), h.store, h.db, opt); err != nil || rep.HoleCount != 1 || rep.Holes[0].Check != CheckSignature {
		t.Errorf("signed by another key: %v\n%s", err, rep)
	}
}

// A clock that went back is named until somebody acknowledges it, with a reason that the
// journal does not hold; then it is shown. Another one is a fault again.
func TestAcknowledgedClock(t *testing.T) {
	t.Parallel()
	h, key, _ := sealedHouse(t)
	back := func(seq int64) { h.rewrite(t, seq, func(e *greffe.Entry) { e.At = e.At.Add(-time.Hour) }) }
	back(910)
	opt := VerifyOptions{Keys: verifiers(t, key)}
	acknowledge := func(seq int64) error {
		return Acknowledge(t.Context(), h.store, h.db, opt, seq, "root", "poste-3", "NTP de Mme Kervella en panne")
	}
	if err := acknowledge(909); !errors.Is(err, ErrNothing) {
		t.Errorf("nothing was wrong there: %v", err)
	}
	if err := acknowledge(910); err != nil {
		t.Fatal(err)
	}
	rep, err := Verify(t.Context(), h.store, h.db, opt)
	if err != nil || !rep.OK() || rep.WarningCount != 1 || rep.Warnings[0].Check != CheckClock || rep.Warnings[0].Entry != 910 {
		t.Errorf("%v\n%s", err, rep)
	}
	if err := acknowledge(910); !errors.Is(err, ErrNothing) {
		t.Errorf("twice: %v", err)
	}
	e := h.entries(t, acknowledgedSubject, acknowledgedAction)
	if len(e) != 1 || e[0].Actor != "root" || e[0].From != "poste-3" || strings.Contains(e[0].Detail, "Kervella") {
		t.Errorf("%+v", e)
	}
	say(t, h.db, 1)
	back(e[0].Seq + 1)
	if rep, err = Verify(t.Context(), h.store, h.db, opt); err != nil || rep.HoleCount != 1 || rep.Holes[0].Check != CheckClock {
		t.Errorf("another one: %v\n%s", err, rep)
	}
}

// One message is proven by the seals that hold its entries; of a later day only the
// last seal is looked at. What broke elsewhere does not matter then.
func TestVerifySomeOfTheJournal(t *testing.T) {
	t.Parallel()
	h, _, list := sealedHouse(t)
	h.overwrite(t, h.objectsOf(t, evidence.KindSegment)[1], cut)
	for name, c := range map[string]struct {
		opt                VerifyOptions
		checkpoints, holes int
	}{
		"first message": {VerifyOptions{Message: list[0].ID}, 1, 0},
		"of the torn":   {VerifyOptions{Message: list[1].ID}, 1, 1},
		"last message":  {VerifyOptions{Message: list[2].ID}, 1, 0},
		"all":           {VerifyOptions{}, 3, 1},
		"from tomorrow": {VerifyOptions{JournalSince: time.Now().AddDate(0, 0, 2)}, 1, 0},
	} {
		rep, err := Verify(t.Context(), h.store, h.db, c.opt)
		if err != nil || rep.Checkpoints != c.checkpoints || rep.HoleCount != c.holes {
			t.Errorf("%s: %v, %d checkpoints\n%s", name, err, rep.Checkpoints, rep)
		}
	}
	// The same with tiles that were changed: they prove nothing, and that is said.
	h.sql(t, fmt.Sprintf(`UPDATE journal_tiles SET data = '%s' WHERE level = 0`, strings.Repeat("QUFB", 3000)))
	rep, err := Verify(t.Context(), h.store, h.db, VerifyOptions{Message: list[2].ID})
	if err != nil || rep.OK() || !slices.ContainsFunc(rep.Holes, func(p Problem) bool { return p.Check == CheckSeals }) {
		t.Errorf("%v\n%s", err, rep)
	}
}
