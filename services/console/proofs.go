package console

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// Proof packs. An auditor chooses documents, is told how many they are and says why; the
// storage service, which holds the key of the journal, builds the pack. The request is a
// row of the index with its reason, which is in no journal, address or log. Only who asked
// may download it, for some days. Where two auditors must agree, the request waits for the
// second one.

const packsShown = 50

// proofChoice is what a pack would be about.
type proofChoice struct {
	Kind      string // document, message or selection
	Items     []index.PackItem
	Messages  int
	Documents int

	// As the form sends it again.
	Q      string // of the search that is chosen whole
	Listed []greffe.DocumentID
	Whole  greffe.MessageID

	Reason   string
	Error    string // of the reason
	Changed  int    // how many documents were announced, when that is not true any more
	Problem  string // why nothing can be asked with this choice
	FourEyes bool
	Keep     int // days
	Back     string
}

// chooseProof says exactly what a pack would hold and asks for the reason.
func (c *Console) chooseProof(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	p, err := c.proofChoice(r, v)
	if err != nil {
		return err
	}
	return c.renderChoice(w, r, v, http.StatusOK, p)
}

func (c *Console) renderChoice(w http.ResponseWriter, r *http.Request, v *visit, status int, p proofChoice) error {
	p.FourEyes, p.Keep = c.cfg.FourEyes, int((c.cfg.ProofKeep+12*time.Hour)/(24*time.Hour))
	title := "Demander un dossier de preuve"
	if p.Problem != "" || p.Error != "" {
		title, status = title+" — à corriger", http.StatusUnprocessableEntity
	}
	return c.render(w, r, v, status, "demande", page{Title: title, Nav: "preuves", Data: p})
}

// proofChoice reads what was chosen: a message, documents, or all that a search finds.
func (c *Console) proofChoice(r *http.Request, v *visit) (proofChoice, error) {
	p := proofChoice{Kind: "selection", Back: "/recherche"}
	var err error
	switch {
	case r.PostForm.Get("message") != "":
		err = c.chooseMessage(r, v, &p)
	case r.PostForm.Get("tout") != "":
		err = c.chooseSearch(r, v, &p)
	default:
		err = c.chooseDocuments(r, v, &p)
	}
	if err != nil || p.Problem != "" {
		return p, err
	}
	last := greffe.MessageID("")
	for _, i := range p.Items {
		if i.Message != last {
			p.Messages++
		}
		last = i.Message
	}
	switch {
	case p.Documents > c.cfg.ProofDocuments:
		p.Problem = "Cette sélection compte plus de " + number(c.cfg.ProofDocuments) + " documents : un dossier n’en contient pas davantage. Précisez la recherche, par exemple sur une période plus courte, ou demandez plusieurs dossiers."
	case len(p.Items) == 0:
		p.Problem = "Aucun document n’est choisi. Cochez au moins un document, ou demandez toute la sélection."
	}
	return p, nil
}

func (c *Console) chooseMessage(r *http.Request, v *visit, p *proofChoice) error {
	id := greffe.MessageID(r.PostForm.Get("message"))
	if !id.Valid() {
		return errBadInput
	}
	m, err := c.db.Message(r.Context(), id)
	if errors.Is(err, index.ErrNotFound) {
		return c.erased(r.Context(), id)
	}
	if err != nil {
		return err
	}
	if !v.seesMessage(m.Message) {
		c.note(v, "denied", string(id), "refused", r.Pattern)
		return errNothing
	}
	p.Kind, p.Whole, p.Back = "message", id, "/messages/"+string(id)
	p.Items, p.Documents = []index.PackItem{{Message: id}}, len(m.Documents)
	return nil
}

func (c *Console) chooseDocuments(r *http.Request, v *visit, p *proofChoice) error {
	list := slices.Compact(slices.Sorted(slices.Values(r.PostForm["document"])))
	if len(list) > c.cfg.ProofDocuments {
		return errBadInput
	}
	for _, s := range list {
		id := greffe.DocumentID(s)
		if !id.Valid() {
			return errBadInput
		}
		d, err := c.db.Document(r.Context(), id)
		if errors.Is(err, index.ErrNotFound) {
			return c.erased(r.Context(), id.Message())
		}
		if err != nil {
			return err
		}
		if !v.seesDocument(d) {
			c.note(v, "denied", s, "refused", r.Pattern)
			return errNothing
		}
		p.Listed, p.Items = append(p.Listed, id), append(p.Items, index.PackItem{Message: d.Message, Document: id})
	}
	if p.Documents = len(list); p.Documents == 1 && r.PostForm.Get("seul") != "" {
		p.Kind, p.Back = "document", "/documents/"+list[0]
	}
	return nil
}

func (c *Console) chooseSearch(r *http.Request, v *visit, p *proofChoice) error {
	q := r.PostForm.Get("q")
	k, known := c.recall(r, q)
	if !known {
		p.Problem = "Cette recherche n’est plus en mémoire (elle disparaît à la déconnexion). Refaites-la, puis la demande."
		return nil
	}
	f, bad := c.documentFilter(v, k)
	if len(bad) > 0 {
		return errBadInput
	}
	p.Q, p.Back = q, "/recherche?q="+q
	f.Limit = 200
	for more := true; more && p.Documents <= c.cfg.ProofDocuments; more = f.Before != "" {
		list, next, err := c.db.Documents(r.Context(), f)
		if errors.Is(err, index.ErrTooShort) {
			return errors.Join(errBadInput, err)
		}
		if err != nil {
			return err
		}
		for _, d := range list {
			p.Items = append(p.Items, index.PackItem{Message: d.Message, Document: d.ID})
		}
		p.Documents, f.Before = len(p.Items), next
	}
	slices.SortFunc(p.Items, func(a, b index.PackItem) int { return strings.Compare(string(a.Document), string(b.Document)) })
	return nil
}

// askProof writes the request down and wakes who builds it.
func (c *Console) askProof(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	p, err := c.proofChoice(r, v)
	if err != nil {
		return err
	}
	if p.Problem != "" {
		return c.renderChoice(w, r, v, http.StatusUnprocessableEntity, p)
	}
	p.Reason = strings.TrimSpace(r.PostForm.Get("motif"))
	if n := utf8.RuneCountInString(p.Reason); n < minReason || n > maxReason || !utf8.ValidString(p.Reason) {
		p.Error = "Indiquez le motif de la demande : entre 3 et 500 caractères."
		return c.renderChoice(w, r, v, http.StatusUnprocessableEntity, p)
	}
	if told, err := strconv.Atoi(r.PostForm.Get("attendu")); err != nil || told != p.Documents {
		p.Changed = told
		return c.renderChoice(w, r, v, http.StatusConflict, p)
	}
	pack := index.Pack{ID: rand.Text(), Requester: v.user.Login, From: v.from, Reason: p.Reason, Kind: p.Kind, Messages: p.Messages, Documents: p.Documents, State: index.PackQueued}
	said := "Demande enregistrée : le dossier se fait. Vous pouvez quitter cette page."
	if c.cfg.FourEyes {
		pack.State, said = index.PackWaiting, "Demande enregistrée. Un autre auditeur la verra dans sa page « Accords » ; le dossier se fera quand il l’aura accordée."
	}
	err = c.db.AskPack(r.Context(), pack, p.Items, v.entry("pack-asked", pack.ID, "ok", fmt.Sprintf("%s messages=%d documents=%d", p.Kind, p.Messages, p.Documents)))
	if errors.Is(err, index.ErrPending) {
		p.Problem = fmt.Sprintf("Vous avez déjà %d dossiers en cours ou prêts. Téléchargez-les, puis retirez ceux qui ne servent plus sur la page « Dossiers de preuve ».", index.MaxPacks)
		return c.renderChoice(w, r, v, http.StatusConflict, p)
	}
	if err != nil {
		return err
	}
	c.want(r)
	c.flash(r, said)
	http.Redirect(w, r, "/preuves", http.StatusSeeOther)
	return nil
}

// want wakes the storage service. It looks by itself some seconds later, too: a bus that
// does not answer loses nothing.
func (c *Console) want(r *http.Request) {
	if err := bus.Publish(r.Context(), c.bus, bus.Wanted, greffe.Wanted{ID: rand.Text()}); err != nil {
		c.log.Warn("storage was not woken for a request", slog.Any("error", err))
	}
}

// packLine is one pack on the page of who asked for it.
type packLine struct {
	index.Pack
	Class string // good, bad, care, quiet
	Said  string // where it stands
	Live  bool   // something is still to come
}

var packKinds = map[string]string{"document": "Un document", "message": "Un message entier", "selection": "Une sélection"}

// What names the choice.
func (l packLine) What() string { return word(packKinds, l.Kind) }

func newPackLine(p index.Pack) packLine {
	l := packLine{Pack: p, Class: "quiet"}
	switch p.State {
	case index.PackWaiting:
		l.Said, l.Class, l.Live = "Attend l’accord d’un autre auditeur", "care", true
	case index.PackQueued:
		l.Said, l.Live = "Dans la file : un seul dossier se fait à la fois", true
	case index.PackBuilding:
		l.Said, l.Live = "En cours", true
		if p.Problem != "" {
			l.Class = "care"
		}
	case index.PackReady:
		l.Said, l.Class, l.Live = "Prêt", "good", true
		if p.Verdict == "KO" {
			l.Said, l.Class = "Prêt, avec au moins un contrôle en défaut", "bad"
		}
	case index.PackFailed:
		l.Said, l.Class = "N’a pas pu être fait", "bad"
	case index.PackRefused:
		l.Said, l.Class = "Refusé par l’autre auditeur", "care"
	case index.PackCancelled:
		l.Said = "Retiré"
	case index.PackExpired:
		l.Said = "Retiré : son délai est passé"
	}
	return l
}

// showProofs lists the packs of the person.
func (c *Console) showProofs(w http.ResponseWriter, r *http.Request, v *visit) error {
	list, err := c.db.Packs(r.Context(), v.user.Login, packsShown)
	if err != nil {
		return err
	}
	if err := c.record(v, "read", "", "ok", "packs"); err != nil {
		return err
	}
	var lines []packLine
	for _, p := range list {
		lines = append(lines, newPackLine(p))
	}
	return c.render(w, r, v, http.StatusOK, "preuves", page{Title: "Dossiers de preuve", Nav: "preuves", Scripts: []string{"preuves.js"}, Data: lines})
}

// ownPack returns the pack of the path when the person asked for it.
func (c *Console) ownPack(r *http.Request, v *visit) (index.Pack, error) {
	p, err := c.db.Pack(r.Context(), r.PathValue("dossier"))
	if errors.Is(err, index.ErrNotFound) {
		return p, errNothing
	}
	if err == nil && p.Requester != v.user.Login {
		c.note(v, "denied", p.ID, "refused", r.Pattern)
		return p, errNothing
	}
	return p, err
}

// seesPack reports whether the person may see all that a pack is about.
func (c *Console) seesPack(r *http.Request, v *visit, id string) (bool, error) {
	if slices.Contains(v.places, index.Everywhere) {
		return true, nil
	}
	items, err := c.db.PackItems(r.Context(), id)
	if err != nil {
		return false, err
	}
	last := greffe.MessageID("")
	for _, i := range items {
		if i.Message == last {
			continue
		}
		last = i.Message
		m, err := c.db.Message(r.Context(), i.Message)
		if errors.Is(err, index.ErrNotFound) || err == nil && !v.seesMessage(m.Message) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return len(items) > 0, nil
}

// dropProof takes a request back, or removes a pack that is not needed any more.
func (c *Console) dropProof(w http.ResponseWriter, r *http.Request, v *visit) error {
	p, err := c.ownPack(r, v)
	if err != nil {
		return err
	}
	err = c.db.ChangePack(r.Context(), p.ID, func(p *index.Pack) ([]index.Entry, error) {
		if p.State.Ended() {
			return nil, nil
		}
		p.State = index.PackCancelled
		return []index.Entry{v.entry("pack-cancelled", p.ID, "ok", "")}, nil
	})
	if err != nil {
		return err
	}
	c.want(r) // to remove its bytes
	c.flash(r, "Dossier retiré.")
	http.Redirect(w, r, "/preuves", http.StatusSeeOther)
	return nil
}

// decideProof is the word of the second auditor about a request of another one.
func (c *Console) decideProof(w http.ResponseWriter, r *http.Request, v *visit) error {
	id, granted := r.PathValue("dossier"), r.PathValue("suite") == "accorder"
	if !granted && r.PathValue("suite") != "refuser" {
		return errNothing
	}
	p, err := c.db.Pack(r.Context(), id)
	if err != nil {
		return err
	}
	sees, err := c.seesPack(r, v, id)
	if err != nil {
		return err
	}
	if !sees && p.State == index.PackWaiting {
		c.note(v, "denied", id, "refused", r.Pattern)
		return errNothing
	}
	err = c.db.ChangePack(r.Context(), id, func(p *index.Pack) ([]index.Entry, error) {
		if p.State != index.PackWaiting || p.Requester == v.user.Login {
			return nil, index.ErrDecided
		}
		p.DecidedBy, p.Decided = v.user.Login, time.Now().UTC()
		action := "pack-granted"
		if p.State = index.PackQueued; !granted {
			p.State, action = index.PackRefused, "pack-refused"
		}
		return []index.Entry{v.entry(action, p.ID, "ok", p.Requester)}, nil
	})
	if errors.Is(err, index.ErrDecided) {
		c.note(v, "denied", id, "refused", r.Pattern)
		return errState
	}
	if err != nil {
		return err
	}
	said := "Dossier de preuve refusé."
	if granted {
		said = "Accord donné : le dossier de preuve se fait."
		c.want(r)
	}
	c.flash(r, said)
	http.Redirect(w, r, "/accords", http.StatusSeeOther)
	return nil
}
