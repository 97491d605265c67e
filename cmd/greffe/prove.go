package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"greffe/pkg/archive"
	"greffe/pkg/evidence"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/services/storage"
)

type proveOptions struct {
	selection
	out string
}

var proveCommand = command{
	name: "prove", args: selectionArgs + " -o PACK.zip [--json]", summary: "fait un pack de preuve, vérifiable sans Greffe",
	help: `
Écrit dans PACK.zip ce qu'un juge ou un expert vérifie sans Greffe, sans réseau et sans
l'établissement :
  - les messages et documents choisis, octet par octet comme ils ont été reçus ;
  - leurs manifestes, et toutes les lignes du journal qui parlent d'eux : réception, archivage,
    remise au DI, consultations, décisions ;
  - la preuve que chaque ligne est dans le journal scellé (arbre de Merkle, RFC 6962), les points
    de contrôle signés, les jetons d'horodatage (RFC 3161), les clés publiques et certificats ;
  - preuve.json et preuve.pdf : plus de vingt contrôles nommés, leur résultat (OK, KO, réserve) et
    ce qui a été comparé ; LISEZMOI.txt : comment tout refaire avec sha256sum et openssl seuls.

Ce que cela prouve : ces octets sont ceux que l'établissement a reçus et archivés, ces lignes du
journal n'ont été ni changées ni ajoutées après coup, et tout existait à la date de chaque jeton.
Ce que cela ne prouve pas : que le contenu d'un document est exact ou que son auteur est celui
qu'il annonce ; que rien d'autre n'a été reçu ; une date, quand aucun jeton ne couvre la ligne.
Le pack vaut ce que vaut la clé publique (greffe keys) : remettez-la par une autre voie, avec le
certificat de l'autorité d'horodatage. « greffe verify --pack » vérifie le pack.

--patient et --document ne joignent le message entier que s'il ne porte aucun document d'un autre
patient ; son manifeste, lui, est toujours joint et le pack le signale. Le pack est à protéger comme
un dossier médical. Chaque document est noté au journal (« exported ») avant que rien ne soit écrit,
puis le journal est scellé, pour que le pack porte ses lignes jusqu'à celle-là.

Sort avec 1 si un contrôle est KO : le pack est écrit quand même et dit lequel. Une réserve (par
exemple : pas encore horodaté) ne change pas le code de sortie.`,
	flags: func(fs *flag.FlagSet, c *call) {
		o := &proveOptions{}
		c.opt = o
		o.selection.flags(fs)
		fs.StringVar(&o.out, "o", "", "`PACK.zip` à écrire ; il ne doit pas exister")
		fs.BoolVar(&c.json, "json", false, "résultat en JSON : le relevé (schéma : api/pack.schema.json)")
	},
	run: runProve,
}

func runProve(ctx context.Context, c *call) error {
	o := c.opt.(*proveOptions)
	if len(c.args) > 0 || o.out == "" {
		return fmt.Errorf("%w : -o PACK.zip est attendu, et rien d'autre que des options", errUsage)
	}
	if err := o.check(); err != nil {
		return err
	}
	cfg, err := loadConfig(c.config, c.data)
	if err != nil {
		return err
	}
	key, err := readKey(keyPath(cfg))
	if err != nil {
		return err
	}
	a := &app{cfg: cfg, log: newLogger(LogConfig{Level: "warn", Format: "text"}, c.err)}
	defer a.close()
	if err := errors.Join(a.openArchive(ctx), a.openIndex(ctx)); err != nil {
		return err
	}
	out, err := newPartialFile(o.out)
	if err != nil {
		return err
	}
	defer out.abandon()
	bar := newProgress(c.err, "preuve")
	defer bar.done()
	p := &prover{app: a, selection: &o.selection, key: key, pack: evidence.NewPackWriter(out), now: time.Now().UTC().Truncate(time.Second), progress: bar.update}
	rec, err := p.prove(ctx)
	if err != nil {
		return err
	}
	// Whoever opens it next must find it whole: so do we.
	size, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	rep, err := evidence.VerifyPack(ctx, out, size, evidence.Trust{Keys: p.keys, Authorities: p.authorities}, nil)
	if err != nil {
		return err
	}
	if err := out.finish(); err != nil {
		return err
	}
	bar.done()
	if c.json {
		if err := json.NewEncoder(c.out).Encode(rec); err != nil {
			return err
		}
	} else {
		printChecks(c.out, rep.Checks)
		fmt.Fprintf(c.out, "%s : %d messages, %d lignes du journal, %s\n", o.out, len(rec.Messages), rec.Entries, Size(size))
	}
	if rep.Verdict == evidence.StatusKO {
		return errFound
	}
	return nil
}

// printChecks writes checks for a person: those that are well in one line each.
func printChecks(w io.Writer, checks []evidence.Check) {
	mark := map[evidence.Status]string{evidence.StatusOK: "✓", evidence.StatusKO: "✗", evidence.StatusWarning: "!"}
	n := map[evidence.Status]int{}
	for _, k := range checks {
		n[k.Status]++
		fmt.Fprintf(w, "%s %-22s %s\n", mark[k.Status], k.ID, k.Title)
		if k.Status == evidence.StatusOK {
			continue
		}
		fmt.Fprintf(w, "    %s : %s\n", k.Status.French(), k.Text)
		for i, f := range k.Faults {
			if i == 10 {
				fmt.Fprintf(w, "    et %d autres (--json les donne)\n", len(k.Faults)-i+k.More)
				break
			}
			fmt.Fprintf(w, "    - %s : %s\n", f.File, f.Text)
		}
	}
	fmt.Fprintf(w, "\n%d contrôles : %d conformes, %d avec réserve, %d en défaut\n", len(checks), n[evidence.StatusOK], n[evidence.StatusWarning], n[evidence.StatusKO])
}

// prover gathers a proof pack from archive and index.
type prover struct {
	*app
	selection *selection
	key       *evidence.Key
	pack      *evidence.PackWriter
	now       time.Time
	progress  func(done, total int)

	keyLines []string
	keys     []note.Verifier
	proverTrust
	chosen []chosen
}

func (p *prover) prove(ctx context.Context) (evidence.Record, error) {
	var rec evidence.Record
	n, err := p.selection.each(ctx, p.db, func(c chosen, _, _ int) error {
		p.chosen = append(p.chosen, c.lean())
		return nil
	})
	if err != nil {
		return rec, err
	}
	if n == 0 {
		return rec, p.selection.none()
	}
	if err := p.note(ctx); err != nil {
		return rec, err
	}
	sealer := storage.NewSealer(p.store, p.db, p.key, p.log)
	if _, err := sealer.SealAll(ctx); err != nil {
		return rec, fmt.Errorf("sceller le journal : %w", err)
	}
	if p.keyLines, err = storage.KeyLines(ctx, p.store); err != nil {
		return rec, err
	}
	for _, line := range p.keyLines {
		v, err := evidence.ParsePublicKey(line)
		if err != nil {
			return rec, err
		}
		p.keys = append(p.keys, v)
	}
	if err := p.readAuthorities(); err != nil {
		return rec, err
	}
	for i := range p.chosen {
		if err := p.message(ctx, &p.chosen[i]); err != nil {
			return rec, err
		}
		p.progress(i+1, n)
	}
	journal, err := p.journal(ctx)
	if err != nil {
		return rec, err
	}
	if err := p.pack.AddJournal(journal); err != nil {
		return rec, err
	}
	return p.pack.Finish(ctx, evidence.Record{
		Made: p.now, By: "greffe " + versionString(), Journal: p.key.Name(),
		Scope: evidence.Scope{Kind: p.selection.kind(), From: p.selection.from, To: p.selection.to},
	}, p.key, evidence.Trust{Keys: p.keys, Authorities: p.authorities})
}

// lean drops what a proof does not need of a message, so that many can be held at once.
func (c chosen) lean() chosen {
	c.Outcomes, c.Decisions, c.History, c.Parsed = nil, nil, nil, nil
	for _, list := range [][]index.Document{c.Detail.Documents, c.Documents} {
		for i := range list {
			d := &list[i]
			d.Facts = greffe.Document{Part: d.Facts.Part, Body: d.Facts.Body}
		}
	}
	return c
}

// note journals what leaves the house before anything is written.
func (p *prover) note(ctx context.Context) error {
	id := rand.Text()
	host, _ := os.Hostname()
	for _, c := range p.chosen {
		subjects := []string{string(c.ID)}
		if !c.Whole {
			subjects = nil
		}
		for _, d := range c.Documents {
			subjects = append(subjects, string(d.ID))
		}
		for _, s := range subjects {
			if err := p.db.Append(ctx, index.Entry{Actor: localActor, Action: "exported", Subject: s, From: host, Result: "ok", Detail: "prove " + id}); err != nil {
				return err
			}
		}
	}
	return nil
}

// message adds the manifest and the objects of one message.
func (p *prover) message(ctx context.Context, c *chosen) error {
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
func (p *prover) compareIndex(c *chosen, m *archive.Manifest) {
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
