package integrator

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"syscall"

	"greffe/pkg/greffe"
	"greffe/pkg/hl7"
)

// technical is one row of the table of ERR-3 (HL7 table 0357, volet): what the DI says
// of our message, and what to do about it. None of these is told to the sender: the
// state incident is for the hospital's own staff.
type technical struct {
	meaning string // French
	do      string // French
	// kind is set when it may be that the DI does not take replacements, or deletions, at
	// all: a setting then has them left to a person (DI.Events).
	kind bool
}

const (
	fixSettings = "Vérifier les réglages hl7 de ce DI avec son éditeur, puis reprendre."
	fixKind     = "Si ce DI ne prend pas les %s (%s), le dire dans hl7.events : une personne les fera à la main. Puis reprendre."
)

var technicals = map[string]technical{
	"100": {meaning: "segments absents ou dans le désordre", do: fixSettings},
	"101": {meaning: "champ obligatoire absent", do: fixSettings},
	"102": {meaning: "type de donnée", do: fixSettings},
	"103": {meaning: "valeur inconnue du DI, par exemple le type de document", do: "Faire ajouter cette valeur aux tables du DI, puis reprendre."},
	"198": {meaning: "nombre de répétitions", do: fixSettings},
	"199": {meaning: "autre erreur de syntaxe", do: fixSettings},
	"200": {meaning: "type de message non pris en charge", do: fixSettings, kind: true},
	"201": {meaning: "événement non pris en charge", do: fixSettings, kind: true},
	"202": {meaning: "environnement (MSH-11) refusé", do: "Vérifier le réglage processing et l'adresse : ce DI est-il le bon ? Puis reprendre."},
	"203": {meaning: "version de HL7 refusée", do: fixSettings},
	"204": {meaning: "objet inconnu du DI", do: fixSettings},
	"205": {meaning: "objet déjà connu du DI", do: fixSettings},
	"206": {meaning: "objet verrouillé dans le DI", do: fixSettings},
	"207": {}, // an application error: ERR-5 says which
}

// readACK turns an acknowledgement into a result: the tables of MSA-1, ERR-3 and
// ERR-5 (volet; domain §8.1).
//
//	AA                          the DI has integrated it
//	AR                          comes back later: retried with the same MSH-10
//	AE, ERR-5 in some ERR       refused, with its application code; told to the sender
//	AE, ERR-3 207 alone         refused for a reason that it does not say: as 906
//	AE, ERR-3 alone             our message is wrong: the queue of the DI stops
//	AE without ERR              the same
func readACK(a hl7.ACK, d Delivery) Result {
	switch a.Code {
	case "AA":
		o := delivered(d, hints(a.Errors))
		o.Code = "AA"
		return Result{Outcome: o}
	case "AR":
		text := textLater
		if s := hints(a.Errors); s != "" {
			text = "Le DI demande de revenir plus tard : « " + s + " ». Nouvel essai automatique."
		}
		return Result{Outcome: greffe.Outcome{State: greffe.StateWaiting, Code: "AR", Text: text}}
	}
	if e, ok := a.Application(); ok {
		code := or(code(e.App), "906")
		return Result{Outcome: greffe.Outcome{State: greffe.StateRefused, Code: "AE " + code, Text: refusal(code, e.AppLabel)}}
	}
	o := greffe.Outcome{State: greffe.StateIncident, Code: "AE"}
	if len(a.Errors) == 0 {
		o.Text = "Le DI refuse le message sans dire pourquoi. Chercher l'heure de cet envoi dans le journal du DI, puis reprendre."
		return Result{Outcome: o, Stops: true}
	}
	e := a.Errors[0]
	row, known := technicals[e.Code]
	if !known {
		row = technical{meaning: or(short(e.Label), "erreur non décrite"), do: fixSettings}
	}
	o.Code = strings.TrimSpace("AE " + code(e.Code))
	what := strings.TrimSpace("une erreur technique " + code(e.Code))
	if fields := places(a.Errors); fields != "" {
		what += " au champ " + fields
	}
	if row.kind && d.Action == greffe.ActionReplace {
		row.do = fmt.Sprintf(fixKind, "remplacements", hl7.Replace)
	} else if row.kind && d.Action == greffe.ActionDelete {
		row.do = fmt.Sprintf(fixKind, "suppressions", hl7.Delete)
	}
	o.Text = fmt.Sprintf("Le DI signale %s : %s. %s", what, row.meaning, row.do)
	return Result{Outcome: o, Stops: true}
}

// code returns what a DI gives as a code when it looks like one. It goes into logs and
// journal, where a name must not.
func code(s string) string {
	if shapeOfCode.MatchString(s) {
		return s
	}
	return ""
}

var shapeOfCode = regexp.MustCompile(`^[A-Z]?[0-9]{1,6}$`)

// hints are the labels of the errors that an AA or AR carries all the same.
func hints(errs []hl7.ACKError) string {
	var out []string
	for _, e := range errs {
		if s := or(e.AppLabel, e.Label); s != "" && len(out) < 3 {
			out = append(out, short(s))
		}
	}
	return strings.Join(out, " ; ")
}

// places names the fields of ERR-2, at most three: PID^1^3 is PID-3, the third field
// of the first PID; PRT^2^15 is PRT-15 of the second one.
func places(errs []hl7.ACKError) string {
	var out []string
	for _, e := range errs {
		for place := range strings.SplitSeq(e.Location, "~") {
			p := strings.Split(place, "^")
			if p[0] == "" || len(out) == 3 {
				continue
			}
			name := p[0]
			if len(p) > 2 && p[2] != "" {
				name += "-" + p[2]
			}
			if len(p) > 4 && p[4] != "" {
				name += "." + p[4]
			}
			if len(p) > 1 && p[1] != "" && p[1] != "1" {
				name += " (n° " + p[1] + ")"
			}
			out = append(out, short(name))
		}
	}
	return strings.Join(out, ", ")
}

const textFiles = "Le certificat client ou le fichier de l'autorité de ce DI ne se lit plus : vérifier les deux fichiers de la configuration."

// unanswered is the result of a message that the DI did not answer: whether it has
// the document is not known, so that the repeat has to say the same.
func unanswered(err error) Result {
	return Result{
		Outcome: greffe.Outcome{State: greffe.StateWaiting, Code: "no answer", Text: whyUnanswered(err) + " Nouvel essai automatique."},
		Silent:  true,
	}
}

func whyUnanswered(err error) string {
	var (
		dns  *net.DNSError
		cert *tls.CertificateVerificationError
		wait net.Error
		op   *net.OpError
	)
	switch {
	case errors.Is(err, errFile):
		return textFiles
	case errors.As(err, &op) && op.Op == "remote error": // an alert of TLS
		return "Le DI refuse la connexion TLS (" + short(op.Err.Error()) + ") : vérifier le certificat client et ce que le DI en attend."
	case errors.Is(err, hl7.ErrForeign):
		return "Le DI répond, mais pas par l'accusé de ce message (MSA-2 différent, ou autre chose que du HL7) : vérifier avec son éditeur ce qu'il renvoie."
	case errors.Is(err, hl7.ErrTimeout):
		return "Le DI a pris le message et n'a pas répondu à temps."
	case !errors.Is(err, hl7.ErrUnreachable):
		return "Le DI a coupé la connexion sans accuser réception."
	case errors.As(err, &cert):
		return "Le certificat du DI n'est pas reconnu : vérifier le fichier de l'autorité (ca)."
	case errors.As(err, &dns):
		return "Le nom du DI est inconnu du DNS."
	case errors.Is(err, syscall.ECONNREFUSED):
		return "Le DI n'accepte pas de connexion : est-il démarré ?"
	case errors.As(err, &wait) && wait.Timeout():
		return "Le DI ne répond pas à son adresse."
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "Le DI ferme la connexion dès le début : TLS est-il attendu, le certificat client est-il admis ?"
	}
	return "Le DI ne peut pas être joint."
}

// untaken is the result of a message that the DI is known not to take (DI.Events).
func untaken(e hl7.Event) Result {
	o := greffe.Outcome{State: greffe.StateTodo, Code: "hl7.events"}
	o.Text = "Ce DI ne prend pas les remplacements par HL7 : mettre la nouvelle version à la place de l'ancienne à la main dans le DI, puis classer le document."
	if e == hl7.Delete {
		o.Text = "L'émetteur supprime ce document et ce DI ne prend pas les suppressions par HL7 : le retirer à la main dans le DI, puis classer."
	}
	return Result{Outcome: o}
}

// unwritable is the result of a document that cannot go in a message to this DI: a
// person has to see to it, and no repeat helps.
func unwritable(err error) Result {
	o := greffe.Outcome{State: greffe.StateIncident, Code: "unwritable"}
	switch {
	case errors.Is(err, hl7.ErrCharset):
		o.Text = "Le nom du patient ou un numéro de ce document ne peut pas s'écrire en 8859/15 : régler charset sur UNICODE UTF-8 si le DI le permet, ou saisir le document à la main dans le DI."
	case errors.Is(err, hl7.ErrNotCDA):
		o.Text = "Ce document n'est pas un CDA et les réglages de ce DI ne permettent pas de l'envoyer par HL7 (hl7.plain_pdf) : le saisir à la main dans le DI, ou changer le réglage."
	default:
		o.Text = "Le message HL7 de ce document ne peut pas être écrit. Prévenir le service informatique."
	}
	return Result{Outcome: o}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
