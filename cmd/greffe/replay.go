package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"text/tabwriter"
	"time"
)

type replayOptions struct {
	all bool
	di  string
	selection
}

var replayCommand = command{
	name: "replay", args: "[ID…] [--all] | --di DI --from JOUR --to JOUR", summary: "rejoue les événements en échec, ou une journée vers un DI d'essai",
	help: `
Un événement qu'aucun essai n'a pu traiter est mis de côté, jamais perdu. Sans argument,
liste ces événements ; avec des ID ou --all, les redonne au service qui a échoué.

Une installation embarquée (bus.url vide) doit être arrêtée ; tant qu'elle tourne, la page
« Incidents » de la console fait la même chose.

Avec --di, renvoie à un DI d'essai (di.test: true dans la configuration) les documents reçus
du premier au dernier jour inclus que les vrais DI ont intégrés ou refusés, dans leur ordre
d'arrivée : de quoi essayer une nouvelle version d'un dossier sur de vrais messages. Rien ne
change à l'état des documents ; chaque renvoi est inscrit au journal de preuve (replayed).
Greffe peut tourner pendant ce temps. Sort avec 1 si le DI d'essai refuse un document que le
vrai DI a intégré.`,
	flags: func(fs *flag.FlagSet, c *call) {
		o := &replayOptions{}
		c.opt = o
		fs.BoolVar(&o.all, "all", false, "rejouer tout")
		fs.StringVar(&o.di, "di", "", "`NOM` du DI d'essai à qui renvoyer")
		fs.StringVar(&o.from, "from", "", "premier `JOUR` de réception, par exemple 2026-11-22")
		fs.StringVar(&o.to, "to", "", "dernier `JOUR`, inclus")
		fs.BoolVar(&c.json, "json", false, "résultat en JSON")
	},
	run: runReplay,
}

func runReplay(ctx context.Context, c *call) error {
	cfg, err := loadConfig(c.config, c.data)
	if err != nil {
		return err
	}
	o := c.opt.(*replayOptions)
	a := &app{cfg: cfg, log: newLogger(LogConfig{Level: "warn", Format: "text"}, c.err)}
	defer a.close()
	if o.di != "" {
		if len(c.args) > 0 || o.all {
			return fmt.Errorf("%w : --di ne va pas avec des ID ni avec --all", errUsage)
		}
		return a.replayDays(ctx, c, o)
	}
	if o.from != "" || o.to != "" {
		return fmt.Errorf("%w : --from et --to demandent --di, le DI d'essai", errUsage)
	}
	if err := a.openBus(ctx); err != nil {
		return err
	}
	letters, err := a.bus.DeadLetters(ctx)
	if err != nil {
		return fmt.Errorf("lire les événements en échec: %w", err)
	}
	ids := c.args
	if c.opt.(*replayOptions).all {
		for _, l := range letters {
			ids = append(ids, l.ID)
		}
	}
	for _, id := range ids {
		if err := a.bus.Replay(ctx, id); err != nil {
			return fmt.Errorf("rejouer %s: %w", id, err)
		}
		fmt.Fprintf(c.out, "rejoué : %s\n", id)
	}
	if len(ids) > 0 {
		return nil
	}
	if c.json {
		type row struct {
			ID       string    `json:"id"`
			Consumer string    `json:"consumer"`
			Topic    string    `json:"topic"`
			Attempts int       `json:"attempts"`
			Error    string    `json:"error"`
			At       time.Time `json:"at"`
		}
		rows := []row{}
		for _, l := range letters {
			rows = append(rows, row{l.ID, l.Consumer, l.Topic, l.Attempts, l.Error, l.At})
		}
		return json.NewEncoder(c.out).Encode(rows)
	}
	if len(letters) == 0 {
		fmt.Fprintln(c.out, "aucun événement en échec")
		return nil
	}
	w := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSERVICE\tDEPUIS\tESSAIS\tERREUR")
	for _, l := range letters {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", l.ID, l.Consumer, l.At.Local().Format("02/01/2006 15:04"), l.Attempts, l.Error)
	}
	return w.Flush()
}
