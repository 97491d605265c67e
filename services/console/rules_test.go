package console

import (
	"net/http"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

var someRules = []greffe.Rule{
	{ID: "fetch.toobig", Severity: greffe.Refuse, Text: "Ce message pèse %s : il n’a pas été téléchargé.", Source: "Greffe"},
	{ID: "xdm.hash", Severity: greffe.Refuse, Text: "L’empreinte du document n’est pas celle qu’annoncent les métadonnées.", Source: "IHE ITI TF-2 §3.32"},
	{ID: "neuve.regle", Severity: greffe.Info, Text: "Une règle d’une famille sans titre.", Source: "Greffe"},
}

// TestFindingsLeadToTheirRule: each remark on a page links to the rule it comes from,
// and the rule is there, with its source.
func TestFindingsLeadToTheirRule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.receive(mail{subject: "Archive fausse", findings: []greffe.Finding{someRules[1].At("2!4")}})
	claire := w.as("claire")
	if message := claire.get("/messages/" + string(a.ID)).body; !strings.Contains(message, `href="/aide/regles#xdm.hash"`) {
		t.Error("the remark does not link to its rule")
	}
	answer := claire.get("/aide/regles")
	if answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status)
	}
	page := answer.body
	for _, want := range []string{`id="xdm.hash"`, `id="fetch.toobig"`, "Ce message pèse … :", "IHE ITI TF-2 §3.32", "Autres règles", `id="neuve.regle"`, `href="#xdm"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(page, `href="#ins"`) {
		t.Error("a family without rules is shown")
	}
}
