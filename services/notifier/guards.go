package notifier

import (
	"slices"
	"strings"

	"greffe/pkg/greffe"
)

// guards keep Greffe from ever answering what could answer back: every table of
// decisions begins with them (domain §9.1).
var guards = []rule{
	{"robot", func(f *Facts) bool { return f.Message.Kind.Robot() }, None,
		"Message d’un automate : il n’appelle pas de réponse."}, // RFC 8098 §3, RFC 3834 §2
	{"auto-submitted", func(f *Facts) bool { return automatic(f.Message.AutoSubmit) }, None,
		"Message envoyé automatiquement (Auto-Submitted) : il n’appelle pas de réponse."}, // RFC 3834 §2
	{"list", func(f *Facts) bool { return f.Message.List }, None,
		"Message d’une liste de diffusion : il n’appelle pas de réponse."}, // RFC 3834 §2
	{"no-return-path", func(f *Facts) bool { return bare(f.Message.ReturnPath) == "" }, None,
		"Message sans adresse de retour : une réponse pourrait tourner en boucle."}, // RFC 8098 §2.1, RFC 3834 §2
	{"our-mail", func(f *Facts) bool {
		return slices.ContainsFunc(f.Message.MessageIDs, func(id string) bool { return ourMail(id, f.Own) })
	}, None,
		"Message qui en contient un de Greffe : il est déjà passé par ici."},
	{"ourselves", ourselves, None,
		"Message de l’une de nos boîtes : Greffe ne se répond pas."},
	{"patient", patient, None,
		"Message d’un patient : rien ne lui est envoyé automatiquement."},
}

// permit keeps an answer in the trust space: towards another domain it is blocked, and
// nothing is due without a white list (domain §3.4, §9.3).
func (f *Facts) permit(d Decision) Decision {
	if f.Old && d.Answer != Forward && d.Answer != AutoReply {
		return Decision{Answer: None, Blocked: d.Answer, To: d.To, Code: d.Code, Rule: tooOld,
			Why: "Le message était dans sa boîte depuis trop longtemps quand Greffe l’a relevé (answers.not_older_than) : son expéditeur n’attend plus de réponse, rien ne lui est envoyé."}
	}
	if f.Allowed != nil && strings.Contains(d.To.Address, "@") && f.Allowed(domain(d.To.Address)) {
		return d
	}
	blocked := Decision{Answer: None, To: d.To, Code: d.Code, Rule: "not-allowed", Why: "Le domaine du destinataire n’est pas sur la liste blanche MSSanté : rien ne lui est envoyé. Prévenez l’expéditeur autrement."}
	if f.Allowed != nil {
		blocked.Blocked = d.Answer
	}
	return blocked
}

// tooOld is the rule about messages that were there long before Greffe.
const tooOld = "too-old"

func automatic(header string) bool {
	value, _, _ := strings.Cut(header, ";")
	value = strings.TrimSpace(value)
	return value != "" && !strings.EqualFold(value, "no")
}

// bare returns an address without angle brackets; "" for the null one.
func bare(path string) string { return strings.Trim(strings.TrimSpace(path), "<>") }

// addresses are all those that the message is from or that a receipt could reach.
func addresses(f *Facts) []string {
	out := []string{bare(f.Message.ReturnPath)}
	for _, list := range [][]greffe.Address{f.Message.From, f.Message.ReceiptTo} {
		for _, a := range list {
			out = append(out, a.Address)
		}
	}
	return out
}

func ourselves(f *Facts) bool {
	return slices.ContainsFunc(addresses(f), func(a string) bool { return owns(f.Own, a) })
}

func owns(own []string, address string) bool {
	return slices.ContainsFunc(own, func(o string) bool { return strings.EqualFold(address, o) })
}

// patient reports whether a person of Mon espace santé wrote the message, or would get
// its answer (domain §2.5).
func patient(f *Facts) bool {
	return f.Message.Kind == greffe.KindPatient || slices.ContainsFunc(addresses(f), func(a string) bool {
		d := domain(a)
		return strings.HasPrefix(d, "patient.") && strings.Contains(d, "mssante")
	})
}

func domain(address string) string {
	return strings.ToLower(address[strings.LastIndexByte(address, '@')+1:])
}

// mailID is the Message-ID of what is sent because of a message: the same for each try.
func mailID(id greffe.MessageID, kind Answer, box string) string {
	last := ".answer"
	if kind == AutoReply || kind == Forward {
		last = "." + string(kind)
	}
	return strings.ToLower(string(id)) + last + "@" + domain(box)
}

// ourMail reports whether mailID made id for one of our mailboxes.
func ourMail(id string, own []string) bool {
	local, _, ok := strings.Cut(id, "@")
	message, last, dot := strings.Cut(local, ".")
	return ok && dot && (last == "answer" || last == string(AutoReply) || last == string(Forward)) &&
		greffe.MessageID(strings.ToUpper(message)).Valid() &&
		slices.ContainsFunc(own, func(o string) bool { return domain(o) == domain(id) })
}
