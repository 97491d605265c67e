package parser

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"greffe/pkg/greffe"
	"greffe/pkg/ins"
	"greffe/pkg/pdf"
)

func TestMain(m *testing.M) {
	pdf.ServeIfWorker()
	goleak.VerifyTestMain(m)
}

// attachment is one part of a test mail.
type attachment struct {
	name, media string
	headers     string
	data        []byte
}

// mail builds a message with a text and attachments.
func mail(headers string, parts ...attachment) []byte {
	var b bytes.Buffer
	if !strings.Contains(headers, "From:") {
		b.WriteString("From: Labo <labo@ville.example>\r\n")
	}
	b.WriteString("To: cardio@ch.example\r\nDate: Sun, 22 Nov 2026 08:00:00 +0100\r\nMessage-ID: <1@ville.example>\r\n" + headers)
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=limite\r\n\r\n--limite\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nBonjour\r\n")
	for _, a := range parts {
		fmt.Fprintf(&b, "--limite\r\nContent-Type: %s\r\nContent-Transfer-Encoding: base64\r\n", a.media)
		switch {
		case a.headers != "":
			b.WriteString(a.headers)
		case a.name != "":
			fmt.Fprintf(&b, "Content-Disposition: attachment; filename=%q\r\n", a.name)
		}
		b.WriteString("\r\n")
		for s := base64.StdEncoding.EncodeToString(a.data); s != ""; {
			n := min(76, len(s))
			b.WriteString(s[:n] + "\r\n")
			s = s[n:]
		}
	}
	b.WriteString("--limite--\r\n")
	return b.Bytes()
}

func xdmFile(data []byte) attachment {
	return attachment{name: "IHE_XDM.ZIP", media: "application/zip", data: data}
}

func pdfFile(name string, data []byte) attachment {
	return attachment{name: name, media: "application/pdf", data: data}
}

// zipOf builds an archive.
func zipOf(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// stored builds an archive without compression, so that its bytes can be damaged.
func stored(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.CreateHeader(&zip.FileHeader{Name: files[i], Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// quiet is a parser for tests, which does not check PDFs.
func quiet() *Parser {
	return New(Config{Environment: ins.Any, Version: "test"}, nil, nil, slog.New(slog.DiscardHandler))
}

// parse reads a message and checks what holds for every one.
func parse(t testing.TB, p *Parser, raw []byte) greffe.Parsed {
	t.Helper()
	out, err := p.Parse(t.Context(), greffe.Received{SHA256: greffe.DigestOf(raw), Size: int64(len(raw))}, bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	sound(t, out)
	return out
}

// sound checks that nothing was left without a verdict, whatever the message.
func sound(t testing.TB, out greffe.Parsed) {
	t.Helper()
	paths := map[string]greffe.Part{}
	for _, p := range out.Parts {
		if _, twice := paths[p.Path]; twice {
			t.Errorf("path %s is given twice", p.Path)
		}
		paths[p.Path] = p
		switch {
		case p.Verdict == "":
			t.Errorf("part %s has no verdict", p.Path)
		case p.Verdict == greffe.VerdictIgnored && p.Reason == "":
			t.Errorf("part %s is ignored without a reason", p.Path)
		case p.Skipped == p.SHA256.Valid():
			t.Errorf("part %s: skipped %v, digest %q", p.Path, p.Skipped, p.SHA256)
		}
		if p.TwinOf != "" && p.Verdict != greffe.VerdictIgnored {
			t.Errorf("part %s is a copy and not ignored", p.Path)
		}
	}
	for _, d := range out.Documents {
		for _, path := range append([]string{d.Part}, d.Twins...) {
			if p, ok := paths[path]; !ok || p.Skipped {
				t.Errorf("document refers to part %q, which was not read", path)
			}
		}
		if _, ok := paths[d.Body]; d.Body != "" && !ok {
			t.Errorf("document refers to body %q", d.Body)
		}
		if p := paths[d.Part]; p.SHA256 != d.SHA256 || p.Verdict != d.Verdict {
			t.Errorf("document and part %s do not agree", d.Part)
		}
		if d.Verdict == "" || d.Action == "" || d.Format == "" {
			t.Errorf("document %s: verdict %q, action %q, format %q", d.Part, d.Verdict, d.Action, d.Format)
		}
	}
}

// corpus returns the path of a sample, and skips the test where there are none.
func corpus(t testing.TB, elem ...string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	path := filepath.Join(append([]string{dir, "..", "shared", "corpus"}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skip("the folder of samples is not here")
	}
	return path
}

func rules(findings []greffe.Finding) (out []string) {
	for _, f := range findings {
		out = append(out, f.Rule)
	}
	return out
}

// TestRulesAreListedOnce: support and the console find each rule by its id.
func TestRulesAreListedOnce(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range Rules() {
		if seen[r.ID] || r.ID == "" || r.Text == "" || r.Source == "" || r.Severity == "" {
			t.Errorf("rule %+v is incomplete or listed twice", r)
		}
		seen[r.ID] = true
	}
}
