package eml

import (
	"encoding/base64"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
	"golang.org/x/text/encoding/charmap"
)

// decodeWords decodes the encoded words of a header value (RFC 2047), also where
// and how they are not allowed: inside quotes, with blanks in them, without their
// end, cut in the middle of a letter. What is raw 8-bit is UTF-8 when it is valid,
// else windows-1252. Control characters become blanks.
func decodeWords(s string) string {
	if !strings.Contains(s, "=?") {
		return clean(utf8OrLatin(s))
	}
	var out strings.Builder
	var pending []byte // bytes of adjoining words in one charset
	pendingCharset := ""
	flush := func() {
		if len(pending) > 0 {
			text, _ := decodeCharset(pendingCharset, pending)
			out.WriteString(text)
			pending = pending[:0]
		}
	}
	for s != "" {
		k := strings.Index(s, "=?")
		if k < 0 {
			break
		}
		w, rest, ok := cutWord(s[k:])
		if !ok {
			flush()
			out.WriteString(utf8OrLatin(s[:k+2]))
			s = s[k+2:]
			continue
		}
		// Blanks between two encoded words are not part of the text (RFC 2047 §6.2).
		if between := s[:k]; len(pending) == 0 || strings.Trim(between, " \t") != "" {
			flush()
			out.WriteString(utf8OrLatin(between))
		}
		if !strings.EqualFold(w.charset, pendingCharset) {
			flush()
		}
		pendingCharset = w.charset
		pending = append(pending, w.bytes...)
		s = rest
	}
	flush()
	out.WriteString(utf8OrLatin(s))
	return clean(out.String())
}

// word is one encoded word.
type word struct {
	charset string
	bytes   []byte
}

// cutWord reads the encoded word that s begins with.
func cutWord(s string) (word, string, bool) {
	cs, rest, ok := strings.Cut(s[2:], "?")
	if !ok || cs == "" || len(cs) > 60 || strings.ContainsAny(cs, " \t\"") || len(rest) < 2 || rest[1] != '?' {
		return word{}, "", false
	}
	cs, _, _ = strings.Cut(cs, "*") // RFC 2231 §5: charset*language
	enc, text := rest[0], rest[2:]
	text, rest, ok = strings.Cut(text, "?=")
	if !ok {
		text, rest = strings.TrimSuffix(text, "?"), "" // cut short: take what there is
	}
	switch enc {
	case 'b', 'B':
		return word{cs, lenientBase64(text)}, rest, true
	case 'q', 'Q':
		b := make([]byte, 0, len(text))
		for i := 0; i < len(text); i++ {
			switch {
			case text[i] == '_':
				b = append(b, ' ')
			case text[i] == '=' && i+2 < len(text) && unhex(text[i+1]) >= 0 && unhex(text[i+2]) >= 0:
				b = append(b, byte(unhex(text[i+1])<<4|unhex(text[i+2])))
				i += 2
			default:
				b = append(b, text[i])
			}
		}
		return word{cs, b}, rest, true
	}
	return word{}, "", false
}

// lenientBase64 decodes what it can of s: other characters are left out, padding
// may be missing.
func lenientBase64(s string) []byte {
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if v := base64Value[s[i]]; v < 64 {
			b = append(b, s[i])
		}
	}
	if len(b)%4 == 1 {
		b = b[:len(b)-1]
	}
	out, _ := base64.RawStdEncoding.AppendDecode(nil, b) // only alphabet characters are left
	return out
}

// decodeCharset converts b to UTF-8 and reports whether the charset is known and
// fits. ISO-8859-1 and US-ASCII are read as windows-1252, which is what their
// senders mean by bytes above 127 (WHATWG Encoding §4.2).
func decodeCharset(name string, b []byte) (string, bool) {
	name = strings.ToLower(strings.Trim(name, " \t\"'"))
	switch name {
	case "", "utf-8", "utf8":
		return utf8OrLatin(string(b)), utf8.Valid(b)
	case "us-ascii", "ascii":
		return utf8OrLatin(string(b)), true
	case "iso-8859-1", "latin1", "iso8859-1", "windows-1252", "cp1252", "cp-1252", "iso_8859-1":
		return latin(b), true
	case "utf-7", "unicode-1-1-utf-7":
		return utf7(b), true
	}
	r, err := charset.Reader(name, strings.NewReader(string(b)))
	if err != nil {
		return utf8OrLatin(string(b)), false
	}
	text, err := io.ReadAll(r)
	if err != nil || !utf8.Valid(text) {
		return utf8OrLatin(string(b)), false
	}
	return string(text), true
}

// utf8OrLatin returns s when it is UTF-8, else s read as windows-1252.
func utf8OrLatin(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return latin([]byte(s))
}

func latin(b []byte) string {
	text, err := charmap.Windows1252.NewDecoder().Bytes(b)
	if err != nil {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return string(text)
}

// utf7 decodes RFC 2152. Errors leave the text as it stands.
func utf7(b []byte) string {
	var out strings.Builder
	for i := 0; i < len(b); i++ {
		if b[i] != '+' {
			out.WriteString(utf8OrLatin(string(b[i : i+1])))
			continue
		}
		end := i + 1
		for end < len(b) && base64Value[b[end]] < 64 {
			end++
		}
		if end == i+1 { // "+-" is a plus sign
			out.WriteByte('+')
		} else {
			raw := lenientBase64(string(b[i+1 : end]))
			units := make([]uint16, 0, len(raw)/2)
			for k := 0; k+1 < len(raw); k += 2 {
				units = append(units, uint16(raw[k])<<8|uint16(raw[k+1]))
			}
			out.WriteString(string(utf16.Decode(units)))
		}
		if end < len(b) && b[end] == '-' {
			end++
		}
		i = end - 1
	}
	return out.String()
}

// clean makes s fit for display: valid UTF-8, no control or direction characters
// that could disguise a file name, no blanks at the ends.
func clean(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r):
			return ' '
		case r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069 || r == 0xFEFF:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD")))
}

// cut shortens s to at most n bytes without cutting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
