package integrator

import (
	"slices"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
	"greffe/pkg/ins"
)

// situation is all that the decision about one document depends on.
type situation struct {
	doc   index.Document
	di    bool            // a DI takes it
	other bool            // a DI takes other types of document of this mailbox and service
	plain bool            // the DI takes what carries no CDA
	asks  bool            // a person asked to send it (again)
	same  *index.Document // the document that stands for this identity, when it is another one
	// parent is the document that this one replaces, if Greffe has it: the one it
	// names, else the version before it in its set. creation is the document that a
	// deletion is about.
	parent   *index.Document
	creation *index.Document
	lineage  []index.Document           // the others of its chain
	young    bool                       // what it refers to may still be on its way to the archive
	here     ins.Environment            // of the installation
	claimed  bool                       // it stands for its identity
	untried  map[greffe.DocumentID]bool // what the DI's queue has still to come to
}

// plan is the decision.
type plan struct {
	rule   string        // name of the rule that decided
	action greffe.Action // what to send; empty: nothing
	parent greffe.OID    // for a replacement
	state  greffe.State  // what the document becomes, when nothing is sent; empty: stays as it is
	text   string        // French
	wait   bool          // another document of the chain has to be settled first
	claims bool          // the document stands for its identity from now on
}

// rule is one row of the decision table.
type rule struct {
	name string
	when func(s *situation) bool
	then func(s *situation) plan
}

// documentRules are about the document itself, whichever DI it goes to; rules are about
// one DI, where situation shows every document as it stands there. Both are read from the
// top, and the first whose condition holds decides; when no documentRule does, the document
// goes to its DIs. Which clause each comes from is beside it; "domain §" is the house's
// reference.
var documentRules = []rule{
	// Malware is for a person in every copy, with a DI or without.
	{"unsafe", func(s *situation) bool { return greffe.Unsafe(s.doc.Facts.Findings) },
		func(s *situation) plan { return plan{state: greffe.StateTodo, text: suspicion(s.doc.Facts)} }},

	// Without a DI documents are archived and shown, and stay archivé: nobody has to
	// do anything about them.
	{"no-di", func(s *situation) bool { return !s.di && !s.other }, stay},
	{"no-type", func(s *situation) bool { return !s.di },
		todo("Aucun DI de ce service ne prend ce type de document : l'intégrer à la main, ou le faire ajouter aux types d'un DI.")},

	// Once: the same document again is linked, not sent. The same number with other
	// bytes is not the same document.
	{"same-number", func(s *situation) bool { return s.same != nil && s.same.Facts.SHA256 != s.doc.Facts.SHA256 },
		todo("Un autre document porte déjà ce numéro avec un contenu différent : comparer les deux avant de classer l'un des deux.")},
	{"duplicate", func(s *situation) bool { return s.same != nil },
		func(*situation) plan {
			return plan{state: greffe.StateDuplicate, text: "Ce document a déjà été reçu dans un autre message."}
		}},

	// What was found wrong with it. A person's retry does not lift a finding; that the
	// patient is not well named is for the table of §6.4 below.
	{"verdict", func(s *situation) bool {
		v := s.doc.Facts.Verdict
		return v == greffe.VerdictRefused || v == greffe.VerdictHeld && !onlyIdentity(s.doc.Facts.Findings)
	}, func(s *situation) plan { return plan{state: greffe.StateTodo, text: gravest(s.doc.Facts)} }},

	// What carries no CDA waits for a person, in each mailbox that it came to: who
	// may see the one mailbox may not see the other.
	{"hprim", format(greffe.FormatHPRIM), todo("Résultat HPRIM en texte : le rattacher à la main au bon patient.")},
	{"other-format", func(s *situation) bool { return !isCDA(s.doc.Facts) && !format(greffe.FormatPDF)(s) },
		todo("Pièce jointe sans identité de patient : la lire et décider.")},
	{"no-number", func(s *situation) bool { return isCDA(s.doc.Facts) && s.doc.Facts.UniqueID.IsZero() },
		todo("Le document n'a pas de numéro : le DI ne peut pas le recevoir.")},

	{"unknown-action", func(s *situation) bool {
		a := s.doc.Facts.Action
		return a != greffe.ActionNew && a != greffe.ActionReplace && a != greffe.ActionDelete
	}, todo("L'action demandée sur ce document n'est pas reconnue : décider à la main.")},
}

var rules = []rule{
	{"no-pdf", func(s *situation) bool { return format(greffe.FormatPDF)(s) && !s.plain },
		todo("Ce DI ne reçoit pas de PDF sans en-tête : l'intégrer à la main dans le dossier du patient.")},

	// A number, a set or a parent that belongs to a document about somebody else: whatever
	// was sent would touch the record of that person, and what is not sent would be lost
	// to this one. Never decided by a machine (domain §6.4).
	{"other-patient", func(s *situation) bool { return stranger(s) != "" }, func(s *situation) plan {
		return plan{state: greffe.StateTodo, text: "Ce document se dit lié à un document d'un autre patient (même numéro, version ou suppression) ; ce qui diffère : " + stranger(s) +
			". Rien n'est envoyé : comparer les deux identités avant toute chose."}
	}},
	{"same-number-again", func(s *situation) bool { return !deletes(s) && !sent(s.doc) && reused(s) },
		todo("Un document envoyé au DI porte déjà ce numéro avec un contenu différent, et celui-ci ne dit pas le remplacer : comparer les deux.")},

	// Order (domain §4.4, order hazard): what came late is not sent as current.
	{"withdrawn", func(s *situation) bool { return !deletes(s) && withdrawn(s, true) },
		dismiss("Son auteur a supprimé ce document : il est archivé et n'est pas envoyé au DI.")},
	{"obsolete", func(s *situation) bool { return !deletes(s) && newer(s, greffe.StateDelivered) },
		dismiss("Une version plus récente est déjà dans le DI : celle-ci est archivée et n'est pas envoyée.")},
	{"newer-under-way", func(s *situation) bool {
		return !deletes(s) && !sent(s.doc) && (newer(s, greffe.StateWaiting) || withdrawn(s, false))
	}, wait},

	// Deletion (domain §4.4): always T04, after the creation had its answer.
	{"delete-too-soon", func(s *situation) bool { return deletes(s) && pending(s.creation) }, wait},
	{"delete-first", func(s *situation) bool { return deletes(s) && s.creation == nil && s.young && !sent(s.doc) }, wait},
	{"delete", deletes, send(greffe.ActionDelete)},

	// New documents and replacements.
	{"circle", func(s *situation) bool {
		return s.parent != nil && s.parent.Facts.Replaces == s.doc.Facts.UniqueID
	}, todo("Ce document et un autre disent chacun remplacer l'autre : les comparer et décider.")},
	{"new", func(s *situation) bool { return s.doc.Facts.Action == greffe.ActionNew && s.parent == nil }, send(greffe.ActionNew)},
	{"replace-first", func(s *situation) bool { return s.parent == nil && s.young && !sent(s.doc) }, wait},
	{"replace-too-soon", func(s *situation) bool { return pending(s.parent) && !sent(s.doc) }, wait},
	{"replace", func(s *situation) bool { return s.parent != nil && s.parent.State == greffe.StateDelivered }, replace},
	{"replace-dismissed", func(s *situation) bool {
		return s.parent != nil && (s.parent.State == greffe.StateDismissed || s.asks)
	}, send(greffe.ActionNew)}, // the DI never had the parent: this is its first
	{blocked, func(s *situation) bool { return s.parent != nil && !pending(s.parent) },
		todo("La version précédente de ce document n'est pas dans le DI : la traiter d'abord.")},
	{"replace-waiting", func(s *situation) bool { return s.parent != nil }, replace}, // sent before: the repeat says the same
	// Greffe never had the parent: the DI may have it from elsewhere.
	{"replace-unsaid", func(s *situation) bool { return has(s.doc.Facts, "xdm.cda.action") }, send(greffe.ActionNew)},
	{"replace-unknown", func(s *situation) bool { return !s.doc.Facts.Replaces.IsZero() }, replace},
	{"replace-nothing", func(*situation) bool { return true }, send(greffe.ActionNew)},
}

// admit applies the rules about the document; ok is false when none of them decides, and
// the document goes to its DIs.
func admit(s situation) (p plan, ok bool) {
	if p, ok = first(documentRules, &s); ok {
		return p, true
	}
	if r := judge(s.identity()); r.todo != "" {
		return plan{rule: r.name, state: greffe.StateTodo, text: r.todo}, true
	}
	return plan{}, false
}

// decide applies the rules about one DI.
func decide(s situation) plan {
	p, ok := first(rules, &s)
	if !ok {
		panic("integrator: the last rule always holds")
	}
	return p
}

func first(table []rule, s *situation) (plan, bool) {
	for _, r := range table {
		if r.when(s) {
			p := r.then(s)
			p.rule = r.name
			return p, true
		}
	}
	return plan{}, false
}

func isCDA(d greffe.Document) bool {
	return d.Format == greffe.FormatCDA1 || d.Format == greffe.FormatCDA3
}

func stay(*situation) plan { return plan{} }
func wait(*situation) plan { return plan{wait: true} }

func todo(text string) func(*situation) plan {
	return func(*situation) plan { return plan{state: greffe.StateTodo, text: text} }
}

func dismiss(text string) func(*situation) plan {
	return func(*situation) plan { return plan{state: greffe.StateDismissed, text: text, claims: true} }
}

func send(a greffe.Action) func(*situation) plan {
	return func(*situation) plan { return plan{action: a, claims: true} }
}

func replace(s *situation) plan {
	p := plan{action: greffe.ActionReplace, parent: s.doc.Facts.Replaces, claims: true}
	if s.parent != nil {
		p.parent = s.parent.Facts.UniqueID
	}
	return p
}

func format(f greffe.Format) func(*situation) bool {
	return func(s *situation) bool { return s.doc.Facts.Format == f }
}

func deletes(s *situation) bool { return s.doc.Facts.Action == greffe.ActionDelete }

// pending reports whether a machine still works on d.
func pending(d *index.Document) bool { return d != nil && !d.State.Final() }

// sent reports whether d may have reached a DI already.
func sent(d index.Document) bool { return d.Outcome.Control != "" }

// withdrawn reports whether a deletion of this very document was sent before it,
// and had its answer, or has it still to come. A deletion that was not sent yet
// waits for the document: what it replaced has to be replaced all the same.
func withdrawn(s *situation, answered bool) bool {
	return slices.ContainsFunc(s.lineage, func(o index.Document) bool {
		return o.Facts.Action == greffe.ActionDelete && o.Facts.UniqueID == s.doc.Facts.UniqueID &&
			sent(o) && o.State.Final() == answered && o.State != greffe.StateDismissed
	})
}

// newer reports whether a later version of the document is in this state; one
// that waits counts only when it may have reached the DI.
func newer(s *situation, state greffe.State) bool {
	return slices.ContainsFunc(s.lineage, func(o index.Document) bool {
		return o.State == state && sent(o) && follows(o.Facts, s.doc.Facts)
	})
}

// follows reports whether f says that it is a later version of own.
func follows(f, own greffe.Document) bool {
	return f.Action != greffe.ActionDelete &&
		(f.Replaces == own.UniqueID || !f.SetID.IsZero() && f.SetID == own.SetID && f.Version > own.Version)
}

// stranger reports whether the decision would depend on a document about another
// person: what this one replaces or deletes, a later version, the same number. It returns
// in French what differs between the two, "" when none is. One that was put aside before it
// was sent has no effect.
func stranger(s *situation) string {
	other := func(o index.Document) string {
		if o.State == greffe.StateDismissed && !sent(o) {
			return ""
		}
		// Two that name their patient by the same words stay together, also when a person
		// said of one of them who that is.
		if (o.Chosen == nil || s.doc.Chosen == nil) && sameWords(o.Facts.Patient, s.doc.Facts.Patient) {
			return ""
		}
		if c := ins.Compare(patientOf(o), patientOf(s.doc)); c.Contradicts() {
			return c.Which(ins.Differs)
		}
		return ""
	}
	for _, o := range []*index.Document{s.parent, s.creation} {
		if o != nil {
			if what := other(*o); what != "" {
				return what
			}
		}
	}
	for _, o := range s.lineage {
		if o.Facts.UniqueID == s.doc.Facts.UniqueID || sent(o) && follows(o.Facts, s.doc.Facts) {
			if what := other(o); what != "" {
				return what
			}
		}
	}
	return ""
}

// reused reports whether a new document has the number of one with other bytes that
// was sent: the number of the version differs, the DI sees only the other one.
func reused(s *situation) bool {
	return s.doc.Facts.Action == greffe.ActionNew && s.parent == nil && slices.ContainsFunc(s.lineage, func(o index.Document) bool {
		return o.Facts.UniqueID == s.doc.Facts.UniqueID && o.Facts.Action != greffe.ActionDelete &&
			o.Facts.SHA256 != s.doc.Facts.SHA256 && sent(o)
	})
}

func has(d greffe.Document, rule string) bool {
	return slices.ContainsFunc(d.Findings, func(f greffe.Finding) bool { return f.Rule == rule })
}

// suspicion returns what the antivirus says about a document.
func suspicion(d greffe.Document) string {
	for _, f := range d.Findings {
		if greffe.Unsafe([]greffe.Finding{f}) {
			return f.Text
		}
	}
	return gravest(d)
}

// gravest returns the text of the first of the gravest findings.
func gravest(d greffe.Document) string {
	for _, severity := range []greffe.Severity{greffe.Refuse, greffe.Hold} {
		for _, f := range d.Findings {
			if f.Severity == severity {
				return f.Text
			}
		}
	}
	return "Document retenu au contrôle : le vérifier avant toute chose."
}
