package console

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"golang.org/x/net/html"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

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
	s.open("/file?etat=a-traiter")
	if twice := s.eval(`performance.getEntriesByType("resource").map((r) => new URL(r.name).pathname).filter((p, n, all) => p.endsWith(".js") && all.indexOf(p) !== n).join(" ")`); twice != "" {
		t.Errorf("these scripts are there twice, and act twice: %s", twice)
	}
	s.press("?")
	s.there("#touches")
	s.shot("raccourcis-bulle")
	s.press(kb.Escape)
	s.wait("the keys to be hidden", `!document.getElementById("touches").open`)
	s.press("j")
	s.wait("the focus on the first line", `document.activeElement.closest("#lignes")`)
	s.press("\r")
	s.there(".beside")
	s.run(`window.same = true`)
	s.shot("trois-volets")
	if h := s.eval(`document.querySelector("#piece h1").textContent`); h != "Première" {
		t.Errorf("opened %q", h)
	}
	// To the decision, and through its first button: the DI is asked again.
	s.press("d")
	s.wait("the focus in the decision", `document.activeElement.closest("#decision")`)
	if outline := s.eval(`getComputedStyle(document.activeElement).outlineStyle`); outline == "none" {
		t.Error("the focus is not seen")
	}
	s.tabTo(`document.activeElement.closest("#decision form[action$='/decision']") && document.activeElement.tagName === "BUTTON"`)
	s.press("\r")
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
	s.press("n")
	s.wait("the item after it", `document.querySelector("#piece h1")?.textContent === "Troisième"`)
	s.wait("the list to mark it", `document.querySelector("#lignes [aria-current]")?.textContent.includes("Troisième")`)
	// Back, by the browser, and to the list.
	s.run(`history.back()`)
	s.wait("the item before", `document.querySelector("#piece h1")?.textContent === "Deuxième"`)
	s.press("u")
	s.there("table.rows")
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
	two.open("/file?etat=a-traiter")
	item := "/documents/" + string(a.Documents[0]) + "?etat=a-traiter"
	one.open(item)
	one.there(".mine")
	two.wait("the name of the other", `document.querySelector("#lignes .taken")?.textContent.includes("Claire LEMAIRE")`)
	two.shot("deux-personnes")
	two.open(item)
	two.there(".taken-by")
	two.shot("deja-ouvert")
	two.open("/file?etat=a-traiter")
	one.open("/aide")
	two.wait("the name to go", `!document.querySelector("#lignes .taken")`)
	one.quiet()
	two.quiet()
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
