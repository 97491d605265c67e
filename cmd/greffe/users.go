package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/term" // reads a password without showing it

	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/services/console"
)

type usersOptions struct{ role, name, mailboxes string }

var usersCommand = command{
	name: "users", args: "list | add LOGIN | password LOGIN | disable LOGIN | remove LOGIN", summary: "gère les comptes de la console",
	help: `
  list            liste les comptes
  add LOGIN       crée un compte (--role secretary | auditor | admin)
  password LOGIN  change le mot de passe
  disable LOGIN   interdit la connexion, garde le compte
  remove LOGIN    supprime le compte (le journal garde ses actes)

Le mot de passe est demandé au terminal, ou lu sur l'entrée standard (une ligne).
Une ligne vide en fait engendrer un, écrit une seule fois.`,
	flags: func(fs *flag.FlagSet, c *call) {
		o := &usersOptions{}
		c.opt = o
		fs.StringVar(&o.role, "role", "secretary", "`RÔLE` : secretary | auditor | admin")
		fs.StringVar(&o.name, "name", "", "`NOM` affiché")
		fs.StringVar(&o.mailboxes, "mailboxes", "", "`ADRESSES` que voit une secrétaire, séparées par des virgules ; vide : toutes")
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
		if exists {
			return fmt.Errorf("le compte %q existe déjà ; « users password » change son mot de passe", login)
		}
		if !slices.Contains([]string{"secretary", "auditor", "admin"}, o.role) {
			return fmt.Errorf("%w : rôle inconnu %q ; secretary, auditor ou admin est attendu", errUsage, o.role)
		}
		user = index.User{Login: login, Name: o.name, Role: o.role}
		if user.Name == "" {
			user.Name = login
		}
		for _, m := range strings.Split(o.mailboxes, ",") {
			if m = strings.TrimSpace(m); m != "" {
				user.Mailboxes = append(user.Mailboxes, m)
			}
		}
		fallthrough
	case "password":
		pw, generated, err := askPassword(c)
		if err != nil {
			return err
		}
		if user.Hash, err = console.HashPassword(pw); err != nil {
			return err
		}
		if generated {
			fmt.Fprintf(c.out, "mot de passe de %s : %s\n", login, pw)
		}
	case "disable":
		user.Disabled = true
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
	return nil
}

// userEntry is the journal entry of a change of accounts; the actor is whoever has the
// machine. What the account may see is told by its role and by the keys of its mailboxes.
func userEntry(action string, u index.User) index.Entry {
	host, _ := os.Hostname()
	detail := "role=" + u.Role
	for _, m := range u.Mailboxes {
		detail += " " + greffe.MailboxKey(m)
	}
	return index.Entry{Actor: "console-locale", Action: action, Subject: u.Login, From: host, Result: "ok", Detail: detail}
}

func listUsers(ctx context.Context, c *call, db *index.DB) error {
	users, err := db.Users(ctx)
	if err != nil {
		return fmt.Errorf("lire les comptes: %w", err)
	}
	if c.json {
		type row struct {
			Login     string   `json:"login"`
			Name      string   `json:"name"`
			Role      string   `json:"role"`
			Mailboxes []string `json:"mailboxes,omitempty"`
			Disabled  bool     `json:"disabled"`
		}
		rows := []row{}
		for _, u := range users {
			rows = append(rows, row{u.Login, u.Name, u.Role, u.Mailboxes, u.Disabled})
		}
		return json.NewEncoder(c.out).Encode(rows)
	}
	w := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "LOGIN\tRÔLE\tÉTAT\tBOÎTES\tNOM")
	for _, u := range users {
		state, boxes := "actif", "toutes"
		if u.Disabled {
			state = "désactivé"
		}
		if len(u.Mailboxes) > 0 {
			boxes = strings.Join(u.Mailboxes, ", ")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", u.Login, u.Role, state, boxes, u.Name)
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
		return newPassword(), true, nil
	}
	if len([]rune(line)) < minPassword {
		return "", false, fmt.Errorf("au moins %d caractères sont attendus", minPassword)
	}
	return line, false, nil
}

// newPassword returns 16 random characters that are easy to read out (80 bits).
func newPassword() string {
	s := strings.ToLower(rand.Text()[:16])
	return s[:4] + "-" + s[4:8] + "-" + s[8:12] + "-" + s[12:]
}
