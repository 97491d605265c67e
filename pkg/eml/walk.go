package eml

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"greffe/pkg/greffe"
)

// Limits bound what one walk may cost. Zero fields take the default.
type Limits struct {
	Parts        int   // leaves that are given; default 500. Ten times as many multiparts and nested mails are opened
	Depth        int   // multiparts inside each other; default 20. Nested mails: at most 5, or Depth if less
	HeaderBytes  int   // of one header, of the mail or of a part, a field counting for 256 at least; default 1 MiB
	DecodedBytes int64 // of all leaves together; default 300 MiB

	// Signatures, when not nil, has the signatures of S/MIME verified and reported. It
	// changes findings only, not leaves.
	Signatures *Signatures
}

const maxNested = 5 // message/rfc822 inside each other (domain §2.4)

func (l Limits) withDefaults() Limits {
	if l.Parts <= 0 {
		l.Parts = 500
	}
	if l.Depth <= 0 {
		l.Depth = 20
	}
	if l.HeaderBytes <= 0 {
		l.HeaderBytes = 1 << 20
	}
	if l.DecodedBytes <= 0 {
		l.DecodedBytes = 300 << 20
	}
	return l
}

// Leaf is one piece of a message that is not itself made of pieces: a text, an
// attachment, a part of a report. Names and types are what the sender declares.
type Leaf struct {
	Path          string // as in greffe.Part
	Name          string // decoded file name, never a key or a path; at most 500 bytes
	Declared      string // media type, lower-case; text/plain when none is declared
	Charset       string // lower-case, as declared
	Disposition   string // attachment, inline or empty
	ContentID     string // without brackets
	InReport      bool   // part of a report, or below a nested KO mail; only complete when Walk returned
	InAlternative bool   // somewhere below a multipart/alternative
	InRelated     bool   // below a multipart/related: probably part of a page
	Shown         bool   // a text in HTML shows it (RFC 2392, cid:); only complete when Walk returned
	Depth         int    // nested mails around the leaf
	// Findings is complete once the reader of the leaf was read to its end.
	Findings []greffe.Finding
}

// Result is what is known about the message when all of it was read.
type Result struct {
	Message  greffe.Message   // Kind is a guess: see Kind
	Findings []greffe.Finding // about the message as a whole
}

// ErrTooLarge is what the reader of a leaf returns when the decoded bytes of the
// message pass Limits.DecodedBytes: what was read of the leaf is not all of it and
// must not be kept. It does not end the walk.
var ErrTooLarge = errors.New("eml: decoded parts larger than the limit")

// errStop ends a walk that reached a limit, without an error for the caller.
var errStop = errors.New("stop")

// Walk reads a mail from r and calls leaf for each leaf in the order they come,
// with a reader of its decoded bytes that is valid during the call. leaf may read
// as little as it wants. Walk returns an error only when r or leaf does; leaf's
// error is returned as it is, except ErrTooLarge, after which the walk goes on.
// It reads r once, in memory that does not depend on the size of the message, and
// may be called by several goroutines for several messages.
func Walk(r io.Reader, lim Limits, leaf func(*Leaf, io.Reader) error) (*Result, error) {
	w := &walker{lim: lim.withDefaults(), leaf: leaf}
	o := &origin{r: r}
	s := w.source(o)
	var err error
	if s.prologue() {
		err = w.mail(s, "", place{})
	} else {
		w.find(ruleNotMail, "")
		err = w.give(s.br, &header{}, "1", place{})
	}
	if cause := o.failed(); cause != nil && !errors.Is(err, cause) {
		return nil, fmt.Errorf("read message: %w", cause) // go-message does not wrap it
	}
	if err != nil && err != errStop {
		return nil, err
	}
	return w.finish(), nil
}

type walker struct {
	lim      Limits
	leaf     func(*Leaf, io.Reader) error
	msg      greffe.Message
	findings []greffe.Finding
	leaves   int
	opened   int // multiparts and nested mails
	decoded  int64
	tooLarge bool
	texts    bodies
	report   greffe.MessageKind // KindMDN or KindDSN once one was met outside nested mails
	nested   bool               // a nested mail was met outside reports
	resent   bool               // the mail was passed on by a rule or a person
	stray    string             // machine part of a report that stands outside one
	machine  []string           // multiparts that hold the machine part of a report
	given    []*Leaf
	cids     map[string]bool // content identifiers that texts in HTML speak of
	free     []*bufio.Reader // buffers of what was read to its end
}

// source returns a source over r, which is used through it until it is released.
func (w *walker) source(r io.Reader) *source {
	s := &source{bol: true}
	if n := len(w.free); n > 0 {
		s.br, w.free = w.free[n-1], w.free[:n-1]
		s.br.Reset(r)
	} else {
		s.br = bufio.NewReaderSize(r, bufferSize)
	}
	return s
}

// open counts what is opened. Multiparts and mails that hold no leaf are cheap to
// write and not to read.
func (w *walker) open() error {
	if w.opened++; w.opened > 10*w.lim.Parts {
		w.find(ruleParts, "", 10*w.lim.Parts)
		return errStop
	}
	return nil
}

func (w *walker) release(s *source) {
	s.br.Reset(nil)
	w.free = append(w.free, s.br)
}

// find notes a finding about the message once per rule and place.
func (w *walker) find(rule greffe.Rule, where string, args ...any) {
	w.note(rule.At(where, args...))
}

func (w *walker) note(f greffe.Finding) {
	for _, have := range w.findings {
		if have.Rule == f.Rule && have.Where == f.Where {
			return
		}
	}
	if len(w.findings) < 200 {
		w.findings = append(w.findings, f)
	}
}

// place is where an entity stands in the tree.
type place struct {
	report, alternative, related bool
	digest                       bool    // parts are mails unless they say otherwise (RFC 2046 §5.1.5)
	depth, mails                 int     // multiparts and nested mails around
	signed                       int     // opaque signed parts around
	sig                          *sealed // of the multipart/signed whose signature this part is
	name                         string  // of the part, where no header gives one
	in                           *mender // of the multipart around
}

// childPath returns the path of part n of the entity at path.
func childPath(path string, n int) string {
	if path == "" {
		return strconv.Itoa(n)
	}
	return path + "." + strconv.Itoa(n)
}

// mail reads a header and what it heads. path is empty for the outer mail, else
// the path of the part that holds the mail.
func (w *walker) mail(s *source, path string, p place) error {
	h, err := s.header(w.lim.HeaderBytes)
	if err != nil {
		return err
	}
	w.check(h, path)
	w.facts(h, path, p)
	if p.mails > 0 && isKO(fold(h.text("Subject"))) >= 0 {
		p.report = true // what it holds came back from another system
	}
	return w.entity(s.br, h, path, true, p)
}

func (w *walker) check(h *header, where string) {
	if h.junk {
		w.find(ruleHeaderLine, where)
	}
	if h.abrupt {
		w.find(ruleHeaderEnd, where)
	}
	if h.over {
		w.find(ruleHeaderSize, where, w.lim.HeaderBytes>>10)
	}
}

// entity reads the content that h heads. At the root of a mail, path is the mail's
// and a single part is its part 1.
func (w *walker) entity(r io.Reader, h *header, path string, root bool, p place) error {
	ct := h.mediaType("Content-Type")
	own := path
	if root {
		own = childPath(path, 1)
	}
	switch {
	case strings.HasPrefix(ct.value, "multipart/") && p.depth < w.lim.Depth:
		return w.multipart(r, h, ct, path, p)
	case strings.HasPrefix(ct.value, "multipart/"):
		return w.give(r, h, own, p, ruleDepth)
	case ct.value == "message/rfc822", ct.value == "message/global", ct.value == "" && p.digest, isMailFile(ct, h):
		return w.mailPart(r, h, own, p)
	case maySign(ct, h):
		return w.signedPart(r, h, own, p)
	}
	return w.give(r, h, own, p)
}

// isMailFile reports whether a part that calls itself bytes is named like a mail.
func isMailFile(ct mediaType, h *header) bool {
	if ct.value != "application/octet-stream" && ct.value != "application/x-eml" && ct.value != "message/x-eml" {
		return false
	}
	return strings.HasSuffix(strings.ToLower(fileName(h, ct)), ".eml")
}

// multipart reads the parts of a multipart, which go-message cuts out of what the
// mender made of it.
func (w *walker) multipart(r io.Reader, h *header, ct mediaType, path string, p place) error {
	p.depth++
	p.digest = ct.value == "multipart/digest"
	switch ct.value {
	case "multipart/alternative":
		p.alternative = true
	case "multipart/related":
		p.related = true
	case "multipart/report":
		p.report = true
		if p.mails == 0 {
			w.noteReport(ct.params["report-type"])
		}
	}
	if err := w.open(); err != nil {
		return err
	}
	s := w.source(r)
	defer w.release(s)
	m, parts := newMender(s, ct.params["boundary"], w.lim.HeaderBytes, p.in)
	p.in, p.sig = m, nil
	var seal *sealed
	if ct.value == "multipart/signed" {
		if seal = w.seal(ct); seal.digests != nil {
			m.signed = seal.digests
		}
	}
	for n := 1; ; n++ {
		if n > 1 {
			p.sig = seal
		}
		part, err := parts.NextPart()
		if err == io.EOF {
			break
		} else if err != nil {
			return fmt.Errorf("read part of mended multipart: %w", err)
		}
		at, note := childPath(path, n), m.notes[0]
		m.notes = m.notes[1:]
		if m.found != "" {
			w.find(ruleBoundaryFound, path)
		}
		if note.afterEnd {
			w.find(ruleAfterEnd, path)
		}
		if note.unparted {
			err = w.unparted(m, part, h, at, p)
		} else {
			sub := newHeader(part.Header, note.mended)
			w.check(sub, at)
			err = w.entity(part, sub, at, false, p)
		}
		if err != nil {
			return err
		}
	}
	if !m.closed && m.parts > 0 {
		w.find(ruleEndMissing, path)
	}
	if seal != nil {
		w.judge(seal, path, p)
	}
	return nil
}

// unparted gives the content of a multipart without delimiters, which h heads. When
// the boundary is that of a multipart around it, which RFC 2046 §5.1.2 forbids, there
// mostly is no content: its parts follow as parts of the other one.
func (w *walker) unparted(m *mender, r io.Reader, h *header, path string, p place) error {
	if m.inUse() {
		br := bufio.NewReader(r)
		b, _ := br.Peek(br.Size())
		if len(b) < br.Size() && len(bytes.TrimSpace(b)) == 0 {
			w.find(ruleBoundaryFound, path)
			_, err := io.Copy(io.Discard, br)
			return err
		}
		r = br
	}
	return w.leafOf(identity{r}, h, path, p, ruleBoundaryMissing)
}

// mailPart opens a nested mail, or gives it as a leaf when it is none or is too
// deep.
func (w *walker) mailPart(r io.Reader, h *header, path string, p place) error {
	if p.mails+p.signed >= min(maxNested, w.lim.Depth) {
		return w.give(r, h, path, p, ruleNested)
	}
	if err := w.open(); err != nil {
		return err
	}
	// A mail may not be base64 (RFC 2046 §5.2.1), some are; some say so and are not.
	br := bufio.NewReader(r)
	dec, rules := decoderFor(h, br)
	if b, _ := br.Peek(200); fieldName(b) != "" {
		dec, rules = identity{br}, nil
	}
	sub := w.source(dec)
	defer w.release(sub)
	if !sub.prologue() {
		return w.leafOf(identity{sub.br}, h, path, p, rules...)
	}
	if !p.report {
		w.nested = true
	}
	p.mails++
	p.alternative, p.related, p.digest, p.sig = false, false, false, nil
	err := w.mail(sub, path, p)
	for _, rule := range dec.defects() {
		w.find(rule, path)
	}
	return err
}

// noteReport remembers that the message is a report, from its report-type or from
// the type of its machine part.
func (w *walker) noteReport(kind string) {
	switch strings.ToLower(kind) {
	case "disposition-notification", "message/disposition-notification":
		w.report = greffe.KindMDN
	default:
		if w.report == "" {
			w.report = greffe.KindDSN
		}
	}
}

// finish puts together what the walk learnt.
func (w *walker) finish() *Result {
	m := w.msg
	m.Body = w.texts.best()
	m.OriginalIDs = appendNew(w.texts.originals, m.OriginalIDs...)
	m.DSNAction, m.DSNStatus = w.texts.action, w.texts.status
	personal := isPersonal(untag(fold(m.Subject)))
	if w.report == "" && w.stray != "" && !personal {
		w.noteReport(w.stray)
	}
	m.Kind = w.report
	if m.Kind == "" && !personal {
		var ids []string
		m.Kind, ids = reportInText(m.Body)
		m.OriginalIDs = appendNew(m.OriginalIDs, ids...)
	}
	if m.Kind == "" && (w.nested || w.resent) {
		m.Kind = greffe.KindForward
	}
	// The multipart around the machine part of a report is the report, whatever its
	// sender calls it.
	for _, l := range w.given {
		l.Shown = l.ContentID != "" && w.cids[strings.ToLower(l.ContentID)]
		for _, path := range w.machine {
			l.InReport = l.InReport || path == "" || strings.HasPrefix(l.Path, path+".")
		}
	}
	return &Result{Message: m, Findings: w.findings}
}
