package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

const minToken = 20 // characters of a bearer token

// diToken is the credential of one record system; the token itself is not kept.
type diToken struct {
	name string
	sum  [sha256.Size]byte
}

func loadDITokens(list []DIAccess) ([]diToken, error) {
	var out []diToken
	for _, d := range list {
		b, err := os.ReadFile(d.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("token of DI %s: %w", d.Name, err)
		}
		token := strings.TrimSpace(string(b))
		if len(token) < minToken || strings.ContainsAny(token, " \t\r\n") {
			return nil, fmt.Errorf("token of DI %s in %s: one line of at least %d characters without blanks expected", d.Name, d.TokenFile, minToken)
		}
		out = append(out, diToken{name: d.Name, sum: sha256.Sum256([]byte(token))})
	}
	return out, nil
}

// dossier returns the name of the record system whose token the request carries
// (RFC 6750 §2.1); "" when it carries none of ours.
func (c *Console) dossier(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	name := ""
	for _, d := range c.di {
		if subtle.ConstantTimeCompare(d.sum[:], sum[:]) == 1 {
			name = d.name
		}
	}
	return name
}

// serveDI gives a record system the bytes of a document that Greffe gave it a
// reference to: as received, with their digest (RFC 9530), by ranges if asked
// (RFC 9110 §14). A document that a person must decide about, or put aside, is not
// given.
func (c *Console) serveDI(w http.ResponseWriter, r *http.Request, v *visit) error {
	name := c.dossier(r)
	if name == "" {
		// The same limit as for logins: anybody could fill the journal otherwise.
		if c.attempts.begin("di token", v.from) == 0 {
			c.note(v, "denied", safeID(r.PathValue("id")), "refused", "di token")
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="greffe"`)
		http.Error(w, "jeton absent ou inconnu", http.StatusUnauthorized)
		return nil
	}
	v.user, v.places = index.User{Login: name}, []string{index.Everywhere}
	d, err := c.document(r, v)
	if err != nil {
		if errors.Is(err, errNothing) {
			c.note(v, "denied", safeID(r.PathValue("id")), "refused", "unknown")
		}
		return plainError(w, err)
	}
	if d.State == greffe.StateTodo || d.State == greffe.StateDismissed || greffe.Unsafe(d.Facts.Findings) {
		c.note(v, "denied", string(d.ID), "refused", "state")
		http.Error(w, "document non disponible pour le DI", http.StatusForbidden)
		return nil
	}
	// A range is read from its place; the whole is checked before it is sent.
	open := c.openVerified
	if r.Header.Get("Range") != "" {
		open = c.store.Open
	}
	f, err := open(r.Context(), d.Object)
	if err != nil {
		return plainError(w, c.orDamaged(v, string(d.ID), err))
	}
	defer f.Close()
	detail := ""
	if r.Header.Get("Range") != "" {
		detail = "range"
	}
	if err := c.record(v, "fetched", string(d.ID), "ok", detail); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Security-Policy", frameCSP)
	h.Set("Content-Type", d.Facts.MediaType)
	h.Set("Content-Disposition", disposition(string(d.ID)+greffe.Extension(d.Facts.MediaType)))
	h.Set("ETag", `"`+string(d.Object.SHA256)+`"`)
	h.Set("Repr-Digest", reprDigest(d.Object.SHA256))
	extend(w, d.Object.Size)
	http.ServeContent(w, r, "", time.Time{}, f)
	return nil
}

// plainError answers a machine: a status and a line, no page. What is not a plain
// refusal goes on to the one place that logs.
func plainError(w http.ResponseWriter, err error) error {
	if errors.Is(err, errNothing) {
		http.Error(w, "document inconnu", http.StatusNotFound)
		return nil
	}
	return err
}
