package eml

import (
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
	Parts        int   // leaves that are given; default 500
	Depth        int   // multiparts inside each other; default 20. Nested mails: at most 5, or Depth if less
	HeaderBytes  int   // of one header, of the mail or of a part; default 1 MiB
	DecodedBytes int64 // of all leaves together; default 300 MiB
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
	InReport      bool   // somewhere below a multipart/report or a nested KO mail
	InAlternative bool   // somewhere below a multipart/alternative
	InRelated     bool   // below a multipart/related: probably part of a page
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
	s := newSource(r)
	var err error
	if s.prologue() {
		err = w.mail(s, "", place{})
	} else {
		w.find(ruleNotMail, "")
		err = w.give(s, &header{}, "1", place{})
	}
	if err != nil && err != errStop {
		return nil, err
	}
	if err := s.failed(); err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	return w.finish(), nil
}

type walker struct {
	lim      Limits
	leaf     func(*Leaf, io.Reader) error
	msg      greffe.Message
	findings []greffe.Finding
	leaves   int
	decoded  int64
	tooLarge bool
	texts    bodies
	report   greffe.MessageKind // KindMDN or KindDSN once one was met outside nested mails
	nested   bool               // a nested mail was met outside reports
}

// find notes a finding about the message once per rule and place.
func (w *walker) find(rule greffe.Rule, where string, args ...any) {
	for _, f := range w.findings {
		if f.Rule == rule.ID && f.Where == where {
			return
		}
	}
	if len(w.findings) < 200 {
		w.findings = append(w.findings, rule.At(where, args...))
	}
}

// place is where an entity stands in the tree.
type place struct {
	report, alternative, related bool
	digest                       bool // parts are mails unless they say otherwise (RFC 2046 §5.1.5)
	depth, mails                 int  // multiparts and nested mails around
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
	h := s.header(w.lim.HeaderBytes)
	w.check(h, path)
	w.facts(h, p)
	if p.mails > 0 && isKO(fold(decodeWords(h.get("Subject")))) >= 0 {
		p.report = true // what it holds came back from another system
	}
	return w.entity(s, h, path, true, p)
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
func (w *walker) entity(s *source, h *header, path string, root bool, p place) error {
	ct := parseMediaType(h.get("Content-Type"))
	own := path
	if root {
		own = childPath(path, 1)
	}
	switch {
	case strings.HasPrefix(ct.value, "multipart/") && p.depth < w.lim.Depth:
		return w.multipart(s, h, ct, path, p)
	case strings.HasPrefix(ct.value, "multipart/"):
		return w.give(s, h, own, p, ruleDepth)
	case ct.value == "message/rfc822", ct.value == "message/global", ct.value == "" && p.digest, isMailFile(ct, h):
		return w.mailPart(s, h, own, p)
	}
	return w.give(s, h, own, p)
}

// isMailFile reports whether a part that calls itself bytes is named like a mail.
func isMailFile(ct mediaType, h *header) bool {
	if ct.value != "application/octet-stream" && ct.value != "application/x-eml" && ct.value != "message/x-eml" {
		return false
	}
	return strings.HasSuffix(strings.ToLower(fileName(h, ct)), ".eml")
}

// multipart reads the parts of a multipart. The first delimiter is looked for
// before anything is given, so that parts are found whatever the boundary says.
func (w *walker) multipart(s *source, h *header, ct mediaType, path string, p place) error {
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
	own := len(s.levels)
	lv := &level{declared: strings.TrimSpace(ct.params["boundary"]), guess: true}
	if len(lv.declared) > maxBoundary {
		lv.declared = ""
	}
	s.levels = append(s.levels, lv)
	defer func() { s.levels = s.levels[:own] }()

	n := 0
	if err := w.preamble(s, h, path, p, own, &n); err != nil {
		return err
	}
	lv.guess = false
	if lv.found != "" {
		w.find(ruleBoundaryFound, path)
	}
	closed, parts := false, false
	for {
		d, ok := s.delimiter()
		if !ok || d.level < own {
			break
		}
		s.take(d)
		if d.end {
			closed = true
			s.skip() // the epilogue
			continue
		}
		if closed {
			closed = false
			w.find(ruleAfterEnd, path)
		}
		n++
		parts = true
		at := childPath(path, n)
		sub := s.header(w.lim.HeaderBytes)
		w.check(sub, at)
		if err := w.entity(s, sub, at, false, p); err != nil {
			return err
		}
		s.skip()
	}
	if err := s.failed(); err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	if !closed && parts {
		w.find(ruleEndMissing, path)
	}
	return nil
}

// preamble passes over what stands before the first delimiter. When there is none,
// or a preamble of a size that none has, it is given as a leaf: it is the content.
func (w *walker) preamble(s *source, h *header, path string, p place, own int, n *int) error {
	var held []byte
	for len(held) < maxPreamble {
		b := s.chunk()
		if len(b) == 0 {
			break
		}
		held = append(held, b...)
	}
	if d, ok := s.delimiter(); ok && d.level >= own {
		return nil
	}
	*n++
	at := childPath(path, *n)
	return w.giveFrom(s, io.MultiReader(bytes.NewReader(held), &body{s: s}), h, at, p, ruleBoundaryMissing)
}

// mailPart opens a nested mail, or gives it as a leaf when it is none or is too
// deep.
func (w *walker) mailPart(s *source, h *header, path string, p place) error {
	if p.mails >= min(maxNested, w.lim.Depth) {
		return w.give(s, h, path, p, ruleNested)
	}
	// A mail may not be base64 (RFC 2046 §5.2.1), some are; some say so and are not.
	var r io.Reader = &body{s: s}
	dec, rules := decoderFor(h, r)
	if fieldName(s.fill(200)) != "" {
		dec, rules = identity{r}, nil
	}
	sub := newSource(dec)
	if !sub.prologue() {
		return w.giveFrom(s, &body{s: sub}, h, path, p, rules...)
	}
	if !p.report {
		w.nested = true
	}
	p.mails++
	p.alternative, p.related, p.digest = false, false, false
	err := w.mail(sub, path, p)
	for _, rule := range dec.defects() {
		w.find(rule, path)
	}
	if err == nil {
		sub.skip()
		err = sub.failed()
		if err != nil {
			err = fmt.Errorf("read message: %w", err)
		}
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
	m.Kind = w.report
	if m.Kind == "" && w.nested {
		m.Kind = greffe.KindForward
	}
	return &Result{Message: m, Findings: w.findings}
}
