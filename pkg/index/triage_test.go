package index

import (
	"errors"
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

// human is a message of a person without documents.
func human(box string, uid int, kind greffe.MessageKind) greffe.Parsed {
	p := message(box, uid)
	p.Message.Kind = kind
	return p
}

// TestTriage tells what people do to a message as a whole: each decision once, with the
// counts, the cause and the journal following.
func TestTriage(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		const a, b = "a@ch.example", "b@ch.example"
		read := save(t, db, human(a, 1, greffe.KindText))
		reply := save(t, db, human(a, 2, greffe.KindReply))
		doc := save(t, db, message(a, 3, document("1", 1, maelle)))
		outcome(t, db, doc.Documents[0], greffe.Outcome{State: greffe.StateRefused, DI: "dpi", Control: "1", Code: "AE 902", At: start})
		triage := func(id string, m greffe.MessageID, verb greffe.Verb, change func(*greffe.Triaged)) bool {
			t.Helper()
			d := greffe.Triaged{ID: id, Message: m, Verb: verb, By: "claire", At: start.Add(time.Hour)}
			if change != nil {
				change(&d)
			}
			fresh, err := db.SaveTriage(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			return fresh
		}
		is := func(m greffe.MessageID, state greffe.State, cause greffe.Cause, desk string) {
			t.Helper()
			d, err := db.Message(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if d.State != state || d.Cause != cause || d.Queue.Mailbox != desk {
				t.Errorf("%s is %q for %q at %q, want %q for %q at %q", m, d.State, d.Cause, d.Queue.Mailbox, state, cause, desk)
			}
			if bad, err := db.Recount(t.Context()); err != nil || len(bad) > 0 {
				t.Errorf("counts: %v, %v", bad, err)
			}
		}
		is(read.ID, greffe.StateTodo, greffe.CauseToRead, a)
		is(reply.ID, greffe.StateTodo, greffe.CauseReply, a)
		is(doc.ID, greffe.StateRefused, greffe.CauseUnknown, a)

		if !triage("1", read.ID, greffe.VerbClose, nil) || triage("1", read.ID, greffe.VerbClose, nil) {
			t.Error("a decision is applied once")
		}
		is(read.ID, greffe.StateDismissed, "", a)
		triage("2", doc.ID, greffe.VerbClose, nil) // it has a document: that is what is decided about
		is(doc.ID, greffe.StateRefused, greffe.CauseUnknown, a)
		triage("3", read.ID, greffe.VerbReopen, nil)
		is(read.ID, greffe.StateTodo, greffe.CauseToRead, a)

		now := time.Now()
		triage("4", read.ID, greffe.VerbLater, func(d *greffe.Triaged) { d.Until = now.Add(time.Hour) })
		triage("5", reply.ID, greffe.VerbPass, func(d *greffe.Triaged) { d.To = "radia" })
		triage("6", doc.ID, greffe.VerbMove, func(d *greffe.Triaged) { d.To = b })
		is(doc.ID, greffe.StateRefused, greffe.CauseUnknown, b)
		w, err := db.Waiting(t.Context(), []string{a}, "radia", now)
		if err != nil || w.Later != 1 || w.Mine != 1 || w.Of(greffe.CauseReply, greffe.StateTodo) != 1 || w.Of(greffe.CauseToRead, greffe.StateTodo) != 0 || w.Of(greffe.CauseUnknown, greffe.StateRefused) != 0 {
			t.Errorf("waiting %+v, %v", w, err)
		}
		if w, _ = db.Waiting(t.Context(), nil, "claire", now.Add(2*time.Hour)); w.Later != 0 || w.Mine != 0 || w.Of(greffe.CauseToRead, greffe.StateTodo) != 1 || w.Of(greffe.CauseUnknown, greffe.StateRefused) != 1 {
			t.Errorf("the next day %+v", w)
		}
		// A new outcome settles what was passed on.
		outcome(t, db, doc.Documents[0], greffe.Outcome{State: greffe.StateDelivered, DI: "dpi", Control: "2", Code: "AA", At: start.Add(time.Minute)})
		is(doc.ID, greffe.StateDelivered, "", b)

		d, err := db.Message(t.Context(), read.ID)
		if err != nil || len(d.Triages) != 3 || d.Triages[2].Verb != greffe.VerbLater {
			t.Errorf("%d decisions, %v", len(d.Triages), err)
		}
		said := 0
		for _, e := range d.History {
			if e.Action == "decided" && e.Actor == "claire" {
				said++
			}
		}
		if said != 3 {
			t.Errorf("the journal has %d decisions", said)
		}
		if _, err := db.SaveTriage(t.Context(), greffe.Triaged{ID: "9", Message: "nothing"}); !errors.Is(err, ErrNotFound) {
			t.Errorf("a message that is not there: %v", err)
		}
	})
}

// TestQueueIsNarrowed finds each message by each thing it can be filtered by, led by the
// state and led by the filter.
func TestQueueIsNarrowed(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		p := message("a@ch.example", 1, document("1", 1, maelle))
		p.Received.Origin.Folder = "INBOX/Dr Martin"
		p.Received.ID = greffe.NewMessageID(p.Received.Origin, p.Received.SHA256)
		p.Documents[0].Type = greffe.Code{Code: "11488-4", Label: "Consultation"}
		p.Message.From = []greffe.Address{{Name: "Dr MARTEL", Address: "martel@cabinet.example"}}
		one := save(t, db, p)
		save(t, db, message("a@ch.example", 2, document("2", 1, maelle)))
		for name, f := range map[string]MessageFilter{
			"folder": {Places: []string{"a@ch.example/INBOX/Dr Martin"}}, "type": {Type: "11488-4"}, "sender": {Sender: greffe.MailboxKey("martel@cabinet.example")},
			"all": {Type: "11488-4", Sender: greffe.MailboxKey("martel@cabinet.example"), States: []greffe.State{greffe.StateArchived}, Places: []string{"a@ch.example", "b@ch.example/INBOX"}},
		} {
			list, _, err := db.Messages(t.Context(), f)
			if err != nil || len(list) != 1 || list[0].ID != one.ID {
				t.Errorf("%s: %d messages, %v", name, len(list), err)
			}
			for i, l := range f.walk(nil, nil).leads {
				if rows, _, err := db.along(t.Context(), f.walk(nil, nil), l, true, start); err != nil || len(rows) != 1 {
					t.Errorf("%s, lead %d: %d messages, %v", name, i, len(rows), err)
				}
			}
		}
		if list, err := db.Types(t.Context()); err != nil || len(list) == 0 {
			t.Errorf("types %v, %v", list, err)
		}
	})
}

// TestTakings: one person has a message; it ends by itself, by leaving, by taking over.
func TestTakings(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		id := save(t, db, message("a@ch.example", 1, document("1", 1, maelle))).ID
		take := func(login string, for_ time.Duration, over bool) string {
			t.Helper()
			k, err := db.Take(t.Context(), Taking{Message: id, Login: login, Name: login, Until: time.Now().Add(for_)}, over)
			if err != nil {
				t.Fatal(err)
			}
			return k.Login
		}
		if take("claire", time.Hour, false) != "claire" || take("radia", time.Hour, false) != "claire" || take("claire", time.Hour, false) != "claire" {
			t.Error("claire was first")
		}
		if take("radia", time.Hour, true) != "radia" || take("claire", time.Hour, false) != "radia" {
			t.Error("radia took over")
		}
		if list, err := db.Leave(t.Context(), "claire", id); err != nil || len(list) != 0 {
			t.Errorf("claire has nothing to leave: %v, %v", list, err)
		}
		if list, err := db.Leave(t.Context(), "radia", ""); err != nil || len(list) != 1 {
			t.Errorf("radia left %v, %v", list, err)
		}
		take("claire", -time.Second, false) // over at once
		if list, err := db.Takings(t.Context(), time.Now()); err != nil || len(list) != 0 {
			t.Errorf("%v, %v", list, err)
		}
		if take("radia", time.Hour, false) != "radia" {
			t.Error("what has ended is free")
		}
		for i, c := range []struct {
			revision int
			login    string
			want     bool
		}{{0, "claire", true}, {0, "radia", false}, {1, "radia", true}, {1, "claire", false}} {
			if got, err := db.Ask(t.Context(), "x", c.revision, c.login); err != nil || got != c.want {
				t.Errorf("%d: %v, %v", i, got, err)
			}
		}
		if err := db.Unask(t.Context(), "x", 1); err != nil {
			t.Fatal(err)
		}
		if got, err := db.Ask(t.Context(), "x", 1, "claire"); err != nil || !got {
			t.Errorf("after it was taken back: %v, %v", got, err)
		}
	})
}

func TestKept(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		for _, v := range []string{"etat=a-traiter", "etat=integre"} {
			if err := db.Keep(t.Context(), "claire", Kept{"view", "Ma vue", v}); err != nil {
				t.Fatal(err)
			}
		}
		if list, err := db.KeptBy(t.Context(), "claire"); err != nil || len(list) != 1 || list[0].Value != "etat=integre" {
			t.Errorf("%v, %v", list, err)
		}
		if list, _ := db.KeptBy(t.Context(), "radia"); len(list) != 0 {
			t.Errorf("of another person: %v", list)
		}
		if err := db.Forget(t.Context(), "claire", "view", "Ma vue"); err != nil {
			t.Fatal(err)
		}
		if list, _ := db.KeptBy(t.Context(), "claire"); len(list) != 0 {
			t.Errorf("%v", list)
		}
		if err := db.SaveSelection(t.Context(), "s", "claire", `["x"]`); err != nil {
			t.Fatal(err)
		}
		if _, err := db.TakeSelection(t.Context(), "s", "radia"); !errors.Is(err, ErrNotFound) {
			t.Errorf("of another person: %v", err)
		}
		if text, err := db.TakeSelection(t.Context(), "s", "claire"); err != nil || text != `["x"]` {
			t.Errorf("%q, %v", text, err)
		}
		if _, err := db.TakeSelection(t.Context(), "s", "claire"); !errors.Is(err, ErrNotFound) {
			t.Errorf("twice: %v", err)
		}
	})
}

// TestAReplyWithCopiesIsRead: a person's answer that carries what was received before is
// settled as documents go, and waits for a person to read what she wrote; once closed it
// stays so, whatever becomes of the copies.
func TestAReplyWithCopiesIsRead(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		const a = "a@ch.example"
		first := save(t, db, message(a, 1, document("1", 1, maelle)))
		p := message(a, 2, document("1", 1, maelle), document("2", 1, maelle))
		p.Message.Kind = greffe.KindReply
		reply := save(t, db, p)
		same := save(t, db, message(a, 3, document("1", 1, maelle))) // no person wrote beside it
		at := start
		became := func(id greffe.DocumentID, s greffe.State) greffe.State {
			t.Helper()
			at = at.Add(time.Second)
			of := greffe.DocumentID("")
			if s == greffe.StateDuplicate {
				of = first.Documents[0]
			}
			state, err := db.SaveOutcome(t.Context(), id, greffe.Outcome{State: s, Code: string(s), At: at}, of)
			if err != nil {
				t.Fatal(err)
			}
			return state
		}
		triage := func(id string, verb greffe.Verb) {
			t.Helper()
			at = at.Add(time.Second)
			if _, err := db.SaveTriage(t.Context(), greffe.Triaged{ID: id, Message: reply.ID, Verb: verb, By: "claire", At: at}); err != nil {
				t.Fatal(err)
			}
		}
		is := func(state greffe.State, cause greffe.Cause) {
			t.Helper()
			d, err := db.Message(t.Context(), reply.ID)
			if err != nil || d.State != state || d.Cause != cause {
				t.Errorf("the reply is %q for %q, want %q for %q, %v", d.State, d.Cause, state, cause, err)
			}
			if bad, err := db.Recount(t.Context()); err != nil || len(bad) > 0 {
				t.Errorf("counts: %v, %v", bad, err)
			}
		}
		if became(same.Documents[0], greffe.StateDuplicate) != greffe.StateDuplicate {
			t.Error("a copy that no person wrote about waits for one")
		}
		became(reply.Documents[0], greffe.StateDuplicate)
		triage("early", greffe.VerbLater)
		is(greffe.StateArchived, "")
		if became(reply.Documents[1], greffe.StateDuplicate) != greffe.StateTodo {
			t.Error("the notifier and the fetcher are not told that it waits")
		}
		is(greffe.StateTodo, greffe.CauseReply)
		triage("1", greffe.VerbClose)
		is(greffe.StateDismissed, "")
		triage("2", greffe.VerbReopen)
		is(greffe.StateTodo, greffe.CauseReply)
		triage("3", greffe.VerbClose)
		became(reply.Documents[1], greffe.StateTodo)
		is(greffe.StateTodo, greffe.CauseOther)
		triage("4", greffe.VerbClose) // about a document now: changes nothing
		is(greffe.StateTodo, greffe.CauseOther)
		became(reply.Documents[1], greffe.StateDuplicate)
		is(greffe.StateDismissed, "")

		// As an index of before had it.
		triage("5", greffe.VerbReopen)
		again, err := migrations.ReadFile("migrations/0190_replies.sql")
		if err != nil {
			t.Fatal(err)
		}
		statements := strings.Split(strings.TrimSuffix(strings.TrimSpace(string(again)), ";"), ";\n")
		for _, q := range append([]string{`UPDATE messages SET state = 'doublon', cause = '' WHERE kind = 'reply'`,
			`UPDATE tallies SET n = n - 1 WHERE kind = 'message' AND state = 'à traiter'`, `UPDATE tallies SET n = n + 1 WHERE kind = 'message' AND state = 'doublon'`}, statements...) {
			if err := db.update(t.Context(), func(t *tx) error { _, err := t.exec(q); return err }); err != nil {
				t.Fatal(err)
			}
		}
		is(greffe.StateTodo, greffe.CauseReply)
	})
}
