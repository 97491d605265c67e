package eml

import (
	"io"
	"reflect"
	"strings"
	"testing"

	"greffe/pkg/greffe"
)

func TestFileNames(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		`Content-Disposition: attachment; filename="CR imagerie.pdf"`:                                        "CR imagerie.pdf",
		`Content-Disposition: attachment; filename*=UTF-8''20250612_CR%20d%27imagerie_ESSAI.pdf`:             "20250612_CR d'imagerie_ESSAI.pdf",
		`Content-Disposition: attachment; filename*0*=ISO-8859-15''r%E9sultat%20%A4; filename*1*=%20fin.pdf`: "résultat € fin.pdf",
		`Content-Disposition: attachment; filename*1=" b.pdf"; filename*0="a"`:                               "a b.pdf",
		`Content-Disposition: attachment; filename=plain.pdf; filename*=utf-8''%C3%A9.pdf`:                   "é.pdf",
		`Content-Disposition: attachment; filename="=?utf-8?Q?r=C3=A9sum=C3=A9.pdf?="`:                       "résumé.pdf",
		`Content-Disposition: attachment; filename==?utf-8?Q?r=C3=A9sum=C3=A9.pdf?=`:                         "résumé.pdf",
		"Content-Disposition: attachment; filename=\"=?utf-8?B?csOpc3U=?=\r\n =?utf-8?B?bcOpLnBkZg==?=\"":    "résumé.pdf",
		"Content-Disposition: attachment; filename=r\xe9sum\xe9.pdf":                                         "résumé.pdf",
		`Content-Disposition: attachment; filename=CR du 12 juin.pdf`:                                        "CR du 12 juin.pdf",
		`Content-Disposition: attachment; filename=a;b.pdf`:                                                  "a;b.pdf",
		`Content-Disposition: attachment; filename="a.pdf"; filename="b.pdf"`:                                "a.pdf",
		`Content-Disposition: attachment; filename="C:\Users\x\a.pdf"`:                                       `C:\Users\x\a.pdf`,
		`Content-Disposition: attachment; filename="unclosed.pdf`:                                            "unclosed.pdf",
		`Content-Type: application/pdf; name="nom.pdf"`:                                                      "nom.pdf",
		`Content-Type: application/pdf; name*=windows-1252''%E9t%E9.pdf`:                                     "été.pdf",
		`Content-Disposition: attachment; filename*=unknown-8bit''%E9.pdf`:                                   "é.pdf",
		"Content-Disposition: attachment; filename=\"fdp\u202e.exe\"":                                        "fdp.exe",
		`Content-Disposition: attachment; filename*=utf-8''%`:                                                "%",
		`Content-Disposition: attachment; filename*99999999999999999999=x`:                                   "",
		`Content-Disposition: attachment`:                                                                    "",
	} {
		leaves, _ := walk(t, plainHeader+header+"\r\n\r\nx", Limits{})
		if leaves[0].Name != want {
			t.Errorf("%s\nname %q, want %q", header, leaves[0].Name, want)
		}
	}
}

func TestSubjects(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]struct {
		text   string
		marker bool
	}{
		"XDM/1.0/DDM+CR ESSAI Maelle 14/02/1985":                              {"CR ESSAI Maelle 14/02/1985", true},
		"TR: xdm/1.0/ddm CR ESSAI":                                            {"TR: CR ESSAI", true},
		"=?UTF-8?B?WERNLzEuMC9ERE0rQ1LigJlhIMOp?=":                            {"CR’a é", true},
		"=?utf-8?q?caf=C3?= =?utf-8?q?=A9?= au =?iso-8859-1?Q?lait_=E9t=E9?=": {"café au lait été", false},
		"=?ISO-8859-15?Q?10_=A4?=":                                            {"10 €", false},
		"r\xe9sultat":                                                         {"résultat", false},
		"=?utf-8?Q?sans fin é":                                                {"sans fin é", false},
		"=?utf-8?Q?avec blancs dedans?=":                                      {"avec blancs dedans", false},
		"=?x-inconnu?Q?a=E9?=":                                                {"aé", false},
		"=?utf-7?Q?caf+AOk-?=":                                                {"café", false},
		"=?utf-8?X?abc?=":                                                     {"=?utf-8?X?abc?=", false},
		"a\x00b\x1bc":                                                         {"a b c", false},
		"":                                                                    {"", false},
	} {
		_, res := walk(t, "From: a@b.example\r\nSubject: "+raw+"\r\n\r\nx", Limits{})
		if res.Message.Subject != want.text || res.Message.XDMMarker != want.marker {
			t.Errorf("%q: %q %v, want %q %v", raw, res.Message.Subject, res.Message.XDMMarker, want.text, want.marker)
		}
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string][]greffe.Address{
		`Dr Yvon MARTEL <y.martel@ch.example>`:            {{Name: "Dr Yvon MARTEL", Address: "y.martel@ch.example"}},
		`"MARTEL, Yvon" <y@ch.example>, z@ch.example`:     {{Name: "MARTEL, Yvon", Address: "y@ch.example"}, {Address: "z@ch.example"}},
		`=?utf-8?Q?H=C3=A9l=C3=A8ne,_Dr?= <h@ch.example>`: {{Name: "Hélène, Dr", Address: "h@ch.example"}},
		"H\xe9l\xe8ne <h@ch.example>":                     {{Name: "Hélène", Address: "h@ch.example"}},
		`Dr. Labo [x] <labo@ch.example>; b@c.example`:     {{Name: "Dr. Labo [x]", Address: "labo@ch.example"}, {Address: "b@c.example"}},
		`<>`:                       nil,
		``:                         nil,
		`undisclosed-recipients:;`: nil,
	} {
		if got := addresses(raw); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, want %+v", raw, got, want)
		}
	}
}

func TestDates(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"Sun, 22 Nov 2026 08:00:00 +0100":       "2026-11-22T07:00:00Z",
		"Sun, 22 Nov 2026 08:00:00 +0100 (CET)": "2026-11-22T07:00:00Z",
		"22 Nov 2026 08:00:00":                  "2026-11-22T08:00:00Z",
		"2026-11-22T08:00:00+01:00":             "2026-11-22T07:00:00Z",
		"demain":                                "0001-01-01T00:00:00Z",
		"Sun, 22 Nov 9999 08:00:00 +0100":       "0001-01-01T00:00:00Z",
	} {
		if got := parseDate(raw).Format("2006-01-02T15:04:05Z"); got != want {
			t.Errorf("%q: %s, want %s", raw, got, want)
		}
	}
}

func TestHeadersOfAMessage(t *testing.T) {
	t.Parallel()
	raw := "Return-Path: <>\r\nFrom: a@b.example\r\nReply-To:\r\nDate: Sun, 22 Nov 2026 08:00:00 +0100\r\nMessage-ID: <1@b>\r\nMessage-ID: <2@b>\r\n" +
		"In-Reply-To: <0@b>\r\nReferences: <00@b>\r\n\t<0@b>\r\nDisposition-Notification-To: Labo <r@b.example>\r\nAuto-Submitted: auto-generated; x=y\r\n" +
		"X-MSS-CODECDA: 11502-2, 34112-3\r\nX-MSS-INS: o\r\nX-MSS-NIL: DEV935997\r\n" +
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n" +
		"--c\r\nContent-Type: text/html\r\n\r\n<style>x</style><p>Bonjour <b>Docteur</b>,</p>à&nbsp;vous\r\n--c--\r\n" +
		"--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <n@b>\r\n\r\nautre\r\n--b--"
	_, res := walk(t, raw, Limits{})
	m := res.Message
	want := greffe.Message{
		Kind: greffe.KindForward, MessageIDs: []string{"1@b", "n@b"}, Date: m.Date, From: []greffe.Address{{Address: "a@b.example"}}, ReturnPath: "<>",
		InReplyTo: []string{"0@b"}, References: []string{"00@b", "0@b"}, ReceiptTo: []greffe.Address{{Name: "Labo", Address: "r@b.example"}},
		AutoSubmit: "auto-generated", MSSCodeCDA: []string{"11502-2", "34112-3"}, MSSINS: "O", MSSNIL: "DEV935997", Body: "Bonjour Docteur,\nà vous",
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("\n%+v\nwant\n%+v", m, want)
	}
}

func TestBodyOfAMessage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ headers, content, want string }{
		"declared":        {"Content-Type: text/plain; charset=iso-8859-1", "\x80 \xe9t\xe9", "€ été"},
		"undeclared":      {"", "\xe9t\xe9", "été"},
		"utf-8":           {"Content-Type: text/plain; charset=us-ascii", "été", "été"},
		"unknown":         {"Content-Type: text/plain; charset=x-nothing", "\xe9t\xe9", "été"},
		"utf-7":           {"Content-Type: text/plain; charset=utf-7", "+AOk-t+AOk-", "été"},
		"no more than":    {"", strings.Repeat("é", 40000), strings.Repeat("é", 32768)},
		"cut in a letter": {"", "a" + strings.Repeat("é", 40000), "a" + strings.Repeat("é", 32767)},
		"bytes":           {"", "a\x00b", ""},
	} {
		_, res := walk(t, plainHeader+c.headers+"\r\n\r\n"+c.content, Limits{})
		if c.headers == "" {
			_, res = walk(t, plainHeader+"\r\n"+c.content, Limits{})
		}
		if res.Message.Body != c.want {
			t.Errorf("%s: %.80q, want %.80q", name, res.Message.Body, c.want)
		}
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	zip := greffe.Part{Kind: greffe.PartXDM, Verdict: greffe.VerdictOK, Size: 9}
	text := greffe.Part{Kind: greffe.PartText, Verdict: greffe.VerdictIgnored, Size: 9}
	report := func(kind string) string {
		return "Content-Type: multipart/report; report-type=" + kind + "; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\nContent-Type: message/" + kind +
			"\r\n\r\nReporting-UA: x\r\nOriginal-Message-ID: <o@b>\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <o2@b>\r\n\r\nx\r\n--b--"
	}
	for name, c := range map[string]struct {
		raw  string
		part greffe.Part
		want greffe.MessageKind
	}{
		"delivery":                {"From: a@b\r\nSubject: XDM/1.0/DDM+CR\r\n\r\nx", zip, greffe.KindDelivery},
		"delivery by a machine":   {"From: no-reply@b\r\nAuto-Submitted: auto-generated\r\n\r\nx", zip, greffe.KindDelivery},
		"forward":                 {"From: a@b\r\nSubject: TR : XDM/1.0/DDM+CR\r\nReferences: <1@b>\r\n\r\nx", zip, greffe.KindForward},
		"forward as attachment":   {"From: a@b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nx", zip, greffe.KindForward},
		"reply with the archive":  {"From: a@b\r\nSubject: RE: CR\r\nIn-Reply-To: <1@b>\r\n\r\nx", zip, greffe.KindReply},
		"reply":                   {"From: a@b\r\nSubject: Re: CR\r\n\r\nmerci", text, greffe.KindReply},
		"text":                    {"From: a@b\r\nSubject: question\r\n\r\nbonjour", text, greffe.KindText},
		"MDN":                     {"From: a@b\r\n" + report("disposition-notification"), text, greffe.KindMDN},
		"DSN":                     {"From: a@b\r\n" + report("delivery-status"), text, greffe.KindDSN},
		"bounce in a plain mail":  {"Return-Path: <>\r\nFrom: MAILER-DAEMON@b\r\nSubject: Undelivered Mail Returned to Sender\r\n\r\nx", zip, greffe.KindDSN},
		"KO":                      {"From: a@b\r\nSubject: =?utf-8?Q?[KO_Int=C3=A9gration_syst=C3=A8me_!][902]_CR?=\r\n\r\nx", zip, greffe.KindKO},
		"old KO":                  {"From: a@b\r\nSubject: [Erreur d’intégration !] CR\r\n\r\nx", zip, greffe.KindKO},
		"answer to a KO":          {"From: a@b\r\nSubject: RE: [KO Intégration système !] CR\r\n\r\nx", text, greffe.KindReply},
		"tagged by a gateway":     {"From: a@b\r\nSubject: [EXTERNE] [SPAM?] TR: CR\r\n\r\nx", zip, greffe.KindForward},
		"out of office":           {"From: a@b\r\nSubject: Réponse automatique : CR\r\n\r\nabsent", text, greffe.KindAutoReply},
		"auto-replied":            {"From: a@b\r\nAuto-Submitted: auto-replied\r\n\r\nabsent", text, greffe.KindAutoReply},
		"patient":                 {"From: 285022999907751@patient.mssante.fr\r\n\r\nx", zip, greffe.KindPatient},
		"notice":                  {"From: no-reply@operateur.example\r\nSubject: quota\r\n\r\nx", text, greffe.KindNotice},
		"empty":                   {"From: a@b\r\n\r\n", greffe.Part{Kind: greffe.PartEmpty, Verdict: greffe.VerdictIgnored}, greffe.KindEmpty},
		"a human talks of bounce": {"From: a@b\r\nSubject: message non remis\r\n\r\nx", text, greffe.KindText},
	} {
		_, res := walk(t, c.raw, Limits{})
		if got := Kind(res.Message, []greffe.Part{c.part}); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if name == "MDN" && !reflect.DeepEqual(res.Message.OriginalIDs, []string{"o@b", "o2@b"}) {
			t.Errorf("original ids %v", res.Message.OriginalIDs)
		}
	}
}

// TestNothingIsTakenFromKO: however a KO mail arrives, what it sends back stays there.
func TestNothingIsTakenFromKO(t *testing.T) {
	t.Parallel()
	const ko = "=?utf-8?Q?[KO_Int=C3=A9gration_syst=C3=A8me_!]?= CR"
	for subject, want := range map[string]bool{ko: false, "TR: " + ko: false, "RE : [Erreur d'intégration !]": false, "TR: CR": true, "CR": true} {
		_, res := walk(t, "From: a@b\r\nSubject: "+subject+"\r\n\r\nx", Limits{})
		res.Message.Kind = Kind(res.Message, []greffe.Part{{Kind: greffe.PartXDM, Verdict: greffe.VerdictOK}})
		if Carries(res.Message) != want {
			t.Errorf("%s: documents are taken: %v", subject, !want)
		}
	}
	leaves, _ := walk(t, "From: a@b\r\nContent-Type: message/rfc822\r\n\r\nSubject: "+ko+"\r\n\r\nx", Limits{})
	if !leaves[0].InReport {
		t.Error("a KO mail that is forwarded as an attachment is read like any other")
	}
}

func BenchmarkWalk(b *testing.B) {
	for _, size := range []int{150 << 10, 30 << 20} {
		raw := benchmarkMail(size)
		b.Run(sizeName(size), func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				_, err := Walk(strings.NewReader(raw), Limits{}, func(l *Leaf, r io.Reader) error {
					_, _, err := hashOf(r)
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
