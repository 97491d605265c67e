package eml

import (
	"strings"
	"testing"
)

func TestIsMailByItsHeaderLines(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"From: a@b.example\r\nTo: c@d.example\r\n\r\nBonjour":            true,
		"Received: from x\r\n\tby y; Sun, 22 Nov 2026\r\n\r\n":           true,
		"\xef\xbb\xbfSubject: x\nDate: y\n\n":                            true,
		"\r\n\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nx": true,
		"From a@b.example Sun Nov 22 08:00:00 2026\nReceived: x\n\nx":    true,
		"Date: lundi\nObjet: compte rendu\n\nCher confrère":              false,
		"Subject: seul\n\nx":                                               false,
		"X-Mozilla-Status: 0001\nFrom: a\nTo: b\n\n":                       true,
		"From a@b.example, une lettre qui commence ainsi\nCher confrère\n": false,
		"<?xml version=\"1.0\"?>\nFrom: a\nTo: b\n":                        false,
		"%PDF-1.4\nFrom: a\nTo: b\n":                                       false,
		"":                                                                 false,
		"From: a\n\nTo: b\n":                                               false, // the header ends at the blank line
		"H|~^\\&|x|\n":                                                     false,
	} {
		if IsMail([]byte(text)) != want {
			t.Errorf("IsMail(%q) = %v", text, !want)
		}
	}
	if !IsMbox([]byte("From a@b.example Sun Nov 22 08:00:00 2026\nReceived: x\n\nx")) || IsMbox([]byte("From: a\nTo: b\n\n")) {
		t.Error("an mbox is told by its first line")
	}
}

func FuzzIsMail(f *testing.F) {
	f.Add("From: a\nTo: b\n\n")
	f.Add("From x\n\n>From y\nReceived: z")
	f.Fuzz(func(t *testing.T, s string) {
		if IsMail([]byte(s)) && !strings.Contains(s, ":") {
			t.Error("a mail without a field")
		}
	})
}
