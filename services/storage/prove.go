package storage

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"greffe/pkg/archive"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// Chosen is one message and which of its documents were chosen.
type Chosen struct {
	index.Detail
	Whole     bool             // the message itself was chosen, with all that it holds
	Documents []index.Document // in the order of the message
}

// Proof says what a proof pack is about and who asks for it.
type Proof struct {
	Chosen []Chosen // in the order of the ids of their messages
	Scope  evidence.Scope
	By     string // program and version
	// Actor and From are those of the journal, where each document, and each message that
	// is chosen whole, is noted as exported; Name is a word that these entries share, opaque.
	Actor, From, Name string
	// Note, when not nil, writes these entries instead, all or none; who builds a pack again
	// after a crash writes them once.
	Note func(ctx context.Context, entries []index.Entry) error
	// Authorities are those that time stamps must come from; nil when none is configured.
	Authorities *x509.CertPool
	// Progress, when not nil, is called after each message.
	Progress func(done, total int)
}

// Lean returns c without what a proof does not need, so that many can be held at once.
func (c Chosen) Lean() Chosen {
	c.Outcomes, c.Decisions, c.History, c.Parsed = nil, nil, nil, nil
	for _, list := range [][]index.Document{c.Detail.Documents, c.Documents} {
		for i := range list {
			d := &list[i]
			d.Facts = greffe.Document{Part: d.Facts.Part, Body: d.Facts.Body}
		}
	}
	return c
}

// Prove writes the proof pack of what was chosen to the empty file out, and reads it again
// as whoever opens it next will. What leaves the house is noted in the journal before anything is written;
// then the journal is sealed, so that the pack has its lines up to these. A check that
// does not hold is in the record and in the report, and is no error. It holds some 2 KB
// of memory for each message, and one manifest, segment or facts file at a time.
//
// Errors: archive.ErrUnavailable and failures of the index pass by themselves; those of
// Sealer.SealAll; evidence.ErrTooLarge.
func (s *Sealer) Prove(ctx context.Context, out evidence.PackOutput, what Proof) (evidence.Record, evidence.PackReport, error) {
	p := &prover{store: s.store, db: s.index, sealer: s, what: what, pack: evidence.NewPackWriter(out), now: time.Now().UTC().Truncate(time.Second)}
	rec, err := p.prove(ctx)
	if err != nil {
		return rec, evidence.PackReport{}, err
	}
	size, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return rec, evidence.PackReport{}, err
	}
	rep, err := evidence.VerifyPack(ctx, out, size, evidence.Trust{Keys: p.keys, Authorities: what.Authorities}, nil)
	return rec, rep, err
}

// prover gathers a proof pack from archive and index.
type prover struct {
	store  archive.Store
	db     *index.DB
	sealer *Sealer
	what   Proof
	pack   *evidence.PackWriter
	now    time.Time

	keyLines []string
	keys     []note.Verifier
}

func (p *prover) prove(ctx context.Context) (evidence.Record, error) {
	var rec evidence.Record
	if err := p.note(ctx); err != nil {
		return rec, err
	}
	if _, err := p.sealer.SealAll(ctx); err != nil {
		return rec, fmt.Errorf("sceller le journal : %w", err)
	}
	var err error
	if p.keyLines, err = KeyLines(ctx, p.store); err != nil {
		return rec, err
	}
	for _, line := range p.keyLines {
		v, err := evidence.ParsePublicKey(line)
		if err != nil {
			return rec, err
		}
		p.keys = append(p.keys, v)
	}
	for i := range p.what.Chosen {
		if err := p.message(ctx, &p.what.Chosen[i]); err != nil {
			return rec, err
		}
		if p.what.Progress != nil {
			p.what.Progress(i+1, len(p.what.Chosen))
		}
	}
	journal, err := p.journal(ctx)
	if err != nil {
		return rec, err
	}
	if err := p.pack.AddJournal(journal); err != nil {
		return rec, err
	}
	return p.pack.Finish(ctx, evidence.Record{Made: p.now, By: p.what.By, Journal: p.sealer.key.Name(), Scope: p.what.Scope},
		p.sealer.key, evidence.Trust{Keys: p.keys, Authorities: p.what.Authorities})
}

// note journals what leaves the house before anything is written.
func (p *prover) note(ctx context.Context) error {
	var entries []index.Entry
	for _, c := range p.what.Chosen {
		var subjects []string
		if c.Whole {
			subjects = append(subjects, string(c.ID))
		}
		for _, d := range c.Documents {
			subjects = append(subjects, string(d.ID))
		}
		for _, subject := range subjects {
			entries = append(entries, index.Entry{Actor: p.what.Actor, Action: "exported", Subject: subject, From: p.what.From, Result: "ok", Detail: "prove " + p.what.Name})
		}
	}
	if p.what.Note != nil {
		return p.what.Note(ctx, entries)
	}
	for _, e := range entries {
		if err := p.db.Append(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// message adds the manifest and the objects of one message.
func (p *prover) message(ctx context.Context, c *Chosen) error {
	checks := p.pack.Checks
	if c.ArchivedAt.IsZero() {
		checks.Warn("archive.manifest", string(c.ID), "ce message n’est pas encore archivé : il n’est pas dans le pack")
		return nil
	}
	b, err := p.bytes(ctx, c.Manifest)
	if lost(err) {
		checks.Fail("archive.manifest", string(c.ID), "le manifeste n’est plus dans l’archive tel qu’il a été archivé : le message n’est pas dans le pack")
		return nil
	}
	if err != nil {
		return err
	}
	m, err := archive.ParseManifest(b)
	if err != nil {
		checks.Fail("archive.manifest", string(c.ID), "le manifeste est contradictoire : le message n’est pas dans le pack")
		return nil
	}
	checks.OK("archive.manifest", 1)
	p.compareIndex(c, m)

	var ids []greffe.DocumentID
	var documents []evidence.PackDocument
	for _, d := range c.Documents {
		ids, documents = append(ids, d.ID), append(documents, evidence.PackDocument{ID: d.ID})
	}
	withheld := !c.Whole && evidence.OtherPatients(m, documents)
	objects := map[greffe.Object]bool{}
	if withheld {
		for _, d := range c.Documents {
			objects[m.Objects[d.Facts.Part]] = true
			objects[m.Objects[d.Facts.Body]] = true
		}
	} else {
		objects[m.Raw] = true
		for _, o := range m.Objects {
			objects[o] = true
		}
	}
	delete(objects, greffe.Object{})
	for _, o := range slices.SortedFunc(maps.Keys(objects), func(a, b greffe.Object) int { return bytes.Compare([]byte(a.Key), []byte(b.Key)) }) {
		if err := p.object(ctx, o); err != nil {
			return err
		}
	}
	return p.pack.AddManifest(b, ids, withheld)
}

// object copies one object into the pack while it is checked.
func (p *prover) object(ctx context.Context, o greffe.Object) error {
	if p.pack.HasObject(o) {
		return nil
	}
	checks := p.pack.Checks
	r, err := p.store.Open(ctx, o)
	if err == nil {
		err = errors.Join(p.pack.AddObject(o, archive.Checked(r, o.Size, o.SHA256)), r.Close())
	}
	switch {
	case lost(err):
		checks.Fail("archive.object", o.Key, "cet objet n’est plus dans l’archive tel qu’il a été archivé : il n’est pas dans le pack")
		return nil
	case err != nil:
		return err
	}
	checks.OK("archive.object", 1)
	i, err := p.store.Stat(ctx, o.Key)
	switch {
	case err != nil && !errors.Is(err, archive.ErrNotFound):
		return err
	case i.RetainUntil.After(p.now):
		checks.OK("archive.lock", 1)
	default:
		checks.Warn("archive.lock", o.Key, "rien n’empêche l’effacement de cet objet")
	}
	return nil
}

// lost tells that an object is not in the archive as it was archived.
func lost(err error) bool {
	return errors.Is(err, archive.ErrDigest) || errors.Is(err, archive.ErrNotFound) || errors.Is(err, archive.ErrKey)
}

// bytes reads a small object whole and checks it.
func (p *prover) bytes(ctx context.Context, o greffe.Object) ([]byte, error) {
	if o.Size > evidence.MaxSegment {
		return nil, fmt.Errorf("%s: %w", o.Key, archive.ErrDigest)
	}
	r, err := p.store.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(archive.Checked(r, o.Size, o.SHA256))
}

// compareIndex compares what the index says of a message with its manifest.
func (p *prover) compareIndex(c *Chosen, m *archive.Manifest) {
	checks := p.pack.Checks
	if m.Raw != c.Raw || !maps.Equal(m.Objects, c.Objects) {
		checks.Fail("index.message", string(c.ID), "l’index ne nomme pas les mêmes objets que le manifeste")
	} else {
		checks.OK("index.message", 1)
	}
	if len(m.Parsed.Documents) != len(c.Detail.Documents) {
		checks.Fail("index.document", string(c.ID), "%d documents dans le manifeste, %d dans l’index", len(m.Parsed.Documents), len(c.Detail.Documents))
		return
	}
	for i, d := range c.Detail.Documents {
		f := &m.Parsed.Documents[i]
		if f.Part != d.Facts.Part || m.Objects[f.Part] != d.Object || m.Objects[f.Body] != d.BodyObject {
			checks.Fail("index.document", string(d.ID), "l’index ne donne pas à ce document la pièce du manifeste")
		} else {
			checks.OK("index.document", 1)
		}
	}
}
