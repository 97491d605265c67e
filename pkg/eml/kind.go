package eml

import (
	"strings"

	"greffe/pkg/greffe"
)

// Kind decides what sort of mail msg is (domain §2.5), given its parts with their
// verdicts: a part that is not ignored is something attached. msg.Kind as Walk
// left it tells reports and mails with a mail inside.
//
// A mail that carries something is never taken for a robot's on the word of a
// header: sending systems mark their deliveries Auto-Submitted too, and a document
// must not be lost to that.
func Kind(msg greffe.Message, parts []greffe.Part) greffe.MessageKind {
	attached := false
	content := msg.Body != ""
	for _, p := range parts {
		attached = attached || p.Verdict != greffe.VerdictIgnored
		content = content || p.Size > 0 && p.Kind != greffe.PartEmpty
	}
	title := untag(fold(msg.Subject))
	from := ""
	if len(msg.From) > 0 {
		from = strings.ToLower(msg.From[0].Address)
	}
	user, host, _ := strings.Cut(from, "@")
	robot := user == "mailer-daemon" || user == "postmaster" || msg.ReturnPath == "<>"
	switch {
	case (msg.Kind == greffe.KindMDN || msg.Kind == greffe.KindDSN) && !attached:
		return msg.Kind // what is attached beside a report is not part of it
	case isKO(title) == 0:
		return greffe.KindKO
	case strings.HasPrefix(host, "patient.") && strings.Contains(host, "mssante"):
		return greffe.KindPatient
	case robot && isBounce(title):
		return greffe.KindDSN
	case attached && (hasPrefix(title, forwards) || msg.Kind == greffe.KindForward):
		return greffe.KindForward
	case attached && (hasPrefix(title, replies) || len(msg.InReplyTo) > 0):
		return greffe.KindReply
	case attached:
		return greffe.KindDelivery
	case msg.AutoSubmit == "auto-replied" || hasPrefix(title, absences):
		return greffe.KindAutoReply
	case robot || isRobotName(user) || msg.AutoSubmit != "" && msg.AutoSubmit != "no":
		return greffe.KindNotice
	case !content:
		return greffe.KindEmpty
	case hasPrefix(title, replies) || len(msg.InReplyTo) > 0:
		return greffe.KindReply
	}
	return greffe.KindText
}

// Carries reports whether documents may be taken from msg, whose Kind is decided.
// They are never taken from reports and KO mails, which send back what was already
// delivered once, not even when a person passes such a mail on, nor from patients
// (domain §2.5).
func Carries(msg greffe.Message) bool {
	switch msg.Kind {
	case greffe.KindMDN, greffe.KindDSN, greffe.KindKO, greffe.KindPatient:
		return false
	}
	return isKO(fold(msg.Subject)) < 0
}

// isKO returns where the mark of a KO mail stands in a folded subject, or -1. Systems
// write "[KO Intégration système !]", older ones "[Erreur d'intégration !]".
func isKO(title string) int {
	if k := strings.Index(title, "[ko integration systeme"); k >= 0 {
		return k
	}
	return strings.Index(title, "[erreur d'integration")
}

// untag removes what gateways put before a subject ("[EXTERNE] RE: …").
func untag(title string) string {
	for isKO(title) != 0 && strings.HasPrefix(title, "[") {
		_, rest, ok := strings.Cut(title, "]")
		if !ok {
			break
		}
		title = strings.TrimSpace(rest)
	}
	return title
}

var (
	forwards = []string{"tr:", "tr :", "fw:", "fw :", "fwd:", "fwd :", "transfert:", "transfert :"}
	replies  = []string{"re:", "re :", "rep:", "rep :", "aw:", "reponse:", "reponse :"}
	absences = []string{"reponse automatique", "absence du bureau", "automatic reply", "out of office", "message d'absence", "absent du bureau"}
)

func hasPrefix(title string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(title, p) {
			return true
		}
	}
	return false
}

func isBounce(title string) bool {
	for _, s := range []string{"undelivered mail", "undeliverable", "non remis", "non distribue", "delivery status notification",
		"mail delivery failed", "delivery failure", "returned mail", "echec de la remise"} {
		if strings.Contains(title, s) {
			return true
		}
	}
	return false
}

func isRobotName(user string) bool {
	switch strings.NewReplacer("-", "", "_", "", ".", "").Replace(user) {
	case "noreply", "donotreply", "nepasrepondre", "mailerdaemon", "postmaster", "notification", "notifications":
		return true
	}
	return false
}

// fold lowers s and removes French accents, so that titles compare.
func fold(s string) string {
	return strings.NewReplacer("à", "a", "â", "a", "ä", "a", "ç", "c", "é", "e", "è", "e", "ê", "e", "ë", "e", "î", "i", "ï", "i",
		"ô", "o", "ö", "o", "ù", "u", "û", "u", "ü", "u", "’", "'", "\u00a0", " ").Replace(strings.ToLower(strings.TrimSpace(s)))
}
