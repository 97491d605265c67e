package parser

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"greffe/pkg/greffe"
	"greffe/pkg/sandbox"
)

// parseFile reads a lone file and checks what holds for every one.
func parseFile(t testing.TB, name string, raw []byte) greffe.Parsed {
	t.Helper()
	out, err := quiet().ParseFile(t.Context(), greffe.Received{SHA256: greffe.DigestOf(raw), Size: int64(len(raw))}, name, bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("ParseFile: %v", err)
	}
	sound(t, out)
	return out
}

// TestFilesAreReadAsWhatTheyAre: the name of a file never decides.
func TestFilesAreReadAsWhatTheyAre(t *testing.T) {
	t.Parallel()
	pdf := sandbox.PDF("Compte rendu", []string{"Glycémie"}, 0)
	one := level1(facts(1, 1), pdf)
	zip := sandbox.XDM(sandbox.XDMSpec{Files: []sandbox.XDMFile{one}, Time: someDay})
	eml := mail("", xdmFile(zip))
	twice := "From a@b.example Sun Nov 22 08:00:00 2026\n" + string(eml) + "\n\nFrom c@d.example Mon Nov 23 09:00:00 2026\n" + string(mail("", pdfFile("x.pdf", pdf)))
	lf := func(s string) []byte { return []byte(strings.ReplaceAll(s, "\r\n", "\n")) }
	msg := append([]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), make([]byte, 5000)...)
	named := slices.Concat(msg, utf16("__substg1.0_0037001F"))
	for _, c := range []struct {
		name, file string
		raw        []byte
		message    greffe.MessageKind // empty for a file that is no mail
		part       greffe.PartKind    // of part 1
		documents  int
		verdict    greffe.Verdict
		rule       string
	}{
		{"mail", "a.eml", eml, greffe.KindDelivery, greffe.PartText, 1, greffe.VerdictOK, ""},
		{"mail under another name", "a.pdf", eml, greffe.KindDelivery, greffe.PartText, 1, greffe.VerdictOK, ""},
		{"mail without its last lines", "a", eml[:len(eml)/2], greffe.KindDelivery, greffe.PartText, 1, greffe.VerdictRefused, "eml.end-missing"},
		{"mbox of one", "boite", append([]byte("From a@b.example Sun Nov 22 08:00:00 2026\n"), eml...), greffe.KindDelivery, greffe.PartText, 1, greffe.VerdictOK, ""},
		{"mbox of two", "boite", lf(twice), greffe.KindDelivery, greffe.PartText, 1, greffe.VerdictHeld, "parser.mbox"},
		{"mbox of two, CRLF", "boite", []byte(twice), greffe.KindDelivery, greffe.PartText, 1, greffe.VerdictHeld, "parser.mbox"},
		{"archive", "IHE_XDM.ZIP", zip, "", greffe.PartXDM, 1, greffe.VerdictOK, ""},
		{"archive named as a mail", "a.eml", zip, "", greffe.PartXDM, 1, greffe.VerdictOK, ""},
		{"CDA", "doc.xml", one.Data, "", greffe.PartCDA, 1, greffe.VerdictWarning, "parser.bare"},
		{"PDF", "x.pdf", pdf, "", greffe.PartPDF, 1, greffe.VerdictHeld, "parser.pdf"},
		{"PDF called a text", "x.txt", pdf, "", greffe.PartPDF, 1, greffe.VerdictHeld, "parser.pdf"},
		{"Outlook message by its streams", "sans nom", named, "", greffe.PartOther, 1, greffe.VerdictHeld, "parser.msg"},
		{"Outlook message by its name", "x.MSG", msg, "", greffe.PartOther, 1, greffe.VerdictHeld, "parser.msg"},
		{"other OLE file", "x", msg, "", greffe.PartOther, 1, greffe.VerdictHeld, "parser.unknown"},
		{"metadata alone", "METADATA.XML", []byte(`<SubmitObjectsRequest xmlns="urn:x"/>`), "", greffe.PartMetadata, 1, greffe.VerdictHeld, "parser.xml"},
		{"letter", "lettre.txt", []byte("Date: lundi\n\nCher confrère,\n"), "", greffe.PartText, 1, greffe.VerdictHeld, "parser.text"},
		{"image", "x.png", append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 300)...), "", greffe.PartImage, 1, greffe.VerdictHeld, "parser.image"},
		{"nothing", "x", nil, "", greffe.PartEmpty, 1, greffe.VerdictHeld, "parser.empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out := parseFile(t, c.file, c.raw)
			var found []string
			for _, d := range out.Documents {
				found = append(found, rules(d.Findings)...)
			}
			found = append(found, rules(out.Findings)...)
			if out.Message.Kind != c.message || len(out.Documents) != c.documents || out.Verdict != c.verdict || c.rule != "" && !slices.Contains(found, c.rule) {
				t.Errorf("message %q, %d documents, %s, %v", out.Message.Kind, len(out.Documents), out.Verdict, found)
			}
			if len(out.Parts) == 0 || out.Parts[0].Path != "1" || out.Parts[0].Kind != c.part {
				t.Errorf("parts %+v", out.Parts)
			}
		})
	}
}

// TestFileReadsTheSameAsAttached: a lone archive is read as it is in a mail.
func TestFileReadsTheSameAsAttached(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(corpus(t, "xdm"), "*", "IHE_XDM.ZIP"))
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		alone, attached := parseFile(t, "IHE_XDM.ZIP", data), parse(t, quiet(), mail("", xdmFile(data)))
		a, b := outcome(alone), strings.ReplaceAll(strings.ReplaceAll(outcome(attached), "\n2", "\n1"), "doc 2", "doc 1")
		_, a, _ = strings.Cut(a, "\n")
		_, b, _ = strings.Cut(b, "\n")
		b = strings.ReplaceAll(strings.ReplaceAll(strings.Replace(b, "1 text ignored\n", "", 1), "body=2", "body=1"), "=2", "=1")
		if a != b {
			t.Errorf("%s:\nalone\n%s\nattached\n%s", file, a, b)
		}
	}
}

func TestFileThatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	for _, before := range []string{"", "Received: x\r\n\r\nBonjour", strings.Repeat("x", 100_000)} {
		broken := io.MultiReader(strings.NewReader(before), iotest.ErrReader(os.ErrPermission))
		if _, err := quiet().ParseFile(t.Context(), greffe.Received{}, "x", broken); !errors.Is(err, os.ErrPermission) {
			t.Errorf("after %d bytes: %v", len(before), err)
		}
	}
	if _, err := quiet().ParseFile(t.Context(), greffe.Received{SHA256: greffe.DigestOf([]byte("x"))}, "x", strings.NewReader("y")); !errors.Is(err, ErrChanged) {
		t.Error("a file that changed was read")
	}
}

// FuzzFile: whatever a person gives, every part has its verdict and nothing panics.
func FuzzFile(f *testing.F) {
	f.Add("a.eml", []byte("From a@b.example Sun Nov 22 08:00:00 2026\nReceived: x\n\nBonjour\n\nFrom c@d.example Sun Nov 22 08:00:00 2026\nTo: x\n"))
	f.Add("a.doc", append([]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), make([]byte, 600)...))
	f.Add("a", []byte("%PDF-1.4\n"))
	f.Fuzz(func(t *testing.T, name string, raw []byte) {
		parseFile(t, name, raw)
	})
}
