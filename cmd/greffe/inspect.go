package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
	"greffe/pkg/ins"
	"greffe/pkg/pdf"
	"greffe/services/parser"
)

var inspectCommand = command{
	name: "inspect", args: "FICHIER… [--json]", summary: "lit un message ou un document comme Greffe le ferait",
	help: `
Lit chaque FICHIER (message .eml, archive XDM .zip, CDA .xml, PDF ou tout autre fichier)
comme Greffe lirait une pièce reçue, sans configuration ni serveur : verdict, documents avec
leur patient, parties, constats. Le contenu décide, jamais le nom. Rien n'est archivé ni
envoyé. « - » lit l'entrée standard.

Avec --json, un objet par ligne ; son schéma est api/inspect.schema.json. « greffe rules »
explique chaque règle citée.

Avec --config ou --data, un identifiant de MESSAGE (26 caractères) montre ce qui en a été
lu et archivé, d'après son manifeste dans l'archive.

Sort avec 0 si chaque fichier a pu être jugé, quel que soit le verdict ; 1 si l'un n'a pu être lu ;
2 si la commande est mal écrite.`,
	flags: func(fs *flag.FlagSet, c *call) {
		o := &inspectOptions{}
		c.opt = o
		fs.StringVar(&o.environment, "environment", "any", "`INS` admis : production, test ou any")
		fs.BoolVar(&c.json, "json", false, "un objet JSON par fichier")
	},
	run: runInspect,
}

type inspectOptions struct{ environment string }

// accepted returns which identities the caller lets pass.
func (o *inspectOptions) accepted() (ins.Environment, error) {
	env := ins.Environment(o.environment)
	if env != ins.Production && env != ins.Test && env != ins.Any {
		return "", fmt.Errorf("%w : --environment attend production, test ou any", errUsage)
	}
	return env, nil
}

func runInspect(ctx context.Context, c *call) error {
	if len(c.args) == 0 {
		return fmt.Errorf("%w : un fichier est attendu", errUsage)
	}
	env, err := c.opt.(*inspectOptions).accepted()
	if err != nil {
		return err
	}
	checker := pdf.New(pdf.Config{Workers: 1})
	defer checker.Close()
	p := parser.New(parser.Config{Environment: env, Version: versionString()}, nil, checker, newLogger(LogConfig{Level: "error"}, c.err))
	var failed bool
	var store archive.Store
	if c.config != "" || c.data != "" {
		cfg, err := loadConfig(c.config, c.data)
		if err != nil {
			return err
		}
		if store, err = openStore(ctx, cfg, newLogger(LogConfig{Level: "error"}, c.err)); err != nil {
			return fmt.Errorf("archive: %w", err)
		}
		defer store.Close()
	}
	encoder := json.NewEncoder(c.out)
	encoder.SetEscapeHTML(false) // addresses stay readable
	for i, path := range c.args {
		parsed, err := inspectArchived(ctx, store, path)
		if errors.Is(err, errNoMessage) {
			parsed, err = inspectFile(ctx, p, c.in, path)
		}
		if err != nil {
			fmt.Fprintf(c.err, "greffe inspect : %s : %s\n", path, unread(err))
			failed = true
			continue
		}
		if c.json {
			if err := encoder.Encode(inspectionOf(path, parsed)); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(c.out)
		}
		if err := report(c.out, path, parsed); err != nil {
			return err
		}
	}
	if failed {
		return errFound
	}
	return nil
}

var errNoMessage = errors.New("not a message of the archive")

// inspectArchived returns what was read of an archived message; errNoMessage when
// no archive is open or id is not one of its messages.
func inspectArchived(ctx context.Context, store archive.Store, id string) (greffe.Parsed, error) {
	if store == nil || !greffe.MessageID(id).Valid() {
		return greffe.Parsed{}, errNoMessage
	}
	m, _, err := archive.FindManifest(ctx, store, greffe.MessageID(id))
	if errors.Is(err, archive.ErrNotFound) {
		return greffe.Parsed{}, errNoMessage
	}
	if err != nil {
		return greffe.Parsed{}, err
	}
	return m.Parsed, nil
}

// maxInspect bounds a file given to inspect; larger ones are for the pipeline.
const (
	maxInspect = 1 << 30
	maxMemory  = 64 << 20 // of a stream that is held in memory
)

func inspectFile(ctx context.Context, p *parser.Parser, stdin io.Reader, path string) (greffe.Parsed, error) {
	if path == "-" {
		return inspectStream(ctx, p, stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return greffe.Parsed{}, err
	}
	defer f.Close()
	fi, err := f.Stat()
	switch {
	case err != nil:
		return greffe.Parsed{}, err
	case fi.IsDir():
		return greffe.Parsed{}, errors.New("c'est un dossier ; « greffe selftest DOSSIER » lit tout ce qu'il contient")
	case !fi.Mode().IsRegular():
		return inspectStream(ctx, p, f)
	}
	return inspectTwice(ctx, p, f, fi.ModTime(), filepath.Base(path))
}

// inspectStream reads what cannot be read twice: from memory when it is small, which
// most is, else from a temporary copy.
func inspectStream(ctx context.Context, p *parser.Parser, r io.Reader) (greffe.Parsed, error) {
	begin, err := io.ReadAll(io.LimitReader(r, maxMemory))
	if err != nil {
		return greffe.Parsed{}, err
	}
	if len(begin) < maxMemory {
		return inspectTwice(ctx, p, bytes.NewReader(begin), time.Now(), "")
	}
	tmp, err := os.CreateTemp("", "greffe-inspect-")
	if err != nil {
		return greffe.Parsed{}, fmt.Errorf("copie temporaire : %w", err)
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	if _, err := io.Copy(tmp, io.LimitReader(io.MultiReader(bytes.NewReader(begin), r), maxInspect+1)); err != nil {
		return greffe.Parsed{}, err
	}
	return inspectTwice(ctx, p, tmp, time.Now(), "")
}

// inspectTwice reads a file for its digest, which is part of the message id, and then
// for what it holds.
func inspectTwice(ctx context.Context, p *parser.Parser, r io.ReadSeeker, at time.Time, name string) (greffe.Parsed, error) {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return greffe.Parsed{}, err
	}
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(r, maxInspect+1))
	if err != nil {
		return greffe.Parsed{}, err
	}
	if n > maxInspect {
		return greffe.Parsed{}, fmt.Errorf("plus de %s", Size(maxInspect))
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return greffe.Parsed{}, err
	}
	sum := greffe.DigestFrom(h.Sum(nil))
	origin := greffe.Origin{InternalDate: at.UTC()}
	return p.ParseFile(ctx, greffe.Received{ID: greffe.NewMessageID(origin, sum), Origin: origin, Size: n, SHA256: sum, At: at.UTC()}, name, r)
}

// unread says why a file could not be read: in words when it is about the file
// itself, else as the machine says it.
func unread(err error) string {
	if _, ok := err.(*fs.PathError); ok { // not what is behind: that would be another file
		return reason(err)
	}
	return err.Error()
}
