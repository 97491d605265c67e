package console

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// apiPlace is a mailbox and a folder of it.
type apiPlace struct {
	Mailbox string `json:"mailbox"`
	Folder  string `json:"folder"`
}

func placeOf(o greffe.Origin) apiPlace { return apiPlace{o.Mailbox, o.Folder} }

// apiRow is one message of the queue.
type apiRow struct {
	ID         greffe.MessageID    `json:"id"`
	State      greffe.State        `json:"state"`
	Cause      greffe.Cause        `json:"cause,omitempty"`
	Reason     string              `json:"reason,omitempty"`
	ReceivedAt time.Time           `json:"received_at"`
	Origin     apiPlace            `json:"origin"`
	Queue      apiPlace            `json:"queue"`
	From       string              `json:"from,omitempty"`
	Sender     string              `json:"sender,omitempty"` // opaque key, for the filter
	Kind       greffe.MessageKind  `json:"kind,omitempty"`
	Subject    string              `json:"subject,omitempty"`
	Title      string              `json:"title,omitempty"`
	Format     string              `json:"format,omitempty"`
	Patient    *greffe.Patient     `json:"patient,omitempty"`
	Patients   int                 `json:"patients"`
	Documents  []greffe.DocumentID `json:"documents"`
	Masked     bool                `json:"masked"`
	Answer     string              `json:"answer,omitempty"`
	TakenBy    string              `json:"taken_by,omitempty"`
	Assignee   string              `json:"assignee,omitempty"`
	Later      time.Time           `json:"later,omitzero"`
}

func (c *Console) apiRow(v *visit, m index.Message, taken map[greffe.MessageID]index.Taking) apiRow {
	r := c.newRow(m)
	if c.hides(v, r) {
		r.conceal()
	}
	row := apiRow{ID: m.ID, State: m.State, Cause: m.Cause, Reason: r.Reason, ReceivedAt: m.ReceivedAt.UTC(), Origin: placeOf(m.Origin), Queue: placeOf(m.Queue), From: m.From, Sender: m.Sender,
		Kind: m.Kind, Subject: r.Subject, Title: r.Title, Format: r.Type, Patients: r.Patients, Documents: []greffe.DocumentID{}, Masked: r.Masked, Answer: r.Answer,
		TakenBy: taken[m.ID].Name, Assignee: m.Assignee, Later: m.Later}
	if r.Patients > 0 {
		row.Patient = &r.Patient
	}
	for _, d := range m.Documents {
		row.Documents = append(row.Documents, d.ID)
	}
	return row
}

// apiCount is one tab of the queue, or one reason why something waits, with its number.
type apiCount struct {
	Key   string `json:"key"`
	Label string `json:"label"`
	Count int    `json:"count"`
}

// apiPage is a page of the queue.
type apiPage struct {
	Tabs   []apiCount `json:"tabs"`
	Causes []apiCount `json:"causes"` // of the tab of what is to be done
	Items  []apiRow   `json:"items"`
	Next   string     `json:"next,omitempty"` // cursor
}

// queueParams are the parameters of the queue with their names on the pages.
var queueParams = map[string]string{"tab": "etat", "cause": "motif", "which": "quoi", "mailbox": "bal", "service": "service", "type": "type", "sender": "exp", "age": "age", "cursor": "avant"}

// apiFilter reads the filter of the queue. A page drops what it does not know; a script
// would take the answer for another one, and is told.
func (c *Console) apiFilter(r *http.Request, v *visit, get func(string) string, given []string) (index.MessageFilter, filter, error) {
	bad := map[string]string{}
	for _, name := range given {
		if _, ok := queueParams[name]; !ok && name != "limit" && name != "text" {
			bad[name] = "Ce filtre n’existe pas."
		}
	}
	names := map[string]string{}
	for name, page := range queueParams {
		names[page] = name
	}
	asked := func(page string) string {
		if names[page] == "" { // what a session keeps: a token has none
			return ""
		}
		return get(names[page])
	}
	f := readFilter(asked)
	m, kept := c.narrowed(r, v, f, time.Now())
	for _, kv := range kept.fields() {
		if name, ok := names[kv.name]; ok && *kv.value != asked(kv.name) {
			bad[name] = "Cette valeur n’existe pas pour ce filtre, ou pas pour vous : voyez /api/v1/queue/choices."
		}
	}
	m.Limit = rowsPerPage
	if s := get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 200 {
			bad["limit"] = "Un nombre de 1 à 200 est attendu."
		}
		m.Limit = n
	}
	if len(bad) > 0 {
		return m, kept, fieldError{bad}
	}
	return m, kept, nil
}

// apiQueue lists a page of the queue.
func (c *Console) apiQueue(w http.ResponseWriter, r *http.Request, v *visit) error {
	q := r.URL.Query()
	var given []string
	for name := range q {
		given = append(given, name)
	}
	if q.Has("text") { // an address is written down in many places
		return fieldError{map[string]string{"text": "Un texte cherché n’est jamais dans une adresse : envoyez-le par POST /api/v1/queue/search."}}
	}
	m, f, err := c.apiFilter(r, v, q.Get, given)
	if err != nil {
		return err
	}
	return c.answerQueue(w, r, v, m, f)
}

// apiQueueQuestion is the body of a search in the queue: its filters and a text.
type apiQueueQuestion struct {
	Tab     string `json:"tab"`
	Cause   string `json:"cause"`
	Which   string `json:"which"`
	Mailbox string `json:"mailbox"`
	Service string `json:"service"`
	Type    string `json:"type"`
	Sender  string `json:"sender"`
	Age     string `json:"age"`
	Cursor  string `json:"cursor"`
	Text    string `json:"text"`
	Limit   int    `json:"limit"`
}

// apiQueueSearch is apiQueue with a text, which may be somebody's name.
func (c *Console) apiQueueSearch(w http.ResponseWriter, r *http.Request, v *visit) error {
	var q apiQueueQuestion
	if err := readJSON(r, &q); err != nil {
		return err
	}
	form := url.Values{"tab": {q.Tab}, "cause": {q.Cause}, "which": {q.Which}, "mailbox": {q.Mailbox}, "service": {q.Service}, "type": {q.Type}, "sender": {q.Sender}, "age": {q.Age}, "cursor": {q.Cursor}}
	if q.Limit != 0 {
		form.Set("limit", strconv.Itoa(q.Limit))
	}
	m, f, err := c.apiFilter(r, v, form.Get, nil)
	if err != nil {
		return err
	}
	if m.Text = strings.Join(strings.Fields(q.Text), " "); len(m.Text) > maxCriterion {
		return fieldError{map[string]string{"text": "Ce texte est trop long."}}
	}
	return c.answerQueue(w, r, v, m, f)
}

func (c *Console) answerQueue(w http.ResponseWriter, r *http.Request, v *visit, m index.MessageFilter, f filter) error {
	messages, next, err := c.db.Messages(r.Context(), m)
	if errors.Is(err, index.ErrCursor) {
		return fieldError{map[string]string{"cursor": "Ce curseur n’en est pas un : donnez tel quel le « next » de la page précédente."}}
	}
	if err != nil {
		return err
	}
	n, err := c.countsFor(r.Context(), m.Places, v.user.Login, true)
	if err != nil {
		return err
	}
	taken, err := c.takings(r.Context())
	if err != nil {
		return err
	}
	what := f.Tab
	if m.Text != "" {
		what = strings.TrimSpace(what + " text")
	}
	if err := c.record(v, "listed", "", "ok", what); err != nil {
		return err
	}
	p := apiPage{Tabs: []apiCount{{"", "Tous", n["tous"]}}, Causes: []apiCount{}, Items: []apiRow{}, Next: next}
	for _, t := range tabs {
		p.Tabs = append(p.Tabs, apiCount{t.Slug, t.Name, n[t.Slug]})
	}
	for _, cause := range greffe.Causes {
		p.Causes = append(p.Causes, apiCount{string(cause), causeWords[cause], n["motif."+string(cause)]})
	}
	for _, msg := range messages {
		p.Items = append(p.Items, c.apiRow(v, msg, taken))
	}
	return answerJSON(w, r, http.StatusOK, p)
}

// apiChoice is one value of a filter.
type apiChoice struct {
	Key   string `json:"key"`
	Label string `json:"label"`
}

// apiQueueChoices are the values of the filters.
type apiQueueChoices struct {
	Tabs      []apiChoice `json:"tabs"`
	Causes    []apiChoice `json:"causes"`
	Mailboxes []apiChoice `json:"mailboxes"` // and folders
	Services  []apiChoice `json:"services"`
	Types     []apiChoice `json:"types"`
	Senders   []apiChoice `json:"senders"`
	Ages      []apiChoice `json:"ages"`
}

// apiChoices tells what the queue can be filtered by.
func (c *Console) apiChoices(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := c.record(v, "listed", "", "ok", "choices"); err != nil {
		return err
	}
	p := apiQueueChoices{Tabs: []apiChoice{}, Causes: []apiChoice{}, Mailboxes: []apiChoice{}, Services: []apiChoice{}, Types: []apiChoice{}, Senders: []apiChoice{}, Ages: []apiChoice{}}
	for _, t := range tabs {
		p.Tabs = append(p.Tabs, apiChoice{t.Slug, t.Name})
	}
	for _, cause := range greffe.Causes {
		p.Causes = append(p.Causes, apiChoice{string(cause), causeWords[cause]})
	}
	for _, b := range c.placeChoices(v) {
		p.Mailboxes = append(p.Mailboxes, apiChoice{b.Key, b.Place})
	}
	for _, s := range c.services(v) {
		p.Services = append(p.Services, apiChoice{greffe.MailboxKey(s), s})
	}
	types, err := c.db.Types(r.Context())
	if err != nil {
		return err
	}
	senders, err := c.db.Senders(r.Context(), v.places)
	if err != nil {
		return err
	}
	for _, t := range types {
		p.Types = append(p.Types, apiChoice{t.Key, t.Label})
	}
	for _, s := range senders {
		p.Senders = append(p.Senders, apiChoice{s.Key, s.Label})
	}
	for _, a := range ages {
		p.Ages = append(p.Ages, apiChoice{a.Key, a.Label})
	}
	slices.SortStableFunc(p.Types, func(a, b apiChoice) int { return cmp.Compare(a.Label, b.Label) })
	return answerJSON(w, r, http.StatusOK, p)
}
