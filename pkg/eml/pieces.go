package eml

import (
	"io"

	"greffe/pkg/greffe"
)

// Media types, as [greffe.Part] Detected has them, of parts that hold pieces.
const (
	MediaTNEF = "application/ms-tnef" // winmail.dat, MS-OXTNEF
	MediaUU   = "text/x-uuencode"     // a text with files coded into it
)

// Bounds of one part that holds pieces.
const (
	maxPieces = 200 // given; what follows is a finding
	MaxHeld   = 4   // parts with pieces inside each other that a reader should open
)

// HoldsPieces reports whether Pieces opens parts of this detected media type. The
// first reading of a message, which lists the pieces, and the second, which archives
// them, both ask here, so that a path names the same bytes for both.
func HoldsPieces(detected string) bool { return detected == MediaTNEF || detected == MediaUU }

// Pieces calls piece for each piece n, from 0, of a part of the detected media type
// with the decoded content src, in the order of their numbers: the attachments and
// texts of a TNEF stream, the files coded into a text. It describes a piece as Walk
// does a leaf, except for Path, and gives a reader that is valid during the call;
// piece may read as little as it wants. Two calls over the same bytes give the same
// pieces.
//
// It returns what was wrong with the part, and an error only when src or piece does.
// It holds a few hundred bytes for each piece, at most maxPieces, whatever their size.
func Pieces(detected string, src *io.SectionReader, piece func(n int, l *Leaf, r io.Reader) error) ([]greffe.Finding, error) {
	switch detected {
	case MediaTNEF:
		return tnefPieces(src, piece)
	case MediaUU:
		return uuPieces(src, piece)
	}
	return nil, nil
}
