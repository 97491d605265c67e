package notifier

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// The sender of a copy learns what became of the document, not that it came twice.
func TestACopyIsAnsweredWithWhatBecameOfTheDocument(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	db, err := index.Open(t.Context(), filepath.Join(t.TempDir(), "index.db"), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	n := &Notifier{index: db, log: log}
	put := func(uid uint32) greffe.DocumentID {
		t.Helper()
		r := greffe.Received{Origin: greffe.Origin{Mailbox: boxAddress, Folder: "INBOX", UIDValidity: 1, UID: uid}, Size: 1, SHA256: greffe.DigestOf([]byte{byte(uid)}), At: time.Now()}
		r.ID = greffe.NewMessageID(r.Origin, r.SHA256)
		sender := []greffe.Address{{Address: "x@y.example"}}
		p := greffe.Parsed{Received: r, Message: greffe.Message{Kind: greffe.KindDelivery, From: sender, ReceiptTo: sender, ReturnPath: "x@y.example"},
			Parts: []greffe.Part{{Path: "1", Kind: greffe.PartCDA, SHA256: r.SHA256}}, Documents: []greffe.Document{{Part: "1", SHA256: greffe.DigestOf([]byte("one"))}}, At: time.Now()}
		o := greffe.Object{Key: "k", SHA256: r.SHA256, Size: 1}
		a, err := db.SaveArchived(t.Context(), p, o, o, map[string]greffe.Object{"1": o})
		if err != nil {
			t.Fatal(err)
		}
		return a.Documents[0]
	}
	first, second := put(1), put(2)
	at := time.Now()
	became := func(id greffe.DocumentID, s greffe.State, code string, of greffe.DocumentID) {
		t.Helper()
		at = at.Add(time.Second)
		if _, err := db.SaveOutcome(t.Context(), id, greffe.Outcome{State: s, Code: code, At: at}, of); err != nil {
			t.Fatal(err)
		}
	}
	became(second, greffe.StateDuplicate, "duplicate", first)
	for _, c := range []struct {
		state greffe.State
		code  string
		want  Answer
	}{{greffe.StateWaiting, "AR", Later}, {greffe.StateTodo, "pdf", Later}, {greffe.StateRefused, "AE 902", MDNError}, {greffe.StateDelivered, "AA", MDNSuccess}} {
		became(first, c.state, c.code, "")
		m, err := db.Message(t.Context(), second.Message())
		if err != nil {
			t.Fatal(err)
		}
		if err := n.original(t.Context(), &m); err != nil {
			t.Fatal(err)
		}
		f := n.facts(Mailbox{Address: boxAddress}, m.Parsed.Message)
		f.Allowed, f.Outcomes = func(string) bool { return true }, []greffe.Outcome{m.Documents[0].Outcome}
		if d := Due(f); d.Answer != c.want {
			t.Errorf("the document is %s: %+v, want %s", c.state, d, c.want)
		}
		if c.state == greffe.StateRefused && fate(m.Documents[0]) != "refusé (902, identifiant de patient inconnu)" {
			t.Error(fate(m.Documents[0]))
		}
	}
	if list, err := db.Copies(t.Context(), first); err != nil || len(list) != 1 || list[0].ID != second {
		t.Errorf("%+v, %v", list, err)
	}
}
