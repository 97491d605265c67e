package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

func TestDecisions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := make(chan greffe.Decided, 10)
	ctx, stop := context.WithCancel(t.Context())
	consuming := make(chan error, 1)
	go func() {
		consuming <- bus.Consume(ctx, w.bus, bus.Decided, bus.Consumer{Name: "essai"}, func(_ context.Context, d greffe.Decided) error {
			_, err := w.db.SaveDecision(ctx, d) // as who applies it does: the next decision is about another revision
			got <- d
			return err
		})
	}()
	t.Cleanup(func() { stop(); <-consuming })

	refused := greffe.Outcome{DI: "dpi", Action: "T02", Control: "1", State: greffe.StateRefused, Code: "AE 902", Text: "Patient inconnu."}
	a := w.receive(mail{subject: "x", docs: []doc{
		{facts: cda1("1", 1, "Refusé", maelle), bytes: []byte("<a/>"), outcomes: []greffe.Outcome{refused}},
		{facts: cda1("2", 1, "Intégré", maelle), bytes: []byte("<b/>"), outcomes: []greffe.Outcome{accepted}},
		{facts: greffe.Document{Format: greffe.FormatImage, MediaType: "image/png"}, bytes: samplePNG(), outcomes: []greffe.Outcome{{State: greffe.StateTodo}}},
	}})
	v := w.as("claire")
	page := "/documents/" + string(a.Documents[0])

	r := v.post(page+"/decision", url.Values{"decision": {"retry"}})
	if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != page {
		t.Fatalf("retry: status %d to %q", r.StatusCode, r.Header.Get("Location"))
	}
	d := <-got
	if d.Document != a.Documents[0] || d.Verb != greffe.VerbRetry || d.By != "claire" || d.ID == "" || d.At.IsZero() {
		t.Errorf("decision %+v", d)
	}
	if !w.journalled("claire", "asked", string(a.Documents[0]), "retry") {
		t.Error("the decision is not in the journal")
	}
	if first := content(v.page(page)); !strings.Contains(first, "Renvoi au DI demandé") {
		t.Error("the page does not confirm")
	}
	if again := content(v.page(page)); strings.Contains(again, "Renvoi au DI demandé") {
		t.Error("the confirmation stays")
	}

	r = v.post(page+"/decision", url.Values{"decision": {"dismiss"}, "motif": {"  "}})
	if c := content(v.page(page)); r.StatusCode != http.StatusSeeOther || !strings.Contains(c, "Indiquez le motif") {
		t.Errorf("without a reason: status %d", r.StatusCode)
	}
	v.post(page+"/decision", url.Values{"decision": {"dismiss"}, "motif": {"Envoyé par erreur"}})
	second := <-got
	if second.Verb != greffe.VerbDismiss || second.Reason != "Envoyé par erreur" || second.ID == d.ID {
		t.Errorf("decision %+v", second)
	}

	for _, c := range []struct {
		name string
		n    int
		form url.Values
		want int
	}{
		{"the DI has it", 1, url.Values{"decision": {"retry"}}, http.StatusConflict},
		{"the DI has it", 1, url.Values{"decision": {"dismiss"}, "motif": {"pour rien"}}, http.StatusConflict},
		{"an image is nobody's", 2, url.Values{"decision": {"retry"}}, http.StatusConflict},
		{"no such verb", 0, url.Values{"decision": {"delete"}}, http.StatusBadRequest},
		{"nothing", 0, nil, http.StatusBadRequest},
	} {
		if r := v.post("/documents/"+string(a.Documents[c.n])+"/decision", c.form); r.StatusCode != c.want {
			t.Errorf("%s: status %d, want %d", c.name, r.StatusCode, c.want)
		}
	}
	select {
	case d := <-got:
		t.Errorf("a decision that is not allowed was published: %+v", d)
	default:
	}
}

// The clock of the host that records outcomes may be ahead of ours.
func TestDecisionComesAfterWhatWasSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := make(chan greffe.Decided, 1)
	ctx, stop := context.WithCancel(t.Context())
	consuming := make(chan error, 1)
	go func() {
		consuming <- bus.Consume(ctx, w.bus, bus.Decided, bus.Consumer{Name: "essai"}, func(_ context.Context, d greffe.Decided) error { got <- d; return nil })
	}()
	t.Cleanup(func() { stop(); <-consuming })
	refused := greffe.Outcome{DI: "dpi", Action: "T02", Control: "1", State: greffe.StateRefused, Code: "AE 902", Text: "Patient inconnu."}
	a := w.receive(mail{subject: "x", docs: []doc{{facts: cda1("1", 1, "Refusé", maelle), bytes: []byte("<a/>"), outcomes: []greffe.Outcome{refused}}}})
	ahead := time.Now().UTC().Add(time.Hour)
	refused.State, refused.At = greffe.StateIncident, ahead
	if _, err := w.db.SaveOutcome(t.Context(), a.Documents[0], refused, ""); err != nil {
		t.Fatal(err)
	}
	w.as("claire").post("/documents/"+string(a.Documents[0])+"/decision", url.Values{"decision": {"retry"}})
	if d := <-got; !d.At.After(ahead) {
		t.Errorf("decided at %s, the outcome is of %s", d.At, ahead)
	}
}

// failOnce is a service that gives the first message up, and handles those that follow.
func failOnce(w *world) <-chan greffe.Archived {
	var failed atomic.Bool
	return consume(w, bus.Archived, func(context.Context, greffe.Archived) error {
		if failed.CompareAndSwap(false, true) {
			return errors.Join(bus.ErrPermanent, errors.New("le service a échoué"))
		}
		return nil
	})
}

func TestDeadLettersAreReplayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	handled := failOnce(w)
	v := w.as("root")
	a := w.receive(mail{subject: "Objet confidentiel"})
	form := ""
	for form == "" && t.Context().Err() == nil { // the letter is there when the bus has written it
		if forms := find(v.page("/systeme"), "td form"); len(forms) == 1 {
			form = attr(forms[0], "action")
		}
	}
	all := content(v.page("/systeme"))
	if !strings.Contains(all, "le service a échoué") || !strings.Contains(all, string(a.ID)) || strings.Contains(all, "confidentiel") {
		t.Errorf("the page says: %s", all)
	}
	if r := v.post(form, nil); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("replay: status %d", r.StatusCode)
	}
	if got := <-handled; got.ID != a.ID {
		t.Errorf("replayed %s", got.ID)
	}
	if !w.journalled("root", "replayed", string(a.ID), "ok") {
		t.Error("the replay is not in the journal")
	}
}
