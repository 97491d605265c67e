package console

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// Verification of one message on the spot: archive, manifest, index, sealed journal and
// time stamps, every byte read again. The storage service does it; the console asks
// through the index and the bus, and shows each check. It is for auditors: every page of a
// document tells all readers whether its bytes are those that were received.

const (
	checkupWait = 3 * time.Second // for the result, before the page says that it goes on
	checkupPoll = 100 * time.Millisecond
)

// checkupReport is what the console reads of a report (api/verify.schema.json).
type checkupReport struct {
	OK          bool      `json:"ok"`
	Began       time.Time `json:"began"`
	Seconds     float64   `json:"seconds"`
	Objects     int       `json:"objects"`
	Bytes       int64     `json:"bytes"`
	Entries     int64     `json:"entries"`
	Checkpoints int       `json:"checkpoints"`
	Tokens      int       `json:"tokens"`
	Checks      []struct {
		ID      string `json:"id"`
		Must    string `json:"must"`
		Status  string `json:"status"`
		Looked  int64  `json:"looked"`
		Failed  int64  `json:"failed"`
		Skipped string `json:"skipped"`
	} `json:"checks"`
	Holes    []checkupProblem `json:"holes"`
	Warnings []checkupProblem `json:"warnings"`
}

type checkupProblem struct {
	Check    string `json:"check"`
	Document string `json:"document"`
	Part     string `json:"part"`
	Entry    int64  `json:"entry"`
	Key      string `json:"key"`
	Text     string `json:"text"`
	Todo     string `json:"todo"`
}

type checkupPage struct {
	Message greffe.MessageID
	Known   bool // somebody asked for one
	index.Checkup
	R    checkupReport
	Back string
}

// checkable returns the message of the path, or of the document of the path. What is in it
// is not shown, so that no second auditor has to agree.
func (c *Console) checkable(r *http.Request, v *visit) (greffe.MessageID, error) {
	if id := greffe.DocumentID(r.PathValue("id")); id.Valid() {
		d, err := c.db.Document(r.Context(), id)
		if errors.Is(err, index.ErrNotFound) {
			return "", c.erased(r.Context(), id.Message())
		}
		if err == nil && !v.seesDocument(d) {
			err = errNothing
		}
		return d.Message, err
	}
	m, err := c.visible(r, v)
	return m.ID, err
}

// askCheckup has a message verified and shows what came out when that takes no time.
func (c *Console) askCheckup(w http.ResponseWriter, r *http.Request, v *visit) error {
	id, err := c.checkable(r, v)
	if err != nil {
		return err
	}
	request, err := c.db.AskCheckup(r.Context(), index.Checkup{ID: rand.Text(), Message: id, Requester: v.user.Login, From: v.from})
	if errors.Is(err, index.ErrPending) {
		c.flash(r, "Trop de vérifications attendent déjà. Réessayez dans quelques minutes ; si cela dure, prévenez l’administrateur.")
		http.Redirect(w, r, "/messages/"+string(id)+"/verification", http.StatusSeeOther)
		return nil
	}
	if err != nil {
		return err
	}
	c.want(r)
	t := time.NewTicker(checkupPoll)
	defer t.Stop()
	for end := time.Now().Add(checkupWait); time.Now().Before(end); {
		last, err := c.db.LastCheckup(r.Context(), id)
		if err != nil || last.ID != request || !last.Done.IsZero() {
			break
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-t.C:
		}
	}
	http.Redirect(w, r, "/messages/"+string(id)+"/verification", http.StatusSeeOther)
	return nil
}

// showCheckup shows the last verification of a message, check by check.
func (c *Console) showCheckup(w http.ResponseWriter, r *http.Request, v *visit) error {
	id, err := c.checkable(r, v)
	if err != nil {
		return err
	}
	p := checkupPage{Message: id, Back: "/messages/" + string(id)}
	p.Checkup, err = c.db.LastCheckup(r.Context(), id)
	if p.Known = err == nil; err != nil && !errors.Is(err, index.ErrNotFound) {
		return err
	}
	if p.Report != "" {
		if err := json.Unmarshal([]byte(p.Report), &p.R); err != nil {
			return err
		}
	}
	if err := c.record(v, "read", string(id), "ok", "verification"); err != nil {
		return err
	}
	return c.render(w, r, v, http.StatusOK, "verification", page{Title: "Vérification du message", Nav: "file", Scripts: []string{"preuves.js"}, Data: p})
}
