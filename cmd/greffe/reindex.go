package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"

	"greffe/pkg/index"
	"greffe/services/storage"
)

type reindexOptions struct{ replace bool }

var reindexCommand = command{
	name: "reindex", args: "[--replace] [--json]", summary: "reconstruit l'index à partir de la seule archive",
	help: `
Quand l'index est perdu, abîmé ou ne dit pas ce que dit l'archive (« greffe verify »). Arrêtez
d'abord tous les services. L'index configuré (fichier SQLite ou base PostgreSQL) doit être
vide ; avec --replace, ce qu'il contient est effacé : sauvegardez-le avant.

Reviennent de l'archive : les messages et documents avec leurs états, les envois, les
décisions, les doublons et versions, les compteurs, les mots de recherche, le journal et ses
scellés. Le journal scellé est vérifié en entier (suite, racines, signatures) avant que quoi
que ce soit ne soit effacé.

Ne sont pas dans l'archive, et donc ne reviennent pas :
  - la fin du journal qui n'avait pas encore été scellée (au plus une minute après un arrêt
    brutal ; rien après un arrêt propre). Avec --replace, elle est scellée d'abord si l'ancien
    index le permet ;
  - les comptes locaux et les connexions ouvertes (avec --replace, les comptes restent) :
    « greffe users add » les recrée ;
  - le suivi des accusés envoyés aux expéditeurs et le motif écrit des conservations
    renforcées (avec --replace, ils restent) ; les verrous eux-mêmes sont dans l'archive.

Une reconstruction interrompue laisse un index que les services refusent d'ouvrir :
relancez « greffe reindex --replace ». À la fin, lancez « greffe verify ».

Sort avec 1 si quelque chose n'a pas pu être repris.`,
	flags: func(fs *flag.FlagSet, c *call) {
		o := &reindexOptions{}
		c.opt = o
		fs.BoolVar(&o.replace, "replace", false, "effacer ce que l'index contient")
		fs.BoolVar(&c.json, "json", false, "résultat en JSON")
	},
	run: runReindex,
}

func runReindex(ctx context.Context, c *call) error {
	replace := c.opt.(*reindexOptions).replace
	cfg, err := loadConfig(c.config, c.data)
	if err != nil {
		return err
	}
	a := &app{cfg: cfg, log: newLogger(LogConfig{Level: "warn", Format: "text"}, c.err)}
	defer a.close()
	if err := a.openArchive(ctx); err != nil {
		return err
	}
	if replace {
		a.sealOld(ctx)
	}
	db, err := index.OpenToRebuild(ctx, dsn(cfg), a.log)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	a.db = db
	a.closers = append(a.closers, db.Close)
	bar := newProgress(c.err, "messages repris")
	r, err := storage.Reindex(ctx, a.store, db, replace, verifyConfig(cfg).Keys, bar.count)
	bar.done()
	switch {
	case errors.Is(err, index.ErrNotEmpty):
		return errors.New("l'index n'est pas vide : --replace efface ce qu'il contient ; sauvegardez-le avant")
	case errors.Is(err, storage.ErrEvidence):
		return fmt.Errorf("le journal scellé de l'archive est incomplet ou altéré, rien n'a été effacé : restaurez l'archive depuis une sauvegarde, « greffe verify » dit où (%w)", err)
	case err != nil:
		return fmt.Errorf("reconstruction interrompue, à relancer avec --replace : %w", err)
	}
	if c.json {
		if err := json.NewEncoder(c.out).Encode(r); err != nil {
			return err
		}
	} else {
		printReindexed(c, r)
	}
	if len(r.Damaged) > 0 {
		return errFound
	}
	return nil
}

// sealOld seals what the index that is about to be replaced still holds of the
// journal. It is an index in doubt: what cannot be sealed is told, and lost.
func (a *app) sealOld(ctx context.Context) {
	db, err := index.Open(ctx, dsn(a.cfg), a.log)
	if errors.Is(err, index.ErrRebuilding) {
		return
	}
	if err == nil {
		defer db.Close()
		if n, _, err2 := db.Unsealed(ctx); err2 == nil && n == 0 {
			return
		}
		if key, err2 := readKey(keyPath(a.cfg)); err2 != nil {
			err = err2
		} else {
			_, err = storage.NewSealer(a.store, db, key, a.log).SealAll(ctx)
		}
	}
	if err != nil {
		a.log.LogAttrs(ctx, slog.LevelWarn, "the end of the journal could not be sealed and is lost", slog.Any("error", err))
	}
}

func printReindexed(c *call, r storage.Reindexed) {
	fmt.Fprintf(c.out, "%d messages repris de leurs manifestes, %d reçus et pas encore lus, %d envois et décisions.\n", r.Messages, r.Received, r.Life)
	if r.Entries > 0 {
		fmt.Fprintf(c.out, "Journal repris jusqu'à l'entrée %d, scellée, du %s (%d scellés) ; ce que l'ancien index savait après elle et n'avait pas scellé est perdu.\n",
			r.Entries, r.SealedAt.Local().Format("02/01/2006 15:04:05"), r.Seals)
	} else {
		fmt.Fprintln(c.out, "L'archive ne contient aucun journal scellé : le journal commence à nouveau, et ce qui était advenu des documents est perdu.")
	}
	if r.Without > 0 {
		fmt.Fprintf(c.out, "%d envois ou décisions concernent des documents éliminés, ou dont le manifeste manque.\n", r.Without)
	}
	for _, id := range r.Unlisted {
		fmt.Fprintf(c.out, "  message %s : brut dans l'archive, inconnu du journal scellé ; il est repris au prochain rapprochement de sa boîte aux lettres\n", id)
	}
	for _, id := range r.Damaged {
		fmt.Fprintf(c.out, "  message %s : manifeste illisible ; à restaurer depuis une sauvegarde de l'archive, puis relancer greffe reindex --replace\n", id)
	}
	fmt.Fprintln(c.out, "Les comptes locaux et les connexions ne sont pas dans l'archive : « greffe users » les montre et les recrée.")
	fmt.Fprintf(c.out, "Terminé en %.1f s. Lancez « greffe verify » avant de redémarrer les services.\n", r.Seconds)
}
