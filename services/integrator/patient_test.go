package integrator

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/pkg/sandbox"
)

// Every row of the table of domain §6.4.
func TestPatientRules(t *testing.T) {
	t.Parallel()
	doc := func(change func(*greffe.Document)) greffe.Document {
		d := document(1)
		if change != nil {
			change(&d)
		}
		return d
	}
	finding := func(rules ...string) greffe.Document {
		return doc(func(d *greffe.Document) {
			d.Verdict = greffe.VerdictHeld
			for _, r := range rules {
				d.Findings = append(d.Findings, greffe.Finding{Rule: r, Severity: greffe.Hold, Text: r})
			}
		})
	}
	who := func(change func(*greffe.Patient)) *greffe.Patient {
		p := patient()
		if change != nil {
			change(&p)
		}
		return &p
	}
	named := func(list ...greffe.Candidate) []greffe.Candidate { return list }
	known := greffe.Candidate{Patient: patient(), Status: "QUAL"}
	like := func(change func(*greffe.Candidate)) greffe.Candidate {
		c := known
		change(&c)
		return c
	}
	pdf := greffe.Document{Format: greffe.FormatPDF}
	seen := map[string]bool{}
	for _, c := range []struct {
		name string
		i    identity
		rule string
		goes bool
		ask  bool
	}{
		{"masked to professionals", identity{document: doc(func(d *greffe.Document) {
			d.Confidentiality = append(d.Confidentiality, greffe.Code{Code: greffe.MaskedToProfessionals})
		}), chosen: who(nil)}, "masked", false, false},
		{"two INS in one document", identity{document: finding("ins.two")}, "two-patients", false, false},
		{"CDA and METADATA.XML name two patients", identity{document: finding("ins.conflict")}, "two-patients", false, false},
		{"the same, and a person chose", identity{document: finding("parser.patient.set"), chosen: who(nil)}, "two-patients", false, false},
		{"a person chose another INS than the document's", identity{document: doc(nil), chosen: who(func(p *greffe.Patient) {
			p.INS.Extension, p.IDs = "155082A99912348", nil
		})}, "chosen-other", false, false},
		{"a person chose a name and a birth date", identity{document: pdf, chosen: &greffe.Patient{BirthFamily: "ESSAI", FirstGiven: "A", BirthDate: "19850214"}}, "chosen-incomplete", false, false},
		{"a person chose an INS with a wrong key", identity{document: pdf, here: "production", chosen: who(func(p *greffe.Patient) {
			p.INS = greffe.OID{Root: "1.2.250.1.213.1.4.8", Extension: "285022999907752"}
			p.IDs = []greffe.OID{p.INS}
		})}, "chosen-wrong", false, false},
		{"a person chose a real INS where none is", identity{document: pdf, chosen: who(func(p *greffe.Patient) {
			p.INS.Root = "1.2.250.1.213.1.4.8"
			p.IDs = []greffe.OID{p.INS}
		})}, "chosen-wrong", false, false},
		{"a plain PDF", identity{document: pdf}, "pdf", false, false},
		{"a plain PDF for which a person chose", identity{document: pdf, chosen: who(nil)}, "no-di-yet", true, false},
		{"two documents of the message name two patients", identity{document: finding("parser.patients")}, "message-patients", false, false},
		{"nothing but names", identity{document: doc(func(d *greffe.Document) { d.Patient.IDs, d.Patient.INS = nil, greffe.OID{} })}, "name-only", false, false},
		{"an IPP and no INS", identity{document: doc(func(d *greffe.Document) {
			d.Patient.INS, d.Patient.IDs = greffe.OID{}, []greffe.OID{{Root: "1.2.3", Extension: "7"}}
		})}, "ins-absent", false, false},
		{"the key is wrong", identity{document: finding("ins.key")}, "ins-wrong", false, false},
		{"the key is missing", identity{document: finding("ins.key.missing")}, "ins-wrong", false, false},
		{"a strict trait is missing", identity{document: finding("ins.traits")}, "traits-missing", false, false},
		{"the key is wrong, and a person chose", identity{document: doc(func(d *greffe.Document) {
			*d = finding("ins.missing")
			d.Patient.INS, d.Patient.IDs = greffe.OID{}, nil
		}), chosen: who(nil)}, "no-di-yet", true, false},
		{"INS and five traits, the DI decides", identity{document: doc(nil), policy: DIDecides}, "di-decides", true, false},
		{"INS and five traits, the DI is asked", identity{document: doc(nil), policy: AskFirst}, "ask", false, true},
		{"the DI knows nobody", identity{document: doc(nil), policy: AskFirst, asked: true}, "patient-unknown", false, false},
		{"the DI closed the record", identity{document: doc(nil), policy: AskFirst, asked: true, named: named(like(func(c *greffe.Candidate) { c.Closed = true }))}, "patient-closed", false, false},
		{"the DI knows two", identity{document: doc(nil), policy: AskFirst, asked: true, named: named(known, known)}, "patient-several", false, false},
		{"a strict trait differs", identity{document: doc(nil), policy: AskFirst, asked: true, named: named(like(func(c *greffe.Candidate) { c.Patient.BirthDate = "19850215" }))}, "trait-differs", false, false},
		{"a strict trait differs from whom a person chose", identity{document: pdf, chosen: who(nil), policy: AskFirst, asked: true,
			named: named(like(func(c *greffe.Candidate) { c.Patient.Sex = "M" }))}, "trait-differs", false, false},
		{"not qualified", identity{document: doc(nil), policy: AskFirst, asked: true, named: named(like(func(c *greffe.Candidate) { c.Status = "VALI" }))}, "not-qualified", false, false},
		{"exact", identity{document: doc(nil), policy: AskFirst, asked: true, named: named(known)}, "exact", true, false},
		{"exact, one merged into the other", identity{document: doc(nil), policy: AskFirst, asked: true, named: named(known, like(func(c *greffe.Candidate) { c.Closed = true }))}, "exact", true, false},
		{"the DI lacks a trait", identity{document: doc(nil), policy: AskFirst, asked: true, named: named(like(func(c *greffe.Candidate) { c.Patient.BirthPlace = "" }))}, "not-exact", false, false},
		{"the DI lacks a trait, and a person chose", identity{document: doc(nil), chosen: who(nil), policy: AskFirst, asked: true,
			named: named(like(func(c *greffe.Candidate) { c.Patient.BirthPlace = "" }))}, "vouched", true, false},
		{"a hyphen", identity{document: doc(nil), policy: AskFirst, asked: true, named: named(like(func(c *greffe.Candidate) { c.Patient.BirthFamily = "ESSAI KERVELLA" }))}, "not-exact", false, false},
	} {
		j := judge(c.i)
		seen[j.name] = true
		if j.name != c.rule || (j.todo == "" && !j.ask) != c.goes || j.ask != c.ask {
			t.Errorf("%s: %+v, want %s", c.name, j, c.rule)
		}
	}
	for _, r := range patientRules {
		if !seen[r.name] {
			t.Errorf("rule %s is not tested", r.name)
		}
	}
}

// attach publishes that a person chose a patient.
func (w *world) attach(id greffe.DocumentID, p greffe.Patient, remember bool) {
	w.t.Helper()
	d := greffe.Decided{ID: fmt.Sprint("attach-", w.uid.Add(1)), Document: id, Verb: greffe.VerbAttach, Patient: &p, Remember: remember, By: "secretaire", At: time.Now().UTC(),
		Compared: []greffe.Compared{{Trait: "birth_family", Document: "A", Chosen: p.BirthFamily, Is: "differs"}}}
	if err := bus.Publish(w.t.Context(), w.bus, bus.Decided, d); err != nil {
		w.t.Fatal(err)
	}
}

// asking is a world whose DI is asked first.
func asking(t *testing.T) *world {
	w := newWorld(t, "mhd")
	w.cfg.DIs[0].Patient = AskFirst
	return w
}

// The DI is asked who the patient is before anything is sent.
func TestAskFirst(t *testing.T) {
	t.Parallel()
	w := asking(t)
	w.run()
	w.becomes(w.receive(document(1))[0], greffe.StateDelivered)
	stranger := w.receive(unknown(document(2)))[0]
	if d := w.becomes(stranger, greffe.StateTodo); d.Outcome.Code != "patient-unknown" {
		t.Errorf("%+v", d.Outcome)
	}
	other := document(3)
	other.Patient.BirthFamily = "AUTRE"
	id := w.receive(other)[0]
	d := w.becomes(id, greffe.StateTodo)
	if d.Outcome.Code != "trait-differs" || !strings.Contains(d.Reason, "le nom") || len(d.Outcome.Candidates) != 1 || d.Outcome.Candidates[0].Patient.BirthFamily != patient().BirthFamily {
		t.Errorf("%+v", d.Outcome)
	}
	if s := w.di.Stats(); s.New != 1 || len(s.Refused) != 0 {
		t.Errorf("%+v", s)
	}
	w.attach(id, d.Outcome.Candidates[0].Patient, false)
	w.becomes(id, greffe.StateDelivered)
	// In the journal without a trait, in its fact with all.
	list, err := w.db.JournalAfter(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if strings.Contains(e.Detail+e.Result, "KERVELLA") {
			t.Errorf("%+v", e)
		}
	}
	facts, err := w.db.Facts(t.Context(), 1, 10_000)
	if err != nil || !slices.ContainsFunc(facts, func(f greffe.Fact) bool {
		return strings.Contains(string(f.Text), `"compared":[{"trait":"birth_family"`)
	}) {
		t.Errorf("the comparison is in no fact: %v", err)
	}
}

// What a person decided is for this document, and for its next versions only when asked;
// and only while they name the same patient.
func TestRememberedPatient(t *testing.T) {
	t.Parallel()
	for _, remember := range []bool{false, true} {
		t.Run(fmt.Sprint(remember), func(t *testing.T) {
			t.Parallel()
			w := asking(t)
			w.run()
			odd := func(n int, family string) greffe.Document {
				d := version(n)
				d.Patient.BirthFamily = family
				return d
			}
			one := w.receive(odd(1, "AUTRE"))[0]
			w.becomes(one, greffe.StateTodo)
			w.attach(one, patient(), remember)
			w.becomes(one, greffe.StateDelivered)
			two := w.receive(odd(2, "AUTRE"))[0]
			if !remember {
				w.becomes(two, greffe.StateTodo)
				return
			}
			w.becomes(two, greffe.StateDelivered)
			if d := w.becomes(w.receive(odd(3, "ENCORE"))[0], greffe.StateTodo); d.Outcome.Code == "" || d.Chosen != nil {
				t.Errorf("%+v", d.Outcome)
			}
			w.stats(1, 1, 0, 0)
		})
	}
}

// A PDF without a header goes to the patient that a person chose, and to that one once.
func TestPlainPDFGoesToTheChosenPatient(t *testing.T) {
	t.Parallel()
	sheet := func() greffe.Document {
		return greffe.Document{Format: greffe.FormatPDF, Action: greffe.ActionNew, MediaType: "application/pdf", Verdict: greffe.VerdictOK}
	}
	for _, protocol := range []string{"mhd", "hl7v2"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, protocol)
			w.run()
			id := w.receive(sheet())[0]
			w.becomes(id, greffe.StateTodo)
			w.attach(id, greffe.Patient{BirthFamily: "ESSAI-KERVELLA", FirstGiven: "MAELLE", BirthDate: "19850214"}, false)
			w.until(id, func(d index.Document) bool { return d.Outcome.Code == "chosen-incomplete" }, "a name and a date are not enough")
			w.attach(id, patient(), false)
			if protocol == "hl7v2" { // hl7.plain_pdf is not set
				if d := w.until(id, func(d index.Document) bool { return d.Outcome.Code == "no-pdf" }, "no-pdf"); d.Outcome.DI != "dpi" {
					t.Errorf("%+v", d.Outcome)
				}
				return
			}
			w.becomes(id, greffe.StateDelivered)
			again := w.receive(sheet())[0]
			w.becomes(again, greffe.StateTodo) // the same sheet may be for somebody else
			w.attach(again, patient(), false)
			w.becomes(again, greffe.StateDuplicate)
			other := patient()
			other.INS.Extension, other.IDs = "155082A99912348", []greffe.OID{{Root: rootINS, Extension: "155082A99912348"}}
			other.BirthFamily, other.Sex, other.BirthDate = "ESSAI-SANTONI", "M", "19550812"
			w.di.AddPatient(other)
			third := w.receive(sheet())[0]
			w.becomes(third, greffe.StateTodo)
			w.attach(third, other, false)
			w.becomes(third, greffe.StateDelivered)
			if s := w.di.Stats(); s.New != 2 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// A DI that does not say who the patient is is waited for, and nothing is sent.
func TestADIThatDoesNotSayIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := asking(t)
	w.di.Obey(sandbox.DIRule{Behaviour: sandbox.DIBusy})
	w.run()
	id := w.receive(document(1))[0]
	w.becomes(id, greffe.StateWaiting)
	w.di.Obey(sandbox.DIRule{})
	w.becomes(id, greffe.StateDelivered)
	w.stats(1, 0, 0, 0)
}
