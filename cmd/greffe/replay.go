package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"text/tabwriter"
	"time"
)

type replayOptions struct{ all bool }

var replayCommand = command{
	name: "replay", args: "[ID…] [--all]", summary: "rejoue les événements en échec",
	help: `
Un événement qu'aucun essai n'a pu traiter est mis de côté, jamais perdu. Sans argument,
liste ces événements ; avec des ID ou --all, les redonne au service qui a échoué.

Une installation embarquée (bus.url vide) doit être arrêtée ; tant qu'elle tourne, la page
« Incidents » de la console fait la même chose.`,
	flags: func(fs *flag.FlagSet, c *call) {
		o := &replayOptions{}
		c.opt = o
		fs.BoolVar(&o.all, "all", false, "rejouer tout")
		fs.BoolVar(&c.json, "json", false, "liste en JSON")
	},
	run: runReplay,
}

func runReplay(ctx context.Context, c *call) error {
	cfg, err := loadConfig(c.config, c.data)
	if err != nil {
		return err
	}
	a := &app{cfg: cfg, log: newLogger(LogConfig{Level: "warn", Format: "text"}, c.err)}
	defer a.close()
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
