package fetcher

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

// expiries returns what of a mailbox ends at a date: the certificates of both sides of a
// connection, and the password as the configuration says. A file that cannot be read
// tells itself by other errors.
func expiries(mb Mailbox, server *x509.Certificate) (all []greffe.Expiry) {
	if mb.Certificate != "" {
		if pair, err := tls.LoadX509KeyPair(mb.Certificate, mb.Certificate); err == nil {
			all = append(all, greffe.Expiry{What: greffe.ClientCertificate, At: pair.Leaf.NotAfter.UTC()})
		}
	}
	if server != nil {
		all = append(all, greffe.Expiry{What: greffe.ServerCertificate, At: server.NotAfter.UTC()})
	}
	if !mb.PasswordUntil.IsZero() {
		all = append(all, greffe.Expiry{What: greffe.Password, At: mb.PasswordUntil.UTC()})
	}
	return all
}

// server returns the certificate that the server showed.
func (s *session) server() *x509.Certificate {
	if c, ok := s.conn.Conn.(*tls.Conn); ok {
		if shown := c.ConnectionState().PeerCertificates; len(shown) > 0 {
			return shown[0]
		}
	}
	return nil
}

// notice says in French what ends within greffe.ExpiryDays, and what to do; "" when there is time.
func notice(all []greffe.Expiry, now time.Time) string {
	var out []string
	for _, e := range all {
		if e.Ahead(now) >= 0 {
			out = append(out, ends(e, now))
		}
	}
	return strings.Join(out, " ")
}

// ends is the sentence for one expiry that is near or passed.
func ends(e greffe.Expiry, now time.Time) string {
	what, todo := "Le "+e.What.French(), ""
	switch e.What {
	case greffe.ClientCertificate: // it can only be renewed while it is valid
		todo = "le faire renouveler maintenant auprès de l'IGC-Santé, ce n'est plus possible après cette date."
	case greffe.ServerCertificate:
		todo = "demander à l'opérateur quand il le renouvelle ; la relève s'arrête s'il ne le fait pas."
	case greffe.Password:
		todo = "le changer auprès de l'opérateur, puis dans le fichier et dans la configuration (password_until)."
	}
	if days := int(e.At.Sub(now) / (24 * time.Hour)); days > 1 {
		return fmt.Sprintf("%s n'est valable que jusqu'au %s (%d jours) : %s", what, frenchDate(e.At), days, todo)
	} else if now.Before(e.At) {
		return fmt.Sprintf("%s n'est valable que jusqu'au %s : %s", what, frenchDate(e.At), todo)
	}
	return fmt.Sprintf("%s n'est plus valable depuis le %s : %s", what, frenchDate(e.At), todo)
}

// watchExpiries logs each expiry once when it comes within another of greffe.ExpiryDays.
func (w *watcher) watchExpiries(now time.Time) {
	w.mu.Lock()
	all := w.status.Expiries
	w.mu.Unlock()
	for _, e := range all {
		if ahead := e.Ahead(now); ahead >= 0 && w.warned[e] != ahead+1 {
			w.warned[e] = ahead + 1
			w.log.Warn("something of the mailbox ends soon", slog.String("what", string(e.What)), slog.Time("at", e.At), slog.Int("within_days", ahead))
		}
	}
}
