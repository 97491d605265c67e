package eml

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"greffe/pkg/sandbox"
)

// pieces opens a part and writes what it holds in lines, then its findings.
func pieces(t testing.TB, media string, data []byte) []string {
	t.Helper()
	var out []string
	findings, err := Pieces(media, io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data))), func(n int, l *Leaf, r io.Reader) error {
		b, err := io.ReadAll(iotest.HalfReader(r))
		out = append(out, fmt.Sprintf("%d %s %s=%s", n, l.Name, l.Declared, b))
		out = append(out, ids(l.Findings)...)
		return err
	})
	if err != nil {
		t.Fatalf("Pieces: %v", err)
	}
	return append(out, ids(findings)...)
}

func uu(name string, data []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "begin 644 %s\n", name)
	char := func(v byte) byte {
		if v == 0 {
			return '`'
		}
		return v + ' '
	}
	for line := range slices.Chunk(data, 45) {
		b.WriteByte(char(byte(len(line))))
		for g := range slices.Chunk(line, 3) {
			g = append(slices.Clone(g), 0, 0)
			b.Write([]byte{char(g[0] >> 2), char(g[0]&3<<4 | g[1]>>4), char(g[1]&15<<2 | g[2]>>6), char(g[2] & 63)})
		}
		b.WriteByte('\n')
	}
	return b.String() + "`\nend\n"
}

func TestFilesInATextAreFound(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("%PDF-1.4 compte rendu ", 50)
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"one":                {"Bonjour\n\n" + uu("cr.pdf", []byte(long)) + "\nCordialement\n", []string{"0 cr.pdf application/octet-stream=" + long}},
		"at once":            {uu("a b.txt", []byte("Cat")), []string{"0 a b.txt application/octet-stream=Cat"}},
		"CRLF":               {strings.ReplaceAll("x\n"+uu("a", []byte("Cat")), "\n", "\r\n"), []string{"0 a application/octet-stream=Cat"}},
		"two":                {uu("a", []byte("Cat")) + "et\n" + uu("b", []byte(long)), []string{"0 a application/octet-stream=Cat", "1 b application/octet-stream=" + long}},
		"base64":             {"begin-base64 644 a\nSGVs\nbG8=\n====\nfin", []string{"0 a application/octet-stream=Hello"}},
		"cut":                {"begin 644 a\n#0V%T\n", []string{"0 a application/octet-stream=Cat", "eml.uuencode"}},
		"broken line":        {"begin 644 a\n#0V%T\n#0\n`\nend\n", []string{"0 a application/octet-stream=Cat@\x00\x00"}}, // blanks may be lost
		"impossible line":    {"begin 644 a\n#0V%T\nM0\n`\nend\n", []string{"0 a application/octet-stream=Cat@" + strings.Repeat("\x00", 5), "eml.uuencode"}},
		"8-bit name":         {uu("r\xe9sultat.pdf", []byte("Cat")), []string{"0 résultat.pdf application/octet-stream=Cat"}},
		"empty file":         {"begin 644 a\n`\nend\n", []string{"0 a application/octet-stream="}},
		"a sentence":         {"begin 600 mg de paracétamol\npuis 3 fois par jour\n", nil},
		"a sentence, indent": {" begin 644 a\n#0V%T\nend\n", nil},
		"no mode":            {"begin the treatment\n", nil},
		"no text":            {"", nil},
		"a path for a name":  {uu("../../etc/passwd", []byte("Cat")), []string{"0 ../../etc/passwd application/octet-stream=Cat"}},
	} {
		if got := pieces(t, MediaUU, []byte(c.text)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	many := pieces(t, MediaUU, []byte(strings.Repeat(uu("a", []byte("Cat")), maxPieces+5)))
	if len(many) != maxPieces+1 || many[maxPieces] != "eml.pieces" {
		t.Errorf("%d lines", len(many))
	}
}

// compressedRTF is the example of MS-OXRTFCP §3.1.1.
var compressedRTF = []byte("\x2d\x00\x00\x00\x2b\x00\x00\x00\x4c\x5a\x46\x75\xf1\xc5\xc7\xa7\x03\x00\x0a\x00\x72\x63\x70\x67\x31\x32\x35\x42\x32\x0a\xf3\x20\x68\x65\x6c\x09\x00\x20\x62\x77\x05\xb0\x6c\x64\x7d\x0a\x80\x0f\xa0")

func TestOutlookEnvelopesAreOpened(t *testing.T) {
	t.Parallel()
	inner := sandbox.TNEF("Message joint", "", nil, sandbox.TNEFFile{Name: "dedans.pdf", Data: []byte("%PDF")})
	whole := sandbox.TNEF("Bonjour à tous €", "<p>été</p>", compressedRTF,
		sandbox.TNEFFile{Name: "Compte rendu d’imagerie.pdf", Data: []byte("%PDF-1.4")},
		sandbox.TNEFFile{Name: "vide.txt"},
		sandbox.TNEFFile{Name: "TR CR.msg", Data: inner, Mail: true})
	want := []string{"0 Compte rendu d’imagerie.pdf application/octet-stream=%PDF-1.4", "1 vide.txt application/octet-stream=",
		"2 TR CR.msg application/octet-stream=" + string(inner),
		"3  text/plain=Bonjour à tous €", "4  text/html=<p>été</p>", "5  application/rtf={\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"}
	if got := pieces(t, MediaTNEF, whole); !slices.Equal(got, want) {
		t.Errorf("\n%q\nwant\n%q", got, want)
	}
	want = []string{"0 dedans.pdf application/octet-stream=%PDF", "1  text/plain=Message joint"}
	if got := pieces(t, MediaTNEF, inner); !slices.Equal(got, want) {
		t.Errorf("\n%q\nwant\n%q", got, want)
	}
	// Old writers give a short name and a text in the code page of the sender.
	old := []byte("\x78\x9f\x3e\x22\x01\x00" + "\x01\x07\x90\x06\x00\x04\x00\x00\x00\xe3\x04\x00\x00\xe7\x00" +
		"\x01\x0c\x80\x02\x00\x05\x00\x00\x00\xe9t\xe9\x00\x00\x46\x02" + "\x02\x02\x90\x06\x00\x00\x00\x00\x00\x00\x00" +
		"\x02\x10\x80\x01\x00\x06\x00\x00\x00a.pdf\x00\xc8\x01" + "\x02\x0f\x80\x06\x00\x03\x00\x00\x00abc\x26\x01")
	if got := pieces(t, MediaTNEF, old); !slices.Equal(got, []string{"0 a.pdf application/octet-stream=abc", "1  text/plain=\xe9t\xe9"}) {
		t.Errorf("%q", got)
	}
}

// TestDamagedEnvelopesGiveWhatTheyHave: wherever a winmail.dat is cut, what stands
// before the cut is given and the cut is said.
func TestDamagedEnvelopesGiveWhatTheyHave(t *testing.T) {
	t.Parallel()
	whole := sandbox.TNEF("Bonjour", "<p>x</p>", compressedRTF, sandbox.TNEFFile{Name: "a.pdf", Data: []byte("%PDF-1.4 abcdef")}, sandbox.TNEFFile{Name: "b.pdf", Data: []byte("%PDF")})
	silent := 0
	for n := range whole {
		if got := pieces(t, MediaTNEF, whole[:n]); !slices.Contains(got, "eml.tnef") {
			silent++ // between two attributes nothing shows that others are missing
		}
	}
	if silent > 13 {
		t.Errorf("%d cuts are not noticed", silent)
	}
	got := pieces(t, MediaTNEF, whole[:len(whole)-300])
	if len(got) < 2 || !slices.Contains(got, "eml.tnef") {
		t.Errorf("%q", got)
	}
	broken := errors.New("broken")
	_, err := Pieces(MediaTNEF, io.NewSectionReader(failing{broken}, 0, 1000), nil)
	if !errors.Is(err, broken) {
		t.Errorf("a source that fails gives %v", err)
	}
	_, err = Pieces(MediaTNEF, io.NewSectionReader(bytes.NewReader(whole), 0, int64(len(whole))), func(int, *Leaf, io.Reader) error { return broken })
	if err != broken {
		t.Errorf("a caller that fails gives %v", err)
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

func FuzzPieces(f *testing.F) {
	inner := sandbox.TNEF("Message joint", "", nil, sandbox.TNEFFile{Name: "dedans.pdf", Data: []byte("%PDF")})
	f.Add(sandbox.TNEF("Bonjour", "<p>été</p>", compressedRTF, sandbox.TNEFFile{Name: "a.pdf", Data: []byte("%PDF")}, sandbox.TNEFFile{Name: "m", Data: inner, Mail: true}))
	f.Add([]byte(uu("a", []byte("Cat")) + "begin-base64 644 b\n" + base64.StdEncoding.EncodeToString([]byte("Hello")) + "\n====\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, media := range []string{MediaTNEF, MediaUU} {
			total, numbers := 0, 0
			read := func(r io.ReaderAt) string {
				var b strings.Builder
				findings, err := Pieces(media, io.NewSectionReader(r, 0, int64(len(raw))), func(n int, l *Leaf, r io.Reader) error {
					data, err := io.ReadAll(r)
					total += len(data)
					if n != numbers {
						t.Errorf("piece %d is numbered %d", numbers, n)
					}
					numbers++
					fmt.Fprintf(&b, "%d %q %s %v %x\n", n, l.Name, l.Declared, ids(l.Findings), data)
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&b, "%v", ids(findings))
				return b.String()
			}
			a := read(bytes.NewReader(raw))
			// A line that lost its end is filled up with one group of three bytes.
			if media == MediaUU && total > 3*len(raw) {
				t.Errorf("%d bytes out of %d", total, len(raw))
			}
			numbers = 0
			if b := read(bytes.NewReader(raw)); a != b {
				t.Errorf("two readings differ:\n%s\n---\n%s", a, b)
			}
		}
	})
}
