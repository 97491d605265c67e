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
	"time"

	"greffe/pkg/greffe"
)

// got is one leaf as a test sees it.
type got struct {
	*Leaf
	data string
}

func walk(t *testing.T, raw string, lim Limits) ([]got, *Result) {
	t.Helper()
	read := func(r io.Reader) ([]got, *Result) {
		var leaves []got
		res, err := Walk(r, lim, func(l *Leaf, r io.Reader) error {
			b, err := io.ReadAll(r)
			leaves = append(leaves, got{l, string(b)})
			return err
		})
		if err != nil {
			t.Fatalf("Walk: %v", err)
		}
		return leaves, res
	}
	leaves, res := read(strings.NewReader(raw))
	// Whatever the sizes of the reads, the leaves are the same.
	again, _ := read(iotest.OneByteReader(strings.NewReader(raw)))
	if a, b := summary(leaves), summary(again); a != b {
		t.Errorf("two walks differ:\n%s\n---\n%s", a, b)
	}
	return leaves, res
}

func summary(leaves []got) string {
	var b strings.Builder
	for _, l := range leaves {
		fmt.Fprintf(&b, "%s %s %q %q\n", l.Path, l.Declared, l.Name, l.data)
	}
	return b.String()
}

func ids(findings []greffe.Finding) (out []string) {
	for _, f := range findings {
		out = append(out, f.Rule)
	}
	return out
}

const plainHeader = "From: a@b.example\r\nTo: c@d.example\r\nDate: Sun, 22 Nov 2026 08:00:00 +0100\r\nMessage-ID: <1@b.example>\r\nSubject: x\r\n"

// TestBrokenMailGivesItsParts is the promise of the package: what people send in
// mail arrives, however it is wrapped.
func TestBrokenMailGivesItsParts(t *testing.T) {
	t.Parallel()
	pdf := "%PDF-1.4 " + strings.Repeat("contenu ", 40) + "\n%%EOF"
	b64 := base64.StdEncoding.EncodeToString([]byte(pdf))
	var folded string
	for s := b64; s != ""; {
		n := min(76, len(s))
		folded, s = folded+s[:n]+"\r\n", s[n:]
	}
	part := func(headers, content string) string { return "--b\r\n" + headers + "\r\n\r\n" + content + "\r\n" }
	text := part("Content-Type: text/plain; charset=utf-8", "Bonjour")
	attached := part("Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64", folded)
	mixed := plainHeader + "Content-Type: multipart/mixed; boundary=b\r\n\r\n"

	for name, c := range map[string]struct {
		raw    string
		leaves []string // path=content
		rules  []string // of the message or the leaves, in any order, exactly
	}{
		"by the book":                 {mixed + text + attached + "--b--\r\n", []string{"1=Bonjour", "2=" + pdf}, nil},
		"line feeds only":             {strings.ReplaceAll(mixed+text+attached+"--b--\r\n", "\r", ""), []string{"1=Bonjour", "2=" + pdf}, nil},
		"mixed line ends":             {mixed + strings.ReplaceAll(text, "\r", "") + attached + "--b--", []string{"1=Bonjour", "2=" + pdf}, nil},
		"mbox From line":              {"From x Sun Nov 22\r\n" + mixed + text + attached + "--b--", []string{"1=Bonjour", "2=" + pdf}, nil},
		"blank lines before":          {"\r\n\r\n" + mixed + text + "--b--", []string{"1=Bonjour"}, nil},
		"no final boundary":           {mixed + text + attached, []string{"1=Bonjour", "2=" + pdf}, []string{"eml.end-missing"}},
		"cut in base64":               {mixed + text + attached[:len(attached)-11], []string{"1=Bonjour", "2=" + pdf[:len(pdf)-5]}, []string{"eml.end-missing", "eml.base64-cut"}},
		"wrong boundary":              {strings.Replace(mixed, "boundary=b", "boundary=other", 1) + text + attached + "--b--", []string{"1=Bonjour", "2=" + pdf}, []string{"eml.boundary-found"}},
		"no boundary parameter":       {strings.Replace(mixed, "; boundary=b", "", 1) + text + attached + "--b--", []string{"1=Bonjour", "2=" + pdf}, []string{"eml.boundary-found"}},
		"no boundary at all":          {mixed + "Bonjour\r\nà tous", []string{"1=Bonjour\r\nà tous"}, []string{"eml.boundary-missing"}},
		"parts after the end":         {mixed + text + "--b--\r\nbye\r\n" + attached + "--b--", []string{"1=Bonjour", "2=" + pdf}, []string{"eml.after-end"}},
		"empty multipart":             {mixed + "--b--", nil, nil},
		"multipart without content":   {mixed, []string{"1="}, []string{"eml.boundary-missing"}},
		"header line that is none":    {strings.Replace(mixed, "Subject", "garbage here\r\nSubject", 1) + text + "--b--", []string{"1=Bonjour"}, []string{"eml.header-line"}},
		"bad line in a part header":   {mixed + part("Content-Type: application/pdf\r\n@@@@\r\nContent-Transfer-Encoding: base64", folded) + "--b--", []string{"1=" + pdf}, []string{"eml.header-line"}},
		"no blank after part header":  {mixed + "--b\r\nContent-Type: text/plain\r\nBonjour à tous\r\net merci\r\n--b--", []string{"1=Bonjour à tous\r\net merci"}, []string{"eml.header-end"}},
		"part without header":         {mixed + "--b\r\n\r\nBonjour\r\n--b--", []string{"1=Bonjour"}, nil},
		"part without header or line": {mixed + "--b\r\nBonjour\r\n--b--", []string{"1=Bonjour"}, []string{"eml.header-end"}},
		"empty part":                  {mixed + "--b\r\n\r\n--b\r\nContent-Type: text/html\r\n--b--", []string{"1=", "2="}, nil},
		"padding after boundary":      {mixed + "--b  \r\n\r\nBonjour\r\n--b--  \r\n", []string{"1=Bonjour"}, nil},
		"boundary is a prefix":        {mixed + "--b\r\n\r\nBonjour\r\n--bb\r\n-- b\r\n--b--", []string{"1=Bonjour\r\n--bb\r\n-- b"}, nil},
		"inner never closed": {mixed + "--b\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n--i\r\n\r\nun\r\n--i\r\n\r\ndeux\r\n" + attached + "--b--",
			[]string{"1.1=un", "1.2=deux", "2=" + pdf}, []string{"eml.end-missing"}},
		"inner with the boundary of the outer": {mixed + "--b\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nun\r\n--b\r\n\r\ndeux\r\n--b--\r\n" + attached + "--b--",
			[]string{"2=un", "3=deux", "4=" + pdf}, []string{"eml.after-end", "eml.boundary-found"}},
		"dirty base64":            {mixed + part("Content-Transfer-Encoding: base64", "!!"+b64[:40]+"\r\n*"+b64[40:]) + "--b--", []string{"1=" + pdf}, []string{"eml.base64"}},
		"base64 and footer":       {mixed + part("Content-Transfer-Encoding: base64", folded+"\r\nCe message a ete verifie par notre antivirus\r\nhttp://x.example") + "--b--", []string{"1=" + pdf}, []string{"eml.base64-tail"}},
		"base64 with = and tail":  {mixed + part("Content-Transfer-Encoding: base64", "SGVsbG8=\r\nfooter") + "--b--", []string{"1=Hello"}, []string{"eml.base64-tail"}},
		"base64 pieces":           {mixed + part("Content-Transfer-Encoding: base64", "SGVsbG8=\r\nSGVsbG8=") + "--b--", []string{"1=HelloHello"}, []string{"eml.base64"}},
		"base64 blank lines":      {mixed + part("Content-Transfer-Encoding: base64", "\r\n\r\n"+folded[:78]+"\r\n"+folded[78:]) + "--b--", []string{"1=" + pdf}, nil},
		"base64 no padding":       {mixed + part("Content-Transfer-Encoding: BASE64 (rfc)", "SGVsbG8") + "--b--", []string{"1=Hello"}, []string{"eml.base64-cut"}},
		"quoted-printable":        {mixed + part("Content-Transfer-Encoding: quoted-printable", "d=C3=A9j=\r\n=c3=a0  \r\n=ZZ=") + "--b--", []string{"1=déjà\r\n=ZZ"}, []string{"eml.quoted-printable"}},
		"uuencode":                {mixed + part("Content-Transfer-Encoding: x-uuencode", "begin 644 a.txt\r\n#0V%T\r\n`\r\nend") + "--b--", []string{"1=Cat"}, nil},
		"unknown encoding":        {mixed + part("Content-Transfer-Encoding: x-yenc", "abc") + "--b--", []string{"1=abc"}, []string{"eml.encoding"}},
		"single part":             {plainHeader + "\r\nBonjour", []string{"1=Bonjour"}, nil},
		"header only":             {plainHeader, []string{"1="}, nil},
		"not a mail":              {"\x00\x01\x02 binaire\nà : b\n", []string{"1=\x00\x01\x02 binaire\nà : b\n"}, []string{"eml.not-mail"}},
		"nothing":                 {"", []string{"1="}, []string{"eml.not-mail"}},
		"a PDF instead of a mail": {pdf, []string{"1=" + pdf}, []string{"eml.not-mail"}},
		"forward": {mixed + text + part("Content-Type: message/rfc822", strings.ReplaceAll(mixed, "boundary=b", "boundary=c")+"--c\r\n\r\nun\r\n--c\r\n\r\ndeux\r\n--c--") + "--b--",
			[]string{"1=Bonjour", "2.1=un", "2.2=deux"}, nil},
		"forward of a single part": {mixed + part("Content-Type: message/rfc822", plainHeader+"\r\nun") + "--b--", []string{"1.1=un"}, nil},
		"forward in base64": {mixed + part("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64",
			base64.StdEncoding.EncodeToString([]byte(plainHeader+"\r\nun"))) + "--b--", []string{"1.1=un"}, nil},
		"forward that says base64": {mixed + part("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64", plainHeader+"\r\nun") + "--b--", []string{"1.1=un"}, nil},
		"eml as bytes": {mixed + part("Content-Type: application/octet-stream; name=\"mail.EML\"\r\nContent-Transfer-Encoding: base64",
			base64.StdEncoding.EncodeToString([]byte(plainHeader+"\r\nun"))) + "--b--", []string{"1.1=un"}, nil},
		"nested mail that is none": {mixed + part("Content-Type: message/rfc822", "rien\r\nde tel") + "--b--", []string{"1=rien\r\nde tel"}, nil},
		"digest":                   {strings.Replace(mixed, "mixed", "digest", 1) + part("", plainHeader+"\r\nun") + "--b--", []string{"1.1=un"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			leaves, res := walk(t, c.raw, Limits{})
			var have []string
			rules := ids(res.Findings)
			for _, l := range leaves {
				have = append(have, l.Path+"="+l.data)
				rules = append(rules, ids(l.Findings)...)
			}
			if !slices.Equal(have, c.leaves) {
				t.Errorf("leaves %q\nwant   %q", have, c.leaves)
			}
			if !strings.HasPrefix(c.raw, plainHeader[:4]) { // no mail: what its header lacks is not the point
				rules = slices.DeleteFunc(rules, func(s string) bool { return s == "eml.message-id" || s == "eml.date" || s == "eml.from" })
			}
			slices.Sort(rules)
			slices.Sort(c.rules)
			if !slices.Equal(rules, c.rules) {
				t.Errorf("findings %q, want %q", rules, c.rules)
			}
		})
	}
}

func TestLimitsAreFindings(t *testing.T) {
	t.Parallel()
	mixed := plainHeader + "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	many := mixed + strings.Repeat("--b\r\n\r\nx\r\n", 30) + "--b--"
	leaves, res := walk(t, many, Limits{Parts: 10})
	if len(leaves) != 10 || !slices.Contains(ids(res.Findings), "eml.parts") {
		t.Errorf("%d leaves, findings %v", len(leaves), ids(res.Findings))
	}

	_, res = walk(t, mixed+strings.Repeat("--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n", 101)+"--b--", Limits{Parts: 10})
	if !slices.Contains(ids(res.Findings), "eml.parts") {
		t.Errorf("findings of empty multiparts %v", ids(res.Findings))
	}

	deep := plainHeader
	for i := range 60 {
		deep += fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	leaves, res = walk(t, deep+"\r\nx", Limits{})
	if len(leaves) != 1 || !slices.Contains(ids(leaves[0].Findings), "eml.depth") {
		t.Errorf("%d leaves, findings %v", len(leaves), ids(res.Findings))
	}

	nested := strings.Repeat(plainHeader+"Content-Type: message/rfc822\r\n\r\n", 20) + plainHeader + "\r\nx"
	leaves, res = walk(t, nested, Limits{})
	if len(leaves) != 1 || leaves[0].Depth != 5 || !slices.Contains(ids(leaves[0].Findings), "eml.nested") {
		t.Errorf("%d leaves, findings %v", len(leaves), ids(res.Findings))
	}

	_, res = walk(t, plainHeader+"X-A: "+strings.Repeat("y", 5000)+"\r\n\r\nx", Limits{HeaderBytes: 4096})
	if !slices.Contains(ids(res.Findings), "eml.header-size") || res.Message.Subject != "x" {
		t.Errorf("subject %q, findings %v", res.Message.Subject, ids(res.Findings))
	}

	var sizes []int
	big := mixed + "--b\r\n\r\n" + strings.Repeat("x", 600) + "\r\n--b\r\n\r\n" + strings.Repeat("x", 600) + "\r\n--b\r\n\r\nx\r\n--b--"
	res, err := Walk(strings.NewReader(big), Limits{DecodedBytes: 1000}, func(l *Leaf, r io.Reader) error {
		n, err := io.Copy(io.Discard, r)
		if err != nil {
			n = -1
		}
		sizes = append(sizes, int(n))
		return err
	})
	if err != nil || !slices.Equal(sizes, []int{600, -1, -1}) || !slices.Contains(ids(res.Findings), "eml.size") {
		t.Errorf("sizes %v, findings %v, error %v", sizes, ids(res.Findings), err)
	}
}

func TestOnlyTheReaderAndTheCallerFail(t *testing.T) {
	t.Parallel()
	raw := plainHeader + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + strings.Repeat("x", 200000)
	broken := errors.New("broken")
	_, err := Walk(io.MultiReader(strings.NewReader(raw), iotest.ErrReader(broken)), Limits{}, func(l *Leaf, r io.Reader) error { return nil })
	if !errors.Is(err, broken) {
		t.Errorf("reader's error became %v", err)
	}
	_, err = Walk(strings.NewReader(raw), Limits{}, func(l *Leaf, r io.Reader) error { return broken })
	if err != broken {
		t.Errorf("caller's error became %v", err)
	}
	nested := plainHeader + "Content-Type: message/rfc822\r\n\r\n" + raw
	_, err = Walk(io.MultiReader(strings.NewReader(nested), iotest.ErrReader(broken)), Limits{}, func(l *Leaf, r io.Reader) error { return nil })
	if !errors.Is(err, broken) {
		t.Errorf("reader's error in a nested mail became %v", err)
	}
}

// TestHostileMailIsCheap feeds what makes other parsers slow or hungry.
func TestHostileMailIsCheap(t *testing.T) {
	t.Parallel()
	mixed := plainHeader + "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	deep := plainHeader
	for i := range 20 {
		deep += fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	deep += "\r\n"
	for name, raw := range map[string]string{
		"folds":           plainHeader + "X: a\r\n" + strings.Repeat(" a\r\n", 250000) + "\r\nx",
		"junk lines":      plainHeader + strings.Repeat("junk!\r\nX:\r\n", 100000) + "\r\nx",
		"dash lines":      mixed + strings.Repeat("--\n", 1000000),
		"fields":          plainHeader + strings.Repeat("X:\n", 340000) + "\nx",
		"comment in ids":  plainHeader + "References: (" + strings.Repeat("x", 900000) + "\r\n\r\nx",
		"empty inner":     mixed + strings.Repeat("--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n", 100000),
		"deep":            deep + strings.Repeat("--\r\n", 1<<20),
		"near boundaries": mixed + "--b\r\n\r\n" + strings.Repeat("\r\n--b-", 500000),
		"parts":           mixed + strings.Repeat("--b\r\n\r\n", 300000),
		"ends":            mixed + strings.Repeat("--b--\r\n", 300000),
		"parameters":      plainHeader + "Content-Type: a/b" + strings.Repeat(";n*0*=x", 100000) + "\r\n\r\nx",
		"words":           strings.Replace(plainHeader, "Subject: x", "Subject: "+strings.Repeat("=?", 400000), 1) + "\r\nx",
		"addresses":       "From: " + strings.Repeat("<", 500000) + "\r\n\r\nx",
		"comments":        "From: " + strings.Repeat("(", 15000) + "\r\n\r\nx",
		"quotes":          plainHeader + "Content-Type: a/b;" + strings.Repeat(`"`, 500001) + "\r\n\r\nx",
		"html":            plainHeader + "Content-Type: text/html\r\n\r\n" + strings.Repeat("<div>", 200000),
		"base64 blanks":   plainHeader + "Content-Transfer-Encoding: base64\r\n\r\nAAAA" + strings.Repeat("\n\nAAAA", 300000),
		"base64 pads":     plainHeader + "Content-Transfer-Encoding: base64\r\n\r\nAAAA" + strings.Repeat("=\nAAAA", 300000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			if _, err := Walk(strings.NewReader(raw), Limits{}, func(l *Leaf, r io.Reader) error { return nil }); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(begin); d > time.Minute {
				t.Errorf("took %v", d)
			}
		})
	}
}

func FuzzWalk(f *testing.F) {
	mixed := plainHeader + "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	f.Add([]byte(mixed + "--b\r\nContent-Transfer-Encoding: base64\r\n\r\nSGVsbG8=\r\n--b--"))
	f.Add([]byte(mixed + "--c\r\nContent-Type: message/rfc822\r\n\r\n" + plainHeader + "\r\nx"))
	f.Add([]byte(plainHeader + "Content-Type: text/html; name*0*=iso-8859-15''%e9; name*1=a\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>=C3=A9"))
	f.Add([]byte("From x\nSubject: =?utf-8?q?=C3?= =?utf-8?q?=A9?=\n\nbegin 644 x\n#0V%T\nend"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		read := func(r io.Reader) string {
			var b strings.Builder
			res, err := Walk(r, Limits{}, func(l *Leaf, r io.Reader) error {
				data, err := io.ReadAll(r)
				fmt.Fprintf(&b, "%s %s %q %v %x\n", l.Path, l.Declared, l.Name, ids(l.Findings), data)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%+v", res)
			return b.String()
		}
		if a, b := read(bytes.NewReader(raw)), read(iotest.OneByteReader(bytes.NewReader(raw))); a != b {
			t.Errorf("two walks differ:\n%s\n---\n%s", a, b)
		}
	})
}
