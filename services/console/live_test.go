package console

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

// feed is an open stream of server-sent events.
type feed struct {
	t     testing.TB
	lines *bufio.Scanner
}

func (v *visitor) feed(path string) *feed {
	v.w.t.Helper()
	r, err := http.NewRequestWithContext(v.w.t.Context(), "GET", v.w.server.URL+path, nil)
	if err != nil {
		v.w.t.Fatal(err)
	}
	resp, err := v.Do(r)
	if err != nil {
		v.w.t.Fatal(err)
	}
	v.w.t.Cleanup(func() { resp.Body.Close() })
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || !strings.HasPrefix(ct, "text/event-stream") {
		v.w.t.Fatalf("stream: status %d, %s", resp.StatusCode, ct)
	}
	f := &feed{v.w.t, bufio.NewScanner(resp.Body)}
	f.lines.Buffer(nil, 1<<20)
	for f.lines.Scan() && f.lines.Text() != ": ouvert" { // the stream has joined: nothing is missed from here
	}
	return f
}

// next returns the next event of a name, skipping the others; data is decoded into v.
func (f *feed) next(name string, v any) bool {
	f.t.Helper()
	current := ""
	for f.lines.Scan() {
		line := f.lines.Text()
		if e, ok := strings.CutPrefix(line, "event: "); ok {
			current = e
		}
		if d, ok := strings.CutPrefix(line, "data: "); ok && current == name {
			if err := json.Unmarshal([]byte(d), v); err != nil {
				f.t.Fatal(err)
			}
			return true
		}
	}
	return false
}

func TestLiveUpdates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.as("claire")
	all, todo := v.feed("/file/flux"), v.feed("/file/flux?etat=a-traiter")
	var counts map[string]int
	if !all.next("compteurs", &counts) || counts["tous"] != 0 {
		t.Fatalf("first counts %v", counts)
	}

	w.receive(mail{mailbox: radio, subject: "Pas pour elle", docs: []doc{{facts: cda1("1", 1, "Secret", ruth), bytes: []byte("<r/>")}}})
	a := w.receive(mail{subject: "Pour elle", docs: []doc{{facts: cda1("2", 1, "Lettre", maelle), bytes: []byte("<a/>")}}})
	var e changeEvent
	if !all.next("ligne", &e) {
		t.Fatal("the stream ended")
	}
	if e.ID != a.ID || !e.Match || !strings.Contains(e.HTML, "ESSAI-KERVELLA MAELLE") || strings.Contains(e.HTML, "Secret") {
		t.Errorf("event %+v", e)
	}
	if !all.next("compteurs", &counts) || counts["tous"] != 1 {
		t.Errorf("counts %v", counts)
	}

	w.outcome(a, 0, greffe.Outcome{State: greffe.StateTodo, Text: "Décidez."})
	for e.State != greffe.StateTodo {
		if !all.next("ligne", &e) {
			t.Fatal("the stream ended before the new state")
		}
	}
	if !strings.Contains(e.HTML, "Décidez.") {
		t.Errorf("event %+v", e)
	}
	// The filtered page learns that the message now belongs on it, and that it left.
	for !e.Match || e.State != greffe.StateTodo {
		if !todo.next("ligne", &e) {
			t.Fatal("the filtered stream ended")
		}
	}
	e = changeEvent{}
	for e.State != greffe.StateTodo {
		if !todo.next("ligne", &e) {
			t.Fatal("the filtered stream ended")
		}
	}
	w.outcome(a, 0, accepted)
	for e.State != greffe.StateDelivered {
		if !todo.next("ligne", &e) {
			t.Fatal("the filtered stream ended")
		}
	}
	if e.Match {
		t.Error("a delivered message still belongs among those to decide")
	}
}

func TestStreamFollowsOneMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.receive(mail{subject: "x", docs: []doc{{facts: cda1("2", 1, "Lettre", maelle), bytes: []byte("<a/>")}}})
	other := w.receive(mail{subject: "y", docs: []doc{{facts: cda1("3", 1, "Autre", maelle), bytes: []byte("<b/>")}}})
	f := w.as("claire").feed("/file/flux?message=" + string(a.ID))
	var e changeEvent
	if !f.next("ligne", &e) || e.ID != a.ID || e.State != greffe.StateArchived {
		t.Fatalf("the state at the start: %+v", e)
	}
	w.outcome(other, 0, accepted)
	w.outcome(a, 0, accepted)
	for e.State != greffe.StateDelivered {
		if !f.next("ligne", &e) {
			t.Fatal("the stream ended")
		}
		if e.ID != a.ID || e.Match {
			t.Fatalf("event %+v", e)
		}
	}
}

func TestSlowPageIsToldToReadAgain(t *testing.T) {
	t.Parallel()
	h := newHub(&Console{})
	cl, ok := h.join("")
	if !ok {
		t.Fatal("no place")
	}
	for range clientLag + keepRecent + 1 {
		h.send(update{row: row{ID: "x"}})
	}
	select {
	case <-cl.lost:
	default:
		t.Error("a page that does not read is not let go")
	}
	for i := range maxPending + 10 {
		h.changed(greffe.NewMessageID(greffe.Origin{UID: uint32(i)}, ""))
	}
	if len(h.pending) != maxPending || !h.dropped {
		t.Errorf("%d changes kept, dropped %v", len(h.pending), h.dropped)
	}
	for range maxClients - 1 {
		h.join("")
	}
	if _, ok := h.join(""); ok {
		t.Error("more pages than the limit")
	}
}

func TestNothingIsMissedBetweenPageAndStream(t *testing.T) {
	t.Parallel()
	h := newHub(&Console{})
	place := h.place()
	h.send(update{row: row{ID: "a"}}) // while the browser loads the page
	h.send(update{row: row{ID: "b"}})
	cl, _ := h.join(place)
	for _, want := range []greffe.MessageID{"a", "b"} {
		if u := <-cl.updates; u.row.ID != want {
			t.Errorf("got %q, want %q", u.row.ID, want)
		}
	}
	if again, _ := h.join(h.place()); len(again.updates) != 0 {
		t.Error("a page that is up to date gets old news")
	}
	for range keepRecent + 1 {
		h.send(update{row: row{ID: "c"}})
	}
	for name, from := range map[string]string{"too old": place, "of another process": "AUTRE.1", "not a place": "x", "of the future": h.mark(1 << 40)} {
		cl, _ := h.join(from)
		if u := <-cl.updates; u.row.ID != "" || len(cl.updates) != 0 {
			t.Errorf("%s: got %q, want to be told to read again", name, u.row.ID)
		}
	}
	// Nobody looks for a while: nothing is read, and a page from before is told so.
	quiet := newHub(&Console{})
	place = quiet.place()
	quiet.until = quiet.until.Add(-2 * rememberFor)
	quiet.changed("x")
	cl, _ = quiet.join(place)
	if u := <-cl.updates; u.row.ID != "" || len(quiet.pending) != 0 {
		t.Errorf("got %q, %d pending", u.row.ID, len(quiet.pending))
	}
}
