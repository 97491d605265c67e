package console

import (
	"net/http"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

// What its author masked to professionals is opened by those who look after the mailbox and
// by auditors; a professional learns that it is masked, from whom to ask, and nothing of it.
func TestMaskedToProfessionals(t *testing.T) {
	t.Parallel()
	for _, shown := range []bool{false, true} {
		w := newWorldWith(t, func(c *Config) { c.MaskedShown = shown })
		facts := cda1("1", 1, "Confidence", maelle)
		facts.Confidentiality = append(facts.Confidentiality, greffe.Code{Code: greffe.MaskedToProfessionals})
		plain := cda1("2", 1, "Lettre", maelle)
		a := w.receive(mail{mailbox: cardio, folder: "INBOX/Dr Martin", subject: "Objet confidentiel", body: "texte", docs: []doc{
			{facts: facts, bytes: []byte("<m/>"), body: reportPDF("Confidence"), outcomes: []greffe.Outcome{{State: greffe.StateTodo, Code: "masked", Text: "Masqué."}}},
			{facts: plain, bytes: []byte("<p/>"), body: reportPDF("Lettre")}}})
		masked, other := "/documents/"+string(a.Documents[0]), "/documents/"+string(a.Documents[1])
		message := "/messages/" + string(a.ID)
		for _, who := range []string{"claire", "martin", "paul"} {
			refused := who == "martin" && !shown
			v := w.as(who)
			want := http.StatusOK
			if refused {
				want = http.StatusForbidden
			}
			for _, path := range []string{masked, masked + "/file", masked + "/telechargement", message, message + "/original", message + "/parties/0"} {
				if got, _ := v.status(t, "GET", path); got != want {
					t.Errorf("%s by %s: %d, want %d", path, who, got, want)
				}
			}
			if got, _ := v.status(t, "GET", other); got != http.StatusOK {
				t.Errorf("the document beside it by %s: %d", who, got)
			}
			list := v.get("/file?etat=tous").body
			if !strings.Contains(list, "masqué</span>") || strings.Contains(list, "Confidence") == refused || refused && strings.Contains(list, "Objet confidentiel") {
				t.Errorf("the list of %s:\n%s", who, list)
			}
			if !refused {
				continue
			}
			if page := v.get(masked).body; !strings.Contains(page, "masqué ce document") || !strings.Contains(page, "secrétariat de la boîte") || strings.Contains(page, "Confidence") {
				t.Errorf("the page does not say why:\n%s", page)
			}
			for _, id := range []string{string(a.Documents[0]), string(a.ID)} {
				if !w.journalled("martin", "denied", id, "refused") {
					t.Errorf("the refusal of %s is not in the journal", id)
				}
			}
		}
	}
}
