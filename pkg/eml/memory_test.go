package eml

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// lineReader gives a line n times.
type lineReader struct {
	line []byte
	n    int
	left []byte
}

func (r *lineReader) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(r.left) == 0 {
			if r.n == 0 {
				break
			}
			r.n--
			r.left = r.line
		}
		k := copy(p[n:], r.left)
		n, r.left = n+k, r.left[k:]
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// TestMemoryDoesNotGrowWithTheMessage reads much in each form that a message can have,
// and looks at everything that was allocated on the way, collected or not. It is not
// parallel: others would be counted.
func TestMemoryDoesNotGrowWithTheMessage(t *testing.T) {
	size := 40_000_000 // with 200 MB it takes a minute, and allocates the same
	if testing.Short() {
		size = 20_000_000
	}
	times := func(line string) io.Reader { return &lineReader{line: []byte(line), n: size / len(line)} }
	join := func(pieces ...any) io.Reader {
		var list []io.Reader
		for _, p := range pieces {
			if s, ok := p.(string); ok {
				p = strings.NewReader(s)
			}
			list = append(list, p.(io.Reader))
		}
		return io.MultiReader(list...)
	}
	mixed := plainHeader + "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	deep := plainHeader
	for i := range 5000 {
		deep += fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	code := strings.Repeat("QUJD", 19) + "\r\n"
	signed := "\x30\x80" + string(oidSignedData) + "\xa0\x80\x30\x80\x02\x01\x01\x31\x00\x30\x80" + string(oidData) + "\xa0\x80\x24\x80" +
		"\x04\x1cContent-Type: text/plain\r\n\r\n"
	for name, c := range map[string]struct {
		raw  io.Reader
		rule string // that must be broken; empty for none
	}{
		"one part in base64":    {join(mixed+"--b\r\nContent-Transfer-Encoding: base64\r\n\r\n", times(code), "--b--"), ""},
		"one part, 8-bit":       {join(plainHeader+"\r\n", times("Bonjour à tous.\r\n")), ""},
		"one line":              {join(plainHeader+"\r\n", times("0123456789abcdef")), ""},
		"quoted-printable":      {join(plainHeader+"Content-Transfer-Encoding: quoted-printable\r\n\r\n", times("d=C3=A9j=C3=A0=\r\n")), ""},
		"one quoted line":       {join(plainHeader+"Content-Transfer-Encoding: quoted-printable\r\n\r\n", times("=C3=A9")), ""},
		"uuencode":              {join(plainHeader+"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 a\r\n", times("#0V%T\r\n"), "`\r\nend\r\n"), ""},
		"ten thousand parts":    {join(mixed, &lineReader{line: []byte("--b\r\n\r\n" + strings.Repeat("x", size/10_000) + "\r\n"), n: 10_000}, "--b--"), "eml.parts"},
		"a header":              {join(plainHeader, times("X-Y: "+strings.Repeat("z", 70)+"\r\n"), "\r\nx"), "eml.header-size"},
		"a line of header":      {join(plainHeader+"X-Y: ", times("0123456789abcdef"), "\r\n\r\nx"), "eml.header-size"},
		"multiparts inside":     {join(deep, "\r\n", &lineReader{line: []byte("Bonjour à tous.\r\n"), n: size / 200}), "eml.depth"}, // each level copies
		"mails inside":          {join(strings.Repeat(plainHeader+"Content-Type: message/rfc822\r\n\r\n", 1000), "\r\n", times("Bonjour à tous.\r\n")), "eml.nested"},
		"preamble":              {join(mixed, times("Bonjour à tous.\r\n"), "--b\r\n\r\nx\r\n--b--"), ""},
		"lines like delimiters": {join(mixed+"--b\r\n\r\n", times("--bb\r\n"), "\r\n--b--"), ""},
		"opaque signed data":    {join(plainHeader+"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: binary\r\n\r\n"+signed, times("\x04\x10Bonjour a tous.\n"), "\x00\x00\x00\x00\x00\x00\x31\x00\x00\x00\x00\x00\x00\x00"), "eml.signature-unread"},
		"signed in parts":       {join(plainHeader+"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n", times("Bonjour à tous.\n"), "\r\n--b\r\nContent-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\n", times(code), "\r\n--b--"), "eml.signature-unread"},
		"page":                  {join(plainHeader+"Content-Type: text/html\r\n\r\n", times("<img src=cid:0123456789>\r\n")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			lim := Limits{DecodedBytes: 1 << 40, Signatures: &Signatures{}}
			buf := make([]byte, 32<<10)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var rules []string
			res, err := Walk(c.raw, lim, func(l *Leaf, r io.Reader) error {
				_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buf)
				rules = append(rules, ids(l.Findings)...)
				return err
			})
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Fatal(err)
			}
			if rules = append(rules, ids(res.Findings)...); c.rule != "" && !slices.Contains(rules, c.rule) {
				t.Errorf("findings %v, want %s", rules, c.rule)
			}
			const most = 8 << 20 // five hundred parts, a header at its limit, twenty levels
			if used := after.TotalAlloc - before.TotalAlloc; used > most {
				t.Errorf("%d KiB were allocated", used>>10)
			} else {
				t.Logf("%d KiB", used>>10)
			}
		})
	}
}

// TestPiecesInLittleMemory: a winmail.dat of any size is read where it lies.
func TestPiecesInLittleMemory(t *testing.T) {
	const size = 100 << 20
	src := io.NewSectionReader(bigTNEF{size: size}, 0, size)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var given int64
	_, err := Pieces(MediaTNEF, src, func(n int, l *Leaf, r io.Reader) error {
		_, size, err := hashOf(r)
		given += size
		return err
	})
	runtime.ReadMemStats(&after)
	if err != nil || given < size-100 {
		t.Errorf("%d bytes, %v", given, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d KiB were allocated", used>>10)
	}
}

// bigTNEF is a TNEF stream with one attachment of zeros.
type bigTNEF struct{ size int64 }

func (b bigTNEF) ReadAt(p []byte, off int64) (int, error) {
	head := []byte("\x78\x9f\x3e\x22\x01\x00\x02\x02\x90\x06\x00\x00\x00\x00\x00\x00\x00\x02\x0f\x80\x06\x00")
	n := b.size - int64(len(head)) - 4
	head = append(head, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	clear(p)
	if off < int64(len(head)) {
		copy(p, bytes.Clone(head[off:]))
	}
	return len(p), nil
}
