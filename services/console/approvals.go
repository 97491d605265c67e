package console

import (
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// Four eyes: where the configuration asks for it, an auditor opens the documents of a
// patient only once a second auditor has agreed. The lists, which they need to find what
// to ask for, stay open. An agreement covers the documents of the patient whose INS the
// message holds, or the message alone, for a day, for the one who asked.
const approvalTime = 24 * time.Hour

const approvalsShown = 100

// approvalPage is shown instead of what waits for an agreement.
type approvalPage struct {
	Message greffe.MessageID
	Waiting time.Time // since when a request of this person waits; zero: none
	Refused time.Time // when the last one was refused; zero: it was not
	By      string    // who refused
	Error   string
	Typed   string
}

// approved reports whether the person may open documents of these patients, or the
// message they came with.
func (c *Console) approved(r *http.Request, v *visit, id greffe.MessageID, documents []index.Document) (bool, error) {
	if !c.cfg.FourEyes || v.role != auditor {
		return true, nil
	}
	list, err := c.db.Granted(r.Context(), v.user.Login, time.Now())
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(list, func(a index.Approval) bool { return a.Message == id }) {
		return true, nil
	}
	covered := func(d index.Document) bool {
		ins := d.Facts.Patient.INS.Extension
		return ins != "" && slices.ContainsFunc(list, func(a index.Approval) bool { return a.INS == ins })
	}
	return len(documents) > 0 && !slices.ContainsFunc(documents, func(d index.Document) bool { return !covered(d) }), nil
}

// showApproval says that an agreement is needed and takes the request.
func (c *Console) showApproval(w http.ResponseWriter, r *http.Request, v *visit, status int, id greffe.MessageID, problem, typed string) error {
	list, err := c.db.Approvals(r.Context(), approvalsShown)
	if err != nil {
		return err
	}
	p := approvalPage{Message: id, Error: problem, Typed: typed}
	for _, a := range list { // newest first
		if a.Requester != v.user.Login || a.Message != id {
			continue
		}
		switch {
		case a.DecidedBy == "":
			p.Waiting = a.Asked
		case !a.Granted:
			p.Refused, p.By = a.Decided, a.DecidedBy
		}
		break
	}
	return c.render(w, r, v, status, "accord", page{Title: "Accord nécessaire", Nav: "file", Data: p})
}

// askApproval writes down that an auditor asks to read a message and the other documents
// of its patient.
func (c *Console) askApproval(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	m, err := c.visible(r, v)
	if err != nil {
		return err
	}
	reason := strings.TrimSpace(r.PostForm.Get("motif"))
	if n := utf8.RuneCountInString(reason); n < minReason || n > maxReason || !utf8.ValidString(reason) {
		return c.showApproval(w, r, v, http.StatusUnprocessableEntity, m.ID, "Indiquez le motif de la lecture : entre 3 et 500 caractères.", reason)
	}
	a := index.Approval{ID: rand.Text(), Requester: v.user.Login, Message: m.ID, Reason: reason}
	for i, d := range m.Documents { // one patient, or the message alone
		ins := d.Facts.Patient.INS.Extension
		if i > 0 && ins != a.INS {
			ins = ""
		}
		if a.INS = ins; ins == "" {
			break
		}
	}
	if err := c.db.AskApproval(r.Context(), a, v.entry("approval-asked", string(m.ID), "ok", a.ID)); err != nil {
		return err
	}
	c.flash(r, "Demande enregistrée. Un autre auditeur la verra dans sa page « Accords ».")
	http.Redirect(w, r, "/messages/"+string(m.ID), http.StatusSeeOther)
	return nil
}

type approvalLine struct {
	index.Approval
	Mine bool // asked by the person who looks
	Gone bool // granted, and over
}

// approvalsPage holds what one auditor asks of another: to read, and to take a proof pack.
type approvalsPage struct {
	Lines []approvalLine
	Packs []index.Pack
	Me    string
}

// showApprovals lists the requests: those that wait for this person first.
func (c *Console) showApprovals(w http.ResponseWriter, r *http.Request, v *visit) error {
	list, err := c.db.Approvals(r.Context(), approvalsShown)
	if err != nil {
		return err
	}
	if err := c.record(v, "read", "", "ok", "approvals"); err != nil {
		return err
	}
	var lines []approvalLine
	for _, a := range list {
		m, err := c.db.Message(r.Context(), a.Message)
		if errors.Is(err, index.ErrNotFound) || err == nil && !v.seesMessage(m.Message) {
			continue
		}
		if err != nil {
			return err
		}
		lines = append(lines, approvalLine{a, a.Requester == v.user.Login, a.Granted && time.Now().After(a.Expires)})
	}
	var packs []index.Pack
	waiting, err1 := c.db.PacksIn(r.Context(), index.PackWaiting, approvalsShown)
	decided, err2 := c.db.PacksDecided(r.Context(), approvalsShown)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	for _, p := range waiting {
		sees, err := c.seesPack(r, v, p.ID)
		if err != nil {
			return err
		}
		if sees || p.Requester == v.user.Login {
			packs = append(packs, p)
		}
	}
	for _, p := range decided {
		if p.Requester == v.user.Login || p.DecidedBy == v.user.Login {
			packs = append(packs, p)
		}
	}
	slices.SortStableFunc(lines, func(a, b approvalLine) int { return turnOf(a) - turnOf(b) })
	return c.render(w, r, v, http.StatusOK, "accords", page{Title: "Accords", Nav: "accords", Data: approvalsPage{lines, packs, v.user.Login}})
}

func turnOf(l approvalLine) int {
	if l.DecidedBy == "" && !l.Mine {
		return 0
	}
	return 1
}

// decideApproval is the word of the second auditor, who must not be the first.
func (c *Console) decideApproval(w http.ResponseWriter, r *http.Request, v *visit) error {
	id, granted := r.PathValue("demande"), r.PathValue("suite") == "accorder"
	if !granted && r.PathValue("suite") != "refuser" {
		return errNothing
	}
	list, err := c.db.Approvals(r.Context(), approvalsShown)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(a index.Approval) bool { return a.ID == id })
	if i < 0 {
		return errNothing
	}
	m, err := c.db.Message(r.Context(), list[i].Message)
	if errors.Is(err, index.ErrNotFound) || err == nil && !v.seesMessage(m.Message) {
		c.note(v, "denied", string(list[i].Message), "refused", r.Pattern)
		return errNothing
	}
	if err != nil {
		return err
	}
	action := "approval-refused"
	if granted {
		action = "approval-granted"
	}
	err = c.db.DecideApproval(r.Context(), id, v.user.Login, granted, time.Now().Add(approvalTime), func(a index.Approval) []index.Entry {
		return []index.Entry{v.entry(action, string(a.Message), "ok", a.ID+" "+a.Requester)}
	})
	if errors.Is(err, index.ErrDecided) {
		c.note(v, "denied", string(list[i].Message), "refused", r.Pattern)
		return errState
	}
	if err != nil {
		return err
	}
	said := "Lecture refusée."
	if granted {
		said = "Accord donné pour 24 heures."
	}
	c.flash(r, said)
	http.Redirect(w, r, "/accords", http.StatusSeeOther)
	return nil
}
