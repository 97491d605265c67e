package notifier

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"greffe/pkg/eml"
)

func sample(kind Answer) *letter {
	return &letter{
		kind: kind, from: "dpi@ch-test.example", to: "secretariat@cabinet-martel.example", id: "01abc.answer@ch-test.example",
		original: "20260314093512.4821@cabinet-martel.example", recipient: "dpi@ch-test.example", subject: "CR d’imagerie ESSAI Maelle 14/02/1985", marker: true,
		code: "902", label: labels["902"], text: "Bonjour,\n\nÉté.\n.\n", at: time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC), agent: "Greffe dev",
	}
}

// Our own reader takes what we send for what it is, and finds no document in it.
func TestLettersAreWhatTheySay(t *testing.T) {
	t.Parallel()
	raw := "Message-ID: <20260314093512.4821@cabinet-martel.example>\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: application/pdf\r\n\r\n%PDF-1.4\r\n"
	for _, c := range []struct {
		kind    Answer
		headers bool
		media   string
	}{{MDNSuccess, false, "disposition-notification"}, {MDNError, false, "disposition-notification"}, {MDNError, true, "disposition-notification"}, {KO, false, "multipart/mixed"}} {
		var b bytes.Buffer
		if err := sample(c.kind).write(&b, iotest.OneByteReader(strings.NewReader(raw)), c.headers); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		if strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\n") {
			t.Errorf("%s: a line ends without CR", c.kind)
		}
		for i, line := range strings.Split(text, "\r\n") {
			if len(line) > 998 {
				t.Errorf("%s: line %d has %d bytes", c.kind, i+1, len(line))
			}
		}
		if !strings.Contains(text, c.media) || strings.Contains(text, "%PDF") == c.headers || !strings.Contains(text, "=C3=89t=C3=A9") {
			t.Errorf("%s:\n%s", c.kind, text)
		}
		m, err := eml.Walk(strings.NewReader(text), eml.Limits{}, func(*eml.Leaf, io.Reader) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Message.AutoSubmit; got != "auto-replied" {
			t.Errorf("%s: Auto-Submitted %q", c.kind, got)
		}
	}
}

// A header that somebody else wrote cannot add a line to ours.
func TestHeadersCannotBeInjected(t *testing.T) {
	t.Parallel()
	l := sample(KO)
	l.subject = "a\r\nBcc: x@y.example\r\n\r\n" + strings.Repeat("é", 5000)
	var b bytes.Buffer
	if err := l.write(&b, strings.NewReader(""), false); err != nil {
		t.Fatal(err)
	}
	if head, _, _ := strings.Cut(b.String(), "\r\n\r\n"); strings.Contains(head, "\nBcc:") || len(head) > 4000 {
		t.Errorf("%s", head)
	}
}

func TestHeadStopsAtTheBody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ raw, want string }{
		{"A: b\r\n\r\nbody", "A: b\r\n\r\n"},
		{"A: b\n\nbody", "A: b\n\n"},
		{"A: b\r\n", "A: b\r\n"},
		{"\r\n\r\nbody", "\r\n\r\n"},
		{strings.Repeat("A: b\r\n", 400) + "\r\nbody", strings.Repeat("A: b\r\n", 400) + "\r\n"},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.raw), iotest.OneByteReader(strings.NewReader(c.raw)), iotest.HalfReader(strings.NewReader(c.raw))} {
			if got, err := io.ReadAll(&head{r: r}); err != nil || string(got) != c.want {
				t.Errorf("%q: %q, %v", c.raw, got, err)
			}
		}
	}
	if _, err := io.ReadAll(&head{r: strings.NewReader(strings.Repeat("A: b\r\n", 100_000))}); err == nil {
		t.Error("a header without end is read for ever")
	}
}

func TestWhiteList(t *testing.T) {
	t.Parallel()
	const list = `<?xml version="1.0"?><ListeBlanche xmlns="https://listeblanche.mssante.fr/schema"><Domaine><Nom>ch-a.mssante.fr</Nom></Domaine><Domaine><Nom>hôpital.example</Nom><Autre>x.example</Autre></Domaine></ListeBlanche>`
	path := t.TempDir() + "/list"
	put := func(s string, age time.Duration) {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	w := &whiteList{path: path}
	if w.has("ch-a.mssante.fr") {
		t.Error("a list that is not there allows")
	}
	put(list, 10*time.Hour)
	for domain, want := range map[string]bool{"ch-a.mssante.fr": true, "CH-A.mssante.fr.": true, "hôpital.example": true, "xn--hpital-ixa.example": true, "x.example": false, "b.ch-a.mssante.fr": false, "mssante.fr": false, "": false} {
		if got := w.has(domain); got != want {
			t.Errorf("%q: %v", domain, got)
		}
	}
	put("ch-a.mssante.fr\n", 9*time.Hour) // half of it is gone
	if _, err := w.check(); err == nil || !w.has("hôpital.example") {
		t.Errorf("a list that shrank is believed: %v", err)
	}
	put("<ListeBlanche><Domaine>", 8*time.Hour)
	if _, err := w.check(); err == nil || !w.has("hôpital.example") {
		t.Errorf("a torn list is believed: %v", err)
	}
	put("# notes\nch-a.mssante.fr\nhôpital.example # le nôtre\nch-c.mssante.fr\n", 7*time.Hour)
	if n, err := w.check(); err != nil || n != 3 || !w.has("ch-c.mssante.fr") {
		t.Errorf("%d domains, %v", n, err)
	}
}

func FuzzWhiteList(f *testing.F) {
	f.Add([]byte("<a><Domaine><Nom>b.example</Nom></Domaine></a>"))
	f.Add([]byte("b.example\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		domains, err := readWhiteList(bytes.NewReader(b))
		if err == nil && len(domains) == 0 {
			t.Error("no domain and no error")
		}
		for d := range domains {
			if ascii(d) != d {
				t.Errorf("%q is not how it is looked up", d)
			}
		}
	})
}
