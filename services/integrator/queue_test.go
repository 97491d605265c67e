package integrator

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/hl7"
	"greffe/pkg/index"
	"greffe/pkg/sandbox"
)

// second adds another record system to the world.
func (w *world) second(name, protocol string, change func(*DI)) *sandbox.DI {
	w.t.Helper()
	di, err := sandbox.StartDI(sandbox.DIConfig{Patients: []greffe.Patient{patient()}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { di.Close() })
	d := target1(di, protocol)
	d.Name = name
	if change != nil {
		change(&d)
	}
	w.cfg.DIs = append(w.cfg.DIs, d)
	return di
}

// at returns what became of a document at a DI.
func (w *world) at(id greffe.DocumentID, di string) index.Delivery {
	w.t.Helper()
	rows, err := w.db.Deliveries(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	r, _ := rowAt(rows, di)
	return r
}

// entries returns the actions of the journal about a subject, oldest first.
func (w *world) entries(subject string) []string {
	w.t.Helper()
	list, err := w.db.JournalAfter(w.t.Context(), 0, 10_000)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		if e.Subject == subject {
			out = append(out, e.Action)
		}
	}
	return out
}

// Two DIs get the document, each once and in its own time; the gravest shows.
func TestEachDIHasAStateOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hl7v2")
	ris := w.second("ris", "mhd", nil)
	ris.Obey(sandbox.DIRule{Behaviour: sandbox.DIBusy})
	w.run()
	one, two := w.receive(version(1))[0], w.receive(version(2))[0]
	for _, id := range []greffe.DocumentID{one, two} {
		w.until(id, func(index.Document) bool { return w.at(id, "dpi").State == greffe.StateDelivered }, "in the DPI")
		if d := w.until(id, func(d index.Document) bool { return d.State == greffe.StateWaiting || id == two }, "waiting for the RIS"); id == one && d.Outcome.DI != "ris" {
			t.Errorf("%+v", d.Outcome)
		}
	}
	ris.Obey(sandbox.DIRule{Behaviour: sandbox.DIRefuse, Code: "906", Times: 1})
	if d := w.becomes(one, greffe.StateRefused); d.Outcome.DI != "ris" || w.at(one, "dpi").State != greffe.StateDelivered {
		t.Errorf("%+v", d.Outcome)
	}
	w.decide(one, greffe.VerbRetry) // at the RIS alone
	w.becomes(one, greffe.StateDelivered)
	w.becomes(two, greffe.StateDelivered)
	w.stats(1, 1, 0, 0)
	if s := ris.Stats(); s.New != 1 || s.Replaced != 1 || s.Repeats != 0 {
		t.Errorf("the RIS counted %+v", s)
	}
	m, err := w.db.Message(t.Context(), one.Message())
	if err != nil || len(m.Deliveries) != 2 {
		t.Errorf("%+v, %v", m.Deliveries, err)
	}
	for _, d := range m.Deliveries {
		if d.DI == "ris" && d.Outcome.Action == "" || d.State != greffe.StateDelivered {
			t.Errorf("%+v", d)
		}
	}
}

// A copy of a document that two DIs have goes to neither again.
func TestDismissedAtOneDIStaysInTheOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hl7v2")
	ris := w.second("ris", "hl7v2", nil)
	ris.Obey(sandbox.DIRule{Behaviour: sandbox.DIRefuse, Code: "906"})
	w.run()
	id := w.receive(document(1))[0]
	w.becomes(id, greffe.StateRefused)
	w.until(id, func(index.Document) bool { return w.at(id, "dpi").State == greffe.StateDelivered }, "in the DPI")
	w.decide(id, greffe.VerbDismiss)
	w.becomes(id, greffe.StateDelivered)
	if r := w.at(id, "ris"); r.State != greffe.StateDismissed {
		t.Errorf("%+v", r)
	}
	w.becomes(w.receive(document(1))[0], greffe.StateDuplicate)
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	radio, cardio, other := "radio@ch.example", "cardio@ch.example", "autre@ch.example"
	cfg := Config{Services: map[string]hl7.Service{radio: {Code: "3435"}, cardio: {Code: "1200"}}, DIs: []DI{
		{Name: "dpi", Mailboxes: []string{"Radio@ch.example", cardio}},
		{Name: "ris", Services: []string{"3435"}, Types: []string{"18748-4", "pdf"}},
		{Name: "labo", Mailboxes: []string{other}, Types: []string{"11502-2"}},
		{Name: "essai", Test: true},
	}}
	for n := range cfg.DIs {
		cfg.DIs[n].Protocol, cfg.DIs[n].MLLP.Address, cfg.DIs[n].Sending, cfg.DIs[n].Receiving = "hl7v2", "h:1", "A^B", "C^D"
	}
	i, err := New(cfg, nil, nil, nil, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	for _, c := range []struct {
		mailbox, moved, kind string
		format               greffe.Format
		want                 []string
		other                bool
	}{
		{radio, "", "18748-4", greffe.FormatCDA1, []string{"dpi", "ris"}, false},
		{radio, "", "11502-2", greffe.FormatCDA1, []string{"dpi"}, true},
		{radio, "", "", greffe.FormatPDF, []string{"dpi", "ris"}, false},
		{cardio, "", "18748-4", greffe.FormatCDA1, []string{"dpi"}, false},
		{cardio, radio, "18748-4", greffe.FormatCDA1, []string{"dpi", "ris"}, false}, // given to another service
		{other, "", "18748-4", greffe.FormatCDA1, nil, true},
		{other, "", "11502-2", greffe.FormatCDA1, []string{"labo"}, false},
		{"x@ch.example", "", "18748-4", greffe.FormatCDA1, nil, false},
	} {
		d := index.Document{Facts: greffe.Document{Format: c.format, Type: greffe.Code{Code: c.kind}}}
		d.Origin.Mailbox, d.Queue.Mailbox = c.mailbox, c.moved
		if got, other := i.route(d); !slices.Equal(got, c.want) || other != c.other {
			t.Errorf("%+v: %v %v", c, got, other)
		}
	}
}

// A person pauses a DI: nothing goes, nothing is lost, another DI goes on, and a restart
// changes nothing.
func TestPause(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hl7v2")
	ris := w.second("ris", "hl7v2", nil)
	w.run()
	w.becomes(w.receive(document(1))[0], greffe.StateDelivered)
	if ok, err := w.db.PauseDI(t.Context(), "dpi", "admin", "10.0.0.1"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	w.stop()
	w.run()
	id := w.receive(document(2))[0]
	if d := w.becomes(id, greffe.StateWaiting); d.Outcome.Code != "paused" || !strings.Contains(d.Reason, "pause") {
		t.Errorf("%+v", d.Outcome)
	}
	w.until(id, func(index.Document) bool { return w.at(id, "ris").State == greffe.StateDelivered }, "in the RIS")
	queues, err := w.db.Queues(t.Context())
	if err != nil || len(queues) != 2 || queues[0].Waiting != 1 || queues[0].PausedBy != "admin" || queues[1].Waiting != 0 {
		t.Errorf("%+v, %v", queues, err)
	}
	if st, ok := Standing(queues[0]); !ok || !strings.Contains(st.Warning, "admin") || st.Waiting == "" {
		t.Errorf("%+v", st)
	}
	w.stats(1, 0, 0, 0)
	if ok, err := w.db.ResumeDI(t.Context(), "dpi", "admin", "10.0.0.1"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	w.becomes(id, greffe.StateDelivered)
	w.stats(2, 0, 0, 0)
	if s := ris.Stats(); s.New != 2 {
		t.Errorf("%+v", s)
	}
	if got := w.entries("dpi"); !slices.Equal(got, []string{"di-paused", "di-resumed"}) {
		t.Errorf("journal %v", got)
	}
	if _, err := w.db.PauseDI(t.Context(), "nowhere", "admin", ""); !errors.Is(err, index.ErrUnknownDI) {
		t.Error(err)
	}
}

// A technical answer stops the queue of the DI, not only the document, and only of that
// DI; a person resumes it; nothing is lost or sent twice.
func TestTechnicalAnswerStopsTheQueue(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"hl7v2", "mhd"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, protocol)
			ris := w.second("ris", "hl7v2", nil)
			w.di.Obey(sandbox.DIRule{Behaviour: sandbox.DITechnical, Times: 1})
			w.run()
			bad := w.receive(document(1))[0]
			w.becomes(bad, greffe.StateIncident)
			later := []greffe.DocumentID{w.receive(document(2))[0], w.receive(document(3))[0]}
			for _, id := range later {
				if d := w.becomes(id, greffe.StateWaiting); d.Outcome.Code != "stopped" {
					t.Errorf("%+v", d.Outcome)
				}
				w.until(id, func(index.Document) bool { return w.at(id, "ris").State == greffe.StateDelivered }, "in the RIS")
			}
			if n := w.di.Stats().Messages; n != 1 {
				t.Errorf("%d messages to a DI that is stopped", n)
			}
			queues, err := w.db.Queues(t.Context())
			if err != nil || queues[0].StoppedDocument != bad || queues[0].Waiting != 2 || queues[0].Last.State != greffe.StateIncident {
				t.Fatalf("%+v, %v", queues, err)
			}
			if st, _ := Standing(queues[0]); !strings.Contains(st.Trouble, queues[0].Stopped.Text) || protocol == "hl7v2" && !strings.Contains(st.Trouble, "champ") {
				t.Errorf("%+v", st)
			}
			if _, err := w.db.ResumeDI(t.Context(), "dpi", "admin", ""); err != nil {
				t.Fatal(err)
			}
			for _, id := range later {
				w.becomes(id, greffe.StateDelivered)
			}
			w.becomes(bad, greffe.StateIncident)
			w.decide(bad, greffe.VerbRetry)
			w.becomes(bad, greffe.StateDelivered)
			w.stats(3, 0, 0, 0)
			if s := ris.Stats(); s.New != 3 || s.Repeats != 0 {
				t.Errorf("%+v", s)
			}
			if got := w.entries("dpi"); !slices.Equal(got, []string{"di-stopped", "di-resumed"}) {
				t.Errorf("journal %v", got)
			}
		})
	}
}

// A DI that takes messages and never answers gets a few, then one at a time; the other
// one is not held up; when it is back everything arrives, once.
func TestADIThatIsSilentGetsOneAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hl7v2")
	ris := w.second("ris", "hl7v2", nil)
	w.cfg.DIs[0].MLLP.Timeout = 300 * time.Millisecond
	w.cfg.DIs[0].MLLP.Connections = 2
	w.cfg.Retry = []time.Duration{500 * time.Millisecond}
	w.di.Obey(sandbox.DIRule{Behaviour: sandbox.DISilent})
	w.run()
	var ids []greffe.DocumentID
	for n := range 60 {
		ids = append(ids, w.receive(document(n))[0])
	}
	for _, id := range ids {
		w.until(id, func(index.Document) bool { return w.at(id, "ris").State == greffe.StateDelivered }, "in the RIS")
		w.becomes(id, greffe.StateWaiting)
	}
	gates, err := w.db.Gates(t.Context())
	if err != nil || gates[0].DownAt.IsZero() {
		t.Fatalf("%+v, %v", gates, err)
	}
	if n := w.di.Stats().Messages; n > 40 {
		t.Errorf("%d messages hammered a DI that is silent", n)
	}
	w.di.Obey(sandbox.DIRule{})
	for _, id := range ids {
		w.becomes(id, greffe.StateDelivered)
	}
	if s := w.di.Stats(); s.New != 60 || s.Repeats != 0 {
		t.Errorf("%+v", s)
	}
	if s := ris.Stats(); s.New != 60 || s.Repeats != 0 {
		t.Errorf("%+v", s)
	}
	if got := w.entries("dpi"); !slices.Equal(got, []string{"di-down", "di-up"}) {
		t.Errorf("journal %v", got)
	}
}

// One document at which the DI falls silent each time holds up no other.
func TestOneDocumentThatIsNeverAnsweredHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hl7v2")
	w.cfg.DIs[0].MLLP.Timeout = 400 * time.Millisecond
	w.cfg.DIs[0].MLLP.Connections = 2
	w.cfg.Retry = []time.Duration{300 * time.Millisecond}
	w.di.Obey(sandbox.DIRule{Behaviour: sandbox.DISilent, Times: 1})
	w.run()
	poison := w.receive(version(1))[0]
	w.until(poison, func(index.Document) bool { return w.di.Stats().Messages == 1 }, "sent")
	blocked := w.receive(version(2))[0]
	for n := range 10 {
		w.becomes(w.receive(document(100 + n))[0], greffe.StateDelivered)
	}
	if r := w.at(blocked, "dpi"); r.State == greffe.StateDelivered && w.at(poison, "dpi").State != greffe.StateDelivered {
		t.Errorf("%+v", r)
	}
	w.becomes(poison, greffe.StateDelivered)
	w.becomes(blocked, greffe.StateDelivered)
}

// A DI says when to come back: nobody comes before.
func TestRetryAfterIsObeyed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "mhd")
	i, err := New(w.cfg, w.bus, w.store, w.db, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	q := i.queue("dpi")
	now := time.Now()
	q.gate.said(Result{Outcome: greffe.Outcome{State: greffe.StateWaiting, After: 90 * time.Second}}, now)
	if o := q.gate.closed(now.Add(80 * time.Second)); o == nil || o.Code != "later" {
		t.Errorf("%+v", o)
	}
	if o := q.gate.closed(now.Add(91 * time.Second)); o != nil {
		t.Errorf("%+v", o)
	}
	q.gate.said(Result{Outcome: greffe.Outcome{After: 1000 * time.Hour}}, now)
	if o := q.gate.closed(now.Add(maxAfter + time.Second)); o != nil {
		t.Errorf("a DI may not ask for more than an hour: %+v", o)
	}
}

// A patient whom the DI does not know is offered again for some days, then a person decides.
func TestUnknownPatientIsOfferedAgain(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"hl7v2", "mhd"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, protocol)
			w.cfg.DIs[0].HoldUnknown = 24 * time.Hour
			w.run()
			id := w.receive(unknown(document(1)))[0]
			if d := w.becomes(id, greffe.StateWaiting); !strings.HasSuffix(d.Outcome.Code, "902") || !strings.Contains(d.Reason, "jusqu'au") || d.Outcome.Next.IsZero() {
				t.Errorf("%+v", d.Outcome)
			}
			w.until(id, func(index.Document) bool { return w.di.Stats().Refused["902"] > 2 }, "offered again")
			p := patient()
			p.INS.Extension = "155082A99912348"
			p.IDs = []greffe.OID{p.INS}
			w.di.AddPatient(p)
			w.becomes(id, greffe.StateDelivered)
			if s := w.di.Stats(); s.New != 1 || s.Repeats != 0 {
				t.Errorf("%+v", s)
			}
			m, err := w.db.Message(t.Context(), id.Message())
			if err != nil || len(m.Outcomes) != 2 { // told once, however often it was offered
				t.Errorf("%+v, %v", m.Outcomes, err)
			}
		})
	}
}

// What waits for a DI that is no longer configured is said, not forgotten.
func TestADIThatIsGoneIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hl7v2")
	w.di.Obey(sandbox.DIRule{Behaviour: sandbox.DIBusy})
	w.run()
	id := w.receive(document(1))[0]
	w.becomes(id, greffe.StateWaiting)
	w.stop()
	w.cfg.DIs[0].Name = "autre"
	w.run()
	deadline := time.Now().Add(20 * time.Second)
	for {
		all, err := w.bus.Standings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(all, func(s bus.Standing) bool {
			return s.Service == "integrator" && s.Instance == "dpi" && strings.Contains(s.Trouble, "plus dans la configuration")
		}) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", all)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A past day goes to a test DI; what became of the documents stays as it is.
func TestReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hl7v2")
	try := w.second("essai", "mhd", func(d *DI) { d.Test = true })
	w.run()
	from := time.Now().Add(-time.Second)
	ids := []greffe.DocumentID{w.receive(version(1))[0], w.receive(version(2))[0], w.receive(unknown(document(9)))[0], w.receive(deletion(version(2)))[0]}
	for n, want := range []greffe.State{greffe.StateDelivered, greffe.StateDelivered, greffe.StateRefused, greffe.StateDelivered} {
		w.becomes(ids[n], want)
	}
	if try.Stats().Messages != 0 {
		t.Error("a test DI got a live document")
	}
	w.stop()
	before, err := w.db.Deliveries(t.Context(), ids...)
	if err != nil {
		t.Fatal(err)
	}
	i, err := New(w.cfg, nil, w.store, w.db, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	for run := range 2 {
		var got []string
		err = i.Replay(t.Context(), "essai", fmt.Sprint("run", run), "greffe", from, time.Now().Add(time.Hour), func(r Replayed) error {
			got = append(got, string(r.Outcome.State))
			return nil
		})
		if want := []string{"intégré", "intégré", "refusé par le DI", "intégré"}; err != nil || run == 0 && !slices.Equal(got, want) {
			t.Errorf("%v, %v", got, err)
		}
	}
	if s := try.Stats(); s.New != 1 || s.Replaced != 1 || s.Deleted != 1 {
		t.Errorf("%+v", s)
	}
	after, err := w.db.Deliveries(t.Context(), ids...)
	if err != nil || fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("%v\n%v, %v", before, after, err)
	}
	if got := w.entries(string(ids[0])); !slices.Contains(got, "replayed") {
		t.Errorf("journal %v", got)
	}
	if err := i.Replay(t.Context(), "dpi", "x", "greffe", from, time.Now(), nil); !errors.Is(err, ErrNotTest) {
		t.Errorf("to a real DI: %v", err)
	}
}
