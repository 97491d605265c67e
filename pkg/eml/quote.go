package eml

import (
	"slices"
	"strings"

	"greffe/pkg/greffe"
)

// quote is a mail that the text of another one carries inline, as programs forward and
// answer.
type quote struct {
	forward bool   // the marker says forward, not only "original message"
	from    string // the lines of its header, as far as they are there
	subject string
}

// Markers before a mail that a text carries, folded: Thunderbird, Apple Mail, Gmail,
// Zimbra, Roundcube, then Outlook, whose answers and forwards look the same.
var (
	forwardMarks = []string{"message transfere", "debut du message transfere", "debut du message reexpedie", "message reexpedie", "mail transfere",
		"courriel transfere", "forwarded message", "begin forwarded message", "forwarded mail", "message transmis"}
	originalMarks = []string{"message d'origine", "message original", "message initial", "original message", "mail original", "mail d'origine",
		"courriel original", "courriel d'origine", "e-mail d'origine"}
)

// quoteLines is how many lines of a text are looked at.
const quoteLines = 500

// findQuote finds the first mail that the text carries. Lines behind ">" do not count:
// they are the quotation in an answer.
func findQuote(body string) (q quote, ok bool) {
	lines := strings.SplitN(body, "\n", quoteLines+1)
	lines = lines[:min(len(lines), quoteLines)]
	for i, line := range lines {
		s := fold(strings.Trim(line, "-_*=~—– \t\r:"))
		switch {
		case slices.Contains(forwardMarks, s):
			q.forward = true
		case slices.Contains(originalMarks, s):
		case isSender(fold(line)) && headerLines(lines[i:]) >= 3: // Outlook gives no marker in HTML
		default:
			continue
		}
		q.read(lines[i:])
		return q, true
	}
	return q, false
}

func isSender(line string) bool { return field(line, "de", "from", "expediteur") != "" }

// field returns the value of a line "name : value" of a folded text.
func field(line string, names ...string) string {
	name, value, ok := strings.Cut(line, ":")
	if !ok || !slices.Contains(names, strings.Trim(name, "* \t")) {
		return ""
	}
	return strings.Trim(value, "* \t")
}

var quoteFields = []string{"de", "from", "expediteur", "a", "to", "pour", "destinataire", "destinataires", "cc", "date", "envoye", "envoye le", "sent", "objet", "subject", "sujet"}

// headerLines counts the lines that look like a header among the first ones.
func headerLines(lines []string) (n int) {
	for _, line := range lines[:min(len(lines), 8)] {
		if field(fold(line), quoteFields...) != "" {
			n++
		}
	}
	return n
}

// read takes sender and subject of the mail that follows.
func (q *quote) read(lines []string) {
	for _, line := range lines[:min(len(lines), 12)] {
		line = fold(line)
		if v := field(line, "de", "from", "expediteur"); v != "" && q.from == "" {
			q.from = v
		}
		if v := field(line, "objet", "subject", "sujet"); v != "" && q.subject == "" {
			q.subject = v
		}
	}
}

// reportInText reads a report that came as plain text: programs that know no
// multipart/report write its fields into the body. It returns what sort of report it
// is, and the Original-Message-ID.
func reportInText(body string) (greffe.MessageKind, []string) {
	var kind greffe.MessageKind
	var ids []string
	final, status := false, false
	for i, line := range strings.SplitN(body, "\n", quoteLines+1) {
		if i == quoteLines {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.ToLower(strings.TrimSpace(value))
		switch {
		case !ok:
		case strings.EqualFold(name, "Original-Message-ID"):
			ids = appendNew(ids, messageIDs(strings.TrimSpace(line[len(name)+1:]))...)
		case strings.EqualFold(name, "Disposition") && (strings.HasPrefix(value, "automatic-action/") || strings.HasPrefix(value, "manual-action/")):
			kind = greffe.KindMDN // RFC 8098 §3.2.6
		case strings.EqualFold(name, "Final-Recipient"):
			final = true
		case strings.EqualFold(name, "Status") && len(value) >= 5 && strings.Contains("245", value[:1]) && value[1] == '.':
			status = true // RFC 3464 §2.3.4
		}
	}
	switch {
	case kind != "":
		return kind, ids
	case final && status:
		return greffe.KindDSN, ids
	}
	return "", nil
}
