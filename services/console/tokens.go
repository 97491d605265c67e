package console

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"greffe/pkg/index"
)

// The page where an administrator makes and revokes the tokens of scripts, as greffe
// tokens does on the machine.

const tokenDays = 90 // offered as the end of a new token

type tokenLine struct {
	index.Token
	Places []string
	All    bool
	Ended  bool
	Live   bool
}

type tokensPage struct {
	Tokens  []tokenLine
	Roles   []string
	Choices []placeBox
	Name    string
	Role    string
	Until   string // day, as a date field gives it
	First   string // first and last day that the field takes
	Last    string
	Errors  map[string]string
	Secret  string // made just now, shown this once
	Made    string // name of it
}

func (c *Console) tokensPage(r *http.Request) (tokensPage, error) {
	now := time.Now()
	p := tokensPage{Roles: Roles, Role: "secretary", Until: c.dayOf(now.AddDate(0, 0, tokenDays)), First: c.dayOf(now), Last: c.dayOf(now.Add(MaxTokenLife)), Errors: map[string]string{}}
	list, err := c.db.Tokens(r.Context())
	if err != nil {
		return p, err
	}
	for _, k := range list {
		l := tokenLine{Token: k, Ended: !now.Before(k.Expires)}
		l.Digest = "" // never in reach of a template
		l.Live = !l.Ended && k.Revoked.IsZero()
		for _, place := range k.Places {
			if place == index.Everywhere {
				l.All = true
			} else {
				l.Places = append(l.Places, place)
			}
		}
		p.Tokens = append(p.Tokens, l)
	}
	for _, place := range c.grantable(index.User{}) {
		name := place
		if place == index.Everywhere {
			name = "Toutes les boîtes, aussi celles qui viendront"
		}
		p.Choices = append(p.Choices, placeBox{Key: PlaceKey(place), Name: name})
	}
	return p, nil
}

func (c *Console) dayOf(t time.Time) string { return t.In(c.wall.zone).Format(time.DateOnly) }

func (c *Console) renderTokens(w http.ResponseWriter, r *http.Request, v *visit, status int, p tokensPage) error {
	return c.render(w, r, v, status, "jetons", page{Title: "Jetons", Nav: "systeme", Data: p})
}

// showTokens lists the tokens and offers to make one.
func (c *Console) showTokens(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := c.record(v, "read", "", "ok", "tokens"); err != nil {
		return err
	}
	p, err := c.tokensPage(r)
	if err != nil {
		return err
	}
	return c.renderTokens(w, r, v, http.StatusOK, p)
}

// addToken makes a token and shows it, this once.
func (c *Console) addToken(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	p, err := c.tokensPage(r)
	if err != nil {
		return err
	}
	form := r.PostForm
	secret, k := NewToken()
	k.Name, k.Role, k.By = strings.Join(strings.Fields(form.Get("nom")), " "), form.Get("profil"), v.user.Login
	if k.Name == "" || utf8.RuneCountInString(k.Name) > maxName || !utf8.ValidString(k.Name) {
		p.Errors["nom"] = "Dites en quelques mots ce que fait le script : c’est ce nom que les autres verront."
	}
	if roles[k.Role] == 0 {
		p.Errors["profil"] = "Choisissez un profil."
	}
	now := time.Now()
	day, ok := c.wall.typedDate(form.Get("fin"))
	if k.Expires = day.AddDate(0, 0, 1); !ok || !k.Expires.After(now) || k.Expires.Sub(now) > MaxTokenLife+24*time.Hour {
		p.Errors["fin"] = "Choisissez un jour à venir, dans les 366 jours."
	}
	for i, place := range c.grantable(index.User{}) {
		if slices.Contains(form["boite"], PlaceKey(place)) {
			k.Places = append(k.Places, place)
			p.Choices[i].Checked = true
		}
	}
	if len(k.Places) == 0 && k.Role != "admin" {
		p.Errors["boite"] = "Choisissez au moins une boîte : sans elle, ce jeton ne verrait rien."
	}
	if len(p.Errors) > 0 {
		p.Name, p.Role, p.Until = form.Get("nom"), k.Role, form.Get("fin")
		return c.renderTokens(w, r, v, http.StatusUnprocessableEntity, p)
	}
	if err := c.db.AddToken(r.Context(), k, v.entry("token-add", k.Actor(), "ok", RightsOfToken(k))); err != nil {
		return err
	}
	if p, err = c.tokensPage(r); err != nil {
		return err
	}
	p.Secret, p.Made = secret, k.Name
	return c.renderTokens(w, r, v, http.StatusOK, p)
}

// revokeToken ends a token at once.
func (c *Console) revokeToken(w http.ResponseWriter, r *http.Request, v *visit) error {
	err := c.db.RevokeToken(r.Context(), r.PathValue("jeton"), v.user.Login, func(k index.Token) []index.Entry {
		return []index.Entry{v.entry("token-revoked", k.Actor(), "ok", RightsOfToken(k))}
	})
	switch {
	case errors.Is(err, index.ErrNotFound):
		c.flash(r, "Ce jeton n’existe pas.")
	case err != nil:
		return err
	default:
		c.flash(r, "Jeton révoqué : il n’ouvre plus rien.")
	}
	http.Redirect(w, r, "/systeme/jetons", http.StatusSeeOther)
	return nil
}
