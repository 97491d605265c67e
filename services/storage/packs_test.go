package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// proving makes the house one that builds packs.
func (h *house) proving(t *testing.T) {
	t.Helper()
	h.cfg.Packs = Packs{Dir: t.TempDir()}
	packDefaults(&h.cfg.Packs)
	h.cfg.Sealer = NewSealer(h.store, h.db, newJournalKey(t, "essai"), h.log)
}

// want asks for a pack.
func (h *house) want(t *testing.T, items ...index.PackItem) string {
	t.Helper()
	p := index.Pack{ID: rand.Text(), Requester: "paul", From: "192.0.2.7", Reason: "dossier 12", Kind: "selection", Messages: len(items), State: index.PackQueued}
	if err := h.db.AskPack(t.Context(), p, items); err != nil {
		t.Fatal(err)
	}
	return p.ID
}

func (h *house) pack(t *testing.T, id string) index.Pack {
	t.Helper()
	p, err := h.db.Pack(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// taken is what the requester downloads.
func (h *house) taken(t *testing.T, p index.Pack) []byte {
	t.Helper()
	r, err := h.bus.OpenPack(t.Context(), p.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	covered, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(covered, []byte("manifest.json")) || bytes.Contains(covered, []byte("%PDF")) {
		t.Error("the bus holds a pack that anybody can read")
	}
	u, err := archive.Uncover(p.CoverKey, bytes.NewReader(covered))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(u)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The pack that the service builds is one that verifies, and the journal says who it is for.
func TestPackIsBuilt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.proving(t)
	one, two := h.archived(t, 1, sampleMail(t, 1, 3000)), h.archived(t, 2, sampleMail(t, 2, 3000))
	if len(one.Documents) == 0 {
		t.Fatal("the sample has no document")
	}
	id := h.want(t, index.PackItem{Message: one.ID, Document: one.Documents[0].ID}, index.PackItem{Message: two.ID})
	if err := h.packNext(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := h.pack(t, id)
	if p.State != index.PackReady || p.Verdict == string(evidence.StatusKO) || p.Done != 2 || p.Expires.Sub(p.Built) != h.cfg.Packs.Keep {
		t.Fatalf("%+v", p)
	}
	b := h.taken(t, p)
	if int64(len(b)) != p.Size || greffe.DigestOf(b) != p.SHA256 {
		t.Errorf("%d bytes %s, said to be %d %s", len(b), greffe.DigestOf(b), p.Size, p.SHA256)
	}
	v, err := evidence.ParsePublicKey(h.cfg.Sealer.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	rep, err := evidence.VerifyPack(t.Context(), bytes.NewReader(b), int64(len(b)), evidence.Trust{Keys: []note.Verifier{v}}, nil)
	if err != nil || rep.Verdict == evidence.StatusKO || len(rep.Record.Messages) != 2 || rep.Record.Scope.Kind != "selection" {
		t.Errorf("%+v, %v", rep, err)
	}
	for _, subject := range []string{string(one.Documents[0].ID), string(two.ID)} {
		list := h.entries(t, subject, "exported")
		if len(list) != 1 || list[0].Actor != "paul" || list[0].From != "192.0.2.7" || list[0].Detail != "prove "+id {
			t.Errorf("the journal says of %s: %+v", subject, list)
		}
	}
	if list := h.entries(t, id, "pack-built"); len(list) != 1 {
		t.Errorf("the journal says of the pack: %+v", list)
	}
	if left, err := os.ReadDir(h.cfg.Packs.Dir); err != nil || len(left) != 0 {
		t.Errorf("left on the disk: %v, %v", left, err)
	}
	// After its time it goes, and what uncovers it before that.
	if err := h.tidyPacks(t.Context(), p.Expires.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if p = h.pack(t, id); p.State != index.PackExpired || p.CoverKey != "" || !p.Stored {
		t.Errorf("after its time: %+v", p)
	}
	if err := h.packNext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.bus.OpenPack(t.Context(), id); !errors.Is(err, bus.ErrNotFound) || h.pack(t, id).Stored {
		t.Errorf("its bytes: %v", err)
	}
	if list := h.entries(t, id, "pack-expired"); len(list) != 1 {
		t.Errorf("the journal says of its end: %+v", list)
	}
	h.verify(t)
}

// A pack whose building was cut short is built again, and the journal tells once what left.
func TestPackSurvivesACrash(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.proving(t)
	d := h.archived(t, 1, sampleMail(t, 1, 3000))
	id := h.want(t, index.PackItem{Message: d.ID})
	sealer := h.cfg.Sealer
	ctx, crash := context.WithCancel(t.Context())
	h.cfg.Sealer = NewSealer(cutStore{h.store, func() { crash() }}, h.db, sealer.key, h.log)
	if err := h.packNext(ctx); err == nil {
		t.Fatal("the crash went by unseen")
	}
	if p := h.pack(t, id); p.State != index.PackBuilding || !p.Noted {
		t.Fatalf("after the crash: %+v", p)
	}
	h.cfg.Sealer = sealer
	if err := h.packNext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := h.pack(t, id); p.State != index.PackReady || len(h.taken(t, p)) == 0 {
		t.Errorf("after the next start: %+v", p)
	}
	if list := h.entries(t, string(d.ID), "exported"); len(list) != 1 {
		t.Errorf("%d entries say that it was exported", len(list))
	}
}

// cutStore cuts the work short when the first object is opened for it.
type cutStore struct {
	archive.Store
	cut func()
}

func (s cutStore) Open(ctx context.Context, o greffe.Object) (io.ReadSeekCloser, error) {
	if strings.HasPrefix(o.Key, archive.MessagesPrefix) {
		s.cut()
		return nil, fmt.Errorf("cut: %w", context.Canceled)
	}
	return s.Store.Open(ctx, o)
}

// Each failure is told with what to do; what cannot pass ends the request.
func TestPackFailuresAreTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage func(t *testing.T, h *house)
		want   string
	}{
		"too large": {func(t *testing.T, h *house) { h.cfg.Packs.Size = 1 << 10 }, "proofs.size"},
		"gone":      {func(t *testing.T, h *house) { h.sql(t, `DELETE FROM documents`); h.sql(t, `DELETE FROM messages`) }, "Refaites la recherche"},
		"forked": {func(t *testing.T, h *house) {
			h.cfg.Sealer = NewSealer(h.store, h.db, newJournalKey(t, "autre"), h.log)
		}, "greffe verify"},
		"never answers": {func(t *testing.T, h *house) { h.store.Close(); h.sql(t, `UPDATE packs SET tries = 500`) }, "greffe check"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.proving(t)
			d := h.archived(t, 1, sampleMail(t, 1, 3000))
			if _, err := h.cfg.Sealer.SealAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			id := h.want(t, index.PackItem{Message: d.ID})
			c.damage(t, h)
			if err := h.packNext(t.Context()); err != nil {
				t.Fatal(err)
			}
			if p := h.pack(t, id); p.State != index.PackFailed || !strings.Contains(p.Problem, c.want) {
				t.Errorf("%s: %q", p.State, p.Problem)
			}
			if list := h.entries(t, id, "pack-failed"); len(list) != 1 {
				t.Errorf("the journal says: %+v", list)
			}
		})
	}
}

// A pack that is cancelled while it is built leaves nothing.
func TestPackIsCancelledWhileItIsBuilt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.proving(t)
	d := h.archived(t, 1, sampleMail(t, 1, 3000))
	id := h.want(t, index.PackItem{Message: d.ID})
	cancel := func() {
		err := h.db.ChangePack(context.WithoutCancel(t.Context()), id, func(p *index.Pack) ([]index.Entry, error) { p.State = index.PackCancelled; return nil, nil })
		if err != nil {
			t.Error(err)
		}
	}
	h.cfg.Sealer = NewSealer(onOpen{h.store, cancel}, h.db, h.cfg.Sealer.key, h.log)
	for range 2 { // to build it, then to remove what is left
		if err := h.packNext(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if p := h.pack(t, id); p.State != index.PackCancelled || p.Stored || p.CoverKey != "" {
		t.Errorf("%+v", p)
	}
	if _, err := h.bus.OpenPack(t.Context(), id); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("its bytes: %v", err)
	}
}

// onOpen does something whenever an object is opened.
type onOpen struct {
	archive.Store
	f func()
}

func (s onOpen) Open(ctx context.Context, o greffe.Object) (io.ReadSeekCloser, error) {
	s.f()
	return s.Store.Open(ctx, o)
}

// A verification that a person asks for reads every byte and names what is broken.
func TestCheckup(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.proving(t)
	d := h.archived(t, 1, sampleMail(t, 1, 3000))
	if _, err := h.cfg.Sealer.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	check := func() (index.Checkup, Report) {
		t.Helper()
		if _, err := h.db.AskCheckup(t.Context(), index.Checkup{ID: rand.Text(), Message: d.ID, Requester: "paul", From: "192.0.2.7"}); err != nil {
			t.Fatal(err)
		}
		if err := h.serveAll(t.Context(), "test", h.checkupDue, h.checkupNext); err != nil {
			t.Fatal(err)
		}
		c, err := h.db.LastCheckup(t.Context(), d.ID)
		if err != nil || c.Done.IsZero() {
			t.Fatalf("%+v, %v", c, err)
		}
		var r Report
		if c.Report != "" {
			if err := json.Unmarshal([]byte(c.Report), &r); err != nil {
				t.Fatal(err)
			}
		}
		return c, r
	}
	if c, r := check(); c.Problem != "" || !r.Whole || r.Objects == 0 || r.Bytes == 0 {
		t.Errorf("all is well: %+v", c)
	}
	key := d.Objects[d.Documents[0].Facts.Part].Key
	h.overwrite(t, key, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	_, r := check()
	if r.Whole || !slices.ContainsFunc(r.Holes, func(p Problem) bool { return p.Check == CheckObjectBytes && p.Key == key && p.Todo != "" }) {
		t.Errorf("a changed byte: %+v", r.Holes)
	}
	list := h.entries(t, string(d.ID), verifiedAction)
	if len(list) != 2 || list[0].Result != "ok" || list[1].Result != "broken" || !strings.Contains(list[1].Detail, string(CheckObjectBytes)) || list[1].Actor != "paul" {
		t.Errorf("the journal says: %+v", list)
	}
	if list := h.entries(t, verifiedSubject, verifiedAction); len(list) != 1 || list[0].Result != "broken" {
		t.Errorf("those who watch are told: %+v", list)
	}
	h.sql(t, `DELETE FROM documents`)
	h.sql(t, `DELETE FROM messages`)
	if err := os.RemoveAll(filepath.Join(h.dir, "messages")); err != nil {
		t.Fatal(err)
	}
	if c, _ := check(); !strings.Contains(c.Problem, "éliminé") {
		t.Errorf("a message that is gone: %q", c.Problem)
	}
}

func TestScratchLeavesNothingToRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := newScratch(dir, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := make([]byte, 0, 70_000)
	for i := range 7_000 {
		want = fmt.Appendf(want, "%09d\n", i)
	}
	for b := want; len(b) > 0; {
		n := min(len(b), 4_097)
		if _, err := s.Write(b[:n]); err != nil {
			t.Fatal(err)
		}
		b = b[n:]
	}
	if _, err := s.WriteAt([]byte("header"), 33_333); err != nil {
		t.Fatal(err)
	}
	copy(want[33_333:], "header")
	got := make([]byte, len(want))
	if _, err := io.ReadFull(io.NewSectionReader(s, 0, int64(len(want))), got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read back: %v", err)
	}
	if _, err := s.ReadAt(got[:100], 12_345); err != nil || !bytes.Equal(got[:100], want[12_345:12_445]) {
		t.Errorf("read from within: %v", err)
	}
	raw := make([]byte, len(want))
	if _, err := s.f.ReadAt(raw, 0); err != nil || bytes.Contains(raw, []byte("0000001")) || bytes.Contains(raw, []byte("header")) {
		t.Errorf("the disk holds what was written, or %v", err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("a name on the disk: %v, %v", list, err)
	}
	if _, err := s.Write(make([]byte, 40_000)); !errors.Is(err, errFull) {
		t.Errorf("over the limit: %v", err)
	}
}
