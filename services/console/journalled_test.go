package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// TestEveryRouteIsJournalled walks the table of routes: who was let in and shown
// something is in the journal for it, with opaque ids alone, from where and with what
// result. A route that is added without a thought of the journal fails here.
func TestEveryRouteIsJournalled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	refused := greffe.Outcome{DI: "dpi", Action: "T02", Control: "1", State: greffe.StateRefused, Code: "AE 902", Text: "Patient inconnu."}
	good := w.receive(mail{subject: "À lire", body: "texte", docs: []doc{{facts: cda1("1", 1, "Lettre", maelle), bytes: []byte("<a/>"), body: reportPDF("a"), outcomes: []greffe.Outcome{refused}}}})
	id, docID := string(good.ID), string(greffe.NewDocumentID(good.ID, 1))
	if _, err := w.db.ClaimAnswer(t.Context(), greffe.Answer{Key: "k", Message: good.ID, Kind: "ask", State: greffe.AnswerAsked, Recipient: "x@cabinet.example"}); err != nil {
		t.Fatal(err)
	}
	claire, paul, root := w.as("claire"), w.as("paul"), w.as("root")
	q := func(v *visitor, path string, form url.Values) string {
		a := v.post(path, form)
		return strings.TrimPrefix(a.Header.Get("Location"), path)
	}
	byName := q(claire, "/recherche", url.Values{"nom": {"kervella"}})
	byText := q(claire, "/file", url.Values{"texte": {"kervella"}})
	byINS, auditorName := q(paul, "/journal/patient", url.Values{"ins": {maelle.INS.Extension}}), q(paul, "/recherche", url.Values{"nom": {"kervella"}})
	if err := w.db.ConfigureDIs(t.Context(), []string{"dpi"}, nil); err != nil {
		t.Fatal(err)
	}
	w.state(cardio, "2026-11-22", greffe.Statement{Complete: true})
	key := greffe.MailboxKey(cardio)
	covered := map[string]bool{}
	// What each route leaves: the action, the subject and the detail; "-" for those that
	// show nothing about anybody.
	for _, c := range []struct {
		route, path             string
		v                       *visitor
		action, subject, detail string
	}{
		{"GET /file", "/file?etat=refuse", claire, "listed", "", "refuse"},
		{"GET /file", "/file" + byText, claire, "listed", "", "text"},
		{"POST /file", "", nil, "searched", "", "queue"},
		{"GET /file/flux", "/file/flux?message=" + id, claire, "followed", id, ""},
		{"GET /messages/{id}", "/messages/" + id, claire, "read", id, ""},
		{"GET /messages/{id}/original", "/messages/" + id + "/original", claire, "downloaded", id, "message"},
		{"GET /messages/{id}/parties/{n}", "/messages/" + id + "/parties/0", claire, "downloaded", id, "part 1"},
		{"GET /documents/{id}", "/documents/" + docID, claire, "read", docID, ""},
		{"GET /documents/{id}/file", "/documents/" + docID + "/file", claire, "shown", docID, ""},
		{"GET /documents/{id}/telechargement", "/documents/" + docID + "/telechargement", claire, "downloaded", docID, "document"},
		{"POST /documents/{id}/decision", "/documents/" + docID + "/decision", claire, "asked", docID, ""},
		{"GET /documents/{id}/patient", "/documents/" + docID + "/patient", claire, "compared", docID, ""},
		{"POST /documents/{id}/patient", "", nil, "-", "", ""}, // TestPatient…
		{"POST /messages/{id}/decision", "/messages/" + id + "/decision", claire, "asked", id, ""},
		{"POST /messages/{id}/reprendre", "/messages/" + id + "/reprendre", claire, "taken-over", id, ""},
		{"POST /messages/{id}/prise", "", nil, "-", "", ""}, {"POST /messages/{id}/rendre", "", nil, "-", "", ""}, // of what was read
		{"POST /file/groupe", "", nil, "-", "", ""}, {"POST /file/groupe/{choix}", "", nil, "-", "", ""}, // TestBulk
		{"POST /file/vues", "", nil, "-", "", ""}, {"GET /file/vues/{key}", "", nil, "-", "", ""}, // lead to the queue
		{"GET /raccourcis", "", nil, "-", "", ""}, {"POST /raccourcis", "", nil, "-", "", ""}, // nobody's data
		{"POST /messages/{id}/accuse", "/messages/" + id + "/accuse", claire, "asked", id, ""},
		{"GET /recherche", "/recherche" + byName, claire, "searched", "", "name"},
		{"GET /preuves", "/preuves", paul, "read", "", "packs"},
		{"GET /messages/{id}/verification", "/messages/" + id + "/verification", paul, "read", id, "verification"},
		{"POST /messages/{id}/verification", "", nil, "-", "", ""}, {"POST /documents/{id}/verification", "", nil, "-", "", ""}, // the storage service notes what came out
		{"POST /preuves/choix", "", nil, "-", "", ""}, {"POST /preuves", "", nil, "-", "", ""}, {"GET /preuves/flux", "", nil, "-", "", ""}, // TestProof…
		{"GET /preuves/{dossier}/telechargement", "", nil, "-", "", ""}, {"POST /preuves/{dossier}/annuler", "", nil, "-", "", ""}, // the same
		{"GET /journal", "/journal", paul, "read", "", "journal"},
		{"GET /journal/completude", "/journal/completude?bal=" + key, paul, "read", "", "statements mailbox"},
		{"GET /journal/completude/{jour}/{boite}", "/journal/completude/2026-11-22/" + key, paul, "read", key, "statement 2026-11-22"},
		{"GET /journal/completude/{jour}/{boite}/constat.json", "/journal/completude/2026-11-22/" + key + "/constat.json", paul, "exported", key, "statement 2026-11-22"},
		{"GET /journal/patient", "/journal/patient" + byINS, paul, "read", "", "journal patient"},
		{"GET /journal/patient/{forme}", "/journal/patient/acces.csv" + byINS, paul, "exported", "", "journal patient"},
		{"GET /journal/journal.csv", "/journal/journal.csv", paul, "exported", "", "journal"},
		{"GET /recherche/recherche.csv", "/recherche/recherche.csv" + auditorName, paul, "exported", "", "search name"},
		{"POST /journal/patient", "", nil, "-", "", ""},
		{"GET /systeme", "/systeme", root, "read", "", "system"},
		{"GET /systeme/jetons", "/systeme/jetons", root, "read", "", "tokens"},
		{"POST /systeme/jetons", "", nil, "-", "", ""}, {"POST /systeme/jetons/{jeton}/revocation", "", nil, "-", "", ""}, // TestTokensPage
		{"GET /systeme/boites", "/systeme/boites", root, "read", "", "mailboxes"},
		{"GET /tableau", "/tableau", root, "read", "", "dashboard"},
		{"POST /systeme/incidents/rejouer", "", nil, "-", "", ""}, // TestAllDeadLetters…
		{"GET /metrics", "", nil, "-", "", ""},                    // counts only
		{"GET /systeme/di", "/systeme/di", root, "read", "", "di"},
		{"POST /systeme/di/{nom}/pause", "/systeme/di/dpi/pause", root, "di-paused", "dpi", ""},
		{"POST /systeme/di/{nom}/reprise", "/systeme/di/dpi/reprise", root, "di-resumed", "dpi", ""},
		{"GET /systeme/comptes", "/systeme/comptes", root, "read", "", "accounts"},
		{"GET /di/documents/{id}", "/di/documents/" + docID, w.visitor(), "fetched", docID, ""},
		// These are asked for above, or hold in tests of their own.
		{"POST /connexion", "", nil, "login", "claire", ""},
		{"POST /verrou", "/verrou", w.as("radio"), "locked", "radio", "asked"},
		{"GET /connexion/oidc", "", nil, "-", "", ""}, {"GET /connexion/oidc/retour", "", nil, "-", "", ""}, // TestOIDC…
		{"GET /systeme/comptes/{compte}", "/systeme/comptes/" + accountKey("ott"), root, "read", "ott", "account"},
		{"GET /systeme/comptes/nouveau", "", nil, "-", "", ""}, {"POST /systeme/comptes", "", nil, "-", "", ""}, {"POST /systeme/comptes/{compte}", "", nil, "-", "", ""}, {"POST /systeme/comptes/{compte}/{acte}", "", nil, "-", "", ""}, // TestAccounts…
		{"POST /verrou/ouverture", "", nil, "-", "", ""},                                                                              // TestLock…
		{"GET /verrou", "", nil, "-", "", ""}, {"POST /session", "", nil, "-", "", ""}, {"GET /connexion/code", "", nil, "-", "", ""}, // show nothing
		{"GET /compte", "", nil, "-", "", ""}, {"GET /compte/second-facteur", "", nil, "-", "", ""}, // one's own account
		{"POST /connexion/code", "", nil, "-", "", ""}, {"POST /compte/mot-de-passe", "", nil, "-", "", ""}, // TestSecondFactor…, TestPassword…
		{"POST /compte/second-facteur", "", nil, "-", "", ""}, {"POST /compte/second-facteur/retrait", "", nil, "-", "", ""}, {"POST /compte/second-facteur/secours", "", nil, "-", "", ""},
		{"POST /deconnexion", "/deconnexion", root, "logout", "root", ""},
		{"POST /messages/{id}/original", "", nil, "-", "", ""},                             // TestSuspect…
		{"POST /messages/{id}/parties/{n}", "", nil, "-", "", ""},                          // the same
		{"POST /documents/{id}/telechargement", "", nil, "-", "", ""},                      // the same
		{"POST /systeme/incidents/{id}/rejouer", "", nil, "-", "", ""},                     // TestDeadLetters…
		{"POST /recherche", "", nil, "-", "", ""}, {"POST /journal", "", nil, "-", "", ""}, // lead to the GET
		{"GET /connexion", "", nil, "-", "", ""}, {"GET /session", "", nil, "-", "", ""}, // nobody's data
		{"GET /{$}", "", nil, "-", "", ""}, {"GET /aide", "", nil, "-", "", ""}, {"GET /aide/secretaire", "", nil, "-", "", ""}, {"GET /aide/professionnel", "", nil, "-", "", ""}, {"GET /aide/auditeur", "", nil, "-", "", ""}, //
		{"GET /aide/administrateur", "", nil, "-", "", ""}, {"GET /accessibilite", "", nil, "-", "", ""}, //
		{"GET /aide/regles", "", nil, "-", "", ""}, {"GET /static/{file}", "", nil, "-", "", ""}, //
		{"GET /api/openapi.yaml", "", nil, "-", "", ""}, {"GET /healthz", "", nil, "-", "", ""}, {"GET /readyz", "", nil, "-", "", ""}, //
	} {
		covered[c.route] = true
		if c.action == "-" {
			continue
		}
		if c.path != "" {
			method, header := "GET", []string(nil)
			if strings.HasPrefix(c.route, "POST") {
				method = "POST"
			}
			if strings.HasPrefix(c.route, "GET /di/") {
				header = []string{"Authorization", "Bearer " + diToken1}
			}
			if got, _ := c.v.status(t, method, c.path, header...); got >= 400 {
				t.Errorf("%s: status %d", c.route, got)
			}
		}
		found := false
		for _, e := range w.journal() {
			if e.Action == c.action && e.Subject == c.subject && (c.detail == "" || e.Detail == c.detail) {
				found = e.From != "" && e.Result != "" && e.Actor != ""
			}
		}
		if !found {
			t.Errorf("%s: no entry %q %q %q with who, from where and what result", c.route, c.action, c.subject, c.detail)
		}
	}
	for _, rt := range w.console.routes() {
		if !covered[rt.pattern] && rt.who&token == 0 { // TestEveryAPIRouteWithEveryToken
			t.Errorf("%s: the test does not say what it leaves in the journal", rt.pattern)
		}
	}
	if got, _ := claire.status(t, "POST", "/recherche", "Sec-Fetch-Site", "cross-site"); got != http.StatusForbidden || !w.journalled("", "denied", "", "refused") {
		t.Errorf("a request from another site: status %d, journalled %v", got, w.journalled("", "denied", "", "refused"))
	}
	for _, e := range w.journal() {
		for _, s := range []string{e.Subject, e.Detail, e.Result, e.From} {
			for _, never := range []string{"kervella", "KERVELLA", "Lettre", "lire", cardio, ".xml", ".pdf", maelle.INS.Extension} {
				if strings.Contains(s, never) {
					t.Errorf("the journal holds %q: %+v", never, e)
				}
			}
		}
	}
}

// TestJournalIsFiltered: by person, by what was done, by element and by date, over pages;
// what was asked for is not in the address.
func TestJournalIsFiltered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.receive(mail{subject: "Un", docs: []doc{{facts: cda1("1", 1, "Lettre", maelle), bytes: []byte("<a/>"), body: reportPDF("a")}}})
	w.as("claire").page("/messages/" + string(a.ID))
	for range entriesPerPage {
		if err := w.db.Append(t.Context(), index.Entry{Actor: "radio", Action: "listed", From: "::1", Result: "ok"}); err != nil {
			t.Fatal(err)
		}
	}
	paul := w.as("paul")
	lines := func(form url.Values) (string, int, []string) {
		t.Helper()
		to := paul.post("/journal", form).Header.Get("Location")
		for _, v := range form {
			if len(v[0]) > 1 && strings.Contains(to, v[0]) {
				t.Errorf("the address %s says what was asked for", to)
			}
		}
		n := paul.page(to)
		var next []string
		for _, link := range find(n, "p.paging a") {
			next = append(next, attr(link, "href"))
		}
		return content(n), len(find(n, "table.log tbody tr")), next
	}
	about, err := w.db.SearchJournal(t.Context(), index.JournalFilter{Subject: string(a.ID)}) // all that the services note of it
	if err != nil || len(about) < 4 {
		t.Fatalf("%d entries, %v", len(about), err)
	}
	today, tomorrow := time.Now().In(paris).Format("2006-01-02"), time.Now().In(paris).AddDate(0, 0, 1).Format("02/01/2006")
	for name, c := range map[string]struct {
		form url.Values
		want int
		text string
	}{
		"person":            {url.Values{"qui": {"claire"}}, 2, "a consulté le message"}, // login, read
		"action":            {url.Values{"fait": {"archived"}}, 2, "L’archivage"},        // message, document
		"element":           {url.Values{"element": {string(a.ID)}}, len(about), "a reçu le message"},
		"element, document": {url.Values{"element": {string(a.Documents[0])}}, 1, "a archivé le document"},
		"person, action":    {url.Values{"qui": {"claire"}, "fait": {"login"}}, 1, "s’est connecté"},
		"result":            {url.Values{"qui": {"claire"}, "resultat": {"ok"}}, 2, "s’est connecté"},
		"other result":      {url.Values{"qui": {"claire"}, "resultat": {"refused"}}, 0, "Aucune entrée pour ce filtre"},
		"today":             {url.Values{"qui": {"claire"}, "du": {today}, "au": {today}}, 2, "claire"},
		"tomorrow":          {url.Values{"du": {tomorrow}}, 0, "Aucune entrée pour ce filtre"},
		"nobody":            {url.Values{"qui": {"personne"}}, 0, "Aucune entrée pour ce filtre"},
	} {
		if text, n, _ := lines(c.form); n != c.want || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d lines, want %d with %q:\n%.600s", name, n, c.want, c.text, text)
		}
	}
	text, n, next := lines(url.Values{"qui": {"radio"}})
	if n != entriesPerPage || len(next) != 1 || !strings.Contains(text, "a affiché la file") {
		t.Fatalf("%d lines, next %v", n, next)
	}
	if got := content(paul.page(next[0])); !strings.Contains(got, "Aucune entrée") || !strings.Contains(got, "Revenir aux entrées les plus récentes") {
		t.Errorf("the last page: %.300s", got)
	}
	if r := paul.post("/journal", url.Values{"du": {"hier"}}); r.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(r.body, "JJ/MM/AAAA") {
		t.Errorf("a wrong date: status %d", r.StatusCode)
	}
	if got := content(paul.page("/journal?q=inconnu")); !strings.Contains(got, "Ce filtre n’est plus en mémoire") {
		t.Errorf("%.300s", got)
	}
}
