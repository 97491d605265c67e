package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/greffe"
)

// TestEveryTopicHasWords: whatever event is given up, the System page says in French what
// was to be done with it.
func TestEveryTopicHasWords(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../pkg/bus/topic.go")
	if err != nil {
		t.Fatal(err)
	}
	topics := regexp.MustCompile(`Topic\[greffe\.\w+\]\{"(\w+)"`).FindAllSubmatch(source, -1)
	if len(topics) < 11 {
		t.Fatalf("%d topics found in the source", len(topics))
	}
	for _, m := range topics {
		if topicWords[string(m[1])] == "" {
			t.Errorf("the topic %q has no words", m[1])
		}
	}
}

// TestDeadLetterNamesItsSubject: what an event is about is found in each, and nothing else
// of it is shown.
func TestDeadLetterNamesItsSubject(t *testing.T) {
	t.Parallel()
	message := greffe.NewMessageID(greffe.Origin{Mailbox: cardio, Folder: "INBOX", UIDValidity: 1, UID: 1}, "")
	document := greffe.NewDocumentID(message, 1)
	for name, c := range map[string]struct {
		event any
		want  string
	}{
		"received":  {greffe.Received{ID: message}, string(message)},
		"parsed":    {greffe.Parsed{Received: greffe.Received{ID: message}, Message: greffe.Message{Subject: "Secret"}}, string(message)},
		"archived":  {greffe.Archived{ID: message}, string(message)},
		"delivered": {greffe.Delivered{Document: document, Message: greffe.StateTodo}, string(document)},
		"decided":   {greffe.Decided{ID: "x", Document: document}, string(document)},
		"triaged":   {greffe.Triaged{ID: "x", Message: message}, string(message)},
		"placed":    {greffe.Placed{ID: "x", Message: message}, string(message)},
		"confirmed": {greffe.Confirmed{ID: "x", Message: message}, string(message)},
		"settled":   {greffe.Settled{Message: message}, string(message)},
		"wanted":    {greffe.Wanted{ID: "x"}, ""},
		"listed":    {greffe.Listed{Mailbox: cardio}, ""},
		"a name":    {map[string]string{"message": "Secret", "id": "Secret"}, ""},
		"no event":  {7, ""},
	} {
		payload, err := json.Marshal(c.event)
		if err != nil {
			t.Fatal(err)
		}
		if got := subjectOf(payload); got != c.want {
			t.Errorf("%s is about %q, want %q", name, got, c.want)
		}
	}
}

// TestAllDeadLettersAreReplayed: one button gives back all that was given up, each with its
// entry in the journal.
func TestAllDeadLettersAreReplayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mended atomic.Bool
	got := consume(w, bus.Archived, func(context.Context, greffe.Archived) error {
		if !mended.Load() {
			return errors.Join(bus.ErrPermanent, errors.New("le service a échoué"))
		}
		return nil
	})
	waiting := map[greffe.MessageID]bool{}
	for range 3 {
		waiting[w.receive(mail{subject: "x"}).ID] = true
	}
	for n := 0; n < len(waiting); <-time.After(10 * time.Millisecond) { // a letter is there when the bus has written it
		var err error
		if n, err = w.bus.CountDeadLetters(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	mended.Store(true)
	v := w.as("root")
	if page := content(v.page("/systeme")); !strings.Contains(page, "Rejouer les 3 traitements") {
		t.Errorf("the page says %s", page)
	}
	if r := v.post("/systeme/incidents/rejouer", nil); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("replay: status %d", r.StatusCode)
	}
	if page := content(v.page("/systeme")); !strings.Contains(page, "3 traitements relancés.") || !strings.Contains(page, "Aucun traitement en échec") {
		t.Errorf("the page says %s", page)
	}
	for range 3 {
		a := <-got
		if !waiting[a.ID] {
			t.Errorf("replayed %s twice, or another", a.ID)
		}
		delete(waiting, a.ID)
		if !w.journalled("root", "replayed", string(a.ID), "ok") {
			t.Errorf("the replay of %s is not in the journal", a.ID)
		}
	}
	if r := v.post("/systeme/incidents/rejouer", nil); r.StatusCode != http.StatusSeeOther || !strings.Contains(content(v.page("/systeme")), "0 traitement relancé.") {
		t.Errorf("with none left: %d", r.StatusCode)
	}
}
