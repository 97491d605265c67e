package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
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
		later := w.receive(mail{mailbox: cardio, folder: "INBOX/Dr Martin", subject: "Suite", docs: []doc{{facts: cda1("1", 2, "Suite", maelle), bytes: []byte("<n/>"), body: reportPDF("Suite")}}})
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
			// What a script with a token of the same role is given says no more than the pages do.
			role := map[string]string{"claire": "secretary", "martin": "professional", "paul": "auditor"}[who]
			places := []string{cardio}
			if role == "auditor" {
				places = []string{index.Everywhere}
			}
			api := w.script(role, places...)
			rows, found := api.must(http.StatusOK, nil, "GET", "/api/v1/queue", nil).body, api.must(http.StatusOK, nil, "POST", "/api/v1/search", map[string]any{"name": maelle.BirthFamily}).body
			asked := api.must(http.StatusOK, nil, "POST", "/api/v1/queue/search", map[string]any{"text": "confidentiel"}).body
			for what, body := range map[string]string{"the queue": rows, "the search": found, "the search in the queue": asked} {
				if strings.Contains(body, "Confidence") == refused || refused && (strings.Contains(body, "Objet confidentiel") || strings.Contains(body, string(a.Documents[0])) == (what == "the search")) {
					t.Errorf("%s for a token of %s: %s", what, who, body)
				}
			}
			if !strings.Contains(found, "Lettre") || !strings.Contains(rows, string(a.ID)) {
				t.Errorf("%s is not shown what is not masked: %s %s", who, rows, found)
			}
			// Another version of the same document that is not masked does not name the one that is.
			if page := v.get("/documents/" + string(later.Documents[0])).body; strings.Contains(page, "Confidence") == refused || strings.Contains(page, string(a.Documents[0])) == refused {
				t.Errorf("the next version as %s sees it:\n%s", who, page)
			}
			if _, at := v.found(url.Values{"message-id": {"1@cabinet.example"}}); strings.Contains(content(v.page(at)), "Objet confidentiel") == refused {
				t.Errorf("%s finds the message by its name: %v", who, !refused)
			}
			if !refused {
				continue
			}
			for _, id := range []string{string(a.Documents[0]), string(a.Documents[0]) + "/content", string(a.Documents[0]) + "/history"} {
				api.refused(http.StatusForbidden, "masked", "GET", "/api/v1/documents/"+id, nil)
			}
			for _, id := range []string{string(a.ID), string(a.ID) + "/original", string(a.ID) + "/parts/0", string(a.ID) + "/history"} {
				api.refused(http.StatusForbidden, "masked", "GET", "/api/v1/messages/"+id, nil)
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

// What is masked is sent by nobody: not from its page, not among others, not by a script.
func TestMaskedIsNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := consume(w, bus.Decided, nil)
	facts := cda1("1", 1, "Confidence", maelle)
	facts.Confidentiality = append(facts.Confidentiality, greffe.Code{Code: greffe.MaskedToProfessionals})
	held := greffe.Outcome{State: greffe.StateTodo, Code: "masked", Text: "Masqué."}
	masked := w.receive(mail{subject: "x", docs: []doc{{facts: facts, bytes: []byte("<m/>"), outcomes: []greffe.Outcome{held}}}})
	plain := w.receive(mail{subject: "y", docs: []doc{{facts: cda1("2", 1, "Lettre", maelle), bytes: []byte("<p/>"), outcomes: []greffe.Outcome{unknownPatient}}}})
	v := w.as("claire")
	at := string(masked.Documents[0])
	if r := v.post("/documents/"+at+"/decision", url.Values{"decision": {"retry"}}); r.StatusCode != http.StatusConflict {
		t.Errorf("from its page: %d", r.StatusCode)
	}
	page := parse(t, v.post("/file/groupe", url.Values{"m": {string(masked.ID), string(plain.ID)}}).body)
	to := v.post(attr(find(page, ".decision form")[0], "action"), url.Values{"decision": {"retry"}}).Header.Get("Location")
	if said := content(v.page(to)); !strings.Contains(said, "Décision prise pour 1 message sur 2. 1 message ne se prêtait pas à cette décision.") {
		t.Errorf("among others: %s", said)
	}
	if d := <-got; d.Document != plain.Documents[0] {
		t.Errorf("sent: %s", d.Document)
	}
	var d apiDoc
	s := w.script("secretary", cardio)
	s.must(http.StatusOK, &d, "GET", "/api/v1/documents/"+at, nil)
	if slices.Contains(d.Allowed, greffe.VerbRetry) || slices.Contains(d.Allowed, greffe.VerbAttach) || !slices.Contains(d.Allowed, greffe.VerbRefuse) || !slices.Contains(d.Allowed, greffe.VerbDismiss) {
		t.Errorf("a script may %v", d.Allowed)
	}
	s.refused(http.StatusConflict, "state", "POST", "/api/v1/documents/"+at+"/decisions", map[string]any{"decision": "retry", "revision": d.Revision}, "Idempotency-Key", "cle-00001")
	if len(got) != 0 {
		t.Errorf("%d decisions too many", len(got))
	}
}
