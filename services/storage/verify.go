package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sync/errgroup"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// VerifyOptions says how deep Verify looks, and at what.
type VerifyOptions struct {
	// Full reads every byte again and computes every digest. Otherwise objects
	// are only looked up: that they are there, with the right size and, where the
	// store keeps a checksum beside the bytes, with the right checksum. Manifests
	// and the sealed journal are always read.
	Full bool
	// Since leaves out messages whose internal date is before it, and the journal of
	// the days before it; zero: nothing.
	Since time.Time
	// JournalSince leaves out what the journal says from before it, when that is later.
	JournalSince time.Time
	// Sample looks at so many messages in a hundred, chosen by Seed; 0 or 100: all.
	Sample float64
	Seed   uint64
	// Message looks at one message only, and at what the sealed journal says of it.
	Message greffe.MessageID
	// Retention is for how long each object must be locked, from when it was
	// written; 0: no lock was promised.
	Retention time.Duration
	// Keys are those that the newest checkpoint must be signed with one of; none: any
	// whose public key is in the archive.
	Keys []note.Verifier
	// Authority is the one that stamps the journal: its tokens must come from Roots (nil:
	// only their own signature is checked), the newest not be older than Every.
	Authority Authority
	// Progress, when not nil, is called after each message of the index, one call
	// at a time. total is an estimate, 0 when not known.
	Progress func(done, total int)
}

// all reports whether nothing is left out.
func (o *VerifyOptions) all() bool { return o.whole() && o.Since.IsZero() }

// whole reports whether every message in range is looked at.
func (o *VerifyOptions) whole() bool {
	return o.Message == "" && (o.Sample <= 0 || o.Sample >= 100)
}

// chosen reports whether a message is looked at.
func (o *VerifyOptions) chosen(id greffe.MessageID) bool {
	if o.Message != "" {
		return id == o.Message
	}
	if !o.Since.IsZero() && id.Time().Before(o.Since) {
		return false
	}
	if o.whole() {
		return true
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%x %s", o.Seed, id)
	// FNV alone leaves the top bits of like texts alike.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return float64(x>>11)/(1<<53)*100 < o.Sample
}

const (
	verifyWorkers = 4      // messages looked at at once
	mostProblems  = 10_000 // listed of each sort
)

// Verify compares the archive, its manifests, the index, the journal, its sealed
// segments, their checkpoints and the time stamps, link by link (see the table of
// checks). It writes nothing and may run while messages arrive. It returns an error
// when it could not look (ErrUnavailable of the archive, a failure of the index),
// not for what it finds; index.ErrNotFound when opt.Message is nowhere.
//
// It holds 16 bytes and a map slot for each different object, about 50 MB for a
// million of them.
func Verify(ctx context.Context, store archive.Store, db *index.DB, opt VerifyOptions) (Report, error) {
	_, encrypted := store.(*archive.Encrypted)
	v := &verifier{store: store, db: db, opt: opt, encrypted: encrypted, certificates: &certificates{store: store}, seen: make(map[[16]byte]bool), tally: make([]tally, len(checks))}
	v.rep.Format, v.rep.Began = ReportFormat, time.Now().UTC()
	v.rep.Scope = Scope{Full: opt.Full, Since: opt.Since.UTC(), Message: opt.Message}
	if !opt.whole() && opt.Message == "" {
		v.rep.Scope.Sample, v.rep.Scope.Seed = opt.Sample, strconv.FormatUint(opt.Seed, 16)
	}
	steps := []func(context.Context) error{v.messages, v.contents, v.tallies, v.gates, v.journal}
	if !encrypted {
		v.skip("L’archive n’est pas chiffrée par Greffe.", CheckKey, CheckErased)
	}
	if opt.Message != "" {
		steps = []func(context.Context) error{v.one, v.journal}
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return Report{}, fmt.Errorf("verify: %w", err)
		}
	}
	v.finish()
	return v.rep, nil
}

type verifier struct {
	store archive.Store
	db    *index.DB
	opt   VerifyOptions

	encrypted    bool
	certificates *certificates

	mu    sync.Mutex // guards what follows
	rep   Report
	tally []tally           // by place of the check
	seen  map[[16]byte]bool // objects that were looked at, by digest: whether they are good
	done  int
	total int
}

// tally counts what a check came to.
type tally struct {
	looked, failed, warned int64
	skipped                string
}

// held notes that a check held, n times.
func (v *verifier) held(id CheckID, n int64) {
	v.mu.Lock()
	v.tally[place[id]].looked += n
	v.mu.Unlock()
}

// skip notes why a check was left out.
func (v *verifier) skip(why string, ids ...CheckID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, id := range ids {
		v.tally[place[id]].skipped = why
	}
}

// warn notes what is to be known about a check that held, or that cannot be mended.
func (v *verifier) warn(p Problem, text, todo string, cause error) {
	p.Text, p.Todo = text, todo
	if cause != nil {
		p.Cause = cause.Error()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	t := &v.tally[place[p.Check]]
	t.looked, t.warned = t.looked+1, t.warned+1
	if v.rep.WarningCount++; len(v.rep.Warnings) < mostProblems {
		v.rep.Warnings = append(v.rep.Warnings, p)
	}
}

// add notes that a check did not hold.
func (v *verifier) add(p Problem, cause error) {
	c := &checks[place[p.Check]]
	p.Text, p.Todo = c.broken, c.todo
	if cause != nil {
		p.Cause = cause.Error()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	t := &v.tally[place[p.Check]]
	t.looked, t.failed = t.looked+1, t.failed+1
	list, n := &v.rep.Holes, &v.rep.HoleCount
	if p.Check.surplus() {
		list, n = &v.rep.Surplus, &v.rep.SurplusCount
	}
	if *n++; len(*list) < mostProblems {
		*list = append(*list, p)
	}
}

// finish closes the report.
func (v *verifier) finish() {
	r := &v.rep
	r.Took, r.Whole = time.Since(r.Began).Seconds(), r.OK()
	for i, c := range checks {
		t := v.tally[i]
		res := Result{ID: c.id, Must: c.must, Looked: t.looked, Failed: t.failed, Warned: t.warned, Status: StatusOK}
		switch {
		case t.failed > 0 && c.id.surplus():
			res.Status = StatusSurplus
		case t.failed > 0:
			res.Status = StatusBroken
		case t.warned > 0:
			res.Status = StatusWarning
		case t.looked == 0 && t.skipped != "":
			res.Status, res.Skipped = StatusNone, t.skipped
		case t.looked == 0:
			res.Status, res.Skipped = StatusNone, "Rien à vérifier."
		}
		r.Checks = append(r.Checks, res)
	}
	for _, list := range []*[]Problem{&r.Holes, &r.Warnings, &r.Surplus} {
		if *list == nil {
			*list = []Problem{} // in JSON a list, never null
		}
		slices.SortStableFunc(*list, func(a, b Problem) int {
			return cmp.Or(cmp.Compare(place[a.Check], place[b.Check]), cmp.Compare(a.Message, b.Message), cmp.Compare(a.Document, b.Document),
				cmp.Compare(a.Part, b.Part), cmp.Compare(a.Entry, b.Entry), cmp.Compare(a.Key, b.Key))
		})
	}
}

// messages walks the index and messages/ side by side: both are in the order of
// message ids.
func (v *verifier) messages(ctx context.Context) error {
	tally, _, err := v.db.Tally(ctx)
	if err != nil {
		return fmt.Errorf("count messages: %w", err)
	}
	for _, n := range tally {
		v.total += n
	}
	next, stop := iter.Pull2(v.folders(ctx))
	defer stop()
	ahead, err, more := next()
	var strangers []folder // of the archive, not seen in the index
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(verifyWorkers)
	walk := v.each(inner, func(id greffe.MessageID) error {
		for more && err == nil && ahead.id <= id {
			if ahead.id != id {
				strangers = append(strangers, ahead)
			}
			ahead, err, more = next()
		}
		if err != nil {
			return err
		}
		if v.opt.chosen(id) {
			g.Go(func() error { return v.message(inner, id) })
		} else {
			v.progress()
		}
		return nil
	})
	if err := errors.Join(g.Wait(), walk); err != nil {
		return err
	}
	for ; more && err == nil; ahead, err, more = next() {
		strangers = append(strangers, ahead)
	}
	if err != nil {
		return err
	}
	// Messages go on arriving: who was a stranger may be known by now.
	for _, f := range strangers {
		if !v.opt.Since.IsZero() && f.id.Time().Before(v.opt.Since) {
			continue
		}
		if err := v.stranger(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// each walks the ids of the index in their order.
func (v *verifier) each(ctx context.Context, f func(greffe.MessageID) error) error {
	for last := greffe.MessageID(""); ; {
		list, err := v.db.MessageIDs(ctx, last, 1000)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, id := range list {
			if err := f(id); err != nil {
				return err
			}
		}
		last = list[len(list)-1]
	}
}

// folder is what the archive holds of one message.
type folder struct {
	id       greffe.MessageID
	manifest bool
}

// folders walks messages/ by message.
func (v *verifier) folders(ctx context.Context) iter.Seq2[folder, error] {
	return func(yield func(folder, error) bool) {
		var f folder
		for i, err := range v.store.List(ctx, archive.MessagesPrefix) {
			if err != nil {
				yield(folder{}, err)
				return
			}
			id, manifest, ok := archive.KeyMessage(i.Key)
			if !ok {
				v.add(Problem{Check: OrphanForeignKey, Key: i.Key}, nil)
				continue
			}
			v.held(OrphanForeignKey, 1)
			if f.id != "" && f.id != id {
				if !yield(f, nil) {
					return
				}
				f = folder{}
			}
			f.id, f.manifest = id, f.manifest || manifest
		}
		if f.id != "" {
			yield(f, nil)
		}
	}
}

// one looks at the one message that was asked for.
func (v *verifier) one(ctx context.Context) error {
	id, why := v.opt.Message, "Un seul message est vérifié."
	v.total = 1
	v.skip(why, CheckTally, CheckGates, OrphanContent, OrphanForeignKey)
	ids, err := v.db.Audit(ctx, id)
	if err == nil {
		return v.message(ctx, ids.ID)
	}
	if !errors.Is(err, index.ErrNotFound) {
		return err
	}
	f := folder{id: id}
	for _, key := range []string{archive.RawKey(id), archive.ManifestKey(id)} {
		_, err := v.store.Stat(ctx, key)
		_, erased := errors.AsType[*archive.ErasedError](err)
		there := err == nil || erased || errors.Is(err, archive.ErrKeyLost)
		switch {
		case there && key == archive.ManifestKey(id):
			f.manifest = true
		case there || errors.Is(err, archive.ErrNotFound):
		case errors.Is(err, archive.ErrKey):
			return index.ErrNotFound
		default:
			return err
		}
	}
	if _, err := v.store.Stat(ctx, archive.RawKey(id)); !f.manifest && errors.Is(err, archive.ErrNotFound) {
		return index.ErrNotFound
	}
	return v.stranger(ctx, f)
}

// stranger looks once more at a message of the archive that the index did not show.
func (v *verifier) stranger(ctx context.Context, f folder) error {
	_, err := v.db.Audit(ctx, f.id)
	switch {
	case err == nil:
		return v.message(ctx, f.id)
	case !errors.Is(err, index.ErrNotFound):
		return err
	case !f.manifest:
		v.add(Problem{Check: OrphanMessage, Message: f.id, Key: archive.RawKey(f.id)}, nil)
		return nil
	}
	m, _, err := archive.FindManifest(ctx, v.store, f.id)
	if e, ok := errors.AsType[*archive.ErasedError](err); ok {
		return v.erased(ctx, f.id, e)
	}
	v.add(Problem{Check: CheckIndexed, Message: f.id, Key: archive.ManifestKey(f.id)}, nil)
	told, failed := v.unreadable(ctx, Problem{Message: f.id, Key: archive.ManifestKey(f.id)}, err)
	switch {
	case told:
		return failed
	// What it names is not surplus.
	case err == nil:
		return v.objects(ctx, f.id, m.Raw, m.Objects)
	case errors.Is(err, archive.ErrManifest), errors.Is(err, archive.ErrDigest):
		v.add(Problem{Check: CheckManifestBytes, Message: f.id, Key: archive.ManifestKey(f.id)}, err)
		return nil
	}
	return err
}

// erased looks at a message whose manifest was erased: the certificate must name it, its
// raw mail must be gone, too, and the journal say so.
func (v *verifier) erased(ctx context.Context, id greffe.MessageID, e *archive.ErasedError) error {
	if _, err := v.unreadable(ctx, Problem{Message: id, Key: archive.ManifestKey(id)}, e); err != nil {
		return err
	}
	_, raw := v.store.Stat(ctx, archive.RawKey(id))
	told, failed := v.unreadable(ctx, Problem{Message: id, Key: archive.RawKey(id)}, raw)
	switch {
	case failed != nil:
		return failed
	case raw == nil:
		v.add(Problem{Check: CheckErased, Message: id, Key: archive.RawKey(id)}, errors.New("the manifest was erased, the raw message was not"))
	case !told && !errors.Is(raw, archive.ErrNotFound):
		return raw
	}
	at, order, err := v.db.Erased(ctx, id)
	switch {
	case errors.Is(err, index.ErrNotFound), err == nil && order != e.Order:
		v.add(Problem{Check: CheckErased, Message: id, Key: archive.ManifestKey(id)}, fmt.Errorf("the journal does not say that erasure %s erased it", e.Order))
	case err != nil:
		return err
	}
	v.mu.Lock()
	if v.rep.Erased++; len(v.rep.Erasures) < mostProblems {
		v.rep.Erasures = append(v.rep.Erasures, ErasedMessage{id, at.UTC(), archive.CertificateKey(e.Order)})
	}
	v.mu.Unlock()
	return nil
}

// contents looks for objects below content/ that no message names.
func (v *verifier) contents(ctx context.Context) error {
	if !v.opt.all() {
		v.skip("Seulement quand tous les messages sont vérifiés.", OrphanContent)
		return nil
	}
	for i, err := range v.store.List(ctx, archive.ContentPrefix) {
		if err != nil {
			return err
		}
		d, ok := archive.KeyDigest(i.Key)
		if !ok {
			v.add(Problem{Check: OrphanForeignKey, Key: i.Key}, nil)
			continue
		}
		mark, _ := slot(d)
		if _, looked := v.seen[mark]; looked {
			v.held(OrphanContent, 1)
			continue
		}
		if v.encrypted {
			_, err := v.store.Stat(ctx, i.Key)
			if told, failed := v.unreadable(ctx, Problem{Key: i.Key}, err); told && failed == nil {
				continue
			} else if failed != nil {
				return failed
			}
		}
		v.add(Problem{Check: OrphanContent, Key: i.Key}, nil)
	}
	return nil
}

// tallies compares the counts of the queue with its rows.
func (v *verifier) tallies(ctx context.Context) error {
	if !v.opt.whole() {
		v.skip("Seulement quand tous les messages sont vérifiés.", CheckTally)
		return nil
	}
	wrong, err := v.db.Recount(ctx)
	if err != nil {
		return err
	}
	for _, w := range wrong {
		v.add(Problem{Check: CheckTally}, errors.New(w))
	}
	if len(wrong) == 0 {
		v.held(CheckTally, 1)
	}
	return nil
}
