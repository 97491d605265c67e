package storage

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/pkg/sandbox"
)

func TestStoreKeepsEveryPart(t *testing.T) {
	t.Parallel()
	t.Run("directory", func(t *testing.T) { t.Parallel(); testStoreKeepsEveryPart(t, newHouse(t)) })
	t.Run("S3", func(t *testing.T) { t.Parallel(); testStoreKeepsEveryPart(t, newHouseS3(t)) })
}

func testStoreKeepsEveryPart(t *testing.T, h *house) {
	raw := sampleMail(t, 1, 2<<20) // the archive is held in a file
	r := h.receive(t, 1, raw)
	p := parse(t, r, raw)
	if got, want := paths(p), "1 2 3 3!0 3!0#0 3!1"; got != want {
		t.Fatalf("parts %q, want %q", got, want)
	}
	a, err := h.storeMessage(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if a.ID != r.ID || len(a.Documents) != 1 || a.State != greffe.StateArchived || a.Spool != r.Spool {
		t.Errorf("archived %+v", a)
	}
	m, err := archive.ReadManifest(t.Context(), h.store, a.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range p.Parts {
		if err := readBack(t.Context(), h.store, m.Objects[part.Path]); err != nil {
			t.Errorf("part %s: %v", part.Path, err)
		}
	}
	// The PDF came twice, as an attachment and inside the CDA: stored once.
	if m.Objects["2"] != m.Objects["3!0#0"] {
		t.Errorf("the same bytes are at %+v and %+v", m.Objects["2"], m.Objects["3!0#0"])
	}
	if rep := h.verify(t); rep.Messages != 1 || rep.Objects != 6 || rep.SurplusCount != 0 {
		t.Errorf("verify:\n%s", rep)
	}
}

// An archive inside an archive is opened by the second reading as by the first.
func TestStoreKeepsArchivesInArchives(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	pdf := fakePDF(7, 2<<20) // both archives are held in files
	raw := fakeMail(fakeZip(t, []byte("lisez-moi"), fakeZip(t, fakeCDA(pdf), []byte("notice"))))
	p := parse(t, h.receive(t, 1, raw), raw)
	if got, want := paths(p), "1 2 2!0 2!1 2!1!0 2!1!0#0 2!1!1"; got != want {
		t.Fatalf("parts %q, want %q", got, want)
	}
	a, err := h.storeMessage(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	m, err := archive.ReadManifest(t.Context(), h.store, a.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	if o := m.Objects["2!1!0#0"]; o.SHA256 != greffe.DigestOf(pdf) {
		t.Errorf("the innermost part is %+v", o)
	}
	h.verify(t)
}

// So is a document inside a document, and a compressed file is stored as what it is.
func TestStoreKeepsDocumentsInDocuments(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	pdf := fakePDF(3, 1<<10)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(pdf)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	inner := bytes.Replace(fakeCDA(packed.Bytes()), []byte(`representation="B64"`), []byte(`representation="B64" compression="GZ"`), 1)
	raw := fakeMail(fakeZip(t, fakeCDA(inner), []byte("notice")))
	p := parse(t, h.receive(t, 1, raw), raw)
	if got, want := paths(p), "1 2 2!0 2!0#0 2!0#0#0 2!1"; got != want {
		t.Fatalf("parts %q, want %q", got, want)
	}
	a, err := h.storeMessage(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	m, err := archive.ReadManifest(t.Context(), h.store, a.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	if o := m.Objects["2!0#0#0"]; o.SHA256 != greffe.DigestOf(pdf) {
		t.Errorf("the innermost file is %+v", o)
	}
	h.verify(t)
}

func TestEventsFlow(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	archived := make(chan greffe.Archived, 10)
	watching := make(chan error, 1)
	go func() {
		watching <- bus.Consume(ctx, h.bus, bus.Archived, bus.Consumer{Name: "test"}, func(_ context.Context, a greffe.Archived) error {
			archived <- a
			return nil
		})
	}()
	raw := sampleMail(t, 2, 10_000)
	r := h.receive(t, 1, raw)
	refused := greffe.Received{
		ID: greffe.NewMessageID(greffe.Origin{UID: 9}, ""), Size: 1 << 33, At: time.Now().UTC(),
		Refused: &greffe.Finding{Rule: "fetcher.size", Severity: greffe.Refuse, Text: "Trop grand."},
	}
	for _, e := range []greffe.Received{r, refused} {
		if err := bus.Publish(ctx, h.bus, bus.Received, e); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range []greffe.Parsed{parse(t, r, raw), {Received: refused, Message: greffe.Message{Kind: greffe.KindUnread}, Verdict: greffe.VerdictRefused, Findings: []greffe.Finding{*refused.Refused}}} {
		if err := bus.Publish(ctx, h.bus, bus.Parsed, e); err != nil {
			t.Fatal(err)
		}
	}
	states := map[greffe.MessageID]greffe.State{}
	for range 2 {
		select {
		case a := <-archived:
			states[a.ID] = a.State
		case <-time.After(30 * time.Second):
			t.Fatal("no archived event")
		}
	}
	if states[r.ID] != greffe.StateArchived || states[refused.ID] != greffe.StateTodo {
		t.Errorf("states %v", states)
	}
	waitFor(t, "the spooled copy goes", func() bool {
		f, err := h.bus.Unspool(ctx, r.Spool)
		if err == nil {
			f.Close()
		}
		return errors.Is(err, bus.ErrNotFound)
	})
	d, err := h.db.Message(ctx, refused.ID)
	if err != nil || d.Parsed == nil || len(d.Parsed.Findings) != 1 || !d.Raw.IsZero() {
		t.Errorf("the refused message in the index: %+v, %v", d, err)
	}
	cancel()
	for _, c := range []chan error{done, watching} {
		if err := <-c; err != nil {
			t.Error(err)
		}
	}
	if rep := h.verify(t); rep.Messages != 2 || rep.SurplusCount != 0 {
		t.Errorf("verify:\n%s", rep)
	}
}

// waitFor polls what another goroutine brings about and nothing announces.
func waitFor(t *testing.T, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !f() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(what + ": not within 30 s")
		}
	}
}

func TestKeep(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	raw := fakeMail()
	r := h.receive(t, 1, raw)
	first, err := h.keep(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := h.keep(t.Context(), r); err != nil || again != first {
		t.Errorf("the repeat gave %+v, %v", again, err)
	}
	// The spooled copy is gone, the archived one is there.
	if err := h.bus.Drop(t.Context(), r.Spool); err != nil {
		t.Fatal(err)
	}
	if again, err := h.keep(t.Context(), r); err != nil || again != first {
		t.Errorf("without the spooled copy: %+v, %v", again, err)
	}
	if d, err := h.db.Message(t.Context(), r.ID); err != nil || d.State != greffe.StateReceived || d.Raw != first {
		t.Errorf("in the index: %+v, %v", d, err)
	}
	// Neither is there: that is final, and said.
	lost := h.receive(t, 2, raw)
	if err := h.bus.Drop(t.Context(), lost.Spool); err != nil {
		t.Fatal(err)
	}
	err = h.onReceived(t.Context(), lost)
	if !errors.Is(err, ErrLost) || !errors.Is(err, bus.ErrPermanent) {
		t.Errorf("a lost message gives %v", err)
	}
	// The spool holds something else.
	wrong := h.receive(t, 3, raw)
	if _, err := h.bus.Spool(t.Context(), wrong.Spool, bytes.NewReader([]byte("something else"))); err != nil {
		t.Fatal(err)
	}
	if err := h.onReceived(t.Context(), wrong); !errors.Is(err, archive.ErrDigest) {
		t.Errorf("a spooled copy that differs gives %v", err)
	}
	h.verify(t)
}

// Two readings that do not agree are never committed.
func TestDisagreement(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	raw := sampleMail(t, 3, 10_000)
	other := greffe.DigestOf([]byte("other"))
	uid := uint32(0)
	part := func(p *greffe.Parsed, path string) *greffe.Part {
		for i := range p.Parts {
			if p.Parts[i].Path == path {
				return &p.Parts[i]
			}
		}
		t.Fatalf("no part %s", path)
		return nil
	}
	for name, c := range map[string]struct {
		spoil func(*greffe.Parsed)
		want  error
	}{
		"digest of a leaf":            {func(p *greffe.Parsed) { part(p, "2").SHA256 = other }, ErrDisagree},
		"a copy that is none":         {func(p *greffe.Parsed) { q := part(p, "1"); part(p, "2").SHA256, part(p, "2").Size = q.SHA256, q.Size }, ErrDisagree},
		"a copy of another size":      {func(p *greffe.Parsed) { part(p, "3!0#0").Size = 9 }, ErrDisagree},
		"an absurd size":              {func(p *greffe.Parsed) { part(p, "2").Size = 1 << 62 }, ErrEvent},
		"size of a leaf":              {func(p *greffe.Parsed) { part(p, "2").Size-- }, ErrDisagree},
		"digest of an archive":        {func(p *greffe.Parsed) { part(p, "3").SHA256 = other }, ErrDisagree},
		"digest of an entry":          {func(p *greffe.Parsed) { part(p, "3!0").SHA256 = other }, ErrDisagree},
		"digest of a value":           {func(p *greffe.Parsed) { part(p, "3!0#0").SHA256 = other }, ErrDisagree},
		"size of a value":             {func(p *greffe.Parsed) { part(p, "3!0#0").Size++ }, ErrDisagree},
		"a leaf was not seen":         {func(p *greffe.Parsed) { p.Parts = p.Parts[1:] }, ErrDisagree},
		"a leaf that is not there":    {func(p *greffe.Parsed) { q := *part(p, "1"); q.Path = "4"; p.Parts = append(p.Parts, q) }, ErrDisagree},
		"an entry too many":           {func(p *greffe.Parsed) { q := *part(p, "1"); q.Path = "3!9"; p.Parts = append(p.Parts, q) }, ErrDisagree},
		"a value too many":            {func(p *greffe.Parsed) { q := *part(p, "1"); q.Path = "3!0#1"; p.Parts = append(p.Parts, q) }, ErrDisagree},
		"inside of no archive":        {func(p *greffe.Parsed) { q := *part(p, "1"); q.Path = "2!0"; p.Parts = append(p.Parts, q) }, ErrDisagree},
		"inside of no document":       {func(p *greffe.Parsed) { q := *part(p, "1"); q.Path = "2#0"; p.Parts = append(p.Parts, q) }, ErrDisagree},
		"listed twice":                {func(p *greffe.Parsed) { p.Parts = append(p.Parts, *part(p, "1")) }, ErrEvent},
		"inside of nothing":           {func(p *greffe.Parsed) { q := *part(p, "1"); q.Path = "7!0"; p.Parts = append(p.Parts, q) }, ErrEvent},
		"inside of two kinds":         {func(p *greffe.Parsed) { q := *part(p, "1"); q.Path = "3#0"; p.Parts = append(p.Parts, q) }, ErrEvent},
		"inside of what was not read": {func(p *greffe.Parsed) { part(p, "3").Skipped = true }, ErrEvent},
		"no digest":                   {func(p *greffe.Parsed) { part(p, "2").SHA256 = "" }, ErrEvent},
		"a path as a weapon":          {func(p *greffe.Parsed) { part(p, "2").Path = "../../x" }, ErrEvent},
		"a digest as a weapon":        {func(p *greffe.Parsed) { part(p, "2").SHA256 = "../../../../etc/passwd" }, ErrEvent},
		"an id as a weapon":           {func(p *greffe.Parsed) { p.Received.ID = "../../../../etc/passwd" }, ErrEvent},
		"no raw digest":               {func(p *greffe.Parsed) { p.Received.SHA256 = "" }, ErrEvent},
	} {
		uid++
		r := h.receive(t, uid, raw)
		p := parse(t, r, raw)
		c.spoil(&p)
		_, err := h.onParsed(t.Context(), p)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if errors.Is(err, bus.ErrUnavailable) {
			t.Errorf("%s would be tried for ever", name)
		}
		if _, err := h.store.Stat(t.Context(), archive.ManifestKey(r.ID)); !errors.Is(err, archive.ErrNotFound) {
			t.Errorf("%s: there is a manifest (%v)", name, err)
		}
		// The right reading is welcome after it.
		if _, err := h.onParsed(t.Context(), parse(t, r, raw)); err != nil {
			t.Errorf("%s: then %v", name, err)
		}
	}
	if rep := h.verify(t); rep.Messages != int(uid) || rep.SurplusCount != 0 {
		t.Errorf("verify:\n%s", rep)
	}
}

// Parts that were listed and not read live on in the raw message only.
func TestSkippedParts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	cut := append(fakeCDA([]byte("%PDF-1.4 short")), "<unclosed>"...)
	raw := fakeMail(fakePDF(4, 1000), fakeZip(t, fakeCDA([]byte("%PDF-1.4 x"))), cut)
	r := h.receive(t, 1, raw)
	p := parse(t, r, raw)
	for i := range p.Parts {
		switch q := &p.Parts[i]; q.Path {
		case "2", "3!0", "3!0#0":
			*q = greffe.Part{Path: q.Path, Skipped: true}
		}
	}
	p.Documents = nil
	a, err := h.storeMessage(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	m, err := archive.ReadManifest(t.Context(), h.store, a.Manifest)
	if err != nil || len(m.Objects) != len(p.Parts)-3 {
		t.Errorf("%d objects for %s, %v", len(m.Objects), paths(p), err)
	}
	h.verify(t)
}

// What senders' programs wrap into a part is stored piece by piece, archives in it
// included.
func TestWrappedPartsAreStored(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	pdf := fakePDF(8, 2<<20) // the envelope is held in a file
	inner := sandbox.TNEF("Bonjour", "", nil, sandbox.TNEFFile{Name: "b.pdf", Data: fakePDF(9, 1000)})
	envelope := sandbox.TNEF("Bonjour", "<p>x</p>", nil, sandbox.TNEFFile{Name: "a.zip", Data: fakeZip(t, fakeCDA(pdf))},
		sandbox.TNEFFile{Name: "TR", Data: inner, Mail: true})
	raw := fakeMail(envelope, []byte("Voici\n\nbegin 644 a.txt\n#0V%T\n`\nend\n"))
	r := h.receive(t, 1, raw)
	p := parse(t, r, raw)
	if got, want := paths(p), "1 2 2!0 2!0!0 2!0!0#0 2!1 2!1!0 2!1!1 2!2 2!3 3 3!0"; got != want {
		t.Fatalf("parts %q, want %q", got, want)
	}
	other := p
	other.Parts = slices.Clone(p.Parts)
	other.Parts[2].SHA256 = greffe.DigestOf([]byte("other"))
	if _, err := h.storeMessage(t.Context(), other); !errors.Is(err, ErrDisagree) {
		t.Errorf("other bytes than the first reading found: %v", err)
	}
	other.Parts = append(slices.Clone(p.Parts), greffe.Part{Path: "3!1", SHA256: greffe.DigestOf(nil)})
	if _, err := h.storeMessage(t.Context(), other); !errors.Is(err, ErrDisagree) {
		t.Errorf("a piece that is not there: %v", err)
	}
	if _, err := h.storeMessage(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	h.verify(t)
}

// A reading that stopped at a limit lists the first parts only, and says so.
func TestMorePartsThanAreListed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	raw := sampleMail(t, 6, 1000)
	r := h.receive(t, 1, raw)
	p := parse(t, r, raw)
	p.Parts, p.Documents = p.Parts[:2], nil // the archive and what is in it are missing
	if _, err := h.onParsed(t.Context(), p); !errors.Is(err, ErrDisagree) {
		t.Errorf("a part is left out without a word: %v", err)
	}
	p.Findings = []greffe.Finding{{Rule: "parser.parts", Severity: greffe.Hold}}
	if _, err := h.onParsed(t.Context(), p); err != nil {
		t.Error(err)
	}
	h.verify(t)
}

// The same message read again, later or by another version: the manifest that
// was committed first stands.
func TestFirstManifestStands(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	raw := sampleMail(t, 5, 1000)
	r := h.receive(t, 1, raw)
	p := parse(t, r, raw)
	first, err := h.storeMessage(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	p.At, p.Parser, p.Documents = p.At.Add(time.Hour), "newer", nil
	p.Received.Spool = "second"
	again, err := h.storeMessage(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if again.Manifest != first.Manifest || len(again.Documents) != 1 || !again.At.Equal(first.At) {
		t.Errorf("first %+v, then %+v", first, again)
	}
	if again.Spool != "second" {
		t.Errorf("the spooled copy that came with the repeat would stay: %+v", again)
	}
	h.verify(t)
}

// step is one call of the archive that changes it.
type step struct {
	n      int  // fails at the n-th, from 0
	stored bool // after it was done
}

// faulty fails at one step.
type faulty struct {
	archive.Store
	step
	mu   sync.Mutex
	puts int // calls that change the archive, of any sort
}

var errStep = errors.New("the power went out")

// fail counts the calls that change the archive and fails the one that it is the turn of.
func (f *faulty) fail(do func() error) error {
	f.mu.Lock()
	n := f.puts
	f.puts++
	f.mu.Unlock()
	if n == f.n && !f.stored {
		return errStep
	}
	err := do()
	if n == f.n && err == nil {
		return errStep
	}
	return err
}

func (f *faulty) Retain(ctx context.Context, o greffe.Object, until time.Time) (i archive.Info, err error) {
	if until.IsZero() { // only asks
		return f.Store.Retain(ctx, o, until)
	}
	return i, f.fail(func() error { i, err = f.Store.Retain(ctx, o, until); return err })
}

func (f *faulty) Hold(ctx context.Context, o greffe.Object, on bool) (i archive.Info, err error) {
	return i, f.fail(func() error { i, err = f.Store.Hold(ctx, o, on); return err })
}

func (f *faulty) Eliminate(ctx context.Context, o greffe.Object) error {
	return f.fail(func() error { return f.Store.(archive.Eliminator).Eliminate(ctx, o) })
}

func (f *faulty) Put(ctx context.Context, key string, r io.Reader, size int64, sha greffe.Digest) (o greffe.Object, err error) {
	err = f.fail(func() error { o, err = f.Store.Put(ctx, key, r, size, sha); return err })
	if err != nil {
		return greffe.Object{}, err
	}
	return o, nil
}

// Each step fails twice, once before and once after it was done. Then everything
// is repeated, and verify judges.
func TestCrashPoints(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	log := slog.New(slog.DiscardHandler)
	broken, err := index.Open(t.Context(), filepath.Join(t.TempDir(), "broken.db"), log)
	if err != nil {
		t.Fatal(err)
	}
	if err := broken.Close(); err != nil {
		t.Fatal(err)
	}
	const puts = 7 // raw, 6 parts of which two are alike, manifest
	uid := uint32(0)
	for n := range puts + 1 {
		for _, stored := range []bool{false, true} {
			uid++
			raw := sampleMail(t, uint64(uid), 1000)
			r := h.receive(t, uid, raw)
			p := parse(t, r, raw)
			f := &faulty{Store: h.store, step: step{n, stored}}
			s := New(Config{}, h.bus, f, h.db, log)
			if n == puts { // the last step is the index
				s.index = broken
			}
			if stored && n == puts {
				s.index = h.db // done, but nobody heard
			}
			_, err := s.onParsed(t.Context(), p)
			switch {
			case n < puts && !errors.Is(err, errStep):
				t.Fatalf("step %d did not fail: %v", n, err)
			case n == puts && !stored && !errors.Is(err, bus.ErrUnavailable):
				t.Errorf("an index that is down gives %v", err)
			}
			// The raw message may be kept before or after.
			if uid%2 == 0 {
				if err := h.onReceived(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			mid, err := Verify(t.Context(), h.store, h.db, VerifyOptions{Full: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, hole := range mid.Holes {
				// The one state that needs the repeat: committed, not yet indexed.
				if hole.Check != CheckIndexed && hole.Check != CheckRow {
					t.Errorf("after step %d (stored %v): %s", n, stored, hole)
				}
			}
			if _, err := h.onParsed(t.Context(), p); err != nil {
				t.Errorf("the repeat after step %d (stored %v): %v", n, stored, err)
			}
			if err := h.onReceived(t.Context(), r); err != nil {
				t.Error(err)
			}
			if rep := h.verify(t); rep.SurplusCount != 0 || rep.Pending != 0 {
				t.Errorf("after step %d (stored %v):\n%s", n, stored, rep)
			}
		}
	}
}

// What an error means to the bus.
func TestBlame(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	down := errors.New("connection refused")
	for _, c := range []struct {
		err                    error
		unavailable, permanent bool
	}{
		{nil, false, false},
		{errors.Join(archive.ErrUnavailable, down), true, false},
		{ErrDisagree, false, false},
		{archive.ErrDigest, false, false},
		{archive.ErrExists, false, true},
		{ErrLost, false, true},
		{ErrEvent, false, true},
		{indexError{down}, false, false}, // the index answers: it is this message
	} {
		err := h.blame(t.Context(), c.err)
		if errors.Is(err, bus.ErrUnavailable) != c.unavailable || errors.Is(err, bus.ErrPermanent) != c.permanent || !errors.Is(err, c.err) {
			t.Errorf("%v gives %v", c.err, err)
		}
	}
}

func FuzzSplitPath(f *testing.F) {
	for _, s := range []string{"1", "2.1", "2!4#0", "2!", "#0", "2!04", "2!-1", "0", "1..2", "1!2!3#4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parent, op, n, ok := splitPath(s)
		if ok && op != 0 && (n < 0 || len(parent) >= len(s)) {
			t.Errorf("splitPath(%q) = %q %c %d", s, parent, op, n)
		}
	})
}

// BenchmarkStore stores messages of a PDF of 150 KB and an archive of a CDA around
// it, about 300 KB of mail each, eight at once.
func BenchmarkStore(b *testing.B) {
	b.Run("directory", func(b *testing.B) { benchmarkStore(b, newHouseFor(b, 20*365*24*time.Hour)) })
	b.Run("S3", func(b *testing.B) { benchmarkStore(b, newHouseS3(b)) })
}

// processorTime is what this process has used so far, user and kernel.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchmarkStore(b *testing.B, h *house) {
	var events []greffe.Parsed
	var size int64
	for n := range b.N {
		raw := sampleMail(b, uint64(n), 110_000)
		r := h.receive(b, uint32(n+1), raw)
		size = r.Size
		events = append(events, parse(b, r, raw))
	}
	b.SetBytes(size)
	work := make(chan greffe.Parsed)
	done := make(chan struct{})
	b.ReportAllocs()
	spent := processorTime(b)
	b.ResetTimer()
	for range 8 {
		go func() {
			for p := range work {
				if _, err := h.keep(b.Context(), p.Received); err != nil {
					b.Error(err)
				}
				if _, err := h.storeMessage(b.Context(), p); err != nil {
					b.Error(err)
				}
			}
			done <- struct{}{}
		}()
	}
	for _, p := range events {
		work <- p
	}
	close(work)
	for range 8 {
		<-done
	}
	b.StopTimer()
	spent = processorTime(b) - spent
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	// What the machine does beside does not count here.
	b.ReportMetric(spent.Seconds()*1000/float64(b.N), "cpu-ms/message")
}
