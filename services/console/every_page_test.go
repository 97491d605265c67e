package console

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	_ "embed"

	"github.com/chromedp/chromedp"

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
	for v, m := range map[*visitor]greffe.Archived{paul: w.malware, jeanne: w.question} {
		v.post("/messages/"+string(m.ID)+"/accord", url.Values{"motif": {"Réclamation du 20 novembre"}})
	}
	for _, form := range find(jeanne.page("/accords"), "form") {
		if a := attr(form, "action"); strings.HasSuffix(a, "/accorder") {
			jeanne.post(a, nil)
		}
	}
	w.examples = map[string][]string{
		"/documents/{id}":            {string(w.compare.Documents[0]) + "?etat=a-traiter", string(w.masked.Documents[0]), string(w.malware.Documents[0])},
		"/messages/{id}":             {string(w.question.ID) + "?etat=a-traiter", string(w.masked.ID), string(w.malware.ID)},
		"/comptes/{compte}":          {accountKey("ott")},
		"/completude/{jour}/{boite}": {yesterday.Format(time.DateOnly) + "/" + greffe.MailboxKey(radio), yesterday.AddDate(0, 0, -3).Format(time.DateOnly) + "/" + greffe.MailboxKey(radio), yesterday.Format(time.DateOnly) + "/" + greffe.MailboxKey(cardio)},
		"/vues/{key}":                {greffe.MailboxKey("Ma vue")},
	}
	return w
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
	eye.look(outside, "connexion", "/connexion")
	outside.do(chromedp.SendKeys("#login", "inconnue"), typeInto("#mot-de-passe", "faux"))
	outside.there("#erreur")
	eye.now(outside, "connexion-refusee")
	outside.quietBut("401")
	for _, who := range []struct{ login, role string }{{"claire", "secretaire"}, {"martin", "professionnel"}, {"paul", "auditeur"}, {"root", "administrateur"}} {
		s := w.screen(t)
		s.login(who.login)
		role := roles[map[string]string{"claire": "secretary", "martin": "professional", "paul": "auditor", "root": "admin"}[who.login]]
		for _, rt := range w.console.routes() {
			if !isPage(rt) || rt.who&role == 0 {
				continue
			}
			for i, at := range w.addresses(rt.pattern) {
				eye.look(s, fmt.Sprintf("%s%s-%d", who.role, strings.NewReplacer("/", "-", "{", "", "}", "", "$", "").Replace(strings.TrimPrefix(rt.pattern, "GET ")), i), at)
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
		eye.look(s, "secretaire-deja-ouvert", "/documents/"+string(w.taken.Documents[0])+"?etat=a-traiter")
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
