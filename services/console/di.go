package console

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

const minToken = 20 // characters of a bearer token

// diCredential is what one record system shows: a token, of which only the digest is
// kept, or one of its certificates.
type diCredential struct {
	name         string
	token        [sha256.Size]byte
	hasToken     bool
	test         bool
	certificates []*x509.Certificate
}

// watchDI is loadDI, again when a file has changed.
func watchDI(list []DIAccess, log *slog.Logger) (*renewed[[]diCredential], error) {
	var paths []string
	for _, d := range list {
		for _, path := range []string{d.TokenFile, d.CertificateFile} {
			if path != "" {
				paths = append(paths, path)
			}
		}
	}
	return newRenewed(log, func() ([]diCredential, error) { return loadDI(list) }, paths...)
}

func loadDI(list []DIAccess) ([]diCredential, error) {
	var out []diCredential
	for _, d := range list {
		k := diCredential{name: d.Name, test: d.Test}
		if d.TokenFile != "" {
			b, err := os.ReadFile(d.TokenFile)
			if err != nil {
				return nil, fmt.Errorf("token of DI %s: %w", d.Name, err)
			}
			token := strings.TrimSpace(string(b))
			if len(token) < minToken || strings.ContainsAny(token, " \t\r\n") {
				return nil, fmt.Errorf("token of DI %s in %s: one line of at least %d characters without blanks expected", d.Name, d.TokenFile, minToken)
			}
			k.token, k.hasToken = sha256.Sum256([]byte(token)), true
		}
		if d.CertificateFile != "" {
			var err error
			if k.certificates, err = readCertificates(d.CertificateFile); err != nil {
				return nil, fmt.Errorf("certificate of DI %s: %w", d.Name, err)
			}
		}
		out = append(out, k)
	}
	return out, nil
}

// readCertificates reads the certificates of a PEM file; at least one.
func readCertificates(path string) ([]*x509.Certificate, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []*x509.Certificate
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s: certificates alone expected, not the key of the DI", path)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: holds no certificate", path)
	}
	return out, nil
}

// askingForDI lets the server ask for the client certificates of the record systems.
// Which of them it takes is decided by dossier, certificate by certificate: no
// authority can make another one. The names of their issuers are given so that the
// browser of a person with a card of another authority does not ask her for it.
func askingForDI(cfg *tls.Config, di *renewed[[]diCredential]) *tls.Config {
	cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		own, issuers := cfg.Clone(), x509.NewCertPool()
		for _, k := range di.get() {
			for _, c := range k.certificates {
				own.ClientAuth = tls.RequestClientCert
				issuers.AddCert(&x509.Certificate{Raw: c.RawIssuer, RawSubject: c.RawIssuer}) // names are all that is read of it
			}
		}
		own.ClientCAs = issuers
		return own, nil
	}
	return cfg
}

// dossier returns the name of the record system whose certificate, or token (RFC 6750
// §2.1), the request carries; "" when it carries none of ours. A certificate that has
// ended is none.
func (c *Console) dossier(r *http.Request, now time.Time) string {
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		leaf := r.TLS.PeerCertificates[0]
		for _, d := range c.di.get() {
			for _, known := range d.certificates {
				if known.Equal(leaf) && now.Before(leaf.NotAfter) && !now.Before(leaf.NotBefore) {
					return d.name
				}
			}
		}
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	name := ""
	for _, d := range c.di.get() {
		if d.hasToken && subtle.ConstantTimeCompare(d.token[:], sum[:]) == 1 {
			name = d.name
		}
	}
	return name
}

// serveDI gives a record system the bytes of a document that Greffe gave it a
// reference to: as received, with their digest (RFC 9530), by ranges if asked
// (RFC 9110 §14). A document that this system was given no reference to, that a person
// must decide about, or put aside, is not given.
func (c *Console) serveDI(w http.ResponseWriter, r *http.Request, v *visit) error {
	name := c.dossier(r, time.Now())
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
	free, err := c.referenced(r.Context(), d, name)
	if err != nil {
		return err
	}
	if !free || greffe.Unsafe(d.Facts.Findings) {
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

// referenced reports whether a record system may read a document: it is on its way
// there, or was given. What waits for a person is on its way again once she decided: the
// index knows that before the reference is sent.
func (c *Console) referenced(ctx context.Context, d index.Document, di string) (bool, error) {
	for _, k := range c.di.get() {
		if k.name == di && k.test { // it gets what others got, and leaves no trace of it
			return d.State != greffe.StateTodo && d.State != greffe.StateDismissed, nil
		}
	}
	rows, err := c.db.Deliveries(ctx, d.ID)
	if err != nil {
		return false, err
	}
	for _, row := range rows {
		if row.DI == di {
			return row.Attempt != "" || row.State != greffe.StateTodo && row.State != greffe.StateDismissed, nil
		}
	}
	return false, nil
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
