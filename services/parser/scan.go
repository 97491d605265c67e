package parser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"greffe/pkg/clamd"
	"greffe/pkg/greffe"
)

// Rules about malware. What breaks one is held, never delivered and never shown.
var (
	ruleVirus       = rule("antivirus.found", greffe.Hold, "Pièce suspecte : l’antivirus y reconnaît « %s ». Ne l’ouvrez pas et ne la transférez pas ; prévenez le responsable de la sécurité informatique.", ours)
	ruleDoubtful    = rule("antivirus.doubtful", greffe.Hold, "Pièce douteuse : sans y reconnaître un programme malveillant, l’antivirus la juge anormale (« %s »). Ne l’ouvrez pas sans l’avis du responsable de la sécurité informatique.", ours)
	ruleVirusInside = rule("antivirus.inside", greffe.Hold, "Une pièce suspecte se trouve à l’intérieur (« %s ») : ne l’ouvrez pas et prévenez le responsable de la sécurité informatique.", ours)
	ruleVirusSize   = rule("antivirus.size", greffe.Hold, "Cette pièce est trop grosse pour l’antivirus : elle n’a pas été analysée. Ne l’ouvrez pas sans l’avis du responsable de la sécurité informatique.", "clamd.conf, StreamMaxLength")
	ruleVirusFailed = rule("antivirus.failed", greffe.Hold, "L’antivirus n’a pas réussi à analyser cette pièce, plusieurs fois de suite. Ne l’ouvrez pas sans l’avis du responsable de la sécurité informatique.", ours)
)

var antivirusRules = []greffe.Rule{ruleVirus, ruleDoubtful, ruleVirusInside, ruleVirusSize, ruleVirusFailed}

// scanned is what the antivirus said about some bytes.
type scanned struct {
	rule greffe.Rule // zero when they are clean
	args []any
}

// probe is the scan of one part, beside the reading that hashes it. What is kept for a
// second look is scanned from there, and what is small from memory, so that the same
// bytes are scanned once in a message: its PDFs come twice and three times. Anything
// else goes to the antivirus while it is read, and is not kept.
//
// A nil *probe scans nothing: there is no antivirus.
type probe struct {
	r      *reading
	it     *item
	small  *content      // the part so far; nil when the item keeps it, or once it streams
	stream *clamd.Stream // nil until the part is too large for memory
	cancel context.CancelFunc
	err    error // of opening the stream
}

func (r *reading) probe(it *item) *probe {
	if r.p.guard == nil {
		return nil
	}
	pr := &probe{r: r, it: it}
	if it.content == nil {
		pr.small = &content{}
	}
	return pr
}

// add hands over the next bytes of the part.
func (pr *probe) add(b []byte) {
	switch {
	case pr == nil || pr.err != nil || len(b) == 0:
	case pr.stream != nil:
		_, _ = pr.stream.Write(b) // never fails: its Result will tell
	case pr.small == nil:
	case pr.small.size+int64(len(b)) <= memorySize:
		_, _ = pr.small.Write(b) // in memory
	default:
		if pr.err = pr.r.version(); pr.err != nil {
			return
		}
		var ctx context.Context
		ctx, pr.cancel = pr.r.scanning()
		if pr.stream, pr.err = pr.r.p.guard.Client.Stream(ctx); pr.err == nil {
			_, _ = pr.stream.Write(pr.small.mem)
			_, _ = pr.stream.Write(b)
		}
		pr.small.close()
		pr.small = nil
	}
}

// drop ends a scan that leads to nothing, or is over.
func (pr *probe) drop() {
	if pr == nil {
		return
	}
	pr.small.close()
	if pr.stream != nil {
		pr.stream.Close()
	}
	if pr.cancel != nil {
		pr.cancel()
	}
}

// end gives the item what the antivirus says about it. The part was read whole and has
// its digest. An error is the antivirus's: the message is read again later.
func (pr *probe) end() error {
	if pr == nil || pr.it.Size == 0 {
		return nil
	}
	r, it := pr.r, pr.it
	s, known := r.scanned[it.SHA256]
	if !known && r.p.guard.hopeless(it.SHA256) {
		s, known = scanned{rule: ruleVirusFailed}, true
	}
	if !known {
		began := time.Now()
		res, err := pr.scan()
		pr.drop() // its connection is free for the next
		spent := time.Since(began)
		r.scanLeft -= spent
		r.deadline = r.deadline.Add(spent) // the time of the message is for reading it
		if r.in != nil {
			r.in.until = r.in.until.Add(spent)
		}
		if s, err = r.judged(it.SHA256, res, err); err != nil {
			return err
		}
		if r.scanned == nil {
			r.scanned = make(map[greffe.Digest]scanned)
		}
		r.scanned[it.SHA256] = s
	}
	if s.rule.ID == "" {
		return nil
	}
	it.Findings = append(it.Findings, s.rule.At(it.Path, s.args...))
	if len(s.args) > 0 { // something was found: its containers are no better
		for up := it.parent; up != nil; up = up.parent {
			if !hasRule(up.Findings, ruleVirusInside.ID) {
				up.Findings = append(up.Findings, ruleVirusInside.At(up.Path, s.args...))
			}
		}
	}
	return nil
}

// scan returns what the antivirus says about the part.
func (pr *probe) scan() (clamd.Result, error) {
	if pr.err != nil {
		return clamd.Result{}, pr.err
	}
	if pr.stream != nil {
		return pr.stream.Result()
	}
	if err := pr.r.version(); err != nil {
		return clamd.Result{}, err
	}
	ctx, cancel := pr.r.scanning()
	defer cancel()
	var src io.Reader
	if pr.small != nil {
		src = bytes.NewReader(pr.small.mem)
	} else {
		src = pr.it.content.reader()
	}
	return pr.r.p.guard.Client.Scan(ctx, src)
}

// scanning returns the context of a scan: the time left for those of the message.
func (r *reading) scanning() (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.ctx, max(r.scanLeft, 0))
}

// version asks, before the first scan of a message, what it is scanned with.
func (r *reading) version() error {
	if r.antivirus != nil {
		return nil
	}
	r.scanLeft = r.p.guard.Time
	ctx, cancel := context.WithTimeout(r.ctx, probeTime)
	defer cancel()
	v, err := r.p.guard.Client.Version(ctx)
	if err != nil {
		return err
	}
	r.antivirus = &greffe.Antivirus{Engine: v.Engine, Base: v.Base, BaseDate: v.Date}
	return nil
}

// judged turns what the antivirus said about a part, or did not say, into what becomes
// of it.
func (r *reading) judged(part greffe.Digest, res clamd.Result, err error) (scanned, error) {
	g := r.p.guard
	switch {
	case err == nil:
		g.forget(string(part))
		return found(res), nil
	case errors.Is(err, clamd.ErrTooLarge):
		return scanned{rule: ruleVirusSize}, nil
	case r.ctx.Err() != nil:
		return scanned{}, r.ctx.Err()
	case errors.Is(err, errDisk):
		return scanned{}, err
	case errors.Is(err, clamd.ErrAnswer) && !g.fail(string(part)):
		return scanned{rule: ruleVirusFailed}, nil
	}
	if r.antivirus == nil || !g.works(r.ctx) {
		g.doubt() // its trouble, not the message's: no try is counted
		return scanned{}, fmt.Errorf("%w: %w", errAntivirus, err)
	}
	if g.fail(string(r.id)) {
		return scanned{}, fmt.Errorf("%w: %w", errAntivirus, err)
	}
	return scanned{rule: ruleVirusFailed}, nil
}

// found says which rule a result breaks.
func found(res clamd.Result) scanned {
	switch {
	case res.Clean():
		return scanned{}
	case res.Heuristic():
		return scanned{ruleDoubtful, []any{res.Signature}}
	}
	return scanned{ruleVirus, []any{res.Signature}}
}

// expose makes sure that a person sees each part that is not safe, whatever else would
// have become of it: by a document that stands for it, or by one of its own.
func (r *reading) expose() {
	for _, it := range r.items {
		if !greffe.Unsafe(it.Findings) {
			continue
		}
		if d := r.standsFor(it); d == nil {
			it.Verdict, it.Reason, it.TwinOf = "", "", ""
			r.document(it, nil)
		} else if !greffe.Unsafe(d.it.Findings) {
			d.more = append(it.Findings[:len(it.Findings):len(it.Findings)], d.more...)
		}
		if it.TwinOf == "" && it.Verdict == greffe.VerdictIgnored {
			it.Verdict, it.Reason = greffe.VerdictHeld, ""
		}
	}
	slices.SortStableFunc(r.documents, func(a, b *document) int { return r.order(a) - r.order(b) })
}

// standsFor returns the document that shows a part: its own, that of the CDA around it,
// of the original that it is a copy of, or of an unsafe part inside it.
func (r *reading) standsFor(it *item) *document {
	if it.TwinOf != "" {
		i := slices.IndexFunc(r.items, func(o *item) bool { return o.Path == it.TwinOf && o.TwinOf == "" })
		if i < 0 {
			return nil
		}
		it = r.items[i]
	}
	for _, d := range r.documents {
		if d.it == it {
			return d
		}
		for up := it.parent; up != nil; up = up.parent {
			if d.it == up {
				return d
			}
		}
		if greffe.Unsafe(d.it.Findings) {
			for up := d.it.parent; up != nil; up = up.parent {
				if up == it {
					return d
				}
			}
		}
	}
	return nil
}
