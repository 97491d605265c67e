package eml

import (
	"bufio"
	"io"
	"strings"

	"greffe/pkg/greffe"
)

// sealed is a multipart/signed (RFC 1847 §2.1) while it is read: its first part is
// hashed as it came, its second one is the signature.
type sealed struct {
	digests   *digests // nil when signatures are not verified
	signature []byte
	kind      string // declared type of the signature
}

func (w *walker) seal(ct mediaType) *sealed {
	if w.lim.Signatures == nil {
		return &sealed{}
	}
	return &sealed{digests: newDigests(ct.params["micalg"]), kind: strings.ToLower(ct.params["protocol"])}
}

func isSignature(declared string) bool {
	switch declared {
	case "application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature":
		return true
	}
	return false
}

// judge reports the signature of a multipart/signed.
func (w *walker) judge(s *sealed, path string, p place) {
	switch {
	case s.digests == nil:
	case strings.Contains(s.kind, "pgp"):
		w.find(ruleSignaturePGP, path)
	case len(s.signature) > maxTrail:
		w.find(ruleSignatureUnread, path)
	default:
		w.verdict(detachedSignature(s.signature), s.digests, path, p)
	}
}

// verdict reports a signature, signed data without content.
func (w *walker) verdict(der []byte, d *digests, path string, p place) {
	f := ruleSignatureUnread.At("")
	if der != nil {
		var from []greffe.Address
		if p.mails == 0 {
			from = w.msg.From
		}
		f = w.lim.Signatures.check(der, d, from, w.msg.Date)
	}
	f.Where = path
	w.note(f)
}

// maySign reports whether a part is worth looking into for opaque signed data. Its
// content decides then; a detached signature or a list of certificates is not it.
func maySign(ct mediaType, h *header) bool {
	name := strings.ToLower(fileName(h, ct))
	switch ct.value {
	case "application/pkcs7-mime", "application/x-pkcs7-mime":
		return true
	case "application/octet-stream":
		return !strings.HasSuffix(name, ".p7s") && !strings.HasSuffix(name, ".p7b")
	}
	return strings.HasSuffix(name, ".p7m")
}

// signedPart opens opaque signed data (RFC 8551 §3.5.2): a mail part, or a file signed
// as it is (CAdES), is wrapped into the signature. Its parts follow the number of the
// part; what is none of this is given as it is.
func (w *walker) signedPart(r io.Reader, h *header, path string, p place) error {
	dec, rules := decoderFor(h, r)
	br := bufio.NewReaderSize(dec, cmsHead)
	o, ok := readOpaque(br)
	whole := rebuffered{br, dec}
	switch {
	case !ok:
		return w.leafOf(whole, h, path, p, rules...)
	case p.mails+p.signed >= min(maxNested, w.lim.Depth):
		return w.leafOf(whole, h, path, p, ruleNested)
	}
	if err := w.open(); err != nil {
		return err
	}
	var content io.Reader = o
	var d *digests
	if w.lim.Signatures != nil {
		d = newDigests(string(o.algs))
		content = io.TeeReader(o, d)
	}
	sub := w.source(content)
	defer w.release(sub)
	p.signed++
	p.sig = nil
	var err error
	if sub.prologue() {
		var inner *header
		if inner, err = sub.header(w.lim.HeaderBytes); err == nil {
			w.check(inner, path)
			err = w.entity(sub.br, inner, path, true, p)
		}
	} else {
		inner := &header{}
		inner.Set("Content-Type", "application/octet-stream")
		p.name = fileName(h, h.mediaType("Content-Type"))
		if strings.HasSuffix(strings.ToLower(p.name), ".p7m") {
			p.name = p.name[:len(p.name)-len(".p7m")]
		}
		err = w.leafOf(identity{sub.br}, inner, childPath(path, 1), p)
	}
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, content); err != nil {
		return err
	}
	der, err := o.signature()
	if err != nil {
		return err
	}
	if o.cut {
		w.find(ruleSignedCut, path)
	} else if d != nil {
		w.verdict(der, d, path, p)
	}
	if _, err := io.Copy(io.Discard, br); err != nil {
		return err
	}
	for _, rule := range dec.defects() {
		w.find(rule, path)
	}
	return nil
}

// rebuffered is a decoder of which something was looked at.
type rebuffered struct {
	io.Reader
	dec decoder
}

func (r rebuffered) defects() []greffe.Rule { return r.dec.defects() }
