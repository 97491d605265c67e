package notifier

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/url"
	"strings"
	"time"
)

// letter is one answer as a mail. It is a function of what it answers, so that the
// same answer sent again is recognisable by its Message-ID.
type letter struct {
	kind      Answer
	from      string // the mailbox that answers
	to        string
	id        string // Message-ID, without angle brackets
	original  string // Message-ID of what is answered, likewise; may be empty
	recipient string // Original-Recipient of an MDN
	replyTo   string // of a forward: who wrote what it carries
	subject   string // of what is answered, as it was, decoded
	marker    bool   // it carried XDM/1.0/DDM
	code      string // application code of an error
	label     string // its label in the table of the volet
	text      string // for the person who reads it, French
	at        time.Time
	agent     string // product and version
}

// labels are the application codes of HL7 table 0533 as the volet names them; the
// Error line of an MDN repeats them.
var labels = map[string]string{
	"900": "Identifiant de document inconnu ou version non attendue",
	"901": "Auteur non autorisé",
	"902": "Identifiant de patient inconnu",
	"903": "INS absente",
	"904": "Identité du patient différente",
	"905": "Traits d'identité incomplets",
	"906": "Autre erreur",
}

// failed reports whether the letter says that a document was not integrated.
func (l *letter) failed() bool { return l.kind == MDNError || l.kind == KO }

// carries reports whether the letter holds the mail that it is about.
func (l *letter) carries() bool { return l.kind != AutoReply && l.kind != Summary }

// title is the subject: that of the original, after the mark and the code of an
// error (volet "Transmission au LPS", MDN and courriel standard).
//
// What a person wrote comes without the marker of a delivery: a rule of her mailbox that
// sends deliveries on (domain §2.1) would send it back to where it came from.
func (l *letter) title() string {
	s := l.subject
	switch {
	case l.kind == Summary:
		return s
	case l.kind == AutoReply:
		return "Réponse automatique : " + s
	case l.kind == Forward:
		return "TR: " + s
	case l.marker:
		s = "XDM/1.0/DDM+" + s
	}
	if l.failed() {
		return "[KO Intégration système !][" + l.code + "] " + s
	}
	return s
}

// write writes the mail with CRLF line ends. raw is what is answered, byte for byte, nil
// where it carries none; headersOnly leaves its body out, where the server takes no mail of
// its size (RFC 8098 §3.1 allows that).
func (l *letter) write(w io.Writer, raw io.Reader, headersOnly bool) error {
	head, tail, err := l.frame(headersOnly)
	if err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	if headersOnly {
		raw = &header{r: raw}
	}
	if raw != nil {
		if _, err := io.Copy(w, raw); err != nil {
			return err
		}
	}
	_, err = w.Write(tail)
	return err
}

// frame returns what stands before and behind the mail that is answered.
func (l *letter) frame(headersOnly bool) (head, tail []byte, err error) {
	boundary := "greffe-" + l.id[:strings.IndexByte(l.id+"@", '@')]
	var h bytes.Buffer
	line := func(name, value string) { fmt.Fprintf(&h, "%s: %s\r\n", name, value) }
	line("From", "<"+l.from+">")
	line("To", "<"+l.to+">")
	if l.replyTo != "" {
		line("Reply-To", "<"+oneLine(l.replyTo, 320)+">")
	}
	line("Subject", mime.QEncoding.Encode("utf-8", oneLine(l.title(), 400)))
	line("Date", l.at.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	line("Message-ID", "<"+l.id+">")
	if l.original != "" {
		if l.kind != Forward {
			line("In-Reply-To", "<"+l.original+">")
		}
		line("References", "<"+l.original+">")
	}
	// RFC 3834 §5: keeps the other side from answering.
	line("Auto-Submitted", map[bool]string{true: "auto-generated", false: "auto-replied"}[l.kind == Forward || l.kind == Summary])
	line("X-Auto-Response-Suppress", "All")
	line("MIME-Version", "1.0")
	text := func() error {
		h.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
		s := l.text
		if headersOnly && l.kind == Forward {
			s += tooLarge
		}
		q := quotedprintable.NewWriter(&h)
		_, err := io.WriteString(q, strings.ReplaceAll(s, "\n", "\r\n"))
		return errors.Join(err, q.Close())
	}
	if !l.carries() {
		err := text()
		return h.Bytes(), []byte("\r\n"), err
	}
	if l.kind == KO || l.kind == Forward {
		line("Content-Type", `multipart/mixed; boundary="`+boundary+`"`)
	} else {
		line("Content-Type", `multipart/report; report-type=disposition-notification; boundary="`+boundary+`"`)
	}
	line("Content-Transfer-Encoding", "8bit") // RFC 2046 §5.2.1: a mail in a mail is not encoded
	fmt.Fprintf(&h, "\r\n--%s\r\n", boundary)
	if err := text(); err != nil {
		return nil, nil, err
	}
	if l.kind != KO && l.kind != Forward {
		fmt.Fprintf(&h, "\r\n--%s\r\nContent-Type: message/disposition-notification\r\n\r\n", boundary)
		l.disposition(line)
	}
	fmt.Fprintf(&h, "\r\n--%s\r\n", boundary)
	media, name, disposition := "message/rfc822", "", ""
	if headersOnly {
		media = "text/rfc822-headers"
	}
	switch l.kind {
	case KO:
		disposition = `attachment; filename="message_original.eml"` // the name that S-LPS+ gives
	case Forward:
		// Both ways to write a name that is not ASCII: RFC 2231, and RFC 2047 for the programs
		// that know no other.
		name = `; name="` + mime.BEncoding.Encode("utf-8", forwardName) + `"`
		disposition = "attachment; filename*=utf-8''" + url.PathEscape(forwardName)
	}
	line("Content-Type", media+name)
	line("Content-Transfer-Encoding", "8bit")
	if disposition != "" {
		line("Content-Disposition", disposition)
	}
	h.WriteString("\r\n")
	return h.Bytes(), []byte("\r\n--" + boundary + "--\r\n"), nil
}

// forwardName is what the mail that a forward carries is called.
const forwardName = "Message d’origine – réponse à un compte rendu.eml"

// disposition writes the fields of the machine's part (RFC 8098 §3.2). The Error
// line has the form that the volet gives it (S-LPS+): it is folded nowhere.
func (l *letter) disposition(line func(name, value string)) {
	line("Reporting-UA", l.from[strings.LastIndexByte(l.from, '@')+1:]+"; "+l.agent)
	if l.recipient != "" {
		line("Original-Recipient", "rfc822;"+l.recipient)
	}
	line("Final-Recipient", "rfc822;"+l.from)
	if l.original != "" {
		line("Original-Message-ID", "<"+l.original+">")
	}
	const automatic = "automatic-action/MDN-sent-automatically; processed"
	if l.kind == MDNError {
		line("Disposition", automatic+"/error")
		line("Error", l.code+"^"+l.label+"^applicationErrorCondition| E^Error^errorSeverity")
		return
	}
	line("Disposition", automatic)
}

// oneLine bounds s, in bytes, and leaves nothing in it that could end a header line.
func oneLine(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// header gives the bytes of a mail up to the empty line after its header, at most 256 KiB.
type header struct {
	r    io.Reader
	last []byte // the end of what was given
	n    int
	done bool
}

var errNoHead = errors.New("notifier: no end of header")

// Read implements io.Reader, a byte at a time of what it looks at: headers are short.
func (h *header) Read(p []byte) (int, error) {
	if h.done {
		return 0, io.EOF
	}
	if h.n > 256<<10 {
		return 0, errNoHead
	}
	n, err := h.r.Read(p[:min(len(p), 512)])
	seen := append(h.last, p[:n]...)
	for _, empty := range []string{"\r\n\r\n", "\n\n"} {
		if i := bytes.Index(seen, []byte(empty)); i >= 0 {
			h.done = true
			return max(i+len(empty)-len(h.last), 0), nil
		}
	}
	h.last = bytes.Clone(seen[max(len(seen)-3, 0):])
	h.n += n
	return n, err
}
