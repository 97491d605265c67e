package notifier

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
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

// title is the subject: that of the original, after the mark and the code of an
// error (volet "Transmission au LPS", MDN and courriel standard).
func (l *letter) title() string {
	s := l.subject
	if l.marker {
		s = "XDM/1.0/DDM+" + s
	}
	if l.failed() {
		return "[KO Intégration système !][" + l.code + "] " + s
	}
	return s
}

// write writes the mail with CRLF line ends. raw is what is answered, byte for
// byte; headersOnly leaves its body out, where the server takes no mail of its
// size (RFC 3798 and 8098 §3.1 allow that).
func (l *letter) write(w io.Writer, raw io.Reader, headersOnly bool) error {
	boundary := "greffe-" + l.id[:strings.IndexByte(l.id+"@", '@')]
	var h bytes.Buffer
	line := func(name, value string) { fmt.Fprintf(&h, "%s: %s\r\n", name, value) }
	line("From", "<"+l.from+">")
	line("To", "<"+l.to+">")
	line("Subject", mime.QEncoding.Encode("utf-8", oneLine(l.title(), 400)))
	line("Date", l.at.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	line("Message-ID", "<"+l.id+">")
	if l.original != "" {
		line("In-Reply-To", "<"+l.original+">")
		line("References", "<"+l.original+">")
	}
	line("Auto-Submitted", "auto-replied") // RFC 3834 §5; keeps the other side from answering
	line("X-Auto-Response-Suppress", "All")
	line("MIME-Version", "1.0")
	if l.kind == KO {
		line("Content-Type", `multipart/mixed; boundary="`+boundary+`"`)
	} else {
		line("Content-Type", `multipart/report; report-type=disposition-notification; boundary="`+boundary+`"`)
	}
	fmt.Fprintf(&h, "\r\n--%s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", boundary)
	q := quotedprintable.NewWriter(&h)
	if _, err := io.WriteString(q, strings.ReplaceAll(l.text, "\n", "\r\n")); err != nil {
		return err
	}
	if err := q.Close(); err != nil {
		return err
	}
	if l.kind != KO {
		fmt.Fprintf(&h, "\r\n--%s\r\nContent-Type: message/disposition-notification\r\n\r\n", boundary)
		l.disposition(line)
	}
	disposition := ""
	if l.kind == KO {
		disposition = "Content-Disposition: attachment; filename=\"message_original.eml\"\r\n"
	}
	media := "message/rfc822"
	if headersOnly {
		media = "text/rfc822-headers"
	}
	fmt.Fprintf(&h, "\r\n--%s\r\nContent-Type: %s\r\n%s\r\n", boundary, media, disposition)
	if _, err := w.Write(h.Bytes()); err != nil {
		return err
	}
	if headersOnly {
		raw = &head{r: raw}
	}
	if _, err := io.Copy(w, raw); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\r\n--%s--\r\n", boundary)
	return err
}

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

// head gives the bytes of a mail up to the empty line after its header, at most 256 KiB.
type head struct {
	r    io.Reader
	last []byte // the end of what was given
	n    int
	done bool
}

var errNoHead = errors.New("notifier: no end of header")

// Read implements io.Reader, a byte at a time of what it looks at: headers are short.
func (h *head) Read(p []byte) (int, error) {
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
