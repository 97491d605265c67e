package console

import (
	"net/http"
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
	"received":   "a reçu le message et conservé l’original",
	"archived":   "a archivé le message et ses pièces",
	"delivered":  "a présenté le document au dossier informatisé",
	"claimed":    "a retenu ce document comme celui à remettre",
	"asked":      "a demandé",
	"decided":    "a décidé",
	"read":       "a consulté",
	"shown":      "a affiché le contenu du document",
	"listed":     "a affiché la file",
	"searched":   "a fait une recherche",
	"downloaded": "a téléchargé",
	"fetched":    "a récupéré le document par référence",
	"login":      "s’est connecté",
	"logout":     "s’est déconnecté",
	"denied":     "s’est vu refuser l’accès",
	"integrity":  "a constaté une altération de l’archive",
	"replayed":   "a relancé un traitement en échec",
	"sealed":     "a scellé le journal",
	"notified":   "a répondu à l’expéditeur",
	"settled":    "a rangé le message dans la boîte aux lettres",
	"retained":   "a prolongé la conservation du message",
	"held":       "a gelé le message",
	"released":   "a libéré le message gelé",
	"eliminated": "a éliminé le message, dont la conservation était terminée",

	"elimination-asked":     "a demandé une élimination",
	"elimination-confirmed": "a confirmé une élimination",
	"elimination-certified": "a certifié une élimination",
}

var serviceWords = map[string]string{
	"fetcher": "La relève", "parser": "La lecture", "storage": "L’archivage", "integrator": "L’intégration",
	"notifier": "Les avis", "console": "La console", "greffe": "Greffe",
}

// isLook reports whether the action is a person looking, not the life of the item.
func isLook(action string) bool {
	switch action {
	case "read", "shown", "listed", "searched", "downloaded", "fetched", "denied":
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
	case e.Action == "login" && e.Result == "refused":
		text, l.Grave = "connexion refusée", true
	case e.Action == "login" && e.Result == "locked":
		text, l.Grave = "connexion bloquée après trop d’essais", true
	case e.Action == "notified" && e.Result == string(greffe.AnswerFailed):
		text, l.Grave = "n’a pas pu répondre à l’expéditeur", true
	case e.Action == "notified" && e.Result == string(greffe.AnswerAsked):
		text = "n’a pas répondu à l’expéditeur : l’accusé est demandé pour une autre adresse"
	case e.Action == "notified":
	case e.Action == "denied", e.Action == "integrity":
		l.Grave = true
	case verbWords[greffe.Verb(e.Result)] != "":
		text += " : " + strings.ToLower(verbWords[greffe.Verb(e.Result)][:1]) + verbWords[greffe.Verb(e.Result)][1:]
	case isState(e.Result):
		text += " : " + e.Result
	case e.Result != "" && e.Result != "ok":
		text += " (" + e.Result + ")"
	}
	if l.Who == "" {
		l.Who = "Personne non identifiée"
		if e.Action == "login" && e.Subject != "" {
			l.Who = e.Subject
		}
	}
	switch {
	case greffe.MessageID(e.Subject).Valid():
		l.Link = "/messages/" + e.Subject
		if e.Action == "read" {
			text += " le message"
		}
	case greffe.DocumentID(e.Subject).Valid():
		l.Link = "/documents/" + e.Subject
		if e.Action == "read" {
			text += " le document"
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

type journalPage struct {
	Lines []historyLine
	Next  string
	First bool
}

// showJournal shows the audit journal, newest first. Reading it is itself an entry.
func (c *Console) showJournal(w http.ResponseWriter, r *http.Request, v *visit) error {
	before := int64(0)
	if s := r.URL.Query().Get("avant"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 1 {
			return errBadInput
		}
		before = n
	}
	entries, err := c.db.Journal(r.Context(), before, entriesPerPage)
	if err != nil {
		return err
	}
	if err := c.record(v, "read", "", "ok", "journal"); err != nil {
		return err
	}
	p := journalPage{Lines: history(entries), First: before == 0}
	if len(entries) == entriesPerPage {
		p.Next = "/journal?avant=" + strconv.FormatInt(entries[len(entries)-1].Seq, 10)
	}
	return c.render(w, r, v, http.StatusOK, "journal", page{Title: "Journal des accès", Nav: "journal", Data: p})
}
