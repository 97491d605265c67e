package fetcher

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// deliver publishes an outcome of the only document of a message.
func deliver(t testing.TB, b *bus.Bus, e greffe.Received, st greffe.State) {
	t.Helper()
	d := greffe.Delivered{Document: greffe.NewDocumentID(e.ID, 1), Origin: e.Origin, Message: st,
		Outcome: greffe.Outcome{State: st, At: time.Now().UTC()}}
	if err := bus.Publish(context.Background(), b, bus.Delivered, d); err != nil {
		t.Fatal(err)
	}
}

// held returns the subjects and flags of a folder's messages.
func (l *lab) held(t testing.TB, folder string) []string {
	t.Helper()
	messages, err := l.mail.Messages(user, folder)
	if err != nil {
		return nil
	}
	var out []string
	for _, m := range messages {
		out = append(out, fmt.Sprintf("%s %v", slices.Concat(m.Raw[9:10]), m.Flags))
	}
	return out
}

// settlings returns a function that says what was told of these messages so far.
func settlings(t testing.TB, b *bus.Bus) func([]greffe.Received) []string {
	t.Helper()
	var mu sync.Mutex
	var all []greffe.Settled
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- bus.Consume(ctx, b, bus.Settled, bus.Consumer{Name: "test-settled"}, func(_ context.Context, e greffe.Settled) error {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, e)
			return nil
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return func(of []greffe.Received) []string {
		mu.Lock()
		defer mu.Unlock()
		var list []string
		for _, e := range all {
			n := slices.IndexFunc(of, func(r greffe.Received) bool { return r.ID == e.Message })
			list = append(list, fmt.Sprintf("%d %s %s", n+1, e.Mark, e.Result))
		}
		slices.Sort(list)
		return list
	}
}

func (l *lab) taken(t testing.TB, f *running, n int) []greffe.Received {
	t.Helper()
	eventually(t, "the messages", func() bool { return l.in.count() == n })
	var events []greffe.Received
	for _, e := range l.in.all(t) {
		events = append(events, e)
	}
	slices.SortFunc(events, func(a, b greffe.Received) int { return int(a.Origin.UID) - int(b.Origin.UID) })
	return events
}

func TestMessagesAreMarkedAfterTheFact(t *testing.T) {
	t.Parallel()
	for name, without := range map[string][]string{
		"MOVE": nil, "UIDPLUS only": {"MOVE"}, "neither": {"MOVE", "UIDPLUS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, without...)
			for i := range 5 {
				l.append(t, "INBOX", fmt.Sprintf("Subject: %d\r\n\r\n", i+1))
			}
			l.box.OnArchived = Mark{Keyword: "$Archived"}
			l.box.OnDelivered = Mark{Keyword: "$Done", Move: "Traités"}
			l.box.OnFailed = Mark{Move: "INBOX/À traiter"}
			told := settlings(t, l.bus)
			f := start(t, l.bus, Config{Mailboxes: []Mailbox{l.box}})
			e := l.taken(t, f, 5)
			archive(t, l.bus, e[0], greffe.StateArchived)  // on its way: only the keyword
			archive(t, l.bus, e[1], greffe.StateDismissed) // a robot's mail: final at once
			archive(t, l.bus, e[2], greffe.StateArchived)
			deliver(t, l.bus, e[2], greffe.StateWaiting) // nothing yet
			// Events of one message are handled beside each other: what comes after the move finds it gone.
			eventually(t, "what comes before the move", func() bool {
				early := slices.DeleteFunc(told(e), func(s string) bool { return s != "3 on_archived ok" })
				return len(early) == 2
			})
			deliver(t, l.bus, e[2], greffe.StateDelivered)
			archive(t, l.bus, e[3], greffe.StateTodo)
			// The fifth is not archived: it must not be touched.
			stays := func(n int, flags string) string { return fmt.Sprintf("%d %s", n, flags) }
			inbox := []string{stays(1, "[$Archived]"), stays(5, "[]")}
			if name == "neither" {
				inbox = []string{stays(1, "[$Archived]"), stays(2, `[$Archived $Done \Deleted]`),
					stays(3, `[$Archived $Done \Deleted]`), stays(4, `[$Archived \Deleted]`), stays(5, "[]")}
			}
			done := []string{"2 [$Archived $Done]", "3 [$Archived $Done]"}
			check := func() bool {
				got := l.held(t, "Traités")
				slices.Sort(got)
				return slices.Equal(l.held(t, "INBOX"), inbox) && slices.Equal(got, done) &&
					slices.Equal(l.held(t, "INBOX/À traiter"), []string{"4 [$Archived]"})
			}
			eventually(t, "the marks", check)
			want := []string{"1 on_archived ok", "2 on_delivered ok", "3 on_archived ok", "3 on_archived ok", "3 on_delivered ok", "4 on_failed ok"}
			eventually(t, "each mark to be told", func() bool { return slices.Equal(told(e), want) })
			// The same events again, as after a crash: through the handlers, because the bus drops repeats.
			s, err := newSettler(t.Context(), f.Fetcher)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			for i, st := range []greffe.State{greffe.StateArchived, greffe.StateDismissed, greffe.StateDelivered, greffe.StateTodo} {
				if err := s.settle(t.Context(), e[i].Origin, greffe.Settled{Message: e[i].ID, State: st, At: time.Now()}); err != nil {
					t.Errorf("repeat %d: %v", i+1, err)
				}
			}
			if !check() {
				t.Errorf("after the repeat: %q %q %q", l.held(t, "INBOX"), l.held(t, "Traités"), l.held(t, "INBOX/À traiter"))
			}
			if name == "neither" {
				return // the server does not say where a message went
			}
			// A person deals with the fourth: it leaves the folder of those that wait.
			deliver(t, l.bus, e[3], greffe.StateDelivered)
			eventually(t, "the fourth to be moved on", func() bool {
				return len(l.held(t, "INBOX/À traiter")) == 0 && len(l.held(t, "Traités")) == 3
			})
			// An older outcome that comes late changes nothing.
			if err := s.settle(t.Context(), e[3].Origin, greffe.Settled{Message: e[3].ID, State: greffe.StateTodo, At: time.Now().Add(-time.Hour)}); err != nil {
				t.Error(err)
			}
			if got := l.held(t, "Traités"); len(got) != 3 {
				t.Errorf("after a late outcome: %q", got)
			}
		})
	}
}

func TestMarkingIsNeverDoneToAnotherMessage(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	uid := l.append(t, "INBOX", "Subject: 1\r\n\r\n")
	l.box.OnDelivered = Mark{Move: "Traités"}
	f := start(t, l.bus, Config{Mailboxes: []Mailbox{l.box}})
	e := l.taken(t, f, 1)[0]
	f.stop()
	if err := l.mail.DeleteFolder(user, "INBOX"); err != nil {
		t.Fatal(err)
	}
	s, err := newSettler(t.Context(), f.Fetcher)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.settle(t.Context(), e.Origin, greffe.Settled{Message: e.ID, State: greffe.StateDelivered, At: time.Now()}); err != nil {
		t.Errorf("folder gone: %v", err)
	}
	if err := l.mail.CreateFolder(user, "INBOX"); err != nil {
		t.Fatal(err)
	}
	if again := l.append(t, "INBOX", "Subject: another patient\r\n\r\n"); again != uid {
		t.Fatalf("UID %d, want %d", again, uid)
	}
	if err := s.settle(t.Context(), e.Origin, greffe.Settled{Message: e.ID, State: greffe.StateDelivered, At: time.Now()}); err != nil {
		t.Errorf("folder made again: %v", err)
	}
	if got := l.held(t, "INBOX"); len(got) != 1 {
		t.Errorf("INBOX holds %q", got)
	}
}

func TestMarksWaitForAMailboxInTrouble(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.append(t, "INBOX", "Subject: 1\r\n\r\n")
	password := write(t, "secret")
	l.box.Auth.PasswordFile = password
	l.box.OnArchived = Mark{Keyword: "$Archived"}
	f := start(t, l.bus, Config{Mailboxes: []Mailbox{l.box}})
	e := l.taken(t, f, 1)[0]
	rewrite(t, password, "wrong") // for the connection that marks; the one that takes is up
	archive(t, l.bus, e, greffe.StateArchived)
	eventually(t, "taking to go on meanwhile", func() bool {
		return l.in.count() == 1 && f.Status()[0].Connected
	})
	l.append(t, "INBOX", "Subject: 2\r\n\r\n")
	eventually(t, "the second message", func() bool { return l.in.count() == 2 })
	rewrite(t, password, "secret")
	eventually(t, "the mark", func() bool { return l.held(t, "INBOX")[0] == "1 [$Archived]" })
}

func TestNothingConfiguredNothingTouched(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.append(t, "INBOX", "Subject: 1\r\n\r\n")
	f := start(t, l.bus, Config{Mailboxes: []Mailbox{l.box}, Reconcile: 20 * time.Millisecond})
	e := l.taken(t, f, 1)[0]
	archive(t, l.bus, e, greffe.StateDismissed)
	eventually(t, "the archive to be known", func() bool { return f.Status()[0].Waiting == 0 })
	if got := l.held(t, "INBOX"); !slices.Equal(got, []string{"1 []"}) {
		t.Errorf("INBOX holds %q", got)
	}
}
