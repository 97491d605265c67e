package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"greffe/services/storage"
)

type verifyOptions struct{ full bool }

var verifyCommand = command{
	name: "verify", args: "[--full] [--json]", summary: "vérifie que l'archive et l'index concordent",
	help: `
Parcourt tous les messages de l'index et tous les manifestes de l'archive : chaque message
a son manifeste, chaque partie et chaque document son objet, chaque manifeste sa ligne
d'index, et la chaîne du journal est intacte. Un objet de trop est signalé, il n'est pas une
faute ; un objet qui manque ou qui diffère en est une.

Avec --full, relit tous les octets et recalcule les empreintes.
Sort avec 1 au moindre doute.`,
	flags: func(fs *flag.FlagSet, c *call) {
		o := &verifyOptions{}
		c.opt = o
		fs.BoolVar(&o.full, "full", false, "relire tous les octets")
		fs.BoolVar(&c.json, "json", false, "résultat en JSON")
	},
	run: runVerify,
}

func runVerify(ctx context.Context, c *call) error {
	cfg, err := loadConfig(c.config, c.data)
	if err != nil {
		return err
	}
	a := &app{cfg: cfg, log: newLogger(LogConfig{Level: "warn", Format: "text"}, c.err)}
	defer a.close()
	if err := a.openArchive(ctx); err != nil {
		return err
	}
	if err := a.openIndex(ctx); err != nil {
		return err
	}
	bar := newProgress(c.err, "vérification")
	rep, err := storage.Verify(ctx, a.store, a.db, storage.VerifyOptions{Full: c.opt.(*verifyOptions).full, Progress: bar.update})
	bar.done()
	if err != nil {
		return fmt.Errorf("vérification interrompue: %w", err)
	}
	if c.json {
		if err := json.NewEncoder(c.out).Encode(rep); err != nil {
			return err
		}
	} else {
		fmt.Fprint(c.out, rep.String())
	}
	if !rep.OK() {
		return errFound
	}
	return nil
}

// progress is one line on a terminal that says how far a long work is; nothing
// where no person watches.
type progress struct {
	w    io.Writer
	what string
	on   bool
}

func newProgress(w io.Writer, what string) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, what: what, on: ok && term.IsTerminal(int(f.Fd()))}
}

func (p *progress) update(done, total int) {
	if p.on && total > 0 {
		fmt.Fprintf(p.w, "\r\x1b[K%s : %d / %d (%d %%)", p.what, done, total, 100*done/total)
	}
}

func (p *progress) done() {
	if p.on {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
