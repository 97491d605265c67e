package console

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"greffe/pkg/greffe"
)

type dashboardPage struct {
	Days    []dayTally // newest first
	Sum     dayTally
	N       int   // days shown
	Choices []int // of N
	Volumes chart
	Delays  chart
	Shares  chart
	Parts   []part
	Reasons ranking
	Senders ranking
	Domains bool // senders are shown by domain only
	Counted time.Time
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
	p.Volumes, p.Shares, p.Delays = volumes(days), shares(days), delays(days)
	for i := len(days) - 1; i >= 0; i-- {
		p.Days = append(p.Days, days[i])
	}
	p.Reasons = ranking{ID: "motifs", Title: "À traiter, refusés ou en incident, par motif", Column: "Motif", Summary: "Les chiffres, motif par motif",
		Name: "Documents à traiter, refusés ou en incident, par motif ; les chiffres sont dans le tableau qui suit."}
	top, others := rank(named(p.Sum.reasons, greffe.Reason), p.Sum.held, maxRanked)
	p.Reasons.draw(top, others, "Autres motifs")
	p.Senders = ranking{ID: "expediteurs", Title: "À traiter, refusés ou en incident, par expéditeur", Column: "Expéditeur", Summary: "Les chiffres, expéditeur par expéditeur",
		Name: "Documents à traiter, refusés ou en incident, par expéditeur ; les chiffres sont dans le tableau qui suit."}
	senders := named(p.Sum.senders, sender)
	if p.Domains {
		p.Senders.Title, p.Senders.Column, p.Senders.Summary = "À traiter, refusés ou en incident, par domaine d’expéditeur", "Domaine", "Les chiffres, domaine par domaine"
		p.Senders.Name = "Documents à traiter, refusés ou en incident, par domaine d’expéditeur ; les chiffres sont dans le tableau qui suit."
		senders = named(p.Sum.senders, domain)
	}
	top, others = rank(senders, p.Sum.held, maxRanked)
	p.Senders.draw(top, others, "Les autres")
	return c.render(w, r, v, http.StatusOK, "tableau", page{Title: "Tableau de bord", Nav: "tableau", Data: p})
}

// named sums counts under other names.
func named(counts map[string]held, name func(string) string) map[string]held {
	out := make(map[string]held, len(counts))
	for k, n := range counts {
		out[name(k)] = out[name(k)].plus(n)
	}
	return out
}

const unknownSender = "expéditeur inconnu"

// sender names the sender with an address.
func sender(address string) string {
	if address == "" {
		return unknownSender
	}
	return address
}

// domain returns the domain of an address.
func domain(address string) string {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return strings.ToLower(address[i+1:])
	}
	return unknownSender
}
