package fetcher

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

func TestMessagesAreTakenOnceAndTheMailboxIsNotTouched(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	if err := l.mail.CreateFolder(user, "INBOX/Dr Yvon MARTEL à l'étage"); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for i := range 130 {
		raw := fmt.Sprintf("Subject: message %d\r\n\r\nbody\r\n", i)
		want[fmt.Sprintf("INBOX/1/%d", l.append(t, "INBOX", raw))] = raw
	}
	nasty := "no header at all\n\xff\x00\r.\n"
	folder := "INBOX/Dr Yvon MARTEL à l'étage"
	want[fmt.Sprintf("%s/2/%d", folder, l.append(t, folder, nasty))] = nasty
	l.box.Folders = []string{"inbox", folder}
	f := start(t, l.bus, Config{Mailboxes: []Mailbox{l.box}, Reconcile: 50 * time.Millisecond})
	eventually(t, "all messages", func() bool { return l.in.count() >= len(want) })
	late := "Subject: late\r\n\r\n"
	want[fmt.Sprintf("INBOX/1/%d", l.append(t, "INBOX", late))] = late
	late = "Subject: late in the second folder\r\n\r\n"
	want[fmt.Sprintf("%s/2/%d", folder, l.append(t, folder, late))] = late
	eventually(t, "the late messages", func() bool { return l.in.count() >= len(want) })
	success := time.Now()
	eventually(t, "another comparison", func() bool { return f.Status()[0].LastSuccess.After(success) })
	got := l.in.all(t)
	for key, raw := range want {
		e, ok := got[key]
		if !ok {
			t.Errorf("message %s was not taken", key)
			continue
		}
		if string(l.in.bytes(t, e)) != raw {
			t.Errorf("message %s has other bytes", key)
		}
		if e.ID != greffe.NewMessageID(e.Origin, e.SHA256) || e.Origin.Mailbox != user || e.Refused != nil || e.At.IsZero() {
			t.Errorf("message %s: %+v", key, e)
		}
	}
	if len(got) != len(want) {
		t.Errorf("took %d messages, want %d", len(got), len(want))
	}
	in, _ := l.mail.Messages(user, "INBOX")
	for _, m := range in {
		if len(m.Flags) > 0 {
			t.Errorf("message %d was flagged %v by reading it", m.UID, m.Flags)
		}
	}
	if s := f.Status()[0]; s.Error != "" || !s.Connected || s.Waiting != len(want) {
		t.Errorf("status %+v", s)
	}
	for _, e := range got {
		archive(t, l.bus, e, greffe.StateArchived)
	}
	eventually(t, "nothing waits once all is archived", func() bool { return f.Status()[0].Waiting == 0 })
}

func TestIdleBringsNewsAtOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	f := start(t, l.bus, Config{Mailboxes: []Mailbox{l.box}, Reconcile: time.Hour})
	eventually(t, "the first comparison", func() bool { return !f.Status()[0].LastSuccess.IsZero() })
	for i := range 3 {
		l.append(t, "INBOX", "Subject: news\r\n\r\n")
		eventually(t, "the news", func() bool { return l.in.count() == i+1 })
	}
}

func TestRestartTakesNothingTwiceAndLosesNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	const n = 200
	for i := range n {
		l.append(t, "INBOX", fmt.Sprintf("Subject: %d\r\n\r\n", i))
	}
	cfg := Config{Mailboxes: []Mailbox{l.box}, Reconcile: 50 * time.Millisecond}
	// The bus drops repeats: the log tells how often a message was really taken.
	var takes counter
	counted := func(f *Fetcher) { f.boxes[0].folders[0].log = slog.New(&takes) }
	f := start(t, l.bus, cfg, counted)
	stops := 0
	for ; l.in.count() < n; stops++ {
		before := l.in.count()
		eventually(t, "some messages", func() bool { return l.in.count() > before+20 || l.in.count() == n })
		f.stop()
		f = start(t, l.bus, cfg, counted)
	}
	success := time.Now()
	eventually(t, "a full comparison", func() bool { return f.Status()[0].LastSuccess.After(success) })
	if got := l.in.all(t); len(got) != n {
		t.Errorf("took %d messages, want %d", len(got), n)
	}
	// A stop between an event and its cursor may cost the few that were under way.
	if got := int(takes.n.Load()); got > n+10*stops {
		t.Errorf("%d takes of %d messages with %d stops", got, n, stops)
	}
}

// counter counts the lines that tell of a message taken.
type counter struct {
	slog.Handler
	n atomic.Int64
}

func (c *counter) Enabled(context.Context, slog.Level) bool { return true }
func (c *counter) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "message taken" {
		c.n.Add(1)
	}
	return nil
}

func TestProcessesShareMailboxesByLease(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	cfg := Config{Mailboxes: []Mailbox{l.box}, Reconcile: 20 * time.Millisecond}
	first, second := start(t, l.bus, cfg), start(t, l.bus, cfg)
	for i := range 20 {
		l.append(t, "INBOX", fmt.Sprintf("Subject: %d\r\n\r\n", i))
	}
	eventually(t, "all messages", func() bool { return l.in.count() == 20 })
	if a, b := first.Status()[0].Connected, second.Status()[0].Connected; a == b {
		t.Errorf("connected: %v and %v, want one of them", a, b)
	}
	if second.Status()[0].Connected {
		first, second = second, first
	}
	first.stop()
	l.append(t, "INBOX", "Subject: after the first left\r\n\r\n")
	eventually(t, "the message", func() bool { return l.in.count() == 21 })
	l.in.all(t)
	if s := second.Status()[0]; s.Error != "" {
		t.Errorf("status %+v", s)
	}
}

func TestWhatIsNeverArchivedIsTakenAgainUnderTheSameID(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	kept, lost := l.append(t, "INBOX", "Subject: kept\r\n\r\n"), l.append(t, "INBOX", "Subject: lost\r\n\r\n")
	// The bus drops a repeat within its window, so the second take is seen in the log of takes.
	f := start(t, l.bus, Config{Mailboxes: []Mailbox{l.box}, Reconcile: 20 * time.Millisecond, Retake: 300 * time.Millisecond})
	eventually(t, "both", func() bool { return l.in.count() == 2 })
	for _, e := range l.in.all(t) {
		if e.Origin.UID == kept {
			archive(t, l.bus, e, greffe.StateArchived)
		}
	}
	eventually(t, "the archived one to be known", func() bool { return f.Status()[0].Waiting == 1 })
	f.stop()
	f = start(t, l.bus, Config{Mailboxes: []Mailbox{l.box}, Reconcile: 20 * time.Millisecond, Retake: 100 * time.Millisecond})
	start := time.Now()
	eventually(t, "time for a second take", func() bool { return f.Status()[0].LastSuccess.After(start.Add(400 * time.Millisecond)) })
	f.stop()
	w := f.boxes[0] // its folders may be looked at now that it has stopped
	if a := w.folders[0].taken[lost]; a.n < 2 {
		t.Errorf("the message that was not archived was taken %d times", a.n)
	}
	if _, again := w.folders[0].taken[kept]; again {
		t.Error("the archived message was taken again")
	}
	if got := l.in.all(t); len(got) != 2 {
		t.Errorf("%d ids for two messages", len(got))
	}
}

func TestUIDValidityChangeTakesAllAgainUnderNewIDs(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	const raw = "Subject: x\r\n\r\n"
	l.append(t, "INBOX", raw)
	f := start(t, l.bus, Config{Mailboxes: []Mailbox{l.box}, Reconcile: 20 * time.Millisecond})
	eventually(t, "the message", func() bool { return l.in.count() == 1 })
	if err := l.mail.DeleteFolder(user, "INBOX"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a sentence about the missing folder", func() bool { return f.Status()[0].Error != "" })
	if err := l.mail.CreateFolder(user, "INBOX"); err != nil {
		t.Fatal(err)
	}
	l.append(t, "INBOX", raw)
	eventually(t, "the message again", func() bool { return l.in.count() == 2 })
	if got := l.in.all(t); len(got) != 2 {
		t.Errorf("%d ids, want 2", len(got))
	}
	eventually(t, "all well again", func() bool { return f.Status()[0].Error == "" })
}

func TestTooLargeIsRefusedOnceAndNeverDownloaded(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	big := l.append(t, "INBOX", "Subject: big\r\n\r\n"+string(slices.Repeat([]byte("x"), 5000)))
	l.append(t, "INBOX", "Subject: small\r\n\r\n")
	f := start(t, l.bus, Config{Mailboxes: []Mailbox{l.box}, MaxSize: 4096, Reconcile: 20 * time.Millisecond})
	eventually(t, "both", func() bool { return l.in.count() == 2 })
	success := time.Now()
	eventually(t, "another comparison", func() bool { return f.Status()[0].LastSuccess.After(success) })
	got := l.in.all(t)
	e := got[fmt.Sprintf("INBOX/1/%d", big)]
	if e.Refused == nil || e.Refused.Rule != "fetch.toobig" || e.Spool != "" || e.SHA256 != "" || e.Size < 5000 {
		t.Errorf("the large message: %+v", e)
	}
}

func TestMissingFolderDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.append(t, "INBOX", "Subject: x\r\n\r\n")
	l.box.Folders = []string{"Nulle part", "INBOX"}
	f := start(t, l.bus, Config{Mailboxes: []Mailbox{l.box}, Reconcile: 50 * time.Millisecond})
	eventually(t, "the message of the other folder", func() bool { return l.in.count() == 1 })
	eventually(t, "a sentence", func() bool { return f.Status()[0].Error != "" })
	t.Log(f.Status()[0].Error)
	if err := l.mail.CreateFolder(user, "Nulle part"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all well", func() bool { return f.Status()[0].Error == "" })
}
