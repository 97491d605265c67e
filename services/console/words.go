package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // hospital time, also where the system has no zone files

	"greffe/pkg/greffe"
)

// wall writes times as people at the hospital read them; everything else is UTC.
type wall struct{ zone *time.Location }

// paris is the zone of a hospital that names none.
var paris = func() *time.Location {
	l, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		return time.UTC
	}
	return l
}()

// stateWords says how a state looks: its place in a URL, its icon, the name of its
// tab and the sentence that explains it.
type stateWords struct {
	State greffe.State
	Slug  string
	Icon  string
	Tab   string
	Help  string
}

// statesShown lists the states in the order of the tabs: first what waits for a
// person.
var statesShown = []stateWords{
	{greffe.StateTodo, "a-traiter", "todo", "À traiter", "Une personne doit décider ; le motif est indiqué."},
	{greffe.StateRefused, "refuse", "refused", "Refusés", "Le dossier informatisé n’a pas accepté le document tel quel."},
	{greffe.StateIncident, "incident", "incident", "Incidents", "Greffe lui-même a rencontré un problème ; un technicien regarde."},
	{greffe.StateWaiting, "attente", "waiting", "En attente", "Le dossier informatisé n’a pas encore répondu ; Greffe réessaie seul."},
	{greffe.StateReceived, "recu", "received", "Reçus", "Le message est conservé ; sa lecture va suivre."},
	{greffe.StateArchived, "archive", "archived", "Archivés", "Tout est conservé ; l’envoi au dossier informatisé va suivre."},
	{greffe.StateDelivered, "integre", "delivered", "Intégrés", "Le dossier informatisé a accepté le document."},
	{greffe.StateDuplicate, "doublon", "duplicate", "Doublons", "Le même document avait déjà été reçu ; il n’est pas envoyé deux fois."},
	{greffe.StateDismissed, "classe", "dismissed", "Classés", "Rien à faire : classé sans suite par une règle ou par une personne."},
}

func wordsOf(s greffe.State) stateWords {
	for _, w := range statesShown {
		if w.State == s {
			return w
		}
	}
	return stateWords{State: s, Slug: "inconnu", Icon: "received", Tab: capital(string(s))}
}

func stateOfSlug(slug string) (greffe.State, bool) {
	for _, w := range statesShown {
		if w.Slug == slug {
			return w.State, true
		}
	}
	return "", false
}

var verbWords = map[greffe.Verb]string{
	greffe.VerbRetry: "Renvoi au DI", greffe.VerbDismiss: "Classement sans suite", greffe.VerbAttach: "Choix du patient et envoi au DI",
	greffe.VerbRefuse: "Refus, l’expéditeur averti", greffe.VerbCopy: "Classement comme doublon", greffe.VerbReopen: "Annulation du classement",
	greffe.VerbClose: "Classement du message", greffe.VerbLater: "Remise à plus tard", greffe.VerbPass: "Passage à une personne",
	greffe.VerbMove: "Passage à un autre service", greffe.VerbHold: "Gel", greffe.VerbRelease: "Fin du gel",
}

var sexWords = map[string]string{"M": "Masculin", "F": "Féminin", "UN": "Indéterminé"}

// boxKindWords are the kinds of mailbox of the référentiel socle MSSanté #2.
var boxKindWords = map[string]string{"organisational": "organisationnelle", "applicative": "applicative", "personal": "nominative"}

var roleWords = map[string]string{"secretary": "Secrétaire", "professional": "Professionnel", "auditor": "Auditeur", "admin": "Administrateur"}

// confidentiality gives the words of domain §5.5.
var confidentialityWords = map[string]string{
	"N": "Normale", "R": "Restreinte", "V": "Très restreinte", "L": "Faible", "M": "Modérée", "U": "Sans restriction",
	greffe.MaskedToProfessionals: "Masqué aux professionnels",
	greffe.HiddenFromPatient:     "Non visible par le patient",
	greffe.HiddenFromGuardians:   "Non visible par les représentants légaux",
}

// word returns the French word for a coded value, or the value itself.
func word[K ~string](m map[K]string, k K) string {
	if s, ok := m[k]; ok {
		return s
	}
	return string(k)
}

// capital puts the first letter in upper case.
func capital(s string) string {
	for i, r := range s {
		return strings.ToUpper(string(r)) + s[i+len(string(r)):]
	}
	return s
}

// plural writes a number with its noun: 0 and 1 are singular in French.
func plural(n int, one, many string) string {
	if n < 2 {
		return number(n) + " " + one
	}
	return number(n) + " " + many
}

// number writes n with narrow no-break spaces between thousands.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// size writes a number of bytes for a person.
func size(n int64) string {
	switch {
	case n < 1000:
		return strconv.FormatInt(n, 10) + " o"
	case n < 999_500:
		return strconv.FormatInt((n+500)/1000, 10) + " Ko"
	case n < 999_500_000:
		return strings.Replace(strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64), ".", ",", 1) + " Mo"
	}
	return strings.Replace(strconv.FormatFloat(float64(n)/1e9, 'f', 1, 64), ".", ",", 1) + " Go"
}

// moment writes a date and a time in Paris; "" for the zero time.
func (w wall) moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(w.zone).Format("02/01/2006 15:04")
}

// moments is moment with seconds, for the journal.
func (w wall) moments(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(w.zone).Format("02/01/2006 15:04:05")
}

func (w wall) day(t time.Time) string   { return t.In(w.zone).Format("02/01/2006") }
func (w wall) clock(t time.Time) string { return t.In(w.zone).Format("15:04") }

// hl7Time writes an HL7 TS (YYYY[MM[DD[HHMM[SS]]]][.S][±ZZZZ]) as it was meant by
// its author: the hour as written, not converted. What has another form is given
// back as it is.
func hl7Time(ts string) string {
	digits := ts
	if i := strings.IndexAny(ts, ".+-"); i >= 0 {
		digits = ts[:i]
	}
	for _, f := range []struct{ in, out string }{
		{"20060102150405", "02/01/2006 15:04"}, {"200601021504", "02/01/2006 15:04"}, {"2006010215", "02/01/2006 15 h"},
		{"20060102", "02/01/2006"}, {"200601", "01/2006"}, {"2006", "2006"},
	} {
		if len(digits) == len(f.in) {
			if t, err := time.Parse(f.in, digits); err == nil {
				return t.Format(f.out)
			}
		}
	}
	return ts
}

// age returns "41 ans", or months for small children; "" when the birth date is
// not a full date in the past.
func (w wall) age(birth string, now time.Time) string {
	b, err := time.ParseInLocation("20060102", birth, w.zone)
	now = now.In(w.zone)
	if err != nil || b.After(now) {
		return ""
	}
	months := (now.Year()-b.Year())*12 + int(now.Month()) - int(b.Month())
	if now.Day() < b.Day() {
		months--
	}
	if months < 36 {
		return fmt.Sprintf("%d mois", months)
	}
	return plural(months/12, "an", "ans")
}

// ins writes a matricule in the groups people read it in: S AA MM LL CCC OOO KK.
func ins(m string) string {
	if len(m) != 15 {
		return m
	}
	return strings.Join([]string{m[:1], m[1:3], m[3:5], m[5:7], m[7:10], m[10:13], m[13:]}, "\u00a0")
}

// insKind names the authority of an INS (domain §6.1); a test identity must be
// seen as such.
func insKind(root string) string {
	switch root {
	case "1.2.250.1.213.1.4.8":
		return "NIR"
	case "1.2.250.1.213.1.4.9":
		return "NIA"
	case "1.2.250.1.213.1.4.10":
		return "identité de test"
	case "1.2.250.1.213.1.4.11":
		return "identité de démonstration"
	}
	return root
}

// patientName writes the birth name, the used name when it differs, then the first
// given name: "KERVELLA (née ESSAI) Maëlle" is not guessed; both are shown as written.
func patientName(p greffe.Patient) string {
	name := p.BirthFamily
	if name == "" {
		name = p.UsedFamily
	} else if p.UsedFamily != "" && p.UsedFamily != p.BirthFamily {
		name += " (" + p.UsedFamily + ")"
	}
	given := p.FirstGiven
	if given == "" {
		given = p.UsedGiven
	}
	return strings.TrimSpace(name + " " + given)
}

// personName writes an author, a signer or a recipient.
func personName(p greffe.Person) string {
	name := strings.Join(strings.Fields(p.Prefix+" "+p.Given+" "+p.Family), " ")
	if name == "" {
		name = p.Device
	}
	return name
}

// docTitle is what a document is called in lists.
func docTitle(d greffe.Document) string {
	switch {
	case strings.TrimSpace(d.Title) != "":
		return d.Title
	case d.Type.Label != "":
		return d.Type.Label
	}
	return d.Format.French()
}

// answerText says how far an answer to a sender is.
func answerText(a greffe.Answer) string {
	what := map[string]string{
		"mdn-success": "Accusé d’intégration", "mdn-error": "Accusé de refus", "ko": "Avis de refus", "ask": "Accusé demandé pour une autre adresse",
		"auto-reply": "« Cette adresse ne reçoit pas de réponse »", "forward": "Transfert à la boîte du service",
	}[a.Kind]
	how := map[greffe.AnswerState]string{
		greffe.AnswerDue: "à envoyer", greffe.AnswerAsked: "non envoyé", greffe.AnswerSent: "envoyé", greffe.AnswerFailed: "non remis", greffe.AnswerDropped: "classé",
	}[a.State]
	return what + " : " + how
}
