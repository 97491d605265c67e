package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

type exportOptions struct {
	selection
	out string
}

var exportCommand = command{
	name: "export", args: selectionArgs + " -o SORTIE [--json]", summary: "copie des documents sous des noms lisibles, avec leur liste",
	help: `
Copie les documents choisis, tels qu'ils ont été reçus et archivés, dans un dossier ou, si
SORTIE finit par .zip, dans une archive ZIP :
  documents/     les fichiers : date, titre, patient et identifiant du document dans leur nom ;
                 le CDA (.xml) et, s'il y en a un, le fichier qu'il contient et qu'on lit (.pdf)
  index.csv      la liste, pour un tableur (points-virgules, UTF-8)
  index.json     la même pour un programme ; son schéma est api/export.schema.json
  SHA256SUMS     les empreintes de tous les fichiers : « sha256sum -c SHA256SUMS » les vérifie

Les noms de fichier portent le nom du patient : SORTIE est à protéger comme un dossier médical.
Chaque document choisi est noté au journal (« exported ») avant que rien ne soit écrit. Les
octets sont vérifiés pendant la copie : un document dont l'empreinte n'est plus celle qui a
été archivée n'est pas copié, la liste le dit et la commande sort avec 1. Ce que l'antivirus
n'a pas déclaré sain est copié sous un nom qui finit par .suspect.

--patient suit le matricule INS que porte le document ; --from et --to, le jour où Greffe a
reçu le message, à l'heure de cette machine. --patient peut être réduit par --from et --to.
SORTIE ne doit pas exister, ou être un dossier vide. Pour une preuve vérifiable sans Greffe :
« greffe prove ».`,
	flags: func(fs *flag.FlagSet, c *call) {
		o := &exportOptions{}
		c.opt = o
		o.selection.flags(fs)
		fs.StringVar(&o.out, "o", "", "`SORTIE` : dossier, ou fichier .zip")
		fs.BoolVar(&c.json, "json", false, "résultat en JSON")
	},
	run: runExport,
}

// exportResult is what --json prints.
type exportResult struct {
	Output    string `json:"output"`
	Messages  int    `json:"messages"`
	Documents int    `json:"documents"`
	Files     int    `json:"files"`
	Bytes     int64  `json:"bytes"`
	Damaged   int    `json:"damaged"` // documents with a file that could not be copied
}

func runExport(ctx context.Context, c *call) error {
	o := c.opt.(*exportOptions)
	if len(c.args) > 0 || o.out == "" {
		return fmt.Errorf("%w : -o SORTIE est attendu, et rien d'autre que des options", errUsage)
	}
	if err := o.check(); err != nil {
		return err
	}
	cfg, err := loadConfig(c.config, c.data)
	if err != nil {
		return err
	}
	a := &app{cfg: cfg, log: newLogger(LogConfig{Level: "warn", Format: "text"}, c.err)}
	defer a.close()
	if err := errors.Join(a.openArchive(ctx), a.openIndex(ctx)); err != nil {
		return err
	}
	bar := newProgress(c.err, "export")
	defer bar.done()
	list, messages, err := planExport(ctx, a.db, &o.selection)
	if err != nil {
		return err
	}
	out, err := openSink(o.out)
	if err != nil {
		return err
	}
	defer out.abandon()
	if err := journalExport(ctx, a.db, "exported", list); err != nil {
		return err
	}
	x := exportIndex{
		Format: "greffe-export/1", Made: time.Now().UTC().Truncate(time.Second), By: "greffe " + versionString(),
		Selection: exportSelection{o.kind(), o.from, o.to}, Messages: messages, Documents: list,
	}
	res := exportResult{Output: o.out, Messages: messages, Documents: len(list)}
	for i := range list {
		if err := list[i].copy(ctx, a.store, out); err != nil {
			return err
		}
		if list[i].Remark != "" {
			res.Damaged++
		}
		for _, f := range list[i].Files {
			res.Files++
			res.Bytes += f.Size
		}
		bar.update(i+1, len(list))
	}
	if err := x.write(out); err != nil {
		return err
	}
	if err := out.finish(); err != nil {
		return err
	}
	bar.done()
	if c.json {
		if err := json.NewEncoder(c.out).Encode(res); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(c.out, "%d documents de %d messages, %d fichiers, copiés dans %s\n", res.Documents, res.Messages, res.Files, o.out)
	}
	if res.Damaged == 0 {
		return nil
	}
	for _, d := range list {
		if d.Remark != "" {
			fmt.Fprintf(c.err, "document %s : %s\n", d.ID, d.Remark)
		}
	}
	return errFound
}

// planExport lists the documents that are selected.
func planExport(ctx context.Context, db *index.DB, s *selection) (list []exportDocument, messages int, err error) {
	messages, err = s.each(ctx, db, func(c chosen, _, _ int) error {
		for _, d := range c.Documents {
			list = append(list, newExportDocument(c.Parsed, d))
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, 0, err
	case messages == 0:
		return nil, 0, s.none()
	case len(list) == 0:
		return nil, 0, errors.New("aucun document n'a été reconnu dans ces messages ; « greffe prove » copie les messages eux-mêmes")
	}
	return list, messages, nil
}

// journalExport notes each document before anything is written: what leaves the house
// may be more than what was noted in no case.
func journalExport(ctx context.Context, db *index.DB, action string, list []exportDocument) error {
	id := rand.Text()
	host, _ := os.Hostname()
	for _, d := range list {
		e := index.Entry{Actor: localActor, Action: action, Subject: string(d.ID), From: host, Result: "ok", Detail: "export " + id}
		if err := db.Append(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// copy writes the files of a document. What the archive no longer holds as it was
// stored is left out and said in Remark.
func (d *exportDocument) copy(ctx context.Context, store archive.Store, out sink) error {
	for _, p := range d.plan {
		err := copyObject(ctx, store, p.object, out, p.file.File)
		switch {
		case errors.Is(err, archive.ErrDigest), errors.Is(err, archive.ErrNotFound):
			d.Remark = "un fichier manque : l'archive ne l'a plus tel qu'il a été archivé ; lancez « greffe verify --message " + string(d.ID.Message()) + " »"
		case err != nil:
			return fmt.Errorf("copier %s: %w", d.ID, err)
		default:
			d.Files = append(d.Files, p.file)
		}
	}
	return nil
}

func copyObject(ctx context.Context, store archive.Store, o greffe.Object, out sink, name string) error {
	r, err := store.Open(ctx, o)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = out.add(name, archive.Checked(r, o.Size, o.SHA256))
	return err
}

// exportIndex is index.json: what was exported. Its schema is api/export.schema.json.
type exportIndex struct {
	Format    string           `json:"format"`
	Made      time.Time        `json:"made"`
	By        string           `json:"by"`
	Selection exportSelection  `json:"selection"`
	Messages  int              `json:"messages"`
	Documents []exportDocument `json:"documents"`
}

// exportSelection says what was asked for, without the INS.
type exportSelection struct {
	Kind string `json:"kind"` // document, message, patient or period
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// write writes index.json, index.csv and, at last, SHA256SUMS.
func (x *exportIndex) write(out sink) error {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(x); err != nil {
		return err
	}
	sums := map[string]greffe.Digest{}
	var names []string
	for _, d := range x.Documents {
		for _, f := range d.Files {
			sums[f.File], names = f.SHA256, append(names, f.File)
		}
	}
	table, err := x.csv()
	if err != nil {
		return err
	}
	for _, f := range []struct{ name, text string }{{"index.csv", table}, {"index.json", b.String()}} {
		if sums[f.name], err = out.add(f.name, strings.NewReader(f.text)); err != nil {
			return err
		}
		names = append(names, f.name)
	}
	var lines strings.Builder
	for _, name := range names {
		fmt.Fprintf(&lines, "%s  %s\n", sums[name], name)
	}
	_, err = out.add("SHA256SUMS", strings.NewReader(lines.String()))
	return err
}

// sink is where an export goes: a folder or a ZIP.
type sink interface {
	// add writes a file of names that are safe everywhere. An error of r comes back
	// wrapped and leaves nothing of the file behind.
	add(name string, r io.Reader) (greffe.Digest, error)
	// finish makes the output durable under its name.
	finish() error
	// abandon removes an output that was not finished as far as it is ours.
	abandon()
}
