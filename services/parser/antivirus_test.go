package parser

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"greffe/pkg/bus"
	"greffe/pkg/clamd"
	"greffe/pkg/greffe"
	"greffe/pkg/ins"
	"greffe/pkg/sandbox"
)

// antivirus starts a demo antivirus.
func antivirus(t testing.TB) *sandbox.Antivirus {
	t.Helper()
	av, err := sandbox.StartAntivirus("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { av.Close() })
	return av
}

// scanning is a parser that has its parts scanned at addr.
func scanning(t testing.TB, addr string, b *bus.Bus) *Parser {
	t.Helper()
	c, err := clamd.New(clamd.Config{Address: addr})
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{Environment: ins.Any, Version: "test", Antivirus: Antivirus{Client: c}}, b, nil, slog.New(slog.DiscardHandler))
}

// TestNothingSuspectGoesOn: wherever malware hides, a document shows it, held, and
// nothing around it goes on; what is beside it does.
func TestNothingSuspectGoesOn(t *testing.T) {
	t.Parallel()
	addrs := map[string]string{"demo": antivirus(t).Addr()}
	if addr := os.Getenv("GREFFE_TEST_CLAMD"); addr != "" {
		addrs["real"] = addr
	}
	eicar := clamd.TestFile()
	pdf := sandbox.PDF("Compte rendu", nil, 0)
	sick := append(append([]byte{}, pdf...), eicar...)
	good := archived(level1(facts(1, 1), pdf))
	logo := append(append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 300)...), eicar...)
	report := "From: Postmaster <postmaster@ch.example>\r\nTo: a@ch.example\r\nSubject: Avis\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nNon remis\r\n" +
		"--b\r\nContent-Type: message/delivery-status\r\n\r\nAction: failed\r\n\r\n" +
		"--b\r\nContent-Type: application/octet-stream; name=x.com\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString(eicar) + "\r\n--b--\r\n"
	for name, c := range map[string]struct {
		raw     []byte
		suspect []string // parts with a finding of the antivirus, those inside them first
		clean   int      // documents that go on
	}{
		"nothing":             {mail("", good), nil, 1},
		"attachment":          {mail("", good, attachment{name: "facture.com", media: "application/octet-stream", data: eicar}), []string{"3"}, 1},
		"attachment as PDF":   {mail("", pdfFile("facture.pdf", sick)), []string{"2"}, 0},
		"page of the mail":    {mail("", good, attachment{media: "text/html", data: eicar}), []string{"3"}, 1},
		"text of the mail":    {[]byte("From: a@b.example\r\nSubject: x\r\n\r\n" + string(eicar)), []string{"1"}, 0},
		"logo":                {mail("", good, attachment{media: "image/png", headers: "Content-Disposition: inline\r\nContent-ID: <l>\r\n", data: logo}), []string{"3"}, 1},
		"signature":           {mail("", good, attachment{media: "application/pkcs7-signature", data: eicar}), []string{"3"}, 1},
		"calendar":            {mail("", good, attachment{media: "text/calendar", data: append([]byte("BEGIN:VCALENDAR\r\n"), eicar...)}), []string{"3"}, 1},
		"ZIP":                 {mail("", good, attachment{name: "a.zip", media: "application/zip", data: zipOf(t, "a.txt", "abc", "b.com", string(eicar))}), []string{"3!1", "3"}, 1},
		"noise of a ZIP":      {mail("", attachment{name: "a.zip", media: "application/zip", data: zipOf(t, "a.txt", "abc", "__MACOSX/._b", string(eicar))}), []string{"2!1", "2"}, 0},
		"CDA":                 {mail("", attachment{media: "text/xml", data: level1(facts(1, 1), sick).Data}), []string{"2#0", "2"}, 0},
		"CDA in XDM":          {mail("", archived(level1(facts(1, 1), sick))), []string{"2!3#0", "2!3", "2"}, 0},
		"one of two CDAs":     {mail("", archived(level1(facts(1, 1), sick), level1(facts(1, 2), pdf))), []string{"2"}, 0},
		"CDA and its PDF":     {mail("", archived(level1(facts(1, 1), sick)), pdfFile("cr.pdf", sick)), []string{"2!3#0", "2!3", "2", "3"}, 0},
		"CDA twice":           {mail("", attachment{media: "text/xml", data: level1(facts(1, 1), sick).Data}, attachment{name: "b.xml", media: "text/xml", data: level1(facts(1, 1), sick).Data}), []string{"2#0", "2", "3#0", "3"}, 0},
		"PDF of a level 3":    {mail("", archived(level3(facts(1, 1))), pdfFile("20261120_CR_"+facts(1, 1).Patient.BirthFamily+"_ALAIN.pdf", sick)), []string{"3"}, 1},
		"in a report":         {[]byte(report), []string{"3"}, 0},
		"from a patient":      {mail("From: <279011234567890@patient.mssante.fr>\r\n", pdfFile("a.pdf", sick)), []string{"2"}, 0},
		"copy by a KO system": {mail("Subject: [KO Intégration système !] x\r\n", archived(level1(facts(1, 1), sick))), []string{"2"}, 0},
	} {
		for which, addr := range addrs {
			t.Run(name+"/"+which, func(t *testing.T) {
				t.Parallel()
				out := parse(t, scanning(t, addr, nil), c.raw)
				parts := map[string]greffe.Part{}
				found := 0
				for _, p := range out.Parts {
					parts[p.Path] = p
					if greffe.Unsafe(p.Findings) {
						found++
					}
				}
				for _, path := range c.suspect {
					p, ok := parts[path]
					if !ok || !greffe.Unsafe(p.Findings) || p.TwinOf == "" && p.Verdict != greffe.VerdictHeld && p.Verdict != greffe.VerdictRefused {
						t.Errorf("part %s: %s, %v", path, p.Verdict, rules(p.Findings))
					}
				}
				if (found > 0) != (len(c.suspect) > 0) {
					t.Errorf("%d parts are suspect", found)
				}
				clean, shown := 0, false
				for _, d := range out.Documents {
					if d.Verdict == greffe.VerdictOK || d.Verdict == greffe.VerdictWarning {
						clean++
					}
					shown = shown || greffe.Unsafe(d.Findings)
				}
				if clean != c.clean || shown != (len(c.suspect) > 0) {
					t.Errorf("%d documents go on, shown %v\n%s", clean, shown, outcome(out))
				}
				if out.Antivirus == nil || !strings.HasPrefix(out.Antivirus.Engine, "ClamAV ") {
					t.Errorf("scanned with %+v", out.Antivirus)
				}
			})
		}
	}
}

// TestSameBytesAreScannedOnce: the PDF of a message is in its CDA and beside it.
func TestSameBytesAreScannedOnce(t *testing.T) {
	t.Parallel()
	av := antivirus(t)
	big := sandbox.PDF("Compte rendu", nil, 3<<20)
	data := level1(facts(1, 1), big).Data
	out := parse(t, scanning(t, av.Addr(), nil), mail("", attachment{media: "text/xml", data: data}, attachment{name: "b.xml", media: "text/xml", data: data}, pdfFile("a.pdf", big)))
	digests := map[greffe.Digest]bool{}
	for _, p := range out.Parts {
		digests[p.SHA256] = true
	}
	if len(out.Parts) != 6 || av.Scans() != len(digests) {
		t.Errorf("%d parts, %d contents, %d scans", len(out.Parts), len(digests), av.Scans())
	}
}

// TestVersionIsKept: what scanned a message is part of what was read of it.
func TestVersionIsKept(t *testing.T) {
	t.Parallel()
	av := antivirus(t)
	at := time.Date(2026, 11, 22, 8, 41, 12, 0, time.UTC)
	av.SetBase("27461", at)
	out := parse(t, scanning(t, av.Addr(), nil), mail(""))
	if out.Antivirus == nil || *out.Antivirus != (greffe.Antivirus{Engine: "ClamAV 1.4.6", Base: "27461", BaseDate: at}) {
		t.Errorf("%+v", out.Antivirus)
	}
	if out := parse(t, quiet(), mail("")); out.Antivirus != nil {
		t.Errorf("without an antivirus: %+v", out.Antivirus)
	}
}

// TestTooLargeIsNotClean, whether the part is kept for a second look or streamed.
func TestTooLargeIsNotClean(t *testing.T) {
	t.Parallel()
	av := antivirus(t)
	av.SetLimit(2 << 20)
	for name, a := range map[string]attachment{
		"kept":     pdfFile("a.pdf", sandbox.PDF("x", nil, 3<<20)),
		"streamed": {name: "a.bin", media: "application/octet-stream", data: bytes.Repeat([]byte{0, 1, 2, 3}, 1<<20)},
	} {
		out := parse(t, scanning(t, av.Addr(), nil), mail("", a))
		if len(out.Documents) != 1 || !slices.Contains(rules(out.Documents[0].Findings), "antivirus.size") || out.Documents[0].Verdict != greffe.VerdictHeld {
			t.Errorf("%s: %s", name, outcome(out))
		}
	}
}

// TestBigPartsAreStreamed cannot run beside others: it looks at what the process
// allocates. What needs no second look goes to the antivirus while it is read.
func TestBigPartsAreStreamed(t *testing.T) {
	const size = 40 << 20
	av := antivirus(t)
	t.Setenv("TMPDIR", t.TempDir()+"/missing") // and to no file
	head := mail("Subject: gros\r\n")
	line := []byte(strings.Repeat("AQID", 19) + "\r\n")
	raw := func() io.Reader {
		return io.MultiReader(bytes.NewReader(head[:len(head)-len("--limite--\r\n")]),
			strings.NewReader("--limite\r\nContent-Type: application/octet-stream; name=a.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n"),
			&repeat{line, size / len(line), nil}, strings.NewReader(base64.StdEncoding.EncodeToString(clamd.TestFile())+"\r\n--limite--\r\n"))
	}
	p := scanning(t, av.Addr(), nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	out, err := p.Parse(t.Context(), greffe.Received{}, raw())
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	sound(t, out)
	if len(out.Documents) != 1 || !greffe.Unsafe(out.Documents[0].Findings) || out.Documents[0].Size < size*7/10 {
		t.Errorf("%s", outcome(out))
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 12<<20 {
		t.Errorf("%d KiB were allocated for %d MiB", used>>10, size>>20)
	}
}

// TestAntivirusTroubleIsNotTheMessages: an antivirus that is down, or goes down in the
// middle, makes the message wait, as often as it takes.
func TestAntivirusTroubleIsNotTheMessages(t *testing.T) {
	t.Parallel()
	av := antivirus(t)
	p := scanning(t, av.Addr(), nil)
	raw := mail("", archived(level1(facts(1, 1), sandbox.PDF("x", nil, 0))))
	read := func() error {
		_, err := p.Parse(t.Context(), greffe.Received{ID: "m"}, bytes.NewReader(raw))
		return err
	}
	av.Down()
	for range scanTries + 1 {
		if err := read(); !errors.Is(err, errAntivirus) {
			t.Fatalf("while it is down: %v", err)
		}
	}
	if err := av.Up(); err != nil {
		t.Fatal(err)
	}
	if err := read(); err != nil {
		t.Fatalf("when it is back: %v", err)
	}
	av.Behave(func(head []byte) (string, bool) {
		if bytes.HasPrefix(head, []byte("%PDF-")) {
			av.Down()
		}
		return "", false
	})
	if err := read(); !errors.Is(err, errAntivirus) {
		t.Errorf("gone in the middle: %v", err)
	}
}

// TestAPartThatCannotBeScanned is tried again, then held: it keeps neither its message
// nor the others waiting for ever.
func TestAPartThatCannotBeScanned(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"error": "stream: Can't allocate memory ERROR", "hangs up": "", "nonsense": "stream: maybe",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			av := antivirus(t)
			av.Behave(func(head []byte) (string, bool) { return answer, bytes.HasPrefix(head, []byte("%PDF-")) })
			p := scanning(t, av.Addr(), nil)
			raw := mail("", pdfFile("a.pdf", sandbox.PDF("x", nil, 0)))
			for n := 1; ; n++ {
				out, err := p.Parse(t.Context(), greffe.Received{ID: "m"}, bytes.NewReader(raw))
				switch {
				case n < scanTries && errors.Is(err, errAntivirus):
				case n == scanTries && err == nil:
					if len(out.Documents) != 1 || !slices.Contains(rules(out.Documents[0].Findings), "antivirus.failed") || out.Documents[0].Verdict != greffe.VerdictHeld {
						t.Error(outcome(out))
					}
					return
				default:
					t.Fatalf("try %d: %v", n, err)
				}
			}
		})
	}
}

// TestAPartThatEndsTheAntivirus, each time it is given it, is held without being given
// again: the others need the antivirus, too.
func TestAPartThatEndsTheAntivirus(t *testing.T) {
	t.Parallel()
	av := antivirus(t)
	av.Behave(func(head []byte) (string, bool) {
		if bytes.HasPrefix(head, []byte("%PDF-")) {
			av.Down()
		}
		return "", false
	})
	p := scanning(t, av.Addr(), nil)
	raw := mail("", pdfFile("a.pdf", sandbox.PDF("x", nil, 0)), attachment{name: "b.bin", media: "application/octet-stream", data: []byte{0, 1}})
	deaths := 0
	for range 3 * scanTries {
		out, err := p.Parse(t.Context(), greffe.Received{ID: "m"}, bytes.NewReader(raw))
		if err == nil {
			if deaths != scanTries || len(out.Documents) != 2 || !slices.Contains(rules(out.Documents[0].Findings), "antivirus.failed") || greffe.Unsafe(out.Documents[1].Findings) {
				t.Errorf("after %d deaths: %s", deaths, outcome(out))
			}
			return
		}
		if !errors.Is(err, errAntivirus) {
			t.Fatal(err)
		}
		deaths++
		if err := av.Up(); err != nil {
			t.Fatal(err)
		}
	}
	t.Error("it is given to the antivirus again and again")
}

// TestScansOfAMessageAreBounded: an antivirus that takes its time with every part costs
// a message the time it has for all, no more.
func TestScansOfAMessageAreBounded(t *testing.T) {
	t.Parallel()
	av := antivirus(t)
	av.Behave(func(head []byte) (string, bool) {
		if !bytes.HasPrefix(head, []byte("Greffe")) {
			time.Sleep(150 * time.Millisecond)
		}
		return "", false
	})
	p := scanning(t, av.Addr(), nil)
	p.guard.Time = 300 * time.Millisecond
	var parts []attachment
	for i := range 20 {
		parts = append(parts, attachment{name: "a.bin", media: "application/octet-stream", data: fmt.Append([]byte{0}, i)})
	}
	raw := mail("", parts...)
	for n := 1; ; n++ {
		began := time.Now()
		out, err := p.Parse(t.Context(), greffe.Received{ID: "m"}, bytes.NewReader(raw))
		if d := time.Since(began); d > time.Minute {
			t.Errorf("try %d took %v", n, d)
		}
		if n < scanTries {
			if !errors.Is(err, errAntivirus) {
				t.Fatalf("try %d: %v", n, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		sound(t, out)
		if out.Verdict != greffe.VerdictHeld || len(out.Parts) != 21 {
			t.Error(outcome(out))
		}
		return
	}
}

// TestMessagesWaitForTheAntivirus: while it is down nothing is read and nothing fails;
// the reason can be read by others; when it is up, all goes on by itself.
func TestMessagesWaitForTheAntivirus(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := bus.Open(ctx, bus.Config{Dir: t.TempDir()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	av := antivirus(t)
	av.SetBase("27000", time.Now().Add(-30*24*time.Hour))
	av.Down()
	results := make(chan greffe.Parsed, 100)
	run, stop := context.WithCancel(ctx)
	done := make(chan error, 2)
	go func() {
		done <- bus.Consume(run, b, bus.Parsed, bus.Consumer{Name: "test"}, func(_ context.Context, p greffe.Parsed) error {
			results <- p
			return nil
		})
	}()
	go func() { done <- scanning(t, av.Addr(), b).Run(run) }()
	const n = 20
	for i := range n {
		raw := mail("", attachment{name: "a.com", media: "application/octet-stream", data: clamd.TestFile()})
		o := greffe.Origin{Mailbox: "a@ch.example", Folder: "INBOX", UIDValidity: 1, UID: uint32(i + 1), InternalDate: someDay}
		rec := greffe.Received{ID: greffe.NewMessageID(o, greffe.DigestOf(raw)), Origin: o, Size: int64(len(raw)), SHA256: greffe.DigestOf(raw), At: someDay}
		rec.Spool = string(rec.ID)
		_, err := b.Spool(ctx, rec.Spool, bytes.NewReader(raw))
		if err := errors.Join(err, bus.Publish(ctx, b, bus.Received, rec)); err != nil {
			t.Fatal(err)
		}
	}
	standing := func(what string, ok func(bus.Standing) bool) {
		t.Helper()
		for {
			all, err := b.Standings(ctx)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if i := slices.IndexFunc(all, func(s bus.Standing) bool { return s.Service == "parser" }); i >= 0 && ok(all[i]) {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	standing("in trouble", func(s bus.Standing) bool {
		return strings.Contains(s.Trouble, "Antivirus injoignable") && s.Waiting != "" && !s.Since.IsZero()
	})
	if len(results) > 0 {
		t.Fatal("a message was read without the antivirus")
	}
	if err := av.Up(); err != nil {
		t.Fatal(err)
	}
	for range n {
		select {
		case p := <-results:
			if len(p.Documents) != 1 || !greffe.Unsafe(p.Documents[0].Findings) {
				t.Error(outcome(p))
			}
		case <-ctx.Done():
			t.Fatal("messages still wait")
		}
	}
	standing("well, with an old base", func(s bus.Standing) bool {
		return s.Trouble == "" && strings.Contains(s.Text, "base 27000") && strings.Contains(s.Warning, "30 jours")
	})
	stop()
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("stopped with %v", err)
		}
	}
	letters, err := b.DeadLetters(ctx)
	if err != nil || len(letters) > 0 {
		t.Errorf("dead letters %v, %v", letters, err)
	}
}

// capricious has an antivirus find something in some parts, or refuse them, by what they
// begin with and a salt.
func capricious(av *sandbox.Antivirus, salt byte) {
	av.Behave(func(head []byte) (string, bool) {
		sum := salt
		for _, c := range head {
			sum = sum*31 + c
		}
		switch sum % 5 {
		case 0:
			return "stream: Fuzz FOUND", true
		case 1:
			return "INSTREAM size limit exceeded. ERROR", true
		}
		return "", false
	})
}

// contained checks that nothing that is suspect, or holds what is, goes on, and that a
// document shows it.
func contained(t testing.TB, out greffe.Parsed) {
	t.Helper()
	sound(t, out)
	parts := map[string]greffe.Part{}
	for _, p := range out.Parts {
		parts[p.Path] = p
	}
	shown := false
	for _, d := range out.Documents {
		shown = shown || greffe.Unsafe(d.Findings)
		if d.Verdict == greffe.VerdictHeld || d.Verdict == greffe.VerdictRefused {
			continue
		}
		for _, p := range out.Parts {
			if greffe.Unsafe(p.Findings) && (p.Path == d.Part || p.Path == d.Body || slices.Contains(d.Twins, p.Path) || strings.HasPrefix(p.Path, d.Part+"#") || strings.HasPrefix(d.Part, p.Path+"!")) {
				t.Errorf("document %s goes on, with the suspect part %s", d.Part, p.Path)
			}
		}
	}
	for _, p := range out.Parts {
		if greffe.Unsafe(p.Findings) && (!shown || p.Verdict == greffe.VerdictOK || p.Verdict == greffe.VerdictIgnored && p.TwinOf == "") {
			t.Errorf("the suspect part %s is %s, shown %v\n%s", p.Path, p.Verdict, shown, outcome(out))
		}
	}
}

// TestSuspectAnywhere: every sample, with malware in whichever of its parts.
func TestSuspectAnywhere(t *testing.T) {
	t.Parallel()
	av := antivirus(t)
	p := scanning(t, av.Addr(), nil)
	for salt := range byte(3) {
		capricious(av, salt)
		for _, x := range sandbox.Samples(sandbox.SampleOptions{Now: someDay}) {
			out, err := p.Parse(t.Context(), greffe.Received{}, bytes.NewReader(x.Raw))
			if err != nil {
				t.Fatalf("%s: %v", x.Name, err)
			}
			contained(t, out)
			if t.Failed() {
				t.Fatalf("%s, salt %d", x.Name, salt)
			}
		}
	}
}

// FuzzSuspect is the same for whatever arrives.
func FuzzSuspect(f *testing.F) {
	file := sandbox.PDF("Compte rendu", nil, 0)
	f.Add(mail("", archived(level1(facts(1, 1), file)), pdfFile("a.pdf", file)), byte(1))
	f.Add(mail("", attachment{name: "z.zip", media: "application/zip", data: zipOf(f, "a.txt", "abc", "b.pdf", string(file))}), byte(2))
	f.Add([]byte("From: a@b\nContent-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: x\n\n****FIN****\n"), byte(3))
	av, err := sandbox.StartAntivirus("")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { av.Close() })
	p := scanning(f, av.Addr(), nil)
	f.Fuzz(func(t *testing.T, raw []byte, salt byte) {
		capricious(av, salt)
		out, err := p.Parse(t.Context(), greffe.Received{}, bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		contained(t, out)
	})
}
