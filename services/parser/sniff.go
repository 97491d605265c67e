package parser

import (
	"bytes"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"greffe/pkg/cda"
	"greffe/pkg/eml"
	"greffe/pkg/greffe"
)

const prefixSize = 16 << 10 // bytes of a part that its kind is decided by

// typ is what a part is, by its content.
type typ struct {
	kind  greffe.PartKind
	media string
	// hold is the rule that holds the part when no document accounts for it; args
	// fill its text.
	hold greffe.Rule
	args []any
	// ignore is why the part carries nothing, when it does not.
	ignore string
	zip    bool // open it as a ZIP archive
}

// signature is what a format begins with.
type signature struct {
	magic string
	at    int
	typ   typ
}

var signatures = []signature{
	{"PK\x03\x04", 0, typ{kind: greffe.PartZip, media: "application/zip", zip: true}},
	{"PK\x05\x06", 0, typ{kind: greffe.PartZip, media: "application/zip", zip: true}},
	{"\xff\xd8\xff", 0, image("image/jpeg")},
	{"\x89PNG\r\n\x1a\n", 0, image("image/png")},
	{"GIF87a", 0, image("image/gif")},
	{"GIF89a", 0, image("image/gif")},
	{"II*\x00", 0, image("image/tiff")},
	{"MM\x00*", 0, image("image/tiff")},
	{"BM", 0, image("image/bmp")},
	{"WEBP", 8, image("image/webp")},
	{"ftypheic", 4, image("image/heic")},
	{"DICM", 128, other("application/dicom", "image DICOM")},
	{"{\\rtf", 0, other("application/rtf", "texte RTF")},
	{"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, other(oleStorage, "fichier Word, Excel ou Outlook ancien")},
	{"\x78\x9f\x3e\x22", 0, typ{kind: greffe.PartOther, media: eml.MediaTNEF, hold: ruleTNEF}},
	{"MZ", 0, typ{kind: greffe.PartOther, media: "application/vnd.microsoft.portable-executable", hold: ruleProgram}},
	{"\x7fELF", 0, typ{kind: greffe.PartOther, media: "application/x-elf", hold: ruleProgram}},
	{"-----BEGIN PGP MESSAGE", 0, typ{kind: greffe.PartOther, media: "application/pgp-encrypted", hold: ruleEncrypted}},
	{"-----BEGIN PGP SIGNATURE", 0, typ{kind: greffe.PartSignature, media: "application/pgp-signature", ignore: "signature électronique du message"}},
	{"-----BEGIN PGP PUBLIC KEY", 0, typ{kind: greffe.PartSignature, media: "application/pgp-keys", ignore: "clé publique de l’expéditeur"}},
	{"BEGIN:VCARD", 0, typ{kind: greffe.PartOther, media: "text/vcard", ignore: "carte de visite"}},
	{"BEGIN:VCALENDAR", 0, typ{kind: greffe.PartOther, media: "text/calendar", ignore: "invitation d’agenda"}},
}

func image(media string) typ { return typ{kind: greffe.PartImage, media: media, hold: ruleImage} }

func other(media, name string) typ {
	return typ{kind: greffe.PartOther, media: media, hold: ruleUnknown, args: []any{name}}
}

// Content types of CMS in DER (RFC 5652, RFC 5083, RFC 3274), at the beginning of what
// a part holds. Signed data with a content was opened before, where it could be.
var cmsTypes = []struct {
	oid string
	typ typ
}{
	{"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", typ{kind: greffe.PartOther, media: "application/pkcs7-mime", hold: ruleSigned}},
	{"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03", typ{kind: greffe.PartOther, media: "application/pkcs7-mime", hold: ruleEncrypted}},
	{"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x06", typ{kind: greffe.PartOther, media: "application/pkcs7-mime", hold: ruleEncrypted}},
	{"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17", typ{kind: greffe.PartOther, media: "application/pkcs7-mime", hold: ruleEncrypted}},
	{"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x09", typ{kind: greffe.PartOther, media: "application/pkcs7-mime", hold: ruleSigned}},
}

// sniffCMS tells what S/MIME calls a part: a signature or certificates, which carry
// nothing, or what is encrypted.
func sniffCMS(prefix []byte, name string) (typ, bool) {
	if prefix[0] != 0x30 {
		return typ{}, false
	}
	head := prefix[:min(len(prefix), 64)]
	for i, c := range cmsTypes {
		k := bytes.Index(head, []byte(c.oid))
		if k < 0 {
			continue
		}
		// Signed data about nothing: version, an empty set of digests, an empty content.
		bare := bytes.Index(head, []byte("\x31\x00\x30")) > k
		switch ext := strings.ToLower(path.Ext(name)); {
		case i == 0 && (bare || ext == ".p7c" || ext == ".p7b"):
			return typ{kind: greffe.PartSignature, media: "application/pkcs7-mime", ignore: "certificats de l’expéditeur"}, true
		case i == 0 && ext == ".p7s":
			return typ{kind: greffe.PartSignature, media: "application/pkcs7-signature", ignore: "signature électronique du message"}, true
		}
		return c.typ, true
	}
	return typ{}, false
}

var (
	xmlRoot   = regexp.MustCompile(`^(?:<\?[A-Za-z]|<!--|<[A-Za-z_][\w.-]*(?::[A-Za-z_][\w.-]*)?[\s/>])`)
	htmlRoot  = regexp.MustCompile(`(?i)^(?:<\?xml[^>]*>\s*)*(?:<!--(?s:.*?)-->\s*)*<(?:!doctype\s+html|html|head|body|div|p|table|style|meta)[\s>/]`)
	hprimH    = regexp.MustCompile(`^H\|[^|\w\s]{3,5}\|`)
	hprimName = regexp.MustCompile(`(?i)\.(?:hpr|hpm|hp[0-9])$`)
)

// sniff decides what a part is from the first bytes of its content. What the sender
// declares only settles what the content leaves open: text from signed text, HTML
// from other XML.
func sniff(prefix []byte, declared, name string) typ {
	t := sniffContent(prefix, declared, name)
	switch declared {
	case "application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature":
		if t.media == "application/octet-stream" || t.kind == greffe.PartText { // nothing else
			return typ{kind: greffe.PartSignature, media: declared, ignore: "signature électronique du message"}
		}
	}
	return t
}

func sniffContent(prefix []byte, declared, name string) typ {
	if len(prefix) == 0 {
		return typ{kind: greffe.PartEmpty, hold: ruleEmpty, ignore: "pièce vide"}
	}
	switch declared {
	case "message/partial", "message/external-body":
		return typ{kind: greffe.PartMessage, media: declared, hold: rulePieces}
	case "message/rfc822", "message/global":
		return typ{kind: greffe.PartMessage, media: declared, hold: ruleMail}
	case "message/disposition-notification", "message/delivery-status", "message/global-delivery-status",
		"message/global-disposition-notification", "text/rfc822-headers", "message/feedback-report":
		return typ{kind: greffe.PartReport, media: declared, ignore: "partie d’un accusé ou d’un avis automatique"}
	case "application/pgp-encrypted":
		if bytes.HasPrefix(prefix, []byte("Version:")) { // RFC 3156 §4: what is encrypted is the next part
			return typ{kind: greffe.PartSignature, media: declared, ignore: "marque d’un message chiffré par PGP"}
		}
	}
	if bytes.HasPrefix(bytes.TrimLeft(prefix, " \t\r\n"), []byte("%PDF-")) {
		return typ{kind: greffe.PartPDF, media: "application/pdf", hold: rulePDF}
	}
	for _, s := range signatures {
		if len(s.magic) == 2 && s.magic[0] < 0x80 && isText(prefix) {
			continue // BM and MZ are also how words begin
		}
		if len(prefix) >= s.at+len(s.magic) && string(prefix[s.at:s.at+len(s.magic)]) == s.magic {
			if s.typ.media == oleStorage {
				return oleType(prefix, name)
			}
			return s.typ
		}
	}
	if t, ok := sniffArchive(prefix, declared, name); ok {
		return t
	}
	if t, ok := sniffCMS(prefix, name); ok {
		return t
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(prefix, []byte("\xef\xbb\xbf")), " \t\r\n")
	for _, start := range []string{"\xff\xfe<\x00", "\xfe\xff\x00<", "<\x00", "\x00<"} { // UTF-16, with and without a BOM
		if bytes.HasPrefix(prefix, []byte(start)) {
			text = bytes.TrimPrefix(bytes.TrimPrefix(prefix, []byte("\xff\xfe")), []byte("\xfe\xff"))
			text = bytes.ReplaceAll(text, []byte{0}, nil) // enough to find the root
			break
		}
	}
	if t, ok := sniffMarkup(prefix, text, declared, name); ok {
		return t
	}
	// ISO 32000-1 Annex H.3.4.1: readers look for the header in the first 1,024 bytes.
	if bytes.Contains(prefix[:min(len(prefix), 1024)], []byte("%PDF-")) && (declared != "text/plain" || !isText(prefix)) {
		return typ{kind: greffe.PartPDF, media: "application/pdf", hold: rulePDF}
	}
	return sniffText(prefix, text, declared, name)
}

// sniffMarkup tells CDA, metadata, HTML and other XML apart.
func sniffMarkup(prefix, text []byte, declared, name string) (typ, bool) {
	if !xmlRoot.Match(text) && !htmlRoot.Match(text) {
		return typ{}, false
	}
	switch {
	case cda.IsCDA(prefix):
		return typ{kind: greffe.PartCDA, media: "text/xml"}, true
	case bytes.Contains(text, []byte("SubmitObjectsRequest")):
		return typ{kind: greffe.PartMetadata, media: "text/xml", hold: ruleXML}, true
	case htmlRoot.Match(text) || declared == "text/html":
		return typ{kind: greffe.PartHTML, media: "text/html", hold: ruleUnknown, args: []any{"page HTML"}}, true
	case declared == "text/plain" && !bytes.HasPrefix(text, []byte("<?")) && !strings.EqualFold(path.Ext(name), ".xml"):
		return typ{}, false // a text that begins with a bracket
	}
	return typ{kind: greffe.PartXML, media: "text/xml", hold: ruleXML}, true
}

// sniffText tells HPRIM, plain text and bytes apart.
func sniffText(prefix, text []byte, declared, name string) typ {
	if !isText(prefix) {
		if bytes.Contains(text, []byte("=ybegin line=")) { // most of its bytes are no text
			return yEnc
		}
		switch strings.ToLower(path.Ext(name)) {
		case ".pgp", ".gpg":
			return typ{kind: greffe.PartOther, media: "application/pgp-encrypted", hold: ruleEncrypted}
		}
		return typ{kind: greffe.PartOther, media: "application/octet-stream", hold: ruleUnknown, args: []any{"format inconnu"}}
	}
	if hprimH.Match(text) || hprimName.MatchString(name) {
		return typ{kind: greffe.PartHPRIM, media: "text/plain", hold: ruleHPRIM}
	}
	if declared == "text/html" {
		return typ{kind: greffe.PartHTML, media: "text/html", hold: ruleUnknown, args: []any{"page HTML"}}
	}
	return typ{kind: greffe.PartText, media: "text/plain", hold: ruleText}
}

// isText reports whether b can be text in UTF-8 or an 8-bit charset: no NUL, hardly
// any control characters.
func isText(b []byte) bool {
	control := 0
	for _, c := range b {
		switch {
		case c == 0:
			return false
		case c < ' ' && c != '\t' && c != '\r' && c != '\n' && c != '\f' && c != 0x1b:
			control++
		}
	}
	for k := range min(len(b), utf8.UTFMax) { // the prefix may end inside a character
		if utf8.Valid(b[:len(b)-k]) {
			return control*50 <= len(b)
		}
	}
	return control*50 <= len(b) && high(b)*3 <= len(b)
}

// high counts the bytes above ASCII.
func high(b []byte) (n int) {
	for _, c := range b {
		if c >= 0x80 {
			n++
		}
	}
	return n
}

var yEnc = typ{kind: greffe.PartOther, media: "text/x-yenc", hold: ruleYEnc}

// marks are what a text may hold further down that makes it something else: the end
// of a result in HPRIM Médecins (domain §2.6), a file coded in the old ways of mail.
var marks = []struct {
	mark []byte
	typ  typ
}{
	{[]byte("****FIN****"), typ{kind: greffe.PartHPRIM, media: "text/plain", hold: ruleHPRIM}},
	{[]byte("****FINFICHIER****"), typ{kind: greffe.PartHPRIM, media: "text/plain", hold: ruleHPRIM}},
	{[]byte("****LAB****"), typ{kind: greffe.PartHPRIM, media: "text/plain", hold: ruleHPRIM}},
	{[]byte("\n=ybegin "), yEnc},
	{[]byte("\nbegin 6"), coded},
	{[]byte("\nbegin 7"), coded},
	{[]byte("\nbegin 4"), coded},
	{[]byte("\nbegin 0"), coded},
	{[]byte("\nbegin-base64 "), coded},
}

// coded is a text with a file in it; the text itself stays what it is.
var coded = typ{kind: greffe.PartText, media: eml.MediaUU, hold: ruleText}

// scanner looks for marks in a text that goes by in pieces; the first one found counts.
type scanner struct {
	tail  []byte
	begun bool
	found *typ
}

func (m *scanner) scan(p []byte) {
	if m.found != nil {
		return
	}
	if !m.begun { // the text begins with a line
		m.begun, m.tail = true, []byte("\n")
	}
	const keep = len("****FINFICHIER****") - 1 // the longest mark may be cut anywhere
	joint := append(m.tail, p[:min(len(p), keep)]...)
	for i := range marks {
		if bytes.Contains(joint, marks[i].mark) || bytes.Contains(p, marks[i].mark) {
			m.found = &marks[i].typ
			return
		}
	}
	if len(p) >= keep {
		m.tail = append(m.tail[:0], p[len(p)-keep:]...)
	} else {
		m.tail = append(m.tail[:0], joint[max(0, len(joint)-keep):]...)
	}
}
