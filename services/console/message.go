package console

import (
	"net/http"
	"slices"
	"strconv"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

type messagePage struct {
	M          index.Detail
	Message    greffe.Message
	Findings   []greffe.Finding
	Parts      []partView
	Attempts   []attemptView
	MayConfirm bool // a receipt waits for this person's word
	MayDrop    bool // an answer waits for her word, or failed
	History    []historyLine
	Stream     string
	Rev        int
	Body       string // of the message, unless it is not safe
	Unsafe     bool   // some part is not
	Auditor    bool   // the person proves: may have it verified, and take what is not safe as evidence
	Beside     *beside
	Taken      takenBy
	Triage     triageView
	Decides    bool
	Here       string // address of this page
	After      string // where a decision leads
	Wait       string // why it is not read yet, when something is wrong
}

// partView is one part with its place in the list (its number in the address) and
// its depth in the message.
type partView struct {
	greffe.Part
	N            int
	Depth        int
	Downloadable bool
	Unsafe       bool
	Inside       bool            // of an archive, a CDA or a joined message
	Original     *index.Document // that it is a copy of; nil for none
}

type attemptView struct {
	index.Attempt
	N int // number of the document in the message
}

// showMessage shows all that is known about one message.
func (c *Console) showMessage(w http.ResponseWriter, r *http.Request, v *visit) error {
	m, err := c.message(r, v)
	if err != nil {
		return err
	}
	if err := c.record(v, "read", string(m.ID), "ok", ""); err != nil {
		return err
	}
	c.consulted(v, m.Queue.Mailbox)
	taken, err := c.openToDecide(r, v, m.Message)
	if err != nil {
		return err
	}
	p := messagePage{M: m, Rev: revision(m), Stream: "/file/flux?message=" + string(m.ID), History: history(m.History)}
	p.Taken, p.Here, p.Decides = taken, r.URL.RequestURI(), v.role == secretary
	if p.Beside, err = c.readBeside(r, v, m.Message); err != nil {
		return err
	}
	p.After = afterDecision(p.Here, p.Beside, nil, "")
	if p.Decides {
		if p.Triage, err = c.triageView(r.Context(), v, m); err != nil {
			return err
		}
	}
	if m.Parsed != nil {
		p.Message = m.Parsed.Message
		p.Findings = m.Parsed.Findings
		for i, part := range m.Parsed.Parts {
			_, kept := m.Objects[part.Path]
			p.Parts = append(p.Parts, partView{Part: part, N: i, Depth: min(depth(part.Path), 4), Inside: depth(part.Path) > 0, Downloadable: kept, Unsafe: greffe.Unsafe(part.Findings), Original: original(m.Documents, part.TwinOf)})
		}
		p.Unsafe = len(suspicions(m)) > 0
		if p.Body = p.Message.Body; slices.ContainsFunc(p.Parts, func(x partView) bool { return x.Unsafe && (x.Kind == greffe.PartText || x.Kind == greffe.PartHTML) }) {
			p.Body = ""
		}
	}
	p.Auditor = v.role == auditor
	if m.Parsed == nil {
		p.Wait = c.waitReason()
	}
	if f := m.Received.Refused; f != nil && !slices.Contains(p.Findings, *f) {
		p.Findings = append([]greffe.Finding{*f}, p.Findings...)
	}
	for _, a := range m.Outcomes {
		n := slices.IndexFunc(m.Documents, func(d index.Document) bool { return d.ID == a.Document })
		p.Attempts = append(p.Attempts, attemptView{Attempt: a, N: n + 1})
	}
	p.MayConfirm = v.role == secretary && slices.ContainsFunc(m.Answers, asked)
	p.MayDrop = v.role == secretary && slices.ContainsFunc(m.Answers, open)
	title := "Message"
	if m.Subject != "" {
		title = "Message : " + m.Subject
	}
	return c.render(w, r, v, http.StatusOK, "message", page{Title: title, Nav: "file", Wide: p.Beside != nil, Scripts: []string{"file.js"}, Data: p})
}

// depth counts the containers around a part: dots beyond the first level, archives, CDA.
func depth(path string) int {
	n := 0
	for i := range len(path) {
		if path[i] == '!' || path[i] == '#' {
			n++
		}
	}
	return n
}

// downloadMessage gives the raw message, as it was received.
func (c *Console) downloadMessage(w http.ResponseWriter, r *http.Request, v *visit) error {
	m, err := c.message(r, v)
	if err != nil {
		return err
	}
	if m.Raw.IsZero() {
		return errNothing
	}
	if found := suspicions(m); len(found) > 0 {
		return c.evidence(w, r, v, evidence{Subject: string(m.ID), Object: m.Raw, Name: "message-" + string(m.ID) + ".eml", What: "message", Findings: found, Back: "/messages/" + string(m.ID)})
	}
	return c.download(w, r, v, string(m.ID), m.Raw, "message-"+string(m.ID)+".eml", "application/octet-stream", "message")
}

// downloadPart gives one part of a message, as it was received. The number in the
// address is the place of the part in the list.
func (c *Console) downloadPart(w http.ResponseWriter, r *http.Request, v *visit) error {
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
	name := part.Name
	if name == "" {
		name = "partie-" + strconv.Itoa(n+1) + greffe.Extension(part.Detected)
	}
	if greffe.Unsafe(part.Findings) {
		return c.evidence(w, r, v, evidence{Subject: string(m.ID), Object: o, Name: name, What: "part " + part.Path, Findings: part.Findings, Back: "/messages/" + string(m.ID)})
	}
	return c.download(w, r, v, string(m.ID), o, name, "application/octet-stream", "part "+part.Path)
}
