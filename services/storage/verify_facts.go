package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// factsOf returns what the index holds of a message otherwise than the journal tells it:
// each outcome, decision and answer must be, word for word, the fact whose digest its
// sealed entry carries. nil when all is. entriesOf says whether there are as many. Entries
// that were written before facts were kept name none, and are not compared.
func factsOf(d index.Detail) *fault {
	told := map[string]map[string]int{} // facts by subject, counted
	answers := map[string]greffe.Answer{}
	chosen := map[greffe.DocumentID]*greffe.Patient{}
	copies := map[greffe.DocumentID]greffe.DocumentID{}
	old, receipt := map[string]bool{}, time.Time{}
	for _, e := range d.History {
		of := greffe.DocumentID(e.Subject)
		if e.Subject == string(d.ID) {
			of = ""
		}
		if e.Action == "confirmed" && e.Result == "receipt" {
			receipt = e.At
		}
		digest, _ := e.FactDigest()
		if digest == "" {
			old[e.Subject] = old[e.Subject] || e.Action == "delivered" || e.Action == "decided"
			continue
		}
		text, ok := d.Facts[e.Seq]
		if !ok {
			return &fault{of, fmt.Sprintf("what entry %d is about is missing", e.Seq)}
		}
		var m greffe.Matter
		if greffe.DigestOf([]byte(text)) != digest || json.Unmarshal([]byte(text), &m) != nil {
			return &fault{of, fmt.Sprintf("what entry %d is about was changed", e.Seq)}
		}
		if told[e.Subject] == nil {
			told[e.Subject] = map[string]int{}
		}
		switch {
		case m.Outcome != nil:
			told[e.Subject][exactly(m.Outcome)]++
			if m.Outcome.DI == "" {
				copies[of] = m.DuplicateOf
			}
		case m.Decision != nil:
			told[e.Subject][exactly(m.Decision)]++
			if m.Decision.Verb == greffe.VerbAttach && m.Decision.Patient != nil {
				chosen[of] = m.Decision.Patient
			}
		case m.Triage != nil:
			told[e.Subject][exactly(m.Triage)]++
		case m.Answer != nil:
			answers[m.Answer.Key] = *m.Answer
		}
	}
	known := func(subject string, v any) bool {
		x := exactly(v)
		told[subject][x]--
		return old[subject] || told[subject][x] >= 0
	}
	for _, a := range d.Outcomes {
		if !known(string(a.Document), a.Outcome) {
			return &fault{a.Document, fmt.Sprintf("the journal tells no such answer of %q as the index holds: %s %s", a.Outcome.DI, a.Outcome.State, a.Outcome.Code)}
		}
	}
	for _, c := range d.Decisions {
		if !known(string(c.Document), c) {
			return &fault{c.Document, "a decision is not the one that the journal tells"}
		}
	}
	for _, x := range d.Triages {
		if !known(string(d.ID), x) {
			return &fault{"", "a decision about the message is not the one that the journal tells"}
		}
	}
	for _, doc := range d.Documents {
		switch id := string(doc.ID); {
		case old[id]:
		case !reflect.DeepEqual(doc.Chosen, chosen[doc.ID]):
			return &fault{doc.ID, "the patient that a person chose is not the one that the journal tells"}
		case doc.State == greffe.StateDuplicate && copies[doc.ID] != doc.DuplicateOf:
			return &fault{doc.ID, fmt.Sprintf("duplicate of %q, the journal says of %q", doc.DuplicateOf, copies[doc.ID])}
		}
	}
	return answersOf(d.Answers, answers, receipt)
}

func exactly(v any) string {
	b, err := json.Marshal(v)
	if err != nil { // its time is out of range: nothing that was told is like it
		return err.Error()
	}
	return string(b)
}

// answersOf holds the answers to the sender against what the journal tells last of each.
// One that is due was told of only when a person had to be asked first, whose word
// (receipt) is an entry of its own.
func answersOf(rows []greffe.Answer, told map[string]greffe.Answer, receipt time.Time) *fault {
	bad := func(a greffe.Answer, why string) *fault {
		return &fault{"", fmt.Sprintf("answer to the sender (%s, %s): %s", a.Kind, a.State, why)}
	}
	seen := map[string]bool{}
	for _, a := range rows {
		seen[a.Key] = true
		last, ok := told[a.Key]
		switch {
		case a.State == greffe.AnswerDue && !ok:
		case a.State == greffe.AnswerDue && last.State == greffe.AnswerAsked && !receipt.Before(last.At):
		case !ok:
			return bad(a, "the journal tells of none")
		case a.State != last.State, a.Kind != last.Kind, a.Message != last.Message, a.Code != last.Code, a.Recipient != last.Recipient, a.Reason != last.Reason,
			a.At.Sub(last.At).Abs() > clockSlack:
			return bad(a, fmt.Sprintf("the journal tells last of %s, %s, to another address, for another reason or at another time", last.Kind, last.State))
		}
	}
	for key, a := range told {
		if !seen[key] {
			return bad(a, "it is not in the index any more")
		}
	}
	return nil
}

// gates holds what keeps documents from the DIs (a pause, a stop, silence) against what the
// journal tells of it.
func (v *verifier) gates(ctx context.Context) error {
	if !v.opt.whole() {
		v.skip("Seulement quand tous les messages sont vérifiés.", CheckGates)
		return nil
	}
	for range 3 {
		told, err := v.db.ToldGates(ctx)
		if err != nil {
			return err
		}
		now, err := v.db.Gates(ctx)
		if err != nil {
			return err
		}
		again, err := v.db.ToldGates(ctx)
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(told, again) {
			continue // it changed while it was read
		}
		for _, g := range now {
			want := told[g.Name]
			want.Name, want.Configured, want.Test = g.Name, g.Configured, g.Test
			if reflect.DeepEqual(g, want) {
				v.held(CheckGates, 1)
			} else {
				v.add(Problem{Check: CheckGates}, fmt.Errorf("what holds the DI %s is not what the journal tells", g.Name))
			}
			delete(told, g.Name)
		}
		for name, g := range told {
			if !g.Open() {
				v.add(Problem{Check: CheckGates}, fmt.Errorf("the DI %s is held, says the journal, and is not in the index", name))
			}
		}
		return nil
	}
	v.skip("L’état des DI changeait pendant la vérification.", CheckGates)
	return nil
}
