package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// savedView is a filter that a person gave a name. Its text is kept with it in the
// index, never in an address.
type savedView struct {
	Key  string // opaque: the name of a view may be that of a professional
	Name string
}

// viewValue is what is kept of a view.
type viewValue struct {
	Query string `json:"query"`
	Text  string `json:"text,omitempty"`
}

const kindView, kindKeys = "view", "keys"

func (c *Console) views(ctx context.Context, v *visit) ([]savedView, error) {
	list, err := c.db.KeptBy(ctx, v.user.Login)
	if err != nil {
		return nil, err
	}
	var out []savedView
	for _, k := range list {
		if k.Kind == kindView {
			out = append(out, savedView{greffe.MailboxKey(k.Name), k.Name})
		}
	}
	return out, nil
}

// openView goes to the queue under the filter of a view.
func (c *Console) openView(w http.ResponseWriter, r *http.Request, v *visit) error {
	list, err := c.db.KeptBy(r.Context(), v.user.Login)
	if err != nil {
		return err
	}
	for _, k := range list {
		if k.Kind != kindView || greffe.MailboxKey(k.Name) != r.PathValue("key") {
			continue
		}
		var value viewValue
		if err := json.Unmarshal([]byte(k.Value), &value); err != nil {
			return err
		}
		q, err := url.ParseQuery(value.Query)
		if err != nil {
			return err
		}
		f := readFilter(q.Get)
		if value.Text != "" {
			if f.Q, err = c.remember(r, criteria{Text: value.Text}); err != nil {
				return err
			}
		}
		http.Redirect(w, r, f.on("/file"), http.StatusSeeOther)
		return nil
	}
	c.flash(r, "Cette vue n’existe plus.")
	http.Redirect(w, r, "/file", http.StatusSeeOther)
	return nil
}

// saveView keeps the filter of the page under a name, or forgets a name.
func (c *Console) saveView(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	q, err := url.ParseQuery(r.PostForm.Get("filtre"))
	if err != nil {
		return errors.Join(errBadInput, err)
	}
	f := readFilter(q.Get)
	back := f.on("/file")
	if key := r.PostForm.Get("oublier"); key != "" {
		list, err := c.views(r.Context(), v)
		if err != nil {
			return err
		}
		for _, s := range list {
			if s.Key == key {
				if err := c.db.Forget(r.Context(), v.user.Login, kindView, s.Name); err != nil {
					return err
				}
				c.flash(r, "Vue « "+s.Name+" » supprimée.")
			}
		}
		http.Redirect(w, r, back, http.StatusSeeOther)
		return nil
	}
	name := strings.Join(strings.Fields(r.PostForm.Get("nom")), " ")
	if n := utf8.RuneCountInString(name); n < 1 || n > 60 || !utf8.ValidString(name) {
		c.flash(r, "Donnez un nom à la vue : 60 caractères au plus. Elle n’a pas été enregistrée.")
		http.Redirect(w, r, back, http.StatusSeeOther)
		return nil
	}
	value := viewValue{}
	if s, ok := c.recall(r, f.Q); ok {
		value.Text = s.Text
	}
	f.Q, f.Before = "", ""
	value.Query = f.values().Encode()
	b, err := json.Marshal(value)
	if err != nil {
		return err
	}
	err = c.db.Keep(r.Context(), v.user.Login, index.Kept{Kind: kindView, Name: name, Value: string(b)})
	if errors.Is(err, index.ErrTooMany) {
		c.flash(r, "Vous avez déjà 50 vues : supprimez-en une d’abord. Celle-ci n’a pas été enregistrée.")
		err = nil
	} else if err == nil {
		c.flash(r, "Vue « "+name+" » enregistrée : elle est proposée au-dessus de la file.")
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
	return nil
}

// key is one command of the keyboard.
type keyChoice struct {
	ID      string // of the command, as the scripts know it
	Key     string // what is typed; "" for none
	Default string
	Name    string
}

// commands are what a single key does (RGAA 12.10: each can be changed or turned off).
var commands = []keyChoice{
	{"suivant", "j", "j", "élément suivant de la liste"},
	{"precedent", "k", "k", "élément précédent de la liste"},
	{"ouvrir", "o", "o", "ouvrir l’élément de la liste (comme Entrée)"},
	{"decider", "d", "d", "aller à la décision"},
	{"suite", "n", "n", "ouvrir l’élément suivant à traiter"},
	{"document", "v", "v", "aller au document"},
	{"retour", "u", "u", "revenir à la liste"},
	{"nouveaux", "r", "r", "afficher les nouveaux messages"},
	{"filtre", "/", "/", "aller au champ de filtre ou de recherche"},
	{"aide", "?", "?", "montrer les raccourcis"},
}

// keyboard is what a person uses of the single keys.
type keyboard struct {
	Off  bool              `json:"off,omitempty"`
	Keys map[string]string `json:"keys,omitempty"` // by command; a command that is not there has its default
}

// list returns the commands with the keys of the person.
func (k keyboard) list() []keyChoice {
	out := slices.Clone(commands)
	for i := range out {
		if key, ok := k.Keys[out[i].ID]; ok {
			out[i].Key = key
		}
	}
	return out
}

// forScripts is what the scripts of the pages read: the command of each key.
func (k keyboard) forScripts() string {
	m := map[string]string{}
	if !k.Off {
		for _, x := range k.list() {
			if x.Key != "" {
				m[x.Key] = x.ID
			}
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		return "{}"
	}
	return string(b)
}

// keyboardOf returns the keyboard of a person. It is kept in the session, so that no page
// reads the index for it.
func (c *Console) keyboardOf(ctx context.Context) keyboard {
	var k keyboard
	if err := json.Unmarshal(c.sessions.GetBytes(ctx, kindKeys), &k); err != nil {
		return keyboard{}
	}
	return k
}

// loadKeyboard puts the keyboard of a person into the session, when it is not there yet.
func (c *Console) loadKeyboard(ctx context.Context, login string) error {
	if c.sessions.Exists(ctx, kindKeys) {
		return nil
	}
	list, err := c.db.KeptBy(ctx, login)
	if err != nil {
		return err
	}
	value := "{}"
	for _, k := range list {
		if k.Kind == kindKeys {
			value = k.Value
		}
	}
	c.sessions.Put(ctx, kindKeys, []byte(value))
	return nil
}

type keysPage struct {
	On     bool
	Keys   []keyChoice
	Errors map[string]string
}

func (c *Console) showKeys(w http.ResponseWriter, r *http.Request, v *visit) error {
	k := c.keyboardOf(r.Context())
	return c.render(w, r, v, http.StatusOK, "raccourcis", page{Title: "Raccourcis clavier", Nav: "aide", Data: keysPage{On: !k.Off, Keys: k.list()}})
}

// saveKeys keeps the keyboard of a person.
func (c *Console) saveKeys(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	k := keyboard{Off: r.PostForm.Get("actifs") == "", Keys: map[string]string{}}
	bad, used := map[string]string{}, map[string]string{}
	if r.PostForm.Get("defaut") != "" {
		k = keyboard{}
	} else {
		for _, x := range commands {
			key := strings.TrimSpace(r.PostForm.Get(x.ID))
			switch {
			case utf8.RuneCountInString(key) > 1 || strings.ContainsFunc(key, func(c rune) bool { return !unicode.IsPrint(c) }):
				bad[x.ID] = "Un seul caractère, ou rien pour ne pas avoir de raccourci."
			case key != "" && used[key] != "":
				bad[x.ID] = "Cette touche sert déjà à : " + used[key] + "."
			}
			if key != "" {
				used[key] = x.Name
			}
			if key != x.Default {
				k.Keys[x.ID] = key
			}
		}
	}
	if len(bad) > 0 {
		return c.render(w, r, v, http.StatusUnprocessableEntity, "raccourcis", page{Title: "Raccourcis clavier — à corriger", Nav: "aide", Data: keysPage{On: !k.Off, Keys: k.list(), Errors: bad}})
	}
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if err := c.db.Keep(r.Context(), v.user.Login, index.Kept{Kind: kindKeys, Name: kindKeys, Value: string(b)}); err != nil {
		return err
	}
	c.sessions.Put(r.Context(), kindKeys, b)
	c.flash(r, "Vos raccourcis sont enregistrés.")
	http.Redirect(w, r, "/raccourcis", http.StatusSeeOther)
	return nil
}

// tomorrow is the day after now, as a date field has it.
func (at wall) tomorrow(now time.Time) string {
	return now.In(at.zone).AddDate(0, 0, 1).Format(time.DateOnly)
}
