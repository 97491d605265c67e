package parser

import (
	"errors"
	"fmt"
	"io"

	"greffe/pkg/eml"
	"greffe/pkg/greffe"
)

// openPieces lists what the sender's program wrapped into a part and looks at each
// piece as if it had been attached.
func (r *reading) openPieces(it *item) error {
	depth := 0
	for up := it.parent; up != nil; up = up.parent {
		depth++
	}
	if depth >= eml.MaxHeld {
		it.typ.hold = rulePiecesDeep
		return nil
	}
	given, named := 0, 0
	findings, err := eml.Pieces(it.Detected, it.content.reader(), func(n int, l *eml.Leaf, src io.Reader) error {
		child := r.add(fmt.Sprintf("%s!%d", it.Path, n), l.Name, l.Declared, it)
		if child == nil {
			return errStop
		}
		given++
		if l.Disposition != "" {
			named++
		}
		child.leaf = l
		if r.late() || r.spent() {
			child.Skipped = true
			return nil
		}
		words := r.words(it, l)
		if words != nil {
			src = io.TeeReader(src, words)
		}
		err := r.take(child, src)
		r.unpacked += child.Size
		if words != nil {
			r.body = eml.Text(l.Declared, l.Charset, words.b)
		}
		if err != nil {
			return err
		}
		for _, f := range l.Findings {
			f.Where = child.Path
			child.Findings = append(child.Findings, f)
		}
		return r.look(child, nil)
	})
	it.Findings = append(it.Findings, placed(it.Path, findings)...)
	if err != nil && !errors.Is(err, errStop) {
		return err
	}
	switch {
	case it.Detected == eml.MediaUU && given == 0: // a sentence that begins like a file
		it.Detected = "text/plain"
	case it.Detected == eml.MediaUU && r.attached(it):
		it.ignore("texte codé en uuencode : ses fichiers sont lus un à un")
	case it.Detected == eml.MediaTNEF && greffe.VerdictOf(it.Findings) != greffe.VerdictOK:
		if given > 0 {
			it.typ.hold = greffe.Rule{} // held by what was found, besides what could be read of it
		}
	case it.Detected == eml.MediaTNEF && named > 0:
		it.ignore("enveloppe d’Outlook (winmail.dat) : ses fichiers sont lus un à un")
	case it.Detected == eml.MediaTNEF && given > 0:
		it.ignore("enveloppe d’Outlook (winmail.dat) qui ne contient que le texte du message")
	}
	return nil
}

// beginning keeps the first bytes of a text.
type beginning struct{ b []byte }

func (b *beginning) Write(p []byte) (int, error) {
	b.b = append(b.b, p[:min(len(p), prefixSize-len(b.b))]...)
	return len(p), nil
}

// words returns what keeps the text of a message that stands in an envelope of
// Outlook only; nil for what is none, and when one is known.
func (r *reading) words(envelope *item, l *eml.Leaf) *beginning {
	if envelope.parent != nil || l.Disposition != "" || r.body != "" || l.Declared != "text/plain" && l.Declared != "text/html" {
		return nil
	}
	return &beginning{}
}

// spent reports whether what may be unpacked of the message is used up.
func (r *reading) spent() bool {
	if r.unpacked < r.p.cfg.Unpacked {
		return false
	}
	r.find(ruleUnpacked, r.p.cfg.Unpacked>>20)
	return true
}
