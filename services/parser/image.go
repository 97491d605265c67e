package parser

import (
	"bytes"
	"encoding/binary"
	"fmt"
	std "image" // the word is taken here
	"image/gif"
	"image/jpeg"
	"image/png"

	"greffe/pkg/greffe"
)

// Bounds of what an image may be to pass for decoration. A picture that somebody took
// or scanned is larger in bytes or in pixels; where it is not certain, it is shown.
const (
	logoSize   = 100 << 10 // bytes of an image of a page
	iconSize   = 10 << 10  // bytes of an image that no page shows, or whose size is not known
	photoArea  = 200 * 200 // pixels
	drawArea   = 300 * 300 // pixels of a format that photographs do not have
	bannerSide = 120       // height of a banner
	bannerWide = 1000
	pixelSide  = 3 // of an image that only tells its sender that the mail was opened
)

// picture is what the beginning of an image tells. The zero value is not known.
type picture struct {
	width, height int
	camera        bool // taken or scanned, by its format or its data
}

// pictureOf looks at the first bytes of an image of the detected type.
func pictureOf(prefix []byte, media string) (p picture) {
	decode := func(read func(b *bytes.Reader) (std.Config, error)) {
		if c, err := read(bytes.NewReader(prefix)); err == nil && c.Width > 0 && c.Height > 0 {
			p.width, p.height = c.Width, c.Height
		}
	}
	switch media {
	case "image/png":
		decode(func(b *bytes.Reader) (std.Config, error) { return png.DecodeConfig(b) })
	case "image/gif":
		decode(func(b *bytes.Reader) (std.Config, error) { return gif.DecodeConfig(b) })
	case "image/jpeg":
		p.camera = bytes.Contains(prefix[:min(len(prefix), 4<<10)], []byte("Exif\x00\x00"))
		decode(func(b *bytes.Reader) (std.Config, error) { return jpeg.DecodeConfig(b) })
	case "image/bmp":
		if len(prefix) >= 26 {
			p.width, p.height = int(int32(binary.LittleEndian.Uint32(prefix[18:]))), int(int32(binary.LittleEndian.Uint32(prefix[22:])))
			p.height = max(p.height, -p.height)
		}
	case "image/tiff", "image/heic":
		p.camera = true
	}
	return p
}

// decoration returns why an image carries nothing; "" when it may be a document.
func (it *item) decoration() string {
	l, p := it.leaf, it.picture
	known := p.width > 0 && p.height > 0
	area := int64(p.width) * int64(p.height)
	page := l.Shown || l.InRelated && l.ContentID != ""
	switch {
	case known && p.width <= pixelSide && p.height <= pixelSide:
		return fmt.Sprintf("pixel de suivi (%d × %d)", p.width, p.height)
	case p.camera:
		return ""
	case l.Disposition == "attachment" && !page:
		return ""
	case page && known && it.Size <= logoSize &&
		(area <= photoArea || p.height <= bannerSide && p.width <= bannerWide || area <= drawArea && it.Detected != "image/jpeg"):
		return logo(it.Size)
	case !known && it.Size <= iconSize && (page || l.ContentID != "" || l.Disposition == "inline"):
		return logo(it.Size)
	case known && it.Size <= iconSize && area <= photoArea && (l.ContentID != "" || l.Disposition == "inline"):
		return logo(it.Size)
	}
	return ""
}

func logo(size int64) string {
	return fmt.Sprintf("logo ou image de présentation de %d Ko", (size+1023)/1024)
}

// seePicture looks at the beginning of an image.
func (it *item) seePicture(prefix []byte) {
	if it.Kind == greffe.PartImage {
		it.picture = pictureOf(prefix, it.Detected)
	}
}
