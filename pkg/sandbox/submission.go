package sandbox

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/mail"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Submission takes the mail that the users of a MailServer send (RFC 6409): SMTP over
// TLS on one port, STARTTLS on another, with the same users, passwords and client
// certificates. Mail to a user is put into his INBOX, any other mail into the INBOX
// of the user Outside, who stands for all correspondents; an address that begins with
// "absent" does not exist, which a delivery status notification tells the sender of the
// envelope (RFC 3464). Methods may be called at once.
type Submission struct {
	mail    *MailServer
	outside string
	server  *smtp.Server
	tls     net.Listener
	plain   net.Listener
	wg      sync.WaitGroup

	mu     sync.Mutex
	refuse map[string]*smtp.SMTPError // by command
	sent   []SentMail
	local  int
	page   *http.Server // nil: none
}

// SentMail is a mail that was taken.
type SentMail struct {
	User   string // who logged in
	From   string // envelope; empty for the null address
	To     string
	At     time.Time
	Raw    []byte
	Absent bool // the address does not exist
}

// StartSubmission listens on the loopback interface until Close. outside is a user of
// mail.
func StartSubmission(ctx context.Context, mail *MailServer, outside string) (*Submission, error) {
	if _, err := mail.account(outside); err != nil {
		return nil, fmt.Errorf("submission: %w", err)
	}
	cert, err := mail.ca.server()
	if err != nil {
		return nil, fmt.Errorf("submission: %w", err)
	}
	s := &Submission{mail: mail, outside: outside}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert},
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: mail.ca.pool(),
	}
	s.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &submissionSession{s: s, conn: c}, nil
	}))
	s.server.Domain, s.server.TLSConfig = "sandbox.example", config
	s.server.MaxMessageBytes, s.server.MaxLineLength = 256<<20, 1<<20
	s.server.ReadTimeout, s.server.WriteTimeout = time.Minute, time.Minute
	s.server.ErrorLog = log.New(io.Discard, "", 0)
	var lc net.ListenConfig
	if s.plain, err = lc.Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("submission: %w", err)
	}
	implicit, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("submission: %w", err), s.plain.Close())
	}
	s.tls = tls.NewListener(implicit, config)
	for _, l := range []net.Listener{s.tls, s.plain} {
		s.wg.Go(func() { _ = s.server.Serve(l) }) // ends with Close
	}
	return s, nil
}

// Addr returns host:port of the listener with TLS from the first byte.
func (s *Submission) Addr() string { return s.tls.Addr().String() }

// StartTLSAddr returns host:port of the listener that asks for STARTTLS.
func (s *Submission) StartTLSAddr() string { return s.plain.Addr().String() }

// Refuse makes the server answer a command ("MAIL", "RCPT", or "DATA" for its end) with an
// SMTP code (450, 550…) from now on; 0 ends that.
func (s *Submission) Refuse(command string, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse == nil {
		s.refuse = map[string]*smtp.SMTPError{}
	}
	if delete(s.refuse, command); code != 0 {
		s.refuse[command] = &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: "refused on demand"}
	}
}

// Sent returns what was taken so far.
func (s *Submission) Sent() []SentMail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]SentMail(nil), s.sent...)
}

// Local counts the mails that were put into the mailboxes of users other than Outside,
// delivery status notifications included.
func (s *Submission) Local() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.local
}

// Close ends every connection and returns when nothing of the server runs any more.
func (s *Submission) Close() error {
	err := errors.Join(s.server.Close(), s.tls.Close(), s.plain.Close())
	s.mu.Lock()
	page := s.page
	s.mu.Unlock()
	if page != nil {
		err = errors.Join(err, page.Close())
	}
	s.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (s *Submission) refusal(command string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.refuse[command]; e != nil {
		return e
	}
	return nil
}

// submissionSession is one connection.
type submissionSession struct {
	s    *Submission
	conn *smtp.Conn
	user string
	mail SentMail
}

// AuthMechanisms implements smtp.AuthSession: nothing before TLS.
func (t *submissionSession) AuthMechanisms() []string {
	if _, ok := t.conn.TLSConnectionState(); !ok {
		return nil
	}
	return []string{sasl.Plain, sasl.Login, sasl.External, sasl.OAuthBearer, "XOAUTH2"}
}

// Auth implements smtp.AuthSession.
func (t *submissionSession) Auth(mechanism string) (sasl.Server, error) {
	with := func(name string, ok func(MailUser) bool) error {
		u, err := t.s.mail.account(name)
		if err != nil || !ok(u.MailUser) {
			return smtp.ErrAuthFailed
		}
		t.user = name
		return nil
	}
	switch mechanism {
	case sasl.Plain:
		return sasl.NewPlainServer(func(_, name, password string) error {
			return with(name, func(u MailUser) bool { return u.Password != "" && u.Password == password })
		}), nil
	case sasl.Login:
		return &loginServer{done: func(name, password string) error {
			return with(name, func(u MailUser) bool { return u.Password != "" && u.Password == password })
		}}, nil
	case sasl.External:
		return sasl.NewExternalServer(func(name string) error {
			state, ok := t.conn.TLSConnectionState()
			if !ok || len(state.PeerCertificates) == 0 {
				return smtp.ErrAuthFailed
			}
			holder := state.PeerCertificates[0].Subject.CommonName
			return with(holder, func(MailUser) bool { return name == "" || name == holder })
		}), nil
	case sasl.OAuthBearer:
		return sasl.NewOAuthBearerServer(func(o sasl.OAuthBearerOptions) *sasl.OAuthBearerError {
			if with(o.Username, func(u MailUser) bool { return u.Token != "" && u.Token == o.Token }) != nil {
				return &sasl.OAuthBearerError{Status: "invalid_token"}
			}
			return nil
		}), nil
	case "XOAUTH2":
		return &xoauth2Server{failed: smtp.ErrAuthFailed, bearer: func(user, token string) bool {
			return with(user, func(u MailUser) bool { return u.Token != "" && u.Token == token }) == nil
		}}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

// loginServer is LOGIN, which go-sasl has for clients only.
type loginServer struct {
	step int
	name string
	done func(name, password string) error
}

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	l.step++
	switch {
	case l.step == 1 && response == nil:
		return []byte("Username:"), false, nil
	case l.step <= 2 && l.name == "":
		l.name = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.done(l.name, string(response))
}

// Mail implements smtp.Session.
func (t *submissionSession) Mail(from string, _ *smtp.MailOptions) error {
	if t.user == "" {
		return smtp.ErrAuthRequired
	}
	t.mail = SentMail{User: t.user, From: from}
	return t.s.refusal("MAIL")
}

// Rcpt implements smtp.Session.
func (t *submissionSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := t.s.refusal("RCPT"); err != nil {
		return err
	}
	t.mail.To = to
	return nil
}

// Data implements smtp.Session.
func (t *submissionSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err == nil {
		err = t.s.refusal("DATA")
	}
	if err != nil {
		return err
	}
	m := t.mail
	m.At = time.Now()
	m.Raw = append([]byte("Return-Path: <"+m.From+">\r\n"), raw...)
	m.Absent = strings.HasPrefix(m.To, "absent")
	if m.Absent {
		err = t.s.undelivered(m)
	} else {
		err = t.s.deliver(m.To, m.Raw)
	}
	if err != nil {
		return err
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.s.sent = append(t.s.sent, m)
	return nil
}

// deliver puts a mail into the INBOX of a user, or of Outside.
func (s *Submission) deliver(to string, raw []byte) error {
	user := strings.ToLower(to)
	if _, err := s.mail.account(user); err != nil {
		user = s.outside
	}
	if user != s.outside {
		s.mu.Lock()
		s.local++ // before the mail is there: who counts does not miss it
		s.mu.Unlock()
	}
	_, err := s.mail.Append(user, "INBOX", raw, time.Now())
	return err
}

// undelivered tells the sender of the envelope that the address does not exist, if there
// is a sender.
func (s *Submission) undelivered(m SentMail) error {
	if m.From == "" {
		return nil
	}
	head, _, _ := bytes.Cut(m.Raw, []byte("\r\n\r\n"))
	_, head, _ = bytes.Cut(head, []byte("\r\n")) // Return-Path is of the delivery
	host := s.server.Domain
	body := report("delivery-status", "Votre message n'a pas pu être remis à "+m.To+" : cette boîte n'existe pas.\n", "message/delivery-status",
		"Reporting-MTA: dns; "+host+"\r\nArrival-Date: "+m.At.Format(time.RFC1123Z)+
			"\r\n\r\nFinal-Recipient: rfc822; "+m.To+"\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 User unknown\r\n")
	body.Parts = append(body.Parts, MailPart{Type: "text/rfc822-headers", Encoding: "8bit", Data: append(head, "\r\n"...)})
	return s.deliver(m.From, Mail(MailSpec{
		ID: fmt.Sprintf("%d.dsn@%s", m.At.UnixNano(), host), From: mail.Address{Name: "Mail Delivery System", Address: "mailer-daemon@" + host}, To: mail.Address{Address: m.From},
		ReturnPath: "<>", Subject: "Undelivered Mail Returned to Sender", Date: m.At, Header: []string{"Auto-Submitted: auto-replied"}, Body: &body,
	}))
}

// Reset implements smtp.Session.
func (t *submissionSession) Reset() { t.mail = SentMail{} }

// Logout implements smtp.Session.
func (t *submissionSession) Logout() error { return nil }

var _ smtp.AuthSession = (*submissionSession)(nil)
