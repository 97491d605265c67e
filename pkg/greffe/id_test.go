package greffe

import (
	"testing"
	"time"
)

func TestMessageIDIsDeterministicAndCarriesItsDate(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 8, 30, 15, 250e6, time.UTC)
	o := Origin{Mailbox: "a@b.example", Folder: "INBOX", UIDValidity: 7, UID: 42, InternalDate: at}
	raw := DigestOf([]byte("raw"))
	id := NewMessageID(o, raw)
	if !id.Valid() || id != NewMessageID(o, raw) {
		t.Fatalf("id %q is not valid or not stable", id)
	}
	if got := id.Time(); !got.Equal(at) {
		t.Errorf("Time() = %v, want %v", got, at)
	}
	// Fields may not run into each other.
	a, b := o, o
	a.Mailbox, a.Folder = "a@b.exampleI", "NBOX"
	b.UID = 43
	for _, other := range []MessageID{NewMessageID(a, raw), NewMessageID(b, raw), NewMessageID(o, "")} {
		if other == id {
			t.Errorf("another message has the same id %s", id)
		}
	}
	later := o
	later.InternalDate = at.Add(time.Millisecond)
	if NewMessageID(later, raw) <= id {
		t.Error("ids do not sort by time")
	}
	absurd := o
	absurd.InternalDate = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	if got := NewMessageID(absurd, raw); !got.Valid() || got.Time().Year() != 2000 {
		t.Errorf("absurd date gives %s (%v)", got, got.Time())
	}
}

func TestIDsFromOutsideAreChecked(t *testing.T) {
	t.Parallel()
	good := NewMessageID(Origin{}, "")
	for id, want := range map[MessageID]bool{
		good: true, "": false, "../../etc/passwd": false, good + "0": false,
		"ZZZZZZZZZZZZZZZZZZZZZZZZZZ": false, "0000000000000000000000000i": false,
	} {
		if id.Valid() != want {
			t.Errorf("MessageID(%q).Valid() = %v", id, !want)
		}
	}
	for id, want := range map[DocumentID]bool{
		NewDocumentID(good, 1): true, NewDocumentID(good, 12): true, DocumentID(good): false,
		DocumentID(good) + "-": false, DocumentID(good) + "-0": false, DocumentID(good) + "-1x": false,
	} {
		if id.Valid() != want {
			t.Errorf("DocumentID(%q).Valid() = %v", id, !want)
		}
	}
	if NewDocumentID(good, 3).Message() != good {
		t.Error("a document does not lead back to its message")
	}
	for d, want := range map[Digest]bool{DigestOf(nil): true, "": false, "ABC": false, Digest(make([]byte, 64)): false} {
		if d.Valid() != want {
			t.Errorf("Digest(%q).Valid() = %v", d, !want)
		}
	}
}
