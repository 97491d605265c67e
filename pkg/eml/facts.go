package eml

import (
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-message/mail"

	"greffe/pkg/greffe"
)

// Bounds of what is kept of a header: it is for display and correlation.
const (
	maxAddresses = 100
	maxIDs       = 100
	maxText      = 1000 // bytes of a subject or a name
)

const xdmMarker = "XDM/1.0/DDM" // IHE ITI TF-2 3.32.4.1.4; MSSanté ECO.2.1.3

// facts reads what a mail header says. Of a nested mail only the Message-ID counts.
func (w *walker) facts(h *header, path string, p place) {
	ids := h.ids("Message-Id")
	if p.mails > 0 {
		if !p.report && slices.ContainsFunc(addresses(h.Get("From")), isPatient) {
			w.find(rulePatientInside, path)
		}
		if p.report {
			w.msg.OriginalIDs = appendNew(w.msg.OriginalIDs, ids...)
		} else {
			w.msg.MessageIDs = appendNew(w.msg.MessageIDs, ids...)
		}
		return
	}
	m := &w.msg
	m.MessageIDs = appendNew(m.MessageIDs, ids...)
	if len(m.MessageIDs) != 1 || len(h.Values("Message-Id")) > 1 {
		w.find(ruleMessageID, "")
	}
	m.Date = parseDate(h.Get("Date"))
	if m.Date.IsZero() || len(h.Values("Date")) > 1 {
		w.find(ruleDate, "")
	}
	m.From = addresses(strings.Join(h.Values("From"), ", "))
	w.resent = h.Get("Resent-From") != "" || h.Get("X-Forwarded-Message-Id") != ""
	if len(m.From) == 0 || len(h.Values("From")) > 1 {
		w.find(ruleFrom, "")
	}
	m.ReplyTo = addresses(h.Get("Reply-To"))
	m.To = addresses(strings.Join(h.Values("To"), ", "))
	m.Cc = addresses(strings.Join(h.Values("Cc"), ", "))
	m.ReceiptTo = addresses(h.Get("Disposition-Notification-To"))
	m.ReturnPath = returnPath(h)
	m.Subject, m.XDMMarker = subject(h.text("Subject"))
	m.InReplyTo = h.ids("In-Reply-To")
	m.References = h.ids("References")
	m.AutoSubmit = autoSubmitted(h)
	m.List = slices.ContainsFunc(listFields, func(name string) bool { return h.Get(name) != "" })
	m.ResentFrom = addresses(h.Get("Resent-From"))
	for code := range strings.SplitSeq(strings.Join(h.Values("X-MSS-CODECDA"), ","), ",") {
		if code = cut(clean(code), 100); code != "" && len(m.MSSCodeCDA) < maxIDs {
			m.MSSCodeCDA = append(m.MSSCodeCDA, code)
		}
	}
	m.MSSINS = cut(strings.ToUpper(clean(h.Get("X-MSS-INS"))), 10)
	m.MSSNIL = cut(clean(h.Get("X-MSS-NIL")), 100)
	m.MSSMES = cut(strings.ToUpper(clean(h.Get("X-MSS-MES"))), 10)
}

// listFields say that a mailing list passed the mail on (RFC 2369 §3, RFC 2919).
var listFields = []string{"List-Id", "List-Post", "List-Help", "List-Unsubscribe", "List-Subscribe", "List-Owner", "List-Archive"}

// returnPath returns the address of the first Return-Path, "<>" for the null one.
func returnPath(h *header) string {
	v := clean(h.Get("Return-Path"))
	if strings.ReplaceAll(v, " ", "") == "<>" {
		return "<>"
	}
	return cut(strings.Trim(v, "<> "), maxText)
}

// suppressed is what Message.AutoSubmit says when the sender only asks for no automatic
// answer (MS-OXCMAIL, X-Auto-Response-Suppress): people's programs ask that, too.
const suppressed = "x-auto-response-suppress"

// autoSubmitted returns the keyword of Auto-Submitted (RFC 3834 §5) without its
// parameters, or what older programs say instead of it.
func autoSubmitted(h *header) string {
	v, _ := cutOutsideQuotes(h.Get("Auto-Submitted"))
	if v = cut(strings.ToLower(clean(stripComment(v))), 60); v != "" {
		return v
	}
	if h.Get("X-Autoreply") != "" || h.Get("X-Autorespond") != "" {
		return "auto-replied"
	}
	switch strings.ToLower(clean(h.Get("Precedence"))) {
	case "auto_reply", "auto-reply":
		return "auto-replied"
	case "bulk", "junk", "list":
		return "auto-generated"
	}
	if h.Get("X-Auto-Reply-From") != "" || h.Get("X-Vacation") != "" {
		return "auto-replied"
	}
	if v := strings.ToLower(clean(h.Get("X-Auto-Response-Suppress"))); v != "" && v != "none" {
		return suppressed
	}
	return ""
}

// subject takes the marker of an XDM mail out of a decoded subject, which users are
// not to see (MSSanté ECO.3.1.3).
func subject(s string) (string, bool) {
	k := strings.Index(strings.ToUpper(s), xdmMarker)
	if k < 0 || len(strings.ToUpper(s)) != len(s) { // upper case moved the letters
		if k = indexFold(s, xdmMarker); k < 0 {
			return cut(s, maxText), false
		}
	}
	rest := strings.TrimPrefix(s[k+len(xdmMarker):], "+")
	return cut(clean(s[:k]+strings.TrimLeft(rest, " ")), maxText), true
}

// indexFold returns where ASCII text want stands in s, ignoring case.
func indexFold(s, want string) int {
	for i := 0; i+len(want) <= len(s); i++ {
		if strings.EqualFold(s[i:i+len(want)], want) {
			return i
		}
	}
	return -1
}

// messageIDs reads a list of message identifiers, without brackets.
func messageIDs(v string) []string {
	v = clean(v)
	var ids []string
	for len(ids) < maxIDs {
		_, rest, ok := strings.Cut(v, "<")
		if !ok {
			break
		}
		id, after, ok := strings.Cut(rest, ">")
		if !ok {
			break
		}
		if id = strings.Join(strings.Fields(id), ""); id != "" && len(id) <= maxText {
			ids = append(ids, id)
		}
		v = after
	}
	// An identifier without its brackets is better than none.
	if f := strings.Fields(v); len(ids) == 0 && len(f) == 1 && len(f[0]) <= maxText {
		if id := strings.Trim(f[0], "<>"); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

func appendNew(list []string, ids ...string) []string {
next:
	for _, id := range ids {
		for _, have := range list {
			if have == id {
				continue next
			}
		}
		if len(list) < maxIDs {
			list = append(list, id)
		}
	}
	return list
}

// parseDate reads a date in the form of RFC 5322 §3.3 and the usual other ones.
// It returns UTC, and the zero time for what is no date or lies outside 1970–2200.
func parseDate(v string) time.Time {
	v = strings.Join(strings.Fields(clean(v)), " ")
	if v == "" || len(v) > 200 {
		return time.Time{}
	}
	var h mail.Header
	h.Set("Date", v)
	t, err := h.Date()
	for _, layout := range []string{
		"Mon, 2 Jan 2006 15:04:05", "2 Jan 2006 15:04:05", time.RFC3339, time.ANSIC, time.UnixDate, time.RFC850,
		"Mon, 2 Jan 2006 15:04:05 MST", "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05", "Mon, 2 Jan 06 15:04:05 -0700",
	} {
		if err == nil {
			break
		}
		t, err = time.Parse(layout, stripComment(v))
	}
	if err != nil || t.Year() < 1970 || t.Year() > 2200 {
		return time.Time{}
	}
	return t.UTC()
}

// addresses reads an address list, by RFC 5322 when it can be, else by cutting it
// at commas and brackets.
func addresses(v string) []greffe.Address {
	v = strings.TrimSpace(v)
	if v == "" || strings.ReplaceAll(v, " ", "") == "<>" {
		return nil
	}
	var list []greffe.Address
	add := func(name, address string) {
		name, address = cut(clean(name), maxText), cut(clean(address), maxText)
		if address != "" && len(list) < maxAddresses {
			list = append(list, greffe.Address{Name: name, Address: address})
		}
	}
	if strict, ok := strictAddresses(v); ok {
		for _, a := range strict {
			add(a.Name, a.Address)
		}
		return list
	}
	for _, item := range splitAddresses(v) {
		name, rest, ok := strings.Cut(item, "<")
		if ok {
			address, _, _ := strings.Cut(rest, ">")
			bare, _ := unquote(name)
			add(decodeWords(bare), address)
		} else if item = stripComment(item); strings.Contains(item, "@") {
			add("", item)
		}
	}
	return list
}

// splitAddresses cuts at commas and semicolons outside quotes and brackets.
func splitAddresses(v string) []string {
	var items []string
	quoted, angle, from := false, false, 0
	for i := 0; i < len(v) && len(items) < maxAddresses; i++ {
		switch c := v[i]; {
		case c == '=' && !angle && strings.HasPrefix(v[i:], "=?"):
			if _, rest, ok := cutWord(v[i:]); ok { // may hold commas
				i = len(v) - len(rest) - 1
			}
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '<' && !quoted:
			angle = true
		case c == '>' && !quoted:
			angle = false
		case (c == ',' || c == ';') && !quoted && !angle:
			items = append(items, v[from:i])
			from = i + 1
		}
	}
	return append(items, v[min(from, len(v)):])
}
