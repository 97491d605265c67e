package fetcher

import (
	"errors"
	"strings"
	"testing"
)

func TestLinesFindWhatTheClientMustNotRead(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("* CAPABILITY (x)\r\n", 3)
	for said, bad := range map[string]bool{
		"* OK [CAPABILITY IMAP4rev1 IDLE] Dovecot (Debian) ready.\r\n":        false,
		"T2 OK Capability completed (0.001 + 0.000 secs).\r\n":                false, // Dovecot
		"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nT1 OK (done)\r\n":               false,
		"* LIST (\\HasNoChildren) \"/\" \"CAPABILITY (a)\"\r\n":               false,
		"* 1 FETCH (UID 1 BODY[] {54}\r\n" + body + ")\r\nT1 OK\r\n":          false, // the text of a mail
		"* 1 FETCH (UID 1 BODY[] {54}\r\n" + body + ")\r\n* CAPABILITY (\r\n": true,
		"* PREAUTH [CAPABILITY IMAP4rev1 (eEARCH]\r\n":                        true,
		"* ok  [capability (":         true,
		"* CAPABILITY(":               true,
		"T12 NO [CAPABILITY A  (":     true,
		"* OK {60}\r\n* CAPABILITY (": true, // no literal: the text of a status
		"* 1 FETCH (UID 1 X {3}\r\n(((Y \"{9}\"\r\n* CAPABILITY (":                  true,
		"* OK [UIDVALIDITY 1] CAPABILITY (x)\r\n":                                   false,
		strings.Repeat("x", 200) + " CAPABILITY (\r\n":                              false,
		"* SEARCH " + strings.Repeat("1 ", 500) + "\r\n* BYE [CAPABILITY x (] \r\n": true,
	} {
		for _, size := range []int{1, 2, 7, len(said)} {
			l, found := &lines{}, false
			for p := []byte(said); len(p) > 0 && !found; {
				n := min(size, len(p))
				found = errors.Is(l.see(p[:n]), errCapability)
				p = p[n:]
			}
			if found != bad {
				t.Errorf("%q by %d bytes: found %v", said, size, found)
			}
		}
	}
}
