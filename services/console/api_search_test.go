package console

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// TestAPISearchCriteria: a script finds by each criterion of the search page, and nothing
// outside of its places.
func TestAPISearchCriteria(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	typed := func(id, title, code string, format greffe.Format, created string) doc {
		d := cda1(id, 1, title, maelle)
		d.Type, d.Format, d.Created = greffe.Code{Code: code, Label: "Type " + code}, format, created
		return doc{facts: d, bytes: []byte(id)}
	}
	day := 24 * time.Hour
	lab := greffe.Address{Name: "Laboratoire BIO-SUD", Address: "resultats@bio-sud.example"}
	w.receive(mail{from: lab, ago: 3 * day, docs: []doc{typed("1", "Bilan", "11502-2", greffe.FormatCDA3, "20260102")}})
	letter := w.receive(mail{ago: 2 * day, docs: []doc{typed("2", "Lettre", "11488-4", greffe.FormatCDA1, "20260305")}})
	w.receive(mail{mailbox: radio, from: lab, ago: day, docs: []doc{typed("3", "Radio", "18748-4", greffe.FormatCDA1, "20260305")}})
	w.outcome(letter, 0, accepted)
	m, err := w.db.Message(t.Context(), letter.ID)
	if err != nil {
		t.Fatal(err)
	}
	human := w.receive(mail{kind: greffe.KindReply, subject: "Question", body: "Bonjour"})
	question, err := w.db.Message(t.Context(), human.ID)
	if err != nil {
		t.Fatal(err)
	}
	ago := func(d time.Duration) string { return time.Now().Add(-d).In(w.console.wall.zone).Format(time.DateOnly) }
	type asked = map[string]any
	everywhere, hers := w.script("auditor", index.Everywhere), w.script("secretary", cardio)
	for name, c := range map[string]struct {
		asked    asked
		all, her []string
	}{
		"sender":          {asked{"sender": "bio sud"}, []string{"Bilan", "Radio"}, []string{"Bilan"}},
		"sender, address": {asked{"sender": "resultats@bio-sud.example"}, []string{"Bilan", "Radio"}, []string{"Bilan"}},
		"no such sender":  {asked{"sender": "personne"}, nil, nil},
		"type":            {asked{"type": "11488-4"}, []string{"Lettre"}, []string{"Lettre"}},
		"format":          {asked{"format": greffe.FormatCDA3}, []string{"Bilan"}, []string{"Bilan"}},
		"state":           {asked{"state": greffe.StateDelivered}, []string{"Lettre"}, []string{"Lettre"}},
		"other state":     {asked{"state": greffe.StateArchived}, []string{"Bilan", "Radio"}, []string{"Bilan"}},
		"mailbox":         {asked{"mailbox": greffe.MailboxKey(cardio)}, []string{"Bilan", "Lettre"}, []string{"Bilan", "Lettre"}},
		"Message-ID":      {asked{"message_id": "<" + m.MessageID + ">"}, []string{"Lettre"}, []string{"Lettre"}},
		"received":        {asked{"from": ago(3 * day), "to": ago(3 * day)}, []string{"Bilan"}, []string{"Bilan"}},
		"dated":           {asked{"dated_from": "2026-03-05", "dated_to": "2026-03-05"}, []string{"Lettre", "Radio"}, []string{"Lettre"}},
		"archived":        {asked{"archived_from": ago(0)}, []string{"Bilan", "Lettre", "Radio"}, []string{"Bilan", "Lettre"}},
		"archived before": {asked{"archived_to": ago(2 * day)}, nil, nil},
		"all at once": {asked{"ins": maelle.INS.Extension, "name": "essai kerv", "birth_date": hl7Day(maelle.BirthDate), "sender": "bio", "type": "11502-2", "format": greffe.FormatCDA3, "state": greffe.StateArchived,
			"mailbox": greffe.MailboxKey(cardio), "from": ago(9 * day), "dated_from": "2026-01-01", "archived_from": ago(day)}, []string{"Bilan"}, []string{"Bilan"}},
	} {
		for s, want := range map[*script][]string{everywhere: c.all, hers: c.her} {
			var p apiFoundPage
			s.must(http.StatusOK, &p, "POST", "/api/v1/search", c.asked)
			var got []string
			for _, d := range p.Items {
				got = append(got, d.Title)
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("%s by %s: found %q, want %q", name, s.token.Role, got, want)
			}
		}
	}

	// A mail without documents is found by its Message-ID, by who may see it.
	beside := w.script("secretary", radio)
	for s, want := range map[*script][]greffe.MessageID{everywhere: {human.ID}, hers: {human.ID}, beside: nil} {
		var p apiFoundPage
		s.must(http.StatusOK, &p, "POST", "/api/v1/search", asked{"message_id": question.MessageID})
		if len(p.Items) != 0 || !slices.Equal(p.Messages, want) {
			t.Errorf("by %v: %+v, want %v", s.token.Places, p, want)
		}
	}
	for field, q := range map[string]asked{"mailbox": {"mailbox": greffe.MailboxKey(radio)}, "state": {"state": "perdu"}, "format": {"format": "docx"}, "type": {"type": string(make([]byte, 61))},
		"sender": {"sender": "x"}, "message_id": {"message_id": "a b"}, "dated_from": {"dated_from": "hier"}, "dated_to": {"dated_from": "2026-03-05", "dated_to": "2026-03-04"}, "archived_from": {"archived_from": "hier"}, "archived_to": {"archived_to": "x"}} {
		if p := hers.refused(http.StatusUnprocessableEntity, "fields", "POST", "/api/v1/search", q); p.Fields[field] == "" || len(p.Fields) != 1 {
			t.Errorf("%s: %+v", field, p.Fields)
		}
	}
	if !slices.ContainsFunc(w.journal(), func(e index.Entry) bool {
		return e.Actor == hers.token.Actor() && e.Action == "searched" && e.Detail == "dated-from+dated-to"
	}) {
		t.Error("the journal does not say by what was searched")
	}
}

// TestAPISearchLeavesOutWhatIsMasked: a professional's script learns nothing of what its
// author masked to professionals, and is still led to the next page.
func TestAPISearchLeavesOutWhatIsMasked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	facts := cda1("2", 1, "Confidence", maelle)
	facts.Confidentiality = append(facts.Confidentiality, greffe.Code{Code: greffe.MaskedToProfessionals})
	w.receive(mail{ago: time.Hour, docs: []doc{{facts: cda1("1", 1, "Lettre", maelle), bytes: []byte("1")}}})
	w.receive(mail{docs: []doc{{facts: facts, bytes: []byte("2")}}})
	for role, want := range map[string][]string{"professional": {"", "Lettre"}, "secretary": {"Confidence", "Lettre"}} {
		s, next := w.script(role, cardio), ""
		for n, title := range want {
			var p apiFoundPage
			q := map[string]any{"ins": maelle.INS.Extension, "limit": 1}
			if next != "" {
				q["cursor"] = next
			}
			s.must(http.StatusOK, &p, "POST", "/api/v1/search", q)
			got := ""
			for _, d := range p.Items {
				got += d.Title
			}
			if got != title || n == 0 && p.Next == "" {
				t.Errorf("page %d of a %s: %q with next %q, want %q", n+1, role, got, p.Next, title)
			}
			next = p.Next
		}
	}
}
