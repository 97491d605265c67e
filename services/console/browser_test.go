package console

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// TestBrowser walks the pages in a real browser: log in, queue, document with its
// PDF, decision; nothing may appear on the console of the browser, which is where
// violations of the content security policy are reported. GREFFE_TEST_CHROMIUM is
// the path of the browser; with GREFFE_TEST_SCREENSHOTS the pages are saved there.
func TestBrowser(t *testing.T) {
	path := os.Getenv("GREFFE_TEST_CHROMIUM")
	if path == "" {
		t.Skip("GREFFE_TEST_CHROMIUM is not set")
	}
	w := newWorld(t)
	ids := map[string]string{}
	for _, m := range sampleMail() {
		a := w.receive(m)
		ids[m.subject] = string(a.ID)
	}

	ctx := browser(t, path)
	complaints := watchConsole(t, ctx)
	ctx, end := context.WithTimeout(ctx, 120*time.Second)
	defer end()
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatalf("%v\nconsole: %v", err, complaints())
		}
	}
	shot := func(name string) {
		t.Helper()
		dir := os.Getenv("GREFFE_TEST_SCREENSHOTS")
		if dir == "" {
			return
		}
		if err := chromedp.Do(ctx, chromedp.Sleep(time.Second)); err != nil { // only for the picture: painted, settled
			t.Fatal(err)
		}
		png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open := func(p string) { t.Helper(); do(chromedp.Navigate(w.server.URL + p)) }
	login := func(who string) {
		t.Helper()
		open("/connexion")
		do(chromedp.WaitVisible("#login"), chromedp.SendKeys("#login", who), chromedp.SendKeys("#mot-de-passe", password+"\r"), chromedp.WaitVisible(".menu"))
	}

	do(chromedp.EmulateViewport(1366, 768))
	open("/connexion")
	shot("connexion")
	login("claire")
	do(chromedp.WaitVisible("#lignes tr"))
	shot("file")

	w.receive(mail{subject: "Nouveau", docs: []doc{{facts: cda1("90", 1, "Arrivé pendant la lecture", maelle), bytes: []byte("<n/>"), body: reportPDF("Nouveau")}}})
	do(chromedp.WaitVisible("#nouveaux"))
	shot("file-nouveaux")
	do(chromedp.Click("#nouveaux"), chromedp.WaitVisible("tr.arrived"))

	// By the keyboard alone: down twice, up, and Enter opens the row.
	do(chromedp.Evaluate[chromedp.Void](`document.activeElement.blur()`), chromedp.KeyEvent("j"), chromedp.KeyEvent("j"), chromedp.KeyEvent(kb.ArrowUp))
	focused, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.activeElement.textContent`))
	if err != nil || focused != "Arrivé pendant la lecture" {
		t.Errorf("focus on %q, %v", focused, err)
	}
	shot("file-clavier")
	do(chromedp.KeyEvent("\r"), chromedp.WaitVisible(".doc"))

	open("/documents/" + ids["Échographie ESSAI-KERVELLA Maëlle 14/02/1985"] + "-1")
	do(chromedp.WaitVisible("iframe"))
	waitPDF(t, ctx)
	shot("document-pdf")
	for name, subject := range map[string]string{"document-cda": "Résultats DECOURCY Ruth", "document-refuse": "Holter PAT-TROIS Dominique 28/03/1979", "document-masque": "Lettre masquée",
		"document-image": "Photo de plaie", "document-texte": "Résultats HPRIM", "document-inconnu": "Archive illisible", "document-pdf-seul": "Courrier scanné"} {
		open("/documents/" + ids[subject] + "-1")
		do(chromedp.WaitVisible(".viewer"))
		if strings.Contains(name, "masque") || strings.Contains(name, "refuse") || strings.Contains(name, "seul") {
			waitPDF(t, ctx)
		}
		shot(name)
	}
	open("/messages/" + ids["Échographie ESSAI-KERVELLA Maëlle 14/02/1985"])
	shot("message")
	open("/messages/" + ids["Lettre masquée"])
	shot("message-masque")
	open("/recherche")
	shot("recherche-vide")
	do(chromedp.SendKeys("#nom", "essai kerv\r"), chromedp.WaitVisible(".results"))
	shot("recherche")
	open("/file?etat=attente")
	shot("file-attente")

	// What keeps messages waiting appears above the queue that is open; what is suspect
	// is not shown.
	w.say(bus.Standing{Service: "parser", Instance: "srv-greffe", Since: time.Now().Add(-time.Hour), Trouble: "Antivirus injoignable : vérifier que clamd fonctionne.",
		Waiting: "L’antivirus est injoignable : les messages reçus sont conservés et attendent d’être analysés. Rien n’est perdu ; ils avanceront d’eux-mêmes."})
	do(chromedp.WaitVisible("#avis .trouble"))
	open("/file")
	do(chromedp.WaitVisible("#avis .trouble"))
	shot("file-avis")
	suspect := cda1("91", 1, "Facture", maelle)
	suspect.Findings = []greffe.Finding{{Rule: "antivirus.found", Severity: greffe.Hold, Where: "2", Text: "Pièce suspecte : l’antivirus y reconnaît « Eicar-Test-Signature ». Ne l’ouvrez pas et ne la transférez pas ; prévenez le responsable de la sécurité informatique."}}
	malware := w.receive(mail{subject: "Facture", docs: []doc{{facts: suspect, bytes: []byte("<m/>"), body: reportPDF("Facture"), name: "facture.xml",
		outcomes: []greffe.Outcome{{State: greffe.StateTodo, Text: suspect.Findings[0].Text}}}}})
	open("/documents/" + string(malware.Documents[0]))
	do(chromedp.WaitVisible(".damaged"))
	shot("document-suspect")
	open("/messages/" + string(malware.ID))
	shot("message-suspect")
	open("/aide")
	shot("aide")
	open("/aide/regles#xdm.hash")
	do(chromedp.WaitVisible(".rules"))
	shot("regles")
	open("/messages/00000000000000000000000000")
	shot("erreur")
	// Zoomed to 200 % of a 1366 wide screen, and on 320: no scrolling sideways.
	for _, width := range []int64{683, 320} {
		do(chromedp.EmulateViewport(width, 640))
		for _, p := range []string{"/file", "/recherche", "/aide", "/aide/regles", "/messages/" + ids["Lettre masquée"], "/documents/" + ids["Lettre masquée"] + "-1"} {
			open(p)
			over, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth - document.documentElement.clientWidth`))
			if err != nil || over > 0 {
				t.Errorf("%s at %d: %d pixels too wide, %v", p, width, over, err)
			}
			shot(fmt.Sprintf("etroit-%d%s", width, strings.ReplaceAll(p, "/", "-")))
		}
	}
	do(chromedp.EmulateViewport(1366, 768))
	do(chromedp.Click("form[action='/deconnexion'] button"), chromedp.WaitVisible("#login"))
	login("paul")
	open("/journal")
	if over, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth - document.documentElement.clientWidth`)); err != nil || over > 0 {
		t.Errorf("the journal is %d pixels too wide, %v", over, err)
	}
	shot("journal")
	do(chromedp.SendKeys("#qui", "claire"), chromedp.Click("form.search button"), chromedp.WaitVisible(".clear"))
	shot("journal-filtre")
	open("/documents/" + string(malware.Documents[0]) + "/telechargement")
	do(chromedp.WaitVisible(".damaged"))
	shot("preuve")
	do(chromedp.Click("form[action='/deconnexion'] button"), chromedp.WaitVisible("#login"))
	for i, s := range []greffe.Statement{{Mailbox: cardio, Seen: 1214, Listed: 1214, Archived: 1214, Delivered: 1200, Held: 14, Complete: true}, {Mailbox: radio, Seen: 3, Archived: 2, Missing: 1, Complete: true}} {
		day := w.console.yesterday(time.Now())
		s.Day, s.At, s.Digest = day.Format(time.DateOnly), time.Now(), greffe.DigestOf([]byte{byte(i)})
		if _, err := w.db.SaveStatement(t.Context(), s, day); err != nil {
			t.Fatal(err)
		}
	}
	login("root")
	shot("systeme")
	open("/systeme/comptes")
	shot("comptes")
	if got := complaints(); len(got) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(got, "\n"))
	}
}

// browser starts a browser that ends with the test.
func browser(t *testing.T, path string) context.Context {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-dev-shm-usage", true))
	actx, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(actx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // no deadline on the first one: it would end the browser
		t.Fatal(err)
	}
	return ctx
}

// TestBrowserLocks: after a time without an act a warning is shown, then the screen is
// locked in every window and nothing stays on it; what was typed is back after unlocking.
// The account pages are looked at, also on a narrow screen.
func TestBrowserLocks(t *testing.T) {
	path := os.Getenv("GREFFE_TEST_CHROMIUM")
	if path == "" {
		t.Skip("GREFFE_TEST_CHROMIUM is not set")
	}
	w := newWorldWith(t, func(c *Config) { c.IdleTimeout = 12 * time.Second })
	refused := greffe.Outcome{DI: "dpi", Action: "T02", Control: "1", State: greffe.StateRefused, Code: "AE 902", Text: "Patient inconnu."}
	a := w.receive(mail{subject: "Confidentiel", docs: []doc{{facts: cda1("1", 1, "Lettre", maelle), bytes: []byte("<a/>"), body: reportPDF("Lettre"), outcomes: []greffe.Outcome{refused}}}})
	at := w.server.URL + "/documents/" + string(a.Documents[0])
	ctx := browser(t, path)
	complaints := watchConsole(t, ctx)
	ctx, end := context.WithTimeout(ctx, 3*time.Minute)
	defer end()
	shot := screenshots(t, ctx)
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatalf("%v\nconsole: %v", err, complaints())
		}
	}
	do(chromedp.EmulateViewport(1366, 768), chromedp.Navigate(w.server.URL+"/connexion?vers=/documents/"+string(a.Documents[0])), chromedp.SendKeys("#login", "claire"), chromedp.SendKeys("#mot-de-passe", password+"\r"),
		chromedp.WaitVisible(".doc"), chromedp.Click("details summary"), chromedp.SendKeys("#motif", "Adressé par erreur, le"))
	do(chromedp.WaitVisible("#veille button"))
	shot("verrou-avertissement")
	do(chromedp.KeyEvent("a")) // any act puts it off
	do(chromedp.WaitNotVisible("#veille"), chromedp.WaitVisible("#veille button"), chromedp.WaitVisible("form[action='/verrou/ouverture']"))
	shot("verrou")
	shown, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`))
	if err != nil || strings.Contains(shown, "KERVELLA") || strings.Contains(shown, "Adressé") || !strings.Contains(shown, "en cours de saisie est gardé") {
		t.Errorf("the locked screen shows %q, %v", shown, err)
	}
	do(chromedp.SendKeys("#mot-de-passe", password+"\r"), chromedp.WaitVisible(".doc"), chromedp.WaitVisible("#motif"))
	typed, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + " " + document.querySelector("#motif").value`))
	if err != nil || !strings.HasPrefix(typed, at) || !strings.HasSuffix(typed, "Adressé par erreur, lea") {
		t.Errorf("back at %q, %v", typed, err)
	}
	shot("verrou-reprise")
	// At once when asked; back in the history there is nothing either.
	do(chromedp.Click("#verrouiller button"), chromedp.WaitVisible("form[action='/verrou/ouverture']"), chromedp.NavigateBack(), chromedp.WaitVisible("form[action='/verrou/ouverture']"))
	do(chromedp.Click("form[action='/deconnexion'] button"), chromedp.WaitVisible("#login"))

	if got := complaints(); len(got) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(got, "\n"))
	}
}

// TestBrowserAccounts looks at the pages of who is who, also on narrow screens: each field
// has a name, nothing scrolls sideways.
func TestBrowserAccounts(t *testing.T) {
	path := os.Getenv("GREFFE_TEST_CHROMIUM")
	if path == "" {
		t.Skip("GREFFE_TEST_CHROMIUM is not set")
	}
	w, _ := newOIDCWorld(t, func(*OIDC) {})
	ctx := browser(t, path)
	complaints := watchConsole(t, ctx)
	ctx, end := context.WithTimeout(ctx, 4*time.Minute)
	defer end()
	shot := screenshots(t, ctx)
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatalf("%v\nconsole: %v", err, complaints())
		}
	}
	look := func(name, p string) {
		t.Helper()
		for _, width := range []int64{1366, 683, 320} {
			do(chromedp.EmulateViewport(width, map[int64]int64{1366: 768, 683: 640, 320: 640}[width]), chromedp.Navigate(w.server.URL+p), chromedp.WaitVisible("h1"))
			over, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth - document.documentElement.clientWidth`))
			if err != nil || over > 0 {
				t.Errorf("%s at %d: %d pixels too wide, %v", p, width, over, err)
			}
			shot(fmt.Sprintf("%s-%d", name, width))
		}
		nameless, err := chromedp.Run(ctx, chromedp.Evaluate[string](`[...document.querySelectorAll("input:not([type=hidden]):not([hidden]),select,textarea,button")].filter(f => !(f.labels && f.labels.length) && !f.textContent.trim() && !f.getAttribute("aria-label")).map(f => f.outerHTML).join(" ") + [...document.querySelectorAll("h1")].slice(1).map(h => h.outerHTML).join(" ")`))
		if err != nil || nameless != "" {
			t.Errorf("%s: fields without a name, or a second h1: %s, %v", p, nameless, err)
		}
	}
	look("connexion-oidc", "/connexion?vers=/recherche")
	do(chromedp.SendKeys("#login", "claire"), chromedp.SendKeys("#mot-de-passe", password+"\r"), chromedp.WaitVisible(".menu"))
	look("compte", "/compte")
	look("facteur", "/compte/second-facteur")
	do(chromedp.Click("#verrouiller button"), chromedp.WaitVisible("form[action='/verrou/ouverture']"))
	look("verrou", "/verrou")
	do(chromedp.Click("form[action='/deconnexion'] button"), chromedp.WaitVisible("#login"))
	do(chromedp.SendKeys("#login", "root"), chromedp.SendKeys("#mot-de-passe", password+"\r"), chromedp.WaitVisible(".menu"))
	look("comptes", "/systeme/comptes")
	look("compte-nouveau", "/systeme/comptes/nouveau")
	look("compte-autre", "/systeme/comptes/"+accountKey("martin"))
	if got := complaints(); len(got) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(got, "\n"))
	}
}

// screenshots returns a function that saves the page under a name, when
// GREFFE_TEST_SCREENSHOTS says where.
func screenshots(t *testing.T, ctx context.Context) func(name string) {
	dir := os.Getenv("GREFFE_TEST_SCREENSHOTS")
	return func(name string) {
		t.Helper()
		if dir == "" {
			return
		}
		png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// watchConsole gathers what the browser writes on its console: errors of scripts,
// violations of the policy, failed requests (but the 404 page that is asked for).
func watchConsole(t *testing.T, ctx context.Context) func() []string {
	t.Helper()
	list := make(chan string, 1000)
	entries := chromedp.Events(ctx, log.EntryAdded)
	exceptions := chromedp.Events(ctx, runtime.ExceptionThrown)
	go func() {
		for e, err := range entries {
			if err != nil {
				return
			}
			if !strings.Contains(e.Entry.URL, "/messages/000000") {
				list <- fmt.Sprintf("%s %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL)
			}
		}
	}()
	go func() {
		for e, err := range exceptions {
			if err != nil {
				return
			}
			list <- "exception " + e.ExceptionDetails.Text
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
func waitPDF(t *testing.T, ctx context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		r, err := chromedp.CallBrowser(ctx, target.GetTargets, target.GetTargetsParams{Filter: target.Filter{{}}})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range r.TargetInfos {
			if strings.HasPrefix(i.URL, "chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai") {
				return
			}
		}
	}
	t.Fatal("the PDF viewer did not start")
}
