package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"

	"greffe/pkg/archive"
	"greffe/pkg/bus"
	"greffe/pkg/cda"
	"greffe/pkg/eml"
	"greffe/pkg/greffe"
	"greffe/pkg/xdm"
)

// writer streams the parts of one message into the archive.
type writer struct {
	ctx     context.Context
	store   archive.Store
	objects map[string]greffe.Object // by path, what was stored

	// stored is the same by digest: most PDFs of a mail are in its CDA, too.
	stored map[greffe.Digest]greffe.Object
}

// write stores the part n, whose bytes r gives, and what is inside it.
func (w *writer) write(n *node, r io.Reader) error {
	if n.op == 0 {
		return w.put(n.part, r)
	}
	// It is read more than once: to store it and to look inside.
	s, err := hold(r, n.part.Size)
	if err != nil {
		return w.differs(n.part, err)
	}
	defer s.Close()
	if err := w.put(n.part, s.reader()); err != nil { // which checks its size and digest
		return err
	}
	switch {
	case n.op == '#':
		return w.values(n, s)
	case eml.HoldsPieces(n.part.Detected):
		return w.pieces(n, s)
	}
	return w.entries(n, s)
}

// put stores a part. Bytes that this message has stored before are durable: the
// copy is read and checked like any other part, and the store is not asked again.
func (w *writer) put(p *greffe.Part, r io.Reader) error {
	o, known := w.stored[p.SHA256]
	var err error
	if known {
		_, err = io.Copy(io.Discard, archive.Checked(r, p.Size, p.SHA256))
	} else {
		o, err = w.store.Put(w.ctx, archive.ContentKey(p.SHA256), r, p.Size, p.SHA256)
	}
	if err != nil {
		return w.differs(p, err)
	}
	w.objects[p.Path], w.stored[p.SHA256] = o, o
	return nil
}

// differs names an error about the bytes of a part: other bytes than the first
// reading found are a disagreement, anything else is what it is.
func (w *writer) differs(p *greffe.Part, err error) error {
	if errors.Is(err, archive.ErrDigest) || errors.Is(err, xdm.ErrCorrupt) {
		return fmt.Errorf("%w: part %s: %w", ErrDisagree, p.Path, err)
	}
	return fmt.Errorf("part %s: %w", p.Path, err)
}

// unbounded: the event says how large each entry is, and no more is read. The
// first reading set the limits; the metadata are not needed again.
var unbounded = xdm.Limits{Entries: 1 << 20, Total: 1 << 50, Ratio: 1 << 40, Metadata: 1}

// entries stores the entries of a ZIP archive.
func (w *writer) entries(n *node, s *held) error {
	a, _, err := xdm.Open(s, s.size, unbounded) // what is wrong with it is known from the first reading
	if err != nil {
		return fmt.Errorf("part %s: %w", n.part.Path, err)
	}
	if a == nil {
		return fmt.Errorf("%w: part %s cannot be opened as an archive", ErrDisagree, n.part.Path)
	}
	for _, i := range slices.Sorted(maps.Keys(n.inside)) {
		entry := n.inside[i]
		if entry.part.Skipped {
			continue
		}
		r, err := a.OpenEntry(i)
		if err != nil {
			return fmt.Errorf("%w: part %s: %w", ErrDisagree, entry.part.Path, err)
		}
		err = w.write(entry, r)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	return nil
}

// pieces stores what the sender's program wrapped into a part.
func (w *writer) pieces(n *node, s *held) error {
	left := 0
	for _, v := range n.inside {
		if !v.part.Skipped {
			left++
		}
	}
	_, err := eml.Pieces(n.part.Detected, s.reader(), func(i int, _ *eml.Leaf, r io.Reader) error {
		v := n.inside[i]
		if v == nil || v.part.Skipped {
			return nil
		}
		left--
		return w.write(v, r)
	})
	if err == nil && left > 0 {
		err = fmt.Errorf("%w: part %s: %d pieces are missing", ErrDisagree, n.part.Path, left)
	}
	return err
}

// values stores the values embedded in a CDA.
func (w *writer) values(n *node, s *held) error {
	var own error // ours, not that of the document
	left := 0
	for _, v := range n.inside {
		if !v.part.Skipped {
			left++
		}
	}
	_, err := cda.Embedded(s.reader(), func(r *cda.Value) error {
		v := n.inside[r.N]
		if v == nil || v.part.Skipped {
			return nil
		}
		own = w.write(v, r)
		left--
		return own
	})
	switch {
	case own != nil:
		return own
	case left > 0:
		return errors.Join(fmt.Errorf("%w: part %s: %d values are missing", ErrDisagree, n.part.Path, left), err)
	}
	// A document that breaks off after the values that were found in it breaks
	// off in each reading.
	return nil
}

// inMemory is the largest part that is held in memory while what is inside it
// is read; a larger one is held in a file.
const inMemory = 1 << 20

// held is a part that can be read again and again, at any place, until it is closed.
type held struct {
	io.ReaderAt
	size int64
	mem  *bytes.Buffer // nil in a file
	f    *os.File      // nil in memory
}

// buffers hold parts one after the other: messages come by the thousand.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// hold reads r, which should give size bytes, and at most one byte more. A large
// part goes to a temporary file that has lost its name before the first byte is
// written: nothing can be left behind.
func hold(r io.Reader, size int64) (*held, error) {
	r = io.LimitReader(r, size+1)
	b := buffers.Get().(*bytes.Buffer)
	b.Reset()
	if need := int(min(size, inMemory)) + bytes.MinRead; b.Available() < need {
		b = bytes.NewBuffer(make([]byte, 0, need)) // Grow would make twice what there was
	}
	if _, err := b.ReadFrom(io.LimitReader(r, inMemory+1)); err != nil {
		buffers.Put(b)
		return nil, err
	}
	if b.Len() <= inMemory {
		return &held{ReaderAt: bytes.NewReader(b.Bytes()), size: int64(b.Len()), mem: b}, nil
	}
	defer buffers.Put(b)
	f, err := os.CreateTemp("", "greffe-part-")
	if err != nil {
		return nil, fmt.Errorf("hold a part: %w: %w", bus.ErrUnavailable, err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("hold a part: %w", err), f.Close())
	}
	n, err := io.Copy(f, io.MultiReader(b, r))
	if err != nil {
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			err = fmt.Errorf("hold a part: %w: %w", bus.ErrUnavailable, err)
		}
		return nil, errors.Join(err, f.Close())
	}
	return &held{ReaderAt: f, size: n, f: f}, nil
}

func (h *held) reader() *io.SectionReader { return io.NewSectionReader(h.ReaderAt, 0, h.size) }

// Close frees what was held, once; nothing may be read from it afterwards.
func (h *held) Close() error {
	if h.f != nil {
		return h.f.Close()
	}
	buffers.Put(h.mem)
	return nil
}
