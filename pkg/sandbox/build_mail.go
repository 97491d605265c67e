package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"
)

// The mails are written by hand and not by the library that the product reads
// mail with, so that one cannot make up for a mistake of the other; and so that
// the same arguments give the same bytes.

// MailPart is a part of a mail.
type MailPart struct {
	Type        string // media type, with its parameters but name and boundary
	Name        string // of the file; in the form of RFC 2231 when it is not ASCII
	Inline      bool   // shown in the text, not attached
	ContentID   string // without brackets
	Encoding    string // base64 (the default), quoted-printable, 7bit or 8bit
	Data        []byte
	Parts       []MailPart // of a multipart type
	NoFinalLine bool       // leave the closing boundary out
	raw         []byte     // written as it is, header included: a signature is about these bytes
}

// MailSpec says what a mail holds.
type MailSpec struct {
	ID          string // Message-ID without brackets
	From, To    mail.Address
	ReplyTo     string
	Subject     string
	Date        time.Time
	ReturnPath  string // address of the envelope; empty: that of From; "<>": none
	ReceiptTo   string // Disposition-Notification-To
	InReplyTo   string // and References
	Header      []string
	Text        string     // text/plain
	Attachments []MailPart // after the text
	Body        *MailPart  // instead of Text and Attachments
}

// Mail returns the bytes of a mail (RFC 5322 and MIME), with CRLF at line ends.
func Mail(s MailSpec) []byte {
	var b bytes.Buffer
	field := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	switch s.ReturnPath {
	case "":
		field("Return-Path", "<"+s.From.Address+">")
	case "<>":
		field("Return-Path", "<>")
	default:
		field("Return-Path", "<"+s.ReturnPath+">")
	}
	field("Date", s.Date.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	field("From", s.From.String())
	field("To", s.To.String())
	if s.ReplyTo != "" {
		field("Reply-To", "<"+s.ReplyTo+">")
	}
	if s.Subject != "" {
		field("Subject", encodeWords(s.Subject))
	}
	if s.ID != "" {
		field("Message-ID", "<"+s.ID+">")
	}
	if s.InReplyTo != "" {
		field("In-Reply-To", "<"+s.InReplyTo+">")
		field("References", "<"+s.InReplyTo+">")
	}
	if s.ReceiptTo != "" {
		field("Disposition-Notification-To", "<"+s.ReceiptTo+">")
	}
	for _, line := range s.Header {
		b.WriteString(line + "\r\n")
	}
	field("MIME-Version", "1.0")
	body := s.Body
	if body == nil {
		text := textPart(s.Text)
		body = &text
		if len(s.Attachments) > 0 {
			body = &MailPart{Type: "multipart/mixed", Parts: append([]MailPart{text}, s.Attachments...)}
		}
	}
	body.write(&b, s.ID+s.Subject)
	return b.Bytes()
}

func textPart(text string) MailPart {
	return MailPart{Type: "text/plain; charset=utf-8", Encoding: "quoted-printable", Data: []byte(crlf(text))}
}

// attachment returns a part that is a file.
func attachment(mediaType, name string, data []byte) MailPart {
	return MailPart{Type: mediaType, Name: name, Data: data}
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// write writes the part's header, an empty line and its body. seed makes the
// boundary.
func (p *MailPart) write(b *bytes.Buffer, seed string) {
	if p.raw != nil {
		b.Write(p.raw)
		return
	}
	if len(p.Parts) > 0 {
		sum := sha256.Sum256([]byte(seed + p.Type))
		boundary := "=_" + hex.EncodeToString(sum[:12])
		fmt.Fprintf(b, "Content-Type: %s;\r\n\tboundary=\"%s\"\r\n\r\n", p.Type, boundary)
		for i := range p.Parts {
			b.WriteString("--" + boundary + "\r\n")
			p.Parts[i].write(b, boundary)
			b.WriteString("\r\n")
		}
		if !p.NoFinalLine {
			b.WriteString("--" + boundary + "--\r\n")
		}
		return
	}
	b.WriteString("Content-Type: " + p.Type)
	if p.Name != "" {
		b.WriteString(";\r\n\t" + parameter("name", p.Name))
	}
	b.WriteString("\r\n")
	encoding := p.Encoding
	if encoding == "" {
		encoding = "base64"
	}
	b.WriteString("Content-Transfer-Encoding: " + encoding + "\r\n")
	if p.Name != "" {
		disposition := "attachment"
		if p.Inline {
			disposition = "inline"
		}
		b.WriteString("Content-Disposition: " + disposition + ";\r\n\t" + parameter("filename", p.Name) + "\r\n")
	}
	if p.ContentID != "" {
		b.WriteString("Content-ID: <" + p.ContentID + ">\r\n")
	}
	b.WriteString("\r\n")
	switch encoding {
	case "base64":
		b.WriteString(base64Lines(p.Data))
	case "quoted-printable":
		w := quotedprintable.NewWriter(b)
		w.Write(p.Data) // a Buffer does not fail
		w.Close()
	default:
		b.Write(p.Data)
	}
}

// base64Lines returns data in lines of 76 characters (RFC 2045 §6.8).
func base64Lines(data []byte) string {
	text := base64.StdEncoding.EncodeToString(data)
	var b strings.Builder
	b.Grow(len(text) + len(text)/38 + 2)
	for len(text) > 0 {
		n := min(76, len(text))
		b.WriteString(text[:n] + "\r\n")
		text = text[n:]
	}
	return b.String()
}

// parameter returns a parameter of a header field; in the form of RFC 2231, in
// pieces when it is long, when it holds anything but ASCII.
func parameter(name, value string) string {
	ascii := strings.IndexFunc(value, func(r rune) bool { return r < ' ' || r >= utf8.RuneSelf || r == '"' || r == '\\' }) < 0
	if ascii {
		return name + `="` + value + `"`
	}
	var pieces []string
	piece := "utf-8''"
	for _, r := range value {
		if len(piece) > 50 {
			pieces, piece = append(pieces, piece), ""
		}
		for _, c := range []byte(string(r)) {
			switch {
			case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
				piece += string(rune(c))
			default:
				piece += fmt.Sprintf("%%%02X", c)
			}
		}
	}
	pieces = append(pieces, piece)
	if len(pieces) == 1 {
		return name + "*=" + pieces[0]
	}
	for i := range pieces {
		pieces[i] = fmt.Sprintf("%s*%d*=%s", name, i, pieces[i])
	}
	return strings.Join(pieces, ";\r\n\t")
}

// encodeWords returns the value of a Subject: encoded words (RFC 2047) when it
// holds anything but ASCII, folded at blanks.
func encodeWords(s string) string {
	return strings.ReplaceAll(mime.QEncoding.Encode("utf-8", s), "?= =?", "?=\r\n =?")
}
