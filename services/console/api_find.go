package console

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// apiQuestion is what documents are searched by: in a body, never in an address. Days are
// YYYY-MM-DD, the last one included.
type apiQuestion struct {
	INS          string        `json:"ins"`
	Name         string        `json:"name"`
	Birth        string        `json:"birth_date"`
	From         string        `json:"from"` // received
	To           string        `json:"to"`
	DatedFrom    string        `json:"dated_from"`
	DatedTo      string        `json:"dated_to"`
	ArchivedFrom string        `json:"archived_from"`
	ArchivedTo   string        `json:"archived_to"`
	Sender       string        `json:"sender"`
	Type         string        `json:"type"`
	Format       greffe.Format `json:"format"`
	Mailbox      string        `json:"mailbox"` // key of GET /api/v1/queue/choices
	State        greffe.State  `json:"state"`
	MessageID    string        `json:"message_id"`
	Cursor       string        `json:"cursor"`
	Limit        int           `json:"limit"`
}

// criteria are those of the search page.
func (q apiQuestion) criteria() criteria {
	one := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	k := criteria{INS: strings.ReplaceAll(one(q.INS), " ", ""), Name: one(q.Name), Birth: one(q.Birth), From: one(q.From), To: one(q.To),
		DatedFrom: one(q.DatedFrom), DatedTo: one(q.DatedTo), ArchivedFrom: one(q.ArchivedFrom), ArchivedTo: one(q.ArchivedTo),
		Sender: one(q.Sender), Type: one(q.Type), Format: string(q.Format), Box: one(q.Mailbox), MessageID: one(q.MessageID)}
	if q.State != "" {
		k.State = wordsOf(q.State).Slug
	}
	return k
}

// wrongChoices says which field is not one of its list, where the page says it of the form.
func (q apiQuestion) wrongChoices(bad map[string]string) {
	wrong := map[string]string{}
	if _, ok := stateOfSlug(wordsOf(q.State).Slug); q.State != "" && !ok {
		wrong["state"] = "Cet état n’existe pas : voyez « State » dans /api/openapi.yaml."
	}
	if q.Format != "" && !slices.Contains(greffe.Formats, q.Format) {
		wrong["format"] = "Ce format n’existe pas : donnez-le comme dans « format » d’une réponse."
	}
	if len(q.Type) > 60 {
		wrong["type"] = "Ce type n’existe pas : donnez le code, comme dans « type.code » d’une réponse."
	}
	if len(wrong) > 0 {
		delete(bad, "formulaire")
		maps.Copy(bad, wrong)
	}
}

// questionNames are the fields of a search by their names in the form of the page.
var questionNames = map[string]string{"ins": "ins", "nom": "name", "naissance": "birth_date", "du": "from", "au": "to", "formulaire": "query", "qui": "actor", "fait": "action", "element": "subject",
	"date-du": "dated_from", "date-au": "dated_to", "archive-du": "archived_from", "archive-au": "archived_to", "expediteur": "sender", "bal": "mailbox", "message-id": "message_id"}

func questionErrors(bad map[string]string) error {
	fields := map[string]string{}
	for field, text := range bad {
		if name, ok := questionNames[field]; ok {
			field = name
		}
		fields[field] = text
	}
	return fieldError{fields}
}

// apiFound is one document that was found.
type apiFound struct {
	ID         greffe.DocumentID `json:"id"`
	Message    greffe.MessageID  `json:"message"`
	State      greffe.State      `json:"state"`
	Reason     string            `json:"reason,omitempty"`
	Title      string            `json:"title"`
	Type       greffe.Code       `json:"type,omitzero"`
	Format     greffe.Format     `json:"format"`
	Created    string            `json:"created,omitempty"` // HL7 TS, as received
	ReceivedAt time.Time         `json:"received_at"`
	ArchivedAt time.Time         `json:"archived_at,omitzero"`
	Origin     apiPlace          `json:"origin"`
	Patient    greffe.Patient    `json:"patient"`
	SHA256     greffe.Digest     `json:"sha256"`
}

type apiFoundPage struct {
	Items    []apiFound         `json:"items"`
	Messages []greffe.MessageID `json:"messages,omitempty"` // that have the Message-ID, with documents or without
	Next     string             `json:"next,omitempty"`
}

// apiSearch finds documents.
func (c *Console) apiSearch(w http.ResponseWriter, r *http.Request, v *visit) error {
	var q apiQuestion
	if err := readJSON(r, &q); err != nil {
		return err
	}
	k := q.criteria()
	f, bad := c.documentFilter(v, k)
	q.wrongChoices(bad)
	if q.Limit < 0 || q.Limit > 200 {
		bad["limit"] = "Un nombre de 1 à 200 est attendu."
	}
	if len(bad) > 0 {
		return questionErrors(bad)
	}
	f.Limit, f.Before = q.Limit, q.Cursor
	list, next, err := c.db.Documents(r.Context(), f)
	switch {
	case errors.Is(err, index.ErrCursor):
		return fieldError{map[string]string{"cursor": "Ce curseur n’en est pas un : donnez tel quel le « next » de la page précédente."}}
	case errors.Is(err, index.ErrTooShort):
		return fieldError{map[string]string{"query": "Ces critères sont trop courts."}}
	case err != nil:
		return err
	}
	if err := c.record(v, "searched", "", "ok", k.kinds()); err != nil {
		return err
	}
	p := apiFoundPage{Items: []apiFound{}, Next: next}
	if f.MessageID != "" {
		named, err := c.db.MessagesNamed(r.Context(), f.MessageID, v.places)
		if err != nil {
			return err
		}
		for _, m := range named {
			p.Messages = append(p.Messages, m.ID)
		}
	}
	for _, d := range list {
		if c.masked(v, d) {
			continue
		}
		p.Items = append(p.Items, apiFound{d.ID, d.Message, d.State, d.Reason, docTitle(d.Facts), d.Facts.Type, d.Facts.Format, d.Facts.Created, d.ReceivedAt.UTC(), d.ArchivedAt, placeOf(d.Origin), d.Facts.Patient, d.Facts.SHA256})
	}
	return answerJSON(w, r, http.StatusOK, p)
}

// apiJournalQuestion says which entries of the journal: a login may be somebody's name.
type apiJournalQuestion struct {
	Actor   string `json:"actor"`
	Action  string `json:"action"`
	Subject string `json:"subject"`
	From    string `json:"from"` // YYYY-MM-DD
	To      string `json:"to"`
	Before  int64  `json:"before"` // cursor
	Limit   int    `json:"limit"`
}

// apiJournal reads the journal, newest first. Reading it is itself an entry.
func (c *Console) apiJournal(w http.ResponseWriter, r *http.Request, v *visit) error {
	var q apiJournalQuestion
	if err := readJSON(r, &q); err != nil {
		return err
	}
	k := criteria{Actor: q.Actor, Action: q.Action, Subject: q.Subject, From: q.From, To: q.To}
	f, bad := k.journal(c.wall)
	if q.Limit < 0 || q.Limit > 1000 {
		bad["limit"] = "Un nombre de 1 à 1000 est attendu."
	}
	if q.Before < 0 {
		bad["before"] = "Donnez tel quel le « next » de la page précédente."
	}
	if len(bad) > 0 {
		return questionErrors(bad)
	}
	f.Before, f.Limit = q.Before, q.Limit
	if f.Limit == 0 {
		f.Limit = entriesPerPage
	}
	list, err := c.db.SearchJournal(r.Context(), f)
	if err != nil {
		return err
	}
	if err := c.record(v, "read", "", "ok", strings.TrimSpace("journal "+k.kinds())); err != nil {
		return err
	}
	p := entriesOf(list)
	if len(list) == f.Limit {
		p.Next = list[len(list)-1].Seq
	}
	return answerJSON(w, r, http.StatusOK, p)
}
