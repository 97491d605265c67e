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
	p.Reasons, p.NoReason = rank(named(p.Sum.reasons, greffe.Reason), maxRanked)
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
