package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
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

// TestTwoScreensDecide: two browsers show one item with its decision and both persons
// press. One decision is taken; the other person is told so, and who had it, and the item
// then says who decided.
func TestTwoScreensDecide(t *testing.T) {
	w := newWorld(t)
	w.second()
	got := consume(w, bus.Decided, func(ctx context.Context, d greffe.Decided) error { _, err := w.db.SaveDecision(ctx, d); return err })
	item := func(set string) (greffe.Archived, string) {
		a := w.receive(mail{subject: set, docs: []doc{{facts: cda1(set, 1, "Lettre "+set, maelle), bytes: []byte("<a>" + set + "</a>"), body: reportPDF(set), outcomes: []greffe.Outcome{unknownPatient}}}})
		return a, "/documents/" + string(a.Documents[0]) + "?etat=a-traiter"
	}
	taken := func(a greffe.Archived) (n int) {
		t.Helper()
		for _, e := range w.journal() {
			if e.Action == "asked" && e.Subject == string(a.Documents[0]) {
				n++
			}
		}
		return n
	}
	const press = `[...document.querySelectorAll("#decision form[action$='/decision']")].find((f) => f.elements.decision.value === "retry").requestSubmit()`
	claire, nadia := w.screen(t), w.screen(t)
	claire.login("claire")
	nadia.login("nadia")

	// Nadia opened it, Claire took over; both still have the decision before them.
	a, at := item("1")
	nadia.open(at)
	nadia.there(".mine")
	claire.open(at)
	claire.there(".taken-by")
	claire.click(".taken-by button")
	claire.there(".mine")
	nadia.run(press)
	nadia.heading("Claire LEMAIRE a ouvert ce message")
	if said := nadia.eval(`document.querySelector("main").textContent`); !strings.Contains(said, "Votre décision n’a pas été prise") {
		t.Errorf("who was too late reads %q", said)
	}
	nadia.shot("deux-personnes-pris")
	if n := taken(a); n != 0 {
		t.Errorf("%d decisions, none was to be taken", n)
	}
	claire.run(press)
	if d := <-got; d.By != "claire" || d.Verb != greffe.VerbRetry || d.Document != a.Documents[0] {
		t.Errorf("%+v", d)
	}
	claire.there("main > .flash")
	nadia.follow("a", "Revenir sans décider")
	nadia.there("#piece, .doc")
	if said := nadia.eval(`document.querySelector("section[aria-labelledby=t-decs]").textContent`); !strings.Contains(said, "par claire") {
		t.Errorf("the item does not say who decided: %q", said)
	}
	if n := taken(a); n != 1 {
		t.Errorf("%d decisions, want 1", n)
	}

	// Nobody has it, and both press at once: whoever is first.
	b, at := item("2")
	claire.open(at)
	nadia.open(at)
	for _, login := range []string{"claire", "nadia"} {
		if _, err := w.db.Leave(t.Context(), login, b.ID); err != nil {
			t.Fatal(err)
		}
	}
	claire.run(press)
	nadia.run(press)
	late := 0
	for _, s := range []*screen{claire, nadia} {
		s.there(".problem, main > .flash")
		if s.eval(`String(document.querySelectorAll(".problem").length)`) == "1" {
			late++
		}
	}
	<-got
	if n := taken(b); late != 1 || n != 1 || len(got) != 0 {
		t.Errorf("%d of two were too late, %d decisions, %d more published", late, n, len(got))
	}
	claire.quietBut("409")
	nadia.quietBut("409")
}

// TestLiveOnScreen: a state that changes changes on the open page and is said aloud; lines,
// focus and what is ticked stay, and what is read stays where it is on the screen. A new
// message is only counted until it is asked for.
func TestLiveOnScreen(t *testing.T) {
	w := newWorld(t)
	var all []greffe.Archived
	for n := range 40 {
		all = append(all, w.receive(mail{subject: "Lettre", ago: time.Duration(n+1) * time.Minute, docs: []doc{{facts: cda1(fmt.Sprint(n), 1, fmt.Sprint("Lettre ", n), maelle), bytes: fmt.Appendf(nil, "<a n='%d'/>", n), outcomes: []greffe.Outcome{unknownPatient}}}}))
	}
	line := func(n int) string { return fmt.Sprintf(`document.getElementById("m-%s")`, all[n].ID) }
	s := w.screen(t)
	s.login("claire")
	s.open("/file?etat=a-traiter")
	s.run(`window.same = true; window.said = []; {
  const region = document.getElementById("annonce");
  new MutationObserver(() => { if (region.textContent) window.said.push(region.textContent); }).observe(region, { childList: true, characterData: true, subtree: true });
}`)
	if how := s.eval(`document.getElementById("annonce").getAttribute("aria-live") + " " + document.getElementById("annonce").getAttribute("role")`); how != "polite status" {
		t.Errorf("what is said is %q to a screen reader", how)
	}
	s.run(line(20) + `.querySelector("input").click(); ` + line(18) + `.scrollIntoView({ block: "center" }); ` + line(18) + `.querySelector("a.open").focus({ preventScroll: true })`)
	const kept = `[window.same, document.activeElement.closest("tr").id, document.activeElement.className, Math.round(document.activeElement.getBoundingClientRect().top), [...document.querySelectorAll("#lignes tr")].map((r) => r.id).join(), [...document.querySelectorAll("#lignes input:checked")].map((b) => b.value).join()].join(" ")`
	before := s.eval(kept)
	if s.eval(`String(scrollY > 0)`) != "true" {
		t.Fatal("the list is too short to scroll")
	}
	said := 0
	heard := func(what string) {
		t.Helper()
		s.wait("to be told: "+what, fmt.Sprintf(`window.said.slice(%d).some((t) => t.includes(%q))`, said, what))
		said++
	}
	unchanged := func(after string) {
		t.Helper()
		if now := s.eval(kept); now != before {
			t.Errorf("%s, what was read moved:\n%s\nwas\n%s", after, now, before)
		}
	}
	// The line that has the focus, one that is ticked, one above.
	for _, n := range []int{18, 20, 16} {
		w.outcome(all[n], 0, greffe.Outcome{DI: "dpi", State: greffe.StateWaiting, Text: "Le DI ne répond pas."})
		s.wait("the new state", line(n)+`.dataset.state === "`+string(greffe.StateWaiting)+`" && `+line(n)+`.querySelector(".gone")`)
		heard("1 état modifié")
		unchanged(fmt.Sprint("state of line ", n))
	}
	s.shot("file-en-direct")

	w.receive(mail{subject: "Nouveau", docs: []doc{{facts: cda1("90", 1, "Arrivé pendant la lecture", maelle), bytes: []byte("<n/>"), outcomes: []greffe.Outcome{unknownPatient}}}})
	s.wait("the count", `!document.getElementById("nouveaux").hidden && document.getElementById("nouveaux").textContent.startsWith("1 nouveau message")`)
	heard("1 nouveau message")
	unchanged("a new message")
	s.run(`document.getElementById("nouveaux").click()`)
	s.wait("the new line, with the focus", `document.activeElement.textContent === "Arrivé pendant la lecture" && document.querySelector("#lignes tr").contains(document.activeElement)`)
	if got := s.eval(`[window.same, document.querySelectorAll("#lignes tr").length, document.getElementById("nouveaux").hidden].join(" ")`); got != "true 41 true" {
		t.Errorf("after it was asked for: %s", got)
	}
	// At the top of the page, too, where the count appears above what is read.
	s.run(`scrollTo(0, 0)`)
	before = s.eval(kept)
	w.receive(mail{subject: "Nouveau", docs: []doc{{facts: cda1("91", 1, "Encore un", maelle), bytes: []byte("<o/>"), outcomes: []greffe.Outcome{unknownPatient}}}})
	s.wait("the count", `!document.getElementById("nouveaux").hidden`)
	heard("1 nouveau message")
	unchanged("a new message, at the top")
	s.quiet()
}

// imported finds the modules that a module loads.
var imported = regexp.MustCompile(`from "\./([^"]+)"`)

// weight is what a browser loads for a page the first time, in bytes: the page, its style,
// its pictures, its scripts and what they import. What is in a frame is not in it.
func (v *visitor) weight(path string) (total, page int) {
	v.w.t.Helper()
	answer := v.get(path)
	if answer.StatusCode != http.StatusOK {
		v.w.t.Fatalf("%s: status %d", path, answer.StatusCode)
	}
	page = len(answer.body)
	total = page
	seen := map[string]bool{}
	var load func(string)
	load = func(at string) {
		name, _, _ := strings.Cut(at, "?")
		if seen[name] {
			return
		}
		seen[name] = true
		got := v.get(at)
		if got.StatusCode != http.StatusOK {
			v.w.t.Fatalf("%s: status %d", at, got.StatusCode)
		}
		total += len(got.body)
		for _, m := range imported.FindAllStringSubmatch(got.body, -1) {
			load("/static/" + m[1])
		}
	}
	for n := range parse(v.w.t, answer.body).Descendants() {
		if src := attr(n, "src") + attr(n, "href"); n.Type == html.ElementNode && strings.HasPrefix(src, "/static/") {
			load(src)
		}
	}
	return total, page
}

// TestPageWeight: what a page needs, without the document, is at most 150 KB.
func TestPageWeight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var a greffe.Archived
	for n := range rowsPerPage {
		a = w.receive(mail{subject: "Compte rendu de consultation de cardiologie", body: strings.Repeat("Chère consœur, cher confrère. ", 40), docs: []doc{{facts: cda1(string(rune('a'+n)), 1, "Compte rendu de consultation", maelle), bytes: []byte("<a>" + string(rune('a'+n)) + "</a>"), body: reportPDF("a"), outcomes: []greffe.Outcome{unknownPatient}}}})
	}
	message, document := "/messages/"+string(a.ID), "/documents/"+string(a.Documents[0])
	for who, pages := range map[string][]string{
		"claire": {"/file", "/file?etat=a-traiter", document + "?etat=a-traiter", document + "/patient?etat=a-traiter", message, message + "?etat=a-traiter", "/tableau", "/aide", "/aide/secretaire", "search"},
		"martin": {"/aide/professionnel"},
		"paul":   {"/aide/auditeur", "/journal", "search"},
		"root":   {"/aide/administrateur", "/systeme", "/tableau"},
	} {
		v := w.as(who)
		for _, p := range pages {
			if p == "search" {
				p = v.post("/recherche", url.Values{"nom": {"essai kerv"}}).Header.Get("Location")
				if rows := find(v.page(p), "#lignes tr"); len(rows) != rowsPerPage {
					t.Fatalf("%d documents found, want a full page", len(rows))
				}
			}
			if v.get(p).StatusCode == http.StatusSeeOther {
				p = v.get(p).Header.Get("Location")
			}
			total, page := v.weight(p)
			t.Logf("%s, %s: %d bytes, %d of them the page itself", who, strings.NewReplacer(string(a.ID), "…").Replace(p), total, page)
			if total > 150_000 {
				t.Errorf("%s, %s: %d bytes", who, p, total)
			}
		}
	}
}
