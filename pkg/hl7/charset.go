package hl7

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/unicode/norm"
)

// Charset is a value of MSH-18 (HL7 table 0211).
type Charset string

// Character sets that the volet allows.
const (
	UTF8   Charset = "UNICODE UTF-8"
	Latin9 Charset = "8859/15"
)

// lookalikes replaces what ISO 8859-15 does not have: typographic signs, and letters
// that are no letter with an accent to Unicode.
var lookalikes = strings.NewReplacer(
	"‘", "'", "’", "'", "‚", ",", "“", `"`, "”", `"`, "„", `"`, "–", "-", "—", "-",
	"‑", "-", "…", "...", "•", "-", "\u202f", " ", "\u2009", " ", "ﬁ", "fi", "ﬂ", "fl", "−", "-",
	"Ł", "L", "ł", "l", "Đ", "D", "đ", "d", "Ħ", "H", "ħ", "h", "Ŧ", "T", "ŧ", "t", "ı", "i", "ẞ", "SS", "ĸ", "k", "Ŋ", "N", "ŋ", "n",
)

// encode returns text, which is escaped ER7 in UTF-8, in the character set. A
// letter that Latin-9 lacks loses its accent; what remains unknown becomes "?".
func (c Charset) encode(text string) []byte {
	if c != Latin9 {
		return []byte(text)
	}
	text = lookalikes.Replace(norm.NFC.String(text))
	out := make([]byte, 0, len(text))
	for _, r := range text {
		b, ok := latin9(r)
		if !ok {
			b = '?'
		}
		out = append(out, b)
	}
	return out
}

// latin9 returns the byte of r, or that of its letter without accents.
func latin9(r rune) (byte, bool) {
	if b, ok := charmap.ISO8859_15.EncodeRune(r); ok {
		return b, true
	}
	base, _ := utf8.DecodeRuneInString(norm.NFD.String(string(r)))
	return charmap.ISO8859_15.EncodeRune(base)
}

// holds reports whether s is the same after encode.
func (c Charset) holds(s string) bool {
	if c != Latin9 {
		return true
	}
	for _, r := range s {
		if _, ok := charmap.ISO8859_15.EncodeRune(r); !ok {
			return false
		}
	}
	return true
}

// spells reports whether s has a letter for each of its letters after encode,
// perhaps without accents.
func (c Charset) spells(s string) bool {
	if c != Latin9 {
		return true
	}
	for _, r := range lookalikes.Replace(norm.NFC.String(s)) {
		if _, ok := latin9(r); !ok {
			return false
		}
	}
	return true
}

// decode returns received bytes as UTF-8. Bytes that are not valid UTF-8 are
// read as Latin-9 whatever MSH-18 says: many receivers announce one and send the other.
func (c Charset) decode(b []byte) string {
	if c != Latin9 && utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	out.Grow(len(b))
	for _, x := range b {
		out.WriteRune(charmap.ISO8859_15.DecodeByte(x))
	}
	return out.String()
}

// charsetOf reads MSH-18 of a received message.
func charsetOf(msh18 string) Charset {
	switch msh18 {
	case "8859/15", "8859/1", "ISO IR-100", "8859-15":
		return Latin9
	}
	return UTF8
}

func (c Charset) check() error {
	if c != UTF8 && c != Latin9 {
		return fmt.Errorf("hl7: character set %q: want %q or %q", string(c), UTF8, Latin9)
	}
	return nil
}
