package console

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"

	"greffe/pkg/archive"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

type documentPage struct {
	D         index.Document
	F         greffe.Document
	N         int // number in the message
	Of        int // documents of the message
	Other     []index.Document
	Message   index.Detail
	View      view
	Integrity integrity
	Attempts  []index.Attempt
	Decisions []greffe.Decided // oldest first
	History   []historyLine
	Lineage   []index.Document // the other versions, oldest first
	Twins     []twinView
	Compared  []comparedView // identities that do not say the same
	Masks     []greffe.Code
	Withheld  bool // masked to professionals: it waits for a person, and nothing she decides sends it
	MayRetry  bool
	MayFile   bool
	Sent      bool // a DI has answered, or failed to
	Unsafe    bool // the antivirus did not call it clean: it is not shown
	Auditor   bool // the person proves: may have it verified, and take it although it is not safe
	Decides   bool // the person's role decides at all
	Stream    string
	Rev       int // of the message
	DocRev    int // of the document: what a decision is about
	Beside    *beside
	Taken     takenBy
	MayReopen bool
	At        []index.Delivery // at each record system, when there are several
	MayAttach bool
	Originals []index.Document // that it may be a copy of
	Triage    triageView
	Here      string // address of this page
	After     string // where a decision leads
}

// integrity is what re-reading the archived bytes showed.
type integrity struct {
	OK      bool
	Missing bool
	Unsure  bool // the archive did not answer: neither proven nor disproven
}

// showDocument shows one document: its header in words, itself in a frame, what
// became of it, and whether it is still what was received.
func (c *Console) showDocument(w http.ResponseWriter, r *http.Request, v *visit) error {
	d, err := c.document(r, v)
	if err != nil {
		return err
	}
	m, err := c.db.Message(r.Context(), d.Message)
	if err != nil {
		return err
	}
	if err := c.record(v, "read", string(d.ID), "ok", ""); err != nil {
		return err
	}
	c.consulted(v, m.Queue.Mailbox)
	taken, err := c.openToDecide(r, v, m.Message) // before the list is read, which shows it
	if err != nil {
		return err
	}
	p := documentPage{
		D: d, F: d.Facts, Message: m, Of: len(m.Documents), View: viewOf(d),
		MayRetry: mayRetry(d), MayFile: mayDismiss(d.State), Sent: d.Outcome.DI != "", Decides: v.role == secretary,
		Unsafe: greffe.Unsafe(d.Facts.Findings), Auditor: v.role == auditor,
		Rev:    revision(m),
		Stream: "/file/flux?message=" + string(d.Message),
	}
	p.At = deliveriesOf(m, d.ID)
	p.Taken, p.DocRev, p.MayReopen, p.Here = taken, documentRevision(m, d.ID), mayReopen(d), r.URL.RequestURI()
	p.MayAttach = mayAttach(d)
	p.Withheld = d.State.Waits() && d.Facts.Marked(greffe.MaskedToProfessionals)
	if p.Beside, err = c.readBeside(r, v, m.Message); err != nil {
		return err
	}
	p.After = afterDecision(p.Here, p.Beside, m.Documents, d.ID)
	if p.Decides {
		if p.Triage, err = c.triageView(r.Context(), v, m); err != nil {
			return err
		}
		if p.MayFile {
			if p.Originals, err = c.originals(r.Context(), v, m, d); err != nil {
				return err
			}
		}
	}
	for i, o := range m.Documents {
		if o.ID == d.ID {
			p.N = i + 1
		} else if !c.masked(v, o) {
			p.Other = append(p.Other, o)
		}
	}
	for _, code := range d.Facts.Confidentiality {
		if code.Code != "N" && code.Code != "" {
			p.Masks = append(p.Masks, code)
		}
	}
	for _, a := range m.Outcomes {
		if a.Document == d.ID {
			p.Attempts = append(p.Attempts, a)
		}
	}
	for _, x := range m.Decisions {
		if x.Document == d.ID {
			p.Decisions = append(p.Decisions, x)
		}
	}
	var entries []index.Entry
	for _, e := range m.History {
		if e.Subject == string(d.ID) || e.Subject == string(d.Message) && !isLook(e.Action) {
			entries = append(entries, e)
		}
	}
	p.History = history(entries)
	if !d.Facts.SetID.IsZero() {
		if p.Lineage, err = c.db.SameLineage(r.Context(), d.Lineage); err != nil {
			return err
		}
		p.Lineage = slices.DeleteFunc(p.Lineage, func(o index.Document) bool {
			return o.ID == d.ID || !v.seesDocument(o) || c.masked(v, o) || o.Identity == d.Identity
		})
	}
	p.Twins = twinsOf(m, d.Facts)
	p.Compared = compared(d.Facts, slices.Concat(p.Other, p.Lineage))
	if p.Integrity, err = c.integrity(r, v, d); err != nil {
		return err
	}
	return c.render(w, r, v, http.StatusOK, "document", page{Title: docTitle(d.Facts), Nav: "file", Wide: true, Scripts: []string{"file.js"}, Data: p})
}

// integrity reads the archived bytes of the document again and compares them with
// the digests taken when it was received. What does not match is journalled.
func (c *Console) integrity(r *http.Request, v *visit, d index.Document) (integrity, error) {
	for _, o := range []greffe.Object{d.Object, d.BodyObject} {
		if o.IsZero() {
			continue
		}
		f, err := c.openVerified(r.Context(), o)
		if err == nil {
			f.Close()
			continue
		}
		if errors.Is(err, archive.ErrDigest) || errors.Is(err, archive.ErrNotFound) {
			return integrity{Missing: errors.Is(err, archive.ErrNotFound)}, c.damaged(v, string(d.ID), err)
		}
		c.log.Error("document not read for its integrity", slog.String("document", string(d.ID)), slog.Any("error", err))
		return integrity{Unsure: true}, nil
	}
	if d.Object.IsZero() {
		return integrity{Missing: true}, nil
	}
	return integrity{OK: true}, nil
}

// damaged writes in the journal that archived bytes are gone or changed.
func (c *Console) damaged(v *visit, subject string, why error) error {
	detail := "digest"
	if errors.Is(why, archive.ErrNotFound) {
		detail = "missing"
	}
	c.log.Error("archived bytes are not what was received", slog.String("subject", subject), slog.String("detail", detail))
	return c.record(v, "integrity", subject, "refused", detail)
}
