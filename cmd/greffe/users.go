package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/term" // reads a password without showing it

	"greffe/pkg/index"
	"greffe/services/console"
)

// usersOptions are what the flags give; nil for those that were not given.
type usersOptions struct{ role, name, rpps, mailboxes *string }

var usersCommand = command{
	name: "users", args: "list | add LOGIN | change LOGIN | password LOGIN | second-factor LOGIN | disable LOGIN | enable LOGIN | remove LOGIN", summary: "gère les comptes de la console",
	help: `
  list                 liste les comptes
  add LOGIN            crée un compte (--role secretary | professional | auditor | admin)
  change LOGIN         change ce que donnent --role, --name, --rpps et --mailboxes
  password LOGIN       change le mot de passe
  second-factor LOGIN  retire le second facteur, par exemple d'un téléphone perdu
  disable LOGIN        interdit la connexion, garde le compte
  enable LOGIN         l'autorise de nouveau
  remove LOGIN         supprime le compte (le journal garde ses actes)

--mailboxes dit ce que voit le compte : des adresses de boîtes, une adresse suivie d'un de ses
dossiers (adresse/INBOX/Dr Martin), ou * pour toutes les boîtes. Sans liste, une secrétaire ne voit
rien ; un professionnel voit aussi ce que mailboxes[].professionals donne à son numéro RPPS. Un
administrateur voit la machine, jamais les documents.

Le mot de passe est demandé au terminal, ou lu sur l'entrée standard (une ligne).
Une ligne vide en fait engendrer un, écrit une seule fois.`,
	flags: func(fs *flag.FlagSet, c *call) {
		o := &usersOptions{}
		c.opt = o
		given := func(name, usage string, to **string) {
			fs.Func(name, usage, func(v string) error { *to = &v; return nil })
		}
		given("role", "`RÔLE` : secretary (par défaut) | professional | auditor | admin", &o.role)
		given("name", "`NOM` affiché", &o.name)
		given("rpps", "`NUMÉRO` RPPS d'un professionnel, 11 chiffres", &o.rpps)
		given("mailboxes", "`BOÎTES` que voit le compte, séparées par des virgules : adresse, adresse/dossier, ou * pour toutes", &o.mailboxes)
		fs.BoolVar(&c.json, "json", false, "liste en JSON")
	},
	run: runUsers,
}

func runUsers(ctx context.Context, c *call) error {
	o := c.opt.(*usersOptions)
	if len(c.args) == 0 || (c.args[0] != "list" && len(c.args) != 2) {
		return fmt.Errorf("%w : une action et un login sont attendus (voir --help)", errUsage)
	}
	cfg, err := loadConfig(c.config, c.data)
	if err != nil {
		return err
	}
	// Accounts are made before the first start, too.
	if c.args[0] == "add" && cfg.Index.DSN == "" {
		if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
			return fmt.Errorf("dossier de données: %w", err)
		}
	}
	db, err := index.Open(ctx, dsn(cfg), newLogger(LogConfig{Level: "warn", Format: "text"}, c.err))
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	defer db.Close()
	if c.args[0] == "list" {
		return listUsers(ctx, c, db)
	}
	login := strings.ToLower(c.args[1])
	user, err := db.User(ctx, login)
	exists := err == nil
	if err != nil && !errors.Is(err, index.ErrNotFound) {
		return fmt.Errorf("lire le compte: %w", err)
	}
	if c.args[0] != "add" && !exists {
		return fmt.Errorf("le compte %q n'existe pas", login)
	}
	switch c.args[0] {
	case "add":
		if index.IsTokenActor(login) {
			return fmt.Errorf("%w : un identifiant ne commence pas par « jeton: »", errUsage)
		}
		if exists {
			return fmt.Errorf("le compte %q existe déjà ; « users password » change son mot de passe, « users change » le reste", login)
		}
		user = index.User{Login: login, Name: login, Role: "secretary"}
		fallthrough
	case "change":
		if err := o.apply(cfg, &user); err != nil {
			return err
		}
		if exists {
			break
		}
		fallthrough
	case "password":
		if user.Hash == "" && user.Subject != "" {
			return fmt.Errorf("le compte %q vient du fournisseur d'identité : son mot de passe se change là-bas", login)
		}
		pw, generated, err := askPassword(c)
		if err != nil {
			return err
		}
		if user.Hash, err = console.HashPassword(pw); err != nil {
			return err
		}
		user.Renew = false
		if generated {
			fmt.Fprintf(c.out, "mot de passe de %s : %s\n", login, pw)
		}
	case "second-factor":
		user.TOTP, user.TOTPStep, user.Recovery = "", 0, nil
	case "disable":
		user.Disabled = true
	case "enable":
		user.Disabled = false
	case "remove":
		if err := db.DeleteUser(ctx, login, userEntry("user-removed", user)); err != nil {
			return fmt.Errorf("supprimer le compte: %w", err)
		}
		return nil
	default:
		return fmt.Errorf("%w : action inconnue %q", errUsage, c.args[0])
	}
	if err := db.SaveUser(ctx, user, userEntry("user-"+c.args[0], user)); err != nil {
		return fmt.Errorf("enregistrer le compte: %w", err)
	}
	if c.args[0] != "remove" && len(user.Places) == 0 && (user.Role == "secretary" || user.Role == "auditor") {
		fmt.Fprintf(c.err, "attention : %s ne voit aucune boîte ; « users change %s --mailboxes … » lui en donne\n", login, login)
	}
	return nil
}

// apply sets what the flags give: all of them for a new account, else those that were
// given.
func (o *usersOptions) apply(cfg *Config, u *index.User) error {
	if o.role != nil {
		u.Role = *o.role
	}
	if !slices.Contains(console.Roles, u.Role) {
		return fmt.Errorf("%w : rôle inconnu %q ; %s est attendu", errUsage, u.Role, strings.Join(console.Roles, ", "))
	}
	if o.name != nil {
		u.Name = *o.name
	}
	if o.rpps != nil {
		if u.RPPS = console.RPPS(*o.rpps); u.RPPS == "" && *o.rpps != "" {
			return fmt.Errorf("%w : --rpps : 11 chiffres sont attendus", errUsage)
		}
	}
	if o.mailboxes != nil {
		places, err := cfg.places(*o.mailboxes)
		if err != nil {
			return err
		}
		u.Places = places
	}
	return nil
}

// places reads the value of --mailboxes.
func (c *Config) places(list string) (places []string, err error) {
	for p := range strings.SplitSeq(list, ",") {
		if p = strings.TrimSpace(p); p == "" {
			continue
		}
		known, ok := c.place(p)
		if !ok {
			return nil, fmt.Errorf("%w : --mailboxes : %s n'est pas une boîte configurée", errUsage, p)
		}
		places = append(places, known)
	}
	return places, nil
}

// place returns a place as the configuration writes its mailbox; false when there is no
// such mailbox. A configuration without mailboxes knows none: every address will do.
func (c *Config) place(p string) (string, bool) {
	if p == index.Everywhere {
		return p, true
	}
	address, folder := index.SplitPlace(p)
	for _, m := range c.Mailboxes {
		if strings.EqualFold(m.Address, address) {
			return m.Address + strings.TrimSuffix("/"+folder, "/"), true
		}
	}
	return p, len(c.Mailboxes) == 0 && strings.Contains(address, "@")
}

// userEntry is the journal entry of a change of accounts; the actor is whoever has the
// machine. What the account may see is told by its role and by the keys of its mailboxes.
func userEntry(action string, u index.User) index.Entry {
	host, _ := os.Hostname()
	return index.Entry{Actor: "console-locale", Action: action, Subject: u.Login, From: host, Result: "ok", Detail: console.RightsOf(u)}
}

func listUsers(ctx context.Context, c *call, db *index.DB) error {
	users, err := db.Users(ctx)
	if err != nil {
		return fmt.Errorf("lire les comptes: %w", err)
	}
	if c.json {
		type row struct {
			Login        string   `json:"login"`
			Name         string   `json:"name"`
			Role         string   `json:"role"`
			RPPS         string   `json:"rpps,omitempty"`
			Mailboxes    []string `json:"mailboxes,omitempty"` // "*": all
			SecondFactor bool     `json:"second_factor"`
			Provider     string   `json:"provider,omitempty"` // OpenID Connect: who vouches for the person
			Disabled     bool     `json:"disabled"`
		}
		rows := []row{}
		for _, u := range users {
			rows = append(rows, row{u.Login, u.Name, u.Role, u.RPPS, u.Places, u.TOTP != "", u.Issuer, u.Disabled})
		}
		return json.NewEncoder(c.out).Encode(rows)
	}
	w := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "LOGIN\tRÔLE\tÉTAT\tCONNEXION\tBOÎTES\tNOM")
	for _, u := range users {
		state, factor, boxes := "actif", "mot de passe", strings.Join(u.Places, ", ")
		if u.Disabled {
			state = "désactivé"
		}
		switch {
		case u.Hash == "":
			factor = "fournisseur d'identité"
		case u.TOTP != "":
			factor = "deux facteurs"
		}
		switch {
		case u.Role == "admin" || boxes == "":
			boxes = "aucune"
		case slices.Contains(u.Places, index.Everywhere):
			boxes = "toutes"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", u.Login, u.Role, state, factor, boxes, u.Name)
	}
	return w.Flush()
}

// minPassword is the least length of a password a person chooses; the console
// limits attempts, so length matters more than kinds of characters.
const minPassword = 12

func askPassword(c *call) (pw string, generated bool, err error) {
	var line string
	if f, ok := c.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(c.err, "mot de passe (vide : en engendrer un) : ")
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(c.err)
		if err != nil {
			return "", false, fmt.Errorf("lire le mot de passe: %w", err)
		}
		line = string(b)
	} else {
		s := bufio.NewScanner(c.in)
		if s.Scan() {
			line = s.Text()
		}
	}
	line = strings.TrimSpace(line)
	if line == "" {
		return console.NewPassword(), true, nil
	}
	if len([]rune(line)) < minPassword {
		return "", false, fmt.Errorf("au moins %d caractères sont attendus", minPassword)
	}
	return line, false, nil
}
