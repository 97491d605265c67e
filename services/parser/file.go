package parser

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"greffe/pkg/eml"
	"greffe/pkg/greffe"
)

// Rules about a file that is read by itself.
var (
	ruleMbox = rule("parser.mbox", greffe.Hold, "Ce fichier est une boîte aux lettres (mbox) de plusieurs messages : seul le premier a été lu. Exportez chaque message dans son propre fichier.", "RFC 4155")
	ruleMSG  = rule("parser.msg", greffe.Hold, "Ce fichier est un message enregistré par Outlook (.msg), un format que Greffe n’ouvre pas : demandez le message lui-même ou son export en .eml.", "MS-OXMSG")
)

// ParseFile reads a file that somebody holds in hand: a mail is read like Parse, by its
// header lines whatever the file is called; anything else as if it were the single
// part "1" of a mail, and the kind of the message stays empty. name is the name of the
// file, for display and for what content alone leaves open. Errors are those of Parse.
func (p *Parser) ParseFile(ctx context.Context, rec greffe.Received, name string, raw io.Reader) (greffe.Parsed, error) {
	in := newCounted(ctx, raw)
	br := bufio.NewReaderSize(in, prefixSize)
	head, err := br.Peek(prefixSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return greffe.Parsed{}, fmt.Errorf("read file: %w", err)
	}
	out := greffe.Parsed{Received: rec, At: time.Now().UTC(), Parser: p.cfg.Version}
	r := &reading{p: p, ctx: ctx, deadline: time.Now().Add(p.cfg.Time)}
	mail := eml.IsMail(head)
	res := &eml.Result{}
	switch {
	case eml.IsMbox(head):
		box := &mbox{br: br}
		res, err = eml.Walk(box, p.cfg.Mail, r.leaf)
		if box.more {
			r.find(ruleMbox)
		}
	case mail:
		res, err = eml.Walk(br, p.cfg.Mail, r.leaf)
	default:
		err = r.leaf(&eml.Leaf{Path: "1", Name: name, Disposition: "attachment"}, br)
	}
	if err != nil && !errors.Is(err, eml.ErrTooLarge) {
		return greffe.Parsed{}, err
	}
	sum, size, err := in.rest()
	if err != nil {
		return greffe.Parsed{}, fmt.Errorf("read file: %w", err)
	}
	if rec.SHA256 != "" && sum != rec.SHA256 {
		return greffe.Parsed{}, fmt.Errorf("read file: %w: %d bytes read, %d expected", ErrChanged, size, rec.Size)
	}
	r.finish(&out, res)
	if !mail {
		out.Message.Kind = ""
	}
	return out, nil
}

// separator is the line between the messages of an mbox: an address, or something
// in its place, and a date that ends in a year (RFC 4155 appendix A).
var separator = regexp.MustCompile(`^From [^\s]+ .*\b(?:19|20)\d\d(?: [+-]\d{4})?\r?\n?$`)

// mbox reads the first message of an mbox. more tells whether another one follows.
type mbox struct {
	br    *bufio.Reader
	line  []byte // not yet given
	blank bool   // the line before was blank
	part  bool   // in the middle of a line longer than the buffer
	begun bool
	more  bool
}

func (m *mbox) Read(p []byte) (int, error) {
	if m.more {
		return 0, io.EOF
	}
	if len(m.line) == 0 {
		line, err := m.br.ReadSlice('\n')
		if len(line) == 0 && err != nil {
			return 0, err
		}
		if m.begun && !m.part && m.blank && bytes.HasPrefix(line, []byte("From ")) && separator.Match(line) {
			m.more = true
			return 0, io.EOF
		}
		m.blank = !m.part && len(bytes.TrimRight(line, "\r\n")) == 0
		m.part = errors.Is(err, bufio.ErrBufferFull)
		m.begun = true
		m.line = line
	}
	n := copy(p, m.line)
	m.line = m.line[n:]
	return n, nil
}
