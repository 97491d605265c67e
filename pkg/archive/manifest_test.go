package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"greffe/pkg/greffe"
)

func sampleManifest() *Manifest {
	raw, pdf := []byte("raw message"), []byte("%PDF-1.4")
	origin := greffe.Origin{Mailbox: "a@b.example", Folder: "INBOX", UIDValidity: 1, UID: 2, InternalDate: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)}
	id := greffe.NewMessageID(origin, greffe.DigestOf(raw))
	return &Manifest{
		Format: ManifestFormat,
		Parsed: greffe.Parsed{
			Received: greffe.Received{ID: id, Origin: origin, Size: int64(len(raw)), SHA256: greffe.DigestOf(raw), Spool: "s"},
			Message:  greffe.Message{Kind: greffe.KindDelivery, Subject: "Compte rendu <été> & suite"},
			Parts: []greffe.Part{
				{Path: "1", Kind: greffe.PartPDF, Size: int64(len(pdf)), SHA256: greffe.DigestOf(pdf)},
				{Path: "2", Kind: greffe.PartZip, Skipped: true},
			},
		},
		Raw:     greffe.Object{Key: RawKey(id), SHA256: greffe.DigestOf(raw), Size: int64(len(raw))},
		Objects: map[string]greffe.Object{"1": {Key: ContentKey(greffe.DigestOf(pdf)), SHA256: greffe.DigestOf(pdf), Size: int64(len(pdf))}},
	}
}

func TestLayout(t *testing.T) {
	t.Parallel()
	m := sampleManifest()
	id := m.Parsed.Received.ID
	d := greffe.DigestOf([]byte("x"))
	if got, want := RawKey(id), "messages/2026/11/22/"+string(id)+"/message.eml"; got != want {
		t.Errorf("RawKey = %s, want %s", got, want)
	}
	if got, want := ManifestKey(id), "messages/2026/11/22/"+string(id)+"/manifest.json"; got != want {
		t.Errorf("ManifestKey = %s, want %s", got, want)
	}
	if got, want := ContentKey(d), "content/"+string(d[:2])+"/"+string(d); got != want {
		t.Errorf("ContentKey = %s, want %s", got, want)
	}
	for _, k := range []string{RawKey(id), ManifestKey(id), ContentKey(d)} {
		if !validKey(k) {
			t.Errorf("%s is not a valid key", k)
		}
	}
	if RawKey("../../x") != "" || ManifestKey("") != "" || ContentKey("../") != "" {
		t.Error("a key was made of something that is not an id")
	}
	if got, manifest, ok := KeyMessage(ManifestKey(id)); got != id || !manifest || !ok {
		t.Errorf("KeyMessage of a manifest = %s, %v, %v", got, manifest, ok)
	}
	if got, manifest, ok := KeyMessage(RawKey(id)); got != id || manifest || !ok {
		t.Errorf("KeyMessage of a message = %s, %v, %v", got, manifest, ok)
	}
	if got, ok := KeyDigest(ContentKey(d)); got != d || !ok {
		t.Errorf("KeyDigest = %s, %v", got, ok)
	}
	for _, k := range []string{"", "messages", "messages/2026/11/21/" + string(id) + "/message.eml", RawKey(id) + "/x", "content/00/" + string(d)} {
		_, _, ok := KeyMessage(k)
		if _, content := KeyDigest(k); ok || content {
			t.Errorf("%q passes for a key of the layout", k)
		}
	}
}

func TestManifestRoundTrip(t *testing.T) {
	t.Parallel()
	s, _ := openDir(t)
	m := sampleManifest()
	if _, _, err := FindManifest(t.Context(), s, m.Parsed.Received.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("FindManifest before it is written: %v", err)
	}
	o, err := PutManifest(t.Context(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := PutManifest(t.Context(), s, m); err != nil || again != o {
		t.Errorf("the repeat gave %+v, %v", again, err)
	}
	got, err := ReadManifest(t.Context(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := m.Encode()
	b, _ := got.Encode()
	if !bytes.Equal(a, b) {
		t.Errorf("read back:\n%s\nwritten:\n%s", b, a)
	}
	if !bytes.Contains(a, []byte("<été> & suite")) || a[len(a)-1] != '\n' {
		t.Errorf("not made for people:\n%s", a)
	}
	if _, found, err := FindManifest(t.Context(), s, m.Parsed.Received.ID); err != nil || found != o {
		t.Errorf("FindManifest = %+v, %v, want %+v", found, err, o)
	}
	o.SHA256 = greffe.DigestOf(nil)
	if _, err := ReadManifest(t.Context(), s, o); !errors.Is(err, ErrDigest) {
		t.Errorf("another digest: %v, want ErrDigest", err)
	}
	// The same message read later: another manifest, which the first one refuses.
	m.Parsed.At = m.Parsed.At.Add(time.Hour)
	if _, err := PutManifest(t.Context(), s, m); !errors.Is(err, ErrExists) {
		t.Errorf("a second manifest: %v, want ErrExists", err)
	}
}

func TestManifestThatContradictsItself(t *testing.T) {
	t.Parallel()
	other := greffe.DigestOf([]byte("other"))
	for name, spoil := range map[string]func(*Manifest){
		"format":           func(m *Manifest) { m.Format = "greffe-manifest/2" },
		"id":               func(m *Manifest) { m.Parsed.Received.ID = "../../../etc/passwd" },
		"raw elsewhere":    func(m *Manifest) { m.Raw.Key = "messages/other" },
		"raw digest":       func(m *Manifest) { m.Raw.SHA256 = other },
		"raw size":         func(m *Manifest) { m.Raw.Size++ },
		"no raw":           func(m *Manifest) { m.Raw = greffe.Object{} },
		"part not stored":  func(m *Manifest) { delete(m.Objects, "1") },
		"other part":       func(m *Manifest) { m.Objects["7"] = m.Objects["1"] },
		"part digest":      func(m *Manifest) { m.Parsed.Parts[0].SHA256 = other },
		"object elsewhere": func(m *Manifest) { o := m.Objects["1"]; o.Key = ContentKey(other); m.Objects["1"] = o },
		"refused with raw": func(m *Manifest) { m.Parsed.Received.Refused = &greffe.Finding{} },
	} {
		m := sampleManifest()
		spoil(m)
		if _, err := m.Encode(); !errors.Is(err, ErrManifest) {
			t.Errorf("%s: %v, want ErrManifest", name, err)
		}
	}
}

func TestManifestFromOutside(t *testing.T) {
	t.Parallel()
	s, _ := openDir(t)
	m := sampleManifest()
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	// Each is stored where a manifest may be and read as one.
	for i, c := range []string{"", "null", "[]", `{"format":"greffe-manifest/1"}`, strings.Repeat("[", 1<<20), string(b[:len(b)/2])} {
		id := greffe.NewMessageID(greffe.Origin{UID: uint32(i)}, "")
		o := put(t, s, ManifestKey(id), []byte(c))
		if _, err := ReadManifest(t.Context(), s, o); !errors.Is(err, ErrManifest) {
			t.Errorf("%.30q: %v, want ErrManifest", c, err)
		}
	}
	// A true manifest at the place of another message.
	id := greffe.NewMessageID(greffe.Origin{UID: 99}, "")
	o := put(t, s, ManifestKey(id), b)
	if _, err := ReadManifest(t.Context(), s, o); !errors.Is(err, ErrManifest) {
		t.Errorf("a manifest of another message: %v", err)
	}
}

func TestManifestOfARefusedMessage(t *testing.T) {
	t.Parallel()
	s, _ := openDir(t)
	id := greffe.NewMessageID(greffe.Origin{UID: 5}, "")
	m := &Manifest{Format: ManifestFormat, Parsed: greffe.Parsed{
		Received: greffe.Received{ID: id, Size: 1 << 40, Refused: &greffe.Finding{Rule: "fetcher.size"}},
		Message:  greffe.Message{Kind: greffe.KindUnread},
	}}
	o, err := PutManifest(t.Context(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadManifest(t.Context(), s, o)
	if err != nil || got.Parsed.Received.Refused == nil || !got.Raw.IsZero() {
		t.Errorf("read %+v, %v", got, err)
	}
}

// Whatever the bytes, reading them as a manifest gives a manifest that agrees
// with itself or an error.
func FuzzManifest(f *testing.F) {
	b, err := sampleManifest().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"format":"greffe-manifest/1","parsed":{"received":{"id":"01JD9Y5S000000000000000000","refused":{}}}}`))
	f.Add([]byte(fmt.Sprintf(`{"format":%q,"objects":{"1":{}}}`, ManifestFormat)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Manifest
		if json.Unmarshal(b, &m) != nil || m.validate() != nil {
			return
		}
		again, err := m.Encode()
		if err != nil {
			t.Fatalf("valid, but cannot be written: %v", err)
		}
		var n Manifest
		if err := json.Unmarshal(again, &n); err != nil {
			t.Fatal(err)
		}
		if err := n.validate(); err != nil {
			t.Fatalf("valid, but not after a round trip: %v", err)
		}
	})
}
