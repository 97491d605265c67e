package integrator

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/pkg/sandbox"
)

// version returns the n-th version of document 1, replacing the one before.
func version(n int) greffe.Document {
	d := document(n)
	d.SetID, d.Version = greffe.OID{Root: rootDoc, Extension: "set"}, n
	if n > 1 {
		d.Action, d.Replaces = greffe.ActionReplace, document(n-1).UniqueID
	}
	return d
}

func deletion(d greffe.Document) greffe.Document {
	d.Action = greffe.ActionDelete
	return d
}

func unknown(d greffe.Document) greffe.Document {
	d.Patient.INS.Extension = "155082A99912348"
	d.Patient.IDs = []greffe.OID{d.Patient.INS}
	return d
}

// TestStories tells what becomes of documents, with each protocol.
func TestStories(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"hl7v2", "reference", "mhd"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			for name, story := range map[string]func(*testing.T, *world){
				"two documents of a message": func(t *testing.T, w *world) {
					w.run()
					ids := w.receive(document(1), document(2))
					for _, id := range ids {
						d := w.becomes(id, greffe.StateDelivered)
						if d.Outcome.DI != "dpi" || d.Outcome.Control == "" {
							t.Errorf("%+v", d.Outcome)
						}
						if s := w.tellings(id, 1); !slices.Equal(s, []greffe.State{greffe.StateDelivered}) {
							t.Errorf("told %v", s)
						}
					}
					w.stats(2, 0, 0, 0)
				},
				"the same document twice": func(t *testing.T, w *world) {
					w.run()
					first := w.receive(document(1))[0]
					w.becomes(first, greffe.StateDelivered)
					second := w.receive(document(1))[0]
					if d := w.becomes(second, greffe.StateDuplicate); d.DuplicateOf != first {
						t.Errorf("duplicate of %q", d.DuplicateOf)
					}
					w.stats(1, 0, 0, 0)
				},
				"the same document in many messages at once": func(t *testing.T, w *world) {
					var ids []greffe.DocumentID
					for range 6 {
						ids = append(ids, w.receive(document(1))[0])
					}
					w.run()
					states := map[greffe.State]int{}
					for _, id := range ids {
						states[w.until(id, func(d index.Document) bool { return d.State.Final() }, "final").State]++
					}
					if states[greffe.StateDelivered] != 1 || states[greffe.StateDuplicate] != 5 {
						t.Errorf("%v", states)
					}
					w.stats(1, 0, 0, 0)
				},
				"new, replaced, deleted": func(t *testing.T, w *world) {
					ids := []greffe.DocumentID{w.receive(version(1))[0], w.receive(version(2))[0], w.receive(version(3))[0], w.receive(deletion(version(3)))[0]}
					w.run()
					for _, id := range ids {
						w.becomes(id, greffe.StateDelivered)
					}
					w.stats(1, 2, 1, 0)
				},
				"the whole chain in one message, backwards": func(t *testing.T, w *world) {
					ids := w.receive(deletion(version(2)), version(2), version(1))
					w.run()
					for _, id := range ids {
						w.becomes(id, greffe.StateDelivered)
					}
					w.stats(1, 1, 1, 0)
				},
				"number, set, parent and deletion of another patient's document": func(t *testing.T, w *world) {
					w.run()
					w.becomes(w.receive(version(1))[0], greffe.StateDelivered)
					w.becomes(w.receive(version(2))[0], greffe.StateDelivered)
					late := unknown(version(1)) // the set of another sender: not obsolete for all that
					late.UniqueID.Extension = "other"
					again := unknown(version(2)) // the number, under another version
					again.SetID, again.Version, again.Action, again.Replaces = greffe.OID{}, 7, greffe.ActionNew, greffe.OID{}
					for _, d := range []greffe.Document{unknown(version(3)), unknown(deletion(version(2))), late, again} {
						if got := w.becomes(w.receive(d)[0], greffe.StateTodo); got.Outcome.Code != "other-patient" || !strings.Contains(got.Reason, "ce qui diffère : le matricule INS") {
							t.Errorf("%s %s", got.Outcome.Code, got.Reason)
						}
					}
					w.stats(1, 1, 0, 0)
				},
				"version 2 before version 1": func(t *testing.T, w *world) {
					w.run()
					two := w.receive(version(2))[0]
					w.becomes(two, greffe.StateRefused) // 900: the DI has no version 1
					one := w.receive(version(1))[0]
					w.becomes(one, greffe.StateDelivered)
					w.becomes(two, greffe.StateDelivered) // sent again by itself
					w.stats(1, 1, 0, 0)
					w.refused("900", 1)
				},
				"version 2, said to be new, before version 1": func(t *testing.T, w *world) {
					w.run()
					v2 := version(2)
					v2.Findings = []greffe.Finding{{Rule: "xdm.cda.action", Severity: greffe.Warning}}
					w.becomes(w.receive(v2)[0], greffe.StateDelivered)
					w.becomes(w.receive(version(1))[0], greffe.StateDismissed)
					w.stats(1, 0, 0, 0)
				},
				"backwards, without a set": func(t *testing.T, w *world) {
					plain := func(n int) greffe.Document {
						d := version(n)
						d.SetID = greffe.OID{}
						return d
					}
					w.run()
					three := w.receive(plain(3))[0]
					w.becomes(three, greffe.StateRefused)
					two := w.receive(plain(2))[0]
					w.becomes(two, greffe.StateRefused)
					one := w.receive(plain(1))[0]
					for _, id := range []greffe.DocumentID{one, two, three} {
						w.becomes(id, greffe.StateDelivered)
					}
					w.stats(1, 2, 0, 0)
				},
				"a chain that arrives backwards": func(t *testing.T, w *world) {
					w.cfg.Order = time.Minute // messages of one mailbox overtake each other
					w.run()
					deleted := w.receive(deletion(version(2)))[0]
					two := w.receive(version(2))[0]
					one := w.receive(version(1))[0]
					for _, id := range []greffe.DocumentID{one, two, deleted} {
						w.becomes(id, greffe.StateDelivered)
					}
					w.stats(1, 1, 1, 0)
				},
				"deletion before creation": func(t *testing.T, w *world) {
					w.run()
					w.becomes(w.receive(deletion(version(1)))[0], greffe.StateRefused)
					w.becomes(w.receive(version(1))[0], greffe.StateDismissed)
					w.stats(0, 0, 0, 0)
					w.refused("900", 1)
				},
				"version 2 waits for a refused version 1": func(t *testing.T, w *world) {
					w.run()
					one := w.receive(unknown(version(1)))[0]
					if d := w.becomes(one, greffe.StateRefused); !strings.Contains(d.Reason, "inconnu") || !strings.HasSuffix(d.Outcome.Code, "902") {
						t.Errorf("%q %q", d.Outcome.Code, d.Reason)
					}
					two := w.receive(unknown(version(2)))[0]
					w.becomes(two, greffe.StateTodo)
					p := patient()
					p.INS.Extension = "155082A99912348"
					w.di.AddPatient(p) // somebody registers the patient
					w.decide(one, greffe.VerbRetry)
					w.becomes(one, greffe.StateDelivered)
					w.becomes(two, greffe.StateDelivered)
					w.stats(1, 1, 0, 0)
				},
				"the DI is down, then up": func(t *testing.T, w *world) {
					w.di.Behave(func(n int) sandbox.DIBehaviour { return sandbox.DIBusy })
					w.run()
					one, two := w.receive(version(1))[0], w.receive(version(2))[0]
					w.becomes(one, greffe.StateWaiting)
					w.until(one, func(index.Document) bool { return w.di.Stats().Messages > 3 }, "more attempts")
					if d, _ := w.db.Document(t.Context(), two); d.State == greffe.StateDelivered || d.Outcome.Control != "" {
						t.Errorf("version 2 is %q before version 1 is through", d.State)
					}
					w.di.Behave(nil)
					w.becomes(one, greffe.StateDelivered)
					w.becomes(two, greffe.StateDelivered)
					if s := w.tellings(one, 2); !slices.Equal(s, []greffe.State{greffe.StateWaiting, greffe.StateDelivered}) {
						t.Errorf("told %v", s)
					}
					w.stats(1, 1, 0, 0)
				},
				"every answer is lost once": func(t *testing.T, w *world) {
					w.cfg.DIs[0].MLLP.Timeout = time.Second // garbage is waited out
					var mu sync.Mutex
					seen := 0
					w.di.Behave(func(n int) sandbox.DIBehaviour {
						mu.Lock()
						defer mu.Unlock()
						if seen++; seen <= 4 {
							return []sandbox.DIBehaviour{sandbox.DIForget, sandbox.DICut, sandbox.DIGarbage, sandbox.DIForget}[seen-1]
						}
						return sandbox.DINormal
					})
					w.run()
					w.becomes(w.receive(document(1))[0], greffe.StateDelivered)
					if s := w.di.Stats(); s.New != 1 || s.Repeats == 0 {
						t.Errorf("%+v", s)
					}
				},
				"a person decides": func(t *testing.T, w *world) {
					w.run()
					ids := w.receive(unknown(document(1)), func() greffe.Document {
						d := document(2)
						d.Verdict = greffe.VerdictHeld
						d.Findings = []greffe.Finding{{Severity: greffe.Hold, Text: "Deux patients."}}
						return d
					}())
					w.becomes(ids[0], greffe.StateRefused)
					if d := w.becomes(ids[1], greffe.StateTodo); d.Reason != "Deux patients." {
						t.Errorf("reason %q", d.Reason)
					}
					before := w.di.Stats().Messages
					w.decide(ids[1], greffe.VerbRetry) // the rules still hold it
					w.decide(ids[1], greffe.VerbDismiss)
					if d := w.becomes(ids[1], greffe.StateDismissed); d.Reason != "vu avec le service" {
						t.Errorf("reason %q", d.Reason)
					}
					if n := w.di.Stats().Messages; n != before {
						t.Errorf("%d messages for a document that is held", n-before)
					}
					w.decide(ids[0], greffe.VerbRetry)
					w.until(ids[0], func(index.Document) bool { return w.di.Stats().Refused["902"] == 2 }, "a second refusal")
					w.stats(0, 0, 0, 0)
				},
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					story(t, newWorld(t, protocol))
				})
			}
		})
	}
}

// stats compares what the DI counted; repeats must be as said.
func (w *world) stats(created, replaced, deleted, repeats int) {
	w.t.Helper()
	if s := w.di.Stats(); s.New != created || s.Replaced != replaced || s.Deleted != deleted || s.Repeats != repeats {
		w.t.Errorf("the DI counted %+v", s)
	}
}

// refused compares how often the DI refused with this code. With FHIR Greffe
// itself finds that the DI does not have what is to be replaced.
func (w *world) refused(code string, n int) {
	w.t.Helper()
	if w.cfg.DIs[0].Protocol == "fhir" && code == "900" {
		return
	}
	if s := w.di.Stats(); s.Refused[code] != n {
		w.t.Errorf("the DI counted %+v", s)
	}
}

func TestWithoutDIDocumentsStayArchived(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hl7v2")
	w.cfg.DIs[0].Mailboxes = []string{"autre@ch-test.example"}
	w.run()
	a := w.archive(document(1))
	if err := bus.Publish(t.Context(), w.bus, bus.Archived, a); err != nil {
		t.Fatal(err)
	}
	w.decide(a.Documents[0], greffe.VerbRetry)
	w.decide(a.Documents[0], greffe.VerbDismiss)
	d := w.becomes(a.Documents[0], greffe.StateDismissed) // a person still may put it aside
	if w.di.Stats().Messages != 0 || d.Outcome.DI != "" {
		t.Errorf("%+v", d)
	}
}

// What the archive gives back is not what was archived: nothing is sent.
func TestDamagedArchiveIsAnIncident(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hl7v2")
	dir := t.TempDir()
	var err error
	if w.store, err = archive.OpenDir(dir, time.Minute); err != nil {
		t.Fatal(err)
	}
	a := w.archive(document(1))
	d, err := w.db.Document(t.Context(), a.Documents[0])
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, filepath.FromSlash(d.Object.Key))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[100] ^= 1
	if err := errorsOf(os.Chmod(path, 0o600), os.WriteFile(path, b, 0o600)); err != nil {
		t.Fatal(err)
	}
	w.run()
	if err := bus.Publish(t.Context(), w.bus, bus.Archived, a); err != nil {
		t.Fatal(err)
	}
	w.becomes(a.Documents[0], greffe.StateIncident)
	if n := len(w.di.Documents()); n != 0 {
		t.Errorf("%d damaged documents arrived", n)
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// The process dies after the DI's answer and before its own record: the next one
// sends the same identifiers, and the DI takes nothing twice.
func TestCrashBetweenAnswerAndRecord(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"hl7v2", "mhd"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, protocol)
			a := w.archive(document(1))
			// What a first process did: everything but the record.
			i, err := New(w.cfg, w.bus, w.store, w.db, testLog(t))
			if err != nil {
				t.Fatal(err)
			}
			doc, err := w.db.Document(t.Context(), a.Documents[0])
			if err != nil {
				t.Fatal(err)
			}
			d := Delivery{ID: doc.ID, Facts: doc.Facts, Action: greffe.ActionNew, Mailbox: box, At: time.Now(), Size: doc.Object.Size, Open: i.open(t.Context(), doc)}
			d.Control, d.UUID = identifiers("dpi", doc.Identity, "")
			if o, err := i.targets[0].sender.Send(t.Context(), d); err != nil || o.State != greffe.StateDelivered {
				t.Fatalf("%+v, %v", o, err)
			}
			i.close()
			w.run()
			if err := bus.Publish(t.Context(), w.bus, bus.Archived, a); err != nil {
				t.Fatal(err)
			}
			got := w.becomes(a.Documents[0], greffe.StateDelivered).Outcome.Control
			if got != d.Control && got != d.UUID {
				t.Errorf("the repeat was sent as %q", got)
			}
			w.stats(1, 0, 0, 1)
		})
	}
}

// The process dies between its record and the event: the event is published by
// the next one, once.
func TestCrashBetweenRecordAndEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hl7v2")
	a := w.archive(document(1))
	o := greffe.Outcome{State: greffe.StateRefused, Code: "AE 902", Control: "G1", DI: "dpi", At: time.Now().UTC().Truncate(time.Millisecond)}
	if _, err := w.db.SaveOutcome(t.Context(), a.Documents[0], o, ""); err != nil {
		t.Fatal(err)
	}
	w.run()
	if err := bus.Publish(t.Context(), w.bus, bus.Archived, a); err != nil {
		t.Fatal(err)
	}
	w.tellings(a.Documents[0], 1)
	w.stats(0, 0, 0, 0)
}

func TestPauseFollowsTheScheduleWithoutMemory(t *testing.T) {
	t.Parallel()
	i := &Integrator{cfg: Config{Retry: defaultRetry}}
	first := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	now := first
	for n, want := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, time.Hour, time.Hour} {
		got := i.pause(first, now)
		if got < want*7/10 || got > want*13/10 {
			t.Errorf("pause %d is %s, want about %s", n, got, want)
		}
		now = now.Add(got + time.Second)
	}
	if got := i.pause(first, first.Add(40*24*time.Hour)); got > 2*time.Hour || got < 20*time.Minute {
		t.Errorf("after forty days: %s", got)
	}
	if got := i.pause(first, first.Add(-365*24*time.Hour)); got > 2*time.Minute {
		t.Errorf("the clock was a year ahead, and was set right: %s", got)
	}
}

// The parent is in the DI, its outcome was told, and the event that asks for what
// waited for it could not be published: the repeat asks.
func TestFollowersAreAskedForAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hl7v2")
	one, two := w.archive(version(1)), w.archive(version(2))
	at := time.Now().UTC().Truncate(time.Millisecond)
	for id, o := range map[greffe.DocumentID]greffe.Outcome{
		one.Documents[0]: {State: greffe.StateDelivered, Code: "AA", Control: "G1", DI: "dpi", At: at},
		two.Documents[0]: {State: greffe.StateRefused, Code: "AE 900", Control: "G2", DI: "dpi", At: at},
	} {
		if _, err := w.db.SaveOutcome(t.Context(), id, o, ""); err != nil {
			t.Fatal(err)
		}
	}
	i, err := New(w.cfg, w.bus, w.store, w.db, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	if err := i.work(t.Context(), i.queue("dpi"), one.Documents[0], false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var asked greffe.Decided
	err = bus.Consume(ctx, w.bus, bus.Decided, bus.Consumer{Name: "test-decided"}, func(_ context.Context, d greffe.Decided) error {
		asked = d
		cancel()
		return nil
	})
	if err != nil || asked.Document != two.Documents[0] {
		t.Errorf("asked for %q, %v", asked.Document, err)
	}
}

// The bus lost the event: the document is delivered all the same, in time.
func TestSweepTakesUpWhatNoEventSpeaksOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hl7v2")
	id := w.archive(document(1)).Documents[0]
	i, err := New(w.cfg, w.bus, w.store, w.db, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	for after, want := range map[time.Duration]int{0: 0, 2 * time.Hour: 1} {
		if err := i.sweep(t.Context(), time.Now().Add(after)); err != nil {
			t.Fatal(err)
		}
		if rows, err := w.db.Deliveries(t.Context(), id); err != nil || after > 0 && len(rows) != want {
			t.Errorf("after %s: %+v, %v", after, rows, err)
		}
	}
	w.run()
	w.becomes(id, greffe.StateDelivered)
}

// What a person decided is carried out also when the event was lost, or the index was
// rebuilt, which knows the decision and not that a delivery was under way: once.
func TestDecisionWithoutAnEventIsCarriedOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hl7v2")
	id := w.archive(document(3)).Documents[0]
	long := time.Now().UTC().Truncate(time.Millisecond).Add(-time.Hour)
	for n, o := range []greffe.Outcome{
		{State: greffe.StateWaiting, Code: "AR", Control: "G3", DI: "dpi", At: long},
		{State: greffe.StateRefused, Code: "AE 207 906", Control: "G3", DI: "dpi", At: long.Add(time.Second)},
	} {
		if _, err := w.db.SaveOutcome(t.Context(), id, o, ""); err != nil {
			t.Fatal(n, err)
		}
	}
	d := greffe.Decided{ID: "lost", Document: id, Verb: greffe.VerbRetry, By: "anne", At: long.Add(time.Minute)}
	if _, err := w.db.SaveDecision(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	w.run() // sweeps at once
	w.becomes(id, greffe.StateDelivered)
	if list, err := w.db.Unapplied(t.Context(), time.Now()); err != nil || len(list) > 0 {
		t.Errorf("to be applied again: %+v, %v", list, err)
	}
	if s := w.di.Stats(); s.Messages != 1 || s.New != 1 {
		t.Errorf("%+v", s)
	}
}

// What waits for the DI waits in the index: whoever starts next goes on with it.
func TestWhatWaitsIsTakenUpAtTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hl7v2")
	id := w.archive(document(2)).Documents[0]
	o := greffe.Outcome{State: greffe.StateWaiting, Code: "no answer", Control: "G2", DI: "dpi", At: time.Now().UTC().Truncate(time.Millisecond)}
	if _, err := w.db.SaveOutcome(t.Context(), id, o, ""); err != nil {
		t.Fatal(err)
	}
	w.run()
	if d := w.becomes(id, greffe.StateDelivered); d.Outcome.Control != "G2" {
		t.Errorf("sent again as %q", d.Outcome.Control)
	}
}

// A DI that remembers its answers by MSH-10 would give its technical error again,
// whatever was mended since.
func TestRetryAfterATechnicalErrorIsAnotherMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hl7v2")
	id := w.archive(document(1)).Documents[0]
	d, err := w.db.Document(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	control, _ := identifiers("dpi", d.Identity, "")
	o := greffe.Outcome{State: greffe.StateIncident, Code: "AE 103", Control: control, DI: "dpi", At: time.Now().UTC().Truncate(time.Millisecond)}
	if _, err := w.db.SaveOutcome(t.Context(), id, o, ""); err != nil {
		t.Fatal(err)
	}
	w.run()
	w.decide(id, greffe.VerbRetry)
	if got := w.becomes(id, greffe.StateDelivered).Outcome.Control; got == control {
		t.Errorf("sent again as %q", got)
	}
}

func TestWrongConfigurationsAreNamed(t *testing.T) {
	t.Parallel()
	good := DI{Name: "dpi", Protocol: "hl7v2", MLLP: MLLP{Address: "h:1"}, Sending: "A^B", Receiving: "C^D"}
	for want, change := range map[string]func(*DI){
		"protocol":     func(d *DI) { d.Protocol = "x" },
		"name":         func(d *DI) { d.Name = "" },
		"address":      func(d *DI) { d.MLLP.Address = "h" },
		"receiving":    func(d *DI) { d.Receiving = "" },
		"character":    func(d *DI) { d.Charset = "x" },
		"authorities":  func(d *DI) { d.MLLP.TLS, d.MLLP.CA = true, "/nowhere" },
		"certificate":  func(d *DI) { d.MLLP.TLS, d.MLLP.Certificate = true, "/nowhere" },
		"base":         func(d *DI) { d.Protocol, d.FHIR.Mode = "fhir", "mhd" },
		"mode":         func(d *DI) { d.Protocol, d.FHIR.Base, d.FHIR.Mode = "fhir", "http://h/f", "x" },
		"console":      func(d *DI) { d.Protocol, d.FHIR.Base = "fhir", "http://h/f" },
		"deletion":     func(d *DI) { d.Protocol, d.FHIR = "fhir", FHIR{Base: "http://h/f", Mode: "mhd", Deletion: "x"} },
		"two DIs are ": func(*DI) {},
	} {
		d := good
		change(&d)
		dis := []DI{d}
		if want == "two DIs are " {
			dis = append(dis, d)
		}
		if _, err := New(Config{DIs: dis}, nil, nil, nil, testLog(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	di, err := sandbox.StartDI(sandbox.DIConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, protocol := range []string{"hl7v2", "mhd"} {
		if c := CheckDI(t.Context(), target1(di, protocol)); len(c) != 1 || !c[0].OK {
			t.Errorf("%+v", c)
		}
	}
	di.Close()
	for _, protocol := range []string{"hl7v2", "mhd"} {
		if c := CheckDI(t.Context(), target1(di, protocol)); len(c) != 1 || c[0].OK || !strings.Contains(c[0].Text, "pare-feu") {
			t.Errorf("%+v", c)
		}
	}
	if c := CheckDI(t.Context(), DI{Name: "x"}); len(c) != 1 || c[0].OK {
		t.Errorf("%+v", c)
	}
}
