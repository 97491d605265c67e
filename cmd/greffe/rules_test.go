package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

func knownRules() map[string]greffe.Rule {
	known := map[string]greffe.Rule{}
	for _, r := range allRules() {
		known[r.ID] = r
	}
	return known
}

// TestRulesExplainThemselves: whoever meets an id finds one rule, its sentence and
// where it comes from.
func TestRulesExplainThemselves(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[a-z]+(\.[a-z0-9]+(-[a-z0-9]+)*)+$`)
	seen := map[string]bool{}
	for _, r := range allRules() {
		switch text := r.Sentence(); {
		case seen[r.ID]:
			t.Errorf("%s is listed twice", r.ID)
		case !form.MatchString(r.ID):
			t.Errorf("%s is not of the form family.word", r.ID)
		case !strings.HasSuffix(r.Text, "."):
			t.Errorf("%s: %q does not end with a full stop", r.ID, text)
		case strings.ContainsAny(text, "'\""):
			t.Errorf("%s: %q is not written as French is: ’ and « »", r.ID, text)
		case r.Source == "":
			t.Errorf("%s has no source", r.ID)
		case greffe.VerdictOf([]greffe.Finding{r.At("")}) == greffe.VerdictOK && r.Severity != greffe.Info:
			t.Errorf("%s has the severity %q", r.ID, r.Severity)
		}
		seen[r.ID] = true
	}
}

// TestRulesSayWhatToDo: what keeps a document from its patient's record tells the
// person who reads it what is expected of her.
func TestRulesSayWhatToDo(t *testing.T) {
	t.Parallel()
	todo := regexp.MustCompile(`(?i)demandez|vérifiez|ouvrez|comparez|prévenez|téléchargez|exportez|voyez|une personne doit|il faut`)
	for _, r := range allRules() {
		if (r.Severity == greffe.Hold || r.Severity == greffe.Refuse) && !todo.MatchString(r.Text) {
			t.Errorf("%s does not say what to do: %s", r.ID, r.Text)
		}
	}
}

func TestRulesAreFoundByWords(t *testing.T) {
	t.Parallel()
	code, out, _ := cli(nil, "rules")
	if n := strings.Count(out, "\n"); code != exitOK || n < 2*len(allRules()) {
		t.Errorf("exit %d, %d lines for %d rules", code, n, len(allRules()))
	}
	code, out, _ = cli(nil, "rules", "PIECE jointe", "vide", "--json")
	var list []listedRule
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != exitOK || len(list) != 1 || list[0].ID != "parser.empty" || list[0].Source == "" || list[0].Severity != greffe.Hold {
		t.Errorf("exit %d, %v\n%s", code, err, out)
	}
	if code, out, errs := cli(nil, "rules", "licorne"); code != exitWrong || out != "" || errs == "" {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if code, out, _ := cli(nil, "rules", "licorne", "--json"); code != exitWrong || strings.TrimSpace(out) != "[]" {
		t.Errorf("exit %d, %s", code, out)
	}
}
