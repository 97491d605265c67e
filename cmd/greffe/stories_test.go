package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/pkg/sandbox"
	"greffe/services/storage"
)

// The stories: what people rely on, told once and run in each deployment, on one
// installation that has taken every sample.
var stories = []struct {
	name string
	tell func(t *testing.T, s *scene)
}{
	{"every sample ends as its reader expects", everySample},
	{"the DI holds each document once, for its patient", diHoldsEachOnce},
	{"the mailbox shows what became of each message", mailboxIsMarked},
	{"the secretary sees the queue and reads a document", secretaryReads},
	{"the auditor finds a patient's documents and gets the archived bytes", auditorFinds},
	{"the auditor takes a proof that holds by itself", auditorProves},
	{"the auditor has a message verified on the spot", auditorVerifies},
	{"senders get the one answer that is due", sendersAreAnswered},
	{"who writes to a mailbox that nobody reads is heard", personsAreHeard},
	{"an answer that did not arrive is shown to a person", failuresAreShown},
	{"what each server listed is archived, day by day", daysAreComplete},
	{"a copy is one document on screen, two files in the archive", twinsAreArchived},
	{"every act is in the journal", everyActIsJournalled},
}

// scene is an installation in which every sample has been through.
type scene struct {
	*installation
	samples []sandbox.Sample
	details map[string]index.Detail // by sample name
	came    []index.Message         // what else came: forwards of ours, and reports about what we sent
}

func TestStories(t *testing.T) {
	t.Parallel()
	for _, dep := range deployments {
		t.Run(dep.name, func(t *testing.T) {
			t.Parallel()
			s := &scene{installation: install(t, dep), samples: sandbox.Samples(sandbox.SampleOptions{Now: time.Now()}), details: map[string]index.Detail{}}
			s.addRIS()
			uids := map[string]uint32{}
			s.send(uids, false)
			s.start()
			defer s.halt()
			s.settled(len(uids))
			s.idle()
			s.send(uids, true)
			s.settled(len(s.samples))
			s.idle()
			s.until("what we sent to our own mailboxes is there, too", func() (bool, string) {
				n := 0
				messages, _, err := s.db().Tally(context.Background())
				for state, k := range messages {
					if state.Final() {
						n += k
					}
				}
				return err == nil && n == len(s.samples)+s.local(), fmt.Sprint(messages, s.local(), err)
			})
			s.idle()
			s.read(uids)
			for _, story := range stories {
				t.Run(story.name, func(t *testing.T) { story.tell(t, s) })
			}
			// A restart finds nothing to do: nothing comes twice.
			before, answers := s.di.Stats(), len(s.out.Sent())
			s.halt()
			s.start()
			s.idle()
			if after := s.di.Stats(); after.Messages != before.Messages {
				t.Errorf("the DI was sent %d messages more after a restart", after.Messages-before.Messages)
			}
			if n := len(s.out.Sent()); n != answers {
				t.Errorf("%d answers more after a restart", n-answers)
			}
			s.halt()
			s.verify()
			s.reindexed()
		})
	}
}

// addRIS adds the second record system that the samples are made for.
func (s *scene) addRIS() {
	ris, err := sandbox.StartDI(sandbox.DIConfig{Patients: sandbox.KnownPatients()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { ris.Close() })
	s.cfg.DI = append(s.cfg.DI, DIConfig{Name: "ris", Protocol: "hl7v2", Types: []string{sandbox.TypeImaging}, Charset: "8859/15",
		MLLP: MLLPConfig{Address: ris.MLLPAddr(), Timeout: Duration(5 * time.Second)}, Sending: "GREFFE^CH_TEST", Receiving: "RIS^CH_TEST", Processing: "T"})
	s.cfg.setDefaults()
}

// send puts the samples that come late, or the others, into their mailboxes and notes
// their UIDs.
func (s *scene) send(uids map[string]uint32, late bool) {
	for _, x := range s.samples {
		if x.Late != late {
			continue
		}
		uid, err := s.mail.Append(x.Mailbox, x.Folder, x.Raw, x.At)
		if err != nil {
			s.t.Fatalf("%s: %v", x.Name, err)
		}
		uids[x.Name] = uid
	}
}

// idle waits until no event is under way and every document has gone to the queue of
// a DI and come back, which is not on the bus.
func (s *scene) idle() {
	s.t.Helper()
	s.until("bus idle", func() (bool, string) {
		st, err := s.apps[0].bus.Status(context.Background())
		if err != nil {
			return false, err.Error()
		}
		_, documents, err := s.db().Tally(context.Background())
		if err != nil {
			return false, err.Error()
		}
		return st.InFlight() == 0 && documents[greffe.StateArchived] == 0, fmt.Sprintf("%+v, documents %v", st.Consumers, documents)
	})
}

// read loads what the index knows about each sample.
func (s *scene) read(uids map[string]uint32) {
	s.t.Helper()
	ctx := context.Background()
	byPlace := map[string]index.Message{}
	place := func(box, folder string, uid uint32) string { return fmt.Sprint(box, "|", folder, "|", uid) }
	for cursor := ""; ; {
		rows, next, err := s.db().Messages(ctx, index.MessageFilter{Limit: 200, Before: cursor})
		if err != nil {
			s.t.Fatal(err)
		}
		for _, m := range rows {
			byPlace[place(m.Origin.Mailbox, m.Origin.Folder, m.Origin.UID)] = m
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	if len(byPlace) != len(s.samples)+s.local() {
		s.t.Errorf("%d messages in the index, want %d: one for each sample, and %d", len(byPlace), len(s.samples), s.local())
	}
	for _, x := range s.samples {
		at := place(x.Mailbox, x.Folder, uids[x.Name])
		m, ok := byPlace[at]
		delete(byPlace, at)
		if !ok {
			s.t.Errorf("%s: not in the index", x.Name)
			continue
		}
		d, err := s.db().Message(ctx, m.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		s.details[x.Name] = d
	}
	s.came = slices.Collect(maps.Values(byPlace))
}

// local counts what was sent to the mailboxes that are watched.
func (s *scene) local() int {
	if s.dep.real {
		return 0 // the submission server does not deliver into Dovecot
	}
	return s.out.Local()
}

func everySample(t *testing.T, s *scene) {
	for _, x := range s.samples {
		d, ok := s.details[x.Name]
		if !ok {
			continue // told by read
		}
		t.Run(x.Name, func(t *testing.T) {
			raw := x.Raw
			if s.dep.real { // Dovecot gives every line the end that mail has, and replaces NUL, which IMAP cannot carry
				raw = bytes.ReplaceAll(raw, []byte{0}, []byte{0x80})
				raw = bytes.ReplaceAll(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
			}
			if d.Raw.SHA256 != greffe.DigestOf(raw) {
				t.Error("the archived message is not the one that was sent")
			}
			want := x.Want
			var got []greffe.State
			for _, doc := range d.Documents {
				got = append(got, doc.State)
			}
			if group := sameAs(s.samples, x); len(group) > 1 { // whichever of them came first
				n := map[greffe.State]int{}
				for _, name := range group {
					for _, doc := range s.details[name].Documents {
						n[doc.State]++
					}
				}
				for _, m := range s.came { // a forward of ours may carry it once more
					if m.State == greffe.StateDelivered {
						n[greffe.StateDelivered]++
						n[greffe.StateDuplicate]--
					}
				}
				if n[greffe.StateDelivered] != 1 || n[greffe.StateDuplicate] != len(group)-1 {
					t.Errorf("the messages with this document are %v, want one %s and the others %s", n, greffe.StateDelivered, greffe.StateDuplicate)
				}
				return
			}
			if want.Kind != "" && d.Kind != want.Kind {
				t.Errorf("kind is %s, want %s", d.Kind, want.Kind)
			}
			if d.State != want.State {
				t.Errorf("state is %q, want %q", d.State, want.State)
			}
			if !want.Open && !slices.Equal(got, want.Documents) {
				t.Errorf("documents are %q, want %q", got, want.Documents)
			}
			if want.Rule != "" && !slices.Contains(rulesOf(d), want.Rule) {
				t.Errorf("findings are %q, want %s among them", rulesOf(d), want.Rule)
			}
			if t.Failed() {
				for _, doc := range d.Documents {
					t.Logf("document %s: %s: %s %+v", doc.ID, doc.State, doc.Reason, doc.Outcome)
				}
				t.Logf("findings %q", rulesOf(d))
			}
		})
	}
}

// sameAs returns the names of the samples that carry the same document as x, x included.
func sameAs(samples []sandbox.Sample, x sandbox.Sample) []string {
	first := x.Want.Same
	if first == "" {
		first = x.Name
	}
	names := []string{first}
	for _, y := range samples {
		if y.Want.Same == first {
			names = append(names, y.Name)
		}
	}
	return names
}

func rulesOf(d index.Detail) []string {
	rules := map[string]bool{}
	add := func(list []greffe.Finding) {
		for _, f := range list {
			rules[f.Rule] = true
		}
	}
	if d.Parsed != nil {
		add(d.Parsed.Findings)
		for _, p := range d.Parsed.Parts {
			add(p.Findings)
		}
		for _, doc := range d.Parsed.Documents {
			add(doc.Findings)
		}
	}
	return slices.Sorted(maps.Keys(rules))
}

func diHoldsEachOnce(t *testing.T, s *scene) {
	// Ask the DI itself: which documents, how often, for whom.
	at := map[string][]sandbox.DIDocument{}
	for _, d := range s.di.Documents() {
		at[d.Number] = append(at[d.Number], d)
	}
	delivered := 0
	all := map[string][]index.Document{}
	for name, d := range s.details {
		all[name] = d.Documents
	}
	for _, m := range s.came {
		all[string(m.ID)] = m.Documents
	}
	for name, documents := range all {
		for _, doc := range documents {
			if doc.State == greffe.StateIncident { // at the other DI, perhaps
				list, err := s.db().Deliveries(context.Background(), doc.ID)
				if err != nil {
					t.Fatal(err)
				}
				if slices.ContainsFunc(list, func(d index.Delivery) bool { return d.DI == "dpi" && d.State == greffe.StateDelivered }) {
					doc.State = greffe.StateDelivered
				}
			}
			if doc.State != greffe.StateDelivered || doc.Facts.Action == greffe.ActionDelete {
				continue
			}
			delivered++
			list := at[doc.Facts.UniqueID.String()]
			if len(list) != 1 {
				t.Errorf("%s: the DI holds the document %d times", name, len(list))
				continue
			}
			if list[0].Patient.INS.Extension != doc.Facts.Patient.INS.Extension {
				t.Errorf("%s: the document went to the patient %s, it is about %s", name, list[0].Patient.INS.Extension, doc.Facts.Patient.INS.Extension)
			}
			if list[0].SHA256 != doc.Facts.SHA256 {
				t.Errorf("%s: the DI has other bytes than the archive", name)
			}
		}
	}
	if delivered < 10 {
		t.Errorf("only %d documents were delivered", delivered)
	}
	if n := len(at); n != delivered {
		t.Errorf("the DI holds %d documents, %d are recorded as delivered", n, delivered)
	}
	if r := s.di.Stats().Repeats; r != 0 {
		t.Errorf("the DI was sent %d repeats", r)
	}
}

func mailboxIsMarked(t *testing.T, s *scene) {
	want := map[string]int{}
	all := slices.Clone(s.came)
	for _, d := range s.details {
		all = append(all, d.Message)
	}
	for _, m := range all {
		switch m.State {
		case greffe.StateDelivered, greffe.StateDuplicate, greffe.StateDismissed:
			want[m.Origin.Mailbox+"|Traités"]++
		default:
			want[m.Origin.Mailbox+"|À traiter"]++
		}
	}
	for key, n := range want {
		box, folder, _ := strings.Cut(key, "|")
		s.until(key, func() (bool, string) {
			got, err := s.mail.Count(box, folder)
			return err == nil && got == n, fmt.Sprintf("%d messages, want %d (%v)", got, n, err)
		})
	}
	for _, m := range sandbox.Mailboxes() {
		for _, f := range m.Folders {
			if n, err := s.mail.Count(m.Address, f); err != nil || n != 0 {
				t.Errorf("%d messages are left in %s (%v)", n, f, err)
			}
		}
	}
}

// aDelivered returns a delivered document that a person can read.
func (s *scene) aDelivered(t *testing.T) index.Document {
	t.Helper()
	for _, x := range s.samples {
		for _, doc := range s.details[x.Name].Documents {
			if doc.State == greffe.StateDelivered && doc.Facts.Format == greffe.FormatCDA1 && !doc.BodyObject.IsZero() {
				return doc
			}
		}
	}
	t.Fatal("no delivered level-1 document")
	return index.Document{}
}

func get(t *testing.T, c *http.Client, u string) (*http.Response, []byte) {
	t.Helper()
	resp, err := c.Get(u)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

func secretaryReads(t *testing.T, s *scene) {
	c := s.login("secretary")
	doc := s.aDelivered(t)
	resp, page := get(t, c, s.console()+"/")
	if resp.StatusCode != http.StatusOK || !bytes.Contains(page, []byte("/messages/")) {
		t.Errorf("the queue: %s, no message in it", resp.Status)
	}
	resp, page = get(t, c, s.console()+"/messages/"+string(doc.Message))
	if resp.StatusCode != http.StatusOK || !bytes.Contains(page, []byte(string(greffe.StateDelivered))) {
		t.Errorf("the message page: %s", resp.Status)
	}
	resp, page = get(t, c, s.console()+"/documents/"+string(doc.ID))
	if resp.StatusCode != http.StatusOK || !bytes.Contains(page, []byte(doc.Facts.Patient.BirthFamily)) {
		t.Errorf("the document page: %s", resp.Status)
	}
	resp, body := get(t, c, s.console()+"/documents/"+string(doc.ID)+"/file")
	if resp.StatusCode != http.StatusOK || greffe.DigestOf(body) != doc.BodyObject.SHA256 {
		t.Errorf("the file a person reads: %s, %d bytes", resp.Status, len(body))
	}
}

func auditorFinds(t *testing.T, s *scene) {
	c := s.login("auditor")
	doc := s.aDelivered(t)
	resp, err := c.PostForm(s.console()+"/recherche", url.Values{"ins": {doc.Facts.Patient.INS.Extension}})
	if err != nil {
		t.Fatal(err)
	}
	page, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !bytes.Contains(page, []byte("/documents/"+string(doc.ID))) {
		t.Errorf("search by INS: %s, the document is not among the results", resp.Status)
	}
	if strings.Contains(resp.Request.URL.String(), doc.Facts.Patient.INS.Extension) {
		t.Error("the INS is in the URL")
	}
	resp, body := get(t, c, s.console()+"/documents/"+string(doc.ID)+"/telechargement")
	if resp.StatusCode != http.StatusOK || greffe.DigestOf(body) != doc.Facts.SHA256 {
		t.Errorf("download: %s, %d bytes that are not the archived ones", resp.Status, len(body))
	}
}

// everyActIsJournalled goes through the acts that the journal must hold: what the
// installation did by itself is there, the others are done here.
func everyActIsJournalled(t *testing.T, s *scene) {
	ctx, db := context.Background(), s.db()
	doc := s.aDelivered(t)
	d, err := db.Message(ctx, doc.Message)
	if err != nil {
		t.Fatal(err)
	}
	page := func(role, path string) func() error {
		return func() error {
			resp, _ := get(t, s.login(role), s.console()+path)
			if resp.StatusCode >= 500 {
				return errors.New(resp.Status)
			}
			return nil
		}
	}
	a := &app{cfg: s.cfg, log: s.log}
	defer a.close()
	if err := a.openArchive(ctx); err != nil {
		t.Fatal(err)
	}
	locks := storage.NewLocks(a.store, db)
	for _, c := range []struct {
		action, subject, result string // "": any
		act                     func() error
	}{
		{"received", string(d.ID), "reçu", nil},
		{"parsed", string(d.ID), string(d.Verdict), nil},
		{"archived", string(d.ID), "", nil},
		{"archived", string(doc.ID), "", nil},
		{"delivered", string(doc.ID), string(greffe.StateDelivered), nil},
		{"delivered", "", string(greffe.StateRefused), nil},
		{"settled", string(d.ID), "ok", nil},
		{"notified", "", "", nil},
		{"started", "", "ok", nil},
		{"configured", "", "ok", nil},
		{"login", "", "ok", page("secretary", "/file")},
		{"login", "", "refused", func() error {
			resp, err := http.PostForm(s.console()+"/connexion", url.Values{"login": {"nobody"}, "mot-de-passe": {"x"}})
			if err != nil {
				return err
			}
			return resp.Body.Close()
		}},
		{"read", string(doc.ID), "ok", page("secretary", "/documents/"+string(doc.ID))},
		{"searched", "", "ok", nil},
		{"downloaded", string(doc.ID), "ok", nil},
		{"exported", "", "ok", page("auditor", "/journal/journal.csv")},
		{"denied", "", "refused", page("secretary", "/systeme")},
		{"decided", string(d.ID), string(greffe.VerbLater), func() error {
			_, err := db.SaveTriage(ctx, greffe.Triaged{ID: rand.Text(), Message: d.ID, Verb: greffe.VerbLater, By: "anne", At: time.Now().UTC()})
			return err
		}},
		{"user-add", "x", "", func() error {
			u := index.User{Login: "x", Role: "admin"}
			return db.SaveUser(ctx, u, userEntry("user-add", u))
		}},
		{"retained", string(d.ID), "", func() error {
			_, err := locks.Extend(ctx, d, time.Now().AddDate(0, 0, 3), "anne", false)
			return err
		}},
		{"held", string(d.ID), "ok", func() error { _, err := locks.Hold(ctx, d, true, "anne", "x", false); return err }},
		{"released", string(d.ID), "ok", func() error { _, err := locks.Hold(ctx, d, false, "anne", "x", false); return err }},
		{"verified", "archive", "", func() error {
			rep, err := storage.Verify(ctx, a.store, db, storage.VerifyOptions{Sample: 1})
			if err != nil {
				return err
			}
			return storage.NoteVerified(ctx, db, "greffe", rep)
		}},
		{"stopped", "", "ok", func() error { s.halt(); s.start(); return nil }}, // the last: it ends the connections
	} {
		if c.act != nil {
			if err := c.act(); err != nil {
				t.Errorf("%s: %v", c.action, err)
			}
		}
		list, err := s.db().SearchJournal(ctx, index.JournalFilter{Action: c.action, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(list, func(e index.Entry) bool {
			return (c.subject == "" || e.Subject == c.subject) && (c.result == "" || e.Result == c.result)
		}) {
			t.Errorf("no %q of %q with %q among %d", c.action, c.subject, c.result, len(list))
		}
	}
}

// A DI that is down holds nothing back but its own documents, and gets each of
// them once when it is back.
func TestTheDIIsDownThenUp(t *testing.T) {
	t.Parallel()
	for _, dep := range deployments[:2] {
		t.Run(dep.name, func(t *testing.T) {
			t.Parallel()
			in := install(t, dep)
			in.di.Behave(func(int) sandbox.DIBehaviour { return sandbox.DIBusy })
			box := sandbox.Mailboxes()[0].Address
			const n = 5
			for i := range n {
				if _, err := in.mail.Append(box, "INBOX", sandbox.PipelineMessage(i), time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			in.start()
			defer in.halt()
			in.until("every document waits", func() (bool, string) {
				_, documents, err := in.db().Tally(context.Background())
				return err == nil && documents[greffe.StateWaiting] == n, fmt.Sprint(documents, err)
			})
			in.di.Behave(nil)
			in.settled(n)
			if s := in.di.Stats(); s.New != n {
				t.Errorf("the DI has %d documents, want %d", s.New, n)
			}
			in.halt()
			in.verify()
		})
	}
}
