package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"greffe/pkg/clamd"
)

// checkAntivirus asks clamd for its version, and whether it recognises the test file
// that every antivirus does.
func checkAntivirus(ctx context.Context, cfg *Config) []result {
	const target = "antivirus"
	if cfg.Antivirus.Clamd == "" {
		return []result{{target, "configuration", true, "attention : aucun antivirus n'est configuré, les pièces sont lues sans être analysées ; antivirus.clamd donne l'adresse d'un clamd"}}
	}
	av, err := antivirus(cfg)
	if err != nil {
		return []result{{target, "configuration", false, "l'adresse n'est pas comprise (" + err.Error() + ")"}}
	}
	v, err := av.Client.Version(ctx)
	if err != nil {
		return []result{{target, "connexion", false, "ne répond pas (" + err.Error() + ") : tant que dure la panne, les messages attendent ; vérifier que clamd fonctionne, son adresse (antivirus.clamd) et les droits sur son socket"}}
	}
	out := []result{{target, "connexion", true, v.French()}}
	if age := v.Age(time.Now()); age > av.BaseAge {
		out = append(out, result{target, "base de signatures", true, fmt.Sprintf("attention : elle a %d jours ; vérifier que freshclam la met à jour", int(age.Hours()/24))})
	}
	res, err := av.Client.Scan(ctx, bytes.NewReader(clamd.TestFile()))
	switch {
	case errors.Is(err, clamd.ErrTooLarge):
		out = append(out, result{target, "essai", false, "refuse un fichier de 68 octets : augmenter StreamMaxLength dans clamd.conf"})
	case err != nil:
		out = append(out, result{target, "essai", false, "n'a pas pu analyser un fichier d'essai (" + err.Error() + ") : voir le journal de clamd"})
	case res.Clean():
		out = append(out, result{target, "essai", false, "ne reconnaît pas le fichier d'essai EICAR : sa base de signatures est vide ou incomplète, lancer freshclam"})
	default:
		out = append(out, result{target, "essai", true, "reconnaît le fichier d'essai EICAR"})
	}
	return out
}
