package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"greffe/pkg/greffe"
	"greffe/services/fetcher"
	"greffe/services/parser"
)

var rulesCommand = command{
	name: "rules", args: "[MOT…] [--json]", summary: "explique les règles que Greffe applique",
	help: `
Écrit chaque règle : son identifiant (celui que citent « inspect », la console et les
manifestes), sa gravité, sa phrase et sa source (document et paragraphe). Une ellipse tient la
place de ce que seul un constat connaît.

Avec des MOTS, seulement les règles où chacun d'eux se trouve, accents et majuscules à part.
Sort avec 1 si aucune règle ne les contient.

Gravités : Information n'y change rien ; À noter est montré, le document suit son chemin ;
À vérifier attend la décision d'une personne ; Inutilisable est conservé mais jamais transmis.`,
	flags: func(fs *flag.FlagSet, c *call) {
		fs.BoolVar(&c.json, "json", false, "une liste JSON")
	},
	run: runRules,
}

// allRules are the rules of every service, in the order of a message's way.
func allRules() []greffe.Rule { return slices.Concat(fetcher.Rules(), parser.Rules()) }

func runRules(_ context.Context, c *call) error {
	rules := allRules()
	for _, word := range c.args {
		rules = slices.DeleteFunc(rules, func(r greffe.Rule) bool {
			return !strings.Contains(plain(strings.Join([]string{r.ID, r.Severity.French(), r.Sentence(), r.Source}, "\n")), plain(word))
		})
	}
	if c.json {
		out := make([]listedRule, 0, len(rules))
		for _, r := range rules {
			out = append(out, listedRule{ID: r.ID, Severity: r.Severity, Text: r.Sentence(), Source: r.Source})
		}
		e := json.NewEncoder(c.out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if err := e.Encode(out); err != nil {
			return err
		}
	} else {
		s := &sheet{w: c.out}
		width := 0
		for _, r := range rules {
			width = max(width, utf8.RuneCountInString(r.ID))
		}
		for _, r := range rules {
			s.line("%s  %s  %s", pad(r.ID, width), pad(r.Severity.French(), 12), r.Source)
			s.fold("    ", r.Sentence())
		}
		if s.err != nil {
			return s.err
		}
	}
	if len(rules) == 0 {
		fmt.Fprintln(c.err, "greffe rules : aucune règle ne contient ces mots")
		return errFound
	}
	return nil
}

// listedRule is a rule as "greffe rules --json" writes it.
type listedRule struct {
	ID       string          `json:"id"`
	Severity greffe.Severity `json:"severity"`
	Text     string          `json:"text"`
	Source   string          `json:"source"`
}

// plain takes case, accents and typographic apostrophes away, for a search by words.
func plain(s string) string {
	return unaccented.Replace(strings.ToLower(s))
}

var unaccented = strings.NewReplacer("à", "a", "â", "a", "ä", "a", "ç", "c", "é", "e", "è", "e", "ê", "e", "ë", "e", "î", "i", "ï", "i", "ô", "o", "ö", "o", "ù", "u", "û", "u", "ü", "u", "œ", "oe", "’", "'")
