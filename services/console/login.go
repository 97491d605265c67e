package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"greffe/pkg/index"
)

const maxLoginName = 100 // characters of a login that is looked up at all

type loginPage struct {
	To      string // page to come back to: a path of ours
	Login   string
	Error   string
	Expired bool
	OIDC    string // name of the identity provider; "" for none
}

func (c *Console) showLogin(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.user.Login != "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	return c.render(w, r, v, http.StatusOK, "connexion", page{Title: "Connexion", Data: loginPage{
		To: localPath(r.URL.Query().Get("vers")), Expired: r.URL.Query().Has("expiree"), OIDC: c.cfg.OIDC.Name,
	}})
}

// renderLogin is the login page again, with what went wrong.
func (c *Console) renderLogin(w http.ResponseWriter, r *http.Request, v *visit, status int, to, problem string) error {
	return c.render(w, r, v, status, "connexion", page{Title: "Connexion", Data: loginPage{To: to, Error: problem, OIDC: c.cfg.OIDC.Name}})
}

// login checks a name and a password. Whatever is wrong, the answer is the same
// sentence after the same time; the journal alone knows more.
func (c *Console) login(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	login := strings.TrimSpace(r.PostForm.Get("login"))
	to := localPath(r.PostForm.Get("vers"))
	again := func(status int, text string) error {
		return c.render(w, r, v, status, "connexion", page{Title: "Connexion", Data: loginPage{To: to, Login: login, Error: text, OIDC: c.cfg.OIDC.Name}})
	}
	if login == "" || utf8.RuneCountInString(login) > maxLoginName || !utf8.ValidString(login) {
		return again(http.StatusUnprocessableEntity, "Saisissez votre identifiant et votre mot de passe.")
	}
	if wait := c.attempts.begin(login, v.from); wait > 0 {
		return again(tooMany(w, wait), tooManyText(wait))
	}
	u, err := c.db.User(r.Context(), login)
	if err != nil && !errors.Is(err, index.ErrNotFound) {
		return err
	}
	known := err == nil && !u.Disabled && roles[u.Role] != 0
	hash := ""
	if known {
		hash = u.Hash
	}
	ok, err := c.verify(r.Context(), hash, r.PostForm.Get("mot-de-passe"))
	if err != nil {
		return err
	}
	if !ok {
		// What was typed may be a password in the wrong field: only a login that
		// exists is written down.
		subject := ""
		if known {
			subject = u.Login
		}
		// The failure that locks is journalled as such; tries on a locked login are
		// not, or anybody could fill the journal.
		result := "refused"
		if c.attempts.locked(login, v.from) {
			result = "locked"
		}
		if err := c.record(v, "login", subject, result, ""); err != nil {
			return err
		}
		return again(http.StatusUnauthorized, "Identifiant ou mot de passe incorrect.")
	}
	c.attempts.accepted(login, v.from)
	if u.TOTP != "" {
		return c.askCode(w, r, u, to)
	}
	if err := c.enter(r, v, u, "password"); err != nil {
		return err
	}
	http.Redirect(w, r, orHome(to), http.StatusSeeOther)
	return nil
}

// logout ends the session, also at the provider that vouched for the person.
func (c *Console) logout(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := c.record(v, "logout", v.user.Login, "ok", ""); err != nil {
		return err
	}
	to := "/connexion"
	if away := c.logoutAddress(r); away != "" {
		to = away
	}
	if err := c.sessions.Destroy(r.Context()); err != nil {
		return err
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// home sends each role to where its work is.
func (c *Console) home(w http.ResponseWriter, r *http.Request, v *visit) error {
	to := "/file"
	if v.role == admin {
		to = "/systeme"
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// localPath returns p when it is an address of this console, "" otherwise: a login page
// must not send people elsewhere. Addresses name nobody, so that their query may be kept.
func localPath(p string) string {
	u, err := url.Parse(p)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(p, "/") || !strings.HasPrefix(u.Path, "/") ||
		strings.HasPrefix(u.Path, "//") || strings.ContainsAny(p, "\\\r\n\t") || len(p) > maxWhere {
		return ""
	}
	return u.RequestURI()
}
