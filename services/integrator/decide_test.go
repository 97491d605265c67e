package integrator

import (
	"slices"
	"testing"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// Every row of the table, with what makes it decide.
func TestDecide(t *testing.T) {
	t.Parallel()
	doc := func(change func(*greffe.Document)) index.Document {
		d := document(2)
		if change != nil {
			change(&d)
		}
		return index.Document{ID: "M-1", Facts: d, State: greffe.StateArchived}
	}
	replaces := func(d *greffe.Document) {
		d.Action, d.Version, d.Replaces = greffe.ActionReplace, 2, document(1).UniqueID
	}
	first := func(state greffe.State) *index.Document {
		d := index.Document{ID: "M-0", Facts: document(1), State: state}
		if state == greffe.StateDelivered || state == greffe.StateWaiting {
			d.Outcome.Control = "G0"
		}
		return &d
	}
	other := func(sha greffe.Digest) *index.Document {
		d := doc(func(d *greffe.Document) { d.SHA256 = sha })
		return &d
	}
	later := func(state greffe.State, control string) []index.Document {
		d := index.Document{ID: "M-3", Facts: document(3), State: state}
		d.Facts.Action, d.Facts.Replaces = greffe.ActionReplace, document(2).UniqueID
		d.Outcome.Control = control
		return []index.Document{d}
	}
	deletion := doc(func(d *greffe.Document) { d.Action = greffe.ActionDelete })
	deleted := func(state greffe.State, control string) []index.Document {
		d := deletion
		d.State, d.Outcome.Control = state, control
		return []index.Document{d}
	}
	elses := func(d *index.Document) *index.Document {
		d.Facts = unknown(d.Facts)
		return d
	}
	finding := []greffe.Finding{{Severity: greffe.Warning, Text: "a"}, {Severity: greffe.Hold, Text: "b"}, {Severity: greffe.Refuse, Text: "c"}}
	malware := func(d *greffe.Document) {
		d.Verdict, d.Findings = greffe.VerdictRefused, append(finding, greffe.Finding{Rule: "antivirus.found", Severity: greffe.Hold, Text: "e"})
	}
	set := greffe.OID{Root: "1.2.3"}

	seen := map[string]bool{}
	for _, c := range []struct {
		name string
		s    situation
		rule string
		want plan
	}{
		{"no DI", situation{doc: doc(nil)}, "no-di", plan{}},
		{"a type that no DI of the mailbox takes", situation{other: true, doc: doc(nil)}, "no-type", plan{state: greffe.StateTodo}},
		{"a PDF with its patient, for a DI that takes none", situation{di: true, doc: func() index.Document {
			d, p := doc(func(d *greffe.Document) {
				d.Format, d.UniqueID, d.Patient = greffe.FormatPDF, greffe.OID{}, greffe.Patient{}
			}), patient()
			d.Chosen = &p
			return d
		}()}, "no-pdf", plan{state: greffe.StateTodo}},
		{"same document again", situation{di: true, doc: doc(nil), same: other("")}, "duplicate", plan{state: greffe.StateDuplicate}},
		{"same number, other bytes", situation{di: true, doc: doc(nil), same: other("x")}, "same-number", plan{state: greffe.StateTodo}},
		{"held", situation{di: true, doc: doc(func(d *greffe.Document) { d.Verdict, d.Findings = greffe.VerdictHeld, finding[:2] })},
			"verdict", plan{state: greffe.StateTodo, text: "b"}},
		{"refused", situation{di: true, doc: doc(func(d *greffe.Document) { d.Verdict, d.Findings = greffe.VerdictRefused, finding })},
			"verdict", plan{state: greffe.StateTodo, text: "c"}},
		{"held, and a person retries", situation{di: true, asks: true, doc: doc(func(d *greffe.Document) { d.Verdict = greffe.VerdictHeld })},
			"verdict", plan{state: greffe.StateTodo}},
		{"malware, without a DI", situation{doc: doc(malware)}, "unsafe", plan{state: greffe.StateTodo, text: "e"}},
		{"malware, in a copy", situation{di: true, doc: doc(malware), same: other("")}, "unsafe", plan{state: greffe.StateTodo, text: "e"}},
		{"malware, and a person insists", situation{di: true, asks: true, doc: doc(malware)}, "unsafe", plan{state: greffe.StateTodo, text: "e"}},
		{"masked", situation{di: true, doc: doc(func(d *greffe.Document) {
			d.Confidentiality = append(d.Confidentiality, greffe.Code{Code: greffe.MaskedToProfessionals})
		})}, "masked", plan{state: greffe.StateTodo}},
		{"hidden from the patient goes its way", situation{di: true, doc: doc(func(d *greffe.Document) {
			d.Confidentiality = append(d.Confidentiality, greffe.Code{Code: greffe.HiddenFromPatient})
		})}, "new", plan{action: greffe.ActionNew, claims: true}},
		{"PDF", situation{di: true, doc: doc(func(d *greffe.Document) { d.Format = greffe.FormatPDF })}, "pdf", plan{state: greffe.StateTodo}},
		{"HPRIM", situation{di: true, doc: doc(func(d *greffe.Document) { d.Format = greffe.FormatHPRIM })}, "hprim", plan{state: greffe.StateTodo}},
		{"image", situation{di: true, doc: doc(func(d *greffe.Document) { d.Format = greffe.FormatImage })}, "other-format", plan{state: greffe.StateTodo}},
		{"no number", situation{di: true, doc: doc(func(d *greffe.Document) { d.UniqueID = greffe.OID{} })}, "no-number", plan{state: greffe.StateTodo}},
		{"no patient", situation{di: true, doc: doc(func(d *greffe.Document) { d.Patient.IDs = nil })}, "name-only", plan{state: greffe.StateTodo}},
		{"unknown action", situation{di: true, doc: doc(func(d *greffe.Document) { d.Action = "X" })}, "unknown-action", plan{state: greffe.StateTodo}},

		{"replaces a document of another patient", situation{di: true, doc: doc(replaces), parent: elses(first(greffe.StateDelivered))}, "other-patient", plan{state: greffe.StateTodo}},
		{"the same, and a person insists", situation{di: true, asks: true, doc: doc(replaces), parent: elses(first(greffe.StateDelivered))}, "other-patient", plan{state: greffe.StateTodo}},
		{"deletes a document of another patient", situation{di: true, doc: deletion, creation: elses(first(greffe.StateDelivered))}, "other-patient", plan{state: greffe.StateTodo}},
		{"a higher version of its set is about another patient", situation{di: true, doc: doc(nil), lineage: []index.Document{*elses(&later(greffe.StateDelivered, "G3")[0])}},
			"other-patient", plan{state: greffe.StateTodo}},
		{"a deletion of its number is about another patient", situation{di: true, doc: doc(nil), lineage: []index.Document{*elses(&deleted(greffe.StateDelivered, "G4")[0])}},
			"other-patient", plan{state: greffe.StateTodo}},
		{"another version of its number is about another patient", situation{di: true, doc: doc(nil), lineage: []index.Document{*elses(other("x"))}},
			"other-patient", plan{state: greffe.StateTodo}},
		{"the same, put aside", situation{di: true, doc: doc(nil), lineage: func() []index.Document {
			d := elses(other("x"))
			d.State = greffe.StateDismissed
			return []index.Document{*d}
		}()}, "new", plan{action: greffe.ActionNew, claims: true}},
		{"its number was sent with other bytes", situation{di: true, doc: doc(nil), lineage: func() []index.Document {
			d := other("x")
			d.State, d.Outcome.Control = greffe.StateDelivered, "G1"
			return []index.Document{*d}
		}()}, "same-number-again", plan{state: greffe.StateTodo}},

		{"its deletion came first", situation{di: true, doc: doc(nil), lineage: deleted(greffe.StateRefused, "G4")}, "withdrawn", plan{state: greffe.StateDismissed, claims: true}},
		{"its deletion may be there", situation{di: true, doc: doc(nil), lineage: deleted(greffe.StateWaiting, "G4")}, "newer-under-way", plan{wait: true}},
		{"its deletion waits for it", situation{di: true, doc: doc(nil), lineage: deleted(greffe.StateArchived, "")}, "new", plan{action: greffe.ActionNew, claims: true}},
		{"a deletion that is held has no effect", situation{di: true, doc: doc(nil), lineage: deleted(greffe.StateTodo, "")}, "new", plan{action: greffe.ActionNew, claims: true}},
		{"a deletion that was put aside has no effect", situation{di: true, doc: doc(nil), lineage: deleted(greffe.StateDismissed, "G4")}, "new", plan{action: greffe.ActionNew, claims: true}},
		{"the next version is there", situation{di: true, doc: doc(nil), lineage: later(greffe.StateDelivered, "G3")}, "obsolete", plan{state: greffe.StateDismissed, claims: true}},
		{"a higher version of the set is there", situation{di: true, doc: doc(func(d *greffe.Document) { d.SetID = set }), lineage: []index.Document{
			{ID: "M-3", State: greffe.StateDelivered, Outcome: greffe.Outcome{Control: "G3"}, Facts: greffe.Document{SetID: set, Version: 2}},
		}}, "obsolete", plan{state: greffe.StateDismissed, claims: true}},
		{"the next version may be there", situation{di: true, doc: doc(nil), lineage: later(greffe.StateWaiting, "G3")}, "newer-under-way", plan{wait: true}},
		{"the next version was not sent yet", situation{di: true, doc: doc(nil), lineage: later(greffe.StateArchived, "")}, "new", plan{action: greffe.ActionNew, claims: true}},
		{"the next version was refused", situation{di: true, doc: doc(nil), lineage: later(greffe.StateRefused, "G3")}, "new", plan{action: greffe.ActionNew, claims: true}},

		{"deletion", situation{di: true, doc: deletion, creation: first(greffe.StateDelivered)}, "delete", plan{action: greffe.ActionDelete, claims: true}},
		{"deletion of what Greffe never had", situation{di: true, doc: deletion}, "delete", plan{action: greffe.ActionDelete, claims: true}},
		{"deletion that may have overtaken its creation", situation{di: true, doc: deletion, young: true}, "delete-first", plan{wait: true}},
		{"deletion of what is still to be sent", situation{di: true, doc: deletion, creation: first(greffe.StateWaiting)}, "delete-too-soon", plan{wait: true}},

		{"new", situation{di: true, doc: doc(nil)}, "new", plan{action: greffe.ActionNew, claims: true}},
		{"new without INS", situation{di: true, doc: doc(func(d *greffe.Document) { d.Patient.INS = greffe.OID{} })}, "ins-absent", plan{state: greffe.StateTodo}},
		{"replacement", situation{di: true, doc: doc(replaces), parent: first(greffe.StateDelivered)}, "replace",
			plan{action: greffe.ActionReplace, parent: document(1).UniqueID, claims: true}},
		{"two that replace each other", situation{di: true, doc: doc(replaces), parent: func() *index.Document {
			d := first(greffe.StateArchived)
			d.Facts.Replaces = document(2).UniqueID
			return d
		}()}, "circle", plan{state: greffe.StateTodo}},
		{"replacement that says new", situation{di: true, doc: doc(func(d *greffe.Document) { replaces(d); d.Action = greffe.ActionNew }), parent: first(greffe.StateDelivered)},
			"replace", plan{action: greffe.ActionReplace, parent: document(1).UniqueID, claims: true}},
		{"replacement found by set", situation{di: true, doc: doc(func(d *greffe.Document) { d.Action, d.SetID = greffe.ActionReplace, set }), parent: first(greffe.StateDelivered)},
			"replace", plan{action: greffe.ActionReplace, parent: document(1).UniqueID, claims: true}},
		{"replacement before its parent is through", situation{di: true, doc: doc(replaces), parent: first(greffe.StateArchived)}, "replace-too-soon", plan{wait: true}},
		{"replacement whose parent was refused", situation{di: true, doc: doc(replaces), parent: first(greffe.StateRefused)}, "replace-blocked", plan{state: greffe.StateTodo}},
		{"the same, and a person insists", situation{di: true, asks: true, doc: doc(replaces), parent: first(greffe.StateRefused)}, "replace-dismissed", plan{action: greffe.ActionNew, claims: true}},
		{"replacement whose parent was dismissed", situation{di: true, doc: doc(replaces), parent: first(greffe.StateDismissed)}, "replace-dismissed", plan{action: greffe.ActionNew, claims: true}},
		{"replacement that was sent before its parent came", situation{di: true, doc: func() index.Document {
			d := doc(replaces)
			d.State, d.Outcome.Control = greffe.StateWaiting, "G2"
			return d
		}(), parent: first(greffe.StateArchived)}, "replace-waiting", plan{action: greffe.ActionReplace, parent: document(1).UniqueID, claims: true}},
		{"replacement that may have overtaken its parent", situation{di: true, doc: doc(replaces), young: true}, "replace-first", plan{wait: true}},
		{"new document just arrived", situation{di: true, doc: doc(nil), young: true}, "new", plan{action: greffe.ActionNew, claims: true}},
		{"replacement of what Greffe never had", situation{di: true, doc: doc(replaces)}, "replace-unknown", plan{action: greffe.ActionReplace, parent: document(1).UniqueID, claims: true}},
		{"the same, not said in the metadata", situation{di: true, doc: doc(func(d *greffe.Document) {
			replaces(d)
			d.Findings = []greffe.Finding{{Rule: "xdm.cda.action", Severity: greffe.Warning}}
		})}, "replace-unsaid", plan{action: greffe.ActionNew, claims: true}},
		{"replacement of nothing", situation{di: true, doc: doc(func(d *greffe.Document) { d.Action = greffe.ActionReplace })}, "replace-nothing", plan{action: greffe.ActionNew, claims: true}},
	} {
		seen[c.rule] = true
		got, held := admit(c.s)
		if !held {
			got = decide(c.s)
		}
		if got.rule != c.rule {
			t.Errorf("%s: rule %q, want %q", c.name, got.rule, c.rule)
			continue
		}
		if got.state != "" && got.text == "" {
			t.Errorf("%s: no reason is given", c.name)
		}
		if c.want.text == "" {
			got.text = ""
		}
		got.rule = ""
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	for _, r := range slices.Concat(documentRules, rules) {
		if !seen[r.name] {
			t.Errorf("rule %s is not tested", r.name)
		}
	}
}

func TestStuck(t *testing.T) {
	t.Parallel()
	at := func(state greffe.State, age time.Duration) *index.Document {
		return &index.Document{State: state, ArchivedAt: time.Now().Add(-age)}
	}
	for name, c := range map[string]struct {
		s    situation
		want bool
	}{
		"nothing is waited for":     {situation{doc: *at("", 2*time.Hour)}, false},
		"the parent was never sent": {situation{doc: *at("", 2*time.Hour), parent: at(greffe.StateArchived, 2*time.Hour)}, true},
		"the parent waits":          {situation{doc: *at("", 2*time.Hour), parent: at(greffe.StateWaiting, 2*time.Hour)}, false},
		"the parent has just come":  {situation{doc: *at("", 2*time.Hour), parent: at(greffe.StateArchived, time.Minute)}, false},
		"the creation never went":   {situation{doc: *at("", 2*time.Hour), creation: at(greffe.StateArchived, 2*time.Hour)}, true},
	} {
		if got := stuck(c.s); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestIdentifiers(t *testing.T) {
	t.Parallel()
	control, uuid := identifiers("dpi", "identity", "")
	if c, u := identifiers("dpi", "identity", ""); c != control || u != uuid || len(c) != 20 || len(u) != 36 {
		t.Errorf("%q %q", c, u)
	}
	if c, u := identifiers("ris", "identity", ""); c == control || u == uuid {
		t.Error("two DIs share identifiers")
	}
	if c, u := identifiers("dpi", "identity", "decision"); c == control || u != uuid {
		t.Error("a delivery after a refusal needs another MSH-10 and the same identifier")
	}
}
