package notifier

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"greffe/pkg/mss"
)

// Mailbox is a mailbox that answers.
type Mailbox struct {
	Address     string
	Applicative bool   // nobody reads it (domain §3.1)
	RepliesTo   string // of an applicative mailbox: the one of the service that people read; empty: none
	Service     string // name of the unit, for letters; may be empty
	URL         string // smtps://host[:465], or smtp://host[:587] where STARTTLS is required
	CA          string // path of a PEM file: the only authorities trusted. Empty: those of the system
	Certificate string // path of a PEM file with client certificate and key
	Auth        mss.Auth
}

// Valid reports, in French, what is wrong with the settings of the mailbox.
func (m Mailbox) Valid() error {
	if _, _, _, err := m.endpoint(); err != nil {
		return err
	}
	return m.Auth.Valid(m.Certificate)
}

// ValidURL reports, in French, what is wrong with the address of the server.
func (m Mailbox) ValidURL() error {
	_, _, _, err := m.endpoint()
	return err
}

func (m Mailbox) endpoint() (host, address string, implicit bool, err error) {
	u, err := url.Parse(m.URL)
	if err != nil || u.Hostname() == "" || u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || (u.Scheme != "smtps" && u.Scheme != "smtp") {
		return "", "", false, errors.New("smtp : écrire smtps://serveur:465 (TLS) ou smtp://serveur:587 (STARTTLS)")
	}
	port := u.Port()
	implicit = u.Scheme == "smtps"
	switch {
	case port == "" && implicit:
		port = "465"
	case port == "":
		port = "587"
	}
	return u.Hostname(), net.JoinHostPort(u.Hostname(), port), implicit, nil
}

const (
	dialTime = 30 * time.Second
	mailTime = 10 * time.Minute // RFC 5321 §4.5.3.2.6 for the end of data
)

// open connects, secures the connection and logs in.
func (m Mailbox) open(ctx context.Context) (*smtp.Client, error) {
	host, address, implicit, err := m.endpoint()
	if err != nil {
		return nil, err
	}
	config, err := mss.TLS(host, m.CA, m.Certificate)
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(within, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	// What waits for this connection ends with ctx, and with the time that a mail may take.
	_ = raw.SetDeadline(time.Now().Add(mailTime))
	name := m.Address[strings.LastIndexByte(m.Address, '@')+1:]
	if !implicit {
		if err := startTLS(raw, name); err != nil {
			return nil, errors.Join(fmt.Errorf("STARTTLS: %w", err), raw.Close())
		}
	}
	secured := tls.Client(raw, config)
	if err := secured.HandshakeContext(within); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS handshake: %w", err), raw.Close())
	}
	greeted := net.Conn(secured)
	if !implicit {
		// The server greets once only, before TLS; the client waits for a greeting.
		greeted = &preceded{secured, strings.NewReader("220 secured\r\n")}
	}
	c := smtp.NewClient(greeted)
	c.CommandTimeout, c.SubmissionTimeout = dialTime, mailTime
	user := m.Auth.Username
	if user == "" {
		user = m.Address
	}
	err = c.Hello(name)
	if err == nil {
		mechanism, e := m.Auth.Client(user, address)
		if err = e; err == nil {
			if err = c.Auth(mechanism); err != nil {
				err = fmt.Errorf("log in: %w", err)
			}
		}
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Refusals of a letter. Any other failure says that it may go later.
var (
	errFinal  = errors.New("refused by the mail server")             // for good: RFC 5321 §4.2.1, 5yz
	errLarge  = errors.New("too large for the mail server")          // RFC 1870 §6
	errSender = errors.New("the mail server refuses us as a sender") // a matter of settings, not of this letter
)

// send sends one letter, without the body of what it carries when the server takes no
// mail of that size. size is of raw, in bytes.
func (m Mailbox) send(ctx context.Context, l *letter, from string, size int64, raw func() (io.ReadCloser, error)) error {
	err := m.try(ctx, l, from, size, raw, false)
	if errors.Is(err, errLarge) {
		if err = m.try(ctx, l, from, size, raw, true); errors.Is(err, errLarge) {
			err = fmt.Errorf("%w: %w", errFinal, err)
		}
	}
	return err
}

func (m Mailbox) try(ctx context.Context, l *letter, from string, size int64, raw func() (io.ReadCloser, error), headersOnly bool) error {
	head, tail, err := l.frame(headersOnly)
	if err != nil {
		return err
	}
	total := int64(len(head) + len(tail))
	if l.carries() && !headersOnly {
		total += size
	}
	c, err := m.open(ctx)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { c.Close() })()
	defer c.Close()
	if most, ok := c.MaxMessageSize(); ok && most > 0 && total > int64(most) {
		_ = c.Quit()
		return errLarge
	}
	to := &smtp.RcptOptions{}
	if err := c.Mail(from, options(c, l, from, total, to)); err != nil {
		return refusal("MAIL FROM", err)
	}
	if err := c.Rcpt(l.to, to); err != nil {
		return refusal("RCPT TO", err)
	}
	w, err := c.Data()
	if err != nil {
		return refusal("DATA", err)
	}
	var body io.ReadCloser
	if l.carries() {
		if body, err = raw(); err != nil {
			return err // the connection is closed before the end of the data: nothing is sent
		}
		defer body.Close()
	}
	if err := l.write(w, body, headersOnly); err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	if err := w.Close(); err != nil {
		return refusal("end of data", err)
	}
	_ = c.Quit() // the server has taken it
	return nil
}

// options asks the server for what it offers: bytes over 127, the size in advance, and
// word of a failure with the Message-ID, but without the letter (RFC 3461).
func options(c *smtp.Client, l *letter, from string, size int64, to *smtp.RcptOptions) *smtp.MailOptions {
	o := &smtp.MailOptions{}
	if ok, _ := c.Extension("8BITMIME"); ok {
		o.Body = smtp.Body8BitMIME
	}
	if ok, _ := c.Extension("SIZE"); ok {
		o.Size = size
	}
	if ok, _ := c.Extension("DSN"); ok && from != "" {
		o.EnvelopeID, o.Return, to.Notify = l.id, smtp.DSNReturnHeaders, []smtp.DSNNotify{smtp.DSNNotifyFailure}
	}
	if ok, _ := c.Extension("SMTPUTF8"); ok {
		o.UTF8 = strings.ContainsFunc(from+l.to, func(r rune) bool { return r > 127 })
	}
	return o
}

// refusal tells what a refusal is about: the size, the sender, or this letter.
func refusal(doing string, err error) error {
	var answer *smtp.SMTPError
	switch {
	case !errors.As(err, &answer) || answer.Code < 500 || answer.Code > 599:
	case answer.Code == 552 || answer.EnhancedCode == smtp.EnhancedCode{5, 3, 4}:
		return fmt.Errorf("%s: %w: %w", doing, errLarge, err)
	case doing == "MAIL FROM", answer.Code == 530:
		return fmt.Errorf("%s: %w: %w", doing, errSender, err)
	default:
		return fmt.Errorf("%s: %w: %w", doing, errFinal, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// preceded is a connection with some bytes before those of the peer.
type preceded struct {
	net.Conn
	head *strings.Reader
}

func (p *preceded) Read(b []byte) (int, error) {
	if p.head.Len() > 0 {
		return p.head.Read(b)
	}
	return p.Conn.Read(b)
}

var errStartTLS = errors.New("the server does not offer STARTTLS")

// startTLS asks for TLS (RFC 3207) before the SMTP client sees the connection:
// the library would greet under the name "localhost". Bytes that the server sent
// ahead of TLS are refused: somebody on the way could have put them there.
func startTLS(c net.Conn, name string) error {
	r := bufio.NewReaderSize(c, 4096)
	answer := func(want string) error {
		for range 100 {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return err
			}
			if len(line) < 4 || string(line[:3]) != want {
				return errStartTLS
			}
			if line[3] != '-' {
				return nil
			}
		}
		return errStartTLS
	}
	if err := answer("220"); err != nil {
		return err
	}
	for _, step := range []struct{ command, want string }{{"EHLO " + name, "250"}, {"STARTTLS", "220"}} {
		if _, err := io.WriteString(c, step.command+"\r\n"); err != nil {
			return err
		}
		if err := answer(step.want); err != nil {
			return err
		}
	}
	if r.Buffered() > 0 {
		return errStartTLS
	}
	return nil
}
