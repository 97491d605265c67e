package index

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

var maelle = patient("ESSAI-KERVELLA", "MARTIN", "MAELLE ANNE", "19850214", "285022999907751")

func TestFactsComeBackAsTheyWereSaved(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		p := message("a@ch.example", 1, document("1", 1, maelle), document("2", 1, maelle))
		p.Documents[1].Body = "1" // any part that has an object
		a := save(t, db, p)
		if a.State != greffe.StateArchived || len(a.Documents) != 2 || a.Manifest != manifestOf(p) {
			t.Fatalf("archived: %+v", a)
		}
		m, err := db.Message(t.Context(), p.Received.ID)
		if err != nil {
			t.Fatal(err)
		}
		if m.Parsed == nil || !reflect.DeepEqual(*m.Parsed, p) {
			t.Errorf("parsed: got %+v, want %+v", m.Parsed, p)
		}
		if mail, err := db.Mail(t.Context(), p.Received.ID); err != nil || !reflect.DeepEqual(mail, p.Message) {
			t.Errorf("mail: got %+v, %v, want %+v", mail, err, p.Message)
		}
		if !reflect.DeepEqual(m.Received, p.Received) || m.Raw != rawOf(p) || m.Manifest != manifestOf(p) || !reflect.DeepEqual(m.Objects, objects(p)) {
			t.Errorf("objects: %+v", m)
		}
		if m.From != "Dr Yvon MARTEL" || m.MessageID != "m1@cabinet.example" || m.Origin != p.Received.Origin || !m.ReceivedAt.Equal(p.Received.At) || !m.ArchivedAt.Equal(a.At) {
			t.Errorf("row: %+v", m.Message)
		}
		d, err := db.Document(t.Context(), a.Documents[1])
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(d.Facts, p.Documents[1]) || d.Object != objects(p)["2"] || d.BodyObject != objects(p)["1"] || d.Origin != p.Received.Origin ||
			d.Identity != p.Documents[1].Identity() || d.State != greffe.StateArchived {
			t.Errorf("document: %+v", d)
		}
		if len(m.Documents) != 2 || !reflect.DeepEqual(m.Documents[1], d) {
			t.Errorf("documents of the message: %+v", m.Documents)
		}
		for _, err := range []error{
			second(db.Message(t.Context(), "nope")), second(db.Mail(t.Context(), "nope")), second(db.Document(t.Context(), "nope")),
			second(db.Holder(t.Context(), "nope")), second(db.User(t.Context(), "nope")),
			second(db.SaveOutcome(t.Context(), "nope-1", greffe.Outcome{State: greffe.StateTodo}, "")),
			second(db.SaveDecision(t.Context(), greffe.Decided{ID: "1", Document: "nope-1"})), db.DeleteUser(t.Context(), "nope"),
		} {
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("got %v, want ErrNotFound", err)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestRepeatingAFactChangesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		p := message("a@ch.example", 1, document("1", 1, maelle))
		first := save(t, db, p)
		o := greffe.Outcome{DI: "dpi", Action: "T02", Control: "c1", State: greffe.StateDelivered, Code: "AA", At: start}
		if got := outcome(t, db, first.Documents[0], o); got != greffe.StateDelivered {
			t.Fatalf("message is %s", got)
		}
		before := journal(t, db)
		for range 2 {
			if again := save(t, db, p); !reflect.DeepEqual(again, first) {
				t.Errorf("repeat returned %+v, want %+v", again, first)
			}
			if got := outcome(t, db, first.Documents[0], o); got != greffe.StateDelivered {
				t.Errorf("message is %s", got)
			}
		}
		if after := journal(t, db); len(after) != len(before) {
			t.Errorf("journal grew from %d to %d entries", len(before), len(after))
		}
		messages, documents, err := db.Tally(t.Context())
		if err != nil || !reflect.DeepEqual(messages, map[greffe.State]int{greffe.StateDelivered: 1}) ||
			!reflect.DeepEqual(documents, map[greffe.State]int{greffe.StateDelivered: 1}) {
			t.Errorf("tally %v %v %v", messages, documents, err)
		}
	})
}

// The raw message and what was read in it come by two ways; either may be first.
func TestArchivedMayComeBeforeReceived(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		p := message("a@ch.example", 1, document("1", 1, maelle))
		if _, err := db.SaveArchived(t.Context(), p, manifestOf(p), rawOf(p), objects(p)); err != nil {
			t.Fatal(err)
		}
		if err := db.SaveReceived(t.Context(), p.Received, rawOf(p)); err != nil {
			t.Fatal(err)
		}
		var actions []string
		for _, e := range journal(t, db) {
			actions = append(actions, e.Action)
		}
		if want := []string{"received", "parsed", "archived", "archived"}; !slices.Equal(actions, want) {
			t.Errorf("journal %v, want %v", actions, want)
		}
		if counts, err := db.Counts(t.Context(), nil); err != nil || counts[greffe.StateArchived] != 1 || len(counts) != 1 {
			t.Errorf("counts %v %v", counts, err)
		}
	})
}

func TestARefusedMessageIsShown(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		p := message("a@ch.example", 1)
		p.Received.SHA256 = ""
		p.Received.Refused = &greffe.Finding{Rule: "fetch.size", Severity: greffe.Refuse, Text: "Message trop volumineux."}
		if err := db.SaveReceived(t.Context(), p.Received, greffe.Object{}); err != nil {
			t.Fatal(err)
		}
		m, err := db.Message(t.Context(), p.Received.ID)
		if err != nil || m.State != greffe.StateTodo || m.Kind != greffe.KindUnread || m.Parsed != nil || m.Received.Refused == nil {
			t.Fatalf("%+v %v", m, err)
		}
		p.Message = greffe.Message{Kind: greffe.KindUnread}
		a, err := db.SaveArchived(t.Context(), p, manifestOf(p), greffe.Object{}, nil)
		if err != nil || a.State != greffe.StateTodo {
			t.Fatalf("%+v %v", a, err)
		}
		if counts, err := db.Counts(t.Context(), nil); err != nil || !reflect.DeepEqual(counts, map[greffe.State]int{greffe.StateTodo: 1}) {
			t.Errorf("counts %v %v", counts, err)
		}
	})
}

func TestStatesFollowOutcomes(t *testing.T) {
	at := func(minute int) time.Time { return start.Add(time.Duration(minute) * time.Minute) }
	type step struct {
		doc     int
		o       greffe.Outcome
		doc2    greffe.State // of the document after the step
		message greffe.State
	}
	for name, steps := range map[string][]step{
		"one waits, then all are in": {
			{0, greffe.Outcome{State: greffe.StateDelivered, Code: "AA", At: at(1)}, greffe.StateDelivered, greffe.StateArchived},
			{1, greffe.Outcome{State: greffe.StateWaiting, Code: "AR", At: at(1)}, greffe.StateWaiting, greffe.StateWaiting},
			{1, greffe.Outcome{State: greffe.StateDelivered, Code: "AA", At: at(2)}, greffe.StateDelivered, greffe.StateDelivered},
		},
		"the most pressing shows": {
			{0, greffe.Outcome{State: greffe.StateRefused, Code: "AE 902", At: at(1)}, greffe.StateRefused, greffe.StateRefused},
			{1, greffe.Outcome{State: greffe.StateTodo, Text: "Sans INS", At: at(1)}, greffe.StateTodo, greffe.StateTodo},
			{1, greffe.Outcome{State: greffe.StateDismissed, At: at(2)}, greffe.StateDismissed, greffe.StateRefused},
		},
		"a late answer does not undo": {
			{0, greffe.Outcome{State: greffe.StateDelivered, Code: "AA", At: at(5)}, greffe.StateDelivered, greffe.StateArchived},
			{0, greffe.Outcome{State: greffe.StateWaiting, Code: "AR", At: at(4)}, greffe.StateDelivered, greffe.StateArchived},
			{0, greffe.Outcome{State: greffe.StateWaiting, Code: "AR", At: at(4)}, greffe.StateDelivered, greffe.StateArchived},
			{0, greffe.Outcome{State: greffe.StateArchived, At: at(6)}, greffe.StateDelivered, greffe.StateArchived},
			{0, greffe.Outcome{State: greffe.StateRefused, Code: "AE 906", At: at(7)}, greffe.StateRefused, greffe.StateRefused},
		},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, db *DB) {
				a := save(t, db, message("a@ch.example", 1, document("1", 1, maelle), document("2", 1, maelle)))
				for i, s := range steps {
					if got := outcome(t, db, a.Documents[s.doc], s.o); got != s.message {
						t.Errorf("step %d: message is %s, want %s", i, got, s.message)
					}
					d, err := db.Document(t.Context(), a.Documents[s.doc])
					if err != nil || d.State != s.doc2 {
						t.Errorf("step %d: document is %s, want %s (%v)", i, d.State, s.doc2, err)
					}
					if d.State == s.o.State && (!reflect.DeepEqual(d.Outcome, s.o) || d.Reason != s.o.Text || !d.DecidedAt.Equal(s.o.At)) {
						t.Errorf("step %d: %+v", i, d)
					}
				}
				m, err := db.Message(t.Context(), a.ID)
				if err != nil || !slices.IsSortedFunc(m.Outcomes, func(a, b Attempt) int { return a.Outcome.At.Compare(b.Outcome.At) }) {
					t.Errorf("attempts %+v %v", m.Outcomes, err)
				}
				checkTallies(t, db)
				if err := db.VerifyJournal(t.Context(), nil); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// checkTallies compares the kept counts with the rows.
func checkTallies(t *testing.T, db *DB) {
	t.Helper()
	messages, documents, err := db.Tally(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for table, kept := range map[string]map[greffe.State]int{"messages": messages, "documents": documents} {
		rows, err := db.read.QueryContext(t.Context(), `SELECT state, COUNT(*) FROM `+table+` GROUP BY state`)
		if err != nil {
			t.Fatal(err)
		}
		counted := map[greffe.State]int{}
		for rows.Next() {
			var s greffe.State
			var n int
			if err := rows.Scan(&s, &n); err != nil {
				t.Fatal(err)
			}
			counted[s] = n
		}
		rows.Close()
		if !reflect.DeepEqual(kept, counted) {
			t.Errorf("%s: kept %v, counted %v", table, kept, counted)
		}
	}
}

func TestMessagesWithoutDocuments(t *testing.T) {
	for kind, want := range map[greffe.MessageKind]greffe.State{greffe.KindMDN: greffe.StateDismissed, greffe.KindText: greffe.StateTodo} {
		t.Run(string(kind), func(t *testing.T) {
			onBoth(t, func(t *testing.T, db *DB) {
				p := message("a@ch.example", 1)
				p.Message.Kind = kind
				if a := save(t, db, p); a.State != want {
					t.Errorf("state %s, want %s", a.State, want)
				}
			})
		})
	}
}

func TestDecisionsAreRecordedOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		a := save(t, db, message("a@ch.example", 1, document("1", 1, maelle)))
		d := greffe.Decided{ID: "d1", Document: a.Documents[0], Verb: greffe.VerbDismiss, Reason: "Patient décédé", By: "anne", At: start}
		for i := range 3 {
			if ok, err := db.SaveDecision(t.Context(), d); err != nil || ok != (i == 0) {
				t.Errorf("call %d: %v %v", i, ok, err)
			}
		}
		m, err := db.Message(t.Context(), a.ID)
		if err != nil || len(m.Decisions) != 1 || !reflect.DeepEqual(m.Decisions[0], d) {
			t.Errorf("decisions %+v %v", m.Decisions, err)
		}
		last := m.History[len(m.History)-1]
		if last.Actor != "anne" || last.Action != "decided" || last.Subject != string(a.Documents[0]) || strings.Contains(last.Detail, "décédé") {
			t.Errorf("entry %+v", last)
		}
	})
}

func TestTheFirstClaimWins(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		const n = 8
		winners := make(chan greffe.DocumentID, n)
		for i := range n {
			go func() {
				w, err := db.Claim(t.Context(), "identity", greffe.NewDocumentID("m", i+1))
				if err != nil {
					t.Error(err)
				}
				winners <- w
			}()
		}
		first := <-winners
		for range n - 1 {
			if w := <-winners; w != first {
				t.Errorf("two winners: %s and %s", first, w)
			}
		}
		if w, err := db.Holder(t.Context(), "identity"); err != nil || w != first {
			t.Errorf("holder %s %v", w, err)
		}
	})
}

func TestLineageAndUniqueID(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		v2 := save(t, db, message("a@ch.example", 1, document("7", 2, maelle)))
		v1 := save(t, db, message("a@ch.example", 2, document("7", 1, maelle)))
		huge := document("8", 1, maelle)
		huge.UniqueID.Extension = strings.Repeat("9", 100_000)
		big := save(t, db, message("a@ch.example", 3, huge))
		d := document("7", 1, maelle)
		list, err := db.SameLineage(t.Context(), d.Lineage())
		if err != nil || len(list) != 2 || list[0].ID != v2.Documents[0] || list[1].ID != v1.Documents[0] {
			t.Errorf("lineage %v %v", list, err)
		}
		list, err = db.WithUniqueID(t.Context(), d.UniqueID)
		if err != nil || len(list) != 1 || list[0].ID != v1.Documents[0] {
			t.Errorf("unique id %v %v", list, err)
		}
		list, err = db.WithUniqueID(t.Context(), huge.UniqueID)
		if err != nil || len(list) != 1 || list[0].ID != big.Documents[0] {
			t.Errorf("huge unique id %v %v", list, err)
		}
		if list, err := db.WithUniqueID(t.Context(), greffe.OID{}); err != nil || len(list) != 0 {
			t.Errorf("zero id %v %v", list, err)
		}
	})
}

// Text from outside that a database would refuse.
func TestHostileText(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		d := document("1", 1, patient("ESSAI\x00\xff", strings.Repeat("É", 5000), "MAELLE%_", "1985021400000", "285 022\x00"))
		d.Title = strings.Repeat("mot\x00 ", 10_000)
		p := message("a@ch.example", 1, d)
		p.Message.Subject = "Objet\x00 \xff\xfe" + strings.Repeat("é ", 3000)
		p.Message.From = []greffe.Address{{Name: "\x00", Address: strings.Repeat("x", 100_000)}}
		a := save(t, db, p)
		list, _, err := db.Documents(t.Context(), DocumentFilter{Name: "essai mae"})
		if err != nil || len(list) != 1 || list[0].ID != a.Documents[0] {
			t.Errorf("%v %v", list, err)
		}
		for _, hostile := range []string{"%", "_\x00'; --", strings.Repeat("z ", 10_000), "\xff\xff"} {
			if _, _, err := db.Messages(t.Context(), MessageFilter{Text: hostile}); err != nil {
				t.Errorf("text %.20q: %v", hostile, err)
			}
			if _, _, err := db.Documents(t.Context(), DocumentFilter{Name: hostile}); err != nil && !errors.Is(err, ErrTooShort) {
				t.Errorf("name %.20q: %v", hostile, err)
			}
			if _, _, err := db.Documents(t.Context(), DocumentFilter{INS: hostile, BirthDate: hostile}); err != nil && !errors.Is(err, ErrTooShort) {
				t.Errorf("ins %.20q: %v", hostile, err)
			}
			if _, _, err := db.Messages(t.Context(), MessageFilter{Before: hostile}); !errors.Is(err, ErrCursor) {
				t.Errorf("cursor %.20q: %v", hostile, err)
			}
			if _, err := db.User(t.Context(), hostile); !errors.Is(err, ErrNotFound) {
				t.Errorf("user %.20q: %v", hostile, err)
			}
			if _, err := db.Message(t.Context(), greffe.MessageID(hostile)); !errors.Is(err, ErrNotFound) {
				t.Errorf("message %.20q: %v", hostile, err)
			}
		}
	})
}

func TestUnsettledDocumentsAreThoseAMachineHasToSettle(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		a := save(t, db, message("a@ch.example", 1, document("1", 1, maelle), document("2", 1, maelle), document("3", 1, maelle), document("4", 1, maelle)))
		now := time.Now().UTC().Truncate(time.Millisecond)
		for n, s := range map[int]greffe.State{1: greffe.StateWaiting, 2: greffe.StateDelivered} {
			if _, err := db.SaveOutcome(t.Context(), a.Documents[n], greffe.Outcome{State: s, Code: "x", Control: "G", At: now}, ""); err != nil {
				t.Fatal(err)
			}
		}
		before, after := now.Add(-time.Hour), now.Add(time.Hour)
		if _, err := db.Route(t.Context(), a.Documents[3], "", []string{"dpi"}, now, ""); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			archived time.Time
			after    greffe.DocumentID
			want     []greffe.DocumentID
		}{
			{before, "", nil},
			{after, "", a.Documents[:1]},
			{after, a.Documents[0], nil},
		} {
			list, err := db.Unsettled(t.Context(), c.archived, c.after)
			if err != nil {
				t.Fatal(err)
			}
			var got []greffe.DocumentID
			for _, u := range list {
				got = append(got, u.ID)
				if u.Mailbox != "a@ch.example" {
					t.Errorf("mailbox %q", u.Mailbox)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		}
	})
}
