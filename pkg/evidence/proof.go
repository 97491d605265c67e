package evidence

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// MaxProof bounds the hashes of a proof that is read: twice the height of the largest tree.
const MaxProof = 2 * 40

// tileReader reads tiles as package tlog wants them.
type tileReader struct{ read ReadTile }

func (tileReader) Height() int                     { return TileHeight }
func (tileReader) SaveTiles([]tlog.Tile, [][]byte) {}
func (r tileReader) ReadTiles(list []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(list))
	for i, t := range list {
		b, err := r.read(t.L, t.N, t.W)
		if err != nil {
			return nil, err
		}
		if len(b) < t.W*tlog.HashSize {
			return nil, fmt.Errorf("%w: tile %d of level %d has %d bytes", ErrFormat, t.N, t.L, len(b))
		}
		data[i] = b[:t.W*tlog.HashSize]
	}
	return data, nil
}

// reader returns the hashes of the tree of c, each proven by the root of c: tiles that
// were changed are found out.
func (c *Checkpoint) reader(read ReadTile) tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: c.Size, Hash: c.Root}, tileReader{read})
}

// ProveEntry returns the proof that entry seq is in the tree of c (RFC 6962 §2.1.1): at
// most 40 hashes, from the leaf up. It reads a few tiles.
func ProveEntry(c *Checkpoint, seq int64, read ReadTile) ([]tlog.Hash, error) {
	if seq < 1 || seq > c.Size {
		return nil, fmt.Errorf("%w: entry %d is not among the %d of the checkpoint", ErrMismatch, seq, c.Size)
	}
	p, err := tlog.ProveRecord(c.Size, seq-1, c.reader(read))
	if err != nil {
		return nil, fmt.Errorf("evidence: prove entry %d: %w", seq, err)
	}
	return p, nil
}

// CheckEntry checks that line is entry seq of the tree of c; ErrMismatch when the proof
// does not say so.
func CheckEntry(c *Checkpoint, seq int64, line []byte, proof []tlog.Hash) error {
	if seq < 1 || seq > c.Size || len(proof) > MaxProof {
		return fmt.Errorf("%w: entry %d is not among the %d of the checkpoint", ErrMismatch, seq, c.Size)
	}
	if err := tlog.CheckRecord(proof, c.Size, c.Root, seq-1, LeafHash(line)); err != nil {
		return fmt.Errorf("%w: proof of entry %d: %w", ErrMismatch, seq, err)
	}
	return nil
}

// ProveGrowth returns the proof that the tree of c begins with the tree of old
// (RFC 6962 §2.1.2), which has at least one entry and at most those of c.
func ProveGrowth(old, c *Checkpoint, read ReadTile) ([]tlog.Hash, error) {
	if old.Size < 1 || old.Size > c.Size {
		return nil, fmt.Errorf("%w: %d entries before, %d after", ErrMismatch, old.Size, c.Size)
	}
	p, err := tlog.ProveTree(c.Size, old.Size, c.reader(read))
	if err != nil {
		return nil, fmt.Errorf("evidence: prove growth from %d to %d entries: %w", old.Size, c.Size, err)
	}
	return p, nil
}

// CheckGrowth checks that the tree of c begins with that of old: nothing was changed or
// removed between the two; ErrMismatch when the proof does not say so.
func CheckGrowth(old, c *Checkpoint, proof []tlog.Hash) error {
	if old.Size < 1 || old.Size > c.Size || len(proof) > MaxProof {
		return fmt.Errorf("%w: %d entries before, %d after", ErrMismatch, old.Size, c.Size)
	}
	if err := tlog.CheckTree(proof, c.Size, c.Root, old.Size, old.Root); err != nil {
		return fmt.Errorf("%w: growth from %d to %d entries: %w", ErrMismatch, old.Size, c.Size, err)
	}
	return nil
}
