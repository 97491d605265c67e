package notifier

import (
	"fmt"
	"strings"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// words is the text of a letter: what became of each document, in French, for a
// person. Titles are of the sender's own documents and go back to the sender.
func words(l *letter, m index.Detail) string {
	var b strings.Builder
	b.WriteString("Bonjour,\n\n")
	sent := ""
	if !m.Origin.InternalDate.IsZero() {
		sent = " du " + m.Origin.InternalDate.Format("02/01/2006")
	}
	if l.failed() {
		fmt.Fprintf(&b, "Un document de votre message%s n’a pas pu être intégré au dossier du patient.\nMotif : %s, %s.\n\n", sent, l.code, l.label)
	} else {
		fmt.Fprintf(&b, "Les documents de votre message%s ont été intégrés au dossier du patient.\n\n", sent)
	}
	for _, d := range m.Documents {
		fmt.Fprintf(&b, "- %s : %s\n", oneLine(title(d.Facts), 200), fate(d))
	}
	b.WriteString("\nCe message est envoyé automatiquement : n’y répondez pas.\n")
	return b.String()
}

func title(d greffe.Document) string {
	if t := strings.TrimSpace(d.Title); t != "" {
		return t
	}
	if d.Type.Label != "" {
		return d.Type.Label
	}
	return d.Format.French()
}

// fate says what became of a document.
func fate(d index.Document) string {
	switch {
	case d.State == greffe.StateDelivered:
		return "intégré"
	case d.State == greffe.StateDuplicate:
		return "déjà reçu et intégré"
	case d.Outcome.Code == greffe.CodeRefusal:
		return "refusé par l’établissement : " + oneLine(d.Outcome.Text, 500)
	case d.State == greffe.StateRefused:
		code := gravest([]greffe.Outcome{d.Outcome})
		return "refusé (" + code + ", " + strings.ToLower(labels[code][:1]) + labels[code][1:] + ")"
	}
	return "classé par l’établissement, sans intégration"
}
