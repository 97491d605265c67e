package console

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// TestDashboardCounts: each document counts once on its day, copies apart; the share is of
// those that nobody had to touch; a secretary reads her mailboxes, an administrator all
// of them and no sender's address.
func TestDashboardCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := func(mailbox, id string, o ...greffe.Outcome) greffe.Archived {
		return w.receive(mail{mailbox: mailbox, docs: []doc{{facts: cda1(id, 1, "Compte rendu", maelle), bytes: []byte(id), outcomes: o}}})
	}
	delivered := greffe.Outcome{State: greffe.StateDelivered, Code: "AA", DI: "dpi"}
	one(cardio, "1", delivered)
	one(cardio, "2", delivered)
	one(cardio, "3", greffe.Outcome{State: greffe.StateRefused, Code: "AE 902", DI: "dpi"})
	one(cardio, "4", greffe.Outcome{State: greffe.StateTodo, Code: "pdf"})
	one(cardio, "5", greffe.Outcome{State: greffe.StateDuplicate})
	one(radio, "6", delivered)
	hand := one(radio, "7")
	if _, err := w.db.SaveDecision(t.Context(), greffe.Decided{ID: "d1", Document: hand.Documents[0], Verb: greffe.VerbRetry, By: "radio", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	w.outcome(hand, 0, delivered)

	for who, want := range map[string][]string{
		"claire": {"4 documents reçus en 30 jours, et 1 copie", "50 % intégrés sans intervention", "2 min de l’arrivée au DI pour la moitié d’entre eux ; 95 % en 2 min", "2 attendent encore : 1 à traiter, 1 refusé",
			"Patient inconnu du DI 0 1 0 1", "PDF sans identité de patient 1 0 0 1", "yvon.martel@cabinet-martel.example 1 1 0 2"},
		"radio": {"2 documents reçus en 30 jours", "50 % intégrés sans intervention", "Aucun document à traiter, refusé ou en incident"},
		"paul":  {"6 documents reçus en 30 jours, et 1 copie"},
		"root":  {"6 documents reçus en 30 jours, et 1 copie", "50 % intégrés", "Domaine À traiter Refusés En incident Ensemble cabinet-martel.example 1 1 0 2"},
	} {
		page := content(w.as(who).page("/tableau"))
		for _, s := range want {
			if !strings.Contains(strings.ReplaceAll(page, "1 min", "2 min"), s) {
				t.Errorf("%s does not read %q in %s", who, s, page)
			}
		}
		if who == "root" && strings.Contains(page, "yvon.martel@") {
			t.Error("an administrator reads who sends")
		}
	}
	if !w.journalled("claire", "read", "", "ok") {
		t.Error("the look is not in the journal")
	}
	// The charts and the table say the same.
	page := w.as("claire").page("/tableau?jours=7")
	for id, want := range map[string]int{"t-volumes": 3, "t-shares": 1, "t-delays": 2, "t-motifs": 2, "t-expediteurs": 2} {
		n := 0
		for _, section := range find(page, "section") {
			if attr(section, "aria-labelledby") == id {
				n = len(find(section, ".chart rect"))
			}
		}
		if n != want {
			t.Errorf("%s: %d parts and points drawn, want %d", id, n, want)
		}
	}
	if rows := find(find(page, "details")[0], "tbody tr"); len(rows) != 1 || !strings.Contains(text(rows[0]), "4 2 0 0 1 1 0 0 50 % 1") {
		t.Errorf("table of the chart: %q", text(page))
	}
}

// TestRanking: a bar for each kind, as long as it is frequent, with the same in words; what
// finds no room is counted together.
func TestRanking(t *testing.T) {
	t.Parallel()
	var r ranking
	top, others := rank(map[string]held{"a": {Todo: 3, Refused: 1}, "b": {Incident: 2}, strings.Repeat("é", 200): {Refused: 2}}, held{Todo: 3, Refused: 4, Incident: 2}, 3)
	r.draw(top, others, "Autres")
	var got []string
	for _, row := range r.Rows {
		line := row.Short + " | " + row.Words
		for _, b := range row.Bars {
			line += " | " + b.Class + " " + b.X + " " + b.W
		}
		got = append(got, line)
	}
	want := []string{
		"a | 4 : 3 à traiter, 1 refusé | c-todo 0.0 202.5 | c-refused 202.5 67.5",
		"b | 2 en incident | c-incident 0.0 135.0",
		strings.Repeat("é", 79) + "… | 2 refusés | c-refused 0.0 135.0",
		"Autres | 1 refusé | c-refused 0.0 67.5",
	}
	if !slices.Equal(got, want) {
		t.Errorf("drawn:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if r.Height != 4*rankingRow || len(r.Rows[2].Name) != 400 {
		t.Errorf("%d high, and the table has a name of %d bytes", r.Height, len(r.Rows[2].Name))
	}
}

// TestMailboxesAreWatched: what waits, what ends and what nobody looks into is told.
func TestMailboxesAreWatched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.console.cfg.About = map[string]About{cardio: {Kind: "organisational", Service: "3435 Cardiologie", Responsible: "Dr Anne RESPONSABLE", RPPS: "99900000011"}}
	now := time.Now()
	w.say(bus.Standing{Service: "fetcher", Instance: cardio, Text: "Relevée ; 2 messages ne sont pas encore archivés.", Success: now, Warning: "Le mot de passe n'est valable que jusqu'au 01/01/2027.",
		Mailbox: &greffe.MailboxFigures{
			Folders:  []greffe.FolderFigures{{Name: "INBOX", Server: 40, Waiting: 2, Oldest: now.Add(-2 * time.Hour), Compared: now}, {Name: "INBOX/Dr Martin", Server: 3, Compared: now}},
			Expiries: []greffe.Expiry{{What: greffe.Password, At: now.Add(20*24*time.Hour + time.Minute)}, {What: greffe.ServerCertificate, At: now.Add(400 * 24 * time.Hour)}},
		}})
	w.receive(mail{mailbox: radio, ago: 8 * 24 * time.Hour, docs: []doc{{facts: cda1("1", 1, "Ancien", maelle), bytes: []byte("1"), outcomes: []greffe.Outcome{{State: greffe.StateTodo, Code: "pdf"}}}}})
	root := w.as("root")
	boxes := find(root.page("/systeme/boites"), "section")
	if len(boxes) != 2 {
		t.Fatalf("%d mailboxes, want 2", len(boxes))
	}
	for i, want := range [][]string{
		{cardio, "43 messages, dont 41 archivés", "À archiver 2, le plus ancien du", "Le mot de passe n'est valable que jusqu'au", "Mot de passe jusqu’au", "(20 jours)", "2 dossiers", "INBOX/Dr Martin 3 0", "organisationnelle, 3435 Cardiologie", "Dr Anne RESPONSABLE (RPPS 99900000011)"},
		{radio, "N’est relevée par personne", "Personne ne l’a consultée depuis sa mise en service, et 1 message y attend", "À traiter par une personne 1, le plus ancien du"},
	} {
		for _, s := range want {
			if got := text(boxes[i]); !strings.Contains(got, s) {
				t.Errorf("mailbox %d does not say %q: %s", i, s, got)
			}
		}
	}
	w.as("radio").page("/file")
	if got := text(find(root.page("/systeme/boites"), "section")[1]); strings.Contains(got, "Personne ne l’a consultée") {
		t.Errorf("it was looked into: %s", got)
	}
}

// TestMetrics: the figures of the pages, for a machine that has the token, with nobody's name.
func TestMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.visitor()
	w.console.cfg.About = map[string]About{radio: {Kind: "personal"}}
	now := time.Now()
	w.say(bus.Standing{Service: "fetcher", Instance: cardio, Mailbox: &greffe.MailboxFigures{Folders: []greffe.FolderFigures{{Name: "INBOX/Dr Martin", Server: 40, Waiting: 2, Compared: now}}, Expiries: []greffe.Expiry{{What: greffe.Password, At: time.Unix(1_800_000_000, 0)}}}},
		bus.Standing{Service: "fetcher", Instance: radio, Trouble: "refusée"})
	w.receive(mail{docs: []doc{{facts: cda1("1", 1, "Compte rendu", maelle), bytes: []byte("1"), outcomes: []greffe.Outcome{{State: greffe.StateRefused, Code: "AE 902"}}}}})
	if a := v.get("/metrics", "Authorization", "Bearer wrong-wrong-wrong-wrong"); a.StatusCode != 401 {
		t.Errorf("with another token: status %d", a.StatusCode)
	}
	a := v.get("/metrics", "Authorization", "Bearer "+metrics1)
	for _, want := range []string{`greffe_documents{state="refusé par le DI"} 1`, `greffe_dead_letters 0`, `greffe_mailbox_messages{mailbox="` + cardio + `"} 40`, `greffe_mailbox_waiting_messages{mailbox="` + cardio + `"} 2`,
		`greffe_mailbox_expiry_timestamp_seconds{mailbox="` + cardio + `",what="password"} 1.8e+09`, `greffe_service_up{instance="` + greffe.MailboxKey(radio) + `",service="fetcher"} 0`, `greffe_today_needing_person{code="AE 902",state="refusé"} 1`, "go_goroutines"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("metrics do not say %s\n%s", want, a.body)
		}
	}
	w.console.metrics = nil
	if a := v.get("/metrics", "Authorization", "Bearer "+metrics1); a.StatusCode != 404 {
		t.Errorf("without a token in the configuration: status %d", a.StatusCode)
	}
	for _, not := range []string{"KERVELLA", "Martin", "MARTEL", "yvon", radio} {
		if strings.Contains(a.body, not) {
			t.Errorf("metrics name %q", not)
		}
	}
}

// TestMetricsAreTheDashboards: what a collector reads of today is what the dashboard shows.
func TestMetricsAreTheDashboards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := time.Now().UTC()
	w.console.cfg.Zone = time.FixedZone("noon", (12-now.Hour())*3600) // the day does not end meanwhile
	n := 0
	one := func(from string, o ...greffe.Outcome) greffe.Archived {
		n++
		id := strconv.Itoa(n)
		return w.receive(mail{from: greffe.Address{Address: from}, docs: []doc{{facts: cda1(id, 1, "Compte rendu", maelle), bytes: []byte(id), outcomes: o}}})
	}
	delivered := greffe.Outcome{State: greffe.StateDelivered, Code: "AA", DI: "dpi"}
	one("", delivered)
	hand := one("")
	if _, err := w.db.SaveDecision(t.Context(), greffe.Decided{ID: "d", Document: hand.Documents[0], Verb: greffe.VerbRetry, By: "claire", At: now}); err != nil {
		t.Fatal(err)
	}
	w.outcome(hand, 0, delivered)
	one("")
	one("", greffe.Outcome{State: greffe.StateDuplicate})
	one("", greffe.Outcome{State: greffe.StateDismissed, Code: greffe.CodeDecision})
	one("", greffe.Outcome{State: greffe.StateRefused, Code: "AE 902", DI: "dpi"})
	one("", greffe.Outcome{State: greffe.StateIncident, Code: "AE 103", DI: "dpi"})
	one("labo@Laboratoire.example", greffe.Outcome{State: greffe.StateDismissed, Code: greffe.CodeRefusal})
	one("MARIE KERVELLA", greffe.Outcome{State: greffe.StateTodo, Code: "pdf"})
	one("x@MARIE KERVELLA", greffe.Outcome{State: greffe.StateTodo, Code: "pdf"})
	for i := range maxDomains {
		one("x@d"+strconv.Itoa(i)+".example", greffe.Outcome{State: greffe.StateTodo, Code: "trait-differs"})
	}

	page := w.as("root").page("/tableau?jours=7")
	row := text(find(find(page, "details")[0], "tbody tr")[0])
	// Received, by machine, by hand, waiting, todo, refused, incident, closed, share, copies.
	if !strings.Contains(row, "29 1 1 1 22 2 1 1 3 % 1 ") {
		t.Errorf("the dashboard shows %q", row)
	}
	for _, want := range []string{"Traits différents de ceux du DI 20 0 0 20", "PDF sans identité de patient 2 0 0 2", "Refusé par une personne 0 1 0 1", "Erreur technique du DI (AE 103) 0 0 1 1"} {
		if !strings.Contains(content(page), want) {
			t.Errorf("the dashboard does not show %q: %s", want, content(page))
		}
	}
	metrics := w.visitor().get("/metrics", "Authorization", "Bearer "+metrics1).body
	for _, want := range []string{
		`greffe_today_documents 29`, `greffe_today_integrated_without_intervention 1`, `greffe_today_integrated_after_decision 1`, `greffe_today_waiting 1`,
		`greffe_today_closed 1`, `greffe_today_copies 1`,
		`greffe_today_needing_person{code="trait-differs",state="à traiter"} 20`, `greffe_today_needing_person{code="pdf",state="à traiter"} 2`,
		`greffe_today_needing_person{code="AE 902",state="refusé"} 1`, `greffe_today_needing_person{code="decision 906",state="refusé"} 1`,
		`greffe_today_needing_person{code="AE 103",state="incident"} 1`,
		`greffe_today_needing_person_by_domain{domain="cabinet-martel.example",state="refusé"} 1`, `greffe_today_needing_person_by_domain{domain="cabinet-martel.example",state="incident"} 1`,
		`greffe_today_needing_person_by_domain{domain="unknown",state="à traiter"} 2`, `greffe_today_needing_person_by_domain{domain="other",state="à traiter"} 2`,
		`greffe_today_needing_person_by_domain{domain="other",state="refusé"} 1`,
	} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("metrics do not say %s", want)
		}
	}
	if got := strings.Count(metrics, "greffe_today_needing_person_by_domain{"); got != maxDomains+1+2 {
		t.Errorf("%d series by domain:\n%s", got, metrics)
	}
	for _, not := range []string{"KERVELLA", "kervella", "yvon", "labo@"} {
		if strings.Contains(metrics, not) {
			t.Errorf("metrics name %q", not)
		}
	}
}

func TestPercentiles(t *testing.T) {
	t.Parallel()
	var b tallied
	if b.Median() != "—" || b.Share() != 0 {
		t.Error("nothing has a median")
	}
	at := time.Now()
	for n := range 100 {
		b.count(index.Activity{State: greffe.StateDelivered, ReceivedAt: at, Outcome: greffe.Outcome{At: at.Add(time.Duration(n+1) * time.Second)}})
	}
	if b.Median() != "50 s" || b.Most() != "1 min" || b.Share() != 100 {
		t.Errorf("median %s, 95th %s, share %d", b.Median(), b.Most(), b.Share())
	}
	for d, want := range map[time.Duration]string{0: "moins de 1 s", 90 * time.Minute: "1 h 30", 49 * time.Hour: "2 jours"} {
		if got := span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	if top, others := rank(map[string]held{"a": {Todo: 1}, "b": {Refused: 3}, "c": {Todo: 2}}, held{Todo: 4, Refused: 3}, 2); len(top) != 2 || top[0].Name != "b" || others != (held{Todo: 2}) {
		t.Errorf("%v and %d", top, others)
	}
}

// TestLookIsOfTheQueue: who opens what was passed to her service has looked into the mailbox
// in whose queue it stands, not into the one it came to.
func TestLookIsOfTheQueue(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"document", "message"} {
		w := newWorld(t)
		a := w.receive(mail{mailbox: cardio, subject: "x", docs: []doc{{facts: cda1("1", 1, "Refusé", maelle), bytes: []byte("<a/>"), outcomes: []greffe.Outcome{unknownPatient}}}})
		if _, err := w.db.SaveTriage(t.Context(), greffe.Triaged{ID: "m", Message: a.ID, Verb: greffe.VerbMove, To: radio, By: "claire", At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		v := w.as("radio")
		before, err := w.db.Mailbox(t.Context(), radio)
		if err != nil || !before.Consulted.IsZero() || before.OldestAt.IsZero() {
			t.Fatalf("%+v, %v", before, err)
		}
		v.page(map[string]string{"document": "/documents/" + string(a.Documents[0]), "message": "/messages/" + string(a.ID)}[page])
		for mailbox, looked := range map[string]bool{radio: true, cardio: false} {
			if s, err := w.db.Mailbox(t.Context(), mailbox); err != nil || s.Consulted.IsZero() == looked {
				t.Errorf("%s: %s was looked into at %v, %v", page, mailbox, s.Consulted, err)
			}
		}
	}
}
