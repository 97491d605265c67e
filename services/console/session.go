package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"greffe/pkg/index"
)

// Keys of the session.
const (
	keyLogin    = "login"
	keyProof    = "proof"    // fingerprint of the credentials: new ones end the old sessions
	keyPresence = "presence" // of the person at the screen, in the index
	keyFlash    = "flash"
	keySearches = "searches"
	keyPending  = "pending" // login whose password was right and whose code is awaited
	keyUntil    = "until"   // unix time until which it is awaited
	keyTo       = "to"      // page to come back to after it
	keySecret   = "secret"  // of a second factor that is being set up
	keyIDToken  = "id_token"
)

// newSessions is not scs.New, which starts a store in memory that nothing can stop. A
// session that is not used is locked, not ended: see lock.go.
func (c *Console) newSessions() *scs.SessionManager {
	s := &scs.SessionManager{
		Store:            c.db,
		Codec:            scs.GobCodec{},
		Lifetime:         c.cfg.Lifetime,
		HashTokenInStore: true, // who reads the index cannot take over a session
		Cookie: scs.SessionCookie{
			Name:     "greffe",
			Path:     "/",
			HttpOnly: true,
			SameSite: http.SameSiteLaxMode,
			Secure:   c.cfg.Secure, // and not persistent: closing the browser ends it
		},
		ErrorFunc: func(w http.ResponseWriter, r *http.Request, err error) { c.fail(w, r, nil, err) },
	}
	if c.cfg.Secure {
		s.Cookie.Name = "__Host-greffe" // bound to this host and HTTPS by the browser
	}
	return s
}

// enter begins the session of a person who has proved who they are; how says by what, for
// the journal. Nothing is kept of what the browser brought, not even the token (session
// fixation).
func (c *Console) enter(r *http.Request, v *visit, u index.User, how string) error {
	v.user = u
	if err := c.record(v, "login", u.Login, "ok", how); err != nil {
		return err
	}
	presence := rand.Text()
	if err := c.db.BeginPresence(r.Context(), presence, time.Now().Add(c.cfg.Lifetime)); err != nil {
		return err
	}
	if err := c.sessions.Clear(r.Context()); err != nil {
		return err
	}
	if err := c.sessions.RenewToken(r.Context()); err != nil {
		return err
	}
	c.sessions.Put(r.Context(), keyLogin, u.Login)
	c.sessions.Put(r.Context(), keyProof, proof(u))
	c.sessions.Put(r.Context(), keyPresence, presence)
	return nil
}

// proof is a fingerprint of what a person proves who they are with.
func proof(u index.User) string {
	s := sha256.Sum256([]byte(strings.Join([]string{"greffe session", u.Hash, u.TOTP, u.Issuer, u.Subject}, "\x00")))
	return hex.EncodeToString(s[:8])
}

// seat is a person with a session.
type seat struct {
	user     index.User
	id       string // of the presence
	presence index.Presence
}

// locked reports whether the screen is locked: by the person, or because nothing was
// done for the time of the configuration.
func (c *Console) locked(p index.Presence) bool {
	return !p.Locked.IsZero() || time.Since(p.Seen) >= c.cfg.IdleTimeout
}

// seat returns the person of the session; errLogin when there is none, or the account was
// disabled, deleted or given other credentials since.
func (c *Console) seat(ctx context.Context) (seat, error) {
	login := c.sessions.GetString(ctx, keyLogin)
	if login == "" {
		return seat{}, errLogin
	}
	u, err := c.db.User(ctx, login)
	if errors.Is(err, index.ErrNotFound) {
		return seat{}, errLogin
	}
	if err != nil {
		return seat{}, err
	}
	if u.Disabled || roles[u.Role] == 0 || c.sessions.GetString(ctx, keyProof) != proof(u) {
		return seat{}, errLogin
	}
	s := seat{user: u, id: c.sessions.GetString(ctx, keyPresence)}
	s.presence, err = c.db.Presence(ctx, s.id)
	if errors.Is(err, index.ErrNotFound) {
		return seat{}, errLogin
	}
	return s, err
}

// again returns the person of the request's session as they are now; errLogin when the
// session has ended, errLocked when it is locked.
func (c *Console) again(r *http.Request) (seat, error) {
	cookie, err := r.Cookie(c.sessions.Cookie.Name)
	if err != nil {
		return seat{}, errLogin
	}
	// A fresh context: the one of the request still holds the session as it was.
	ctx, cancel := context.WithTimeout(context.Background(), sendLimit)
	defer cancel()
	if ctx, err = c.sessions.Load(ctx, cookie.Value); err != nil {
		return seat{}, err
	}
	s, err := c.seat(ctx)
	if err == nil && c.locked(s.presence) {
		err = errLocked
	}
	return s, err
}

// touch notes that the person did something, unless that is noted already: a page makes
// several requests.
func (c *Console) touch(ctx context.Context, s seat) error {
	if time.Since(s.presence.Seen) < min(10*time.Second, c.cfg.IdleTimeout/10) {
		return nil
	}
	return c.db.SeenPresence(ctx, s.id, c.cfg.IdleTimeout)
}

// sessionNow is what a page is told about its session.
type sessionNow struct {
	State string `json:"etat"`  // ouverte | verrouillee | fermee
	Left  int    `json:"reste"` // seconds until it is locked, if nothing is done
}

// sessionState tells a page whether its session is open and how long it stays so without
// an act, without keeping it open. A page asks before it hides itself: another window may
// have been used. The answer is 200 whatever it says: a browser notes others as failures.
func (c *Console) sessionState(w http.ResponseWriter, r *http.Request, _ *visit) error {
	s, err := c.again(r)
	return c.answerState(w, s, err)
}

// stayActive is sessionState for a page in which the person does something that asks
// nothing of the server: reading, typing.
func (c *Console) stayActive(w http.ResponseWriter, r *http.Request, _ *visit) error {
	s, err := c.again(r)
	if err == nil {
		if err = c.touch(r.Context(), s); err != nil {
			return err
		}
		s, err = c.again(r)
	}
	return c.answerState(w, s, err)
}

func (c *Console) answerState(w http.ResponseWriter, s seat, err error) error {
	now := sessionNow{State: "ouverte"}
	switch {
	case errors.Is(err, errLogin):
		now.State = "fermee"
	case errors.Is(err, errLocked):
		now.State = "verrouillee"
	case err != nil:
		return err
	default:
		now.Left = int(max(0, c.cfg.IdleTimeout-time.Since(s.presence.Seen)) / time.Second)
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(now)
}
