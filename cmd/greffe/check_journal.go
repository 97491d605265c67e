package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"greffe/pkg/index"
	"greffe/services/storage"
)

// checkJournal looks at the key, at what is sealed and stamped, and asks the authority for
// a token, over random bytes.
func (a *app) checkJournal(ctx context.Context) []result {
	const target = "journal de preuve"
	var out []result
	add := func(name string, ok bool, format string, args ...any) {
		out = append(out, result{target, name, ok, fmt.Sprintf(format, args...)})
	}
	switch k, err := readKey(keyPath(a.cfg)); {
	case err == nil:
		add("clé", true, "%s signe le journal %s ; « greffe keys » montre la clé publique, à remettre à un tiers", k.ID(), k.Name())
	case errors.Is(err, fs.ErrNotExist) && a.cfg.Journal.Key == "":
		add("clé", true, "sera faite au premier démarrage, dans %s", keyPath(a.cfg))
	default:
		add("clé", false, "%s ; « greffe keys --new » en fait une", err)
	}
	db, err := index.Open(ctx, dsn(a.cfg), a.log)
	if err != nil {
		add("scellement", false, "l'index ne s'ouvre pas (%s)", err)
		return out
	}
	defer db.Close()
	n, oldest, err := db.Unsealed(ctx)
	switch {
	case err != nil:
		add("scellement", false, "l'état du journal ne peut pas être lu (%s)", err)
	case n > 0 && time.Since(oldest) > 10*time.Minute:
		add("scellement", false, "%d entrée(s) attendent d'être scellées depuis le %s : le service storage est-il en marche ? La page Système dit ce qui l'empêche", n, oldest.Local().Format("02/01/2006 à 15:04"))
	default:
		add("scellement", true, "à jour (%d entrée(s) attendent la prochaine minute)", n)
	}
	if a.cfg.Journal.Timestamp.URL == "" {
		add("horodatage", true, "aucune autorité n'est configurée : les dates du journal ne valent que ce que vaut l'horloge de cette machine (journal.timestamp)")
		return out
	}
	ta, err := authority(a.cfg)
	if err != nil {
		add("autorité d'horodatage", false, "%s : vérifier journal.timestamp.ca", err)
		return out
	}
	trial := []byte(rand.Text())
	if t, _, err := ta.Ask(ctx, trial); err != nil {
		add("autorité d'horodatage", false, "%s (%s)", storage.StampTrouble(err), err)
	} else if off := time.Since(t.Time).Abs(); off > time.Minute {
		add("autorité d'horodatage", false, "son heure et celle de cette machine diffèrent de %s : vérifier l'horloge (NTP)", off.Round(time.Second))
	} else {
		add("autorité d'horodatage", true, "un jeton d'essai a été reçu et vérifié (politique %s)", t.Policy)
	}
	switch late, err := storage.NewStamper(nil, db, ta, a.log).Late(ctx, time.Now()); {
	case err != nil:
		add("horodatage", false, "l'état du journal ne peut pas être lu (%s)", err)
	case !late.IsZero():
		add("horodatage", false, "aucun jeton depuis le %s au moins : le scellement continue, l'horodatage sera rattrapé dès que l'autorité répondra", late.Local().Format("02/01/2006 à 15:04"))
	default:
		add("horodatage", true, "à jour")
	}
	return out
}
