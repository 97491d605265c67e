package eml

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Object identifiers in DER, with tag and length (RFC 5652 §4, §5.1).
var (
	oidData       = []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01")
	oidSignedData = []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02")
)

const (
	cmsHead   = 4 << 10   // bytes that stand at most before the content of signed data
	maxNest   = 8         // strings inside strings
	maxTrail  = 512 << 10 // bytes of certificates and signatures that are looked at
	maxASN1   = 24        // depth of what stands in them
	berOctets = 0x04
)

// opaque is signed data (RFC 5652 §5.1) whose content is read as it goes by: writers
// cut it into pieces of some kilobytes in the indefinite form of BER, or write one
// piece as long as the mail.
type opaque struct {
	br      *bufio.Reader
	version []byte // with its tag
	algs    []byte // digestAlgorithms, with its tag
	left    []int64
	cur     int64 // bytes of the piece that is read
	ends    int   // end marks that follow the content
	cut     bool  // ended too early, or cannot be read on
	done    bool
}

var errBER = errors.New("eml: not BER that signed data may have")

// element is one element of BER.
type element struct {
	tag    byte
	size   int64 // of the content; -1: until an end mark
	header int   // bytes of tag and length
}

// readElement reads tag and length. Tags above 30 do not occur in signed data.
func readElement(b []byte) (element, error) {
	if len(b) < 2 || b[0]&0x1F == 0x1F {
		return element{}, errBER
	}
	e := element{tag: b[0], header: 2}
	switch l := b[1]; {
	case l < 0x80:
		e.size = int64(l)
	case l == 0x80:
		if e.size = -1; e.tag&0x20 == 0 {
			return element{}, errBER
		}
	case l > 0x86 || len(b) < 2+int(l&0x7F):
		return element{}, errBER
	default:
		e.header += int(l & 0x7F)
		for _, c := range b[2:e.header] {
			e.size = e.size<<8 | int64(c)
		}
	}
	return e, nil
}

// readOpaque reads what stands before the content of signed data. ok is false for
// anything else, signed data without content included; nothing is consumed then.
func readOpaque(br *bufio.Reader) (o *opaque, ok bool) {
	b, _ := br.Peek(cmsHead)
	all := len(b)
	o = &opaque{br: br}
	open := func(tag byte) (indefinite, ok bool) {
		e, err := readElement(b)
		if err != nil || e.tag != tag {
			return false, false
		}
		b = b[e.header:]
		return e.size < 0, true
	}
	whole := func(tag byte) ([]byte, bool) {
		e, err := readElement(b)
		if err != nil || e.tag != tag || e.size < 0 || e.size > int64(len(b)-e.header) {
			return nil, false
		}
		v := b[:e.header+int(e.size)]
		b = b[len(v):]
		return bytes.Clone(v), true
	}
	if _, ok := open(0x30); !ok || !bytes.HasPrefix(b, oidSignedData) {
		return nil, false
	}
	b = b[len(oidSignedData):]
	if _, ok := open(0xA0); !ok {
		return nil, false
	}
	if _, ok := open(0x30); !ok {
		return nil, false
	}
	if o.version, ok = whole(0x02); !ok {
		return nil, false
	}
	if o.algs, ok = whole(0x31); !ok {
		return nil, false
	}
	for _, tag := range []byte{0x30, 0xA0} { // encapContentInfo, eContent
		indefinite, ok := open(tag)
		if !ok {
			return nil, false
		}
		if indefinite {
			o.ends++
		}
		if tag == 0x30 {
			if !bytes.HasPrefix(b, oidData) {
				return nil, false
			}
			b = b[len(oidData):]
		}
	}
	e, err := readElement(b)
	switch {
	case err != nil:
		return nil, false
	case e.tag == berOctets:
		o.cur = e.size
	case e.tag == berOctets|0x20:
		o.left = []int64{e.size}
	default:
		return nil, false
	}
	b = b[e.header:]
	br.Discard(all - len(b)) // peeked
	return o, true
}

// Read gives the content. It ends, with cut set, where the structure is broken.
func (o *opaque) Read(p []byte) (int, error) {
	for o.cur == 0 && !o.done {
		if err := o.next(); err != nil {
			return 0, err
		}
	}
	if o.done {
		return 0, io.EOF
	}
	n, err := o.br.Read(p[:min(int64(len(p)), o.cur)])
	o.cur -= int64(n)
	if err == io.EOF {
		o.stop(o.cur > 0)
	}
	return n, err
}

func (o *opaque) stop(cut bool) { o.done, o.cut = true, o.cut || cut }

// next finds the next piece.
func (o *opaque) next() error {
	if len(o.left) == 0 {
		o.stop(false)
		return nil
	}
	top := len(o.left) - 1
	if o.left[top] == 0 {
		o.left = o.left[:top]
		return nil
	}
	b, err := o.br.Peek(8)
	if err != nil && err != io.EOF {
		return err
	}
	if o.left[top] < 0 && len(b) >= 2 && b[0] == 0 && b[1] == 0 {
		o.left = o.left[:top]
		return o.pass(2)
	}
	e, err := readElement(b)
	if err != nil || e.tag&^0x20 != berOctets || len(o.left) == maxNest || e.size < 0 && o.left[top] > 0 {
		o.stop(true)
		return nil
	}
	if err := o.pass(e.header); err != nil || o.done {
		return err
	}
	if e.tag == berOctets {
		o.cur = e.size
		o.count(e.size)
	} else {
		if e.size > 0 {
			o.count(e.size)
		}
		o.left = append(o.left, e.size)
	}
	return nil
}

// pass consumes n bytes that were looked at.
func (o *opaque) pass(n int) error {
	_, err := o.br.Discard(n)
	o.count(int64(n))
	return err
}

// count takes n bytes from the innermost string that has a length.
func (o *opaque) count(n int64) {
	if top := len(o.left) - 1; top >= 0 && o.left[top] > 0 {
		if o.left[top] -= n; o.left[top] < 0 {
			o.stop(true)
		}
	}
}

// signature returns what follows the content as signed data without content; nil
// when there is more of it than is looked at, or it cannot be read. The content was
// read to its end.
func (o *opaque) signature() ([]byte, error) {
	if o.cut {
		return nil, nil
	}
	rest, err := io.ReadAll(io.LimitReader(o.br, maxTrail+1))
	if err != nil || len(rest) > maxTrail {
		return nil, err
	}
	for range o.ends {
		if !bytes.HasPrefix(rest, []byte{0, 0}) {
			return nil, nil
		}
		rest = rest[2:]
	}
	return signedData(o.version, o.algs, rest), nil
}

// detached reads a signature that came in a part of its own into the same form.
func detachedSignature(b []byte) []byte {
	der, _, err := toDER(b, 0)
	if err != nil {
		return nil
	}
	value := func(tag byte, b []byte) (in, after []byte) {
		e, err := readElement(b)
		if err != nil || e.tag != tag {
			return nil, nil
		}
		return b[e.header : e.header+int(e.size)], b[e.header+int(e.size):]
	}
	in, _ := value(0x30, der)
	if !bytes.HasPrefix(in, oidSignedData) {
		return nil
	}
	in, _ = value(0xA0, in[len(oidSignedData):])
	in, _ = value(0x30, in)
	_, afterVersion := value(0x02, in)
	if afterVersion == nil {
		return nil
	}
	_, afterAlgs := value(0x31, afterVersion)
	if afterAlgs == nil {
		return nil
	}
	_, trailer := value(0x30, afterAlgs)
	return signedData(in[:len(in)-len(afterVersion)], afterVersion[:len(afterVersion)-len(afterAlgs)], trailer)
}

// signedData writes signed data without content. Revocation lists are left out: they
// are large and nothing here looks at them.
func signedData(version, algs, trailer []byte) []byte {
	body := append(bytes.Clone(version), algs...)
	body = append(body, wrap(0x30, oidData)...)
	for len(trailer) > 0 && !bytes.HasPrefix(trailer, []byte{0, 0}) {
		der, after, err := toDER(trailer, 0)
		if err != nil {
			return nil
		}
		if trailer = after; der[0] != 0xA1 {
			body = append(body, der...)
		}
	}
	return wrap(0x30, append(bytes.Clone(oidSignedData), wrap(0xA0, wrap(0x30, body))...))
}

// toDER converts the first element of b to definite lengths and strings in one piece,
// which is all that the reader of signatures takes: given the other form, it costs
// the square of its size. Elements that have that form already stay as they are.
func toDER(b []byte, depth int) (der, rest []byte, err error) {
	e, err := readElement(b)
	if err != nil || depth > maxASN1 || e.size > int64(len(b)-e.header) {
		return nil, nil, errBER
	}
	content := b[e.header:]
	if e.size >= 0 {
		content, rest = content[:e.size], content[e.size:]
		if e.tag&0x20 == 0 {
			return b[:e.header+int(e.size)], rest, nil
		}
	}
	var inner []byte
	at := content
	for len(at) > 0 || e.size < 0 {
		if e.size < 0 && bytes.HasPrefix(at, []byte{0, 0}) {
			rest = at[2:]
			break
		}
		var part []byte
		if part, at, err = toDER(at, depth+1); err != nil {
			return nil, nil, err
		}
		if e.tag == berOctets|0x20 {
			head, _ := readElement(part)
			part = part[head.header:]
		}
		inner = append(inner, part...)
	}
	if e.size >= 0 && e.tag != berOctets|0x20 && bytes.Equal(inner, content) {
		return b[:e.header+int(e.size)], rest, nil
	}
	if e.tag == berOctets|0x20 {
		e.tag = berOctets
	}
	return wrap(e.tag, inner), rest, nil
}

// wrap puts a tag and a length before content.
func wrap(tag byte, content []byte) []byte {
	out := []byte{tag}
	n := len(content)
	switch {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 1<<8:
		out = append(out, 0x81, byte(n))
	case n < 1<<16:
		out = append(out, 0x82, byte(n>>8), byte(n))
	case n < 1<<24:
		out = append(out, 0x83, byte(n>>16), byte(n>>8), byte(n))
	default:
		out = append(out, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(out, content...)
}
