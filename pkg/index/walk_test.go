package index

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

// made is a document of TestWalksFindTheSame with all that it is searched by.
type made struct {
	id                                greffe.DocumentID
	message                           greffe.MessageID
	at                                int
	mailbox, folder, desk, tray       string
	name, birth, ins, sender, doctype string
	state                             greffe.State
	format                            greffe.Format
	subject                           string
	header                            string
	received, archived, dated         time.Time
}

// TestWalksFindTheSame searches by every combination of a few criteria, drawn at random,
// with a reach so short that pages end before they are full, forwards and backwards: each
// finds what a look at each document finds, in its order, nothing twice.
func TestWalksFindTheSame(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		r := rand.New(rand.NewPCG(7, 11))
		pick := func(list ...string) string { return list[r.IntN(len(list))] }
		boxes := []string{"a@ch.example", "b@ch.example", "c@ch.example"}
		var all []made
		for i := range 120 {
			d := made{at: i, mailbox: pick(boxes...), folder: pick("INBOX", "INBOX/Dr Martin"), name: pick("MARTIN", "MARTINEAU", "LE GOFF", "ŒUVRARD-LEFÈVRE"),
				birth: pick("19500101", "19850214"), ins: pick("150012999900163", "285022999907751", "299999999999999"), sender: pick("martel@cabinet.example", "labo@bio.example", "labo2@bio.example"),
				doctype: pick("11488-4", "11502-2"), format: greffe.Format(pick("cda-n1", "pdf")), subject: pick("Compte rendu", "Résultats", "Lettre"), header: fmt.Sprintf("m%d@x.example", i/3)}
			d.desk, d.tray = d.mailbox, d.folder
			f := document(fmt.Sprint(i), 1, patient(d.name, "", "ANNE", d.birth, d.ins))
			f.Format, f.Type.Code, f.Created = d.format, d.doctype, start.AddDate(0, 0, -r.IntN(5)).Format("20060102")+"1030"
			f.Title = "x"
			p := message(d.mailbox, i+1, f)
			p.Message.From, p.Message.Subject, p.Message.MessageIDs = []greffe.Address{{Name: "", Address: d.sender}}, d.subject, []string{d.header}
			p.Received.Origin.Folder, p.Received.At = d.folder, start.Add(time.Duration(i/2)*time.Hour) // two at once
			p.Received.ID = greffe.NewMessageID(p.Received.Origin, p.Received.SHA256)
			a := save(t, db, p)
			d.id, d.message, d.received, d.dated = a.Documents[0], a.ID, p.Received.At, dayOf(f.Created)
			d.state = greffe.State(pick(string(greffe.StateTodo), string(greffe.StateDelivered), string(greffe.StateDelivered)))
			outcome(t, db, d.id, greffe.Outcome{State: d.state, At: start})
			if r.IntN(5) == 0 { // passed to another service
				d.desk, d.tray = pick(boxes...), "INBOX"
				if d.desk == d.mailbox {
					d.tray = d.folder
				} else if _, err := db.SaveTriage(t.Context(), greffe.Triaged{ID: fmt.Sprint("t", i), Message: a.ID, Verb: greffe.VerbMove, To: d.desk, By: "claire", At: start}); err != nil {
					t.Fatal(err)
				}
			}
			stored, err := db.Document(t.Context(), d.id)
			if err != nil {
				t.Fatal(err)
			}
			d.archived = stored.ArchivedAt
			all = append(all, d)
		}
		within := func(places []string, mailbox, folder string) bool {
			return Within(places, greffe.Origin{Mailbox: mailbox, Folder: folder})
		}
		between := func(at, from, to time.Time) bool {
			return (from.IsZero() || !at.Before(from)) && (to.IsZero() || at.Before(to))
		}
		for _, reach := range []reach{defaultReach, {5, 30, 40}, {1, 6, 8}} {
			db.reach = reach
			for n := range 25 {
				var f DocumentFilter
				var q MessageFilter
				some := func(set func()) {
					if r.IntN(4) == 0 {
						set()
					}
				}
				some(func() { f.Name = pick("mart", "martin", "le g", "oeuvrard lef", "ma") })
				some(func() { f.BirthDate = pick("19500101", "19850214") })
				some(func() { f.INS = pick("150012999900163", "2850229999077", "299999999999999") })
				some(func() { f.Sender = pick("labo", "martel@cabinet.example", "example", "bio lab") })
				some(func() { f.Type = pick("11488-4", "11502-2"); q.Type = f.Type })
				some(func() { f.Format = greffe.Format(pick("cda-n1", "pdf")) })
				some(func() {
					f.State = greffe.State(pick(string(greffe.StateTodo), string(greffe.StateDelivered)))
					q.States = []greffe.State{f.State}
				})
				some(func() { f.MessageID = pick("<m3@x.example>", "m12@x.example") })
				some(func() {
					f.Places = [][]string{{"a@ch.example"}, {"b@ch.example", "c@ch.example"}, {"a@ch.example/INBOX/Dr Martin"}, {Nowhere}}[r.IntN(4)]
				})
				some(func() {
					f.From = start.Add(time.Duration(r.IntN(40)) * time.Hour)
					f.To = f.From.Add(20 * time.Hour)
					q.From, q.To = f.From, f.To
				})
				some(func() { f.DatedFrom = start.AddDate(0, 0, -r.IntN(5)).Truncate(24 * time.Hour) })
				some(func() { f.ArchivedTo = all[60].archived })
				some(func() { q.Sender = greffe.MailboxKey(pick("labo@bio.example", "martel@cabinet.example")) })
				some(func() { q.Text = pick("res", "lettre", "compte r", "martel", "mart labo") })
				q.Places = f.Places
				var want, wantQueue []made
				for _, d := range all {
					family, words := normalise(d.name), searchWords(d.sender)
					ok := (f.Name == "" || strings.HasPrefix(family, f.Name)) && (f.BirthDate == "" || d.birth == f.BirthDate) && strings.HasPrefix(d.ins, f.INS) &&
						(f.Type == "" || d.doctype == f.Type) && (f.Format == "" || d.format == f.Format) && (f.State == "" || d.state == f.State) &&
						(f.MessageID == "" || d.header == strings.Trim(f.MessageID, "<>")) && (within(f.Places, d.mailbox, d.folder) || within(f.Places, d.desk, d.tray)) &&
						between(d.received, f.From, f.To) && between(d.dated, f.DatedFrom, f.DatedTo) && between(d.archived, f.ArchivedFrom, f.ArchivedTo)
					for _, typed := range searchWords(f.Sender) {
						ok = ok && slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, typed) })
					}
					if ok {
						want = append(want, d)
					}
					ok = within(q.Places, d.desk, d.tray) && (len(q.States) == 0 || q.States[0] == d.state) && (q.Type == "" || q.Type == d.doctype) &&
						(q.Sender == "" || q.Sender == greffe.MailboxKey(d.sender)) && between(d.received, q.From, q.To)
					words = searchWords(d.subject, d.sender, d.name, "ANNE", "x")
					for _, typed := range searchWords(q.Text) {
						ok = ok && slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, typed) })
					}
					if ok {
						wantQueue = append(wantQueue, d)
					}
				}
				at := map[string]func(made) time.Time{"received_at": func(d made) time.Time { return d.received }, "dated_at": func(d made) time.Time { return d.dated }, "archived_at": func(d made) time.Time { return d.archived }}[f.order()]
				slices.SortFunc(want, func(a, b made) int {
					if c := at(b).Compare(at(a)); c != 0 {
						return c
					}
					return strings.Compare(string(b.id), string(a.id))
				})
				slices.SortFunc(wantQueue, func(a, b made) int {
					if c := b.received.Compare(a.received); c != 0 {
						return c
					}
					return strings.Compare(string(b.message), string(a.message))
				})
				name := fmt.Sprintf("reach %v, search %d %+v", reach, n, f)
				f.Limit = 1 + r.IntN(9)
				q.Limit = f.Limit
				found := func(backwards bool) (list []string) {
					f := f
					for pages := 0; ; pages++ {
						docs, next, err := db.Documents(t.Context(), f)
						if err != nil || pages > 200 {
							t.Fatalf("%s: %v after %d pages", name, err, pages)
						}
						if len(docs) > f.Limit {
							t.Fatalf("%s: a page of %d", name, len(docs))
						}
						var page []string
						for i := range docs {
							page = append(page, string(docs[i].ID))
						}
						if backwards {
							list = append(page, list...)
						} else {
							list = append(list, page...)
						}
						if next == "" {
							return list
						}
						if f.Before = next; backwards {
							f.Before, f.After = "", next
						}
					}
				}
				var ids, queue []string
				for _, d := range want {
					ids = append(ids, string(d.id))
				}
				for _, d := range wantQueue {
					queue = append(queue, string(d.message))
				}
				if got := found(false); !slices.Equal(got, ids) {
					t.Errorf("%s: found %d documents, want %d", name, len(got), len(ids))
				}
				if len(want) > 0 { // back from the last to the first
					last, err := db.Document(t.Context(), want[len(want)-1].id)
					if err != nil {
						t.Fatal(err)
					}
					f.After = f.Cursor(&last)
					if got := found(true); !slices.Equal(got, ids[:len(ids)-1]) {
						t.Errorf("%s: found %d documents backwards, want %d", name, len(got), len(ids)-1)
					}
				}
				var got []string
				for pages := 0; ; pages++ {
					list, next, err := db.Messages(t.Context(), q)
					if err != nil || pages > 200 {
						t.Fatalf("%+v: %v after %d pages", q, err, pages)
					}
					for _, m := range list {
						got = append(got, string(m.ID))
					}
					if q.Before = next; next == "" {
						break
					}
				}
				q.Before = ""
				for _, d := range all {
					m, err := db.Message(t.Context(), d.message)
					if err != nil {
						t.Fatal(err)
					}
					if kept := q.Keeps(FacetOf(&m)); kept != slices.Contains(queue, string(d.message)) {
						t.Errorf("queue %+v keeps %s: %v", q, d.message, kept)
					}
				}
				if !slices.Equal(got, queue) {
					t.Errorf("reach %v, queue %+v: found %d messages, want %d", reach, q, len(got), len(queue))
				}
			}
		}
	})
}

// TestABusyMailboxHidesNoRow: when the newest rows of one mailbox are all of another type,
// a page is not filled from beyond them with those of a quieter mailbox.
func TestABusyMailboxHidesNoRow(t *testing.T) {
	onBoth(t, func(t *testing.T, db *DB) {
		db.reach = reach{1, 30, 40}
		uid := 0
		var want []string
		put := func(box, doctype string, ago time.Duration) {
			uid++
			f := document(fmt.Sprint(uid), 1, maelle)
			f.Type.Code = doctype
			p := message(box, uid, f)
			p.Received.At = start.Add(-ago)
			p.Received.ID = greffe.NewMessageID(p.Received.Origin, p.Received.SHA256)
			if a := save(t, db, p); box != "other@ch.example" && doctype == "11502-2" {
				want = append(want, string(a.ID))
			}
		}
		for i := range 60 { // so that the type alone leads nowhere
			put("other@ch.example", "11502-2", time.Duration(i)*time.Second)
		}
		for i := range 40 {
			put("busy@ch.example", "11488-4", time.Duration(i)*time.Minute)
		}
		for i := range 10 {
			put("busy@ch.example", "11502-2", time.Hour+time.Duration(i)*time.Hour)
			put("quiet@ch.example", "11502-2", time.Hour+time.Duration(i)*time.Hour+time.Minute)
		}
		for _, f := range []MessageFilter{{Type: "11502-2"}, {Text: "kervella essai"}} {
			f.Places, f.Limit = []string{"busy@ch.example", "quiet@ch.example"}, 5
			var got []string
			for pages := 0; pages < 100; pages++ {
				list, next, err := db.Messages(t.Context(), f)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range list {
					if f.Type == "" || m.Documents[0].Facts.Type.Code == f.Type {
						got = append(got, string(m.ID))
					}
				}
				if f.Before = next; next == "" {
					break
				}
			}
			if f.Type != "" && !slices.Equal(got, want) || f.Type == "" && len(got) != 60 {
				t.Errorf("%+v: found %d messages, want %d", f, len(got), len(want))
			}
		}
	})
}
