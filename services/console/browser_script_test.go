package console

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// scripted is text that is a script wherever it is put without care: in a page, an
// attribute, an address, a script, a style.
const scripted = `"'></title></script></textarea></style><script>alert(1);window.hit=1</script><img src=x onerror="alert(2);window.hit=1"><svg onload=alert(3)><a href="javascript:alert(4)">x</a>` +
	`<iframe srcdoc="<script>parent.hit=1</script>"></iframe><link rel=stylesheet href=//ailleurs.example/x.css><form action=//ailleurs.example><base href=//ailleurs.example/>{{.}}${alert(5)}\u003cscript\u003e`

// scriptedMail is a message of which every field that comes from outside carries it.
func scriptedMail() mail {
	p := maelle
	p.BirthFamily, p.UsedFamily, p.FirstGiven, p.Givens, p.UsedGiven, p.BirthPlace = scripted, scripted, scripted, scripted, scripted, scripted
	p.Home = greffe.PostalAddress{Street: scripted, City: scripted, Country: scripted}
	who := greffe.Person{ID: greffe.OID{Root: "1.2", Extension: scripted}, Family: scripted, Given: scripted, Prefix: scripted, Specialty: greffe.Code{Code: "x", Label: scripted}, Device: scripted, Organization: greffe.Org{Name: scripted}}
	code := greffe.Code{Code: scripted, System: scripted, Label: scripted}
	finding := greffe.Finding{Rule: scripted, Severity: greffe.Warning, Text: scripted, Where: scripted}
	facts := func(n string, format greffe.Format, media string) greffe.Document {
		d := cda1(n, 1, scripted, p)
		d.Format, d.MediaType = format, media
		d.Type, d.Class, d.Event, d.Facility, d.Practice, d.EncounterType = code, code, code, code, code, code
		d.Authors, d.Signer, d.Recipients, d.Custodian, d.Language, d.Created = []greffe.Person{who}, who, []greffe.Person{who}, who.Organization, scripted, scripted
		d.Confidentiality, d.Findings, d.Announced = append(d.Confidentiality, greffe.Code{Code: scripted}), []greffe.Finding{finding}, p
		return d
	}
	other := p
	other.BirthDate = "19000101"
	refused := greffe.Outcome{DI: "dpi", Action: scripted, Control: scripted, State: greffe.StateRefused, Code: "AE 902 " + scripted, Text: scripted, Reference: scripted, Candidates: []greffe.Candidate{{Patient: other, Status: scripted}}}
	narrative := strings.Replace(string(sampleCDA("Compte rendu")), "<text>", `<text><script>alert(6)</script><paragraph onclick="alert(7)">`+strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace(scripted)+
		`<linkHtml href="javascript:alert(8)">x</linkHtml><renderMultiMedia referencedObject="javascript:alert(9)"/></paragraph>`, 1)
	return mail{subject: scripted, from: greffe.Address{Name: scripted, Address: `"<script>alert(1)</script>"@cabinet.example`}, body: scripted, findings: []greffe.Finding{finding}, docs: []doc{
		{facts: facts("1", greffe.FormatCDA3, "text/xml"), bytes: []byte(narrative), name: scripted + ".xml", outcomes: []greffe.Outcome{refused}},
		{facts: facts("2", greffe.FormatCDA1, "text/xml"), bytes: []byte("<d2/>"), body: []byte(`<html><script>alert(10)</script>` + scripted), name: "../../" + scripted, outcomes: []greffe.Outcome{refused}},
		{facts: facts("3", greffe.FormatText, "text/plain"), bytes: []byte(scripted + " texte"), name: scripted + ".txt", outcomes: []greffe.Outcome{refused}},
		{facts: facts("4", greffe.FormatHPRIM, "text/html"), bytes: []byte("<html>" + scripted), name: scripted + ".html", outcomes: []greffe.Outcome{refused}},
		{facts: facts("5", greffe.FormatImage, "image/svg+xml"), bytes: []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(11)</script></svg>`), name: scripted + ".svg", outcomes: []greffe.Outcome{refused}},
		{facts: facts("6", greffe.FormatUnknown, "text/html"), bytes: []byte("<html><body onload=alert(12)>"), name: scripted, outcomes: []greffe.Outcome{refused}},
	}}
}

// TestScriptsOfOthersDoNotRun opens every page of every role, and every file of the
// message, with a message whose every field carries script, in a real browser: no dialog
// opens, no script of another runs, no policy has to stop one on our pages, and nothing is
// asked of anybody but us.
func TestScriptsOfOthersDoNotRun(t *testing.T) {
	path := os.Getenv("GREFFE_TEST_CHROMIUM")
	if path == "" {
		t.Skip("GREFFE_TEST_CHROMIUM is not set")
	}
	w := newWorldWith(t, func(c *Config) {
		c.About = map[string]About{cardio: {Service: scripted, Responsible: scripted, Folders: []string{"INBOX", "INBOX/" + scripted}}}
	})
	m := scriptedMail()
	a := w.receive(m)
	m.folder = "INBOX/" + scripted
	w.receive(m)
	asked := greffe.Answer{Key: "k", Message: a.ID, Kind: "ask", State: greffe.AnswerAsked, Recipient: scripted + "@cabinet.example", Reason: scripted}
	if _, err := w.db.ClaimAnswer(t.Context(), asked); err != nil {
		t.Fatal(err)
	}
	if err := w.db.SaveUser(t.Context(), index.User{Login: "<script>alert(1)</script>", Name: scripted, Role: "secretary", Places: []string{cardio, scripted + "@x.example"}, Hash: hashed()}); err != nil {
		t.Fatal(err)
	}
	w.script("secretary", cardio, scripted+"@x.example")
	w.exec(`UPDATE tokens SET name = '` + strings.ReplaceAll(scripted, "'", "''") + `'`)
	if err := w.db.Append(t.Context(), index.Entry{Actor: "<script>alert(1)</script>", Action: "<img src=x onerror=alert(1)>", Subject: scripted[:200], From: "<svg onload=alert(1)>", Result: "<script>alert(1)</script>", Detail: scripted[:200]}); err != nil {
		t.Fatal(err)
	}

	s := w.screen(t)
	var mu sync.Mutex
	var bad []string
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		bad = append(bad, fmt.Sprintf(format, args...))
	}
	dialogs, requests := chromedp.Events(s.ctx, cdppage.JavascriptDialogOpening), chromedp.Events(s.ctx, network.RequestWillBeSent)
	go func() {
		for e, err := range dialogs {
			if err != nil {
				return
			}
			note("a dialog opened at %s: %s", e.URL, e.Message)
		}
	}()
	go func() {
		for e, err := range requests {
			if err != nil {
				return
			}
			u, err := url.Parse(e.Request.URL)
			if err != nil || u.Scheme == "http" && !strings.HasPrefix(e.Request.URL, w.server.URL+"/") || u.Scheme == "https" || u.Scheme == "javascript" || u.Path == "/x" || strings.HasSuffix(u.Path, "/x") {
				note("asked for %s", e.Request.URL)
			}
		}
	}()
	visited := 0
	look := func(p string) {
		t.Helper()
		visited++
		s.do(chromedp.Navigate(w.server.URL+p), chromedp.WaitReady("body"))
		if got := s.eval(`String(window.hit) + " " + document.querySelectorAll("script:not([src]):not([type='application/json']),[onerror],[onload],[onclick],[srcdoc],base,a[href^='javascript:'],form[action*='ailleurs'],link[href*='ailleurs']").length`); got != "undefined 0" {
			t.Errorf("%s: %s", p, got)
		}
		if got := s.complaints(); len(got) > 0 {
			t.Errorf("%s: the browser complains:\n%s", p, strings.Join(got, "\n"))
		}
	}
	message := "/messages/" + string(a.ID)
	var files []string
	s.login("claire")
	pages := []string{"/file", "/file?etat=a-traiter", message, message + "?etat=a-traiter", "/recherche", "/tableau", "/aide", "/raccourcis", "/compte", "/file?etat=" + url.QueryEscape(scripted[:100]), "/recherche?q=" + url.QueryEscape(scripted[:100])}
	for _, id := range a.Documents {
		d := "/documents/" + string(id)
		pages = append(pages, d)
		files = append(files, d+"/file")
	}
	pages = append(pages, "/documents/"+string(a.Documents[0])+"/patient", "/documents/"+string(a.Documents[1])+"/patient?etat=a-traiter")
	for _, p := range pages {
		look(p)
	}
	// Reflected: what was typed is shown again.
	look("/recherche")
	s.do(chromedp.SetValue("#nom", scripted[:190]), chromedp.Submit("#nom"), chromedp.WaitReady("body"))
	look("/connexion?vers=" + url.QueryEscape("/"+scripted[:100]))
	// The files themselves, each as the page that the browser makes of it.
	for _, p := range files {
		s.do(chromedp.Navigate(w.server.URL+p), chromedp.WaitReady("body"))
		visited++
		if got := s.eval(`String(window.hit)`); got != "undefined" {
			t.Errorf("%s: a script ran", p)
		}
	}
	s.complaints() // a sandbox says here what it stopped
	for role, pages := range map[string][]string{"paul": {"/journal", message, "/journal/patient", "/documents/" + string(a.Documents[0])}, "root": {"/systeme", "/systeme/di", "/systeme/boites", "/systeme/comptes", "/systeme/comptes/" + accountKey("<script>alert(1)</script>"), "/systeme/jetons", "/tableau"}} {
		s.do(chromedp.Navigate(w.server.URL+"/aide"), chromedp.Click("form[action='/deconnexion'] button"), chromedp.WaitVisible("#login"))
		s.login(role)
		for _, p := range pages {
			look(p)
		}
		if role == "root" {
			s.do(chromedp.Navigate(w.server.URL+"/systeme/jetons"), chromedp.WaitVisible("h1"))
			s.shot("jetons-hostiles")
		}
	}
	<-time.After(200 * time.Millisecond) // what a page does by itself after it was read
	mu.Lock()
	defer mu.Unlock()
	for _, b := range bad {
		t.Error(b)
	}
	t.Logf("%d pages and files", visited)
}
