package notifier

import (
	"slices"
	"strings"

	"greffe/pkg/greffe"
)

// Answer is what a sender is owed.
type Answer string

// Answers.
const (
	None       Answer = "none"
	Later      Answer = "later"       // not every document has its final outcome
	MDNSuccess Answer = "mdn-success" // disposition processed
	MDNError   Answer = "mdn-error"   // disposition processed/error, with the code
	KO         Answer = "ko"          // "courriel standard" with the code
	Ask        Answer = "ask"         // a person says whether an MDN may go
	AutoReply  Answer = "auto-reply"  // to a person: nobody reads this mailbox
	Forward    Answer = "forward"     // what a person wrote, to a mailbox that somebody reads
	Summary    Answer = "summary"     // what waits, to the person responsible for mailboxes; about no message
)

// Facts is all that a decision depends on.
type Facts struct {
	Message  greffe.Message
	Outcomes []greffe.Outcome // the last one of each document, in their order; of a copy that of what it is a copy of
	Mailbox  Mailbox          // that received the message
	Own      []string         // addresses of our mailboxes
	Old      bool             // it had lain in its mailbox for too long when it was taken
	// Confirmed: a person lets the receipt go to the address that asked for it.
	Confirmed bool
	// KO says who gets a "courriel standard": see Config.
	KO string
	// Allowed reports whether a domain is on the white list of MSSanté: what we
	// answer may carry the document. Nil allows none.
	Allowed func(domain string) bool
}

// Decision is the answer that is due.
type Decision struct {
	Answer Answer
	To     greffe.Address // where it goes; with Blocked, where it would
	Code   string         // of an error: the gravest application code, 900 to 906
	Why    string         // French, for the history of the message
	Rule   string         // row that decided
	// Blocked is the answer that would be due if its domain were on the white list, for a person
	// to tell the sender otherwise, or if the message were not so old. Answer is None then.
	Blocked Answer
}

type rule struct {
	name   string
	when   func(f *Facts) bool
	answer Answer
	why    string
}

// rules are read from the top; the first whose condition holds decides. The
// guards against loops come before anything that would answer.
var rules = slices.Concat(guards, []rule{
	{"no-document", func(f *Facts) bool { return len(f.Outcomes) == 0 }, None,
		"Message sans document : il n’y a rien à confirmer."},
	{"unfinished", func(f *Facts) bool { return slices.ContainsFunc(f.Outcomes, unfinished) }, Later,
		"Tous les documents du message n’ont pas encore de réponse du DI."},
	// Technical errors are for the technical staff of the hospital (S-TX); what they
	// mend is sent again, and only then is there something to say.
	{"incident", func(f *Facts) bool { return slices.ContainsFunc(f.Outcomes, incident) }, Later,
		"Une erreur technique est en cours de traitement : l’émetteur n’en est pas informé."},
	{"put-aside", func(f *Facts) bool { return !slices.ContainsFunc(f.Outcomes, answeredByDI) }, None,
		"Aucun document n’a été présenté au DI : il n’y a rien à confirmer."},

	// RFC 8098 §2.1: an MDN may go by itself only when Disposition-Notification-To is
	// the address of Return-Path; several addresses, or another one, need a person.
	{"mdn-other-address", func(f *Facts) bool { return asked(f) && !returns(f) && !f.Confirmed }, Ask,
		"L’accusé est demandé pour une autre adresse que celle de retour : une personne doit confirmer l’envoi."},
	{"mdn-error", func(f *Facts) bool { return asked(f) && refused(f) }, MDNError,
		"Accusé demandé : le DI a refusé au moins un document."},
	{"mdn-success", asked, MDNSuccess,
		"Accusé demandé : les documents sont dans le DI."},
	{"ko", refused, KO,
		"Aucun accusé demandé, mais le DI a refusé au moins un document : l’émetteur doit le savoir."},
	{"nothing", func(*Facts) bool { return true }, None,
		"Aucun accusé demandé et rien n’a été refusé."},
})

// Due returns what the sender is owed about the documents of a message now. It is
// asked again after each outcome.
func Due(f Facts) Decision {
	d := decide(rules, &f)
	switch d.Answer {
	case MDNSuccess, MDNError, Ask:
		d.To = f.Message.ReceiptTo[0]
	case KO:
		d.To = toldOfRefusals(&f)
	default:
		return d
	}
	if d.Answer != MDNSuccess {
		d.Code = gravest(f.Outcomes)
	}
	return f.permit(d)
}

// decide returns the answer of the first row of a table whose condition holds.
func decide(table []rule, f *Facts) Decision {
	for _, r := range table {
		if r.when(f) {
			return Decision{Answer: r.answer, Why: r.why, Rule: r.name}
		}
	}
	panic("notifier: the last rule always holds")
}

// toldOfRefusals is who gets a "courriel standard" (S-LPS, KO): the sender, whoever
// passed the message on, or one address for all.
func toldOfRefusals(f *Facts) greffe.Address {
	switch {
	case strings.Contains(f.KO, "@"):
		return greffe.Address{Address: f.KO}
	case f.KO == "forwarder" && len(f.Message.ResentFrom) > 0:
		return f.Message.ResentFrom[0]
	}
	return sender(f)
}

// sender is who wrote the message.
func sender(f *Facts) greffe.Address {
	if len(f.Message.From) > 0 {
		return f.Message.From[0]
	}
	return greffe.Address{Address: bare(f.Message.ReturnPath)}
}

func asked(f *Facts) bool { return len(f.Message.ReceiptTo) > 0 }

func returns(f *Facts) bool {
	return len(f.Message.ReceiptTo) == 1 && strings.EqualFold(f.Message.ReceiptTo[0].Address, bare(f.Message.ReturnPath))
}

// unfinished reports whether a machine or a person still has to act: a document
// that waits for a person is not refused yet.
func unfinished(o greffe.Outcome) bool { return !o.State.Final() || o.State == greffe.StateTodo }

func incident(o greffe.Outcome) bool { return o.State == greffe.StateIncident }

// answeredByDI reports whether the DI has the document, from this message or an
// earlier one, or it was refused, by the DI or by a person.
func answeredByDI(o greffe.Outcome) bool {
	return o.State == greffe.StateDelivered || o.State == greffe.StateDuplicate || o.Refused()
}

func refused(f *Facts) bool {
	return slices.ContainsFunc(f.Outcomes, greffe.Outcome.Refused)
}

// gravity orders the application codes: what may concern the wrong patient
// first. It is the house's order; the volet says nothing about several documents.
var gravity = []string{"904", "902", "903", "905", "901", "900", "906"}

// gravest returns the gravest application code among the refusals; 906 (other)
// for a refusal without one of the table, "" without refusal.
func gravest(outcomes []greffe.Outcome) string {
	best := len(gravity)
	for _, o := range outcomes {
		if !o.Refused() {
			continue
		}
		code := o.Code[strings.LastIndexByte(o.Code, ' ')+1:]
		n := slices.Index(gravity, code)
		if n < 0 {
			n = len(gravity) - 1
		}
		best = min(best, n)
	}
	if best == len(gravity) {
		return ""
	}
	return gravity[best]
}
