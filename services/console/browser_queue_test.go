package console

import (
	"context"
	_ "embed"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"golang.org/x/net/html"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// screen is a browser at the queue.
type screen struct {
	t          *testing.T
	w          *world
	ctx        context.Context
	complaints func() []string
}

func (w *world) screen(t *testing.T) *screen {
	t.Helper()
	path := os.Getenv("GREFFE_TEST_CHROMIUM")
	if path == "" {
		t.Skip("GREFFE_TEST_CHROMIUM is not set")
	}
	ctx := browser(t, path)
	s := &screen{t: t, w: w, complaints: watchConsole(t, ctx)}
	ctx, end := context.WithTimeout(ctx, 4*time.Minute)
	t.Cleanup(end)
	s.ctx = ctx
	return s
}

func (s *screen) do(steps ...chromedp.Action[chromedp.Void]) {
	s.t.Helper()
	if err := chromedp.Do(s.ctx, steps...); err != nil {
		s.shot("echec")
		s.t.Fatalf("%v\nat %s\nconsole: %v", err, s.eval(`location.href + " " + document.activeElement.outerHTML.slice(0, 200)`), s.complaints())
	}
}

func (s *screen) eval(js string) string {
	s.t.Helper()
	v, err := chromedp.Run(s.ctx, chromedp.Evaluate[string](js))
	if err != nil {
		s.t.Errorf("%s: %v", js, err)
	}
	return v
}

// wait waits until an expression is true in the page.
func (s *screen) wait(what, js string) {
	s.t.Helper()
	late := time.Now().Add(time.Minute)
	for s.ctx.Err() == nil && time.Now().Before(late) {
		v, err := chromedp.Run(s.ctx, chromedp.Evaluate[bool]("Boolean("+js+")"))
		if err == nil && v {
			return
		}
		select {
		case <-s.ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	s.shot("echec")
	s.t.Fatalf("waited for: %s\nat %s\nconsole: %v", what, s.eval(`location.href + " " + document.activeElement.outerHTML.slice(0, 200)`), s.complaints())
}

func (s *screen) shot(name string) {
	dir := os.Getenv("GREFFE_TEST_SCREENSHOTS")
	if dir == "" {
		return
	}
	if err := chromedp.Do(s.ctx, chromedp.Sleep(700*time.Millisecond)); err != nil { // only for the picture
		return
	}
	png, err := chromedp.Run(s.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600)
	}
	if err != nil {
		s.t.Error(err)
	}
}

func (s *screen) login(who string) {
	s.t.Helper()
	s.do(chromedp.EmulateViewport(1366, 768), chromedp.Navigate(s.w.server.URL+"/connexion"), chromedp.WaitVisible("#login"),
		chromedp.SendKeys("#login", who+"\t"), chromedp.SendKeys("#mot-de-passe", password+"\r"), chromedp.WaitVisible(".menu"))
}

func (s *screen) quiet() {
	s.t.Helper()
	if got := s.complaints(); len(got) > 0 {
		s.t.Errorf("the browser complains:\n%s", strings.Join(got, "\n"))
	}
}

// TestSecretaryByKeyboard tells the story of a secretary who never touches the mouse:
// she logs in, goes to what is to be done, opens, decides, and is at the next item; the
// page is never loaded anew, the list stays, the focus is never lost.
func TestSecretaryByKeyboard(t *testing.T) {
	w := newWorld(t)
	got := consume(w, bus.Decided, func(ctx context.Context, d greffe.Decided) error { _, err := w.db.SaveDecision(ctx, d); return err })
	for i, name := range []string{"Troisième", "Deuxième", "Première"} {
		w.receive(mail{subject: name, ago: time.Duration(3-i) * time.Minute, docs: []doc{{facts: cda1(name, 1, name, maelle), bytes: []byte("<a>" + name + "</a>"), body: reportPDF(name), outcomes: []greffe.Outcome{unknownPatient}}}})
	}
	s := w.screen(t)
	s.login("claire")
	s.do(chromedp.Navigate(w.server.URL+"/file?etat=a-traiter"), chromedp.WaitVisible("#lignes tr"))
	s.do(chromedp.KeyEvent("?"), chromedp.WaitVisible("#touches"))
	s.shot("raccourcis-bulle")
	s.do(chromedp.KeyEvent(kb.Escape))
	s.wait("the keys to be hidden", `!document.getElementById("touches").open`)
	s.do(chromedp.KeyEvent("j"))
	s.wait("the focus on the first line", `document.activeElement.closest("#lignes")`)
	s.do(chromedp.KeyEvent("\r"), chromedp.WaitVisible(".beside"))
	s.do(chromedp.Evaluate[chromedp.Void](`window.same = true`))
	s.shot("trois-volets")
	if h := s.eval(`document.querySelector("#piece h1").textContent`); h != "Première" {
		t.Errorf("opened %q", h)
	}
	// To the decision, and through its first button: the DI is asked again.
	s.do(chromedp.KeyEvent("d"))
	s.wait("the focus in the decision", `document.activeElement.closest("#decision")`)
	if outline := s.eval(`getComputedStyle(document.activeElement).outlineStyle`); outline == "none" {
		t.Error("the focus is not seen")
	}
	s.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("#decision form[action$='/decision'] button").focus()`), chromedp.KeyEvent("\r"))
	if d := <-got; d.Verb != greffe.VerbRetry || d.By != "claire" {
		t.Errorf("%+v", d)
	}
	s.wait("the next item", `document.querySelector("#piece h1")?.textContent === "Deuxième"`)
	if s.eval(`String(window.same)`) != "true" {
		t.Error("the page was loaded anew")
	}
	s.wait("the focus on its heading", `document.activeElement.closest("#piece h1")`)
	if said := s.eval(`document.querySelector("main > .flash").textContent`); !strings.Contains(said, "Renvoi au DI demandé") {
		t.Errorf("the page says %q", said)
	}
	s.do(chromedp.KeyEvent("n"))
	s.wait("the item after it", `document.querySelector("#piece h1")?.textContent === "Troisième"`)
	if at := s.eval(`document.querySelector("#lignes [aria-current]").textContent`); !strings.Contains(at, "Troisième") {
		t.Errorf("the list marks %q", at)
	}
	// Back, by the browser, and to the list.
	s.do(chromedp.Evaluate[chromedp.Void](`history.back()`))
	s.wait("the item before", `document.querySelector("#piece h1")?.textContent === "Deuxième"`)
	s.do(chromedp.KeyEvent("u"), chromedp.WaitVisible("table.rows"))
	s.quiet()
}

// TestTwoScreens: who opens an item to decide is named on the list of the other at once,
// without a reload; leaving takes the name away.
func TestTwoScreens(t *testing.T) {
	w := newWorld(t)
	w.second()
	a := w.receive(mail{subject: "x", docs: []doc{{facts: cda1("1", 1, "Refusé", maelle), bytes: []byte("<a/>"), body: reportPDF("a"), outcomes: []greffe.Outcome{unknownPatient}}}})
	one, two := w.screen(t), w.screen(t)
	one.login("claire")
	two.login("nadia")
	two.do(chromedp.Navigate(w.server.URL+"/file?etat=a-traiter"), chromedp.WaitVisible("#lignes tr"))
	one.do(chromedp.Navigate(w.server.URL+"/documents/"+string(a.Documents[0])+"?etat=a-traiter"), chromedp.WaitVisible(".mine"))
	two.wait("the name of the other", `document.querySelector("#lignes .taken")?.textContent.includes("Claire LEMAIRE")`)
	two.shot("deux-personnes")
	two.do(chromedp.Navigate(w.server.URL+"/documents/"+string(a.Documents[0])+"?etat=a-traiter"), chromedp.WaitVisible(".taken-by"))
	two.shot("deja-ouvert")
	two.do(chromedp.Navigate(w.server.URL+"/file?etat=a-traiter"), chromedp.WaitVisible("#lignes tr"))
	one.do(chromedp.Navigate(w.server.URL + "/aide"))
	two.wait("the name to go", `!document.querySelector("#lignes .taken")`)
	one.quiet()
	two.quiet()
}

//go:embed testdata/acces.js
var accessChecks string

// TestQueuePagesAreAccessible holds every page of the queue to what can be computed: names of
// fields, order of headings, focus order, contrast of each text; and to axe-core where
// GREFFE_TEST_AXE names its script. Nothing scrolls sideways at 1093 px, at 200 % zoom
// and at 320 px.
func TestQueuePagesAreAccessible(t *testing.T) {
	w := newWorld(t)
	w.second()
	w.console.cfg.About = map[string]About{cardio: {Service: "3435 Cardiologie", Folders: []string{"INBOX", "INBOX/Dr Martin"}}, radio: {Service: "3436 Radiologie"}}
	f := cda1("1", 1, "Compte rendu de consultation", maelle)
	other := maelle
	other.BirthFamily, other.BirthPlace = "ESSAI-AUTRE", "29998"
	f.Announced = maelle
	a := w.receive(mail{subject: "À comparer", docs: []doc{{facts: f, bytes: []byte("<a/>"), body: reportPDF("a"), outcomes: []greffe.Outcome{{State: greffe.StateTodo, Code: "trait-differs", Text: "L’identité diffère.",
		Candidates: []greffe.Candidate{{Patient: other, Status: "QUAL"}}}}}}})
	b := w.receive(mail{subject: "Question", kind: greffe.KindText, body: "Bonjour"})
	for _, m := range sampleMail() {
		w.receive(m)
	}
	s := w.screen(t)
	s.login("claire")
	axe := ""
	if path := os.Getenv("GREFFE_TEST_AXE"); path != "" {
		script, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		axe = string(script)
	}
	doc := "/documents/" + string(a.Documents[0])
	for name, p := range map[string]string{
		"file": "/file", "a-traiter": "/file?etat=a-traiter&motif=identity&age=7", "vide": "/file?etat=incident", "document": doc + "?etat=a-traiter", "seul": doc,
		"patient": doc + "/patient?etat=a-traiter", "message": "/messages/" + string(b.ID) + "?etat=a-traiter", "raccourcis": "/raccourcis", "aide": "/aide", "recherche": "/recherche",
	} {
		s.do(chromedp.EmulateViewport(1366, 768), chromedp.Navigate(w.server.URL+p), chromedp.WaitVisible("#contenu"))
		s.shot("acces-" + name)
		if found := s.eval(accessChecks); found != "" {
			t.Errorf("%s:\n%s", name, found)
		}
		if axe != "" {
			s.do(chromedp.Evaluate[chromedp.Void](axe + "; undefined"))
			s.do(chromedp.Evaluate[chromedp.Void](`window.found = null; axe.run(document, {iframes: false}).then((r) => { window.found = r.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.target).join(", ")).join("\n"); }); undefined`))
			s.wait("axe", `window.found !== null`)
			if found := s.eval(`window.found`); found != "" {
				t.Errorf("%s, axe: %s", name, found)
			}
		}
		for _, width := range []int64{1093, 683, 320} {
			s.do(chromedp.EmulateViewport(width, 640))
			if over := s.eval(`String(document.documentElement.scrollWidth - document.documentElement.clientWidth)`); over != "0" {
				t.Errorf("%s at %d: %s pixels too wide", name, width, over)
			}
			if width != 683 {
				s.shot("acces-" + name + map[int64]string{1093: "-1093", 320: "-320"}[width])
			}
		}
	}
	s.quiet()
}

// TestPageWeight: what a page of the queue needs, without the document, is at most 150 KB.
func TestPageWeight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := ""
	for n := range rowsPerPage {
		a := w.receive(mail{subject: "Compte rendu de consultation de cardiologie", docs: []doc{{facts: cda1(string(rune('a'+n)), 1, "Compte rendu de consultation", maelle), bytes: []byte("<a>" + string(rune('a'+n)) + "</a>"), body: reportPDF("a"), outcomes: []greffe.Outcome{unknownPatient}}}})
		id = string(a.Documents[0])
	}
	v := w.as("claire")
	for _, p := range []string{"/file?etat=a-traiter", "/documents/" + id + "?etat=a-traiter"} {
		body := v.get(p).body
		total := len(body)
		for n := range parse(t, body).Descendants() {
			if src := attr(n, "src") + attr(n, "href"); n.Type == html.ElementNode && strings.HasPrefix(src, "/static/") {
				total += len(v.get(src).body)
			}
		}
		for _, module := range []string{"flux.js", "piece.js", "avis.js"} { // imported by file.js
			total += len(v.get("/static/" + module).body)
		}
		t.Logf("%s: %d bytes, %d of them the page itself", p, total, len(body))
		if total > 150_000 {
			t.Errorf("%s: %d bytes", p, total)
		}
	}
}
