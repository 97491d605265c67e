package eml

import (
	"bufio"
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
)

const (
	maxBody = 64 << 10  // bytes of Message.Body, UTF-8
	maxHTML = 256 << 10 // bytes of an HTML body that are looked at
	maxCIDs = 500       // of all of them
)

// bodies collects what may become the text of the message, and the machine parts
// of reports.
type bodies struct {
	plain, html             *string // of the outer mail
	nestedPlain, nestedHTML *string
	originals               []string // identifiers of what reports are about
	action, status          string   // of the recipient of a DSN for whom it went worst
}

// capture decides whether the beginning of a leaf is wanted, and how much of it.
func (b *bodies) capture(l *Leaf) *captured {
	if isReportPart(l.Declared) {
		return &captured{limit: maxBody}
	}
	if l.InReport && l.Depth > 0 || l.Disposition == "attachment" || l.Name != "" {
		return nil
	}
	if slot := b.slot(l); slot == nil || *slot != nil {
		return nil
	}
	if l.Declared == "text/html" {
		return &captured{limit: maxHTML}
	}
	return &captured{limit: maxBody}
}

func isReportPart(declared string) bool {
	switch declared {
	case "message/disposition-notification", "message/delivery-status", "message/global-delivery-status",
		"message/global-disposition-notification", "text/rfc822-headers":
		return true
	}
	return false
}

func (b *bodies) slot(l *Leaf) **string {
	switch {
	case l.Declared == "text/plain" && l.Depth == 0:
		return &b.plain
	case l.Declared == "text/html" && l.Depth == 0:
		return &b.html
	case l.Declared == "text/plain":
		return &b.nestedPlain
	case l.Declared == "text/html":
		return &b.nestedHTML
	}
	return nil
}

// add takes the beginning of a leaf. It reports whether the leaf is a text of the
// message, and whether its charset was known.
func (b *bodies) add(l *Leaf, raw []byte) (text, known bool) {
	if isReportPart(l.Declared) {
		b.report(l.Declared, raw)
		return false, true
	}
	if bytes.IndexByte(raw, 0) >= 0 && !strings.HasPrefix(l.Charset, "utf-16") && !strings.HasPrefix(l.Charset, "utf-32") {
		return false, true // bytes that call themselves text
	}
	s, known := readText(l.Declared, l.Charset, raw)
	if slot := b.slot(l); s != "" {
		*slot = &s
	}
	return true, known
}

// Text reads the beginning of a text of the given type, text/plain or text/html, as
// Message.Body has it.
func Text(media, charset string, raw []byte) string {
	s, _ := readText(media, charset, raw)
	return s
}

func readText(media, charset string, raw []byte) (text string, known bool) {
	text, known = decodeCharset(charset, trimPartial(charset, raw))
	if media == "text/html" {
		text = textOf(text)
	}
	return tidy(text), known
}

// trimPartial removes a UTF-8 character that the limit cut in two, which would
// make the whole text look like another charset.
func trimPartial(charset string, raw []byte) []byte {
	if len(raw) < maxBody || charset != "" && charset != "utf-8" && charset != "utf8" && charset != "us-ascii" {
		return raw
	}
	for k := len(raw) - 1; k >= 0 && k >= len(raw)-utf8.UTFMax; k-- {
		if utf8.RuneStart(raw[k]) {
			if !utf8.FullRune(raw[k:]) {
				return raw[:k]
			}
			break
		}
	}
	return raw
}

// best returns the text of the message: the outer mail's own words first.
func (b *bodies) best() string {
	for _, s := range []*string{b.plain, b.html, b.nestedPlain, b.nestedHTML} {
		if s != nil {
			return *s
		}
	}
	return ""
}

// report reads the identifiers of the mail that a report is about (RFC 8098
// §3.2.5 Original-Message-ID; RFC 3464 §2.2.1 Original-Envelope-Id; returned headers)
// and what a DSN says became of it.
func (b *bodies) report(declared string, raw []byte) {
	s := &source{br: bufio.NewReader(bytes.NewReader(raw)), bol: true}
	for range 20 { // groups of fields, RFC 3464 §2.1
		h, err := s.header(maxBody)
		if err != nil {
			return
		}
		for _, name := range []string{"Original-Message-Id", "X-Original-Message-Id"} {
			b.originals = appendNew(b.originals, h.ids(name)...)
		}
		switch declared {
		case "text/rfc822-headers":
			b.originals = appendNew(b.originals, h.ids("Message-Id")...)
		case "message/delivery-status", "message/global-delivery-status":
			b.originals = appendNew(b.originals, h.ids("Original-Envelope-Id")...)
			action := cut(strings.ToLower(clean(stripComment(h.Get("Action")))), 20)
			if action != "" && (b.action == "" || gravity(action) > gravity(b.action)) {
				b.action, b.status = action, cut(clean(stripComment(h.Get("Status"))), 20)
			}
		}
		if len(s.look(1)) == 0 || h.abrupt {
			return
		}
	}
}

// gravity orders the actions of a DSN (RFC 3464 §2.3.3).
func gravity(action string) int { return slices.Index([]string{"delayed", "failed"}, action) }

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// tidy normalises line ends, removes control characters and shortens a text.
func tidy(s string) string {
	s = lineEnds.Replace(s)
	s = strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (r < ' ' || r >= 0x7F && r < 0xA0 || r == 0xFEFF) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return cut(strings.TrimSpace(s), maxBody)
}

// textOf reduces HTML to its text. Scripts, styles and what is not shown go.
func textOf(page string) string {
	var out strings.Builder
	z := html.NewTokenizer(strings.NewReader(page))
	z.SetMaxBuf(maxHTML)
	hidden := ""
	for out.Len() < 2*maxBody {
		switch z.Next() {
		case html.ErrorToken:
			return squeeze(out.String())
		case html.TextToken:
			if hidden == "" {
				out.WriteString(oneBlank(string(z.Text())))
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, _ := z.TagName()
			switch tag := string(name); tag {
			case "script", "style", "head", "title":
				if hidden == "" {
					hidden = tag
				}
			case "body":
				hidden = ""
			case "br", "p", "div", "tr", "table", "li", "h1", "h2", "h3", "h4", "hr", "blockquote":
				out.WriteByte('\n')
			case "td", "th":
				out.WriteByte('\t')
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if string(name) == hidden {
				hidden = ""
			}
			switch string(name) {
			case "p", "div", "tr", "table", "h1", "h2", "h3", "h4":
				out.WriteByte('\n')
			}
		}
	}
	return squeeze(out.String())
}

// oneBlank makes each run of blanks one blank, also at the ends.
func oneBlank(s string) string {
	words := strings.Join(strings.Fields(s), " ")
	if words == "" {
		return s[:min(len(s), 1)]
	}
	if strings.TrimLeft(s, " \t\r\n\u00a0") != s {
		words = " " + words
	}
	if strings.TrimRight(s, " \t\r\n\u00a0") != s {
		words += " "
	}
	return words
}

// squeeze leaves at most one empty line between lines.
func squeeze(s string) string {
	var lines []string
	empty := true
	for line := range strings.SplitSeq(s, "\n") {
		line = strings.Join(strings.Fields(line), " ")
		if line == "" && empty {
			continue
		}
		empty = line == ""
		lines = append(lines, line)
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}
