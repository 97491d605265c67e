package console

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// consume gives what is published on a topic, after apply (nil: nothing) was done.
func consume[T any](w *world, topic bus.Topic[T], apply func(context.Context, T) error) chan T {
	w.t.Helper()
	got := make(chan T, 100)
	ctx, stop := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() {
		done <- bus.Consume(ctx, w.bus, topic, bus.Consumer{Name: "essai-" + topic.Name}, func(ctx context.Context, e T) error {
			if apply != nil {
				if err := apply(ctx, e); err != nil {
					return err
				}
			}
			got <- e
			return nil
		})
	}()
	w.t.Cleanup(func() { stop(); <-done })
	return got
}

// second adds a second secretary of cardiology.
func (w *world) second() {
	w.t.Helper()
	if err := w.db.SaveUser(w.t.Context(), index.User{Login: "nadia", Name: "Nadia SECOND", Role: "secretary", Places: []string{cardio}, Hash: hashed()}); err != nil {
		w.t.Fatal(err)
	}
}

var unknownPatient = greffe.Outcome{DI: "dpi", Action: "T02", Control: "1", State: greffe.StateRefused, Code: "AE 902", Text: "Patient inconnu."}

// TestTriage: a message of a person without documents can be closed, and taken up again;
// what waits can be put off, passed on and moved; each decision is an event that is
// applied by storage, here by the index alone.
func TestTriage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.second()
	w.console.cfg.About = map[string]About{radio: {Service: "3436 Radiologie"}}
	got := consume(w, bus.Triaged, func(ctx context.Context, d greffe.Triaged) error { _, err := w.db.SaveTriage(ctx, d); return err })
	a := w.receive(mail{subject: "Question", kind: greffe.KindText, body: "Pouvez-vous me rappeler ?"})
	path := "/messages/" + string(a.ID)
	v := w.as("claire")
	decide := func(form url.Values) answer {
		t.Helper()
		return v.post(path+"/decision", form)
	}
	is := func(state greffe.State) index.Detail {
		t.Helper()
		m, err := w.db.Message(t.Context(), a.ID)
		if err != nil || m.State != state {
			t.Errorf("state %q, want %q, %v", m.State, state, err)
		}
		return m
	}
	if page := content(v.page(path + "?etat=a-traiter")); !strings.Contains(page, "Classer ce message") {
		t.Error("the message cannot be closed")
	}
	if decide(url.Values{"decision": {"close"}}); len(got) != 0 || !strings.Contains(content(v.page(path)), "Indiquez le motif") {
		t.Error("closed without a reason")
	}
	decide(url.Values{"decision": {"close"}, "motif": {"Rappelé ce matin"}})
	if d := <-got; d.Verb != greffe.VerbClose || d.By != "claire" || d.Reason != "Rappelé ce matin" || d.Message != a.ID {
		t.Errorf("%+v", d)
	}
	is(greffe.StateDismissed)
	page := v.page("/file")
	if undo := find(page, ".flash form"); len(undo) != 1 || attr(undo[0], "action") != path+"/decision" {
		t.Error("no way to take it back at once")
	}
	if r := decide(url.Values{"decision": {"close"}, "motif": {"encore"}}); r.StatusCode != http.StatusConflict {
		t.Errorf("closed twice: status %d", r.StatusCode)
	}
	decide(url.Values{"decision": {"reopen"}})
	<-got
	is(greffe.StateTodo)

	day := time.Now().AddDate(0, 0, 3).Format(time.DateOnly)
	decide(url.Values{"decision": {"later"}, "jour": {time.Now().AddDate(0, 0, -1).Format(time.DateOnly)}})
	if decide(url.Values{"decision": {"later"}, "jour": {day}}); (<-got).Until.Format(time.DateOnly) > day {
		t.Error("not put off to that day")
	}
	if rows := find(v.page("/file?etat=a-traiter"), "#lignes tr"); len(rows) != 0 {
		t.Error("what was put off is still to be done")
	}
	if rows := find(v.page("/file?etat=a-traiter&quoi=plus-tard"), "#lignes tr"); len(rows) != 1 {
		t.Error("what was put off is nowhere")
	}
	decide(url.Values{"decision": {"later"}, "reprendre": {"1"}})
	<-got
	decide(url.Values{"decision": {"pass"}, "collegue": {greffe.MailboxKey("nadia")}})
	if d := <-got; d.To != "nadia" {
		t.Errorf("%+v", d)
	}
	if rows := find(w.as("nadia").page("/file?etat=a-traiter&quoi=moi"), "#lignes tr"); len(rows) != 1 {
		t.Error("what was passed on is not found")
	}
	// To another service: its people see it then, nobody of it before.
	other := w.as("radio")
	if r := other.get(path); r.StatusCode != http.StatusNotFound {
		t.Errorf("radiology sees it before: status %d", r.StatusCode)
	}
	decide(url.Values{"decision": {"move"}, "service": {greffe.MailboxKey(radio)}, "motif": {"Pour la radiologie"}})
	<-got
	if rows := find(other.page("/file?etat=a-traiter"), "#lignes tr"); len(rows) != 1 || !strings.Contains(text(rows[0]), "venu de cardiologie") {
		t.Error("radiology does not have it")
	}
	other.page(path)
	if rows := find(v.page("/file?etat=a-traiter"), "#lignes tr"); len(rows) != 0 {
		t.Error("cardiology still has it")
	}
	decide(url.Values{"decision": {"hold"}, "motif": {"Dossier 2026-12"}})
	if d := <-got; d.Verb != greffe.VerbHold {
		t.Errorf("%+v", d)
	}
	if m := is(greffe.StateTodo); len(m.Triages) != 7 {
		t.Errorf("%d decisions recorded", len(m.Triages))
	}
	if r := decide(url.Values{"decision": {"steal"}}); r.StatusCode != http.StatusBadRequest {
		t.Errorf("no such verb: status %d", r.StatusCode)
	}
}

// TestTwoPeople: the name of who has it open is on the list of the others, who cannot
// decide about it; taking over is possible and said; of two who decide at once one does.
func TestTwoPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.second()
	got := consume(w, bus.Decided, nil) // nobody applies it yet: the state on both screens stays
	a := w.receive(mail{subject: "x", docs: []doc{{facts: cda1("1", 1, "Refusé", maelle), bytes: []byte("<a/>"), outcomes: []greffe.Outcome{unknownPatient}}}})
	path := "/documents/" + string(a.Documents[0])
	claire, nadia := w.as("claire"), w.as("nadia")
	if page := content(claire.page(path + "?etat=a-traiter")); !strings.Contains(page, "Vous avez ce message en main") {
		t.Error("who opened it is not told")
	}
	if row := text(find(nadia.page("/file?etat=a-traiter"), "#lignes tr")[0]); !strings.Contains(row, "Claire LEMAIRE") {
		t.Errorf("the list does not name who has it: %s", row)
	}
	page := nadia.page(path)
	if !strings.Contains(content(page), "Claire LEMAIRE a ouvert ce message pour décider") {
		t.Error("the other is not told")
	}
	if r := nadia.post(path+"/decision", url.Values{"decision": {"retry"}}); r.StatusCode != http.StatusConflict || !strings.Contains(r.body, "n’a pas été prise") {
		t.Errorf("decided although another one has it: status %d", r.StatusCode)
	}
	nadia.post("/messages/"+string(a.ID)+"/reprendre", url.Values{"retour": {path}})
	if !w.journalled("nadia", "taken-over", string(a.ID), "ok") {
		t.Error("taking over is not journalled")
	}
	if r := claire.post("/messages/"+string(a.ID)+"/prise", nil); r.StatusCode != http.StatusConflict || !strings.Contains(r.body, "Nadia SECOND") {
		t.Errorf("who lost it is not told: status %d %s", r.StatusCode, r.body)
	}
	rev := attr(find(nadia.page(path), ".decision input")[1], "value")
	// Both press at the same time; who was first is alone.
	claire.post("/messages/"+string(a.ID)+"/reprendre", nil)
	first := claire.post(path+"/decision", url.Values{"decision": {"retry"}, "rev": {rev}})
	second := nadia.post(path+"/decision", url.Values{"decision": {"dismiss"}, "motif": {"pour rien"}, "rev": {rev}})
	if first.StatusCode != http.StatusSeeOther || second.StatusCode != http.StatusConflict {
		t.Errorf("status %d and %d", first.StatusCode, second.StatusCode)
	}
	if d := <-got; d.By != "claire" || d.Verb != greffe.VerbRetry || len(got) != 0 {
		t.Errorf("%+v and %d more", d, len(got))
	}
	// What was seen is no longer so.
	w.outcome(a, 0, greffe.Outcome{DI: "dpi", Control: "2", State: greffe.StateRefused, Code: "AE 904", Text: "Traits différents."})
	if r := claire.post(path+"/decision", url.Values{"decision": {"retry"}, "rev": {rev}}); r.StatusCode != http.StatusConflict {
		t.Errorf("decided about what is no longer so: status %d", r.StatusCode)
	}
	// Leaving gives it back.
	claire.page(path)
	if r := claire.post("/messages/"+string(a.ID)+"/rendre", nil); r.StatusCode != http.StatusNoContent {
		t.Errorf("leaving: status %d", r.StatusCode)
	}
	if r := nadia.post(path+"/decision", url.Values{"decision": {"retry"}}); r.StatusCode != http.StatusSeeOther {
		t.Errorf("it was left: status %d", r.StatusCode)
	}
}

// TestBulk: what was chosen is counted and named before; exactly that is decided about,
// but what changed since.
func TestBulk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.second()
	got := consume(w, bus.Decided, nil)
	var all []greffe.Archived
	for i := range 5 {
		all = append(all, w.receive(mail{subject: "x" + strconv.Itoa(i), docs: []doc{{facts: cda1(strconv.Itoa(i), 1, "Refusé", maelle), bytes: []byte("<a>" + strconv.Itoa(i) + "</a>"), outcomes: []greffe.Outcome{unknownPatient}}}}))
	}
	v := w.as("claire")
	bare := w.receive(mail{subject: "Sans titre", kind: greffe.KindText, body: "x"})
	if r := v.post("/file/groupe", url.Values{"m": {string(bare.ID)}}); r.StatusCode != http.StatusOK || !strings.Contains(r.body, "Sans titre") {
		t.Errorf("a message without a document: status %d", r.StatusCode)
	}
	page := parse(t, v.post("/file/groupe", url.Values{"filtre": {"etat=a-traiter&motif=unknown"}, "tous": {"1"}}).body)
	if c := content(page); !strings.Contains(c, "exactement ces 5 messages") || !strings.Contains(c, "Patient inconnu") {
		t.Errorf("the page says %s", c)
	}
	// Since then: one came, one has another state, one is open on another screen.
	w.receive(mail{subject: "nouveau", docs: []doc{{facts: cda1("9", 1, "Refusé", maelle), bytes: []byte("<z/>"), outcomes: []greffe.Outcome{unknownPatient}}}})
	w.outcome(all[0], 0, accepted)
	w.as("nadia").page("/documents/" + string(all[1].Documents[0]))
	action := attr(find(page, ".decision form")[0], "action")
	to := v.post(action, url.Values{"decision": {"retry"}}).Header.Get("Location")
	said := content(v.page(to))
	if !strings.Contains(said, "Décision prise pour 3 messages sur 5. 1 message a changé entre-temps et a été laissé. 1 message ouvert par une autre personne a été laissé.") {
		t.Errorf("the page says %s", said)
	}
	for range 3 {
		d := <-got
		if d.Document == all[0].Documents[0] || d.Document == all[1].Documents[0] {
			t.Errorf("decided about %s", d.Document)
		}
	}
	if len(got) != 0 {
		t.Errorf("%d decisions too many", len(got))
	}
	if to := v.post(action, url.Values{"decision": {"retry"}}).Header.Get("Location"); !strings.Contains(content(v.page(to)), "a déjà servi") {
		t.Error("a choice serves twice")
	}
	if r := v.post("/file/groupe", url.Values{"m": {"x"}}); r.StatusCode != http.StatusSeeOther {
		t.Errorf("nothing chosen: status %d", r.StatusCode)
	}
}

// TestPatientDecision: whom a document is about, with the comparison that was on the
// screen; a strict trait that differs asks for the birth date.
func TestPatientDecision(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := consume(w, bus.Decided, nil)
	other := maelle
	other.BirthFamily = "ESSAI-AUTRE"
	f := cda1("1", 1, "Compte rendu", maelle)
	f.Announced = maelle
	a := w.receive(mail{subject: "x", docs: []doc{{facts: f, bytes: []byte("<a/>"), body: reportPDF("a"), outcomes: []greffe.Outcome{{State: greffe.StateTodo, Code: "trait-differs", Text: "L’identité diffère.",
		Candidates: []greffe.Candidate{{Patient: other, Status: "QUAL"}}}}}}})
	v := w.as("claire")
	path := "/documents/" + string(a.Documents[0]) + "/patient"
	page := v.page(path + "?etat=a-traiter")
	all := content(page)
	for _, want := range []string{"METADATA.XML", "≠ diffère", "✓ identique", "Ce qui diffère : le nom.", "Celui que nomme le document", "QUAL", "Ne s’annule pas"} {
		if !strings.Contains(all, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	key := candidateKey(other)
	if r := v.post(path, url.Values{"patient": {key}}); r.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(r.body, "Un trait strict diffère") {
		t.Errorf("without the birth date: status %d", r.StatusCode)
	}
	if r := v.post(path, url.Values{"patient": {key}, "confirmation": {"1985-02-15"}}); r.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("with another birth date: status %d", r.StatusCode)
	}
	if r := v.post(path, url.Values{"patient": {"0123456789abcdef"}}); r.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a candidate that was not shown: status %d", r.StatusCode)
	}
	if r := v.post(path, url.Values{"patient": {"saisie"}, "ins": {"285022999907752"}, "autorite": {"test"}}); r.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(r.body, "Ce trait est obligatoire") {
		t.Errorf("typed in part: status %d", r.StatusCode)
	}
	if len(got) != 0 {
		t.Fatal("something was decided")
	}
	if r := v.post(path, url.Values{"patient": {key}, "confirmation": {"14/02/1985"}, "retenir": {"1"}}); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d %s", r.StatusCode, r.body)
	}
	d := <-got
	if d.Verb != greffe.VerbAttach || d.Patient == nil || d.Patient.BirthFamily != "ESSAI-AUTRE" || !d.Remember || len(d.Compared) != 8 || d.Compared[1].Is != "differs" {
		t.Errorf("%+v", d)
	}
	if !w.journalled("claire", "asked", string(a.Documents[0]), "attach") {
		t.Error("not journalled")
	}
}

// TestViewsAndKeys: what a person keeps is hers, and no address says what it is.
func TestViewsAndKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.receive(mail{subject: "Courrier", from: greffe.Address{Name: "Dr MARTEL", Address: "martel@cabinet.example"}, docs: []doc{{facts: cda1("1", 1, "Lettre", maelle), bytes: []byte("<a/>"), outcomes: []greffe.Outcome{unknownPatient}}}})
	v := w.as("claire")
	to := v.post("/file", url.Values{"etat": {"a-traiter"}, "texte": {"essai-kervella"}, "age": {"7"}, "exp": {greffe.MailboxKey("martel@cabinet.example")}}).Header.Get("Location")
	if rows := find(v.page(to), "#lignes tr"); len(rows) != 1 || strings.Contains(strings.ToLower(to), "kervella") || strings.Contains(to, "martel") {
		t.Errorf("%d rows at %s", len(rows), to)
	}
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	v.post("/file/vues", url.Values{"nom": {"Dr Martel"}, "filtre": {u.RawQuery}})
	link := attr(find(v.page("/file"), ".views a")[0], "href")
	again := w.as("claire") // another session: the text comes with the view
	opened := again.get(link).Header.Get("Location")
	if rows := find(again.page(opened), "#lignes tr"); strings.Contains(link+opened, "artel") || len(rows) != 1 || attr(find(again.page(opened), "#texte")[0], "value") != "essai-kervella" {
		t.Errorf("the view leads to %s", opened)
	}
	if views := find(w.as("paul").page("/file"), ".views a"); len(views) != 0 {
		t.Error("a view of somebody else")
	}
	form := url.Values{"actifs": {"1"}}
	for _, k := range commands {
		form.Set(k.ID, k.Default)
	}
	form.Set("suivant", "s")
	v.post("/raccourcis", form)
	if keys := attr(find(w.as("claire").page("/file"), "body")[0], "data-touches"); !strings.Contains(keys, `"s":"suivant"`) || strings.Contains(keys, `"j"`) {
		t.Errorf("keys %s", keys)
	}
	form.Set("precedent", "s")
	if r := v.post("/raccourcis", form); r.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("one key twice: status %d", r.StatusCode)
	}
	v.post("/raccourcis", url.Values{})
	if keys := attr(find(v.page("/file"), "body")[0], "data-touches"); keys != "{}" {
		t.Errorf("turned off: %s", keys)
	}
}
