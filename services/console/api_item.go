package console

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// apiDoc is a document as a script sees it.
type apiDoc struct {
	ID          greffe.DocumentID `json:"id"`
	Message     greffe.MessageID  `json:"message"`
	State       greffe.State      `json:"state"`
	Reason      string            `json:"reason,omitempty"`
	Cause       greffe.Cause      `json:"cause,omitempty"`
	DuplicateOf greffe.DocumentID `json:"duplicate_of,omitempty"`
	Revision    int               `json:"revision"` // what a decision is about
	ReceivedAt  time.Time         `json:"received_at"`
	ArchivedAt  time.Time         `json:"archived_at,omitzero"`
	Origin      apiPlace          `json:"origin"`
	Queue       apiPlace          `json:"queue"`
	Facts       greffe.Document   `json:"facts"`
	Chosen      *greffe.Patient   `json:"chosen,omitempty"` // whom a person said that it is about
	Readable    bool              `json:"readable"`         // it holds a file for people: see /readable
	Suspect     bool              `json:"suspect"`          // the antivirus did not call it clean
	Deliveries  []apiDelivery     `json:"deliveries"`
	Outcomes    []greffe.Outcome  `json:"outcomes"`  // oldest first
	Decisions   []greffe.Decided  `json:"decisions"` // oldest first
	Allowed     []greffe.Verb     `json:"allowed"`   // decisions that its state allows this token now
	Originals   []apiChoice       `json:"originals,omitempty"`
}

// apiDelivery is how a document stands at one record system.
type apiDelivery struct {
	DI      string         `json:"di"`
	State   greffe.State   `json:"state"`
	Due     time.Time      `json:"due,omitzero"`
	Tries   int            `json:"tries"`
	Outcome greffe.Outcome `json:"outcome,omitzero"`
}

func (c *Console) apiDoc(v *visit, m index.Detail, d index.Document) apiDoc {
	doc := apiDoc{ID: d.ID, Message: d.Message, State: d.State, Reason: d.Reason, Cause: d.Outcome.Cause(), DuplicateOf: d.DuplicateOf, Revision: documentRevision(m, d.ID), ReceivedAt: d.ReceivedAt.UTC(), ArchivedAt: d.ArchivedAt,
		Origin: placeOf(d.Origin), Queue: placeOf(d.Queue), Facts: d.Facts, Chosen: d.Chosen, Readable: !d.BodyObject.IsZero(), Suspect: greffe.Unsafe(d.Facts.Findings),
		Deliveries: []apiDelivery{}, Outcomes: []greffe.Outcome{}, Decisions: []greffe.Decided{}, Allowed: []greffe.Verb{}}
	for _, x := range m.Deliveries {
		if x.Document == d.ID && x.DI != "" {
			doc.Deliveries = append(doc.Deliveries, apiDelivery{x.DI, x.State, x.Due, x.Tries, x.Outcome})
		}
	}
	for _, a := range m.Outcomes {
		if a.Document == d.ID {
			doc.Outcomes = append(doc.Outcomes, a.Outcome)
		}
	}
	for _, x := range m.Decisions {
		if x.Document == d.ID {
			doc.Decisions = append(doc.Decisions, x)
		}
	}
	if v.role == secretary {
		for _, x := range []struct {
			verb greffe.Verb
			may  bool
		}{{greffe.VerbRetry, mayRetry(d)}, {greffe.VerbDismiss, mayDismiss(d.State)}, {greffe.VerbRefuse, mayDismiss(d.State)}, {greffe.VerbCopy, mayDismiss(d.State)}, {greffe.VerbReopen, mayReopen(d)}, {greffe.VerbAttach, mayAttach(d)}} {
			if x.may {
				doc.Allowed = append(doc.Allowed, x.verb)
			}
		}
	}
	return doc
}

// apiDocument tells all that is known about one document.
func (c *Console) apiDocument(w http.ResponseWriter, r *http.Request, v *visit) error {
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
	doc := c.apiDoc(v, m, d)
	if slices.Contains(doc.Allowed, greffe.VerbCopy) {
		originals, err := c.originals(r.Context(), v, m, d)
		if err != nil {
			return err
		}
		for _, o := range originals {
			doc.Originals = append(doc.Originals, apiChoice{string(o.ID), docTitle(o.Facts)})
		}
	}
	return answerJSON(w, r, http.StatusOK, doc)
}

// apiMail is a message as a script sees it.
type apiMail struct {
	ID         greffe.MessageID `json:"id"`
	State      greffe.State     `json:"state"`
	Cause      greffe.Cause     `json:"cause,omitempty"`
	Revision   int              `json:"revision"`
	ReceivedAt time.Time        `json:"received_at"`
	ArchivedAt time.Time        `json:"archived_at,omitzero"`
	Origin     greffe.Origin    `json:"origin"`
	Queue      apiPlace         `json:"queue"`
	Size       int64            `json:"size"`
	SHA256     greffe.Digest    `json:"sha256,omitempty"`
	Verdict    greffe.Verdict   `json:"verdict,omitempty"`
	Header     greffe.Message   `json:"header"`
	Findings   []greffe.Finding `json:"findings"`
	Parts      []apiPartOf      `json:"parts"`
	Documents  []apiDoc         `json:"documents"`
	Answers    []greffe.Answer  `json:"answers"`
	Decisions  []greffe.Triaged `json:"decisions"`
	Assignee   string           `json:"assignee,omitempty"`
	Later      time.Time        `json:"later,omitzero"`
	Held       bool             `json:"held"` // under a legal hold
	Suspect    bool             `json:"suspect"`
	Allowed    []greffe.Verb    `json:"allowed"`
	Colleagues []apiChoice      `json:"colleagues,omitempty"` // whom it may be passed to
	Services   []apiChoice      `json:"services,omitempty"`   // mailboxes into whose queue it may be put
}

// apiPartOf is a part with its number, which is how its bytes are asked for.
type apiPartOf struct {
	N       int  `json:"n"`
	Kept    bool `json:"kept"` // its bytes are archived
	Suspect bool `json:"suspect"`
	greffe.Part
}

// apiMessage tells all that is known about one message.
func (c *Console) apiMessage(w http.ResponseWriter, r *http.Request, v *visit) error {
	m, err := c.message(r, v)
	if err != nil {
		return err
	}
	if err := c.record(v, "read", string(m.ID), "ok", ""); err != nil {
		return err
	}
	p := apiMail{ID: m.ID, State: m.State, Cause: m.Cause, Revision: revision(m), ReceivedAt: m.ReceivedAt.UTC(), ArchivedAt: m.ArchivedAt, Origin: m.Origin, Queue: placeOf(m.Queue), Size: m.Size,
		SHA256: m.Raw.SHA256, Verdict: m.Verdict, Findings: []greffe.Finding{}, Parts: []apiPartOf{}, Documents: []apiDoc{}, Answers: []greffe.Answer{}, Decisions: []greffe.Triaged{},
		Assignee: m.Assignee, Later: m.Later, Suspect: len(suspicions(m)) > 0, Allowed: []greffe.Verb{}}
	p.Answers, p.Decisions = append(p.Answers, m.Answers...), append(p.Decisions, m.Triages...)
	if f := m.Received.Refused; f != nil {
		p.Findings = append(p.Findings, *f)
	}
	if m.Parsed != nil {
		p.Header = m.Parsed.Message
		p.Findings = append(p.Findings, m.Parsed.Findings...)
		for i, part := range m.Parsed.Parts {
			_, kept := m.Objects[part.Path]
			unsafe := greffe.Unsafe(part.Findings)
			if unsafe && (part.Kind == greffe.PartText || part.Kind == greffe.PartHTML) {
				p.Header.Body = ""
			}
			p.Parts = append(p.Parts, apiPartOf{i, kept, unsafe, part})
		}
	}
	for _, d := range m.Documents {
		p.Documents = append(p.Documents, c.apiDoc(v, m, d))
	}
	if _, p.Held, err = c.db.HoldOf(r.Context(), m.ID); err != nil {
		return err
	}
	if v.role == secretary {
		for _, verb := range messageVerbs {
			if mayTriage(m, verb, p.Held) {
				p.Allowed = append(p.Allowed, verb)
			}
		}
		t, err := c.triageView(r.Context(), v, m)
		if err != nil {
			return err
		}
		for _, x := range t.People {
			p.Colleagues = append(p.Colleagues, apiChoice{x.Key, x.Label})
		}
		for _, x := range t.Desks {
			p.Services = append(p.Services, apiChoice{x.Key, x.Label})
		}
	}
	return answerJSON(w, r, http.StatusOK, p)
}

// apiEntry is a line of the journal, with the sentence that the pages write.
type apiEntry struct {
	Seq     int64         `json:"seq"`
	At      time.Time     `json:"at"`
	Actor   string        `json:"actor"`
	Action  string        `json:"action"`
	Subject string        `json:"subject,omitempty"`
	From    string        `json:"from,omitempty"`
	Result  string        `json:"result,omitempty"`
	Detail  string        `json:"detail,omitempty"`
	Text    string        `json:"text"`
	Hash    greffe.Digest `json:"hash"`
}

type apiEntries struct {
	Items []apiEntry `json:"items"`
	Next  int64      `json:"next,omitempty"` // cursor of the journal
}

func entriesOf(list []index.Entry) apiEntries {
	p := apiEntries{Items: []apiEntry{}}
	for _, e := range list {
		l := sentence(e)
		p.Items = append(p.Items, apiEntry{e.Seq, e.At.UTC(), e.Actor, e.Action, e.Subject, e.From, e.Result, e.Detail, l.Who + " " + l.Text, e.Hash})
	}
	return p
}

// apiMessageHistory tells what happened to a message and its documents, oldest first.
func (c *Console) apiMessageHistory(w http.ResponseWriter, r *http.Request, v *visit) error {
	m, err := c.message(r, v)
	if err != nil {
		return err
	}
	if err := c.record(v, "read", string(m.ID), "ok", "history"); err != nil {
		return err
	}
	return answerJSON(w, r, http.StatusOK, entriesOf(m.History[max(0, len(m.History)-maxHistory):]))
}

// apiDocumentHistory tells what happened to a document and to its message.
func (c *Console) apiDocumentHistory(w http.ResponseWriter, r *http.Request, v *visit) error {
	d, err := c.document(r, v)
	if err != nil {
		return err
	}
	m, err := c.db.Message(r.Context(), d.Message)
	if err != nil {
		return err
	}
	if err := c.record(v, "read", string(d.ID), "ok", "history"); err != nil {
		return err
	}
	entries := slices.DeleteFunc(slices.Clone(m.History), func(e index.Entry) bool {
		return e.Subject != string(d.ID) && (e.Subject != string(d.Message) || isLook(e.Action))
	})
	return answerJSON(w, r, http.StatusOK, entriesOf(entries[max(0, len(entries)-maxHistory):]))
}

// apiContent gives the bytes of a document as they were received.
func (c *Console) apiContent(w http.ResponseWriter, r *http.Request, v *visit) error {
	d, err := c.document(r, v)
	if err != nil {
		return err
	}
	return c.apiBytes(w, r, v, evidence{Subject: string(d.ID), Object: d.Object, Name: string(d.ID) + greffe.Extension(d.Facts.MediaType), What: "document", Findings: d.Facts.Findings}, d.Facts.MediaType)
}

// apiReadable gives the file that a document holds for people to read: the PDF of a CDA
// of level 1.
func (c *Console) apiReadable(w http.ResponseWriter, r *http.Request, v *visit) error {
	d, err := c.document(r, v)
	if err != nil {
		return err
	}
	if d.BodyObject.IsZero() {
		return errNothing
	}
	m, err := c.db.Message(r.Context(), d.Message)
	if err != nil {
		return err
	}
	media := "application/octet-stream"
	if m.Parsed != nil {
		if i := slices.IndexFunc(m.Parsed.Parts, func(p greffe.Part) bool { return p.Path == d.Facts.Body }); i >= 0 && m.Parsed.Parts[i].Detected != "" {
			media = m.Parsed.Parts[i].Detected
		}
	}
	return c.apiBytes(w, r, v, evidence{Subject: string(d.ID), Object: d.BodyObject, Name: string(d.ID) + greffe.Extension(media), What: "body", Findings: d.Facts.Findings}, media)
}

// apiOriginal gives a message as it was received.
func (c *Console) apiOriginal(w http.ResponseWriter, r *http.Request, v *visit) error {
	m, err := c.message(r, v)
	if err != nil {
		return err
	}
	if m.Raw.IsZero() {
		return errNothing
	}
	return c.apiBytes(w, r, v, evidence{Subject: string(m.ID), Object: m.Raw, Name: string(m.ID) + ".eml", What: "message", Findings: suspicions(m)}, "message/rfc822")
}

// apiPart gives one part of a message as it was received.
func (c *Console) apiPart(w http.ResponseWriter, r *http.Request, v *visit) error {
	m, err := c.message(r, v)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil || m.Parsed == nil || n < 0 || n >= len(m.Parsed.Parts) {
		return errNothing
	}
	part := m.Parsed.Parts[n]
	o, ok := m.Objects[part.Path]
	if !ok {
		return errNothing
	}
	return c.apiBytes(w, r, v, evidence{Subject: string(m.ID), Object: o, Name: fmt.Sprintf("%s-%d%s", m.ID, n, greffe.Extension(part.Detected)), What: "part " + part.Path, Findings: part.Findings}, part.Detected)
}

// apiBytes gives an archived object: whole after it was read and compared with its digest,
// a range (RFC 9110 §14) from its place. Its digest goes with it (RFC 9530). What the
// antivirus did not call clean is given to an auditor alone, who says that it is wanted as
// evidence.
func (c *Console) apiBytes(w http.ResponseWriter, r *http.Request, v *visit, e evidence, media string) error {
	if e.Object.IsZero() {
		return errNothing
	}
	if greffe.Unsafe(e.Findings) {
		if v.role != auditor || r.URL.Query().Get("evidence") != "true" {
			c.note(v, "denied", e.Subject, "refused", "suspect "+e.What)
			return errSuspect
		}
		e.Name, e.What, media = e.File(), "suspect "+e.What, ""
	}
	h := w.Header()
	tag := `"` + string(e.Object.SHA256) + `"`
	open, what := c.openVerified, e.What
	switch {
	case sameTag(r.Header.Get("If-None-Match"), tag):
		if err := c.record(v, "read", e.Subject, "ok", e.What+" unchanged"); err != nil {
			return err
		}
		h.Set("ETag", tag)
		w.WriteHeader(http.StatusNotModified)
		return nil
	case r.Header.Get("Range") != "":
		open, what = c.store.Open, e.What+" range"
	}
	f, err := open(r.Context(), e.Object)
	if err != nil {
		return c.orDamaged(v, e.Subject, err)
	}
	defer f.Close()
	if err := c.record(v, "downloaded", e.Subject, "ok", what); err != nil {
		return err
	}
	h.Set("Content-Security-Policy", frameCSP)
	h.Set("Content-Type", safeMedia(media))
	h.Set("Content-Disposition", disposition(e.Name))
	h.Set("ETag", tag)
	h.Set("Repr-Digest", reprDigest(e.Object.SHA256))
	extend(w, e.Object.Size)
	http.ServeContent(w, r, "", time.Time{}, f)
	return nil
}
