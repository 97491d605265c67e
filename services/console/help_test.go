package console

import (
	"bytes"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cdp "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"golang.org/x/net/html"

	"greffe/pkg/greffe"
)

// update takes the pictures of the help again:
//
//	GREFFE_TEST_CHROMIUM=/usr/bin/chromium go test ./services/console -run TestHelpPictures -update
//
// Do it when a page of the help looks otherwise than its picture, and look at them.
var renew = flag.Bool("update", false, "take the pictures of the help again")

// helpLogins are persons of newFull, by the name of their help.
var helpLogins = map[string]string{"secretaire": "claire", "professionnel": "martin", "auditeur": "paul", "administrateur": "root"}

// TestHelpExplainsEveryPage: the link « Aide » of each page leads to a section that is in
// the help of the role that looks at it.
func TestHelpExplainsEveryPage(t *testing.T) {
	t.Parallel()
	w := newFull(t)
	for _, h := range helpRoles {
		v := w.as(helpLogins[h.Slug])
		help := v.page("/aide/" + h.Slug)
		for _, rt := range w.console.routes() {
			if !isPage(rt) || rt.who&h.Who == 0 || strings.HasPrefix(rt.pattern, "GET /aide") {
				continue
			}
			for _, at := range w.addresses(rt.pattern) {
				got := v.get(at)
				if got.StatusCode >= http.StatusMultipleChoices && got.StatusCode < http.StatusBadRequest {
					continue // leads to another page
				}
				link := helpLink(parse(t, got.body))
				section, ok := strings.CutPrefix(link, "/aide/"+h.Slug+"#")
				if !ok || len(find(help, "#"+section)) != 1 {
					t.Errorf("%s as %s: « Aide » leads to %q. Explain the page in templates/aide-%s.html and name the section in helpAt", rt.pattern, h.Slug, link, h.Slug)
				}
			}
		}
		for _, n := range find(help, ".toc a") {
			if to, ok := strings.CutPrefix(attr(n, "href"), "#"); ok && len(find(help, "#"+to)) != 1 {
				t.Errorf("the help of %s has no section %q", h.Slug, to)
			}
		}
	}
}

// helpLink is where « Aide » of the menu leads to.
func helpLink(page *html.Node) string {
	for _, n := range find(page, ".menu a") {
		if text(n) == "Aide" {
			return attr(n, "href")
		}
	}
	return ""
}

// TestHelpExplainsEveryWord: tabs, states, causes and decisions are explained to those who
// meet them, and the words are those of the pages.
func TestHelpExplainsEveryWord(t *testing.T) {
	t.Parallel()
	w := newFull(t)
	texts := map[string]string{}
	for _, h := range helpRoles {
		texts[h.Slug] = content(w.as(helpLogins[h.Slug]).page("/aide/" + h.Slug))
	}
	want := func(word, why string, in ...string) {
		t.Helper()
		for _, slug := range in {
			if word == "" || !strings.Contains(texts[slug], word) {
				t.Errorf("the help of %s does not explain %s %q", slug, why, word)
			}
		}
	}
	reads := []string{"secretaire", "professionnel", "auditeur"}
	for _, tab := range tabs {
		want(tabsExplained[tab.Slug], "the tab", reads...)
		want(tab.Name, "the tab", reads...)
	}
	for _, s := range statesShown {
		want(s.Help, "the state", append(reads, "administrateur")...)
	}
	for cause, name := range causeWords {
		want(name, "the cause", reads...)
		if !slices.ContainsFunc(causesExplained, func(x struct {
			Cause greffe.Cause
			Help  string
		}) bool {
			return x.Cause == cause && x.Help != ""
		}) {
			t.Errorf("the cause %q has no explanation", cause)
		}
	}
	explained := map[greffe.Verb]bool{}
	for _, d := range decisionsExplained {
		explained[d.Verb] = true
		want(d.Name, "the decision", "secretaire", "auditeur")
		want(d.Undo, "whether it can be undone", "secretaire")
	}
	for verb := range verbWords {
		if !explained[verb] {
			t.Errorf("the decision %q has no explanation", verb)
		}
	}
	for _, k := range commands {
		want(k.Name, "the key", append(reads, "administrateur")...)
	}
	// What a page says cannot be undone, the help says too.
	page := content(w.as("claire").page("/documents/" + string(w.compare.Documents[0]) + "?etat=a-traiter"))
	for _, d := range decisionsExplained {
		if strings.HasSuffix(d.Name, "…") && strings.Contains(page, d.Name) {
			_, after, _ := strings.Cut(page, d.Name)
			form, _, _ := strings.Cut(after, "…")
			if never := strings.Contains(form, "Ne s’annule pas") || strings.Contains(form, "ne pourrez pas l’annuler"); never && !strings.Contains(d.Undo, "Ne s’annule pas") {
				t.Errorf("%s: the page says that it cannot be undone, the help %q", d.Name, d.Undo)
			}
		}
	}
}

// TestHelpHasItsPictures: each picture that a page of the help names is there, small, and
// said in words.
func TestHelpHasItsPictures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.as("claire")
	for _, h := range helpRoles {
		for _, img := range find(v.page("/aide/"+h.Slug), "img") {
			got := v.get(attr(img, "src"))
			if got.StatusCode != http.StatusOK || len(got.body) > 60<<10 || got.Header.Get("Content-Type") != "image/webp" {
				t.Errorf("%s: status %d, %d bytes, %s", attr(img, "src"), got.StatusCode, len(got.body), got.Header.Get("Content-Type"))
			}
			if len(attr(img, "alt")) < 40 {
				t.Errorf("%s has the alternative %q", attr(img, "src"), attr(img, "alt"))
			}
		}
	}
}

// TestHelpPictures takes the pictures of the help from a console with invented patients;
// without -update it only sees that the pages that they show can still be reached.
func TestHelpPictures(t *testing.T) {
	w, at := newFull(t), map[string]*screen{}
	for _, p := range []struct{ login, name, path, ready string }{
		{"claire", "secretaire-file", "/file?etat=a-traiter", "#lignes tr"},
		{"claire", "secretaire-document", "/documents/" + string(w.compare.Documents[0]) + "?etat=a-traiter", ".viewer"},
		{"claire", "secretaire-patient", "/documents/" + string(w.compare.Documents[0]) + "/patient?etat=a-traiter", ".traits"},
		{"claire", "secretaire-groupe", "/file?etat=a-traiter", "#lignes tr"},
		{"martin", "professionnel-file", "/file", "h1"},
		{"paul", "auditeur-recherche", "/recherche", "#nom"},
		{"paul", "auditeur-journal", "/journal", ".log"},
		{"root", "administrateur-systeme", "/systeme", ".checks"},
		{"root", "administrateur-boites", "/systeme/boites", "section"},
	} {
		if !*renew {
			if got := w.as(p.login).get(p.path); got.StatusCode != http.StatusOK {
				t.Errorf("%s: status %d", p.name, got.StatusCode)
			}
			continue
		}
		s := at[p.login]
		if s == nil {
			s = w.screen(t)
			s.login(p.login)
			at[p.login] = s
		}
		s.open(p.path)
		s.there(p.ready)
		switch p.name {
		case "secretaire-groupe":
			s.run(`document.querySelectorAll("#lignes input").forEach((b, i) => { b.checked = i < 3; })`)
			s.click("#groupe button")
			s.there(".decision")
		case "auditeur-recherche":
			s.do(typeInto("#nom", "essai kerv"))
			s.there(".results-title")
		case "secretaire-document", "secretaire-patient":
			s.waitPDF()
		}
		s.do(chromedp.Sleep(2 * time.Second)) // painted, for the picture
		quality := int64(18)
		// As large as the help shows it: the whole page of the help stays light (TestPageWeight).
		clip := &cdp.Viewport{Width: 1366, Height: 768, Scale: .6}
		r, err := chromedp.Call(s.ctx, cdp.CaptureScreenshot, cdp.CaptureScreenshotParams{Format: cdp.CaptureScreenshotFormatWebp, Quality: &quality, Clip: clip})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(r.Data, []byte("RIFF")) {
			t.Fatal("not a picture")
		}
		if err := os.WriteFile(filepath.Join("static", "aide-"+p.name+".webp"), r.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAccessibilityDeclaration: the page is open to everybody, says what the RGAA lets it
// say, and each page leads to it.
func TestAccessibilityDeclaration(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(c *Config) { c.Contact = "accessibilite@ch-exemple.example" })
	page := w.visitor().page("/accessibilite")
	for _, want := range []string{"non conforme", "Aucun audit par un tiers n’a été mené", "accessibilite@ch-exemple.example", "Défenseur des droits", "axe-core"} {
		if !strings.Contains(content(page), want) {
			t.Errorf("the declaration does not say %q", want)
		}
	}
	for who, path := range map[string]string{"": "/connexion", "claire": "/file", "root": "/systeme"} {
		v := w.visitor()
		if who != "" {
			v = w.as(who)
		}
		if foot := find(v.page(path), "footer a"); len(foot) != 1 || attr(foot[0], "href") != "/accessibilite" || text(foot[0]) != "Accessibilité : non conforme" {
			t.Errorf("%s does not lead to the declaration", path)
		}
	}
	audited := newWorldWith(t, func(c *Config) {
		c.Audit = Audit{By: "Cabinet d’essai", Date: time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC), Rate: .785}
	})
	if said := content(audited.visitor().page("/accessibilite")); !strings.Contains(said, "partiellement conforme") || !strings.Contains(said, "Cabinet d’essai le 02/11/2026 constate que 78,5 % des critères") || strings.Contains(said, "Aucun audit") {
		t.Errorf("with an audit: %s", said)
	}
	if (Audit{By: "x", Rate: 1}).conformity() != "totalement conforme" || (Audit{By: "x", Rate: .49}).conformity() != "non conforme" || (Audit{Rate: 1}).conformity() != "non conforme" {
		t.Error("the words of the RGAA")
	}
}
