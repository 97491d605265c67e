package notifier

import (
	"bytes"
	"io"
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
			if got, err := io.ReadAll(&header{r: r}); err != nil || string(got) != c.want {
				t.Errorf("%q: %q, %v", c.raw, got, err)
			}
		}
	}
	if _, err := io.ReadAll(&header{r: strings.NewReader(strings.Repeat("A: b\r\n", 100_000))}); err == nil {
		t.Error("a header without end is read for ever")
	}
}
