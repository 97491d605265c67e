package greffe

import "slices"

// Deliveries are the outcomes that one document stands on: the last one of each DI that
// it goes to, or one without a DI that is about the document itself (a person must look,
// it came before, it was put aside). Each DI goes its own way.
type Deliveries []Outcome

// Settled reports whether nothing is left to do about s: the DI has it, or nobody
// wants it there.
func (s State) Settled() bool {
	return s == StateDelivered || s == StateDismissed || s == StateDuplicate
}

// At returns the outcome of a DI; ok is false when there is none.
func (d Deliveries) At(di string) (o Outcome, ok bool) {
	if i := d.index(di); i >= 0 {
		return d[i], true
	}
	return Outcome{}, false
}

func (d Deliveries) index(di string) int {
	return slices.IndexFunc(d, func(o Outcome) bool { return o.DI == di })
}

// With returns the deliveries after one more outcome, and whether it changed them: one
// that is older than what it would replace does not. An outcome about the document itself
// takes the place of those of each DI that had not settled it; one of a DI takes the place
// of the one about the document. Nothing leads from a DI's outcome back to StateArchived.
func (d Deliveries) With(o Outcome) (Deliveries, bool) {
	same := d.index(o.DI)
	if o.State == StateArchived && same >= 0 {
		return d, false
	}
	if same >= 0 && o.At.Before(d[same].At) {
		return d, false
	}
	if whole := d.index(""); whole >= 0 && o.At.Before(d[whole].At) {
		return d, false
	}
	var out Deliveries
	for _, x := range d {
		switch {
		case x.DI == o.DI, x.DI == "":
		case o.DI == "" && !x.State.Settled() && o.At.Before(x.At):
			return d, false
		case o.DI == "" && !x.State.Settled():
		default:
			out = append(out, x)
		}
	}
	return append(out, o), true
}

// Gravest returns the outcome that gives the document its state: the one in the most
// pressing state, the latest of several. The zero Outcome when there is none.
func (d Deliveries) Gravest() Outcome {
	var found Outcome
	for _, s := range States {
		for _, o := range d {
			if o.State == s && (found.State == "" || !o.At.Before(found.At)) {
				found = o
			}
		}
		if found.State != "" {
			return found
		}
	}
	return found
}
