package console

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// TestAPIDecisions: a decision of a script is that of a person, asked for once however
// often it is repeated, about what was seen.
func TestAPIDecisions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := consume(w, bus.Decided, func(ctx context.Context, d greffe.Decided) error { _, err := w.db.SaveDecision(ctx, d); return err })
	a := w.receive(mail{subject: "x", docs: []doc{
		{facts: cda1("1", 1, "Refusé", maelle), bytes: []byte("<a/>"), outcomes: []greffe.Outcome{refusedByDI}},
		{facts: cda1("2", 1, "Intégré", maelle), bytes: []byte("<b/>"), outcomes: []greffe.Outcome{accepted}},
		{facts: cda1("3", 1, "À envoyer", maelle), bytes: []byte("<c/>"), outcomes: []greffe.Outcome{refusedByDI}},
	}})
	s := w.script("secretary", cardio)
	at := func(n int) string { return "/api/v1/documents/" + string(a.Documents[n]) }
	key := func(k string) []string { return []string{"Idempotency-Key", k} }
	var d apiDoc
	s.must(http.StatusOK, &d, "GET", at(0), nil)
	if d.State != greffe.StateRefused || len(d.Allowed) == 0 || d.Revision != 1 || len(d.Outcomes) != 1 {
		t.Fatalf("%+v", d)
	}
	dismiss := map[string]any{"decision": "dismiss", "revision": d.Revision, "reason": "Envoyé par erreur"}

	// What is missing, wrong or not allowed.
	s.refused(http.StatusBadRequest, "key", "POST", at(0)+"/decisions", dismiss)
	s.refused(http.StatusBadRequest, "key", "POST", at(0)+"/decisions", dismiss, key("é")...)
	s.refused(http.StatusPreconditionRequired, "revision-missing", "POST", at(0)+"/decisions", map[string]any{"decision": "retry"}, key("cle-00001")...)
	s.refused(http.StatusConflict, "first", "POST", at(0)+"/decisions", map[string]any{"decision": "retry", "revision": 0}, key("cle-00002")...)
	s.refused(http.StatusConflict, "state", "POST", at(1)+"/decisions", map[string]any{"decision": "retry", "revision": 1}, key("cle-00003")...)
	s.refused(http.StatusBadRequest, "request", "POST", at(0)+"/decisions", map[string]any{"decision": "delete", "revision": 1}, key("cle-00004")...)
	s.refused(http.StatusBadRequest, "request", "POST", at(0)+"/decisions", map[string]any{"decision": "retry", "revision": 1, "verb": "x"}, key("cle-00005")...)
	for field, body := range map[string]map[string]any{
		"reason":      {"decision": "refuse", "revision": 1, "reason": " "},
		"original":    {"decision": "copy", "revision": 1, "original": string(a.Documents[2])},
		"candidate":   {"decision": "attach", "revision": 1, "candidate": "inconnu"},
		"patient.ins": {"decision": "attach", "revision": 1, "patient": map[string]any{"ins": "123", "authority": "test", "birth_family": "ESSAI", "first_given": "EVE", "birth_date": "1985-02-14", "sex": "F", "birth_place": "29999"}},
	} {
		if p := s.refused(http.StatusUnprocessableEntity, "fields", "POST", at(0)+"/decisions", body, key("cle-"+field)...); p.Fields[field] == "" {
			t.Errorf("%s: %+v", field, p)
		}
	}
	// A person who has it open keeps scripts from deciding, and is named.
	if _, err := w.db.Take(t.Context(), index.Taking{Message: a.ID, Login: "claire", Name: "Claire LEMAIRE", Until: time.Now().Add(time.Minute)}, false); err != nil {
		t.Fatal(err)
	}
	if p := s.refused(http.StatusConflict, "taken", "POST", at(0)+"/decisions", dismiss, key("cle-00006")...); !strings.Contains(p.Detail, "Claire LEMAIRE") {
		t.Errorf("%+v", p)
	}
	if _, err := w.db.Leave(t.Context(), "claire", a.ID); err != nil {
		t.Fatal(err)
	}
	select {
	case d := <-got:
		t.Fatalf("a decision that was refused was published: %+v", d)
	default:
	}

	// Decided: by the same way as a person, once for one key.
	var asked, again apiAsked
	s.must(http.StatusAccepted, &asked, "POST", at(0)+"/decisions", dismiss, key("cle-00007")...)
	e := <-got
	if e.ID != asked.ID || e.Verb != greffe.VerbDismiss || e.Document != a.Documents[0] || e.By != s.token.Actor() || e.Reason != "Envoyé par erreur" {
		t.Errorf("decision %+v, answer %+v", e, asked)
	}
	if !w.journalled(s.token.Actor(), "asked", string(a.Documents[0]), "dismiss") {
		t.Error("the decision is not in the journal")
	}
	if r := s.must(http.StatusAccepted, &again, "POST", at(0)+"/decisions", dismiss, key("cle-00007")...); r.Header.Get("Idempotency-Replayed") != "true" || again != asked {
		t.Errorf("asked again: %+v, was %+v", again, asked)
	}
	s.refused(http.StatusUnprocessableEntity, "key-reused", "POST", at(0)+"/decisions", map[string]any{"decision": "retry", "revision": 1}, key("cle-00007")...)
	if list, err := w.db.Takings(t.Context(), time.Now()); err != nil || len(list) != 0 {
		t.Errorf("the script still has %v, %v", list, err)
	}
	select {
	case d := <-got:
		t.Errorf("published twice: %+v", d)
	default:
	}

	// The patient: one of those offered.
	var c apiCandidatesOf
	s.must(http.StatusOK, &c, "GET", at(2)+"/candidates", nil)
	if len(c.Candidates) != 1 || !c.Candidates[0].Own || c.Candidates[0].Patient.INS != maelle.INS || len(c.Traits) == 0 {
		t.Fatalf("%+v", c)
	}
	s.must(http.StatusAccepted, nil, "POST", at(2)+"/decisions", map[string]any{"decision": "attach", "revision": c.Revision, "candidate": c.Candidates[0].Key}, key("cle-00008")...)
	if e := <-got; e.Verb != greffe.VerbAttach || e.Patient == nil || e.Patient.INS != maelle.INS || len(e.Compared) == 0 {
		t.Errorf("%+v", e)
	}
}

// TestAPIDecisionsNeverBothWin: of scripts and persons that decide about one revision at
// once one is heard; the repeats of one decision, made at once, are one.
func TestAPIDecisionsNeverBothWin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	published := consume(w, bus.Decided, func(context.Context, greffe.Decided) error { return nil })
	a := w.receive(mail{subject: "x", docs: []doc{{facts: cda1("1", 1, "Refusé", maelle), bytes: []byte("<a/>"), outcomes: []greffe.Outcome{refusedByDI}}}})
	one, two, three := w.script("secretary", cardio), w.script("secretary", cardio), w.script("secretary", cardio)
	ask := func(s *script, decision, key string) answer {
		body := `{"decision":"` + decision + `","revision":1,"reason":"motif"}`
		return s.do("POST", "/api/v1/documents/"+string(a.Documents[0])+"/decisions", strings.NewReader(body), "Content-Type", "application/json", "Authorization", "Bearer "+s.secret, "Idempotency-Key", key)
	}
	var wg sync.WaitGroup
	answers := make(chan answer, 30)
	for i := range 5 {
		wg.Go(func() { answers <- ask(one, "retry", "la-meme-cle") })
		wg.Go(func() { answers <- ask(two, "dismiss", "une-autre-cle") })
		wg.Go(func() { answers <- ask(three, "refuse", "cle-numero-"+string(rune('a'+i))) })
	}
	wg.Wait()
	close(answers)
	taken := map[string]int{}
	for r := range answers {
		switch r.StatusCode {
		case http.StatusAccepted:
			var asked apiAsked
			if err := json.Unmarshal([]byte(r.body), &asked); err != nil {
				t.Fatal(err)
			}
			taken[asked.ID]++
		case http.StatusConflict:
		default:
			t.Errorf("status %d: %s", r.StatusCode, r.body)
		}
	}
	if len(taken) != 1 {
		t.Errorf("%d decisions were taken: %v", len(taken), taken)
	}
	if d := <-published; taken[d.ID] == 0 {
		t.Errorf("published %s, taken %v", d.ID, taken)
	}
}

// TestAPIDecisionBrokenOff: what was published before a crash is not published anew under
// another name, and who asks again learns that it was made.
func TestAPIDecisionBrokenOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := consume(w, bus.Decided, func(ctx context.Context, d greffe.Decided) error { _, err := w.db.SaveDecision(ctx, d); return err })
	a := w.receive(mail{subject: "x", docs: []doc{{facts: cda1("1", 1, "Refusé", maelle), bytes: []byte("<a/>"), outcomes: []greffe.Outcome{refusedByDI}}}})
	s := w.script("secretary", cardio)
	path := "/api/v1/documents/" + string(a.Documents[0]) + "/decisions"
	body := map[string]any{"decision": "retry", "revision": 1}
	var first, second apiAsked
	s.must(http.StatusAccepted, &first, "POST", path, body, "Idempotency-Key", "cle-de-l-essai")
	<-got
	// As if the answer had not been kept: the row is there without it, from a while ago.
	w.exec(`UPDATE keyed SET answer_json = '', at = at - 3600000`)
	s.must(http.StatusAccepted, &second, "POST", path, body, "Idempotency-Key", "cle-de-l-essai")
	if second.ID != first.ID {
		t.Errorf("decisions %s and %s", first.ID, second.ID)
	}
	select {
	case d := <-got:
		t.Errorf("published twice: %+v", d)
	default:
	}
	// And while nobody applied it yet: the same decision, which is applied once.
	b := w.receive(mail{subject: "y", docs: []doc{{facts: cda1("2", 1, "Refusé", maelle), bytes: []byte("<b/>"), outcomes: []greffe.Outcome{refusedByDI}}}})
	ok, err := w.db.AskAgain(t.Context(), string(b.Documents[0]), 1, "once-x")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if ok, err := w.db.AskAgain(t.Context(), string(b.Documents[0]), 1, "once-x"); err != nil || !ok {
		t.Errorf("the same again: %v %v", ok, err)
	}
	for _, other := range []string{"once-y", "claire"} {
		if ok, err := w.db.Ask(t.Context(), string(b.Documents[0]), 1, other); err != nil || ok {
			t.Errorf("another one: %v %v", ok, err)
		}
	}
}

// TestAPITriage: the decisions about a message as a whole.
func TestAPITriage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := consume(w, bus.Triaged, func(ctx context.Context, d greffe.Triaged) error { _, err := w.db.SaveTriage(ctx, d); return err })
	a := w.receive(mail{subject: "Bonjour", kind: greffe.KindText, body: "texte"})
	s := w.script("secretary", cardio)
	path := "/api/v1/messages/" + string(a.ID)
	var m apiMail
	tomorrow := time.Now().In(paris).AddDate(0, 0, 2).Format(time.DateOnly)
	step := func(verb greffe.Verb, body map[string]any) greffe.Triaged {
		t.Helper()
		s.must(http.StatusOK, &m, "GET", path, nil)
		body["decision"], body["revision"] = verb, m.Revision
		s.must(http.StatusAccepted, nil, "POST", path+"/decisions", body, "Idempotency-Key", "cle-"+string(verb)+"-"+tomorrow)
		e := <-got
		if e.Verb != verb || e.By != s.token.Actor() || e.Message != a.ID {
			t.Errorf("%+v", e)
		}
		return e
	}
	if e := step(greffe.VerbLater, map[string]any{"until": tomorrow}); e.Until.In(paris).Format(time.DateOnly) != tomorrow {
		t.Errorf("until %s", e.Until)
	}
	s.must(http.StatusOK, &m, "GET", path, nil)
	if len(m.Colleagues) == 0 || len(m.Services) != 1 || m.Later.IsZero() || len(m.Decisions) != 1 {
		t.Fatalf("%+v", m)
	}
	if e := step(greffe.VerbPass, map[string]any{"colleague": m.Colleagues[0].Key}); e.To != "claire" {
		t.Errorf("passed to %q", e.To)
	}
	for field, body := range map[string]map[string]any{"until": {"decision": "later", "until": "2020-01-01"}, "colleague": {"decision": "pass", "colleague": "x"}, "service": {"decision": "move", "service": "x"}, "reason": {"decision": "close"}} {
		s.must(http.StatusOK, &m, "GET", path, nil)
		body["revision"] = m.Revision
		if p := s.refused(http.StatusUnprocessableEntity, "fields", "POST", path+"/decisions", body, "Idempotency-Key", "cle-fausse-"+field); p.Fields[field] == "" {
			t.Errorf("%s: %+v", field, p)
		}
	}
	s.refused(http.StatusConflict, "first", "POST", path+"/decisions", map[string]any{"decision": "hold", "revision": 0, "reason": "dossier 12"}, "Idempotency-Key", "cle-vieille")
	s.refused(http.StatusConflict, "state", "POST", path+"/decisions", map[string]any{"decision": "release", "revision": m.Revision, "reason": "dossier 12"}, "Idempotency-Key", "cle-sans-gel")
	if e := step(greffe.VerbMove, map[string]any{"service": greffe.MailboxKey(radio), "reason": "pour la radiologie"}); e.To != radio {
		t.Errorf("moved to %q", e.To)
	}
}
