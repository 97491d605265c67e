package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

var runCommand = command{
	name: "run", args: "[SERVICE…] [--config FICHIER | --data DOSSIER]", summary: "démarre les services",
	help: `
Sans SERVICE, démarre tout dans un seul processus. Avec un ou plusieurs noms, seulement
ceux-là ; ils se retrouvent alors par le bus partagé (bus.url).

  fetcher     relève les boîtes aux lettres (IMAP)
  parser      lit les messages et leurs pièces jointes
  storage     écrit l'archive et l'index
  integrator  remet les documents aux dossiers informatisés
  notifier    répond aux expéditeurs (accusés, avis de refus)
  console     pages web

S'arrête proprement sur interruption (Ctrl-C, SIGTERM) ; un arrêt brutal ne perd rien.`,
	run: func(ctx context.Context, c *call) error {
		names, err := pickServices(c.args)
		if err != nil {
			return err
		}
		cfg, err := loadConfig(c.config, c.data)
		if err != nil {
			return err
		}
		var problems []string
		for _, p := range cfg.validateServices(names) {
			problems = append(problems, at(c.config, nil, p))
		}
		if len(problems) > 0 {
			return &ConfigError{problems}
		}
		log := newLogger(cfg.Log, c.err)
		a, err := newApp(ctx, cfg, log, names)
		if err != nil {
			return err
		}
		if slices.Contains(names, "fetcher") && len(cfg.Mailboxes) == 0 {
			log.Warn("no mailbox is configured: nothing will be fetched")
		}
		log.Info("greffe runs", "version", versionString(), "services", strings.Join(names, ","))
		err = a.run(ctx)
		log.Info("greffe stops")
		return errors.Join(err, a.close())
	},
}

// pickServices checks the names of services; none means all.
func pickServices(args []string) ([]string, error) {
	if len(args) == 0 {
		return serviceNames, nil
	}
	var names []string
	for _, a := range args {
		if !slices.Contains(serviceNames, a) {
			return nil, fmt.Errorf("%w : service inconnu : %q ; services : %s", errUsage, a, strings.Join(serviceNames, ", "))
		}
		if !slices.Contains(names, a) {
			names = append(names, a)
		}
	}
	return names, nil
}
