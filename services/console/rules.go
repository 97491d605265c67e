package console

import (
	"net/http"
	"slices"
	"strings"

	"greffe/pkg/greffe"
)

// families name the rules by the beginning of their id, in the order of the page.
// Rules of a family that is not here stand last.
var families = []struct{ prefix, title string }{
	{"fetch", "La relève des boîtes aux lettres"},
	{"eml", "Le courriel"},
	{"parser", "Les pièces et le message"},
	{"antivirus", "La recherche de virus"},
	{"xdm", "L’archive XDM"},
	{"cda", "Le document CDA"},
	{"codes", "Les codes du document"},
	{"ins", "L’identité du patient et des professionnels"},
	{"pdf", "Le fichier PDF"},
}

type rulesPage struct{ Families []family }

type family struct {
	ID, Title string
	Rules     []greffe.Rule
}

// showRules lists what Greffe checks, so that whoever reads a finding can look up the
// rule, where it comes from, and what it does.
func (c *Console) showRules(w http.ResponseWriter, r *http.Request, v *visit) error {
	return c.render(w, r, v, http.StatusOK, "regles", page{Title: "Règles appliquées", Nav: "aide", Data: rulesPage{byFamily(c.cfg.Rules)}})
}

func byFamily(rules []greffe.Rule) []family {
	var out []family
	for _, f := range families {
		out = append(out, family{ID: f.prefix, Title: f.title})
	}
	out = append(out, family{ID: "autres", Title: "Autres règles"})
	for _, r := range rules {
		prefix, _, _ := strings.Cut(r.ID, ".")
		i := slices.IndexFunc(out, func(f family) bool { return f.ID == prefix })
		if i < 0 {
			i = len(out) - 1
		}
		out[i].Rules = append(out[i].Rules, r)
	}
	return slices.DeleteFunc(out, func(f family) bool { return len(f.Rules) == 0 })
}
