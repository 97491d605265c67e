package console

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// pageCSP lets a page use our own style, scripts, images and frames and nothing
// else: no inline script or style, no other origin, no embedding of the page.
const pageCSP = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; " +
	"connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// policy is pageCSP, which lets a logout go on to the identity provider.
func (c *Console) policy() string {
	if origin := c.oidc.origin(); origin != "" {
		return strings.Replace(pageCSP, "form-action 'self'", "form-action 'self' "+origin, 1)
	}
	return pageCSP
}

// newHandler builds the mux from the table and puts the general defences around
// it, the outermost first: panic, headers, cross-origin check, size of the body.
func (c *Console) newHandler() (http.Handler, error) {
	mux := http.NewServeMux()
	for _, rt := range c.routes() {
		mux.Handle(rt.pattern, c.guard(rt))
	}
	mux.Handle(apiPath, c.apiUnknown(mux))
	mux.Handle("/", c.guard(route{pattern: "/", who: anyone, handle: func(http.ResponseWriter, *http.Request, *visit) error {
		return errNothing
	}}))

	cross := http.NewCrossOriginProtection()
	if c.cfg.PublicURL != "" {
		u, err := url.Parse(c.cfg.PublicURL)
		if err != nil || u.Scheme == "" || u.Host == "" {
			return nil, fmt.Errorf("console public URL %q: scheme and host expected", c.cfg.PublicURL)
		}
		// A proxy may hide the host that the browser asked for.
		if err := cross.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
			return nil, fmt.Errorf("console public URL: %w", err)
		}
	}
	cross.SetDenyHandler(c.guard(route{pattern: "cross-origin", who: anyone, quiet: true, handle: func(_ http.ResponseWriter, _ *http.Request, v *visit) error {
		// The same limit as for logins: any page of the web could fill the journal otherwise.
		if c.attempts.begin("cross-origin", v.from) == 0 {
			c.note(v, "denied", "", "refused", "cross-origin")
		}
		return errCrossOrigin
	}}))
	h := http.MaxBytesHandler(cross.Handler(mux), maxBody)
	return c.recoverer(c.headers(h)), nil
}

// headers sets what every answer carries. Handlers loosen it only for the frame
// that shows a document.
func (c *Console) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", c.policy())
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store")
		if c.cfg.Secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if r.Method == http.MethodPost {
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(readTimeout))
		}
		next.ServeHTTP(w, r)
	})
}

// recoverer turns a panic of a handler into an error page; the stack goes to the
// log, which names the route and nothing of the request.
func (c *Console) recoverer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p)
			}
			c.log.Error("console handler panicked", slog.String("route", r.Pattern),
				slog.String("type", fmt.Sprintf("%T", p)), slog.String("stack", string(debug.Stack())))
			if isAPI(r) {
				c.writeProblem(w, errorPage{http.StatusInternalServerError, "Erreur interne", "L’action n’a pas été faite."}, nil)
				return
			}
			http.Error(w, "Erreur interne : l'action n'a pas été faite.", http.StatusInternalServerError)
		}()
		next.ServeHTTP(w, r)
	})
}

// from returns the network address of the person: the one of the connection, or
// the last one that a configured proxy saw.
func (c *Console) from(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return ""
	}
	addr = addr.Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && c.isProxy(addr); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = next.Unmap()
	}
	return addr.String()
}

func (c *Console) isProxy(a netip.Addr) bool {
	for _, p := range c.cfg.Proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// What a request may end with, decided by value. Anything else is a failure of
// Greffe: it is logged here and shown without its inside.
var (
	errNothing     = errors.New("console: nothing here for this person")
	errForbidden   = errors.New("console: role may not use this route")
	errLogin       = errors.New("console: login needed")
	errLocked      = errors.New("console: session locked")
	errApproval    = errors.New("console: a second auditor must agree first")
	errDuty        = errors.New("console: something else must be done first")
	errCrossOrigin = errors.New("console: request from another site")
	errBadInput    = errors.New("console: request does not make sense")
	errMasked      = errors.New("console: masked to professionals")
	errSuspect     = errors.New("console: what is not safe is for auditors")
	errState       = errors.New("console: state does not allow the decision")
)

// fail answers a request that ended with err: the one place where errors become
// sentences, and where failures are logged.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, v *visit, err error) {
	var tooLarge *http.MaxBytesError
	e := errorPage{Status: http.StatusInternalServerError, Heading: "L’action n’a pas pu être faite",
		Text: "Greffe a rencontré une erreur interne. Rien n’a été perdu : réessayez dans un instant. Si l’erreur persiste, prévenez l’administrateur en indiquant l’heure."}
	gone, erased := errors.AsType[erasedError](err)
	ofScript, known := errorPage{}, false
	if isAPI(r) {
		ofScript, known = apiError(w, err)
	}
	switch {
	case known:
		e = ofScript
	case erased:
		e = errorPage{http.StatusGone, "Message effacé",
			"Ce message a été effacé le " + gone.at.In(c.wall.zone).Format("02/01/2006 à 15:04") + ", avant le terme de sa conservation, sur la demande d’une personne confirmée par une autre. " +
				"Son contenu ne peut plus être lu par personne. Certificat d’effacement : " + gone.certificate + "."}
	case errors.Is(err, errNothing), errors.Is(err, index.ErrNotFound), errors.Is(err, bus.ErrNotFound):
		e = errorPage{http.StatusNotFound, "Page introuvable",
			"Cette adresse ne correspond à rien, ou l’élément appartient à une boîte aux lettres à laquelle vous n’avez pas accès."}
	case errors.Is(err, errForbidden):
		e = errorPage{http.StatusForbidden, "Accès refusé",
			"Votre profil ne permet pas d’ouvrir cette page. La tentative a été inscrite au journal."}
	case errors.Is(err, errDuty):
		e = errorPage{http.StatusForbidden, "Compte à compléter",
			"Avant de continuer, terminez ce que demande la page « Mon compte » : un nouveau mot de passe ou un second facteur."}
	case errors.Is(err, errApproval):
		e = errorPage{http.StatusForbidden, "Accord nécessaire",
			"Un second auditeur doit d’abord donner son accord : ouvrez le message pour le lui demander. La tentative a été inscrite au journal."}
	case errors.Is(err, errPackOver):
		e = errorPage{http.StatusGone, "Dossier indisponible",
			"Ce dossier de preuve n’est pas prêt, ou il a été retiré. La page « Dossiers de preuve » dit où il en est ; la demande peut être refaite."}
	case errors.Is(err, errMasked):
		e = errorPage{http.StatusForbidden, "Document masqué aux professionnels",
			"Son auteur a masqué ce document, ou un document de ce message, aux professionnels de santé (MASQUE_PS) : il n’est ni transmis au dossier ni ouvert ici. Adressez-vous au secrétariat de la boîte. La tentative a été inscrite au journal."}
	case errors.Is(err, errSuspect):
		e = errorPage{http.StatusForbidden, "Pièce suspecte : non remise",
			"L’antivirus n’a pas jugé ce fichier sain. Il est conservé comme preuve et n’est remis qu’à un auditeur. Prévenez le responsable de la sécurité informatique. La tentative a été inscrite au journal."}
	case errors.Is(err, errCrossOrigin):
		e = errorPage{http.StatusForbidden, "Demande refusée",
			"Cette demande vient d’un autre site et n’a pas été exécutée. Recommencez depuis les pages de Greffe."}
	case errors.Is(err, errState):
		e = errorPage{http.StatusConflict, "Décision impossible",
			"L’état du document a changé entre-temps et ne permet plus cette décision. Rouvrez le document pour voir où il en est."}
	case errors.Is(err, archive.ErrDigest):
		e = errorPage{http.StatusInternalServerError, "Fichier altéré : ne pas utiliser",
			"Le fichier archivé ne correspond plus à l’empreinte prise à la réception. Il n’est pas affiché. L’incident a été inscrit au journal : prévenez l’administrateur."}
	case errors.Is(err, archive.ErrNotFound):
		e = errorPage{http.StatusInternalServerError, "Fichier absent de l’archive",
			"L’archive ne contient pas le fichier attendu. L’incident a été inscrit au journal : prévenez l’administrateur."}
	case errors.Is(err, errBadInput):
		e = errorPage{http.StatusBadRequest, "Demande incomplète",
			"La demande reçue n’est pas complète. Revenez à la page précédente et recommencez."}
	case errors.As(err, &tooLarge):
		e = errorPage{http.StatusRequestEntityTooLarge, "Demande trop volumineuse",
			"Le texte envoyé dépasse la taille permise. Raccourcissez-le et recommencez."}
	case r.Context().Err() != nil:
		return // the browser went away; nobody reads an answer
	}
	if e.Status == http.StatusInternalServerError {
		c.log.Error("console request failed", slog.String("route", r.Pattern), slog.String("id", safeID(r.PathValue("id"))), slog.Any("error", err))
	}
	if isAPI(r) {
		c.writeProblem(w, e, err)
		return
	}
	c.renderError(w, r, v, e)
}

// safeID returns id when it has the form of one of our ids: only those may be
// logged or journalled, a path can hold anything.
func safeID(id string) string {
	if greffe.MessageID(id).Valid() || greffe.DocumentID(id).Valid() {
		return id
	}
	return ""
}
