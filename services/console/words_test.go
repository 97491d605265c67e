package console

import (
	"mime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"greffe/pkg/greffe"
)

func TestWords(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct{ got, want string }{
		{hl7Time("20261121093000+0100"), "21/11/2026 09:30"}, {hl7Time("202611210930"), "21/11/2026 09:30"}, {hl7Time("20261121"), "21/11/2026"}, {hl7Time("202611"), "11/2026"}, {hl7Time("1985"), "1985"},
		{hl7Time("20261121093000.123-0500"), "21/11/2026 09:30"}, {hl7Time("20261399"), "20261399"}, {hl7Time("demain"), "demain"}, {hl7Time(""), ""},
		{wall{paris}.age("19850214", now), "41 ans"}, {wall{paris}.age("20260101", now), "10 mois"}, {wall{paris}.age("20241123", now), "23 mois"}, {wall{paris}.age("1985", now), ""}, {wall{paris}.age("20300101", now), ""}, {wall{paris}.age("19251122", now), "101 ans"},
		{ins("285022999907751"), "2\u00a085\u00a002\u00a029\u00a0999\u00a0077\u00a051"}, {ins("285"), "285"},
		{number(0), "0"}, {number(1234567), "1\u202f234\u202f567"}, {number(-1000), "-1\u202f000"}, {number(999), "999"},
		{plural(0, "jour", "jours"), "0 jour"}, {plural(2, "jour", "jours"), "2 jours"},
		{size(999), "999 o"}, {size(150_400), "150 Ko"}, {size(999_500), "1,0 Mo"}, {size(2_500_000_000), "2,5 Go"},
		{patientName(ruth), "NESSI (DECOURCY) RUTH"}, {patientName(greffe.Patient{UsedFamily: "SEUL"}), "SEUL"},
		{personName(martel), "Dr Yvon MARTEL"}, {personName(greffe.Person{Device: "Automate"}), "Automate"},
		{docTitle(greffe.Document{Title: " ", Type: greffe.Code{Label: "CR"}}), "CR"}, {docTitle(greffe.Document{Format: greffe.FormatPDF}), "PDF"},
		{wall{paris}.moment(time.Date(2026, 7, 1, 22, 30, 0, 0, time.UTC)), "02/07/2026 00:30"}, {wall{paris}.moment(time.Time{}), ""},
		{capital("à traiter"), "À traiter"}, {capital(""), ""},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	for _, s := range greffe.States {
		w := wordsOf(s)
		if back, ok := stateOfSlug(w.Slug); !ok || back != s || icons[w.Icon] == "" || w.Help == "" {
			t.Errorf("state %q has no words", s)
		}
	}
}

func FuzzDisposition(f *testing.F) {
	for _, s := range []string{"a.pdf", "20250612_CR d'imagerie_ESSAI_Maëlle_000451.pdf", "../../etc/passwd", `..\..\x.exe`, "a\"b;c.pdf", "a\r\nSet-Cookie: x", "\u202efdp.exe", "", ".", "CON", strings.Repeat("é", 500) + ".pdf", "a%20b.pdf", "\xff\xfe"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		d := disposition(name)
		kind, params, err := mime.ParseMediaType(d)
		if err != nil || kind != "attachment" {
			t.Fatalf("%q: %v", d, err)
		}
		got := params["filename"]
		if got == "" || !utf8.ValidString(got) || strings.ContainsAny(got, "/\\\r\n\x00\"") || utf8.RuneCountInString(got) > 130 {
			t.Errorf("%q gives %q", name, got)
		}
	})
}

func FuzzLocalPath(f *testing.F) {
	for _, s := range []string{"/file", "//x", "/\\x", "https://x", "/a?b#c", "", "/%2f%2fx", "/a\nb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, p string) {
		got := localPath(p)
		if got != "" && (got[0] != '/' || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\r\n")) {
			t.Errorf("localPath(%q) = %q", p, got)
		}
	})
}
