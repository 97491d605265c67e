package eml

import (
	"bytes"
	"slices"
	"strings"
)

// surely are fields that nothing but a mail begins with; of the others, which
// letters and forms write too ("Date :"), it takes two.
var surely = []string{"message-id", "received", "return-path", "delivered-to", "mime-version", "dkim-signature", "authentication-results", "resent-from"}

// IsMail reports whether a file that begins with prefix (8 KiB are enough) is a mail,
// by its header lines: the first line that counts is a header field (RFC 5322 §2.2),
// and the header has a field that only mails have, or two that mails have. It is
// stricter than Walk, which is told that it reads a mail and forgives a damaged header.
func IsMail(prefix []byte) bool {
	rest := afterEnvelope(bytes.TrimPrefix(prefix, []byte("\xef\xbb\xbf")))
	if fieldName(rest) == "" {
		return false
	}
	var known []string
	for lines := 0; lines < 200 && len(rest) > 0 && lineKind(rest) != lineBlank; lines++ {
		name := strings.ToLower(fieldName(rest))
		switch {
		case slices.Contains(surely, name) || strings.HasPrefix(name, "x-ms") || strings.HasPrefix(name, "arc-"):
			return true
		case slices.Contains(mailNames, name) && !slices.Contains(known, name):
			if known = append(known, name); len(known) > 1 {
				return true
			}
		}
		_, after, ok := bytes.Cut(rest, []byte("\n"))
		if !ok {
			break
		}
		rest = after
	}
	return false
}

// IsMbox reports whether a file that begins with prefix is a mailbox in the mbox
// format (RFC 4155): a mail behind a "From " line. It may hold several.
func IsMbox(prefix []byte) bool {
	return bytes.HasPrefix(prefix, []byte("From ")) && IsMail(prefix)
}

// afterEnvelope passes over blank lines and the "From " lines that programs put
// before a header.
func afterEnvelope(b []byte) []byte {
	for {
		line, rest, ok := bytes.Cut(b, []byte("\n"))
		if !ok || len(bytes.TrimSpace(line)) > 0 && !bytes.HasPrefix(line, []byte("From ")) && !bytes.HasPrefix(line, []byte(">From ")) {
			return b
		}
		b = rest
	}
}
