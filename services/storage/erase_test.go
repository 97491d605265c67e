package storage

import (
	"bytes"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// lockedHouse is a house whose archive is encrypted and locks for a minute; enc is its
// store, under which every change of the archive passes f.
type lockedHouse struct {
	*house
	enc *archive.Encrypted
	f   *faulty
}

func newLockedHouse(t testing.TB) *lockedHouse {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "archive")
	inner, err := archive.OpenDir(dir, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	text, err := archive.NewMaster()
	if err != nil {
		t.Fatal(err)
	}
	masters, err := archive.ParseMasters(text)
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{Store: inner, step: step{n: -1}}
	enc, err := archive.Encrypt(f, masters, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	h := &lockedHouse{house: newHouseOn(t, enc), enc: enc, f: f}
	h.dir = dir
	return h
}

// failAt makes the n-th change of the archive from now on fail; -1 none.
func (h *lockedHouse) failAt(n int, stored bool) {
	h.f.mu.Lock()
	h.f.puts, h.f.step = 0, step{n, stored}
	h.f.mu.Unlock()
}

// problems returns which checks of Verify failed.
func (h *lockedHouse) problems(t *testing.T, full bool) (ids []CheckID) {
	t.Helper()
	r, err := Verify(t.Context(), h.store, h.db, VerifyOptions{Full: full})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Holes {
		if !slices.Contains(ids, p.Check) {
			ids = append(ids, p.Check)
		}
	}
	slices.Sort(ids)
	return ids
}

// Two persons erase a message that is still locked: nobody can read it any more, what it
// shares stays, and verify says that it was erased, not that it is damaged.
func TestErase(t *testing.T) {
	t.Parallel()
	h := newLockedHouse(t)
	a, b := h.archived(t, 1, sampleMail(t, 1, 500)), h.archived(t, 2, sampleMail(t, 2, 500))
	ids := []greffe.MessageID{a.ID, b.ID}
	if _, bad, err := AskErasure(t.Context(), h.enc, h.db, ids, "alice", false, nil); err != nil || len(bad) != 2 || !strings.Contains(bad[0].Text, "en cours de traitement") {
		t.Errorf("before they are settled: %+v, %v", bad, err)
	}
	h.settled(t, a)
	h.settled(t, b)
	h.archived(t, 3, sampleMail(t, 3, 500)) // all three share a text and a picture
	locks := NewLocks(h.store, h.db)
	if _, err := locks.Hold(t.Context(), b, true, "alice", "x", false); err != nil {
		t.Fatal(err)
	}
	if e, _, err := AskErasure(t.Context(), h.enc, h.db, ids[:1], "alice", true, nil); err != nil || e.ID != "" || len(e.Messages) != 1 {
		t.Errorf("dry: %+v, %v", e, err)
	}
	if _, bad, err := AskErasure(t.Context(), h.enc, h.db, ids[1:], "alice", false, nil); err != nil || len(bad) != 1 || !strings.Contains(bad[0].Text, "gelé") {
		t.Errorf("a held message: %+v, %v", bad, err)
	}
	e, bad, err := AskErasure(t.Context(), h.enc, h.db, ids[:1], "alice", false, nil)
	if err != nil || len(e.Messages) != 1 || e.Messages[0].ID != a.ID || len(bad) != 0 {
		t.Fatalf("%+v, %+v, %v", e, bad, err)
	}
	if _, _, err := Erase(t.Context(), h.enc, h.db, e.ID, "Alice", 0, nil); !errors.Is(err, index.ErrSamePerson) {
		t.Errorf("confirmed by who asked: %v", err)
	}
	if _, _, err := Erase(t.Context(), h.enc, h.db, e.ID, "bob", time.Hour, nil); !errors.Is(err, ErrNotYet) || !strings.Contains(err.Error(), "à partir du") {
		t.Errorf("confirmed too early: %v", err)
	}
	if _, _, err := Eliminate(t.Context(), h.enc, h.db, e.ID, "bob", nil); !errors.Is(err, ErrKind) {
		t.Errorf("confirmed as an elimination: %v", err)
	}
	if _, err := archive.ReadManifest(t.Context(), h.store, a.Manifest); err != nil {
		t.Fatalf("something was erased: %v", err)
	}
	h.verify(t)
	done, certificate, err := Erase(t.Context(), h.enc, h.db, e.ID, "bob", 0, nil)
	if err != nil || done.Kind != index.KindErasure || done.Certified.IsZero() || certificate.Key != archive.CertificateKey(e.ID) {
		t.Fatalf("%+v, %+v, %v", done, certificate, err)
	}
	kept := 0
	for _, o := range done.Messages[0].Objects {
		_, err := h.store.Open(t.Context(), o.Object)
		_, erased := errors.AsType[*archive.ErasedError](err)
		if o.Kept == "shared" {
			if kept++; err != nil {
				t.Errorf("%s, which others name: %v", o.Key, err)
			}
			continue
		}
		if !erased {
			t.Errorf("%s: %v, want erased", o.Key, err)
		}
		if _, err := os.Stat(filepath.Join(h.dir, filepath.FromSlash(o.Key)+".age")); err != nil {
			t.Errorf("the locked object is gone: %v", err)
		}
		if _, err := os.Stat(filepath.Join(h.dir, "keys", filepath.FromSlash(o.Key)+".age")); !os.IsNotExist(err) {
			t.Errorf("the key is still there: %v", err)
		}
	}
	if kept == 0 || kept == len(done.Messages[0].Objects) {
		t.Errorf("%d objects were kept", kept)
	}
	h.traces(t, a.ID)
	for action, subject := range map[string]string{"erasure-asked": e.ID, "erasure-confirmed": e.ID, "erased": string(a.ID), "erasure-certified": e.ID} {
		if len(h.entries(t, subject, action)) != 1 {
			t.Errorf("%d entries %s about %s", len(h.entries(t, subject, action)), action, subject)
		}
	}
	rep := h.verify(t)
	if rep.Erased != 1 || len(rep.Erasures) != 1 || rep.Erasures[0].Message != a.ID || !strings.Contains(rep.String(), "effacé le") || rep.SurplusCount != 0 {
		t.Errorf("%s", rep)
	}
	one, err := Verify(t.Context(), h.store, h.db, VerifyOptions{Full: true, Message: a.ID})
	if err != nil || !one.OK() || one.Erased != 1 || !strings.Contains(one.String(), certificate.Key) {
		t.Errorf("%v\n%s", err, one)
	}
	// The same mail fetched once more, from a mailbox that forgot it, is not stored again:
	// a person is told.
	raw := sampleMail(t, 1, 500)
	r := h.receive(t, 1, raw)
	for what, err := range map[string]error{"keep": h.onReceived(t.Context(), r), "store": second(h.onParsed(t.Context(), parse(t, r, raw)))} {
		if _, erased := errors.AsType[*archive.ErasedError](err); !erased || !errors.Is(err, bus.ErrPermanent) {
			t.Errorf("%s of what was erased: %v", what, err)
		}
	}
	// Sent again, it is another message, and whole.
	again := h.archived(t, 9, raw)
	if m, err := archive.ReadManifest(t.Context(), h.store, again.Manifest); err != nil || len(m.Objects) != len(again.Objects) {
		t.Errorf("%v", err)
	}
	h.verify(t)
	second := func(_ Elimination, o greffe.Object, err error) (greffe.Object, error) { return o, err }
	if o, err := second(Erase(t.Context(), h.enc, h.db, e.ID, "carol", time.Hour, nil)); err != nil || o != certificate {
		t.Errorf("the repeat: %+v, %v", o, err)
	}

	// Rebuilt, the index does not know it either.
	key := newJournalKey(t, "example")
	if _, err := NewSealer(h.store, h.db, key, slog.New(slog.DiscardHandler)).SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	db, err := index.OpenToRebuild(t.Context(), filepath.Join(t.TempDir(), "index.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	got, err := Reindex(t.Context(), h.store, db, ReindexOptions{})
	if err != nil || !got.OK() || got.Erased != 1 || got.Asked != 1 || len(got.Damaged) != 0 || got.Messages != 3 || got.Received != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := db.Message(t.Context(), a.ID); !errors.Is(err, index.ErrNotFound) {
		t.Errorf("it came back: %v", err)
	}
	if at, order, err := db.Erased(t.Context(), a.ID); err != nil || order != e.ID || time.Since(at) > time.Hour {
		t.Errorf("%v %s %v", at, order, err)
	}
}

func second[T any](_ T, err error) error { return err }

// What begins to share between the request and its confirmation stays readable.
func TestEraseWhileTheSameArrives(t *testing.T) {
	t.Parallel()
	h := newLockedHouse(t)
	pdf := fakePDF(5, 500)
	a := h.archived(t, 1, fakeMail(pdf))
	h.settled(t, a)
	e, bad, err := AskErasure(t.Context(), h.enc, h.db, []greffe.MessageID{a.ID}, "alice", false, nil)
	if err != nil || len(bad) != 0 {
		t.Fatal(bad, err)
	}
	// Its bytes are stored, and its manifest comes only after the keys are destroyed.
	o, err := h.store.Put(t.Context(), archive.ContentKey(greffe.DigestOf(pdf)), bytes.NewReader(pdf), int64(len(pdf)), greffe.DigestOf(pdf))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Erase(t.Context(), h.enc, h.db, e.ID, "bob", 0, nil); err != nil {
		t.Fatal(err)
	}
	if err := readBack(t.Context(), h.store, o); err != nil {
		t.Errorf("another message lost its part: %v", err)
	}
	b := h.archived(t, 2, fakeMail(pdf))
	if len(b.Objects) != len(a.Objects) {
		t.Errorf("%+v", b.Objects)
	}
	h.verify(t)
}

// Each step of storing and of erasing fails twice; the repeat ends it, and verify judges.
func TestEncryptedFaults(t *testing.T) {
	t.Parallel()
	h := newLockedHouse(t)
	uid, failed := uint32(0), 0
	for _, stored := range []bool{false, true} {
		for n := range 18 {
			uid++
			raw := sampleMail(t, uint64(uid), 300)
			r := h.receive(t, uid, raw)
			p := parse(t, r, raw)
			h.failAt(n, stored)
			if _, err := h.storeMessage(t.Context(), p); err != nil {
				if !errors.Is(err, errStep) {
					t.Errorf("store, step %d: %v", n, err)
				}
				failed++
			}
			h.failAt(-1, false)
			if _, err := h.storeMessage(t.Context(), p); err != nil {
				t.Errorf("the repeat of store after step %d: %v", n, err)
			}
			d, err := h.db.Message(t.Context(), r.ID)
			if err != nil {
				t.Fatal(err)
			}
			h.settled(t, d)
			h.failAt(n, stored)
			e, _, err := AskErasure(t.Context(), h.enc, h.db, []greffe.MessageID{r.ID}, "alice", false, nil)
			if err != nil {
				failed++
				h.failAt(-1, false)
				// What was asked and not noted in full cannot be confirmed.
				if _, _, err := Erase(t.Context(), h.enc, h.db, e.ID, "bob", 0, nil); err != nil && !errors.Is(err, ErrNotYet) {
					t.Errorf("confirmed after step %d: %v", n, err)
				} else if err == nil && !stored {
					t.Errorf("confirmed what was not asked in full, step %d", n)
				} else if err == nil {
					continue
				}
				if e, _, err = AskErasure(t.Context(), h.enc, h.db, []greffe.MessageID{r.ID}, "alice", false, nil); err != nil {
					t.Fatal(err)
				}
			}
			h.failAt(n, stored)
			if _, _, err := Erase(t.Context(), h.enc, h.db, e.ID, "bob", 0, nil); err != nil {
				if !errors.Is(err, errStep) {
					t.Errorf("erase, step %d: %v", n, err)
				}
				failed++
				if got := h.problems(t, false); len(got) > 1 || len(got) == 1 && got[0] != CheckErased {
					t.Errorf("interrupted at step %d, verify names %v", n, got)
				}
			}
			h.failAt(-1, false)
			if _, _, err := Erase(t.Context(), h.enc, h.db, e.ID, "bob", 0, nil); err != nil {
				t.Errorf("the repeat of erase after step %d: %v", n, err)
			}
		}
	}
	if failed < 40 {
		t.Errorf("only %d steps failed", failed)
	}
	if rep := h.verify(t); rep.Erased != int(uid) || rep.SurplusCount > 2 { // the two parts that all of them shared
		t.Errorf("%d erased of %d, %s", rep.Erased, uid, rep)
	}
}

// A key that is missing, damaged or destroyed without a certificate is found and named.
func TestVerifyFindsLostKeys(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(h *lockedHouse, d index.Detail) error
		want  CheckID
	}{
		"a missing key": {func(h *lockedHouse, d index.Detail) error { return os.Remove(h.keyFile(aPart(d))) }, CheckKey},
		"a damaged key": {func(h *lockedHouse, d index.Detail) error {
			os.Chmod(h.keyFile(d.Raw.Key), 0o600)
			return os.Truncate(h.keyFile(d.Raw.Key), 100)
		}, CheckKey},
		"the key of a manifest": {func(h *lockedHouse, d index.Detail) error { return os.Remove(h.keyFile(d.Manifest.Key)) }, CheckKey},
		"a forged erasure": {func(h *lockedHouse, d index.Detail) error {
			name := h.keyFile(d.Raw.Key)
			return errors.Join(os.WriteFile(name+".erased", []byte("greffe-erased/1 20261123abcdefghij\n"), 0o400), os.Remove(name))
		}, CheckErased},
		"a changed object": {func(h *lockedHouse, d index.Detail) error {
			name := filepath.Join(h.dir, filepath.FromSlash(aPart(d))+".age")
			b, err := os.ReadFile(name)
			b[len(b)-3] ^= 1
			os.Chmod(name, 0o600)
			return errors.Join(err, os.WriteFile(name, b, 0o400))
		}, CheckObjectBytes},
		"a missing object": {func(h *lockedHouse, d index.Detail) error {
			return os.Remove(filepath.Join(h.dir, filepath.FromSlash(aPart(d))+".age"))
		}, CheckObject},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newLockedHouse(t)
			d := h.archived(t, 1, fakeMail(fakePDF(5, 500)))
			h.archived(t, 2, sampleMail(t, 2, 500))
			if err := c.spoil(h, d); err != nil {
				t.Fatal(err)
			}
			for _, full := range []bool{false, true} {
				if got := h.problems(t, full); !slices.Equal(got, []CheckID{c.want}) && (full || c.want != CheckObjectBytes) {
					t.Errorf("full %v: verify names %v, want %s", full, got, c.want)
				}
			}
		})
	}
}

func (h *lockedHouse) keyFile(key string) string {
	return filepath.Join(h.dir, "keys", filepath.FromSlash(key)+".age")
}

// aPart returns the key of a part of a message.
func aPart(d index.Detail) string {
	return d.Objects[slices.Max(slices.Collect(maps.Keys(d.Objects)))].Key
}
