package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/index"
	"greffe/services/console"
	"greffe/services/fetcher"
	"greffe/services/integrator"
	"greffe/services/notifier"
)

var checkCommand = command{
	name: "check", args: "[--config FICHIER | --data DOSSIER] [--json]", summary: "essaie chaque connexion et dit quoi réparer",
	help: `
Lit la configuration puis essaie, pour de vrai, chaque boîte aux lettres, le bus, l'archive,
l'index, l'antivirus et chaque DI. Pour chacun : ce qui marche, ce qui ne marche pas, et comment le
réparer. Rien n'est modifié, sauf un objet d'essai dans l'archive.

Quand une autorité d'horodatage est configurée (journal.timestamp), un jeton d'essai lui est
demandé à chaque fois : selon votre contrat, il peut être compté et facturé.

Sort avec 1 si quelque chose ne marche pas.`,
	flags: func(fs *flag.FlagSet, c *call) { fs.BoolVar(&c.json, "json", false, "résultat en JSON") },
	run:   runCheck,
}

// result is one thing that was tried.
type result struct {
	Target string `json:"target"` // what: "archive", "boîte a@b"
	Name   string `json:"name"`   // which aspect
	OK     bool   `json:"ok"`
	Text   string `json:"text"` // French: what was found and, when not OK, what to do
}

// checkTimeout bounds the trial of one connection.
const checkTimeout = 30 * time.Second

func runCheck(ctx context.Context, c *call) error {
	cfg, err := loadConfig(c.config, c.data)
	if err != nil {
		return err
	}
	results := checkAll(ctx, cfg)
	bad := 0
	for _, r := range results {
		if !r.OK {
			bad++
		}
	}
	if c.json {
		if err := json.NewEncoder(c.out).Encode(results); err != nil {
			return err
		}
	} else {
		printResults(c.out, results)
		if bad == 0 {
			fmt.Fprintln(c.out, "\nTout marche.")
		} else {
			fmt.Fprintf(c.out, "\n%d point(s) à réparer.\n", bad)
		}
	}
	if bad > 0 {
		return errFound
	}
	return nil
}

func printResults(w io.Writer, results []result) {
	target := ""
	for _, r := range results {
		if r.Target != target {
			target = r.Target
			fmt.Fprintf(w, "\n%s\n", target)
		}
		mark := "  ✓ "
		if !r.OK {
			mark = "  ✗ "
		}
		fmt.Fprintf(w, "%s%s : %s\n", mark, r.Name, r.Text)
	}
}

// checkAll tries everything at once; the results keep the order of the configuration.
func checkAll(ctx context.Context, cfg *Config) []result {
	// The trials open the parts with a logger that stays silent: what they find is
	// told in the results.
	a := &app{cfg: cfg, log: newLogger(LogConfig{Level: "error", Format: "text"}, io.Discard)}
	defer a.close()
	trials := []func(context.Context) []result{
		func(context.Context) []result { return checkDataDir(cfg) },
		a.checkBus, a.checkArchive, a.checkIndex, a.checkJournal,
		func(ctx context.Context) []result { return checkAntivirus(ctx, cfg) },
		func(ctx context.Context) []result { return checkSchemas(ctx, cfg) },
	}
	for _, m := range fetcherConfig(cfg).Mailboxes {
		trials = append(trials, func(ctx context.Context) []result {
			var out []result
			for _, r := range fetcher.CheckMailbox(ctx, m) {
				out = append(out, result{"boîte " + m.Address, r.Name, r.OK, r.Text})
			}
			return out
		})
	}
	for _, d := range integratorConfig(cfg).DIs {
		trials = append(trials, func(ctx context.Context) []result {
			var out []result
			for _, r := range integrator.CheckDI(ctx, d) {
				out = append(out, result{"DI " + d.Name, r.Name, r.OK, r.Text})
			}
			return out
		})
	}
	if len(cfg.DI) > 0 {
		trials = append(trials, a.checkQueues)
	}
	trials = append(trials, func(ctx context.Context) []result {
		var out []result
		for _, r := range console.CheckOIDC(ctx, oidcConfig(cfg), cfg.Console.PublicURL) {
			out = append(out, result{"fournisseur d'identité", r.Name, r.OK, r.Text})
		}
		return out
	})
	trials = append(trials, func(ctx context.Context) []result {
		var out []result
		for _, r := range notifier.CheckAnswers(ctx, notifierConfig(cfg)) {
			out = append(out, result{"réponses aux expéditeurs", r.Name, r.OK, r.Text})
		}
		return out
	})
	lists := make([][]result, len(trials))
	var wg sync.WaitGroup
	for i, f := range trials {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, checkTimeout)
			defer cancel()
			lists[i] = f(ctx)
		})
	}
	wg.Wait()
	var out []result
	for _, l := range lists {
		out = append(out, l...)
	}
	if len(cfg.Mailboxes) == 0 {
		out = append(out, result{"boîtes", "configuration", false, "aucune boîte aux lettres n'est configurée : ajouter mailboxes"})
	}
	if len(cfg.DI) == 0 {
		out = append(out, result{"DI", "configuration", true, "aucun DI n'est configuré : les documents sont archivés et montrés, sans envoi"})
	}
	return out
}

func checkDataDir(cfg *Config) []result {
	r := result{Target: "dossier des données", Name: cfg.DataDir, OK: true, Text: "accessible en écriture"}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		r.OK, r.Text = false, "ne peut pas être créé ("+reason(err)+") : donner un autre data_dir ou ses droits"
		return []result{r}
	}
	f, err := os.CreateTemp(cfg.DataDir, ".check-")
	if err != nil {
		r.OK, r.Text = false, "n'est pas accessible en écriture ("+reason(err)+") : donner ses droits à l'utilisateur du service"
		return []result{r}
	}
	f.Close()
	os.Remove(f.Name())
	return []result{r}
}

func (a *app) checkBus(ctx context.Context) []result {
	target := "bus embarqué"
	if a.cfg.Bus.URL != "" {
		target = "bus " + a.cfg.Bus.URL
	}
	b, err := bus.Open(ctx, bus.Config{
		URL: a.cfg.Bus.URL, Dir: a.cfg.dir("bus"), Credentials: a.cfg.Bus.Credentials,
		CA: a.cfg.Bus.CA, Certificate: a.cfg.Bus.Certificate, Replicas: a.cfg.Bus.Replicas,
	}, a.log)
	if err != nil {
		text := "ne répond pas (" + err.Error() + ") : vérifier bus.url, les certificats et que le serveur NATS a JetStream"
		if a.cfg.Bus.URL == "" {
			text = "ne s'ouvre pas (" + err.Error() + ") : une installation embarquée ne s'ouvre qu'une fois ; si elle tourne déjà, tout va bien de ce côté"
		}
		return []result{{target, "connexion", false, text}}
	}
	defer b.Close()
	st, err := b.Status(ctx)
	if err != nil {
		return []result{{target, "état", false, "l'état ne peut pas être lu (" + err.Error() + ")"}}
	}
	out := []result{{target, "connexion", true, "JetStream répond"}}
	standings, err := b.Standings(ctx)
	if err != nil {
		out = append(out, result{target, "services", false, "ce que disent les services ne peut pas être lu (" + err.Error() + ")"})
	}
	for _, s := range standings {
		switch about := s.Service + " (" + s.Instance + ")"; {
		case s.Trouble != "":
			out = append(out, result{target, about, false, s.Trouble})
		case s.Warning != "":
			out = append(out, result{target, about, true, "attention : " + s.Warning})
		}
	}
	if st.DeadLetters > 0 {
		out = append(out, result{target, "événements en échec", false, fmt.Sprintf("%d événement(s) attendent une personne : « greffe replay » les montre", st.DeadLetters)})
	}
	return out
}

func (a *app) checkArchive(ctx context.Context) []result {
	target := "archive (dossier)"
	if a.cfg.Archive.S3.Endpoint != "" {
		target = "archive " + a.cfg.Archive.S3.Endpoint
	}
	store, err := openStore(ctx, a.cfg, a.log)
	if err != nil {
		return []result{{target, "ouverture", false, "ne s'ouvre pas (" + err.Error() + ")"}}
	}
	defer store.Close()
	var out []result
	for _, c := range store.Check(ctx) {
		out = append(out, result{target, c.Name, c.OK, c.Text})
	}
	return out
}

func (a *app) checkIndex(ctx context.Context) []result {
	target := "index (SQLite)"
	if a.cfg.Index.DSN != "" {
		target = "index (PostgreSQL)"
	}
	db, err := index.Open(ctx, dsn(a.cfg), a.log)
	if err != nil {
		return []result{{target, "ouverture", false, "ne s'ouvre pas (" + err.Error() + ") : vérifier index.dsn et les droits sur la base"}}
	}
	defer db.Close()
	if err := db.Ping(ctx); err != nil {
		return []result{{target, "requête", false, "ne répond pas (" + err.Error() + ")"}}
	}
	users, err := db.Users(ctx)
	if err != nil {
		return []result{{target, "comptes", false, "illisibles (" + err.Error() + ")"}}
	}
	out := []result{{target, "schéma", true, "à jour"}}
	if len(users) == 0 {
		out = append(out, result{target, "comptes", false, "aucun compte : « greffe users add LOGIN --role admin » en crée un"})
	} else {
		out = append(out, result{target, "comptes", true, fmt.Sprintf("%d compte(s)", len(users))})
	}
	return out
}
