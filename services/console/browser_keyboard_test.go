package console

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// follow goes by the Tab key to what is called so and presses Enter on it.
func (s *screen) follow(selector, name string) {
	s.t.Helper()
	s.tabTo(fmt.Sprintf(`document.activeElement.matches(%q) && document.activeElement.textContent.trim().startsWith(%q)`, selector, name))
	if s.eval(`getComputedStyle(document.activeElement).outlineStyle`) == "none" {
		s.t.Errorf("the focus on %q is not seen", name)
	}
	s.press("\r")
}

// fill goes by the Tab key to a field and types into it.
func (s *screen) fill(id, text string) {
	s.t.Helper()
	s.tabTo(fmt.Sprintf(`document.activeElement.id === %q`, id))
	s.press(text)
}

// pressIn types into the field that has the focus when the page is there.
func (s *screen) pressIn(id, text string) {
	s.t.Helper()
	s.wait("the focus in "+id, fmt.Sprintf(`document.activeElement.id === %q`, id))
	s.press(text)
}

// heading waits for the page that has it.
func (s *screen) heading(text string) {
	s.t.Helper()
	s.wait("the page "+text, fmt.Sprintf(`document.readyState === "complete" && document.querySelector("h1")?.textContent.trim().startsWith(%q)`, text))
}

// TestProfessionalByKeyboard: a professional skips the menu, reads what came for her from
// the list, finds a patient's other document, locks the screen and comes back.
func TestProfessionalByKeyboard(t *testing.T) {
	w := newWorld(t)
	for i, name := range []string{"Bilan", "Lettre"} {
		w.receive(mail{mailbox: cardio, folder: "INBOX/Dr Martin", subject: name, docs: []doc{{facts: cda1(fmt.Sprint(i), 1, name, maelle), bytes: []byte("<a>" + name + "</a>"), body: reportPDF(name)}}})
	}
	w.receive(mail{mailbox: cardio, subject: "Pour un autre", docs: []doc{{facts: cda1("9", 1, "Pour un autre", maelle), bytes: []byte("<z/>"), body: reportPDF("z")}}})
	s := w.screen(t)
	s.login("martin")
	s.heading("File")
	s.press("\t")
	if at := s.eval(`document.activeElement.textContent`); at != "Aller au contenu" {
		t.Errorf("the first Tab leads to %q", at)
	}
	s.press("\r")
	s.press("\t")
	s.wait("the focus in the content", `document.activeElement.closest("#contenu")`)
	s.tabTo(`document.activeElement.closest("#lignes")`)
	if lines := s.eval(`document.getElementById("lignes").textContent`); strings.Contains(lines, "Pour un autre") {
		t.Error("the list shows what came for somebody else")
	}
	s.press("\r")
	s.heading("Lettre")
	if s.eval(`String(document.querySelector("#decision, form[action$='/decision']"))`) != "null" {
		t.Error("a professional is offered a decision")
	}
	s.press("j")
	s.wait("the focus on the next line", `document.activeElement.closest("#lignes")?.contains(document.activeElement) && document.activeElement.textContent.includes("Bilan")`)
	s.press("\r")
	s.heading("Bilan")

	s.follow("a", "Recherche")
	s.heading("Recherche")
	s.fill("nom", "essai kerv\r")
	s.there(".results")
	if found := s.eval(`String(document.querySelectorAll("#lignes tr").length)`); found != "2" {
		t.Errorf("%s documents found, want hers: 2", found)
	}
	s.follow("#lignes a.open", "Bilan")
	s.heading("Bilan")
	s.follow("button", "Verrouiller")
	s.heading("Session verrouillée")
	s.pressIn("mot-de-passe", password+"\r")
	s.heading("Bilan")
	s.quiet()
}

// TestAuditorByKeyboard: an auditor finds a patient's documents, asks for their proof, takes
// it when it is ready, has a message verified, and reads in the journal what he did.
func TestAuditorByKeyboard(t *testing.T) {
	w := newWorldWith(t, func(c *Config) { c.ProofDocuments = 10 })
	w.receive(mail{mailbox: cardio, subject: "Lettre", docs: []doc{{facts: cda1("1", 1, "Lettre de liaison", maelle), bytes: []byte("<a/>"), body: reportPDF("a")}}})
	s := w.screen(t)
	s.login("paul")
	s.follow("a", "Recherche")
	s.heading("Recherche")
	s.pressIn("ins", maelle.INS.Extension+"\r")
	s.there(".results")
	s.tabTo(`document.activeElement.matches("#lignes input[type=checkbox]")`)
	s.press(" ")
	for range 100 { // the button stands before the list
		if s.eval(`String(document.activeElement.matches("#preuve button:not([name])"))`) == "true" {
			break
		}
		s.do(chromedp.KeyEvent("\t", chromedp.KeyModifiers(chromedp.ModifierShift)))
	}
	s.press("\r")
	s.heading("Demander un dossier de preuve")
	s.fill("motif", "Réclamation")
	s.follow("button", "Demander ce dossier")
	s.heading("Dossiers de preuve")
	p := w.packOf("paul")
	w.finishPack(p.ID)
	s.wait("the pack to be offered", `document.querySelector("#dossiers a[download]")`)
	s.tabTo(`document.activeElement.matches("#dossiers a[download]")`)

	s.follow("a", "Recherche")
	s.heading("Recherche")
	s.pressIn("ins", maelle.INS.Extension+"\r")
	s.there(".results")
	s.follow("#lignes a.open", "Lettre de liaison")
	s.heading("Lettre de liaison")
	s.follow("button", "Vérifier maintenant")
	s.heading("Vérification")

	s.follow("a", "Journal")
	s.heading("Journal des accès")
	s.follow("a", "Qui a consulté un patient")
	s.heading("Qui a consulté")
	s.pressIn("ins", maelle.INS.Extension+"\r")
	s.wait("the reading", `document.querySelector("main table")?.textContent.includes("Paul AUDIT")`)
	s.quiet()
}

// TestAdministratorByKeyboard: an administrator replays what failed, pauses a record system
// and resumes it, and makes an account; no document is offered to him.
func TestAdministratorByKeyboard(t *testing.T) {
	w := newWorld(t)
	if err := w.db.ConfigureDIs(t.Context(), []string{"dpi"}, nil); err != nil {
		t.Fatal(err)
	}
	handled := failOnce(w)
	a := w.receive(mail{subject: "Objet confidentiel"})
	for v := w.as("root"); len(find(v.page("/systeme"), "td form")) == 0 && t.Context().Err() == nil; { // the letter is there when the bus has written it
	}

	s := w.screen(t)
	s.login("root")
	s.follow(".menu a", "Système")
	s.heading("État du système")
	s.follow("button", "Rejouer")
	if got := <-handled; got.ID != a.ID {
		t.Errorf("replayed %s", got.ID)
	}
	s.there(".flash")
	s.follow("a", "Dossiers informatisés")
	s.heading("Dossiers informatisés")
	s.follow("button", "Mettre en pause")
	s.there("form[action$='/reprise'] button")
	s.follow("button", "Reprendre")
	s.there("form[action$='/pause'] button")

	s.follow(".menu a", "Système")
	s.heading("État du système")
	s.follow("a", "Comptes")
	s.heading("Comptes")
	s.follow("a", "Créer un compte")
	s.heading("Nouveau compte")
	s.fill("identifiant", "lucie")
	s.fill("nom", "Lucie NOUVELLE")
	s.tabTo(`document.activeElement.id === "profil"`)
	s.press("s") // by its first letter
	s.follow("main button[type=submit]", "Créer")
	s.wait("the account", `document.querySelector("h1")?.textContent.trim() === "lucie"`)
	if menu := s.eval(`document.querySelector(".menu").textContent`); strings.Contains(menu, "File") || strings.Contains(menu, "Recherche") {
		t.Errorf("the menu offers %q", menu)
	}
	s.quiet()
}
