package hl7

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"greffe/pkg/greffe"
)

// sample is the worked example of the house's notes, with invented people.
func sample() (MDM, Settings) {
	return MDM{
			Event: First, Control: "GRF-20260314-000042", At: time.Date(2026, 3, 14, 10, 15, 2, 0, time.UTC),
			Document: greffe.Document{
				UniqueID: greffe.OID{Root: "1.2.250.1.999.2.7.1001"}, ServiceStart: "20260314093000",
				Type: greffe.Code{Code: "18748-4", System: "2.16.840.1.113883.6.1", Label: "CR d'imagerie médicale"},
				Authors: []greffe.Person{{ID: greffe.OID{Root: "1.2.250.1.71.4.2.1", Extension: "899900000011"},
					Family: "MARTEL", Given: "Yvon"}},
				Patient: greffe.Patient{
					IDs:         []greffe.OID{{Root: "1.2.250.1.213.1.4.10", Extension: "285022999907751"}, {Root: "1.2.250.1.999.1", Extension: "0045871"}},
					INS:         greffe.OID{Root: "1.2.250.1.213.1.4.10", Extension: "285022999907751"},
					BirthFamily: "ESSAI-KERVELLA", FirstGiven: "MAELLE", Givens: "MAELLE ANNE",
					BirthDate: "19850214", Sex: "F", BirthPlace: "29999",
				},
			},
			Mail: greffe.Message{
				MessageIDs: []string{"20260314093512.4821@cabinet-martel.example"}, XDMMarker: true,
				Subject: "CR d'imagerie médicale ESSAI-KERVELLA Maelle 14/02/1985", Body: "Bonjour",
				From:    []greffe.Address{{Address: "yvon.martel@cabinet-martel.example"}},
				ReplyTo: []greffe.Address{{Address: "secretariat@cabinet-martel.example"}},
			},
			Mailbox: "greffe.radio@ch-test.example",
			Service: Service{Code: "3435", Name: "Service de radiologie", Authority: "990000010"},
		}, Settings{
			Sending: "GREFFE^CH_TEST", Receiving: "DPI^CH_TEST", Processing: "T",
		}
}

const sampleText = `MSH|^~\&|GREFFE|CH_TEST|DPI|CH_TEST|20260314101502||MDM^T02^MDM_T02|GRF-20260314-000042|T|2.6|||||FRA|UNICODE UTF-8|||1.1^CISIS_CDA_HL7_LPS
EVN||20260314101502
PID|||285022999907751^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.10&ISO^INS~0045871^^^&1.2.250.1.999.1&ISO^PI||ESSAI-KERVELLA^MAELLE^MAELLE ANNE^^^^L||19850214|F|||^^^^^^BDL^^29999||||||||||||||||||||N|VALI
PV1|1|N
ORC|NW
OBR|1|||18748-4^CR d'imagerie médicale^LN
TXA|1|18748-4|TEXT|20260314093000||||||||1.2.250.1.999.2.7.1001|||||AU
OBX|1|ED|18748-4^CR d'imagerie médicale^LN||^text^XML^Base64^PENsaW5pY2FsRG9jdW1lbnQvPg==||||||F
PRT||UC||SB^Send by^participation|899900000011^MARTEL^Yvon^^^^^^ASIP-SANTE-PS&1.2.250.1.71.4.2.1&ISO^D^^^IDNPS||||||||||^^X.400^yvon.martel@cabinet-martel.example
PRT||UC||RCT^Result Copies To^participation||||Service de radiologie^^^^^990000010^UF^^^3435|||||||^^X.400^greffe.radio@ch-test.example
PRT||UC||REPLY^Reply To^participation|||||||||||^^X.400^secretariat@cabinet-martel.example
OBX|2|ED|<20260314093512.4821@cabinet-martel.example>^XDM/1.0/DDM+CR d'imagerie médicale ESSAI-KERVELLA Maelle 14/02/1985||^text^^Base64^Qm9uam91cg==||||||F
OBX|3|CWE|MASQUE_PS^Masqué aux professionnels de Santé^MetaDMPMSS||N^^expandedYes-NoIndicator||||||F
OBX|4|CWE|INVISIBLE_PATIENT^Document Non Visible par le patient^MetaDMPMSS||N^^expandedYes-NoIndicator||||||F
OBX|5|CWE|INVISIBLE_REP_LEGAUX^Non visible par les représentants Légaux du patient^MetaDMPMSS||N^^expandedYes-NoIndicator||||||F
OBX|6|CWE|MODIF_CONF_CODE^Modification Confidentiality Code^MetaDMPMSS||N^^expandedYes-NoIndicator||||||F
`

func encode(t *testing.T, m MDM, s Settings) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := m.Encode(&b, s, strings.NewReader("<ClinicalDocument/>")); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWorkedExampleByteForByte(t *testing.T) {
	t.Parallel()
	m, s := sample()
	got := strings.Split(string(encode(t, m, s)), "\r")
	want := strings.Split(sampleText, "\n")
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Errorf("line %d\n got %q\nwant %q", i+1, got[min(i, len(got)-1)], want[min(i, len(want)-1)])
		}
	}
}

func TestContentErrorIsReturned(t *testing.T) {
	t.Parallel()
	m, s := sample()
	broken := errors.New("digest differs")
	if err := m.Encode(io.Discard, s, io.MultiReader(strings.NewReader("abc"), failing{broken})); !errors.Is(err, broken) {
		t.Errorf("err %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestUnescape(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`a\F\b\S\c\T\d\R\e\E\f`: `a|b^c&d~e\f`, `\XC3A9\`: "é", `l1\.br\l2`: "l1\nl2", `\H\gras\N\`: "gras",
		`\Zxx\`: `\Zxx\`, `C:\dir`: `C:\dir`, `\X4\`: `\X4\`, `\`: `\`, `\\`: `\\`, `\\E\`: `\\`, `\XFF\`: "\uFFFD",
	} {
		if got := usual.unescape(in); got != want {
			t.Errorf("unescape(%q) = %q, want %q", in, got, want)
		}
	}
	for _, s := range []string{`a|b^c&d~e\f`, "é漢", `\F\`} {
		if got := usual.unescape(escape(s)); got != s {
			t.Errorf("%q comes back as %q", s, got)
		}
	}
}

func TestDecoderBoundsAndLongFields(t *testing.T) {
	t.Parallel()
	m, s := sample()
	big := strings.Repeat("0123456789", 100_000)
	var b bytes.Buffer
	if err := m.Encode(&b, s, strings.NewReader(big)); err != nil {
		t.Fatal(err)
	}
	read := func(d *Decoder) (n int, err error) {
		for {
			if _, err := d.Next(); err != nil {
				return n, err
			}
			n++
		}
	}
	if _, err := read(NewDecoder(bytes.NewReader(b.Bytes()))); !errors.Is(err, ErrTooLong) {
		t.Errorf("a long field without a writer gives %v", err)
	}
	d := NewDecoder(bytes.NewReader(b.Bytes()))
	d.MaxMessage = 1000
	if _, err := read(d); !errors.Is(err, ErrTooLong) {
		t.Errorf("a long message gives %v", err)
	}
	var got bytes.Buffer
	d = NewDecoder(bytes.NewReader(b.Bytes()))
	d.Long = func(segment string, field int) io.Writer {
		if segment != "OBX" || field != 5 {
			t.Errorf("long field %s-%d", segment, field)
		}
		return &got
	}
	if n, err := read(d); err != io.EOF || n != 16 {
		t.Fatalf("%d segments, %v", n, err)
	}
	raw, found := strings.CutPrefix(got.String(), "^text^XML^Base64^")
	if content, err := base64.StdEncoding.DecodeString(raw); !found || err != nil || string(content) != big {
		t.Error("the document did not come through")
	}
	for _, bad := range []string{"", "\r\n", "MSH", "PID|1", "MSH|||||", "MSH|^~\\^&|", "\x00\x01", "MSH|^~\\&|\rlow|1", strings.Repeat("x", 100)} {
		if _, err := Parse([]byte(bad)); !errors.Is(err, ErrSyntax) {
			t.Errorf("Parse(%q) gives %v", bad, err)
		}
	}
	if _, err := Parse([]byte("MSH|^~\\&|" + strings.Repeat("|", 600))); !errors.Is(err, ErrTooLong) {
		t.Errorf("600 fields give %v", err)
	}
	if _, err := Parse([]byte("MSH|^~\\&|\r" + strings.Repeat("ZZZ\r", 10_001))); !errors.Is(err, ErrTooLong) {
		t.Errorf("10,001 segments give %v", err)
	}
	segments := parse(t, []byte("\xEF\xBB\xBF\r\nMSH$*%!?$APP*x\r\n\r\nPID$a%b*c?d\n"))
	if got := segments[1].Get(1, 2, 2, 2); got != "d" {
		t.Errorf("other separators give %q", got)
	}
}

func TestParseACK(t *testing.T) {
	t.Parallel()
	const head = "MSH|^~\\&|DPI|CH|GREFFE|CH|20260314101503||ACK^T02^ACK|DPI-77|T|2.6\r"
	for _, c := range []struct {
		name, text, code, app string
		err                   error
	}{
		{"accepted", "MSA|AA|G1\r", "AA", "", nil},
		{"refused", "MSA|AE|G1\rERR||PID^1^3|207^Application error^messageErrorCondition|E|902^Identifiant de patient inconnu^applicationErrorCode\r", "AE", "902", nil},
		{"refused, other table name", "MSA|AE|G1\nERR||PID^1^3|207|E|904^x^applicationErrorCondition\n", "AE", "904", nil},
		{"second ERR carries the code", "MSA|AE|G1\rERR|||207|W\rERR|||207|E|905\r", "AE", "905", nil},
		{"technical", "MSA|AE|G1\rERR||TXA^1^12|101^Required field missing|E\r", "AE", "", nil},
		{"later", "MSA|AR|G1\r", "AR", "", nil},
		{"enhanced mode", "MSA|CE|G1\r", "AE", "", nil},
		{"no MSA", "", "", "", ErrSyntax},
		{"unknown code", "MSA|OK|G1\r", "", "", ErrSyntax},
	} {
		a, err := ParseACK([]byte(head + c.text))
		app, _ := a.Application()
		if !errors.Is(err, c.err) || a.Code != c.code || app.App != c.app {
			t.Errorf("%s: %+v, %v", c.name, a, err)
		}
		if err == nil && a.Control != "G1" {
			t.Errorf("%s: MSA-2 %q", c.name, a.Control)
		}
	}
}

func TestAnswerReadsBack(t *testing.T) {
	t.Parallel()
	m, s := sample()
	msh, _ := Find(parse(t, encode(t, m, s)), "MSH")
	b := Answer(msh, ACK{Code: "AE", ID: "D1", Errors: []ACKError{{Location: "PID^1^3", Code: "207", Label: "Application error", App: "902", AppLabel: "Identifiant de patient inconnu"}}}, m.At)
	a, err := ParseACK(b)
	if err != nil || a.Control != m.Control || a.ID != "D1" || len(a.Errors) != 1 || a.Errors[0].Location != "PID^1^3" || a.Errors[0].Severity != "E" {
		t.Fatalf("%+v, %v", a, err)
	}
	head, _ := Find(parse(t, b), "MSH")
	if head.Text(3, 1) != "DPI" || head.Text(5, 1) != "GREFFE" || head.Field(9) != "ACK^T02^ACK" {
		t.Errorf("header %v", head)
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte(strings.ReplaceAll(sampleText, "\n", "\r")))
	f.Add([]byte("MSH$*%!?$APP*x\r\n\r\nPID$a%b*c?d\n"))
	f.Add([]byte("MSH|^~\\&|||||||||||||||8859/15\rNTE|\xe9\\X0\\\\F\\|\\"))
	f.Fuzz(func(t *testing.T, b []byte) {
		segments, err := Parse(b)
		if err != nil {
			return
		}
		for _, s := range segments {
			for n := 1; n <= s.Len(); n++ {
				for r := 1; r <= min(s.Reps(n), 3); r++ {
					s.Get(n, r, 1, 1)
					s.Get(n, r, 2, 2)
				}
			}
		}
	})
}

// Whatever a mail or a document says, the message keeps its segments and each value
// arrives in its own place.
func FuzzEncode(f *testing.F) {
	f.Add(`a|b^c&d~e\f`, "D^UP|ONT", "A-1", "a@b.example", false)
	f.Add("\r\nMSA|AA\x0b\x1c\r", "Ελλη", "\xff", "\\F\\", true)
	f.Fuzz(func(t *testing.T, subject, family, number, address string, latin bool) {
		m, s := sample()
		m.Mail.Subject, m.Document.Patient.BirthFamily, m.Document.UniqueID.Extension, m.Mail.ReplyTo[0].Address = subject, family, number, address
		if latin {
			s.Charset = Latin9
		}
		var b bytes.Buffer
		if err := m.Encode(&b, s, strings.NewReader("<x/>")); err != nil {
			if !latin || !errors.Is(err, ErrCharset) {
				t.Fatal(err)
			}
			return
		}
		segments := 16
		if address == "" {
			segments-- // nobody to reply to
		}
		if bytes.ContainsAny(b.Bytes(), "\x0b\x1c\n") {
			t.Error("a byte of MLLP or an end of segment came in")
		}
		list := parse(t, b.Bytes())
		if len(list) != segments {
			t.Fatalf("%d segments", len(list))
		}
		clean := func(s string) string { // what escape and the decoder make of what is no text
			return strings.Map(func(r rune) rune {
				if r < 0x20 || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
					return ' '
				}
				return r
			}, s)
		}
		if latin {
			return // letters may have changed
		}
		for _, v := range []struct {
			segment, field, component int
			want                      string
		}{{2, 5, 1, clean(family)}, {6, 12, 1, clean(number)}, {segments - 5, 3, 2, "XDM/1.0/DDM+" + clean(subject)}} {
			if number == "" && v.field == 12 {
				continue
			}
			if got := list[v.segment].Text(v.field, v.component); got != v.want {
				t.Errorf("%s-%d.%d is %q, want %q", list[v.segment].Name, v.field, v.component, got, v.want)
			}
		}
	})
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x0bMSH|\x1c\r\x0ba\x0bb\x1c"))
	f.Add([]byte("\r\n\x1c\x0b\x1c\r"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(b), 16)
		for range len(b) + 2 {
			frame, err := nextFrame(r)
			if err != nil {
				return
			}
			got, err := io.ReadAll(frame)
			if bytes.ContainsAny(got, "\x0b\x1c") || err == nil && !bytes.Contains(b, got) {
				t.Errorf("a frame of %q", got)
			}
		}
		t.Error("more frames than bytes")
	})
}

func FuzzParseACK(f *testing.F) {
	f.Add([]byte("MSH|^~\\&|D|C|G|C|2026||ACK^T02^ACK|7|T|2.6\rMSA|AE|G1\rERR||PID^1^3|207^x^y|E|902^z^w\r"))
	f.Add([]byte("MSH|^~\\&\nMSA|CR|\x1c\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseACK(b)
		if err == nil && a.Code == "" {
			t.Error("an answer without a code")
		}
		if len(a.Errors) > errorLimit {
			t.Error("too many errors kept")
		}
	})
}

// A large document goes through both ends in little memory.
func TestLargeDocumentIsNotHeld(t *testing.T) {
	const size = 64 << 20
	m, s := sample()
	r, w := io.Pipe()
	go func() { w.CloseWithError(m.Encode(w, s, io.LimitReader(zeros{}, size))) }()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d := NewDecoder(r)
	var n int64
	d.Long = func(string, int) io.Writer { return counting{&n} }
	segments := 0
	for {
		if _, err := d.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		segments++
	}
	runtime.ReadMemStats(&after)
	if n < size*4/3 || segments != 16 {
		t.Errorf("%d segments, %d bytes of document", segments, n)
	}
	if held := after.TotalAlloc - before.TotalAlloc; held > 4<<20 {
		t.Errorf("%d bytes were allocated on the way", held)
	}
}

type counting struct{ n *int64 }

func (c counting) Write(p []byte) (int, error) { *c.n += int64(len(p)); return len(p), nil }
