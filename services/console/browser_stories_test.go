package console

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// TestWithoutScripts: with JavaScript off, a secretary logs in, opens, decides about one
// document, about a patient and about several messages; an auditor searches and exports.
func TestWithoutScripts(t *testing.T) {
	w := newWorld(t)
	got := consume(w, bus.Decided, nil)
	other := maelle
	other.BirthFamily = "ESSAI-AUTRE"
	compare := w.receive(mail{subject: "À comparer", docs: []doc{{facts: cda1("1", 1, "Compte rendu", maelle), bytes: []byte("<a/>"), body: reportPDF("a"), outcomes: []greffe.Outcome{{State: greffe.StateTodo, Code: "trait-differs", Text: "L’identité diffère.",
		Candidates: []greffe.Candidate{{Patient: other, Status: "QUAL"}}}}}}})
	w.receive(mail{subject: "Refusé", docs: []doc{{facts: cda1("2", 1, "À refuser", maelle), bytes: []byte("<b/>"), body: reportPDF("b"), outcomes: []greffe.Outcome{unknownPatient}}}})
	plain := func() *screen {
		s := w.screen(t)
		if _, err := chromedp.Call(s.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := plain()
	s.login("claire")
	s.open("/file?etat=a-traiter&motif=unknown")
	s.click("#lignes a.open")
	s.there("#decision")
	s.run(`[...document.querySelectorAll("#decision summary")].find((e) => e.textContent.startsWith("Refuser")).id = "ici"`)
	s.click("#ici")
	s.there("#motif-r")
	s.do(chromedp.SendKeys("#motif-r", "Patient inconnu de l’établissement"))
	s.run(`document.querySelector("#motif-r").form.querySelector("button").id = "la"`)
	s.click("#la")
	if d := <-got; d.Verb != greffe.VerbRefuse || d.Reason == "" {
		t.Errorf("%+v", d)
	}
	s.there(".flash")

	s.open("/documents/" + string(compare.Documents[0]) + "?etat=a-traiter")
	s.click("#decision a.button")
	s.there(".traits")
	s.do(chromedp.Click(`input[name="patient"][value="`+candidateKey(other)+`"]`), chromedp.SetValue("#confirmation", "1985-02-14"))
	s.click("form.attach button.primary")
	if d := <-got; d.Verb != greffe.VerbAttach || d.Patient == nil || d.Patient.BirthFamily != "ESSAI-AUTRE" {
		t.Errorf("%+v", d)
	}
	s.there(".flash")

	w.receive(mail{subject: "Groupe", docs: []doc{{facts: cda1("3", 1, "En groupe", maelle), bytes: []byte("<c/>"), outcomes: []greffe.Outcome{unknownPatient}}}})
	s.open("/file?etat=a-traiter")
	s.click("#lignes input[type=checkbox]")
	s.click("#groupe button")
	s.there(".decision")
	s.click(".decision form button")
	if d := <-got; d.Verb != greffe.VerbRetry {
		t.Errorf("%+v", d)
	}
	s.there(".flash")

	a := plain()
	a.login("paul")
	a.open("/recherche")
	a.do(typeInto("#nom", "essai kerv"))
	a.there(".results")
	if said := a.eval(`(() => { const x = new XMLHttpRequest(); x.open("GET", document.querySelector(".downloads a[href*='.csv']").href, false); x.send(); return x.status + " " + x.getResponseHeader("Content-Type"); })()`); !strings.HasPrefix(said, "200 text/csv") {
		t.Errorf("the export: %s", said)
	}
	a.click("#lignes a.open")
	a.there(".doc")
}

// TestNotification: the browser is asked for the right to notify by a press alone; a new
// message is then told of when nobody looks at the page, and never what it is.
func TestNotification(t *testing.T) {
	w := newWorld(t)
	w.receive(mail{subject: "Ancien"})
	s := w.screen(t)
	if _, err := chromedp.CallBrowser(s.ctx, browser.SetPermission, browser.SetPermissionParams{Permission: &browser.PermissionDescriptor{Name: "notifications"}, Setting: browser.PermissionSettingGranted,
		Origin: w.server.URL, BrowserContextID: chromedp.FromContext(s.ctx).BrowserContextID}); err != nil {
		t.Fatal(err)
	}
	s.before(`{
  window.asked = 0; window.told = [];
  const Real = window.Notification, ask = Real.requestPermission.bind(Real);
  Real.requestPermission = (...a) => { window.asked++; return ask(...a); };
  window.Notification = class extends Real { constructor(title, options) { super(title, options); window.told.push(title + ": " + options.body + JSON.stringify(options)); } };
}`)
	s.login("claire")
	s.open("/file")
	s.there("#prevenir")
	if s.eval(`String(asked)`) != "0" {
		t.Error("asked without a press")
	}
	s.click("#prevenir")
	s.wait("the press to count", `document.getElementById("prevenir").textContent.startsWith("Ne plus")`)
	s.run(`Object.defineProperty(document, "hidden", { get: () => true })`)
	w.receive(mail{subject: "Secret de KERVELLA", docs: []doc{{facts: cda1("1", 1, "Lettre secrète", maelle), bytes: []byte("<a/>")}}})
	s.wait("the notification", `told.length > 0`)
	said := s.eval(`told.join(" ")`)
	if !strings.Contains(said, "Greffe: Un nouveau message dans la file.") || strings.Contains(said, "KERVELLA") || strings.Contains(said, "secrète") || strings.Contains(said, "Secret") {
		t.Errorf("it says %q", said)
	}
	if s.eval(`String(asked)`) != "1" {
		t.Errorf("asked %s times", s.eval(`String(asked)`))
	}
	// On a page that somebody looks at nothing is told; and a second press ends it.
	s.run(`delete document.hidden`)
	s.click("#prevenir")
	s.wait("the second press to count", `document.getElementById("prevenir").textContent.startsWith("Me prévenir")`)
	s.quiet()
}
