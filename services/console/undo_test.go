package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// settled applies a decision about a document as the integrator does.
func (w *world) settled(ctx context.Context, d greffe.Decided) error {
	if _, err := w.db.SaveDecision(ctx, d); err != nil {
		return err
	}
	o, ok := map[greffe.Verb]greffe.Outcome{
		greffe.VerbDismiss: {State: greffe.StateDismissed, Code: greffe.CodeDecision},
		greffe.VerbReopen:  {State: greffe.StateTodo, Code: greffe.CodeReopened},
		greffe.VerbCopy:    {State: greffe.StateDuplicate, Code: greffe.CodeDecision},
	}[d.Verb]
	if !ok {
		return nil
	}
	o.Text, o.At = d.Reason, d.At.Add(time.Millisecond)
	_, err := w.db.SaveOutcome(ctx, d.Document, o, d.Of)
	return err
}

// placed applies a decision about a message as the storage service does.
func (w *world) placed(ctx context.Context, d greffe.Triaged) error {
	if d.Verb == greffe.VerbHold || d.Verb == greffe.VerbRelease {
		if err := w.db.SaveHold(ctx, index.Hold{Message: d.Message, By: d.By, Reason: d.Reason}, d.Verb == greffe.VerbHold); err != nil {
			return err
		}
	}
	_, err := w.db.SaveTriage(ctx, d)
	return err
}

// formOf returns the form of a page for a decision; nil when it has none.
func formOf(page *html.Node, verb greffe.Verb) *html.Node {
	for _, form := range find(page, "form") {
		for _, in := range find(form, "input") {
			if attr(in, "name") == "decision" && attr(in, "value") == string(verb) {
				return form
			}
		}
	}
	return nil
}

// send posts a form with what it carries by itself and what a person typed.
func (v *visitor) send(form *html.Node, typed url.Values) answer {
	v.w.t.Helper()
	if form == nil {
		v.w.t.Fatal("the page has no such form")
	}
	values := url.Values{}
	for _, in := range find(form, "input") {
		if attr(in, "type") == "hidden" {
			values.Add(attr(in, "name"), attr(in, "value"))
		}
	}
	for name, v := range typed {
		values[name] = v
	}
	a := v.post(attr(form, "action"), values)
	if a.StatusCode != http.StatusSeeOther {
		v.w.t.Fatalf("%s: status %d\n%s", attr(form, "action"), a.StatusCode, a.body)
	}
	return a
}

// TestCopyOfAnotherDocument: a document is called the copy of one that the DI has, of the
// same patient and within reach of the person; of nothing else. A script does the same.
func TestCopyOfAnotherDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := consume(w, bus.Decided, w.settled)
	one := func(set, mailbox string, p greffe.Patient, o greffe.Outcome) greffe.DocumentID {
		return w.receive(mail{mailbox: mailbox, subject: set, docs: []doc{{facts: cda1(set, 1, "Lettre "+set, p), bytes: []byte("<d" + set + "/>"), body: reportPDF(set), outcomes: []greffe.Outcome{o}}}}).Documents[0]
	}
	had := one("1", cardio, maelle, accepted)
	waiting := one("2", cardio, maelle, unknownPatient)
	again := one("3", cardio, maelle, unknownPatient)
	elsewhere, another := one("4", radio, maelle, accepted), one("5", cardio, dominique, accepted)
	v := w.as("claire")
	at := "/documents/" + string(again)
	form := formOf(v.page(at), greffe.VerbCopy)
	var offered []string
	for _, in := range find(form, "input") {
		if attr(in, "name") == "original" {
			offered = append(offered, attr(in, "value"))
		}
	}
	if !slices.Equal(offered, []string{string(had)}) {
		t.Errorf("offered as originals: %q, want %s alone", offered, had)
	}
	if !strings.Contains(text(form), "Ne s’annule pas") {
		t.Error("the form does not say that it cannot be undone")
	}
	for name, id := range map[string]greffe.DocumentID{"nothing chosen": "", "one that waits itself": waiting, "of another mailbox": elsewhere, "of another patient": another, "itself": again} {
		v.send(form, url.Values{"original": {string(id)}})
		if said := content(v.page(at)); len(got) != 0 || !strings.Contains(said, "Choisissez le document dont celui-ci est le doublon") {
			t.Errorf("%s: decided, or not told why not", name)
		}
	}
	v.send(form, url.Values{"original": {string(had)}})
	if d := <-got; d.Verb != greffe.VerbCopy || d.Document != again || d.Of != had || d.By != "claire" || d.Reason == "" {
		t.Errorf("%+v", d)
	}
	page := v.page(at)
	if !strings.Contains(content(page), "classement comme doublon demandé") {
		t.Error("the page does not confirm")
	}
	if links := find(page, ".standing a"); len(links) != 1 || attr(links[0], "href") != "/documents/"+string(had) {
		t.Error("the page of the copy does not lead to the original")
	}
	if formOf(page, greffe.VerbReopen) != nil {
		t.Error("what cannot be undone is offered to be undone")
	}
	if !w.journalled("claire", "asked", string(again), "copy") {
		t.Error("not in the journal")
	}

	s := w.script("secretary", cardio)
	api := "/api/v1/documents/" + string(waiting)
	var d apiDoc
	s.must(http.StatusOK, &d, "GET", api, nil)
	if !slices.Contains(d.Allowed, greffe.VerbCopy) {
		t.Errorf("a script may %v", d.Allowed)
	}
	s.must(http.StatusAccepted, nil, "POST", api+"/decisions", map[string]any{"decision": "copy", "revision": d.Revision, "original": string(had)}, "Idempotency-Key", "doublon-1")
	if d := <-got; d.Verb != greffe.VerbCopy || d.Document != waiting || d.Of != had || d.By != s.token.Actor() {
		t.Errorf("%+v", d)
	}
	if s.must(http.StatusOK, &d, "GET", api, nil); d.State != greffe.StateDuplicate {
		t.Errorf("the copy of a script is %q", d.State)
	}
}

// TestHoldIsLifted: the form that ends a legal hold is there while it lasts, asks for a
// reference and is carried out.
func TestHoldIsLifted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := consume(w, bus.Triaged, w.placed)
	a := w.receive(mail{subject: "Contentieux", docs: []doc{{facts: cda1("1", 1, "Lettre", maelle), bytes: []byte("<a/>"), body: reportPDF("a"), outcomes: []greffe.Outcome{accepted}}}})
	v := w.as("claire")
	at := "/messages/" + string(a.ID)
	page := v.page(at)
	if formOf(page, greffe.VerbRelease) != nil {
		t.Error("a hold that is none can be lifted")
	}
	v.send(formOf(page, greffe.VerbHold), url.Values{"motif": {"Dossier 2026-12"}})
	<-got
	page = v.page(at)
	if !strings.Contains(content(page), "« Dossier 2026-12 »") || formOf(page, greffe.VerbHold) != nil {
		t.Error("the page does not show the hold, or offers another one")
	}
	lift := formOf(page, greffe.VerbRelease)
	if v.send(lift, url.Values{"motif": {" "}}); len(got) != 0 || !strings.Contains(content(v.page(at)), "Le gel dure toujours") {
		t.Error("lifted without a reference, or not told")
	}
	v.send(lift, url.Values{"motif": {"Jugement du 20 novembre"}})
	if d := <-got; d.Verb != greffe.VerbRelease || d.Message != a.ID || d.By != "claire" || d.Reason != "Jugement du 20 novembre" {
		t.Errorf("%+v", d)
	}
	if _, held, err := w.db.HoldOf(t.Context(), a.ID); err != nil || held {
		t.Errorf("still held: %v, %v", held, err)
	}
	page = v.page(at)
	if formOf(page, greffe.VerbRelease) != nil || formOf(page, greffe.VerbHold) == nil || len(find(page, ".held")) != 0 {
		t.Error("the page shows the hold after its end")
	}
	if !w.journalled("claire", "asked", string(a.ID), "release") || !w.journalled("claire", "released", string(a.ID), "ok") {
		t.Error("not in the journal")
	}
}

// TestDecisionsAreUndone: what can be undone is, by the button after it and by the form on
// the page, as often as a person changes her mind; the journal has all of it.
func TestDecisionsAreUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.second()
	triaged, decided := consume(w, bus.Triaged, w.placed), consume(w, bus.Decided, w.settled)
	a := w.receive(mail{subject: "Lettre", docs: []doc{{facts: cda1("1", 1, "Lettre", maelle), bytes: []byte("<a/>"), body: reportPDF("a"), outcomes: []greffe.Outcome{unknownPatient}}}})
	v, nadia := w.as("claire"), w.as("nadia")
	message, document := "/messages/"+string(a.ID), "/documents/"+string(a.Documents[0])
	rows := func(who *visitor, path string) int { t.Helper(); return len(find(who.page(path), "#lignes tr")) }
	// after is the button that takes back what was just decided; it is there once.
	after := func(at string, verb greffe.Verb) *html.Node {
		t.Helper()
		forms := find(v.page(at), ".flash form")
		if len(forms) != 1 || formOf(forms[0].Parent, verb) != forms[0] {
			t.Fatalf("after the decision %d buttons take it back", len(forms))
		}
		if len(find(v.page(at), ".flash form")) != 0 {
			t.Error("the button stays")
		}
		return forms[0]
	}
	const todo, later, mine = "/file?etat=a-traiter", "/file?etat=a-traiter&quoi=plus-tard", "/file?etat=a-traiter&quoi=moi"

	day := time.Now().AddDate(0, 0, 3).Format(time.DateOnly)
	for _, how := range []string{"by the button", "on the page"} {
		v.send(formOf(v.page(message), greffe.VerbLater), url.Values{"jour": {day}})
		if d := <-triaged; d.Verb != greffe.VerbLater || d.Until.IsZero() {
			t.Fatalf("%+v", d)
		}
		button := after(todo, greffe.VerbLater)
		if rows(v, todo) != 0 || rows(v, later) != 1 {
			t.Error("it was not put off")
		}
		if how != "by the button" {
			button = formOf(v.page(message), greffe.VerbLater)
		}
		v.send(button, nil)
		if d := <-triaged; d.Verb != greffe.VerbLater || !d.Until.IsZero() || d.By != "claire" {
			t.Errorf("later, %s: %+v", how, d)
		}
		if rows(v, todo) != 1 || rows(v, later) != 0 {
			t.Errorf("later, %s: it is not to be done again", how)
		}

		v.send(formOf(v.page(message), greffe.VerbPass), url.Values{"collegue": {greffe.MailboxKey("nadia")}})
		if d := <-triaged; d.Verb != greffe.VerbPass || d.To != "nadia" {
			t.Fatalf("%+v", d)
		}
		button = after(todo, greffe.VerbPass)
		if rows(nadia, mine) != 1 {
			t.Error("it was not passed on")
		}
		if how != "by the button" {
			button = formOf(v.page(message), greffe.VerbPass)
		}
		v.send(button, nil)
		if d := <-triaged; d.Verb != greffe.VerbPass || d.To != "" || d.By != "claire" {
			t.Errorf("pass, %s: %+v", how, d)
		}
		if rows(nadia, mine) != 0 || rows(v, todo) != 1 {
			t.Errorf("pass, %s: it is still hers", how)
		}

		v.send(formOf(v.page(document), greffe.VerbDismiss), url.Values{"motif": {"Envoyé par erreur"}})
		if d := <-decided; d.Verb != greffe.VerbDismiss || d.Reason != "Envoyé par erreur" {
			t.Fatalf("%+v", d)
		}
		button = after(document, greffe.VerbReopen)
		if rows(v, todo) != 0 {
			t.Error("it was not put aside")
		}
		if how != "by the button" {
			button = formOf(v.page(document), greffe.VerbReopen)
		}
		v.send(button, nil)
		if d := <-decided; d.Verb != greffe.VerbReopen || d.Document != a.Documents[0] || d.By != "claire" {
			t.Errorf("dismiss, %s: %+v", how, d)
		}
		if page := v.page(document); rows(v, todo) != 1 || formOf(page, greffe.VerbReopen) != nil || formOf(page, greffe.VerbDismiss) == nil {
			t.Errorf("dismiss, %s: it is not to be done again", how)
		}
	}
	asked := map[string]int{}
	for _, e := range w.journal() {
		if e.Actor == "claire" && e.Action == "asked" {
			asked[e.Result]++
		}
	}
	for verb, want := range map[greffe.Verb]int{greffe.VerbLater: 4, greffe.VerbPass: 4, greffe.VerbDismiss: 2, greffe.VerbReopen: 2} {
		if asked[string(verb)] != want {
			t.Errorf("the journal has %d times %s, want %d", asked[string(verb)], verb, want)
		}
	}
}
