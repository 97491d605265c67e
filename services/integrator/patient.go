package integrator

import (
	"fmt"
	"slices"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/pkg/ins"
)

// Policy is who decides about the patient at a DI (domain §6.4).
type Policy string

// Policies.
const (
	// DIDecides sends what names its patient well; the DI compares INS and traits with
	// its own and answers 902 to 905.
	DIDecides Policy = "di-decides"
	// AskFirst asks the DI for the patient and compares before anything is sent. The DI
	// must offer a search (FHIR); HL7 v2 has none here.
	AskFirst Policy = "ask-first"
)

// identity is all that the decision about the patient of one document depends on.
type identity struct {
	document greffe.Document
	chosen   *greffe.Patient // by a person; nil: nobody chose
	policy   Policy          // empty: not at a DI yet
	here     ins.Environment // of the installation
	asked    bool            // the DI was asked, and named these
	named    []greffe.Candidate
}

// judgement is what becomes of the document as far as its patient goes: a person has to
// see to it (todo, French), the DI has to be asked first, or neither: it may go.
type judgement struct {
	name string
	todo string
	ask  bool
}

// patientRules is the table of domain §6.4. The first whose condition holds decides; none
// of them sends for a name and a birth date.
var patientRules = []struct {
	name string
	when func(i *identity) bool
	then func(i *identity) judgement
}{
	// Masked to professionals (domain §5.5): the volet forbids to send it.
	{"masked", func(i *identity) bool { return i.document.Marked(greffe.MaskedToProfessionals) },
		person("Document masqué aux professionnels de santé : il ne peut pas être transmis au DI. Prévenir l'émetteur.")},

	// Two patients: nobody here can say which one the author meant.
	{"two-patients", func(i *identity) bool { return found(i, twoPatients) }, says(twoPatients)},

	// What a person chose goes before what the document lacks, never against its INS.
	{"chosen-other", func(i *identity) bool {
		return i.chosen != nil && ins.Compare(i.document.Patient, *i.chosen).Of(ins.TraitINS).Is == ins.Differs
	},
		person("Le document porte l'INS d'un autre patient que celui qui a été choisi : rien n'est envoyé. Demander à l'émetteur de le corriger.")},
	{"chosen-incomplete", func(i *identity) bool { return i.chosen != nil && (i.chosen.INS.IsZero() || !i.chosen.HasTraits()) },
		person("Le patient choisi n'a pas d'INS avec ses cinq traits : compléter son identité, puis choisir de nouveau.")},
	{"chosen-wrong", func(i *identity) bool { return i.chosen != nil && i.wrong() != "" }, func(i *identity) judgement {
		return judgement{todo: "Le patient choisi ne convient pas. " + i.wrong()}
	}},

	// What the document says of its patient (pkg/ins found it).
	{"pdf", func(i *identity) bool { return i.document.Format == greffe.FormatPDF && i.chosen == nil },
		person("Document PDF sans identité de patient : choisir le patient, ou l'intégrer à la main.")},
	{"message-patients", func(i *identity) bool { return i.chosen == nil && found(i, []string{"parser.patients"}) }, says([]string{"parser.patients"})},
	{"name-only", func(i *identity) bool { return i.chosen == nil && len(i.document.Patient.IDs) == 0 },
		person("Le document ne donne aucun identifiant de patient : choisir le patient. Un nom et une date de naissance ne suffisent jamais.")},
	{"ins-absent", func(i *identity) bool { return i.chosen == nil && i.document.Patient.INS.IsZero() },
		person("Le document ne porte pas d'INS : choisir le patient, ou demander à l'émetteur de le corriger.")},
	{"ins-wrong", func(i *identity) bool { return i.chosen == nil && found(i, wrongINS) }, says(wrongINS)},
	{"traits-missing", func(i *identity) bool { return i.chosen == nil && found(i, []string{"ins.traits"}) }, says([]string{"ins.traits"})},

	// What the DI knows.
	{"no-di-yet", func(i *identity) bool { return i.policy == "" }, goes},
	{"di-decides", func(i *identity) bool { return i.policy == DIDecides }, goes},
	{"ask", func(i *identity) bool { return !i.asked }, func(*identity) judgement { return judgement{ask: true} }},
	{"patient-unknown", func(i *identity) bool { return len(i.named) == 0 },
		person("Le DI ne connaît pas ce patient : vérifier son identité avec la cellule d'identitovigilance, puis renvoyer le document.")},
	{"patient-closed", func(i *identity) bool { return len(i.open()) == 0 },
		person("Le dossier de ce patient est fermé ou fusionné dans le DI : le faire vérifier, puis renvoyer le document.")},
	{"patient-several", func(i *identity) bool { return len(i.open()) > 1 },
		person("Plusieurs patients du DI portent cette INS : faire dédoublonner leurs dossiers, puis renvoyer le document.")},
	{"trait-differs", func(i *identity) bool { return i.compare().Contradicts() }, func(i *identity) judgement {
		return judgement{todo: "L'identité du document diffère de celle du DI ; ce qui diffère : " + i.compare().Which(ins.Differs) + ". Comparer les deux identités avant toute chose."}
	}},
	{"not-qualified", func(i *identity) bool { s := i.open()[0].Status; return s != "" && s != "QUAL" && i.chosen == nil }, func(i *identity) judgement {
		return judgement{todo: fmt.Sprintf("L'identité de ce patient n'est pas qualifiée dans le DI (%s) : comparer les deux identités, puis confirmer le patient.", short(i.open()[0].Status))}
	}},
	{"exact", func(i *identity) bool { return i.compare().Match() == ins.MatchStrict }, goes},
	{"vouched", func(i *identity) bool { return i.chosen != nil && i.compare().Match() == ins.MatchINS }, goes},
	{"not-exact", func(*identity) bool { return true }, func(i *identity) judgement {
		c := i.compare()
		what := c.Which(ins.Compatible)
		if absent := c.Which(ins.Absent); what == "" {
			what = absent
		}
		return judgement{todo: "L'INS est la même, mais l'identité du document et celle du DI ne sont pas identiques ; à comparer : " + what + ". Confirmer le patient, ou classer."}
	}},
}

// Findings about the patient, by what may be done about them.
var (
	twoPatients = []string{"ins.two", "ins.conflict", "parser.patient.set", "parser.patient.metadata"}
	wrongINS    = []string{"ins.key", "ins.key.missing", "ins.syntax"}
	// identityFindings hold a document for its patient alone.
	identityFindings = slices.Concat(twoPatients, wrongINS, []string{"ins.missing", "ins.traits", "parser.patients"})
)

// judge applies the table.
func judge(i identity) judgement {
	for _, r := range patientRules {
		if r.when(&i) {
			j := r.then(&i)
			j.name = r.name
			return j
		}
	}
	panic("integrator: the last rule always holds")
}

func goes(*identity) judgement { return judgement{} }

func person(text string) func(*identity) judgement {
	return func(*identity) judgement { return judgement{todo: text} }
}

// says repeats what was found.
func says(rules []string) func(*identity) judgement {
	return func(i *identity) judgement {
		for _, f := range i.document.Findings {
			if holds(f) && slices.Contains(rules, f.Rule) {
				return judgement{todo: f.Text}
			}
		}
		return judgement{todo: gravest(i.document)}
	}
}

func holds(f greffe.Finding) bool { return f.Severity == greffe.Hold || f.Severity == greffe.Refuse }

func found(i *identity, rules []string) bool {
	return slices.ContainsFunc(i.document.Findings, func(f greffe.Finding) bool { return holds(f) && slices.Contains(rules, f.Rule) })
}

// onlyIdentity reports whether all that holds a document is about its patient.
func onlyIdentity(list []greffe.Finding) bool {
	n := 0
	for _, f := range list {
		if !holds(f) {
			continue
		}
		if !slices.Contains(identityFindings, f.Rule) {
			return false
		}
		n++
	}
	return n > 0
}

// wrong is what is wrong with the identity that a person chose: a key, the INS of another
// environment; "" when nothing is.
func (i *identity) wrong() string {
	for _, f := range ins.Check(*i.chosen, i.here, "") {
		if holds(f) {
			return f.Text
		}
	}
	return ""
}

// open are the patients to whom something may go.
func (i *identity) open() []greffe.Candidate {
	return slices.DeleteFunc(slices.Clone(i.named), func(c greffe.Candidate) bool { return c.Closed })
}

// compare compares the patient with the one that the DI named.
func (i *identity) compare() ins.Comparison {
	p := i.document.Patient
	if i.chosen != nil {
		p = *i.chosen
	}
	return ins.Compare(p, i.open()[0].Patient)
}

// identity is that of the document, before any DI is asked.
func (s *situation) identity() identity {
	return identity{document: s.doc.Facts, chosen: s.doc.Chosen, here: s.here}
}

// patientOf is whom a document is about: whom a person chose, else whom it names.
func patientOf(d index.Document) greffe.Patient {
	if d.Chosen != nil {
		return *d.Chosen
	}
	return d.Facts.Patient
}

// sameWords reports whether two descriptions of a patient say the same, word for word.
func sameWords(p, q greffe.Patient) bool {
	ids := slices.Equal(p.IDs, q.IDs)
	p.IDs, q.IDs = nil, nil
	return ids && p.INS == q.INS && p.BirthFamily == q.BirthFamily && p.UsedFamily == q.UsedFamily && p.FirstGiven == q.FirstGiven &&
		p.Givens == q.Givens && p.UsedGiven == q.UsedGiven && p.Sex == q.Sex && p.BirthDate == q.BirthDate && p.BirthPlace == q.BirthPlace
}
