package console

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// visit is one request of one person, after the guard let it in.
type visit struct {
	user index.User // zero for anyone and machines
	role access
	from string // network address
	// What the person may see, as index.Everywhere says it. Never empty for a person: the
	// index takes no places for all of them.
	places []string

	id       string // of the presence
	presence index.Presence
	locked   bool
	ctx      context.Context

	once string // id of the decision that a script asks for, which it may repeat; "" for a person
}

// guard applies the line rt of the table: who asks, may they, and what the error
// of the handler becomes.
func (c *Console) guard(rt route) http.Handler {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{from: c.from(r), ctx: r.Context()}
		err := c.admit(rt, r, v)
		if err == nil {
			err = rt.handle(w, r, v)
		}
		switch {
		case err == nil:
		case errors.Is(err, errLogin):
			c.askLogin(w, r, rt)
		case errors.Is(err, errLocked):
			c.askUnlock(w, r, rt, v)
		case errors.Is(err, errApproval):
			c.note(v, "denied", safeID(r.PathValue("id")), "refused", "four eyes "+rt.pattern)
			id := greffe.MessageID(r.PathValue("id"))
			if d := greffe.DocumentID(id); d.Valid() {
				id = d.Message()
			}
			if rt.quiet || r.Method != http.MethodGet {
				c.fail(w, r, v, err)
			} else if err := c.showApproval(w, r, v, http.StatusForbidden, id, "", ""); err != nil {
				c.fail(w, r, v, err)
			}
		case errors.Is(err, errMasked):
			c.note(v, "denied", safeID(r.PathValue("id")), "refused", "masked "+rt.pattern)
			c.fail(w, r, v, err)
		case errors.Is(err, errDuty) && r.Method == http.MethodGet && !rt.quiet:
			http.Redirect(w, r, c.duty(v.user), http.StatusSeeOther)
		case errors.Is(err, errForbidden), errors.Is(err, errNothing) && v.user.Login != "" && r.PathValue("id") != "":
			c.note(v, "denied", safeID(r.PathValue("id")), "refused", rt.pattern)
			c.fail(w, r, v, err)
		default:
			c.fail(w, r, v, err)
		}
	})
	if rt.who&token != 0 {
		return h // no session opens it
	}
	if !rt.quiet {
		return c.sessions.LoadAndSave(h)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := ""
		if cookie, err := r.Cookie(c.sessions.Cookie.Name); err == nil {
			token = cookie.Value
		}
		if rt.who&everyone == 0 {
			h(w, r) // no session in it
			return
		}
		ctx, err := c.sessions.Load(r.Context(), token)
		if err != nil {
			c.fail(w, r, nil, err)
			return
		}
		h(w, r.WithContext(ctx))
	})
}

// admit finds out who asks and checks the role. For routes open to anyone the
// person is looked up too, so that the page knows its menu.
func (c *Console) admit(rt route, r *http.Request, v *visit) error {
	if rt.who == machine || (rt.who == anyone && rt.quiet) {
		return nil
	}
	if rt.who&token != 0 {
		return c.admitToken(rt, r, v)
	}
	s, err := c.seat(r.Context())
	if errors.Is(err, errLogin) && rt.who == anyone {
		return nil
	}
	if err != nil {
		return err
	}
	locked := c.locked(s.presence)
	if locked && rt.who == anyone {
		return nil // nobody is there
	}
	v.user, v.role, v.places = s.user, roles[s.user.Role], c.placesOf(s.user)
	v.id, v.presence, v.locked = s.id, s.presence, locked
	switch {
	case locked && rt.who&whileLocked == 0:
		return errLocked
	case rt.who != anyone && rt.who&v.role == 0:
		return errForbidden
	case rt.who != anyone && rt.who&beforeDuties == 0 && c.duty(s.user) != "":
		return errDuty
	case locked || rt.quiet:
		return nil
	}
	return c.touch(r.Context(), s)
}

// askLogin sends a page to the login, from where it comes back; what a page calls
// by itself gets 401.
func (c *Console) askLogin(w http.ResponseWriter, r *http.Request, rt route) {
	if rt.quiet && !isDownload(rt) {
		http.Error(w, "Connexion nécessaire.", http.StatusUnauthorized)
		return
	}
	to := "/connexion"
	if r.Method == http.MethodGet && r.URL.Path != "/" && rt.who&(anyone|whileLocked) == 0 {
		to += "?vers=" + url.QueryEscape(r.URL.RequestURI())
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// isDownload reports whether a person, not a page, asks for a quiet route.
func isDownload(rt route) bool {
	return strings.Contains(rt.pattern, "/telechargement") || strings.Contains(rt.pattern, "/messages/")
}

// visible returns the message of the path, if it is among what the person may see;
// errNothing otherwise, the same as for one that does not exist.
func (c *Console) visible(r *http.Request, v *visit) (index.Detail, error) {
	id := greffe.MessageID(r.PathValue("id"))
	if !id.Valid() {
		return index.Detail{}, errNothing
	}
	m, err := c.db.Message(r.Context(), id)
	if errors.Is(err, index.ErrNotFound) {
		return index.Detail{}, c.erased(r.Context(), id)
	}
	if err == nil && !v.seesMessage(m.Message) {
		return index.Detail{}, errNothing
	}
	return m, err
}

// erased says why a message is not there: it was erased, or there is nothing.
func (c *Console) erased(ctx context.Context, id greffe.MessageID) error {
	at, erasure, err := c.db.Erased(ctx, id)
	if errors.Is(err, index.ErrNotFound) {
		return errNothing
	}
	if err != nil {
		return err
	}
	return erasedError{at, archive.CertificateKey(erasure)}
}

// erasedError says that what is asked for was erased before its term. Whoever has its id
// may know that: the mailbox that it came to is not known any more.
type erasedError struct {
	at          time.Time
	certificate string
}

func (e erasedError) Error() string { return "console: erased, certificate " + e.certificate }

// message is visible for what is opened: a second auditor must have agreed, where the
// configuration asks for it (errApproval).
func (c *Console) message(r *http.Request, v *visit) (index.Detail, error) {
	m, err := c.visible(r, v)
	if err != nil {
		return index.Detail{}, err
	}
	if slices.ContainsFunc(m.Documents, func(d index.Document) bool { return c.masked(v, d) }) {
		return index.Detail{}, errMasked
	}
	ok, err := c.approved(r, v, m.ID, m.Documents)
	if err != nil || ok {
		return m, err
	}
	return index.Detail{}, errApproval
}

// document is message for the document of the path.
func (c *Console) document(r *http.Request, v *visit) (index.Document, error) {
	id := greffe.DocumentID(r.PathValue("id"))
	if !id.Valid() {
		return index.Document{}, errNothing
	}
	d, err := c.db.Document(r.Context(), id)
	if errors.Is(err, index.ErrNotFound) {
		return index.Document{}, c.erased(r.Context(), id.Message())
	}
	if err == nil && !v.seesDocument(d) {
		return index.Document{}, errNothing
	}
	if err != nil {
		return index.Document{}, err
	}
	if c.masked(v, d) {
		return index.Document{}, errMasked
	}
	ok, err := c.approved(r, v, d.Message, []index.Document{d})
	if err != nil || ok {
		return d, err
	}
	return index.Document{}, errApproval
}

// masked reports whether a document is masked to this person: MASQUE_PS (domain §5.5) is for
// professionals, and those who look after the mailbox or prove what was received open it.
func (c *Console) masked(v *visit, d index.Document) bool {
	return v.role == professional && !c.cfg.MaskedShown && d.Facts.Marked(greffe.MaskedToProfessionals)
}

// entry is a line of the journal about what the person does.
func (v *visit) entry(action, subject, result, detail string) index.Entry {
	return index.Entry{Actor: v.user.Login, Action: action, Subject: subject, From: v.from, Result: result, Detail: detail}
}

// record writes a look or an act in the journal. What cannot be journalled is not
// shown: the caller gives the error back.
func (c *Console) record(v *visit, action, subject, result, detail string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.ctx), 10*time.Second)
	defer cancel()
	return c.db.Append(ctx, v.entry(action, subject, result, detail))
}

// note is record for a refusal: the answer stays a refusal when the journal cannot
// be written, and the log says so.
func (c *Console) note(v *visit, action, subject, result, detail string) {
	if err := c.record(v, action, subject, result, detail); err != nil {
		c.log.Error("refusal not journalled", slog.String("action", action), slog.Any("error", err))
	}
}

// flash keeps a sentence for the next page.
func (c *Console) flash(r *http.Request, text string) { c.sessions.Put(r.Context(), keyFlash, text) }

// respond writes an answer made beforehand, so that an error in making it could
// still become an error page.
func respond(w http.ResponseWriter, contentType string, status int, b *bytes.Buffer) error {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, err := b.WriteTo(w)
	if err != nil {
		return nil // the browser went away
	}
	return nil
}
