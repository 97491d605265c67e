package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// statementsPage is the list of statements of completeness, newest day first.
type statementsPage struct {
	Box, From, To string // as asked for
	Filtered      bool
	Errors        map[string]string
	Boxes         []placeChoice
	Lines         []statementLine
	Next, First   string
}

// wholeMailboxes returns the mailboxes whose statements the person may read, nil for all of
// them. A statement is about a mailbox and names its folders: a folder of it is not enough.
func wholeMailboxes(v *visit) []string {
	list := []string{}
	for _, p := range v.places {
		mailbox, folder := index.SplitPlace(p)
		switch {
		case p == index.Everywhere:
			return nil
		case p != index.Nowhere && folder == "":
			list = append(list, mailbox)
		}
	}
	return list
}

func readsStatementsOf(v *visit, mailbox string) bool {
	list := wholeMailboxes(v)
	for _, m := range list {
		if m == mailbox {
			return true
		}
	}
	return list == nil
}

// statementFilter reads the filter of an address. A mailbox is named by its opaque key.
func (c *Console) statementFilter(v *visit, q url.Values) (index.StatementFilter, statementsPage) {
	p := statementsPage{Box: q.Get("bal"), From: strings.TrimSpace(q.Get("du")), To: strings.TrimSpace(q.Get("au")), Errors: map[string]string{}}
	p.Filtered = p.Box+p.From+p.To != ""
	f := index.StatementFilter{Mailboxes: wholeMailboxes(v), Limit: rowsPerPage}
	known := p.Box == ""
	for _, b := range c.placeChoices(v) {
		if b.Folder || !readsStatementsOf(v, b.Place) {
			continue
		}
		if b.Current = b.Key == p.Box; b.Current {
			f.Mailboxes, known = []string{b.Place}, true
		}
		p.Boxes = append(p.Boxes, b)
	}
	if !known {
		p.Errors["bal"] = "Choisissez une boîte de la liste."
	}
	c.wall.period(p.From, p.To, "du", "au", p.Errors)
	if t, ok := c.wall.typedDate(p.From); ok {
		f.From = t.Format(time.DateOnly)
		p.From = f.From
	}
	if t, ok := c.wall.typedDate(p.To); ok {
		f.To = t.Format(time.DateOnly)
		p.To = f.To
	}
	return f, p
}

// kinds says which filters were used, never their values.
func (p statementsPage) kinds() string {
	return strings.TrimSpace("statements " + criteria{Box: p.Box, From: p.From, To: p.To}.kinds())
}

// showStatements lists the statements of completeness by mailbox and day. Reading them is
// itself an entry of the journal.
func (c *Console) showStatements(w http.ResponseWriter, r *http.Request, v *visit) error {
	q := r.URL.Query()
	f, p := c.statementFilter(v, q)
	if len(p.Errors) > 0 {
		return c.render(w, r, v, http.StatusUnprocessableEntity, "completude", page{Title: "Complétude des boîtes — à corriger", Nav: "journal", Data: p})
	}
	if after := q.Get("avant"); after != "" {
		day, key, _ := strings.Cut(after, "/")
		var err error
		if f.After, err = c.stated(r, v, day, key); err != nil {
			return err
		}
	}
	list, err := c.db.StatementsOf(r.Context(), f)
	if err != nil {
		return err
	}
	if err := c.record(v, "read", "", "ok", p.kinds()); err != nil {
		return err
	}
	for _, s := range list {
		p.Lines = append(p.Lines, c.statementLine(s))
	}
	here := url.Values{}
	for name, value := range map[string]string{"bal": p.Box, "du": p.From, "au": p.To} {
		if value != "" {
			here.Set(name, value)
		}
	}
	if f.After.Day != "" {
		p.First = strings.TrimSuffix("/journal/completude?"+here.Encode(), "?")
	}
	if len(list) == f.Limit {
		here.Set("avant", p.Lines[len(list)-1].Key())
		p.Next = "/journal/completude?" + here.Encode()
	}
	return c.render(w, r, v, http.StatusOK, "completude", page{Title: "Complétude des boîtes", Nav: "journal", Data: p})
}

// Key is the opaque name of the statement in addresses: its day and mailbox.
func (l statementLine) Key() string { return l.Day + "/" + greffe.MailboxKey(l.Mailbox) }

// sealedStatement is where a statement is in the journal, and in which segment of the archive.
type sealedStatement struct {
	Entry      int64         `json:"entry"` // number
	At         time.Time     `json:"at"`
	Result     string        `json:"result"`
	Detail     string        `json:"detail"`
	Prev       greffe.Digest `json:"prev"`
	Hash       greffe.Digest `json:"hash"`
	Segment    string        `json:"segment,omitempty"`    // key in the archive; absent while the entry is not sealed
	Checkpoint string        `json:"checkpoint,omitempty"` // likewise
}

type statementPage struct {
	statementLine
	Sealed *sealedStatement // nil when the journal has no such entry
	More   int              // missing messages that the list does not hold
}

// stated is the statement about a day and the mailbox of a key, if the person may read it.
func (c *Console) stated(r *http.Request, v *visit, day, key string) (greffe.Statement, error) {
	s, err := c.db.StatementOf(r.Context(), day, key)
	if errors.Is(err, index.ErrNotFound) || err == nil && !readsStatementsOf(v, s.Mailbox) {
		c.note(v, "denied", "", "refused", r.Pattern)
		return greffe.Statement{}, errNothing
	}
	return s, err
}

// statement is the one that the path names, with its place in the journal.
func (c *Console) statement(r *http.Request, v *visit) (statementPage, error) {
	s, err := c.stated(r, v, r.PathValue("jour"), r.PathValue("boite"))
	if err != nil {
		return statementPage{}, err
	}
	p := statementPage{statementLine: c.statementLine(s), More: s.Missing - len(s.MissingUIDs)}
	e, err := c.db.StatedEntry(r.Context(), s)
	if errors.Is(err, index.ErrNotFound) {
		return p, nil // of a journal that was begun anew; the page says so
	}
	if err != nil {
		return p, err
	}
	p.Sealed = &sealedStatement{Entry: e.Seq, At: e.At, Result: e.Result, Detail: e.Detail, Prev: e.Prev, Hash: e.Hash}
	seal, err := c.db.SealOf(r.Context(), e.Seq)
	if err != nil && !errors.Is(err, index.ErrNotFound) {
		return p, err
	}
	p.Sealed.Segment, p.Sealed.Checkpoint = seal.Segment.Key, seal.Checkpoint.Key
	return p, nil
}

// showStatement shows one statement with what is missing and where it is sealed.
func (c *Console) showStatement(w http.ResponseWriter, r *http.Request, v *visit) error {
	p, err := c.statement(r, v)
	if err != nil {
		return err
	}
	if err := c.record(v, "read", greffe.MailboxKey(p.Mailbox), "ok", "statement "+p.Day); err != nil {
		return err
	}
	return c.render(w, r, v, http.StatusOK, "constat", page{Title: "Constat du " + c.wall.day(p.Date), Nav: "journal", Data: p})
}

// takeStatement gives a statement as JSON (api/completeness.schema.json).
func (c *Console) takeStatement(w http.ResponseWriter, r *http.Request, v *visit) error {
	p, err := c.statement(r, v)
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(struct {
		Version    int                `json:"version"`
		Timezone   string             `json:"timezone"`
		Statements []greffe.Statement `json:"statements"`
		Sealed     *sealedStatement   `json:"sealed,omitempty"`
	}{1, c.cfg.Zone.String(), []greffe.Statement{p.Statement}, p.Sealed}, "", "  ")
	if err != nil {
		return err
	}
	if err := c.record(v, "exported", greffe.MailboxKey(p.Mailbox), "ok", "statement "+p.Day); err != nil {
		return err
	}
	w.Header().Set("Content-Disposition", disposition("constat-"+strings.ReplaceAll(p.Key(), "/", "-")+".json"))
	return respond(w, "application/json", http.StatusOK, bytes.NewBuffer(append(b, '\n')))
}
