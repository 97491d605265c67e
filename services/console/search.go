package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

type searchPage struct {
	Criteria criteria
	Done     bool // a search was made
	Lost     bool // the address names a search that this session does not know
	Errors   map[string]string
	More     bool // criteria are used, or wrong, that are folded away at first
	Results  []index.Document
	Messages []index.Message // that have the Message-ID that was looked for
	Words    string          // what was looked for
	Next     string
	Partial  time.Time // the page ends before it is full: so far back was looked; zero: it does not
	Previous string
	First    string // back to the newest, when this is not the first page
	CSV      string // the whole as a table; "" for who may not
	Q        string // name of the search in this session

	Boxes                  []placeChoice
	Types, Formats, States []choice
}

// search checks the criteria, keeps them in the session and goes to an address that
// does not name the patient.
func (c *Console) search(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	k := readCriteria(r.PostForm)
	if _, bad := c.documentFilter(v, k); len(bad) > 0 {
		p := searchPage{Criteria: k, Errors: bad}
		if err := c.searchChoices(r.Context(), v, &p); err != nil {
			return err
		}
		return c.render(w, r, v, http.StatusUnprocessableEntity, "recherche", page{Title: "Recherche — à corriger", Nav: "recherche", Wide: true, Data: p})
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
		p.Criteria, p.Done, p.Q = k, true, q
	}
	if err := c.searchChoices(r.Context(), v, &p); err != nil {
		return err
	}
	if ok {
		if err := c.results(r, v, q, &p); err != nil {
			return err
		}
		hidden := func(d index.Document) bool { return c.masked(v, d) }
		p.Results = slices.DeleteFunc(p.Results, hidden)
		p.Messages = slices.DeleteFunc(p.Messages, func(m index.Message) bool { return slices.ContainsFunc(m.Documents, hidden) })
		if err := c.record(v, "searched", "", "ok", k.kinds()); err != nil {
			return err
		}
	}
	title := "Recherche"
	if p.Done {
		title = "Recherche — " + plural(len(p.Results), "document", "documents")
	}
	return c.render(w, r, v, http.StatusOK, "recherche", page{Title: title, Nav: "recherche", Wide: true, Data: p})
}

// results fills a page of what a search finds.
func (c *Console) results(r *http.Request, v *visit, q string, p *searchPage) error {
	f, bad := c.documentFilter(v, p.Criteria)
	if len(bad) > 0 {
		return errBadInput
	}
	f.Limit, f.Before, f.After = rowsPerPage, r.URL.Query().Get("avant"), r.URL.Query().Get("apres")
	if len(f.Before)+len(f.After) > 200 || f.Before != "" && f.After != "" {
		return errBadInput
	}
	var goOn string
	var err error
	p.Results, goOn, err = c.db.Documents(r.Context(), f)
	if errors.Is(err, index.ErrCursor) || errors.Is(err, index.ErrTooShort) {
		return errors.Join(errBadInput, err)
	}
	if err != nil {
		return err
	}
	address := func(name, cursor string) string {
		if cursor == "" {
			return ""
		}
		return "/recherche?" + url.Values{"q": {q}, name: {cursor}}.Encode()
	}
	n := len(p.Results)
	if f.After == "" {
		p.Next = address("avant", goOn)
		if f.Before != "" && n > 0 {
			p.Previous = address("apres", f.Cursor(&p.Results[0]))
		}
	} else {
		p.Previous = address("apres", goOn)
		if n > 0 {
			p.Next = address("avant", f.Cursor(&p.Results[n-1]))
		}
	}
	if goOn != "" && n < rowsPerPage {
		p.Partial, _ = index.Reached(goOn)
	}
	if f.Before != "" || f.After != "" {
		p.First = "/recherche?" + url.Values{"q": {q}}.Encode()
	}
	if v.role == auditor && (n > 0 || goOn != "") {
		p.CSV = "/recherche/recherche.csv?" + url.Values{"q": {q}}.Encode()
	}
	if f.MessageID != "" {
		if p.Messages, err = c.db.MessagesNamed(r.Context(), f.MessageID, v.places); err != nil {
			return err
		}
	}
	p.Words = c.searchWords(p)
	return nil
}

// searchChoices fills what the form offers.
func (c *Console) searchChoices(ctx context.Context, v *visit, p *searchPage) error {
	k := p.Criteria
	for _, field := range []string{k.DatedFrom, k.DatedTo, k.ArchivedFrom, k.ArchivedTo, k.Sender, k.Type, k.Format, k.Box, k.State, k.MessageID} {
		p.More = p.More || field != ""
	}
	p.Boxes = c.placeChoices(v)
	for i := range p.Boxes {
		p.Boxes[i].Current = p.Boxes[i].Key == k.Box
	}
	types, err := c.db.Types(ctx)
	if err != nil {
		return err
	}
	for _, t := range types {
		if strings.HasPrefix(t.Key, "format.") {
			continue // of what has no type
		}
		label := t.Label
		if label != t.Key {
			label += " (" + t.Key + ")"
		}
		p.Types = append(p.Types, choice{t.Key, label, t.Key == k.Type})
	}
	for _, f := range greffe.Formats {
		p.Formats = append(p.Formats, choice{string(f), f.French(), string(f) == k.Format})
	}
	for _, s := range statesShown {
		p.States = append(p.States, choice{s.Slug, capital(string(s.State)), s.Slug == k.State})
	}
	return nil
}

// searchWords says in French what was looked for.
func (c *Console) searchWords(p *searchPage) string {
	k := p.Criteria
	var words []string
	add := func(value, before, after string) {
		if value != "" {
			words = append(words, before+value+after)
		}
	}
	day := func(s string) string {
		if t, ok := c.wall.typedDate(s); ok {
			return t.Format("02/01/2006")
		}
		return ""
	}
	period := func(what, from, to string) {
		switch from, to = day(from), day(to); {
		case from != "" && from == to:
			words = append(words, what+" le "+from)
		case from != "" && to != "":
			words = append(words, what+" du "+from+" au "+to)
		case from != "":
			words = append(words, what+" depuis le "+from)
		case to != "":
			words = append(words, what+" jusqu’au "+to)
		}
	}
	label := func(list []choice, key string) string {
		for _, x := range list {
			if x.Key == key {
				return x.Label
			}
		}
		return key
	}
	add(k.INS, "matricule INS ", "")
	add(k.Name, "nom « ", " »")
	add(day(k.Birth), "né(e) le ", "")
	period("reçu", k.From, k.To)
	period("daté", k.DatedFrom, k.DatedTo)
	period("archivé", k.ArchivedFrom, k.ArchivedTo)
	add(k.Sender, "expéditeur « ", " »")
	add(label(p.Types, k.Type), "type « ", " »")
	add(label(p.Formats, k.Format), "format « ", " »")
	for _, b := range p.Boxes {
		if b.Current {
			add(b.Place, "boîte ", "")
		}
	}
	add(label(p.States, k.State), "état « ", " »")
	add(k.MessageID, "Message-ID ", "")
	return strings.Join(words, ", ")
}

// kinds says which criteria were used, never their values.
func (k criteria) kinds() string {
	var used []string
	for _, f := range []struct{ name, value string }{{"ins", k.INS}, {"name", k.Name}, {"birth", k.Birth}, {"from", k.From}, {"to", k.To},
		{"dated-from", k.DatedFrom}, {"dated-to", k.DatedTo}, {"archived-from", k.ArchivedFrom}, {"archived-to", k.ArchivedTo},
		{"sender", k.Sender}, {"type", k.Type}, {"format", k.Format}, {"mailbox", k.Box}, {"state", k.State}, {"message-id", k.MessageID},
		{"actor", k.Actor}, {"action", k.Action}, {"subject", k.Subject}, {"result", k.Result}} {
		if f.value != "" {
			used = append(used, f.name)
		}
	}
	return strings.Join(used, "+")
}

// readCriteria reads the form of the search.
func readCriteria(form url.Values) criteria {
	field := func(name string) string { return strings.Join(strings.Fields(form.Get(name)), " ") }
	return criteria{INS: strings.ReplaceAll(field("ins"), " ", ""), Name: field("nom"), Birth: field("naissance"), From: field("du"), To: field("au"),
		DatedFrom: field("date-du"), DatedTo: field("date-au"), ArchivedFrom: field("archive-du"), ArchivedTo: field("archive-au"),
		Sender: field("expediteur"), Type: field("type"), Format: field("format"), Box: field("bal"), State: field("etat"), MessageID: field("message-id")}
}

// documentFilter turns what was typed into the search of a person, which finds nothing
// outside of what the person may see, or into a sentence for each field that must be
// corrected.
func (c *Console) documentFilter(v *visit, k criteria) (index.DocumentFilter, map[string]string) {
	f := index.DocumentFilter{INS: strings.ToUpper(k.INS), Name: k.Name, Places: v.places, Sender: k.Sender, Type: k.Type, Format: greffe.Format(k.Format), MessageID: k.MessageID}
	bad := map[string]string{}
	if k == (criteria{}) {
		bad["formulaire"] = "Remplissez au moins un critère."
	}
	if k.INS != "" && len(k.INS) != 13 && len(k.INS) != 15 || strings.ContainsFunc(k.INS, func(r rune) bool { return !unicode.IsDigit(r) && r != 'A' && r != 'B' && r != 'a' && r != 'b' }) {
		bad["ins"] = "Le matricule INS compte 15 caractères (13 sans la clé) : des chiffres, ou 2A / 2B pour la Corse."
	}
	if k.Name != "" && (letters(k.Name) < 2 || len(k.Name) > maxCriterion) {
		bad["nom"] = "Saisissez au moins les 2 premières lettres du nom."
	}
	if k.Birth != "" {
		t, ok := c.wall.typedDate(k.Birth)
		if !ok || t.After(time.Now()) {
			bad["naissance"] = "Saisissez une date passée, sous la forme JJ/MM/AAAA."
		}
		f.BirthDate = t.Format("20060102")
	}
	f.From, f.To = c.wall.period(k.From, k.To, "du", "au", bad)
	f.ArchivedFrom, f.ArchivedTo = c.wall.period(k.ArchivedFrom, k.ArchivedTo, "archive-du", "archive-au", bad)
	f.DatedFrom, f.DatedTo = wall{time.UTC}.period(k.DatedFrom, k.DatedTo, "date-du", "date-au", bad) // the day is what its author wrote
	if k.Sender != "" && (letters(k.Sender) < 2 || len(k.Sender) > maxCriterion) {
		bad["expediteur"] = "Saisissez au moins 2 lettres du nom ou de l’adresse de l’expéditeur."
	}
	if len(k.MessageID) > 1000 || strings.Contains(k.MessageID, " ") {
		bad["message-id"] = "Copiez le Message-ID entier, tel qu’il figure dans l’en-tête du message."
	}
	if k.Format != "" && !slices.Contains(greffe.Formats, f.Format) || len(k.Type) > 60 {
		bad["formulaire"] = "Choisissez le type et le format dans les listes."
	}
	if k.State != "" {
		var ok bool
		if f.State, ok = stateOfSlug(k.State); !ok {
			bad["formulaire"] = "Choisissez l’état dans la liste."
		}
	}
	if k.Box != "" {
		place := c.place(v, k.Box)
		if f.Places = []string{place}; place == "" { // of somebody else
			f.Places, bad["bal"] = []string{index.Nowhere}, "Choisissez une boîte de la liste."
		}
	}
	return f, bad
}

// letters counts the letters and digits of a text.
func letters(s string) (n int) {
	for _, r := range s {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			n++
		}
	}
	return n
}

// period reads two dates, the second included, or says what is wrong with them.
func (w wall) period(from, to, fieldFrom, fieldTo string, bad map[string]string) (start, end time.Time) {
	first, okFirst := w.typedDate(from)
	last, okLast := w.typedDate(to)
	if from != "" && !okFirst {
		bad[fieldFrom] = "Saisissez une date sous la forme JJ/MM/AAAA."
	}
	if to != "" && !okLast {
		bad[fieldTo] = "Saisissez une date sous la forme JJ/MM/AAAA."
	}
	if okFirst && okLast && last.Before(first) {
		bad[fieldTo] = "La date de fin est antérieure à la date de début."
	}
	if okFirst {
		start = first
	}
	if okLast {
		end = last.AddDate(0, 0, 1) // the whole day
	}
	return start, end
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
