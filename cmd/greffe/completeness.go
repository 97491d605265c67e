package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // days of the hospital, also where the system has no zone files

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

type completenessOptions struct{ mailbox, day string }

var completenessCommand = command{
	name: "completeness", args: "[--mailbox ADRESSE] [--day JOUR] [--json]", summary: "compare ce que les boîtes ont reçu à ce que l'archive contient",
	help: `
Pour une boîte et un jour : combien de messages la relève a vus sur le serveur, combien sont
archivés, intégrés par le dossier informatisé, retenus pour une personne, et la liste des
messages (UID) vus qui manquent à l'archive. Le jour d'un message est celui de sa date de
dépôt sur le serveur (INTERNALDATE), dans le fuseau « timezone » de la configuration ; sans
date donnée par le serveur, celui où il a été vu la première fois.

« Vu sur le serveur » vient des rapprochements de la relève, qui annonce ce qu'elle voit avant
de le prendre ; cette commande lit l'index et ne se connecte à aucune boîte. Elle peut être
lancée pendant que Greffe fonctionne. Un jour n'est complet que si chaque dossier de la boîte a
été rapproché du serveur après sa fin.

Le même constat est inscrit au journal pour chaque boîte et chaque jour écoulé, puis scellé
avec lui ; il l'est de nouveau si des messages de ce jour arrivent plus tard. La page
« Système » de la console montre le dernier.

Sans --mailbox : toutes les boîtes configurées. Sans --day : hier.
Sort avec 1 s'il manque un message ou si un dossier n'a pas été rapproché.`,
	flags: func(fs *flag.FlagSet, c *call) {
		o := &completenessOptions{}
		c.opt = o
		fs.StringVar(&o.mailbox, "mailbox", "", "`ADRESSE` d'une boîte configurée")
		fs.StringVar(&o.day, "day", "", "`JOUR` : AAAA-MM-JJ ou JJ/MM/AAAA, « hier » ou « aujourd'hui »")
		fs.BoolVar(&c.json, "json", false, "résultat en JSON (api/completeness.schema.json)")
	},
	run: runCompleteness,
}

// watched lists the configured mailboxes with their folders as the fetcher calls them.
func watched(cfg *Config) []index.Watched {
	var list []index.Watched
	for _, m := range cfg.Mailboxes {
		w := index.Watched{Address: m.Address}
		for _, f := range m.Folders {
			if strings.EqualFold(f, "INBOX") {
				f = "INBOX"
			}
			w.Folders = append(w.Folders, f)
		}
		list = append(list, w)
	}
	return list
}

// zone is the time zone of the hospital; validation made sure that there is one.
func (c *Config) zone() *time.Location {
	l, err := time.LoadLocation(c.Timezone)
	if err != nil {
		return time.UTC
	}
	return l
}

// statedDay reads a day as people write it, at midnight in the zone of now.
func statedDay(s string, now time.Time) (time.Time, error) {
	y, m, d := now.Date()
	today := time.Date(y, m, d, 0, 0, 0, 0, now.Location())
	switch strings.ToLower(s) {
	case "", "hier":
		return today.AddDate(0, 0, -1), nil
	case "aujourd'hui", "aujourd’hui":
		return today, nil
	}
	for _, form := range []string{time.DateOnly, "02/01/2006"} {
		if t, err := time.ParseInLocation(form, s, now.Location()); err == nil {
			if t.After(today) {
				return t, fmt.Errorf("%w : le jour %s n'est pas encore commencé", errUsage, s)
			}
			return t, nil
		}
	}
	return today, fmt.Errorf("%w : jour %q illisible ; AAAA-MM-JJ est attendu, par exemple 2026-11-22", errUsage, s)
}

func runCompleteness(ctx context.Context, c *call) error {
	o := c.opt.(*completenessOptions)
	cfg, err := loadConfig(c.config, c.data)
	if err != nil {
		return err
	}
	day, err := statedDay(o.day, time.Now().In(cfg.zone()))
	if err != nil {
		return err
	}
	boxes := watched(cfg)
	if o.mailbox != "" {
		boxes = slices.DeleteFunc(boxes, func(w index.Watched) bool { return !strings.EqualFold(w.Address, o.mailbox) })
		if len(boxes) == 0 {
			return fmt.Errorf("%w : la boîte %s n'est pas dans la configuration", errUsage, o.mailbox)
		}
	}
	if len(boxes) == 0 {
		return fmt.Errorf("%w : aucune boîte n'est configurée", errUsage)
	}
	a := &app{cfg: cfg, log: newLogger(LogConfig{Level: "warn", Format: "text"}, c.err)}
	defer a.close()
	if err := a.openIndex(ctx); err != nil {
		return err
	}
	bar := newProgress(c.err, "boîtes")
	list := []greffe.Statement{}
	for i, w := range boxes {
		bar.update(i, len(boxes))
		s, err := a.db.Completeness(ctx, w, day)
		if err != nil {
			bar.done()
			return fmt.Errorf("boîte %s: %w", w.Address, err)
		}
		list = append(list, s)
	}
	bar.done()
	if c.json {
		enc := json.NewEncoder(c.out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(map[string]any{"version": 1, "timezone": cfg.Timezone, "statements": list}); err != nil {
			return err
		}
	} else {
		writeStatements(c.out, list, day, cfg.zone())
	}
	if slices.ContainsFunc(list, func(s greffe.Statement) bool { return !s.OK() }) {
		return errFound
	}
	return nil
}

// writeStatements writes what a person reads: one paragraph for each mailbox.
func writeStatements(w io.Writer, list []greffe.Statement, day time.Time, zone *time.Location) {
	fmt.Fprintf(w, "Journée du %s (%s)\n", day.Format("02/01/2006"), zone)
	for _, s := range list {
		missing := fmt.Sprintf("%d UID manquant", s.Missing)
		if s.Missing > 1 {
			missing += "s"
		}
		fmt.Fprintf(w, "\n%s\n  %s vus sur le serveur, %d archivés, %d intégrés, %d retenus, %s\n", s.Mailbox,
			count(s.Seen, "message"), s.Archived, s.Delivered, s.Held, missing)
		if s.Pending > 0 || s.Settled > 0 {
			fmt.Fprintf(w, "  dont %d en cours, %d sans suite à donner\n", s.Pending, s.Settled)
		}
		if s.Unread > 0 {
			fmt.Fprintf(w, "  %d non téléchargés, encore dans la boîte : la file de la console dit pourquoi\n", s.Unread)
		}
		for _, m := range s.MissingUIDs {
			at := "sans date"
			if !m.InternalDate.IsZero() {
				at = "déposé le " + m.InternalDate.In(zone).Format("02/01/2006 à 15:04")
			}
			fmt.Fprintf(w, "  MANQUE  dossier %s, UIDVALIDITY %d, UID %d, %s\n", m.Folder, m.UIDValidity, m.UID, at)
		}
		if more := s.Missing - len(s.MissingUIDs); more > 0 {
			fmt.Fprintf(w, "  … et %d autres\n", more)
		}
		if s.Missing > 0 {
			fmt.Fprintln(w, "  La relève reprend d'elle-même ce qui est encore sur le serveur : voir la page « Système » de la console si cela dure. Un message\n  retiré de la boîte avant d'avoir été pris est à demander de nouveau à son expéditeur.")
		}
		for _, f := range s.Late {
			fmt.Fprintf(w, "  DOUTE   le dossier %s n'a pas été rapproché du serveur depuis la fin de cette journée : vérifier que la relève fonctionne\n", f)
		}
		if !s.Compared.IsZero() {
			fmt.Fprintf(w, "  dernier rapprochement de tous les dossiers : %s\n", s.Compared.In(zone).Format("02/01/2006 à 15:04"))
		}
	}
}
