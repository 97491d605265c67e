package pdf

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/ascii85"
	"errors"
	"io"

	"github.com/pdfcpu/pdfcpu/pkg/filter"
	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/types"
)

// maxFilters bounds the filters of one stream that are followed: two are common.
const maxFilters = 4

var (
	errBomb   = errors.New("decoded size out of proportion")
	errFilter = errors.New("not opened")
)

// decode returns at most limit bytes of a stream, and what could be read of a broken
// one. It never decodes much more than it returns, whatever the stream would grow
// to. It returns errFilter for a stream that it does not open, above all an image
// (DCTDecode, JPXDecode, JBIG2Decode, CCITTFaxDecode), and errBomb for a long chain
// of filters.
func decode(sd *types.StreamDict, limit int64) ([]byte, error) {
	if len(sd.FilterPipeline) > maxFilters {
		return nil, errBomb
	}
	var r io.Reader = bytes.NewReader(sd.Raw)
	for _, f := range sd.FilterPipeline {
		switch f.Name {
		case filter.Flate:
			z, err := zlib.NewReader(r)
			if err != nil {
				return nil, errFilter
			}
			defer z.Close()
			r = z
		case filter.LZW:
			// pdfcpu knows the variant that PDF uses; it decodes in whole, bounded.
			parms := map[string]int{}
			if n, ok := f.DecodeParms["EarlyChange"].(types.Integer); ok {
				parms["EarlyChange"] = n.Value()
			}
			l, err := filter.NewFilter(filter.LZW, parms, maxLZW)
			if err != nil {
				return nil, errFilter
			}
			if r, err = l.Decode(r); errors.Is(err, filter.ErrDecodeLimitExceeded) {
				return nil, errBomb
			} else if err != nil {
				return nil, errFilter
			}
		case filter.ASCII85:
			r = ascii85.NewDecoder(&until{r: r, end: '~'})
		case filter.ASCIIHex:
			r = &hexReader{r: bufio.NewReader(r)}
		case filter.RunLength:
			r = &runReader{r: bufio.NewReader(r)}
		case "Crypt": // done, or the identity
		default:
			return nil, errFilter
		}
	}
	b, _ := io.ReadAll(io.LimitReader(r, limit)) // what could be read of a broken stream
	return b, nil
}

// maxLZW bounds a stream compressed with LZW.
const maxLZW = 8 << 20

// until reads up to the mark that ends text data.
type until struct {
	r    io.Reader
	end  byte
	done bool
}

func (u *until) Read(p []byte) (int, error) {
	if u.done {
		return 0, io.EOF
	}
	n, err := u.r.Read(p)
	if i := bytes.IndexByte(p[:n], u.end); i >= 0 {
		u.done = true
		return i, io.EOF
	}
	return n, err
}

// hexReader decodes ASCIIHexDecode (§7.4.2). What is no digit is skipped.
type hexReader struct {
	r    *bufio.Reader
	done bool
}

func (h *hexReader) Read(p []byte) (int, error) {
	for n := range p {
		high, err := h.digit()
		if err != nil {
			return n, err
		}
		low, err := h.digit()
		p[n] = byte(high<<4 | low) // a last digit alone stands for itself and 0
		if err != nil {
			return n + 1, err
		}
	}
	return len(p), nil
}

func (h *hexReader) digit() (int, error) {
	for !h.done {
		c, err := h.r.ReadByte()
		if err != nil {
			return 0, err
		}
		if v := hexDigit(c); v >= 0 {
			return v, nil
		}
		h.done = c == '>'
	}
	return 0, io.EOF
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// runReader decodes RunLengthDecode (§7.4.5).
type runReader struct {
	r    *bufio.Reader
	left int
	copy bool // the next bytes stand for themselves
	same byte
}

func (d *runReader) Read(p []byte) (int, error) {
	for d.left == 0 {
		c, err := d.r.ReadByte()
		if err != nil {
			return 0, err
		}
		switch {
		case c < 128:
			d.left, d.copy = int(c)+1, true
		case c > 128:
			if d.same, err = d.r.ReadByte(); err != nil {
				return 0, err
			}
			d.left, d.copy = 257-int(c), false
		default:
			return 0, io.EOF
		}
	}
	n := min(len(p), d.left)
	if d.copy {
		k, err := d.r.Read(p[:n])
		d.left -= k
		return k, err
	}
	for i := range n {
		p[i] = d.same
	}
	d.left -= n
	return n, nil
}
