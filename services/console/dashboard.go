package console

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

type dashboardPage struct {
	Days     []dayTally // newest first
	Sum      dayTally
	N        int   // days shown
	Choices  []int // of N
	Volumes  chart
	Delays   chart
	Parts    []part
	Reasons  []ranked
	Senders  []ranked
	NoReason int // in other reasons than those shown
	NoSender int
	Domains  bool // senders are shown by domain only
	Counted  time.Time
}

// dashboardDays are the numbers of days that the dashboard offers.
var dashboardDays = []int{7, 30, 90}

// maxRanked is how many reasons and senders are shown.
const maxRanked = 10

// showDashboard shows what became of the documents of the last days, in the mailboxes
// that the person sees; to an administrator for all of them, and senders by domain only.
func (c *Console) showDashboard(w http.ResponseWriter, r *http.Request, v *visit) error {
	p := dashboardPage{N: 30, Choices: dashboardDays, Parts: parts, Domains: v.role == admin, Counted: time.Now()}
	for _, n := range dashboardDays {
		if r.URL.Query().Get("jours") == strconv.Itoa(n) {
			p.N = n
		}
	}
	if err := c.record(v, "read", "", "ok", "dashboard"); err != nil {
		return err
	}
	sees := v.sees
	if v.role == admin {
		sees = func(greffe.Origin) bool { return true } // counts, of nobody
	}
	days, err := c.activity.refresh(r.Context(), c.db, p.N, c.cfg.Zone, p.Counted, sees)
	if err != nil {
		return err
	}
	for i := range days {
		p.Sum.add(&days[i].tallied)
	}
	p.Volumes, p.Delays = volumes(days), delays(days)
	for i := len(days) - 1; i >= 0; i-- {
		p.Days = append(p.Days, days[i])
	}
	p.Reasons, p.NoReason = rank(named(p.Sum.reasons, reasonWords), maxRanked)
	senders := p.Sum.senders
	if p.Domains {
		senders = named(senders, domain)
	}
	p.Senders, p.NoSender = rank(senders, maxRanked)
	return c.render(w, r, v, http.StatusOK, "tableau", page{Title: "Tableau de bord", Nav: "tableau", Data: p})
}

// named sums counts under other names.
func named(counts map[string]int, name func(string) string) map[string]int {
	out := make(map[string]int, len(counts))
	for k, n := range counts {
		out[name(k)] += n
	}
	return out
}

// domain returns the domain of an address.
func domain(address string) string {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return strings.ToLower(address[i+1:])
	}
	return "expéditeur inconnu"
}

// codeWords are the reasons why a document needed a person, by the code of its outcome:
// of the DI (HL7 table 0533) or the name of a rule of the integrator.
var codeWords = map[string]string{
	"900": "Version précédente inconnue du DI", "901": "Auteur non admis à remplacer", "902": "Patient inconnu du DI", "903": "INS absent, demandé par le DI",
	"904": "Identité différente de celle du DI", "905": "Traits d’identité incomplets", "906": "Refus du DI sans motif codé",
	"unsafe": "Pièce suspecte", "same-number": "Numéro déjà pris par un autre contenu", "same-number-again": "Numéro déjà pris par un autre contenu",
	"verdict": "Contrôle du document", "masked": "Document masqué", "pdf": "PDF sans identité de patient", "hprim": "Résultat HPRIM en texte",
	"other-format": "Pièce sans identité de patient", "no-number": "Document sans numéro", "no-patient": "Pas d’identifiant de patient",
	"unknown-action": "Action non reconnue", "other-patient": "Lié à un document d’un autre patient", "circle": "Remplacements croisés",
	"archive": "Document illisible dans l’archive", "unwritable": "Message au DI impossible à écrire", "fhir.deletion": "Suppression à faire à la main",
}

// reasonWords names the reason of an outcome's code: "AE 902", "422 904", "pdf".
func reasonWords(code string) string {
	for f := range strings.FieldsSeq(code) {
		if text, ok := codeWords[f]; ok {
			return text
		}
	}
	if code == "" {
		return "Sans code"
	}
	return "Autre motif (" + code + ")"
}
