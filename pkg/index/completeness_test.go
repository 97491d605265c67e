package index

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

const mailboxA = "a@ch.example"

var inboxOfA = Watched{Address: mailboxA, Folders: []string{"INBOX"}}

// listed is what the server told of the n-th messages of message().
func listed(at time.Time, complete bool, n ...int) greffe.Listed {
	l := greffe.Listed{Mailbox: mailboxA, Folder: "INBOX", UIDValidity: 1, Complete: complete, At: at}
	for _, n := range n {
		l.Messages = append(l.Messages, greffe.Sight{UID: uint32(n), InternalDate: start.Add(time.Duration(n) * time.Minute)})
	}
	return l
}

func saveListed(t testing.TB, db *DB, l greffe.Listed) {
	t.Helper()
	for range 2 { // events come again
		if err := db.SaveListed(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
}

func completeness(t testing.TB, db *DB, w Watched, day time.Time) greffe.Statement {
	t.Helper()
	s, err := db.Completeness(t.Context(), w, day)
	if err != nil {
		t.Fatal(err)
	}
	if s.Seen != s.Archived+s.Unread+s.Missing || s.Seen != s.Delivered+s.Held+s.Pending+s.Settled+s.Missing {
		t.Errorf("the counts do not add up: %+v", s)
	}
	return s
}

// TestCompleteness: what the server listed is counted against what is archived, on the
// day of its date in the time zone of the hospital.
func TestCompleteness(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		paris, err := time.LoadLocation("Europe/Paris")
		if err != nil {
			t.Fatal(err)
		}
		day := time.Date(2026, 11, 22, 0, 0, 0, 0, paris)
		evening := start.Add(12 * time.Hour)
		saveListed(t, db, listed(evening, true, 1, 2, 3, 4, 899, 900)) // 900: 23:00 UTC, the next day in Paris
		delivered := save(t, db, message(mailboxA, 1, document("1", 1, maelle)))
		outcome(t, db, delivered.Documents[0], greffe.Outcome{State: greffe.StateDelivered, At: start})
		todo := save(t, db, message(mailboxA, 2, document("2", 1, maelle)))
		outcome(t, db, todo.Documents[0], greffe.Outcome{State: greffe.StateTodo, At: start})
		save(t, db, message("b@ch.example", 3)) // of another mailbox
		big := message(mailboxA, 4).Received
		big.Refused, big.SHA256, big.ID = &greffe.Finding{Rule: "fetch.toobig"}, "", greffe.NewMessageID(big.Origin, "")
		if err := db.SaveReceived(t.Context(), big, greffe.Object{}); err != nil {
			t.Fatal(err)
		}
		save(t, db, message(mailboxA, 5)) // taken, though no list that arrived names it

		s := completeness(t, db, inboxOfA, day)
		want := greffe.Statement{Mailbox: mailboxA, Day: "2026-11-22", Seen: 6, Listed: 5, Archived: 3, Unread: 1, Delivered: 1, Held: 3, Missing: 2,
			MissingUIDs: []greffe.MissingUID{
				{Folder: "INBOX", UIDValidity: 1, UID: 3, InternalDate: start.Add(3 * time.Minute)},
				{Folder: "INBOX", UIDValidity: 1, UID: 899, InternalDate: start.Add(899 * time.Minute)}},
			Late: []string{"INBOX"}, Compared: evening, Digest: s.Digest, At: s.At}
		if !reflect.DeepEqual(s, want) {
			t.Errorf("got  %+v\nwant %+v", s, want)
		}
		if s.OK() || s.Result() != "missing" || len(s.Detail()) > 256 || strings.Contains(s.Detail(), "@") {
			t.Errorf("%v %q %q", s.OK(), s.Result(), s.Detail())
		}

		// The night's comparison, and what was late.
		saveListed(t, db, listed(evening.Add(6*time.Hour), true))
		save(t, db, message(mailboxA, 3))
		save(t, db, message(mailboxA, 899))
		if s := completeness(t, db, inboxOfA, day); !s.OK() || s.Result() != "ok" || s.Seen != 6 || s.Missing != 0 || !s.Complete {
			t.Errorf("all is there: %+v", s)
		}
		// A folder that nobody looked at leaves a doubt.
		if s := completeness(t, db, Watched{mailboxA, []string{"INBOX", "Dr Martel"}}, day); s.OK() || s.Result() != "incomplete" || !reflect.DeepEqual(s.Late, []string{"Dr Martel"}) || !s.Compared.IsZero() {
			t.Errorf("a folder was not compared: %+v", s)
		}
		if s := completeness(t, db, inboxOfA, day.AddDate(0, 0, 1)); s.Seen != 1 || s.Missing != 1 || s.Complete {
			t.Errorf("the next day: %+v", s)
		}
	})
}

// TestCompletenessOfOddMessages: a server that does not give a date, or gives a UID
// twice, neither hides a message nor makes one up.
func TestCompletenessOfOddMessages(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		day := start.Truncate(24 * time.Hour)
		// Seen with a date, taken without one.
		undated := message(mailboxA, 1)
		undated.Received.Origin.InternalDate = time.Time{}
		undated.Received.ID = greffe.NewMessageID(undated.Received.Origin, undated.Received.SHA256)
		saveListed(t, db, listed(start, true, 1))
		save(t, db, undated)
		if s := completeness(t, db, inboxOfA, day); s.Seen != 1 || s.Missing != 0 {
			t.Errorf("taken without a date: %+v", s)
		}
		// Seen without one, taken with one, of another day.
		l := listed(start, true)
		l.Messages = []greffe.Sight{{UID: 2}}
		saveListed(t, db, l)
		dated := message(mailboxA, 2)
		dated.Received.Origin.InternalDate = start.AddDate(0, 0, -1)
		dated.Received.ID = greffe.NewMessageID(dated.Received.Origin, dated.Received.SHA256)
		save(t, db, dated)
		if s := completeness(t, db, inboxOfA, day); s.Seen != 1 || s.Missing != 0 {
			t.Errorf("seen without a date: %+v", s)
		}
		if s := completeness(t, db, inboxOfA, day.AddDate(0, 0, -1)); s.Seen != 1 || s.Archived != 1 {
			t.Errorf("the day before: %+v", s)
		}
		// A UID given again is another message.
		save(t, db, message(mailboxA, 3))
		again := listed(start, true, 3)
		again.Messages[0].InternalDate = again.Messages[0].InternalDate.Add(time.Hour)
		saveListed(t, db, again)
		if s := completeness(t, db, inboxOfA, day); s.Seen != 3 || s.Missing != 1 {
			t.Errorf("a UID given twice: %+v", s)
		}
		// What was eliminated after its retention was archived.
		if _, err := db.write.ExecContext(t.Context(), `UPDATE listed SET message_id = $1 WHERE uid = 1`, "00000000000000000000000000"); err != nil {
			t.Fatal(err)
		}
		if s := completeness(t, db, inboxOfA, day); s.Missing != 1 {
			t.Errorf("eliminated: %+v", s)
		}
	})
}

// TestStatements: each ended day of a mailbox is stated once, and again when what is
// said of it changed; the journal holds each statement without the address.
func TestStatements(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		day := start.Truncate(24 * time.Hour)
		today := day.AddDate(0, 0, 3)
		due := func(want ...time.Time) {
			t.Helper()
			got, err := db.DaysToState(t.Context(), inboxOfA, today)
			if err != nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
				t.Errorf("days to state: %v %v, want %v", got, err, want)
			}
		}
		state := func(day time.Time, want bool) {
			t.Helper()
			s := completeness(t, db, inboxOfA, day)
			s.At = s.At.Add(time.Second) // the rows before are of before, even on a fast machine
			if written, err := db.SaveStatement(t.Context(), s, day); err != nil || written != want {
				t.Errorf("%s: written %v %v, want %v", s.Day, written, err, want)
			}
		}
		due()
		saveListed(t, db, listed(start, true, 1, 2))
		saveListed(t, db, listed(today.Add(time.Minute), true))
		save(t, db, message(mailboxA, 1))
		due(day, day.AddDate(0, 0, 1), day.AddDate(0, 0, 2))
		state(day, true)
		state(day.AddDate(0, 0, 1), true)
		state(day.AddDate(0, 0, 2), true)
		due()
		state(day, false) // another storage service says the same

		_, doubtful, err := db.Statements(t.Context(), "2026-11-24")
		if err != nil || len(doubtful) != 1 || doubtful[0].Day != "2026-11-22" || doubtful[0].Missing != 1 {
			t.Errorf("%+v %v", doubtful, err)
		}
		save(t, db, message(mailboxA, 2)) // late
		due(day)
		state(day, true)
		due()
		of, doubtful, err := db.Statements(t.Context(), "2026-11-22")
		if err != nil || len(doubtful) != 0 || len(of) != 1 || !of[0].OK() || of[0].Seen != 2 {
			t.Errorf("%+v %+v %v", of, doubtful, err)
		}
		var said []string
		for _, e := range journal(t, db) {
			if e.Action == "stated" {
				said = append(said, e.Detail[:10]+" "+e.Result)
				if e.Subject != greffe.MailboxKey(mailboxA) || strings.Contains(e.Detail, "@") {
					t.Errorf("%+v", e)
				}
			}
		}
		if want := []string{"2026-11-22 missing", "2026-11-23 ok", "2026-11-24 ok", "2026-11-22 ok"}; !reflect.DeepEqual(said, want) {
			t.Errorf("%q, want %q", said, want)
		}
	})
}
