package storage

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"greffe/api"
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
	schema := reportSchema(t)
	for name, c := range map[string]struct {
		damage      func(t *testing.T, h *house, r greffe.Received)
		quick, full []CheckID
	}{
		"nothing":          {func(*testing.T, *house, greffe.Received) {}, nil, nil},
		"raw removed":      {func(t *testing.T, h *house, r greffe.Received) { h.overwrite(t, archive.RawKey(r.ID), remove) }, []CheckID{CheckObject}, []CheckID{CheckObject}},
		"raw cut":          {func(t *testing.T, h *house, r greffe.Received) { h.overwrite(t, archive.RawKey(r.ID), cut) }, []CheckID{CheckObjectBytes}, []CheckID{CheckObjectBytes}},
		"raw changed":      {func(t *testing.T, h *house, r greffe.Received) { h.overwrite(t, archive.RawKey(r.ID), flip) }, nil, []CheckID{CheckObjectBytes}},
		"part removed":     {func(t *testing.T, h *house, _ greffe.Received) { h.overwrite(t, content, remove) }, []CheckID{CheckObject, CheckObject}, []CheckID{CheckObject, CheckObject}},
		"part changed":     {func(t *testing.T, h *house, _ greffe.Received) { h.overwrite(t, content, flip) }, nil, []CheckID{CheckObjectBytes, CheckObjectBytes}},
		"manifest removed": {func(t *testing.T, h *house, r greffe.Received) { h.overwrite(t, archive.ManifestKey(r.ID), remove) }, []CheckID{CheckManifest}, []CheckID{CheckManifest}},
		"manifest changed": {func(t *testing.T, h *house, r greffe.Received) { h.overwrite(t, archive.ManifestKey(r.ID), flip) }, []CheckID{CheckManifestBytes}, []CheckID{CheckManifestBytes}},
		"manifest is other": {func(t *testing.T, h *house, r greffe.Received) {
			h.overwrite(t, archive.ManifestKey(r.ID), func([]byte) []byte { return []byte("{}") })
		}, []CheckID{CheckManifestBytes}, []CheckID{CheckManifestBytes}},
		"a row changed": {func(t *testing.T, h *house, _ greffe.Received) {
			h.sql(t, `UPDATE message_facts SET objects_json = replace(objects_json, '"1"', '"9"')`)
		}, []CheckID{CheckRow}, []CheckID{CheckRow}},
		"a document removed from the index": {func(t *testing.T, h *house, _ greffe.Received) { h.sql(t, `DELETE FROM documents`) }, []CheckID{CheckRow, CheckState, CheckTally}, []CheckID{CheckRow, CheckState, CheckTally}},
		"a line of the journal removed": {func(t *testing.T, h *house, _ greffe.Received) {
			h.sql(t, `DROP TRIGGER journal_no_delete; DELETE FROM journal WHERE seq = 1`)
		}, []CheckID{CheckChain, CheckEntries}, []CheckID{CheckChain, CheckEntries}},
		"a name changed in the index": {func(t *testing.T, h *house, _ greffe.Received) {
			h.sql(t, `INSERT INTO document_names (document_id, family, givens, birth_date, mailbox, received_at) SELECT id, 'autre', '', '', '', 0 FROM documents`)
		}, []CheckID{CheckRow}, []CheckID{CheckRow}},
		"a state changed in the index":     {func(t *testing.T, h *house, _ greffe.Received) { h.sql(t, `UPDATE documents SET state = 'intégré'`) }, []CheckID{CheckState, CheckTally, CheckTally}, []CheckID{CheckState, CheckTally, CheckTally}},
		"an identity changed in the index": {func(t *testing.T, h *house, _ greffe.Received) { h.sql(t, `UPDATE documents SET identity = 'autre'`) }, []CheckID{CheckRow}, []CheckID{CheckRow}},
		"a sender changed in the index":    {func(t *testing.T, h *house, _ greffe.Received) { h.sql(t, `UPDATE messages SET sender = 'autre'`) }, []CheckID{CheckRow}, []CheckID{CheckRow}},
		"a count changed in the index": {func(t *testing.T, h *house, _ greffe.Received) {
			h.sql(t, `UPDATE tallies SET n = n + 1 WHERE kind = 'document'`)
		}, []CheckID{CheckTally}, []CheckID{CheckTally}},
		"an entry changed": {func(t *testing.T, h *house, _ greffe.Received) {
			h.sql(t, `DROP TRIGGER journal_no_update; UPDATE journal SET actor = 'autre' WHERE seq = 2`)
		}, []CheckID{CheckChain}, []CheckID{CheckChain}},
		"an outcome without its entry": {func(t *testing.T, h *house, _ greffe.Received) {
			h.sql(t, `INSERT INTO outcomes SELECT id, 1, '{"state":"intégré","at":"2026-11-22T08:00:00Z"}' FROM documents`)
		}, []CheckID{CheckEntries, CheckState}, []CheckID{CheckEntries, CheckState}},
		"a stranger in the archive": {func(t *testing.T, h *house, _ greffe.Received) {
			for key, b := range map[string]string{"content/zz": "x", "messages/readme.txt": "x", archive.ContentKey(greffe.DigestOf([]byte("surplus"))): "surplus", "checks/probe": "x"} {
				if _, err := h.store.Put(t.Context(), key, strings.NewReader(b), int64(len(b)), greffe.DigestOf([]byte(b))); err != nil {
					t.Fatal(err)
				}
			}
		}, []CheckID{OrphanForeignKey, OrphanContent, OrphanForeignKey}, []CheckID{OrphanForeignKey, OrphanContent, OrphanForeignKey}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			r := h.receive(t, 1, raw)
			if _, err := h.storeMessage(t.Context(), parse(t, r, raw)); err != nil {
				t.Fatal(err)
			}
			c.damage(t, h, r)
			for full, want := range map[bool][]CheckID{false: c.quick, true: c.full} {
				rep, err := Verify(t.Context(), h.store, h.db, VerifyOptions{Full: full})
				if err != nil {
					t.Fatal(err)
				}
				if err := schema.Validate(asJSON(t, rep)); err != nil {
					t.Errorf("not as api/verify.schema.json says: %v", err)
				}
				var got []CheckID
				for _, p := range append(rep.Holes, rep.Surplus...) {
					if got = append(got, p.Check); p.Text == "" || !strings.Contains(rep.String(), p.Text) {
						t.Errorf("%s is not explained:\n%s", p.Check, rep)
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

// reportSchema compiles the schema of reports.
func reportSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(api.VerifySchema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("verify.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("verify.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func asJSON(t testing.TB, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// Each check has its sentences, once, and a report names every check.
func TestChecksAreExplained(t *testing.T) {
	t.Parallel()
	for _, c := range checks {
		if c.must == "" || c.broken == "" || c.todo == "" || strings.Contains(c.must+c.broken+c.todo, "'") {
			t.Errorf("%s: %+v", c.id, c)
		}
	}
	if len(place) != len(checks) {
		t.Error("a check is listed twice")
	}
	h := newHouse(t)
	if rep := h.verify(t); len(rep.Checks) != len(checks) || reportSchema(t).Validate(asJSON(t, rep)) != nil {
		t.Errorf("report %+v", rep)
	}
}

// The same seed chooses the same messages, about as many as asked for.
func TestSample(t *testing.T) {
	t.Parallel()
	const n = 20_000
	for _, part := range []float64{0.5, 5, 50} {
		a, b, other := VerifyOptions{Sample: part, Seed: 7}, VerifyOptions{Sample: part, Seed: 7}, VerifyOptions{Sample: part, Seed: 8}
		got, both := 0, 0
		for i := range uint32(n) {
			id := greffe.NewMessageID(greffe.Origin{UID: i}, "")
			if a.chosen(id) != b.chosen(id) {
				t.Fatal("not the same sample")
			}
			if a.chosen(id) {
				got++
				if other.chosen(id) {
					both++
				}
			}
		}
		want := n * part / 100
		if math.Abs(float64(got)-want) > 5*math.Sqrt(want) || float64(both) > float64(got)*part/100*2+10 {
			t.Errorf("%v %%: %d of %d, %d with another seed too", part, got, n, both)
		}
	}
}

// One message, or the messages of some days.
func TestVerifySome(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var ids []greffe.MessageID
	for uid := range uint32(3) {
		raw := sampleMail(t, uint64(uid), 1000)
		r := h.receive(t, uid+1, raw)
		if _, err := h.storeMessage(t.Context(), parse(t, r, raw)); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	h.overwrite(t, archive.RawKey(ids[1]), flip)
	day := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		opt             VerifyOptions
		messages, holes int
	}{
		"a good one":    {VerifyOptions{Full: true, Message: ids[0]}, 1, 0},
		"the bad one":   {VerifyOptions{Full: true, Message: ids[1]}, 1, 1},
		"all":           {VerifyOptions{Full: true}, 3, 1},
		"since before":  {VerifyOptions{Full: true, Since: day.AddDate(0, 0, -2)}, 3, 1},
		"since after":   {VerifyOptions{Full: true, Since: day}, 0, 0},
		"everything":    {VerifyOptions{Full: true, Sample: 100}, 3, 1},
		"hardly any":    {VerifyOptions{Full: true, Sample: 1e-9}, 0, 0},
		"without bytes": {VerifyOptions{}, 3, 0},
	} {
		rep, err := Verify(t.Context(), h.store, h.db, c.opt)
		if err != nil || rep.Messages != c.messages || rep.HoleCount != c.holes || rep.SurplusCount != 0 {
			t.Errorf("%s: %v\n%s", name, err, rep)
		}
	}
	if _, err := Verify(t.Context(), h.store, h.db, VerifyOptions{Message: greffe.NewMessageID(greffe.Origin{}, "")}); !errors.Is(err, index.ErrNotFound) {
		t.Errorf("a message that is nowhere: %v", err)
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
	if rep.HoleCount != n || rep.Holes[0].Check != CheckIndexed || rep.SurplusCount != 1 || rep.Surplus[0].Check != OrphanMessage {
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
