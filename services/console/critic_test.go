package console

import (
	"strconv"
	"strings"

	"github.com/chromedp/chromedp"
)

// critic looks at pages and says what is wrong with them.
type critic struct {
	axe   string
	seen  map[string]bool // templates that the Tab key has gone through
	count int
}

// look opens a page and looks at it, unless it leads elsewhere: there it is looked at.
func (c *critic) look(s *screen, name, path string) {
	s.t.Helper()
	s.open(path)
	bare, _, _ := strings.Cut(path, "?")
	if s.eval("location.pathname") == bare {
		c.now(s, name)
	}
}

// now looks at the page that is on the screen.
func (c *critic) now(s *screen, name string) {
	s.t.Helper()
	c.count++
	s.size(1366, 768)
	s.shot("page-" + name)
	if found := s.eval(accessChecks); found != "" {
		s.t.Errorf("%s:\n%s", name, found)
	}
	c.ask(s, name, `{iframes: false, resultTypes: ["violations"]}`)
	if kind := s.eval(`document.title.replace(/^.*—/, "") + document.querySelector("main").firstElementChild?.className + document.querySelector("h1")?.textContent`); !c.seen[kind] {
		c.seen[kind] = true
		c.tab(s, name)
	}
	for _, size := range [][2]int64{{1093, 614}, {683, 384}, {320, 640}} {
		s.size(size[0], size[1])
		s.narrow(name)
		if size[0] != 683 {
			s.shot("page-" + name + "-" + map[int64]string{1093: "1093", 320: "320"}[size[0]])
		}
	}
	s.size(1366, 768)
}

// ask asks axe-core, where it is.
func (c *critic) ask(s *screen, name, options string) {
	s.t.Helper()
	if c.axe == "" {
		return
	}
	s.run(c.axe)
	s.run(`window.found = null; axe.run(document, ` + options + `).then((r) => { window.found = r.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.target).join(", ")).join("\n"); }, (e) => { window.found = String(e); })`)
	s.wait("axe", `window.found !== null`)
	if found := s.eval(`window.found`); found != "" {
		s.t.Errorf("%s, axe: %s", name, found)
	}
}

// frame looks at a document that is shown inside a page of ours: all rules of WCAG 2.1 AA
// hold for it; the header, the heading and the menu are those of the page around it.
func (c *critic) frame(s *screen, name string) {
	s.t.Helper()
	c.count++
	s.shot("page-" + name)
	c.ask(s, name, `{iframes: false, resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}`)
	s.size(683, 384)
	s.narrow(name)
	s.size(320, 640)
	s.shot("page-" + name + "-320")
	// Tables may be wider than a phone (WCAG 1.4.10): a value must not be broken in two.
	s.run(`document.querySelectorAll("table").forEach((t) => { t.hidden = true; })`)
	s.narrow(name)
	s.size(1366, 768)
}

// tab goes through the page by the Tab key alone: everything that can have the focus gets
// it, in the order of the page, is seen to have it, and lets it go again.
func (c *critic) tab(s *screen, name string) {
	s.t.Helper()
	s.run(`{
  document.activeElement?.blur();
  getSelection().removeAllRanges();
  window.scrollTo(0, 0);
  window.reached = [];
  document.addEventListener("focusin", (e) => { window.reached.push(e.target); });
}`)
	const left = `[...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary")].filter((e) => {
  if (e.disabled || e.tabIndex < 0 || window.reached.includes(e) || !e.checkVisibility({ checkVisibilityCSS: true }) || !e.getClientRects().length) return false;
  if (e.type === "radio") return ![...document.getElementsByName(e.name)].some((r) => window.reached.includes(r));
  return e.tagName !== "SUMMARY" || e.parentElement.querySelector("summary") === e;
})`
	for range 8 {
		n := s.eval(`String(` + left + `.length)`)
		if n == "0" {
			break
		}
		var steps []chromedp.Action[chromedp.Void]
		count, _ := strconv.Atoi(n)
		for range count + 2 {
			steps = append(steps, chromedp.KeyEvent("\t"))
		}
		s.do(steps...)
	}
	if missed := s.eval(left + `.map((e) => e.outerHTML.slice(0, 100)).join("\n")`); missed != "" {
		s.t.Errorf("%s: the Tab key does not come to\n%s\nbut stays at %s", name, missed, s.eval(`document.activeElement.outerHTML.slice(0, 200)`))
	}
}
