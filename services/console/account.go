package console

import (
	"errors"
	"html/template"
	"net/http"
	"slices"
	"time"

	"greffe/pkg/index"
)

type accountPage struct {
	Name, Login, Role, RPPS string
	Places                  []string
	All                     bool // every mailbox
	Local                   bool // has a password here
	Renew                   bool // and must change it
	Factor                  bool // has a second factor
	Needed                  bool // the role asks for one
	Recovery                int  // codes that are left
	Error                   map[string]string
	Min                     int
}

// duty returns the page of what a person must do before anything else: change a password
// that somebody else knows, set up a second factor that the role asks for; "" for
// nothing. Who logs in by a provider has both there.
func (c *Console) duty(u index.User) string {
	switch {
	case u.Hash == "":
		return ""
	case u.Renew:
		return "/compte"
	case u.TOTP == "" && c.needsFactor(u):
		return "/compte/second-facteur"
	}
	return ""
}

// needsFactor reports whether the configuration asks this role for a second factor.
func (c *Console) needsFactor(u index.User) bool {
	return u.Hash != "" && slices.Contains(c.cfg.SecondFactor, u.Role)
}

func (c *Console) showAccount(w http.ResponseWriter, r *http.Request, v *visit) error {
	return c.renderAccount(w, r, v, http.StatusOK, nil)
}

func (c *Console) renderAccount(w http.ResponseWriter, r *http.Request, v *visit, status int, problems map[string]string) error {
	u := v.user
	p := accountPage{Name: u.Name, Login: u.Login, Role: u.Role, RPPS: u.RPPS, Local: u.Hash != "", Renew: u.Renew && u.Hash != "", Factor: u.TOTP != "",
		Needed: c.needsFactor(u), Recovery: len(u.Recovery), Error: problems, Min: minPassword}
	for _, place := range v.places {
		switch place {
		case index.Everywhere:
			p.All = true
		case index.Nowhere:
		default:
			p.Places = append(p.Places, place)
		}
	}
	return c.render(w, r, v, status, "compte", page{Title: "Mon compte", Nav: "compte", Data: p})
}

// confirmPassword asks for the password once more before something that would shut its owner out;
// "" when it is right, else what to say, with the status. Tries are limited as logins.
func (c *Console) confirmPassword(w http.ResponseWriter, r *http.Request, v *visit, action string) (string, int, error) {
	if wait := c.attempts.begin(v.user.Login, v.from); wait > 0 {
		return tooManyText(wait), tooMany(w, wait), nil
	}
	ok, err := c.verify(r.Context(), v.user.Hash, r.PostForm.Get("mot-de-passe"))
	if err != nil {
		return "", 0, err
	}
	if !ok {
		return "Mot de passe actuel incorrect.", http.StatusUnauthorized, c.record(v, action, v.user.Login, "refused", "password")
	}
	c.attempts.accepted(v.user.Login, v.from)
	return "", 0, nil
}

// changePassword gives the person another password. The other sessions of the account
// end, this one goes on with a new token.
func (c *Console) changePassword(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	if v.user.Hash == "" {
		return errState
	}
	said, status, err := c.confirmPassword(w, r, v, "password-changed")
	if err != nil {
		return err
	}
	if said != "" {
		return c.renderAccount(w, r, v, status, map[string]string{"actuel": said})
	}
	pw := r.PostForm.Get("nouveau-mot-de-passe")
	switch {
	case pw != r.PostForm.Get("nouveau-mot-de-passe-2"):
		return c.renderAccount(w, r, v, http.StatusUnprocessableEntity, map[string]string{"confirmation": "Les deux saisies du nouveau mot de passe diffèrent."})
	case pw == r.PostForm.Get("mot-de-passe"):
		return c.renderAccount(w, r, v, http.StatusUnprocessableEntity, map[string]string{"nouveau": "Choisissez un mot de passe différent de l’actuel."})
	}
	hash, err := c.hash(r.Context(), pw)
	if errors.Is(err, ErrPassword) {
		return c.renderAccount(w, r, v, http.StatusUnprocessableEntity, map[string]string{"nouveau": "Le mot de passe compte 12 caractères au moins : une phrase de quelques mots convient."})
	}
	if err != nil {
		return err
	}
	if err := c.changeSelf(r, v, v.entry("password-changed", v.user.Login, "ok", ""), func(u *index.User) { u.Hash, u.Renew = hash, false }); err != nil {
		return err
	}
	c.flash(r, "Mot de passe changé. Les autres sessions de votre compte sont fermées.")
	http.Redirect(w, r, orHome(c.duty(v.user)), http.StatusSeeOther)
	return nil
}

// changeSelf changes the account of the person and lets this session go on.
func (c *Console) changeSelf(r *http.Request, v *visit, e index.Entry, change func(*index.User)) error {
	err := c.db.ChangeUser(r.Context(), v.user.Login, func(u *index.User) ([]index.Entry, error) {
		change(u)
		v.user = *u
		return []index.Entry{e}, nil
	})
	if err != nil {
		return err
	}
	if err := c.sessions.RenewToken(r.Context()); err != nil {
		return err
	}
	c.sessions.Put(r.Context(), keyProof, proof(v.user))
	return nil
}

type factorPage struct {
	Secret   string
	Picture  template.HTML
	Error    string
	Needed   bool     // the role asks for it
	Codes    []string // for recovery, shown once
	Replaced bool     // the codes replace others
}

// showFactor shows the secret of a second factor to set up. The same secret is shown
// until a code of it has been typed.
func (c *Console) showFactor(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.user.Hash == "" || v.user.TOTP != "" || v.user.Renew {
		http.Redirect(w, r, "/compte", http.StatusSeeOther)
		return nil
	}
	return c.renderFactor(w, r, v, http.StatusOK, "")
}

func (c *Console) renderFactor(w http.ResponseWriter, r *http.Request, v *visit, status int, problem string) error {
	secret := c.sessions.GetString(r.Context(), keySecret)
	if secret == "" {
		secret = newSecret()
		c.sessions.Put(r.Context(), keySecret, secret)
	}
	picture, err := qrSVG(otpURI(v.user.Login, secret))
	if err != nil {
		return err
	}
	return c.render(w, r, v, status, "facteur", page{Title: "Second facteur", Nav: "compte", Data: factorPage{Secret: spaced(secret), Picture: picture, Error: problem, Needed: c.needsFactor(v.user)}})
}

// saveFactor turns the second factor on once a code of it shows that the telephone has
// it, and shows the recovery codes, this once.
func (c *Console) saveFactor(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	secret := c.sessions.GetString(r.Context(), keySecret)
	if v.user.Hash == "" || v.user.TOTP != "" || v.user.Renew || secret == "" {
		return errState
	}
	step, ok := matchCode(secret, typedCode(r.PostForm.Get("code")), time.Now(), 0)
	if !ok {
		return c.renderFactor(w, r, v, http.StatusUnprocessableEntity, "Ce code ne correspond pas. Saisissez le code affiché maintenant par l’application ; vérifiez l’heure du téléphone.")
	}
	codes, kept := newRecovery()
	if err := c.changeSelf(r, v, v.entry("factor-added", v.user.Login, "ok", ""), func(u *index.User) { u.TOTP, u.TOTPStep, u.Recovery = secret, step, kept }); err != nil {
		return err
	}
	c.sessions.Remove(r.Context(), keySecret)
	return c.render(w, r, v, http.StatusOK, "facteur", page{Title: "Codes de secours", Nav: "compte", Data: factorPage{Codes: codes}})
}

// removeFactor takes the second factor away, unless the role asks for it.
func (c *Console) removeFactor(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	if v.user.TOTP == "" || c.needsFactor(v.user) {
		return errState
	}
	said, status, err := c.confirmPassword(w, r, v, "factor-removed")
	if err != nil {
		return err
	}
	if said != "" {
		return c.renderAccount(w, r, v, status, map[string]string{"facteur": said})
	}
	if err := c.changeSelf(r, v, v.entry("factor-removed", v.user.Login, "ok", ""), func(u *index.User) { u.TOTP, u.TOTPStep, u.Recovery = "", 0, nil }); err != nil {
		return err
	}
	c.flash(r, "Second facteur retiré : le mot de passe seul suffit de nouveau.")
	http.Redirect(w, r, "/compte", http.StatusSeeOther)
	return nil
}

// renewRecovery makes new recovery codes; the old ones are worth nothing any more.
func (c *Console) renewRecovery(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	if v.user.TOTP == "" {
		return errState
	}
	said, status, err := c.confirmPassword(w, r, v, "recovery-made")
	if err != nil {
		return err
	}
	if said != "" {
		return c.renderAccount(w, r, v, status, map[string]string{"facteur": said})
	}
	codes, kept := newRecovery()
	if err := c.changeSelf(r, v, v.entry("recovery-made", v.user.Login, "ok", ""), func(u *index.User) { u.Recovery = kept }); err != nil {
		return err
	}
	return c.render(w, r, v, http.StatusOK, "facteur", page{Title: "Codes de secours", Nav: "compte", Data: factorPage{Codes: codes, Replaced: true}})
}
