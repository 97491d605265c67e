package notifier

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"greffe/pkg/mss"
	"greffe/pkg/sandbox"
)

const boxAddress = "dpi@ch-test.example"

// operator starts a submission server with one user, and returns his mailbox there.
func operator(t *testing.T) (*sandbox.Submission, Mailbox) {
	t.Helper()
	dir := t.TempDir()
	mail, err := sandbox.StartMailServer(context.Background(), sandbox.MailConfig{Dir: dir, Users: []sandbox.MailUser{
		{Name: boxAddress, Password: "secret", Token: "jeton"}, {Name: "outside@x.example", Password: "secret"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mail.Close() })
	out, err := sandbox.StartSubmission(context.Background(), mail, "outside@x.example")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	cert, err := mail.ClientCertificate(boxAddress)
	if err != nil {
		t.Fatal(err)
	}
	return out, Mailbox{Address: boxAddress, URL: "smtps://" + out.Addr(), CA: mail.CAFile(), Certificate: cert, Auth: mss.Auth{Mechanism: "external"}}
}

// logsIn tries every mechanism by both ways of TLS.
func logsIn(t *testing.T, m Mailbox, tls, startTLS, cert string, mechanisms ...string) {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"password": "secret", "token": "jeton", "wrong": "faux"}
	for name, content := range files {
		files[name] = filepath.Join(dir, name)
		if err := os.WriteFile(files[name], []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, url := range []string{"smtps://" + tls, "smtp://" + startTLS} {
		for _, mechanism := range mechanisms {
			m.URL, m.Certificate = url, ""
			if mechanism == "external" {
				m.Certificate = cert
			}
			m.Auth = mss.Auth{Mechanism: mechanism, PasswordFile: files["password"], TokenFile: files["token"]}
			c, err := m.open(t.Context())
			if err != nil {
				t.Errorf("%s, %s: %v", url[:5], mechanism, err)
				continue
			}
			_ = c.Quit()
			if mechanism == "external" {
				continue
			}
			m.Auth.PasswordFile, m.Auth.TokenFile = files["wrong"], files["wrong"]
			if c, err := m.open(t.Context()); err == nil {
				c.Close()
				t.Errorf("%s, %s: a wrong secret is taken", url[:5], mechanism)
			} else if errors.Is(err, errFinal) {
				t.Errorf("%s, %s: the letter is given up for a wrong secret: %v", url[:5], mechanism, err)
			}
		}
	}
}

func TestLogsIn(t *testing.T) {
	t.Parallel()
	out, m := operator(t)
	logsIn(t, m, out.Addr(), out.StartTLSAddr(), m.Certificate, "plain", "login", "external", "oauthbearer", "xoauth2")
	m.CA, m.Certificate, m.Auth.Mechanism = "", "", "plain"
	if _, err := m.open(t.Context()); err == nil {
		t.Error("a server of an authority that nobody named is trusted")
	}
}

// The same against a server that others wrote, and the limits that it announces.
func TestLogsInToARealServer(t *testing.T) {
	t.Parallel()
	tls, startTLS, ca, cert := os.Getenv("GREFFE_TEST_SMTP_TLS"), os.Getenv("GREFFE_TEST_SMTP_STARTTLS"), os.Getenv("GREFFE_TEST_DOVECOT_CA"), os.Getenv("GREFFE_TEST_DOVECOT_CERT")
	if tls == "" || startTLS == "" || ca == "" || cert == "" {
		t.Skip("GREFFE_TEST_SMTP_TLS, GREFFE_TEST_SMTP_STARTTLS, GREFFE_TEST_DOVECOT_CA or GREFFE_TEST_DOVECOT_CERT is not set")
	}
	m := Mailbox{Address: "test1@ch.example", CA: ca}
	logsIn(t, m, tls, startTLS, cert, "plain", "login", "external", "xoauth2")
	m.URL, m.Certificate, m.Auth = "smtps://"+tls, cert, mss.Auth{Mechanism: "external"}
	l := sample(Forward)
	l.from, l.to = m.Address, "service@ch.example"
	var asked int
	raw := func() (io.ReadCloser, error) {
		asked++
		return io.NopCloser(strings.NewReader("Subject: x\r\n\r\nbody\r\n")), nil
	}
	if err := m.send(t.Context(), l, m.Address, 1<<30, raw); err != nil || asked != 1 {
		t.Errorf("over its size: %v, read %d times", err, asked)
	}
	l.to = "x@elsewhere.example"
	if err := m.send(t.Context(), l, "", 20, raw); !errors.Is(err, errFinal) {
		t.Errorf("an address it does not serve: %v", err)
	}
}

// What a refusal is about decides what follows: never, later, without the body, or a
// matter of the settings.
func TestRefusals(t *testing.T) {
	t.Parallel()
	out, m := operator(t)
	send := func(kind Answer) error {
		return m.send(t.Context(), sample(kind), "", 20, func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("Subject: x\r\n\r\nle corps\r\n")), nil
		})
	}
	kinds := []error{errFinal, errLarge, errSender}
	for _, c := range []struct {
		command string
		code    int
		is      error // nil: later
	}{
		{"MAIL", 450, nil}, {"MAIL", 550, errSender}, {"MAIL", 530, errSender}, {"RCPT", 450, nil}, {"RCPT", 550, errFinal}, {"RCPT", 553, errFinal},
		{"DATA", 451, nil}, {"DATA", 554, errFinal}, {"DATA", 552, errFinal}, {"MAIL", 552, errFinal},
	} {
		out.Refuse(c.command, c.code)
		err := send(MDNError)
		if err == nil {
			t.Errorf("%s %d: sent", c.command, c.code)
		}
		for _, k := range kinds {
			if errors.Is(err, k) != (k == c.is) && !(k == errLarge && c.code == 552) {
				t.Errorf("%s %d: %v", c.command, c.code, err)
			}
		}
		if sentence(m, err) == "" {
			t.Errorf("%s %d: nothing to tell", c.command, c.code)
		}
		out.Refuse(c.command, 0)
	}
	if n := len(out.Sent()); n != 0 {
		t.Fatalf("%d mails were taken", n)
	}
	for _, kind := range []Answer{MDNSuccess, KO, Forward, AutoReply} {
		if err := send(kind); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		sent := out.Sent()
		if got := string(sent[len(sent)-1].Raw); strings.Contains(got, "le corps") != (kind != AutoReply) {
			t.Errorf("%s: %s", kind, got)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err := send(KO); err == nil || errors.Is(err, errFinal) {
		t.Errorf("a server that is away: %v", err)
	}
}
