package eml

import (
	"slices"
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
	user := ""
	if len(msg.From) > 0 {
		user, _, _ = strings.Cut(strings.ToLower(msg.From[0].Address), "@")
	}
	robot := isDaemon(user) || msg.ReturnPath == "<>"
	automatic := msg.AutoSubmit != "" && msg.AutoSubmit != "no" && msg.AutoSubmit != suppressed
	quoted, quotes := findQuote(msg.Body)
	report := msg.Kind == greffe.KindMDN || msg.Kind == greffe.KindDSN
	switch {
	case report && (!attached || robot):
		return msg.Kind // what a person attached beside a report is not part of it
	case isKO(title) == 0:
		return greffe.KindKO
	case slices.ContainsFunc(msg.From, isPatient):
		return greffe.KindPatient
	case isBounce(title) && (robot || isRobotName(user)):
		return greffe.KindDSN
	case isReceipt(title) && (!attached || robot || automatic):
		return greffe.KindMDN
	case attached && (hasPrefix(title, forwards) || msg.Kind == greffe.KindForward):
		return greffe.KindForward
	case attached && hasPrefix(title, replies):
		return greffe.KindReply
	case attached && quotes && (quoted.forward || len(msg.InReplyTo) == 0):
		return greffe.KindForward
	case attached && len(msg.InReplyTo) > 0:
		return greffe.KindReply
	case attached:
		return greffe.KindDelivery
	case msg.AutoSubmit == "auto-replied" || hasPrefix(title, absences):
		return greffe.KindAutoReply
	case robot || isRobotName(user):
		return greffe.KindNotice
	case msg.Kind == greffe.KindForward && hasPrefix(title, forwards):
		return greffe.KindText // a program passed it on, a person wrote it
	case automatic:
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
	quoted, _ := findQuote(msg.Body)
	return isKO(fold(msg.Subject)) < 0 && isKO(quoted.subject) < 0
}

// FromPatient reports whether the text of msg carries a message of a patient, which a
// person passed on: what is attached is then not a professional's (domain §2.5).
func FromPatient(msg greffe.Message) bool {
	quoted, _ := findQuote(msg.Body)
	return strings.Contains(quoted.from, "@patient.") && strings.Contains(quoted.from, "mssante")
}

// isPatient reports whether a is an address of Mon espace santé.
func isPatient(a greffe.Address) bool {
	_, host, _ := strings.Cut(strings.ToLower(a.Address), "@")
	return strings.HasPrefix(host, "patient.") && strings.Contains(host, "mssante")
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
	forwards = []string{"tr:", "tr :", "fw:", "fw :", "fwd:", "fwd :", "transfert:", "transfert :", "transf:", "transf :", "transfere:", "transfere :", "wg:"}
	replies  = []string{"re:", "re :", "re[", "rep:", "rep :", "aw:", "sv:", "antw:", "reponse:", "reponse :", "reponse a :"}
	absences = []string{"reponse automatique", "absence du bureau", "automatic reply", "auto reply", "autoreply", "auto-reply", "automatische antwort", "out of office",
		"message d'absence", "absent du bureau", "absent(e) du bureau", "absente du bureau", "notification d'absence"}
	receipts = []string{"lu:", "lu :", "non lu:", "non lu :", "read:", "not read:", "accuse de lecture", "accuse de reception", "accuse reception", "confirmation de lecture",
		"avis de lecture", "disposition notification", "return receipt", "read receipt"}
	bounces = []string{"undelivered mail", "undeliverable", "undelivered:", "non remis", "non distribue", "non distribuable", "non delivre", "non livre",
		"delivery status notification", "mail delivery failed", "mail delivery failure", "delivery failure", "delivery has failed", "delivery delayed", "returned mail",
		"returned to sender", "failure notice", "could not send message", "echec de la remise", "echec de remise", "echec de la distribution", "echec de distribution",
		"remise differee", "remise retardee", "retard de remise", "avis de non-remise", "avis de non remise", "rapport de non-remise", "notification d'etat de remise",
		"notification d'etat de la remise", "notification de l'etat de remise", "message retarde", "delayed mail", "mail system error", "relaye:", "relaye :", "relayed:", "remis:", "remis :", "delivered:"}
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
	return slices.ContainsFunc(bounces, func(s string) bool { return strings.Contains(title, s) })
}

// isPersonal reports whether a title is that of somebody who answers or passes on.
func isPersonal(title string) bool { return hasPrefix(title, replies) || hasPrefix(title, forwards) }

func isReceipt(title string) bool { return hasPrefix(title, receipts) }

var separators = strings.NewReplacer("-", "", "_", "", ".", "")

// plainName writes the local part of an address without what sets its words apart.
func plainName(user string) string { return separators.Replace(user) }

// isDaemon reports whether the local part of an address is that of a mail server.
// Exchange signs its reports MicrosoftExchange and 32 digits.
func isDaemon(user string) bool {
	user = plainName(user)
	return user == "mailerdaemon" || user == "postmaster" || len(user) > 40 && strings.HasPrefix(user, "microsoftexchange")
}

// isRobotName reports whether the local part of an address says that nobody reads it.
func isRobotName(user string) bool {
	user = plainName(user)
	for _, s := range []string{"noreply", "donotreply", "nepasrepondre", "nereponds", "nereply"} {
		if strings.Contains(user, s) {
			return true
		}
	}
	switch user {
	case "notification", "notifications", "alerte", "alertes", "supervision", "mailer", "bounce", "bounces", "root", "daemon", "cron":
		return true
	}
	return isDaemon(user)
}

// fold lowers s and removes French accents, so that titles compare.
func fold(s string) string {
	return unaccented.Replace(strings.ToLower(strings.TrimSpace(s)))
}

var unaccented = strings.NewReplacer("à", "a", "â", "a", "ä", "a", "ç", "c", "é", "e", "è", "e", "ê", "e", "ë", "e", "î", "i", "ï", "i",
	"ô", "o", "ö", "o", "ù", "u", "û", "u", "ü", "u", "’", "'", "\u00a0", " ", "\u202f", " ", "\t", " ", "œ", "oe")
