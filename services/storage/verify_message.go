package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// message looks at one message of the index: its objects, its manifest, its rows
// and its life in the journal.
func (v *verifier) message(ctx context.Context, id greffe.MessageID) error {
	d, err := v.db.Audit(ctx, id)
	if err != nil {
		return err
	}
	if err := v.compare(ctx, d); err != nil {
		return err
	}
	if err := v.life(ctx, d); err != nil {
		return err
	}
	v.mu.Lock()
	v.rep.Messages++
	if d.ArchivedAt.IsZero() {
		v.rep.Pending++
	}
	v.mu.Unlock()
	v.progress()
	return nil
}

func (v *verifier) progress() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.done++; v.opt.Progress != nil {
		v.opt.Progress(v.done, max(v.total, v.done))
	}
}

// compare holds the manifest against the archive and the index.
func (v *verifier) compare(ctx context.Context, d index.Detail) error {
	if d.ArchivedAt.IsZero() {
		// Only the raw message is promised so far.
		return v.objects(ctx, d.ID, d.Raw, nil)
	}
	m, err := archive.ReadManifest(ctx, v.store, d.Manifest)
	told, failed := v.unreadable(ctx, Problem{Message: d.ID, Key: archive.ManifestKey(d.ID)}, err)
	switch {
	case failed != nil:
		return failed
	case told:
		return v.objects(ctx, d.ID, d.Raw, d.Objects)
	case errors.Is(err, archive.ErrNotFound), errors.Is(err, archive.ErrKey):
		v.add(Problem{Check: CheckManifest, Message: d.ID, Key: archive.ManifestKey(d.ID)}, err)
		return v.objects(ctx, d.ID, d.Raw, d.Objects)
	case errors.Is(err, archive.ErrDigest), errors.Is(err, archive.ErrManifest):
		v.held(CheckManifest, 1)
		v.add(Problem{Check: CheckManifestBytes, Message: d.ID, Key: d.Manifest.Key}, err)
		return v.objects(ctx, d.ID, d.Raw, d.Objects)
	case err != nil:
		return err
	}
	v.held(CheckManifest, 1)
	v.held(CheckManifestBytes, 1)
	v.held(CheckIndexed, 1)
	if v.encrypted {
		v.held(CheckKey, 1)
	}
	if m.Parsed.Received.ID != d.ID {
		v.add(Problem{Check: CheckRow, Message: d.ID, Key: d.Manifest.Key}, errors.New("manifest of another message"))
	} else if wrong, err := v.db.Differences(ctx, &m.Parsed, d.Manifest, m.Raw, m.Objects); err != nil {
		return err
	} else if len(wrong) > 0 {
		v.add(Problem{Check: CheckRow, Message: d.ID, Key: d.Manifest.Key}, errors.New(strings.Join(wrong, ", ")))
	} else {
		v.held(CheckRow, 1)
	}
	if err := v.retention(ctx, d.ID, "", d.Manifest); err != nil {
		return err
	}
	return v.objects(ctx, d.ID, m.Raw, m.Objects)
}

// life holds states against outcomes, and both against the journal. A message that
// changes while it is looked at is looked at again.
func (v *verifier) life(ctx context.Context, d index.Detail) error {
	var state, entries *fault
	look := func() {
		if state, entries = stateOf(d), entriesOf(d); entries == nil {
			entries = factsOf(d)
		}
	}
	look()
	for range 3 {
		if state == nil && entries == nil {
			break
		}
		again, err := v.db.Audit(ctx, d.ID)
		if err != nil {
			return err
		}
		same := len(again.History) == len(d.History)
		d = again
		if look(); same {
			break
		}
	}
	for _, c := range []struct {
		id  CheckID
		bad *fault
	}{{CheckState, state}, {CheckEntries, entries}} {
		if c.bad == nil {
			v.held(c.id, 1)
		} else {
			v.add(Problem{Check: c.id, Message: d.ID, Document: c.bad.document}, errors.New(c.bad.why))
		}
	}
	return nil
}

// fault says which document is wrong, or none for the message, and how.
type fault struct {
	document greffe.DocumentID
	why      string
}

// stateOf returns what in the states of a message does not follow from what
// happened; nil when all does.
func stateOf(d index.Detail) *fault {
	stands := map[greffe.DocumentID]greffe.Deliveries{}
	for _, a := range d.Outcomes { // oldest first
		stands[a.Document], _ = stands[a.Document].With(a.Outcome)
	}
	at := map[greffe.DocumentID]greffe.Deliveries{}
	for _, v := range d.Deliveries {
		if v.Outcome.State != "" {
			at[v.Document] = append(at[v.Document], v.Outcome)
		}
	}
	states := make([]greffe.State, len(d.Documents))
	for i, doc := range d.Documents {
		o := stands[doc.ID].Gravest()
		told := o.State != ""
		want := greffe.StateArchived
		if told {
			want = o.State
		}
		states[i] = doc.State
		bad := func(format string, args ...any) *fault { return &fault{doc.ID, fmt.Sprintf(format, args...)} }
		switch {
		case doc.State != want:
			return bad("state %q, the outcomes give %q", doc.State, want)
		case !reflect.DeepEqual(doc.Outcome, o):
			return bad("the outcome beside the document is not the one that its outcomes give")
		case !sameDeliveries(stands[doc.ID], at[doc.ID]) || !standing(d.Deliveries, doc.ID):
			return bad("what became of it at each DI is not what its outcomes give")
		case doc.DecidedAt.UnixMilli() != o.At.UnixMilli() && told:
			return bad("time of the outcome")
		case !strings.HasPrefix(o.Text, doc.Reason) && strings.ToValidUTF8(o.Text, "") == o.Text && !strings.Contains(o.Text, "\x00"):
			return bad("reason of the state")
		case doc.State == greffe.StateDuplicate != (doc.DuplicateOf != ""):
			return bad("duplicate of %q in state %q", doc.DuplicateOf, doc.State)
		}
	}
	want := greffe.StateReceived
	switch {
	case !d.ArchivedAt.IsZero():
		want = greffe.Summary(d.Kind, states)
	case d.Received.Refused != nil:
		want = greffe.StateTodo
	}
	if want == greffe.StateTodo && greffe.ToRead(d.Kind, states) && greffe.Closed(d.Triages) {
		want = greffe.StateDismissed
	}
	if d.State != want {
		return &fault{"", fmt.Sprintf("state %q, the documents give %q", d.State, want)}
	}
	return nil
}

// sameDeliveries reports whether two lists hold the same outcomes, in any order.
func sameDeliveries(a, b greffe.Deliveries) bool {
	for _, o := range a {
		if x, ok := b.At(o.DI); !ok || !reflect.DeepEqual(x, o) {
			return false
		}
	}
	return len(a) == len(b)
}

// standing reports whether the states of the deliveries of a document are those of their
// outcomes; one without an outcome is only on its way.
func standing(list []index.Delivery, id greffe.DocumentID) bool {
	return !slices.ContainsFunc(list, func(v index.Delivery) bool {
		return v.Document == id && v.State != cmp.Or(v.Outcome.State, greffe.StateArchived)
	})
}

// entriesOf returns what the journal does not say of a message, or says of it
// alone; nil when both agree.
func entriesOf(d index.Detail) *fault {
	type about struct{ action, subject string }
	byWhat := map[about][]greffe.Entry{}
	for _, e := range d.History {
		k := about{e.Action, e.Subject}
		byWhat[k] = append(byWhat[k], e)
	}
	if len(byWhat[about{"received", string(d.ID)}]) == 0 {
		return &fault{"", "no entry says that it was received"}
	}
	archived := func(subject string, digest greffe.Digest) bool {
		list := byWhat[about{"archived", subject}]
		if len(list) == 0 {
			return false
		}
		_, detail := list[len(list)-1].FactDigest()
		return detail == string(digest)
	}
	if !d.ArchivedAt.IsZero() && !archived(string(d.ID), d.Manifest.SHA256) {
		return &fault{"", "no entry says that it was archived with this manifest"}
	}
	if n := len(byWhat[about{"archived", string(d.ID)}]); d.ArchivedAt.IsZero() && n > 0 {
		return &fault{"", "the journal says that it was archived, the index does not"}
	}
	outcomes := map[greffe.DocumentID][]greffe.State{}
	for _, a := range d.Outcomes {
		outcomes[a.Document] = append(outcomes[a.Document], a.Outcome.State)
	}
	decisions := map[greffe.DocumentID][]string{}
	for _, c := range d.Decisions {
		decisions[c.Document] = append(decisions[c.Document], string(c.Verb))
	}
	triages := make([]greffe.Verb, len(d.Triages))
	for i, x := range d.Triages {
		triages[i] = x.Verb
	}
	// The confirmation of a receipt is a decision, too, that the answers hold.
	of := slices.DeleteFunc(slices.Clone(byWhat[about{"decided", string(d.ID)}]), func(e greffe.Entry) bool { return e.Result == "receipt" })
	if why := sameResults(of, triages); why != "" {
		return &fault{"", "decisions: " + why}
	}
	for _, doc := range d.Documents {
		if !archived(string(doc.ID), doc.Facts.SHA256) {
			return &fault{doc.ID, "no entry says that it was archived with these bytes"}
		}
		told := byWhat[about{"delivered", string(doc.ID)}]
		if why := sameResults(told, outcomes[doc.ID]); why != "" {
			return &fault{doc.ID, "outcomes: " + why}
		}
		if why := sameResults(byWhat[about{"decided", string(doc.ID)}], decisions[doc.ID]); why != "" {
			return &fault{doc.ID, "decisions: " + why}
		}
	}
	return nil
}

// sameResults compares the results of entries with those of rows, in any order:
// what comes late has a place of its own in each.
func sameResults[T ~string](entries []greffe.Entry, rows []T) string {
	if len(entries) != len(rows) {
		return fmt.Sprintf("%d in the journal, %d in the index", len(entries), len(rows))
	}
	n := map[string]int{}
	for i := range entries {
		n[entries[i].Result]++
		n[string(rows[i])]--
	}
	for result, k := range n {
		if k != 0 {
			return fmt.Sprintf("journal and index do not agree on %q", result)
		}
	}
	return ""
}
