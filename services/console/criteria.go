package console

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
)

// criteria are what a person searches by. They name patients, so they live in the
// session and an address only carries the random name they have there.
type criteria struct {
	Text  string `json:"text,omitempty"` // of the queue
	INS   string `json:"ins,omitempty"`
	Name  string `json:"name,omitempty"`
	Birth string `json:"birth,omitempty"` // YYYY-MM-DD as the form gives it
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`

	// Of the search alone.
	DatedFrom    string `json:"dated_from,omitempty"`
	DatedTo      string `json:"dated_to,omitempty"`
	ArchivedFrom string `json:"archived_from,omitempty"`
	ArchivedTo   string `json:"archived_to,omitempty"`
	Sender       string `json:"sender,omitempty"`
	Type         string `json:"type,omitempty"`   // code
	Format       string `json:"format,omitempty"` // greffe.Format
	Box          string `json:"box,omitempty"`    // key of a mailbox or folder
	State        string `json:"state,omitempty"`  // slug
	MessageID    string `json:"message_id,omitempty"`

	// Of the journal: a login may be somebody's name.
	Actor   string `json:"actor,omitempty"`
	Action  string `json:"action,omitempty"`
	Subject string `json:"subject,omitempty"`
	Result  string `json:"result,omitempty"`
}

const (
	maxCriterion = 200 // bytes of one field
	maxSearches  = 20  // per session; the oldest is forgotten
)

type savedSearch struct {
	Q        string   `json:"q"`
	Criteria criteria `json:"c"`
}

// remember keeps the criteria in the session and returns their opaque name; the
// same criteria keep theirs.
func (c *Console) remember(r *http.Request, k criteria) (string, error) {
	list := c.searches(r)
	for _, s := range list {
		if s.Criteria == k {
			return s.Q, nil
		}
	}
	s := savedSearch{Q: rand.Text(), Criteria: k}
	list = append(list, s)
	if len(list) > maxSearches {
		list = slices.Clone(list[len(list)-maxSearches:])
	}
	b, err := json.Marshal(list)
	if err != nil {
		return "", err
	}
	c.sessions.Put(r.Context(), keySearches, b)
	return s.Q, nil
}

// recall returns the criteria called q; false when this session does not know them
// (an old address, someone else's).
func (c *Console) recall(r *http.Request, q string) (criteria, bool) {
	if q == "" {
		return criteria{}, false
	}
	for _, s := range c.searches(r) {
		if s.Q == q {
			return s.Criteria, true
		}
	}
	return criteria{}, false
}

func (c *Console) searches(r *http.Request) []savedSearch {
	var list []savedSearch
	if err := json.Unmarshal(c.sessions.GetBytes(r.Context(), keySearches), &list); err != nil {
		return nil
	}
	return list
}
