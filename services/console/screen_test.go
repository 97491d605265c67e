package console

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	cdp "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"go.uber.org/goleak"
)

// TestMain ends the browser that the tests share, and then sees that nothing is left.
func TestMain(m *testing.M) { goleak.VerifyTestMain(ending{m}) }

type ending struct{ *testing.M }

func (e ending) Run() int {
	code := e.M.Run()
	if endBrowser != nil {
		endBrowser()
	}
	return code
}

var endBrowser func() // nil while there is none

// theBrowser is one for all tests: starting it costs seconds. Each screen is a window of
// it that shares nothing with the others, no cookie and no permission.
var theBrowser = sync.OnceValues(func() (context.Context, error) {
	dir, err := os.MkdirTemp("", "greffe-browser-")
	if err != nil {
		return nil, err
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.ExecPath(os.Getenv("GREFFE_TEST_CHROMIUM")),
		chromedp.UserDataDir(dir), chromedp.Flag("disable-dev-shm-usage", true))
	ctx, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(ctx)
	endBrowser = func() { cancel(); stop(); os.RemoveAll(dir) }
	return ctx, chromedp.Do(ctx) // no deadline on the first one: it would end the browser
})

// screen is a person's window at the console. GREFFE_TEST_CHROMIUM is the path of the
// browser; with GREFFE_TEST_SCREENSHOTS what it shows is saved there.
type screen struct {
	t          testing.TB
	w          *world
	ctx        context.Context
	complaints func() []string
}

// patience is how long a screen waits for an event. It is long because it is never
// spent: only a test that fails waits so long.
const patience = time.Minute

func (w *world) screen(t testing.TB) *screen {
	t.Helper()
	if os.Getenv("GREFFE_TEST_CHROMIUM") == "" {
		t.Skip("GREFFE_TEST_CHROMIUM is not set")
	}
	all, err := theBrowser()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(all, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, w: w, complaints: watchConsole(ctx)}
	s.ctx, cancel = context.WithTimeout(ctx, 8*time.Minute)
	t.Cleanup(cancel)
	// A page of which the browser thinks that nobody looks at it shows no focus.
	if _, err := chromedp.Call(ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}); err != nil {
		t.Fatal(err)
	}
	s.size(1366, 768)
	return s
}

// size gives the window the size of a screen, in CSS pixels.
func (s *screen) size(width, height int64) {
	s.t.Helper()
	s.do(chromedp.EmulateViewport(width, height))
}

func (s *screen) do(steps ...chromedp.Action[chromedp.Void]) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, 2*patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		s.failed(err.Error())
	}
}

// failed ends the test with what can be seen.
func (s *screen) failed(why string) {
	s.t.Helper()
	s.shot("echec-" + s.t.Name())
	s.t.Fatalf("%s\nat %s\nconsole: %v", why, s.eval(`location.href + " " + document.activeElement?.outerHTML.slice(0, 200)`), s.complaints())
}

// open goes to an address of the console and waits until its scripts have run.
func (s *screen) open(path string) {
	s.t.Helper()
	s.do(chromedp.Navigate(s.w.server.URL + path))
	s.there("#contenu, pre")
}

// there waits until a page that was asked for (by a key, a press) is there as a whole: an
// element is on it, and its scripts have run, so that a key that follows is not lost.
func (s *screen) there(selector string) {
	s.t.Helper()
	s.wait(selector, fmt.Sprintf(`document.readyState === "complete" && [...document.querySelectorAll(%q)].some((e) => e.checkVisibility())`, selector))
}

// press types keys at what has the focus.
func (s *screen) press(keys string) {
	s.t.Helper()
	s.do(chromedp.KeyEvent(keys))
}

// click presses the element as a person with a mouse does.
func (s *screen) click(selector string) {
	s.t.Helper()
	s.there(selector)
	s.do(chromedp.Click(selector))
}

// before makes each page run a script of the test before its own.
func (s *screen) before(js string) {
	s.t.Helper()
	if _, err := chromedp.Call(s.ctx, cdp.AddScriptToEvaluateOnNewDocument, cdp.AddScriptToEvaluateOnNewDocumentParams{Source: js}); err != nil {
		s.t.Fatal(err)
	}
}

// run is eval for what returns nothing.
func (s *screen) run(js string) {
	s.t.Helper()
	s.do(chromedp.Evaluate[chromedp.Void](js + "; undefined"))
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
	s.until(what, func() bool {
		v, err := chromedp.Run(s.ctx, chromedp.Evaluate[bool]("Boolean("+js+")"))
		return err == nil && v
	})
}

// until waits until something is so.
func (s *screen) until(what string, so func() bool) {
	s.t.Helper()
	for late := time.Now().Add(patience); time.Now().Before(late) && s.ctx.Err() == nil; {
		if so() {
			return
		}
		select {
		case <-s.ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	s.failed("waited for: " + what)
}

// shot saves what is seen, when somebody wants to look.
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
		err = os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, "/", "-")+".png"), png, 0o600)
	}
	if err != nil {
		s.t.Error(err)
	}
}

// login goes to the login page and through it, by the keyboard.
func (s *screen) login(who string) {
	s.t.Helper()
	s.open("/connexion")
	s.enter(who)
}

// enter fills in the login page that is there.
func (s *screen) enter(who string) {
	s.t.Helper()
	s.there("#login")
	s.do(chromedp.SendKeys("#login", who+"\t"), chromedp.SendKeys("#mot-de-passe", password+"\r"))
	s.there(".menu")
}

func (s *screen) logout() {
	s.t.Helper()
	s.click("form[action='/deconnexion'] button")
	s.there("#login")
}

// narrow fails when the page scrolls sideways.
func (s *screen) narrow(what string) {
	s.t.Helper()
	if over := s.eval(`(() => {
  const root = document.documentElement, over = root.scrollWidth - root.clientWidth;
  if (over <= 0) return "";
  const last = [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > root.clientWidth + 1).pop();
  return over + " pixels too wide: " + (last ? last.outerHTML.slice(0, 120) : "?");
})()`); over != "" {
		s.t.Errorf("%s: %s", what, over)
	}
}

// quiet fails when the browser complained: an exception, a violation of the policy, a
// request that failed.
func (s *screen) quiet() { s.t.Helper(); s.quietBut() }

// quietBut is quiet where pages were asked for that have these statuses.
func (s *screen) quietBut(statuses ...string) {
	s.t.Helper()
	for _, c := range s.complaints() {
		if !slices.ContainsFunc(statuses, func(status string) bool { return strings.Contains(c, "status of "+status) }) {
			s.t.Errorf("the browser complains: %s", c)
		}
	}
}

// watchConsole gathers what the browser writes on its console: errors of scripts,
// violations of the policy, failed requests.
func watchConsole(ctx context.Context) func() []string {
	list := make(chan string, 1000)
	entries := chromedp.Events(ctx, log.EntryAdded)
	exceptions := chromedp.Events(ctx, runtime.ExceptionThrown)
	say := func(s string) {
		select {
		case list <- s:
		default: // enough to fail
		}
	}
	go func() {
		for e, err := range entries {
			if err != nil {
				return
			}
			if strings.HasPrefix(e.Entry.Text, "Autofocus processing was blocked") {
				continue // the test was faster than the page
			}
			say(fmt.Sprintf("%s %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
		}
	}()
	go func() {
		for e, err := range exceptions {
			if err != nil {
				return
			}
			say("exception " + e.ExceptionDetails.Text)
		}
	}()
	return func() (got []string) {
		for {
			select {
			case s := <-list:
				got = append(got, s)
			default:
				return got
			}
		}
	}
}

// waitPDF waits until the PDF viewer of the browser runs: it is an extension with a
// page of its own.
func (s *screen) waitPDF() {
	s.t.Helper()
	s.until("the PDF viewer", func() bool {
		r, err := chromedp.CallBrowser(s.ctx, target.GetTargets, target.GetTargetsParams{Filter: target.Filter{{}}})
		if err != nil {
			return false
		}
		for _, i := range r.TargetInfos {
			if strings.HasPrefix(i.URL, "chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai") {
				return true
			}
		}
		return false
	})
}

// tabTo goes on with the Tab key until an expression is true in the page.
func (s *screen) tabTo(js string) {
	s.t.Helper()
	for range 300 {
		if s.eval("String(Boolean("+js+"))") == "true" {
			return
		}
		s.press("\t")
	}
	s.failed("the Tab key never comes to: " + js)
}

// typeInto fills in a field and sends its form by Enter.
func typeInto(selector, value string) chromedp.Action[chromedp.Void] {
	return chromedp.SendKeys(selector, value+"\r")
}
