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

	"greffe/pkg/evidence"
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
	host, _ := os.Hostname()
	what := storage.Proof{
		Scope: evidence.Scope{Kind: o.kind(), From: o.from, To: o.to}, By: "greffe " + versionString(),
		Actor: localActor, From: host, Name: rand.Text(), Progress: bar.update,
	}
	if what.Authorities, err = authorities(cfg.Journal.Timestamp.CA); err != nil {
		return err
	}
	n, err := o.each(ctx, a.db, func(m chosen, _, _ int) error {
		what.Chosen = append(what.Chosen, m.Lean())
		return nil
	})
	if err != nil {
		return err
	}
	if n == 0 {
		return o.none()
	}
	rec, rep, err := storage.NewSealer(a.store, a.db, key, a.log).Prove(ctx, out, what)
	if err != nil {
		return err
	}
	size, err := out.Seek(0, io.SeekEnd)
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
