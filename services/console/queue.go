package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

const rowsPerPage = 50

// followUp is the tab of the messages whose answers a person has to look after.
const followUp = "reponses"

// row is one message of the queue as a line shows it.
type row struct {
	ID         greffe.MessageID
	State      greffe.State
	Reason     string
	ReceivedAt time.Time
	Mailbox    string
	Folder     string
	From       string
	Kind       greffe.MessageKind
	Subject    string
	Patient    greffe.Patient
	Patients   int // distinct patients among the documents
	Title      string
	Type       string
	Documents  int
	Masked     bool
	Reply      bool   // a person wrote to a mailbox that nobody reads
	Answer     string // what an answer to the sender waits for, or where it went
	Link       string // what Enter opens: the document when there is exactly one
}

func (c *Console) newRow(m index.Message) row {
	r := row{
		ID: m.ID, State: m.State, ReceivedAt: m.ReceivedAt, Mailbox: m.Origin.Mailbox, Folder: m.Origin.Folder,
		From: m.From, Kind: m.Kind, Subject: m.Subject, Documents: len(m.Documents),
		Link: "/messages/" + string(m.ID),
	}
	seen := map[string]bool{}
	for _, d := range m.Documents {
		if r.Reason == "" && d.State == m.State && pressing(d.State) {
			r.Reason = d.Reason
		}
		for _, code := range d.Facts.Confidentiality {
			r.Masked = r.Masked || code.Code == greffe.MaskedToProfessionals || code.Code == greffe.HiddenFromPatient || code.Code == greffe.HiddenFromGuardians
		}
		p := d.Facts.Patient
		if p.IsZero() {
			continue
		}
		if r.Patients == 0 {
			r.Patient = p
		}
		if k := p.INS.Extension + "\x00" + p.BirthFamily + "\x00" + p.FirstGiven + "\x00" + p.BirthDate; !seen[k] {
			seen[k] = true
			r.Patients++
		}
	}
	if len(m.Documents) > 0 {
		r.Title, r.Type = docTitle(m.Documents[0].Facts), m.Documents[0].Facts.Format.French()
	}
	r.Reply = m.Kind == greffe.KindReply && c.cfg.About[m.Origin.Mailbox].Kind == "applicative"
	for _, a := range m.Answers {
		switch {
		case open(a):
			r.Answer = answerText(a) + ". " + a.Reason
		case r.Answer == "" && a.Kind == "forward" && a.State == greffe.AnswerSent:
			r.Answer = "transmise à " + a.Recipient
		}
	}
	// What concerns an answer stands on the page of the message.
	if len(m.Documents) == 1 && !slices.ContainsFunc(m.Answers, open) {
		r.Link = "/documents/" + string(m.Documents[0].ID)
	}
	return r
}

// pressing reports whether the reason of a state is worth a line in the queue.
func pressing(s greffe.State) bool {
	return s == greffe.StateTodo || s == greffe.StateRefused || s == greffe.StateIncident || s == greffe.StateWaiting
}

type tab struct {
	Words   stateWords // zero: all
	Count   int
	Link    string
	Current bool
}

type box struct {
	Key, Address string
	Current      bool
}

type queuePage struct {
	Rows    []row
	Tabs    []tab
	Boxes   []box
	Text    string
	Slug    string // state, "" for all
	Box     string // key of the mailbox, "" for all
	Clear   string // same state without mailbox and text
	Next    string
	First   string // back to the newest, when this is not the first page
	Stream  string // address of the live updates
	Notices []notice
	Keep    url.Values
}

// queueURL writes an address of the queue; empty values are left out. Nothing in
// it names a person: a text is an opaque q, a mailbox its key.
func queueURL(slug, box, q, before string) string {
	v := url.Values{}
	for _, kv := range [][2]string{{"etat", slug}, {"bal", box}, {"q", q}, {"avant", before}} {
		if kv[1] != "" {
			v.Set(kv[0], kv[1])
		}
	}
	if len(v) == 0 {
		return "/file"
	}
	return "/file?" + v.Encode()
}

// queueFilter reads the filter of the queue from the address and the session.
func (c *Console) queueFilter(r *http.Request, v *visit) (f index.MessageFilter, slug, boxKey, q string) {
	get := r.URL.Query().Get
	f.Places = v.places
	if s, ok := stateOfSlug(get("etat")); ok {
		slug, f.States = get("etat"), []greffe.State{s}
	}
	if get("etat") == followUp {
		slug, f.FollowUp = followUp, true
	}
	if m := c.mailbox(v, get("bal")); m != "" {
		boxKey, f.Places = get("bal"), []string{m}
	}
	if s, ok := c.recall(r, get("q")); ok {
		q, f.Text = get("q"), s.Text
	}
	f.Before = get("avant")
	return f, slug, boxKey, q
}

func (c *Console) showQueue(w http.ResponseWriter, r *http.Request, v *visit) error {
	place := c.live.place() // before the rows are read: what changes after it comes by the stream
	f, slug, boxKey, q := c.queueFilter(r, v)
	f.Limit = rowsPerPage
	if len(f.Before) > 200 {
		return errBadInput
	}
	messages, next, err := c.db.Messages(r.Context(), f)
	if errors.Is(err, index.ErrCursor) {
		return errors.Join(errBadInput, err)
	}
	if err != nil {
		return err
	}
	counts, err := c.db.Counts(r.Context(), f.Places)
	if err != nil {
		return err
	}
	what := slug
	if f.Text != "" {
		what = strings.TrimSpace(slug + " text")
	}
	if err := c.record(v, "listed", "", "ok", what); err != nil {
		return err
	}
	c.consulted(v, f.Places...)
	p := queuePage{Slug: slug, Box: boxKey, Text: f.Text, Clear: queueURL(slug, "", "", ""), Notices: c.notices(v)}
	for _, m := range messages {
		p.Rows = append(p.Rows, c.newRow(m))
	}
	all := 0
	for _, n := range counts {
		all += n
	}
	p.Tabs = append(p.Tabs, tab{Words: stateWords{Tab: "Tous"}, Count: all, Link: queueURL("", boxKey, q, ""), Current: slug == ""})
	for _, s := range statesShown {
		p.Tabs = append(p.Tabs, tab{Words: s, Count: counts[s.State], Link: queueURL(s.Slug, boxKey, q, ""), Current: slug == s.Slug})
	}
	n, err := c.db.CountFollowUps(r.Context(), f.Places)
	if err != nil {
		return err
	}
	p.Tabs = append(p.Tabs, tab{Words: stateWords{Slug: followUp, Icon: "send", Tab: "Réponses à suivre"}, Count: n, Link: queueURL(followUp, boxKey, q, ""), Current: slug == followUp})
	for _, m := range c.mailboxes(v) {
		p.Boxes = append(p.Boxes, box{Key: greffe.MailboxKey(m), Address: m, Current: greffe.MailboxKey(m) == boxKey})
	}
	if next != "" {
		p.Next = queueURL(slug, boxKey, q, next)
	}
	stream := url.Values{}
	stream.Set("etat", slug)
	stream.Set("bal", boxKey)
	stream.Set("depuis", place)
	if f.Before != "" {
		p.First = queueURL(slug, boxKey, q, "")
	}
	// A page that is not the newest, or that a text narrows, still follows the
	// state of its rows but announces no new ones.
	if f.Before != "" || f.Text != "" || f.FollowUp {
		stream.Set("nouveaux", "0")
	}
	p.Stream = "/file/flux?" + stream.Encode()
	title := "File des messages"
	switch {
	case f.FollowUp:
		title = "Réponses à suivre — file des messages"
	case slug != "":
		title = wordsOf(f.States[0]).Tab + " — file des messages"
	}
	return c.render(w, r, v, http.StatusOK, "file", page{Title: title, Nav: "file", Wide: true, Scripts: []string{"file.js"}, Data: p})
}

// filterQueue keeps the text of the form in the session and goes to the queue with
// an opaque q in its address.
func (c *Console) filterQueue(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	text := strings.Join(strings.Fields(r.PostForm.Get("texte")), " ")
	q := ""
	if text != "" {
		if len(text) > maxCriterion {
			return errBadInput
		}
		var err error
		if q, err = c.remember(r, criteria{Text: text}); err != nil {
			return err
		}
		if err := c.record(v, "searched", "", "ok", "queue"); err != nil {
			return err
		}
	}
	slug := ""
	if _, ok := stateOfSlug(r.PostForm.Get("etat")); ok || r.PostForm.Get("etat") == followUp {
		slug = r.PostForm.Get("etat")
	}
	boxKey := ""
	if c.mailbox(v, r.PostForm.Get("bal")) != "" {
		boxKey = r.PostForm.Get("bal")
	}
	http.Redirect(w, r, queueURL(slug, boxKey, q, ""), http.StatusSeeOther)
	return nil
}
