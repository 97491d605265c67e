package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
	identity "greffe/pkg/ins"
)

// mayAttach reports whether a person may say whom a document is about: what a DI can
// take, while it waits for a person. What is masked or suspect goes nowhere.
func mayAttach(d index.Document) bool {
	if greffe.Unsafe(d.Facts.Findings) || d.Facts.Marked(greffe.MaskedToProfessionals) || !d.State.Waits() {
		return false
	}
	switch d.Facts.Format {
	case greffe.FormatCDA1, greffe.FormatCDA3, greffe.FormatPDF:
		return true
	}
	return false
}

// cell is one value beside that of the document.
type cell struct {
	Value string
	Is    identity.Likeness
}

// traitRow is one trait of all who are compared.
type traitRow struct {
	Name     string
	Strict   bool
	Document string
	Others   []cell // the metadata first, when there are any, then the candidates
}

// candidateView is one whom the document may be about.
type candidateView struct {
	Key     string // digest of what was shown: what is chosen is what was seen
	Patient greffe.Patient
	Status  string
	Closed  bool
	Differs bool // a strict trait or the number differs: the birth date has to be typed
	Reason  string
	Own     bool // the one that the document itself names
}

type patientPage struct {
	D          index.Document
	F          greffe.Document
	View       view
	Rows       []traitRow
	Metadata   bool
	Candidates []candidateView
	Typed      typedPatient
	Chosen     string // key of the candidate, or "saisie"
	Errors     map[string]string
	Rev        int
	Message    greffe.MessageID
	Taken      takenBy
	Here, Back string
	Remember   bool
}

// typedPatient is an identity as a person types it.
type typedPatient struct {
	INS, Root, Family, First, Givens, Birth, Sex, Place string
}

// insRoots are the authorities of an INS that may be typed.
var insRoots = map[string]string{"nir": identity.OIDNIR, "nia": identity.OIDNIA, "test": identity.OIDNIRTest, "demo": identity.OIDNIRDemo}

// strictTraits are those of domain §6.1; two of the rows are the given names.
var strictTraits = map[identity.Trait]bool{
	identity.TraitINS: true, identity.TraitBirthFamily: true, identity.TraitFirstGiven: true, identity.TraitGivens: true,
	identity.TraitBirthDate: true, identity.TraitSex: true, identity.TraitBirthPlace: true,
}

// candidateKey names a patient as it was shown.
func candidateKey(p greffe.Patient) string {
	b, err := json.Marshal(p)
	if err != nil {
		return ""
	}
	return string(greffe.DigestOf(b)[:16])
}

// differs reports whether a strict trait differs between the document and a patient.
func differs(d, p greffe.Patient) bool {
	for _, l := range identity.Compare(d, p) {
		if strictTraits[l.Trait] && l.Is == identity.Differs {
			return true
		}
	}
	return false
}

// candidates lists whom a document may be about: whom it names itself, when it says
// enough, and those that the DI named.
func candidates(d index.Document) []candidateView {
	var list []candidateView
	if p := d.Facts.Patient; !p.INS.IsZero() && p.HasTraits() {
		list = append(list, candidateView{Key: candidateKey(p), Patient: p, Own: true, Reason: "L’identité écrite dans le document : son INS et ses cinq traits y sont."})
	}
	seen := map[string]bool{}
	for _, k := range d.Outcome.Candidates {
		v := candidateView{Key: candidateKey(k.Patient), Patient: k.Patient, Status: k.Status, Closed: k.Closed, Differs: differs(d.Facts.Patient, k.Patient)}
		if seen[v.Key] || len(list) > 0 && list[0].Key == v.Key {
			continue
		}
		seen[v.Key] = true
		c := identity.Compare(d.Facts.Patient, k.Patient)
		v.Reason = map[identity.Match]string{
			identity.MatchStrict: "INS et cinq traits identiques.", identity.MatchINS: "Même INS ; aucun trait ne diffère.",
			identity.MatchUnproven: "Rien ne diffère, mais l’INS manque d’un côté : ce n’est pas une preuve.",
		}[c.Match()]
		if what := c.Which(identity.Differs); what != "" {
			v.Reason = "Ce qui diffère : " + what + "."
		}
		if what := c.Which(identity.Compatible); what != "" {
			v.Reason += " Écrit autrement : " + what + "."
		}
		if k.Closed {
			v.Reason += " Dossier fermé ou fusionné dans le DI : rien ne peut y aller."
		}
		list = append(list, v)
	}
	return list
}

// traitRows puts all who are compared side by side.
func traitRows(d greffe.Document, list []candidateView) []traitRow {
	var others []greffe.Patient
	if !d.Announced.IsZero() {
		others = append(others, d.Announced)
	}
	for _, k := range list {
		if !k.Own {
			others = append(others, k.Patient)
		}
	}
	var rows []traitRow
	for _, l := range identity.Compare(d.Patient, greffe.Patient{}) {
		rows = append(rows, traitRow{Name: capital(l.Trait.Name()), Strict: strictTraits[l.Trait], Document: written(l.Trait, l.A)})
	}
	for _, p := range others {
		for i, l := range identity.Compare(d.Patient, p) {
			rows[i].Others = append(rows[i].Others, cell{written(l.Trait, l.B), l.Is})
			if rows[i].Document == "—" { // what is compared may come from another field
				rows[i].Document = written(l.Trait, l.A)
			}
		}
	}
	return rows
}

// likeness says in a sign and in words how two values compare: never by colour alone.
func likeness(l identity.Likeness) string {
	return map[identity.Likeness]string{identity.Same: "✓ ", identity.Compatible: "≈ ", identity.Differs: "≠ ", identity.Absent: "– "}[l] + l.Text()
}

// written writes the value of a trait as the pages do.
func written(t identity.Trait, v string) string {
	switch {
	case v == "":
		return "—"
	case t == identity.TraitINS:
		return ins(v)
	case t == identity.TraitBirthDate:
		return hl7Time(v)
	case t == identity.TraitSex:
		return word(sexWords, v)
	}
	return v
}

// patientView reads all that the page of the patient shows.
func (c *Console) patientView(r *http.Request, v *visit) (patientPage, index.Detail, error) {
	d, err := c.document(r, v)
	if err != nil {
		return patientPage{}, index.Detail{}, err
	}
	if !mayAttach(d) {
		return patientPage{}, index.Detail{}, errState
	}
	m, err := c.db.Message(r.Context(), d.Message)
	if err != nil {
		return patientPage{}, m, err
	}
	p := patientPage{D: d, F: d.Facts, View: viewOf(d), Metadata: !d.Facts.Announced.IsZero(), Candidates: candidates(d),
		Rev: documentRevision(m, d.ID), Message: m.ID, Here: r.URL.RequestURI(), Back: "/documents/" + string(d.ID)}
	if f, ok := contextOf(r.URL.Query()); ok {
		if f.Tab == "" {
			f.Tab = "tous"
		}
		p.Back = f.on(p.Back)
	}
	p.Rows = traitRows(d.Facts, p.Candidates)
	return p, m, nil
}

// showPatient shows whom a document may be about, trait by trait.
func (c *Console) showPatient(w http.ResponseWriter, r *http.Request, v *visit) error {
	p, m, err := c.patientView(r, v)
	if err != nil {
		return err
	}
	if err := c.record(v, "compared", string(p.D.ID), "ok", ""); err != nil {
		return err
	}
	if p.Taken, err = c.openToDecide(r, v, m.Message); err != nil {
		return err
	}
	return c.render(w, r, v, http.StatusOK, "patient", page{Title: "Choisir le patient — " + docTitle(p.F), Nav: "file", Wide: true, Scripts: []string{"file.js"}, Data: p})
}

// choosePatient publishes whom a person says that a document is about, with the
// comparison that was on the screen.
func (c *Console) choosePatient(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	p, m, err := c.patientView(r, v)
	if err != nil {
		return err
	}
	e := c.readChoice(&p, r.PostForm)
	if len(p.Errors) > 0 {
		return c.render(w, r, v, http.StatusUnprocessableEntity, "patient", page{Title: "Choisir le patient — à corriger", Nav: "file", Wide: true, Scripts: []string{"file.js"}, Data: p})
	}
	if err := c.publishDecision(r.Context(), v, m, p.D, e, r.PostForm); err != nil {
		return c.afterRefusal(w, r, v, err, m.ID, p.Here)
	}
	c.flash(r, "Patient choisi pour « "+docTitle(p.F)+" » : l’envoi au DI est demandé. L’état du document se mettra à jour ici dès que le DI aura répondu.")
	http.Redirect(w, r, p.Back, http.StatusSeeOther)
	return nil
}

// readChoice reads whom a person says that a document is about, with the comparison that
// was on the screen. What has to be corrected is in p.Errors, by field.
func (c *Console) readChoice(p *patientPage, form url.Values) greffe.Decided {
	field := func(name string) string { return strings.Join(strings.Fields(form.Get(name)), " ") }
	p.Chosen, p.Remember = form.Get("patient"), form.Get("retenir") != ""
	p.Typed = typedPatient{INS: strings.ToUpper(strings.ReplaceAll(field("ins"), " ", "")), Root: form.Get("autorite"), Family: field("nom"), First: field("prenom"),
		Givens: field("prenoms"), Birth: field("naissance"), Sex: form.Get("sexe"), Place: strings.ToUpper(field("lieu"))}
	p.Errors = map[string]string{}
	var chosen greffe.Patient
	found := false
	for _, k := range p.Candidates {
		if k.Key == p.Chosen && k.Key != "" {
			chosen, found = k.Patient, true
			if k.Closed {
				p.Errors["patient"] = "Le dossier de ce patient est fermé ou fusionné dans le DI : choisissez-en un autre."
			}
		}
	}
	if p.Chosen == "saisie" {
		chosen, found = p.Typed.read(c.wall, p.Errors), true
	}
	if !found {
		p.Errors["patient"] = "Choisissez le patient. S’il était proposé, l’identité que donne le DI a changé depuis : comparez de nouveau."
	}
	if found && len(p.Errors) == 0 && differs(p.F.Patient, chosen) {
		day, ok := c.wall.typedDate(field("confirmation"))
		if !ok || day.Format("20060102") != chosen.BirthDate {
			p.Errors["confirmation"] = "Un trait strict diffère. Pour confirmer, saisissez la date de naissance du patient choisi, telle qu’elle est dans son dossier."
		}
	}
	e := greffe.Decided{Verb: greffe.VerbAttach, Patient: &chosen, Remember: p.Remember}
	for _, l := range identity.Compare(p.F.Patient, chosen) {
		e.Compared = append(e.Compared, greffe.Compared{Trait: string(l.Trait), Document: l.A, Chosen: l.B, Is: string(l.Is)})
	}
	return e
}

// read returns the patient that was typed, and a sentence for each field that has to be
// corrected. An identity is complete or it is none (domain §6.1).
func (t typedPatient) read(at wall, bad map[string]string) greffe.Patient {
	root := insRoots[t.Root]
	p := greffe.Patient{BirthFamily: strings.ToUpper(t.Family), FirstGiven: strings.ToUpper(t.First), Givens: strings.ToUpper(t.Givens), Sex: t.Sex, BirthPlace: t.Place}
	if p.Givens == "" {
		p.Givens = p.FirstGiven
	}
	if _, err := identity.Parse(greffe.OID{Root: root, Extension: t.INS}); err != nil || root == "" {
		bad["ins"] = "Saisissez le matricule INS en entier (15 caractères) et son type : sa clé ne correspond pas, ou un caractère manque."
	}
	p.INS = greffe.OID{Root: root, Extension: t.INS}
	p.IDs = []greffe.OID{p.INS}
	for name, value := range map[string]string{"nom": p.BirthFamily, "prenom": p.FirstGiven} {
		if value == "" || len(value) > maxCriterion {
			bad[name] = "Ce trait est obligatoire."
		}
	}
	if len(p.Givens) > maxCriterion {
		bad["prenoms"] = "La liste des prénoms est trop longue."
	}
	day, ok := at.typedDate(t.Birth)
	if !ok || day.After(time.Now()) {
		bad["naissance"] = "Saisissez une date passée, sous la forme JJ/MM/AAAA."
	} else {
		p.BirthDate = day.Format("20060102")
	}
	if t.Sex != "M" && t.Sex != "F" && t.Sex != "UN" {
		bad["sexe"] = "Choisissez le sexe."
	}
	digits := strings.Replace(strings.Replace(t.Place, "2A", "21", 1), "2B", "22", 1)
	if _, err := strconv.ParseUint(digits, 10, 32); err != nil || len(t.Place) != 5 {
		bad["lieu"] = "Saisissez le code INSEE du lieu de naissance : 5 caractères."
	}
	return p
}
