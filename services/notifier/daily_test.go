package notifier

import (
	"bytes"
	"io"
	"log/slog"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/pkg/mss"
)

const chief = "cadre@x.example"

// dailyWorld is a notifier with a mailbox that sends, whose responsible person is chief,
// and an index in which nothing is yet.
func dailyWorld(t *testing.T, change func(*Config)) (*Notifier, func() []*mail.Message) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	out, m := operator(t)
	db, err := index.Open(t.Context(), filepath.Join(t.TempDir(), "index.db"), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir()}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte("x.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.Applicative = true
	cfg := Config{Mailboxes: []Mailbox{m}, Own: []string{m.Address}, Sender: "null", WhiteList: WhiteList{Source: list},
		Daily: Daily{At: 7*time.Hour + 30*time.Minute, Unattended: 7 * 24 * time.Hour, Console: "https://greffe.example/",
			Persons: []Responsible{{chief, []Watched{{m.Address, "Cardiologie"}}}}}}
	if change != nil {
		change(&cfg)
	}
	n, err := New(cfg, b, nil, db, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Append(t.Context(), index.Entry{Actor: "greffe", Action: "started", Result: "ok"}); err != nil {
		t.Fatal(err)
	}
	return n, func() (all []*mail.Message) {
		for _, s := range out.Sent() {
			m, err := mail.ReadMessage(bytes.NewReader(s.Raw))
			if err != nil || s.To != chief || s.From != "" {
				t.Fatalf("from %q to %q: %v", s.From, s.To, err)
			}
			all = append(all, m)
		}
		return all
	}
}

// waits puts a message into the index that waits for a person.
func waits(t *testing.T, n *Notifier, uid uint32) {
	t.Helper()
	r := greffe.Received{Origin: greffe.Origin{Mailbox: boxAddress, Folder: "INBOX", UIDValidity: 1, UID: uid}, Size: 1, SHA256: greffe.DigestOf([]byte{byte(uid)}), At: time.Now()}
	r.ID = greffe.NewMessageID(r.Origin, r.SHA256)
	from := []greffe.Address{{Name: "Jean SECRET", Address: "x@y.example"}}
	p := greffe.Parsed{Received: r, Message: greffe.Message{Kind: greffe.KindDelivery, From: from, Subject: "Secret de M. SECRET"},
		Parts: []greffe.Part{{Path: "1", Kind: greffe.PartCDA, SHA256: r.SHA256}}, Documents: []greffe.Document{{Part: "1", Title: "Secret", SHA256: r.SHA256}}, At: time.Now()}
	o := greffe.Object{Key: "k", SHA256: r.SHA256, Size: 1}
	a, err := n.index.SaveArchived(t.Context(), p, o, o, map[string]greffe.Object{"1": o})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.index.SaveOutcome(t.Context(), a.Documents[0], greffe.Outcome{DI: "dpi", State: greffe.StateRefused, Code: "AE 902", Control: "1", At: time.Now()}, ""); err != nil {
		t.Fatal(err)
	}
}

// The person learns once a day what waits, in numbers, whatever process tells her; a crash
// between the mail and the journal tells her again rather than never.
func TestDailySummary(t *testing.T) {
	t.Parallel()
	n, sent := dailyWorld(t, nil)
	p := n.cfg.Daily.Persons[0]
	waits(t, n, 1)
	waits(t, n, 2)
	today := lastAt(time.Now().UTC(), n.cfg.Daily.At)
	if done, err := n.tell(t.Context(), p, today.Add(time.Minute)); err != nil || !done || len(sent()) != 0 {
		t.Fatalf("before its hour came once: %v, %v, %d mails", done, err, len(sent()))
	}
	// The hour comes a moment after the journal began, so that it is over once she was told:
	// the journal knows no other clock than the machine's.
	began, err := n.index.JournalAfter(t.Context(), 0, 1)
	if err != nil || len(began) != 1 {
		t.Fatalf("%d entries, %v", len(began), err)
	}
	hour := began[0].At.Add(time.Millisecond)
	n.cfg.Daily.At = hour.Sub(time.Date(hour.Year(), hour.Month(), hour.Day(), 0, 0, 0, 0, time.UTC))
	day := time.Now().UTC()
	var wg sync.WaitGroup // two processes
	for range 2 {
		wg.Go(func() {
			if _, err := n.tell(t.Context(), p, day); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	list := sent()
	if len(list) != 1 {
		t.Fatalf("%d mails", len(list))
	}
	m := list[0]
	text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != "Greffe : 2 messages attendent une personne" {
		t.Errorf("subject %q, %v", subject, err)
	}
	for _, want := range []string{boxAddress + " (Cardiologie)", "À traiter : 2, dont le plus ancien", "Patient inconnu : 2", "https://greffe.example/file?bal=" + greffe.MailboxKey(boxAddress) + "&etat=a-traiter\r\n", "ne relève pas cette boîte"} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(strings.ToLower(subject+string(text)), "secret") || m.Header.Get("Auto-Submitted") != "auto-generated" ||
		m.Header.Get("X-Auto-Response-Suppress") != "All" || m.Header.Get("Disposition-Notification-To") != "" || m.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%v\n%s", m.Header, text)
	}
	if id := strings.Trim(m.Header.Get("Message-ID"), "<>"); id != dailyID(dailyKey(p), day, boxAddress) || strings.Contains(id, "cadre") {
		t.Errorf("Message-ID %q", id)
	}
	list2, err := n.index.JournalOf(t.Context(), dailyKey(p), dailyAction, 10)
	if err != nil || len(list2) != 1 || list2[0].Result != "sent" || list2[0].Detail != "waiting=2" {
		t.Errorf("the journal says %+v, %v", list2, err)
	}
}

// Nothing is said when nothing waits, unless somebody wants that; and nothing to who must
// not be written to.
func TestDailySummaryIsQuiet(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Config)
		mails  int
		result string // in the journal
		err    error
	}{
		"nothing waits":          {func(*Config) {}, 0, "nothing", nil},
		"asked for all the same": {func(c *Config) { c.Daily.Always = true }, 1, "sent", nil},
		"no server":              {func(c *Config) { c.Daily.Persons[0].Mailboxes[0].Address = "y@x.example" }, 0, "", errNoSender},
		"outside":                {func(c *Config) { c.WhiteList.Source += "-absent"; c.Daily.Persons[0].Address = "a@gmail.example" }, 0, "", errNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, sent := dailyWorld(t, c.change)
			p := n.cfg.Daily.Persons[0]
			go n.bus.Tell(t.Context(), nil, func() []bus.Standing {
				return []bus.Standing{{Service: "fetcher", Instance: boxAddress, Success: time.Now()}}
			})
			for { // until the fetcher has said that all goes well
				if list, err := n.bus.Standings(t.Context()); err != nil {
					t.Fatal(err)
				} else if len(list) > 0 {
					break
				}
			}
			day := time.Now().UTC().Add(24 * time.Hour)
			_, err := n.tell(t.Context(), p, day)
			if err != c.err || len(sent()) != c.mails {
				t.Errorf("%v, %d mails", err, len(sent()))
			}
			list, err := n.index.JournalOf(t.Context(), dailyKey(p), dailyAction, 10)
			if err != nil || (c.result != "") != (len(list) == 1) || len(list) == 1 && list[0].Result != c.result {
				t.Errorf("the journal says %+v, %v", list, err)
			}
			if c.err != nil && !strings.Contains(dailyTrouble(p, c.err), p.Address) {
				t.Error(dailyTrouble(p, c.err))
			}
		})
	}
}

// An address that may not be written to is refused at the start, with what to do.
func TestDailyAddressesAreChecked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list := filepath.Join(dir, "list")
	if err := os.WriteFile(list, []byte("x.example\npatient.mssante.example\nch-test.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		chief: "", "a@gmail.example": "liste blanche", "285022999907751@patient.mssante.example": "patient", boxAddress: "personne ne la lit",
	} {
		_, err := New(Config{WhiteList: WhiteList{Source: list}, Mailboxes: []Mailbox{{Address: boxAddress, Applicative: true, URL: "smtps://x.example", Auth: mss.Auth{Mechanism: "plain", PasswordFile: list}}},
			Daily: Daily{Persons: []Responsible{{Address: address}}}}, nil, nil, nil, slog.New(slog.DiscardHandler))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// What of a mailbox ends soon, and that nobody looks into it, is in the mail.
func TestDailySummaryText(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 7, 30, 0, 0, time.UTC)
	s := summary{now: now, unattended: 7 * 24 * time.Hour, boxes: []boxSummary{{
		Watched: Watched{Address: boxAddress}, said: true, followUp: 1,
		state:   index.MailboxState{Counts: map[greffe.State]int{greffe.StateWaiting: 4}, OldestAt: now.Add(-9 * 24 * time.Hour), Consulted: now.Add(-8 * 24 * time.Hour)},
		waiting: index.Waiting{Later: 3, Causes: map[greffe.State]map[greffe.Cause]int{greffe.StateTodo: {greffe.CauseMasked: 1}, greffe.StateIncident: {greffe.CauseOther: 2}}},
		standing: bus.Standing{Mailbox: &greffe.MailboxFigures{Expiries: []greffe.Expiry{
			{What: greffe.ClientCertificate, At: now.Add(19 * 24 * time.Hour)}, {What: greffe.Password, At: now.Add(-24 * time.Hour)}, {What: greffe.ServerCertificate, At: now.Add(300 * 24 * time.Hour)}}}},
	}}}
	const want = `Bonjour,

Voici ce qui attend une personne dans les boîtes dont vous répondez, le 23/11/2026 à 07 h 30.

dpi@ch-test.example
  À traiter : 1, dont le plus ancien est arrivé il y a 9 jours
    Masqué : 1
  Incidents (un technicien doit regarder) : 2
  Réponses à suivre : 1
  En attente du DI (rien à faire) : 4
  Remis à plus tard : 3
  Personne n’a consulté cette boîte depuis le 15/11/2026.
  Le certificat client n’est valable que jusqu’au 12/12/2026 (19 jours).
  Le mot de passe n’est plus valable depuis le 22/11/2026.

Ce message est envoyé automatiquement, une fois par jour : n’y répondez pas.
`
	if got := s.text(""); got != want {
		t.Errorf("%s", got)
	}
	if !s.told() || s.title() != "Greffe : 3 messages attendent une personne" {
		t.Errorf("%q", s.title())
	}
}
