package console

import (
	"context"
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

// row is one message of the queue as a line shows it.
type row struct {
	ID         greffe.MessageID
	State      greffe.State
	Cause      string // in words; "" when it does not wait for a person
	Reason     string
	ReceivedAt time.Time
	Mailbox    string
	Folder     string
	Queue      greffe.Origin
	From       string
	Kind       greffe.MessageKind
	Subject    string
	Patient    greffe.Patient
	Patients   int // distinct patients among the documents
	Title      string
	Type       string
	Documents  int
	Masked     bool   // to the patient, or to those who act for them
	Hidden     bool   // to professionals (MASQUE_PS)
	Reply      bool   // a person wrote to a mailbox that nobody reads
	Answer     string // what an answer to the sender waits for, or where it went
	Link       string // what Enter opens: the document that is to be decided about, or the message
	Context    string // query that the link carries: the filter it was found under
	Open       bool   // it is the one beside the list
	Taken      string // name of the person who has it open to decide
	Assignee   string // login of the person it was passed to
	Later      time.Time
	Rev        int
	Sender     string // opaque key
}

func (c *Console) newRow(m index.Message) row {
	r := row{
		ID: m.ID, State: m.State, Cause: causeWords[m.Cause], ReceivedAt: m.ReceivedAt, Mailbox: m.Origin.Mailbox, Folder: m.Origin.Folder, Queue: m.Queue,
		From: m.From, Kind: m.Kind, Subject: m.Subject, Documents: len(m.Documents), Assignee: m.Assignee, Later: m.Later, Sender: m.Sender,
		Link: "/messages/" + string(m.ID),
	}
	seen := map[string]bool{}
	for _, d := range m.Documents {
		if r.Reason == "" && d.State == m.State && pressing(d.State) {
			r.Reason = d.Reason
		}
		for _, code := range d.Facts.Confidentiality {
			r.Hidden = r.Hidden || code.Code == greffe.MaskedToProfessionals
			r.Masked = r.Masked || code.Code == greffe.HiddenFromPatient || code.Code == greffe.HiddenFromGuardians
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
	if d := foremost(m); d != nil {
		r.Title, r.Type = docTitle(d.Facts), d.Facts.Format.French()
		// What concerns an answer, or what a person wrote, stands on the page of the message.
		if !slices.ContainsFunc(m.Answers, open) && !toRead(m) {
			r.Link = "/documents/" + string(d.ID)
		}
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
	return r
}

// conceal takes from a line what says whom or what it is about.
func (r *row) conceal() {
	r.Title, r.Subject, r.Patient, r.Patients = "Document masqué aux professionnels", "Document masqué aux professionnels", greffe.Patient{}, 0
}

// hides reports whether a line is about what is masked to this person.
func (c *Console) hides(v *visit, r row) bool {
	return r.Hidden && v.role == professional && !c.cfg.MaskedShown
}

// foremost returns the document of a message that a person has to look at first; nil
// when it has none.
func foremost(m index.Message) *index.Document {
	for i := range m.Documents {
		if m.Documents[i].State == m.State {
			return &m.Documents[i]
		}
	}
	if len(m.Documents) > 0 {
		return &m.Documents[0]
	}
	return nil
}

// pressing reports whether the reason of a state is worth a line in the queue.
func pressing(s greffe.State) bool { return s.Waits() || s == greffe.StateWaiting }

// Where it opens: with the filter that it was found under, so that the list stays beside.
func (r row) Href() string { return r.Link + r.Context }

type tab struct {
	queueTab
	Count   int
	Link    string
	Current bool
}

type chip struct {
	Key, Name string
	Count     int
	Link      string
	Current   bool
}

type choice struct {
	Key, Label string
	Current    bool
}

// list is a page of the queue, in whatever form it is shown.
type list struct {
	Filter  filter
	Rows    []row
	Tabs    []tab
	Chips   []chip
	Next    string    // address of the next page, "" at the end
	Partial time.Time // the page ends before it is full: so far back was looked; zero: it does not
	First   string    // back to the newest, when this is not the first page
	Stream  string    // address of the live updates
	Context string    // query of the links
	Total   int       // of the tab
	Text    string
}

type queuePage struct {
	list
	Boxes    []placeChoice
	Services []choice
	Types    []choice
	Senders  []choice
	Ages     []choice
	Views    []savedView
	Narrowed bool // by more than the tab
	Words    string
	Clear    string // same tab without the rest
	Notices  []notice
	Decides  bool
	Query    string // the filter, to be kept as a view or chosen as a whole
}

// readList reads a page of the queue under the filter of the address.
func (c *Console) readList(r *http.Request, v *visit, f filter, path string) (list, index.MessageFilter, error) {
	place := c.live.place() // before the rows are read: what changes after it comes by the stream
	m, f := c.narrowed(r, v, f, time.Now())
	m.Limit = rowsPerPage
	messages, next, err := c.db.Messages(r.Context(), m)
	if errors.Is(err, index.ErrCursor) {
		return list{}, m, errors.Join(errBadInput, err)
	}
	if err != nil {
		return list{}, m, err
	}
	n, err := c.countsFor(r.Context(), m.Places, v.user.Login, true)
	if err != nil {
		return list{}, m, err
	}
	l := list{Filter: f, Text: m.Text}
	context := f
	if context.Tab == "" {
		context.Tab = "tous"
	}
	l.Context = context.on("")
	taken, err := c.takings(r.Context())
	if err != nil {
		return list{}, m, err
	}
	for _, msg := range messages {
		x := c.newRow(msg)
		if c.hides(v, x) {
			x.conceal()
		}
		x.Context, x.Taken = l.Context, taken[msg.ID].Name
		l.Rows = append(l.Rows, x)
	}
	link := func(change func(*filter)) string { return f.with(change).on("/file") }
	l.Tabs = append(l.Tabs, tab{queueTab: queueTab{Slug: "tous", Name: "Tous"}, Count: n["tous"], Link: link(func(f *filter) { f.Tab, f.Cause, f.Which = "", "", "" }), Current: f.Tab == ""})
	for _, t := range tabs {
		l.Tabs = append(l.Tabs, tab{queueTab: t, Count: n[t.Slug], Link: link(func(f *filter) { f.Tab, f.Cause, f.Which = t.Slug, "", "" }), Current: f.Tab == t.Slug})
	}
	if f.Tab == todoTab {
		l.Chips = append(l.Chips, chip{"a-traiter", "Tous les motifs", n[todoTab], link(func(f *filter) { f.Cause, f.Which = "", "" }), f.Cause == "" && f.Which == ""})
		for _, cause := range greffe.Causes {
			k := n["motif."+string(cause)]
			l.Chips = append(l.Chips, chip{"motif." + string(cause), causeWords[cause], k, link(func(f *filter) { f.Cause, f.Which = cause, "" }), f.Cause == cause})
		}
		l.Chips = append(l.Chips,
			chip{"moi", "Pour moi", n["moi"], link(func(f *filter) { f.Cause, f.Which = "", "moi" }), f.Which == "moi"},
			chip{"plus-tard", "Plus tard", n["plus-tard"], link(func(f *filter) { f.Cause, f.Which = "", "plus-tard" }), f.Which == "plus-tard"})
	}
	l.Total = n["tous"]
	if f.Tab != "" {
		l.Total = n[f.Tab]
	}
	if next != "" {
		after := f
		after.Before = next
		l.Next = after.on(path)
		if len(messages) < rowsPerPage {
			l.Partial, _ = index.Reached(next)
		}
	}
	if f.Before != "" {
		l.First = f.with(func(*filter) {}).on(path)
	}
	s := f
	s.Before = ""
	q := s.values()
	q.Set("depuis", place)
	// A page that is not the newest still follows the state of its rows but announces no
	// new ones.
	if f.Before != "" {
		q.Set("nouveaux", "0")
	}
	l.Stream = "/file/flux?" + q.Encode()
	return l, m, nil
}

func (c *Console) showQueue(w http.ResponseWriter, r *http.Request, v *visit) error {
	f := readFilter(r.URL.Query().Get)
	l, m, err := c.readList(r, v, f, "/file")
	if err != nil {
		return err
	}
	f = l.Filter
	what := f.Tab
	if m.Text != "" {
		what = strings.TrimSpace(what + " text")
	}
	if err := c.record(v, "listed", "", "ok", what); err != nil {
		return err
	}
	c.consulted(v, m.Places...)
	if _, err := c.leave(r.Context(), v, ""); err != nil { // who is back at the list decides about nothing
		return err
	}
	p := queuePage{list: l, Decides: v.role == secretary, Notices: c.notices(v), Query: f.with(func(*filter) {}).values().Encode()}
	p.Clear = filter{Tab: f.Tab}.on("/file")
	p.Narrowed = f.with(func(*filter) {}) != filter{Tab: f.Tab, Cause: f.Cause, Which: f.Which}
	if err := c.choices(r.Context(), v, &p); err != nil {
		return err
	}
	if p.Words, err = c.filterWords(r.Context(), v, f, m.Text); err != nil {
		return err
	}
	if p.Views, err = c.views(r.Context(), v); err != nil {
		return err
	}
	title := "File des messages"
	if t, ok := tabOf(f.Tab); ok {
		title = t.Name + " — file des messages"
	}
	return c.render(w, r, v, http.StatusOK, "file", page{Title: title, Nav: "file", Wide: true, Scripts: []string{"file.js"}, Data: p})
}

// choices fills what the filter offers.
func (c *Console) choices(ctx context.Context, v *visit, p *queuePage) error {
	f := p.Filter
	p.Boxes = c.placeChoices(v)
	for i := range p.Boxes {
		p.Boxes[i].Current = p.Boxes[i].Key == f.Box
	}
	for _, s := range c.services(v) {
		k := greffe.MailboxKey(s)
		p.Services = append(p.Services, choice{k, s, k == f.Service})
	}
	types, err := c.db.Types(ctx)
	if err != nil {
		return err
	}
	for _, t := range types {
		p.Types = append(p.Types, choice{t.Key, t.Label, t.Key == f.Type})
	}
	senders, err := c.db.Senders(ctx, v.places)
	if err != nil {
		return err
	}
	known := f.Sender == ""
	for _, s := range senders {
		p.Senders = append(p.Senders, choice{s.Key, s.Label + " (" + number(s.N) + ")", s.Key == f.Sender})
		known = known || s.Key == f.Sender
	}
	if !known {
		p.Senders = append(p.Senders, choice{f.Sender, "l’expéditeur choisi", true})
	}
	for _, a := range ages {
		p.Ages = append(p.Ages, choice{a.Key, a.Label, a.Key == f.Age})
	}
	return nil
}

// filterWords says in French what a filter keeps.
func (c *Console) filterWords(ctx context.Context, v *visit, f filter, text string) (string, error) {
	words := []string{"tous les états"}
	if t, ok := tabOf(f.Tab); ok {
		words = []string{"onglet « " + t.Name + " »"}
	}
	if f.Cause != "" {
		words = append(words, "motif « "+causeWords[f.Cause]+" »")
	}
	switch f.Which {
	case "moi":
		words = append(words, "ce qui vous a été passé")
	case "plus-tard":
		words = append(words, "ce qui est remis à plus tard")
	}
	if f.Box != "" {
		words = append(words, "boîte "+c.place(v, f.Box))
	}
	for _, s := range c.services(v) {
		if f.Service != "" && greffe.MailboxKey(s) == f.Service {
			words = append(words, "service "+s)
		}
	}
	if f.Type != "" {
		types, err := c.db.Types(ctx)
		if err != nil {
			return "", err
		}
		name := f.Type
		for _, t := range types {
			if t.Key == f.Type {
				name = t.Label
			}
		}
		words = append(words, "type « "+name+" »")
	}
	if f.Sender != "" {
		words = append(words, "un expéditeur")
	}
	for _, a := range ages {
		if a.Key == f.Age {
			words = append(words, "reçu "+a.Label)
		}
	}
	if text != "" {
		words = append(words, "contient « "+text+" »")
	}
	return strings.Join(words, ", "), nil
}

// filterQueue keeps the text of the form in the session and goes to the queue with
// an opaque q in its address.
func (c *Console) filterQueue(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	f := readFilter(r.PostForm.Get)
	f.Q, f.Before = "", ""
	text := strings.Join(strings.Fields(r.PostForm.Get("texte")), " ")
	if text != "" {
		if len(text) > maxCriterion {
			return errBadInput
		}
		var err error
		if f.Q, err = c.remember(r, criteria{Text: text}); err != nil {
			return err
		}
		if err := c.record(v, "searched", "", "ok", "queue"); err != nil {
			return err
		}
	}
	_, f = c.narrowed(r, v, f, time.Now())
	http.Redirect(w, r, f.on("/file"), http.StatusSeeOther)
	return nil
}

// contextOf returns the filter under which an item was opened; false when it was opened
// from elsewhere.
func contextOf(q url.Values) (filter, bool) {
	return readFilter(q.Get), q.Get("etat") != ""
}

// beside is the list beside an open item, and where to go from there.
type beside struct {
	list
	Previous, Following string // addresses of the neighbours, "" at the ends
	At                  int    // place of the item in the page of the list, from 1; 0 when it left it
	Back                string // the list alone
}

// readBeside reads the list beside a message.
func (c *Console) readBeside(r *http.Request, v *visit, m index.Message) (*beside, error) {
	f, ok := contextOf(r.URL.Query())
	if !ok {
		return nil, nil
	}
	l, _, err := c.readList(r, v, f, r.URL.Path)
	if err != nil {
		return nil, err
	}
	b := &beside{list: l, Back: l.Filter.on("/file")}
	at := slices.IndexFunc(l.Rows, func(x row) bool { return x.ID == m.ID })
	if at >= 0 {
		b.At = at + 1
		b.Rows[at].Open = true
		if at > 0 {
			b.Previous = l.Rows[at-1].Href()
		}
		if at+1 < len(l.Rows) {
			b.Following = l.Rows[at+1].Href()
		}
		return b, nil
	}
	// It left the list, because of a decision perhaps: what follows is the next older one.
	for i, x := range l.Rows {
		if x.ReceivedAt.Before(m.ReceivedAt) || x.ReceivedAt.Equal(m.ReceivedAt) && x.ID < m.ID {
			b.Following = x.Href()
			if i > 0 {
				b.Previous = l.Rows[i-1].Href()
			}
			return b, nil
		}
	}
	if n := len(l.Rows); n > 0 {
		b.Previous = l.Rows[n-1].Href()
	}
	return b, nil
}
