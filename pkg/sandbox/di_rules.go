package sandbox

import (
	"log/slog"
	"strconv"
	"time"

	"greffe/pkg/greffe"
)

// diRequest is a message to the demo record system, whatever the protocol.
type diRequest struct {
	event        greffe.Action
	control      string // MSH-10 or FHIR identifier
	number       string
	parent       string
	patient      greffe.Patient
	author       string
	organisation string
	kind, title  string
	sha256       greffe.Digest
	size         int64
	through      string     // HL7 or FHIR, for the page
	refuse       *diRefusal // what a rule says before the tables are asked
}

// diRefusal is an application error of table 0533 (volet, ERR-5).
type diRefusal struct{ code, label string }

var (
	diOrder      = diRefusal{"900", "La version transmise n'est pas la suite de la dernière version connue"}
	diAuthor     = diRefusal{"901", "L'auteur n'est pas autorisé à remplacer ou supprimer ce document"}
	diUnknown    = diRefusal{"902", "Identifiant de patient inconnu"}
	diNoINS      = diRefusal{"903", "INS absente du document"}
	diDiffers    = diRefusal{"904", "L'INS ou les traits diffèrent de ceux du dossier"}
	diIncomplete = diRefusal{"905", "Traits d'identité incomplets"}
	diOther      = diRefusal{"906", "Document inexploitable"}

	diRefusals = []diRefusal{diOrder, diAuthor, diUnknown, diNoINS, diDiffers, diIncomplete, diOther}
)

// diLine is one line of the page.
type diLine struct {
	At                  time.Time
	Through, Event      string
	Number, Title, Name string
	Answer              string
	Good                bool
}

// integrate applies the rules to a request and returns the document, whether
// it was there already, or why it is refused.
func (d *DI) integrate(r diRequest) (doc *DIDocument, repeat bool, refusal *diRefusal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if refusal = r.refuse; refusal == nil {
		doc, repeat, refusal = d.apply(r)
	}
	answer := map[greffe.Action]string{greffe.ActionReplace: "remplacé", greffe.ActionDelete: "supprimé"}[r.event]
	switch {
	case refusal != nil:
		d.stats.Refused[refusal.code]++
		answer = refusal.code + " " + refusal.label
	case repeat:
		d.stats.Repeats++
		answer = "déjà reçu"
	case answer == "":
		answer = "intégré"
	}
	d.slog.Info("demo DI answered", slog.String("through", r.through), slog.String("event", string(r.event)),
		slog.Bool("repeat", repeat), slog.Bool("accepted", refusal == nil))
	d.note(r, answer, refusal == nil)
	return doc, repeat, refusal
}

// shown is note for a request that is not integrated.
func (d *DI) shown(r diRequest, answer string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.note(r, answer, false)
}

// note adds a line to the page; d.mu is held.
func (d *DI) note(r diRequest, answer string, good bool) {
	event := map[greffe.Action]string{greffe.ActionReplace: "remplacement", greffe.ActionDelete: "suppression"}[r.event]
	if event == "" {
		event = "nouveau"
	}
	d.log = append(d.log, diLine{
		At: time.Now(), Through: r.through, Event: event, Number: r.number, Title: r.title,
		Name: r.patient.BirthFamily + " " + r.patient.FirstGiven, Answer: answer, Good: good,
	})
	if len(d.log) > 500 {
		d.log = append(d.log[:0:0], d.log[250:]...)
	}
}

func (d *DI) apply(r diRequest) (*DIDocument, bool, *diRefusal) {
	known := d.documents[r.number]
	if number, ok := d.accepted[r.control]; ok && r.control != "" && d.documents[number] != nil {
		return d.documents[number], true, nil
	}
	if r.event == greffe.ActionDelete {
		if known != nil && known.Deleted {
			return known, true, nil
		}
	} else if known != nil && !known.Deleted {
		return known, true, nil
	}
	if refusal := d.identify(r.patient); refusal != nil {
		return nil, false, refusal
	}
	switch r.event {
	case greffe.ActionDelete:
		if known == nil || known.Replaced != "" {
			return nil, false, &diOrder
		}
		if !known.by(r) {
			return nil, false, &diAuthor
		}
		known.Deleted = true
		d.accepted[r.control] = r.number
		d.stats.Deleted++
		return known, false, nil
	case greffe.ActionReplace:
		parent := d.documents[r.parent]
		if parent == nil || !parent.Current() {
			return nil, false, &diOrder
		}
		if !parent.by(r) {
			return nil, false, &diAuthor
		}
		parent.Replaced = r.number
		d.stats.Replaced++
	default:
		if known != nil { // deleted before: the number is used up
			return nil, false, &diOrder
		}
		d.stats.New++
	}
	doc := &DIDocument{
		Number: r.number, ID: strconv.Itoa(4711 + len(d.documents)), Patient: r.patient, Type: r.kind, Parent: r.parent,
		SHA256: r.sha256, Size: r.size, At: time.Now(), author: r.author, organisation: r.organisation, title: r.title,
	}
	d.documents[r.number], d.byID[doc.ID] = doc, doc
	d.accepted[r.control] = r.number
	return doc, false, nil
}

// by reports whether the request comes from the author of the document, or from
// the same organisation. What is not known does not count against it.
func (d *DIDocument) by(r diRequest) bool {
	return d.author == "" || r.author == "" || d.author == r.author ||
		d.organisation != "" && d.organisation == r.organisation
}

// identify compares the patient with those known.
func (d *DI) identify(p greffe.Patient) *diRefusal {
	if p.INS.IsZero() {
		return &diNoINS
	}
	if !p.HasTraits() {
		return &diIncomplete
	}
	known, ok := d.patients[p.INS.String()]
	if !ok {
		return &diUnknown
	}
	if known.BirthFamily != p.BirthFamily || known.FirstGiven != p.FirstGiven || known.Givens != p.Givens ||
		known.BirthDate != p.BirthDate || known.Sex != p.Sex || known.BirthPlace != p.BirthPlace {
		return &diDiffers
	}
	return nil
}
