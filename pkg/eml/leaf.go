package eml

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"

	"greffe/pkg/greffe"
)

// decoderFor returns the decoder for the transfer encoding that h declares.
func decoderFor(h *header, r io.Reader) (decoder, []greffe.Rule) {
	switch enc := transferEncoding(h); enc {
	case "", "7bit", "8bit", "binary", "7-bit", "8-bit":
		return identity{r}, nil
	case "base64":
		return newBase64(r), nil
	case "quoted-printable":
		return newQuoted(r), nil
	case "x-uuencode", "uuencode", "x-uue", "uue":
		return newUU(r), nil
	}
	return identity{r}, []greffe.Rule{ruleEncoding}
}

func transferEncoding(h *header) string {
	v, _ := cutOutsideQuotes(h.Get("Content-Transfer-Encoding"))
	return strings.ToLower(clean(stripComment(strings.Trim(v, "\" \t"))))
}

// fileName returns the name that a part declares, from either of the two headers
// that may carry it.
func fileName(h *header, ct mediaType) string {
	name := h.mediaType("Content-Disposition").params["filename"]
	if name == "" {
		name = ct.params["name"]
	}
	return cut(name, 500)
}

// give gives a part, of which r is the encoded content, as a leaf.
func (w *walker) give(r io.Reader, h *header, path string, p place, rules ...greffe.Rule) error {
	if enc := transferEncoding(h); strings.Contains(enc, "uu") {
		// Often the only name that the file has stands in the code itself.
		br := bufio.NewReader(r)
		b, _ := br.Peek(1 << 10)
		for line := range bytes.Lines(b) {
			if name, _, ok := uuBegin(line); ok {
				p.name = name
				break
			}
		}
		r = br
	}
	dec, more := decoderFor(h, r)
	return w.leafOf(dec, h, path, p, append(rules, more...)...)
}

func (w *walker) leafOf(dec decoder, h *header, path string, p place, rules ...greffe.Rule) error {
	if w.leaves >= w.lim.Parts {
		w.find(ruleParts, "", w.lim.Parts)
		return errStop
	}
	w.leaves++
	ct := h.mediaType("Content-Type")
	disposition := h.mediaType("Content-Disposition").value
	l := &Leaf{
		Path: path, Name: fileName(h, ct), Declared: cut(ct.value, 200), Charset: cut(strings.ToLower(ct.params["charset"]), 60),
		Disposition: cut(disposition, 60), ContentID: cut(strings.Trim(clean(h.Get("Content-Id")), "<> "), 200),
		InReport: p.report, InAlternative: p.alternative, InRelated: p.related, Depth: p.mails,
	}
	if l.Name == "" {
		l.Name = p.name
	}
	if l.Declared == "" {
		l.Declared = "text/plain" // RFC 2045 §5.2
	}
	for _, rule := range rules {
		if rule.ID == ruleEncoding.ID {
			l.Findings = append(l.Findings, rule.At(path, cut(transferEncoding(h), 40)))
			continue
		}
		l.Findings = append(l.Findings, rule.At(path))
	}
	if p.mails == 0 && (l.Declared == "message/disposition-notification" || l.Declared == "message/delivery-status") {
		if p.report {
			w.noteReport(l.Declared)
		} else {
			w.stray = l.Declared
		}
		around := ""
		if k := strings.LastIndexByte(path, '.'); k >= 0 {
			around = path[:k]
		}
		w.machine = append(w.machine, around)
	}
	w.given = append(w.given, l)
	r := &leafReader{w: w, dec: dec, leaf: l, keep: w.texts.capture(l)}
	page := l.Declared == "text/html" && disposition != "attachment" && !p.report
	first := r.keep != nil
	switch {
	case p.sig != nil && isSignature(l.Declared):
		r.keep = &captured{limit: maxTrail + 1}
	case page && !first:
		r.keep = &captured{limit: maxHTML}
	}
	err := w.leaf(l, r)
	if err != nil && !errors.Is(err, ErrTooLarge) {
		return err
	}
	// Read the rest all the same: limits and texts must not depend on the caller.
	if _, err := io.Copy(io.Discard, r); err != nil && !errors.Is(err, ErrTooLarge) {
		return err
	}
	if p.sig != nil && isSignature(l.Declared) {
		p.sig.signature, p.sig.kind = r.keep.b, l.Declared
	} else if first {
		if text, ok := w.texts.add(l, r.keep.b); !ok && text {
			w.find(ruleCharset, path)
		}
	}
	if page {
		w.shown(r.keep.b)
	}
	return nil
}

// shown notes the content identifiers that a page speaks of.
func (w *walker) shown(page []byte) {
	for len(w.cids) < maxCIDs {
		k := bytes.Index(page, []byte("cid:"))
		if k < 0 {
			return
		}
		page = page[k+4:]
		end := bytes.IndexAny(page[:min(len(page), 300)], "\"'<> )\r\n\t")
		if end < 0 {
			continue
		}
		if w.cids == nil {
			w.cids = make(map[string]bool)
		}
		w.cids[strings.ToLower(percentDecode(string(page[:end])))] = true
	}
}

// leafReader is what the caller reads: it counts, keeps a first piece of texts,
// and notes what the decoder found at the end.
type leafReader struct {
	w    *walker
	dec  decoder
	leaf *Leaf
	keep *captured
	done bool
}

// captured is the beginning of a text.
type captured struct {
	b     []byte
	limit int
}

func (r *leafReader) Read(p []byte) (int, error) {
	if r.w.tooLarge {
		return 0, ErrTooLarge
	}
	n, err := r.dec.Read(p)
	if r.w.decoded += int64(n); r.w.decoded > r.w.lim.DecodedBytes {
		r.w.tooLarge = true
		r.w.find(ruleSize, "", r.w.lim.DecodedBytes>>20)
		return 0, ErrTooLarge
	}
	if r.keep != nil {
		r.keep.b = append(r.keep.b, p[:min(n, r.keep.limit-len(r.keep.b))]...)
	}
	if err == io.EOF && !r.done {
		r.done = true
		for _, rule := range r.dec.defects() {
			r.leaf.Findings = append(r.leaf.Findings, rule.At(r.leaf.Path))
		}
	}
	return n, err
}
