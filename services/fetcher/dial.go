package fetcher

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"

	"greffe/pkg/mss"
)

var (
	errConnect  = errors.New("cannot connect")
	errTLS      = errors.New("TLS handshake failed")
	errStartTLS = errors.New("the server does not offer STARTTLS")
	errGreeting = errors.New("the server did not greet as an IMAP server does")
)

// endpoint is a parsed Mailbox.URL.
type endpoint struct {
	host, address string // address is host:port
	implicit      bool   // TLS from the first byte; else STARTTLS
}

func parseURL(raw string) (endpoint, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" {
		return endpoint{}, errors.New("imap : écrire imaps://serveur:port ou imap://serveur:port")
	}
	e := endpoint{host: u.Hostname()}
	port := u.Port()
	switch u.Scheme {
	case "imaps":
		e.implicit = true
		if port == "" {
			port = "993"
		}
	case "imap":
		if port == "" {
			port = "143"
		}
	default:
		return endpoint{}, errors.New("imap : écrire imaps:// (TLS) ou imap:// (STARTTLS)")
	}
	e.address = net.JoinHostPort(e.host, port)
	return e, nil
}

// dial connects, secures the connection and reads the greeting.
func dial(ctx context.Context, mb Mailbox, p pace) (*session, error) {
	e, err := parseURL(mb.URL)
	if err != nil {
		return nil, err
	}
	config, err := mss.TLS(e.host, mb.CA, mb.Certificate)
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, p.dial)
	defer cancel()
	// A peer that vanished during IDLE is noticed after a minute without news.
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}}
	raw, err := d.DialContext(within, "tcp", e.address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errConnect, err)
	}
	head := ""
	if !e.implicit {
		if err := startTLS(within, raw); err != nil {
			raw.Close()
			return nil, err
		}
		head = "* OK secured\r\n" // RFC 9051 §6.2.1: no second greeting comes after TLS
	}
	secured := tls.Client(raw, config)
	if err := secured.HandshakeContext(within); err != nil {
		raw.Close()
		return nil, fmt.Errorf("%w: %w", errTLS, err)
	}
	return newSession(ctx, within, newGuard(secured, p.stall, head))
}

// startTLS asks for TLS (RFC 9051 §6.2.1) before the IMAP client sees the
// connection, so that the guard stands between TLS and the client whatever the
// scheme. Bytes that the server sent ahead of TLS are refused: somebody on the
// way could have put them there.
func startTLS(ctx context.Context, c net.Conn) error {
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(deadline)
	}
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	r := bufio.NewReaderSize(c, 4096)
	greeting, err := readLine(r)
	if err != nil {
		return fmt.Errorf("%w: %w", errGreeting, err)
	}
	// PREAUTH forbids STARTTLS (RFC 9051 §7.1.4).
	if !strings.HasPrefix(strings.ToUpper(greeting), "* OK") {
		return errGreeting
	}
	if _, err := c.Write([]byte("s STARTTLS\r\n")); err != nil {
		return fmt.Errorf("%w: %w", errConnect, err)
	}
	for range 50 {
		line, err := readLine(r)
		if err != nil {
			return fmt.Errorf("%w: %w", errStartTLS, err)
		}
		if answer, ok := strings.CutPrefix(line, "s "); ok {
			if !strings.HasPrefix(strings.ToUpper(answer), "OK") || r.Buffered() > 0 {
				return errStartTLS
			}
			return c.SetDeadline(time.Time{})
		}
	}
	return errStartTLS
}

func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

func newSession(ctx, greeting context.Context, g *guard) (*session, error) {
	s := &session{conn: g, news: make(chan struct{}, 1)}
	s.client = imapclient.New(g, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				select {
				case s.news <- struct{}{}:
				default:
				}
			}
		},
	}})
	stop := context.AfterFunc(greeting, func() { g.kill(errStalled) })
	err := s.do(64<<10, "greeting", s.client.WaitGreeting)
	stop()
	if err != nil {
		s.close()
		return nil, fmt.Errorf("%w: %w", errGreeting, err)
	}
	s.stop = context.AfterFunc(ctx, func() { g.kill(ctx.Err()) })
	return s, nil
}
