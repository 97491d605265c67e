package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// Decisions of scripts go the way of those of persons: the same reading, guards, claim,
// journal and event. Besides, a script says which revision it decides about, and gives
// each decision a key with which it may ask again: the id of the decision is made of it,
// so that who applies it does so once, whatever crashed between.

// apiDecision is the body of a decision about a document or a message.
type apiDecision struct {
	Decision string `json:"decision"`
	Revision *int   `json:"revision"`
	Reason   string `json:"reason"`

	Original     greffe.DocumentID `json:"original"`     // copy: the document that the DI has
	Candidate    string            `json:"candidate"`    // attach: key of the one who was offered
	Patient      *apiTyped         `json:"patient"`      // attach: an identity that was not offered
	Confirmation string            `json:"confirmation"` // attach: birth date of the one chosen, when a strict trait differs
	Remember     bool              `json:"remember"`     // attach

	Until     string `json:"until"`     // later: day
	Colleague string `json:"colleague"` // pass: key
	Service   string `json:"service"`   // move: key of a mailbox
	Undo      bool   `json:"undo"`      // later, pass: takes back an earlier one
}

// apiTyped is an identity as a script gives it: complete, or it is none.
type apiTyped struct {
	INS         string `json:"ins"`
	Authority   string `json:"authority"` // nir, nia, test, demo
	BirthFamily string `json:"birth_family"`
	FirstGiven  string `json:"first_given"`
	Givens      string `json:"givens"`
	BirthDate   string `json:"birth_date"` // YYYY-MM-DD
	Sex         string `json:"sex"`
	BirthPlace  string `json:"birth_place"` // INSEE
}

// fieldNames are the fields of a decision by their names in the forms of the pages.
var fieldNames = map[string]string{"patient": "candidate", "ins": "patient.ins", "nom": "patient.birth_family", "prenom": "patient.first_given", "prenoms": "patient.givens",
	"naissance": "patient.birth_date", "sexe": "patient.sex", "lieu": "patient.birth_place"}

// form writes a decision as the forms of the pages do.
func (d apiDecision) form() url.Values {
	f := url.Values{"decision": {d.Decision}, "motif": {d.Reason}, "original": {string(d.Original)}, "patient": {d.Candidate}, "confirmation": {d.Confirmation},
		"jour": {d.Until}, "collegue": {d.Colleague}, "service": {d.Service}}
	if d.Revision != nil {
		f.Set("rev", strconv.Itoa(*d.Revision))
	}
	if d.Remember {
		f.Set("retenir", "oui")
	}
	if d.Undo {
		f.Set("reprendre", "oui")
	}
	if p := d.Patient; p != nil {
		f.Set("patient", "saisie")
		for name, value := range map[string]string{"ins": p.INS, "autorite": p.Authority, "nom": p.BirthFamily, "prenom": p.FirstGiven, "prenoms": p.Givens, "naissance": p.BirthDate, "sexe": p.Sex, "lieu": p.BirthPlace} {
			f.Set(name, value)
		}
	}
	return f
}

// apiAsked is the answer to a decision: it is on its way to who applies it.
type apiAsked struct {
	ID       string    `json:"id"` // of the decision: it is in decisions once applied
	Item     string    `json:"item"`
	Decision string    `json:"decision"`
	By       string    `json:"by"`
	At       time.Time `json:"at"`
	Text     string    `json:"text"`
}

// keyed is a decision that is being asked for with a key.
type keyed struct {
	index.Keyed
	decision apiDecision
	body     []byte
}

// beginDecision reads a decision and its key. answered: the same was asked for before, and
// this is the answer that was given.
func (c *Console) beginDecision(r *http.Request, v *visit, item string) (k keyed, answered *apiAsked, err error) {
	key := r.Header.Get("Idempotency-Key")
	if len(key) < 8 || len(key) > 200 || strings.ContainsFunc(key, func(c rune) bool { return c < '!' || c > '~' }) {
		return k, nil, errKey
	}
	if k.body, err = io.ReadAll(r.Body); err != nil {
		return k, nil, badBody(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(k.body))
	if err := readJSON(r, &k.decision); err != nil {
		return k, nil, err
	}
	if k.decision.Revision == nil {
		return k, nil, errRevision
	}
	asked := greffe.DigestOf([]byte(item + "\x00" + string(k.body)))
	k.Keyed, err = c.db.BeginKeyed(r.Context(), index.Keyed{Login: v.user.Login, Name: string(greffe.DigestOf([]byte(key))), Request: asked})
	if err != nil {
		return k, nil, err
	}
	v.once = "once-" + string(greffe.DigestOf([]byte(strings.Join([]string{"greffe decision", v.user.Login, key, string(asked)}, "\x00"))))[:32]
	if k.Answer == "" {
		return k, nil, nil
	}
	answered = new(apiAsked)
	return k, answered, json.Unmarshal([]byte(k.Answer), answered)
}

// endDecision keeps the answer of a decision that is on its way, or forgets the key of one
// that was not made.
func (c *Console) endDecision(w http.ResponseWriter, r *http.Request, v *visit, k keyed, message greffe.MessageID, a apiAsked, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 10*time.Second)
	defer cancel()
	if err != nil {
		var taken takenError
		switch {
		case errors.As(err, &taken):
			c.note(v, "denied", string(message), "refused", "taken")
		case errors.Is(err, errFirst):
			c.note(v, "denied", string(message), "refused", "first")
			err = errors.Join(errState, err)
		}
		_, left := c.leave(ctx, v, message) // nobody is at a screen to go on with it
		return errors.Join(err, left, c.db.EndKeyed(ctx, k.Keyed))
	}
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	k.Answer = string(b)
	if err := c.db.EndKeyed(ctx, k.Keyed); err != nil {
		return err // who asks again gets the answer: the decision has its id
	}
	return answerJSON(w, r, http.StatusAccepted, a)
}

func (c *Console) answerAgain(w http.ResponseWriter, r *http.Request, v *visit, a *apiAsked) error {
	if err := c.record(v, "asked", a.Item, a.Decision, "again"); err != nil {
		return err
	}
	w.Header().Set("Idempotency-Replayed", "true")
	return answerJSON(w, r, http.StatusAccepted, a)
}

func problems(errs map[string]string) error {
	named := map[string]string{}
	for field, text := range errs {
		if name, ok := fieldNames[field]; ok {
			field = name
		}
		named[field] = text
	}
	return fieldError{named}
}

// apiDecide publishes a decision about a document.
func (c *Console) apiDecide(w http.ResponseWriter, r *http.Request, v *visit) error {
	d, err := c.document(r, v)
	if err != nil {
		return err
	}
	k, answered, err := c.beginDecision(r, v, string(d.ID))
	if err != nil {
		return err
	}
	if answered != nil {
		return c.answerAgain(w, r, v, answered)
	}
	text, err := c.decideKeyed(r, v, d, k)
	return c.endDecision(w, r, v, k, d.Message, apiAsked{v.once, string(d.ID), k.decision.Decision, v.user.Login, time.Now().UTC(), text}, err)
}

func (c *Console) decideKeyed(r *http.Request, v *visit, d index.Document, k keyed) (string, error) {
	m, err := c.db.Message(r.Context(), d.Message)
	if err != nil {
		return "", err
	}
	for _, x := range m.Decisions {
		if x.ID == v.once { // it was broken off after it was published
			return "Cette décision avait déjà été prise.", nil
		}
	}
	form := k.decision.form()
	if greffe.Verb(k.decision.Decision) == greffe.VerbAttach {
		p, m, err := c.patientView(r, v)
		if err != nil {
			return "", err
		}
		e := c.readChoice(&p, form)
		if len(p.Errors) > 0 {
			return "", problems(p.Errors)
		}
		return "Patient choisi pour « " + docTitle(d.Facts) + " » : l’envoi au DI est demandé.", c.publishDecision(r.Context(), v, m, p.D, e, form)
	}
	e, said, problem, err := c.readDecision(r.Context(), v, m, d, form)
	if err != nil {
		return "", err
	}
	if problem != "" {
		return "", fieldError{map[string]string{map[bool]string{true: "original", false: "reason"}[e.Verb == greffe.VerbCopy]: problem}}
	}
	return said, c.publishDecision(r.Context(), v, m, d, e, form)
}

// apiTriage publishes a decision about a message as a whole.
func (c *Console) apiTriage(w http.ResponseWriter, r *http.Request, v *visit) error {
	m, err := c.message(r, v)
	if err != nil {
		return err
	}
	k, answered, err := c.beginDecision(r, v, string(m.ID))
	if err != nil {
		return err
	}
	if answered != nil {
		return c.answerAgain(w, r, v, answered)
	}
	text, err := c.triageKeyed(r, v, m, k)
	return c.endDecision(w, r, v, k, m.ID, apiAsked{v.once, string(m.ID), k.decision.Decision, v.user.Login, time.Now().UTC(), text}, err)
}

func (c *Console) triageKeyed(r *http.Request, v *visit, m index.Detail, k keyed) (string, error) {
	for _, x := range m.Triages {
		if x.ID == v.once {
			return "Cette décision avait déjà été prise.", nil
		}
	}
	form := k.decision.form()
	// A hold waits for nobody on a page; a script decides about what it has seen, here too.
	if form.Get("rev") != strconv.Itoa(revision(m)) {
		return "", errFirst
	}
	r.PostForm = form
	e, said, problem, err := c.readTriage(r, v, m)
	if err != nil {
		return "", err
	}
	if problem != "" {
		field := map[greffe.Verb]string{greffe.VerbLater: "until", greffe.VerbPass: "colleague"}[e.Verb]
		if field == "" {
			field = "reason"
			if e.Verb == greffe.VerbMove && e.To == "" {
				field = "service"
			}
		}
		return "", fieldError{map[string]string{field: problem}}
	}
	return said, c.publishTriage(r.Context(), v, m, e, form.Get("rev"))
}

// apiCandidate is one whom a document may be about.
type apiCandidate struct {
	Key     string         `json:"key"`
	Patient greffe.Patient `json:"patient"`
	Status  string         `json:"status,omitempty"`
	Closed  bool           `json:"closed"`
	Differs bool           `json:"differs"` // a strict trait does: the birth date has to be given
	Own     bool           `json:"own"`     // whom the document itself names
	Reason  string         `json:"reason,omitempty"`
}

// apiTrait is one trait of all who are compared, in the words of the page.
type apiTrait struct {
	Name     string          `json:"name"`
	Strict   bool            `json:"strict"`
	Document string          `json:"document"`
	Others   []apiLikeliness `json:"others"` // the metadata first, when they name somebody, then those of the DI
}

type apiLikeliness struct {
	Value string `json:"value"`
	Is    string `json:"is"` // same, compatible, differs, absent
}

type apiCandidatesOf struct {
	Revision   int            `json:"revision"`
	Document   greffe.Patient `json:"document"`
	Metadata   bool           `json:"metadata"` // the metadata name somebody
	Candidates []apiCandidate `json:"candidates"`
	Traits     []apiTrait     `json:"traits"`
}

// apiCandidates compares whom a document may be about.
func (c *Console) apiCandidates(w http.ResponseWriter, r *http.Request, v *visit) error {
	p, _, err := c.patientView(r, v)
	if err != nil {
		return err
	}
	if err := c.record(v, "compared", string(p.D.ID), "ok", ""); err != nil {
		return err
	}
	out := apiCandidatesOf{Revision: p.Rev, Document: p.F.Patient, Metadata: p.Metadata, Candidates: []apiCandidate{}, Traits: []apiTrait{}}
	for _, k := range p.Candidates {
		out.Candidates = append(out.Candidates, apiCandidate{k.Key, k.Patient, k.Status, k.Closed, k.Differs, k.Own, k.Reason})
	}
	for _, row := range p.Rows {
		t := apiTrait{row.Name, row.Strict, row.Document, []apiLikeliness{}}
		for _, o := range row.Others {
			t.Others = append(t.Others, apiLikeliness{o.Value, string(o.Is)})
		}
		out.Traits = append(out.Traits, t)
	}
	return answerJSON(w, r, http.StatusOK, out)
}
