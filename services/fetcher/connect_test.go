package fetcher

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"greffe/pkg/mss"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// failure starts a fetcher on a mailbox that cannot work and returns the sentence.
func failure(t *testing.T, mb Mailbox) string {
	t.Helper()
	f := start(t, openBus(t), Config{Mailboxes: []Mailbox{mb}})
	eventually(t, "a sentence", func() bool { return f.Status()[0].Error != "" })
	s := f.Status()[0]
	if s.Connected || s.ErrorSince.IsZero() || !s.LastSuccess.IsZero() {
		t.Errorf("status %+v", s)
	}
	return s.Error
}

func TestEachTroubleHasItsSentence(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	serve := func(change func(*x509.Certificate), config *tls.Config) (string, string) {
		pair, ca := certificate(t, change)
		if config == nil {
			config = &tls.Config{}
		}
		config.Certificates = []tls.Certificate{pair}
		ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
		if err != nil {
			t.Fatal(err)
		}
		accept(t, ln, func(c net.Conn, _ int) { (&scripted{script: &script{}, Conn: c}).serve() })
		return "imaps://" + ln.Addr().String(), ca
	}
	raw := func(text string) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		accept(t, ln, func(c net.Conn, _ int) {
			io.WriteString(c, text)
			io.Copy(io.Discard, c)
		})
		return ln.Addr().String()
	}
	sandboxed, _ := strings.CutPrefix(l.box.URL, "imaps://")
	for name, c := range map[string]struct {
		change func(*Mailbox)
		want   string
	}{
		"wrong password": {func(m *Mailbox) { m.Auth.PasswordFile = write(t, "wrong") }, "refuse l'identification"},
		"login, wrong password": {func(m *Mailbox) {
			m.Auth = mss.Auth{Mechanism: "login", PasswordFile: write(t, "wrong")}
		}, "refuse l'identification"},
		"bearer token refused": {func(m *Mailbox) {
			m.Auth = mss.Auth{Mechanism: "oauthbearer", TokenFile: write(t, "old")}
		}, "jeton Pro Santé Connect"},
		"token refused": {func(m *Mailbox) {
			m.Auth = mss.Auth{Mechanism: "xoauth2", TokenFile: write(t, "old")}
		}, "jeton Pro Santé Connect"},
		"client certificate of another authority": {func(m *Mailbox) {
			m.Auth = mss.Auth{Mechanism: "external"}
			pair := write(t, clientPEM(t, nil))
			m.Certificate = pair
		}, "refuse l'identification"},
		"client certificate required": {func(m *Mailbox) {
			m.URL, m.CA = serve(nil, &tls.Config{ClientAuth: tls.RequireAnyClientCert})
		}, "refuse la connexion chiffrée"},
		"client certificate expired": {func(m *Mailbox) {
			m.Certificate = write(t, clientPEM(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }))
		}, "certificat client"},
		"password file missing":       {func(m *Mailbox) { m.Auth.PasswordFile = "/nowhere/password" }, "/nowhere/password ne peut pas être lu"},
		"CA file without certificate": {func(m *Mailbox) { m.CA = write(t, "hello") }, "n'a pas le contenu attendu"},
		"unknown authority":           {func(m *Mailbox) { m.URL, _ = serve(nil, nil) }, "autorité inconnue"},
		"expired certificate": {func(m *Mailbox) {
			m.URL, m.CA = serve(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }, nil)
		}, "certificat expiré"},
		"certificate of another host": {func(m *Mailbox) {
			m.URL, m.CA = serve(func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"autre.example"} }, nil)
		}, "autre nom"},
		"TLS 1.1 only": {func(m *Mailbox) {
			m.URL, m.CA = serve(nil, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
		}, "TLS 1.2"},
		"not TLS":                {func(m *Mailbox) { m.URL = "imaps://" + raw("SSH-2.0-OpenSSH_9.2\r\n") }, "ne parle pas TLS"},
		"STARTTLS, but not IMAP": {func(m *Mailbox) { m.URL = "imap://" + raw("SSH-2.0-OpenSSH_9.2\r\n") }, "comme un serveur IMAP"},
		"STARTTLS on an endless line": {func(m *Mailbox) {
			m.URL = "imap://" + raw("* OK "+strings.Repeat("x", 100000))
		}, "comme un serveur IMAP"},
		"PREAUTH before STARTTLS": {func(m *Mailbox) { m.URL = "imap://" + raw("* PREAUTH hello\r\n") }, "comme un serveur IMAP"},
		"no STARTTLS":             {func(m *Mailbox) { m.URL = "imap://" + raw("* OK hi\r\ns BAD what\r\n") }, "ne propose pas STARTTLS"},
		"words ahead of TLS": {func(m *Mailbox) {
			m.URL = "imap://" + raw("* OK hi\r\ns OK go\r\n* OK injected\r\n")
		}, "ne propose pas STARTTLS"},
		"silent":                       {func(m *Mailbox) { m.URL = "imap://" + raw("") }, "ne dit rien"},
		"nobody there":                 {func(m *Mailbox) { m.URL = "imaps://127.0.0.1:1" }, "injoignable"},
		"no such host":                 {func(m *Mailbox) { m.URL = "imaps://imap.invalid" }, "imap.invalid"},
		"TLS where STARTTLS was meant": {func(m *Mailbox) { m.URL = "imap://" + sandboxed }, "ne dit rien"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mb := l.box
			c.change(&mb)
			got := failure(t, mb)
			t.Log(got)
			if !strings.Contains(got, c.want) {
				t.Errorf("%q does not contain %q", got, c.want)
			}
		})
	}
}

func clientPEM(t testing.TB, change func(*x509.Certificate)) string {
	t.Helper()
	pair, _ := certificate(t, change)
	return pemOf(t, pair)
}

func TestEveryWayIn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	certificate, err := l.mail.ClientCertificate(user)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Mailbox){
		"plain":             func(m *Mailbox) {},
		"plain, STARTTLS":   func(m *Mailbox) { m.URL = "imap://" + l.mail.StartTLSAddr() },
		"login":             func(m *Mailbox) { m.Auth.Mechanism = "login" },
		"external":          func(m *Mailbox) { m.Auth, m.Certificate = mss.Auth{Mechanism: "external"}, certificate },
		"external and name": func(m *Mailbox) { m.Auth, m.Certificate = mss.Auth{Mechanism: "external", Username: user}, certificate },
		"external, STARTTLS": func(m *Mailbox) {
			m.URL, m.Auth, m.Certificate = "imap://"+l.mail.StartTLSAddr(), mss.Auth{Mechanism: "external"}, certificate
		},
		"oauthbearer": func(m *Mailbox) { m.Auth = mss.Auth{Mechanism: "oauthbearer", TokenFile: write(t, "jeton\n")} },
		"xoauth2":     func(m *Mailbox) { m.Auth = mss.Auth{Mechanism: "xoauth2", TokenFile: write(t, "jeton\n")} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mb := l.box
			change(&mb)
			s, err := dial(t.Context(), mb, quick)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			if err := s.login(mb); err != nil {
				t.Fatal(err)
			}
			if b, err := s.open("INBOX", true); err != nil || b.validity == 0 {
				t.Errorf("INBOX: %+v, %v", b, err)
			}
		})
	}
}

func TestARightedPasswordMendsAMailbox(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.append(t, "INBOX", "Subject: x\r\n\r\n")
	l.box.Auth.PasswordFile = write(t, "wrong")
	f := start(t, l.bus, Config{Mailboxes: []Mailbox{l.box}})
	eventually(t, "the refusal", func() bool { return f.Status()[0].Error != "" })
	rewrite(t, l.box.Auth.PasswordFile, "secret")
	eventually(t, "the message", func() bool { return l.in.count() == 1 })
	eventually(t, "no more sentence", func() bool { return f.Status()[0].Error == "" && f.Status()[0].Connected })
}

func TestACertificateThatEndsSoonIsTold(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.box.Certificate = write(t, clientPEM(t, nil)) // for two days
	f := start(t, l.bus, Config{Mailboxes: []Mailbox{l.box}})
	eventually(t, "the notice", func() bool { return strings.Contains(f.Status()[0].Notice, "renouveler") })
}

func TestConfigurationMistakesAreRefused(t *testing.T) {
	t.Parallel()
	good := Mailbox{Address: "a@b.example", URL: "imaps://imap.example", Auth: mss.Auth{Mechanism: "plain", PasswordFile: "x"}}
	if _, err := New(Config{Mailboxes: []Mailbox{good}}, nil, logger(t)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Mailbox){
		"no address":         func(m *Mailbox) { m.Address = "" },
		"scheme":             func(m *Mailbox) { m.URL = "pop3://x" },
		"no host":            func(m *Mailbox) { m.URL = "imaps://:993" },
		"password in URL":    func(m *Mailbox) { m.URL = "imaps://u:p@x" },
		"mechanism":          func(m *Mailbox) { m.Auth.Mechanism = "cram-md5" },
		"no password file":   func(m *Mailbox) { m.Auth.PasswordFile = "" },
		"no certificate":     func(m *Mailbox) { m.Auth = mss.Auth{Mechanism: "external"} },
		"no token file":      func(m *Mailbox) { m.Auth = mss.Auth{Mechanism: "xoauth2"} },
		"same folder twice":  func(m *Mailbox) { m.Folders = []string{"INBOX", "inbox"} },
		"move to watched":    func(m *Mailbox) { m.OnDelivered.Move = "inbox" },
		"moved away at once": func(m *Mailbox) { m.OnArchived.Move, m.OnFailed.Keyword = "x", "$y" },
	} {
		mb := good
		change(&mb)
		if _, err := New(Config{Mailboxes: []Mailbox{mb}}, nil, logger(t)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := New(Config{Mailboxes: []Mailbox{good, good}}, nil, logger(t)); err == nil {
		t.Error("the same mailbox twice: accepted")
	}
}

func TestCheckMailbox(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.append(t, "INBOX", "Subject: x\r\n\r\n")
	mb := l.box
	var err error
	if mb.Certificate, err = l.mail.ClientCertificate(user); err != nil {
		t.Fatal(err)
	}
	mb.Folders = []string{"INBOX", "Absent"}
	mb.OnDelivered = Mark{Move: "Traités", Keyword: "$Done"}
	checks := CheckMailbox(t.Context(), mb)
	bad := 0
	for _, c := range checks {
		t.Log(c.OK, c.Name, "—", c.Text)
		if c.Name == "" || c.Text == "" {
			t.Errorf("empty %+v", c)
		}
		if !c.OK {
			bad++
		}
	}
	if bad != 1 || len(checks) != 7 {
		t.Errorf("%d of %d checks failed", bad, len(checks))
	}
	if left := l.held(t, "Traités"); left != nil {
		t.Error("checking made a folder")
	}
	mb.Auth.PasswordFile = write(t, "wrong")
	if checks = CheckMailbox(t.Context(), mb); checks[len(checks)-1].OK {
		t.Error("a wrong password passed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if checks = CheckMailbox(ctx, l.box); checks[len(checks)-1].OK {
		t.Error("a cancelled check passed")
	}
}

// FuzzServer lets a server say anything at all.
func FuzzServer(f *testing.F) {
	f.Add("* OK hi\r\nT1 OK\r\n* CAPABILITY IMAP4rev1\r\nT2 OK done\r\n* LIST () \"/\" \"\"\r\nT3 OK\r\n* 1 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\nT4 OK\r\n* SEARCH 1 2\r\nT5 OK\r\n* 1 FETCH (UID 1 RFC822.SIZE 5)\r\nT6 OK\r\n* 1 FETCH (UID 1 BODY[] {5}\r\nhello)\r\nT7 OK\r\n")
	f.Add("* OK hi\r\n* LIST () \"/\" {4000000000}\r\n")
	f.Add("* PREAUTH [CAPABILITY IMAP4rev1 ESEARCH]\r\n* ESEARCH (TAG \"T5\") UID ALL 1:4294967295\r\n")
	f.Add("* BYE\r\n")
	f.Fuzz(func(t *testing.T, said string) {
		ours, theirs := net.Pipe()
		go func() {
			go io.Copy(io.Discard, bufio.NewReader(theirs))
			io.WriteString(theirs, said)
			theirs.Close()
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		s, err := newSession(ctx, ctx, newGuard(ours, time.Second, ""))
		if err != nil {
			return
		}
		defer s.close()
		if s.capabilities() != nil {
			return
		}
		b, err := s.open("INBOX", true)
		if err != nil {
			return
		}
		set, err := s.uids(b)
		if err != nil || set.count() == 0 {
			return
		}
		for uid := range set.all() {
			s.sizes([]uint32{uid})
			s.bodies([]uint32{uid}, func(_ uint32, size int64, r io.Reader) error {
				n, err := io.Copy(io.Discard, &exact{r: r, left: size})
				if err == nil && n != size {
					t.Errorf("%d bytes of %d without an error", n, size)
				}
				return err
			})
			return
		}
	})
}
