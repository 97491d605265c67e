package console

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// TestBrowser follows a queue that is open while things happen, and looks at each kind of
// document; nothing may appear on the console of the browser, which is where violations
// of the content security policy are reported.
func TestBrowser(t *testing.T) {
	w := newWorld(t)
	ids := map[string]string{}
	for _, m := range sampleMail() {
		ids[m.subject] = string(w.receive(m).ID)
	}
	s := w.screen(t)
	s.login("claire")
	s.there("#lignes tr")

	// What comes in is announced, and shown when it is asked for.
	w.receive(mail{subject: "Nouveau", docs: []doc{{facts: cda1("90", 1, "Arrivé pendant la lecture", maelle), bytes: []byte("<n/>"), body: reportPDF("Nouveau")}}})
	s.click("#nouveaux")
	s.wait("the new line to be open to the keyboard", `document.activeElement.closest("tr.arrived")`)
	s.shot("file-nouveaux")

	// By the keyboard alone: down twice, up, and Enter opens the row.
	s.run(`document.activeElement.blur()`)
	for _, key := range []string{"j", "j", kb.ArrowUp} {
		s.press(key)
	}
	s.wait("the focus on the line that arrived", `document.activeElement.textContent === "Arrivé pendant la lecture"`)
	s.shot("file-clavier")
	s.press("\r")
	s.there(".doc")

	for name, subject := range map[string]string{"document-pdf": "Échographie ESSAI-KERVELLA Maëlle 14/02/1985", "document-cda": "Résultats DECOURCY Ruth", "document-refuse": "Holter PAT-TROIS Dominique 28/03/1979",
		"document-masque": "Lettre masquée", "document-image": "Photo de plaie", "document-texte": "Résultats HPRIM", "document-inconnu": "Archive illisible", "document-pdf-seul": "Courrier scanné"} {
		s.open("/documents/" + ids[subject] + "-1")
		s.there(".viewer")
		if strings.Contains(name, "pdf") || strings.Contains(name, "masque") || strings.Contains(name, "refuse") {
			s.waitPDF()
		}
		s.shot(name)
	}

	// What keeps messages waiting appears above the queue that is open; what is suspect
	// is not shown.
	s.open("/file?etat=attente")
	w.say(bus.Standing{Service: "parser", Instance: "srv-greffe", Since: time.Now().Add(-time.Hour), Trouble: "Antivirus injoignable : vérifier que clamd fonctionne.",
		Waiting: "L’antivirus est injoignable : les messages reçus sont conservés et attendent d’être analysés. Rien n’est perdu ; ils avanceront d’eux-mêmes."})
	s.there("#avis .trouble")
	s.open("/file")
	s.there("#avis .trouble")
	s.shot("file-avis")
	malware := w.receiveMalware()
	s.open("/documents/" + string(malware.Documents[0]))
	s.there(".damaged")
	s.shot("document-suspect")
	s.open("/messages/" + string(malware.ID))
	s.shot("message-suspect")
	s.quiet()
}

// receiveMalware makes a message come in whose document the antivirus knows.
func (w *world) receiveMalware() greffe.Archived {
	w.t.Helper()
	f := cda1("91", 1, "Facture", maelle)
	f.Findings = []greffe.Finding{{Rule: "antivirus.found", Severity: greffe.Hold, Where: "2", Text: "Pièce suspecte : l’antivirus y reconnaît « Eicar-Test-Signature ». Ne l’ouvrez pas et ne la transférez pas ; prévenez le responsable de la sécurité informatique."}}
	return w.receive(mail{subject: "Facture", docs: []doc{{facts: f, bytes: []byte("<m/>"), body: reportPDF("Facture"), name: "facture.xml",
		outcomes: []greffe.Outcome{{State: greffe.StateTodo, Text: f.Findings[0].Text}}}}})
}

// TestBrowserLocks: after a time without an act a warning is shown, then the screen is
// locked in every window and nothing stays on it; what was typed is back after unlocking.
// The time that passes is made up, on both sides: the clock of the page stands still
// until it is moved, and the person was seen by the server so much earlier.
func TestBrowserLocks(t *testing.T) {
	const idle = time.Hour
	w := newWorldWith(t, func(c *Config) { c.IdleTimeout = idle })
	refused := greffe.Outcome{DI: "dpi", Action: "T02", Control: "1", State: greffe.StateRefused, Code: "AE 902", Text: "Patient inconnu."}
	a := w.receive(mail{subject: "Confidentiel", docs: []doc{{facts: cda1("1", 1, "Lettre", maelle), bytes: []byte("<a/>"), body: reportPDF("Lettre"), outcomes: []greffe.Outcome{refused}}}})
	at := "/documents/" + string(a.Documents[0])
	s := w.screen(t)
	s.before(`{
  let now = Date.now(); Date.now = () => now; window.pass = (s) => { now += s * 1000; };
  window.told = 0; // how often the page has heard that the server knows of an act
  const ask = window.fetch, read = Response.prototype.json;
  window.fetch = async (at, how) => Object.assign(await ask(at, how), { act: how?.method === "POST" });
  Response.prototype.json = async function () { const v = await read.call(this); if (this.act) window.told++; return v; };
}`)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.dir, "index.db")+"?_pragma=busy_timeout(60000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	pass := func(d time.Duration) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), `UPDATE presences SET seen_at = seen_at - ?`, d.Milliseconds()); err != nil {
			t.Fatal(err)
		}
		s.run(fmt.Sprintf("pass(%d)", int(d.Seconds())))
	}

	s.open("/connexion?vers=" + at)
	s.enter("claire")
	s.there(".doc")
	s.do(chromedp.Click("details summary"), chromedp.WaitVisible("#motif"), chromedp.SendKeys("#motif", "Adressé par erreur, le"))
	pass(idle - time.Minute)
	s.there("#veille button")
	s.shot("verrou-avertissement")
	s.run(`window.before = told`)
	s.press("a") // any act puts it off
	s.wait("the warning to go", `document.getElementById("veille").hidden`)
	s.wait("the server to know of the act", `told > before`)
	pass(idle - time.Minute)
	s.there("#veille button")
	pass(time.Minute)
	s.there("form[action='/verrou/ouverture']")
	s.shot("verrou")
	if shown := s.eval(`document.body.innerText`); strings.Contains(shown, "KERVELLA") || strings.Contains(shown, "Adressé") || !strings.Contains(shown, "en cours de saisie est gardé") {
		t.Errorf("the locked screen shows %q", shown)
	}
	s.do(chromedp.SendKeys("#mot-de-passe", password+"\r"))
	s.there(".doc")
	s.there("#motif")
	if typed := s.eval(`location.pathname + " " + document.querySelector("#motif").value`); typed != at+" Adressé par erreur, lea" {
		t.Errorf("back at %q", typed)
	}
	s.shot("verrou-reprise")
	// At once when asked; back in the history there is nothing either.
	s.click("#verrouiller button")
	s.there("form[action='/verrou/ouverture']")
	s.do(chromedp.NavigateBack())
	s.there("form[action='/verrou/ouverture']")
	s.logout()
	s.quiet()
}
