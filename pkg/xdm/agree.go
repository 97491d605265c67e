package xdm

import (
	"strings"

	"greffe/pkg/greffe"
)

// checkPatients refuses sets that speak of several patients: ids of the same authority
// with different values.
func (a *Archive) checkPatients() {
	seen := make(map[string]string)
	for i := range a.Sets {
		s := &a.Sets[i]
		ids := append([]greffe.OID{s.PatientID}, s.patients...)
		for _, d := range s.Documents {
			ids = append(append(ids, d.PatientID, d.Patient.INS), d.patients...)
		}
		for _, id := range ids {
			if id.Extension == "" || id.Root == "" {
				continue // ids of no authority cannot be compared
			}
			if other, ok := seen[id.Root]; ok && !strings.EqualFold(other, id.Extension) {
				s.Findings = append(s.Findings, rulePatients.At(where(s.Metadata)))
				break
			}
			seen[id.Root] = id.Extension
		}
	}
}

// checkIDs holds documents that share their unique id or their file, unless one repeats
// the other: the same bytes under the same id, for the same purpose.
func (a *Archive) checkIDs() {
	ids, files := make(map[greffe.OID]*DocumentEntry), make(map[int]*DocumentEntry)
	both := func(r greffe.Rule, d, e *DocumentEntry) {
		for _, d := range []*DocumentEntry{d, e} {
			if !hasRule(d.Findings, r) {
				d.add(r)
			}
		}
	}
	for i := range a.Sets {
		for j := range a.Sets[i].Documents {
			d := &a.Sets[i].Documents[j]
			same, shared := ids[d.UniqueID], files[d.Entry]
			switch {
			case d.UniqueID.IsZero():
			case same == nil:
				ids[d.UniqueID] = d
			case !a.repeats(d, same):
				both(ruleTwice, d, same)
			}
			switch {
			case d.Entry < 0:
			case shared == nil:
				files[d.Entry] = d
			case d.UniqueID != shared.UniqueID || !a.repeats(d, shared):
				both(ruleShared, d, shared)
			}
		}
	}
}

// repeats reports whether d and e are the same file, with the same to be done.
func (a *Archive) repeats(d, e *DocumentEntry) bool {
	if d.Action != e.Action || d.ReplacesEntry != e.ReplacesEntry || d.Entry < 0 || e.Entry < 0 {
		return false
	}
	one, two := a.hash(d.Entry), a.hash(e.Entry)
	return one.err == nil && two.err == nil && one.sha1 == two.sha1
}
