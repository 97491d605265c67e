package parser

import (
	"slices"

	"greffe/pkg/greffe"
	"greffe/pkg/ins"
	"greffe/pkg/xdm"
)

// Rules about the patient of one message. A message is about one patient (MSSanté
// ECO.2.1.1); what says otherwise is held, whichever of the two is right.
var (
	rulePatients = rule("parser.patients", greffe.Hold, "Les documents %d et %d de ce message ne désignent pas le même patient ; ce qui diffère : %s. Une personne doit vérifier chaque document.", ref2+", ECO.2.1.1")
	ruleSet      = rule("parser.patient.set", greffe.Hold, "Le lot de soumission (METADATA.XML) et le document ne désignent pas le même patient ; ce qui diffère : %s. Une personne doit vérifier.", ref2+", ECO.2.1.1")
	ruleMetadata = rule("parser.patient.metadata", greffe.Hold, "Les métadonnées du document (METADATA.XML) désignent à elles seules deux patients : leurs matricules INS diffèrent. Une personne doit vérifier.", ref2+", ECO.2.1.1")
	ruleNoINS    = rule("parser.mss-ins", greffe.Warning, "Le message annonce une INS qualifiée (X-MSS-INS : O), mais le document ne porte pas l’INS et ses cinq traits.", ref2+", ECO.2.4.2")
	ruleNotSure  = rule("parser.mss-ins.unqualified", greffe.Warning, "Le document porte une INS, mais le message annonce qu’elle n’est pas qualifiée (X-MSS-INS : N) : l’expéditeur n’a pas vérifié l’identité.", ref2+", ECO.2.4.2")
)

var identityRules = []greffe.Rule{rulePatients, ruleSet, ruleMetadata, ruleNoINS, ruleNotSure}

// maxPeople bounds how many different descriptions of a patient one message may give and
// still have them compared with each other.
const maxPeople = 32

// submitted notes of which patient the submission set of a document is.
func (r *reading) submitted(entry *xdm.DocumentEntry, patient greffe.OID) {
	if patient.Extension == "" {
		return
	}
	if r.sets == nil {
		r.sets = make(map[*xdm.DocumentEntry]greffe.OID)
	}
	r.sets[entry] = patient
}

// identify returns what is wrong with the patient of one document: by itself, and beside
// what its metadata, its submission set and the message say.
func (r *reading) identify(d *document) []greffe.Finding {
	var findings []greffe.Finding
	isCDA := d.Format == greffe.FormatCDA1 || d.Format == greffe.FormatCDA3
	if isCDA {
		findings = ins.Check(d.Patient, r.p.cfg.Environment, d.Part)
		findings = append(findings, ins.CheckRegisters(&d.Document, d.Part)...)
		switch complete := !d.Patient.INS.IsZero() && d.Patient.HasTraits(); {
		case r.announced == "O" && !complete:
			findings = append(findings, ruleNoINS.At(d.Part))
		case r.announced == "N" && !d.Patient.INS.IsZero() && ins.KindOf(d.Patient.INS.Root) != ins.NIA:
			findings = append(findings, ruleNotSure.At(d.Part)) // whether an NIA counts as one is not settled
		}
	}
	if d.entry == nil {
		return findings
	}
	d.Announced = d.entry.Patient
	if m := d.entry.Patient; ins.Compare(m, m).Contradicts() {
		findings = append(findings, ruleMetadata.At(d.Part))
	} else if isCDA {
		findings = append(findings, ins.Agree(m, d.Patient, d.Part)...)
	}
	// What the metadata of the document say, too, is said above.
	if id := r.sets[d.entry]; id.Extension != "" && !slices.Contains(d.entry.Patient.IDs, id) {
		if c := ins.Compare(named(id), d.Patient); c.Contradicts() {
			findings = append(findings, ruleSet.At(d.Part, c.Which(ins.Differs)))
		}
	}
	return findings
}

// named is a patient of whom nothing but an id is known.
func named(id greffe.OID) greffe.Patient {
	p := greffe.Patient{IDs: []greffe.OID{id}}
	if ins.KindOf(id.Root) != "" {
		p.INS = id
	}
	return p
}

// differ looks for two descriptions of the patient in the message that contradict each
// other: of the documents, of their metadata. It returns the numbers of their documents,
// from 1, and what differs in French; "" when all may be one person. One that lacks what
// tells two others apart agrees with both, so each is compared with each.
func (r *reading) differ() (a, b int, what string) {
	type person struct {
		greffe.Patient
		document int
	}
	var people []person
	for i, d := range r.documents {
		list := []greffe.Patient{d.Patient}
		if d.entry != nil {
			list = append(list, d.entry.Patient)
		}
		for _, p := range list {
			known := p.IsZero() || slices.ContainsFunc(people, func(q person) bool { return samePatient(p, q.Patient) })
			if known {
				continue
			}
			for _, q := range people {
				if c := ins.Compare(q.Patient, p); q.document != i && c.Contradicts() {
					return q.document + 1, i + 1, c.Which(ins.Differs)
				}
			}
			if people = append(people, person{p, i}); len(people) > maxPeople {
				return 1, i + 1, "la description du patient, sans cesse différente"
			}
		}
	}
	return 0, 0, ""
}

// samePatient reports whether two descriptions say the same, word for word.
func samePatient(p, q greffe.Patient) bool {
	if !slices.Equal(p.IDs, q.IDs) {
		return false
	}
	p.IDs, q.IDs = nil, nil
	return p.INS == q.INS && p.BirthFamily == q.BirthFamily && p.UsedFamily == q.UsedFamily && p.FirstGiven == q.FirstGiven &&
		p.Givens == q.Givens && p.UsedGiven == q.UsedGiven && p.Sex == q.Sex && p.BirthDate == q.BirthDate && p.BirthPlace == q.BirthPlace
}
