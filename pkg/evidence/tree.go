package evidence

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// TileHeight is the height of the tiles: 256 hashes each.
const TileHeight = 8

const (
	tileWidth = 1 << TileHeight
	maxLevels = 64 / TileHeight
)

// Tile is 1 to 256 hashes, one after the other, of one level of the tree.
type Tile struct {
	Level  int
	Number int64
	Data   []byte
}

// ReadTile reads the tile of a level with that number: at least width hashes, of which
// only those are used. A tile that grew since is fine: its beginning never changes.
type ReadTile func(level int, number int64, width int) ([]byte, error)

// Tree grows at its right edge, which is all that it holds: at most 255 hashes for each
// level. It is not safe for concurrent use.
type Tree struct {
	size    int64
	edge    [maxLevels][]byte // the partial tile of each level
	full    []Tile            // tiles completed since Changed was called
	touched int               // levels whose partial tile changed since
}

// NewTree returns the tree of size leaves, whose right edge it reads; read is not called
// for a tree of no leaves. Compare Root with a checkpoint before going on.
func NewTree(size int64, read ReadTile) (*Tree, error) {
	if size < 0 || size > maxSeq {
		return nil, fmt.Errorf("%w: tree of %d entries", ErrFormat, size)
	}
	t := &Tree{size: size}
	for level, n := 0, size; n > 0; level, n = level+1, n>>TileHeight {
		width := int(n % tileWidth)
		if width == 0 {
			continue
		}
		data, err := read(level, n>>TileHeight, width)
		if err != nil {
			return nil, err
		}
		if len(data) < width*tlog.HashSize {
			return nil, fmt.Errorf("%w: tile %d of level %d has %d bytes", ErrFormat, n>>TileHeight, level, len(data))
		}
		t.edge[level] = append([]byte(nil), data[:width*tlog.HashSize]...)
	}
	return t, nil
}

// Size is the number of leaves.
func (t *Tree) Size() int64 { return t.size }

// Append adds a leaf.
func (t *Tree) Append(leaf tlog.Hash) {
	h := leaf
	for level := range maxLevels {
		t.edge[level] = append(t.edge[level], h[:]...)
		t.touched = max(t.touched, level+1)
		if len(t.edge[level]) < tileWidth*tlog.HashSize {
			break
		}
		t.full = append(t.full, Tile{level, t.size >> (TileHeight * (level + 1)), t.edge[level]})
		h = rootOf(hashes(t.edge[level]))
		t.edge[level] = nil
	}
	t.size++
}

// AppendSegment adds the lines of a segment, which must follow what is in the tree;
// ErrMismatch when it does not.
func (t *Tree) AppendSegment(s *Segment) error {
	if first := s.Entries[0].Seq; first != t.size+1 {
		return fmt.Errorf("%w: segment begins with entry %d, entry %d is next", ErrMismatch, first, t.size+1)
	}
	for _, l := range s.Lines {
		t.Append(LeafHash(l))
	}
	return nil
}

// Root returns the root of the tree (RFC 6962 §2.1); that of no leaves is the SHA-256
// of nothing.
func (t *Tree) Root() tlog.Hash {
	var right []tlog.Hash // the root of what is right of the complete subtrees of a level
	for level := range maxLevels {
		if list := append(hashes(t.edge[level]), right...); len(list) > 0 {
			right = []tlog.Hash{rootOf(list)}
		}
	}
	if right == nil {
		h, _ := tlog.TreeHash(0, nil)
		return h
	}
	return right[0]
}

// Changed returns the tiles that were completed or begun since it was called last, for
// being kept: a tile replaces the shorter one with the same level and number.
func (t *Tree) Changed() []Tile {
	list := t.full
	for level := range t.touched {
		if len(t.edge[level]) > 0 {
			data := append([]byte(nil), t.edge[level]...)
			list = append(list, Tile{level, t.size >> (TileHeight * (level + 1)), data})
		}
	}
	t.full, t.touched = nil, 0
	return list
}

func hashes(data []byte) []tlog.Hash {
	list := make([]tlog.Hash, len(data)/tlog.HashSize)
	for i := range list {
		copy(list[i][:], data[i*tlog.HashSize:])
	}
	return list
}

// rootOf returns the root over hashes that are roots of complete subtrees of one size,
// of which the last may be smaller. It uses list as its memory.
func rootOf(list []tlog.Hash) tlog.Hash {
	for len(list) > 1 {
		n := 0
		for i := 0; i < len(list); i += 2 {
			if i+1 == len(list) {
				list[n] = list[i]
			} else {
				list[n] = tlog.NodeHash(list[i], list[i+1])
			}
			n++
		}
		list = list[:n]
	}
	return list[0]
}
