package eml

import (
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message/mail"

	"greffe/pkg/greffe"
)

// maxStrict is the length up to which a value is given to go-message, whose readers
// know no limit of their own.
const maxStrict = 16 << 10

// text returns the first field called key, decoded, in one line.
func (h *header) text(key string) string {
	if len(h.Get(key)) <= maxStrict {
		if s, err := h.Text(key); err == nil && sound(s) {
			return clean(s)
		}
	}
	return decodeWords(h.Get(key))
}

// sound reports whether go-message understood all of a value. It gives encoded words
// that it cannot read back as they came, wrong bytes as U+FFFD, and the bytes that
// windows-1252 adds to ISO-8859-1 as control characters, all without an error.
func sound(s string) bool {
	return utf8.ValidString(s) && !strings.Contains(s, "=?") && !strings.ContainsFunc(s, func(r rune) bool {
		return r == utf8.RuneError || r >= 0x80 && r < 0xA0
	})
}

// mediaType reads Content-Type or Content-Disposition. Parameters in the form of
// RFC 2231 are read by our own reader at once: go-message leaves out, without an
// error, those that are not in UTF-8 or US-ASCII.
func (h *header) mediaType(key string) mediaType {
	v := h.Get(key)
	if v == "" || len(v) > maxStrict || strings.Contains(v, "*") {
		return parseMediaType(v)
	}
	read := h.ContentType
	if key == "Content-Disposition" {
		read = h.ContentDisposition
	}
	value, params, err := read()
	if err != nil {
		return parseMediaType(v)
	}
	for name, p := range params {
		if !sound(p) {
			return parseMediaType(v)
		}
		params[name] = clean(p)
	}
	return mediaType{value, params}
}

// ids returns the message identifiers of the first field called key, without
// brackets. Values with a comment are read by our own reader: go-message copies a
// comment anew for each of its bytes.
func (h *header) ids(key string) []string {
	v := h.Get(key)
	if len(v) > maxStrict || strings.Contains(v, "(") {
		return messageIDs(v)
	}
	list, err := h.MsgIDList(key)
	if err != nil {
		return messageIDs(v)
	}
	var ids []string
	for _, id := range list[:min(len(list), maxIDs)] {
		if id = clean(id); len(id) <= maxText {
			ids = append(ids, id)
		}
	}
	return ids
}

// strictAddresses reads an address list by RFC 5322, and reports whether it is one.
func strictAddresses(v string) ([]greffe.Address, bool) {
	if len(v) > maxStrict {
		return nil, false
	}
	parsed, err := mail.ParseAddressList(utf8OrLatin(v))
	if err != nil {
		return nil, false
	}
	var list []greffe.Address
	for _, a := range parsed {
		if !sound(a.Name) || !sound(a.Address) {
			return nil, false
		}
		list = append(list, greffe.Address{Name: a.Name, Address: a.Address})
	}
	return list, true
}
