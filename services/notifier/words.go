package notifier

import (
	"fmt"
	"strings"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// words is the text of a letter, in French, for a person. Titles are of the sender's own
// documents and go back to the sender.
func words(l *letter, m index.Detail, box Mailbox, zone *time.Location) string {
	var b strings.Builder
	b.WriteString("Bonjour,\n\n")
	sent := ""
	if !m.Origin.InternalDate.IsZero() {
		sent = " du " + m.Origin.InternalDate.In(zone).Format("02/01/2006")
	}
	switch {
	case l.kind == AutoReply:
		fmt.Fprintf(&b, "Vous avez écrit à %s. Cette adresse ne reçoit pas de réponse : un logiciel la relève, personne ne la lit.\n\n", box.Address)
		if box.RepliesTo != "" {
			fmt.Fprintf(&b, "Pour écrire au service%s, adressez-vous à %s. Votre message%s lui est transmis : il est inutile de le renvoyer.\n", named(box), box.RepliesTo, sent)
		} else {
			fmt.Fprintf(&b, "Pour joindre le service%s, écrivez à sa boîte habituelle ou téléphonez-lui.\n", named(box))
		}
		b.WriteString("\nCe message est envoyé automatiquement, une fois par jour au plus.\n")
		return b.String()
	case l.kind == Forward:
		fmt.Fprintf(&b, "Un correspondant a écrit à %s, que personne ne lit. Son message%s est joint, en entier.\n\n", box.Address, sent)
		fmt.Fprintf(&b, "« Répondre » s’adresse à lui. Il est prévenu que le service%s se joint à cette adresse-ci.\n", named(box))
		return b.String()
	case l.failed():
		fmt.Fprintf(&b, "Un document de votre message%s n’a pas pu être intégré au dossier du patient.\nMotif : %s, %s.\n%s\n\n", sent, l.code, l.label, advice[l.code])
	default:
		fmt.Fprintf(&b, "Les documents de votre message%s ont été intégrés au dossier du patient.\n\n", sent)
	}
	for _, d := range m.Documents {
		fmt.Fprintf(&b, "- %s : %s\n", oneLine(title(d.Facts), 200), fate(d))
	}
	if contact := contact(box); contact != "" {
		fmt.Fprintf(&b, "\nPour toute question, écrivez à %s.\n", contact)
	}
	b.WriteString("\nCe message est envoyé automatiquement : n’y répondez pas.\n")
	return b.String()
}

// tooLarge ends the text of a forward that the server took only without its body.
const tooLarge = "\nLe serveur d’envoi n’accepte pas un message de cette taille : seul l’en-tête est joint. Lisez le message dans Greffe ou dans la boîte où il est arrivé.\n"

// named is the service of a mailbox, for a sentence.
func named(box Mailbox) string {
	if box.Service == "" {
		return ""
	}
	return " (" + oneLine(box.Service, 200) + ")"
}

// contact is a mailbox of the service that people read.
func contact(box Mailbox) string {
	if !box.Applicative {
		return box.Address
	}
	return box.RepliesTo
}

// advice says what to do about an application code.
var advice = map[string]string{
	"900": "Le document à remplacer ou à supprimer n’est pas celui de notre dossier : renvoyez la version attendue.",
	"901": "Notre dossier n’accepte pas de document de cet auteur.",
	"902": "Notre dossier ne connaît aucun patient sous cette identité : vérifiez l’identité et l’établissement destinataire.",
	"903": "Le document ne porte pas d’INS : renvoyez-le avec une identité qualifiée.",
	"904": "L’INS ou les traits diffèrent de ceux de notre dossier : vérifiez l’identité avant tout nouvel envoi.",
	"905": "Des traits d’identité obligatoires manquent : complétez-les et renvoyez le document.",
	"906": "Vérifiez le document avant tout nouvel envoi.",
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
