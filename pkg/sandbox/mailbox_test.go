package sandbox

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
)

func startMail(t *testing.T) *MailServer {
	t.Helper()
	s, err := StartMailServer(t.Context(), MailConfig{
		Dir: t.TempDir(), Users: []MailUser{{Name: "bal@ch.example", Password: "secret"}, {Name: "autre@ch.example", Password: "secret"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mailTLS(t *testing.T, s *MailServer, certificates ...tls.Certificate) *tls.Config {
	t.Helper()
	ca, err := os.ReadFile(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		t.Fatal("ca.pem holds no certificate")
	}
	return &tls.Config{RootCAs: pool, ServerName: "localhost", Certificates: certificates}
}

func TestMailServerGivesBackTheBytesItWasGiven(t *testing.T) {
	t.Parallel()
	s := startMail(t)
	nasty := []byte("no colon here\nSubject: x\n\n\x00\xff bare LF\n")
	uid, err := s.Append("bal@ch.example", "INBOX", nasty, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c, err := imapclient.DialStartTLS(s.StartTLSAddr(), &imapclient.Options{TLSConfig: mailTLS(t, s)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login("bal@ch.example", "secret").Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Select("INBOX", &imap.SelectOptions{ReadOnly: true}).Wait(); err != nil {
		t.Fatal(err)
	}
	got, err := c.Fetch(imap.UIDSetNum(imap.UID(uid)), &imap.FetchOptions{
		RFC822Size: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}},
	}).Collect()
	if err != nil || len(got) != 1 {
		t.Fatalf("fetched %d messages, %v", len(got), err)
	}
	if raw := got[0].BodySection[0].Bytes; !bytes.Equal(raw, nasty) || got[0].RFC822Size != int64(len(nasty)) {
		t.Errorf("got %q of size %d, want %q", raw, got[0].RFC822Size, nasty)
	}
}

func TestMailServerMovesFlagsAndRenews(t *testing.T) {
	t.Parallel()
	s := startMail(t)
	const user = "bal@ch.example"
	for range 3 {
		if _, err := s.Append(user, "INBOX", []byte("Subject: x\r\n\r\n"), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	file, err := s.ClientCertificate(user)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(file, file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := imapclient.DialTLS(s.Addr(), &imapclient.Options{TLSConfig: mailTLS(t, s, pair)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Authenticate(sasl.NewExternalClient("")); err != nil {
		t.Fatal(err)
	}
	before, err := c.Select("INBOX", nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Store(imap.UIDSetNum(2), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{"$Archived"}}, nil).Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Create("Traités", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	moved, err := c.Move(imap.UIDSetNum(3), "Traités").Wait()
	if err != nil || moved.DestUIDs.String() != "1" {
		t.Fatalf("moved %+v, %v", moved, err)
	}
	if moved, err = c.Move(imap.UIDSetNum(3), "Traités").Wait(); err != nil || moved.DestUIDs != nil {
		t.Errorf("moving a UID that is gone: %+v, %v", moved, err)
	}
	in, _ := s.Messages(user, "INBOX")
	if len(in) != 2 || !slices.Equal(in[1].Flags, []string{"$Archived"}) {
		t.Errorf("INBOX holds %+v", in)
	}
	if err := s.DeleteFolder(user, "INBOX"); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateFolder(user, "INBOX"); err != nil {
		t.Fatal(err)
	}
	after, err := c.Select("INBOX", nil).Wait()
	if err != nil || after.UIDValidity == before.UIDValidity || after.NumMessages != 0 {
		t.Errorf("INBOX made again: %+v, %v", after, err)
	}
}

func TestMailServerTellsNewsDuringIdle(t *testing.T) {
	t.Parallel()
	s := startMail(t)
	news := make(chan uint32, 8)
	c, err := imapclient.DialTLS(s.Addr(), &imapclient.Options{TLSConfig: mailTLS(t, s),
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				news <- *d.NumMessages
			}
		}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login("bal@ch.example", "secret").Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	idle, err := c.Idle()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append("bal@ch.example", "INBOX", []byte("Subject: x\r\n\r\n"), time.Now()); err != nil {
		t.Fatal(err)
	}
	select {
	case n := <-news:
		if n != 1 {
			t.Errorf("EXISTS %d, want 1", n)
		}
	case <-time.After(10 * time.Second):
		t.Error("no news after an append")
	}
	if err := idle.Close(); err != nil {
		t.Error(err)
	}
}
