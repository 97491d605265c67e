package console

import (
	"errors"
	"net/http"
	"time"

	"greffe/pkg/index"
)

// codeTime is how long a code is awaited after the password was right.
const codeTime = 5 * time.Minute

type codePage struct{ Error string }

// askCode notes that the password of u was right and asks for the second factor. The
// token of the browser is renewed here as well: it now stands for half a login.
func (c *Console) askCode(w http.ResponseWriter, r *http.Request, u index.User, to string) error {
	if err := c.sessions.Clear(r.Context()); err != nil {
		return err
	}
	if err := c.sessions.RenewToken(r.Context()); err != nil {
		return err
	}
	c.sessions.Put(r.Context(), keyPending, u.Login)
	c.sessions.Put(r.Context(), keyProof, proof(u))
	c.sessions.Put(r.Context(), keyUntil, time.Now().Add(codeTime).Unix())
	c.sessions.Put(r.Context(), keyTo, to)
	http.Redirect(w, r, "/connexion/code", http.StatusSeeOther)
	return nil
}

// pending returns the person whose code is awaited; errLogin when nobody's is.
func (c *Console) pending(r *http.Request) (index.User, error) {
	login := c.sessions.GetString(r.Context(), keyPending)
	if login == "" || time.Now().Unix() > c.sessions.GetInt64(r.Context(), keyUntil) {
		return index.User{}, errLogin
	}
	u, err := c.db.User(r.Context(), login)
	if errors.Is(err, index.ErrNotFound) || err == nil && (u.Disabled || roles[u.Role] == 0 || c.sessions.GetString(r.Context(), keyProof) != proof(u)) {
		return index.User{}, errLogin
	}
	return u, err
}

func (c *Console) showCode(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.user.Login != "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	if _, err := c.pending(r); err != nil {
		return err // to the login
	}
	return c.renderCode(w, r, v, http.StatusOK, "")
}

func (c *Console) renderCode(w http.ResponseWriter, r *http.Request, v *visit, status int, problem string) error {
	return c.render(w, r, v, status, "code", page{Title: "Code de connexion", Data: codePage{Error: problem}})
}

// loginCode ends a login with the second factor. Tries are counted apart from those of
// the password: knowing it gives no more of them.
func (c *Console) loginCode(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	u, err := c.pending(r)
	if err != nil {
		return err
	}
	code := r.PostForm.Get("code")
	if code == "" {
		return c.renderCode(w, r, v, http.StatusUnprocessableEntity, "Saisissez le code à six chiffres de votre application, ou un code de secours.")
	}
	counted := u.Login + "\x00code"
	if wait := c.attempts.begin(counted, v.from); wait > 0 {
		return c.renderCode(w, r, v, tooMany(w, wait), tooManyText(wait))
	}
	ok, err := c.takeCode(r.Context(), u.Login, v.from, code)
	if err != nil {
		return err
	}
	if !ok {
		result := "refused"
		if c.attempts.locked(counted, v.from) {
			result = "locked"
		}
		if err := c.record(v, "login", u.Login, result, "code"); err != nil {
			return err
		}
		return c.renderCode(w, r, v, http.StatusUnauthorized, "Code incorrect ou déjà utilisé. Attendez le code suivant et vérifiez l’heure du téléphone.")
	}
	c.attempts.accepted(counted, v.from)
	to := localPath(c.sessions.GetString(r.Context(), keyTo))
	if u, err = c.db.User(r.Context(), u.Login); err != nil {
		return err
	}
	if err := c.enter(r, v, u, "password+code"); err != nil {
		return err
	}
	http.Redirect(w, r, orHome(to), http.StatusSeeOther)
	return nil
}
