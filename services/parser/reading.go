package parser

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"time"

	"greffe/pkg/eml"
	"greffe/pkg/greffe"
	"greffe/pkg/xdm"
)

// reading is one message while it is read.
type reading struct {
	p        *Parser
	ctx      context.Context
	deadline time.Time
	id       greffe.MessageID

	items     []*item
	documents []*document
	findings  []greffe.Finding                  // about the message as a whole
	announced string                            // X-MSS-INS
	sent      string                            // day of the message, YYYYMMDD
	styled    bool                              // an auto-présentable was read
	sets      map[*xdm.DocumentEntry]greffe.OID // patients of submission sets
	unpacked  int64
	body      string   // text that stands in an envelope of Outlook
	in        *counted // the message; nil for a lone file
	checked   map[greffe.Digest]checkedPDF

	antivirus *greffe.Antivirus // what scans the message, from its first part on
	scanned   map[greffe.Digest]scanned
	scanLeft  time.Duration // for the scans that are still to come
}

// item is a part with what is only of interest while the message is read.
type item struct {
	greffe.Part
	typ     typ
	leaf    *eml.Leaf // nil below an archive or a CDA
	parent  *item     // the archive or CDA that holds it
	picture picture   // of an image
	content *content  // while it is looked at
	quiet   bool      // only hashed: part of a report
	noise   string    // why an archive holds it for nothing
	opened  bool      // an archive whose files are listed
	done    bool      // accounted for: by a document, by a reason, as a container
}

// document is a document with where it came from.
type document struct {
	greffe.Document
	it    *item
	entry *xdm.DocumentEntry // nil when no metadata describe it
	more  []greffe.Finding   // besides those of its parts
	inner uint64             // see innerSum
}

// find notes a finding about the message once per rule.
func (r *reading) find(rule greffe.Rule, args ...any) {
	if !hasRule(r.findings, rule.ID) {
		r.findings = append(r.findings, rule.At("", args...))
	}
}

// add lists a part; nil when the message has too many.
func (r *reading) add(path, name, declared string, parent *item) *item {
	if len(r.items) >= r.p.cfg.Parts {
		r.find(ruleParts, r.p.cfg.Parts)
		return nil
	}
	it := &item{Part: greffe.Part{Path: path, Name: name, Declared: declared, Kind: greffe.PartOther}, parent: parent}
	r.items = append(r.items, it)
	return it
}

// late reports whether the time for the message is over.
func (r *reading) late() bool {
	if time.Now().Before(r.deadline) {
		return false
	}
	r.find(ruleTime)
	return true
}

// leaf takes one leaf of the mail.
func (r *reading) leaf(l *eml.Leaf, src io.Reader) error {
	it := r.add(l.Path, l.Name, l.Declared, nil)
	if it == nil {
		return nil
	}
	it.leaf, it.quiet = l, l.InReport
	if r.late() {
		it.Skipped = true
		return nil
	}
	if err := r.take(it, src); err != nil {
		return err // ErrTooLarge goes on to the next leaf
	}
	it.Findings = append(it.Findings, l.Findings...)
	return r.look(it, nil)
}

// look takes the second look at a part that was kept for it. entry is what metadata
// say about it, if any do.
func (r *reading) look(it *item, entry *xdm.DocumentEntry) error {
	if it.content == nil {
		return nil
	}
	defer func() { it.content.close(); it.content = nil }()
	switch {
	case it.typ.zip:
		return r.openZip(it)
	case it.Kind == greffe.PartCDA:
		return r.openCDA(it, entry)
	case it.Kind == greffe.PartPDF:
		return r.checkPDF(it)
	case eml.HoldsPieces(it.Detected):
		return r.openPieces(it)
	case it.Kind == greffe.PartHPRIM:
		return r.hprim(it)
	}
	return nil
}

// placed puts findings that speak of places inside a part behind its path.
func placed(path string, findings []greffe.Finding) []greffe.Finding {
	out := make([]greffe.Finding, len(findings))
	for i, f := range findings {
		switch {
		case f.Where == "" || f.Where[0] == '!' || f.Where[0] == '#':
			f.Where = path + f.Where
		default:
			f.Where = path + "/" + f.Where
		}
		out[i] = f
	}
	return out
}

// counted reads the raw message, counts and hashes it, and ends with its context.
type counted struct {
	ctx   context.Context
	r     io.Reader
	h     hash.Hash
	size  int64
	until time.Time // after which the message seems to end; zero: never
	over  bool      // it did
}

func newCounted(ctx context.Context, r io.Reader) *counted {
	return &counted{ctx: ctx, r: r, h: sha256.New()}
}

// Read ends when the time for the message is over, whatever is in one part of it.
func (c *counted) Read(p []byte) (int, error) {
	if c.over = c.over || !c.until.IsZero() && time.Now().After(c.until); c.over {
		return 0, io.EOF
	}
	return c.read(p)
}

func (c *counted) read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	c.h.Write(p[:n])
	c.size += int64(n)
	return n, err
}

// rest reads what the walk left, and returns digest and size of all.
func (c *counted) rest() (greffe.Digest, int64, error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		_, err := c.read(*buf)
		if errors.Is(err, io.EOF) {
			return greffe.DigestFrom(c.h.Sum(nil)), c.size, nil
		}
		if err != nil {
			return "", c.size, err
		}
	}
}
