package eml

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/textproto"
)

// TestWhatGoMessageLosesAlone holds the reasons for the code of this package: each
// input is read wrongly, or not to its end, by go-message without what stands around
// it here. A case that begins to fail names code that may go.
func TestWhatGoMessageLosesAlone(t *testing.T) {
	t.Parallel()
	const part = "--b\r\n\r\nun\r\n"
	for name, raw := range map[string]string{ // each has the parts "un" and "deux"
		"header line that is none (mender)":     part + "--b\r\n@@@@\r\n\r\ndeux\r\n--b--\r\n",
		"no boundary line as declared (mender)": strings.ReplaceAll(part, "--b", "--c") + "--c\r\n\r\ndeux\r\n--c--\r\n",
		"no final boundary (mender)":            part + "--b\r\n\r\ndeux",
		"part after the end (mender)":           part + "--b--\r\n--b\r\n\r\ndeux\r\n--b--\r\n",
		"mixed line ends (mender)":              part + "\n--b\n\ndeux\n--b--\n",
		"content like a boundary (mender)":      "--b\r\n\r\nun\r\n--b-x\r\n--b\r\n\r\ndeux\r\n--b--\r\n",
	} {
		parts := textproto.NewMultipartReader(strings.NewReader(raw), "b")
		var err error
		read := 0
		for err == nil {
			var p *textproto.Part
			if p, err = parts.NextPart(); err == nil {
				if _, err = io.ReadAll(p); err == nil {
					read++
				}
			}
		}
		if err == io.EOF && read == 2 {
			t.Errorf("%s: go-message reads it alone", name)
		}
	}

	for name, c := range map[string][3]string{ // header, content, what the content is
		"character outside base64 (base64Reader)":         {"Content-Transfer-Encoding: base64", "SGVs*bG8=", "Hello"},
		"base64 pieces (base64Reader)":                    {"Content-Transfer-Encoding: base64", "SGVsbG8=\r\nSGVsbG8=", "HelloHello"},
		"base64 without padding (base64Reader)":           {"Content-Transfer-Encoding: base64", "SGVsbG8", "Hello"},
		"long quoted-printable line (newQuoted)":          {"Content-Transfer-Encoding: quoted-printable", strings.Repeat("x", 9000), strings.Repeat("x", 9000)},
		"uuencode (newUU)":                                {"Content-Transfer-Encoding: x-uuencode", "begin 644 a\n#0V%T\n`\nend\n", "Cat"},
		"text is converted: other bytes than sent (Walk)": {"Content-Type: text/plain; charset=iso-8859-15", "\xa4", "\xa4"},
		"comment after the encoding (transferEncoding)":   {"Content-Transfer-Encoding: base64 (x)", "SGVsbG8=", "Hello"},
	} {
		e, err := message.Read(strings.NewReader(c[0] + "\r\n\r\n" + c[1]))
		var got []byte
		if err == nil {
			got, err = io.ReadAll(e.Body)
		}
		if err == nil && string(got) == c[2] {
			t.Errorf("%s: go-message reads it alone", name)
		}
	}

	h := func(raw string) message.Header {
		fields, err := textproto.ReadHeader(bufio.NewReader(strings.NewReader(raw + "\r\n\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		return message.Header{Header: fields}
	}
	for raw, want := range map[string]string{ // file names: parseMediaType
		"Content-Disposition: attachment; filename*0*=ISO-8859-15''r%E9sultat; filename*1*=%20fin.pdf": "résultat fin.pdf",
		"Content-Disposition: attachment; filename=CR du 12 juin.pdf":                                  "CR du 12 juin.pdf",
		"Content-Disposition: attachment; filename=a;b.pdf":                                            "a;b.pdf",
		"Content-Disposition: attachment; filename=r\xe9sum\xe9.pdf":                                   "résumé.pdf",
	} {
		f := h(raw)
		if _, params, err := f.ContentDisposition(); err == nil && params["filename"] == want {
			t.Errorf("%s: go-message reads it alone", raw)
		}
	}
	for raw, want := range map[string]string{ // encoded words: decodeWords
		"Subject: =?iso-8859-1?q?10_=80?=": "10 €",
		"Subject: =?utf-7?Q?caf+AOk-?=":    "café",
		"Subject: r\xe9sultat":             "résultat",
	} {
		f := h(raw)
		if s, err := f.Text("Subject"); err == nil && s == want {
			t.Errorf("%s: go-message reads it alone", raw)
		}
	}
}

// TestReadErrorThroughGoMessage: go-message does not wrap what the reader said.
func TestReadErrorThroughGoMessage(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, raw := range map[string]string{
		"between parts":    plainHeader + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b",
		"in a part header": plainHeader + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/pl",
		"in the preamble":  plainHeader + "Content-Type: multipart/mixed; boundary=b\r\n\r\nxx",
		"in the header":    plainHeader[:20],
	} {
		_, err := Walk(io.MultiReader(strings.NewReader(raw), errReader{broken}), Limits{}, func(l *Leaf, r io.Reader) error { return nil })
		if !errors.Is(err, broken) {
			t.Errorf("%s: reader's error became %v", name, err)
		}
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
