package console

import (
	"net/http"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

// Administrators see what stands before each DI, pause it and resume it.
func TestQueuesOfDIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.db.ConfigureDIs(t.Context(), []string{"dpi", "ris"}, []string{"essai"}); err != nil {
		t.Fatal(err)
	}
	w.receive(mail{subject: "x", docs: []doc{
		{facts: cda1("1", 1, "A", maelle), bytes: []byte("<a/>"), outcomes: []greffe.Outcome{{DI: "dpi", State: greffe.StateRefused, Code: "AE 904", Text: "Traits différents."}}},
		{facts: cda1("2", 1, "B", maelle), bytes: []byte("<b/>"), outcomes: []greffe.Outcome{{DI: "ris", State: greffe.StateWaiting, Code: "no answer", Text: "Le DI ne répond pas."}}},
	}})
	v := w.as("root")
	page := content(v.page("/systeme/di"))
	for _, want := range []string{"dpi", "AE 904", "DI d’essai", "Mettre en pause"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if r := v.post("/systeme/di/dpi/pause", nil); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d", r.StatusCode)
	}
	gates, err := w.db.Gates(t.Context())
	if err != nil || gates[0].PausedAt.IsZero() || gates[0].PausedBy != "root" || !gates[2].PausedAt.IsZero() {
		t.Errorf("%+v, %v", gates, err)
	}
	if page := content(v.page("/systeme/di")); !strings.Contains(page, "En pause, à la demande de root") || !strings.Contains(page, "Reprendre") {
		t.Error("the page does not say that it is paused")
	}
	v.post("/systeme/di/dpi/reprise", nil)
	if gates, err = w.db.Gates(t.Context()); err != nil || !gates[0].Open() {
		t.Errorf("%+v, %v", gates, err)
	}
}
