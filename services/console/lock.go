package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"greffe/pkg/index"
)

// A session that nobody uses for the configured time is locked, as is one whose person
// asks for it: every page of it shows the same screen, which holds nothing of anybody's,
// until the person proves again who they are. What was typed and not sent is kept with
// the presence, in the index, and given back to the page. Whoever sits down instead logs
// in afresh; the draft is then forgotten.

const (
	maxDraft  = 16 << 10 // bytes of all fields of one page
	maxFields = 60
	maxWhere  = 500 // characters of the address of a page to come back to
)

type lockPage struct {
	Name     string // of the person
	Login    string
	Since    time.Time
	Idle     int    // minutes, when nobody asked for the lock
	To       string // page to come back to
	Drafts   bool   // something typed is kept
	Password bool   // the account has one
	Code     bool   // the account has a second factor
	Provider string // name of the provider the person logs in with; "" for none
	Error    string
}

// lockedPage is what a request gets that meets a locked session.
func (c *Console) lockedPage(v *visit, to, problem string) lockPage {
	p := lockPage{Name: v.user.Name, Login: v.user.Login, Since: v.presence.Locked, To: to, Drafts: len(v.presence.Drafts) > 0, Error: problem,
		Password: v.user.Hash != "", Code: v.user.TOTP != "", Provider: c.providerOf(v.user)}
	if p.Name == "" {
		p.Name = v.user.Login
	}
	if p.Since.IsZero() {
		p.Idle, p.Since = int((c.cfg.IdleTimeout+time.Minute-1)/time.Minute), v.presence.Seen.Add(c.cfg.IdleTimeout)
	}
	return p
}

// showLock shows the locked screen; who is not locked goes back to work.
func (c *Console) showLock(w http.ResponseWriter, r *http.Request, v *visit) error {
	to := localPath(r.URL.Query().Get("vers"))
	if !v.locked {
		http.Redirect(w, r, orHome(to), http.StatusSeeOther)
		return nil
	}
	return c.renderLock(w, r, v, http.StatusOK, to, "")
}

func (c *Console) renderLock(w http.ResponseWriter, r *http.Request, v *visit, status int, to, problem string) error {
	return c.render(w, r, v, status, "verrou", page{Title: "Session verrouillée", Data: c.lockedPage(v, to, problem)})
}

// lock locks the screen: asked for by the person, or by a page in which nothing was done.
// Fields whose names begin with "b." are what was typed into the page.
func (c *Console) lock(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	to := localPath(r.PostForm.Get("vers"))
	if to == "" {
		to = cameFrom(r)
	}
	typed := index.Draft{}
	for name, values := range r.PostForm {
		if name, ok := strings.CutPrefix(name, "b."); ok {
			typed[name] = values
		}
	}
	how := "asked"
	if r.PostForm.Get("inactif") != "" {
		how = "idle"
	}
	var entries []index.Entry
	if v.presence.Locked.IsZero() { // several windows lock at once
		entries = append(entries, v.entry("locked", v.user.Login, "ok", how))
	}
	if err := c.db.LockPresence(r.Context(), v.id, pathOf(to), draft(typed), entries...); err != nil {
		return err
	}
	http.Redirect(w, r, lockAddress(to), http.StatusSeeOther)
	return nil
}

// unlock opens the screen again for the same person: by the password or, when the
// account has a second factor, by a code of it. Tries are limited as logins are.
func (c *Console) unlock(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	to := localPath(r.PostForm.Get("vers"))
	if !v.locked {
		http.Redirect(w, r, orHome(to), http.StatusSeeOther)
		return nil
	}
	pw, code := r.PostForm.Get("mot-de-passe"), r.PostForm.Get("code")
	if pw == "" && code == "" {
		return c.renderLock(w, r, v, http.StatusUnprocessableEntity, to, "Saisissez votre mot de passe pour reprendre.")
	}
	if wait := c.attempts.begin(v.user.Login, v.from); wait > 0 {
		return c.renderLock(w, r, v, tooMany(w, wait), to, tooManyText(wait))
	}
	ok, err := false, error(nil)
	if pw != "" {
		ok, err = c.verify(r.Context(), v.user.Hash, pw)
	} else {
		ok, err = c.takeCode(r.Context(), v.user.Login, v.from, code)
	}
	if err != nil {
		return err
	}
	if !ok {
		result := "refused"
		if c.attempts.locked(v.user.Login, v.from) {
			result = "locked"
		}
		if err := c.record(v, "unlocked", v.user.Login, result, ""); err != nil {
			return err
		}
		return c.renderLock(w, r, v, http.StatusUnauthorized, to, "Mot de passe ou code incorrect. La session reste verrouillée.")
	}
	c.attempts.accepted(v.user.Login, v.from)
	return c.open(w, r, v, to)
}

// open ends the lock of a person who has proved again who they are.
func (c *Console) open(w http.ResponseWriter, r *http.Request, v *visit, to string) error {
	if err := c.sessions.RenewToken(r.Context()); err != nil {
		return err
	}
	if err := c.db.UnlockPresence(r.Context(), v.id, v.entry("unlocked", v.user.Login, "ok", "")); err != nil {
		return err
	}
	http.Redirect(w, r, orHome(to), http.StatusSeeOther)
	return nil
}

// askUnlock sends a request that met a locked session to the locked screen; what was
// typed into a form is kept. What a page calls by itself gets 423.
func (c *Console) askUnlock(w http.ResponseWriter, r *http.Request, rt route, v *visit) {
	if rt.quiet && !isDownload(rt) {
		http.Error(w, "Session verrouillée.", http.StatusLocked)
		return
	}
	c.note(v, "denied", safeID(r.PathValue("id")), "refused", "locked")
	to := r.URL.RequestURI()
	if r.Method != http.MethodGet {
		to = cameFrom(r)
		// A form of those who work with documents, sent too late: nothing of it was done.
		if rt.who&readers != 0 && rt.who&admin == 0 && r.ParseForm() == nil {
			if err := c.db.LockPresence(r.Context(), v.id, pathOf(to), draft(index.Draft(r.PostForm))); err != nil {
				c.fail(w, r, v, err)
				return
			}
		}
	}
	http.Redirect(w, r, lockAddress(localPath(to)), http.StatusSeeOther)
}

// draft keeps of a form what may be kept: no password, no code, nothing without end. A
// form that is too long is not kept at all, so that nobody sends half a sentence.
func draft(form index.Draft) index.Draft {
	out, size := index.Draft{}, 0
	for name, values := range form {
		if strings.Contains(name, "mot-de-passe") || strings.Contains(name, "code") {
			continue
		}
		for _, s := range values {
			size += len(name) + len(s)
		}
		out[name] = values
	}
	if size > maxDraft || len(out) > maxFields {
		return nil
	}
	return out
}

// takeDraft gives a page what was typed into it before the lock, as JSON for its script
// and by field for its template.
func (c *Console) takeDraft(r *http.Request, v *visit) (fields map[string]string, all string) {
	if len(v.presence.Drafts[r.URL.Path]) == 0 {
		return nil, ""
	}
	d, err := c.db.TakeDraft(r.Context(), v.id, r.URL.Path)
	if err != nil || len(d) == 0 {
		return nil, "" // the page is worth more than the draft
	}
	fields = map[string]string{}
	for name, values := range d {
		if len(values) > 0 {
			fields[name] = values[0]
		}
	}
	b, err := json.Marshal(d)
	if err != nil {
		return fields, ""
	}
	return fields, string(b)
}

func lockAddress(to string) string {
	if to == "" {
		return "/verrou"
	}
	return "/verrou?vers=" + url.QueryEscape(to)
}

// cameFrom returns the page of ours that a form was sent from; "" when the browser does
// not say.
func cameFrom(r *http.Request) string {
	u, err := url.Parse(r.Referer())
	if err != nil || u.Host != r.Host {
		return ""
	}
	return localPath(u.RequestURI())
}

// pathOf returns an address of ours without its query.
func pathOf(to string) string {
	path, _, _ := strings.Cut(to, "?")
	return path
}

func orHome(to string) string {
	if to == "" {
		return "/"
	}
	return to
}

// tooMany says when to come back and returns the status of the answer.
func tooMany(w http.ResponseWriter, wait time.Duration) int {
	w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
	return http.StatusTooManyRequests
}

func tooManyText(wait time.Duration) string {
	minutes := int((wait + time.Minute - 1) / time.Minute)
	return "Trop d’essais infructueux. Attendez " + plural(minutes, "minute", "minutes") + " avant de recommencer, ou demandez un nouveau mot de passe à l’administrateur."
}
