package parser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"greffe/pkg/eml"
	"greffe/pkg/greffe"
	"greffe/pkg/ins"
	"greffe/pkg/sandbox"
	"greffe/pkg/xdm"
)

func TestLimitsHoldWhatWasRead(t *testing.T) {
	t.Parallel()
	file := sandbox.PDF("Compte rendu", nil, 0)
	var files []string
	for i := range 15 {
		files = append(files, fmt.Sprintf("%d.bin", i), strings.Repeat(fmt.Sprint(i), 100))
	}
	loose := attachment{name: "a.zip", media: "application/zip", data: zipOf(t, files...)}
	good := archived(level1(facts(1, 1), file))
	envelope := attachment{media: "application/ms-tnef", data: sandbox.TNEF("", "", nil, sandbox.TNEFFile{Name: "a.pdf", Data: file}, sandbox.TNEFFile{Name: "b.pdf", Data: file})}
	deep := attachment{media: "application/ms-tnef", data: sandbox.TNEF("x", "", nil)}
	for range 9 {
		deep.data = sandbox.TNEF("", "", nil, sandbox.TNEFFile{Name: "TR", Mail: true, Data: deep.data})
	}
	for name, c := range map[string]struct {
		cfg  Config
		raw  []byte
		rule string
	}{
		"parts":           {Config{Parts: 8}, mail("", good, loose), "parser.parts"},
		"parts of a mail": {Config{Mail: eml.Limits{Parts: 3}}, mail("", good, loose, loose), "eml.parts"},
		"unpacked":        {Config{Unpacked: int64(len(file)) * 2}, mail("", good, loose, loose), "xdm.total"},
		"unpacked pieces": {Config{Unpacked: 10}, mail("", envelope), "parser.unpacked"},
		"pieces":          {Config{}, mail("", attachment{media: "text/plain", data: []byte(strings.Repeat("begin 644 a.txt\n#0V%T\n`\nend\n", 300))}), "eml.pieces"},
		"pieces inside":   {Config{}, mail("", deep), "parser.deep"},
		"depth":           {Config{Mail: eml.Limits{Depth: 1}}, mail("", attachment{media: "multipart/mixed; boundary=c", data: []byte("x")}), "eml.depth"},
		"mails":           {Config{}, mail("", attachment{media: "message/rfc822", data: bytes.Repeat([]byte("From: a@b.example\r\nContent-Type: message/rfc822\r\n\r\n"), 9)}), "eml.nested"},
		"header":          {Config{Mail: eml.Limits{HeaderBytes: 2000}}, mail("X-Y: "+strings.Repeat("z", 3000)+"\r\n", good), "eml.header-size"},
		"ratio":           {Config{}, mail("", attachment{name: "a.zip", media: "application/zip", data: zipOf(t, "a.txt", strings.Repeat("0", 8<<20))}), "xdm.ratio"},
		"decoded":         {Config{Mail: eml.Limits{DecodedBytes: int64(len(good.data)) + 100}}, mail("", good, loose), "eml.size"},
		"time":            {Config{Time: time.Nanosecond}, mail("", good), "parser.time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.cfg.Environment = ins.Any
			out := parse(t, New(c.cfg, nil, nil, slog.New(slog.DiscardHandler)), c.raw)
			found := rules(out.Findings)
			for _, p := range out.Parts {
				found = append(found, rules(p.Findings)...)
			}
			for _, d := range out.Documents {
				found = append(found, rules(d.Findings)...)
			}
			if !slices.Contains(found, c.rule) || out.Verdict != greffe.VerdictHeld && out.Verdict != greffe.VerdictRefused {
				t.Errorf("verdict %s, findings %v", out.Verdict, found)
			}
			for _, d := range out.Documents {
				if d.Verdict != greffe.VerdictHeld && d.Verdict != greffe.VerdictRefused {
					t.Errorf("document %s is %s: it may not go on", d.Part, d.Verdict)
				}
			}
		})
	}
}

func TestRefusedUnreadIsShown(t *testing.T) {
	t.Parallel()
	f := greffe.Finding{Rule: "fetcher.size", Severity: greffe.Hold, Text: "trop gros"}
	out, err := quiet().Parse(t.Context(), greffe.Received{Refused: &f}, nil)
	if err != nil || out.Message.Kind != greffe.KindUnread || out.Verdict != greffe.VerdictHeld || len(out.Findings) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestErrorsAreOnlyOfTheMachine(t *testing.T) {
	t.Parallel()
	raw := mail("", archived(level1(facts(1, 1), sandbox.PDF("x", nil, 0))))
	broken := errors.New("broken")
	_, err := quiet().Parse(t.Context(), greffe.Received{}, io.MultiReader(bytes.NewReader(raw[:len(raw)/2]), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) {
		t.Errorf("a spool that breaks gives %v", err)
	}
	_, err = quiet().Parse(t.Context(), greffe.Received{SHA256: greffe.DigestOf(raw)}, bytes.NewReader(raw[1:]))
	if !errors.Is(err, ErrChanged) {
		t.Errorf("other bytes than those received give %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := quiet().Parse(ctx, greffe.Received{}, bytes.NewReader(raw)); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ended gives %v", err)
	}
}

// TestTemporaryFilesAreGone cannot run beside tests that set TMPDIR.
func TestTemporaryFilesAreGone(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	big := archived(level1(facts(1, 1), sandbox.PDF("Compte rendu", nil, 3<<20)))
	out := parse(t, quiet(), mail("", big))
	if len(out.Documents) != 1 || out.Documents[0].Size < 3<<20 {
		t.Fatalf("documents %+v", out.Documents)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	t.Setenv("TMPDIR", dir+"/missing")
	if _, err := quiet().Parse(t.Context(), greffe.Received{}, bytes.NewReader(mail("", big))); !errors.Is(err, errDisk) {
		t.Errorf("a disk that is not there gives %v", err)
	}
}

// TestSecondReadAgrees reads every part again the way the archive does: by its path.
func TestSecondReadAgrees(t *testing.T) {
	t.Parallel()
	file := sandbox.PDF("Compte rendu", nil, 0)
	raw := mail("", archived(level1(facts(1, 1), file), level3(facts(1, 2))), pdfFile("a.pdf", file),
		attachment{name: "z.zip", media: "application/zip", data: zipOf(t, "a.txt", "abc", "IHE_XDM.ZIP", string(archived(level3(facts(1, 3))).data))})
	first := parse(t, quiet(), raw)
	second := parse(t, quiet(), raw)
	if a, b := fmt.Sprintf("%+v", first.Parts), fmt.Sprintf("%+v", second.Parts); a != b {
		t.Errorf("two readings differ:\n%s\n%s", a, b)
	}
	agreesAgain(t, raw, first)
}

// agreesAgain fails unless a second reading finds each part that the first one read, with
// the same bytes: otherwise the message would never be archived.
func agreesAgain(t *testing.T, raw []byte, first greffe.Parsed) {
	t.Helper()
	digests, detected := map[string]greffe.Digest{}, map[string]string{}
	for _, p := range first.Parts {
		detected[p.Path] = p.Detected
	}
	var add func(path string, b []byte)
	add = func(path string, b []byte) {
		digests[path] = greffe.DigestOf(b)
		if !eml.HoldsPieces(detected[path]) {
			openAgain(t, path, b, digests)
			return
		}
		_, err := eml.Pieces(detected[path], io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b))), func(n int, _ *eml.Leaf, r io.Reader) error {
			piece, err := io.ReadAll(r)
			path := fmt.Sprintf("%s!%d", path, n)
			if _, listed := detected[path]; listed { // an empty one has no type
				add(path, piece)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	_, err := eml.Walk(bytes.NewReader(raw), eml.Limits{}, func(l *eml.Leaf, r io.Reader) error {
		b, err := io.ReadAll(r)
		add(l.Path, b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range first.Parts {
		if !strings.Contains(p.Path, "#") && !p.Skipped && digests[p.Path] != p.SHA256 {
			t.Errorf("part %s: %s, read again %s", p.Path, p.SHA256, digests[p.Path])
		}
	}
}

// openAgain lists what an archive holds as the second reading does, which has no limits of
// its own; archives inside it too.
func openAgain(t *testing.T, path string, b []byte, digests map[string]greffe.Digest) {
	t.Helper()
	a, _, err := xdm.Open(bytes.NewReader(b), int64(len(b)), xdm.Limits{Entries: 1 << 20, Total: 1 << 50, Ratio: 1 << 40, Metadata: 1})
	if err != nil {
		t.Error(err)
	}
	if a == nil || strings.Count(path, "!") > 2 {
		return
	}
	for _, e := range a.Entries {
		rc, err := a.OpenEntry(e.Index)
		if err != nil {
			continue
		}
		data, err := io.ReadAll(rc)
		rc.Close()
		if err != nil {
			continue // damaged: the first reading skipped it
		}
		inside := fmt.Sprintf("%s!%d", path, e.Index)
		digests[inside] = greffe.DigestOf(data)
		openAgain(t, inside, data, digests)
	}
}

func FuzzParse(f *testing.F) {
	file := sandbox.PDF("Compte rendu", nil, 0)
	f.Add(mail("Subject: XDM/1.0/DDM+CR\r\n", archived(level1(facts(1, 1), file)), pdfFile("a.pdf", file)))
	f.Add(mail("", attachment{media: "text/xml", data: level3(facts(1, 1)).Data}))
	f.Add(mail("", attachment{name: "z.zip", media: "application/zip", data: zipOf(f, "a.txt", "abc", "b.pdf", string(file))}))
	f.Add([]byte("From: a@b\nContent-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: x\n\n****FIN****\n"))
	f.Add(mail("", attachment{media: "application/ms-tnef", data: sandbox.TNEF("x", "", nil, sandbox.TNEFFile{Name: "a.pdf", Data: file})}))
	f.Add([]byte("From: a@b\n\nBonjour\nbegin 644 a.txt\n#0V%T\n`\nend\n"))
	f.Add([]byte("From: a@b\nContent-Type: multipart/signed; boundary=b\n\n--b\n\nx\n--b\nContent-Type: application/pkcs7-signature\n\n0\x80"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		out, err := quiet().Parse(t.Context(), greffe.Received{}, bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		sound(t, out)
		agreesAgain(t, raw, out)
	})
}

// TestBigMessageInLittleMemory is not parallel: it looks at what the process allocates.
func TestBigMessageInLittleMemory(t *testing.T) {
	const size = 60 << 20
	head := mail("Subject: gros\r\n")
	head = head[:len(head)-len("--limite--\r\n")]
	line := []byte(strings.Repeat("QUJD", 19) + "\r\n")
	lines := size / len(line)
	raw := io.MultiReader(bytes.NewReader(head),
		strings.NewReader("--limite\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQK\r\n"),
		&repeat{line, lines, nil}, strings.NewReader("--limite--\r\n"))
	p := quiet()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	out, err := p.Parse(t.Context(), greffe.Received{}, raw)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	sound(t, out)
	if len(out.Parts) != 2 || out.Parts[1].Size != int64(9+57*lines) {
		t.Fatalf("parts %+v", out.Parts)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
		t.Errorf("%d KiB were allocated for %d MiB", used>>10, size>>20)
	}
}

// repeat gives the same line n times.
type repeat struct {
	line []byte
	n    int
	left []byte
}

func (r *repeat) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		if r.n == 0 {
			return 0, io.EOF
		}
		r.n--
		r.left = r.line
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// TestTimeEndsAPart: a part that takes for ever is left where the time for the message
// ends, and held; the digest of the message is still taken over all of it.
func TestTimeEndsAPart(t *testing.T) {
	t.Parallel()
	raw := mail("", pdfFile("a.pdf", sandbox.PDF("Compte rendu", nil, 1<<20)))
	p := New(Config{Environment: ins.Any, Time: time.Hour}, nil, nil, slog.New(slog.DiscardHandler))
	r := &reading{p: p, ctx: t.Context(), deadline: time.Now().Add(-time.Minute)}
	in := newCounted(t.Context(), bytes.NewReader(raw))
	r.in = in
	// The time ends in the middle of the part.
	src := io.MultiReader(bytes.NewReader(raw[:prefixSize]), readerFunc(func([]byte) (int, error) {
		in.until = time.Now().Add(-time.Second)
		return in.Read(nil)
	}))
	it := r.add("1", "a.pdf", "application/pdf", nil)
	if err := r.take(it, src); err != nil || !it.Skipped || it.SHA256 != "" || !slices.Contains(rules(r.findings), "parser.time") {
		t.Errorf("%v, part %+v, findings %v", err, it.Part, rules(r.findings))
	}
	if sum, size, err := in.rest(); err != nil || sum != greffe.DigestOf(raw) || size != int64(len(raw)) {
		t.Errorf("digest %s of %d bytes, %v", sum, size, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
