package console

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// The pages where an administrator makes and changes accounts, as greffe users does on
// the machine. An address never holds a login, which may be somebody's name.

const maxName = 200 // characters of a displayed name

// accountKey is the opaque name of an account in addresses.
func accountKey(login string) string {
	return string(greffe.DigestOf([]byte("greffe account\x00" + login)))[:16]
}

// account returns the account that an address names.
func (c *Console) account(r *http.Request) (index.User, error) {
	users, err := c.db.Users(r.Context())
	if err != nil {
		return index.User{}, err
	}
	i := slices.IndexFunc(users, func(u index.User) bool { return accountKey(u.Login) == r.PathValue("compte") })
	if i < 0 {
		return index.User{}, errNothing
	}
	return users[i], nil
}

type accountLine struct {
	index.User
	Key      string
	Factor   string // how the person logs in
	Sees     []string
	Everyone bool
}

// showUsers lists the accounts.
func (c *Console) showUsers(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := c.record(v, "read", "", "ok", "accounts"); err != nil {
		return err
	}
	users, err := c.db.Users(r.Context())
	if err != nil {
		return err
	}
	var lines []accountLine
	for _, u := range users {
		lines = append(lines, c.line(u))
	}
	return c.render(w, r, v, http.StatusOK, "comptes", page{Title: "Comptes", Nav: "systeme", Data: lines})
}

func (c *Console) line(u index.User) accountLine {
	l := accountLine{User: u, Key: accountKey(u.Login), Factor: "mot de passe"}
	switch {
	case u.Hash == "" && u.Subject != "":
		l.Factor = "fournisseur d’identité"
	case u.TOTP != "":
		l.Factor = "deux facteurs"
	case c.needsFactor(u):
		l.Factor = "mot de passe ; second facteur à mettre en place"
	}
	for _, p := range c.placesOf(u) {
		switch p {
		case index.Everywhere:
			l.Everyone = true
		case index.Nowhere:
		default:
			l.Sees = append(l.Sees, p)
		}
	}
	l.Hash, l.TOTP, l.Recovery = "", "", nil // never in reach of a template
	return l
}

type placeBox struct {
	Key, Name string
	Checked   bool
}

type accountForm struct {
	accountLine
	New      bool
	Self     bool // the administrator's own
	Outside  bool // a provider vouches for the person and gives the rights
	Second   bool // has a second factor
	Roles    []string
	Choices  []placeBox
	Errors   map[string]string
	Password string // made just now, shown this once
	Done     string // sentence
}

func (c *Console) accountForm(v *visit, u index.User, isNew bool) accountForm {
	f := accountForm{accountLine: c.line(u), New: isNew, Self: u.Login == v.user.Login && !isNew, Outside: u.Subject != "" && u.Hash == "", Second: u.TOTP != "", Roles: Roles, Errors: map[string]string{}}
	for _, p := range c.grantable(u) {
		name := p
		if p == index.Everywhere {
			name = "Toutes les boîtes, aussi celles qui viendront"
		}
		f.Choices = append(f.Choices, placeBox{Key: PlaceKey(p), Name: name, Checked: slices.Contains(u.Places, p)})
	}
	return f
}

// grantable are the places an account may be given: those of the configuration, and those
// it has that are not configured any more.
func (c *Console) grantable(u index.User) []string {
	list := []string{index.Everywhere}
	for _, m := range c.cfg.Mailboxes {
		list = append(list, m)
		for _, folder := range c.cfg.About[m].Folders {
			if folder != "INBOX" {
				list = append(list, m+"/"+folder)
			}
		}
	}
	for _, p := range u.Places {
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

func (c *Console) renderUser(w http.ResponseWriter, r *http.Request, v *visit, status int, f accountForm) error {
	title := "Compte"
	if f.New {
		title = "Nouveau compte"
	}
	return c.render(w, r, v, status, "utilisateur", page{Title: title, Nav: "systeme", Data: f})
}

func (c *Console) newUser(w http.ResponseWriter, r *http.Request, v *visit) error {
	return c.renderUser(w, r, v, http.StatusOK, c.accountForm(v, index.User{Role: "secretary"}, true))
}

func (c *Console) showUser(w http.ResponseWriter, r *http.Request, v *visit) error {
	u, err := c.account(r)
	if err != nil {
		return err
	}
	if err := c.record(v, "read", u.Login, "ok", "account"); err != nil {
		return err
	}
	return c.renderUser(w, r, v, http.StatusOK, c.accountForm(v, u, false))
}

// read takes name, role, RPPS and places from the form into u; what is wrong goes into
// the form that is shown again.
func (c *Console) read(r *http.Request, v *visit, u *index.User, isNew bool) (accountForm, bool) {
	form := r.PostForm
	u.Name, u.Role = strings.Join(strings.Fields(form.Get("nom")), " "), form.Get("profil")
	bad := map[string]string{}
	if isNew {
		if u.Login = loginOf(form.Get("identifiant")); u.Login == "" {
			bad["identifiant"] = "Choisissez un identifiant d’un seul mot, par exemple prenom.nom. Les noms des services de Greffe sont réservés."
		}
	}
	if u.Name == "" {
		u.Name = u.Login
	}
	if utf8.RuneCountInString(u.Name) > maxName || !utf8.ValidString(u.Name) {
		bad["nom"] = "Ce nom est trop long."
	}
	if roles[u.Role] == 0 {
		bad["profil"] = "Choisissez un profil."
	}
	typed := strings.TrimSpace(form.Get("rpps"))
	if u.RPPS = RPPS(typed); u.RPPS == "" && typed != "" {
		bad["rpps"] = "Le numéro RPPS compte 11 chiffres."
	}
	var places []string
	for _, p := range c.grantable(*u) {
		if slices.Contains(form["boite"], PlaceKey(p)) {
			places = append(places, p)
		}
	}
	u.Places = places
	f := c.accountForm(v, *u, isNew)
	if u.RPPS == "" {
		f.RPPS = typed
	}
	if isNew && u.Login == "" {
		f.Login = form.Get("identifiant")
	}
	f.Errors = bad
	return f, len(bad) == 0
}

// addUser makes a local account. Its password is made here, shown once and must be
// changed by the person before anything else.
func (c *Console) addUser(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	u := index.User{Renew: true}
	f, ok := c.read(r, v, &u, true)
	if !ok {
		return c.renderUser(w, r, v, http.StatusUnprocessableEntity, f)
	}
	pw := NewPassword()
	var err error
	if u.Hash, err = c.hash(r.Context(), pw); err != nil {
		return err
	}
	err = c.db.AddUser(r.Context(), u, v.entry("user-add", u.Login, "ok", RightsOf(u)))
	if errors.Is(err, index.ErrTaken) {
		f.Errors["identifiant"] = "Un compte porte déjà cet identifiant."
		return c.renderUser(w, r, v, http.StatusUnprocessableEntity, f)
	}
	if err != nil {
		return err
	}
	f = c.accountForm(v, u, false)
	f.Password, f.Done = pw, "Compte créé."
	return c.renderUser(w, r, v, http.StatusOK, f)
}

// changeUser gives an account another name, role, RPPS number or places. The rights hold
// from the person's next request on.
func (c *Console) changeUser(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	u, err := c.account(r)
	if err != nil {
		return err
	}
	if u.Subject != "" && u.Hash == "" {
		return errState // the provider's claims decide, at each login
	}
	before := u.Role
	f, ok := c.read(r, v, &u, false)
	if ok && f.Self && u.Role != before {
		f.Errors["profil"], ok = "Vous ne pouvez pas retirer votre propre profil d’administrateur : demandez-le à un autre administrateur.", false
	}
	if !ok {
		return c.renderUser(w, r, v, http.StatusUnprocessableEntity, f)
	}
	return c.alter(w, r, v, u.Login, "user-change", "Compte modifié.", func(x *index.User) { x.Name, x.Role, x.RPPS, x.Places = u.Name, u.Role, u.RPPS, u.Places })
}

// actOnUser does what a button of the page of an account asks for.
func (c *Console) actOnUser(w http.ResponseWriter, r *http.Request, v *visit) error {
	u, err := c.account(r)
	if err != nil {
		return err
	}
	self := u.Login == v.user.Login
	switch act := r.PathValue("acte"); {
	case act == "second-facteur" && u.TOTP != "":
		return c.alter(w, r, v, u.Login, "user-second-factor", "Second facteur retiré ; les sessions du compte sont fermées.", func(x *index.User) { x.TOTP, x.TOTPStep, x.Recovery = "", 0, nil })
	case act == "desactiver" && !self && !u.Disabled:
		return c.alter(w, r, v, u.Login, "user-disable", "Compte désactivé ; ses sessions sont fermées.", func(x *index.User) { x.Disabled = true })
	case act == "activer" && u.Disabled:
		return c.alter(w, r, v, u.Login, "user-enable", "Compte réactivé.", func(x *index.User) { x.Disabled = false })
	case act == "supprimer" && !self:
		if err := c.db.DeleteUser(r.Context(), u.Login, v.entry("user-removed", u.Login, "ok", RightsOf(u))); err != nil {
			return err
		}
		c.flash(r, "Compte supprimé. Le journal garde ses actes.")
		http.Redirect(w, r, "/systeme/comptes", http.StatusSeeOther)
		return nil
	case act == "mot-de-passe" && !self && u.Hash != "":
		pw := NewPassword()
		hash, err := c.hash(r.Context(), pw)
		if err != nil {
			return err
		}
		err = c.db.ChangeUser(r.Context(), u.Login, func(x *index.User) ([]index.Entry, error) {
			x.Hash, x.Renew = hash, true
			u = *x
			return []index.Entry{v.entry("user-password", u.Login, "ok", RightsOf(u))}, nil
		})
		if err != nil {
			return err
		}
		f := c.accountForm(v, u, false)
		f.Password, f.Done = pw, "Nouveau mot de passe ; les sessions du compte sont fermées."
		return c.renderUser(w, r, v, http.StatusOK, f)
	}
	return errState
}

// alter changes an account, journals it and goes back to its page with a sentence.
func (c *Console) alter(w http.ResponseWriter, r *http.Request, v *visit, login, action, said string, change func(*index.User)) error {
	err := c.db.ChangeUser(r.Context(), login, func(x *index.User) ([]index.Entry, error) {
		change(x)
		return []index.Entry{v.entry(action, login, "ok", RightsOf(*x))}, nil
	})
	if err != nil {
		return err
	}
	c.flash(r, said)
	http.Redirect(w, r, "/systeme/comptes/"+accountKey(login), http.StatusSeeOther)
	return nil
}
