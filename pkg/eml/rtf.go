package eml

import (
	"encoding/binary"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// rtfStart is what the window of compressed RTF holds at first (MS-OXRTFCP §2.1.3.1).
const rtfStart = "{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}" +
	"{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans SerifSymbolArialTimes New RomanCourier" +
	"{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"

// rtf decompresses PidTagRtfCompressed (MS-OXRTFCP) as it is read, never more than
// maxRTF bytes nor than the stream announces.
type rtf struct {
	br     *byteSource
	window [4096]byte
	at     int // where the next byte goes
	left   int64
	out    []byte
	err    error
}

// byteSource reads single bytes of r through a small buffer.
type byteSource struct {
	r    io.Reader
	buf  [512]byte
	have []byte
}

func (s *byteSource) next() (byte, error) {
	for len(s.have) == 0 {
		n, err := s.r.Read(s.buf[:])
		if s.have = s.buf[:n]; n == 0 && err != nil {
			return 0, err
		}
	}
	b := s.have[0]
	s.have = s.have[1:]
	return b, nil
}

// newRTF reads the header; nil when r holds none.
func newRTF(r io.Reader) io.Reader {
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil
	}
	size := min(int64(binary.LittleEndian.Uint32(head[4:])), maxRTF)
	switch string(head[8:12]) {
	case "MELA":
		return io.LimitReader(r, size)
	case "LZFu":
		d := &rtf{br: &byteSource{r: r}, left: size}
		d.at = copy(d.window[:], rtfStart)
		return d
	}
	return nil
}

func (d *rtf) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.err != nil || d.left <= 0 {
			if d.err == nil {
				d.err = io.EOF
			}
			return 0, d.err
		}
		d.err = d.run()
		d.out = d.out[:min(int64(len(d.out)), d.left)]
		d.left -= int64(len(d.out))
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

// run reads one control byte and the eight tokens that it announces: bytes, or
// references to what the window holds.
func (d *rtf) run() error {
	d.out = make([]byte, 0, 8*17)
	control, err := d.br.next()
	if err != nil {
		return err
	}
	for bit := range 8 {
		b, err := d.br.next()
		if err != nil {
			return err
		}
		if control>>bit&1 == 0 {
			d.put(b)
			continue
		}
		low, err := d.br.next()
		if err != nil {
			return err
		}
		from, n := int(b)<<4|int(low)>>4, int(low)&15+2
		if from == d.at {
			return io.EOF
		}
		for range n {
			d.put(d.window[from])
			from = (from + 1) % len(d.window)
		}
	}
	return nil
}

func (d *rtf) put(b byte) {
	d.window[d.at] = b
	d.at = (d.at + 1) % len(d.window)
	d.out = append(d.out, b)
}

// wide gives UTF-16LE as UTF-8.
type wide struct {
	src  *byteSource
	high rune // of a surrogate pair
	out  []byte
	buf  [8]byte
	err  error
}

func newWide(r io.Reader) io.Reader { return &wide{src: &byteSource{r: r}} }

func (w *wide) Read(p []byte) (int, error) {
	total := 0
	for total < len(p) {
		if len(w.out) > 0 {
			n := copy(p[total:], w.out)
			w.out, total = w.out[n:], total+n
			continue
		}
		if w.err != nil {
			break
		}
		w.unit()
	}
	if total == 0 && len(p) > 0 {
		return 0, w.err
	}
	return total, nil
}

// unit reads one code unit.
func (w *wide) unit() {
	low, err := w.src.next()
	var high byte
	if err == nil {
		high, err = w.src.next()
	}
	if err != nil {
		w.err = err
		return
	}
	r := rune(low) | rune(high)<<8
	b := w.buf[:0]
	if w.high != 0 {
		if pair := utf16.DecodeRune(w.high, r); pair != utf8.RuneError {
			w.high, w.out = 0, utf8.AppendRune(b, pair)
			return
		}
		b = utf8.AppendRune(b, utf8.RuneError)
		w.high = 0
	}
	if r >= 0xD800 && r < 0xDC00 {
		w.high, w.out = r, b
		return
	}
	w.out = utf8.AppendRune(b, r)
}
