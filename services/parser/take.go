package parser

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"greffe/pkg/eml"
	"greffe/pkg/greffe"
)

const memorySize = 1 << 20 // a part up to here is kept in memory while it is looked at

// errDisk marks a failure of the temporary disk: the message is read again later.
var errDisk = errors.New("temporary disk")

// content is the bytes of a part while it is looked at: in memory, or in a file that
// has no name any more and so goes away with the process whatever happens.
type content struct {
	mem  []byte
	file *os.File
	size int64
}

// Write appends p.
func (c *content) Write(p []byte) (int, error) {
	if c.file == nil && c.size+int64(len(p)) > memorySize {
		f, err := os.CreateTemp("", "greffe-part-*")
		if err != nil {
			return 0, fmt.Errorf("%w: %w", errDisk, err)
		}
		c.file = f
		if err := os.Remove(f.Name()); err != nil {
			return 0, fmt.Errorf("%w: %w", errDisk, err)
		}
		if _, err := f.Write(c.mem); err != nil {
			return 0, fmt.Errorf("%w: %w", errDisk, err)
		}
		c.release()
	}
	c.size += int64(len(p))
	if c.file == nil {
		if c.mem == nil {
			c.mem = (*memories.Get().(*[]byte))[:0]
		}
		c.mem = append(c.mem, p...)
		return len(p), nil
	}
	n, err := c.file.Write(p)
	if err != nil {
		return n, fmt.Errorf("%w: %w", errDisk, err)
	}
	return n, nil
}

// ReadAt implements io.ReaderAt.
func (c *content) ReadAt(p []byte, off int64) (int, error) {
	if c.file != nil {
		return c.file.ReadAt(p, off)
	}
	if off < 0 || off >= int64(len(c.mem)) {
		return 0, io.EOF
	}
	n := copy(p, c.mem[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// reader reads the content from its beginning.
func (c *content) reader() *io.SectionReader { return io.NewSectionReader(c, 0, c.size) }

// close gives the memory or the file back. It may be called twice.
func (c *content) close() {
	if c == nil {
		return
	}
	if c.file != nil {
		c.file.Close() // nothing was promised about an unlinked file
	}
	c.release()
	*c = content{}
}

// memories hold parts one after the other: messages come by the thousand.
var memories = sync.Pool{New: func() any { b := make([]byte, 0, memorySize/4); return &b }}

func (c *content) release() {
	if c.mem != nil {
		m := c.mem
		memories.Put(&m)
		c.mem = nil
	}
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 2*prefixSize); return &b }}

// take reads a part once: size, digest, kind, what the antivirus says of it, and its
// content when that needs a second look. A part whose bytes did not all come has no
// digest and is Skipped; the error is then src's, errDisk or errAntivirus, or nil when
// the time for the message was over.
func (r *reading) take(it *item, src io.Reader) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	// Not io.ReadFull: it gives a short part and a source that broke the same error.
	var n int
	var err error
	for n < prefixSize && err == nil {
		var k int
		k, err = src.Read((*buf)[n:prefixSize])
		n += k
	}
	first := (*buf)[:n]
	it.typ = sniff(first, it.Declared, it.Name)
	it.Kind, it.Detected = it.typ.kind, it.typ.media
	it.seePicture(first)
	h := sha256.New()
	h.Write(first)
	it.Size = int64(n)
	var text *scanner
	if it.Kind == greffe.PartText {
		text = &scanner{}
		text.scan(first)
	}
	look := it.typ.zip || it.Kind == greffe.PartPDF || it.Kind == greffe.PartCDA || text != nil || eml.HoldsPieces(it.Detected) || it.Kind == greffe.PartHPRIM
	if look && !it.quiet {
		it.content = &content{}
		if _, err := it.content.Write(first); err != nil {
			return it.skip(err)
		}
	}
	scan := r.probe(it)
	defer scan.drop()
	scan.add(first)
	end := endOf(it.Detected)
	end.add(first)
	for err == nil {
		n, err = src.Read(*buf)
		b := (*buf)[:n]
		h.Write(b)
		scan.add(b)
		end.add(b)
		it.Size += int64(n)
		if text != nil {
			text.scan(b)
		}
		if it.content != nil {
			if _, err := it.content.Write(b); err != nil {
				return it.skip(err)
			}
		}
	}
	if err != io.EOF {
		return it.skip(err)
	}
	if r.in != nil && r.in.over { // not its end, only that of the time for it
		r.find(ruleTime)
		return it.skip(nil)
	}
	it.SHA256 = greffe.DigestFrom(h.Sum(nil))
	end.judge(it)
	if err := scan.end(); err != nil {
		return it.skip(err)
	}
	if text != nil && text.found != nil {
		it.typ = *text.found
		it.Kind, it.Detected = it.typ.kind, it.typ.media
	} else if text != nil {
		it.content.close()
		it.content = nil
	}
	return nil
}

// skip marks a part whose bytes are not all known and returns why.
func (it *item) skip(err error) error {
	it.content.close()
	it.content = nil
	it.Skipped, it.SHA256 = true, ""
	return err
}
