package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	_ "embed"

	"github.com/chromedp/chromedp"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

//go:embed testdata/acces.js
var accessChecks string

// axeCore is the script of axe-core; "" where GREFFE_TEST_AXE does not name it.
func axeCore(t *testing.T) string {
	t.Helper()
	path := os.Getenv("GREFFE_TEST_AXE")
	if path == "" {
		return ""
	}
	script, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// full is a hospital in which every page has something to show: a message of each kind,
// an identity to compare, a message open on another screen, a suspect file, and auditors
// who ask each other.
type full struct {
	*world
	compare  greffe.Archived // its patient is to be chosen
	question greffe.Archived // without documents
	malware  greffe.Archived
	masked   greffe.Archived
	biology  greffe.Archived // a level 3 CDA, shown by its text
	plain    greffe.Archived // a text
	picture  greffe.Archived
	taken    greffe.Archived // a colleague has it open
	unread   greffe.Archived // an auditor has not been given the right to read it
	examples map[string][]string
}

func newFull(t *testing.T) *full {
	t.Helper()
	w := &full{world: newWorldWith(t, func(c *Config) {
		c.FourEyes = true
		c.About = map[string]About{cardio: {Kind: "organisational", Service: "3435 Cardiologie", Responsible: "Dr Yvon MARTEL", Folders: []string{"INBOX", "INBOX/Dr Martin"}}, radio: {Service: "3436 Radiologie"}}
	})}
	w.second()
	if err := w.db.SaveUser(t.Context(), index.User{Login: "jeanne", Name: "Jeanne AUDIT", Role: "auditor", Places: []string{index.Everywhere}, Hash: hashed()}); err != nil {
		t.Fatal(err)
	}
	w.taken = w.receive(mail{subject: "Pris", ago: time.Hour, docs: []doc{{facts: cda1("2", 1, "Lettre prise par une collègue", ruth), bytes: []byte("<p/>"), body: reportPDF("p"), outcomes: []greffe.Outcome{unknownPatient}}}})
	f := cda1("1", 1, "Compte rendu de consultation", maelle)
	other := maelle
	other.BirthFamily, other.BirthPlace = "ESSAI-AUTRE", "29998"
	f.Announced = maelle
	w.compare = w.receive(mail{subject: "À comparer", body: "Bonjour", docs: []doc{{facts: f, bytes: []byte("<a/>"), body: reportPDF("a"), outcomes: []greffe.Outcome{{State: greffe.StateTodo, Code: "trait-differs", Text: "L’identité diffère.",
		Candidates: []greffe.Candidate{{Patient: other, Status: "QUAL"}}}}}}})
	w.question = w.receive(mail{subject: "Question", kind: greffe.KindText, body: "Bonjour"})
	w.malware = w.receiveMalware()
	for _, m := range sampleMail() {
		a := w.receive(m)
		switch m.subject {
		case "Lettre masquée":
			w.masked = a
		case "Compte rendu DECOURCY Ruth":
			w.unread = a
		case "Résultats DECOURCY Ruth":
			w.biology = a
		case "Résultats HPRIM":
			w.plain = a
		case "Photo de plaie":
			w.picture = a
		}
	}
	yesterday := w.console.yesterday(time.Now())
	for n := range 26 { // more than a page of them
		day := yesterday.AddDate(0, 0, -n).Format(time.DateOnly)
		seen := 1214 - 7*n
		w.state(cardio, day, greffe.Statement{Seen: seen, Listed: seen, Archived: seen, Delivered: seen - 14, Held: 14, Complete: true})
		switch n {
		case 0:
			w.state(radio, day, greffe.Statement{Seen: 3, Listed: 3, Archived: 2, Delivered: 2, Missing: 1, Complete: true,
				MissingUIDs: []greffe.MissingUID{{Folder: "INBOX", UIDValidity: 7, UID: 31, InternalDate: yesterday.Add(9 * time.Hour)}}})
		case 3:
			w.state(radio, day, greffe.Statement{Late: []string{"INBOX/Dr Martin"}})
		default:
			w.state(radio, day, greffe.Statement{Seen: 3, Listed: 3, Archived: 3, Delivered: 3, Complete: true})
		}
	}
	w.as("nadia").page("/documents/" + string(w.taken.Documents[0]) + "?etat=a-traiter")
	paul, jeanne := w.as("paul"), w.as("jeanne")
	ask := func(v *visitor, m greffe.Archived) {
		v.post("/messages/"+string(m.ID)+"/accord", url.Values{"motif": {"Réclamation du 20 novembre"}})
	}
	ask(paul, w.malware)
	ask(paul, w.picture)
	ask(jeanne, w.question)
	for _, form := range find(jeanne.page("/accords"), "form") {
		if a := attr(form, "action"); strings.HasSuffix(a, "/accorder") {
			jeanne.post(a, nil)
		}
	}
	w.machine()
	w.proofs()
	w.examples = map[string][]string{
		"/documents/{id}":            {string(w.compare.Documents[0]) + "?etat=a-traiter", string(w.masked.Documents[0]), string(w.malware.Documents[0])},
		"/messages/{id}":             {string(w.question.ID) + "?etat=a-traiter", string(w.masked.ID), string(w.malware.ID)},
		"/comptes/{compte}":          {accountKey("ott")},
		"/completude/{jour}/{boite}": {yesterday.Format(time.DateOnly) + "/" + greffe.MailboxKey(radio), yesterday.AddDate(0, 0, -3).Format(time.DateOnly) + "/" + greffe.MailboxKey(radio), yesterday.Format(time.DateOnly) + "/" + greffe.MailboxKey(cardio)},
		"/vues/{key}":                {greffe.MailboxKey("Ma vue")},
	}
	return w
}

// machine gives the pages of administrators something to show: record systems with what
// waits for them, services that speak, an event that a service gave up on, tokens.
func (w *full) machine() {
	w.t.Helper()
	ctx := w.t.Context()
	if err := w.db.ConfigureDIs(ctx, []string{"dpi", "ris"}, []string{"essai"}); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.db.PauseDI(ctx, "ris", "root", "192.0.2.7"); err != nil {
		w.t.Fatal(err)
	}
	w.receive(mail{mailbox: radio, subject: "Pour le RIS", ago: 20 * time.Minute, docs: []doc{{facts: cda1("95", 1, "Radiographie", dominique), bytes: []byte("<r/>"), outcomes: []greffe.Outcome{{DI: "ris", State: greffe.StateWaiting, Code: "no answer", Text: "Le DI ne répond pas."}}}}})
	now := time.Now()
	w.say(
		bus.Standing{Service: "fetcher", Instance: cardio, Text: "Relevée ; 2 messages ne sont pas encore archivés.", Success: now, Warning: "Le mot de passe n’est valable que jusqu’au 13/12/2026.",
			Mailbox: &greffe.MailboxFigures{
				Folders:  []greffe.FolderFigures{{Name: "INBOX", Server: 40, Waiting: 2, Oldest: now.Add(-2 * time.Hour), Compared: now}, {Name: "INBOX/Dr Martin", Server: 3, Compared: now}},
				Expiries: []greffe.Expiry{{What: greffe.Password, At: now.Add(20 * 24 * time.Hour)}, {What: greffe.ServerCertificate, At: now.Add(400 * 24 * time.Hour)}},
			}},
		bus.Standing{Service: "fetcher", Instance: radio, Trouble: "Le serveur refuse l’identification : vérifier le mot de passe de la boîte.", Since: now.Add(-time.Hour), Waiting: "La boîte de radiologie n’est pas relevée ; ses messages y restent."},
		bus.Standing{Service: "parser", Instance: "srv-greffe", Success: now},
		bus.Standing{Service: "storage", Instance: "srv-greffe", Text: "Archive verrouillée jusqu’à la fin de la conservation.", Success: now},
	)
	// Two events of which a service says that it can never handle them.
	consume(w.world, bus.Archived, func(_ context.Context, a greffe.Archived) error {
		if a.ID == w.question.ID || a.ID == w.masked.ID {
			return errors.Join(bus.ErrPermanent, errors.New("index: SQLITE_IOERR_WRITE, le disque est plein"))
		}
		return nil
	})
	for {
		letters, err := w.bus.DeadLetters(ctx)
		if err != nil {
			w.t.Fatal(err) // also when the test is over
		}
		if len(letters) == 2 {
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	w.script("secretary", cardio)
	revoked := w.script("auditor", index.Everywhere)
	if err := w.db.RevokeToken(ctx, revoked.token.ID, "root", func(index.Token) []index.Entry { return nil }); err != nil {
		w.t.Fatal(err)
	}
}

// proofs gives the auditor a pack in each state that it can be in, one of a colleague to
// decide about, and a verification of each outcome.
func (w *full) proofs() {
	w.t.Helper()
	ctx := w.t.Context()
	w.pack("pret", "paul", w.picture.ID)
	for _, p := range []index.Pack{
		{ID: "defaut", State: index.PackQueued}, {ID: "attend", State: index.PackWaiting}, {ID: "file", State: index.PackQueued},
		{ID: "encours", State: index.PackBuilding, Done: 3, Problem: "L’archive répond lentement : le dossier se fera quand même."},
		{ID: "manque", State: index.PackFailed, Problem: "Un contenu n’est plus dans l’archive : prévenez l’administrateur."}, {ID: "refuse", State: index.PackRefused},
		{ID: "retire", State: index.PackCancelled}, {ID: "echu", State: index.PackExpired}, {ID: "collegue", State: index.PackWaiting, Requester: "jeanne"},
	} {
		p.Requester, p.Kind, p.Messages, p.Documents, p.Reason = cmp.Or(p.Requester, "paul"), "selection", 12, 14, "Expertise du 12 octobre"
		if err := w.db.AskPack(ctx, p, []index.PackItem{{Message: w.malware.ID}}); err != nil {
			w.t.Fatal(err)
		}
	}
	w.finishPack("defaut")
	if err := w.db.ChangePack(ctx, "defaut", func(p *index.Pack) ([]index.Entry, error) { p.Verdict = "KO"; return nil, nil }); err != nil {
		w.t.Fatal(err)
	}
	checks := `"checks":[{"id":"object.bytes","must":"Chaque contenu a la taille et l’empreinte enregistrées.","status":"%s","looked":2},{"id":"seal.token","must":"Chaque sceau a son jeton d’horodatage.","status":"warning","looked":3},{"id":"object.lock","must":"Chaque contenu est verrouillé.","skipped":"Cette archive n’a pas de verrou."}]`
	for i, c := range []struct {
		m      greffe.MessageID
		report string
	}{
		{w.question.ID, `{"ok":true,` + fmt.Sprintf(checks, "ok") + `,"warnings":[{"check":"seal.token","text":"Un sceau attend son jeton.","todo":"Rien : il est demandé de nouveau."}]}`},
		{w.masked.ID, `{"ok":false,` + fmt.Sprintf(checks, "broken") + `,"holes":[{"check":"object.bytes","text":"Un contenu n’est plus celui qui a été enregistré.","todo":"Restaurez-le depuis une sauvegarde.","key":"content/ab/cd"}]}`},
		{w.malware.ID, ""}, // still under way
	} {
		id, err := w.db.AskCheckup(ctx, index.Checkup{ID: fmt.Sprint("controle", i), Message: c.m, Requester: "paul"})
		if err == nil && c.report != "" {
			err = w.db.EndCheckup(ctx, id, "", c.report)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// addresses gives the addresses of a route: what stands for the part in braces. It has
// none when nobody said.
func (w *full) addresses(pattern string) []string {
	_, p, _ := strings.Cut(strings.ReplaceAll(pattern, "{$}", ""), " ")
	if !strings.Contains(p, "{") {
		return []string{p}
	}
	var out []string
	for part, values := range w.examples {
		before, after, found := strings.Cut(p, part)
		if !found {
			continue
		}
		for _, v := range values {
			id, query, _ := strings.Cut(v, "?")
			if query != "" {
				query = "?" + query
			}
			start := part[:strings.Index(part, "{")]
			out = append(out, before+start+id+after+query)
		}
	}
	return out
}

// isPage reports whether a route shows a page to a person.
func isPage(rt route) bool {
	return strings.HasPrefix(rt.pattern, "GET ") && !rt.quiet && rt.who&(everyone|anyone) != 0
}

// TestEveryPageHasAnExample: whoever adds a page says here what stands for the parts of
// its path, so that TestEveryPage looks at it.
func TestEveryPageHasAnExample(t *testing.T) {
	t.Parallel()
	w := newFull(t)
	for _, rt := range w.console.routes() {
		if isPage(rt) && len(w.addresses(rt.pattern)) == 0 {
			t.Errorf("%s: say in newFull, in examples, what stands for its part in braces, so that the page is looked at", rt.pattern)
		}
	}
}

// TestEveryPage looks at every page of the table of routes as every role that may see it,
// and at what only steps lead to: names of fields, headings, landmarks, contrast of each
// text, a focus that is seen (testdata/acces.js), axe-core where GREFFE_TEST_AXE names its
// script, no scrolling sideways on two panes (1093), at 200 % zoom (683) and on 320 pixels,
// and that the Tab key comes to everything and is trapped nowhere.
func TestEveryPage(t *testing.T) {
	w := newFull(t)
	eye := &critic{axe: axeCore(t), seen: map[string]bool{}}
	began := time.Now()
	outside := w.screen(t)
	for _, rt := range w.console.routes() {
		if isPage(rt) && rt.who&anyone != 0 {
			eye.look(outside, "sans-compte"+slug(rt), w.addresses(rt.pattern)[0])
		}
	}
	outside.open("/connexion")
	outside.do(chromedp.SendKeys("#login", "inconnue"), typeInto("#mot-de-passe", "faux"))
	outside.there("#erreur")
	eye.now(outside, "connexion-refusee")
	// The second factor is asked for after the password.
	w.as("radio").enrol("radio")
	outside.open("/connexion")
	outside.do(chromedp.SendKeys("#login", "radio\t"), typeInto("#mot-de-passe", password))
	outside.there("#code")
	eye.now(outside, "connexion-code")
	outside.do(typeInto("#code", "00000"))
	outside.there("#erreur")
	eye.now(outside, "connexion-code-refuse")
	outside.quietBut("401", "404")
	for _, who := range []struct{ login, role string }{{"claire", "secretaire"}, {"martin", "professionnel"}, {"paul", "auditeur"}, {"root", "administrateur"}} {
		s := w.screen(t)
		s.login(who.login)
		role := roles[map[string]string{"claire": "secretary", "martin": "professional", "paul": "auditor", "root": "admin"}[who.login]]
		for _, rt := range w.console.routes() {
			if !isPage(rt) || rt.who&(role|anyone) == 0 || strings.Contains(rt.pattern, "/oidc") { // without a provider the latter are one error, seen outside
				continue
			}
			for i, at := range w.addresses(rt.pattern) {
				eye.look(s, fmt.Sprintf("%s%s-%d", who.role, slug(rt), i), at)
			}
		}
		w.steps(eye, s, who.role)
		eye.look(s, who.role+"-introuvable", "/messages/00000000000000000000000000")
		s.click("#verrouiller button")
		s.there("form[action='/verrou/ouverture']")
		eye.now(s, who.role+"-verrou")
		s.quietBut("403", "404", "409", "422")
	}
	t.Logf("%d pages looked at in %s", eye.count, time.Since(began).Round(time.Second))
}

// slug names a route in the name of a picture.
func slug(rt route) string {
	return strings.NewReplacer("/", "-", "{", "", "}", "", "$", "").Replace(strings.TrimPrefix(rt.pattern, "GET "))
}

// frame looks at what the frame of a document shows as a page of its own. The browser runs
// no script there, the critic's neither: it is written into a page of ours.
func (w *full) frame(eye *critic, s *screen, name string, a greffe.Archived) {
	s.t.Helper()
	s.open("/aide")
	s.run(fmt.Sprintf(`fetch("/documents/%s/file").then((r) => r.text()).then((html) => { document.open(); document.write(html); document.close(); })`, a.Documents[0]))
	s.wait("the frame", `document.readyState === "complete" && !document.querySelector("main.help, .menu") && document.styleSheets.length === 1`)
	eye.frame(s, name)
}

// steps leads to the pages that no address has.
func (w *full) steps(eye *critic, s *screen, role string) {
	s.t.Helper()
	switch role {
	case "secretaire":
		for _, tab := range tabs {
			eye.look(s, "secretaire-onglet-"+tab.Slug, "/file?etat="+tab.Slug)
		}
		eye.look(s, "secretaire-filtre", "/file?etat=a-traiter&motif=identity&age=7")
		s.open("/file?etat=a-traiter")
		s.run(`document.querySelectorAll("#lignes input").forEach((b, i) => { b.checked = i < 3; })`)
		s.click("#groupe button")
		s.there(".decision")
		eye.now(s, "secretaire-groupe")
		s.open("/documents/" + string(w.compare.Documents[0]) + "/patient?etat=a-traiter")
		s.run(`document.querySelector("form.attach").noValidate = true; document.querySelector("form.attach").requestSubmit()`)
		s.there(".attach .error")
		eye.now(s, "secretaire-patient-erreur")
		// A colleague has it: her name is told, and a decision is not taken.
		if _, err := w.db.Take(s.t.Context(), index.Taking{Message: w.taken.ID, Login: "nadia", Name: "Nadia SECOND", Until: time.Now().Add(time.Hour)}, true); err != nil {
			s.t.Fatal(err)
		}
		eye.look(s, "secretaire-deja-ouvert", "/documents/"+string(w.taken.Documents[0])+"?etat=a-traiter")
		s.open("/documents/" + string(w.taken.Documents[0]))
		s.run(`[...document.querySelectorAll("#decision form[action$='/decision']")].find((f) => f.elements.decision.value === "retry").requestSubmit()`)
		s.heading("Nadia SECOND a ouvert ce message")
		eye.now(s, "secretaire-pris")
		for _, a := range []greffe.Archived{w.biology, w.plain, w.picture} {
			eye.look(s, "secretaire-document-"+string(a.ID), "/documents/"+string(a.Documents[0]))
		}
		w.frame(eye, s, "secretaire-cadre-cda", w.biology)
		w.frame(eye, s, "secretaire-cadre-texte", w.plain)
		w.frame(eye, s, "secretaire-cadre-suspect", w.malware)
		s.open("/compte/second-facteur")
		s.do(typeInto("#code", "123456"))
		s.there("#erreur")
		eye.now(s, "secretaire-facteur-erreur")
		s.open("/tableau")
		s.run(`document.querySelectorAll("details").forEach((d) => { d.open = true; })`)
		eye.now(s, "secretaire-tableau-chiffres")
		w.search(eye, s, role)
	case "professionnel":
		w.search(eye, s, role)
	case "auditeur":
		eye.look(s, "auditeur-accord", "/messages/"+string(w.unread.ID))
		s.open("/messages/" + string(w.picture.ID))
		s.click("form[action='/preuves/choix'] button")
		s.heading("Demander un dossier de preuve")
		eye.now(s, "auditeur-demande")
		s.run(`document.querySelector("form[action='/preuves']").noValidate = true; document.querySelector("form[action='/preuves']").requestSubmit()`)
		s.there("#erreur")
		eye.now(s, "auditeur-demande-erreur")
		eye.look(s, "auditeur-preuve-suspecte", "/documents/"+string(w.malware.Documents[0])+"/telechargement")
		s.open("/journal")
		s.do(typeInto("#qui", "claire"))
		s.there(".clear")
		eye.now(s, "auditeur-journal-filtre")
		s.open("/journal/patient")
		s.do(typeInto("#ins", maelle.INS.Extension))
		s.there(".results-title")
		eye.now(s, "auditeur-qui-a-lu")
		w.search(eye, s, role)
	case "administrateur":
		s.open("/systeme/comptes/nouveau")
		s.run(`document.querySelector("main form").noValidate = true; document.querySelector("main form").requestSubmit()`)
		s.there("[aria-invalid]")
		eye.now(s, "administrateur-compte-erreur")
		s.open("/systeme/comptes/nouveau")
		s.do(typeInto("#identifiant", "lucie"))
		s.there("code.secret")
		eye.now(s, "administrateur-compte-mot-de-passe")
		s.open("/systeme/jetons")
		s.run(`document.querySelector("form.stack").noValidate = true; document.querySelector("form.stack").requestSubmit()`)
		s.there("[aria-invalid]")
		eye.now(s, "administrateur-jeton-erreur")
		s.open("/systeme/jetons")
		s.run(`document.querySelector("form.stack input[type=checkbox]").checked = true`)
		s.do(typeInto("#nom", "Relève de la file"))
		s.there("code.secret")
		eye.now(s, "administrateur-jeton-secret")
	}
}

// search looks at what a search finds, and at what it says of a wrong one.
func (w *full) search(eye *critic, s *screen, role string) {
	s.t.Helper()
	s.open("/recherche")
	s.do(typeInto("#nom", "essai kerv"))
	s.there(".results-title")
	eye.now(s, role+"-recherche-trouvee")
	s.open("/recherche")
	s.do(typeInto("#ins", "123"))
	s.there("[aria-invalid]")
	eye.now(s, role+"-recherche-erreur")
}
