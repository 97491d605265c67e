package console

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"greffe/pkg/archive"
	"greffe/pkg/cda"
	"greffe/pkg/greffe"
	"greffe/pkg/index"
)

// view is how a document is shown.
type view string

const (
	viewPDF   view = "pdf"
	viewCDA   view = "cda"
	viewImage view = "image"
	viewText  view = "text"
	viewNone  view = "none" // nothing we know how to show safely: download only
)

// What the frame of a document may do: it is an origin of its own that can run,
// load, submit and embed nothing.
//
// For a PDF the sandbox is in the answer only: Chromium 156 shows nothing in an
// iframe that has a sandbox attribute, whatever its tokens, but shows a PDF whose
// answer carries a sandbox policy. Firefox's viewer is a script of its own that
// such a policy may stop; it gets the policy without the sandbox. In both the type
// is checked by content, so that nothing but a PDF is served as one.
const (
	frameCSP   = "sandbox; default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
	pdfCSP     = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
	pdfSandbox = "sandbox allow-downloads allow-modals; " // saving and printing from the viewer
)

func pdfPolicy(r *http.Request) string {
	if strings.Contains(r.UserAgent(), "Firefox/") {
		return pdfCSP
	}
	return pdfSandbox + pdfCSP
}

const (
	maxNarrative = 32 << 20 // bytes of the HTML of a CDA, pictures included
	maxText      = 1 << 20  // bytes of a text that is shown
)

// viewOf decides from the format, which the parser found by content.
func viewOf(d index.Document) view {
	media := d.Facts.MediaType
	switch d.Facts.Format {
	case greffe.FormatCDA1:
		if !d.BodyObject.IsZero() {
			return viewPDF // or another file: inlineDocument looks at its first bytes
		}
		return viewCDA
	case greffe.FormatCDA3:
		return viewCDA
	case greffe.FormatPDF:
		return viewPDF
	case greffe.FormatHPRIM, greffe.FormatText:
		return viewText
	case greffe.FormatImage:
		switch media {
		case "image/jpeg", "image/png", "image/gif", "image/webp":
			return viewImage
		}
	}
	return viewNone
}

// shown returns the archived object that a person reads.
func shown(d index.Document) greffe.Object {
	if d.Facts.Format == greffe.FormatCDA1 && !d.BodyObject.IsZero() {
		return d.BodyObject
	}
	return d.Object
}

// openVerified opens an archived object after reading it whole and comparing its
// digest: what is shown or given is what was received, or nothing is (archive.ErrDigest).
func (c *Console) openVerified(ctx context.Context, o greffe.Object) (io.ReadSeekCloser, error) {
	f, err := c.store.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, archive.Checked(f, o.Size, o.SHA256))
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read archived object: %w", err)
	}
	return f, nil
}

// inlineDocument gives what the frame of the document page shows. It is journalled
// apart from the page: its address can be asked for alone.
func (c *Console) inlineDocument(w http.ResponseWriter, r *http.Request, v *visit) error {
	d, err := c.document(r, v)
	if err != nil {
		return err
	}
	if greffe.Unsafe(d.Facts.Findings) {
		w.Header().Set("Content-Security-Policy", frameCSP)
		w.Header().Set("X-Frame-Options", "SAMEORIGIN")
		return c.frameNotice(w, "Pièce suspecte : elle n’est pas affichée.")
	}
	f, err := c.openVerified(r.Context(), shown(d))
	if err != nil {
		return c.orDamaged(v, string(d.ID), err)
	}
	defer f.Close()
	if err := c.record(v, "shown", string(d.ID), "ok", ""); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Security-Policy", frameCSP)
	h.Set("X-Frame-Options", "SAMEORIGIN")
	var head [512]byte
	n, _ := io.ReadFull(f, head[:])
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	first := head[:n]

	switch how := viewOf(d); {
	case how == viewCDA:
		return c.inlineCDA(w, f)
	case how == viewText:
		return inlineText(w, c.pages, f)
	// A level 1 CDA may hold another file than a PDF, and a declared type may lie.
	case how == viewPDF && bytes.Contains(first, []byte("%PDF-")):
		h.Set("Content-Security-Policy", pdfPolicy(r))
		h.Set("Content-Disposition", "inline; filename=document.pdf")
		return serve(w, f, "application/pdf")
	case how == viewPDF || how == viewImage:
		switch t := http.DetectContentType(first); t {
		case "image/jpeg", "image/png", "image/gif", "image/webp":
			return serve(w, f, t)
		case "text/plain; charset=utf-8":
			return inlineText(w, c.pages, f)
		}
	}
	return c.frameNotice(w, "Ce fichier ne peut pas être affiché ici. Téléchargez l’original pour l’ouvrir avec le logiciel adapté.")
}

func serve(w http.ResponseWriter, f io.ReadSeeker, contentType string) error {
	length, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", fmt.Sprint(length))
	extend(w, length)
	io.Copy(w, f) // an error here means that the browser went away
	return nil
}

// extend moves the write deadline: a large file over a slow line may take long, but
// not for ever (at least 64 KiB/s).
func extend(w http.ResponseWriter, length int64) {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout + time.Duration(length>>16)*time.Second))
}

// inlineCDA lays out the narrative of a CDA. Nothing is sent before it is complete:
// a document must never be shown cut.
func (c *Console) inlineCDA(w http.ResponseWriter, f io.Reader) error {
	var body bytes.Buffer
	err := cda.WriteHTML(&capped{w: &body, left: maxNarrative}, f)
	if err != nil {
		return c.frameNotice(w, "Le texte de ce document n’a pas pu être mis en page. Téléchargez l’original ; il n’est pas modifié.")
	}
	var out bytes.Buffer
	if err := c.pages.framed(&out, "Document", body.String()); err != nil {
		return err
	}
	return respond(w, "text/html; charset=utf-8", http.StatusOK, &out)
}

// capped fails when more than left bytes are written.
type capped struct {
	w    io.Writer
	left int
}

func (c *capped) Write(b []byte) (int, error) {
	if c.left -= len(b); c.left < 0 {
		return 0, errors.New("text too long to be shown")
	}
	return c.w.Write(b)
}

// inlineText shows a text as it is, in UTF-8 or else in Windows-1252, the encoding
// of texts that say nothing (domain §2.6).
func inlineText(w http.ResponseWriter, p *pages, f io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err != nil {
		return err
	}
	cut := len(b) > maxText
	if cut {
		b = b[:maxText]
		for i := 0; i < utf8.UTFMax-1 && !utf8.RuneStart(b[maxText-1-i]); i++ {
			b = b[:maxText-1-i] // a character cut in two
		}
		b = b[:len(b)-1]
	}
	if !utf8.Valid(b) {
		if b, err = charmap.Windows1252.NewDecoder().Bytes(b); err != nil {
			return err
		}
	}
	var out bytes.Buffer
	if err := p.framedText(&out, strings.TrimPrefix(string(b), "\ufeff"), cut); err != nil {
		return err
	}
	return respond(w, "text/html; charset=utf-8", http.StatusOK, &out)
}

func (c *Console) frameNotice(w http.ResponseWriter, text string) error {
	var out bytes.Buffer
	if err := c.pages.framedNotice(&out, text); err != nil {
		return err
	}
	return respond(w, "text/html; charset=utf-8", http.StatusOK, &out)
}

// orDamaged journals a look that met damaged or missing bytes and returns err.
func (c *Console) orDamaged(v *visit, subject string, err error) error {
	if errors.Is(err, archive.ErrDigest) || errors.Is(err, archive.ErrNotFound) {
		if jerr := c.damaged(v, subject, err); jerr != nil {
			return errors.Join(err, jerr)
		}
	}
	return err
}

// downloadDocument gives the document as it was received.
func (c *Console) downloadDocument(w http.ResponseWriter, r *http.Request, v *visit) error {
	d, err := c.document(r, v)
	if err != nil {
		return err
	}
	o, media, name := d.Object, d.Facts.MediaType, d.Facts.Part
	what := "document"
	if r.URL.Query().Get("fichier") == "lisible" && !d.BodyObject.IsZero() {
		o, media, name, what = d.BodyObject, "application/pdf", d.Facts.Body, "body"
	}
	m, err := c.db.Message(r.Context(), d.Message)
	if err != nil {
		return err
	}
	file := ""
	if m.Parsed != nil {
		for _, p := range m.Parsed.Parts {
			if p.Path == name {
				file = p.Name
				if p.Detected != "" {
					media = p.Detected
				}
			}
		}
	}
	if file == "" {
		file = docTitle(d.Facts) + greffe.Extension(media)
	}
	if greffe.Unsafe(d.Facts.Findings) {
		return c.evidence(w, r, v, evidence{Subject: string(d.ID), Object: o, Name: file, What: what, Findings: d.Facts.Findings, Back: "/documents/" + string(d.ID)})
	}
	return c.download(w, r, v, string(d.ID), o, file, media, what)
}

// download sends an archived object as a file, never to be opened inside the page,
// and journals it.
func (c *Console) download(w http.ResponseWriter, r *http.Request, v *visit, subject string, o greffe.Object, name, media, what string) error {
	f, err := c.openVerified(r.Context(), o)
	if err != nil {
		return c.orDamaged(v, subject, err)
	}
	defer f.Close()
	if err := c.record(v, "downloaded", subject, "ok", what); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Security-Policy", frameCSP)
	h.Set("Content-Disposition", disposition(name))
	h.Set("Repr-Digest", reprDigest(o.SHA256))
	return serve(w, f, safeMedia(media))
}

// safeMedia returns the type under which a file may be handed out: a browser makes a page
// of none.
func safeMedia(media string) string {
	if t, _, err := mime.ParseMediaType(media); err != nil || strings.HasPrefix(t, "text/html") || t == "image/svg+xml" {
		return "application/octet-stream"
	}
	return media
}

// reprDigest writes a digest as RFC 9530 §3 does.
func reprDigest(d greffe.Digest) string {
	return "sha-256=:" + base64.StdEncoding.EncodeToString(d.Bytes()) + ":"
}

// disposition writes Content-Disposition with a name in ASCII and in UTF-8
// (RFC 6266 §4.3, appendix D). The name comes from outside: it loses its path,
// controls and what file systems trip over.
func disposition(name string) string {
	name = path.Base(strings.ReplaceAll(strings.ToValidUTF8(name, "_"), `\`, "/"))
	clean := strings.Map(func(r rune) rune {
		// Format characters (Cf) can make a name read backwards.
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || strings.ContainsRune(`"<>:|?*/\`, r) {
			return '_'
		}
		return r
	}, name)
	clean = strings.Trim(clean, ". ")
	if r := []rune(clean); len(r) > 120 {
		ext := []rune(path.Ext(clean))
		if len(ext) > 10 {
			ext = nil
		}
		clean = string(r[:120-len(ext)]) + string(ext)
	}
	if clean == "" {
		clean = "document"
	}
	ascii := strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '%' {
			return '_'
		}
		return r
	}, clean)
	if ascii == clean {
		return `attachment; filename="` + ascii + `"`
	}
	return `attachment; filename="` + ascii + `"; filename*=UTF-8''` + percent(clean)
}

// percent writes an ext-value (RFC 8187 §3.2.1): attr-char stays, the rest is encoded.
func percent(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$&+-.^_`|~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
