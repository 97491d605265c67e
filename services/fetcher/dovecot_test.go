package fetcher

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"greffe/pkg/greffe"
	"greffe/pkg/mss"
)

// dovecot is the real server that .ci/dovecot.sh starts, seen through a second
// connection with a folder of the test's own.
type dovecot struct {
	*imapclient.Client
	wire   func(folder string) string // as this server writes it
	box    Mailbox
	folder string // as configured
}

func onDovecot(t testing.TB) *dovecot {
	t.Helper()
	env := func(name string) string { return os.Getenv("GREFFE_TEST_DOVECOT_" + name) }
	if env("ADDR") == "" {
		t.Skip("GREFFE_TEST_DOVECOT_ADDR is not set: see .ci/dovecot.sh")
	}
	box := Mailbox{
		Address: env("USER"), URL: "imaps://" + env("ADDR"), CA: env("CA"),
		Auth: mss.Auth{Mechanism: "plain", PasswordFile: write(t, env("PASSWORD"))},
	}
	s, err := dial(context.Background(), box, quick)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.login(box); err != nil {
		t.Fatal(err)
	}
	s.stop()
	s.conn.set(1<<40, time.Hour) // the test asks for as much as it likes
	t.Cleanup(s.close)
	d := &dovecot{s.client, s.wire, box, "Essai " + rand.Text()[:10] + "/Dr Élise MARTEL"}
	d.box.Folders = []string{d.folder}
	d.create(t, d.folder)
	return d
}

func (d *dovecot) create(t testing.TB, folder string) {
	t.Helper()
	if err := d.Create(d.wire(folder), nil).Wait(); err != nil {
		t.Fatal(err)
	}
}

func (d *dovecot) append(t testing.TB, folder, raw string) {
	t.Helper()
	if err := d.put(folder, raw); err != nil {
		t.Fatal(err)
	}
}

func (d *dovecot) put(folder, raw string) error {
	cmd := d.Append(d.wire(folder), int64(len(raw)), nil)
	cmd.Write([]byte(raw))
	cmd.Close()
	_, err := cmd.Wait()
	return err
}

// held returns subject number and flags of each message of a folder.
func (d *dovecot) held(t testing.TB, folder string) []string {
	t.Helper()
	if _, err := d.Select(d.wire(folder), &imap.SelectOptions{ReadOnly: true}).Wait(); err != nil {
		return nil
	}
	all, err := d.Fetch(imap.UIDSet{{Start: 1}}, &imap.FetchOptions{
		Flags: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}},
	}).Collect()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range all {
		if len(m.BodySection) == 0 || len(m.BodySection[0].Bytes) < 10 {
			continue // moved away meanwhile: Dovecot says NIL
		}
		flags := slices.DeleteFunc(m.Flags, func(f imap.Flag) bool { return f == `\Recent` })
		slices.Sort(flags)
		out = append(out, fmt.Sprintf("%.1s %v", m.BodySection[0].Bytes[9:], flags))
	}
	return out
}

func TestDovecotIsTakenAndMarked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Mailbox){
		"password": func(*Mailbox) {},
		"login":    func(m *Mailbox) { m.Auth.Mechanism = "login" },
		"STARTTLS": func(m *Mailbox) { m.URL = "imap://" + os.Getenv("GREFFE_TEST_DOVECOT_STARTTLS") },
		"client certificate": func(m *Mailbox) {
			m.Auth, m.Certificate = mss.Auth{Mechanism: "external"}, os.Getenv("GREFFE_TEST_DOVECOT_CERT")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := onDovecot(t)
			change(&d.box)
			b := openBus(t)
			in, stop := listen(t, b)
			t.Cleanup(stop)
			done, todo := d.folder+" traités", d.folder+"/À traiter"
			d.box.OnArchived, d.box.OnDelivered, d.box.OnFailed = Mark{Keyword: "$Archived"}, Mark{Move: done}, Mark{Move: todo}
			var want []string
			for i := range 60 {
				want = append(want, fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", i, strings.Repeat("é", 1000*i)))
				d.append(t, d.folder, want[i])
			}
			f := start(t, b, Config{Mailboxes: []Mailbox{d.box}, Reconcile: time.Hour})
			eventually(t, "what was there", func() bool { return in.count() == len(want) })
			want = append(want, "Subject: late\r\n\r\n")
			d.append(t, d.folder, want[60])
			eventually(t, "the news, by IDLE", func() bool { return in.count() == len(want) })
			byUID := map[uint32]greffe.Received{}
			for _, e := range in.all(t) {
				byUID[e.Origin.UID] = e
			}
			for i, raw := range want {
				if e := byUID[uint32(i+1)]; string(in.bytes(t, e)) != raw || e.Origin.Folder != d.folder || e.Origin.InternalDate.IsZero() {
					t.Errorf("message %d: %+v", i+1, e)
				}
			}
			for _, m := range d.held(t, d.folder) {
				if !strings.HasSuffix(m, " []") {
					t.Errorf("flagged by reading: %s", m)
				}
			}
			archive(t, b, byUID[1], greffe.StateArchived)
			archive(t, b, byUID[2], greffe.StateArchived)
			deliver(t, b, byUID[2], greffe.StateDelivered)
			archive(t, b, byUID[3], greffe.StateTodo)
			eventually(t, "the marks", func() bool {
				left := d.held(t, d.folder)
				return len(left) == 59 && left[0] == "0 [$Archived]" && left[1] == "3 []" &&
					slices.Equal(d.held(t, done), []string{"1 [$Archived]"}) && slices.Equal(d.held(t, todo), []string{"2 [$Archived]"})
			})
			deliver(t, b, byUID[3], greffe.StateDismissed)
			eventually(t, "the third to be moved on", func() bool { return len(d.held(t, todo)) == 0 && len(d.held(t, done)) == 2 })
			f.stop()
			for _, c := range CheckMailbox(t.Context(), d.box) {
				if !c.OK {
					t.Errorf("check: %+v", c)
				}
			}
		})
	}
}

func TestDovecotTroubles(t *testing.T) {
	t.Parallel()
	d := onDovecot(t)
	for name, c := range map[string]struct {
		change func(*Mailbox)
		want   string
	}{
		"wrong password": {func(m *Mailbox) { m.Auth.PasswordFile = write(t, "wrong") }, "refuse l'identification"},
		"no certificate of its authority": {func(m *Mailbox) {
			m.Auth, m.Certificate = mss.Auth{Mechanism: "external"}, write(t, clientPEM(t, nil))
		}, "refuse l'identification"},
		"missing folder":    {func(m *Mailbox) { m.Folders = []string{"Nulle part"} }, "« Nulle part »"},
		"unknown authority": {func(m *Mailbox) { _, m.CA = certificate(t, nil) }, "autorité inconnue"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mb := d.box
			c.change(&mb)
			f := start(t, openBus(t), Config{Mailboxes: []Mailbox{mb}})
			eventually(t, c.want, func() bool { return strings.Contains(f.Status()[0].Error, c.want) })
		})
	}
}

func TestDovecotFolderMadeAgain(t *testing.T) {
	t.Parallel()
	d := onDovecot(t)
	b := openBus(t)
	in, stop := listen(t, b)
	t.Cleanup(stop)
	d.append(t, d.folder, "Subject: x\r\n\r\n")
	start(t, b, Config{Mailboxes: []Mailbox{d.box}, Reconcile: 50 * time.Millisecond})
	eventually(t, "the message", func() bool { return in.count() == 1 })
	// Dovecot may say NO to each of these while the fetcher looks into the folder.
	_ = d.Delete(d.wire(d.folder)).Wait()
	eventually(t, "the folder made again", func() bool { return d.Create(d.wire(d.folder), nil).Wait() == nil })
	eventually(t, "a message in the new folder", func() bool { return d.put(d.folder, "Subject: x\r\n\r\n") == nil })
	eventually(t, "the message again", func() bool { return in.count() == 2 })
	if got := in.all(t); len(got) != 2 {
		t.Errorf("%d ids", len(got))
	}
}
