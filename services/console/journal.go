package console

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

const entriesPerPage = 100

// historyLine is a journal entry in a sentence.
type historyLine struct {
	Seq   int64
	At    time.Time
	Who   string
	Text  string
	From  string
	Link  string // page of what it is about; "" when it has none
	Label string // opaque id of what it is about
	Grave bool   // refusals and damage
	Codes string // action, result and detail as written
}

// sentences say what an action did. The journal itself holds codes; %s is the
// result in words.
var sentences = map[string]string{
	"received":              "a reçu le message et conservé l’original",
	"parsed":                "a lu le message",
	"archived":              "a archivé",
	"refused":               "a refusé le message",
	"delivered":             "a présenté le document au dossier informatisé",
	"claimed":               "a retenu ce document comme celui à remettre",
	"notified":              "a répondu à l’expéditeur",
	"summarised":            "a écrit ce qui attend à la personne responsable",
	"confirmed":             "a décidé de la réponse à l’expéditeur",
	"settled":               "a rangé le message dans la boîte aux lettres",
	"asked":                 "a demandé",
	"compared":              "a comparé l’identité du patient",
	"taken-over":            "a pris la main, une autre personne l’ayant ouvert,",
	"decided":               "a décidé",
	"read":                  "a consulté",
	"shown":                 "a affiché le contenu du document",
	"listed":                "a affiché la file",
	"followed":              "a suivi la file en direct",
	"searched":              "a fait une recherche",
	"downloaded":            "a téléchargé",
	"fetched":               "a récupéré le document par référence",
	"exported":              "a exporté",
	"pack-asked":            "a demandé un dossier de preuve",
	"pack-granted":          "a donné son accord à un dossier de preuve",
	"pack-refused":          "a refusé un dossier de preuve demandé",
	"pack-built":            "a fait un dossier de preuve",
	"pack-failed":           "n’a pas pu faire un dossier de preuve",
	"pack-downloaded":       "a téléchargé un dossier de preuve",
	"pack-cancelled":        "a retiré un dossier de preuve",
	"pack-expired":          "a retiré un dossier de preuve, dont le délai était passé",
	"login":                 "s’est connecté",
	"logout":                "s’est déconnecté",
	"approval-asked":        "a demandé l’accord d’un second auditeur pour lire",
	"approval-granted":      "a donné son accord à une lecture demandée",
	"approval-refused":      "a refusé une lecture demandée",
	"locked":                "a verrouillé sa session",
	"unlocked":              "a déverrouillé sa session",
	"password-changed":      "a changé son mot de passe",
	"factor-added":          "a mis en place son second facteur",
	"factor-removed":        "a retiré son second facteur",
	"recovery-made":         "a fait de nouveaux codes de secours",
	"recovery-used":         "a utilisé un code de secours",
	"denied":                "s’est vu refuser l’accès",
	"integrity":             "a constaté une altération de l’archive",
	"replayed":              "a relancé un traitement ou renvoyé un document à un DI d’essai",
	"di-paused":             "a mis les envois au DI en pause",
	"di-resumed":            "a repris les envois au DI",
	"di-stopped":            "a arrêté les envois au DI sur une erreur technique",
	"di-down":               "a noté que le DI ne répond plus",
	"di-up":                 "a noté que le DI répond de nouveau",
	"verified":              "a vérifié l’archive",
	"acknowledged":          "a reconnu que l’horloge avait reculé",
	"stated":                "a constaté la complétude d’une journée de la boîte",
	"sealed":                "a scellé le journal",
	"stamped":               "a fait horodater le journal",
	"watched":               "veille, rien de nouveau",
	"retained":              "a prolongé la conservation du message",
	"held":                  "a gelé le message",
	"released":              "a libéré le message gelé",
	"elimination-asked":     "a demandé une élimination",
	"elimination-confirmed": "a confirmé une élimination",
	"eliminated":            "a éliminé le message, dont la conservation était terminée",
	"elimination-certified": "a certifié une élimination",
	"erasure-asked":         "a demandé un effacement avant terme",
	"erasure-confirmed":     "a confirmé un effacement avant terme",
	"erased":                "a effacé le message avant son terme : sa clé est détruite",
	"erasure-certified":     "a certifié un effacement avant terme",
	"user-add":              "a créé le compte",
	"user-password":         "a changé le mot de passe du compte",
	"user-disable":          "a désactivé le compte",
	"user-enable":           "a réactivé le compte",
	"user-change":           "a modifié le compte",
	"user-second-factor":    "a retiré le second facteur du compte",
	"user-removed":          "a supprimé le compte",
	"token-add":             "a créé le jeton",
	"token-revoked":         "a révoqué le jeton",
	"started":               "a démarré",
	"stopped":               "s’est arrêté",
	"configured":            "a pris en compte une configuration modifiée",
}

var serviceWords = map[string]string{
	"fetcher": "La relève", "parser": "La lecture", "storage": "L’archivage", "integrator": "L’intégration",
	"notifier": "Les avis", "console": "La console", "greffe": "Greffe", "console-locale": "Une personne sur le serveur",
}

// resultWords say results that are no states.
var resultWords = map[string]string{
	"missing": "il manque des messages", "incomplete": "un dossier n’a pas été rapproché du serveur",
	"receipt": "l’accusé peut partir", "no-receipt": "rien à envoyer", "refused": "refusé", "failed": "échec", "bad": "anomalies trouvées", "ko": "anomalies trouvées", "broken": "anomalies trouvées", "warning": "avec réserve",
}

// isLook reports whether the action is a person looking, not the life of the item.
func isLook(action string) bool {
	switch action {
	case "read", "shown", "listed", "followed", "searched", "downloaded", "fetched", "exported", "denied":
		return true
	}
	return false
}

// sentence writes one entry for a person.
func sentence(e index.Entry) historyLine {
	_, detail := e.FactDigest()
	l := historyLine{Seq: e.Seq, At: e.At, Who: e.Actor, From: e.From, Label: e.Subject,
		Codes: strings.Trim(e.Action+" · "+e.Result+" · "+detail, " ·")}
	if w, ok := serviceWords[e.Actor]; ok {
		l.Who = w
	}
	text, known := sentences[e.Action]
	if !known {
		text = e.Action
	}
	switch {
	case greffe.MessageID(e.Subject).Valid():
		l.Link = "/messages/" + e.Subject
		if e.Action == "verified" {
			text = "a vérifié le message"
		}
		text += map[string]string{"read": " le message", "archived": " le message et ses pièces"}[e.Action]
	case greffe.DocumentID(e.Subject).Valid():
		l.Link = "/documents/" + e.Subject
		text += map[string]string{"read": " le document", "archived": " le document"}[e.Action]
	case e.Action == "stated":
		day, _, _ := strings.Cut(detail, " ")
		l.Link = "/journal/completude/" + day + "/" + e.Subject
	case e.Action == "read":
		what, _, _ := strings.Cut(e.Detail, " ")
		text += map[string]string{"journal": " le journal", "system": " l’état du système", "accounts": " la liste des comptes", "tokens": " la liste des jetons", "health": " l’état du système", "packs": " ses dossiers de preuve", "approvals": " les demandes d’accord", "statements": " les constats de complétude", "statement": " un constat de complétude"}[what]
	}
	switch {
	case e.Action == "login" && e.Result == "refused":
		text, l.Grave = "connexion refusée", true
	case e.Action == "unlocked" && e.Result == "refused":
		text, l.Grave = "déverrouillage refusé", true
	case e.Action == "unlocked" && e.Result == "locked":
		text, l.Grave = "déverrouillage bloqué après trop d’essais", true
	case e.Action == "login" && e.Result == "locked":
		text, l.Grave = "connexion bloquée après trop d’essais", true
	case e.Action == "notified" && e.Result == string(greffe.AnswerFailed):
		text, l.Grave = "n’a pas pu répondre à l’expéditeur", true
	case e.Action == "notified" && e.Result == string(greffe.AnswerAsked):
		text = "n’a pas répondu à l’expéditeur : l’accusé est demandé pour une autre adresse"
	case e.Action == "notified" && e.Result == string(greffe.AnswerDropped):
		text = "n’a rien (de plus) à envoyer à l’expéditeur"
	case e.Action == "notified" && strings.HasPrefix(e.Detail, "forward"):
		text = "a transmis le message à la boîte du service"
	case e.Action == "notified" && strings.HasPrefix(e.Detail, "auto-reply"):
		text = "a dit à l’expéditeur que personne ne lit cette boîte"
	case e.Action == "notified":
	case e.Action == "denied", e.Action == "integrity":
		l.Grave = true
	case verbWords[greffe.Verb(e.Result)] != "":
		text += " : " + strings.ToLower(verbWords[greffe.Verb(e.Result)][:1]) + verbWords[greffe.Verb(e.Result)][1:]
	case isState(e.Result):
		text += " : " + e.Result
	case e.Result != "" && e.Result != "ok":
		text += " (" + word(resultWords, e.Result) + ")"
		l.Grave = e.Result == "missing" || e.Result == "incomplete" || e.Result == "failed" || e.Result == "broken" || e.Result == "bad" || e.Result == "ko"
	}
	if l.Who == "" {
		l.Who = "Personne non identifiée"
		if e.Action == "login" && e.Subject != "" {
			l.Who = e.Subject
		}
	}
	l.Text = text
	return l
}

func isState(s string) bool {
	_, ok := stateOfSlug(wordsOf(greffe.State(s)).Slug)
	return ok
}

const maxHistory = 200 // entries shown about one item: the newest

// history writes the entries about one item, oldest first as given.
func history(entries []index.Entry) []historyLine {
	entries = entries[max(0, len(entries)-maxHistory):]
	var lines []historyLine
	for _, e := range entries {
		lines = append(lines, sentence(e))
	}
	return lines
}

// journalResults are the results that the filter offers, by what they are called.
var journalResults = []resultChoice{{"ok", "Fait, conforme"}, {"refused", "Refusé"}, {"locked", "Bloqué après trop d’essais"}, {"failed", "Échec"},
	{"broken", "Anomalies trouvées"}, {"missing", "Il manque des messages"}, {"incomplete", "Non rapproché du serveur"}}

// resultChoice is one result in the list of the filter.
type resultChoice struct{ Result, Text string }

// Results are those choices.
func (journalPage) Results() []resultChoice { return journalResults }

type journalPage struct {
	Lines    []historyLine
	Next     string
	First    string // back to the newest of the same filter, when this is not the first page
	Criteria criteria
	Actions  []actionChoice
	Filtered bool
	Q        string // of the filter
	Lost     bool   // the address names a filter that this session does not know
	Errors   map[string]string
}

// actionChoice is one action in the list of the filter.
type actionChoice struct {
	Action, Text string
	Current      bool
}

// filterJournal keeps what the form asks for in the session, as a search: a login may be
// somebody's name, and addresses are written down in many places.
func (c *Console) filterJournal(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(errBadInput, err)
	}
	field := func(name string) string { return strings.Join(strings.Fields(r.PostForm.Get(name)), " ") }
	k := criteria{Actor: field("qui"), Action: field("fait"), Subject: field("element"), Result: field("resultat"), From: field("du"), To: field("au")}
	if _, bad := k.journal(c.wall); len(bad) > 0 {
		return c.render(w, r, v, http.StatusUnprocessableEntity, "journal", page{Title: "Journal des accès — à corriger", Nav: "journal", Data: journalPage{Criteria: k, Actions: actionChoices(k.Action), Filtered: true, Errors: bad}})
	}
	to := "/journal"
	if k != (criteria{}) {
		q, err := c.remember(r, k)
		if err != nil {
			return err
		}
		to += "?" + url.Values{"q": {q}}.Encode()
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// journal turns what was typed into a filter of the journal, or into a sentence for each
// field that must be corrected.
func (k criteria) journal(at wall) (index.JournalFilter, map[string]string) {
	f := index.JournalFilter{Actor: k.Actor, Action: k.Action, Subject: k.Subject, Result: k.Result}
	bad := map[string]string{}
	for name, value := range map[string]string{"qui": k.Actor, "fait": k.Action, "element": k.Subject, "resultat": k.Result} {
		if len(value) > maxCriterion {
			bad[name] = "Ce texte est trop long."
		}
	}
	var ok bool
	if k.From != "" {
		if f.From, ok = at.typedDate(k.From); !ok {
			bad["du"] = "Saisissez une date sous la forme JJ/MM/AAAA."
		}
	}
	if k.To != "" {
		if f.To, ok = at.typedDate(k.To); !ok {
			bad["au"] = "Saisissez une date sous la forme JJ/MM/AAAA."
		}
		f.To = f.To.AddDate(0, 0, 1) // the whole day
	}
	if len(bad) == 0 && !f.From.IsZero() && !f.To.IsZero() && !f.From.Before(f.To) {
		bad["au"] = "La date de fin est antérieure à la date de début."
	}
	return f, bad
}

// actionChoices lists the actions by what they are called.
func actionChoices(current string) []actionChoice {
	var list []actionChoice
	for action, text := range sentences {
		for _, auxiliary := range []string{"a ", "s’est "} {
			text = strings.TrimPrefix(text, auxiliary)
		}
		list = append(list, actionChoice{action, capital(text), action == current})
	}
	slices.SortFunc(list, func(a, b actionChoice) int {
		return cmp.Or(strings.Compare(a.Text, b.Text), strings.Compare(a.Action, b.Action))
	})
	return list
}

// showJournal shows the audit journal, newest first. Reading it is itself an entry.
func (c *Console) showJournal(w http.ResponseWriter, r *http.Request, v *visit) error {
	q := r.URL.Query().Get("q")
	k, known := c.recall(r, q)
	f, bad := k.journal(c.wall)
	if len(bad) > 0 {
		return errBadInput
	}
	if s := r.URL.Query().Get("avant"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 1 {
			return errBadInput
		}
		f.Before = n
	}
	f.Limit = entriesPerPage
	entries, err := c.db.SearchJournal(r.Context(), f)
	if err != nil {
		return err
	}
	if err := c.record(v, "read", "", "ok", strings.TrimSpace("journal "+k.kinds())); err != nil {
		return err
	}
	p := journalPage{Lines: history(entries), Criteria: k, Filtered: known, Q: q, Lost: q != "" && !known, Actions: actionChoices(k.Action)}
	here := url.Values{}
	if known {
		here.Set("q", q)
	}
	if f.Before != 0 {
		p.First = strings.TrimSuffix("/journal?"+here.Encode(), "?")
	}
	if len(entries) == entriesPerPage {
		here.Set("avant", strconv.FormatInt(entries[len(entries)-1].Seq, 10))
		p.Next = "/journal?" + here.Encode()
	}
	return c.render(w, r, v, http.StatusOK, "journal", page{Title: "Journal des accès", Nav: "journal", Data: p})
}
