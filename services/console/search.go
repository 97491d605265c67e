package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"greffe/pkg/index"
)

type searchPage struct {
	Criteria criteria
	Done     bool // a search was made
	Lost     bool // the address names a search that this session does not know
	Errors   map[string]string
	Results  []index.Document
	Next     string
	First    string // back to the newest, when this is not the first page
	CSV      string // the whole as a table; "" for who may not
}

// search checks the criteria, keeps them in the session and goes to an address that
// does not name the patient.
func (c *Console) search(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	field := func(name string) string { return strings.Join(strings.Fields(r.PostForm.Get(name)), " ") }
	k := criteria{INS: strings.ReplaceAll(field("ins"), " ", ""), Name: field("nom"), Birth: field("naissance"), From: field("du"), To: field("au")}
	_, bad := k.filter(c.wall)
	if len(bad) > 0 {
		return c.render(w, r, v, http.StatusUnprocessableEntity, "recherche", page{Title: "Recherche — à corriger", Nav: "recherche", Wide: true, Data: searchPage{Criteria: k, Errors: bad}})
	}
	q, err := c.remember(r, k)
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/recherche?q="+url.QueryEscape(q), http.StatusSeeOther)
	return nil
}

// showSearch shows the form and, with a q of this session, the results.
func (c *Console) showSearch(w http.ResponseWriter, r *http.Request, v *visit) error {
	q := r.URL.Query().Get("q")
	p := searchPage{}
	k, ok := c.recall(r, q)
	p.Lost = q != "" && !ok
	if ok {
		f, bad := k.filter(c.wall)
		if len(bad) > 0 {
			return errBadInput
		}
		f.Places, f.Limit, f.Before = v.places, rowsPerPage, r.URL.Query().Get("avant")
		if len(f.Before) > 200 {
			return errBadInput
		}
		p.Criteria, p.Done = k, true
		var next string
		var err error
		p.Results, next, err = c.db.Documents(r.Context(), f)
		if errors.Is(err, index.ErrCursor) || errors.Is(err, index.ErrTooShort) {
			return errors.Join(errBadInput, err)
		}
		if err != nil {
			return err
		}
		if err := c.record(v, "searched", "", "ok", k.kinds()); err != nil {
			return err
		}
		if next != "" {
			p.Next = "/recherche?" + url.Values{"q": {q}, "avant": {next}}.Encode()
		}
		if v.role == auditor && len(p.Results) > 0 {
			p.CSV = "/recherche/recherche.csv?" + url.Values{"q": {q}}.Encode()
		}
		if f.Before != "" {
			p.First = "/recherche?" + url.Values{"q": {q}}.Encode()
		}
	}
	title := "Recherche"
	if p.Done {
		title = "Recherche — " + plural(len(p.Results), "document", "documents")
	}
	return c.render(w, r, v, http.StatusOK, "recherche", page{Title: title, Nav: "recherche", Wide: true, Data: p})
}

// kinds says which criteria were used, never their values.
func (k criteria) kinds() string {
	var used []string
	for _, f := range []struct{ name, value string }{{"ins", k.INS}, {"name", k.Name}, {"birth", k.Birth}, {"from", k.From}, {"to", k.To},
		{"actor", k.Actor}, {"action", k.Action}, {"subject", k.Subject}} {
		if f.value != "" {
			used = append(used, f.name)
		}
	}
	return strings.Join(used, "+")
}

// filter turns what was typed into a filter, or into a sentence for each field that
// must be corrected.
func (k criteria) filter(at wall) (index.DocumentFilter, map[string]string) {
	f := index.DocumentFilter{INS: strings.ToUpper(k.INS), Name: k.Name}
	bad := map[string]string{}
	if k == (criteria{}) {
		bad["formulaire"] = "Remplissez au moins un critère."
	}
	if k.INS != "" && len(k.INS) != 13 && len(k.INS) != 15 || strings.ContainsFunc(k.INS, func(r rune) bool { return !unicode.IsDigit(r) && r != 'A' && r != 'B' && r != 'a' && r != 'b' }) {
		bad["ins"] = "Le matricule INS compte 15 caractères (13 sans la clé) : des chiffres, ou 2A / 2B pour la Corse."
	}
	letters := 0
	for _, r := range k.Name {
		if unicode.IsLetter(r) {
			letters++
		}
	}
	if k.Name != "" && (letters < 2 || len(k.Name) > maxCriterion) {
		bad["nom"] = "Saisissez au moins les 2 premières lettres du nom."
	}
	if k.Birth != "" {
		t, ok := at.typedDate(k.Birth)
		if !ok || t.After(time.Now()) {
			bad["naissance"] = "Saisissez une date passée, sous la forme JJ/MM/AAAA."
		}
		f.BirthDate = t.Format("20060102")
	}
	from, okFrom := at.typedDate(k.From)
	if k.From != "" {
		if !okFrom {
			bad["du"] = "Saisissez une date sous la forme JJ/MM/AAAA."
		}
		f.From = from
	}
	to, okTo := at.typedDate(k.To)
	if k.To != "" {
		if !okTo {
			bad["au"] = "Saisissez une date sous la forme JJ/MM/AAAA."
		}
		f.To = to.AddDate(0, 0, 1) // the whole day
	}
	if okFrom && okTo && to.Before(from) {
		bad["au"] = "La date de fin est antérieure à la date de début."
	}
	return f, bad
}

// typedDate reads a date as a browser's date field gives it (YYYY-MM-DD), or as
// people type it where there is no such field (DD/MM/YYYY), at midnight.
func (w wall) typedDate(s string) (time.Time, bool) {
	for _, form := range []string{"2006-01-02", "02/01/2006", "2/1/2006", "02012006"} {
		if t, err := time.ParseInLocation(form, s, w.zone); err == nil && t.Year() >= 1850 && t.Year() < 2200 {
			return t, true
		}
	}
	return time.Time{}, false
}
