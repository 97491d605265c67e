package console

import (
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
		"claire": {"4 documents reçus en 30 jours, et 1 copie", "50 % intégrés sans intervention", "2 min de l’arrivée au DI pour la moitié d’entre eux ; 95 % en 2 min", "2 attendent encore, dont 1 à traiter et 1 refusés",
			"Patient inconnu du DI 1", "PDF sans identité de patient 1", "yvon.martel@cabinet-martel.example 2"},
		"radio": {"2 documents reçus en 30 jours", "50 % intégrés sans intervention", "Rien n’attend une personne"},
		"paul":  {"6 documents reçus en 30 jours, et 1 copie"},
		"root":  {"6 documents reçus en 30 jours, et 1 copie", "50 % intégrés", "Domaine Documents cabinet-martel.example 2"},
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
	// The chart and the table say the same.
	page := w.as("claire").page("/tableau?jours=7")
	if n := len(find(page, ".chart rect")); n != 3+2 {
		t.Errorf("%d parts and points drawn, want 5", n)
	}
	if rows := find(page, "details tbody tr"); len(rows) != 1 || !strings.Contains(text(rows[0]), "4 2 0 0 1 1 0 50 % 1") {
		t.Errorf("table of the chart: %q", text(page))
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
		`greffe_mailbox_expiry_timestamp_seconds{mailbox="` + cardio + `",what="password"} 1.8e+09`, `greffe_service_up{instance="` + greffe.MailboxKey(radio) + `",service="fetcher"} 0`, `greffe_today_needing_person{code="AE 902"} 1`, "go_goroutines"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("metrics do not say %s\n%s", want, a.body)
		}
	}
	w.console.metrics = nil
	if a := v.get("/metrics", "Authorization", "Bearer "+metrics1); a.StatusCode != 404 {
		t.Errorf("without a token in the configuration: status %d", a.StatusCode)
	}
	for _, not := range []string{"KERVELLA", "Martin", "martel", radio} {
		if strings.Contains(a.body, not) {
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
	if top, others := rank(map[string]int{"a": 1, "b": 3, "c": 2}, 2); len(top) != 2 || top[0].Name != "b" || others != 1 {
		t.Errorf("%v and %d", top, others)
	}
}
