package console

import (
	"net/http"
	"slices"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// evidence is something archived that the antivirus did not call clean.
type evidence struct {
	Subject  string // message or document, for the journal
	Object   greffe.Object
	Name     string // of the file, as received
	What     string // for the journal: "document", "part 2"
	Findings []greffe.Finding
	Back     string // page to return to
}

// File is the name that the evidence is given under: nobody takes it for the document,
// and no program opens it by its ending.
func (e evidence) File() string { return "SUSPECT-" + e.Name + ".suspect" }

// suspicions returns what the antivirus said about the parts of a message, each rule
// and signature once.
func suspicions(m index.Detail) (found []greffe.Finding) {
	if m.Parsed == nil {
		return nil
	}
	for _, p := range m.Parsed.Parts {
		for _, f := range p.Findings {
			same := func(o greffe.Finding) bool { return o.Rule == f.Rule && o.Text == f.Text }
			if greffe.Unsafe([]greffe.Finding{f}) && !slices.ContainsFunc(found, same) {
				found = append(found, f)
			}
		}
	}
	return found
}

// evidence hands out what is not safe, to an auditor who was warned and asks again
// (POST). A secretary has no use for it.
func (c *Console) evidence(w http.ResponseWriter, r *http.Request, v *visit, e evidence) error {
	e.Findings = slices.DeleteFunc(slices.Clone(e.Findings), func(f greffe.Finding) bool { return !greffe.Unsafe([]greffe.Finding{f}) })
	switch {
	case v.role != auditor:
		c.note(v, "denied", e.Subject, "refused", "suspect "+e.What)
		return errSuspect
	case r.Method != http.MethodPost:
		if err := c.record(v, "read", e.Subject, "ok", "suspect "+e.What); err != nil {
			return err
		}
		return c.render(w, r, v, http.StatusOK, "preuve", page{Title: "Pièce suspecte", Nav: "file", Data: e})
	}
	return c.download(w, r, v, e.Subject, e.Object, e.File(), "application/octet-stream", "suspect "+e.What)
}
