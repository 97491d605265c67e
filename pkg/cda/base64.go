package cda

// base64Decoder turns base64 text into bytes, group by group.
type base64Decoder struct {
	bits uint32
	n    int // characters of the open group

	foreign int  // characters met that are neither base64 nor blanks
	cut     bool // a group ended after one character

	small       [3]byte // for readSmall
	from, spare int
}

// code gives the 6 bits of each character; 0xFE for padding, 0xFF for what is skipped.
var code = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xFF
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range len(alphabet) {
		t[alphabet[i]] = byte(i)
	}
	t['-'], t['_'], t['='] = 62, 63, 0xFE // RFC 4648 §5
	return t
}()

// decode decodes src into dst, which has room for three bytes or more, and
// returns how many bytes it wrote and how many it took.
func (d *base64Decoder) decode(dst, src []byte) (nd, ns int) {
	for ns < len(src) && len(dst)-nd >= 3 {
		if d.n == 0 {
			for len(src)-ns >= 4 && len(dst)-nd >= 3 {
				g := src[ns : ns+4 : ns+4]
				a, b, c, e := code[g[0]], code[g[1]], code[g[2]], code[g[3]]
				if a|b|c|e >= 64 {
					break
				}
				out := dst[nd : nd+3 : nd+3]
				out[0], out[1], out[2] = a<<2|b>>4, b<<4|c>>2, c<<6|e
				nd += 3
				ns += 4
			}
			if ns == len(src) || len(dst)-nd < 3 {
				return nd, ns
			}
		}
		switch v := code[src[ns]]; {
		case v < 64:
			d.bits = d.bits<<6 | uint32(v)
			if d.n++; d.n == 4 {
				dst[nd], dst[nd+1], dst[nd+2] = byte(d.bits>>16), byte(d.bits>>8), byte(d.bits)
				nd += 3
				d.n, d.bits = 0, 0
			}
		case v == 0xFE:
			nd += d.flush(dst[nd:])
		case src[ns] > ' ':
			d.foreign++
		}
		ns++
	}
	return nd, ns
}

// flush writes the whole bytes of an open group, one or two, and starts a new group.
func (d *base64Decoder) flush(dst []byte) int {
	n := 0
	switch d.n {
	case 1:
		d.cut = true
	case 2:
		dst[0] = byte(d.bits >> 4)
		n = 1
	case 3:
		dst[0], dst[1] = byte(d.bits>>10), byte(d.bits>>2)
		n = 2
	}
	d.n, d.bits = 0, 0
	return n
}
