package console

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Audit is the last audit of the console's accessibility (RGAA 4.1) that is in force.
type Audit struct {
	By   string    // who made it; empty: none was made
	Date time.Time // of its end
	Rate float64   // part of the criteria that are met, 0 to 1
}

// conformity is what a declaration may say by the RGAA: without an audit in force a
// service is not conforming, whatever its own tests find.
func (a Audit) conformity() string {
	switch {
	case a.By == "" || a.Rate < .5:
		return "non conforme"
	case a.Rate < 1:
		return "partiellement conforme"
	}
	return "totalement conforme"
}

type accessibilityPage struct {
	Version, Host  string
	State          string
	Audited        bool
	By, Date, Rate string
	Contact        string
}

// showAccessibility shows the declaration that public bodies owe (decree 2019-768,
// article 4; model of the RGAA), to everybody.
func (c *Console) showAccessibility(w http.ResponseWriter, r *http.Request, v *visit) error {
	a := c.cfg.Audit
	p := accessibilityPage{Version: c.cfg.Version, Host: r.Host, State: a.conformity(), Audited: a.By != "", By: a.By, Contact: c.cfg.Contact}
	if p.Audited {
		p.Date, p.Rate = c.wall.day(a.Date), strings.Replace(strconv.FormatFloat(a.Rate*100, 'f', -1, 64), ".", ",", 1)
	}
	return c.render(w, r, v, http.StatusOK, "accessibilite", page{Title: "Accessibilité", Data: p})
}
