package console

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// OIDC says which provider vouches for persons (OpenID Connect Core 1.0, authorization
// code with PKCE, RFC 7636) and what its claims mean here. No Issuer: none.
type OIDC struct {
	Issuer     string // https://…, as the provider writes it
	ClientID   string
	SecretFile string // path of a file with the client's secret; "": a public client
	Name       string // on the button, for example Pro Santé Connect
	CA         string // path of a PEM file of the authorities of its certificate; "": the system's
	Scopes     []string
	ACR        []string // levels of authentication that are accepted (claim acr); empty: any

	LoginClaim string // whose value is the login here; "" or none: made from the subject
	NameClaim  string
	RPPSClaim  string
	Rules      []OIDCRule
}

const (
	oidcTimeout = 10 * time.Second // for all that is asked of the provider in one request
	oidcAgain   = 5 * time.Second  // a provider that did not answer is left alone
	oidcAnswer  = 1 << 20          // bytes of one answer of the provider
	oidcFlow    = 10 * time.Minute // from the button to the return
	maxIDToken  = 16 << 10         // of one that is kept for the logout
	freshLogin  = 5 * time.Minute  // how old an authentication may be that unlocks a screen
)

// provider is the identity provider. It is looked up when first needed and again after
// a failure, so that the console starts and serves local accounts without it. Its
// methods may be called at once.
type provider struct {
	cfg      OIDC
	redirect string // where it sends people back to
	home     string
	client   *http.Client
	secret   string

	mu     sync.Mutex
	found  *found
	failed time.Time
}

// found is what the provider publishes about itself.
type found struct {
	*oidc.Provider
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
	logout   string // end_session_endpoint; "" when it has none
}

func newProvider(cfg OIDC, public string) (*provider, error) {
	u, err := url.Parse(public)
	if err != nil || u.Host == "" {
		return nil, errors.New("console OIDC: the public URL is needed")
	}
	home := u.Scheme + "://" + u.Host
	p := &provider{cfg: cfg, redirect: home + "/connexion/oidc/retour", home: home}
	if cfg.SecretFile != "" {
		b, err := os.ReadFile(cfg.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("console OIDC secret: %w", err)
		}
		if p.secret = strings.TrimSpace(string(b)); p.secret == "" {
			return nil, fmt.Errorf("console OIDC secret: %s is empty", cfg.SecretFile)
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if cfg.CA != "" {
		pem, err := os.ReadFile(cfg.CA)
		if err != nil {
			return nil, fmt.Errorf("console OIDC authorities: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("console OIDC authorities: no certificate in %s", cfg.CA)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	p.client = &http.Client{Transport: bounded{transport}, Timeout: oidcTimeout}
	return p, nil
}

// bounded cuts answers that have no end.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, oidcAnswer), resp.Body}
	}
	return resp, err
}

var errProvider = errors.New("console: the identity provider does not answer")

// get returns what the provider publishes; errProvider when it does not answer.
func (p *provider) get(ctx context.Context) (*found, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	if time.Since(p.failed) < oidcAgain {
		return nil, errProvider
	}
	ctx, cancel := context.WithTimeout(p.context(ctx), oidcTimeout)
	defer cancel()
	op, err := oidc.NewProvider(ctx, p.cfg.Issuer)
	if err != nil {
		p.failed = time.Now()
		return nil, fmt.Errorf("%w: %w", errProvider, err)
	}
	var more struct {
		Logout string `json:"end_session_endpoint"`
	}
	if err := op.Claims(&more); err != nil {
		return nil, fmt.Errorf("%w: %w", errProvider, err)
	}
	p.found = &found{Provider: op, logout: more.Logout, verifier: op.Verifier(&oidc.Config{ClientID: p.cfg.ClientID}),
		oauth: oauth2.Config{ClientID: p.cfg.ClientID, ClientSecret: p.secret, Endpoint: op.Endpoint(), RedirectURL: p.redirect, Scopes: p.cfg.Scopes}}
	return p.found, nil
}

func (p *provider) context(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, p.client)
}

// origin returns where a logout sends people to: the policy of the pages must allow it.
// "" when the provider has no such page, or was not looked up yet.
func (p *provider) origin() string {
	if p == nil {
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found == nil {
		return ""
	}
	u, err := url.Parse(p.found.logout)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.ContainsAny(u.Host, " ;,'\"") {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// flow is one login that is under way, kept by the browser: the console keeps nothing of
// people who may never come back.
type flow struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	To       string `json:"t,omitempty"`
	Unlock   bool   `json:"l,omitempty"`
}

func (c *Console) flowCookie() string {
	if c.cfg.Secure {
		return "__Host-greffe-oidc"
	}
	return "greffe-oidc"
}

func (c *Console) setFlow(w http.ResponseWriter, value string, age int) {
	http.SetCookie(w, &http.Cookie{Name: c.flowCookie(), Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: c.cfg.Secure, SameSite: http.SameSiteLaxMode})
}

// providerOf returns the name of the provider that a person logs in with, "" for none.
func (c *Console) providerOf(u index.User) string {
	if c.oidc == nil || u.Subject == "" || u.Issuer != c.cfg.OIDC.Issuer {
		return ""
	}
	return c.cfg.OIDC.Name
}

// startOIDC sends the person to the provider. To unlock a screen they must prove again
// who they are, whatever session the provider keeps: somebody else may sit there.
func (c *Console) startOIDC(w http.ResponseWriter, r *http.Request, v *visit) error {
	if c.oidc == nil {
		return errNothing
	}
	p, err := c.oidc.get(r.Context())
	if err != nil {
		c.log.Warn("identity provider", slog.Any("error", err))
		return c.renderLogin(w, r, v, http.StatusServiceUnavailable, localPath(r.URL.Query().Get("vers")), c.cfg.OIDC.Name+" ne répond pas. Réessayez dans un instant ; les comptes propres à Greffe fonctionnent.")
	}
	f := flow{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), To: localPath(r.URL.Query().Get("vers")), Unlock: r.URL.Query().Get("verrou") != ""}
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	c.setFlow(w, base64.RawURLEncoding.EncodeToString(b), int(oidcFlow/time.Second))
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(f.Verifier), oidc.Nonce(f.Nonce)}
	if len(c.cfg.OIDC.ACR) > 0 {
		options = append(options, oauth2.SetAuthURLParam("acr_values", strings.Join(c.cfg.OIDC.ACR, " ")))
	}
	if f.Unlock {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	http.Redirect(w, r, p.oauth.AuthCodeURL(f.State, options...), http.StatusSeeOther)
	return nil
}

// refusal is why a login by the provider ends: a code for the journal, a sentence for
// the person.
type refusal struct {
	code, text string
	cause      error
}

func (r *refusal) Error() string { return "login by provider refused: " + r.code }
func (r *refusal) Unwrap() error { return r.cause }

const again = " Recommencez ; si l’erreur persiste, prévenez l’administrateur."

// endOIDC takes the person back from the provider (OpenID Connect Core §3.1.2.5).
func (c *Console) endOIDC(w http.ResponseWriter, r *http.Request, v *visit) error {
	if c.oidc == nil {
		return errNothing
	}
	// Only what comes from one address is counted: a whole hospital may share it.
	try := "oidc " + rand.Text()
	if wait := c.attempts.begin(try, v.from); wait > 0 {
		return c.renderLogin(w, r, v, tooMany(w, wait), "", tooManyText(wait))
	}
	f, idToken, err := c.finish(w, r)
	var person oidcPerson
	if err == nil {
		person, idToken.claims, err = c.meet(r.Context(), idToken)
	}
	var u index.User
	if err == nil {
		u, err = c.register(r.Context(), v, person)
	}
	if no := (*refusal)(nil); errors.As(err, &no) {
		if no.cause != nil {
			c.log.Warn("login by identity provider", slog.String("reason", no.code), slog.Any("error", no.cause))
		}
		if err := c.record(v, "login", u.Login, "refused", "oidc "+no.code); err != nil {
			return err
		}
		return c.renderLogin(w, r, v, http.StatusForbidden, f.To, no.text)
	}
	if err != nil {
		return err
	}
	c.attempts.accepted(try, v.from)
	if f.Unlock {
		if s, err := c.seat(r.Context()); err == nil && s.user.Login == u.Login {
			v.user, v.id, v.presence = s.user, s.id, s.presence
			return c.open(w, r, v, f.To)
		}
		f.To = "" // somebody else sat down
	}
	how := "oidc"
	if acr := plainCode(idToken.claims.first("acr")); acr != "" {
		how += " " + acr
	}
	if err := c.enter(r, v, u, how); err != nil {
		return err
	}
	if len(idToken.raw) <= maxIDToken {
		c.sessions.Put(r.Context(), keyIDToken, idToken.raw)
	}
	http.Redirect(w, r, orHome(f.To), http.StatusSeeOther)
	return nil
}

// vouched is what the provider signed.
type vouched struct {
	raw    string
	token  *oidc.IDToken
	access *oauth2.Token
	claims claims
}

// finish checks that the answer belongs to a login that this browser began, and changes
// the code for tokens.
func (c *Console) finish(w http.ResponseWriter, r *http.Request) (f flow, t vouched, err error) {
	cookie, err := r.Cookie(c.flowCookie())
	c.setFlow(w, "", -1) // it is good for one answer
	if err == nil {
		var b []byte
		if b, err = base64.RawURLEncoding.DecodeString(cookie.Value); err == nil {
			err = json.Unmarshal(b, &f)
		}
	}
	f.To = localPath(f.To)
	q := r.URL.Query()
	switch {
	case err != nil || f.State == "" || f.Nonce == "" || f.Verifier == "" || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(f.State)) != 1:
		return flow{}, t, &refusal{code: "state", text: "Cette connexion n’a pas été commencée dans ce navigateur, ou elle a trop attendu." + again}
	case q.Has("iss") && q.Get("iss") != c.cfg.OIDC.Issuer: // RFC 9207
		return f, t, &refusal{code: "issuer", text: "La réponse ne vient pas du fournisseur d’identité attendu." + again}
	case q.Get("error") != "":
		return f, t, &refusal{code: plainCode(q.Get("error")), text: c.cfg.OIDC.Name + " n’a pas accordé la connexion." + again}
	case q.Get("code") == "":
		return f, t, &refusal{code: "no code", text: "La réponse du fournisseur d’identité est incomplète." + again}
	}
	p, err := c.oidc.get(r.Context())
	if err != nil {
		return f, t, &refusal{"unreachable", c.cfg.OIDC.Name + " ne répond pas. Réessayez dans un instant ; les comptes propres à Greffe fonctionnent.", err}
	}
	ctx, cancel := context.WithTimeout(c.oidc.context(r.Context()), oidcTimeout)
	defer cancel()
	const text = "L’identité transmise n’a pas pu être vérifiée."
	if t.access, err = p.oauth.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(f.Verifier)); err != nil {
		return f, t, &refusal{"exchange", text + again, withoutAnswer(err)}
	}
	t.raw, _ = t.access.Extra("id_token").(string)
	if t.token, err = p.verifier.Verify(ctx, t.raw); err != nil {
		return f, t, &refusal{"id token", text + again, err}
	}
	if subtle.ConstantTimeCompare([]byte(t.token.Nonce), []byte(f.Nonce)) != 1 {
		return f, t, &refusal{code: "nonce", text: text + again}
	}
	if t.token.AccessTokenHash != "" {
		if err := t.token.VerifyAccessToken(t.access.AccessToken); err != nil {
			return f, t, &refusal{"access token", text + again, err}
		}
	}
	if t.claims, err = decodeClaims(t.token); err != nil {
		return f, t, &refusal{"claims", text + again, err}
	}
	if f.Unlock && !recent(t.claims) {
		return f, t, &refusal{code: "auth_time", text: "Pour reprendre une session verrouillée, identifiez-vous de nouveau auprès de " + c.cfg.OIDC.Name + "."}
	}
	return f, t, nil
}

// withoutAnswer leaves out what the provider answered: it may say anything.
func withoutAnswer(err error) error {
	var answered *oauth2.RetrieveError
	if errors.As(err, &answered) {
		return fmt.Errorf("token endpoint answered %d %s", answered.Response.StatusCode, plainCode(answered.ErrorCode))
	}
	return err
}

// recent reports whether the person proved who they are just now (auth_time, which
// max_age makes the provider state).
func recent(c claims) bool {
	n, err := json.Number(c.first("auth_time")).Int64()
	return err == nil && time.Since(time.Unix(n, 0)) < freshLogin
}

func decodeClaims(t interface{ Claims(any) error }) (claims, error) {
	var raw json.RawMessage
	if err := t.Claims(&raw); err != nil {
		return nil, err
	}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	c := claims{}
	err := d.Decode(&c)
	return c, err
}

// meet reads who the person is: the ID token and, where the provider has it, what it
// says on demand (OpenID Connect Core §5.3), which must be about the same person. What
// is signed wins.
func (c *Console) meet(ctx context.Context, t vouched) (oidcPerson, claims, error) {
	all := t.claims
	if acr := c.cfg.OIDC.ACR; len(acr) > 0 && !slices.Contains(acr, all.first("acr")) {
		return oidcPerson{}, all, &refusal{code: "acr", text: "Le niveau d’authentification ne suffit pas. Connectez-vous avec un moyen plus fort, par exemple votre carte ou son application."}
	}
	p, err := c.oidc.get(ctx)
	if err != nil {
		return oidcPerson{}, all, err
	}
	if p.UserInfoEndpoint() != "" {
		ctx, cancel := context.WithTimeout(c.oidc.context(ctx), oidcTimeout)
		defer cancel()
		info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(t.access))
		if err != nil {
			return oidcPerson{}, all, &refusal{"user info", "Le fournisseur d’identité n’a pas dit qui vous êtes." + again, err}
		}
		if info.Subject != t.token.Subject {
			return oidcPerson{}, all, &refusal{code: "user info subject", text: "L’identité transmise n’a pas pu être vérifiée." + again}
		}
		more, err := decodeClaims(info)
		if err != nil {
			return oidcPerson{}, all, &refusal{"claims", "Le fournisseur d’identité n’a pas dit qui vous êtes." + again, err}
		}
		for name, value := range all {
			more[name] = value
		}
		all = more
	}
	return c.cfg.OIDC.identify(all), all, nil
}

// register returns the account of a person the provider vouches for, as the rules want
// it now; it is made when they come for the first time. Nobody becomes somebody else by
// the name the provider gives: an account belongs to the subject it was made for.
func (c *Console) register(ctx context.Context, v *visit, p oidcPerson) (index.User, error) {
	if p.Subject == "" || len(p.Subject) > 255 {
		return index.User{}, &refusal{code: "subject", text: "L’identité transmise n’a pas pu être vérifiée." + again}
	}
	u, err := c.db.Subject(ctx, c.cfg.OIDC.Issuer, p.Subject)
	known := err == nil
	if err != nil && !errors.Is(err, index.ErrNotFound) {
		return u, err
	}
	if roles[p.Role] == 0 {
		return u, &refusal{code: "no role", text: "Votre identité est reconnue, mais aucun droit ne vous est donné dans Greffe. Demandez-le à l’administrateur."}
	}
	if u.Disabled {
		return u, &refusal{code: "disabled", text: "Votre compte est désactivé. Adressez-vous à l’administrateur."}
	}
	if known {
		if u.Name == p.Name && u.Role == p.Role && u.RPPS == p.RPPS && slices.Equal(u.Places, p.Places) {
			return u, nil
		}
		err := c.db.ChangeUser(ctx, u.Login, func(x *index.User) ([]index.Entry, error) {
			x.Name, x.Role, x.RPPS, x.Places = p.Name, p.Role, p.RPPS, p.Places
			u = *x
			return []index.Entry{{Actor: u.Login, Action: "user-change", Subject: u.Login, From: v.from, Result: "ok", Detail: "oidc " + RightsOf(u)}}, nil
		})
		return u, err
	}
	login := p.Login
	if login == "" {
		login = "oidc-" + string(greffe.DigestOf([]byte(c.cfg.OIDC.Issuer + "\x00" + p.Subject)))[:12]
	}
	u = index.User{Login: login, Name: p.Name, Role: p.Role, RPPS: p.RPPS, Places: p.Places, Issuer: c.cfg.OIDC.Issuer, Subject: p.Subject}
	err = c.db.AddUser(ctx, u, index.Entry{Actor: login, Action: "user-add", Subject: login, From: v.from, Result: "ok", Detail: "oidc " + RightsOf(u)})
	if errors.Is(err, index.ErrTaken) {
		return u, &refusal{code: "login taken", text: "Un autre compte de Greffe porte déjà l’identifiant « " + login + " ». L’administrateur doit le renommer ou le supprimer avant que vous puissiez vous connecter."}
	}
	return u, err
}

// logoutAddress returns where the session at the provider is ended (OpenID Connect
// RP-Initiated Logout 1.0 §2); "" when there is none.
func (c *Console) logoutAddress(r *http.Request) string {
	idToken := c.sessions.GetString(r.Context(), keyIDToken)
	if c.oidc == nil || idToken == "" || c.oidc.origin() == "" {
		return ""
	}
	p, err := c.oidc.get(r.Context())
	if err != nil {
		return ""
	}
	u, err := url.Parse(p.logout)
	if err != nil {
		return ""
	}
	q := u.Query()
	q.Set("id_token_hint", idToken)
	q.Set("client_id", c.cfg.OIDC.ClientID)
	q.Set("post_logout_redirect_uri", c.oidc.home+"/connexion")
	u.RawQuery = q.Encode()
	return u.String()
}

// plainCode returns a code from outside when it may be written down: short, of letters,
// digits and few signs.
func plainCode(s string) string {
	if len(s) > 60 || strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.:/", r))
	}) {
		return "other"
	}
	return s
}
