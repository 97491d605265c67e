package storage

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// overwrite changes a file of the archive behind its back.
func (h *house) overwrite(t *testing.T, key string, change func([]byte) []byte) {
	t.Helper()
	name := filepath.Join(h.dir, filepath.FromSlash(key))
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if b = change(b); b == nil {
		return
	}
	if err := os.WriteFile(name, b, 0o400); err != nil {
		t.Fatal(err)
	}
}

func remove([]byte) []byte { return nil }
func flip(b []byte) []byte { b[len(b)/2] ^= 1; return b }
func cut(b []byte) []byte  { return b[:len(b)-1] }

// Each damage is found and named; what only a full reading can see is found by it.
func TestVerifyNamesTheDamage(t *testing.T) {
	t.Parallel()
	pdf := fakePDF(7, 20_000)
	raw := fakeMail(pdf, fakeZip(t, fakeCDA(pdf), []byte("lisez-moi")))
	content := archive.ContentKey(greffe.DigestOf(pdf))
	for name, c := range map[string]struct {
		damage      func(t *testing.T, h *house, r greffe.Received)
		quick, full []Kind
	}{
		"nothing":          {func(*testing.T, *house, greffe.Received) {}, nil, nil},
		"raw removed":      {func(t *testing.T, h *house, r greffe.Received) { h.overwrite(t, archive.RawKey(r.ID), remove) }, []Kind{MissingObject}, []Kind{MissingObject}},
		"raw cut":          {func(t *testing.T, h *house, r greffe.Received) { h.overwrite(t, archive.RawKey(r.ID), cut) }, []Kind{DamagedObject}, []Kind{DamagedObject}},
		"raw changed":      {func(t *testing.T, h *house, r greffe.Received) { h.overwrite(t, archive.RawKey(r.ID), flip) }, nil, []Kind{DamagedObject}},
		"part removed":     {func(t *testing.T, h *house, _ greffe.Received) { h.overwrite(t, content, remove) }, []Kind{MissingObject, MissingObject}, []Kind{MissingObject, MissingObject}},
		"part changed":     {func(t *testing.T, h *house, _ greffe.Received) { h.overwrite(t, content, flip) }, nil, []Kind{DamagedObject, DamagedObject}},
		"manifest removed": {func(t *testing.T, h *house, r greffe.Received) { h.overwrite(t, archive.ManifestKey(r.ID), remove) }, []Kind{MissingManifest}, []Kind{MissingManifest}},
		"manifest changed": {func(t *testing.T, h *house, r greffe.Received) { h.overwrite(t, archive.ManifestKey(r.ID), flip) }, []Kind{DamagedManifest}, []Kind{DamagedManifest}},
		"manifest is other": {func(t *testing.T, h *house, r greffe.Received) {
			h.overwrite(t, archive.ManifestKey(r.ID), func([]byte) []byte { return []byte("{}") })
		}, []Kind{DamagedManifest}, []Kind{DamagedManifest}},
		"a row changed": {func(t *testing.T, h *house, _ greffe.Received) {
			h.sql(t, `UPDATE message_facts SET objects_json = replace(objects_json, '"1"', '"9"')`)
		}, []Kind{IndexDiffers}, []Kind{IndexDiffers}},
		"a document removed from the index": {func(t *testing.T, h *house, _ greffe.Received) { h.sql(t, `DELETE FROM documents`) }, []Kind{IndexDiffers}, []Kind{IndexDiffers}},
		"a line of the journal removed": {func(t *testing.T, h *house, _ greffe.Received) {
			h.sql(t, `DROP TRIGGER journal_no_delete; DELETE FROM journal WHERE seq = 1`)
		}, []Kind{BrokenJournal}, []Kind{BrokenJournal}},
		"a stranger in the archive": {func(t *testing.T, h *house, _ greffe.Received) {
			for key, b := range map[string]string{"content/zz": "x", "messages/readme.txt": "x", archive.ContentKey(greffe.DigestOf([]byte("surplus"))): "surplus", "checks/probe": "x"} {
				if _, err := h.store.Put(t.Context(), key, strings.NewReader(b), int64(len(b)), greffe.DigestOf([]byte(b))); err != nil {
					t.Fatal(err)
				}
			}
		}, []Kind{OrphanForeignKey, OrphanContent, OrphanForeignKey}, []Kind{OrphanForeignKey, OrphanContent, OrphanForeignKey}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			r := h.receive(t, 1, raw)
			if _, err := h.storeMessage(t.Context(), parse(t, r, raw)); err != nil {
				t.Fatal(err)
			}
			c.damage(t, h, r)
			for full, want := range map[bool][]Kind{false: c.quick, true: c.full} {
				rep, err := Verify(t.Context(), h.store, h.db, VerifyOptions{Full: full})
				if err != nil {
					t.Fatal(err)
				}
				var got []Kind
				for _, p := range append(rep.Holes, rep.Surplus...) {
					if got = append(got, p.Kind); p.Text == "" || !strings.Contains(rep.String(), p.Text) {
						t.Errorf("%s is not explained:\n%s", p.Kind, rep)
					}
				}
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("full %v: found %v, want %v", full, got, want)
				}
				if rep.OK() != (rep.HoleCount == 0) || rep.HoleCount != len(rep.Holes) {
					t.Errorf("report %+v", rep)
				}
			}
		})
	}
}

// sql changes the index behind its back.
func (h *house) sql(t *testing.T, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", h.file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

// A lost index: every message is named, and nothing it holds is called surplus.
func TestVerifyWithoutIndex(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const n = 5
	for uid := range uint32(n) {
		raw := sampleMail(t, uint64(uid), 1000)
		r := h.receive(t, uid+1, raw)
		if _, err := h.storeMessage(t.Context(), parse(t, r, raw)); err != nil {
			t.Fatal(err)
		}
	}
	// One that was only kept.
	raw := fakeMail()
	if _, err := h.keep(t.Context(), h.receive(t, 99, raw)); err != nil {
		t.Fatal(err)
	}
	empty, err := index.Open(t.Context(), filepath.Join(t.TempDir(), "empty.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	rep, err := Verify(t.Context(), h.store, empty, VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if rep.HoleCount != n || rep.Holes[0].Kind != NotIndexed || rep.SurplusCount != 1 || rep.Surplus[0].Kind != OrphanMessage {
		t.Errorf("verify:\n%s", rep)
	}
	// With its index, only the kept one waits.
	calls, last := 0, 0
	rep, err = Verify(t.Context(), h.store, h.db, VerifyOptions{Progress: func(done, total int) {
		if calls++; done != last+1 || total != n+1 {
			t.Errorf("progress %d of %d", done, total)
		}
		last = done
	}})
	if err != nil || !rep.OK() || rep.Pending != 1 || rep.Messages != n+1 || calls != n+1 {
		t.Errorf("verify: %v\n%s", err, rep)
	}
	var again Report
	b, err := json.Marshal(rep)
	if err != nil || json.Unmarshal(b, &again) != nil || again.Messages != rep.Messages {
		t.Errorf("as JSON: %s, %v", b, err)
	}
	if bytes.Contains(b, []byte("a@b.example")) {
		t.Error("the report names a mailbox")
	}
}

// BenchmarkVerify reads messages of 300 KB again in full.
func BenchmarkVerify(b *testing.B) {
	h := newHouse(b)
	for uid := range uint32(200) {
		raw := sampleMail(b, uint64(uid), 110_000)
		r := h.receive(b, uid+1, raw)
		if _, err := h.storeMessage(b.Context(), parse(b, r, raw)); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for b.Loop() {
		rep, err := Verify(b.Context(), h.store, h.db, VerifyOptions{Full: true})
		if err != nil || !rep.OK() {
			b.Fatalf("%v\n%s", err, rep)
		}
		b.SetBytes(rep.Bytes)
	}
}
