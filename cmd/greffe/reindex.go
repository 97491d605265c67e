package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"

	"greffe/pkg/index"
	"greffe/services/storage"
)

type reindexOptions struct{ replace, partial bool }

var reindexCommand = command{
	name: "reindex", args: "[--replace [--partial]] [--json]", summary: "reconstruit l'index à partir de la seule archive",
	help: `
Quand l'index est perdu, abîmé ou ne dit pas ce que dit l'archive (« greffe verify »). Arrêtez
d'abord tous les services. L'index configuré (fichier SQLite ou base PostgreSQL) doit être
vide ; avec --replace, ce qu'il contient est effacé : sauvegardez-le avant.

Reviennent de l'archive : les messages et documents avec leurs états, les envois, les
décisions, les doublons et versions, les compteurs, les mots de recherche, les réponses aux
expéditeurs, les conservations renforcées avec leur motif, les éliminations, les constats de
complétude, le journal et ses scellés. Le journal scellé est vérifié en entier (suite, racines, signatures) : ce qui est
déchiré, manque ou n'est pas signé par une clé connue est laissé de côté et nommé, sauf si
l'index remplacé l'a encore tel qu'il a été scellé. Un index qui contient quelque chose n'est
pas effacé quand le journal de l'archive est abîmé, sauf avec --partial. Les documents dont
l'envoi a pu être noté dans ce qui est perdu passent « à traiter » : aucun ne part deux fois.

Ne sont pas dans l'archive, et donc ne reviennent pas :
  - la fin du journal qui n'avait pas encore été scellée (au plus une minute après un arrêt
    brutal ; rien après un arrêt propre). Avec --replace, elle reste quand elle suit ce qui
    est scellé ;
  - les comptes locaux et les connexions ouvertes (avec --replace, les comptes restent) :
    « greffe users add » les recrée ;
  - ce que les serveurs ont listé depuis le dernier constat : le prochain rapprochement le
    relit.

Une reconstruction interrompue laisse un index que les services refusent d'ouvrir :
relancez « greffe reindex --replace ». À la fin, lancez « greffe verify ».

Sort avec 1 si quelque chose n'a pas pu être repris.`,
	flags: func(fs *flag.FlagSet, c *call) {
		o := &reindexOptions{}
		c.opt = o
		fs.BoolVar(&o.replace, "replace", false, "effacer ce que l'index contient")
		fs.BoolVar(&o.partial, "partial", false, "avec --replace : remplacer l'index même si le journal de l'archive est abîmé")
		fs.BoolVar(&c.json, "json", false, "résultat en JSON (schéma : api/reindex.schema.json)")
	},
	run: runReindex,
}

func runReindex(ctx context.Context, c *call) error {
	o := c.opt.(*reindexOptions)
	cfg, err := loadConfig(c.config, c.data)
	if err != nil {
		return err
	}
	a := &app{cfg: cfg, log: newLogger(LogConfig{Level: "warn", Format: "text"}, c.err)}
	defer a.close()
	if err := a.openArchive(ctx); err != nil {
		return err
	}
	db, err := index.OpenToRebuild(ctx, dsn(cfg), a.log)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	a.db = db
	a.closers = append(a.closers, db.Close)
	bar := newProgress(c.err, "messages repris")
	r, err := storage.Reindex(ctx, a.store, db, storage.ReindexOptions{Replace: o.replace, Partial: o.partial, Keys: verifyConfig(cfg).Keys, Progress: bar.count})
	bar.done()
	switch {
	case errors.Is(err, index.ErrNotEmpty):
		return errors.New("l'index n'est pas vide : --replace efface ce qu'il contient ; sauvegardez-le avant")
	case errors.Is(err, storage.ErrEvidence):
		return fmt.Errorf("le journal scellé de l'archive est incomplet ou altéré, rien n'a été effacé : restaurez l'archive depuis une sauvegarde, « greffe verify » dit où ; --partial reprend ce qui peut l'être (%w)", err)
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
	if !r.OK() {
		return errFound
	}
	return nil
}

func printReindexed(c *call, r storage.Reindexed) {
	fmt.Fprintf(c.out, "%d messages repris de leurs manifestes, %d reçus et pas encore lus, %d envois et décisions ; %d conservations renforcées, %d éliminations, %d constats de complétude.\n",
		r.Messages, r.Received, r.Life, r.Holds, r.Asked, r.Stated)
	if r.Entries > 0 {
		fmt.Fprintf(c.out, "Journal repris jusqu'à l'entrée %d, scellée, du %s (%d scellés).\n",
			r.Entries, r.SealedAt.Local().Format("02/01/2006 15:04:05"), r.Seals)
	} else {
		fmt.Fprintln(c.out, "L'archive ne contient aucun journal scellé : le journal commence à nouveau, et ce qui était advenu des documents est perdu.")
	}
	if r.Tail > 0 {
		fmt.Fprintf(c.out, "%d entrées que l'ancien index n'avait pas encore scellées sont gardées.\n", r.Tail)
	} else {
		fmt.Fprintln(c.out, "Ce que l'ancien index savait de plus et n'avait pas scellé n'est pas dans l'archive : au plus une minute après un arrêt brutal, rien après un arrêt propre.")
	}
	printLost(c, r)
	if r.Erased > 0 {
		fmt.Fprintf(c.out, "%d messages ont été effacés avant leur terme et restent effacés ; leurs certificats sont dans l'archive (eliminations/).\n", r.Erased)
	}
	if r.Without > 0 {
		fmt.Fprintf(c.out, "%d envois ou décisions concernent des documents éliminés ou effacés, ou dont le manifeste manque.\n", r.Without)
	}
	for _, id := range r.Unlisted {
		fmt.Fprintf(c.out, "  message %s : brut dans l'archive, inconnu du journal scellé ; il est repris au prochain rapprochement de sa boîte aux lettres\n", id)
	}
	for _, id := range r.Damaged {
		fmt.Fprintf(c.out, "  message %s : manifeste illisible ; à restaurer depuis une sauvegarde de l'archive, puis relancer greffe reindex --replace\n", id)
	}
	fmt.Fprintln(c.out, "Les comptes locaux et les connexions ne sont pas dans l'archive : « greffe users » les montre et les recrée.")
	if !r.Usable {
		fmt.Fprintf(c.out, "Repris en %.1f s, mais la fin du journal scellé est perdue et rien ne peut la suivre : les services refusent cet index. Restaurez ces objets depuis une sauvegarde de l'archive, puis relancez greffe reindex --replace.\n", r.Seconds)
		return
	}
	fmt.Fprintf(c.out, "Terminé en %.1f s. Lancez « greffe verify » avant de redémarrer les services.\n", r.Seconds)
}

// printLost says what of the sealed journal the archive does not hold any more.
func printLost(c *call, r storage.Reindexed) {
	what := func(l storage.LostRange) string {
		switch {
		case l.First == 0:
			return "ordre d'élimination"
		case l.Facts:
			return fmt.Sprintf("journal, faits des entrées %d à %d", l.First, l.Last)
		}
		return fmt.Sprintf("journal, entrées %d à %d", l.First, l.Last)
	}
	for _, l := range r.Saved {
		fmt.Fprintf(c.out, "  %s : abîmés dans l'archive, repris de l'ancien index, qui les avait tels que scellés ; restaurez %s depuis une sauvegarde (%s)\n", what(l), l.Key, l.Cause)
	}
	for _, l := range r.Lost {
		fmt.Fprintf(c.out, "  %s : PERDU, à restaurer depuis une sauvegarde de l'archive (%s), puis relancer greffe reindex --replace (%s)\n", what(l), l.Key, l.Cause)
	}
	if len(r.Lost) > 0 {
		fmt.Fprintln(c.out, "Tant que ces objets manquent, le journal qui suit n'est pas scellé ; il attend dans l'index : sauvegardez-le.")
	}
	if r.Doubtful > 0 {
		fmt.Fprintf(c.out, "%d documents ont peut-être déjà été envoyés au DI : ils sont « à traiter », quelqu'un doit regarder.\n", r.Doubtful)
	}
}
