package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"greffe/pkg/index"
	"greffe/services/console"
)

type tokensOptions struct{ name, role, mailboxes, expires string }

var tokensCommand = command{
	name: "tokens", args: "list | add | revoke JETON", summary: "gère les jetons des scripts qui utilisent l'API",
	help: `
  list            liste les jetons, aussi ceux qui sont expirés ou révoqués
  add             crée un jeton et l'écrit, une seule fois (--name, --role et --expires sont obligatoires)
  revoke JETON    révoque un jeton, aussitôt ; JETON est son identifiant dans la liste

Un jeton remplace une personne pour un script : un seul rôle (secretary, professional, auditor ou admin),
les boîtes de --mailboxes comme un compte, et une fin, dans 366 jours au plus. Un jeton admin lit l'état
de la machine et ne voit aucun document. L'API est décrite par /api/openapi.yaml de la console :

  curl -H "Authorization: Bearer $(cat jeton)" https://greffe.ch-exemple.fr/api/v1/queue

Greffe ne garde que l'empreinte du jeton : perdu, il se remplace. Chaque usage est inscrit au journal sous
le nom opaque du jeton (jeton:…), que donne la liste. Gardez-le dans un fichier que seul le script peut
lire, jamais dans une ligne de commande.

Exemple :
  greffe tokens add --name "Suivi de la file" --role secretary --mailboxes cardio@ch.mssante.fr --expires 90d > jeton`,
	flags: func(fs *flag.FlagSet, c *call) {
		o := &tokensOptions{}
		c.opt = o
		fs.StringVar(&o.name, "name", "", "`NOM` : ce que fait le script, pour les personnes")
		fs.StringVar(&o.role, "role", "", "`RÔLE` : secretary | professional | auditor | admin")
		fs.StringVar(&o.mailboxes, "mailboxes", "", "`BOÎTES` que voit le jeton, séparées par des virgules : adresse, adresse/dossier, ou * pour toutes")
		fs.StringVar(&o.expires, "expires", "", "`FIN` : une durée en jours (90d) ou le dernier jour (2027-06-30) ; 366 jours au plus")
		fs.BoolVar(&c.json, "json", false, "liste, ou jeton créé, en JSON")
	},
	run: runTokens,
}

// tokenRow is a token as --json writes it.
type tokenRow struct {
	ID        string    `json:"id"`
	Actor     string    `json:"actor"` // in the journal
	Name      string    `json:"name"`
	Role      string    `json:"role"`
	Mailboxes []string  `json:"mailboxes,omitempty"` // "*": all
	State     string    `json:"state"`               // active, ended, revoked
	Created   time.Time `json:"created"`
	By        string    `json:"by"`
	Expires   time.Time `json:"expires"`
	Revoked   time.Time `json:"revoked,omitzero"`
	Used      time.Time `json:"used,omitzero"`
	From      string    `json:"used_from,omitempty"`
	Token     string    `json:"token,omitempty"` // of one that was made just now
}

func newTokenRow(k index.Token, now time.Time) tokenRow {
	r := tokenRow{ID: k.ID, Actor: k.Actor(), Name: k.Name, Role: k.Role, Mailboxes: k.Places, State: "active", Created: k.Created, By: k.By, Expires: k.Expires, Revoked: k.Revoked, Used: k.Used, From: k.From}
	switch {
	case !k.Revoked.IsZero():
		r.State = "revoked"
	case !now.Before(k.Expires):
		r.State = "ended"
	}
	return r
}

func runTokens(ctx context.Context, c *call) error {
	o := c.opt.(*tokensOptions)
	if len(c.args) == 0 || !slices.Contains([]string{"list", "add", "revoke"}, c.args[0]) || len(c.args) != map[string]int{"list": 1, "add": 1, "revoke": 2}[c.args[0]] {
		return fmt.Errorf("%w : list, add, ou revoke et un jeton sont attendus (voir --help)", errUsage)
	}
	cfg, err := loadConfig(c.config, c.data)
	if err != nil {
		return err
	}
	now := time.Now()
	var made index.Token
	var secret string
	if c.args[0] == "add" {
		if secret, made, err = o.token(cfg, now); err != nil {
			return err
		}
	}
	db, err := index.Open(ctx, dsn(cfg), newLogger(LogConfig{Level: "warn", Format: "text"}, c.err))
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	defer db.Close()
	host, _ := os.Hostname()
	entry := func(action string, k index.Token) index.Entry {
		return index.Entry{Actor: "console-locale", Action: action, Subject: k.Actor(), From: host, Result: "ok", Detail: console.RightsOfToken(k)}
	}
	switch c.args[0] {
	case "add":
		if err := db.AddToken(ctx, made, entry("token-add", made)); err != nil {
			return fmt.Errorf("enregistrer le jeton: %w", err)
		}
		if len(made.Places) == 0 && made.Role != "admin" {
			fmt.Fprintln(c.err, "attention : ce jeton ne voit aucune boîte ; révoquez-le et donnez --mailboxes")
		}
		if c.json {
			made.Created = now
			r := newTokenRow(made, now)
			r.Token = secret
			return json.NewEncoder(c.out).Encode(r)
		}
		fmt.Fprintf(c.err, "jeton %s créé, valable jusqu'au %s ; il n'est écrit que cette fois :\n", made.ID, made.Expires.In(cfg.zone()).Format("02/01/2006 15:04"))
		fmt.Fprintln(c.out, secret)
		return nil
	case "revoke":
		id := strings.TrimPrefix(c.args[1], "jeton:")
		err := db.RevokeToken(ctx, id, "console-locale", func(k index.Token) []index.Entry { return []index.Entry{entry("token-revoked", k)} })
		if errors.Is(err, index.ErrNotFound) {
			return fmt.Errorf("le jeton %q n'existe pas ; « greffe tokens list » donne leurs identifiants", id)
		}
		if err != nil {
			return fmt.Errorf("révoquer le jeton: %w", err)
		}
		return nil
	}
	return listTokens(ctx, c, db, cfg, now)
}

// token returns what the options describe.
func (o *tokensOptions) token(cfg *Config, now time.Time) (string, index.Token, error) {
	secret, k := console.NewToken()
	k.Name, k.Role, k.By = strings.Join(strings.Fields(o.name), " "), o.role, "console-locale"
	if k.Name == "" || len([]rune(k.Name)) > 200 {
		return "", k, fmt.Errorf("%w : --name : dites en quelques mots ce que fait le script", errUsage)
	}
	if !slices.Contains(console.Roles, k.Role) {
		return "", k, fmt.Errorf("%w : --role : %s est attendu", errUsage, strings.Join(console.Roles, ", "))
	}
	var err error
	if k.Places, err = cfg.places(o.mailboxes); err != nil {
		return "", k, err
	}
	if days, ok := strings.CutSuffix(o.expires, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 1 || n > 366 {
			return "", k, fmt.Errorf("%w : --expires : de 1d à 366d", errUsage)
		}
		k.Expires = now.Add(time.Duration(n) * 24 * time.Hour)
	} else {
		day, err := time.ParseInLocation(time.DateOnly, o.expires, cfg.zone())
		if err != nil {
			return "", k, fmt.Errorf("%w : --expires : une durée (90d) ou un jour (2027-06-30) est attendu", errUsage)
		}
		k.Expires = day.AddDate(0, 0, 1) // the whole day
	}
	if !k.Expires.After(now) || k.Expires.Sub(now) > console.MaxTokenLife+24*time.Hour {
		return "", k, fmt.Errorf("%w : --expires : un jour à venir, dans les 366 jours", errUsage)
	}
	return secret, k, nil
}

func listTokens(ctx context.Context, c *call, db *index.DB, cfg *Config, now time.Time) error {
	list, err := db.Tokens(ctx)
	if err != nil {
		return fmt.Errorf("lire les jetons: %w", err)
	}
	rows := []tokenRow{}
	for _, k := range list {
		rows = append(rows, newTokenRow(k, now))
	}
	if c.json {
		return json.NewEncoder(c.out).Encode(rows)
	}
	w := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "JETON\tRÔLE\tÉTAT\tFIN\tDERNIER USAGE\tBOÎTES\tNOM")
	for _, r := range rows {
		used, boxes := "jamais", strings.Join(r.Mailboxes, ", ")
		if !r.Used.IsZero() {
			used = r.Used.In(cfg.zone()).Format("02/01/2006 15:04") + " depuis " + r.From
		}
		if boxes == "" || r.Role == "admin" {
			boxes = "aucune"
		}
		state := map[string]string{"active": "actif", "ended": "expiré", "revoked": "révoqué"}[r.State]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.Role, state, r.Expires.In(cfg.zone()).Format("02/01/2006 15:04"), used, boxes, r.Name)
	}
	return w.Flush()
}
