package parser

import (
	"bytes"

	"greffe/pkg/greffe"
)

// tailSize is how much of the end of an image is looked at: cameras put data of their
// own behind it.
const tailSize = 4 << 10

// imageEnd keeps the end of an image that goes by in pieces.
type imageEnd struct {
	mark []byte // what stands at the end of a whole image; nil when its format has none
	tail []byte
}

// endOf returns what looks at the end of a part; nil when it is no image whose format
// marks its end.
func endOf(media string) *imageEnd {
	switch media {
	case "image/jpeg": // EOI (ITU-T T.81 §B.2.1); no other place of the coded data holds these two bytes
		return &imageEnd{mark: []byte("\xff\xd9")}
	case "image/png": // IEND (ISO/IEC 15948 §11.2.5)
		return &imageEnd{mark: []byte("\x00\x00\x00\x00IEND")}
	case "image/gif": // trailer (GIF89a §27), behind the terminator of a block
		return &imageEnd{mark: []byte("\x00;")}
	}
	return nil
}

func (e *imageEnd) add(b []byte) {
	if e == nil {
		return
	}
	if len(b) >= tailSize {
		e.tail = append(e.tail[:0], b[len(b)-tailSize:]...)
		return
	}
	if over := len(e.tail) + len(b) - tailSize; over > 0 {
		e.tail = append(e.tail[:0], e.tail[over:]...)
	}
	e.tail = append(e.tail, b...)
}

// judge adds a finding when the end of the image is missing.
func (e *imageEnd) judge(it *item) {
	if e != nil && !bytes.Contains(e.tail, e.mark) {
		it.Findings = append(it.Findings, ruleImageCut.At(it.Path))
	}
}

// measured says how large an image is that a person has to look at: a photograph, a
// page that was scanned or a thumbnail.
func (it *item) measured() (greffe.Finding, bool) {
	if it.Kind != greffe.PartImage || it.picture.width <= 0 || it.picture.height <= 0 {
		return greffe.Finding{}, false
	}
	return ruleImageSize.At(it.Path, it.picture.width, it.picture.height), true
}
