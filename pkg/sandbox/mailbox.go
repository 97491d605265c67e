package sandbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// MailConfig says what a demo mail server offers.
type MailConfig struct {
	Dir    string     // where the PEM files go; it must exist
	Listen string     // host:port of the IMAPS listener; empty: 127.0.0.1 and a free port
	Users  []MailUser // at least one
	// Without lists capabilities that the server keeps to itself ("MOVE",
	// "UIDPLUS", "ESEARCH"), to be as poor as some real servers.
	Without []string
	Log     *slog.Logger // nil: silent
}

// MailUser is one account. An empty Password or Token refuses the mechanisms
// that need it. Every user may also log in with a client certificate whose
// common name is the user's name (SASL EXTERNAL).
type MailUser struct {
	Name     string // the address of the mailbox
	Password string // LOGIN and SASL PLAIN
	Token    string // SASL OAUTHBEARER and XOAUTH2
}

// MailMessage is one message as a folder holds it.
type MailMessage struct {
	UID   uint32
	Flags []string // sorted; keywords as they were given
	Date  time.Time
	Raw   []byte // not to be changed
}

// MailServer is an IMAP server on the loopback interface with its mailboxes in
// memory: IMAPS on one port, STARTTLS on another, IMAP4rev1 with IDLE, UIDPLUS,
// MOVE and ESEARCH. It gives back the bytes it was given, however malformed.
//
// go-imap's imapserver speaks the protocol; its imapmemserver was not used
// because it parses and rewrites the header of each message that it serves
// (a malformed one comes out empty) and holds the folder's lock while a slow
// client reads. Methods may be called at once.
type MailServer struct {
	imap  *imapserver.Server
	ca    *authority
	tls   net.Listener
	plain net.Listener
	users map[string]*mailAccount // immutable

	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup // listeners and sessions
	stop   func() bool
}

// StartMailServer makes a certificate authority of its own, writes ca.pem and
// server.pem into cfg.Dir and listens. The server ends with ctx or Close.
func StartMailServer(ctx context.Context, cfg MailConfig) (*MailServer, error) {
	if len(cfg.Users) == 0 {
		return nil, errors.New("mail server: no user")
	}
	ca, err := newAuthority(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("mail server: %w", err)
	}
	server, err := ca.server()
	if err != nil {
		return nil, fmt.Errorf("mail server: %w", err)
	}
	s := &MailServer{ca: ca, users: make(map[string]*mailAccount)}
	for _, u := range cfg.Users {
		s.users[u.Name] = newMailAccount(u)
	}
	caps := imap.CapSet{
		imap.CapIMAP4rev1: {}, imap.CapNamespace: {}, imap.CapUIDPlus: {}, imap.CapESearch: {}, imap.CapMove: {},
	}
	for _, c := range cfg.Without {
		delete(caps, imap.Cap(c))
	}
	out := log.New(io.Discard, "", 0)
	if cfg.Log != nil {
		out = slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{server},
		ClientAuth:   tls.VerifyClientCertIfGiven,
		ClientCAs:    ca.pool(),
	}
	s.imap = imapserver.New(&imapserver.Options{
		Caps: caps, Logger: out, TLSConfig: config,
		NewSession: func(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			if !s.enter() {
				return nil, nil, &imap.Error{Type: imap.StatusResponseTypeBye, Text: "closing"}
			}
			return &mailSession{server: s, conn: c}, nil, nil
		},
	})
	listen := cfg.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	var lc net.ListenConfig
	plain, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("mail server: %w", err)
	}
	implicit, err := lc.Listen(ctx, "tcp", listen)
	if err != nil {
		plain.Close()
		return nil, fmt.Errorf("mail server: %w", err)
	}
	s.plain, s.tls = plain, tls.NewListener(implicit, config)
	for _, l := range []net.Listener{s.plain, s.tls} {
		s.wg.Go(func() {
			if err := s.imap.Serve(l); err != nil && !s.isClosed() {
				out.Printf("serve: %v", err)
			}
		})
	}
	s.stop = context.AfterFunc(ctx, func() { s.shut() })
	return s, nil
}

// enter counts a session in, or reports that the server is closing.
func (s *MailServer) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.wg.Add(1)
	return true
}

func (s *MailServer) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *MailServer) shut() {
	s.mu.Lock()
	already := s.closed
	s.closed = true
	s.mu.Unlock()
	if !already {
		s.plain.Close()
		s.tls.Close()
		s.imap.Close()
	}
}

// Close ends every connection and returns when nothing of the server runs any more.
func (s *MailServer) Close() error {
	s.stop()
	s.shut()
	s.wg.Wait()
	return nil
}

// Addr returns host:port of the IMAPS listener.
func (s *MailServer) Addr() string { return s.tls.Addr().String() }

// StartTLSAddr returns host:port of the listener that asks for STARTTLS.
func (s *MailServer) StartTLSAddr() string { return s.plain.Addr().String() }

// CAFile returns the path of the PEM file with the authority that signed the
// server's certificate.
func (s *MailServer) CAFile() string { return s.ca.file }

// ClientCertificate writes and returns the path of a PEM file with a
// certificate and key that log the user in by SASL EXTERNAL.
func (s *MailServer) ClientCertificate(user string) (string, error) {
	if _, err := s.account(user); err != nil {
		return "", err
	}
	return s.ca.client(user)
}

func (s *MailServer) account(user string) (*mailAccount, error) {
	u := s.users[user]
	if u == nil {
		return nil, errors.New("mail server: no such user")
	}
	return u, nil
}

func (s *MailServer) folder(user, folder string) (*mailFolder, error) {
	u, err := s.account(user)
	if err != nil {
		return nil, err
	}
	return u.folder(folder)
}

// CreateFolder makes a folder; one that exists is an error.
func (s *MailServer) CreateFolder(user, folder string) error {
	u, err := s.account(user)
	if err != nil {
		return err
	}
	return u.create(folder)
}

// DeleteFolder removes a folder with its messages. A folder of the same name
// made later has another UIDVALIDITY.
func (s *MailServer) DeleteFolder(user, folder string) error {
	u, err := s.account(user)
	if err != nil {
		return err
	}
	return u.remove(folder)
}

// Append puts a message into a folder, as a delivery would, and returns its UID.
func (s *MailServer) Append(user, folder string, raw []byte, at time.Time) (uint32, error) {
	f, err := s.folder(user, folder)
	if err != nil {
		return 0, err
	}
	return uint32(f.append(raw, at, nil)), nil
}

// Remove takes a message out of a folder, as a person with another mail program
// would. A UID that is not there is not an error.
func (s *MailServer) Remove(user, folder string, uid uint32) error {
	f, err := s.folder(user, folder)
	if err != nil {
		return err
	}
	f.expunge(func(m *mailMessage) bool { return m.uid == imap.UID(uid) })
	return nil
}

// Messages returns what a folder holds, by UID.
func (s *MailServer) Messages(user, folder string) ([]MailMessage, error) {
	f, err := s.folder(user, folder)
	if err != nil {
		return nil, err
	}
	var all []MailMessage
	for _, m := range f.pick(nil, func(uint32, *mailMessage) bool { return true }) {
		out := MailMessage{UID: uint32(m.uid), Date: m.at, Raw: m.raw}
		for _, flag := range m.flags {
			out.Flags = append(out.Flags, string(flag))
		}
		slices.Sort(out.Flags)
		all = append(all, out)
	}
	return all, nil
}
